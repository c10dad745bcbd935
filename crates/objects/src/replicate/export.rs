//! The source: its log, all its versions, and their bytes.

use std::time::Duration;

use access::{Action, Permit};
use bytes::Bytes;
use store::{LogPage, PartitionId, Position, Reach, ScanRange, StoreError, Want};
use types::{BucketDeed, ETag, ObjectKey, VersionId};

use crate::{
    Change, ChangeKind, Error, ObjectReader, Objects, Own, Result, Shipped, ShippedChange,
    ShippedPart,
    bucket::{Bucket, deed, partition_of},
    listing::after,
    records::{BucketState, ObjectBody, RecordView, decode_manifest},
    rows,
    versions::{Stored, missing_payload},
};

/// Changes of a bucket in the order of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// Each with its position. One whose version is gone meanwhile is left out: a later entry says
    /// why.
    pub changes: Vec<(Position, ShippedChange)>,
    /// Where to go on.
    pub next: Position,
    /// The log no longer reaches back so far: the follower needs a snapshot.
    pub reseed: bool,
    /// And the follower has read what this log never gave, or does not have any more: it may have
    /// what is nowhere else, and hands that over first.
    pub ahead: bool,
}

/// Versions of a bucket in the order of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPage {
    /// The versions.
    pub versions: Vec<Shipped>,
    /// Where to go on; `None` at the end.
    pub next: Option<Bytes>,
}

/// What names a version.
pub type VersionName = (ObjectKey, VersionId);

/// A version as digests count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// The key.
    pub key: ObjectKey,
    /// The version's own id.
    pub version: VersionId,
    /// Whether it is a delete marker.
    pub delete_marker: bool,
    /// Bytes of content.
    pub size: u64,
    /// The entity tag.
    pub etag: ETag,
}

