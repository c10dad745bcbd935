//! The token with which an operator lets a new region into the cloud.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;
use types::{Random, RegionId, SystemRandom};

use crate::{is_region_label, verify::sha256};

const PREFIX: &str = "dhow-join-";
/// The first byte inside; another layout takes another number.
const FORMAT: u8 = 1;
/// Longest address, in bytes: a DNS name of 253, a colon and a port.
const ADDRESS_BYTES_MAX: usize = 253 + 6;
/// Longest text that is looked at, in bytes; the longest token has 711.
const TEXT_BYTES_MAX: usize = 1024;
/// Bytes of the checksum at the end, which distinguishes a mistyped token from a wrong one.
const CHECKSUM_BYTES: usize = 4;

/// Everything a new region needs to reach the registry, to be sure that it is the registry, and to
/// be let in once. Whoever holds it can join as that region: **a secret**.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Fingerprint of the cloud's authority ([`crate::Authority::fingerprint`]).
    pub fingerprint: [u8; 32],
    /// Where the registry's region answers peers, `host:port`.
    pub address: String,
    /// The region that holds the registry.
    pub region: RegionId,
    /// The region that may join.
    pub joins: RegionId,
    /// What proves that the holder was invited. **A secret.**
    pub secret: [u8; 32],
}

/// Why a text is no join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// It does not begin with `dhow-join-`.
    #[error("this is no join token: one begins with {PREFIX:?}")]
    Prefix,
    /// It is longer than any token.
    #[error("the join token is too long")]
    TooLong,
    /// What follows the prefix is not base64url without padding.
    #[error("the join token has characters that no token has")]
    Encoding,
    /// It ends early.
    #[error("the join token is not complete")]
    Truncated,
    /// It is damaged: its checksum does not fit.
    #[error("the join token is damaged: a character is wrong or missing")]
    Checksum,
    /// It was made by a version that this one does not know.
    #[error("the join token has a format that this release does not know ({0})")]
    Format(u8),
    /// A field is not what it should be.
    #[error("the {0} in the join token is not valid")]
    Field(&'static str),
    /// It goes on after its end.
    #[error("the join token has more characters than it should")]
    Trailing,
}

/// Whether `shown` is the secret whose hash ([`JoinToken::secret_hash`]) was kept; in constant
/// time.
pub fn secret_matches(shown: &[u8; 32], kept_hash: &[u8; 32]) -> bool {
    sha256(shown).ct_eq(kept_hash).into()
}

impl JoinToken {
    /// A token with a new secret from the machine's entropy.
    ///
    /// # Errors
    /// [`JoinTokenError::Field`] when an id or the address cannot be in a token.
    pub fn create(
        fingerprint: [u8; 32],
        address: &str,
        region: &RegionId,
        joins: &RegionId,
    ) -> Result<Self, JoinTokenError> {
        let mut secret = [0; 32];
        SystemRandom.fill(&mut secret);
        let token = Self {
            fingerprint,
            address: address.to_owned(),
            region: region.clone(),
            joins: joins.clone(),
            secret,
        };
        token.check()?;
        Ok(token)
    }

    /// SHA-256 of the secret: what the registry keeps, and asks with
    /// [`secret_matches`].
    pub fn secret_hash(&self) -> [u8; 32] {
        sha256(&self.secret)
    }

    /// The text form, to be shown once.
    ///
    /// # Errors
    /// [`JoinTokenError::Field`] when an id or the address cannot be in a token.
    pub fn to_text(&self) -> Result<String, JoinTokenError> {
        self.check()?;
        let mut out = vec![FORMAT];
        out.extend(self.fingerprint);
        out.extend(self.secret);
        for text in [&self.address, &*self.region, &*self.joins] {
            // Within u16: `check` has seen to it.
            out.extend((text.len() as u16).to_be_bytes());
            out.extend(text.as_bytes());
        }
        let sum = sha256(&out);
        out.extend(sum.iter().take(CHECKSUM_BYTES));
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(out)))
    }

    fn check(&self) -> Result<(), JoinTokenError> {
        let port = self.address.rsplit_once(':').filter(|(host, port)| {
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            !host.is_empty() && digits && port.parse::<u16>().is_ok_and(|p| p > 0)
        });
        let plain = self.address.bytes().all(|b| b.is_ascii_graphic());
        if port.is_none() || !plain || self.address.len() > ADDRESS_BYTES_MAX {
            return Err(JoinTokenError::Field("address"));
        }
        if !is_region_label(&self.region) {
            return Err(JoinTokenError::Field("registry's region"));
        }
        if !is_region_label(&self.joins) {
            return Err(JoinTokenError::Field("joining region"));
        }
        Ok(())
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let text = text.trim();
        let encoded = text.strip_prefix(PREFIX).ok_or(JoinTokenError::Prefix)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(JoinTokenError::TooLong);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| JoinTokenError::Encoding)?;
        let (inside, sum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(JoinTokenError::Truncated)?;
        if sha256(inside).first_chunk() != Some(sum) {
            return Err(JoinTokenError::Checksum);
        }
        let mut rest = inside;
        let [format] = take(&mut rest)?;
        if format != FORMAT {
            return Err(JoinTokenError::Format(format));
        }
        let token = Self {
            fingerprint: take(&mut rest)?,
            secret: take(&mut rest)?,
            address: take_text(&mut rest, "address")?,
            region: RegionId::new(&take_text(&mut rest, "registry's region")?),
            joins: RegionId::new(&take_text(&mut rest, "joining region")?),
        };
        if !rest.is_empty() {
            return Err(JoinTokenError::Trailing);
        }
        token.check()?;
        Ok(token)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], JoinTokenError> {
    let (head, tail) = rest.split_first_chunk().ok_or(JoinTokenError::Truncated)?;
    *rest = tail;
    Ok(*head)
}

