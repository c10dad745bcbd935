//! A replica that its region cannot read: cases P1 to P3 of the threats, and what can happen to any
//! replica.

use std::{sync::Arc, time::Duration};

use access::Action;
use bytes::Bytes;
use http::{Response, StatusCode};
use objects::{DisplayVersion, Error, GetRequest, ObjectContent, RangeSpec, Shipped};
use peer::full;
use replication::{ReplicationError, What};
use store::{Batch, PartitionId, ScanRange, Want};
use types::BucketDeed;

use crate::common::{Cloud, ID, Region, deed, deed_sealed, key, large, until};

const LARGE: usize = 300_000;
const CANARY: &str = "canary-7c1d";

/// A home, and a region whose replica is sealed; both follow.
async fn home_and_sealed() -> [Region; 2] {
    let all = Cloud::start(&[("a", "DE"), ("s", "FR")]).await;
    let mut all: [Region; 2] = all.try_into().ok().unwrap();
    let deed = deed_sealed("a", &["s"], "s", 1);
    for region in &mut all {
        region.view.hears(&deed);
        region.run();
    }
    all
}

/// Waits until the replicas have all that the home has.
async fn settled(home: &Region) {
    let (deed, end) = (home.view.now(), home.end().await);
    until("the replicas have it all", || async {
        home.replication.status().replicated(&deed, end.0)
    })
    .await;
}

/// Everything that is stored in a region: rows, payloads, and the bytes of each version.
async fn all_that_lies_at(region: &Region) -> Vec<u8> {
    let index = &region.engine.index;
    let rows = index.scan(PartitionId(ID.0), ScanRange::prefix(b""), 1_000_000);
    let mut all = Vec::new();
    for (row_key, row) in rows.await.unwrap() {
        all.extend_from_slice(&row_key);
        all.extend_from_slice(&row.value);
        let whole = index.get(PartitionId(ID.0), &row_key, Want::Payload).await;
        let payload = whole.unwrap().and_then(|row| row.payload);
        all.extend_from_slice(&payload.unwrap_or_default());
    }
    for version in region.versions().await {
        all.extend_from_slice(&region.bytes(&version).await);
    }
    all
}

fn holds(all: &[u8], what: &[u8]) -> bool {
    all.windows(what.len()).any(|window| window == what)
}

fn no_lease<T: std::fmt::Debug>(read: objects::Result<T>) -> String {
    match read {
        Err(Error::NoLease(why)) => why,
        other => panic!("not refused for want of a lease: {other:?}"),
    }
}

async fn tag(region: &Region, at: &str, value: &str) {
    let permit = region.permit(Action::PutObjectTagging);
    let tags = vec![("colour".to_owned(), value.to_owned())];
    let at = key(at);
    let tagged = region.objects.set_object_tags(&permit, &at, None, tags);
    tagged.await.unwrap();
}

