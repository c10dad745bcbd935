//! The state of replicas: what their regions say that they have applied, and what this region has.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use store::Position;
use tokio::sync::watch;
use types::{BucketDeed, BucketId, RegionId, Replica};

/// A replica that has not asked for so long counts as not connected, also where its region has not
/// been found silent.
const SILENT: Duration = Duration::from_secs(60);

/// What a region that follows is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// It has not begun.
    Waiting,
    /// It takes a snapshot.
    Seeding,
    /// It follows the log.
    Following,
    /// It cannot go on for now.
    Stopped,
}

/// A replica, as the source knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Where it is.
    pub region: String,
    /// All up to this position of the source's log is applied there; `None` while it is seeded.
    pub applied: Option<u64>,
    /// Versions that it was given of the snapshot that it takes; `None` when it takes none.
    pub seeded: Option<u64>,
    /// Whether it asked lately.
    pub in_touch: bool,
    /// Changes that it has not applied; `None` when that is not known.
    pub behind: Option<u64>,
    /// Keys of such changes, the first few; only for those who may see names.
    pub lagging: Vec<String>,
}

/// A snapshot that a replica takes.
#[derive(Debug, Clone, Copy)]
struct Seeding {
    epoch: u64,
    versions: u64,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Acked {
    epoch: u64,
    /// Which of the replicas that the region was to keep.
    since: u64,
    /// What the region's generation was when it said so.
    generation: u64,
    position: u64,
    /// Whether it had handed over all that it had.
    handed: bool,
    at: Instant,
}

/// Who asks in a region's name. Its generation rises whenever that is another start of it: what an
/// earlier one has said of its replicas may not hold any more, since its folder may have been put
/// back to an older state.
#[derive(Debug, Clone, Copy, Default)]
struct Asker {
    instance: u64,
    generation: u64,
}

/// What the home says that it has read of what clients changed here, at a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    epoch: u64,
    /// Which start of the home has read it, and what its region's generation was then.
    by: u64,
    generation: u64,
    /// All up to here in this region's log.
    pub(crate) after: Position,
    /// And applied it, but for what the home has set aside, up to here.
    applied: Position,
    /// Where the home's log was when it had noted that.
    pub(crate) noted: Position,
}

/// One bucket and the region whose log is followed.
type Line = (BucketId, RegionId);

/// A bucket that is followed here.
#[derive(Debug, Clone)]
pub struct Following {
    /// The region that is followed.
    pub source: RegionId,
    /// What it is at.
    pub state: ReplicaState,
    /// The last failure.
    pub error: Option<String>,
    /// Versions that snapshots have brought.
    pub seeded: u64,
    /// Changes applied since the start.
    pub applied: u64,
    /// Milliseconds from when the last change was written to when it was applied here.
    pub lag_ms: u64,
    /// Whether all that was applied is noted: false in the midst of a page of changes.
    pub settled: bool,
    /// The last time at which all that the source had is known to be applied here.
    pub caught_up: Option<Instant>,
    /// The epoch, and up to where in the source's log all is applied here; `None` while a snapshot
    /// is taken, and before that is known.
    pub position: Option<(u64, u64)>,
}

/// Kept in memory: who asks anew after a start is known anew.
#[derive(Default)]
pub struct Status {
    askers: RwLock<HashMap<RegionId, Asker>>,
    acked: RwLock<HashMap<(BucketId, RegionId), Acked>>,
    seeding: RwLock<HashMap<Line, Seeding>>,
    following: RwLock<BTreeMap<Line, Following>>,
    read: watch::Sender<HashMap<BucketId, Read>>,
    /// Up to where the home is waited for: its question is answered at once then.
    wanted: watch::Sender<HashMap<BucketId, Position>>,
    forgotten: Mutex<HashMap<BucketId, Position>>,
    /// Regions that did not answer when they were last asked how they are, and when that was.
    silent: RwLock<HashMap<RegionId, Instant>>,
}

impl Status {
    /// A region was asked how it is, and answered or not. What of its replicas is connected follows
    /// from that too.
    pub fn looked(&self, region: &RegionId, answered: bool) {
        let mut silent = self.silent.write();
        match answered {
            true => drop(silent.remove(region)),
            false => drop(silent.insert(region.clone(), Instant::now())),
        }
    }

