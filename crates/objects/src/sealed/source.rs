//! The home: sealing what it hands to a region that may not read it.

use access::{Action, Permit};
use base64::{Engine, engine::general_purpose::STANDARD};
use seal::{BucketSeal, DataKey, Version, sealed_len};
use store::{StoreError, Want};
use types::{BucketDeed, ChecksumValue, ETag, ObjectKey, RegionId, VersionId};

use super::{Chunks, HEAD, KEY, NAME, broken, place};
use crate::{
    Configuration, DisplayVersion, Error, ObjectAttributes, ObjectReader, Objects, Result, Shipped,
    ShippedChange, bucket::deed, replicate::ship,
};

/// Seals a bucket for one region.
pub struct Sealer<'a> {
    /// The keys.
    pub seal: &'a BucketSeal,
    /// The bucket.
    pub deed: &'a BucketDeed,
    /// The region that may not read it.
    pub region: &'a RegionId,
}

/// What distinguishes the content of a version from any other: its data key is made from this too.
fn content(shipped: &Shipped) -> Vec<u8> {
    let mut out = shipped.size.to_be_bytes().to_vec();
    out.extend(shipped.etag.md5);
    out.extend(shipped.etag.parts.to_be_bytes());
    out.push(u8::from(shipped.delete_marker));
    let checksum = shipped.checksum.as_ref();
    out.extend(checksum.map(ChecksumValue::bytes).unwrap_or_default());
    out
}

/// All that is known of a version beside its bytes.
fn head(shipped: &Shipped) -> Vec<u8> {
    let head = Shipped {
        inline: None,
        ..shipped.clone()
    };
    ShippedChange::Version(Box::new(head)).encode()
}

impl Sealer<'_> {
    fn version<'a>(key: &'a ObjectKey, id: VersionId) -> Version<'a> {
        Version {
            key,
            id: *id.bytes(),
        }
    }

    /// A change as the region gets it.
    pub fn change(&self, change: ShippedChange) -> Result<ShippedChange> {
        Ok(match change {
            ShippedChange::Version(shipped) => {
                ShippedChange::Version(Box::new(self.shipped(&shipped)?))
            }
            ShippedChange::Attributes { .. } => return Err(Error::WrongPermit),
            ShippedChange::Removed { key, version, null } => ShippedChange::Removed {
                key: self.token(&key)?,
                version,
                null,
            },
            // It must know whether versions are kept; tags and rules are the customer's.
            ShippedChange::Config(config) => ShippedChange::Config(Box::new(Configuration {
                versioning: config.versioning,
                ..Configuration::default()
            })),
        })
    }

    fn token(&self, key: &ObjectKey) -> Result<ObjectKey> {
        Ok(ObjectKey::new(&self.seal.token(key))?)
    }

    fn data_key(&self, shipped: &Shipped) -> DataKey {
        let version = Self::version(&shipped.key, shipped.version);
        self.seal.data_key(version, &content(shipped))
    }

    fn place(&self, token: &str, version: VersionId) -> Vec<u8> {
        place(self.deed.id, self.region, token, version)
    }

    fn shipped(&self, shipped: &Shipped) -> Result<Shipped> {
        let token = self.token(&shipped.key)?;
        let key = self.data_key(shipped);
        let place = self.place(&token, shipped.version);
        let version = Self::version(&shipped.key, shipped.version);
        let wrapped = self.seal.wrap(version, &key).map_err(broken)?;
        let sealed_head = key.seal_head(&place, &head(shipped)).map_err(broken)?;
        let name = self.seal.seal_name(&shipped.key).map_err(broken)?;
        let inline = match &shipped.inline {
            None => None,
            Some(bytes) => {
                let body = key.body(&place, shipped.size).map_err(broken)?;
                let mut out = Vec::with_capacity(bytes.len() + 32);
                let chunks = bytes.chunks(seal::CHUNK_BYTES as usize);
                for (index, chunk) in chunks.enumerate() {
                    let mut chunk = chunk.to_vec();
                    body.seal(index as u64, &mut chunk).map_err(broken)?;
                    out.extend(chunk);
                }
                Some(out.into())
            }
        };
        let metadata = [
            (NAME, name),
            (KEY, STANDARD.encode(wrapped)),
            (HEAD, STANDARD.encode(sealed_head)),
        ];
        Ok(Shipped {
            key: token,
            version: shipped.version,
            null: shipped.null,
            delete_marker: shipped.delete_marker,
            modified: shipped.version.at(),
            size: sealed_len(shipped.size),
            // Of parts, so that nobody takes it for the MD5 of the bytes.
            etag: ETag {
                md5: key.mask(&content(shipped)),
                parts: 1,
            },
            checksum: None,
            attributes: ObjectAttributes {
                metadata: metadata.map(|(n, v)| (n.to_owned(), v)).into(),
                ..ObjectAttributes::default()
            },
            parts: Vec::new(),
            inline,
        })
    }

    /// The key that a sealed name hides.
    pub fn key(&self, name: &str) -> Result<ObjectKey> {
        let opened = self.seal.open_name(name).map_err(broken)?;
        Ok(ObjectKey::new(&opened)?)
    }
}

