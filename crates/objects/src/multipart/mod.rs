//! Multipart uploads: begun here, filled in `part` and `copy`, completed in `complete`, aborted
//! and listed here.
//!
//! An upload is one row (`m`), each part another (`p`), found by the upload's id. A part is always
//! in an extent of its own, also a small one: completing then moves no byte, it only writes down
//! which extents make the object.
//!
//! Whoever adds a part guards on the upload's row; completing and aborting remove that row, so
//! that no part can be added afterwards. The same commit leaves a row (`t`) that says: the parts
//! still found under this id belong to nobody. It goes when the last of them is gone, so a crash
//! in between leaves nothing unswept.

mod complete;
mod copy;
mod left;
mod part;

pub use complete::{CompleteUpload, CompletedObject, ListedForCompletion};
pub(crate) use copy::SourceBody;
pub use copy::{CopiedPart, PartSource};
pub use left::Uploads;
pub use part::{PartInput, UploadedPart};

use access::{Action, Initiator, Permit};
use bytes::Bytes;
use store::{Batch, Guard, PartitionId, Row, ScanRange, StoreError, Want};
use types::{
    ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, ObjectKey, Timestamp, UploadId,
    limits::{OBJECT_TAGS_MAX, PAGE_KEYS_MAX},
};

use crate::{
    Error, Objects, Result,
    bucket::{TRIES_MAX, deed_for, partition_of},
    listing::{self, Cursor},
    records::{Cause, Change, ChangeKind, Effect, ObjectAttributes, PartRecord, UploadRecord},
    rows, tags,
};

/// How long a completion that has succeeded is answered again.
const REMEMBERED_MS: u64 = 24 * 3600 * 1000;
/// Parts that are freed in one commit.
const SWEEP_BATCH: usize = 500;

/// What an upload will become.
#[derive(Debug, Clone, Default)]
pub struct CreateUpload {
    /// Headers, metadata and tags of the object.
    pub attributes: ObjectAttributes,
    /// The checksum that the client chose, and over what.
    pub checksum: Option<(ChecksumAlgorithm, Option<ChecksumKind>)>,
}

/// An upload that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedUpload {
    /// Names the upload from now on.
    pub upload: UploadId,
    /// The checksum that the object will have, and over what.
    pub checksum: (ChecksumAlgorithm, ChecksumKind),
}

/// A part in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedPart {
    /// 1 to 10,000.
    pub number: u16,
    /// Of this part.
    pub etag: ETag,
    /// Bytes.
    pub size: u64,
    /// When it was uploaded.
    pub modified: Timestamp,
    /// By the upload's algorithm.
    pub checksum: Option<ChecksumValue>,
}

/// A page of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPage {
    /// In order of their numbers.
    pub parts: Vec<ListedPart>,
    /// Whether there are more.
    pub truncated: bool,
    /// The upload's checksum, and over what.
    pub checksum: (ChecksumAlgorithm, ChecksumKind),
}

/// What is remembered of a completed upload; of an aborted one there is nothing to remember.
struct Ended {
    at: Timestamp,
    etag: ETag,
}

impl Ended {
    fn encode(&self) -> Vec<u8> {
        let parts = self.etag.parts.to_be_bytes();
        [&self.at.ms().to_be_bytes()[..], &self.etag.md5, &parts].concat()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (at, rest) = value.split_first_chunk::<8>()?;
        let (md5, parts) = rest.split_first_chunk::<16>()?;
        let etag = ETag {
            md5: *md5,
            parts: u16::from_be_bytes(parts.try_into().ok()?),
        };
        Some(Self {
            at: Timestamp::from_ms(u64::from_be_bytes(*at)),
            etag,
        })
    }
}

/// Decides the checksum of an upload, by the table in "Checking object integrity for data uploads
/// in Amazon S3": CRC64NVME only over the full object, and what is no CRC only over parts, since
/// the values of parts do not make that of the whole.
fn checksum_of(
    chosen: Option<(ChecksumAlgorithm, Option<ChecksumKind>)>,
) -> Result<(ChecksumAlgorithm, ChecksumKind)> {
    use ChecksumAlgorithm as A;
    use ChecksumKind as K;
    let Some((algorithm, kind)) = chosen else {
        return Ok((A::Crc64Nvme, K::FullObject));
    };
    let kind = kind.unwrap_or(match algorithm {
        A::Crc64Nvme => K::FullObject,
        _ => K::Composite,
    });
    let possible = match algorithm {
        A::Crc32 | A::Crc32c => true,
        A::Crc64Nvme => kind == K::FullObject,
        _ => kind == K::Composite,
    };
    match possible {
        true => Ok((algorithm, kind)),
        false => Err(Error::InvalidRequest(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.name(),
            algorithm.name().to_ascii_lowercase()
        ))),
    }
}

