//! Reading where the replica is sealed: with a lease from the home.

use std::sync::Arc;

use bytes::Bytes;
use seal::{BodySeal, DataKey, sealed_len};
use tokio::time::Instant;
use types::{BucketDeed, ObjectKey, VersionId, deed::BoxFuture};

use super::{Chunks, HEAD, KEY, broken, bytes, chunks::Renewal, place};
use crate::{
    DisplayVersion, Error, GetRequest, ObjectContent, ObjectView, Objects, Result, Shipped,
    ShippedChange,
    bucket::{Bucket, partition_of},
    get::{Frame, info},
    records::{ManifestPart, ObjectBody, ObjectRecord, encode_manifest},
    sealed::source::Current,
    versions::Stored,
};

/// What the home says of a key.
pub type Named = Current;

/// The key of one version, for a while.
#[derive(Debug)]
pub struct Lease {
    /// Opens the version.
    pub key: DataKey,
    /// Until then.
    pub until: Instant,
}

impl Lease {
    /// Whether another one is needed.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// Asks the home of a bucket for leases.
pub trait Leases: Send + Sync + 'static {
    /// The version of a key that counts at the home; asked anew with `fresh`, else perhaps
    /// remembered for as long as a lease lasts.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`; `NoLease` when the home does not answer or does not want to.
    fn current<'a>(
        &'a self,
        deed: &'a Arc<BucketDeed>,
        key: &'a ObjectKey,
        version: Option<DisplayVersion>,
        fresh: bool,
    ) -> BoxFuture<'a, Result<Arc<Named>>>;

    /// The key of a version, which is stored here wrapped.
    ///
    /// # Errors
    /// As of [`Leases::current`]; `SealBroken`.
    fn unwrap<'a>(
        &'a self,
        deed: &'a Arc<BucketDeed>,
        key: &'a ObjectKey,
        version: VersionId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Arc<Lease>>>;
}

/// A sealed version, opened but for its bytes.
struct Opened {
    bucket: Arc<Bucket>,
    stored: Stored,
    wrapped: Vec<u8>,
    lease: Arc<Lease>,
    body: BodySeal,
    shipped: Shipped,
}

impl Objects {
    /// How leases are asked for. Without, nothing that is stored here sealed can be read. To be
    /// called once.
    pub fn lease_from(&self, leases: Arc<dyn Leases>) {
        // The first one counts.
        let _ = self.leases.set(leases);
    }

    pub(crate) async fn read_sealed(
        &self,
        deed: &Arc<BucketDeed>,
        key: &ObjectKey,
        request: &GetRequest,
        content: bool,
    ) -> Result<ObjectView> {
        let leases = self.leases.get().ok_or_else(|| {
            Error::NoLease("this region does not know how to ask for leases".to_owned())
        })?;
        let opened = self.open_sealed(leases, deed, key, request.version).await?;
        let record = record(&opened.shipped)?;
        let (bucket, stored) = (Arc::clone(&opened.bucket), &opened.stored);
        let manifest = manifest(&opened.shipped);
        let bytes_wanted = content;
        let frame = Frame::of(&bucket, &record, manifest.as_ref(), request, bytes_wanted)?;
        let position = stored.row.version.0;
        let (start, end) = frame.range.unwrap_or((0, record.size));
        let content = match content {
            false => None,
            true => {
                let renewal = Renewal {
                    leases: Arc::clone(leases),
                    deed: Arc::clone(deed),
                    key: key.clone(),
                    version: record.version,
                    wrapped: opened.wrapped,
                    lease: opened.lease,
                };
                let bytes = (start, end, sealed_len(record.size));
                let opening = Chunks::opening(opened.body, start, end, renewal);
                Some(
                    self.sealed_content(&opened.bucket, opened.stored, bytes, opening)
                        .await?,
                )
            }
        };
        Ok(ObjectView {
            info: info(&bucket, record, frame.version, position),
            range: frame.range,
            content,
            part_checksum: frame.part_checksum,
        })
    }

