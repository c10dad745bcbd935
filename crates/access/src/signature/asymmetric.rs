//! Asymmetric signatures ("AWS Signature Version 4A"): ECDSA over P-256 with SHA-256, verified with
//! a public key. Whoever holds that key can verify and cannot sign, so any region may hold it. The
//! private key is derived from the secret; only whoever keeps secrets derives it.

use std::{fmt, str::FromStr};

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::hash::{hex64, sha256};

/// What such a signature begins with.
pub const ECDSA: &str = "AWS4-ECDSA-P256-SHA256";
/// Bytes of a public key: a point of P-256, uncompressed (SEC 1, section 2.3.3).
const POINT_BYTES: usize = 65;
/// Bytes of the longest signature: two integers of 33 bytes, each with its head, in a sequence.
const DER_BYTES_MAX: usize = 72;

/// A public key of P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; POINT_BYTES]);

/// A text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public key of P-256")]
pub struct NotAPublicKey;

impl PublicKey {
    /// Of an uncompressed point. Whether it is one of the curve is found out when it verifies.
    pub fn new(point: [u8; POINT_BYTES]) -> Self {
        Self(point)
    }

    /// Whether the holder of the private key signed this text. The signature is in DER and hex.
    #[must_use]
    pub fn verifies(&self, text: &[u8], signature: &str) -> bool {
        if types::planted("v4a-signature-unread") {
            return true;
        }
        let mut der = [0; DER_BYTES_MAX];
        let Some(der) = der.get_mut(..signature.len() / 2) else {
            return false;
        };
        hex::decode_to_slice(signature, der).is_ok()
            && UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
                .verify(text, der)
                .is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<Self, NotAPublicKey> {
        let mut point = [0; POINT_BYTES];
        hex::decode_to_slice(text, &mut point).map_err(|_| NotAPublicKey)?;
        Ok(Self(point))
    }
}

/// Whether a region set names a region: by its name, or by the start of its name and `*`. Other
/// names that a region takes in scopes do not count: other regions take them too.
pub fn names_region(set: &str, region: &str) -> bool {
    let names = |entry: &str| match entry.strip_suffix('*') {
        Some(start) => region.starts_with(start),
        None => entry == region,
    };
    set.split(',').map(str::trim_ascii).any(names)
}

/// Whether a region set names this region and no other.
pub(super) fn names_only(set: &str, region: &str) -> bool {
    set.split(',').all(|entry| entry.trim_ascii() == region)
}

/// What counts as used where a request counts once: the key and the text. Of one text many
/// signatures can be made, also by others than the key's holder (`s` and `n - s` both verify).
pub(super) fn once(access_key: &str, text: &[u8]) -> String {
    let all = [access_key.as_bytes(), b"\n", text].concat();
    String::from_utf8_lossy(&hex64(&sha256(&all))).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_set_names_regions_and_starts_of_names() {
        for (set, named) in [
            ("eu-west-1", true),
            ("us-east-1,eu-west-1", true),
            ("us-east-1 , eu-west-1", true),
            ("*", true),
            ("eu-*", true),
            ("eu-west-1*", true),
            ("eu-west-10", false),
            ("eu-west", false),
            ("EU-WEST-1", false),
            ("*-west-1", false),
            ("us-*,ap-*", false),
            ("", false),
            (",", false),
        ] {
            assert_eq!(names_region(set, "eu-west-1"), named, "{set}");
        }
        assert!(names_only("eu-west-1", "eu-west-1"));
        for wider in ["*", "eu-west-1*", "eu-west-1,us-east-1"] {
            assert!(!names_only(wider, "eu-west-1"), "{wider}");
        }
    }

    #[test]
    fn what_is_no_signature_or_no_key_verifies_nothing() {
        let key = PublicKey::new([4; POINT_BYTES]);
        for bad in ["", "0", "zz", "30", "3006020101020101", &"0".repeat(400)] {
            assert!(!key.verifies(b"text", bad), "{bad}");
        }
        assert!("04".parse::<PublicKey>().is_err());
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}
