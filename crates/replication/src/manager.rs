//! What is followed here: one task for each bucket that this region keeps a replica of, begun and
//! ended as deeds change.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ::follow::{Backoff, Task};
use objects::Objects;
use seal::SealingKey;
use tokio::{sync::watch, time::Instant};
use types::{
    BucketDeed, BucketId, BucketName, Clock, Holding, Place, RegionId, Timestamp, Writes,
    deed::BoxFuture,
};

use crate::{
    OnWordOf, Promises, Repairs, Source, Status, Transport, client::Far, follow::Follower,
    handover::HandOver, removal::Removing, rules_far::Taking, said::Said,
};

/// Keys that a region alone had when it came back under a new home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The bucket.
    pub bucket: BucketName,
    /// Its number.
    pub id: BucketId,
    /// The region that had them.
    pub from: RegionId,
    /// The epoch under which they were handed over.
    pub epoch: u64,
    /// The keys, in order.
    pub keys: Vec<String>,
}

/// What replication knows of the cloud.
pub trait Regions: Send + Sync + 'static {
    /// This region.
    fn here(&self) -> Place;
    /// A random number that distinguishes this start of the region from every other; 0 where nobody
    /// needs to distinguish them.
    fn instance(&self) -> u64 {
        0
    }
    /// Why this region is not to act as the home of a bucket now; `None` when it is.
    fn home_doubt(&self, _: &BucketDeed) -> Option<String> {
        None
    }
    /// Whether this region's folder was put back to an older state, and not all replicas of the
    /// bucket, whose home is here, have handed over what they have.
    fn lacks(&self, _: &BucketDeed) -> bool {
        false
    }
    /// Another region.
    fn place(&self, region: &RegionId) -> Option<Place>;
    /// Where another region can be reached (host:port).
    fn address(&self, region: &RegionId) -> Option<String>;
    /// A bucket's deed.
    fn deed(&self, name: &BucketName) -> Option<Arc<BucketDeed>>;
    /// All deeds.
    fn deeds(&self) -> Vec<Arc<BucketDeed>>;
    /// Up to when this region may have lost writes that it acknowledged as the bucket's home:
    /// replicas have these then, and hand them over. `None` where it has lost nothing.
    fn lost_until(&self, deed: &BucketDeed) -> Option<Timestamp> {
        self.lacks(deed).then_some(Timestamp::from_ms(u64::MAX))
    }
    /// Whether another region is the one that keeps the registry.
    fn keeps_registry(&self, _: &RegionId) -> bool {
        false
    }
    /// Whether another region acts by all that is in force for a bucket's owner; says what it does
    /// not know.
    fn enforces(&self, _: &BucketDeed, _: &RegionId) -> Result<(), String> {
        Ok(())
    }
    /// Names what this region knows of the registry: two regions that know the same have the same
    /// name for it, and no others. Empty where there is no such name.
    fn known(&self) -> String {
        String::new()
    }
    /// Whether this region may promise others anything: not where it keeps a registry of which
    /// others have more.
    fn may_promise(&self) -> bool {
        true
    }
    /// The bucket's epoch, asked of the registry now; `None` when it does not answer, or does not
    /// know the bucket.
    fn fresh_epoch<'a>(&'a self, _: &'a BucketDeed) -> BoxFuture<'a, Option<u64>> {
        Box::pin(std::future::ready(None))
    }
    /// Changes whenever a deed or a region may have changed.
    fn watch(&self) -> watch::Receiver<u64>;
    /// Makes it known that a region came back with keys that the home had not.
    fn report(&self, divergence: Divergence) -> BoxFuture<'_, ()>;
    /// The epoch with which the bucket's home became it, by the registry's log as this region has
    /// it; says why that is not known.
    fn home_since<'a>(&'a self, deed: &'a BucketDeed) -> BoxFuture<'a, Result<u64, String>> {
        Box::pin(std::future::ready(Ok(deed.epoch)))
    }
    /// Puts on record what was removed because another region reported it; answers whether it is on
    /// record.
    fn removed_on_word<'a>(&'a self, _: &'a OnWordOf) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }
    /// Whether the rows that are stored here of a bucket, which is not placed here by the deeds
    /// that this region knows, are to be removed: on the registry's fresh word about this region
    /// and bucket only.
    fn may_remove<'a>(&'a self, deed: &'a BucketDeed) -> BoxFuture<'a, MayRemove>;
    /// Puts on record that rows of a bucket which is not placed here any more were removed; answers
    /// whether it is on record, or need not be.
    fn removed<'a>(&'a self, _: &'a BucketDeed, _: u64) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }
}

