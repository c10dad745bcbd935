//! Versions that are set aside since they are ahead of the clock here: their time comes, and they
//! are asked for again then, beside all that is followed.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use access::{Permit, authorize_receiving};
use futures_util::{StreamExt, stream::FuturesUnordered};
use objects::{SetAside, ShippedChange, VersionName};
use store::Position;
use types::{BucketDeed, BucketId, Holding, RegionId};

use crate::{
    Replication, ReplicationError,
    client::Far,
    follow::Follower,
    gather::take_back,
    wire::{What, name},
};

/// How often it is looked whether a time has come.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A bucket, and a region that has versions of it.
type Line = (BucketId, RegionId);
/// A version that may be taken over now.
type Due = (VersionName, SetAside);

impl Follower {
    /// Sets aside what is ahead of the clock here. A sealed replica cannot ask for one version by
    /// the version's own name: it waits.
    pub(crate) async fn set_aside(
        &self,
        permit: &Permit,
        at: u64,
        stamp_ms: u64,
        change: &ShippedChange,
    ) -> Result<(), ReplicationError> {
        if self.far.sealed {
            return Err(objects::Error::ClockAhead(stamp_ms).into());
        }
        let at = (Position(at), stamp_ms);
        let aside = self.objects.set_aside(permit, &self.far.region, at, change);
        Ok(aside.await?)
    }

    /// Up to where the other region's log is applied, if something of it is set aside.
    pub(crate) fn applied_to(&self) -> Option<u64> {
        let (id, region) = (self.far.deed.id, &self.far.region);
        self.objects.asides_of(id, region).map(|(_, to)| to.0)
    }
}

impl Replication {
    /// Takes over what was set aside, once its time has come. Never ends. A region that is slow
    /// holds up what it has itself, and nothing of others.
    pub(crate) async fn take_asides(&self) {
        let mut under_way = FuturesUnordered::new();
        let mut busy: HashSet<Line> = HashSet::new();
        loop {
            tokio::select! {
                Some(line) = under_way.next() => {
                    busy.remove(&line);
                }
                () = tokio::time::sleep(LOOK_EVERY) => {
                    for (line, deed, due) in self.due_lines() {
                        if busy.insert(line.clone()) {
                            under_way.push(async move {
                                self.take_asides_of(&deed, due).await;
                                line
                            });
                        }
                    }
                }
            }
        }
    }

    /// What may be taken over now, by bucket and region.
    fn due_lines(&self) -> Vec<(Line, Arc<BucketDeed>, Vec<Due>)> {
        let mut lines: BTreeMap<Line, (Arc<BucketDeed>, Vec<Due>)> = BTreeMap::new();
        for (id, name) in self.objects.buckets_with_asides() {
            let deed = self.regions.deed(&name).filter(|deed| deed.id == id);
            let Some(deed) = deed else { continue };
            for due in self.objects.due_asides(&deed) {
                let line = (id, due.1.region.clone());
                let of = lines
                    .entry(line)
                    .or_insert_with(|| (Arc::clone(&deed), vec![]));
                of.1.push(due);
            }
        }
        let one = |(line, (deed, due))| (line, deed, due);
        lines.into_iter().map(one).collect()
    }

    /// Reads what was set aside before the start, in buckets that are held here. Answers whether
    /// all of it could be read.
    pub(crate) async fn load_asides(&self, looked: &mut HashSet<BucketId>) -> bool {
        let here = self.regions.here().region;
        let mut held = HashSet::new();
        for deed in self.regions.deeds() {
            if deed.holding(&here) == Holding::Nothing {
                looked.remove(&deed.id);
                continue;
            }
            held.insert(deed.id);
            if !looked.insert(deed.id) {
                continue;
            }
            let asides = self.objects.load_asides(&deed).await;
            if let Err(error) = asides.and(self.objects.load_words(&deed).await) {
                tracing::warn!(bucket = %deed.name, %error, "what is left to be done cannot be read");
                looked.remove(&deed.id);
            }
        }
        looked.retain(|id| held.contains(id));
        self.objects.keep_asides(|id| held.contains(&id));
        looked.len() == held.len()
    }

    /// What one region has of a bucket. Where the region does not answer, the rest waits; a version
    /// that cannot be taken does not hold up those behind it.
    async fn take_asides_of(&self, deed: &Arc<BucketDeed>, due: Vec<Due>) {
        for (named, aside) in due {
            let (bucket, region, key) = (&deed.name, &aside.region, &named.0);
            let Err(error) = self.take_aside(deed, &named, &aside).await else {
                continue;
            };
            tracing::debug!(%bucket, %region, %key, %error, "what is set aside has not come");
            if !matches!(error, ReplicationError::Objects(_)) {
                return;
            }
        }
    }

    async fn take_aside(
        &self,
        deed: &Arc<BucketDeed>,
        named: &VersionName,
        aside: &SetAside,
    ) -> Result<(), ReplicationError> {
        let here = self.regions.here();
        let source = self.regions.place(&aside.region).ok_or_else(|| {
            ReplicationError::Refused(format!("region {} is not known", aside.region))
        })?;
        let permit = authorize_receiving(deed, &here, &source)?;
        let far = Far::new(&self.client, &self.regions, &aside.region, deed);
        let objects = &self.objects;
        let removed = objects.removed_here(&permit, std::slice::from_ref(named));
        let removed = removed.await?;
        let versions = vec![name(&named.0, named.1)];
        let lacking = far.names(What::Lacking { versions }).await?;
        if removed.named(named) || !lacking.is_empty() {
            return Ok(objects.end_aside(&permit, named, &aside.region).await?);
        }
        let Some(change) = far.version(named).await? else {
            return Ok(());
        };
        let null = matches!(&change, ShippedChange::Version(one) if one.null);
        if !removed.holds(named, null) {
            match objects.apply(&permit, change.clone(), &far).await {
                // Its tags are ahead by now: it is due when they are.
                Err(objects::Error::ClockAhead(stamp)) => {
                    let at = (aside.position, stamp);
                    let again = objects.set_aside(&permit, &aside.region, at, &change);
                    return Ok(again.await?);
                }
                other => other?,
            };
            take_back(objects, &permit, &[(named.clone(), null)], &far).await?;
        }
        Ok(objects.end_aside(&permit, named, &aside.region).await?)
    }
}
