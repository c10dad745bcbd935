//! A replica becomes the home: it fetches what others alone have, and what was deleted stays so.

use crate::common::{Cloud, Region, deed, large, until};

fn all_hear(regions: &[&Region], deed: &std::sync::Arc<types::BucketDeed>) {
    for region in regions {
        region.view.hears(deed);
    }
}

fn reported(home: &Region, from: &str, epoch: u64) -> Vec<String> {
    let reports = home.view.reports.lock();
    let from = types::RegionId::new(from);
    let of = reports
        .iter()
        .filter(|r| r.from == from && r.epoch == epoch);
    let mut keys: Vec<_> = of.flat_map(|r| r.keys.clone()).collect();
    keys.sort();
    keys.dedup();
    keys
}

#[tokio::test]
async fn an_old_home_hands_over_what_it_alone_has_and_follows() {
    let [mut a, b, c] = Cloud::three().await;
    a.versioning().await;
    a.put("shared", "1").await;
    b.equals(&a).await;
    c.equals(&a).await;
    // The home is cut off, and goes on writing.
    a.proxy.down();
    a.stop().await;
    a.put("alone", large(1, 500_000)).await;
    a.put("shared", "written at the old home").await;
    // The replicas take over without it.
    let second = deed("b", &["a", "c"], 2);
    all_hear(&[&b, &c], &second);
    b.put("after", "b").await;
    b.put("shared", "written at the new home").await;
    c.equals(&b).await;
    // It comes back.
    a.proxy.up();
    a.view.hears(&second);
    a.run();
    a.equals(&b).await;
    c.equals(&b).await;
    assert_eq!(b.get("alone").await, Some(large(1, 500_000)));
    // Both versions of the key that was written on both sides are kept.
    let shared = b.keys().await.iter().filter(|k| *k == "shared").count();
    assert_eq!(shared, 3);
    assert_eq!(reported(&b, "a", 2), ["alone", "shared"]);
}

#[tokio::test]
async fn what_reached_only_another_copy_reaches_the_new_home() {
    let [mut a, mut b, c] = Cloud::three().await;
    a.versioning().await;
    a.put("shared", "1").await;
    b.equals(&a).await;
    c.equals(&a).await;
    b.stop().await;
    a.put("only at c", large(1, 300_000)).await;
    c.equals(&a).await;
    a.stop().await;
    a.proxy.down();
    let second = deed("b", &["a", "c"], 2);
    all_hear(&[&b, &c], &second);
    b.run();
    b.equals(&c).await;
    assert_eq!(b.get("only at c").await, Some(large(1, 300_000)));
    assert_eq!(reported(&b, "c", 2), ["only at c"]);
    // The old home has nothing of its own then.
    a.proxy.up();
    a.view.hears(&second);
    a.run();
    b.put("later", "l").await;
    a.equals(&b).await;
    assert!(reported(&b, "a", 2).is_empty());
}

#[tokio::test]
async fn what_was_deleted_at_the_new_home_is_not_brought_back_by_the_old_one() {
    let [mut a, b, c] = Cloud::three().await;
    a.versioning().await;
    let deleted = a.put("deleted", large(1, 200_000)).await;
    a.put("marked", "m").await;
    a.put("kept", "k").await;
    b.equals(&a).await;
    c.equals(&a).await;
    a.stop().await;
    a.proxy.down();
    let second = deed("b", &["a", "c"], 2);
    all_hear(&[&b, &c], &second);
    b.delete("deleted", deleted).await;
    b.delete("marked", None).await;
    c.equals(&b).await;
    a.proxy.up();
    a.view.hears(&second);
    a.run();
    a.equals(&b).await;
    assert_eq!(b.get("deleted").await, None);
    assert_eq!(b.get("marked").await, None);
    assert!(!b.keys().await.contains(&"deleted".to_owned()));
    assert!(b.view.reports.lock().is_empty(), "nothing was handed over");
}

