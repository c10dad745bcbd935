//! The versions of one key, and the one commit that changes them.
//!
//! The current version is under `c`, all others are under `o`. The current one is newer than all
//! others. Whoever adds, replaces or removes a version reads, decides, and commits with guards on
//! what was read; when a guard does not hold the decision is taken anew.

use std::sync::Arc;

use bytes::Bytes;
use store::{Batch, BlobId, Guard, PartitionId, Row, ScanRange, StoreError, Want};
use types::{BucketDeed, ChecksumValue, ETag, ObjectKey, Timestamp, VersionId};

use crate::{
    DisplayVersion, Error, Objects, Result,
    bucket::{Bucket, TRIES_MAX},
    conditions::WriteConditions,
    listing::Cursor,
    object_lists::check_owner,
    orphans::extents_of,
    own::{ByClient, note_gone},
    pins::Fresh,
    records::{
        Cause, Change, ChangeKind, Effect, Fields, ObjectAttributes, ObjectBody, ObjectRecord,
        RecordView, Versioning,
    },
    repair::is_damage,
    rows,
    sweep::Holds,
};

/// Older versions that are read at a time when one is looked for.
const SEARCH_BATCH: usize = 100;

/// A row of a version, read and understood.
pub(crate) struct Stored {
    pub row_key: Bytes,
    pub row: Row,
    pub record: ObjectRecord,
    /// Why what is stored beside the row is not here, if it is damaged.
    pub damage: Option<StoreError>,
}

impl Stored {
    pub(crate) fn new(row_key: Bytes, row: Row) -> Result<Self> {
        let record = ObjectRecord::decode(&row.value)?;
        Ok(Self {
            row_key,
            row,
            record,
            damage: None,
        })
    }
    /// For those who need what is stored beside the row.
    pub(crate) fn whole(self) -> Result<Self> {
        match self.damage {
            Some(damage) => Err(damage.into()),
            None => Ok(self),
        }
    }
    pub(crate) fn guard(&self) -> Guard {
        Guard::Version(self.row_key.clone(), self.row.version)
    }
    fn has_payload(&self) -> bool {
        matches!(self.record.body, ObjectBody::Inline | ObjectBody::Parts(_))
    }
    /// The extents that die with this version.
    fn extents(&self) -> Result<Vec<BlobId>> {
        if matches!(self.record.body, ObjectBody::Parts(_)) && self.damage.is_some() {
            let id = self.record.version;
            tracing::warn!(version = %id, "the extents of a damaged table of parts are orphans");
            return Ok(Vec::new());
        }
        extents_of(&self.row.value, self.row.payload.as_deref())
    }
    /// Moves the row to another key, with what is stored beside it: damaged bytes cannot move.
    pub(crate) fn moved_to(&self, batch: Batch, row_key: Bytes) -> Result<Batch> {
        if let Some(damage) = &self.damage {
            return Err(damage.clone().into());
        }
        Ok(match &self.row.payload {
            Some(payload) => batch.put_with(row_key, self.row.value.clone(), payload.clone()),
            None => batch.put(row_key, self.row.value.clone()),
        })
    }
}

pub(crate) fn missing_payload() -> Error {
    Error::Record("a record without the payload that it needs".to_owned())
}

/// A version to write.
pub(crate) struct NewVersion<'a> {
    pub key: &'a ObjectKey,
    pub size: u64,
    pub etag: ETag,
    pub checksum: Option<ChecksumValue>,
    /// `ObjectBody::None` makes a delete marker.
    pub body: ObjectBody,
    pub payload: Option<Bytes>,
    /// Bytes of the parts that it is made of, and that are no parts any more.
    pub parts: u64,
    /// The extents of `body`, where this process has just created them.
    pub fresh: Option<Arc<Fresh>>,
    pub attributes: ObjectAttributes,
    pub conditions: &'a WriteConditions,
}

/// A version that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// `None` while versioning was never on.
    pub version: Option<DisplayVersion>,
    pub modified: Timestamp,
}

/// What to do about a decision whose guard did not hold.
pub(crate) enum Landed {
    Yes,
    Again,
}

