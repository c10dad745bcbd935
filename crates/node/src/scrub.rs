//! Scrubbing: every stored byte is read and compared with its checksum, and damage is reported by
//! the versions that it concerns. On request they get their bytes back from other regions, and
//! extents that nothing refers to are removed.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use access::{Action, Permit, SystemReason, authorize_system};
use admin::failure::Failure;
use objects::{DamagedVersion, Known};
use parking_lot::Mutex;
use replication::Repair;
use serde::Serialize;
use store::{BlobId, Damage, Damaged};
use types::{BucketDeed, Clock, Deeds, Holding};

use crate::{config::Config, engine_failure, region::Region};

/// Rows that are read at a time.
const PAGE: usize = 1000;
/// Damaged versions, and other damage, that are listed; the rest is counted.
const LISTED_MAX: usize = 1000;

/// A version whose bytes are damaged here.
#[derive(Debug, Clone, Serialize)]
pub struct DamageFound {
    /// Its bucket.
    pub bucket: String,
    /// Its key; in a sealed replica its sealed name.
    pub key: String,
    /// Its id, or `null`.
    pub version: String,
    /// What is damaged, in words.
    pub what: String,
    /// Whether it has all its bytes again.
    pub repaired: bool,
    /// The region that they came from.
    pub from: Option<String>,
    /// Why it was not repaired, if that was tried.
    pub why: Option<String>,
}

/// How far a pass is, and what it found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScrubState {
    /// Under way.
    pub running: bool,
    /// What is being read: `journal`, `extents`, `versions` or `orphans`.
    pub phase: &'static str,
    /// Bytes verified.
    pub bytes: u64,
    /// Bytes there were to verify when the pass began. Writes meanwhile can bring `bytes` above it.
    pub bytes_total: u64,
    /// Rows and extents verified.
    pub items: u64,
    /// Orphaned extents removed (with `repair`).
    pub orphans_removed: u64,
    /// Bytes that they took.
    pub orphan_bytes: u64,
    /// Versions that are or were damaged, at most 1000 of them.
    pub versions: Vec<DamageFound>,
    /// How many versions are damaged and stay so.
    pub damaged_versions: u64,
    /// How many versions have their bytes again (with `repair`).
    pub repaired: u64,
    /// What else is damaged, in words; at most 1000 of it.
    pub damaged: Vec<String>,
    /// Why the pass ended early.
    pub error: Option<String>,
    /// Milliseconds since the epoch.
    pub started_ms: u64,
    /// Milliseconds that the pass took so far.
    pub took_ms: u64,
}

/// What the rows of a bucket said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    /// Which extents each refers to.
    All,
    /// Some did not say that.
    Some,
    /// Some could not be read.
    Unread,
}

/// Does the pass of `job` on the folder of `config`, which no process uses. Meanwhile `look` is
/// called at this interval.
///
/// # Errors
/// The folder does not open, the pass ended early, or `look` failed.
pub async fn offline(
    config: &Config,
    job: &Arc<ScrubJob>,
    repair: bool,
    (every, look): (Duration, impl Fn() -> Result<(), Failure>),
) -> Result<(), Failure> {
    let region = Arc::new(Region::open(config, None).await?);
    let pass = {
        let (job, region) = (Arc::clone(job), Arc::clone(&region));
        tokio::spawn(async move { job.pass(&region, repair).await })
    };
    while !pass.is_finished() {
        look()?;
        tokio::time::sleep(every).await;
    }
    let ended = pass
        .await
        .map_err(|e| Failure::new(format!("the scrub broke: {e}")))?;
    region.upkeep.close().map_err(engine_failure::failure)?;
    ended
}

/// At most one pass at a time.
#[derive(Default)]
pub struct ScrubJob {
    busy: AtomicBool,
    state: Mutex<ScrubState>,
}

impl ScrubJob {
    /// A pass that its maker drives itself with [`ScrubJob::pass`].
    pub fn begun() -> Self {
        let state = ScrubState {
            running: true,
            started_ms: types::SystemClock.now().ms(),
            ..ScrubState::default()
        };
        Self {
            busy: AtomicBool::new(true),
            state: Mutex::new(state),
        }
    }

