//! A region has become a bucket's home. Before it decides anything that depends on a condition, the
//! home before it must decide nothing more, and what that decided should be here: it is asked to
//! yield, and its log is read to its end. Where it does not answer, the promise that it may have of
//! this region is waited out.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use ::follow::{Backoff, Task};
use access::{Action, SystemReason, authorize_receiving, authorize_system};
use futures_util::future::join_all;
use objects::{FollowCursor, ShippedChange, Word};
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use types::{BucketDeed, BucketId, RegionId};

use crate::{
    Divergence, Replication, ReplicationError,
    client::Far,
    follow::Follower,
    seats::Seat,
    silence::Silences,
    wire::{What, Yielded},
};

/// Buckets of which other regions are asked at once, or of which it is noted that they are taken;
/// the others wait.
const AT_ONCE: usize = 32;
/// How long the former home may take to answer.
const YIELD_WITHIN: Duration = Duration::from_secs(5);
/// How long a region that did not answer is not asked again, whatever the number of buckets.
const SILENT_FOR: Duration = Duration::from_secs(1);
/// After news that others act on too: who of them is woken first is decided by chance, and what
/// they do at once is done by then.
const AFTER_OTHERS: Duration = Duration::from_millis(50);
/// When it is noted that a home goes on under another epoch.
const NOTED_AFTER: Duration = Duration::from_secs(1);
/// Between two questions.
const AGAIN_MIN: Duration = Duration::from_millis(50);
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// How long a former home that answers is read, after its promise has ended, before this region
/// decides without what it lacks: that becomes versions at the hand-over.
const READ_MAX: Duration = Duration::from_secs(30);

/// What one region that held the bucket before has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Former {
    /// It decides nothing, and what it decided is here.
    Yielded,
    /// It decides nothing, but its log is not read yet.
    Answers,
    /// It does not answer.
    Silent,
}

/// What all of them say.
struct Answers {
    unread: bool,
    silent: bool,
    /// The home under the epoch before decides nothing, and what it decided is here.
    home_before: bool,
}

/// What the buckets that are taken over share.
struct Shared {
    places: Semaphore,
    silences: Silences,
}

