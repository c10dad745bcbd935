//! A replica that is given up, interrupted at every step, and made again.

use std::sync::Arc;

use store::faults::{Call, Fault, Script, faulty};

use super::*;
use crate::records::{BucketRecord, BucketState};

/// What happens to the step at which the process ends.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Nothing.
    Before,
    /// It is done.
    After,
}

/// A region whose engine fails, on the same disk as `self`.
impl Region {
    fn reopened_on(&self, engine: Engine) -> Self {
        let objects = Arc::new(Objects::new(
            engine,
            Arc::new(OneDeed(Arc::clone(&self.deed))),
            self.clock.clone(),
            Arc::new(SeededRandom::new(99)),
            RegionId::new("copy"),
        ));
        Self {
            objects,
            engine: self.engine.clone(),
            deed: Arc::clone(&self.deed),
            clock: self.clock.clone(),
        }
    }

    fn restarted(&self) -> Self {
        self.reopened_on(self.engine.clone())
    }

    /// Follows as a follower does: from its cursor on if it has one, else from a snapshot.
    async fn follow_from_cursor(&self, home: &Region) {
        let (permit, source) = (self.receiving(), RegionId::new("home"));
        self.objects.hold_as_placed(&permit).await.unwrap();
        let bodies = From(home, None);
        let cursor = self.objects.follow_cursor(&permit, &source).await.unwrap();
        let mut at = match cursor {
            Some(cursor) => cursor.position,
            None => {
                for change in home.snapshot().await {
                    self.take(&change, &bodies).await.unwrap();
                }
                Position(0)
            }
        };
        loop {
            let sending = home.sending();
            let page = home.objects.changes(&sending, at, 100, 1 << 20);
            let page = page.await.unwrap();
            if page.next == at {
                break;
            }
            for (_, change) in page.changes {
                self.take(&change, &bodies).await.unwrap();
            }
            at = page.next;
        }
        let cursor = crate::FollowCursor {
            epoch: 1,
            position: at,
            seeded: 0,
            snapshot: None,
            reach: Position(0),
        };
        let noted = self.objects.set_follow_cursor(&permit, &source, &cursor);
        noted.await.unwrap();
    }
}

async fn home() -> Region {
    let home = Region::new("home", 1);
    home.versioning(Versioning::Enabled).await;
    for n in 0..3 {
        home.put("small", format!("text {n}")).await;
        home.put("large", vec![n; LARGE + usize::from(n)]).await;
    }
    home.multipart("parts", &[vec![9; LARGE].into()]).await;
    home.delete("small", None).await;
    home.tag("large", "x").await;
    home
}

#[tokio::test]
async fn a_copy_made_again_after_an_interrupted_discard_is_whole() {
    let home = home().await;
    let wanted = home.versions().await;
    for call in [Call::Commit, Call::Delete] {
        for cut in [Cut::Before, Cut::After] {
            let mut nth = 0;
            loop {
                nth += 1;
                let what = format!("{call:?} {nth}, {cut:?}");
                let copy = Region::new("copy", 2);
                copy.follow_from_cursor(&home).await;
                let script = Script::new();
                let failing = copy.reopened_on(faulty(copy.engine.clone(), &script));
                let fault = match cut {
                    Cut::Before => Fault::io(),
                    Cut::After => Fault::land_then_io(),
                };
                script.on(call, nth, fault);
                let discarded = failing.objects.discard_bucket(&copy.deed).await;
                let copy = copy.restarted();
                copy.follow_from_cursor(&home).await;
                assert_eq!(copy.versions().await, wanted, "{what}");
                for at in ["large", "parts"] {
                    let bytes = home.get(at, None).await.unwrap();
                    assert_eq!(copy.get(at, None).await.unwrap(), bytes, "{what}: {at}");
                }
                copy.objects.sweep().await.unwrap();
                copy.objects.sweep_orphans().await.unwrap();
                assert_eq!(copy.blobs().await, home.blobs().await, "{what}");
                // Older versions are whole too: a third region takes all of it over.
                let third = Region::new("third", 3);
                third.follow(&copy).await;
                assert_eq!(third.versions().await, wanted, "{what}");
                if discarded.is_ok() {
                    break;
                }
            }
            assert!(nth > 2, "{call:?} was hardly cut");
        }
    }
}

#[tokio::test]
async fn what_is_being_discarded_takes_nothing_and_shows_nothing() {
    let home = home().await;
    let copy = Region::new("copy", 2);
    copy.follow_from_cursor(&home).await;
    let turn = copy.objects.turns.take(copy.deed.id).unwrap();
    let marked = BucketRecord {
        state: BucketState::Discarding,
        ..BucketRecord::default()
    };
    let batch = store::Batch::new().put(rows::BUCKET, marked.encode());
    copy.objects.commit(PartitionId(7), batch).await.unwrap();
    let (permit, source) = (copy.receiving(), RegionId::new("home"));
    let cursor = crate::FollowCursor::default();
    let noted = copy.objects.set_follow_cursor(&permit, &source, &cursor);
    assert!(matches!(noted.await, Err(Error::BucketBusy)));
    assert!(matches!(
        copy.get("large", None).await,
        Err(Error::BucketBusy)
    ));
    drop(turn);
    // Whoever comes next discards it to the end, and begins anew.
    copy.follow_from_cursor(&home).await;
    assert_eq!(copy.versions().await, home.versions().await);
}

#[tokio::test]
async fn a_read_under_way_keeps_its_bytes_though_the_copy_is_discarded() {
    let home = home().await;
    let copy = Region::new("copy", 2);
    copy.follow_from_cursor(&home).await;
    let range = ScanRange::prefix(rows::current(b"large").as_ref());
    let found = copy.engine.index.scan(PartitionId(7), range, 1).await;
    let record = ObjectRecord::decode(&found.unwrap()[0].1.value).unwrap();
    let ObjectBody::Extents(extents) = record.body else {
        panic!("not in an extent");
    };
    let pinned = copy.objects.pins.pin(vec![extents[0].id]);
    copy.objects.discard_bucket(&copy.deed).await.unwrap();
    copy.objects.sweep().await.unwrap();
    copy.engine.blobs.open(&extents[0]).await.unwrap();
    drop(pinned);
    assert_eq!(copy.blobs().await, 0);
}
