//! Signatures of chunks and trailers ("Signature calculations for the authorization header:
//! transferring payload in multiple chunks").

use subtle::ConstantTimeEq;

use super::hash::{EMPTY_SHA256, HmacKey, hex64, sha256_hex, text};

/// Length of a signature, in hex digits.
pub const SIGNATURE_HEX: usize = 64;

/// Verifies a body's chunks in their order: each signature covers the one before.
#[derive(Clone)]
pub struct ChunkVerifier {
    key: HmacKey,
    /// Time and scope, each with its line feed.
    context: String,
    previous: String,
}

impl std::fmt::Debug for ChunkVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkVerifier(…)")
    }
}

impl ChunkVerifier {
    /// Continues from the signature of the request's head.
    pub fn new(key: HmacKey, stamp: &str, scope: &str, seed_signature: &str) -> Self {
        Self {
            key,
            context: [stamp, "\n", scope, "\n"].concat(),
            previous: seed_signature.to_owned(),
        }
    }

    /// The signature of the next chunk, whose data has this SHA-256; the chain goes on from it.
    pub fn sign_chunk(&mut self, sha256: &[u8; 32]) -> &str {
        let digest = hex64(sha256);
        let tail = ["\n", EMPTY_SHA256, "\n", text(&digest)].concat();
        self.sign("AWS4-HMAC-SHA256-PAYLOAD\n", &tail)
    }

    /// The signature of the trailer in canonical form (`name:value` and a line feed each).
    pub fn sign_trailer(&mut self, trailer: &[u8]) -> &str {
        let digest = sha256_hex(trailer);
        let tail = ["\n", text(&digest)].concat();
        self.sign("AWS4-HMAC-SHA256-TRAILER\n", &tail)
    }

    fn sign(&mut self, kind: &str, tail: &str) -> &str {
        let to_sign = [kind, &self.context, &self.previous, tail].concat();
        let signature = hex64(&self.key.sign(to_sign.as_bytes()));
        self.previous.clear();
        self.previous.push_str(text(&signature));
        &self.previous
    }

    /// Whether this is the signature of the next chunk.
    #[must_use]
    pub fn verify_chunk(&mut self, sha256: &[u8; 32], signature: &[u8]) -> bool {
        self.sign_chunk(sha256).as_bytes().ct_eq(signature).into()
    }

    /// Whether this is the trailer's signature.
    #[must_use]
    pub fn verify_trailer(&mut self, trailer: &[u8], signature: &[u8]) -> bool {
        self.sign_trailer(trailer)
            .as_bytes()
            .ct_eq(signature)
            .into()
    }
}