/// Whether rows of a bucket are to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MayRemove {
    /// They are, now.
    Yes,
    /// They are, unless the bucket is placed here again within this time.
    Later(Duration),
    /// Nobody says so for certain; says why. They stay.
    No(String),
}

/// How long a removal waits at once for those who still read the bucket here.
const READERS_SOON: Duration = Duration::from_secs(1);
/// And in all: who takes nothing of what it was given keeps no removal from being put on record.
const READERS_WAIT: Duration = Duration::from_secs(300);
/// For how long a region promises, unless it is configured otherwise.
const PROMISE: Duration = Duration::from_secs(10);
/// After a failure to follow.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// After a failure to discard a bucket's rows.
const DISCARD_AGAIN: Duration = Duration::from_secs(5);

/// How a bucket's log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A replica follows the home.
    Copy,
    /// So does one that is sealed.
    Sealed,
    /// The home reads what clients change at a replica.
    Gather,
}

/// A bucket, and the region whose log is read.
type Line = (BucketId, RegionId);

struct Running {
    way: Way,
    deed: Arc<BucketDeed>,
    task: Task,
}

/// What has been done, so that it is not looked at again with every change of the registry.
struct Done {
    /// Nothing of these is stored here.
    clean: HashSet<BucketId>,
    /// So many rows of these were removed, and that is not on record yet.
    receipts: BTreeMap<BucketId, u64>,
    /// Since when these are read by somebody though their rows are gone.
    read: BTreeMap<BucketId, Instant>,
    /// Whether rows of these are to go.
    removing: Removing,
    /// These were deleted while they were followed here.
    deleted: BTreeMap<BucketId, Arc<BucketDeed>>,
}

/// Follows what is to be followed.
pub struct Replication {
    pub(crate) objects: Arc<Objects>,
    pub(crate) regions: Arc<dyn Regions>,
    pub(crate) client: Arc<dyn Transport>,
    pub(crate) repairs: Repairs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) status: Arc<Status>,
    pub(crate) promises: Arc<Promises>,
    pub(crate) handover: HandOver,
    sealing: Option<Arc<SealingKey>>,
    taking: Taking,
}

impl Replication {
    /// For one region.
    pub fn new(
        objects: Arc<Objects>,
        regions: Arc<dyn Regions>,
        client: impl Transport,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let client: Arc<dyn Transport> = Arc::new(client);
        let (for_handover, from) = (Arc::clone(&client), Arc::clone(&objects));
        let status = Arc::<Status>::default();
        let promises = Promises::new(Arc::clone(&regions), None, PROMISE);
        Self {
            promises: promises.knowing(&status),
            handover: HandOver::new(for_handover, from, Arc::clone(&regions)),
            objects,
            regions,
            client,
            repairs: Repairs::default(),
            clock,
            status,
            sealing: None,
            taking: Taking::default(),
        }
    }

    /// With the key that sealed replicas are sealed with; without, none are made.
    #[must_use]
    pub fn sealing(self, key: SealingKey) -> Self {
        Self {
            sealing: Some(Arc::new(key)),
            ..self
        }
    }

    /// With promises for so long, in a cloud whose registry is kept by `keeper`.
    #[must_use]
    pub fn promising(self, keeper: Option<RegionId>, length: Duration) -> Self {
        let promises = Promises::new(Arc::clone(&self.regions), keeper, length);
        Self {
            promises: promises.knowing(&self.status),
            ..self
        }
    }

    /// What regions promise each other.
    pub fn promises(&self) -> &Arc<Promises> {
        &self.promises
    }

    /// Asks other regions for promises, until the task is dropped.
    pub async fn renew(self: Arc<Self>) {
        let client = Arc::clone(&self.client);
        Arc::clone(&self.promises).renew(client).await;
    }

    /// The state of replicas.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// What answers other regions.
    pub fn source(&self) -> Source {
        Source {
            objects: Arc::clone(&self.objects),
            regions: Arc::clone(&self.regions),
            status: Arc::clone(&self.status),
            clock: Arc::clone(&self.clock),
            taking: self.taking.clone(),
            promises: Arc::clone(&self.promises),
            handover: self.handover.clone(),
            sealing: self.sealing.clone(),
        }
    }

