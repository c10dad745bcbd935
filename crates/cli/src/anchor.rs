//! Which key a check trusts.

use admin::failure::Failure;
use proof::{Hex, PublicKey, bundle::AnchorKey, bundle::fingerprint};

/// The key that `anchor` names; the one that signed, when there is none. `anchor` is a key or the
/// fingerprint of one, in hex: both have 32 bytes, so it is a key exactly when it is the one that
/// signed.
pub fn trusted(anchor: Option<&str>, signed_by: &PublicKey) -> Result<AnchorKey, Failure> {
    let Some(text) = anchor else {
        return Ok(AnchorKey::Key(*signed_by));
    };
    let text = text.trim().to_ascii_lowercase();
    let hex = text.strip_prefix("sha256:").unwrap_or(&text);
    let named = Hex::parse(hex).ok_or_else(|| {
        Failure::new("--anchor is a public key or its fingerprint, 64 hex digits")
            .hint("`dhow audit verify` prints both, in the region that keeps the registry")
    })?;
    Ok(match named == *signed_by {
        true => AnchorKey::Key(named),
        false => AnchorKey::Fingerprint(named),
    })
}

/// Says loudly that no key was named.
pub fn warn(anchor: Option<&str>, signed_by: &PublicKey) {
    if anchor.is_none() {
        eprintln!(
            "NOT ANCHORED: this trusts the key that came with what is verified, which whoever made \
             that chose.\n\
             \x20 Key          {signed_by}\n\
             \x20 Fingerprint  {}\n\
             \x20 Compare it with what the cloud's operator told you by another way, then name it \
             with --anchor.\n",
            fingerprint(signed_by)
        );
    }
}

/// Whether a file begins as bundles and saved logs do, but for one byte that may be damaged.
pub fn begins_as_document(file: &[u8]) -> bool {
    let differing = file
        .iter()
        .zip(br#"{"v":"#)
        .filter(|(one, other)| one != other);
    !file.is_empty() && differing.count() <= 1
}
