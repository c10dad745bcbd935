//! Regions of the cloud that cheat: a source that answers anything, an asker that asks anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use peer::{BoxBody, Peer, collect, full};
use replication::{Ask, Far, PATH, What};
use types::{Random, RegionId, SeededRandom};

use crate::common::{Cloud, Hook, Region, large, until};

/// Zeros without end.
fn endless() -> Response<BoxBody> {
    static ZEROS: [u8; 65536] = [0; 65536];
    let frames = std::iter::repeat_with(|| Ok(Frame::data(Bytes::from_static(&ZEROS))));
    Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
}

/// What the replica made of a home that answers through `hook`: it has failed so often, and nothing
/// has landed; then the home is honest, and the replica becomes equal.
async fn survives(what: &str, hook: Hook) {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    a.put("small", "s").await;
    a.put("large", large(1, 300_000)).await;
    *a.door.hook.write() = Some(hook);
    b.run();
    until(what, || async { b.failure().is_some() }).await;
    for version in b.versions().await {
        assert_eq!(version.key.to_string(), "small", "{what}");
        assert_eq!(b.get("small").await.as_deref(), Some(&b"s"[..]), "{what}");
    }
    assert_eq!(b.get("large").await, None, "{what}");
    *a.door.hook.write() = None;
    b.equals(&a).await;
    b.objects.sweep().await.unwrap();
    let blobs = b.engine.blobs.list(None, 10).await.unwrap();
    assert_eq!(blobs.len(), 1, "{what}: nothing is left over");
}

#[tokio::test]
async fn garbage_for_an_answer_lands_nothing() {
    let garbage: [&'static [u8]; 5] = [b"", b"x", &[0xff; 17], &[0; 40], &[2; 4000]];
    for (n, bytes) in garbage.into_iter().enumerate() {
        let hook: Hook = Arc::new(move |_, _| Some(Response::new(full(bytes))));
        survives(&format!("garbage {n}"), hook).await;
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_collected() {
    survives(
        "an endless page",
        Arc::new(|_, ask| matches!(ask.what, What::Head).then(endless)),
    )
    .await;
}

#[tokio::test]
async fn a_body_of_other_bytes_does_not_land() {
    let body = |ask: &Ask| matches!(ask.what, What::Body { .. });
    let wrong = large(2, 300_000);
    survives(
        "wrong bytes",
        Arc::new(move |_, ask| body(ask).then(|| Response::new(full(wrong.clone())))),
    )
    .await;
    survives(
        "an endless body",
        Arc::new(move |_, ask| body(ask).then(endless)),
    )
    .await;
    survives(
        "a short body",
        Arc::new(move |_, ask| body(ask).then(|| Response::new(full("short")))),
    )
    .await;
    survives(
        "an empty body",
        Arc::new(move |_, ask| body(ask).then(|| Response::new(full("")))),
    )
    .await;
}

/// The replica has refused an answer that does not move on, and is equal once the home is honest.
async fn refuses_to_stand_still(a: &Region, b: &Region) {
    until("the replica refuses it", || async {
        b.failure()
            .is_some_and(|why| why.contains("does not move on"))
    })
    .await;
    *a.door.hook.write() = None;
    b.equals(a).await;
}

#[tokio::test]
async fn a_snapshot_that_does_not_move_on_is_refused() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    a.put("one", "1").await;
    // An empty page that names the same row again, without end.
    let mut page = vec![2u8];
    page.extend_from_slice(&[0; 8]);
    page.extend_from_slice(&1u32.to_be_bytes());
    page.push(b'c');
    let page = Bytes::from(page);
    let snapshot = |ask: &Ask| matches!(ask.what, What::Snapshot { .. });
    let hook: Hook =
        Arc::new(move |_, ask| snapshot(ask).then(|| Response::new(full(page.clone()))));
    *a.door.hook.write() = Some(hook);
    b.run();
    refuses_to_stand_still(&a, &b).await;
}

#[tokio::test]
async fn a_log_that_goes_back_is_refused() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    a.put("one", "1").await;
    b.run();
    b.equals(&a).await;
    let changes = |ask: &Ask| matches!(ask.what, What::Changes { .. });
    let hook: Hook =
        Arc::new(move |_, ask| changes(ask).then(|| Response::new(full(vec![0u8; 9]))));
    *a.door.hook.write() = Some(hook);
    // Wakes the question that is under way.
    a.put("two", "2").await;
    refuses_to_stand_still(&a, &b).await;
}

#[tokio::test]
async fn a_source_that_does_not_wait_is_not_asked_without_rest() {
    let [a, mut b] = Cloud::two().await;
    a.versioning().await;
    a.put("one", "1").await;
    b.run();
    b.equals(&a).await;
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    // Nothing new, answered at once, again and again.
    let hook: Hook = Arc::new(move |_, ask| {
        let What::Changes { after, .. } = ask.what else {
            return None;
        };
        counted.fetch_add(1, Ordering::Relaxed);
        let mut page = vec![0u8; 9];
        page[1..9].copy_from_slice(&after.to_be_bytes());
        Some(Response::new(full(page)))
    });
    *a.door.hook.write() = Some(hook);
    // Wakes the question that is under way.
    a.put("two", "2").await;
    let begun = Instant::now();
    until("it asks again", || async {
        asked.load(Ordering::Relaxed) > 6
    })
    .await;
    assert!(begun.elapsed() > Duration::from_millis(400), "{begun:?}");
    *a.door.hook.write() = None;
    b.equals(&a).await;
}

/// A question, changed in one of the ways in which questions are changed.
fn mutate(random: &SeededRandom, mut bytes: Vec<u8>) -> Vec<u8> {
    let pick = |n: usize| (random.next_u64() % n.max(1) as u64) as usize;
    for _ in 0..=pick(4) {
        let at = pick(bytes.len());
        match pick(6) {
            0 if !bytes.is_empty() => bytes[at] = random.next_u64() as u8,
            1 => bytes.insert(at, b"{}[]\",:0-9\\\0"[pick(12)]),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => {
                let tail = bytes.split_off(at);
                bytes.extend_from_slice(&tail);
                bytes.extend_from_slice(&tail);
            }
            _ => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let words = [
                    ("1", "18446744073709551616"),
                    ("0", "-1"),
                    ("papers", "../papers"),
                    ("head", "copies"),
                    ("key", "k"),
                    ("7", "7e400"),
                ];
                let (from, to) = words[pick(words.len())];
                bytes = text.replacen(from, to, 1).into_bytes();
            }
        }
    }
    bytes
}

