//! Signatures of chunks and trailers ("Signature calculations for the authorization header:
//! transferring payload in multiple chunks").

use subtle::ConstantTimeEq;

use super::hash::{EMPTY_SHA256, HmacKey, hex64, sha256, text};

/// Length of a signature, in hex digits.
pub const SIGNATURE_HEX: usize = 64;

/// A chunk or a trailer as its body brings it, for whoever has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkLink {
    /// Whether it is the trailer.
    pub trailer: bool,
    /// The digest of the data, or of the trailer in its canonical form.
    pub sha256: [u8; 32],
    /// The signature that came with it, in hex digits.
    pub signature: [u8; SIGNATURE_HEX],
}

impl ChunkLink {
    /// Of a trailer in canonical form; `None` where the signature is none by its form.
    pub fn of_trailer(trailer: &[u8], signature: &[u8]) -> Option<Self> {
        Some(Self {
            trailer: true,
            sha256: sha256(trailer),
            signature: signature.try_into().ok()?,
        })
    }
}

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
        self.sign_trailer_of(&sha256(trailer))
    }

    fn sign_trailer_of(&mut self, sha256: &[u8; 32]) -> &str {
        let digest = hex64(sha256);
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

    /// Whether these come next, in this order.
    #[must_use]
    pub fn verify_links(&mut self, links: &[ChunkLink]) -> bool {
        links.iter().all(|link| {
            let signed = match link.trailer {
                true => self.sign_trailer_of(&link.sha256),
                false => self.sign_chunk(&link.sha256),
            };
            signed.as_bytes().ct_eq(&link.signature[..]).into()
        })
    }
}
