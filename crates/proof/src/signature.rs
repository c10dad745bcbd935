//! Ed25519 (RFC 8032): who signs, and how it is checked.

use ring::signature::{ED25519, UnparsedPublicKey};

/// Somebody who holds an Ed25519 private key. The key itself never enters this crate.
pub trait Signer {
    /// The public half, 32 bytes as in RFC 8032.
    fn public_key(&self) -> [u8; 32];
    /// Signs the message itself (not a hash of it).
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// Whether `signature` is that of `public` on `message`. `false` also for bytes that are no key.
pub fn verify_signature(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message, signature)
        .is_ok()
}