impl Objects {
    /// Begins an upload.
    ///
    /// # Errors
    /// `WrongPermit` unless the permit is for `PutObject`; `InvalidRequest` for a checksum that
    /// cannot be over what was asked.
    pub async fn create_upload(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        request: CreateUpload,
    ) -> Result<CreatedUpload> {
        deed_for(permit, &[Action::PutObject], (key, None))?;
        let checksum = checksum_of(request.checksum)?;
        tags::check(&request.attributes.tags, OBJECT_TAGS_MAX)?;
        let initiated = self.clock.now();
        let upload = UploadId::new(initiated, &*self.random);
        let record = UploadRecord {
            initiated,
            attributes: request.attributes,
            algorithm: checksum.0,
            kind: checksum.1,
            chosen: request.checksum.is_some(),
            initiator: permit.identity().initiator(),
        };
        let row = rows::upload(key.as_bytes(), upload);
        let value = Bytes::from(record.encode());
        self.with_bucket(permit, |bucket| {
            Batch::new()
                .guard(bucket.guard())
                .guard(Guard::Absent(row.clone()))
                .put(row.clone(), value.clone())
        })
        .await?;
        Ok(CreatedUpload { upload, checksum })
    }

    /// Ends an upload and frees its parts.
    ///
    /// # Errors
    /// `NoSuchUpload` when it was completed or aborted before; `Fenced` when the bucket has got
    /// another home since the permit was given.
    pub async fn abort_upload(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        upload: UploadId,
    ) -> Result<()> {
        let deed = deed_for(permit, &[Action::AbortMultipartUpload], (key, None))?;
        let partition = partition_of(deed);
        // Of a bucket that has got another home there is nothing to say here.
        self.bucket(deed).await?;
        let row_key = rows::upload(key.as_bytes(), upload);
        let (row, _) = self.read_upload(partition, key, upload).await?;
        let aborted = self.in_bucket(deed, |bucket| {
            Batch::new()
                .guard(bucket.guard())
                .guard(Guard::Version(row_key.clone(), row.version))
                .delete(row_key.clone())
                .put(rows::finished_upload(upload), Vec::new())
                .frees()
        });
        match aborted.await {
            Ok(_) => {}
            Err(Error::Store(StoreError::Conflict { .. })) => return Err(Error::NoSuchUpload),
            Err(error) => return Err(error),
        }
        self.sweep_upload_or_later(partition, upload).await;
        Ok(())
    }

    /// Lists the parts of an upload behind the number `after`, at most `limit`.
    ///
    /// # Errors
    /// `NoSuchUpload`; `WrongPermit` unless the permit is for `ListMultipartUploadParts`.
    pub async fn list_parts(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        upload: UploadId,
        after: u16,
        limit: usize,
    ) -> Result<PartPage> {
        let action = Action::ListMultipartUploadParts;
        let partition = partition_of(deed_for(permit, &[action], (key, None))?);
        let (_, record) = self.read_upload(partition, key, upload).await?;
        let limit = limit.min(PAGE_KEYS_MAX);
        let mut page = PartPage {
            parts: Vec::new(),
            truncated: false,
            checksum: (record.algorithm, record.kind),
        };
        if limit == 0 {
            return Ok(page);
        }
        let all = ScanRange::prefix(&rows::parts(upload));
        let range = ScanRange::new(listing::after(&rows::part(upload, after)), all.end);
        let mut found = self.engine.index.scan(partition, range, limit + 1).await?;
        page.truncated = found.len() > limit;
        found.truncate(limit);
        for (row_key, row) in found {
            let part = PartRecord::decode(&row.value)?;
            page.parts.push(ListedPart {
                number: rows::part_number(&row_key)?,
                etag: ETag::whole(part.md5),
                size: part.size,
                modified: part.modified,
                checksum: part.checksum,
            });
        }
        Ok(page)
    }

    /// Who began an upload, where that is known.
    ///
    /// # Errors
    /// `NoSuchUpload`; `WrongPermit` unless the permit is for `ListMultipartUploadParts`.
    pub async fn initiator_of(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        upload: UploadId,
    ) -> Result<Option<Initiator>> {
        let action = Action::ListMultipartUploadParts;
        let partition = partition_of(deed_for(permit, &[action], (key, None))?);
        let (_, record) = self.read_upload(partition, key, upload).await?;
        Ok(record.initiator)
    }