    async fn sealed_content(
        &self,
        bucket: &Bucket,
        stored: Stored,
        (start, end, sealed): (u64, u64, u64),
        opening: Chunks,
    ) -> Result<ObjectContent> {
        if start >= end {
            return Ok(ObjectContent::Bytes(Bytes::new()));
        }
        let from = Chunks::sealed_start(start);
        if stored.record.size != sealed {
            return Err(Error::SealBroken);
        }
        let reader = self.read_stored(bucket, stored, from).await?;
        Ok(ObjectContent::Reader(reader.through(opening)))
    }

    /// Finds the version that the home names, and opens its head. What the home remembered for us
    /// may be outdated: it is asked again before anything is refused.
    async fn open_sealed(
        &self,
        leases: &Arc<dyn Leases>,
        deed: &Arc<BucketDeed>,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
    ) -> Result<Opened> {
        let mut behind = None;
        for fresh in [false, true] {
            let named = leases.current(deed, key, version, fresh).await?;
            match self.open_named(leases, deed, key, &named).await? {
                Ok(opened) => return Ok(opened),
                Err(why) => behind = Some(why),
            }
        }
        Err(Error::NoLease(behind.unwrap_or_default().to_owned()))
    }

    /// In the inner `Err`: why what is stored here is not what was named.
    async fn open_named(
        &self,
        leases: &Arc<dyn Leases>,
        deed: &Arc<BucketDeed>,
        key: &ObjectKey,
        named: &Named,
    ) -> Result<std::result::Result<Opened, &'static str>> {
        let bucket = self.readable_bucket(deed).await?;
        let token = ObjectKey::new(&named.token)?;
        let found = self
            .find_version(partition_of(deed), &token, named.version)
            .await?;
        let Some(stored) = found else {
            return Ok(Err(
                "the sealed replica does not have the version that counts yet",
            ));
        };
        let attributes = &stored.record.attributes;
        let wrapped = bytes(attributes, KEY)?;
        let lease = leases.unwrap(deed, key, named.version, &wrapped).await?;
        let place = place(deed.id, &self.region, &token, named.version);
        let head = lease.key.open_head(&place, &bytes(attributes, HEAD)?);
        let head = head.map_err(broken)?;
        if seal::digest(&head) != named.head {
            return Ok(Err(
                "the sealed replica has an older head of the version that counts",
            ));
        }
        let ShippedChange::Version(shipped) = ShippedChange::decode(&head)? else {
            return Err(Error::SealBroken);
        };
        if shipped.key != *key || shipped.version != named.version {
            return Err(Error::SealBroken);
        }
        let body = lease.key.body(&place, shipped.size).map_err(broken)?;
        Ok(Ok(Opened {
            bucket,
            stored,
            wrapped,
            lease,
            body,
            shipped: *shipped,
        }))
    }
}

/// The version as its home has it on record, but for where its bytes are.
fn record(shipped: &Shipped) -> Result<ObjectRecord> {
    let parts = u16::try_from(shipped.parts.len()).map_err(|_| Error::SealBroken)?;
    Ok(ObjectRecord {
        version: shipped.version,
        null: shipped.null,
        delete_marker: shipped.delete_marker,
        modified: shipped.modified,
        size: shipped.size,
        etag: shipped.etag,
        checksum: shipped.checksum,
        body: match parts {
            0 => ObjectBody::None,
            parts => ObjectBody::Parts(parts),
        },
        attributes: shipped.attributes.clone(),
    })
}

/// The table of its parts, as part-number reads want it.
fn manifest(shipped: &Shipped) -> Option<Bytes> {
    let part = |p: &crate::ShippedPart| ManifestPart {
        number: p.number,
        size: p.size,
        md5: p.md5,
        checksum: p.checksum,
        extents: Vec::new(),
    };
    let parts: Vec<_> = shipped.parts.iter().map(part).collect();
    (!parts.is_empty()).then(|| encode_manifest(&parts).into())
}
