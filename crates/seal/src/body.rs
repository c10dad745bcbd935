//! The bytes of a version: chunks of 64 KiB, each sealed by itself, so that a range can be read
//! and a transfer can go on where it broke off. A chunk is bound to its place in the version and
//! to the length of the whole: none can be moved, dropped or added.

use ring::aead::{LessSafeKey, NONCE_LEN};

use crate::{
    Broken, DataKey, TAG_BYTES,
    data_key::{open_chunk, seal_chunk},
    joined,
};

/// Bytes of a chunk before it is sealed; the last one has fewer.
pub const CHUNK_BYTES: u64 = 64 << 10;
/// Bytes of a sealed chunk.
pub const SEALED_CHUNK_BYTES: u64 = CHUNK_BYTES + TAG_BYTES as u64;

/// How long `len` bytes are when they are sealed.
pub fn sealed_len(len: u64) -> u64 {
    len.saturating_add(len.div_ceil(CHUNK_BYTES).saturating_mul(TAG_BYTES as u64))
}

/// Seals and opens the chunks of one version.
pub struct BodySeal {
    cipher: LessSafeKey,
    aad: Vec<u8>,
    len: u64,
}

impl DataKey {
    /// For the bytes of the version, of which there are `len`; `place` is what they are bound to.
    pub fn body(&self, place: &[u8], len: u64) -> Result<BodySeal, Broken> {
        Ok(BodySeal {
            cipher: self.body_cipher().ok_or(Broken)?,
            aad: joined(&[b"body", place, &len.to_be_bytes()]),
            len,
        })
    }
}

impl BodySeal {
    /// How many bytes chunk `index` has before it is sealed; 0 behind the end.
    pub fn chunk_len(&self, index: u64) -> u64 {
        let start = index.saturating_mul(CHUNK_BYTES);
        self.len.saturating_sub(start).min(CHUNK_BYTES)
    }

    fn nonce(index: u64) -> [u8; NONCE_LEN] {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&index.to_be_bytes());
        nonce
    }

    /// Seals chunk `index`, which must be whole.
    pub fn seal(&self, index: u64, chunk: &mut Vec<u8>) -> Result<(), Broken> {
        match chunk.len() as u64 == self.chunk_len(index) {
            true => seal_chunk(&self.cipher, Self::nonce(index), &self.aad, chunk),
            false => Err(Broken),
        }
    }

    /// Opens chunk `index`.
    pub fn open(&self, index: u64, chunk: &mut Vec<u8>) -> Result<(), Broken> {
        match chunk.len() as u64 == self.chunk_len(index) + TAG_BYTES as u64 {
            true => open_chunk(&self.cipher, Self::nonce(index), &self.aad, chunk),
            false => Err(Broken),
        }
    }
}