#[tokio::test]
async fn p1_nothing_readable_lies_at_a_sealed_copy_and_reads_there_answer_as_at_home() {
    let [a, s] = home_and_sealed().await;
    a.versioning().await;
    let small = format!("small {CANARY}");
    let long = Bytes::from(CANARY.repeat(LARGE / CANARY.len()));
    let name = format!("names/{CANARY}");
    a.put(&name, small.clone()).await;
    let first = a.put("long", long.clone()).await;
    a.put("long", large(2, LARGE)).await;
    a.put("empty", "").await;
    a.put("gone", "x").await;
    a.delete("gone", None).await;
    tag(&a, "long", CANARY).await;
    settled(&a).await;
    let all = all_that_lies_at(&s).await;
    let etags: Vec<[u8; 16]> = a.versions().await.iter().map(|v| v.etag.md5).collect();
    assert!(!holds(&all, CANARY.as_bytes()) && !holds(&all, b"names/") && !holds(&all, b"colour"));
    assert!(!holds(&all, &large(2, LARGE)[1000..1032]));
    for etag in etags {
        assert!(!holds(&all, &etag) && !holds(&all, hex::encode(etag).as_bytes()));
    }
    // And yet it is all there.
    assert_eq!(s.versions().await.len(), a.versions().await.len());
    assert_eq!(s.get(&name).await.unwrap(), small);
    assert_eq!(s.get("empty").await.unwrap(), "");
    assert_eq!(s.get("long").await, Some(large(2, LARGE)));
    let older = GetRequest {
        version: first,
        ..GetRequest::default()
    };
    assert_eq!(s.read("long", &older).await.unwrap(), long);
    for (region, at) in [(&a, "gone"), (&s, "gone"), (&a, "none"), (&s, "none")] {
        let read = region.read(at, &GetRequest::default()).await;
        let marker = matches!(
            read,
            Err(Error::NoSuchKey {
                delete_marker: Some(_)
            })
        );
        assert!(matches!(read, Err(Error::NoSuchKey { .. })) && marker == (at == "gone"));
    }
    for range in [
        RangeSpec::Between(0, 0),
        RangeSpec::Between(65_535, 65_536),
        RangeSpec::Between(65_536, 131_071),
        RangeSpec::From(LARGE as u64 - 3),
        RangeSpec::Last(70_000),
        RangeSpec::Between(10, 10_000_000),
    ] {
        let request = GetRequest {
            range: Some(range),
            ..GetRequest::default()
        };
        let (here, there) = (
            s.read("long", &request).await,
            a.read("long", &request).await,
        );
        assert_eq!(here.unwrap(), there.unwrap(), "{range:?}");
    }
    let permit = |region: &Region| region.permit(Action::GetObject);
    let none = GetRequest::default();
    let (at_a, at_s) = (
        a.objects
            .head(&permit(&a), &key("long"), &none)
            .await
            .unwrap()
            .info,
        s.objects
            .head(&permit(&s), &key("long"), &none)
            .await
            .unwrap()
            .info,
    );
    assert_eq!(
        (at_a.etag, at_a.attributes, at_a.version, at_a.size),
        (at_s.etag, at_s.attributes, at_s.version, at_s.size)
    );
}

#[tokio::test]
async fn a_sealed_copy_follows_what_is_replaced_tagged_and_removed() {
    let [a, s] = home_and_sealed().await;
    for n in 0..30 {
        a.put(&format!("k{}", n % 5), large(n, LARGE / 8)).await;
    }
    a.delete("k3", None).await;
    settled(&a).await;
    assert_eq!(s.versions().await.len(), 4, "no versions are kept");
    tag(&a, "k1", "blue").await;
    settled(&a).await;
    for at in ["k0", "k1", "k2", "k3", "k4"] {
        assert_eq!(s.get(at).await, a.get(at).await, "{at}");
    }
    let permit = s.permit(Action::GetObject);
    let none = GetRequest::default();
    let head = s.objects.head(&permit, &key("k1"), &none).await.unwrap();
    let tags = head.info.attributes.tags;
    assert_eq!(tags, [("colour".to_owned(), "blue".to_owned())]);
    // What was remembered of a key is asked again when it is no longer so.
    a.put("k0", "new").await;
    settled(&a).await;
    assert_eq!(s.get("k0").await.unwrap(), "new");
}

#[tokio::test]
async fn a_large_sealed_body_goes_on_where_it_broke_off() {
    let [a, s] = home_and_sealed().await;
    a.put("first", "1").await;
    settled(&a).await;
    let size = 24 << 20;
    a.put("large", large(5, size)).await;
    until("the body is asked for", || async {
        !a.door.bodies.lock().is_empty()
    })
    .await;
    a.proxy.cut();
    settled(&a).await;
    assert_eq!(s.get("large").await, Some(large(5, size)));
    let offsets: Vec<u64> = a.door.bodies.lock().iter().map(|(_, _, at)| *at).collect();
    assert!(
        offsets
            .iter()
            .all(|at| *at <= seal::sealed_len(size as u64))
    );
}

