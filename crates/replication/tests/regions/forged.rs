//! What a region says was removed, and was not.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::Response;
use objects::{Shipped, ShippedChange};
use peer::full;
use replication::{Ask, What};
use types::VersionId;

use crate::common::{Cloud, Hook, Region, deed, until};

/// An answer of one page, at place 1.
fn page(changes: &[ShippedChange]) -> Bytes {
    let mut out = vec![0u8];
    out.extend_from_slice(&1u64.to_be_bytes());
    for change in changes {
        let bytes = change.encode();
        out.extend_from_slice(&1u64.to_be_bytes());
        out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(&bytes);
    }
    out.into()
}

fn removed(of: &Shipped, null: bool) -> ShippedChange {
    ShippedChange::Removed {
        key: of.key.clone(),
        version: of.version,
        null,
    }
}

/// From now on the region says that these were removed there.
fn forges(evil: &Region, changes: &[ShippedChange]) {
    let page = page(changes);
    let hook: Hook = Arc::new(move |_, ask: &Ask| match &ask.what {
        What::Removals { .. } => Some(Response::new(full(page.clone()))),
        What::Own { after, .. } if *after == 0 => Some(Response::new(full(page.clone()))),
        What::Own { .. } => Some(Response::new(full(page.slice(..9)))),
        What::Gone { .. } => Some(Response::new(full(Bytes::from(vec![0u8; 9])))),
        _ => None,
    });
    *evil.door.hook.write() = Some(hook);
}

async fn tells(evil: &Region, home: &Region) {
    let far = evil.far(home, &evil.view.now());
    for what in [What::Hear { after: 0 }, What::Gather { after: 0 }] {
        // It may be refused as well.
        let _ = far.tell(what).await;
    }
}

fn of<'a>(all: &'a [Shipped], key: &str) -> &'a Shipped {
    all.iter().find(|v| &*v.key == key).unwrap()
}

#[tokio::test]
async fn p5_no_copy_has_the_first_home_remove_anything() {
    let [a, b] = Cloud::two().await;
    for n in 0..3 {
        a.put(&format!("k{n}"), "1").await;
    }
    let before = a.versions().await;
    a.view.away.store(true, Ordering::SeqCst);
    let all: Vec<_> = before.iter().map(|v| removed(v, true)).collect();
    forges(&b, &all);
    for _ in 0..3 {
        tells(&b, &a).await;
    }
    assert_eq!(a.versions().await, before);
}

#[tokio::test]
async fn p5_no_replica_has_the_first_home_take_versions_of_its_own() {
    let all = Cloud::start(&[("a", "DE"), ("partner", "FR")]).await;
    let [a, b]: [Region; 2] = all.try_into().ok().unwrap();
    for region in [&a, &b] {
        region.view.hears(&deed("a", &["partner"], 1));
    }
    a.put("k", "1").await;
    let before = a.versions().await;
    // A newer version of the key, and by its id one of the home's own.
    let mut made = of(&before, "k").clone();
    let at = types::Timestamp::from_ms(made.version.at().ms() + 30_000);
    made.version = VersionId::new(at, 0, made.version.region_tag(), 7);
    let offered = (made.key.to_string(), made.version.to_string());
    let page = page(&[ShippedChange::Version(Box::new(made.clone()))]);
    let hook: Hook = Arc::new(move |_, ask: &Ask| match &ask.what {
        What::Version { .. } => Some(Response::new(full(page.clone()))),
        _ => None,
    });
    *b.door.hook.write() = Some(hook);
    let far = b.far(&a, &b.view.now());
    let offer = || What::Offer {
        versions: vec![offered.clone()],
    };
    let refused = far.tell(offer()).await.unwrap_err().to_string();
    assert!(refused.contains("takes no versions"), "{refused}");
    assert_eq!(a.versions().await, before);
    // Under another epoch it takes what was made before that region's first contact.
    let second = deed("a", &["partner"], 2);
    a.view.hears(&second);
    b.view.hears(&second);
    let far = b.far(&a, &second);
    far.tell(offer()).await.unwrap();
    until("the version is there", || async {
        a.versions().await.iter().any(|v| v.version == made.version)
    })
    .await;
}

