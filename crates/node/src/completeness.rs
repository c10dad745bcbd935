//! How complete the replicas of a bucket are, as its home reported last. The registry's region
//! keeps that: once a home is lost, no other report counts. A replica's own report does not, since
//! it could claim more than it has.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use replication::ReplicaStatus;
use tokio::time::{Instant, sleep, timeout};
use types::{BucketDeed, BucketId, Deeds, RegionId};

use crate::region::Region;

/// Buckets of which it is kept; what more there is counts as not known.
const BUCKETS_MAX: usize = 50_000;
/// Between two rounds.
const ROUND: Duration = Duration::from_secs(5);
/// How long one home is asked in a round: the others do not wait for one that has many buckets.
const ROUND_MAX: Duration = Duration::from_secs(60);
/// Homes that are asked at once.
const HOMES_AT_ONCE: usize = 16;
/// How long a home may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between two questions: at least this, and so many times what the last answer took. A home reads
/// its log for it.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_TIMES: u32 = 10;
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a home reported of one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// How many of the bucket's changes it lacks.
    pub changes: u64,
    /// When the home said so.
    pub at: Instant,
}

#[derive(Debug)]
struct Entry {
    epoch: u64,
    /// Which of the replicas that each region was to keep: another one has another number.
    replicas: HashMap<RegionId, (u64, Lacking)>,
}

/// What homes reported last.
#[derive(Debug, Default)]
pub struct Completeness(Mutex<HashMap<BucketId, Entry>>);

impl Completeness {
    /// Notes the answer of the bucket's home. A replica that takes a snapshot, or whose place in
    /// the log the home does not have any more, counts as not known.
    pub fn note(&self, deed: &BucketDeed, copies: &[ReplicaStatus]) {
        let at = Instant::now();
        let mut replicas = HashMap::new();
        for replica in &deed.placement.replicas {
            let told = copies.iter().find(|copy| *copy.region == *replica.region);
            if let Some(changes) = told.and_then(|copy| copy.behind) {
                let since = deed.placement.copy_since(&replica.region);
                replicas.insert(replica.region.clone(), (since, Lacking { changes, at }));
            }
        }
        let mut all = self.0.lock();
        if all.len() < BUCKETS_MAX || all.contains_key(&deed.id) {
            let epoch = deed.epoch;
            all.insert(deed.id, Entry { epoch, replicas });
        }
    }

    /// What the home under this epoch reported last of a replica.
    pub fn of(&self, deed: &BucketDeed, region: &RegionId) -> Option<Lacking> {
        let all = self.0.lock();
        let entry = all.get(&deed.id).filter(|one| one.epoch == deed.epoch)?;
        let (told, lacking) = entry.replicas.get(region)?;
        (*told == deed.placement.copy_since(region)).then_some(*lacking)
    }

    fn keep(&self, wanted: &HashSet<BucketId>) {
        self.0.lock().retain(|id, _| wanted.contains(id));
    }
}

/// Asks the homes again and again, until the task is dropped: of buckets with more than one replica
/// that could succeed the home.
pub async fn watch(region: Arc<Region>) {
    let mut next = HashMap::new();
    loop {
        let mut deeds = region.registry.all();
        deeds.retain(|deed| deed.home != region.id);
        // What a home reported when somebody asked is kept as well.
        let known = deeds.iter().map(|deed| deed.id).collect();
        region.watched.completeness.keep(&known);
        deeds.retain(|deed| deed.placement.succession().nth(1).is_some());
        deeds.truncate(BUCKETS_MAX);
        let ask = |deed: Arc<BucketDeed>| {
            let region = &region;
            async move { region.replicas(&deed).await.is_ok() }
        };
        round(deeds, &mut next, ask).await;
        sleep(ROUND).await;
    }
}

/// Asks several homes at once, each about one bucket after another, for so long at most.
/// `next` keeps where each is gone on with: behind the bucket that was asked about last, so that
/// none whose home does not answer stands before the same others each time.
async fn round<F: Future<Output = bool>>(
    deeds: Vec<Arc<BucketDeed>>,
    next: &mut HashMap<RegionId, BucketId>,
    ask: impl Fn(Arc<BucketDeed>) -> F,
) {
    let mut homes: BTreeMap<RegionId, Vec<Arc<BucketDeed>>> = BTreeMap::new();
    for deed in deeds {
        homes.entry(deed.home.clone()).or_default().push(deed);
    }
    next.retain(|home, _| homes.contains_key(home));
    let ask = &ask;
    let asking = homes.into_iter().map(|(home, mut deeds)| {
        deeds.sort_unstable_by_key(|deed| deed.id);
        let last = next.get(&home).copied();
        let first = deeds.partition_point(|deed| Some(deed.id) <= last);
        deeds.rotate_left(first);
        async move { (home, ask_about(deeds, ask).await) }
    });
    let asking: Vec<_> = asking.collect();
    let mut asking = stream::iter(asking).buffer_unordered(HOMES_AT_ONCE);
    while let Some((home, last)) = asking.next().await {
        next.extend(last.map(|last| (home, last)));
    }
}