    /// Whether a region that asked at `last` is connected.
    fn is_connected(&self, region: &RegionId, last: Option<Instant>) -> bool {
        let silent = self.silent.read().get(region).copied();
        let since = |last: Instant| silent.is_none_or(|silent| last > silent);
        last.is_some_and(|last| last.elapsed() < SILENT && since(last))
    }

    /// A start of a region asks something. From now on nothing counts that another one has said.
    pub(crate) fn asks(&self, region: &RegionId, instance: u64) {
        let known = self.askers.read().get(region).map(|a| a.instance);
        if known == Some(instance) || types::planted("acks-of-another-start") {
            return;
        }
        let mut askers = self.askers.write();
        let asker = askers.entry(region.clone()).or_default();
        if known.is_some() {
            tracing::info!(%region, "another start of a region asks: its replicas are compared again");
        }
        *asker = Asker {
            instance,
            generation: asker.generation + 1,
        };
    }

    fn generation(&self, region: &RegionId) -> u64 {
        let askers = self.askers.read();
        askers.get(region).map_or(0, |asker| asker.generation)
    }

    /// A region has applied all up to `position` to the replica that it was to keep `since` then.
    /// `handed` says whether it has handed over all that it has to this start.
    pub(crate) fn acked(
        &self,
        deed: &BucketDeed,
        region: &RegionId,
        (since, position, handed): (u64, u64, bool),
    ) {
        let at = Acked {
            epoch: deed.epoch,
            since,
            generation: self.generation(region),
            position,
            handed,
            at: Instant::now(),
        };
        let line = (deed.id, region.clone());
        self.seeding.write().remove(&line);
        self.acked.write().insert(line, at);
    }

    /// A region begins to take a snapshot.
    pub(crate) fn begins(&self, deed: &BucketDeed, region: &RegionId) {
        let begun = Seeding {
            epoch: deed.epoch,
            versions: 0,
            at: Instant::now(),
        };
        let line = (deed.id, region.clone());
        // Whoever takes a snapshot has not what it said that it had, or begins anew.
        if !types::planted("acks-outlive-copies") {
            self.acked.write().remove(&line);
        }
        self.seeding.write().insert(line, begun);
    }

    /// A region was given so many versions of the snapshot.
    pub(crate) fn seeds(&self, deed: &BucketDeed, region: &RegionId, versions: usize) {
        let mut all = self.seeding.write();
        if let Some(seeding) = all.get_mut(&(deed.id, region.clone())) {
            seeding.versions += versions as u64;
            seeding.at = Instant::now();
        }
    }

    /// Whether every replica of the bucket has applied all up to `position`. Never before it is so.
    pub fn replicated(&self, deed: &BucketDeed, position: u64) -> bool {
        let acked = self.acked.read();
        deed.placement.replicas.iter().all(|replica| {
            let found = acked.get(&(deed.id, replica.region.clone()));
            found.is_some_and(|a| self.holds(deed, &replica.region, a) && a.position >= position)
        })
    }

    /// The readable replicas that are not known to have applied all up to `position`, each with up
    /// to where it has; `None` where its region is not connected.
    pub fn lagging(&self, deed: &BucketDeed, position: u64) -> Vec<(RegionId, Option<u64>)> {
        let acked = self.acked.read();
        let replicas = deed.placement.replicas.iter();
        let readable = replicas.filter(|replica| replica.sealed_by.is_none());
        let one = |replica: &Replica| {
            let said = acked.get(&(deed.id, replica.region.clone()));
            let has = said.map(|said| match self.holds(deed, &replica.region, said) {
                true => said.position,
                false => 0,
            });
            let connected = said.is_some_and(|said| said.at.elapsed() < SILENT);
            let lags = has.is_none_or(|has| has < position);
            lags.then(|| (replica.region.clone(), has.filter(|_| connected)))
        };
        readable.filter_map(one).collect()
    }