#[tokio::test]
async fn a_home_that_moves_there_and_back_loses_nothing() {
    let [mut a, mut b, c] = Cloud::three().await;
    a.versioning().await;
    a.put("k", "0").await;
    b.equals(&a).await;
    c.equals(&a).await;
    for epoch in 2..=5 {
        let (home, old, name, copies) = match epoch % 2 {
            0 => (&mut b, &mut a, "b", ["a", "c"]),
            _ => (&mut a, &mut b, "a", ["b", "c"]),
        };
        // The old home learns it late, and has written meanwhile.
        old.put(&format!("late{epoch}"), "x").await;
        let next = deed(name, &copies, epoch);
        home.view.hears(&next);
        home.stop().await;
        home.run();
        home.put("k", format!("{epoch}")).await;
        old.view.hears(&next);
        old.stop().await;
        old.run();
        c.view.hears(&next);
        old.equals(home).await;
        c.equals(home).await;
    }
    let keys = a.keys().await;
    for epoch in 2..=5 {
        assert!(keys.contains(&format!("late{epoch}")), "{keys:?}");
    }
    assert_eq!(keys.iter().filter(|k| *k == "k").count(), 5);
}

#[tokio::test]
async fn a_removal_of_which_only_another_copy_heard_is_not_undone_by_the_new_home() {
    let [mut a, mut b, c] = Cloud::three().await;
    a.versioning().await;
    let removed = a.put("removed", large(1, 200_000)).await;
    a.put("kept", "k").await;
    b.equals(&a).await;
    c.equals(&a).await;
    // What a replica misses since its snapshot is not whole it does not know to be removed.
    c.follows().await;
    b.stop().await;
    a.delete("removed", removed).await;
    c.equals(&a).await;
    a.stop().await;
    a.proxy.down();
    // The one that missed it becomes the home.
    let second = deed("b", &["a", "c"], 2);
    all_hear(&[&b, &c], &second);
    b.run();
    b.put("later", "l").await;
    c.equals(&b).await;
    assert_eq!(b.get("removed").await, None);
    assert_eq!(b.keys().await, ["kept", "later"]);
    let told = || async { reported(&b, "c", 2) == ["removed"] };
    until("it is reported", told).await;
    a.proxy.up();
    a.view.hears(&second);
    a.run();
    a.equals(&b).await;
    assert_eq!(a.keys().await, ["kept", "later"]);
}

#[tokio::test]
async fn a_copy_that_was_seeded_knows_what_was_removed_before() {
    let [mut a, mut b, mut c] = Cloud::three().await;
    a.versioning().await;
    let removed = a.put("removed", large(1, 200_000)).await;
    b.equals(&a).await;
    c.equals(&a).await;
    // One replica misses the removal; the other misses all of it, and is seeded anew after it.
    b.stop().await;
    c.stop().await;
    a.delete("removed", removed).await;
    a.put("kept", "k").await;
    let second = deed("a", &["b", "c"], 2);
    all_hear(&[&a, &c], &second);
    c.run();
    c.equals(&a).await;
    a.stop().await;
    a.proxy.down();
    let third = deed("c", &["a", "b"], 3);
    all_hear(&[&b, &c], &third);
    b.run();
    b.equals(&c).await;
    assert_eq!(c.keys().await, ["kept"]);
}

#[tokio::test]
async fn tags_that_only_another_copy_has_reach_the_new_home() {
    let [mut a, mut b, c] = Cloud::three().await;
    a.versioning().await;
    a.put("tagged", "t").await;
    b.equals(&a).await;
    c.equals(&a).await;
    b.stop().await;
    a.tag("tagged", "newer").await;
    c.equals(&a).await;
    a.stop().await;
    a.proxy.down();
    let second = deed("b", &["a", "c"], 2);
    all_hear(&[&b, &c], &second);
    b.run();
    c.equals(&b).await;
    let tags = &b.versions().await[0].attributes.tags;
    assert_eq!(tags, &[("t".to_owned(), "newer".to_owned())]);
    let told = || async { reported(&b, "c", 2) == ["tagged"] };
    until("it is reported", told).await;
}