/// What a lease is about: the version that counts now, and what its head is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// What replaces the key where the replica is sealed.
    pub token: String,
    /// The version's own id.
    pub version: VersionId,
    /// SHA-256 of its head, so that an older one is found out.
    pub head: [u8; 32],
}

impl Objects {
    /// The sealed bytes of a version from `offset` of them on.
    ///
    /// # Errors
    /// As of [`Objects::ship_body`].
    pub async fn ship_sealed_body(
        &self,
        permit: &Permit,
        sealer: &Sealer<'_>,
        key: &ObjectKey,
        version: VersionId,
        offset: u64,
    ) -> Result<ObjectReader> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let bucket = self.load_bucket(deed).await?;
        let found = self.find_version(bucket.partition, key, version).await?;
        let stored = found.ok_or(Error::NoSuchVersion)?;
        let size = stored.record.size;
        let sealed = sealed_len(size);
        if offset > sealed {
            return Err(Error::InvalidRange { size: sealed });
        }
        let start = Chunks::plain_start(offset).min(size);
        let row = (stored.row_key.clone(), stored.row.clone());
        let shipped = ship(key.clone(), crate::versions::Stored::new(row.0, row.1)?)?;
        let data_key = sealer.data_key(&shipped);
        let token = sealer.token(key)?;
        let place = sealer.place(&token, version);
        let body = data_key.body(&place, size).map_err(broken)?;
        let reader = match self.read_stored(&bucket, stored, start).await {
            Err(Error::Store(StoreError::NoBlob(_))) => return Err(Error::NoSuchVersion),
            other => other?,
        };
        let reader = reader.through(Chunks::sealing(body, offset, sealed));
        Ok(self.noted(deed, reader))
    }

    /// The version of a key that counts at the home now, or the one that is named.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`.
    pub async fn sealed_current(
        &self,
        permit: &Permit,
        sealer: &Sealer<'_>,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
    ) -> Result<Current> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let bucket = self.readable_bucket(deed).await?;
        let stored = self
            .read_version_as(&bucket, key, version, Want::Payload)
            .await?;
        let shipped = ship(key.clone(), stored)?;
        Ok(Current {
            token: sealer.seal.token(key),
            version: shipped.version,
            head: seal::digest(&head(&shipped)),
        })
    }

    /// Unwraps the data key of a version that is still here.
    ///
    /// # Errors
    /// `NoSuchVersion`; `SealBroken` when it was not wrapped for this version.
    pub async fn unwrap_key(
        &self,
        permit: &Permit,
        sealer: &Sealer<'_>,
        key: &ObjectKey,
        version: VersionId,
        wrapped: &[u8],
    ) -> Result<DataKey> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let partition = crate::bucket::partition_of(deed);
        let found = self.find_even_damaged(partition, key, version).await?;
        found.ok_or(Error::NoSuchVersion)?;
        let version = Sealer::version(key, version);
        sealer.seal.unwrap(version, wrapped).map_err(broken)
    }
}
