//! The destination: taking over versions, removals and the configuration.

use std::sync::Arc;

use access::{Action, Permit};
use bytes::Bytes;
use digest::Hasher;
use store::{Batch, BlobRef, Guard};
use types::{
    Body, BodyError, BucketDeed, ChecksumAlgorithm, ChecksumKind, Holding, ObjectKey, RegionId,
    VersionId, deed::BoxFuture,
};

use crate::{
    Change, ChangeKind, Error, Objects, Result, Shipped, ShippedChange, ShippedPart,
    bucket::{Bucket, TRIES_MAX, deed},
    hlc::region_tag,
    pins::Fresh,
    records::{
        Cause, Effect, Fields, ManifestPart, ObjectAttributes, ObjectBody, ObjectRecord,
        encode_manifest,
    },
    rows,
    versions::{Going, Landed, Stored, bury, log},
};

/// How often a body that broke off is asked for again, from where it broke.
const RESUMES_MAX: usize = 8;

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was applied.
    Done,
    /// It had been applied before.
    Known,
    /// Something newer is in its place.
    Superseded,
}

/// Where the bytes of a shipped version come from.
pub trait BodySource: Send + Sync {
    /// The bytes from `offset` on.
    fn open<'a>(
        &'a self,
        shipped: &'a Shipped,
        offset: u64,
    ) -> BoxFuture<'a, std::result::Result<Box<dyn Body>, BodyError>>;
}

/// What a version's bytes have become here.
#[derive(Clone)]
pub(crate) struct Landing {
    pub(crate) body: ObjectBody,
    pub(crate) payload: Option<Bytes>,
    /// Keeps the extents, which nothing refers to yet.
    pub(crate) fresh: Arc<Fresh>,
}

impl Landing {
    pub(crate) fn nothing(fresh: Arc<Fresh>) -> Self {
        Self {
            body: ObjectBody::None,
            payload: None,
            fresh,
        }
    }
}