impl Objects {
    /// Writes a version as the current one, with whatever else is in `extra` (its guards come
    /// last; when one of them does not hold, the answer is `Store(Conflict)` with its place).
    pub(crate) async fn commit_version(
        &self,
        deed: &BucketDeed,
        new: NewVersion<'_>,
        extra: &Batch,
    ) -> Result<Written> {
        let marker = new.body == ObjectBody::None;
        let mut record = ObjectRecord {
            version: VersionId::from_bytes([0; 16]),
            null: false,
            delete_marker: marker,
            modified: Timestamp::from_ms(0),
            size: new.size,
            etag: new.etag,
            checksum: new.checksum,
            body: new.body,
            attributes: new.attributes,
        };
        let current_key = rows::current(new.key.as_bytes());
        let kind = match marker {
            true => ChangeKind::Marker,
            false => ChangeKind::Put,
        };
        for _ in 0..TRIES_MAX {
            let bucket = self.bucket(deed).await?;
            let _lock = self.locks.lock(bucket.partition, new.key.as_bytes()).await;
            self.may_take(deed, new.conditions)?;
            let current = self.read_current(&bucket, &current_key).await?;
            let view = current.as_ref().map(|c| RecordView::decode(&c.row.value));
            new.conditions.check(view.transpose()?.as_ref())?;
            let record_now = current.as_ref().map(|current| &current.record);
            new.conditions.check_state(record_now)?;
            self.check_owners(&bucket, deed, (new.key, new.conditions), &current)
                .await?;
            let floor = current.as_ref().map(|c| c.record.version);
            record.version = self.next_version(deed, floor)?;
            record.modified = record.version.at();
            record.null = bucket.versioning() != Versioning::Enabled;
            let mut batch = Batch::new().guard(bucket.guard());
            batch = match &current {
                None => batch.guard(Guard::Absent(current_key.clone())),
                Some(current) => batch.guard(current.guard()),
            };
            let by = self.by_client(deed);
            let place = (new.key, by.at_replica);
            let way = self.make_way(&bucket, place, current, record.null, batch);
            let (made, removed) = way.await?;
            batch = made;
            batch = match &new.payload {
                Some(payload) => {
                    batch.put_with(current_key.clone(), record.encode(), payload.clone())
                }
                None => batch.put(current_key.clone(), record.encode()),
            };
            batch.frees |= marker;
            let removed = removed.saturating_add(new.parts);
            let effect = Effect::written(record.modified, record.size, removed);
            batch = log(batch, kind, (new.key, &record), Some(by.epoch), effect);
            let written = Written {
                version: (bucket.versioning() != Versioning::Off).then(|| record.display()),
                modified: record.modified,
            };
            let landed = self.land_with(deed, &bucket, batch, extra, new.fresh.clone());
            match landed.await? {
                Landed::Yes => return Ok(written),
                Landed::Again => {}
            }
        }
        Err(Error::Contention)
    }

    /// Where only the bucket's list permits the write: whether the writer owns what goes by it.
    async fn check_owners(
        &self,
        bucket: &Bucket,
        deed: &BucketDeed,
        (key, conditions): (&ObjectKey, &WriteConditions),
        current: &Option<Stored>,
    ) -> Result<()> {
        let (Some(_), Some(current)) = (&conditions.only_over, current) else {
            return Ok(());
        };
        check_owner(conditions, deed, &current.record)?;
        if bucket.versioning() != Versioning::Enabled
            && !current.record.null
            && let Some(old) = self.find_older_null(bucket, key).await?
        {
            check_owner(conditions, deed, &old.record)?;
        }
        Ok(())
    }

    /// The id of a version that is made here now, above `floor`.
    pub(crate) fn next_version(
        &self,
        deed: &BucketDeed,
        floor: Option<VersionId>,
    ) -> Result<VersionId> {
        let next = self.hlc.next(deed.id, &*self.clock, &*self.random, floor);
        next.ok_or(Error::ClockAhead(VersionId::MS_MAX))
    }

