//! What was removed. That a version was removed stays true, so whoever holds a bucket and knows of
//! a removal sends it to the others whenever their order changes (another epoch, a snapshot): what
//! one of them missed would come back otherwise, from a region that did not know of it either. The
//! change log carries it, as far as it reaches back.

use std::collections::{BTreeMap, BTreeSet};

use access::{Action, Permit};
use store::Position;
use types::{ObjectKey, VersionId};

use super::{Applied, VersionName};
use crate::{
    Change, ChangeKind, Error, Objects, Result, ShippedChange,
    bucket::{Bucket, TRIES_MAX, deed, partition_of},
    versions::{Going, Landed},
};

/// Entries of the log that are read at once.
const BATCH: usize = 4_000;
/// Entries that are looked through for one answer.
const LOOK_THROUGH_MAX: usize = 100_000;

/// What was removed in a region, of versions that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removals {
    exact: BTreeSet<VersionName>,
    /// Of each key the newest null version that was removed.
    nulls: BTreeMap<String, VersionId>,
}

impl Removals {
    /// Whether exactly this version was removed.
    pub fn named(&self, name: &VersionName) -> bool {
        self.exact.contains(name)
    }

    /// Whether the version was removed: itself, or, if it is a null version, a newer null version,
    /// which had taken its place.
    pub fn holds(&self, name: &VersionName, null: bool) -> bool {
        let newer = self.nulls.get(&*name.0);
        self.named(name) || (null && newer.is_some_and(|newer| *newer > name.1))
    }
}

/// A version that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Its key and its own id.
    pub name: VersionName,
    /// A null version, with which all older null versions of the key went.
    pub null: bool,
}

impl From<Removed> for ShippedChange {
    fn from(removed: Removed) -> Self {
        let ((key, version), null) = (removed.name, removed.null);
        Self::Removed { key, version, null }
    }
}

/// What was removed in a region, in the order of its log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovalsPage {
    /// What was removed.
    pub removed: Vec<Removed>,
    /// Where to go on; where the question began when there is no more.
    pub next: Position,
}

/// Versions that a log names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logged {
    /// Made by clients under the deed's epoch.
    pub present: Vec<VersionName>,
    /// All others.
    pub others: Vec<VersionName>,
    /// Where the log ends.
    pub end: Position,
}