    /// The state now.
    pub fn state(&self) -> ScrubState {
        self.state.lock().clone()
    }

    /// Starts a pass in the background; `false` when one is under way.
    pub fn start(job: &Arc<Self>, region: Arc<Region>, repair: bool) -> bool {
        if job.busy.swap(true, Ordering::AcqRel) {
            return false;
        }
        *job.state.lock() = ScrubState {
            running: true,
            started_ms: region.clock.now().ms(),
            ..ScrubState::default()
        };
        let job = Arc::clone(job);
        tokio::spawn(async move {
            let ended = job.pass(&region, repair).await;
            let mut state = job.state.lock();
            if let Err(error) = ended {
                tracing::error!(%error, "the scrub ended early");
                state.error = Some(error.to_string());
            }
            for damage in &state.damaged {
                tracing::error!(damage, "the scrub found damage");
            }
            for found in state.versions.iter().filter(|found| !found.repaired) {
                let DamageFound {
                    bucket,
                    key,
                    version,
                    what,
                    why,
                    ..
                } = found;
                tracing::error!(bucket, key, version, what, why, "the scrub found damage");
            }
            state.running = false;
            drop(state);
            job.busy.store(false, Ordering::Release);
        });
        true
    }

    /// One whole pass, here and now.
    pub async fn pass(self: &Arc<Self>, region: &Arc<Region>, repair: bool) -> Result<(), Failure> {
        let (job, reader) = (Arc::clone(self), Arc::clone(region));
        let verified = tokio::task::spawn_blocking(move || job.verify(&reader)).await;
        let mut known = verified.map_err(|e| Failure::new(format!("the scrub broke: {e}")))??;
        let whole = self.look_for_versions(region, repair, &mut known).await?;
        if repair && whole {
            self.state.lock().phase = "orphans";
            let swept = region.objects.sweep_orphans().await;
            let swept = swept.map_err(|e| Failure::new(e.to_string()))?;
            let mut state = self.state.lock();
            state.orphans_removed = swept.removed;
            state.orphan_bytes = swept.bytes;
        }
        self.tick(&*region.clock);
        Ok(())
    }

    /// Names the versions that the damage concerns, and has them repaired. Answers whether every
    /// row said which extents it refers to: only then is it known which nothing refers to.
    async fn look_for_versions(
        &self,
        region: &Arc<Region>,
        repair: bool,
        known: &mut Known,
    ) -> Result<bool, Failure> {
        self.state.lock().phase = "versions";
        let mut whole = true;
        let mut read_whole: HashSet<u64> = HashSet::new();
        let mut extents: HashSet<BlobId> = known.extents.clone();
        for deed in Deeds::all(&*region.registry) {
            // What is stored here of a bucket that is not placed here is being removed.
            if deed.holding(&region.id) == Holding::Nothing {
                continue;
            }
            let told = self.look_at_bucket(region, &deed, repair, (known, &mut extents));
            let told = told.await?;
            whole &= told == Reported::All;
            if told != Reported::Unread {
                read_whole.insert(deed.id.0);
            }
        }
        let mut state = self.state.lock();
        for (partition, key) in &known.payloads {
            // Of a bucket that was read whole: it is named, or was replaced meanwhile.
            if !read_whole.contains(partition) {
                let row = format!("row {key:?} of partition {partition}: its payload");
                state.is_damaged(row);
            }
        }
        for id in extents {
            match whole {
                // What crashes left of uploads, or replaced meanwhile: it goes with the orphans.
                true => tracing::info!(%id, "a damaged extent that nothing refers to"),
                false => {
                    let text = format!("extent {id}: no row that can be read names it");
                    state.is_damaged(text);
                }
            }
        }
        if repair && !whole {
            let why = "rows that cannot be read may refer to any extent: orphans stay";
            tracing::warn!(why, "no orphan was removed");
        }
        Ok(whole)
    }

