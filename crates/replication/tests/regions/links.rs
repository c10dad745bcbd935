//! Long links: what is written arrives over one, whole. With `DHOW_LONG_LINK=1` there is more of it
//! and the link is longer; then the figures that are printed say how much of the link a bucket
//! fills, and how far a replica lags behind:
//!
//! ```text
//! DHOW_LONG_LINK=1 cargo test --release -p replication --test regions -- \
//!     --nocapture --test-threads 1 long_link
//! ```

use std::time::{Duration, Instant};

use peer::testing::Link;
use store::Position;

use crate::common::{Cloud, Region, large, until};

const BANDWIDTH: u64 = 40 << 20;
const OBJECT: usize = 8 << 20;

/// How much is done: one way of the link, large objects, seconds of small ones.
struct Scale {
    delay: Duration,
    objects: usize,
    seconds: u32,
}

fn scale() -> Scale {
    let (delay, objects, seconds) = match std::env::var_os("DHOW_LONG_LINK") {
        Some(_) => (150, 80, 10),
        None => (40, 2, 1),
    };
    Scale {
        delay: Duration::from_millis(delay),
        objects,
        seconds,
    }
}

fn long() -> Link {
    Link {
        delay: scale().delay,
        bandwidth: Some(BANDWIDTH),
        buffer: 64 << 20,
    }
}

async fn two() -> [Region; 2] {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    b.run();
    b.equals(&a).await;
    a.proxy.set_link(long());
    [a, b]
}

/// Waits until the replica has noted all of the home's log.
async fn caught_up(a: &Region, b: &Region) {
    let end = a.end().await;
    let deed = a.view.now();
    until("the replica has all", || async {
        a.replication.status().replicated(&deed, end.0)
    })
    .await;
    assert!(end > Position(0) && b.failure().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_cross_a_long_link_whole() {
    let objects = scale().objects;
    let [a, b] = two().await;
    let began = Instant::now();
    for n in 0..objects {
        a.put(&format!("object {n}"), large(n as u64, OBJECT)).await;
    }
    let written = began.elapsed();
    until("all objects are there", || async {
        b.keys().await.len() == objects
    })
    .await;
    let took = began.elapsed();
    let rate = (OBJECT * objects) as f64 / took.as_secs_f64();
    println!(
        "{objects} objects of 8 MiB: written in {written:.1?}, copied in {took:.1?}: {:.1} MiB/s, \
         {:.0} % of the link; {} connections",
        rate / f64::from(1 << 20),
        rate / BANDWIDTH as f64 * 100.0,
        a.proxy.accepted()
    );
    caught_up(&a, &b).await;
    a.proxy.set_link(Link::default());
    b.equals(&a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_objects_cross_a_long_link_while_more_are_written() {
    for rate in [50, 500] {
        let [a, b] = two().await;
        // The first write pays for what is done once for each connection.
        a.put("first", "small").await;
        caught_up(&a, &b).await;
        let period = Duration::from_secs(1) / rate;
        let (began, total) = (Instant::now(), rate * scale().seconds);
        let mut puts = Vec::new();
        let mut seen = 0;
        let mut lags = Vec::new();
        while lags.len() < total as usize {
            assert!(began.elapsed() < Duration::from_secs(60), "{seen} came");
            if puts.len() < total as usize && began.elapsed() >= period * puts.len() as u32 {
                a.put(&format!("small {:06}", puts.len()), "small").await;
                puts.push(Instant::now());
            }
            while seen < puts.len() && b.get(&format!("small {seen:06}")).await.is_some() {
                lags.push(puts[seen].elapsed().as_secs_f64() * 1000.0);
                seen += 1;
            }
            tokio::task::yield_now().await;
        }
        lags.sort_by(f64::total_cmp);
        let at = |share: f64| lags[(lags.len() as f64 * share) as usize];
        println!(
            "{rate} small objects a second: lag p50 {:.0} ms, p99 {:.0} ms; the round trip is {} ms",
            at(0.5),
            at(0.99),
            2 * scale().delay.as_millis()
        );
        caught_up(&a, &b).await;
        a.proxy.set_link(Link::default());
        b.equals(&a).await;
    }
}