/// Every question that there is, about a version.
fn every_question((key, version): &(String, String)) -> Vec<What> {
    let (key, version) = (key.clone(), version.clone());
    let one = || vec![(key.clone(), version.clone())];
    let (hex, to) = ("00ff".to_owned(), "papers".to_owned());
    vec![
        What::Head,
        What::Changes {
            after: 0,
            wait_ms: 1,
            applied: None,
        },
        What::Removals { after: 0 },
        What::Hear { after: 0 },
        What::Own {
            after: 0,
            wait_ms: 1,
            noted: 7,
            former: false,
            applied: Some(0),
        },
        What::Gone {
            from: String::new(),
        },
        What::Gather { after: 0 },
        What::Snapshot {
            from: String::new(),
        },
        What::Body {
            key: key.clone(),
            version: version.clone(),
            offset: 0,
        },
        What::Lacking { versions: one() },
        What::Offer { versions: one() },
        What::Replicas,
        What::Usage,
        What::Uploads,
        What::Rules,
        What::Lease {
            key: key.clone(),
            version: None,
        },
        What::Unwrap {
            key: key.clone(),
            version: version.clone(),
            wrapped: hex.clone(),
            asker: hex,
        },
        What::TakeByRule {
            source: to.clone(),
            id: 1,
            epoch: 1,
            versions: one(),
        },
        What::ByRule {
            to: to.clone(),
            versions: one(),
        },
        What::BodyByRule {
            to,
            key: key.clone(),
            version: version.clone(),
            offset: 0,
        },
        What::Version { key, version },
    ]
}

#[tokio::test]
async fn p9_mutated_questions_of_a_stranger_to_the_bucket_get_nothing() {
    let all = Cloud::start(&[("a", "DE"), ("b", "FR"), ("x", "IE")]).await;
    let [a, b, x] = <[Region; 3]>::try_from(all).ok().unwrap();
    let deed = crate::common::deed("a", &["b"], 1);
    a.view.hears(&deed);
    b.view.hears(&deed);
    x.view.hears(&deed);
    a.versioning().await;
    a.put("secret-key", "secret-content").await;
    let before = a.versions().await;
    let name = ("secret-key".to_owned(), before[0].version.to_string());
    let asks: Vec<Vec<u8>> = every_question(&name)
        .into_iter()
        .map(|what| serde_json::to_vec(&Ask::about(&deed, what)).unwrap())
        .collect();
    let random = SeededRandom::new(9);
    let to = Peer {
        region: a.id.clone(),
        address: a.proxy.address(),
    };
    for n in 0..6000 {
        // Each is asked as it is, too.
        let bytes = match asks.get(n) {
            Some(whole) => whole.clone(),
            None => mutate(&random, asks[n % asks.len()].clone()),
        };
        let request = Request::post(PATH).body(full(bytes.clone())).unwrap();
        let wait = Duration::from_secs(20);
        let answer = x.client.request_within(wait, &to, request).await.unwrap();
        let status = answer.status();
        let body = collect(answer.into_body(), 1 << 20, wait).await.unwrap();
        let asked = String::from_utf8_lossy(&bytes);
        assert!(!status.is_server_error(), "{status} {asked}");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(!text.contains("secret"), "{asked}: {text}");
        assert!(!status.is_success(), "{asked}: {text}");
    }
    assert_eq!(a.versions().await, before);
    // A holder that asks well is served as before.
    let far: Far = b.far(&a, &deed);
    far.tell(What::Head).await.unwrap();
}