impl Objects {
    /// Applies one change. Nothing of a version is visible before all its bytes are here, durable,
    /// and what its ETag and checksums say.
    ///
    /// # Errors
    /// `BadDigest` and `Body` when the bytes are not what they should be; `ClockAhead`;
    /// `WrongPermit`; failures of the engine. Then nothing has changed.
    pub async fn apply(
        &self,
        permit: &Permit,
        change: ShippedChange,
        bodies: &dyn BodySource,
    ) -> Result<Applied> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        match change {
            ShippedChange::Version(shipped) => self.apply_version(deed, *shipped, bodies).await,
            ShippedChange::Attributes {
                key,
                version,
                attributes,
            } => {
                let bucket = self.receiving(deed).await?;
                let found = self
                    .find_even_damaged(bucket.partition, &key, version)
                    .await?;
                match found {
                    Some(stored) => self.apply_attributes(deed, &key, &attributes, stored).await,
                    None => Ok(Applied::Superseded),
                }
            }
            ShippedChange::Removed { key, version, null } => {
                self.apply_removal(deed, &key, version, null).await
            }
            ShippedChange::Config(config) => self.apply_configuration(deed, &config).await,
        }
    }

    pub(crate) async fn receiving(&self, deed: &BucketDeed) -> Result<Arc<Bucket>> {
        let bucket = self.bucket(deed).await?;
        match Self::is_going(&bucket) {
            true => Err(Error::BucketBusy),
            false => Ok(bucket),
        }
    }

    /// Applies at the home what clients changed at the replica in `source`. Only what was made
    /// there is taken over as a version.
    ///
    /// # Errors
    /// As [`Objects::apply`]; `WrongPermit` for a configuration, which the home decides.
    pub async fn apply_own(
        &self,
        permit: &Permit,
        source: &RegionId,
        change: ShippedChange,
        bodies: &dyn BodySource,
    ) -> Result<Applied> {
        match &change {
            ShippedChange::Config(_) => Err(Error::WrongPermit),
            ShippedChange::Version(shipped)
                if shipped.version.region_tag() != region_tag(source) =>
            {
                Ok(Applied::Superseded)
            }
            _ => self.apply(permit, change, bodies).await,
        }
    }

    async fn apply_version(
        &self,
        deed: &BucketDeed,
        shipped: Shipped,
        bodies: &dyn BodySource,
    ) -> Result<Applied> {
        self.check_stamp(deed, shipped.version, shipped.attributes.tagged)?;
        let bucket = self.receiving(deed).await?;
        if let Some(stored) = self
            .find_even_damaged(bucket.partition, &shipped.key, shipped.version)
            .await?
        {
            let new = &shipped.attributes;
            return self.apply_attributes(deed, &shipped.key, new, stored).await;
        }
        if let Some(applied) = self.superseded(deed, &bucket, &shipped).await? {
            return Ok(applied);
        }
        let landing = self.fetch(&shipped, bodies).await?;
        self.observe(deed, shipped.version);
        let applied = self.insert(deed, &shipped, &landing).await;
        if !matches!(applied, Ok(Applied::Done)) {
            self.give_back(Some(landing.fresh)).await;
        }
        if matches!(applied, Ok(Applied::Known)) {
            // It came by another way meanwhile, perhaps with older tags.
            let partition = bucket.partition;
            let found = self.find_even_damaged(partition, &shipped.key, shipped.version);
            if let Some(stored) = found.await? {
                let new = &shipped.attributes;
                return self.apply_attributes(deed, &shipped.key, new, stored).await;
            }
        }
        applied
    }

    /// What is made here in the bucket from now on is above `version`.
    fn observe(&self, deed: &BucketDeed, version: VersionId) {
        self.hlc.observe(deed.id, &*self.clock, version);
    }

    /// A version that is here already: its tags may have changed, which in a sealed replica are
    /// part of its head, or its access control list. The last change of each counts: an older state
    /// may come after it, through another region.
    async fn apply_attributes(
        &self,
        deed: &BucketDeed,
        key: &ObjectKey,
        new: &ObjectAttributes,
        mut stored: Stored,
    ) -> Result<Applied> {
        let version = stored.record.version;
        for _ in 0..TRIES_MAX {
            let here = &stored.record.attributes;
            if here == new {
                return Ok(Applied::Known);
            }
            let at_home = deed.holding(&self.region) == Holding::Home;
            let newest = ObjectAttributes::newest(here, new, at_home)?;
            if newest == *here {
                return Ok(Applied::Superseded);
            }
            if let Some(damage) = stored.damage {
                return Err(damage.into());
            }
            if let Some(tagged) = new.tagged {
                self.check_stamp(deed, tagged, None)?;
                self.observe(deed, tagged);
            }
            let bucket = self.receiving(deed).await?;
            let batch = Batch::new().guard(bucket.guard()).guard(stored.guard());
            stored.record.attributes = newest;
            let (row_key, value) = (stored.row_key, stored.record.encode());
            let batch = match stored.row.payload {
                Some(payload) => batch.put_with(row_key, value, payload),
                None => batch.put(row_key, value),
            };
            let effect = Effect::nothing(self.clock.now(), Cause::Replication);
            let named = (key, &stored.record);
            let batch = log(batch, ChangeKind::Tags, named, None, effect);
            if let Landed::Yes = self.land(deed, &bucket, batch).await? {
                return Ok(Applied::Done);
            }
            match self
                .find_even_damaged(bucket.partition, key, version)
                .await?
            {
                Some(found) => stored = found,
                None => return Ok(Applied::Superseded),
            }
        }
        Err(Error::Contention)
    }

    /// A key has one null version, the newest; one that is older than that is not taken over. Nor
    /// is what a client removed here, at a replica, before the home had read that.
    async fn superseded(
        &self,
        deed: &BucketDeed,
        bucket: &Bucket,
        shipped: &Shipped,
    ) -> Result<Option<Applied>> {
        if self.takes_at_replica(deed) && self.was_removed_here(bucket, shipped).await? {
            return Ok(Some(Applied::Superseded));
        }
        if !shipped.null {
            return Ok(None);
        }
        let null = self.null_version(bucket, &shipped.key).await?;
        let newer = null.is_some_and(|null| null.record.version > shipped.version);
        Ok(newer.then_some(Applied::Superseded))
    }

    pub(super) async fn null_version(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
    ) -> Result<Option<Stored>> {
        let current = rows::current(key.as_bytes());
        match self.current_whole(bucket, &current).await? {
            Some(current) if current.record.null => Ok(Some(current)),
            _ => self.find_older_null(bucket, key).await,
        }
    }

    /// Puts the version into its place among the others.
    async fn insert(
        &self,
        deed: &BucketDeed,
        shipped: &Shipped,
        landing: &Landing,
    ) -> Result<Applied> {
        let record = ObjectRecord {
            version: shipped.version,
            null: shipped.null,
            delete_marker: shipped.delete_marker,
            modified: shipped.modified,
            size: shipped.size,
            etag: shipped.etag,
            checksum: shipped.checksum,
            body: landing.body.clone(),
            attributes: shipped.attributes.clone(),
        };
        let kind = match shipped.delete_marker {
            true => ChangeKind::Marker,
            false => ChangeKind::Put,
        };
        for _ in 0..TRIES_MAX {
            let bucket = self.receiving(deed).await?;
            let _lock = self
                .locks
                .lock(bucket.partition, shipped.key.as_bytes())
                .await;
            let found = self
                .find_even_damaged(bucket.partition, &shipped.key, shipped.version)
                .await?;
            if found.is_some() {
                return Ok(Applied::Known);
            }
            if let Some(applied) = self.superseded(deed, &bucket, shipped).await? {
                return Ok(applied);
            }
            let (mut batch, place, removed) = self.make_room(&bucket, shipped).await?;
            batch = match &landing.payload {
                Some(payload) => batch.put_with(place, record.encode(), payload.clone()),
                None => batch.put(place, record.encode()),
            };
            let effect = Effect {
                at: self.clock.now(),
                added: record.size,
                removed,
                cause: Cause::Replication,
            };
            batch = log(batch, kind, (&shipped.key, &record), None, effect);
            let fresh = Some(Arc::clone(&landing.fresh));
            let extra = Batch::new();
            let landed = self.land_with(deed, &bucket, batch, &extra, fresh);
            if let Landed::Yes = landed.await? {
                return Ok(Applied::Done);
            }
        }
        Err(Error::Contention)
    }

    /// Makes room for a version that is not here, and answers the row where it belongs: a version
    /// that is newer than the current one takes its place, an older one goes among the older ones,
    /// and a null version replaces the null version that is here, which is older.
    async fn make_room(&self, bucket: &Bucket, shipped: &Shipped) -> Result<(Batch, Bytes, u64)> {
        let key = shipped.key.as_bytes();
        let current_key = rows::current(key);
        let current = self.current_whole(bucket, &current_key).await?;
        let mut batch = Batch::new().guard(bucket.guard());
        batch = match &current {
            None => batch.guard(Guard::Absent(current_key.clone())),
            Some(current) => batch.guard(current.guard()),
        };
        let (mut buried, mut removed) = (None, 0);
        if shipped.null
            && let Some(null) = self.null_version(bucket, &shipped.key).await?
        {
            batch = bury(batch, &null)?;
            if null.row_key != current_key {
                batch = batch.guard(null.guard()).delete(null.row_key.clone());
            }
            removed = null.record.size;
            buried = Some(null.row_key);
        }
        match current {
            Some(current)
                if current.record.version > shipped.version
                    && !types::planted("apply-without-version-check") =>
            {
                let older_key = rows::older(key, shipped.version);
                let batch = batch.guard(Guard::Absent(older_key.clone()));
                Ok((batch, older_key, removed))
            }
            Some(current) if buried.as_ref() != Some(&current_key) => {
                let older = rows::older(key, current.record.version);
                Ok((current.moved_to(batch, older)?, current_key, removed))
            }
            _ => Ok((batch, current_key, removed)),
        }
    }

    /// The current version with its payload, whether or not the bucket already keeps versions here.
    async fn current_whole(&self, bucket: &Bucket, row_key: &Bytes) -> Result<Option<Stored>> {
        self.stored(bucket.partition, row_key, store::Want::Payload)
            .await
    }

    /// Removes a version. One that is not here is noted in the log as removed all the same: it may
    /// still come, from a region that does not know of that, and is not wanted then
    /// ([`Objects::removed_here`]).
    ///
    /// A null version took the place of every null version before it, also of
    /// one that came here and whose successor never did, since it was gone when it was asked for.
    pub(super) async fn apply_removal(
        &self,
        deed: &BucketDeed,
        key: &ObjectKey,
        version: VersionId,
        null: bool,
    ) -> Result<Applied> {
        // What cannot have come here has taken no place either.
        let null = null && self.check_stamp(deed, version, None).is_ok();
        let name = (key.clone(), version);
        let asides = self.regions_aside(deed, &name);
        for _ in 0..TRIES_MAX {
            let bucket = self.receiving(deed).await?;
            let _lock = self.locks.lock(bucket.partition, key.as_bytes()).await;
            let mut found = self
                .find_even_damaged(bucket.partition, key, version)
                .await?;
            if found.is_none() && null {
                let other = self.null_version(&bucket, key).await?;
                found = other.filter(|other| other.record.version < version);
            }
            let Some(found) = found else {
                let change = Change {
                    kind: ChangeKind::Delete,
                    version,
                    null,
                    key: key.to_string(),
                    own: None,
                    effect: Some(Effect::nothing(self.clock.now(), Cause::Replication)),
                    fields: Fields::default(),
                };
                let mut batch = Batch::new().guard(bucket.guard()).log(change.encode());
                for region in &asides {
                    batch = batch.delete(rows::aside(key.as_bytes(), version, region));
                }
                if let Landed::Again = self.land(deed, &bucket, batch).await? {
                    continue;
                }
                for region in &asides {
                    self.forget_aside(deed, &name, region);
                }
                return Ok(Applied::Known);
            };
            let batch = self.take_out(&bucket, key, &found, Going::Removed).await?;
            if let Landed::Yes = self.land(deed, &bucket, batch).await? {
                return Ok(Applied::Done);
            }
        }
        Err(Error::Contention)
    }

    /// Brings the bytes here, durable and verified, where nothing refers to them yet.
    pub(crate) async fn fetch(
        &self,
        shipped: &Shipped,
        bodies: &dyn BodySource,
    ) -> Result<Landing> {
        let mut landing = Landing::nothing(self.pins.fresh());
        if shipped.delete_marker {
            return Ok(landing);
        }
        if let Some(bytes) = &shipped.inline {
            let mut hasher = Hasher::new(&whole_checksum(shipped), true);
            hasher.update(bytes);
            verify_whole(shipped, &hasher.finish_now())?;
            landing.body = ObjectBody::Inline;
            landing.payload = Some(bytes.clone());
            return Ok(landing);
        }
        let mut stream = Resuming::from(bodies, shipped, 0);
        let fetched = match shipped.parts.is_empty() {
            true => self.fetch_whole(&mut stream, &mut landing).await,
            false => self.fetch_parts(&mut stream, &mut landing).await,
        };
        match fetched {
            Ok(()) => Ok(landing),
            Err(error) => {
                self.give_back(Some(landing.fresh)).await;
                Err(error)
            }
        }
    }

    async fn fetch_whole(&self, stream: &mut Resuming<'_>, landing: &mut Landing) -> Result<()> {
        let shipped = stream.shipped;
        let mut hasher = Hasher::new(&whole_checksum(shipped), true);
        let size = Some(shipped.size);
        let mut writer = self.create_extent(&landing.fresh, size).await?;
        while let Some(bytes) = stream.next(shipped.size).await? {
            hasher.feed(bytes.clone()).await;
            writer.write(bytes).await?;
        }
        verify_whole(shipped, &hasher.finish().await)?;
        let blob = writer.finish().await?;
        landing.body = ObjectBody::Extents(vec![blob]);
        Ok(())
    }

    async fn fetch_parts(&self, stream: &mut Resuming<'_>, landing: &mut Landing) -> Result<()> {
        let mut manifest = Vec::with_capacity(stream.shipped.parts.len());
        let mut end = 0;
        for part in &stream.shipped.parts {
            end += part.size;
            let extents = self.fetch_part(stream, part, end, &landing.fresh).await?;
            manifest.push(ManifestPart {
                number: part.number,
                size: part.size,
                md5: part.md5,
                checksum: part.checksum,
                extents,
            });
        }
        let count = u16::try_from(manifest.len())
            .map_err(|_| Error::Record("an object of too many parts".to_owned()))?;
        landing.payload = Some(encode_manifest(&manifest).into());
        landing.body = ObjectBody::Parts(count);
        Ok(())
    }

    pub(crate) async fn fetch_part(
        &self,
        stream: &mut Resuming<'_>,
        part: &ShippedPart,
        end: u64,
        fresh: &Fresh,
    ) -> Result<Vec<BlobRef>> {
        let algorithms: Vec<_> = part.checksum.iter().map(|c| c.algorithm()).collect();
        let mut hasher = Hasher::new(&algorithms, true);
        let mut writer = None;
        while let Some(bytes) = stream.next(end).await? {
            hasher.feed(bytes.clone()).await;
            if writer.is_none() {
                writer = Some(self.create_extent(fresh, Some(part.size)).await?);
            }
            if let Some(writer) = &mut writer {
                writer.write(bytes).await?;
            }
        }
        let digests = hasher.finish().await;
        let checksum = part.checksum.is_none_or(|told| {
            digests
                .checksum(told.algorithm())
                .map(|c| c.bytes().to_vec())
                == Some(told.bytes().to_vec())
        });
        if digests.md5 != Some(part.md5) || !checksum || digests.len != part.size {
            return Err(Error::BadDigest("a part"));
        }
        match writer {
            Some(writer) => Ok(vec![writer.finish().await?]),
            None => Ok(Vec::new()),
        }
    }
}

