//! Asking for promises, every few seconds, and finding out what is true where a region said that a
//! bucket has a newer epoch.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::{Method, Request};
use peer::{Peer, collect, full};
use tokio::time::{Instant, sleep_until, timeout};
use types::{RegionId, deed::BoxFuture};

use crate::{
    Transport,
    promises::{Fence, PROMISE_PATH, PROMISED_BYTES_MAX, PromiseAsk, Promised, Promises},
};

/// Fences that are checked at once; the others follow.
const AT_ONCE: usize = 64;
/// Between two rounds at least.
const PAUSE: Duration = Duration::from_millis(100);
/// After news that others act on too.
const AFTER_OTHERS: Duration = Duration::from_millis(60);
/// The registry's region that says that a bucket has a newer epoch is about to put it on record:
/// its statement is accepted for so long, or for half of a promise where that is shorter.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

impl Promises {
    /// Asks until the task is dropped: five times within the life of a promise, sooner while one is
    /// missing that was not asked for long in vain, and at once when a deed makes another region's
    /// promise count.
    pub async fn renew(self: Arc<Self>, client: Arc<dyn Transport>) {
        let every = self.length() / 5;
        let mut watch = self.regions.watch();
        let mut wanted = self.wanted();
        let mut retry = PAUSE;
        loop {
            let begun = Instant::now();
            self.ask_all(&client, &wanted, every).await;
            self.rounds.send_modify(|rounds| *rounds += 1);
            self.check_fences(every).await;
            let all = wanted.iter().all(|region| self.holds(region));
            retry = match all {
                true => PAUSE,
                false => every.min(retry * 2),
            };
            let pause = if all { every } else { retry };
            let next = begun + pause.max(PAUSE);
            loop {
                tokio::select! {
                    biased;
                    () = sleep_until(next) => break,
                    changed = watch.changed() => if changed.is_err() {
                        return;
                    }
                }
                let now = self.wanted();
                let more = now.difference(&wanted).any(|region| !self.holds(region));
                wanted = now;
                if more {
                    retry = PAUSE;
                    // Others act on the same news; this comes after them, always.
                    let next = Instant::now() + AFTER_OTHERS;
                    sleep_until(next.max(begun + PAUSE)).await;
                    break;
                }
            }
        }
    }

    async fn ask_all(
        &self,
        client: &Arc<dyn Transport>,
        wanted: &BTreeSet<RegionId>,
        within: Duration,
    ) {
        let mut asking: Vec<BoxFuture<'_, ()>> = Vec::new();
        for region in wanted {
            asking.push(Box::pin(async move {
                // One that does not answer must not hold up the next round.
                match timeout(within, self.ask(client, region, within)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => tracing::debug!(%region, why, "no promise"),
                    Err(_) => tracing::debug!(%region, "no promise in time"),
                }
            }));
        }
        join_all(asking).await;
    }

    async fn ask(
        &self,
        client: &Arc<dyn Transport>,
        region: &RegionId,
        within: Duration,
    ) -> Result<(), String> {
        let address = self.regions.address(region).ok_or("no address")?;
        let to = Peer {
            region: region.clone(),
            address,
        };
        let ask = PromiseAsk {
            known: self.regions.known(),
        };
        let ask = serde_json::to_vec(&ask).map_err(|e| e.to_string())?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(PROMISE_PATH)
            .body(full(ask))
            .map_err(|e| e.to_string())?;
        let asked = Instant::now();
        let answer = client.ask(within, &to, request).await;
        let answer = answer.map_err(|e| e.to_string())?;
        if !answer.status().is_success() {
            return Err(answer.status().to_string());
        }
        let body = collect(answer.into_body(), PROMISED_BYTES_MAX, within).await;
        let body = body.map_err(|e| e.to_string())?;
        let promised: Promised = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        self.hold(region, asked, &promised);
        Ok(())
    }

    /// Asks the registry about buckets of which another region said that they have a newer epoch.
    async fn check_fences(&self, within: Duration) {
        let all = async {
            for fences in self.fences().chunks(AT_ONCE) {
                let mut asking: Vec<BoxFuture<'_, ()>> = Vec::new();
                // Those that are found wrong take others with them.
                for fence in fences.iter().filter(|fence| self.has(fence)) {
                    asking.push(Box::pin(self.check_fence(fence)));
                }
                join_all(asking).await;
            }
        };
        // What is not known in time is asked again.
        let _ = timeout(within, all).await;
    }