impl Objects {
    /// Which of `versions` were removed here, as far back as the bucket's log reaches.
    pub async fn removed_here(
        &self,
        permit: &Permit,
        versions: &[VersionName],
    ) -> Result<Removals> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let partition = partition_of(deed);
        let mut wanted: BTreeMap<&str, BTreeSet<VersionId>> = BTreeMap::new();
        for (key, version) in versions {
            wanted.entry(key).or_default().insert(*version);
        }
        let mut removals = Removals::default();
        if wanted.is_empty() {
            return Ok(removals);
        }
        let mut at = self.engine.log.floor(partition).await?;
        loop {
            let page = self.engine.log.read(partition, at, BATCH).await?;
            for entry in &page.entries {
                let change = Change::decode(&entry.entry)?;
                let named = wanted.get(change.key.as_str());
                if let (ChangeKind::Delete, Some(named)) = (change.kind, named) {
                    if named.contains(&change.version) {
                        let key = ObjectKey::new(&change.key)?;
                        removals.exact.insert((key, change.version));
                    }
                    if change.null {
                        let last = removals.nulls.entry(change.key).or_insert(change.version);
                        *last = change.version.max(*last);
                    }
                }
            }
            if page.next == at {
                return Ok(removals);
            }
            at = page.next;
        }
    }

    /// What was removed here after `from` in the log, or after the log's beginning if that is
    /// later.
    pub async fn removals(&self, permit: &Permit, from: Position) -> Result<RemovalsPage> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let (partition, bucket) = (partition_of(deed), self.load_bucket(deed).await?);
        let floor = self.engine.log.floor(partition).await?;
        let mut page = RemovalsPage {
            next: from.max(floor),
            ..RemovalsPage::default()
        };
        let mut looked = 0;
        while looked < LOOK_THROUGH_MAX && page.removed.len() < BATCH {
            let read = self.engine.log.read(partition, page.next, BATCH).await?;
            for entry in &read.entries {
                let change = Change::decode(&entry.entry)?;
                if change.kind == ChangeKind::Delete {
                    let key = ObjectKey::new(&change.key)?;
                    let null = change.null && !self.has_older_null(&bucket, &key, &change).await?;
                    let name = (key, change.version);
                    page.removed.push(Removed { name, null });
                }
            }
            if read.next == page.next {
                break;
            }
            (page.next, looked) = (read.next, looked + BATCH);
        }
        Ok(page)
    }

    /// Whether the key has a null version that came after a newer one had been removed, and stays.
    pub(super) async fn has_older_null(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        removed: &Change,
    ) -> Result<bool> {
        let null = self.null_version(bucket, key).await?;
        Ok(null.is_some_and(|null| null.record.version < removed.version))
    }

    /// Takes over what was removed elsewhere: it goes here too, and is noted if it was not known.
    /// Answers the keys of which something went.
    pub async fn take_removals(
        &self,
        permit: &Permit,
        removed: Vec<Removed>,
    ) -> Result<BTreeSet<ObjectKey>> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let names: Vec<VersionName> = removed.iter().map(|r| r.name.clone()).collect();
        let known = self.removed_here(permit, &names).await?;
        let mut keys = BTreeSet::new();
        for Removed { name, null } in removed {
            let here = self.find_even_damaged(partition_of(deed), &name.0, name.1);
            // A null version that came after this was known was let in knowingly.
            if here.await?.is_none() && known.named(&name) {
                continue;
            }
            let applied = self.apply_removal(deed, &name.0, name.1, null).await?;
            if applied == Applied::Done {
                keys.insert(name.0);
            }
        }
        Ok(keys)
    }

    /// Of what a replica says was removed under earlier epochs: what the home accepts, and of that
    /// what removes something here. What clients wrote here under this epoch nobody else can have
    /// removed; and what was removed before has no stamp ahead of the clock here.
    pub async fn believed(
        &self,
        permit: &Permit,
        removed: Vec<Removed>,
    ) -> Result<(Vec<Removed>, Vec<Removed>)> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let (partition, bucket) = (partition_of(deed), self.receiving(deed).await?);
        let now = self.clock.now();
        let mut present: Option<BTreeSet<VersionName>> = None;
        let (mut all, mut hits) = (Vec::with_capacity(removed.len()), Vec::new());
        for mut one in removed {
            one.null &= one.name.1.at() <= now;
            let (key, version) = &one.name;
            let found = self.find_even_damaged(partition, key, *version).await?;
            let found = match found {
                None if one.null => self.null_version(&bucket, key).await?,
                found => found.filter(|found| found.record.version == *version),
            };
            let Some(hit) = found.filter(|found| found.record.version <= *version) else {
                all.push(one);
                continue;
            };
            if present.is_none() {
                let logged = self.logged_versions(permit, Position(0)).await?;
                present = Some(logged.present.into_iter().collect());
            }
            let made_now = (key.clone(), hit.record.version);
            if present.as_ref().is_some_and(|p| p.contains(&made_now)) {
                continue;
            }
            hits.push(one.clone());
            all.push(one);
        }
        Ok((all, hits))
    }

    /// Removes a version that the home does not have, at a replica. It is not sent to others: the
    /// version may be on its way to the home from another region.
    pub async fn prune(&self, permit: &Permit, (key, version): &VersionName) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        for _ in 0..TRIES_MAX {
            let bucket = self.receiving(deed).await?;
            let _lock = self.locks.lock(bucket.partition, key.as_bytes()).await;
            let found = self
                .find_even_damaged(bucket.partition, key, *version)
                .await?;
            let Some(found) = found else {
                return Ok(());
            };
            let batch = self.take_out(&bucket, key, &found, Going::Pruned).await?;
            if let Landed::Yes = self.land(deed, &bucket, batch).await? {
                return Ok(());
            }
        }
        Err(Error::Contention)
    }

    /// Versions of which this region's log has an entry after `from`, written or moved: apart,
    /// those that clients made here under the deed's epoch; and where the log ends.
    pub async fn logged_versions(&self, permit: &Permit, from: Position) -> Result<Logged> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let partition = partition_of(deed);
        let mut at = from.max(self.engine.log.floor(partition).await?);
        let mut logged = Logged::default();
        loop {
            let page = self.engine.log.read(partition, at, BATCH).await?;
            for entry in &page.entries {
                let change = Change::decode(&entry.entry)?;
                if matches!(change.kind, ChangeKind::Put | ChangeKind::Marker) {
                    let name = (ObjectKey::new(&change.key)?, change.version);
                    match change.own == Some(deed.epoch) {
                        true => logged.present.push(name),
                        false => logged.others.push(name),
                    }
                }
            }
            if page.next == at {
                logged.end = at;
                return Ok(logged);
            }
            at = page.next;
        }
    }
}
