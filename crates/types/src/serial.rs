//! Serial numbers of certificates, in whatever form a person copies them.

use std::fmt;

/// Octets of a serial number (RFC 5280 section 4.1.2.2).
const OCTETS_MAX: usize = 20;

/// The serial number of a certificate. Its text is lower-case hex without leading zero bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateSerial(String);

/// Why a text is no serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a certificate's serial number: 1 to 20 bytes in hex, as `openssl x509 -noout -serial` or \
     `-text` shows it (upper or lower case, with or without colons)"
)]
pub struct NoSerial;

impl CertificateSerial {
    /// Reads hex digits in either case, with or without colons between bytes.
    ///
    /// # Errors
    /// For anything else, for zero, and for more than 20 bytes.
    pub fn parse(text: &str) -> Result<Self, NoSerial> {
        let text = text.trim_matches(' ');
        let digits = match text.contains(':') {
            false => text.to_owned(),
            true if text.split(':').all(|byte| (1..=2).contains(&byte.len())) => {
                text.split(':').map(|byte| format!("{byte:0>2}")).collect()
            }
            true => return Err(NoSerial),
        };
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(NoSerial);
        }
        let mut digits = digits.trim_start_matches('0').to_ascii_lowercase();
        if digits.is_empty() || digits.len() > 2 * OCTETS_MAX {
            return Err(NoSerial);
        }
        // Whole bytes, as certificates are written and compared.
        if digits.len() % 2 == 1 {
            digits.insert(0, '0');
        }
        Ok(Self(digits))
    }

    /// Lower-case hex without leading zero bytes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CertificateSerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_in_every_form() {
        for text in [
            "7a0b01",
            "7A0B01",
            "7a:0b:01",
            "7A:0B:01",
            "7A:B:1",
            "00:7a:0b:01",
            "007A0B01",
            " 7a0b01 ",
        ] {
            assert_eq!(
                CertificateSerial::parse(text).unwrap().as_str(),
                "7a0b01",
                "{text}"
            );
        }
        assert_eq!(CertificateSerial::parse("b01").unwrap().as_str(), "0b01");
        let longest = "7f".repeat(20);
        assert_eq!(
            CertificateSerial::parse(&longest).unwrap().as_str(),
            longest
        );
        for bad in [
            "",
            " ",
            "0",
            "00:00",
            ":",
            "7a:",
            ":7a",
            "7a::0b",
            "7a0:b01",
            "7a 0b",
            "0x7a",
            "serial=7a",
            "7g",
            "-7a",
            "7a\n",
            "٣",
            "7a;0b",
            &"7f".repeat(21),
        ] {
            assert_eq!(CertificateSerial::parse(bad), Err(NoSerial), "{bad:?}");
        }
    }
}