#[tokio::test]
async fn p1_the_home_tells_a_sealed_region_nothing_that_it_could_read() {
    let [a, s] = home_and_sealed().await;
    a.versioning().await;
    let version = a.put("papers/plan", CANARY).await;
    settled(&a).await;
    let id = match version {
        Some(DisplayVersion::Id(id)) => id.to_string(),
        other => panic!("{other:?}"),
    };
    let far = s.far(&a, &s.view.now());
    let plain = ("papers/plan".to_owned(), id.clone());
    for what in [
        What::Version {
            key: plain.0.clone(),
            version: id.clone(),
        },
        What::Body {
            key: plain.0.clone(),
            version: id.clone(),
            offset: 0,
        },
        What::Offer {
            versions: vec![plain.clone()],
        },
        What::Snapshot {
            from: hex::encode(b"cpapers"),
        },
    ] {
        let asked = format!("{what:?}");
        let told = far.tell(what).await;
        assert!(
            matches!(told, Err(ReplicationError::Refused(_))),
            "{asked}: {told:?}"
        );
    }
    for what in [
        What::Changes {
            after: 0,
            wait_ms: 0,
            applied: None,
        },
        What::Snapshot {
            from: hex::encode(b"c"),
        },
    ] {
        let answer = far.ask(what).await.unwrap().encode();
        assert!(answer.len() > 100);
        assert!(!holds(&answer, b"papers") && !holds(&answer, CANARY.as_bytes()));
    }
    // A name that it never got says nothing, not even that there is no such object.
    let versions = vec![plain];
    let lacking: Vec<(String, String)> = far.read(What::Lacking { versions }).await.unwrap();
    assert_eq!(lacking.len(), 1);
    // And nobody else gets a lease or a sealed answer.
    let [c, d] = Cloud::two().await;
    c.put("k", "v").await;
    let far = d.far(&c, &d.view.now());
    let lease = What::Lease {
        key: "k".to_owned(),
        version: None,
    };
    assert!(matches!(
        far.tell(lease).await,
        Err(ReplicationError::Refused(_))
    ));
}