    /// Follows until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        tokio::select! {
            () = self.follow_deeds() => {}
            () = self.take_asides() => {}
            () = self.report_words() => {}
        }
    }

    async fn follow_deeds(&self) {
        let mut watch = self.regions.watch();
        let mut looked = HashSet::new();
        let mut tasks: BTreeMap<Line, Running> = BTreeMap::new();
        let mut done = Done {
            clean: HashSet::new(),
            receipts: BTreeMap::new(),
            read: BTreeMap::new(),
            removing: Removing::new(Arc::clone(&self.regions)),
            deleted: BTreeMap::new(),
        };
        let answered = Arc::clone(&done.removing.answered);
        loop {
            watch.borrow_and_update();
            let loaded = self.load_asides(&mut looked).await;
            let again = self.adjust(&mut tasks, &mut done, &looked).await || !loaded;
            tokio::select! {
                changed = watch.changed() => if changed.is_err() {
                    return;
                },
                () = answered.notified() => {}
                // Something is left to do: not only when a deed changes.
                () = tokio::time::sleep(DISCARD_AGAIN), if again => {}
            }
        }
    }

    /// Begins and ends tasks as the deeds say. Answers whether something is to be tried again.
    /// Nothing is followed of a bucket that is not among the `loaded`: of what is set aside there
    /// it would be said that it is applied.
    async fn adjust(
        &self,
        tasks: &mut BTreeMap<Line, Running>,
        done: &mut Done,
        loaded: &HashSet<BucketId>,
    ) -> bool {
        let here = self.regions.here().region;
        let mut again = false;
        let mut held: BTreeMap<Line, (Way, Arc<BucketDeed>)> = BTreeMap::new();
        let deeds = self.regions.deeds();
        let known: HashSet<BucketId> = deeds.iter().map(|deed| deed.id).collect();
        done.clean.retain(|id| known.contains(id));
        done.receipts.retain(|id, _| known.contains(id));
        done.read.retain(|id, _| known.contains(id));
        let deleted = done.deleted.keys().copied();
        done.removing
            .keep(&known.iter().copied().chain(deleted).collect());
        self.status.keep(&known);
        for deed in deeds {
            let holding = deed.holding(&here);
            if holding != Holding::Nothing {
                done.clean.remove(&deed.id);
                done.removing.forget(deed.id);
            }
            if holding == Holding::Home && deed.placement.writes == Writes::Any {
                let readable = deed.placement.replicas.iter();
                for copy in readable.filter(|replica| replica.sealed_by.is_none()) {
                    let line = (deed.id, copy.region.clone());
                    held.insert(line, (Way::Gather, Arc::clone(&deed)));
                }
            }
            let line = (deed.id, deed.home.clone());
            match holding {
                Holding::Replica => drop(held.insert(line, (Way::Copy, deed))),
                Holding::Sealed => drop(held.insert(line, (Way::Sealed, deed))),
                Holding::Home => {}
                // What lay here before the placement changed, or while this region was away.
                Holding::Nothing => {
                    if done.clean.contains(&deed.id) {
                        continue;
                    }
                    // Who reads it gets nothing more, also while the rows can be brought back.
                    self.objects.end_reads(deed.id);
                    // Nothing may be under way that would bring more.
                    let lines = tasks.keys().filter(|(id, _)| *id == deed.id);
                    for line in lines.cloned().collect::<Vec<_>>() {
                        if let Some(running) = tasks.remove(&line) {
                            running.task.end().await;
                            self.status.forget(line.0, &line.1);
                        }
                    }
                    again |= !self.remove(&deed, done).await;
                }
            }
        }
        self.end_gone(tasks, &held, done).await;
        for deed in done.deleted.values().cloned().collect::<Vec<_>>() {
            again |= !self.remove(&deed, done).await;
        }
        held.retain(|(id, _), _| loaded.contains(id));
        self.begin(tasks, held);
        again
    }

    /// Begins to follow what is not followed yet.
    fn begin(
        &self,
        tasks: &mut BTreeMap<Line, Running>,
        held: BTreeMap<Line, (Way, Arc<BucketDeed>)>,
    ) {
        let here = self.regions.here().region;
        for (line, (way, deed)) in held {
            if tasks.contains_key(&line) {
                continue;
            }
            let follower = Follower {
                far: Far {
                    sealed: way == Way::Sealed,
                    said: Arc::new(match way {
                        Way::Copy => Said::following(),
                        Way::Sealed => Said::sealed(),
                        Way::Gather => Said::default(),
                    }),
                    ..Far::new(&self.client, &self.regions, &line.1, &deed)
                },
                objects: Arc::clone(&self.objects),
                status: Arc::clone(&self.status),
                clock: Arc::clone(&self.clock),
                gathers: way == Way::Gather,
            };
            let backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX, (&here, &line));
            let task = Task::begin(::follow::run(follower, backoff));
            tasks.insert(line, Running { way, deed, task });
        }
    }

    /// Ends what is not to be followed so any more.
    async fn end_gone(
        &self,
        tasks: &mut BTreeMap<Line, Running>,
        held: &BTreeMap<Line, (Way, Arc<BucketDeed>)>,
        done: &mut Done,
    ) {
        let here = self.regions.here().region;
        // A replica that was removed and added again is another one.
        let which = |deed: &BucketDeed| (deed.epoch, deed.placement.copy_since(&here));
        let other = |(line, runs): &(&Line, &Running)| {
            let wanted = held.get(*line);
            wanted.is_none_or(|(way, d)| *way != runs.way || which(d) != which(&runs.deed))
        };
        let gone: Vec<Line> = tasks.iter().filter(other).map(|(l, _)| l.clone()).collect();
        for line in gone {
            let Some(Running { way, deed, task }) = tasks.remove(&line) else {
                continue;
            };
            self.status.forget(line.0, &line.1);
            task.end().await;
            let known = self.regions.deed(&deed.name);
            let deleted = known.is_none_or(|d| d.id != line.0);
            if deleted && way != Way::Gather {
                done.deleted.insert(deed.id, deed);
            }
        }
    }

    /// Removes what is stored here of a bucket that is not placed here, once that is certain, and
    /// has it put on record. Answers whether nothing is left to be tried again: an answer about
    /// what is to be removed is waited for elsewhere.
    async fn remove(&self, deed: &Arc<BucketDeed>, done: &mut Done) -> bool {
        let some = match self.objects.holds_rows(deed).await {
            Ok(some) => some,
            Err(error) => {
                tracing::warn!(bucket = %deed.name, %error, "rows of a bucket cannot be read");
                return false;
            }
        };
        if some && !done.removing.may(deed).await {
            return true;
        }
        let Some(count) = self.discard(deed).await else {
            return false;
        };
        let rows = done.receipts.remove(&deed.id).unwrap_or_default() + count;
        if !self.is_read_no_more(deed, done).await {
            done.receipts.insert(deed.id, rows);
            return false;
        }
        // A bucket that is gone has its end on record already.
        let deleted = done.deleted.contains_key(&deed.id);
        if rows > 0 && !deleted && !self.regions.removed(deed, rows).await {
            done.receipts.insert(deed.id, rows);
            return false;
        }
        done.removing.forget(deed.id);
        if done.deleted.remove(&deed.id).is_none() {
            done.clean.insert(deed.id);
        }
        true
    }

    /// Whether the last reader of a bucket that is not placed here has ended.
    async fn is_read_no_more(&self, deed: &BucketDeed, done: &mut Done) -> bool {
        let (bucket, readers) = (&deed.name, self.objects.end_reads(deed.id));
        let ended = self.objects.reads_ended(deed.id, READERS_SOON);
        if readers == 0 || ended.await {
            done.read.remove(&deed.id);
            return true;
        }
        let since = *done.read.entry(deed.id).or_insert_with(Instant::now);
        if since.elapsed() < READERS_WAIT {
            tracing::warn!(%bucket, readers, "a bucket that was removed here is still being read");
            return false;
        }
        tracing::error!(
            %bucket,
            readers,
            "whoever read a bucket that was removed here takes nothing more; what it was given \
             before may still be on its way"
        );
        done.read.remove(&deed.id);
        true
    }

    /// Removes a bucket's rows; answers how many, unless some stay for now.
    async fn discard(&self, deed: &BucketDeed) -> Option<u64> {
        match self.objects.discard_bucket(deed).await {
            Ok(0) => Some(0),
            Ok(count) => {
                tracing::warn!(
                    bucket = %deed.name,
                    id = deed.id.0,
                    epoch = deed.epoch,
                    count,
                    "rows of a bucket that is not placed here any more were removed"
                );
                Some(count)
            }
            Err(error) => {
                tracing::warn!(bucket = %deed.name, %error, "rows of a bucket stay for now");
                None
            }
        }
    }
}
