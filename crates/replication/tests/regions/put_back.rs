//! A home whose folder is put back to an older state while a replica has applied only a part of
//! what it received, or has not compared all of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{HeaderValue, Response, StatusCode};
use peer::full;
use replication::{Ask, ReplicaState, What};
use store::memory::Memory;
use types::RegionId;

use crate::common::{Cloud, Region, deed, until};

/// A home and a replica, and the home's disk.
pub async fn on_disks() -> ([Region; 2], Arc<Memory>) {
    let mut disks = Vec::new();
    let mut engine = |_: &str| {
        let disk = Memory::new();
        disks.push(Arc::clone(&disk));
        disk.into_engine()
    };
    let all = Cloud::start_on(&[("a", "DE"), ("b", "FR")], &mut engine).await;
    for region in &all {
        region.view.hears(&deed("a", &["b"], 1));
    }
    (all.try_into().ok().unwrap(), disks.swap_remove(0))
}

/// The state of a home at some time.
struct Backup {
    then: Arc<Memory>,
    disk: Arc<Memory>,
}

impl Backup {
    /// The home starts again in this state, as start `instance`.
    async fn put_back(&self, home: &mut Region, instance: u64) {
        let end = self.disk.log_end() + 1000;
        home.engine = self.then.copy().opened_above(end).into_engine();
        home.view.instance.store(instance, Ordering::SeqCst);
        home.stop().await;
        home.run();
    }
}

/// A home and a replica that has applied one change of a page, and cannot apply the other: it does
/// not get the bytes. Both were made after the backup. The home answers nothing any more until the
/// last is set.
async fn half_a_page() -> ([Region; 2], Backup, Arc<AtomicBool>) {
    let ([a, mut b], disk) = on_disks().await;
    b.run();
    a.put("shared", "s").await;
    b.equals(&a).await;
    b.stop().await;
    let then = disk.copy();
    a.put("small", "acknowledged").await;
    a.put("large", "l".repeat(200_000)).await;
    let (answers, silent) = (
        Arc::new(AtomicBool::default()),
        Arc::new(AtomicBool::default()),
    );
    let (open, all) = (Arc::clone(&answers), Arc::clone(&silent));
    *a.door.hook.write() = Some(Arc::new(move |_: &RegionId, ask: &Ask| {
        let body = matches!(ask.what, What::Body { .. });
        let refused = body || all.load(Ordering::SeqCst);
        (refused && !open.load(Ordering::SeqCst)).then(|| {
            let mut answer = Response::new(full(""));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        })
    }));
    b.run();
    until("a part of the page is applied", || async {
        b.keys().await.contains(&"small".to_owned())
    })
    .await;
    silent.store(true, Ordering::SeqCst);
    until("the replica has given up the page", || async {
        let all = b.replication.status().following();
        all.iter().all(|(_, f)| f.state == ReplicaState::Stopped)
    })
    .await;
    ([a, b], Backup { then, disk }, answers)
}

async fn is_handed_over(a: &Region, b: &Region) {
    until("the home has what only the replica had", || async {
        a.keys().await == ["shared", "small"] && a.versions().await == b.versions().await
    })
    .await;
    assert_eq!(a.get("small").await.unwrap(), "acknowledged");
    assert_eq!(b.get("small").await.unwrap(), "acknowledged");
}

