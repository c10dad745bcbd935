//! UploadPart: one part of an upload, stored in an extent of its own.

use std::sync::Arc;

use access::{Action, Permit};
use bytes::BytesMut;
use digest::Hasher;
use store::{Batch, BlobRef, Guard, PartitionId, RowVersion, StoreError, Want};
use types::{
    Body, BucketDeed, ChecksumAlgorithm, ChecksumKind, ChecksumValue, ETag, ObjectKey, Timestamp,
    UploadId,
    limits::{PART_NUMBER_MAX, PUT_BYTES_MAX},
};

use crate::{
    Error, Objects, Result,
    body_in::Claims,
    bucket::{TRIES_MAX, deed_for, partition_of},
    pins::Fresh,
    records::{Cause, Change, ChangeKind, Effect, PartRecord, UploadRecord},
    rows,
    sweep::Holds,
};

/// Bytes that are gathered before they go to the extent.
const PIECE_BYTES: usize = 256 << 10;

/// A part as it comes in, and what the client says of it.
pub struct PartInput {
    /// The bytes.
    pub body: Box<dyn Body>,
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// A checksum that came in a header.
    pub checksum: Option<ChecksumValue>,
    /// The algorithm of the checksum that will come in the trailer.
    pub trailer: Option<ChecksumAlgorithm>,
}

/// A part that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadedPart {
    /// The MD5 of its bytes.
    pub etag: ETag,
    /// The one that came with it and was verified, or else by the upload's algorithm.
    pub checksum: Option<ChecksumValue>,
    /// When it was stored.
    pub modified: Timestamp,
}

/// Where a part goes.
pub(super) struct Target<'a> {
    pub deed: &'a BucketDeed,
    pub partition: PartitionId,
    pub key: &'a ObjectKey,
    pub upload: UploadId,
    pub number: u16,
    pub row_version: RowVersion,
    pub record: UploadRecord,
}

/// A part's bytes once they are stored and known.
pub(super) struct StoredPart {
    pub extents: Vec<BlobRef>,
    pub size: u64,
    pub md5: [u8; 16],
    pub checksum: Option<ChecksumValue>,
    /// What the client sent and is true.
    pub sent: Option<ChecksumValue>,
    /// Keeps the extents until they are the part's.
    pub fresh: Arc<Fresh>,
}

impl Objects {
    /// Stores a part; one of the same number is replaced.
    ///
    /// # Errors
    /// `NoSuchUpload`; `InvalidArgument` for a number outside 1 to 10,000; `InvalidRequest` for a
    /// checksum of another algorithm than the upload's; `BadDigest`; `TooLarge` above 5 GiB;
    /// `Fenced` when the bucket has got another home since the permit was given.
    pub async fn upload_part(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        upload: UploadId,
        number: u32,
        input: PartInput,
    ) -> Result<UploadedPart> {
        let deed = deed_for(permit, &[Action::PutObject], (key, None))?;
        let target = self.part_target(deed, key, upload, number).await?;
        let claimed = input.checksum.map(|c| c.algorithm()).or(input.trailer);
        check_algorithm(&target.record, claimed)?;
        if let Some(bytes) = input.body.len_hint().filter(|n| *n > PUT_BYTES_MAX) {
            return Err(Error::TooLarge {
                bytes,
                max: PUT_BYTES_MAX,
            });
        }
        let stored = self.store_part(&target.record, claimed, input).await?;
        self.commit_part(&target, stored).await
    }

