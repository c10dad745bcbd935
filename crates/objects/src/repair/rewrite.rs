//! Giving a damaged version its bytes back.

use std::sync::Arc;

use access::{Action, Permit};
use bytes::Bytes;
use store::{Batch, BlobId, BlobRef, Guard, PartitionId, Want};
use types::{ChecksumKind, ChecksumValue, ObjectKey, VersionId};

use super::{DamagedVersion, find::Payload};
use crate::{
    Error, Objects, Result, Shipped, ShippedPart,
    bucket::{TRIES_MAX, deed},
    pins::Fresh,
    records::{ManifestPart, ObjectBody, ObjectRecord, decode_manifest, encode_manifest},
    replicate::{BodySource, Resuming},
    rows,
    versions::{Landed, Stored},
};

/// What came of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// The version has its bytes again.
    Done,
    /// It went, or has other bytes or extents by now: nothing was to be done.
    Changed,
    /// What the other region has under the version's name is not the same; says in what.
    Other(&'static str),
}

/// What takes the place of the damaged bytes.
struct Patch {
    body: ObjectBody,
    payload: Option<Bytes>,
    /// Keeps the new extents, to which nothing refers yet.
    fresh: Option<Arc<Fresh>>,
    /// Those that nothing refers to afterwards.
    dead: Vec<BlobId>,
}

impl Objects {
    /// Writes anew what is damaged on disk but still in memory here; `None` when it is not.
    ///
    /// # Errors
    /// As of [`Objects::mend`].
    pub async fn repair_from_memory(
        &self,
        permit: &Permit,
        damaged: &DamagedVersion,
    ) -> Result<Option<Repaired>> {
        if damaged.payload.is_none() || !damaged.extents.is_empty() {
            return Ok(None);
        }
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let bucket = self.receiving(deed).await?;
        let (partition, key) = (bucket.partition, &damaged.key);
        let found = self.place_of(partition, key, damaged.version).await?;
        let Some(stored) = found else {
            return Ok(Some(Repaired::Changed));
        };
        let Payload::Whole(bytes) = self.payload(partition, &stored.row_key).await? else {
            return Ok(None);
        };
        if !is_payload_of(&stored.record, &bytes) {
            return Ok(None);
        }
        let patch = Patch {
            body: stored.record.body.clone(),
            payload: Some(bytes),
            fresh: None,
            dead: Vec::new(),
        };
        self.put_patch(permit, damaged, &stored, &patch)
            .await
            .map(Some)
    }

