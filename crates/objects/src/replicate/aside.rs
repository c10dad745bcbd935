//! Versions of other regions whose stamp is too far ahead of the clock here. None is taken over
//! before its time, since versions are ordered by their stamps; and none may stop what comes after
//! it in a log. So it is set aside: a row says which version it is and who has it, the log is
//! followed on, and the version is asked for again once its time has come. Until then the replica
//! does not say that it has applied the log from there on.

use std::collections::BTreeMap;

use access::{Action, Permit};
use bytes::Bytes;
use parking_lot::Mutex;
use store::{Batch, PartitionId, Position, ScanRange};
use types::{BucketDeed, BucketId, BucketName, Holding, ObjectKey, RegionId, VersionId};

use super::{AHEAD_MAX_MS, VersionName};
use crate::{
    Error, Objects, Result, ShippedChange,
    bucket::{Bucket, deed, partition_of},
    records::codec::{Reader, Writer},
    rows,
};

const VERSION: u8 = 1;
/// Versions of one bucket and one region that are set aside; with more, following stops there.
const ASIDE_MAX: usize = 1000;
/// What a rule sends and is further ahead than this fails.
const FAR_MS: u64 = 600_000;

/// A version that is set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The region that has it.
    pub region: RegionId,
    /// The later of its own stamp and that of its tags, in milliseconds since 1970.
    pub stamp_ms: u64,
    /// The entry of that region's log that has it; 0 when that is not known.
    pub position: Position,
}

impl SetAside {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.u64(self.stamp_ms).u64(self.position.0);
        out.text(&self.region);
        out.finish()
    }
    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, "a version that is set aside")?;
        let aside = Self {
            stamp_ms: r.u64()?,
            position: Position(r.u64()?),
            region: RegionId::new(&r.text()?),
        };
        r.end()?;
        Ok(aside)
    }
}

/// By version and the region that has it: one region's entry takes no other's place.
type Line = (VersionName, RegionId);

struct Of {
    name: BucketName,
    versions: BTreeMap<Line, SetAside>,
}

/// What is set aside in all buckets, as the rows have it.
#[derive(Default)]
pub(crate) struct Asides(Mutex<BTreeMap<BucketId, Of>>);

/// How far ahead of the clock here a version may be in a bucket, in milliseconds. A replica takes
/// more from its home than that takes from others: what the home writes over a version that it took
/// over is above it.
fn ahead_max(deed: &BucketDeed, here: &RegionId) -> u64 {
    match deed.holding(here) {
        Holding::Home => AHEAD_MAX_MS,
        _ => 2 * AHEAD_MAX_MS,
    }
}

impl Objects {
    /// The one place where stamps of other regions are compared with the clock here.
    ///
    /// # Errors
    /// `ClockAhead`.
    pub(crate) fn check_stamp(
        &self,
        deed: &BucketDeed,
        version: VersionId,
        tagged: Option<VersionId>,
    ) -> Result<()> {
        let stamp = tagged.unwrap_or(version).max(version).at().ms();
        let max = self.clock.now().ms();
        let max = max.saturating_add(ahead_max(deed, &self.region));
        match stamp <= max || types::planted("stamps-unbounded") {
            true => Ok(()),
            false => Err(Error::ClockAhead(stamp)),
        }
    }

    /// Whether a stamp is so far ahead of the clock here that nothing waits for it.
    pub fn is_far_ahead(&self, stamp_ms: u64) -> bool {
        stamp_ms > self.clock.now().ms().saturating_add(FAR_MS)
    }