    /// Whether the statement is about the replica that the deed names, under its epoch, by the
    /// start of the region that runs now.
    fn holds(&self, deed: &BucketDeed, region: &RegionId, said: &Acked) -> bool {
        said.epoch == deed.epoch
            && (said.since == deed.placement.copy_since(region)
                || types::planted("acks-outlive-copies"))
            && said.generation == self.generation(region)
    }

    /// Replicas of which it is not known that all that they have is here too: they have not handed
    /// it over since this start. What they say of their position is not enough. They may have
    /// applied a part of what came behind it.
    pub fn not_compared(&self, deed: &BucketDeed) -> Vec<RegionId> {
        self.without(deed, |_, said| said.is_some_and(|said| said.handed))
    }

    /// Readable replicas that do not follow under the deed's epoch yet: each hands over what it
    /// alone has before it does.
    pub(crate) fn not_following(&self, deed: &BucketDeed) -> Vec<RegionId> {
        self.without(deed, |replica, said| {
            replica.sealed_by.is_some() || said.is_some()
        })
    }

    /// The replicas but for those that are enough, with what each has said that counts.
    fn without(
        &self,
        deed: &BucketDeed,
        enough: impl Fn(&Replica, Option<&Acked>) -> bool,
    ) -> Vec<RegionId> {
        let acked = self.acked.read();
        let lacks = |replica: &&Replica| {
            let found = acked.get(&(deed.id, replica.region.clone()));
            let found = found.filter(|said| self.holds(deed, &replica.region, said));
            !enough(replica, found)
        };
        let replicas = deed.placement.replicas.iter().filter(lacks);
        replicas.map(|replica| replica.region.clone()).collect()
    }

    /// The replicas of a bucket whose home is here.
    pub fn replicas(&self, deed: &BucketDeed) -> Vec<ReplicaStatus> {
        let (acked, seeding) = (self.acked.read(), self.seeding.read());
        let copy = |region: &RegionId| {
            let line = (deed.id, region.clone());
            let found = acked.get(&line);
            let found = found.filter(|a| self.holds(deed, region, a));
            let seeds = seeding.get(&line).filter(|s| s.epoch == deed.epoch);
            let last = found.map(|a| a.at).max(seeds.map(|s| s.at));
            ReplicaStatus {
                region: region.to_string(),
                applied: found.map(|a| a.position),
                seeded: seeds.map(|s| s.versions),
                in_touch: self.is_connected(region, last),
                behind: None,
                lagging: Vec::new(),
            }
        };
        let replicas = deed.placement.replicas.iter();
        replicas.map(|r| copy(&r.region)).collect()
    }

    /// Whether the replica here is as the source was at the position that is noted. Read this
    /// before that position: the note is made first.
    pub fn settled(&self, deed: &BucketDeed) -> bool {
        let line = (deed.id, deed.home.clone());
        let following = self.following.read();
        following.get(&line).is_some_and(|f| f.settled)
    }

    /// The last time at which the replica here is known to have had all that its home had; `None`
    /// if that was not since the start.
    pub fn caught_up(&self, deed: &BucketDeed) -> Option<Instant> {
        let line = (deed.id, deed.home.clone());
        self.following.read().get(&line)?.caught_up
    }

    /// Up to where in the home's log the replica here has applied all, under the deed's epoch.
    /// Never more than it has.
    pub fn applied(&self, deed: &BucketDeed) -> Option<u64> {
        let line = (deed.id, deed.home.clone());
        let following = self.following.read();
        let (epoch, position) = following.get(&line)?.position?;
        (epoch == deed.epoch).then_some(position)
    }

    /// A start of the home, `by`, has read what clients changed here up to `after`.
    pub(crate) fn own_read(
        &self,
        deed: &BucketDeed,
        by: u64,
        (after, applied, noted): (u64, u64, u64),
    ) {
        let read = Read {
            epoch: deed.epoch,
            by,
            generation: self.generation(&deed.home),
            after: Position(after),
            applied: Position(applied),
            noted: Position(noted),
        };
        self.read.send_modify(|all| {
            all.insert(deed.id, read);
        });
    }

    /// What the home has read of what clients changed here, under the deed's epoch.
    pub(crate) fn read(&self, deed: &BucketDeed) -> Option<Read> {
        let all = self.read.borrow();
        all.get(&deed.id).filter(|r| self.counts(deed, r)).copied()
    }