#[tokio::test]
async fn a_replica_that_starts_again_hands_over_half_a_page_to_a_home_that_was_put_back() {
    let ([mut a, mut b], backup, answers) = half_a_page().await;
    b.stop().await;
    // What the others remember of it says so.
    a.view.lacks.store(true, Ordering::SeqCst);
    backup.put_back(&mut a, 2).await;
    answers.store(true, Ordering::SeqCst);
    let now = a.view.now();
    assert_eq!(a.replication.status().not_compared(&now).len(), 1);
    b.run();
    is_handed_over(&a, &b).await;
    until("all is compared", || async {
        a.replication.status().not_compared(&now).is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_replica_hands_over_half_a_page_where_the_home_does_not_know_that_it_was_put_back() {
    let ([mut a, b], backup, answers) = half_a_page().await;
    backup.put_back(&mut a, 2).await;
    answers.store(true, Ordering::SeqCst);
    is_handed_over(&a, &b).await;
}

/// Refuses some questions at a region from now on, until they are open.
fn refuse(at: &Region, which: fn(&What) -> bool) -> Arc<AtomicBool> {
    let is_open = Arc::new(AtomicBool::default());
    let open = Arc::clone(&is_open);
    *at.door.hook.write() = Some(Arc::new(move |_: &RegionId, ask: &Ask| {
        (which(&ask.what) && !open.load(Ordering::SeqCst)).then(|| {
            let mut answer = Response::new(full(""));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer
        })
    }));
    is_open
}

fn of_snapshot(what: &What, row: &str) -> bool {
    matches!(what, What::Snapshot { from } if from == row)
}

/// The rows where a snapshot begins, and where its second half does.
const FIRST: &str = "63";
const SECOND: &str = "6f";

/// A replica that has taken half of a snapshot, with a version that was made after it began. The
/// state of the home from before that is put back, and nobody knows: the log of that state gave
/// where the snapshot began.
async fn half_a_snapshot(replica_restarts: bool) {
    let ([mut a, mut b], disk) = on_disks().await;
    a.put("shared", "s").await;
    a.put("removed", "r").await;
    let first = refuse(&a, |what| of_snapshot(what, FIRST));
    b.run();
    until("the snapshot has begun", || async {
        b.failure().is_some_and(|why| why.contains("500"))
    })
    .await;
    let then = disk.copy();
    a.put("later", "acknowledged").await;
    a.delete("removed", None).await;
    let second = refuse(&a, |what| of_snapshot(what, SECOND));
    first.store(true, Ordering::SeqCst);
    until("half of the snapshot is here", || async {
        b.keys().await.contains(&"later".to_owned()) && b.failure().is_some()
    })
    .await;
    if replica_restarts {
        until("it is noted", || async { b.noted_half(&a).await }).await;
        b.stop().await;
    }
    Backup { then, disk }.put_back(&mut a, 2).await;
    second.store(true, Ordering::SeqCst);
    if replica_restarts {
        b.run();
    }
    b.follows().await;
    // What was removed is back at the home, and reaches the replica too.
    until("both have all", || async {
        let all = ["later", "removed", "shared"];
        a.keys().await == all && a.versions().await == b.versions().await
    })
    .await;
    assert_eq!(a.get("later").await.unwrap(), "acknowledged");
    assert_eq!(b.get("later").await.unwrap(), "acknowledged");
}

#[tokio::test]
async fn a_replica_hands_over_half_a_snapshot_of_a_home_that_was_put_back() {
    half_a_snapshot(false).await;
}

#[tokio::test]
async fn a_replica_that_starts_again_hands_over_half_a_snapshot_of_a_home_that_was_put_back() {
    half_a_snapshot(true).await;
}

/// All of a snapshot is here, and the home has said that it has all that the replica has. It is put
/// back before the replica asks which of it was removed there, so another start answers that.
#[tokio::test]
async fn a_replica_drops_nothing_on_the_word_of_another_start_of_its_home() {
    let ([mut a, mut b], disk) = on_disks().await;
    a.put("shared", "s").await;
    let then = disk.copy();
    a.put("later", "acknowledged").await;
    let is_back = Arc::new(AtomicBool::default());
    let (asked, back) = (Arc::new(AtomicBool::default()), Arc::clone(&is_back));
    let seen = Arc::clone(&asked);
    *a.door.hook.write() = Some(Arc::new(move |_: &RegionId, ask: &Ask| {
        if back.load(Ordering::SeqCst) {
            return None;
        }
        let mut answer = match &ask.what {
            What::Lacking { versions } => {
                seen.store(true, Ordering::SeqCst);
                let lacking: Vec<_> = versions.iter().filter(|(k, _)| k == "later").collect();
                Response::new(full(serde_json::to_vec(&lacking).unwrap()))
            }
            // Until all of it is put back.
            _ if seen.load(Ordering::SeqCst) => {
                let mut answer = Response::new(full(""));
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                answer
            }
            _ => return None,
        };
        let headers = answer.headers_mut();
        headers.insert("dhow-instance", HeaderValue::from_static("2"));
        Some(answer)
    }));
    b.run();
    until("it is asked what was removed", || async {
        asked.load(Ordering::SeqCst) && b.failure().is_some()
    })
    .await;
    Backup { then, disk }.put_back(&mut a, 2).await;
    is_back.store(true, Ordering::SeqCst);
    b.follows().await;
    until("the home has what only the replica had", || async {
        a.keys().await == ["later", "shared"] && a.versions().await == b.versions().await
    })
    .await;
    assert_eq!(b.get("later").await.unwrap(), "acknowledged");
}