impl Replication {
    /// Takes the place of the home for buckets that this region gets, until the task is dropped.
    pub async fn take_over(self: Arc<Self>) {
        let mut watch = self.regions.watch();
        let shared = Arc::new(Shared {
            places: Semaphore::new(AT_ONCE),
            silences: Silences::default(),
        });
        let mut tasks: BTreeMap<BucketId, Task> = BTreeMap::new();
        let here = self.regions.here().region;
        loop {
            watch.borrow_and_update();
            let mut homes = HashSet::new();
            for deed in self.regions.deeds() {
                if deed.home != here {
                    continue;
                }
                homes.insert(deed.id);
                let seats = &self.promises.seats;
                let before = seats.get(deed.id);
                if before.is_some_and(|seat| seat.epoch == deed.epoch) {
                    continue;
                }
                // Every move of the home raises the epoch: this one changed something else.
                let stays = before.is_some_and(|s| s.waits.is_none() && s.epoch + 1 == deed.epoch);
                let taken = stays || deed.epoch == 1;
                let until = self.promises.outstanding();
                seats.set(
                    deed.id,
                    Seat {
                        epoch: deed.epoch,
                        waits: (!taken).then_some(until),
                        complete: taken,
                    },
                );
                if deed.epoch == 1 {
                    continue;
                }
                let (id, this, shared) = (deed.id, Arc::clone(&self), Arc::clone(&shared));
                let task = Task::begin(async move {
                    // The follower of the home before ends with the same news.
                    sleep(if stays { NOTED_AFTER } else { AFTER_OTHERS }).await;
                    this.take_seat(&deed, stays, until, &shared).await;
                });
                tasks.insert(id, task);
            }
            tasks.retain(|id, task| homes.contains(id) && !task.has_ended());
            self.promises.seats.keep(|id| homes.contains(&id));
            if watch.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until this region may decide for the bucket, and notes that it does.
    async fn take_seat(
        &self,
        deed: &Arc<BucketDeed>,
        stays: bool,
        until: Instant,
        shared: &Shared,
    ) {
        let until = match types::planted("promise-not-waited-out") {
            true => Instant::now(),
            false => until,
        };
        // It is never closed. It is not held while this waits for a promise to end: other buckets
        // may not have to.
        let mut place = shared.places.acquire().await;
        let known = self.objects.epoch_here(deed).await;
        let mut taken = stays || known.is_ok_and(|known| known >= deed.epoch);
        let (begun, mut complete) = (Instant::now(), stays);
        let mut backoff = Backoff::new(AGAIN_MIN, AGAIN_MAX, (&deed.home, deed.id));
        while !taken {
            if !self.is_current(deed) {
                return;
            }
            let answers = self.ask_former(deed, &shared.silences).await;
            let now = Instant::now();
            let overdue = now >= until && (!answers.unread || now >= until + READ_MAX);
            // Early only when the home before is known to be among those who answered.
            let all = answers.home_before && !answers.unread && !answers.silent;
            taken = overdue || all;
            complete = all;
            if !taken {
                drop(place);
                let left = until.max(now) - now;
                sleep(backoff.pause().min(left.max(AGAIN_MIN))).await;
                place = shared.places.acquire().await;
            }
        }
        let waited_ms = begun.elapsed().as_millis() as u64;
        let seat = Seat {
            epoch: deed.epoch,
            waits: None,
            complete,
        };
        if !self.is_current(deed) {
            return;
        }
        self.promises.seats.set(deed.id, seat);
        let bucket = &deed.name;
        tracing::info!(%bucket, epoch = deed.epoch, waited_ms, complete, "this region decides for the bucket");
        // So that it need not wait again after a restart.
        let permit = authorize_system(SystemReason::Recovery, Action::ReplicateInto, deed);
        if let Err(error) = self.objects.fence(&permit).await {
            tracing::warn!(%bucket, %error, "that this region is the home is not noted");
        }
    }

    fn is_current(&self, deed: &BucketDeed) -> bool {
        let now = self.regions.deed(&deed.name);
        now.is_some_and(|now| now.id == deed.id && now.epoch == deed.epoch && now.home == deed.home)
    }

    /// What the regions say that could have decided before.
    async fn ask_former(&self, deed: &Arc<BucketDeed>, silences: &Silences) -> Answers {
        let copies = self.status.replicas(deed);
        // Who follows under this epoch knows it, and has handed over.
        let follows = |region: &RegionId| {
            let mut known = copies.iter().filter(|copy| copy.applied.is_some());
            known.any(|copy| *copy.region == **region)
        };
        let readable = deed.placement.replicas.iter();
        let mut cursors = BTreeMap::new();
        for replica in readable.filter(|replica| replica.sealed_by.is_none()) {
            let cursor = self.cursor_at(deed, &replica.region).await;
            cursors.insert(replica.region.clone(), cursor);
        }
        // The home before this one is the one that was followed last.
        let last = cursors.values().flatten().map(|cursor| cursor.epoch).max();
        let asking = cursors.iter().map(|(region, cursor)| async move {
            let cursor = cursor.as_ref().filter(|c| Some(c.epoch) == last);
            let former = match follows(region) {
                true => Former::Yielded,
                false if !silences.is_asked(region, SILENT_FOR) => Former::Silent,
                false => self.ask_one(deed, region, cursor, silences).await,
            };
            let before = cursor.is_some_and(|c| c.epoch + 1 == deed.epoch);
            (former, before)
        });
        let answers = join_all(asking).await;
        let any = |what: Former| answers.iter().any(|(former, _)| *former == what);
        Answers {
            unread: any(Former::Answers),
            silent: any(Former::Silent),
            home_before: answers.contains(&(Former::Yielded, true)),
        }
    }

    async fn ask_one(
        &self,
        deed: &Arc<BucketDeed>,
        region: &RegionId,
        cursor: Option<&FollowCursor>,
        silences: &Silences,
    ) -> Former {
        let (bucket, far) = (&deed.name, self.far(deed, region));
        let asked = Instant::now();
        let yielded: Yielded = match timeout(YIELD_WITHIN, far.read(What::Yield)).await {
            Ok(Ok(yielded)) => yielded,
            Ok(Err(error)) => {
                tracing::debug!(%bucket, %region, %error, "no answer to who decides");
                match error {
                    ReplicationError::Peer(_) => silences.is_silent(region, asked, SILENT_FOR),
                    // About this bucket it says no more.
                    _ => silences.answers(region),
                }
                return Former::Silent;
            }
            Err(_) => {
                silences.is_silent(region, asked, SILENT_FOR);
                return Former::Silent;
            }
        };
        silences.answers(region);
        // One that knows neither this epoch nor the one before may still learn that it was the home
        // in between, and decide by the promises that it has.
        let knows = yielded.was_home || yielded.epoch + 1 >= deed.epoch;
        if !knows {
            return Former::Silent;
        }
        match self.read_rest(deed, region, yielded, cursor).await {
            Ok(()) => Former::Yielded,
            Err(error) => {
                tracing::info!(%bucket, %region, %error, "the former home's log is not read yet");
                Former::Answers
            }
        }
    }

    fn far(&self, deed: &Arc<BucketDeed>, region: &RegionId) -> Far {
        Far::new(&self.client, &self.regions, region, deed)
    }

    async fn cursor_at(&self, deed: &Arc<BucketDeed>, region: &RegionId) -> Option<FollowCursor> {
        let place = self.regions.place(region)?;
        let permit = authorize_receiving(deed, &self.regions.here(), &place).ok()?;
        let found = self.objects.follow_cursor(&permit, region).await;
        found.ok().flatten()
    }

    /// Applies what the former home's log has behind what was followed.
    async fn read_rest(
        &self,
        deed: &Arc<BucketDeed>,
        region: &RegionId,
        yielded: Yielded,
        cursor: Option<&FollowCursor>,
    ) -> Result<(), ReplicationError> {
        let unread = |why: &str| ReplicationError::Refused(why.to_owned());
        let Some(cursor) = cursor else {
            return match yielded.was_home {
                true => Err(unread("this region never followed it")),
                false => Ok(()),
            };
        };
        if cursor.snapshot.is_some() {
            return Err(unread("this region has not got all of its snapshot"));
        }
        // Asked under the epoch that the other region knows.
        let known = Arc::new(BucketDeed {
            epoch: yielded.epoch,
            ..BucketDeed::clone(deed)
        });
        let follower = Follower {
            far: self.far(&known, region),
            objects: Arc::clone(&self.objects),
            status: Arc::default(),
            clock: Arc::clone(&self.clock),
            gathers: false,
        };
        if cursor.position.0 >= yielded.position {
            return Ok(());
        }
        // Nothing else that a removal here would have to be compared with comes meanwhile.
        let Some(_one) = self.handover.place(deed.id, region) else {
            return Err(unread("another region is read"));
        };
        let (from, news) = (cursor.position.0, Mutex::default());
        let read = self.read_pages(deed, &follower, (from, yielded.position), &news);
        // How much there is, the other region says: it must not hold this up without an end.
        let read = timeout(READ_MAX, read).await;
        let read = read.unwrap_or_else(|_| Err(unread("there is more than fits into one try")));
        self.report(deed, region, news.into_inner());
        read
    }

    /// Applies all between the two positions; notes the keys of what was not known here.
    async fn read_pages(
        &self,
        deed: &Arc<BucketDeed>,
        follower: &Follower,
        (mut after, end): (u64, u64),
        news: &Mutex<BTreeSet<String>>,
    ) -> Result<(), ReplicationError> {
        let unread = |why: &str| ReplicationError::Refused(why.to_owned());
        let place = self.regions.place(&follower.far.region);
        let place = place.ok_or_else(|| unread("the region is not known"))?;
        while after < end {
            let ask = What::Changes {
                after,
                wait_ms: 0,
                applied: None,
            };
            let mut page = follower.far.ask(ask).await?;
            if page.reseed || page.ahead {
                return Err(unread("its log no longer reaches back"));
            }
            if !self.is_current(deed) {
                return Err(unread("the bucket has another epoch by now"));
            }
            let permit = authorize_receiving(deed, &self.regions.here(), &place)?;
            // Clients write here meanwhile, and this may have been read before: what they removed
            // does not come again, and its removals hold for what was there before this epoch.
            for (_, change) in &mut page.changes {
                if let ShippedChange::Config(config) = change {
                    let handover = &self.handover;
                    handover.without_what_others_may_not_set(deed, &place, config);
                }
            }
            follower.leave_out_removed(&permit, &mut page).await?;
            let former = follower.weigh_removals(&permit, &mut page, Word::Former);
            former.await?;
            follower.apply_noting(&permit, &page, Some(news)).await?;
            follower.take_back_removed(&permit, &page).await?;
            if page.position <= after {
                break;
            }
            after = page.position;
        }
        Ok(())
    }

    /// What the old home had not sent to replicas is on record, as what it hands over later is:
    /// clients may write the same keys here already. Nothing waits for the registry.
    fn report(&self, deed: &BucketDeed, from: &RegionId, keys: BTreeSet<String>) {
        if keys.is_empty() {
            return;
        }
        let divergence = Divergence {
            bucket: deed.name.clone(),
            id: deed.id,
            from: from.clone(),
            epoch: deed.epoch,
            keys: keys.into_iter().collect(),
        };
        let regions = Arc::clone(&self.regions);
        tokio::spawn(async move { regions.report(divergence).await });
    }
}