    /// Sets a version aside that a change of `region` names, and that was refused with
    /// `ClockAhead(stamp_ms)`.
    ///
    /// # Errors
    /// The same error when too many are set aside already; failures of the engine.
    pub async fn set_aside(
        &self,
        permit: &Permit,
        region: &RegionId,
        (position, stamp_ms): (Position, u64),
        change: &ShippedChange,
    ) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let name = match change {
            ShippedChange::Version(shipped) => (shipped.key.clone(), shipped.version),
            ShippedChange::Attributes { key, version, .. } => (key.clone(), *version),
            ShippedChange::Removed { .. } | ShippedChange::Config(_) => {
                return Err(Error::ClockAhead(stamp_ms));
            }
        };
        let aside = SetAside {
            region: region.clone(),
            stamp_ms,
            position,
        };
        {
            let all = self.asides.0.lock();
            let known = all.get(&deed.id).map(|of| &of.versions);
            let line = (name.clone(), region.clone());
            let before = known.and_then(|known| known.get(&line));
            if before == Some(&aside) {
                return Ok(());
            }
            let of_region = |known: &BTreeMap<_, SetAside>| {
                known.values().filter(|a| a.region == *region).count()
            };
            if before.is_none() && known.map_or(0, of_region) >= ASIDE_MAX {
                return Err(Error::ClockAhead(stamp_ms));
            }
        }
        let row = rows::aside(name.0.as_bytes(), name.1, region);
        let value = aside.encode();
        let batch = |bucket: &Bucket| {
            let guarded = Batch::new().guard(bucket.guard());
            guarded.put(row.clone(), Bytes::from(value.clone()))
        };
        self.in_bucket(deed, batch).await?;
        tracing::warn!(
            bucket = %deed.name, %region, key = %name.0, version = %name.1, stamp_ms,
            "a version is ahead of the clock here: it is set aside until its time has come"
        );
        self.note_aside(deed, name, aside);
        Ok(())
    }

    fn note_aside(&self, deed: &BucketDeed, name: VersionName, aside: SetAside) {
        let mut all = self.asides.0.lock();
        let of = all.entry(deed.id).or_insert_with(|| Of {
            name: deed.name.clone(),
            versions: BTreeMap::new(),
        });
        of.versions.insert((name, aside.region.clone()), aside);
    }

    /// A version of a region is not set aside any more: it was taken over, or is not to come.
    pub async fn end_aside(
        &self,
        permit: &Permit,
        name: &VersionName,
        region: &RegionId,
    ) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let row = rows::aside(name.0.as_bytes(), name.1, region);
        let batch = |bucket: &Bucket| {
            let guarded = Batch::new().guard(bucket.guard());
            guarded.delete(row.clone()).frees()
        };
        self.in_bucket(deed, batch).await?;
        self.forget_aside(deed, name, region);
        Ok(())
    }

    pub(crate) fn forget_aside(&self, deed: &BucketDeed, name: &VersionName, region: &RegionId) {
        let mut all = self.asides.0.lock();
        if let Some(of) = all.get_mut(&deed.id) {
            of.versions.remove(&(name.clone(), region.clone()));
            if of.versions.is_empty() {
                all.remove(&deed.id);
            }
        }
    }

    /// The regions of which this version is set aside.
    pub(crate) fn regions_aside(&self, deed: &BucketDeed, name: &VersionName) -> Vec<RegionId> {
        let all = self.asides.0.lock();
        // Most buckets have none.
        let Some(of) = all.get(&deed.id) else {
            return Vec::new();
        };
        let first = (name.clone(), RegionId::new(""));
        let of = of.versions.range(first..).map(|(line, _)| line);
        of.take_while(|(of, _)| of == name)
            .map(|(_, region)| region.clone())
            .collect()
    }

    /// Whether a version is set aside, as the rows say: memory may not be filled yet.
    pub(crate) async fn has_aside(
        &self,
        partition: PartitionId,
        (key, version): &VersionName,
    ) -> Result<bool> {
        let range = ScanRange::prefix(&rows::aside_prefix(key.as_bytes(), *version));
        let found = self.engine.index.scan(partition, range, 1).await?;
        Ok(!found.is_empty())
    }

    /// Reads what is set aside in a bucket, once after a start.
    pub async fn load_asides(&self, deed: &BucketDeed) -> Result<()> {
        let index = &self.engine.index;
        let range = ScanRange::prefix(rows::ASIDE);
        let found = index.scan(partition_of(deed), range, usize::MAX).await?;
        for (row_key, row) in found {
            let aside = SetAside::decode(&row.value)?;
            let (key, version) = rows::aside_name(&row_key, &aside.region)?;
            let text = std::str::from_utf8(&key)
                .map_err(|_| Error::Record("a key that is no text".to_owned()))?;
            let name = (ObjectKey::new(text)?, version);
            let now = rows::aside(&key, version, &aside.region);
            if now != row_key {
                self.rename_aside(deed, (row_key, now), row.value).await?;
            }
            self.note_aside(deed, name, aside);
        }
        Ok(())
    }

    /// Moves a row that an earlier release wrote to where this one looks for it.
    async fn rename_aside(
        &self,
        deed: &BucketDeed,
        (from, to): (Bytes, Bytes),
        value: Bytes,
    ) -> Result<()> {
        let batch = |bucket: &Bucket| {
            let guarded = Batch::new().guard(bucket.guard());
            guarded.put(to.clone(), value.clone()).delete(from.clone())
        };
        self.in_bucket(deed, batch).await.map(drop)
    }

    /// Drops what was set aside in buckets that are not held here any more.
    pub fn keep_asides(&self, held: impl Fn(BucketId) -> bool) {
        self.asides.0.lock().retain(|id, _| held(*id));
    }

    /// The buckets in which something is set aside.
    pub fn buckets_with_asides(&self) -> Vec<(BucketId, BucketName)> {
        let all = self.asides.0.lock();
        all.iter().map(|(id, of)| (*id, of.name.clone())).collect()
    }

    /// What is set aside in a bucket and may be taken over now.
    pub fn due_asides(&self, deed: &BucketDeed) -> Vec<(VersionName, SetAside)> {
        let max = self.clock.now().ms();
        let max = max.saturating_add(ahead_max(deed, &self.region));
        let all = self.asides.0.lock();
        let of = all.get(&deed.id).into_iter().flat_map(|of| &of.versions);
        of.filter(|(_, aside)| aside.stamp_ms <= max)
            .map(|((name, _), aside)| (name.clone(), aside.clone()))
            .collect()
    }

    /// How many versions of a region are set aside in a bucket, and up to where its log is applied
    /// for certain.
    pub fn asides_of(&self, id: BucketId, region: &RegionId) -> Option<(u64, Position)> {
        let all = self.asides.0.lock();
        let versions = &all.get(&id)?.versions;
        let of = versions.values().filter(|aside| aside.region == *region);
        let positions = of.map(|aside| aside.position.0.saturating_sub(1));
        let (count, lowest) = positions.fold((0, u64::MAX), |(n, low), at| (n + 1, low.min(at)));
        (count > 0).then_some((count, Position(lowest)))
    }

    /// All versions that are set aside, by bucket and region.
    pub fn asides(&self) -> Vec<(BucketId, RegionId, u64)> {
        let mut counts: BTreeMap<(BucketId, RegionId), u64> = BTreeMap::new();
        for (id, of) in self.asides.0.lock().iter() {
            for aside in of.versions.values() {
                *counts.entry((*id, aside.region.clone())).or_default() += 1;
            }
        }
        let one = |((id, region), count)| (id, region, count);
        counts.into_iter().map(one).collect()
    }
}
