//! PutObject: one version from one body.

use access::{Action, Permit};
use store::Batch;
use types::{
    Body, BucketDeed, ChecksumAlgorithm, ChecksumValue, ETag, ObjectKey, Timestamp,
    limits::OBJECT_TAGS_MAX, limits::PUT_BYTES_MAX,
};

use crate::{
    DisplayVersion, Objects, Result,
    body_in::{INLINE_BYTES_MAX, Intake, TakenBytes},
    bucket::deed_for,
    conditions::WriteConditions,
    judged::judged,
    records::{ObjectAttributes, ObjectBody, RecordView},
    rows, tags,
    versions::NewVersion,
};

/// An object as it comes in, and what the client says of it.
pub struct PutInput {
    /// The bytes.
    pub body: Box<dyn Body>,
    /// Headers, metadata and tags.
    pub attributes: ObjectAttributes,
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// A checksum that came in a header.
    pub checksum: Option<ChecksumValue>,
    /// The algorithm of the checksum that will come in the trailer.
    pub trailer: Option<ChecksumAlgorithm>,
    /// On the current version.
    pub conditions: WriteConditions,
}

/// An object that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutOutcome {
    /// The MD5 of its bytes.
    pub etag: ETag,
    /// The client's checksum, or else CRC64NVME.
    pub checksum: Option<ChecksumValue>,
    /// `None` while versioning was never on.
    pub version: Option<DisplayVersion>,
    /// Bytes.
    pub size: u64,
}

impl Objects {
    /// Stores an object. Nothing is visible before all of it is durable.
    ///
    /// # Errors
    /// `PreconditionFailed`, `NoSuchKey` (If-Match on nothing), `BadDigest`, `TooLarge` above
    /// 5 GiB, `InvalidTag`, `Body`, `Contention`.
    pub async fn put(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        input: PutInput,
    ) -> Result<PutOutcome> {
        Ok(self.put_with(permit, key, input, None).await?.0)
    }

    /// Stores an object with a checksum of `algorithm` where the input names none; also answers
    /// when it was written.
    pub(crate) async fn put_with(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        mut input: PutInput,
        algorithm: Option<ChecksumAlgorithm>,
    ) -> Result<(PutOutcome, Timestamp)> {
        let deed = deed_for(permit, &[Action::PutObject], (key, None))?;
        input.conditions = input.conditions.within(permit);
        tags::check(&input.attributes.tags, OBJECT_TAGS_MAX)?;
        if !judged(deed, &input.conditions) {
            return self.put_if(deed, key, input, algorithm).await;
        }
        let conditions = input.conditions.clone();
        let put = Box::pin(self.put_if(deed, key, input, algorithm));
        self.taken(deed, &conditions, put).await
    }

    async fn put_if(
        &self,
        deed: &BucketDeed,
        key: &ObjectKey,
        input: PutInput,
        algorithm: Option<ChecksumAlgorithm>,
    ) -> Result<(PutOutcome, Timestamp)> {
        let PutInput {
            body,
            attributes,
            md5,
            checksum,
            trailer,
            conditions,
        } = input;
        if !conditions.is_empty() {
            self.foresee(deed, key, &conditions).await?;
        }
        let none = checksum.is_none() && trailer.is_none();
        let taken = self
            .take_in(Intake {
                body,
                md5,
                checksum,
                trailer,
                also: none.then_some(algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme)),
                max: PUT_BYTES_MAX,
                inline_max: INLINE_BYTES_MAX,
            })
            .await?;
        let (body, payload, fresh) = match taken.bytes {
            TakenBytes::Memory(bytes) => (ObjectBody::Inline, Some(bytes), None),
            TakenBytes::Extent(blob, fresh) => (ObjectBody::Extents(vec![blob]), None, Some(fresh)),
        };
        let etag = ETag::whole(taken.md5);
        let checksum = taken.checksums.first().copied();
        let new = NewVersion {
            parts: 0,
            key,
            size: taken.len,
            etag,
            checksum,
            body,
            payload,
            fresh: fresh.clone(),
            attributes,
            conditions: &conditions,
        };
        let written = self.commit_version(deed, new, &Batch::new()).await;
        if written.is_err() {
            self.give_back(fresh).await;
        }
        let written = written?;
        let outcome = PutOutcome {
            etag,
            checksum,
            version: written.version,
            size: taken.len,
        };
        Ok((outcome, written.modified))
    }
}

impl Objects {
    /// Refuses a write whose conditions do not hold now: its body is not worth reading. The commit
    /// decides for good.
    async fn foresee(
        &self,
        deed: &BucketDeed,
        key: &ObjectKey,
        conditions: &WriteConditions,
    ) -> Result<()> {
        let bucket = self.bucket(deed).await?;
        let row_key = rows::current(key.as_bytes());
        let index = &self.engine.index;
        let row = index
            .get(bucket.partition, &row_key, store::Want::Value)
            .await?;
        let view = row.map(|r| RecordView::decode(&r.value)).transpose()?;
        conditions.check(view.as_ref())
    }
}
