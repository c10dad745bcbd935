//! The PROXY protocol, version 2: what a proxy sends before the first byte of a connection to say
//! for whom it speaks (haproxy.org, proxy-protocol.txt, section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;
use types::TlsVersion;

/// Sixteen bytes: signature, version and command, family, length of the rest.
pub(crate) const FIXED_BYTES: usize = 16;
/// The longest rest that is read. Addresses have 216 bytes at most; what cloud providers add to
/// them, a few hundred.
pub(crate) const REST_BYTES_MAX: usize = 4096;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2 with a command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Families, in the upper half of a byte, and what is carried, in the lower.
const UNSPECIFIED: u8 = 0x0;
const INET: u8 = 0x1;
const INET6: u8 = 0x2;
const UNIX: u8 = 0x3;
const STREAM: u8 = 0x1;
/// The field that says how the client's connection was encrypted, and its bit that says so.
const TLV_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;
/// Its fixed part: the bits, and the result of verifying a certificate. Fields of the same form
/// follow, of which one is the version in letters, such as `TLSv1.3`.
const SSL_BYTES: usize = 5;
const SUB_SSL_VERSION: u8 = 0x21;

/// What a proxy says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// It is the proxy's own: it asks whether the server is well.
    Own,
    /// It is for a client.
    For {
        /// Its address; `None` where it has none, as on a socket of the proxy's machine.
        source: Option<IpAddr>,
        /// How its connection to the proxy was encrypted.
        encryption: Encryption,
    },
}

/// How a proxy says that a client's connection to it was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Not, or it does not say so.
    None,
    /// By TLS, of the version that it says, if it says one that is known.
    Tls(Option<TlsVersion>),
}

/// Why a preamble cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PreambleError {
    /// The connection begins with something else.
    #[error("the connection of a trusted proxy does not begin with a preamble of version 2")]
    None,
    /// It is of another version, or has a command that is not known.
    #[error("the preamble's version or command is not known")]
    Version,
    /// It is of no family that is known.
    #[error("the preamble's family of addresses is not known")]
    Family,
    /// It is longer than any that is needed.
    #[error("the preamble is too long")]
    Long,
    /// It ends within an address or a field.
    #[error("the preamble ends too early")]
    Short,
}

/// Refuses what no preamble begins with.
pub(crate) fn check_begin(bytes: &[u8]) -> Result<(), PreambleError> {
    let known = bytes.len().min(SIGNATURE.len());
    match bytes[..known] == SIGNATURE[..known] {
        true => Ok(()),
        false => Err(PreambleError::None),
    }
}

/// How many bytes come behind the fixed ones.
pub(crate) fn rest_bytes(fixed: &[u8; FIXED_BYTES]) -> Result<usize, PreambleError> {
    let bytes = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    match bytes <= REST_BYTES_MAX {
        true => Ok(bytes),
        false => Err(PreambleError::Long),
    }
}

/// Reads a preamble.
pub(crate) fn parse(fixed: &[u8; FIXED_BYTES], rest: &[u8]) -> Result<Preamble, PreambleError> {
    check_begin(fixed)?;
    match fixed[12] {
        // What it says beside that is to be skipped.
        LOCAL => return Ok(Preamble::Own),
        PROXY => {}
        _ => return Err(PreambleError::Version),
    }
    let (family, carried) = (fixed[13] >> 4, fixed[13] & 0xf);
    let (source, addresses) = match (family, carried) {
        (INET, STREAM) => (Some(v4(rest)?), 12),
        (INET6, STREAM) => (Some(v6(rest)?), 36),
        (UNIX, STREAM) => (None, 216),
        (UNSPECIFIED, 0) => (None, 0),
        _ => return Err(PreambleError::Family),
    };
    let fields = rest.get(addresses..).ok_or(PreambleError::Short)?;
    // Where the addresses are not known, neither is where the fields begin.
    let encryption = match family {
        UNSPECIFIED => Encryption::None,
        _ => encryption(fields)?,
    };
    Ok(Preamble::For { source, encryption })
}

