//! The cryptography of sealed replicas: what a region that holds a replica without being able to
//! read it gets of a bucket, and how the region that holds the key takes it back. docs/sealing.md
//! draws the keys and says what they protect.
//!
//! Invariants: functions on bytes; no disk, no network, no clock. The same version of the
//! same object is sealed into the same bytes each time, so that a transfer which broke off goes on
//! where it was; for that every nonce is computed from a secret and from what it encrypts, and no
//! key meets two different texts under one nonce.
//!
//! HMAC-SHA-256 derives, AES-256-GCM encrypts, X25519 agrees on the key under which a data key
//! travels; all are `ring`'s.

mod body;
mod data_key;
mod handing;
mod names;

pub use body::{BodySeal, CHUNK_BYTES, SEALED_CHUNK_BYTES, sealed_len};
pub use data_key::{DataKey, WRAPPED_BYTES};
pub use handing::{Asking, HANDED_BYTES};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use zeroize::Zeroizing;

const TAG_BYTES: usize = 16;

/// What was sealed cannot be opened: another key, another place, or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was not sealed under this key for this place, or it was changed")]
pub struct Broken;

/// The key under which a region seals what it hands to others; 32 bytes that never leave it.
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

impl SealingKey {
    /// From its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// What seals one bucket for one region. Another bucket, and another region, get other keys:
    /// what was sealed for one is of no use to the other.
    pub fn of_bucket(&self, bucket: u64, region: &str) -> BucketSeal {
        let place = [b"bucket", &bucket.to_be_bytes()[..], region.as_bytes()];
        let root = derive(&self.0[..], &place);
        BucketSeal {
            tokens: prf(&root[..], "tokens"),
            names: Siv::new(&root[..], "names"),
            wrapping: Siv::new(&root[..], "wrapping"),
            data: prf(&root[..], "data keys"),
            region: region.to_owned(),
            bucket,
        }
    }
}

/// Seals one bucket for one region.
pub struct BucketSeal {
    tokens: hmac::Key,
    names: Siv,
    wrapping: Siv,
    data: hmac::Key,
    region: String,
    bucket: u64,
}

/// Which version of which object something belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// The object's key.
    pub key: &'a str,
    /// The version's own id.
    pub id: [u8; 16],
}

impl BucketSeal {
    /// What binds a text to the bucket, the region and the version.
    fn aad(&self, version: Version<'_>) -> Vec<u8> {
        let bucket = self.bucket.to_be_bytes();
        let parts = [
            &bucket[..],
            self.region.as_bytes(),
            version.key.as_bytes(),
            &version.id,
        ];
        joined(&parts)
    }
}

/// Pieces one after the other, each behind its length: no two lists give the same bytes.
fn joined(pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pieces.iter().map(|p| p.len() + 4).sum());
    for piece in pieces {
        out.extend((piece.len() as u32).to_be_bytes());
        out.extend(*piece);
    }
    out
}

/// SHA-256, by which an older head differs from the one that counts.
pub fn digest(text: &[u8]) -> [u8; 32] {
    let hash = ring::digest::digest(&ring::digest::SHA256, text);
    let mut out = [0; 32];
    out.copy_from_slice(hash.as_ref());
    out
}

fn derive(key: &[u8], pieces: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    tag(&key, &joined(pieces))
}

fn tag(key: &hmac::Key, text: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    let tag = hmac::sign(key, text);
    // HMAC-SHA-256 has 32 bytes.
    for (to, from) in out.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    out
}

fn prf(root: &[u8], purpose: &str) -> hmac::Key {
    let key = derive(root, &[purpose.as_bytes()]);
    hmac::Key::new(hmac::HMAC_SHA256, &key[..])
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    // 32 bytes are what AES-256 takes; `None` cannot happen.
    UnboundKey::new(&AES_256_GCM, key)
        .ok()
        .map(LessSafeKey::new)
}

/// Deterministic encryption: the nonce is a keyed hash of the text and of what it is bound to, so
/// it repeats only with the same text in the same place.
struct Siv {
    nonces: hmac::Key,
    cipher: Option<LessSafeKey>,
}

impl Siv {
    fn new(root: &[u8], purpose: &str) -> Self {
        let key = derive(root, &[purpose.as_bytes(), b"cipher"]);
        Self {
            nonces: prf(root, &format!("{purpose} nonces")),
            cipher: cipher(&key),
        }
    }

    /// Nonce, ciphertext, tag.
    fn seal(&self, aad: &[u8], text: &[u8]) -> Result<Vec<u8>, Broken> {
        let hash = tag(&self.nonces, &joined(&[aad, text]));
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&hash[..NONCE_LEN]);
        let mut out = Vec::with_capacity(NONCE_LEN + text.len() + TAG_BYTES);
        out.extend(text);
        let cipher = self.cipher.as_ref().ok_or(Broken)?;
        let aad = Aad::from(aad);
        cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut out)
            .map_err(|_| Broken)?;
        out.splice(0..0, nonce);
        Ok(out)
    }

    fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Broken> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Broken)?;
        let mut rest = Zeroizing::new(rest.to_vec());
        let cipher = self.cipher.as_ref().ok_or(Broken)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = cipher.open_in_place(nonce, Aad::from(aad), &mut rest);
        let len = opened.map_err(|_| Broken)?.len();
        rest.truncate(len);
        Ok(rest)
    }
}

#[cfg(test)]
mod tests;
