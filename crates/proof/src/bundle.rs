//! The residency bundle: everything that an auditor needs to see, without asking anybody, where a
//! bucket is held and that it may be held there.
//!
//! There are two kinds. A [`BucketBundle`] carries the chain of the bucket and that of the regions,
//! both shown to be whole by the map that the checkpoint signs ([`crate::map`]): it is small, and
//! names nobody else. A [`Bundle`] carries the whole audit log, and so the names of all: it was
//! made before there was a map, and is still read.
//!
//! What it proves: that the chain is the one which the trusted key signed, and that regions have
//! *signed* what they hold. A region that makes a false statement about what it holds has signed
//! it, and the signature is evidence against that region; no document can prove that it keeps no
//! copy.
//!
//! ```text
//! file = JSON document (one line)  "\n"  "sha256:"  64 hex digits  "\n"
//! ```
//!
//! The last line is the SHA-256 of every byte before it. It finds damage, to any byte, white space
//! included; it does not stop a forger, who can write it anew. The signatures do.

use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::{
    chain::{Checkpoint, Entry, Head},
    encoding::{Hash, Hex, PublicKey, sha256},
    residency::Digest,
};

mod deeds;
mod finding;
mod judge;
mod of_bucket;

pub use deeds::{DeedDetail, RegionDetail, Replica, Said};
pub use finding::Finding;
pub use judge::{HeldIn, Report, Stands};
pub use of_bucket::{AnyBundle, BUCKET_VERSION, BucketBundle, ChainPart, Seen};

/// The version of bundles of the whole log.
pub const VERSION: u32 = 1;
/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 1 << 30;
/// Most regions, and most digests, that are judged.
pub const REGIONS_MAX: usize = 1000;

const TRAILER_HEAD: &[u8] = b"sha256:";
const TRAILER_BYTES: usize = TRAILER_HEAD.len() + 64 + 1;

/// Who a region is, as the audit chain has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionIdentity {
    /// The region's id.
    pub region: String,
    /// Its jurisdiction: an ISO 3166-1 alpha-2 code.
    pub jurisdiction: String,
    /// Who runs it.
    pub operator: String,
    /// The key that it signs with.
    pub public_key: PublicKey,
}

/// Proof of where a bucket is held. See the module's description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The version of the form: [`VERSION`].
    pub v: u32,
    /// The cloud's name.
    pub cloud: String,
    /// The bucket's name.
    pub bucket: String,
    /// When the bundle was put together, in milliseconds since 1970. Nobody signs this; its signed
    /// times show how fresh a bundle is.
    pub made_at_ms: u64,
    /// The whole audit chain, from entry 0 to the head that the checkpoint signs.
    pub chain: Vec<Entry>,
    /// The signature on the chain's head.
    pub checkpoint: Checkpoint,
    /// Every region that the chain has opened, by id.
    pub regions: Vec<RegionIdentity>,
    /// What regions have signed about the bucket.
    pub digests: Vec<Digest>,
}

/// The key that an auditor trusts to sign checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorKey {
    /// The Ed25519 key of the cloud's first region. When it gets a new one, auditors have to learn
    /// that by a way that they trust: the chain alone does not hand trust on.
    Key(PublicKey),
    /// The fingerprint of the cloud's Ed25519 authority: SHA-256 over its SubjectPublicKeyInfo in
    /// DER (RFC 8410), as `openssl pkey -pubin -outform der | sha256sum` prints it.
    Fingerprint(Hash),
}

impl AnchorKey {
    /// Whether `key` is the trusted one.
    pub fn is(&self, key: &PublicKey) -> bool {
        match self {
            Self::Key(trusted) => trusted == key,
            Self::Fingerprint(trusted) => *trusted == fingerprint(key),
        }
    }
}