    /// Fetches the bytes of a damaged version, which another region has as `source`, and puts them
    /// in the place of what is damaged: in one commit, once they are durable and were compared with
    /// what the row here says. `still` is asked again before the commit.
    ///
    /// # Errors
    /// `BadDigest` and `Body` when the bytes are not the version's or do not come; failures of the
    /// engine; what `still` answers. Then nothing has changed.
    pub async fn repair_version(
        &self,
        permit: &Permit,
        damaged: &DamagedVersion,
        source: &Shipped,
        bodies: &dyn BodySource,
        still: &(dyn Fn() -> Result<Permit> + Sync),
    ) -> Result<Repaired> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let bucket = self.receiving(deed).await?;
        let (partition, key) = (bucket.partition, &damaged.key);
        let found = self.place_of(partition, key, damaged.version).await?;
        let Some(mut stored) = found else {
            return Ok(Repaired::Changed);
        };
        if let Some(what) = difference(&stored.record, key, source) {
            return Ok(Repaired::Other(what));
        }
        if let Payload::Whole(bytes) = self.payload(partition, &stored.row_key).await? {
            stored.row.payload = Some(bytes);
        }
        let patch = match self.patch(damaged, &stored, source, bodies).await? {
            Ok(patch) => patch,
            Err(instead) => return Ok(instead),
        };
        let put = match still() {
            Ok(permit) => self.put_patch(&permit, damaged, &stored, &patch).await,
            Err(error) => Err(error),
        };
        if !matches!(put, Ok(Repaired::Done)) {
            self.give_back(patch.fresh).await;
        }
        put
    }

    /// In the inner `Err`: why there is nothing to be put.
    async fn patch(
        &self,
        damaged: &DamagedVersion,
        stored: &Stored,
        source: &Shipped,
        bodies: &dyn BodySource,
    ) -> Result<std::result::Result<Patch, Repaired>> {
        let record = &stored.record;
        let hit = |extents: &[BlobRef]| extents.iter().any(|b| damaged.extents.contains(&b.id));
        let dead = match &record.body {
            ObjectBody::None => return Ok(Err(Repaired::Changed)),
            ObjectBody::Inline if damaged.payload.is_none() => return Ok(Err(Repaired::Changed)),
            ObjectBody::Inline => Vec::new(),
            ObjectBody::Extents(extents) if !hit(extents) => return Ok(Err(Repaired::Changed)),
            ObjectBody::Extents(extents) => extents.iter().map(|b| b.id).collect(),
            ObjectBody::Parts(_) => {
                let table = stored.row.payload.as_deref().map(decode_manifest);
                if let Some(Ok(parts)) = table {
                    return self.patch_parts(damaged, parts, source, bodies).await;
                }
                if !is_table_of(record, &source.parts) {
                    return Ok(Err(Repaired::Other("its table of parts")));
                }
                // Nobody knows the old ones: they are orphans, which the sweep finds.
                Vec::new()
            }
        };
        let landing = self.fetch(source, bodies).await?;
        Ok(Ok(Patch {
            body: landing.body,
            payload: landing.payload,
            fresh: Some(landing.fresh),
            dead,
        }))
    }

    /// Only the parts that are damaged are fetched.
    async fn patch_parts(
        &self,
        damaged: &DamagedVersion,
        mut parts: Vec<ManifestPart>,
        source: &Shipped,
        bodies: &dyn BodySource,
    ) -> Result<std::result::Result<Patch, Repaired>> {
        let shipped = |part: &ManifestPart| ShippedPart {
            number: part.number,
            size: part.size,
            md5: part.md5,
            checksum: part.checksum,
        };
        if !parts.iter().map(shipped).eq(source.parts.iter().cloned()) {
            return Ok(Err(Repaired::Other("its table of parts")));
        }
        let fresh = self.pins.fresh();
        let mut dead = Vec::new();
        let fetched = async {
            let mut end = 0;
            for part in &mut parts {
                let start = end;
                end += part.size;
                if !part.extents.iter().any(|b| damaged.extents.contains(&b.id)) {
                    continue;
                }
                let mut stream = Resuming::from(bodies, source, start);
                let extents = self
                    .fetch_part(&mut stream, &shipped(part), end, &fresh)
                    .await?;
                dead.extend(part.extents.iter().map(|b| b.id));
                part.extents = extents;
            }
            Ok(())
        };
        if let Err(error) = fetched.await {
            self.give_back(Some(fresh)).await;
            return Err(error);
        }
        // A table that was damaged and can be read after all is written anew.
        if dead.is_empty() && damaged.payload.is_none() {
            return Ok(Err(Repaired::Changed));
        }
        let count = u16::try_from(parts.len())
            .map_err(|_| Error::Record("an object of too many parts".to_owned()))?;
        Ok(Ok(Patch {
            body: ObjectBody::Parts(count),
            payload: Some(encode_manifest(&parts).into()),
            fresh: Some(fresh),
            dead,
        }))
    }

    /// The one commit. `read` is the version as it was when the patch was made: one that moved or
    /// got other tags since then is the same, one with other bytes is left alone.
    async fn put_patch(
        &self,
        permit: &Permit,
        damaged: &DamagedVersion,
        read: &Stored,
        patch: &Patch,
    ) -> Result<Repaired> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        for _ in 0..TRIES_MAX {
            let bucket = self.receiving(deed).await?;
            let (partition, key) = (bucket.partition, &damaged.key);
            let _lock = self.locks.lock(partition, key.as_bytes()).await;
            let found = self.place_of(partition, key, damaged.version).await?;
            let Some(now) = found else {
                return Ok(Repaired::Changed);
            };
            if now.record.body != read.record.body {
                return Ok(Repaired::Changed);
            }
            if now.row.version != read.row.version
                && matches!(now.record.body, ObjectBody::Parts(_))
                && self.payload(partition, &now.row_key).await? != beside(read)
            {
                return Ok(Repaired::Changed);
            }
            let value = ObjectRecord {
                body: patch.body.clone(),
                ..now.record
            }
            .encode();
            let mut batch = Batch::new()
                .guard(bucket.guard())
                .guard(Guard::Version(now.row_key.clone(), now.row.version));
            batch = match &patch.payload {
                Some(payload) => batch.put_with(now.row_key, value, payload.clone()),
                None => batch.put(now.row_key, value),
            };
            for id in &patch.dead {
                batch = batch.put(rows::dead(*id), Bytes::new());
            }
            let fresh = patch.fresh.clone();
            let extra = Batch::new();
            let landed = self.land_with(deed, &bucket, batch, &extra, fresh);
            if let Landed::Yes = landed.await? {
                return Ok(Repaired::Done);
            }
        }
        Err(Error::Contention)
    }

    /// The row of a version, without what is stored beside it, which may be damaged. As
    /// [`Objects::find_version`].
    async fn place_of(
        &self,
        partition: PartitionId,
        key: &ObjectKey,
        version: VersionId,
    ) -> Result<Option<Stored>> {
        let index = &self.engine.index;
        let current = rows::current(key.as_bytes());
        let older = rows::older(key.as_bytes(), version);
        for row_key in [&current, &older, &current] {
            if let Some(row) = index.get(partition, row_key, Want::Value).await? {
                let stored = Stored::new(row_key.clone(), row)?;
                if stored.record.version == version {
                    return Ok(Some(stored));
                }
            }
        }
        Ok(None)
    }
}

