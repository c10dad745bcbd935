//! Sealed replicas: a region keeps a bucket that it cannot read. docs/sealing.md has the whole.
//!
//! The home seals each version before it leaves: into another version, whose key is a token, whose
//! bytes are ciphertext and whose metadata are the sealed name, head and data key. The other region
//! takes it over by the rules of any other replica. To read it needs a lease from the home, which
//! names the version that counts now and unwraps its key.

mod chunks;
mod kind;
mod read;
mod source;

pub use read::{Lease, Leases, Named};
pub use source::Sealer;

pub(crate) use chunks::Chunks;

use base64::{Engine, engine::general_purpose::STANDARD};
use types::{BucketId, RegionId, VersionId};

use crate::{Error, ObjectAttributes, Result};

/// Names of the metadata that a sealed version has. No customer's: those are in the head.
const NAME: &str = "sealed-name";
const KEY: &str = "sealed-key";
const HEAD: &str = "sealed-head";

/// What head and bytes of a version are bound to, beside the key that only it has.
fn place(bucket: BucketId, region: &RegionId, token: &str, version: VersionId) -> Vec<u8> {
    let bucket = bucket.0.to_be_bytes();
    let lens = [region.len() as u32, token.len() as u32].map(u32::to_be_bytes);
    [
        &b"dhow sealed version 1"[..],
        &bucket,
        &lens[0],
        region.as_bytes(),
        &lens[1],
        token.as_bytes(),
        version.bytes(),
    ]
    .concat()
}

/// One of the pieces that a sealed version carries as metadata.
fn piece<'a>(attributes: &'a ObjectAttributes, name: &str) -> Result<&'a str> {
    let found = attributes.metadata.iter().find(|(n, _)| n == name);
    let (_, value) =
        found.ok_or_else(|| Error::Record(format!("a sealed version without {name}")))?;
    Ok(value)
}

/// What a sealed version is called at its home; `None` when it is not sealed.
pub fn sealed_name(attributes: &ObjectAttributes) -> Option<&str> {
    piece(attributes, NAME).ok()
}

fn bytes(attributes: &ObjectAttributes, name: &str) -> Result<Vec<u8>> {
    let text = piece(attributes, name)?;
    let decoded = STANDARD.decode(text);
    decoded.map_err(|_| Error::Record(format!("a sealed version with a damaged {name}")))
}

fn broken(_: seal::Broken) -> Error {
    Error::SealBroken
}