    /// Checks the number and that the upload is under way.
    pub(super) async fn part_target<'a>(
        &self,
        deed: &'a BucketDeed,
        key: &'a ObjectKey,
        upload: UploadId,
        number: u32,
    ) -> Result<Target<'a>> {
        let number = u16::try_from(number)
            .ok()
            .filter(|n| (1..=PART_NUMBER_MAX).contains(n))
            .ok_or_else(|| {
                Error::InvalidArgument(format!(
                    "Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive"
                ))
            })?;
        // Of a bucket that has got another home there is nothing to say here.
        self.bucket(deed).await?;
        let partition = partition_of(deed);
        let (row, record) = self.read_upload(partition, key, upload).await?;
        Ok(Target {
            deed,
            partition,
            key,
            upload,
            number,
            row_version: row.version,
            record,
        })
    }

    /// Reads a part to its verified end into an extent, computing its digests on the way.
    pub(super) async fn store_part(
        &self,
        upload: &UploadRecord,
        claimed: Option<ChecksumAlgorithm>,
        mut input: PartInput,
    ) -> Result<StoredPart> {
        let mut algorithms = vec![upload.algorithm];
        for claim in claimed.into_iter().chain(input.trailer) {
            if !algorithms.contains(&claim) {
                algorithms.push(claim);
            }
        }
        let mut hasher = Hasher::new(&algorithms, true);
        let (fresh, hint) = (self.pins.fresh(), input.body.len_hint());
        let mut extent = None;
        let mut size = 0;
        let mut gathered = BytesMut::new();
        loop {
            let piece = input.body.next().await.transpose()?;
            let ended = piece.is_none();
            let piece = piece.unwrap_or_default();
            size += piece.len() as u64;
            if size > PUT_BYTES_MAX {
                return Err(Error::TooLarge {
                    bytes: size,
                    max: PUT_BYTES_MAX,
                });
            }
            let whole = if gathered.is_empty() && piece.len() >= PIECE_BYTES {
                piece
            } else {
                gathered.extend_from_slice(&piece);
                if gathered.len() < PIECE_BYTES && !ended {
                    continue;
                }
                gathered.split().freeze()
            };
            if !whole.is_empty() {
                let extent = match &mut extent {
                    Some(extent) => extent,
                    None => extent.insert(self.create_extent(&fresh, hint).await?),
                };
                hasher.feed(whole.clone()).await;
                extent.write(whole).await?;
            }
            if ended {
                break;
            }
        }
        let digests = hasher.finish().await;
        let claims = Claims {
            md5: input.md5,
            checksum: input.checksum,
            trailer: input.trailer,
            trailing: input.body.trailing_checksum(),
        };
        let md5 = claims.check(&digests)?;
        let extents = match extent {
            Some(extent) => vec![extent.finish().await?],
            None => Vec::new(),
        };
        Ok(StoredPart {
            extents,
            size,
            md5,
            checksum: digests.checksum(upload.algorithm),
            sent: claims.checksum.or(claims.trailing),
            fresh,
        })
    }

    /// Makes a stored part visible in place of the one that had its number, if the upload is
    /// still under way and the bucket has its home where it had it; otherwise the stored bytes go.
    pub(super) async fn commit_part(
        &self,
        target: &Target<'_>,
        stored: StoredPart,
    ) -> Result<UploadedPart> {
        let fresh = Arc::clone(&stored.fresh);
        let answer = self.try_commit_part(target, stored).await;
        if answer.is_err() {
            self.give_back(Some(fresh)).await;
        }
        answer
    }

    async fn try_commit_part(
        &self,
        target: &Target<'_>,
        stored: StoredPart,
    ) -> Result<UploadedPart> {
        let index = &*self.engine.index;
        let upload_row = rows::upload(target.key.as_bytes(), target.upload);
        let part_row = rows::part(target.upload, target.number);
        let record = PartRecord {
            modified: self.clock.now(),
            size: stored.size,
            md5: stored.md5,
            checksum: stored.checksum,
            extents: stored.extents,
        };
        let value = record.encode();
        for _ in 0..TRIES_MAX {
            // Parts are handed over to no other home.
            let fence = match types::planted("parts-unfenced") {
                true => Guard::Version(upload_row.clone(), target.row_version),
                false => self.bucket(target.deed).await?.guard(),
            };
            let old = index.get(target.partition, &part_row, Want::Value).await?;
            let mut batch = Batch::new()
                .guard(fence)
                .guard(Guard::Version(upload_row.clone(), target.row_version))
                .put(part_row.clone(), value.clone());
            let mut effect = Effect {
                added: record.size,
                ..Effect::nothing(record.modified, Cause::Client)
            };
            match old {
                None => batch = batch.guard(Guard::Absent(part_row.clone())),
                Some(old) => {
                    batch = batch.guard(Guard::Version(part_row.clone(), old.version));
                    let old = PartRecord::decode(&old.value)?;
                    effect.removed = old.size;
                    for blob in old.extents {
                        batch = batch.put(rows::dead(blob.id), Vec::new());
                    }
                }
            }
            batch = batch.log(Change::of_bucket(ChangeKind::Part, target.key, effect).encode());
            let holds = Holds {
                fresh: Some(Arc::clone(&stored.fresh)),
                moving: None,
            };
            let committed = self.commit_holding(target.partition, batch, holds);
            match committed.await {
                Ok(_) => {
                    return Ok(UploadedPart {
                        etag: ETag::whole(record.md5),
                        checksum: stored.sent.or(record.checksum),
                        modified: record.modified,
                    });
                }
                Err(StoreError::Conflict { index: 0 }) => self.forget_bucket(target.deed),
                Err(StoreError::Conflict { index: 1 }) => return Err(Error::NoSuchUpload),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contention)
    }
}

/// The algorithm of a part must be the upload's, where the client chose one; over parts it must
/// be given with each.
fn check_algorithm(record: &UploadRecord, claimed: Option<ChecksumAlgorithm>) -> Result<()> {
    let fits = match claimed {
        _ if !record.chosen => true,
        Some(claimed) => claimed == record.algorithm,
        None => record.kind == ChecksumKind::FullObject,
    };
    if fits {
        return Ok(());
    }
    Err(mismatch(record.algorithm, claimed))
}

/// A checksum of a part by another algorithm than the upload's, or none.
pub(super) fn mismatch(of: ChecksumAlgorithm, claimed: Option<ChecksumAlgorithm>) -> Error {
    let name = |algorithm: ChecksumAlgorithm| algorithm.name().to_ascii_lowercase();
    Error::InvalidRequest(format!(
        "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
        name(of),
        claimed.map_or_else(|| "null".to_owned(), name)
    ))
}
