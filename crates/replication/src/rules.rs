//! Shipping versions to other buckets by the owner's rules: one task for each bucket whose home is
//! here and each destination of its rules. It reads the bucket's log as a follower would, and notes
//! how far it is once all up to there has arrived.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ::follow::{Backoff, Follow, Step, Task, Tries};
use access::{
    Permit, SystemReason, authorize_rule_receiving, authorize_rule_sending, authorize_system,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use objects::{FollowCursor, Objects, Rules, Sent, Shipped, ShippedChange, copy_by_rule};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use types::{BucketDeed, BucketId, BucketName, Clock, Holding, ObjectKey, deed::BoxFuture};

use crate::{
    Regions, ReplicationError, Transport,
    rules_far::{self, ask_destination},
    wire::{LACKING_MAX, PAGE_BYTES, PAGE_MAX, WAIT_MAX, name},
};

/// After a failure, and before a destination that was refused is looked at again.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Keys that are worked on at once. Changes of one key stay in order.
const KEYS_AT_ONCE: usize = 16;
/// How often a version is tried before the ones behind it go on without it.
const TRIES_MAX: usize = 3;
/// How often what waits is counted anew.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// How a bucket's rules are doing at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleShown {
    /// The bucket that versions go to.
    pub destination: String,
    /// Versions that were there before the rules are still looked at.
    pub scanning: bool,
    /// Changes that were not looked at yet.
    pub pending: Option<u64>,
    /// Why nothing can go.
    pub refused: Option<String>,
    /// Versions shipped since the region's start.
    pub shipped: u64,
    /// Versions that could not be shipped, each by itself.
    pub failed: u64,
}

/// Ships by rules.
pub struct Shipping {
    objects: Arc<Objects>,
    regions: Arc<dyn Regions>,
    client: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
}

/// One bucket and one destination.
type Pair = (BucketId, BucketName);

struct Running {
    generation: u64,
    epoch: u64,
    task: Task,
}

impl Shipping {
    /// For one region.
    pub fn new(
        objects: Arc<Objects>,
        regions: Arc<dyn Regions>,
        client: impl Transport,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            objects,
            regions,
            client: Arc::new(client),
            clock,
        }
    }

    /// Ships until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        let (mut deeds, mut rules) = (self.regions.watch(), self.objects.watch_rules());
        let mut tasks: BTreeMap<Pair, Running> = BTreeMap::new();
        loop {
            deeds.borrow_and_update();
            rules.borrow_and_update();
            let again = self.adjust(&mut tasks).await;
            let changed =
                futures_util::future::select(Box::pin(deeds.changed()), Box::pin(rules.changed()));
            match again {
                true => drop(tokio::time::timeout(PAUSE_MAX, changed).await),
                false => drop(changed.await),
            }
        }
    }

    /// Begins and ends tasks as rules and deeds say. Answers whether some could not be read.
    async fn adjust(&self, tasks: &mut BTreeMap<Pair, Running>) -> bool {
        let here = self.regions.here().region;
        let (mut wanted, mut again) = (HashSet::new(), false);
        for deed in self.regions.deeds() {
            if deed.holding(&here) != Holding::Home {
                continue;
            }
            let permit = reading(&deed);
            let rules = match self.objects.rules(&permit).await {
                Ok(Some(rules)) => rules,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(bucket = %deed.name, %error, "its rules cannot be read yet");
                    again = true;
                    continue;
                }
            };
            for to in rules.destinations() {
                let pair = (deed.id, to);
                let same = tasks.get(&pair).is_some_and(|runs| {
                    (runs.generation, runs.epoch) == (rules.generation(), deed.epoch)
                });
                if !same {
                    if let Some(running) = tasks.remove(&pair) {
                        running.task.end().await;
                    }
                    tasks.insert(pair.clone(), self.begin(&deed, &rules, &pair.1));
                }
                wanted.insert(pair);
            }
        }
        let gone: Vec<Pair> = tasks
            .keys()
            .filter(|p| !wanted.contains(*p))
            .cloned()
            .collect();
        for pair in gone {
            if let Some(running) = tasks.remove(&pair) {
                running.task.end().await;
            }
            self.objects.rule_states().forget(pair.0, &pair.1);
        }
        again
    }

    fn begin(&self, deed: &Arc<BucketDeed>, rules: &Arc<Rules>, to: &BucketName) -> Running {
        let line = Line {
            objects: Arc::clone(&self.objects),
            regions: Arc::clone(&self.regions),
            client: Arc::clone(&self.client),
            clock: Arc::clone(&self.clock),
            deed: Arc::clone(deed),
            rules: Arc::clone(rules),
            to: to.clone(),
            generation: rules.generation(),
        };
        let backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX, (deed.id, to));
        Running {
            generation: line.generation,
            epoch: deed.epoch,
            task: Task::begin(::follow::run(line, backoff)),
        }
    }

    /// How the rules of a bucket whose home is here are doing.
    pub async fn shown(
        objects: &Objects,
        deed: &Arc<BucketDeed>,
    ) -> objects::Result<Vec<RuleShown>> {
        let rules = objects.rules(&reading(deed)).await?;
        let mut all = Vec::new();
        for to in rules.iter().flat_map(|rules| rules.destinations()) {
            let known = objects.rule_states().of(deed.id, &to).unwrap_or_default();
            let after = store::Position(known.position);
            let behind = objects.behind(deed, after, 0).await?;
            all.push(RuleShown {
                destination: to.to_string(),
                scanning: known.scanning,
                pending: behind.map(|(count, _)| count),
                refused: known.refused,
                shipped: known.shipped,
                failed: known.failed,
            });
        }
        Ok(all)
    }
}

