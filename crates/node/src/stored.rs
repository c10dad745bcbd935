//! How much is stored in this region: counted from its rows, again and again, for the metrics.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use access::{Action, SystemReason, authorize_system};
use objects::LastChange;
use parking_lot::Mutex;
use types::{BucketDeed, BucketId, Deeds, Holding, ObjectKey, Timestamp};

use crate::region::Region;

/// Versions that are read at once.
const PAGE: usize = 1000;
/// Between two pages, so that requests find the disk free.
const PAGE_PAUSE: Duration = Duration::from_millis(2);
/// The first count, after the start.
const FIRST: Duration = Duration::from_secs(2);
/// Between two counts: at least this, and so many times what the last one took.
const PAUSE_MIN: Duration = Duration::from_secs(10);
const PAUSE_TIMES: u32 = 200;
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// How much there is of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Buckets.
    pub buckets: u64,
    /// Keys whose newest version is an object.
    pub objects: u64,
    /// Versions, without delete markers.
    pub versions: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One bucket as it was counted.
#[derive(Debug, Clone, Copy)]
struct Counted {
    amount: Amount,
    holding: Holding,
    /// The last change before the count began.
    at: LastChange,
}

#[derive(Debug, Default)]
struct State {
    buckets: HashMap<BucketId, Counted>,
    /// When a count ended.
    ended: Option<Timestamp>,
}

/// What was counted last.
#[derive(Debug, Default)]
pub struct Stored(Mutex<State>);

/// A word for what a region holds of a bucket; none for nothing.
fn word(holding: Holding) -> Option<&'static str> {
    match holding {
        Holding::Home => Some("home"),
        Holding::Replica => Some("replica"),
        Holding::Sealed => Some("sealed"),
        Holding::Nothing => None,
    }
}

impl Stored {
    /// What was counted of one bucket; none before that.
    pub fn of(&self, id: BucketId) -> Option<Amount> {
        self.0.lock().buckets.get(&id).map(|counted| counted.amount)
    }

    /// The sums as the last count found them, with when it ended; none before that.
    pub fn sums(&self) -> Option<([(&'static str, Amount); 3], Timestamp)> {
        let state = self.0.lock();
        let ended = state.ended?;
        let mut sums = ["home", "replica", "sealed"].map(|word| (word, Amount::default()));
        for counted in state.buckets.values() {
            let sum = sums
                .iter_mut()
                .find(|(name, _)| word(counted.holding) == Some(*name));
            if let Some((_, sum)) = sum {
                sum.buckets += 1;
                sum.objects += counted.amount.objects;
                sum.versions += counted.amount.versions;
                sum.bytes += counted.amount.bytes;
            }
        }
        Some((sums, ended))
    }
}

/// Counts what the region holds until the task is dropped. A bucket that has not changed since is
/// not read again.
pub async fn watch(region: Arc<Region>) {
    tokio::time::sleep(FIRST).await;
    loop {
        let began = Instant::now();
        let mut deeds = region.registry.all();
        deeds.retain(|deed| deed.holding(&region.id) != Holding::Nothing);
        for deed in &deeds {
            if let Err(error) = count_if_changed(&region, deed).await {
                tracing::debug!(bucket = %deed.name, %error, "what is stored cannot be counted");
            }
        }
        {
            let mut state = region.watched.stored.0.lock();
            let held: HashSet<BucketId> = deeds.iter().map(|deed| deed.id).collect();
            state.buckets.retain(|id, _| held.contains(id));
            state.ended = Some(region.clock.now());
        }
        let pause = (began.elapsed() * PAUSE_TIMES).clamp(PAUSE_MIN, PAUSE_MAX);
        tokio::time::sleep(pause).await;
    }
}

async fn count_if_changed(region: &Region, deed: &Arc<BucketDeed>) -> Result<(), objects::Error> {
    let permit = authorize_system(SystemReason::Residency, Action::CountVersions, deed);
    let at = region.objects.last_change(deed);
    let holding = deed.holding(&region.id);
    let known = region
        .watched
        .stored
        .0
        .lock()
        .buckets
        .get(&deed.id)
        .copied();
    if let Some(known) = known.filter(|known| known.at == at) {
        let again = Counted { holding, ..known };
        region
            .watched
            .stored
            .0
            .lock()
            .buckets
            .insert(deed.id, again);
        return Ok(());
    }
    let mut amount = Amount::default();
    let mut last: Option<ObjectKey> = None;
    let mut from = None;
    loop {
        let page = region
            .objects
            .versions_by_key(&permit, from.as_ref(), PAGE)
            .await?;
        for one in page.0 {
            let newest = last.as_ref() != Some(&one.key);
            if !one.delete_marker {
                amount.versions += 1;
                amount.bytes += one.size;
                amount.objects += u64::from(newest);
            }
            last = Some(one.key);
        }
        match page.1 {
            Some(next) => from = Some(next),
            None => break,
        }
        tokio::time::sleep(PAGE_PAUSE).await;
    }
    let counted = Counted {
        amount,
        holding,
        at,
    };
    region
        .watched
        .stored
        .0
        .lock()
        .buckets
        .insert(deed.id, counted);
    Ok(())
}