/// Status and text of an answer.
async fn answer_to(x: &Region, to: &Region, ask: &Ask) -> (u16, String) {
    let peer = Peer {
        region: to.id.clone(),
        address: to.proxy.address(),
    };
    let bytes = serde_json::to_vec(ask).unwrap();
    let request = Request::post(PATH).body(full(bytes)).unwrap();
    let wait = Duration::from_secs(30);
    let answer = x.client.request_within(wait, &peer, request).await.unwrap();
    let status = answer.status().as_u16();
    let body = collect(answer.into_body(), 1 << 20, wait).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn p8_every_question_of_an_outsider_is_refused_as_if_there_were_no_bucket() {
    let all = Cloud::start(&[("a", "DE"), ("b", "FR"), ("x", "IE")]).await;
    let [a, b, x] = <[Region; 3]>::try_from(all).ok().unwrap();
    let deed = crate::common::deed("a", &["b"], 3);
    a.view.hears(&deed);
    b.view.hears(&deed);
    a.versioning().await;
    a.put("secret-key", "secret-content").await;
    let name = a.versions().await[0].version.to_string();
    let questions = || every_question(&("secret-key".to_owned(), name.clone()));
    let about = |bucket: &str, id: u64, epoch: u64, what: What| Ask {
        bucket: bucket.to_owned(),
        id,
        epoch,
        since: 0,
        instance: 0,
        handed: None,
        reach: 0,
        what,
    };
    let (no_bucket, no_text) = answer_to(&x, &a, &about("none", 1, 1, What::Head)).await;
    assert_eq!(no_bucket, 403);
    for holder in [&a, &b] {
        for n in 0..questions().len() {
            // As it is placed, of another epoch, another bucket of the name, and none at all.
            for (bucket, id, epoch) in [
                ("papers", deed.id.0, 3),
                ("papers", deed.id.0, 1),
                ("papers", deed.id.0 + 1, 3),
                ("none", 9, 3),
            ] {
                let what = questions().swap_remove(n);
                let shown = format!("{what:?} about {bucket} {id} {epoch}");
                let (status, text) = answer_to(&x, holder, &about(bucket, id, epoch, what)).await;
                assert_eq!(status, no_bucket, "{shown}: {text}");
                assert_eq!(text, no_text, "{shown}");
            }
        }
    }
    assert!(a.view.reports.lock().is_empty());
}

#[tokio::test]
async fn p9_mutated_questions_of_a_holder_change_nothing() {
    let [a, b] = Cloud::two().await;
    a.versioning().await;
    a.put("one", "1").await;
    let before = a.versions().await;
    let deed = a.view.now();
    let name = ("one".to_owned(), before[0].version.to_string());
    // All but those with which a home is asked to fetch what the holder has: it does.
    let mut whats = every_question(&name);
    whats.retain(|what| {
        let fetches = matches!(
            what,
            What::Offer { .. } | What::Hear { .. } | What::Gather { .. }
        );
        !fetches
    });
    let long = whats.len();
    whats.push(What::Lacking {
        versions: vec![name; 600],
    });
    let asks: Vec<Vec<u8>> = whats
        .into_iter()
        .map(|what| serde_json::to_vec(&Ask::about(&deed, what)).unwrap())
        .collect();
    let random = SeededRandom::new(10);
    let to = Peer {
        region: RegionId::new("a"),
        address: a.proxy.address(),
    };
    for n in 0..6000 {
        let bytes = mutate(&random, asks[n % asks.len()].clone());
        let request = Request::post(PATH).body(full(bytes.clone())).unwrap();
        let wait = Duration::from_secs(30);
        let answer = b.client.request_within(wait, &to, request).await.unwrap();
        let asked = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!answer.status().is_server_error(), "{asked}");
        // More names than one question may have.
        let long = n % asks.len() == long && bytes.len() > asks[long].len() - 1000;
        assert!(!long || !answer.status().is_success(), "{}", bytes.len());
        collect(answer.into_body(), 1 << 20, wait).await.unwrap();
    }
    assert_eq!(a.versions().await, before);
}