fn reading(deed: &Arc<BucketDeed>) -> Permit {
    let action = access::Action::ReplicateFrom;
    authorize_system(SystemReason::Rules, action, deed)
}

/// Why shipping stopped for now.
enum Stop {
    /// Nothing may go, unless something is changed.
    Refused(String),
    /// It is tried again.
    Failed(ReplicationError),
}

impl From<objects::Error> for Stop {
    fn from(error: objects::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ReplicationError> for Stop {
    fn from(error: ReplicationError) -> Self {
        Self::Failed(error)
    }
}

/// Where versions go.
enum Target {
    /// To a bucket whose home is here as well.
    Here(Permit),
    /// To one whose home is another region.
    There(Arc<BucketDeed>),
}

/// What a page is sent with: a permit for the source, the source's deed, and where it goes.
struct Permits {
    from: Permit,
    source: Arc<BucketDeed>,
    target: Target,
}

/// One bucket's way to one destination.
struct Line {
    objects: Arc<Objects>,
    regions: Arc<dyn Regions>,
    client: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    deed: Arc<BucketDeed>,
    rules: Arc<Rules>,
    to: BucketName,
    generation: u64,
}

/// Where shipping is.
struct At {
    cursor: FollowCursor,
    /// When what waits was last counted.
    counted: Option<Instant>,
    /// It is known that the log goes so far.
    seen: store::Position,
}

impl Follow for Line {
    type Cursor = At;
    type Fault = Stop;

    async fn open(&mut self) -> Result<At, Stop> {
        let from = self.permits().await?.from;
        let found = self.objects.rule_cursor(&from, &self.to).await?;
        let cursor = match found.filter(|cursor| cursor.epoch == self.generation) {
            Some(cursor) => cursor,
            None => self.anew(&from).await?,
        };
        Ok(At {
            cursor,
            counted: None,
            seen: store::Position(0),
        })
    }

    async fn step(&mut self, at: &mut At) -> Result<Step, Stop> {
        self.note(&at.cursor);
        let permits = self.permits().await?;
        self.count(&mut at.counted, &at.cursor).await?;
        let Some(cursor) = self.ship_page(&permits, &at.cursor).await? else {
            return Ok(Step::Wait(WAIT_MAX));
        };
        at.cursor = cursor;
        self.objects
            .set_rule_cursor(&permits.from, &self.to, &at.cursor)
            .await?;
        Ok(Step::Moved)
    }

    async fn woken(&mut self, at: &mut At) -> Result<(), Stop> {
        let from = self.permits().await?.from;
        let after = at.cursor.position.max(at.seen);
        at.seen = self.objects.changed(&from, after, WAIT_MAX).await?;
        Ok(())
    }

    fn failed(&mut self, stop: Stop) {
        let (bucket, to) = (&self.deed.name, &self.to);
        match stop {
            Stop::Refused(why) => {
                let known = self.objects.rule_states().of(self.deed.id, to);
                if known.is_none_or(|known| known.refused.as_ref() != Some(&why)) {
                    tracing::warn!(%bucket, %to, why, "nothing is replicated by rules");
                }
                self.say(|progress| progress.refused = Some(why));
            }
            Stop::Failed(error) => {
                tracing::warn!(%bucket, %to, %error, "replication by rules goes on later");
            }
        }
    }
}

impl Line {
    fn say(&self, change: impl FnOnce(&mut objects::RuleProgress)) {
        let states = self.objects.rule_states();
        states.change(self.deed.id, &self.to, |progress| {
            progress.generation = self.generation;
            change(progress);
        });
    }

    /// Asked anew for each page: both deeds may change.
    async fn permits(&self) -> Result<Permits, Stop> {
        let refused = |why: String| Stop::Refused(why);
        let name = &self.deed.name;
        let source = self.regions.deed(name).filter(|d| d.id == self.deed.id);
        let source = source.ok_or_else(|| refused(format!("bucket {name} is gone")))?;
        let to = &self.to;
        let found = self.regions.deed(to);
        let found = found.ok_or_else(|| refused(format!("there is no bucket {to}")))?;
        let here = self.regions.here();
        let there = rules_far::home_of(&*self.regions, &found);
        let there = there.ok_or_else(|| refused(format!("region {} is not known", found.home)))?;
        let permit = authorize_rule_sending(&source, &found, &here, &there);
        let from = permit.map_err(|why| refused(format!("bucket {to}: {why}")))?;
        let target = match there.region == here.region {
            false => Target::There(found),
            true => {
                let into = authorize_rule_receiving(&source, &found, &here, &here);
                let into = into.map_err(|why| refused(format!("bucket {to}: {why}")))?;
                if !self.objects.keeps_versions(&into).await? {
                    return Err(refused(format!("bucket {to} does not keep versions")));
                }
                Target::Here(into)
            }
        };
        Ok(Permits {
            from,
            source,
            target,
        })
    }

    /// Ships a page of the snapshot, or of the log; answers where to go on, unless there was
    /// nothing.
    async fn ship_page(
        &self,
        permits: &Permits,
        at: &FollowCursor,
    ) -> Result<Option<FollowCursor>, Stop> {
        let (objects, from) = (&self.objects, &permits.from);
        let mut next = at.clone();
        let changes: Vec<ShippedChange> = if let Some(row) = &at.snapshot {
            let page = objects.snapshot(from, Some(row.clone()), PAGE_MAX, PAGE_BYTES);
            let page = page.await?;
            next.snapshot = page.next;
            let version = |v| ShippedChange::Version(Box::new(v));
            page.versions.into_iter().map(version).collect()
        } else {
            let page = objects.changes(from, at.position, PAGE_MAX, PAGE_BYTES);
            let page = page.await?;
            if page.reseed {
                return Ok(Some(self.anew(from).await?));
            }
            if page.next == at.position {
                return Ok(None);
            }
            next.position = page.next;
            page.changes.into_iter().map(|(_, c)| c).collect()
        };
        self.send_all(permits, &changes).await?;
        Ok(Some(next))
    }

    /// All versions first, of which the rules let go what is theirs; then the log from here.
    async fn anew(&self, permit: &Permit) -> Result<FollowCursor, Stop> {
        Ok(FollowCursor {
            epoch: self.generation,
            position: self.objects.rules_end(permit).await?,
            seeded: 0,
            snapshot: Some(bytes::Bytes::from_static(b"c")),
            reach: store::Position(0),
        })
    }

    /// What the cursor says is durable: only then is anything said to have arrived.
    fn note(&self, cursor: &FollowCursor) {
        self.say(|progress| {
            progress.position = cursor.position.0;
            progress.scanning = cursor.snapshot.is_some();
            progress.refused = None;
        });
    }

    async fn count(&self, at: &mut Option<Instant>, cursor: &FollowCursor) -> Result<(), Stop> {
        if at.is_some_and(|at| at.elapsed() < COUNT_EVERY) {
            return Ok(());
        }
        *at = Some(Instant::now());
        let behind = self.objects.behind(&self.deed, cursor.position, 0).await?;
        self.say(|progress| progress.pending = behind.map_or(0, |(count, _)| count));
        Ok(())
    }

    async fn send_all(&self, permits: &Permits, changes: &[ShippedChange]) -> Result<(), Stop> {
        let into = match &permits.target {
            Target::Here(into) => into,
            Target::There(destination) => {
                return self.send_far(permits, destination, changes).await;
            }
        };
        let mut by_key: BTreeMap<&ObjectKey, Vec<&Shipped>> = BTreeMap::new();
        for change in changes {
            if let ShippedChange::Version(shipped) = change {
                by_key.entry(&shipped.key).or_default().push(shipped);
            }
        }
        let mut work: Vec<BoxFuture<'_, Result<(), Stop>>> = Vec::new();
        for versions in by_key.into_values() {
            work.push(Box::pin(async move {
                for shipped in versions {
                    self.send(&permits.from, into, shipped).await?;
                }
                Ok(())
            }));
        }
        let all = stream::iter(work).buffer_unordered(KEYS_AT_ONCE);
        all.try_collect::<Vec<()>>().await?;
        Ok(())
    }

    /// To a bucket whose home is another region: they are offered to that region until it has them.
    async fn send_far(
        &self,
        permits: &Permits,
        destination: &Arc<BucketDeed>,
        changes: &[ShippedChange],
    ) -> Result<(), Stop> {
        let mut going: BTreeMap<(String, String), &Shipped> = BTreeMap::new();
        for change in changes {
            if let ShippedChange::Version(shipped) = change
                && copy_by_rule(&self.rules, shipped, &self.to).is_some()
            {
                going.insert(name(&shipped.key, shipped.version), shipped);
            }
        }
        let mut tries = Tries::of(TRIES_MAX);
        while !going.is_empty() {
            let named = going.keys().take(LACKING_MAX).cloned().collect();
            let source = &permits.source;
            let (client, regions) = (&self.client, &self.regions);
            let taken = ask_destination(client, regions, source, destination, named).await?;
            if let Some(why) = taken.refused {
                return Err(Stop::Refused(why));
            }
            let before = going.len();
            for version in &taken.done {
                if let Some(shipped) = going.remove(version) {
                    self.arrived(&permits.from, shipped).await?;
                }
            }
            for (version, why) in &taken.failed {
                if tries.failed(version.clone())
                    && let Some(shipped) = going.remove(version)
                {
                    self.given_up(&permits.from, shipped, why).await?;
                }
            }
            if going.len() == before {
                tokio::time::sleep(PAUSE_MIN).await;
                // Nothing came: it may be that it may not any more.
                self.permits().await?;
            }
        }
        Ok(())
    }

    async fn arrived(&self, from: &Permit, shipped: &Shipped) -> Result<(), Stop> {
        self.objects
            .note_failed(from, &self.to, shipped, None)
            .await?;
        let now = self.clock.now().ms();
        self.say(|progress| {
            progress.shipped += 1;
            progress.shipped_bytes += shipped.size;
            progress.lag_ms = now.saturating_sub(shipped.version.at().ms());
        });
        Ok(())
    }

    async fn given_up(&self, from: &Permit, shipped: &Shipped, why: &str) -> Result<(), Stop> {
        let (bucket, to, key) = (&self.deed.name, &self.to, &shipped.key);
        tracing::error!(%bucket, %to, %key, why, "a version cannot be replicated");
        let noted = self.objects.note_failed(from, to, shipped, Some(why));
        noted.await?;
        self.say(|progress| progress.failed += 1);
        Ok(())
    }

    async fn send(&self, from: &Permit, into: &Permit, shipped: &Shipped) -> Result<(), Stop> {
        let objects = &self.objects;
        let mut tries = Tries::of(TRIES_MAX);
        loop {
            let why = match objects.send_by_rule(from, into, &self.rules, shipped).await {
                Ok(Sent::Stays) => return Ok(()),
                Ok(Sent::There) => return self.arrived(from, shipped).await,
                // Of this version alone: what it refers to cannot be read, or is not what it
                // should be.
                Err(
                    error @ (objects::Error::Body(_)
                    | objects::Error::BadDigest(_)
                    | objects::Error::Record(_)),
                ) => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            let name = vec![(shipped.key.clone(), shipped.version)];
            if !objects.lacking(from, name).await?.is_empty() {
                // Removed since.
                return Ok(());
            }
            if tries.failed(shipped.version) {
                return self.given_up(from, shipped, &why).await;
            }
        }
    }
}
