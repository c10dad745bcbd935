//! SHA-256 and HMAC as signatures use them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 of nothing, in hex.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// HMAC-SHA256.
pub fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> [u8; 64] {
    hex64(&Sha256::digest(bytes).into())
}

/// Lower-case hex.
pub(crate) fn hex64(bytes: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    hex::encode_to_slice(bytes, &mut out).expect("64 hex digits for 32 bytes");
    out
}

/// The text of hex digits.
pub(crate) fn text(hex: &[u8; 64]) -> &str {
    std::str::from_utf8(hex).unwrap_or_default()
}

/// The end of the chain secret -> day -> region -> service -> `aws4_request`. Only whoever keeps
/// secrets calls this; a region is given the result.
pub fn signing_key(secret: &str, day: &str, region: &str, service: &str) -> [u8; 32] {
    let first = [b"AWS4", secret.as_bytes()].concat();
    [region, service, "aws4_request"]
        .iter()
        .fold(hmac(&first, day.as_bytes()), |key, step| {
            hmac(&key, step.as_bytes())
        })
}
