//! The configuration of a bucket whose home is lost, or put back to an older state: what was set
//! last counts, wherever it was set.

use std::sync::atomic::Ordering;

use access::Action;
use objects::{Configuration, DocumentKind, Rule, Rules, ShippedChange, Versioning};
use replication::What;
use types::{BucketName, Timestamp};

use crate::{
    common::{Cloud, Region, deed, until},
    promises::{hide_changes, two},
    put_back::on_disks,
};

fn tags(value: &str) -> Vec<(String, String)> {
    vec![("team".to_owned(), value.to_owned())]
}

async fn set_tags(region: &Region, value: &str) {
    region.clock.advance_ms(1);
    let permit = region.permit(Action::PutBucketTagging);
    let set = region.objects.set_bucket_tags(&permit, tags(value));
    set.await.unwrap();
}

async fn config(region: &Region) -> Configuration {
    let permit = region.permit(Action::ReplicateFrom);
    match region.objects.head_position(&permit).await.unwrap().1 {
        ShippedChange::Config(config) => *config,
        other => panic!("{other:?}"),
    }
}

async fn same_as(region: &Region, other: &Region) {
    until("both have the same configuration", || async {
        config(region).await == config(other).await
    })
    .await;
}

#[tokio::test]
async fn what_the_lost_home_alone_had_set_comes_to_the_new_one() {
    let [mut a, b, c] = Cloud::three().await;
    set_tags(&a, "shared").await;
    a.put("shared", "1").await;
    for copy in [&b, &c] {
        same_as(copy, &a).await;
        copy.equals(&a).await;
    }
    // The home is cut off, and goes on.
    a.proxy.down();
    a.stop().await;
    a.versioning().await;
    set_tags(&a, "set at the old home").await;
    let second = deed("b", &["a", "c"], 2);
    for region in [&b, &c] {
        region.view.hears(&second);
    }
    b.put("after", "b").await;
    set_tags(&b, "set at the new home").await;
    a.proxy.up();
    a.view.hears(&second);
    a.run();
    a.equals(&b).await;
    for region in [&a, &c] {
        same_as(region, &b).await;
    }
    let now = config(&b).await;
    assert_eq!(now.versioning, Versioning::Enabled);
    assert_eq!(now.tags, tags("set at the new home"));
}

#[tokio::test]
async fn what_only_another_copy_has_of_the_lost_home_comes_to_the_new_one() {
    let [mut a, mut b, c] = Cloud::three().await;
    a.put("shared", "1").await;
    b.equals(&a).await;
    b.stop().await;
    a.versioning().await;
    same_as(&c, &a).await;
    a.stop().await;
    a.proxy.down();
    let second = deed("b", &["a", "c"], 2);
    for region in [&b, &c] {
        region.view.hears(&second);
    }
    b.run();
    until("the new home keeps versions", || async {
        config(&b).await.versioning == Versioning::Enabled
    })
    .await;
}

#[tokio::test]
async fn a_home_that_was_put_back_gets_what_its_copy_has_before_it_serves() {
    let ([mut a, mut b], disk) = on_disks().await;
    b.run();
    set_tags(&a, "first").await;
    a.put("tagged", "t").await;
    b.equals(&a).await;
    let backup = disk.copy();
    a.versioning().await;
    set_tags(&a, "second").await;
    a.tag("tagged", "newer").await;
    a.put("last", "l").await;
    let before = config(&a).await;
    b.equals(&a).await;
    same_as(&b, &a).await;
    b.stop().await;
    a.engine = backup.opened_above(disk.log_end() + 1000).into_engine();
    a.stop().await;
    a.run();
    assert_eq!(config(&a).await.tags, tags("first"));
    b.run();
    // The home waits until nothing is left to be compared.
    let now = a.view.now();
    until("the replica has handed over", || async {
        a.replication.status().not_compared(&now).is_empty()
    })
    .await;
    assert_eq!(config(&a).await, before);
    same_as(&b, &a).await;
    a.equals(&b).await;
    let versions = a.versions().await;
    let tagged = versions.iter().find(|v| *v.key == *"tagged").unwrap();
    assert_eq!(
        tagged.attributes.tags,
        [("t".to_owned(), "newer".to_owned())]
    );
}