/// The checksum over the whole content that can be computed again while it comes.
fn whole_checksum(shipped: &Shipped) -> Vec<ChecksumAlgorithm> {
    let full = shipped
        .checksum
        .filter(|c| c.kind() == ChecksumKind::FullObject);
    full.map(|c| c.algorithm()).into_iter().collect()
}

/// Content without parts: its MD5 is its ETag.
fn verify_whole(shipped: &Shipped, digests: &digest::Digests) -> Result<()> {
    if digests.len != shipped.size {
        return Err(BodyError::Incomplete {
            expected: shipped.size,
            got: digests.len,
        }
        .into());
    }
    if shipped.etag.parts == 0 && digests.md5 != Some(shipped.etag.md5) {
        return Err(Error::BadDigest("the ETag"));
    }
    let full = shipped
        .checksum
        .filter(|c| c.kind() == ChecksumKind::FullObject);
    match full {
        Some(told) if digests.checksum(told.algorithm()) != Some(told) => {
            Err(Error::BadDigest(told.algorithm().name()))
        }
        _ => Ok(()),
    }
}

/// The bytes of a version, asked for again from where they broke off.
pub(crate) struct Resuming<'a> {
    bodies: &'a dyn BodySource,
    shipped: &'a Shipped,
    body: Option<Box<dyn Body>>,
    /// Bytes that have come.
    at: u64,
    resumes: usize,
    /// Came already, belongs behind what was asked for.
    held: Bytes,
}

