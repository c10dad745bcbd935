//! What a region signs about a bucket: a digest of every version that it holds.
//!
//! ```text
//! leaf    = "dhow residency leaf v1"  bucket  bucket_id  key  version (16 bytes)
//!           delete_marker  size  etag                         (the form of `crate::encoding`)
//! root    = Merkle tree hash of the leaves, in the order of key (bytes), then newest version first
//! message = "dhow residency digest v1" and all fields of the digest but `v` and the signature
//! ```

use serde::{Deserialize, Serialize};
use types::{BucketId, BucketName, RegionId, Timestamp, VersionId};

use crate::{
    encoding::{Encoder, Hash, Hex, PublicKey, Signature},
    merkle::Tree,
    signature::{Signer, verify_signature},
};

/// The version of digests that this code writes, and the only one it reads.
pub const VERSION: u32 = 1;

/// One version of an object, as a region holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The object's key.
    pub key: &'a [u8],
    /// The version.
    pub version: VersionId,
    /// Whether the version is a delete marker.
    pub delete_marker: bool,
    /// Bytes of the object; 0 for a delete marker.
    pub size: u64,
    /// The ETag without quotes; empty for a delete marker.
    pub etag: &'a str,
}

impl Leaf<'_> {
    /// The leaf's binary form, which is what the tree hashes.
    pub fn encode(&self, bucket: &BucketName, bucket_id: BucketId) -> Vec<u8> {
        Encoder::new("dhow residency leaf v1")
            .text(bucket)
            .number(bucket_id.0)
            .bytes(self.key)
            .bytes(self.version.bytes())
            .truth(self.delete_marker)
            .number(self.size)
            .text(self.etag)
            .finish()
    }
}

/// Why a leaf was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Leaves come by key, then newest version first, each once: otherwise two regions that hold
    /// the same would have different roots.
    #[error("a leaf that does not come after the one before it")]
    Order,
    /// More bytes than a `u64` counts.
    #[error("the sizes add up to more than can be counted")]
    Overflow,
}

/// Which region speaks, and under whose law and hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The cloud's name.
    pub cloud: String,
    /// The region.
    pub region: RegionId,
    /// Its jurisdiction: an ISO 3166-1 alpha-2 code.
    pub jurisdiction: String,
    /// Who runs it.
    pub operator: String,
}

/// A region's signed statement of what it holds of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digest {
    /// The version of the form: [`VERSION`].
    pub v: u32,
    /// The cloud's name.
    pub cloud: String,
    /// The region that speaks.
    pub region: String,
    /// Its jurisdiction: an ISO 3166-1 alpha-2 code.
    pub jurisdiction: String,
    /// Who runs it.
    pub operator: String,
    /// The bucket's name.
    pub bucket: String,
    /// The bucket's own number.
    pub bucket_id: u64,
    /// The epoch of the bucket's deed, as the region knew it.
    pub epoch: u64,
    /// The position in the home region's change log up to which the region has applied changes:
    /// digests of one position must agree. 0 when it is not at one position: the bucket was changed
    /// while it was counted, or is not placed there.
    pub position: u64,
    /// How many versions it holds, delete markers included.
    pub count: u64,
    /// The bytes of those versions.
    pub bytes: u64,
    /// The root of the Merkle tree over them.
    pub root: Hash,
    /// When it was signed, in milliseconds since 1970.
    pub at_ms: u64,
    /// The key that the region signed with.
    pub public_key: PublicKey,
    /// The signature over all fields above.
    pub signature: Signature,
}

impl Digest {
    /// Whether the signature is that of the key which the digest names. Whose key that is, the
    /// caller has to know.
    pub fn verify(&self) -> bool {
        let message = self.message();
        self.v == VERSION && verify_signature(&self.public_key.0, &message, &self.signature.0)
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        Encoder::new("dhow residency digest v1")
            .text(&self.cloud)
            .text(&self.region)
            .text(&self.jurisdiction)
            .text(&self.operator)
            .text(&self.bucket)
            .number(self.bucket_id)
            .number(self.epoch)
            .number(self.position)
            .number(self.count)
            .number(self.bytes)
            .bytes(&self.root.0)
            .number(self.at_ms)
            .bytes(&self.public_key.0)
            .finish()
    }
}

/// Makes a digest from the versions of a bucket, one by one. Memory: 64 hashes and one key.
#[derive(Debug)]
pub struct DigestBuilder {
    bucket: BucketName,
    bucket_id: BucketId,
    tree: Tree,
    bytes: u64,
    last: Option<(Vec<u8>, VersionId)>,
}

impl DigestBuilder {
    /// For the bucket of that name and number.
    pub fn new(bucket: BucketName, bucket_id: BucketId) -> Self {
        Self {
            bucket,
            bucket_id,
            tree: Tree::new(),
            bytes: 0,
            last: None,
        }
    }

    /// Takes the next version: by key, then newest first, each once.
    ///
    /// # Errors
    /// [`LeafError`]; the digest is then as it was.
    pub fn push(&mut self, leaf: &Leaf<'_>) -> Result<(), LeafError> {
        if let Some((key, version)) = &self.last {
            let last = (key.as_slice(), version.newest_first());
            if (leaf.key, leaf.version.newest_first()) <= last {
                return Err(LeafError::Order);
            }
        }
        self.bytes = self
            .bytes
            .checked_add(leaf.size)
            .ok_or(LeafError::Overflow)?;
        self.tree.push(&leaf.encode(&self.bucket, self.bucket_id));
        let (mut key, _) = self.last.take().unwrap_or((Vec::new(), leaf.version));
        key.clear();
        key.extend_from_slice(leaf.key);
        self.last = Some((key, leaf.version));
        Ok(())
    }

    /// Signs what was pushed. `position` is the position in the home region's change log that it
    /// reflects, `epoch` the epoch of the deed.
    pub fn finish(
        self,
        signer: &dyn Signer,
        holder: &Holder,
        epoch: u64,
        position: u64,
        at: Timestamp,
    ) -> Digest {
        let mut digest = Digest {
            v: VERSION,
            cloud: holder.cloud.clone(),
            region: holder.region.to_string(),
            jurisdiction: holder.jurisdiction.clone(),
            operator: holder.operator.clone(),
            bucket: self.bucket.to_string(),
            bucket_id: self.bucket_id.0,
            epoch,
            position,
            count: self.tree.count(),
            bytes: self.bytes,
            root: self.tree.root(),
            at_ms: at.ms(),
            public_key: Hex(signer.public_key()),
            signature: Signature::ZERO,
        };
        digest.signature = Hex(signer.sign(&digest.message()));
        digest
    }
}

#[cfg(test)]
mod tests;
