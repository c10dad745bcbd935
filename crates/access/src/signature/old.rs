//! Keys of signatures with HMAC-SHA1, such as those of version 2.
//!
//! The MAC is keyed with the secret itself. So the key here is not the secret, but what HMAC makes
//! of it first (RFC 2104, section 4): the two states of SHA-1 behind the padded key. Whoever has
//! them verifies and makes such signatures, and nothing else: the keys of version 4 and the public
//! keys of 4A are derived from the secret by SHA-256, and no step leads from the states to the
//! secret.

use std::{fmt, str::FromStr};

use sha1::{Digest, Sha1, block_api::compress};
use subtle::ConstantTimeEq;

/// Bytes of a block of SHA-1.
const BLOCK: usize = 64;
/// Bytes of a digest.
const DIGEST: usize = 20;
/// How SHA-1 begins (FIPS 180-4, section 5.3.1).
const BEGIN: State = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

type State = [u32; 5];

/// What makes and verifies signatures with HMAC-SHA1 of one secret.
#[derive(Clone, PartialEq, Eq)]
pub struct OldKey {
    inner: State,
    outer: State,
}

/// A text that is no such key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of HMAC-SHA1")]
pub struct NotAnOldKey;

impl OldKey {
    /// Of a secret. Only whoever keeps secrets calls this; a region is given the result.
    pub fn of_secret(secret: &str) -> Self {
        let mut key = [0; BLOCK];
        match key.get_mut(..secret.len()) {
            Some(front) => front.copy_from_slice(secret.as_bytes()),
            None => key[..DIGEST].copy_from_slice(&Sha1::digest(secret.as_bytes())),
        }
        let begun = |pad: u8| {
            let mut state = BEGIN;
            compress(&mut state, &[key.map(|byte| byte ^ pad)]);
            state
        };
        Self {
            inner: begun(0x36),
            outer: begun(0x5c),
        }
    }

    /// The code of a text.
    pub fn sign(&self, text: &[u8]) -> [u8; DIGEST] {
        digest_behind(self.outer, &digest_behind(self.inner, text))
    }

    /// Whether this is the code of that text.
    #[must_use]
    pub fn verifies(&self, text: &[u8], code: &[u8; DIGEST]) -> bool {
        self.sign(text).ct_eq(code).into()
    }
}

/// The digest of one block, which left this state, and a text behind it.
fn digest_behind(mut state: State, text: &[u8]) -> [u8; DIGEST] {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    compress(&mut state, blocks);
    let mut end = [0; 2 * BLOCK];
    end[..rest.len()].copy_from_slice(rest);
    end[rest.len()] = 0x80;
    let many = if rest.len() < BLOCK - 8 { 1 } else { 2 };
    let bits = (BLOCK + text.len()) as u64 * 8;
    end[many * BLOCK - 8..many * BLOCK].copy_from_slice(&bits.to_be_bytes());
    compress(&mut state, &end.as_chunks::<BLOCK>().0[..many]);
    bytes(&state)
}

fn bytes(state: &State) -> [u8; DIGEST] {
    let mut out = [0; DIGEST];
    for (piece, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *piece = word.to_be_bytes();
    }
    out
}

impl fmt::Debug for OldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OldKey(…)")
    }
}

impl OldKey {
    /// In hex digits, for whoever may have it.
    pub fn to_hex(&self) -> String {
        [self.inner, self.outer]
            .iter()
            .map(|state| hex::encode(bytes(state)))
            .collect()
    }
}

impl FromStr for OldKey {
    type Err = NotAnOldKey;

    fn from_str(text: &str) -> Result<Self, NotAnOldKey> {
        let mut both = [0; 2 * DIGEST];
        hex::decode_to_slice(text, &mut both).map_err(|_| NotAnOldKey)?;
        let mut words = both
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| u32::from_be_bytes(*b));
        let mut next = || std::array::from_fn(|_| words.next().unwrap_or(0));
        Ok(Self {
            inner: next(),
            outer: next(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 2202, section 3, case 2.
    #[test]
    fn the_published_code() {
        let key = OldKey::of_secret("Jefe");
        let code = key.sign(b"what do ya want for nothing?");
        assert_eq!(
            hex::encode(code),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(key.to_hex().parse(), Ok(key.clone()));
        assert!(!format!("{key:?}").contains(&key.to_hex()[..8]));
    }

    #[test]
    fn every_length_is_as_another_library_has_it() {
        use hmac::{Hmac, KeyInit, Mac};
        for secret in [
            "s".to_owned(),
            "s".repeat(40),
            "s".repeat(64),
            "s".repeat(128),
        ] {
            let key = OldKey::of_secret(&secret);
            for length in 0..200 {
                let text = vec![b'a'; length];
                let mut other = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
                other.update(&text);
                let code: [u8; DIGEST] = other.finalize().into_bytes().into();
                assert!(key.verifies(&text, &code), "{} {length}", secret.len());
                let mut wrong = code;
                wrong[19] ^= 1;
                assert!(!key.verifies(&text, &wrong));
            }
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        for bad in ["", "00", "zz", &"0".repeat(79), &"0".repeat(82)] {
            assert!(bad.parse::<OldKey>().is_err(), "{bad}");
        }
    }
}