    async fn look_at_bucket(
        &self,
        region: &Arc<Region>,
        deed: &Arc<BucketDeed>,
        repair: bool,
        (known, extents): (&Known, &mut HashSet<BlobId>),
    ) -> Result<Reported, Failure> {
        let permit = permit(deed);
        let (mut from, mut told) = (None, Reported::All);
        loop {
            let page = region.objects.damage_page(&permit, from, known, PAGE);
            let page = match page.await {
                Ok(page) => page,
                Err(objects::Error::Store(store::StoreError::Corrupt(why))) => {
                    let text = format!("rows of bucket {} cannot be read: {why}", deed.name);
                    self.state.lock().is_damaged(text);
                    return Ok(Reported::Unread);
                }
                Err(error) => return Err(Failure::new(error.to_string())),
            };
            if page.unread {
                told = Reported::Some;
            }
            for id in &page.referred {
                extents.remove(id);
            }
            for other in page.others {
                self.state.lock().is_damaged(other);
            }
            for version in &page.versions {
                let stays = self.look_at_version(region, version, repair).await;
                if stays && version.hides_extents() {
                    told = Reported::Some;
                }
            }
            self.tick(&*region.clock);
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(told),
            }
        }
    }

    /// Answers whether it stays damaged.
    async fn look_at_version(
        &self,
        region: &Arc<Region>,
        version: &DamagedVersion,
        repair: bool,
    ) -> bool {
        let mut found = DamageFound {
            bucket: version.deed.name.to_string(),
            key: version.key.to_string(),
            version: version.display.to_string(),
            what: version.what(),
            repaired: false,
            from: None,
            why: None,
        };
        match repair {
            false => region.replication.repairs().count_found(),
            true => match region.replication.repair(version).await {
                Repair::Changed => return false,
                Repair::Done(from) => (found.repaired, found.from) = (true, Some(from.to_string())),
                Repair::Not(why) => found.why = Some(why),
            },
        }
        let stays = !found.repaired;
        self.state.lock().version(found);
        stays
    }

    fn tick(&self, clock: &dyn Clock) {
        let mut state = self.state.lock();
        state.took_ms = clock.now().ms().saturating_sub(state.started_ms);
    }

    /// Reads all payloads and extents; answers which are damaged.
    fn verify(&self, region: &Region) -> Result<Known, Failure> {
        let mut known = Known::default();
        let verified = region.upkeep.verify(&mut |seen| {
            let mut state = self.state.lock();
            (state.phase, state.bytes_total) = (seen.part, seen.bytes_total);
            (state.bytes, state.items) = (seen.bytes, seen.items);
            drop(state);
            self.tick(&*region.clock);
            ControlFlow::Continue(())
        });
        let damage = verified.map_err(engine_failure::failure)?;
        let mut state = self.state.lock();
        for Damage { of, what } in damage {
            match of {
                Damaged::Rows(partition, key) => state.is_damaged(format!(
                    "rows of partition {}, {what}: {key:?}; what they hold cannot be named",
                    partition.0
                )),
                Damaged::Log => state.is_damaged(format!(
                    "the change log: {what}; replicas that still need it begin again"
                )),
                Damaged::Payload(partition, key) => {
                    known.payloads.insert((partition.0, key));
                }
                Damaged::Extent(id) => {
                    known.extents.insert(id);
                }
                // What a crash left of an upload, unless a row refers to it: whoever reads the
                // rows finds that out.
                Damaged::Unfinished(_) => {}
            }
        }
        Ok(known)
    }
}

fn permit(deed: &Arc<BucketDeed>) -> Permit {
    authorize_system(SystemReason::Recovery, Action::ReplicateInto, deed)
}

impl ScrubState {
    fn is_damaged(&mut self, what: String) {
        if self.damaged.len() < LISTED_MAX {
            self.damaged.push(what);
        }
    }

    fn version(&mut self, found: DamageFound) {
        match found.repaired {
            true => self.repaired += 1,
            false => self.damaged_versions += 1,
        }
        if self.versions.len() < LISTED_MAX {
            self.versions.push(found);
        }
    }
}
