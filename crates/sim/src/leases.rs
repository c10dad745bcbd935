//! Two homes must not decide at once, and a home that is followed to the end of what it decided
//! loses none of it: keys that every client tries to make, each on the condition that it is not
//! there, and homes that are cut off from the registry, and from others, in one direction or both.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use types::{BucketName, Random, RegionId};

use crate::{clients::Write, registry::KEEPER, world::World};

/// How often it is looked who has become a home.
const LOOK: Duration = Duration::from_millis(20);

/// Of each epoch in which some region decided: whether all that was decided before was there.
pub type Seats = Mutex<BTreeMap<(BucketName, u64), bool>>;

/// Notes which regions have become homes, until the task is dropped.
pub async fn watch(world: Arc<World>) {
    loop {
        for (node, name) in world
            .nodes
            .iter()
            .flat_map(|n| world.buckets.iter().map(move |b| (n, b)))
        {
            let running = node.running.lock();
            let (Some(running), Some(deed)) = (&*running, node.view.deed_of(name)) else {
                continue;
            };
            if let Some(complete) = running.replication.promises().taken_over(&deed)
                && deed.home == node.id
            {
                let mut seats = world.seats.lock();
                seats.entry((name.clone(), deed.epoch)).or_insert_with(|| {
                    let (at, epoch) = (&node.id, deed.epoch);
                    let how = if complete {
                        "complete"
                    } else {
                        "after waiting"
                    };
                    world.trace.note(format!(
                        "{at} decides for {name} under epoch {epoch}, {how}"
                    ));
                    complete
                });
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl World {
    /// A home loses its link to the registry, and perhaps those to others, in one direction or
    /// both; another region becomes the home, and all go on for a while before the links work
    /// again.
    pub async fn cut_home_off(self: &Arc<Self>) {
        let name = &self.buckets[self.pick(self.buckets.len())];
        let home = self.registry.deed(name).home.clone();
        let keeper = RegionId::new(KEEPER);
        let others = self.nodes.iter().map(|node| &node.id);
        let others = others.filter(|id| **id != home);
        self.trace.note(format!("{home} is cut off"));
        let at_first = 1 + self.pick(3);
        self.cut(&home, &keeper, at_first);
        for other in others {
            self.cut(&home, other, self.pick(6));
        }
        let at = self.pick(8);
        let alone = self.random.next_u64() % 6000;
        tokio::time::sleep(Duration::from_millis(alone)).await;
        let promoted = self.registry.promote(name, at).await;
        let both = self.random.next_u64() % 8000;
        tokio::time::sleep(Duration::from_millis(both)).await;
        self.trace.note("all links work again");
        self.net.heal();
        if let Some((before, number)) = promoted {
            self.registry.acknowledged(&before, number).await;
        }
    }

    /// Cuts the way there, the way back, or both, by how `which` is; or none.
    fn cut(&self, one: &RegionId, other: &RegionId, which: usize) {
        if which & 1 != 0 && which < 4 {
            self.net.cut(one, other);
        }
        if which & 2 != 0 && which < 4 {
            self.net.cut(other, one);
        }
    }
}

/// Of the claims of one key one was acknowledged, unless a home had to be replaced without what it
/// decided last: then the later one began after the earlier one had ended.
pub fn one_decides(world: &World) -> Vec<String> {
    let writes = world.history.writes.lock();
    let mut claims: BTreeMap<(&BucketName, &str), Vec<(u64, &Write)>> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.acknowledged) {
        if let Some(epoch) = write.claim {
            let of = claims.entry((&write.bucket, &write.key)).or_default();
            of.push((epoch, write));
        }
    }
    let seats = world.seats.lock();
    let mut findings = Vec::new();
    for ((bucket, key), mut of) in claims {
        of.sort_by_key(|(epoch, write)| (*epoch, write.began));
        for pair in of.windows(2) {
            let [(first, one), (second, other)] = pair else {
                continue;
            };
            // What was made may be gone with a folder.
            if world.history.put_back_since(one.began) {
                continue;
            }
            let complete = |epoch: u64| seats.get(&(bucket.clone(), epoch)) == Some(&true);
            let lost = (first + 1..=*second).all(complete);
            if lost || other.began < one.ended {
                findings.push(format!(
                    "{bucket}/{key} was made twice: under epoch {first} until {:?}, under epoch \
                     {second} from {:?}{}",
                    one.ended,
                    other.began,
                    if lost {
                        ", and nothing was to be lost"
                    } else {
                        ""
                    }
                ));
            }
        }
    }
    findings
}