fn v4(rest: &[u8]) -> Result<IpAddr, PreambleError> {
    let bytes: &[u8; 4] = rest.first_chunk().ok_or(PreambleError::Short)?;
    Ok(Ipv4Addr::from(*bytes).into())
}

fn v6(rest: &[u8]) -> Result<IpAddr, PreambleError> {
    let bytes: &[u8; 16] = rest.first_chunk().ok_or(PreambleError::Short)?;
    Ok(Ipv6Addr::from(*bytes).into())
}

/// What a field says of how the client's connection was encrypted.
fn encryption(fields: &[u8]) -> Result<Encryption, PreambleError> {
    let mut said = Encryption::None;
    each_field(fields, |kind, value| {
        if kind == TLV_SSL {
            let client = value.first().ok_or(PreambleError::Short)?;
            said = match client & CLIENT_SSL {
                0 => Encryption::None,
                _ => Encryption::Tls(version(value)?),
            };
        }
        Ok(())
    })?;
    Ok(said)
}

/// The version of TLS, where a field says one that is known.
fn version(value: &[u8]) -> Result<Option<TlsVersion>, PreambleError> {
    let mut said = None;
    each_field(value.get(SSL_BYTES..).unwrap_or_default(), |kind, value| {
        if kind == SUB_SSL_VERSION {
            said = match value {
                // Older than all that policies name.
                b"SSLv2" | b"SSLv3" | b"TLSv1" | b"TLSv1.0" => Some(TlsVersion::V1_0),
                b"TLSv1.1" => Some(TlsVersion::V1_1),
                b"TLSv1.2" => Some(TlsVersion::V1_2),
                b"TLSv1.3" => Some(TlsVersion::V1_3),
                _ => None,
            };
        }
        Ok(())
    })?;
    Ok(said)
}