    /// Whether this was read under the deed's epoch, by the home's start that asked last.
    fn counts(&self, deed: &BucketDeed, read: &Read) -> bool {
        read.epoch == deed.epoch && read.generation == self.generation(&deed.home)
    }

    /// Whether the start of the home which answers as `instance` has read up to `position`: another
    /// one, beside it or before it, may have read what this one has not. 0 is one that does not
    /// say.
    pub(crate) fn is_read_by(&self, deed: &BucketDeed, instance: u64, position: Position) -> bool {
        let read = self.read(deed);
        read.is_some_and(|r| {
            let same =
                r.by == instance || instance == 0 || types::planted("reads-of-another-start");
            same && r.after >= position
        })
    }

    /// Up to where in this region's log the home has read what clients changed here; 0 while that
    /// is not known.
    pub fn read_up_to(&self, deed: &BucketDeed) -> Position {
        self.read(deed).map_or(Position(0), |read| read.after)
    }

    /// Whether the home has what clients changed here up to `position`. Never before it is so.
    pub fn is_read(&self, deed: &BucketDeed, position: u64) -> bool {
        self.read(deed).is_some_and(|r| r.applied.0 >= position)
    }

    /// Whether the record of what was removed here is to be dropped up to `position`: once for
    /// each.
    pub(crate) fn forgets(&self, id: BucketId, position: Position) -> bool {
        self.forgotten.lock().insert(id, position) != Some(position)
    }

    /// Waits until the home has what clients changed here up to `position`, for so long at most;
    /// answers whether it has.
    pub async fn until_home_has(&self, deed: &BucketDeed, position: u64, within: Duration) -> bool {
        let (position, applied) = (Position(position), |read: &Read| read.applied);
        self.until(deed, position, within, applied).await
    }

    /// The same, where it counts too what the home has set aside.
    pub(crate) async fn until_read(
        &self,
        deed: &BucketDeed,
        position: Position,
        within: Duration,
    ) -> bool {
        self.until(deed, position, within, |read| read.after).await
    }

    async fn until(
        &self,
        deed: &BucketDeed,
        position: Position,
        within: Duration,
        upto: impl Fn(&Read) -> Position,
    ) -> bool {
        let mut watch = self.read.subscribe();
        let done = |all: &HashMap<BucketId, Read>| {
            let found = all.get(&deed.id).filter(|r| self.counts(deed, r));
            found.is_some_and(|r| upto(r) >= position)
        };
        if done(&watch.borrow_and_update()) {
            return true;
        }
        self.wanted.send_modify(|all| {
            let wanted = all.entry(deed.id).or_default();
            *wanted = position.max(*wanted);
        });
        let waiting = watch.wait_for(done);
        matches!(tokio::time::timeout(within, waiting).await, Ok(Ok(_)))
    }

    /// Signals the positions that the home is to have read.
    pub(crate) fn wanted(&self) -> watch::Receiver<HashMap<BucketId, Position>> {
        self.wanted.subscribe()
    }

    /// The buckets that are followed here.
    pub fn following(&self) -> Vec<(BucketId, Following)> {
        let all = self.following.read();
        let one = |((id, _), f): (&Line, &Following)| (*id, f.clone());
        all.iter().map(one).collect()
    }

    pub(crate) fn follow(
        &self,
        id: BucketId,
        source: &RegionId,
        change: impl FnOnce(&mut Following),
    ) {
        let mut all = self.following.write();
        let line = (id, source.clone());
        let one = all.entry(line).or_insert_with(|| Following {
            source: source.clone(),
            state: ReplicaState::Waiting,
            error: None,
            seeded: 0,
            applied: 0,
            lag_ms: 0,
            settled: false,
            caught_up: None,
            position: None,
        });
        change(one);
    }

    /// Drops what was said of buckets that are gone.
    pub(crate) fn keep(&self, known: &HashSet<BucketId>) {
        self.acked.write().retain(|(id, _), _| known.contains(id));
        self.seeding.write().retain(|(id, _), _| known.contains(id));
        self.forgotten.lock().retain(|id, _| known.contains(id));
        self.read.send_if_modified(|all| {
            all.retain(|id, _| known.contains(id));
            false
        });
    }