    async fn check_fence(&self, fence: &Fence) {
        let name = &fence.deed.name;
        let known = self.regions.deed(name).filter(|d| d.id == fence.deed.id);
        if known.is_none_or(|known| known.epoch >= fence.epoch) {
            return self.lift(fence);
        }
        let keeper = self.keeper.as_ref() == Some(&fence.from);
        if keeper && fence.at.elapsed() < RECORDED_WITHIN.min(self.length() / 2) {
            return;
        }
        match self.regions.fresh_epoch(&fence.deed).await {
            Some(epoch) if epoch < fence.epoch => {
                let (bucket, region) = (name, &fence.from);
                tracing::error!(%bucket, %region, claimed = fence.epoch, epoch, "a region named an epoch that the registry does not know: that word does not hold");
                self.lift_wrong(fence);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;
    use types::{
        AccountId, BucketDeed, BucketId, BucketName, Judge, Jurisdiction, Place, Placement,
        Replica, Timestamp,
    };

    use super::*;
    use crate::{Divergence, MayRemove, Regions};

    /// A registry that keeps all buckets under their first epoch.
    struct Cloud {
        deeds: Vec<Arc<BucketDeed>>,
        asked: Arc<AtomicUsize>,
    }

    impl Regions for Cloud {
        fn here(&self) -> Place {
            Place {
                region: RegionId::new("home"),
                jurisdiction: Jurisdiction::parse("DE").unwrap(),
                operator: "own".into(),
            }
        }
        fn place(&self, _: &RegionId) -> Option<Place> {
            None
        }
        fn address(&self, _: &RegionId) -> Option<String> {
            None
        }
        fn deed(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
            self.deeds.iter().find(|deed| deed.name == *name).cloned()
        }
        fn deeds(&self) -> Vec<Arc<BucketDeed>> {
            self.deeds.clone()
        }
        fn fresh_epoch<'a>(&'a self, _: &'a BucketDeed) -> BoxFuture<'a, Option<u64>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::ready(Some(1)))
        }
        fn watch(&self) -> watch::Receiver<u64> {
            watch::Sender::new(0).subscribe()
        }
        fn report(&self, _: Divergence) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
        fn may_remove<'a>(&'a self, _: &'a BucketDeed) -> BoxFuture<'a, MayRemove> {
            Box::pin(std::future::ready(MayRemove::No("not asked".to_owned())))
        }
    }

    fn deed(n: u64) -> Arc<BucketDeed> {
        let replica = Replica {
            region: RegionId::new("other"),
            sealed_by: None,
        };
        Arc::new(BucketDeed {
            id: BucketId(n),
            name: BucketName::new(&format!("bucket-{n}")).unwrap(),
            owner: AccountId::new("1"),
            home: RegionId::new("home"),
            created: Timestamp::default(),
            epoch: 1,
            placement: Placement {
                replicas: vec![replica],
                ..Placement::default()
            },
        })
    }

    /// The promises of a home of so many buckets, and how often the registry was asked.
    fn home(buckets: u64) -> (Arc<Promises>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let cloud = Cloud {
            deeds: (1..=buckets).map(deed).collect(),
            asked: Arc::clone(&asked),
        };
        let keeper = Some(RegionId::new("registry"));
        let length = Duration::from_secs(60);
        (Promises::new(Arc::new(cloud), keeper, length), asked)
    }

    fn lasting(moved: Vec<(u64, u64)>) -> Promised {
        Promised {
            lasts_ms: 60_000,
            moved,
        }
    }

    const WITHIN: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_home_that_yielded_in_vain_decides_by_a_new_promise_only() {
        let (promises, _) = home(1);
        let (keeper, other) = (RegionId::new("registry"), RegionId::new("other"));
        let deed = deed(1);
        let asked = Instant::now();
        promises.hold(&keeper, asked, &lasting(Vec::new()));
        promises.may_decide(&deed).unwrap();
        // Another region's statement is there already, and is found wrong sooner.
        for by in [&other, &keeper] {
            assert!(promises.learned(&deed, 2, by));
        }
        promises.check_fences(WITHIN).await;
        assert!(
            promises.may_write(&deed).is_err(),
            "it is about to be on record"
        );
        let fence = promises.fences().pop().unwrap();
        assert_eq!(fence.from, keeper);
        promises.lift_wrong(&fence);
        promises.may_write(&deed).unwrap();
        // The promotion may still come, spared the wait for what was promised before.
        assert!(promises.may_decide(&deed).is_err());
        promises.hold(&keeper, asked, &lasting(Vec::new()));
        assert!(
            promises.may_decide(&deed).is_err(),
            "an answer that was under way"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
        promises.hold(&keeper, Instant::now(), &lasting(Vec::new()));
        promises.may_decide(&deed).unwrap();
    }

    #[tokio::test]
    async fn one_regions_wrong_word_takes_no_other_ones_with_it() {
        let (promises, _) = home(1);
        let (keeper, other) = (RegionId::new("registry"), RegionId::new("other"));
        let deed = deed(1);
        let fence_of = |from: &RegionId| {
            let mut all = promises.fences().into_iter();
            all.find(|fence| fence.from == *from).unwrap()
        };
        // A replica's newer epoch does not take the place of the registry's, nor the other way.
        for (first, second, epoch) in [(&keeper, &other, 3), (&other, &keeper, 2)] {
            assert!(promises.learned(&deed, 2, first));
            assert!(promises.learned(&deed, epoch, second));
            promises.lift(&fence_of(second));
            assert!(promises.may_write(&deed).is_err());
            assert!(promises.learned(&deed, 2, first), "it was answered so");
            promises.lift(&fence_of(first));
            promises.may_write(&deed).unwrap();
        }
        assert!(promises.learned(&deed, 2, &keeper));
        assert!(promises.learned(&deed, 3, &other));
        promises.lift_wrong(&fence_of(&other));
        assert!(promises.may_write(&deed).is_err());
        assert_eq!(fence_of(&keeper).epoch, 2);
    }

    #[tokio::test]
    async fn an_answer_takes_no_more_room_than_was_counted() {
        let moved = |n: u64| {
            Arc::new(BucketDeed {
                id: BucketId(u64::MAX - n),
                epoch: u64::MAX - n,
                ..BucketDeed::clone(&deed(1))
            })
        };
        let cloud = Cloud {
            deeds: (0..100).map(moved).collect(),
            asked: Arc::default(),
        };
        let promises = Promises::new(Arc::new(cloud), None, Duration::from_secs(60));
        let (from, ask) = (
            RegionId::new("other"),
            PromiseAsk {
                known: String::new(),
            },
        );
        let room = promises.answer_bytes(&ask);
        let promised = promises.answer_within(&from, &ask, room);
        assert_eq!(promised.moved.len(), 100);
        let pairs = size_of_val(&*promised.moved);
        let text = promised.to_bytes().unwrap();
        assert!(room >= text.capacity() + pairs, "{room}, {}", text.len());
        assert!(text.capacity() >= text.len() && text.len() > 100 * 40);
        // With less room there is no promise, and nothing is named.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let none = promises.answer_within(&from, &ask, 4 << 10);
        assert_eq!((none.lasts_ms, none.moved.len()), (0, 0));
    }

    #[tokio::test]
    async fn a_region_that_names_wrong_epochs_stops_no_bucket_for_longer_than_a_question() {
        let (promises, asked) = home(1000);
        let other = RegionId::new("other");
        let all: Vec<(u64, u64)> = (1..=1000).map(|n| (n, 2)).collect();
        promises.hold(&other, Instant::now(), &lasting(all.clone()));
        assert_eq!(promises.fences().len(), 1000);
        promises.check_fences(WITHIN).await;
        assert_eq!(promises.fences().len(), 0);
        let first = asked.load(Ordering::SeqCst);
        assert!(first <= AT_ONCE, "{first} questions");
        // For a while neither its word nor its promise counts.
        promises.hold(&other, Instant::now(), &lasting(all));
        assert_eq!(promises.fences().len(), 0);
        promises.may_write(&deed(1)).unwrap();
        assert!(promises.may_decide(&deed(1)).is_err());
    }

    #[tokio::test]
    async fn all_that_the_registry_region_named_in_vain_is_checked_in_one_round() {
        let (promises, asked) = home(200);
        let keeper = RegionId::new("registry");
        let all = (1..=200).map(|n| (n, 2)).collect();
        promises.hold(&keeper, Instant::now(), &lasting(all));
        promises.age_fences(RECORDED_WITHIN);
        promises.check_fences(WITHIN).await;
        assert_eq!(promises.fences().len(), 0);
        assert_eq!(asked.load(Ordering::SeqCst), 200);
    }
}