/// Reads each field: it has a type, a length of two bytes, and as many bytes.
fn each_field(
    mut fields: &[u8],
    mut read: impl FnMut(u8, &[u8]) -> Result<(), PreambleError>,
) -> Result<(), PreambleError> {
    while !fields.is_empty() {
        let ([kind, high, low], rest) = fields.split_first_chunk().ok_or(PreambleError::Short)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(PreambleError::Short)?;
        read(*kind, value)?;
        fields = rest;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn bytes(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// Of a client with this address.
    pub(crate) fn v4(source: &str, fields: &[u8]) -> Vec<u8> {
        let source: Ipv4Addr = source.parse().unwrap();
        let ports = [0x23, 0x28, 0x01, 0xbb];
        let addresses = [&source.octets()[..], &[192, 0, 2, 1], &ports].concat();
        bytes(PROXY, 0x11, &[&addresses, fields].concat())
    }

    fn v6(source: &str, fields: &[u8]) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        let addresses = [&source.octets()[..], &[0; 16], &[0; 4]].concat();
        bytes(PROXY, 0x21, &[&addresses, fields].concat())
    }

    fn read(bytes: &[u8]) -> Result<Preamble, PreambleError> {
        check_begin(bytes)?;
        let (fixed, rest) = bytes.split_first_chunk().ok_or(PreambleError::Short)?;
        let long = rest_bytes(fixed)?;
        parse(fixed, rest.get(..long).ok_or(PreambleError::Short)?)
    }

    fn client(source: &str, encryption: Encryption) -> Result<Preamble, PreambleError> {
        let source = source.parse().ok();
        Ok(Preamble::For { source, encryption })
    }

    /// The field of a client whose connection has TLS of this version.
    fn tls_of(version: &str) -> Vec<u8> {
        let version = [&[0x21, 0, version.len() as u8], version.as_bytes()].concat();
        let other = [0x22, 0, 1, b'x'];
        let value = [&[1, 0, 0, 0, 0][..], &other, &version].concat();
        [&[0x20, 0, value.len() as u8], &value[..]].concat()
    }

    #[test]
    fn a_client_has_the_address_that_its_proxy_says() {
        let noop = [0x04, 0, 3, 1, 2, 3];
        let tls = [0x20, 0, 5, 0x01, 0, 0, 0, 0];
        let not_tls = [0x20, 0, 5, 0x02, 0, 0, 0, 0];
        let with = |version| Encryption::Tls(Some(version));
        for (fields, encryption) in [
            (vec![], Encryption::None),
            (noop.to_vec(), Encryption::None),
            (tls.to_vec(), Encryption::Tls(None)),
            (not_tls.to_vec(), Encryption::None),
            ([&noop[..], &tls, &noop].concat(), Encryption::Tls(None)),
            (tls_of("TLSv1"), with(TlsVersion::V1_0)),
            (tls_of("TLSv1.1"), with(TlsVersion::V1_1)),
            (tls_of("TLSv1.2"), with(TlsVersion::V1_2)),
            (tls_of("TLSv1.3"), with(TlsVersion::V1_3)),
            (tls_of("SSLv3"), with(TlsVersion::V1_0)),
            (tls_of("another"), Encryption::Tls(None)),
            (tls_of(""), Encryption::Tls(None)),
            (
                [&tls_of("TLSv1.3")[..], &not_tls].concat(),
                Encryption::None,
            ),
        ] {
            let said = read(&v4("203.0.113.9", &fields));
            assert_eq!(said, client("203.0.113.9", encryption));
            let said = read(&v6("2001:db8::9", &fields));
            assert_eq!(said, client("2001:db8::9", encryption));
        }
    }

    #[test]
    fn clients_without_an_address_have_none() {
        let none = |encryption| {
            Ok(Preamble::For {
                source: None,
                encryption,
            })
        };
        let clear = Encryption::None;
        assert_eq!(read(&bytes(PROXY, 0x31, &[b'/'; 216])), none(clear));
        let with_tls = [&[0; 216][..], &[0x20, 0, 5, 1, 0, 0, 0, 0]].concat();
        assert_eq!(
            read(&bytes(PROXY, 0x31, &with_tls)),
            none(Encryption::Tls(None))
        );
        assert_eq!(read(&bytes(PROXY, 0x00, &[])), none(clear));
        assert_eq!(read(&bytes(PROXY, 0x00, &[1, 2, 3])), none(clear));
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        for family in [0x00, 0x11, 0x21, 0xff] {
            assert_eq!(read(&bytes(LOCAL, family, &[])), Ok(Preamble::Own));
            assert_eq!(read(&bytes(LOCAL, family, &[7; 40])), Ok(Preamble::Own));
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        use PreambleError as E;
        for command in [0x22, 0x2f, 0x11, 0x31, 0x00] {
            assert_eq!(read(&bytes(command, 0x11, &[0; 12])), Err(E::Version));
        }
        // Datagrams, families that are not known, and addresses of a half-known family.
        for family in [0x12, 0x22, 0x32, 0x41, 0xf1, 0x10, 0x01, 0x02] {
            assert_eq!(read(&bytes(PROXY, family, &[0; 216])), Err(E::Family));
        }
        for (family, length) in [(0x11, 12), (0x21, 36), (0x31, 216)] {
            for short in [0, 3, length - 1] {
                let short = bytes(PROXY, family, &vec![1; short]);
                assert_eq!(read(&short), Err(E::Short));
            }
        }
        for fields in [
            &[0x20][..],
            &[0x20, 0],
            &[0x20, 0, 5, 1, 0],
            &[0x20, 0, 0],
            &[0x20, 0, 7, 1, 0, 0, 0, 0, 0x21, 0],
            &[0x20, 0, 9, 1, 0, 0, 0, 0, 0x21, 0, 9, b'T'],
            &[4, 0, 1, 9, 4],
            &[4, 0xff, 0xff],
        ] {
            assert_eq!(
                read(&v4("203.0.113.9", fields)),
                Err(E::Short),
                "{fields:?}"
            );
        }
        let long = bytes(PROXY, 0x11, &[0; REST_BYTES_MAX + 1]);
        assert_eq!(read(&long), Err(E::Long));
        for other in [
            "GET / HTTP/1.1\r\n\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        ] {
            assert_eq!(read(other.as_bytes()), Err(E::None));
            assert_eq!(check_begin(&other.as_bytes()[..1]), Err(E::None));
        }
        assert_eq!(check_begin(&SIGNATURE[..5]), Ok(()));
    }
}