impl Objects {
    /// Changes after `after`, at most about `limit`, and about `bytes_max` bytes of small objects.
    /// Entries of one commit stay together.
    pub async fn changes(
        &self,
        permit: &Permit,
        from: Position,
        limit: usize,
        bytes_max: usize,
    ) -> Result<ChangePage> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        self.log_page(deed, from, limit, bytes_max, None).await
    }

    /// Whether the bucket's log gave that position, and has all up to there, as far as it reaches
    /// back.
    pub async fn has_given(&self, permit: &Permit, position: Position) -> Result<bool> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let reach = self.engine.log.reach(partition_of(deed), position).await?;
        Ok(reach != Reach::NeverGiven)
    }

    /// A page of the log: all of it, or only what clients changed here at a replica.
    pub(crate) async fn log_page(
        &self,
        deed: &BucketDeed,
        from: Position,
        limit: usize,
        bytes_max: usize,
        own: Option<Own>,
    ) -> Result<ChangePage> {
        let partition = partition_of(deed);
        let page = self.engine.log.read(partition, from, limit).await;
        // Asked after the reading: what was recycled during it counts too.
        let reach = self.engine.log.reach(partition, from).await?;
        if reach != Reach::Here {
            return Ok(ChangePage {
                changes: Vec::new(),
                next: from,
                reseed: true,
                ahead: reach == Reach::NeverGiven,
            });
        }
        // Where damage hides entries the log does not reach back, which was answered above.
        self.look_up(deed, from, page?, bytes_max, own).await
    }

    async fn look_up(
        &self,
        deed: &BucketDeed,
        from: Position,
        page: LogPage,
        bytes_max: usize,
        own: Option<Own>,
    ) -> Result<ChangePage> {
        let partition = partition_of(deed);
        let wanted = |change: &Change| match (own, change.own) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(Own::Present), Some(epoch)) => epoch == deed.epoch,
            (Some(Own::Former), Some(epoch)) => epoch < deed.epoch,
        };
        let mut changes = Vec::with_capacity(page.entries.len());
        let (mut bytes, mut last) = (0, from);
        for entry in page.entries {
            if bytes >= bytes_max && entry.position != last {
                return Ok(ChangePage {
                    changes,
                    next: last,
                    reseed: false,
                    ahead: false,
                });
            }
            last = entry.position;
            let change = Change::decode(&entry.entry)?;
            if !wanted(&change) {
                continue;
            }
            let shipped = match change.kind {
                ChangeKind::Put | ChangeKind::Marker | ChangeKind::Tags => {
                    let key = ObjectKey::new(&change.key)?;
                    let found = self.find_version(partition, &key, change.version).await?;
                    match (found, own.is_some() && change.kind == ChangeKind::Tags) {
                        (None, _) => None,
                        (Some(stored), false) => {
                            Some(ShippedChange::Version(Box::new(ship(key, stored)?)))
                        }
                        (Some(stored), true) => Some(ShippedChange::Attributes {
                            key,
                            version: change.version,
                            attributes: Box::new(stored.record.attributes),
                        }),
                    }
                }
                ChangeKind::Delete => Some(self.removal(deed, &change).await?),
                ChangeKind::Config => Some(self.config(deed).await?),
                ChangeKind::Pruned
                | ChangeKind::Part
                | ChangeKind::PartsGone
                | ChangeKind::Discarded => None,
            };
            if let Some(ShippedChange::Version(shipped)) = &shipped {
                bytes += shipped.travels();
            }
            changes.extend(shipped.map(|shipped| (entry.position, shipped)));
        }
        Ok(ChangePage {
            changes,
            next: page.next,
            reseed: false,
            ahead: false,
        })
    }

    /// A removal as it travels. A null version that was made after it and is below it stays: the
    /// clock here was set back between the two.
    async fn removal(&self, deed: &BucketDeed, change: &Change) -> Result<ShippedChange> {
        let key = ObjectKey::new(&change.key)?;
        let null = change.null && {
            let bucket = self.load_bucket(deed).await?;
            !self.has_older_null(&bucket, &key, change).await?
        };
        Ok(ShippedChange::Removed {
            key,
            version: change.version,
            null,
        })
    }

    /// The bucket's configuration as it travels.
    async fn config(&self, deed: &BucketDeed) -> Result<ShippedChange> {
        let bucket = self.load_bucket(deed).await?;
        let mut config = bucket.record.configuration();
        config.documents = self.shipped_documents(bucket.partition).await?;
        Ok(ShippedChange::Config(Box::new(config)))
    }

    /// Waits until something was committed in the bucket after `after`, at most `wait`; answers the
    /// last commit that it knows of, from which on to wait next time. The log may have none of it.
    pub async fn changed(
        &self,
        permit: &Permit,
        after: Position,
        wait: Duration,
    ) -> Result<Position> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let mut watch = self.dirty.watch(partition_of(deed));
        // No change in time is no error.
        let _ = tokio::time::timeout(wait, watch.wait_for(|at| *at > after.0)).await;
        let last = *watch.borrow();
        Ok(Position(last).max(after))
    }

    /// How many changes the bucket's log has after `after`, and the keys of the first few; `None`
    /// when the log does not reach back so far.
    pub async fn behind(
        &self,
        deed: &BucketDeed,
        after: Position,
        keys_max: usize,
    ) -> Result<Option<(u64, Vec<String>)>> {
        let partition = partition_of(deed);
        let (mut at, mut count, mut keys) = (after, 0, Vec::new());
        loop {
            let page = self.engine.log.read(partition, at, 10_000).await;
            if self.engine.log.reach(partition, after).await? != Reach::Here {
                return Ok(None);
            }
            let page = page?;
            for entry in &page.entries {
                let change = Change::decode(&entry.entry)?;
                if !change.is_shipped() {
                    continue;
                }
                count += 1;
                if keys.len() < keys_max {
                    let key = change.key;
                    if !key.is_empty() && !keys.contains(&key) {
                        keys.push(key);
                    }
                }
            }
            if page.next == at {
                return Ok(Some((count, keys)));
            }
            at = page.next;
        }
    }

    /// How many versions the bucket has here, and their bytes: counted row by row.
    pub async fn usage(&self, deed: &BucketDeed) -> Result<(u64, u64)> {
        let (mut versions, mut bytes, mut from) = (0, 0u64, None);
        loop {
            let (found, next) = self.version_rows(partition_of(deed), from, 1000).await?;
            for (_, row) in &found {
                versions += 1;
                bytes = bytes.saturating_add(RecordView::decode(&row.value)?.size);
            }
            match next {
                Some(next) => from = Some(next),
                None => return Ok((versions, bytes)),
            }
        }
    }

    /// The position to note before a snapshot: following the log from there misses nothing that
    /// the snapshot has not.
    pub async fn head_position(&self, permit: &Permit) -> Result<(Position, ShippedChange)> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let at = self.log_end(partition_of(deed));
        Ok((at, self.config(deed).await?))
    }

    /// A position of this region's log that covers all that was committed in the bucket before this
    /// was asked, and little else: a replica that follows the bucket reaches it soon. Reads
    /// nothing.
    pub fn written_up_to(&self, deed: &BucketDeed) -> Position {
        let partition = partition_of(deed);
        self.dirty.last(partition, || self.log_end(partition))
    }

    /// Where this region's log of the bucket ends, or a position after that: all that is in the
    /// bucket now came before. Reads nothing.
    pub fn log_end_of(&self, deed: &BucketDeed) -> Position {
        self.log_end(partition_of(deed))
    }

    /// Where the partition's log ends, or a position after that. Reads nothing.
    pub(crate) fn log_end(&self, partition: PartitionId) -> Position {
        self.engine.log.end(partition)
    }

    /// Versions from the row `from` on: all current ones, then all older ones.
    pub async fn snapshot(
        &self,
        permit: &Permit,
        from: Option<Bytes>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<SnapshotPage> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let partition = partition_of(deed);
        let (found, next) = self.version_rows(partition, from, limit).await?;
        let (mut versions, mut bytes) = (Vec::with_capacity(found.len()), 0);
        for (row_key, row) in found {
            if bytes >= bytes_max {
                return Ok(SnapshotPage {
                    versions,
                    next: Some(row_key),
                });
            }
            let key = key_of(&row_key)?;
            let version = RecordView::decode(&row.value)?.version;
            // It may be gone, or have moved to where the log will show it again.
            if let Some(stored) = self.find_version(partition, &key, version).await? {
                let shipped = ship(key, stored)?;
                bytes += shipped.travels();
                versions.push(shipped);
            }
        }
        Ok(SnapshotPage { versions, next })
    }

    /// Rows of versions from `from` on, and where to go on.
    async fn version_rows(
        &self,
        partition: PartitionId,
        from: Option<Bytes>,
        limit: usize,
    ) -> Result<(Vec<(Bytes, store::Row)>, Option<Bytes>)> {
        let start = from.unwrap_or_else(|| Bytes::from_static(rows::CURRENT));
        if !start.starts_with(rows::CURRENT) && !start.starts_with(rows::OLDER) {
            return Err(Error::InvalidArgument("not the place of a version".into()));
        }
        let current = start.starts_with(rows::CURRENT);
        let kind = if current { rows::CURRENT } else { rows::OLDER };
        let range = ScanRange::new(start, ScanRange::prefix(kind).end);
        let found = self.engine.index.scan(partition, range, limit).await?;
        let next = match found.last() {
            Some((last, _)) if found.len() == limit => Some(after(last)),
            _ if current => Some(Bytes::from_static(rows::OLDER)),
            _ => None,
        };
        Ok((found, next))
    }

    /// Every version from the row `from` on, as digests count it, and where to go on.
    pub async fn census(
        &self,
        permit: &Permit,
        from: Option<Bytes>,
        limit: usize,
    ) -> Result<(Vec<Census>, Option<Bytes>)> {
        let deed = deed(permit, &[Action::ReplicateFrom, Action::ReplicateInto])?;
        let (found, next) = self.version_rows(partition_of(deed), from, limit).await?;
        let one = |(row_key, row): (Bytes, store::Row)| {
            let view = RecordView::decode(&row.value)?;
            Ok(Census {
                key: key_of(&row_key)?,
                version: view.version,
                delete_marker: view.delete_marker,
                size: view.size,
                etag: view.etag,
            })
        };
        let all: Result<Vec<_>> = found.into_iter().map(one).collect();
        Ok((all?, next))
    }

    /// Which of `versions` are not here.
    pub async fn lacking(
        &self,
        permit: &Permit,
        versions: Vec<VersionName>,
    ) -> Result<Vec<VersionName>> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let partition = partition_of(deed);
        let mut lacking = Vec::new();
        for (key, version) in versions {
            let found = self.find_even_damaged(partition, &key, version).await?;
            let named = (key, version);
            // One that is set aside comes yet.
            if found.is_none() && !self.has_aside(partition, &named).await? {
                lacking.push(named);
            }
        }
        Ok(lacking)
    }

    /// Of `versions` as another region has them, those whose tags changed here later.
    pub async fn tagged_later(
        &self,
        permit: &Permit,
        versions: impl Iterator<Item = &Shipped> + Send,
    ) -> Result<Vec<VersionName>> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let mut later = Vec::new();
        for there in versions {
            let found = self.find_even_damaged(partition_of(deed), &there.key, there.version);
            let here = found.await?.and_then(|here| here.record.attributes.tagged);
            if here > there.attributes.tagged {
                later.push((there.key.clone(), there.version));
            }
        }
        Ok(later)
    }

    /// One version as it travels; `None` when it is not here.
    pub async fn ship_version(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: VersionId,
    ) -> Result<Option<Shipped>> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let found = self.find_version(partition_of(deed), key, version).await?;
        found.map(|stored| ship(key.clone(), stored)).transpose()
    }

    /// The bytes of a version from `offset` on.
    ///
    /// # Errors
    /// `NoSuchVersion` when it is gone; `InvalidRange` beyond its end.
    pub async fn ship_body(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: VersionId,
        offset: u64,
    ) -> Result<ObjectReader> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let bucket = self.load_bucket(deed).await?;
        let found = self.find_version(bucket.partition, key, version).await?;
        let stored = found.ok_or(Error::NoSuchVersion)?;
        let size = stored.record.size;
        if offset > size {
            return Err(Error::InvalidRange { size });
        }
        match self.read_stored(&bucket, stored, offset).await {
            Err(Error::Store(StoreError::NoBlob(_))) => Err(Error::NoSuchVersion),
            other => other.map(|reader| self.noted(deed, reader)),
        }
    }

    pub(crate) async fn read_stored(
        &self,
        bucket: &Bucket,
        stored: Stored,
        offset: u64,
    ) -> Result<ObjectReader> {
        let size = stored.record.size;
        let row = (&stored.row_key, stored.row.version);
        match &stored.record.body {
            ObjectBody::None => Ok(ObjectReader::of_bytes(&self.engine.blobs, Bytes::new())),
            ObjectBody::Inline => {
                let bytes = stored.row.payload.ok_or_else(missing_payload)?;
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                Ok(ObjectReader::of_bytes(
                    &self.engine.blobs,
                    bytes.slice(from.min(bytes.len())..),
                ))
            }
            ObjectBody::Extents(extents) => self.open(bucket, row, extents, offset, size).await,
            ObjectBody::Parts(_) => {
                let payload = stored.row.payload.as_ref().ok_or_else(missing_payload)?;
                let parts = decode_manifest(payload)?;
                let extents: Vec<_> = parts.into_iter().flat_map(|p| p.extents).collect();
                self.open(bucket, row, &extents, offset, size).await
            }
        }
    }

    /// A version by its own id, wherever it is stored, with its payload.
    pub(crate) async fn find_version(
        &self,
        partition: PartitionId,
        key: &ObjectKey,
        version: VersionId,
    ) -> Result<Option<Stored>> {
        let found = self.find_even_damaged(partition, key, version).await?;
        found.map(Stored::whole).transpose()
    }

    /// The same, whether or not its payload is damaged.
    pub(crate) async fn find_even_damaged(
        &self,
        partition: PartitionId,
        key: &ObjectKey,
        version: VersionId,
    ) -> Result<Option<Stored>> {
        let current = rows::current(key.as_bytes());
        let older = rows::older(key.as_bytes(), version);
        // It may move from one place to the other between the two reads, either way: whoever looks
        // three times meets it.
        for row_key in [&current, &older, &current] {
            let found = self.stored(partition, row_key, Want::Payload).await?;
            if let Some(stored) = found.filter(|stored| stored.record.version == version) {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// Whether the bucket is being deleted: then nothing is handed out or taken over.
    pub(crate) fn is_going(bucket: &Bucket) -> bool {
        bucket.record.state == BucketState::Deleting
    }
}

pub(crate) fn key_of(row_key: &Bytes) -> Result<ObjectKey> {
    let bytes = match row_key.strip_prefix(rows::CURRENT) {
        Some(key) => Bytes::copy_from_slice(key),
        None => rows::older_key(row_key)?,
    };
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Error::Record("a key that is no text".to_owned()))?;
    Ok(ObjectKey::new(text)?)
}

pub(crate) fn ship(key: ObjectKey, stored: Stored) -> Result<Shipped> {
    let record = stored.record;
    let (mut parts, mut inline) = (Vec::new(), None);
    match &record.body {
        ObjectBody::None | ObjectBody::Extents(_) => {}
        ObjectBody::Inline => inline = Some(stored.row.payload.ok_or_else(missing_payload)?),
        ObjectBody::Parts(_) => {
            let payload = stored.row.payload.as_ref().ok_or_else(missing_payload)?;
            let part = |p: crate::records::ManifestPart| ShippedPart {
                number: p.number,
                size: p.size,
                md5: p.md5,
                checksum: p.checksum,
            };
            parts = decode_manifest(payload)?.into_iter().map(part).collect();
        }
    }
    Ok(Shipped {
        key,
        version: record.version,
        null: record.null,
        delete_marker: record.delete_marker,
        modified: record.modified,
        size: record.size,
        etag: record.etag,
        checksum: record.checksum,
        attributes: record.attributes,
        parts,
        inline,
    })
}