#[tokio::test]
async fn p5_what_goes_on_a_copys_word_goes_once_and_is_on_record() {
    let [mut a, b] = Cloud::two().await;
    a.put("one", "1").await;
    a.put("two", "2").await;
    // Another home: replicas may send what there was before.
    let second = deed("a", &["b"], 2);
    a.view.hears(&second);
    b.view.hears(&second);
    a.put("now", "n").await;
    let before = a.versions().await;
    a.view.away.store(true, Ordering::SeqCst);
    // One that this epoch made, by its name and by that of a null version above it.
    let now = of(&before, "now");
    let above = VersionId::new(
        types::Timestamp::from_ms(now.version.at().ms() + 30_000),
        0,
        0,
        0,
    );
    let taken = [
        removed(of(&before, "one"), true),
        removed(now, true),
        ShippedChange::Removed {
            key: now.key.clone(),
            version: above,
            null: true,
        },
    ];
    forges(&b, &taken);
    tells(&b, &a).await;
    assert_eq!(a.keys().await, ["now", "two"]);
    let (listed, _) = a.objects.on_word(&second, None, 100).await.unwrap();
    let [(from, one)] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!((from, &*one.key, one.epoch), (&b.id, "one", 2));
    let words = a.objects.words(&second, &b.id).await.unwrap();
    assert_eq!((words.count, words.reported), (1, 0));
    // Once: it has sent all.
    forges(&b, &[removed(of(&before, "two"), true)]);
    tells(&b, &a).await;
    assert_eq!(a.keys().await, ["now", "two"]);
    // The registry learns of it when it is back, after a restart too.
    a.run();
    a.stop().await;
    assert!(a.view.on_word.lock().is_empty());
    a.view.away.store(false, Ordering::SeqCst);
    a.run();
    until("the audit log has it", || async {
        !a.view.on_word.lock().is_empty()
    })
    .await;
    until("that is noted", || async {
        let words = a.objects.words(&second, &b.id).await.unwrap();
        words.reported == 1
    })
    .await;
    let told = a.view.on_word.lock().clone();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].from, told[0].count), (&b.id, 1));
    assert_eq!(told[0].digest, words.digest);
}

/// Versions of a hostile home, each with one value at an extreme; whether any of it may be taken.
fn extremes(honest: &Shipped) -> Vec<(ShippedChange, bool)> {
    let stamp = |ms| VersionId::new(types::Timestamp::from_ms(ms), u16::MAX, u32::MAX, u32::MAX);
    let now = honest.version.at().ms();
    let with = |change: &dyn Fn(&mut Shipped)| {
        let mut one = honest.clone();
        change(&mut one);
        ShippedChange::Version(Box::new(one))
    };
    let long = |n: usize| vec![("k".to_owned(), "v".repeat(n)); 1];
    vec![
        (with(&|one| one.version = stamp(u64::MAX)), false),
        (with(&|one| one.version = stamp(now + 121_000)), false),
        (with(&|one| one.version = stamp(now + 119_000)), true),
        (
            with(&|one| one.attributes.tagged = Some(stamp(u64::MAX))),
            false,
        ),
        (
            with(&|one| one.modified = types::Timestamp::from_ms(u64::MAX)),
            false,
        ),
        (with(&|one| one.size = u64::MAX), false),
        (with(&|one| one.etag.parts = u16::MAX), false),
        (with(&|one| one.attributes.metadata = long(1 << 20)), false),
        (with(&|one| one.attributes.tags = long(257)), false),
        (
            with(&|one| one.attributes.tags = vec![("k".to_owned(), String::new()); 11]),
            false,
        ),
        (
            ShippedChange::Removed {
                key: crate::common::key("mine"),
                version: stamp(u64::MAX),
                null: true,
            },
            true,
        ),
    ]
}

#[tokio::test]
async fn p9_answers_with_values_at_extremes_harm_nothing() {
    let [a, b] = Cloud::two().await;
    a.put("one", "1").await;
    a.put("mine", "m").await;
    let deed = a.view.now();
    let far = b.far(&a, &deed);
    let permit = b.permit(access::Action::ReplicateInto);
    let honest = a.versions().await;
    let mine = ShippedChange::Version(Box::new(of(&honest, "mine").clone()));
    b.objects.apply(&permit, mine, &far).await.unwrap();
    let ask = || What::Changes {
        after: 0,
        wait_ms: 0,
        applied: None,
    };
    for (n, (change, may)) in extremes(of(&honest, "one")).into_iter().enumerate() {
        let bytes = page(&[change]);
        let hook: Hook = Arc::new(move |_, ask: &Ask| {
            let changes = matches!(ask.what, What::Changes { .. });
            changes.then(|| Response::new(full(bytes.clone())))
        });
        *a.door.hook.write() = Some(hook);
        let mut taken = false;
        if let Ok(answer) = far.ask(ask()).await {
            for (_, change) in answer.changes {
                taken |= b.objects.apply(&permit, change, &far).await.is_ok();
            }
        }
        assert_eq!(taken, may, "case {n}");
    }
    // Places that cannot be.
    let one = page(&[removed(of(&honest, "one"), false)]);
    for at in [0, 2, u64::MAX] {
        let mut bytes = one.to_vec();
        bytes[9..17].copy_from_slice(&u64::to_be_bytes(at));
        let hook: Hook = Arc::new(move |_, _| Some(Response::new(full(bytes.clone()))));
        *a.door.hook.write() = Some(hook);
        assert!(far.ask(ask()).await.is_err(), "place {at}");
    }
    *a.door.hook.write() = None;
    // What was here is here, and what is written next is the newest.
    assert_eq!(b.get("mine").await.as_deref(), Some(&b"m"[..]));
    let second = crate::common::deed("b", &["a"], 2);
    b.view.hears(&second);
    b.put("one", "over it").await;
    assert_eq!(b.get("one").await.as_deref(), Some(&b"over it"[..]));
}
