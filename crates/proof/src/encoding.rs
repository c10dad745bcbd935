//! The one binary form in which things are hashed and signed.
//!
//! ```text
//! message = field(domain) field(1) field(2) ...
//! field   = length in bytes (u64, big endian)  the bytes
//! number  = field of 8 bytes, big endian;  truth = field of one byte, 0 or 1
//! list    = field(how many, as a number) and then each member
//! ```
//!
//! The domain says what the message is (`dhow audit entry v1`), so that a signature on one kind of
//! thing can never be shown as a signature on another. Every length is written, so that no text
//! can flow from one field into the next.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Bytes whose text form is lower-case hex, and only that: one value has one text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// A SHA-256 value.
pub type Hash = Hex<32>;
/// An Ed25519 public key.
pub type PublicKey = Hex<32>;
/// An Ed25519 signature.
pub type Signature = Hex<64>;

impl<const N: usize> Hex<N> {
    /// All bytes zero: what the first entry of a chain has as its predecessor's hash.
    pub const ZERO: Self = Self([0; N]);

    /// Reads the text form; `None` for anything else, upper-case digits included.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::custom(format_args!("not {N} bytes in lower-case hex")))
    }
}

/// Puts fields in the binary form. See the module's description.
#[derive(Debug)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn new(domain: &str) -> Self {
        Self(Vec::with_capacity(256)).bytes(domain.as_bytes())
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        // A `usize` has 64 bits at most wherever this builds.
        self.0
            .extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(crate) fn truth(self, truth: bool) -> Self {
        self.bytes(&[u8::from(truth)])
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    Hex(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_flow_from_one_field_into_the_next() {
        let one = Encoder::new("d").text("ab").text("c").finish();
        let other = Encoder::new("d").text("a").text("bc").finish();
        assert_ne!(one, other);
    }

    #[test]
    fn the_form_of_a_message_is_fixed() {
        let message = Encoder::new("d")
            .text("ab")
            .number(258)
            .truth(true)
            .finish();
        let expected = concat!(
            "000000000000000164",
            "00000000000000026162",
            "00000000000000080000000000000102",
            "000000000000000101",
        );
        assert_eq!(hex::encode(message), expected);
    }

    #[test]
    fn hex_has_one_text_for_one_value() {
        assert_eq!(Hex::<2>::parse("0aff"), Some(Hex([10, 255])));
        for wrong in [
            "0AFF", "0aFf", "0af", "0aff0", "0aff00", "0agg", " 0aff", "",
        ] {
            assert_eq!(Hex::<2>::parse(wrong), None, "{wrong}");
        }
    }
}
