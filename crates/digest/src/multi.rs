//! MD5 of one body after another.

use bytes::Bytes;
use md5::{Digest as _, Md5};

/// One running MD5.
pub struct Md5Stream(Md5);

impl Md5Stream {
    /// Of no bytes yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(Md5::new())
    }
    /// Takes bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    /// Takes a piece in.
    pub async fn feed(&mut self, bytes: Bytes) {
        self.0.update(&bytes);
    }
    /// The digest.
    pub async fn finish(self) -> [u8; 16] {
        self.finish_now()
    }
    /// The digest.
    pub fn finish_now(self) -> [u8; 16] {
        self.0.finalize().into()
    }
}

/// The MD5 of bytes in memory.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}