fn beside(read: &Stored) -> Payload {
    match &read.row.payload {
        Some(bytes) => Payload::Whole(bytes.clone()),
        None => Payload::Damaged,
    }
}

/// Whether `bytes`, which the engine verified, are what is stored beside such a row.
fn is_payload_of(record: &ObjectRecord, bytes: &Bytes) -> bool {
    match record.body {
        ObjectBody::Inline => {
            let md5 = record.etag.parts > 0 || digest::md5(bytes) == record.etag.md5;
            md5 && bytes.len() as u64 == record.size
        }
        ObjectBody::Parts(_) => decode_manifest(bytes).is_ok(),
        ObjectBody::None | ObjectBody::Extents(_) => false,
    }
}

/// In what the version of the other region is another one than the one here; `None` when their
/// bytes are the same by all that both say of them.
fn difference(record: &ObjectRecord, key: &ObjectKey, source: &Shipped) -> Option<&'static str> {
    let differs = [
        (source.key != *key, "its key"),
        (source.version != record.version, "its version id"),
        (source.delete_marker != record.delete_marker, "its kind"),
        (source.size != record.size, "its size"),
        (source.etag != record.etag, "its ETag"),
        (source.checksum != record.checksum, "its checksum"),
    ];
    differs.iter().find(|(is, _)| *is).map(|(_, what)| *what)
}

/// Whether an object with this ETag, size and checksum can be of these parts: the ETag and the
/// checksum are made from theirs.
fn is_table_of(record: &ObjectRecord, parts: &[ShippedPart]) -> bool {
    let md5s: Vec<u8> = parts.iter().flat_map(|part| part.md5).collect();
    let size = parts.iter().map(|part| part.size).sum::<u64>();
    parts.len() == usize::from(record.etag.parts)
        && size == record.size
        && digest::md5(&md5s) == record.etag.md5
        && record
            .checksum
            .is_none_or(|whole| is_checksum_of(whole, parts))
}

fn is_checksum_of(whole: ChecksumValue, parts: &[ShippedPart]) -> bool {
    let algorithm = whole.algorithm();
    let one = |part: &ShippedPart| {
        let checksum = part.checksum.filter(|c| c.algorithm() == algorithm);
        checksum.map(|checksum| (checksum, part.size))
    };
    let values: Option<Vec<(ChecksumValue, u64)>> = parts.iter().map(one).collect();
    values.is_some_and(|values| match whole.kind() {
        ChecksumKind::FullObject => digest::combine(algorithm, &values) == Some(whole),
        ChecksumKind::Composite => {
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|(c, _)| c.bytes().to_vec())
                .collect();
            let count = parts.len() as u16; // as many as the ETag says
            digest::checksum(algorithm, &bytes).composite(count) == whole
        }
    })
}