    /// The row of an upload that is under way.
    async fn read_upload(
        &self,
        partition: PartitionId,
        key: &ObjectKey,
        upload: UploadId,
    ) -> Result<(Row, UploadRecord)> {
        let row_key = rows::upload(key.as_bytes(), upload);
        let row = self
            .engine
            .index
            .get(partition, &row_key, Want::Value)
            .await?;
        let row = row.ok_or(Error::NoSuchUpload)?;
        let record = UploadRecord::decode(&row.value)?;
        Ok((row, record))
    }

    /// Sweeps what a finished upload left; a failure only postpones it to the next sweep.
    async fn sweep_upload_or_later(&self, partition: PartitionId, upload: UploadId) {
        if let Err(error) = self.sweep_upload(partition, upload).await {
            tracing::warn!(%error, %upload, "the parts of a finished upload stay until the next sweep");
        }
    }

    /// Frees every part still found under a finished upload, then removes the upload's row, that of
    /// a completed one after a day.
    pub(crate) async fn sweep_upload(
        &self,
        partition: PartitionId,
        upload: UploadId,
    ) -> Result<()> {
        let row_key = rows::finished_upload(upload);
        let index = &self.engine.index;
        let row = index.get(partition, &row_key, Want::Value).await?;
        if let Some(row) = row {
            self.sweep_ended(partition, upload, &row).await?;
        }
        self.dirty.upload_swept(partition, upload);
        Ok(())
    }

    /// Whether a completion that succeeded is still answered again.
    fn is_remembered(&self, ended: &Row) -> bool {
        let now = self.clock.now().ms();
        let ended = Ended::decode(&ended.value);
        ended.is_some_and(|ended| now < ended.at.ms().saturating_add(REMEMBERED_MS))
    }

    async fn sweep_ended(
        &self,
        partition: PartitionId,
        upload: UploadId,
        ended: &Row,
    ) -> Result<()> {
        let remembered = self.is_remembered(ended);
        let index = &self.engine.index;
        loop {
            let range = ScanRange::prefix(&rows::parts(upload));
            let found = index.scan(partition, range, SWEEP_BATCH).await?;
            let mut batch = Batch::new().frees();
            let last = found.len() < SWEEP_BATCH;
            let mut effect = Effect::nothing(self.clock.now(), Cause::Upkeep);
            for (row_key, row) in found {
                let part = PartRecord::decode(&row.value)?;
                effect.removed = effect.removed.saturating_add(part.size);
                for blob in part.extents {
                    batch = batch.put(rows::dead(blob.id), Vec::new());
                }
                batch = batch.delete(row_key);
            }
            if !batch.deletes.is_empty() {
                batch = batch.log(Change::of_bucket(ChangeKind::PartsGone, "", effect).encode());
            }
            if last && !remembered {
                batch = batch.delete(rows::finished_upload(upload));
            }
            if !batch.deletes.is_empty() {
                self.commit(partition, batch).await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Sweeps what finished uploads left when a crash or a failure came between.
    pub(crate) async fn sweep_all_uploads(&self, partition: PartitionId) -> Result<()> {
        let range = ScanRange::prefix(rows::FINISHED_UPLOAD);
        let mut cursor = Cursor::new(&*self.engine.index, partition, range, SWEEP_BATCH);
        while let Some((row_key, row)) = cursor.next().await? {
            let upload = rows::finished_upload_id(&row_key)?;
            self.sweep_ended(partition, upload, &row).await?;
        }
        Ok(())
    }

    /// Removes the rows of completions that are no longer answered. Uploads sort by when they
    /// began, and none ended before that: those that began within the last day need not be looked
    /// at.
    pub(crate) async fn sweep_old_uploads(&self, partition: PartitionId) -> Result<()> {
        let old = self.clock.now().ms().saturating_sub(REMEMBERED_MS);
        let end = [rows::FINISHED_UPLOAD, &old.to_be_bytes()].concat();
        let range = ScanRange::new(rows::FINISHED_UPLOAD, Some(end.into()));
        let mut cursor = Cursor::new(&*self.engine.index, partition, range, SWEEP_BATCH);
        while let Some((row_key, row)) = cursor.next().await? {
            if !self.is_remembered(&row) {
                let upload = rows::finished_upload_id(&row_key)?;
                self.sweep_ended(partition, upload, &row).await?;
            }
        }
        Ok(())
    }
}