#[tokio::test]
async fn p2_without_the_home_a_sealed_copy_cannot_be_read_and_says_so_soon() {
    let [a, s] = home_and_sealed().await;
    a.put("one", "1").await;
    a.put("two", "2").await;
    settled(&a).await;
    assert_eq!(s.get("one").await.unwrap(), "1");
    a.proxy.down();
    let begun = std::time::Instant::now();
    let why = no_lease(s.read("two", &GetRequest::default()).await);
    assert!(why.contains("region a"), "{why}");
    assert!(begun.elapsed().as_secs() < 4);
    a.proxy.up();
    a.proxy.stall();
    no_lease(s.read("two", &GetRequest::default()).await);
    a.proxy.flow();
    until("leases are given again", || async {
        s.get("two").await.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_bucket_with_a_policy_gives_no_lease() {
    let [a, s] = home_and_sealed().await;
    a.put("one", "1").await;
    settled(&a).await;
    assert!(s.read("one", &GetRequest::default()).await.is_ok());
    let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*",
        "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::bench/*"}}"#;
    let policy = objects::StoredPolicy {
        text: text.to_owned(),
        resolved: Vec::new(),
    };
    let kind = objects::DocumentKind::Policy;
    let set = |action, bytes: Option<Vec<u8>>| {
        let (permit, objects) = (a.permit(action), &a.objects);
        let document = (kind, bytes.map(Arc::from));
        async move {
            let none = access::PublicAccessBlock::NONE;
            objects.set_document(&permit, action, document, none).await
        }
    };
    set(Action::PutBucketPolicy, Some(policy.encode()))
        .await
        .unwrap();
    a.put("two", "2").await;
    settled(&a).await;
    let why = no_lease(s.read("two", &GetRequest::default()).await);
    assert!(why.contains("has a policy"), "{why}");
    set(Action::DeleteBucketPolicy, None).await.unwrap();
    until("leases are given again", || async {
        s.read("two", &GetRequest::default()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_home_that_was_put_back_gives_no_lease_by_its_older_state() {
    let [a, s] = home_and_sealed().await;
    a.put("one", "1").await;
    a.put("two", "2").await;
    settled(&a).await;
    assert_eq!(s.get("one").await.unwrap(), "1");
    *a.view.doubt.lock() = Some("this folder was put back".to_owned());
    no_lease(s.read("two", &GetRequest::default()).await);
    *a.view.doubt.lock() = None;
    until("leases are given again", || async {
        s.get("two").await.is_some()
    })
    .await;
}

#[tokio::test]
async fn p2_a_revoked_region_gets_no_lease_and_what_it_holds_is_removed() {
    let [a, s] = home_and_sealed().await;
    a.put("one", "1").await;
    settled(&a).await;
    // The home knows it; the sealed region, or who runs it, does not want to know.
    let revoked = deed("a", &[], 1);
    a.view.hears(&revoked);
    let why = no_lease(s.read("one", &GetRequest::default()).await);
    assert!(why.contains("403"), "{why}");
    s.view.hears(&revoked);
    until("nothing is left", || async { s.rows().await == 0 }).await;
}

/// A read of a large object that has begun: what it says after its first piece.
async fn begun(s: &Region, at: &str) -> objects::ObjectReader {
    let (permit, request) = (s.permit(Action::GetObject), GetRequest::default());
    let view = s.objects.get(&permit, &key(at), &request).await.unwrap();
    let Some(ObjectContent::Reader(mut reader)) = view.content else {
        panic!("an object that is in memory");
    };
    assert!(reader.next().await.unwrap().is_some());
    reader
}

#[tokio::test]
async fn p2_a_lease_ends_and_a_read_that_lasts_longer_needs_another() {
    let [a, mut s] = home_and_sealed().await;
    a.put("one", "1").await;
    a.put("long", large(1, 4 << 20)).await;
    settled(&a).await;
    let leases_of = Duration::from_millis(40);
    s.stop_with_leases_of(leases_of).await;
    assert_eq!(s.get("one").await.unwrap(), "1");
    assert_eq!(s.get("long").await, Some(large(1, 4 << 20)));
    let (mut first, mut second) = (begun(&s, "long").await, begun(&s, "long").await);
    // Another lease is given while the placement is unchanged.
    tokio::time::sleep(2 * leases_of).await;
    while first.next().await.unwrap().is_some() {}
    a.view.hears(&deed("a", &[], 1));
    tokio::time::sleep(2 * leases_of).await;
    no_lease(s.read("one", &GetRequest::default()).await);
    let mut left = 0;
    let why = loop {
        match second.next().await {
            Ok(Some(piece)) => left += piece.len(),
            other => break other,
        }
    };
    assert!(left < 4 << 20, "it was read to its end");
    no_lease(why);
}

#[tokio::test]
async fn p5_a_read_of_a_sealed_copy_ends_before_its_lease_does() {
    let [a, s] = home_and_sealed().await;
    a.put("long", large(1, 4 << 20)).await;
    settled(&a).await;
    let mut reader = begun(&s, "long").await;
    s.view.hears(&deed("a", &[], 1));
    let next = reader.next().await;
    assert!(matches!(next, Err(objects::Error::NotHere)), "{next:?}");
    let ended = reader.ended().unwrap();
    tokio::time::timeout(crate::common::WITHIN, ended)
        .await
        .unwrap();
}

/// A sealed version as it is stored in the region: its row, with what the row carries.
async fn rows_of(s: &Region) -> Vec<(Bytes, Bytes, Option<Bytes>)> {
    let index = &s.engine.index;
    let rows = index.scan(PartitionId(ID.0), ScanRange::prefix(b"c"), 1000);
    let mut all = Vec::new();
    for (row_key, _) in rows.await.unwrap() {
        let row = index.get(PartitionId(ID.0), &row_key, Want::Payload).await;
        let row = row.unwrap().unwrap();
        all.push((row_key, row.value, row.payload));
    }
    all
}

async fn write_row(s: &Region, row_key: &Bytes, value: Bytes, payload: Option<Bytes>) {
    let batch = match payload {
        Some(payload) => Batch::new().put_with(row_key.clone(), value, payload),
        None => Batch::new().put(row_key.clone(), value),
    };
    let commit = s.engine.index.commit(PartitionId(ID.0), batch).await;
    commit.unwrap();
}

fn sealed_versions(versions: &[Shipped]) -> Vec<(String, Vec<(String, String)>)> {
    let one = |v: &Shipped| (v.key.to_string(), v.attributes.metadata.clone());
    versions.iter().map(one).collect()
}

#[tokio::test]
async fn p3_swapped_and_spliced_versions_are_never_served() {
    let [a, s] = home_and_sealed().await;
    for at in ["one", "two"] {
        a.put(at, format!("the content of {at}")).await;
        a.put(
            &format!("long {at}"),
            large(at.len() as u64 + u64::from(at == "two"), LARGE),
        )
        .await;
    }
    settled(&a).await;
    let keys = ["one", "two", "long one", "long two"];
    let rows = rows_of(&s).await;
    assert_eq!(
        (rows.len(), sealed_versions(&s.versions().await).len()),
        (4, 4)
    );
    let mut tried = 0;
    // Each row in the place of each other: whole, and only its bytes.
    for (to, old, old_payload) in &rows {
        for (from, value, payload) in &rows {
            if from == to {
                continue;
            }
            for (value, payload) in [
                (value.clone(), payload.clone()),
                (old.clone(), payload.clone()),
                (value.clone(), old_payload.clone()),
            ] {
                write_row(&s, to, value, payload).await;
                for at in keys {
                    tried += 1;
                    match s.read(at, &GetRequest::default()).await {
                        Ok(read) => assert_eq!(Some(read), a.get(at).await, "{at}"),
                        Err(Error::SealBroken | Error::NoLease(_) | Error::Record(_)) => {}
                        Err(other) => panic!("{at}: {other:?}"),
                    }
                }
                write_row(&s, to, old.clone(), old_payload.clone()).await;
            }
        }
    }
    assert_eq!(tried, 4 * 3 * 3 * 4);
    for at in keys {
        assert_eq!(s.get(at).await, a.get(at).await);
    }
}

#[tokio::test]
async fn p3_flipped_bits_are_never_served() {
    let [a, s] = home_and_sealed().await;
    a.put("one", "the content of one").await;
    settled(&a).await;
    assert_eq!(s.get("one").await.unwrap(), "the content of one");
    let (row, value, payload) = rows_of(&s).await.remove(0);
    let payload = payload.unwrap();
    for bit in 0..payload.len() * 8 {
        let mut flipped = payload.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        write_row(&s, &row, value.clone(), Some(flipped.into())).await;
        let read = s.read("one", &GetRequest::default()).await;
        assert!(
            matches!(read, Err(Error::SealBroken)),
            "bit {bit}: {read:?}"
        );
    }
    // In the row: what it says in clear may break the row, but never changes what is read.
    for bit in (0..value.len() * 8).step_by(3) {
        let mut flipped = value.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        write_row(&s, &row, flipped.into(), Some(payload.clone())).await;
        let read = s.read("one", &GetRequest::default()).await;
        assert!(
            read.is_err() || read.unwrap() == "the content of one",
            "bit {bit}"
        );
    }
}

#[tokio::test]
async fn p3_a_replayed_older_state_is_not_served() {
    let [a, s] = home_and_sealed().await;
    a.put("one", "old").await;
    settled(&a).await;
    let before = rows_of(&s).await;
    assert_eq!(s.get("one").await.unwrap(), "old");
    a.put("one", "new").await;
    settled(&a).await;
    let after = rows_of(&s).await;
    // From here on the lease is for the version that counts.
    assert_eq!(s.get("one").await.unwrap(), "new");
    // As when the disk is put back to how it was, and stays cut off.
    *a.door.hook.write() = Some(Arc::new(|_, ask| match &ask.what {
        What::Lease { .. } | What::Unwrap { .. } => None,
        _ => {
            let mut refusal = Response::new(full(""));
            *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Some(refusal)
        }
    }));
    let (row, value, payload) = before[0].clone();
    assert_eq!(row, after[0].0, "the same object");
    write_row(&s, &row, value, payload).await;
    until("the rollback is found out", || async {
        match s.read("one", &GetRequest::default()).await {
            Ok(read) => panic!("{read:?} was served"),
            Err(Error::NoLease(_)) => true,
            Err(other) => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn a_sealed_copy_that_the_log_no_longer_reaches_is_seeded_anew_without_what_was_removed() {
    let [a, mut s] = home_and_sealed().await;
    a.versioning().await;
    for n in 0..700 {
        a.put(&format!("{n}/{}", "long name ".repeat(n % 90)), "x")
            .await;
    }
    let gone = a.put("gone", large(2, LARGE)).await;
    settled(&a).await;
    s.stop().await;
    a.delete("gone", gone).await;
    a.put("new", "n").await;
    let end = a.end().await;
    a.engine.log.trim(PartitionId(ID.0), end).await.unwrap();
    let before = a.door.bodies.lock().len();
    s.run();
    settled(&a).await;
    assert_eq!(s.versions().await.len(), 701);
    assert_eq!(a.door.bodies.lock().len(), before, "what is here is kept");
    assert_eq!(s.get("new").await.unwrap(), "n");
    assert_eq!(s.get("gone").await, None);
}

async fn becomes(regions: &[&Region], deed: &Arc<BucketDeed>) {
    for region in regions {
        region.view.hears(deed);
    }
}

#[tokio::test]
async fn a_copy_that_becomes_sealed_or_readable_keeps_nothing_of_the_other_kind() {
    let [a, s] = home_and_sealed().await;
    a.versioning().await;
    a.put(CANARY, "1").await;
    a.put("long", large(1, LARGE)).await;
    settled(&a).await;
    let readable = deed("a", &["s"], 1);
    becomes(&[&a, &s], &readable).await;
    s.equals(&a).await;
    assert_eq!(s.get(CANARY).await.unwrap(), "1");
    let sealed = deed_sealed("a", &["s"], "s", 1);
    becomes(&[&a, &s], &sealed).await;
    until("all is sealed again", || async {
        s.versions().await.len() == 2 && !holds(&all_that_lies_at(&s).await, CANARY.as_bytes())
    })
    .await;
    settled(&a).await;
    assert_eq!(s.get(CANARY).await.unwrap(), "1");
    assert_eq!(s.get("long").await, Some(large(1, LARGE)));
}

#[tokio::test]
async fn a_sealed_copy_follows_its_bucket_to_another_home() {
    let all = Cloud::start(&[("a", "DE"), ("b", "DE"), ("s", "FR")]).await;
    let [mut a, mut b, mut s]: [Region; 3] = all.try_into().ok().unwrap();
    let first = deed_sealed("a", &["b", "s"], "s", 1);
    for region in [&mut a, &mut b, &mut s] {
        region.view.hears(&first);
        region.run();
    }
    a.versioning().await;
    a.put("one", "1").await;
    a.put("long", large(1, LARGE)).await;
    settled(&a).await;
    let second = deed_sealed("b", &["a", "s"], "s", 2);
    becomes(&[&a, &b, &s], &second).await;
    b.put("two", "2").await;
    settled(&b).await;
    assert_eq!(s.get("one").await.unwrap(), "1");
    assert_eq!(s.get("two").await.unwrap(), "2");
    assert_eq!(s.get("long").await, Some(large(1, LARGE)));
    assert_eq!(
        s.versions().await.len(),
        3,
        "what the old home sealed is gone"
    );
}