impl<'a> Resuming<'a> {
    /// From this offset on.
    pub(crate) fn from(bodies: &'a dyn BodySource, shipped: &'a Shipped, at: u64) -> Self {
        Self {
            bodies,
            shipped,
            body: None,
            at,
            resumes: 0,
            held: Bytes::new(),
        }
    }

    /// The next piece before `end`; `None` there.
    async fn next(&mut self, end: u64) -> Result<Option<Bytes>> {
        if self.held.is_empty() {
            if self.at >= end {
                return Ok(None);
            }
            self.held = self.receive().await?;
        }
        let begin = self.at - self.held.len() as u64;
        let here = end.saturating_sub(begin).min(self.held.len() as u64);
        if here == 0 {
            return Ok(None);
        }
        Ok(Some(self.held.split_to(here as usize)))
    }

    async fn receive(&mut self) -> Result<Bytes> {
        loop {
            let next = match &mut self.body {
                Some(body) => body.next().await,
                None => match self.bodies.open(self.shipped, self.at).await {
                    Ok(body) => {
                        self.body = Some(body);
                        continue;
                    }
                    Err(error) => Some(Err(error)),
                },
            };
            match next {
                Some(Ok(bytes)) if bytes.is_empty() => {}
                Some(Ok(bytes)) => {
                    let at = self.at + bytes.len() as u64;
                    if at > self.shipped.size {
                        return Err(BodyError::TooLarge {
                            max: self.shipped.size,
                        }
                        .into());
                    }
                    self.at = at;
                    return Ok(bytes);
                }
                broken => {
                    self.body = None;
                    self.resumes += 1;
                    if self.resumes > RESUMES_MAX {
                        let incomplete = BodyError::Incomplete {
                            expected: self.shipped.size,
                            got: self.at,
                        };
                        let error = broken.and_then(std::result::Result::err);
                        return Err(error.unwrap_or(incomplete).into());
                    }
                }
            }
        }
    }
}