    pub(crate) fn forget(&self, id: BucketId, source: &RegionId) {
        self.following.write().remove(&(id, source.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{AccountId, BucketName, Placement, Timestamp};

    fn deed(copy: &RegionId) -> BucketDeed {
        BucketDeed {
            id: BucketId(1),
            name: BucketName::new("papers").unwrap(),
            owner: AccountId::new("1"),
            home: RegionId::new("home"),
            created: Timestamp::default(),
            epoch: 1,
            placement: Placement {
                replicas: vec![Replica {
                    region: copy.clone(),
                    sealed_by: None,
                }],
                ..Placement::default()
            },
        }
    }

    #[test]
    fn a_region_that_was_found_silent_is_connected_once_it_asks_again() {
        let (status, region) = (Status::default(), RegionId::new("copy"));
        let deed = deed(&region);
        let connected = || status.replicas(&deed)[0].in_touch;
        status.acked(&deed, &region, (0, 1, true));
        assert!(connected());
        status.looked(&region, false);
        assert!(!connected(), "it does not answer, whenever it last asked");
        // So that the clock shows another time.
        let looked = Instant::now();
        while Instant::now() == looked {}
        status.acked(&deed, &region, (0, 1, true));
        assert!(connected());
        status.looked(&region, false);
        status.looked(&region, true);
        assert!(connected());
    }

    #[test]
    fn a_home_waits_at_its_start_until_the_others_were_asked() {
        let deed = deed(&RegionId::new("copy"));
        let behind = crate::Behind::default();
        assert!(behind.doubt_at_start(&deed.home, &deed).is_some());
        assert_eq!(behind.doubt_at_start(&RegionId::new("copy"), &deed), None);
        let alone = BucketDeed {
            placement: Placement::default(),
            ..deed.clone()
        };
        assert_eq!(behind.doubt_at_start(&deed.home, &alone), None);
        // Where the data folder is a copy, some region has to answer, if there is any.
        behind.is_copied();
        assert!(!behind.others_asked(2, 0));
        assert!(behind.doubt_at_start(&deed.home, &deed).is_some());
        assert!(behind.others_asked(2, 1));
        assert_eq!(behind.doubt_at_start(&deed.home, &deed), None);
        for copied in [true, false] {
            let behind = crate::Behind::default();
            if copied {
                behind.is_copied();
            }
            assert!(behind.others_asked(if copied { 0 } else { 2 }, 0));
            assert_eq!(behind.doubt_at_start(&deed.home, &deed), None);
        }
    }

    #[test]
    fn what_one_start_of_the_home_has_read_is_not_read_by_another() {
        let deed = deed(&RegionId::new("copy"));
        let status = Status::default();
        status.asks(&deed.home, 7);
        status.own_read(&deed, 7, (100, 100, 5));
        let at = Position(100);
        assert!(status.is_read_by(&deed, 7, at) && status.is_read(&deed, 100));
        assert!(!status.is_read_by(&deed, 7, Position(101)));
        // The process that answers is not the one that has read.
        assert!(!status.is_read_by(&deed, 8, at));
        // Another one asks: what the first has read counts for nothing.
        status.asks(&deed.home, 8);
        assert!(!status.is_read_by(&deed, 8, at) && !status.is_read(&deed, 100));
        assert_eq!(status.read_up_to(&deed), Position(0));
        status.own_read(&deed, 8, (40, 40, 6));
        assert!(status.is_read_by(&deed, 8, Position(40)) && !status.is_read(&deed, 41));
    }

    #[test]
    fn what_copies_said_is_kept_while_their_bucket_is_there() {
        let copy = RegionId::new("copy");
        let deed = deed(&copy);
        let status = Status::default();
        status.acked(&deed, &copy, (0, 7, false));
        status.keep(&HashSet::from([deed.id]));
        assert!(status.replicated(&deed, 7) && !status.replicated(&deed, 8));
        status.keep(&HashSet::new());
        assert!(!status.replicated(&deed, 7) && status.acked.read().is_empty());
    }
}
