//! A bucket that takes writes in every region: the home reads what replicas made, replicas follow
//! the home, and all end with the same, whatever is on its way when.

use std::collections::{BTreeMap, BTreeSet};

use types::{VersionId, Writes};

use super::*;
use crate::Own;

fn open_deed() -> Arc<BucketDeed> {
    let mut deed = (*deed()).clone();
    deed.placement.writes = Writes::Any;
    Arc::new(deed)
}

/// One way between the home and a replica, and how far it has come.
#[derive(Default)]
struct Ways {
    /// The replica has applied the home's log up to here.
    down: Position,
    /// The home has applied what the replica made up to here.
    up: Position,
    /// Where the home's log was when it noted that.
    noted: Position,
}

struct Cloud {
    home: Region,
    copies: Vec<(Region, Ways)>,
    /// What clients removed at each replica: it may not be seen there again.
    removed: Vec<BTreeSet<VersionId>>,
}

impl Cloud {
    async fn new(seed: u64) -> Self {
        let region = |id: &str, n| Region::under(id, seed * 10 + n, open_deed());
        let copy = |id, n| (region(id, n), Ways::default());
        Self {
            home: region("home", 0),
            copies: vec![copy("copy", 1), copy("third", 2)],
            removed: vec![BTreeSet::new(); 2],
        }
    }

    fn at(&self, n: usize) -> &Region {
        match n {
            0 => &self.home,
            n => &self.copies[n - 1].0,
        }
    }

    /// A client does something somewhere.
    async fn act(&mut self, random: &SeededRandom, step: usize) {
        let pick = |n: usize| random.next_u64() as usize % n;
        let (n, at) = (pick(3), format!("k{}", pick(3)));
        let what = pick(14);
        let before = self.at(n).versions().await;
        let region = self.at(n);
        match what {
            0 if n == 0 => region.versioning(Versioning::Enabled).await,
            1 if n == 0 && step > 20 => region.versioning(Versioning::Suspended).await,
            2..=4 => drop(region.delete(&at, None).await),
            5 => {
                let names: Vec<_> = before.values().filter(|r| !r.null).collect();
                if !names.is_empty() {
                    let record = names[pick(names.len())];
                    for n in 0..3 {
                        let at = format!("k{n}");
                        region.delete(&at, Some(record.display())).await;
                    }
                }
            }
            6 => drop(region.delete(&at, Some(DisplayVersion::Null)).await),
            7 if region.get(&at, None).await.is_ok() => {
                region.tag(&at, &format!("{step} at {n}")).await;
            }
            8 => drop(region.put(&at, vec![step as u8; LARGE]).await),
            _ => drop(region.put(&at, format!("{at} {step} at {n}")).await),
        }
        if n > 0 {
            let after = names(&region.versions().await);
            let gone: Vec<_> = names(&before).difference(&after).cloned().collect();
            self.removed[n - 1].extend(gone);
        }
    }

    /// The replica applies a page of the home's log, perhaps one that it had.
    async fn down(&mut self, n: usize, limit: usize, again: bool) -> bool {
        let (copy, ways) = &mut self.copies[n];
        let home = &self.home;
        let at = if again { Position(0) } else { ways.down };
        let permit = home.sending();
        let page = home.objects.changes(&permit, at, limit, 1000);
        let page = page.await.unwrap();
        for (_, change) in &page.changes {
            copy.take(change, &From(home, None)).await.unwrap();
        }
        if again {
            return false;
        }
        let moved = page.next != ways.down;
        ways.down = page.next;
        if ways.down >= ways.noted {
            let permit = copy.receiving();
            let forget = copy.objects.forget_removals(&permit, ways.up);
            forget.await.unwrap();
        }
        moved
    }

    /// The home reads a page of what the replica made.
    async fn up(&mut self, n: usize, limit: usize) -> bool {
        let (copy, ways) = &mut self.copies[n];
        let home = &self.home;
        let permit = copy.sending();
        let page = copy
            .objects
            .own_changes(&permit, ways.up, Own::Present, limit, 1000);
        let page = page.await.unwrap();
        for (_, change) in &page.changes {
            let (permit, from) = (home.receiving(), &copy.objects.region);
            let change = ShippedChange::decode(&change.encode()).unwrap();
            let bodies = From(copy, None);
            let taken = home.objects.apply_own(&permit, from, change, &bodies);
            taken.await.unwrap();
        }
        let moved = page.next != ways.up;
        ways.up = page.next;
        ways.noted = home.objects.log_end(PartitionId(7));
        moved
    }

    async fn settle(&mut self) {
        loop {
            let mut moved = false;
            for n in 0..2 {
                moved |= self.up(n, 50).await | self.down(n, 50, false).await;
            }
            if !moved {
                return;
            }
        }
    }
}

fn names(versions: &BTreeMap<(String, bool), ObjectRecord>) -> BTreeSet<VersionId> {
    versions.values().map(|record| record.version).collect()
}

#[tokio::test]
async fn all_regions_come_to_the_same_whatever_arrives_when() {
    for seed in 0..250 {
        let random = SeededRandom::new(seed);
        let mut cloud = Cloud::new(seed).await;
        for step in 0..120 {
            match random.next_u64() % 10 {
                0..=4 => cloud.act(&random, step).await,
                5 | 6 => drop(cloud.up(random.next_u64() as usize % 2, 3).await),
                7 | 8 => drop(cloud.down(random.next_u64() as usize % 2, 5, false).await),
                _ => drop(cloud.down(random.next_u64() as usize % 2, 1000, true).await),
            }
            for n in 0..2 {
                let there = names(&cloud.copies[n].0.versions().await);
                let back: Vec<_> = there.intersection(&cloud.removed[n]).collect();
                assert!(
                    back.is_empty(),
                    "seed {seed} step {step}: {back:?} came back at {n}"
                );
            }
        }
        cloud.settle().await;
        let want = cloud.home.versions().await;
        for (copy, ways) in &cloud.copies {
            assert_eq!(copy.versions().await, want, "seed {seed}");
            let permit = copy.receiving();
            let left = copy
                .objects
                .own_removals(&copy.sending(), None)
                .await
                .unwrap();
            assert!(
                left.0.is_empty(),
                "seed {seed}: {left:?} is kept and never removed"
            );
            let end = copy.objects.own_log_end(&permit).await.unwrap();
            assert!(ways.up <= end);
        }
    }
}