/// Asks one home, until it does not answer; answers which bucket was the last one.
async fn ask_about<F: Future<Output = bool>>(
    deeds: Vec<Arc<BucketDeed>>,
    ask: &impl Fn(Arc<BucketDeed>) -> F,
) -> Option<BucketId> {
    let (begun, mut last) = (Instant::now(), None);
    for deed in deeds {
        if begun.elapsed() >= ROUND_MAX {
            break;
        }
        last = Some(deed.id);
        let asked = Instant::now();
        if !matches!(timeout(ANSWER_WITHIN, ask(deed)).await, Ok(true)) {
            break;
        }
        let pause = asked.elapsed() * PAUSE_TIMES;
        sleep(pause.clamp(PAUSE_MIN, PAUSE_MAX)).await;
    }
    last
}

#[cfg(test)]
mod tests {
    use types::{AccountId, BucketName, Placement, Replica, Timestamp};

    use super::*;

    fn deed(id: u64, epoch: u64, since: u64) -> BucketDeed {
        let replica = |region: &str| Replica {
            region: RegionId::new(region),
            sealed_by: None,
        };
        BucketDeed {
            id: BucketId(id),
            name: BucketName::new("papers").unwrap(),
            owner: AccountId::new("1"),
            home: RegionId::new("home"),
            created: Timestamp::default(),
            epoch,
            placement: Placement {
                replicas: vec![replica("a"), replica("b")],
                since: [(RegionId::new("a"), since)].into(),
                ..Placement::default()
            },
        }
    }

    fn copy(region: &str, behind: Option<u64>) -> ReplicaStatus {
        ReplicaStatus {
            region: region.to_owned(),
            applied: behind.map(|_| 7),
            seeded: None,
            in_touch: true,
            behind,
            lagging: Vec::new(),
        }
    }

    #[test]
    fn what_a_home_told_holds_for_that_epoch_and_that_replica_only() {
        let (told, a, b) = (
            Completeness::default(),
            RegionId::new("a"),
            RegionId::new("b"),
        );
        let of = |deed: &BucketDeed, region: &RegionId| {
            let told = told.of(deed, region);
            told.map(|told| told.changes)
        };
        let now = deed(1, 1, 4);
        assert_eq!(of(&now, &a), None);
        told.note(
            &now,
            &[copy("a", Some(3)), copy("b", None), copy("x", Some(0))],
        );
        assert_eq!(of(&now, &a), Some(3));
        assert_eq!(of(&now, &b), None, "it takes a snapshot");
        assert_eq!(of(&now, &RegionId::new("x")), None, "it keeps no replica");
        assert_eq!(of(&deed(1, 2, 4), &a), None, "under another home");
        assert_eq!(
            of(&deed(1, 1, 9), &a),
            None,
            "it was removed and added again"
        );
        assert_eq!(of(&deed(2, 1, 4), &a), None, "another bucket");
        told.note(&now, &[copy("a", Some(0))]);
        assert_eq!(of(&now, &a), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_home_that_is_silent_or_has_many_buckets_holds_up_no_other() {
        let of = |home: &str, id: u64| {
            Arc::new(BucketDeed {
                home: RegionId::new(home),
                ..deed(id, 1, 4)
            })
        };
        let mut deeds: Vec<_> = (0..100_000).map(|id| of("many", id)).collect();
        for home in 0..10 {
            deeds.extend((0..2).map(|n| of(&format!("silent-{home}"), 200_000 + 2 * home + n)));
        }
        deeds.extend((0..3).map(|n| of("few", 300_000 + n)));
        let asked: Mutex<Vec<(BucketId, Duration)>> = Mutex::default();
        let (mut next, mut begun) = (HashMap::new(), Instant::now());
        for turn in 0..2 {
            let ask = |deed: Arc<BucketDeed>| {
                asked.lock().push((deed.id, begun.elapsed()));
                async move {
                    match deed.home.starts_with("silent") {
                        true => std::future::pending().await,
                        false => true,
                    }
                }
            };
            round(deeds.clone(), &mut next, ask).await;
            assert!(begun.elapsed() < ROUND_MAX + ANSWER_WITHIN, "{turn}");
            let mut few: Vec<_> = asked.lock().drain(..).collect();
            let silent = few
                .iter()
                .filter(|(id, _)| (200_000..300_000).contains(&id.0));
            let expected: Vec<u64> = (0..10).map(|home| 200_000 + 2 * home + turn).collect();
            assert_eq!(silent.map(|(id, _)| id.0).collect::<Vec<_>>(), expected);
            let many = few.iter().filter(|(id, _)| id.0 < 100_000);
            assert_eq!(many.clone().count(), 1200);
            assert_eq!(many.map(|(id, _)| id.0).min(), Some(1200 * turn));
            few.retain(|(id, _)| id.0 >= 300_000);
            assert_eq!(few.len(), 3);
            assert!(few.iter().all(|(_, at)| *at < Duration::from_secs(1)));
            begun = Instant::now();
        }
    }

    #[test]
    fn it_is_kept_of_so_many_buckets_at_most() {
        let told = Completeness::default();
        let last = BUCKETS_MAX as u64;
        for id in 0..=last {
            told.note(&deed(id, 1, 4), &[copy("a", Some(1))]);
        }
        let a = RegionId::new("a");
        assert!(told.of(&deed(last, 1, 4), &a).is_none());
        assert!(told.of(&deed(0, 1, 4), &a).is_some());
        told.keep(&HashSet::from([BucketId(7)]));
        assert_eq!(told.0.lock().len(), 1);
    }
}