fn take_text(rest: &mut &[u8], field: &'static str) -> Result<String, JoinTokenError> {
    let length = usize::from(u16::from_be_bytes(take(rest)?));
    let (head, tail) = rest
        .split_at_checked(length)
        .ok_or(JoinTokenError::Truncated)?;
    *rest = tail;
    String::from_utf8(head.to_vec()).map_err(|_| JoinTokenError::Field(field))
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("fingerprint", &hex::encode(self.fingerprint))
            .field("address", &self.address)
            .field("region", &self.region)
            .field("joins", &self.joins)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        let (a, b) = (RegionId::new("me-east-1"), RegionId::new("eu-west-1"));
        JoinToken::create([7; 32], "dhow.example.org:9443", &a, &b).unwrap()
    }

    #[test]
    fn a_token_reads_back_from_its_text() {
        let token = token();
        let text = token.to_text().unwrap();
        assert!(text.starts_with("dhow-join-"));
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
        assert_ne!(token.secret_hash(), token.secret);
        assert!(secret_matches(&token.secret, &token.secret_hash()));
        assert!(!secret_matches(&[0; 32], &token.secret_hash()));
        assert_ne!(token.secret, self::token().secret);
        let longest = JoinToken {
            address: format!("{}:65535", "h".repeat(253)),
            region: RegionId::new(&"r".repeat(63)),
            joins: RegionId::new(&"j".repeat(63)),
            ..token
        };
        let text = longest.to_text().unwrap();
        assert!(text.len() <= TEXT_BYTES_MAX);
        assert_eq!(text.parse(), Ok(longest));
    }

    #[test]
    fn any_change_is_noticed() {
        let text = token().to_text().unwrap();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(changed.parse::<JoinToken>().is_err(), "{at}");
            assert!(text[..at].parse::<JoinToken>().is_err(), "{at}");
        }
    }

    /// The text of these bytes, with a checksum that fits.
    fn sealed(bytes: &[u8]) -> String {
        let sum = &sha256(bytes)[..CHECKSUM_BYTES];
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([bytes, sum].concat()))
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let text = token().to_text().unwrap();
        let bytes = URL_SAFE_NO_PAD
            .decode(text.strip_prefix(PREFIX).unwrap())
            .unwrap();
        let inside = &bytes[..bytes.len() - CHECKSUM_BYTES];
        let parse = |text: &str| text.parse::<JoinToken>().unwrap_err();
        assert_eq!(parse(""), JoinTokenError::Prefix);
        assert_eq!(parse("dhow-jion-AAAA"), JoinTokenError::Prefix);
        assert_eq!(parse("dhow-join-"), JoinTokenError::Truncated);
        assert_eq!(parse("dhow-join-***"), JoinTokenError::Encoding);
        assert_eq!(parse(&format!("{text}=")), JoinTokenError::Encoding);
        let long = format!("{PREFIX}{}", "A".repeat(1100));
        assert_eq!(parse(&long), JoinTokenError::TooLong);
        let mut other = inside.to_vec();
        other[0] = 9;
        assert_eq!(parse(&sealed(&other)), JoinTokenError::Format(9));
        assert_eq!(parse(&sealed(&inside[..40])), JoinTokenError::Truncated);
        let more = [inside, b"x"].concat();
        assert_eq!(parse(&sealed(&more)), JoinTokenError::Trailing);
        let mut wrong = inside.to_vec();
        *wrong.last_mut().unwrap() = b'_';
        let field = JoinTokenError::Field("joining region");
        assert_eq!(parse(&sealed(&wrong)), field);
    }

    #[test]
    fn what_cannot_stand_in_a_token_makes_none() {
        let (a, b) = (RegionId::new("a"), RegionId::new("b"));
        for address in [
            "", "host", "host:", ":1", "host:0", "host:+1", "h:99999", "h h:1",
        ] {
            let made = JoinToken::create([0; 32], address, &a, &b);
            assert_eq!(made, Err(JoinTokenError::Field("address")), "{address}");
        }
        assert!(JoinToken::create([0; 32], "[::1]:9443", &a, &b).is_ok());
        assert!(JoinToken::create([0; 32], "h:1", &RegionId::new("A"), &b).is_err());
        assert!(JoinToken::create([0; 32], "h:1", &a, &RegionId::new("")).is_err());
    }

    #[test]
    fn debug_hides_the_secret() {
        let token = JoinToken {
            secret: [0xab; 32],
            ..token()
        };
        let shown = format!("{token:?}");
        assert!(shown.contains("eu-west-1") && !shown.contains("ab".repeat(8).as_str()));
        assert!(!shown.contains("171"), "{shown}");
    }
}