    /// Commits what refers to no new extent; says whether a guard did not hold.
    pub(crate) async fn land(
        &self,
        deed: &BucketDeed,
        bucket: &Bucket,
        batch: Batch,
    ) -> Result<Landed> {
        self.land_with(deed, bucket, batch, &Batch::new(), None)
            .await
    }

    /// Commits; says whose guard did not hold.
    pub(crate) async fn land_with(
        &self,
        deed: &BucketDeed,
        bucket: &Bucket,
        mut batch: Batch,
        extra: &Batch,
        fresh: Option<Arc<Fresh>>,
    ) -> Result<Landed> {
        let own = batch.guards.len();
        batch.guards.extend_from_slice(&extra.guards);
        batch.puts.extend_from_slice(&extra.puts);
        batch.deletes.extend_from_slice(&extra.deletes);
        batch.log.extend_from_slice(&extra.log);
        batch.frees |= extra.frees;
        // A row that goes while another comes may have moved: the sweep of orphans must know.
        let moving = match batch.puts.is_empty() || batch.deletes.is_empty() {
            true => None,
            false => Some(self.moves.begin(&batch).await),
        };
        if types::planted("ack-before-commit") {
            let (index, partition) = (self.engine.index.clone(), bucket.partition);
            tokio::spawn(async move { index.commit(partition, batch).await });
            return Ok(Landed::Yes);
        }
        let holds = Holds { fresh, moving };
        let committed = self.commit_holding(bucket.partition, batch, holds).await;
        match committed {
            Ok(_) => Ok(Landed::Yes),
            Err(StoreError::Conflict { index }) if index >= own => {
                Err(StoreError::Conflict { index: index - own }.into())
            }
            Err(StoreError::Conflict { index }) => {
                if index == 0 {
                    self.forget_bucket(deed);
                }
                Ok(Landed::Again)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The current version, with its payload where moving or replacing it will need that.
    pub(crate) async fn read_current(
        &self,
        bucket: &Bucket,
        row_key: &Bytes,
    ) -> Result<Option<Stored>> {
        let moves = bucket.versioning() != Versioning::Off;
        let want = if moves { Want::Payload } else { Want::Value };
        let Some(stored) = self.stored(bucket.partition, row_key, want).await? else {
            return Ok(None);
        };
        // One that is not null moves in any case: it came from a region that keeps versions.
        let needed = matches!(stored.record.body, ObjectBody::Parts(_)) || !stored.record.null;
        match !moves && needed {
            true => self.stored(bucket.partition, row_key, Want::Payload).await,
            false => Ok(Some(stored)),
        }
    }

    /// Reads the row of a version; damage to what is stored beside it does not hide the rest.
    pub(crate) async fn stored(
        &self,
        partition: PartitionId,
        row_key: &Bytes,
        want: Want,
    ) -> Result<Option<Stored>> {
        let damage = match self.row(partition, row_key, want).await {
            Err(error) if want == Want::Payload && is_damage(&error) => error,
            found => {
                let stored = found?.map(|row| Stored::new(row_key.clone(), row));
                return stored.transpose();
            }
        };
        let row = self.row(partition, row_key, Want::Value).await?;
        let stored = row.map(|row| Stored::new(row_key.clone(), row));
        Ok(stored.transpose()?.map(|stored| Stored {
            damage: Some(damage),
            ..stored
        }))
    }

    /// Makes way for a new current version: the old one becomes an older version, or goes if the
    /// new one is null too; a null version among the older ones goes if the new one is null. At a
    /// replica (`own`) what goes is noted.
    async fn make_way(
        &self,
        bucket: &Bucket,
        (key, own): (&ObjectKey, bool),
        current: Option<Stored>,
        null: bool,
        mut batch: Batch,
    ) -> Result<(Batch, u64)> {
        let Some(current) = current else {
            return Ok((batch, 0));
        };
        let noted = |batch, gone: &Stored| match own {
            true => note_gone(batch, key, &gone.record),
            false => batch,
        };
        if null && current.record.null {
            let batch = bury(noted(batch, &current), &current)?;
            return Ok((batch, current.record.size));
        }
        let mut removed = 0;
        if null && let Some(old) = self.find_older_null(bucket, key).await? {
            removed = old.record.size;
            batch = noted(batch, &old);
            batch = bury(batch.guard(old.guard()).delete(old.row_key.clone()), &old)?;
        }
        let older = rows::older(key.as_bytes(), current.record.version);
        Ok((current.moved_to(batch, older)?, removed))
    }

    /// The null version among the older ones, with its payload.
    pub(crate) async fn find_older_null(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
    ) -> Result<Option<Stored>> {
        let range = ScanRange::prefix(&rows::older_prefix(key.as_bytes()));
        let index = &*self.engine.index;
        let mut cursor = Cursor::new(index, bucket.partition, range, SEARCH_BATCH);
        while let Some((row_key, row)) = cursor.next().await? {
            if RecordView::decode(&row.value)?.null {
                return self.with_payload(bucket, Stored::new(row_key, row)?).await;
            }
        }
        Ok(None)
    }

    /// The newest of the older versions, with its payload.
    pub(crate) async fn newest_older(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
    ) -> Result<Option<Stored>> {
        let range = ScanRange::prefix(&rows::older_prefix(key.as_bytes()));
        let index = &self.engine.index;
        for _ in 0..TRIES_MAX {
            let mut found = index.scan(bucket.partition, range.clone(), 1).await?;
            let Some((row_key, row)) = found.pop() else {
                return Ok(None);
            };
            // One that goes between the two reads leaves the place to the next, not to nobody.
            if let Some(stored) = self
                .with_payload(bucket, Stored::new(row_key, row)?)
                .await?
            {
                return Ok(Some(stored));
            }
        }
        Err(Error::Contention)
    }

    async fn with_payload(&self, bucket: &Bucket, stored: Stored) -> Result<Option<Stored>> {
        if !stored.has_payload() {
            return Ok(Some(stored));
        }
        self.stored(bucket.partition, &stored.row_key, Want::Payload)
            .await
    }

    /// Reads one version, or the current one, with its payload.
    pub(crate) async fn read_version(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
    ) -> Result<Stored> {
        self.read_version_as(bucket, key, version, Want::Payload)
            .await
    }

    /// Reads one version, or the current one. With [`Want::Value`] its payload may be missing.
    pub(crate) async fn read_version_as(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        want: Want,
    ) -> Result<Stored> {
        self.read_even_damaged(bucket, key, version, want)
            .await?
            .whole()
    }

    /// The same, whether or not its payload is damaged.
    async fn read_even_damaged(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        want: Want,
    ) -> Result<Stored> {
        let row_key = rows::current(key.as_bytes());
        let mut seen = None;
        for _ in 0..TRIES_MAX {
            let current = self.stored(bucket.partition, &row_key, want).await?;
            let at = current.as_ref().map(|current| current.row.version);
            let Some(version) = version else {
                return current.ok_or(Error::NoSuchKey {
                    delete_marker: None,
                });
            };
            if let Some(current) = current.filter(|c| c.record.display() == version) {
                return Ok(current);
            }
            let older = match version {
                DisplayVersion::Null => self.find_older_null(bucket, key).await?,
                DisplayVersion::Id(id) => {
                    let older_key = rows::older(key.as_bytes(), id);
                    self.stored(bucket.partition, &older_key, want).await?
                }
            };
            if let Some(older) = older.filter(|o| o.record.display() == version) {
                return Ok(older);
            }
            // It may have become the current one between the two reads.
            if seen == Some(at) {
                break;
            }
            seen = Some(at);
        }
        Err(Error::NoSuchVersion)
    }

    /// Removes one version for good; the newest older one takes its place if it was the current.
    /// With `only_off` it answers `BucketBusy` should the bucket keep versions.
    pub(crate) async fn remove_version(
        &self,
        deed: &BucketDeed,
        key: &ObjectKey,
        version: DisplayVersion,
        conditions: &WriteConditions,
        only_off: bool,
    ) -> Result<Option<ObjectRecord>> {
        for _ in 0..TRIES_MAX {
            let bucket = self.bucket(deed).await?;
            if only_off && bucket.versioning() != Versioning::Off {
                return Err(Error::BucketBusy);
            }
            let _lock = self.locks.lock(bucket.partition, key.as_bytes()).await;
            self.may_take(deed, conditions)?;
            let found = self.read_even_damaged(&bucket, key, Some(version), Want::Payload);
            let found = match found.await {
                Err(Error::NoSuchVersion) => return Ok(None),
                other => other?,
            };
            conditions.check(Some(&RecordView::decode(&found.row.value)?))?;
            match only_off {
                true => conditions.check_state(Some(&found.record))?,
                false => conditions.check_state_of(&found.record)?,
            }
            check_owner(conditions, deed, &found.record)?;
            let by = self.by_client(deed);
            let batch = self
                .take_out(&bucket, key, &found, Going::ByClient(by))
                .await?;
            if let Landed::Yes = self.land(deed, &bucket, batch).await? {
                return Ok(Some(found.record));
            }
        }
        Err(Error::Contention)
    }

    /// What removes a version for good: the newest older one takes its place if it was the current.
    /// When a client removes it at a replica it is noted until the home knows.
    pub(crate) async fn take_out(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        found: &Stored,
        why: Going,
    ) -> Result<Batch> {
        let mut batch = Batch::new()
            .guard(bucket.guard())
            .guard(found.guard())
            .frees();
        let at = self.clock.now();
        let was_current = found.row_key == rows::current(key.as_bytes());
        let heir = match was_current {
            true => self.newest_older(bucket, key).await?,
            false => None,
        };
        batch = match heir {
            Some(older) => {
                let batch = older
                    .moved_to(batch.guard(older.guard()), found.row_key.clone())?
                    .delete(older.row_key.clone());
                // It moves to where a snapshot under way may have been already: the log shows it.
                let (kind, moves) = (kind_of(&older.record), Effect::nothing(at, why.cause()));
                log(batch, kind, (key, &older.record), None, moves)
            }
            None => batch.delete(found.row_key.clone()),
        };
        batch = bury(batch, found)?;
        let (kind, epoch) = match why {
            Going::ByClient(by) => {
                if by.at_replica {
                    batch = note_gone(batch, key, &found.record);
                }
                (ChangeKind::Delete, Some(by.epoch))
            }
            Going::Removed => (ChangeKind::Delete, None),
            Going::Pruned => (ChangeKind::Pruned, None),
        };
        let effect = Effect {
            removed: found.record.size,
            ..Effect::nothing(at, why.cause())
        };
        Ok(log(batch, kind, (key, &found.record), epoch, effect))
    }
}

/// Why a version goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Going {
    /// A client removes it here.
    ByClient(ByClient),
    /// It was removed elsewhere.
    Removed,
    /// The home does not have it now, which does not say that anybody removed it: it is not sent to
    /// other regions.
    Pruned,
}

impl Going {
    fn cause(self) -> Cause {
        match self {
            Self::ByClient(_) => Cause::Client,
            Self::Removed | Self::Pruned => Cause::Replication,
        }
    }
}

fn kind_of(record: &ObjectRecord) -> ChangeKind {
    match record.delete_marker {
        true => ChangeKind::Marker,
        false => ChangeKind::Put,
    }
}

/// Names the extents of a version that goes as dead.
pub(crate) fn bury(mut batch: Batch, stored: &Stored) -> Result<Batch> {
    for id in stored.extents()? {
        batch = batch.put(rows::dead(id), Bytes::new());
    }
    Ok(batch)
}

/// Adds the entry of the change log; `own` is that of [`Change`].
pub(crate) fn log(
    batch: Batch,
    kind: ChangeKind,
    (key, record): (&ObjectKey, &ObjectRecord),
    own: Option<u64>,
    effect: Effect,
) -> Batch {
    let change = Change {
        kind,
        version: record.version,
        null: record.null,
        key: key.to_string(),
        own,
        effect: Some(effect),
        fields: Fields::default(),
    };
    batch.log(change.encode())
}