/// Rules that write into a bucket where no other region may.
async fn set_rules(region: &Region) {
    let rule = Rule {
        id: "all".to_owned(),
        priority: 1,
        enabled: true,
        prefix: String::new(),
        tags: Vec::new(),
        filtered: true,
        delete_markers: false,
        existing: true,
        destination: BucketName::new("private").unwrap(),
        since: Timestamp::from_ms(1),
    };
    let rules = Rules {
        role: String::new(),
        rules: vec![rule],
    };
    let permit = region.permit(Action::PutReplicationConfiguration);
    let set = region.objects.set_rules(&permit, Some(rules));
    set.await.unwrap();
}

#[tokio::test]
async fn p5_a_copy_hands_over_no_rules_into_buckets_that_it_may_not_write() {
    let [a, b] = Cloud::two().await;
    a.versioning().await;
    // What a replica has that invents its configuration.
    b.versioning().await;
    set_tags(&b, "set there").await;
    set_rules(&b).await;
    let far = b.far(&a, &a.view.now());
    let offer = What::Offer {
        versions: Vec::new(),
    };
    let told: serde_json::Value = far.read(offer).await.unwrap();
    assert_eq!(told["configuration"], true);
    let taken = config(&a).await;
    assert_eq!((taken.tags, taken.rules), (tags("set there"), None));
}

#[tokio::test]
async fn p5_what_is_read_of_an_old_home_brings_no_rules_into_buckets_that_it_may_not_write() {
    let [a, b] = two().await;
    // The replica is behind when it becomes the home.
    let behind = hide_changes(&a).await;
    a.versioning().await;
    set_tags(&a, "set there").await;
    set_rules(&a).await;
    b.view.hears(&deed("b", &["a"], 2));
    behind.store(false, Ordering::SeqCst);
    until("the new home has what was set", || async {
        config(&b).await.tags == tags("set there")
    })
    .await;
    until("the new home decides", || async { b.decides() }).await;
    let taken = config(&b).await;
    assert_eq!((taken.versioning, taken.rules), (Versioning::Enabled, None));
}

#[tokio::test]
async fn p5_documents_that_say_who_has_access_come_from_the_own_operator() {
    for (replica, believed) in [("b", true), ("partner", false)] {
        let all = Cloud::start(&[("a", "DE"), (replica, "FR")]).await;
        let [a, b]: [Region; 2] = all.try_into().ok().unwrap();
        for region in [&a, &b] {
            region.view.hears(&deed("a", &[replica], 1));
        }
        // What a replica has that invents its configuration.
        b.clock.advance_ms(1);
        for (action, kind) in [
            (
                Action::PutBucketPublicAccessBlock,
                DocumentKind::PublicAccessBlock,
            ),
            (Action::PutAccelerateConfiguration, DocumentKind::Accelerate),
        ] {
            let permit = b.permit(action);
            let document = (kind, Some([0].as_slice().into()));
            let set =
                b.objects
                    .set_document(&permit, action, document, access::PublicAccessBlock::NONE);
            set.await.unwrap();
        }
        let far = b.far(&a, &a.view.now());
        let offer = What::Offer {
            versions: Vec::new(),
        };
        // From a region of another operator a first home takes nothing, unless it lost something.
        if !believed {
            let told: serde_json::Value = far.read(offer.clone()).await.unwrap();
            assert_eq!(told["configuration"], true);
            let taken = config(&a).await.documents;
            assert!(taken.get(DocumentKind::Accelerate).is_none());
        }
        a.view.lacks.store(true, Ordering::SeqCst);
        let told: serde_json::Value = far.read(offer).await.unwrap();
        assert_eq!(told["configuration"], true);
        let taken = config(&a).await.documents;
        let block = taken.get(DocumentKind::PublicAccessBlock);
        assert_eq!(block.is_some(), believed, "{replica}");
        assert!(taken.get(DocumentKind::Accelerate).is_some());
    }
}