/// SHA-256 over the SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 section 4).
pub fn fingerprint(key: &PublicKey) -> Hash {
    // SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING (no unused bits) }
    const HEAD: [u8; 12] = [0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
    let mut info = HEAD.to_vec();
    info.extend_from_slice(&key.0);
    sha256(&info)
}

/// What an auditor knows beforehand, from elsewhere than the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    /// The key that signs checkpoints.
    pub key: AnchorKey,
    /// A head seen earlier, if any: the chain has to pass through it. This is what finds a chain
    /// that was written anew, or cut short, by the holder of the trusted key.
    pub known: Option<Head>,
    /// The same for a bundle of one bucket, which has no other entries to compare.
    pub seen: Option<Seen>,
    /// The checkpoint and all digests have to be signed at this time or later, in milliseconds
    /// since 1970. Without it an old bundle still proves what was the case when it was signed.
    pub fresh_since_ms: Option<u64>,
}

impl TrustAnchor {
    /// Trusts a key, knows of no earlier head, and takes statements of any age.
    pub fn new(key: AnchorKey) -> Self {
        Self {
            key,
            known: None,
            seen: None,
            fresh_since_ms: None,
        }
    }
}

/// Why a file is not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file is larger than any that is read.
    #[error("the file has {0} bytes, {FILE_BYTES_MAX} at most")]
    TooLarge(usize),
    /// The last line is not there or has another form.
    #[error(
        "it is no residency file (`dhow residency prove` makes one), or is damaged: it does not end with its SHA-256"
    )]
    NoTrailer,
    /// The bytes are not those that the last line was made for.
    #[error("the file was changed: its SHA-256 is {found}, its last line says otherwise")]
    Changed {
        /// The SHA-256 of the bytes that are there.
        found: Hash,
    },
    /// The document is not a bundle.
    #[error("the file is not a bundle: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Bundle {
    /// Puts a bundle together. The regions' identities are taken from the chain. `made_at` is
    /// moved up to the latest signed time where a region's clock is ahead. Whether it proves
    /// anything, [`Bundle::verify`] says.
    pub fn assemble(
        cloud: &str,
        bucket: &str,
        made_at: Timestamp,
        chain: Vec<Entry>,
        checkpoint: Checkpoint,
        digests: Vec<Digest>,
    ) -> Self {
        let signed = digests.iter().map(|d| d.at_ms);
        let latest = signed.fold(checkpoint.at_ms, u64::max);
        Self {
            v: VERSION,
            cloud: cloud.to_owned(),
            bucket: bucket.to_owned(),
            made_at_ms: made_at.ms().max(latest),
            regions: deeds::identities(&chain),
            chain,
            checkpoint,
            digests,
        }
    }

    /// Checks everything, offline.
    ///
    /// # Errors
    /// Everything that is wrong. When the chain itself is broken, what would have to be read from
    /// it is not judged.
    pub fn verify(&self, trusted: &TrustAnchor) -> Result<Report, Vec<Finding>> {
        judge::verify(self, trusted)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] when nobody would read the file back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        sealed(serde_json::to_vec(self)?)
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`FileError::Changed`] when any byte is not as it was written; the others for what is no
    /// bundle at all.
    pub fn from_bytes(file: &[u8]) -> Result<Self, FileError> {
        Ok(serde_json::from_slice(opened(file)?)?)
    }
}

/// A document as a file.
fn sealed(mut file: Vec<u8>) -> Result<Vec<u8>, FileError> {
    file.push(b'\n');
    let trailer = trailer(sha256(&file));
    file.extend_from_slice(&trailer);
    if file.len() > FILE_BYTES_MAX {
        return Err(FileError::TooLarge(file.len()));
    }
    Ok(file)
}

/// The document in a file.
fn opened(file: &[u8]) -> Result<&[u8], FileError> {
    if file.len() > FILE_BYTES_MAX {
        return Err(FileError::TooLarge(file.len()));
    }
    let split = file.len().checked_sub(TRAILER_BYTES);
    let split = split.ok_or(FileError::NoTrailer)?;
    let (body, last) = file.split_at(split);
    if !body.ends_with(b"\n") || !last.starts_with(TRAILER_HEAD) {
        return Err(FileError::NoTrailer);
    }
    let found = sha256(body);
    if last != trailer(found) {
        return Err(FileError::Changed { found });
    }
    Ok(body)
}

fn trailer(hash: Hash) -> Vec<u8> {
    let mut line = TRAILER_HEAD.to_vec();
    line.extend_from_slice(Hex::to_string(&hash).as_bytes());
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
