//! Which features regions announce, and what is refused where one does not.

use std::time::Duration;

use types::{
    BucketName, DeedError, Deeds, Features, Forwarder, RegionId, Replica, Writes,
    features::{FEATURES_MAX, Need, SEALED_REPLICAS, UNRENEWED, WRITES_ANY},
};

use super::{
    follow_tests::{Cloud, ROOT, bucket, follower, open},
    *,
};
use crate::{Ask, PlacementChange, RegistryAnswer, features::check};

const WITHIN: Duration = Duration::from_secs(30);

fn region(name: &str) -> RegionId {
    RegionId::new(name)
}

fn copy_in(name: &str, sealed_by: Option<&str>) -> PlacementChange {
    PlacementChange {
        add: vec![Replica {
            region: region(name),
            sealed_by: sealed_by.map(RegionId::new),
        }],
        ..PlacementChange::default()
    }
}

fn without(names: &[&str]) -> Features {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Features::own().without(&names)
}

impl Cloud {
    /// A region asks for changes as builds do that know these; without, as those do that announce
    /// nothing.
    async fn asks_as(&self, id: &str, features: Option<Vec<String>>) {
        self.asked_as(id, features).await.unwrap();
    }

    /// The same; why it is refused, where it is.
    pub(super) async fn asked_as(
        &self,
        id: &str,
        features: Option<Vec<String>>,
    ) -> Result<(), String> {
        let ask = Ask::Changes {
            from: 0,
            wait_ms: 0,
            receipt: None,
            features,
        };
        match self.keeper.answer(&region(id), ask).await {
            RegistryAnswer::Changes { .. } => Ok(()),
            RegistryAnswer::Refused(why) => Err(why),
            _ => panic!("an answer to another question"),
        }
    }

    /// The region runs an older release, and the cloud's owner accepts it.
    async fn steps_back(&self, id: &str, features: Features) {
        let why = self.asked_as(id, Some(features.names())).await;
        assert!(why.unwrap_err().contains("dhow region step-back"));
        self.keeper.step_back(ROOT, id).await.unwrap();
        self.asks_as(id, Some(features.names())).await;
        assert_eq!(self.knows(id), features);
    }

    fn knows(&self, id: &str) -> Features {
        self.keeper.region(id).unwrap().features()
    }

    async fn a_bucket(&self, name: &str) -> BucketName {
        let owner = self.tenant(name).await;
        let made = self
            .keeper
            .create(Actor::System, bucket(name, &owner, "first"));
        made.await.unwrap().name.clone()
    }
}

#[tokio::test]
async fn a_region_announces_what_it_knows_with_its_first_question() {
    let cloud = Cloud::new().await;
    let length = *cloud.keeper.watch().borrow();
    assert_eq!(cloud.knows("second"), Features::base());
    // What every build knows is no change.
    cloud.catch_up().await;
    assert_eq!(*cloud.keeper.watch().borrow(), length);
    assert_eq!(cloud.keeper.region("second").unwrap().features, None);
    // Another start, with a build that knows less.
    let rows: Arc<dyn store::Index> = store::memory::Memory::new();
    let less = follower(&cloud.keeper, rows, "second").await;
    less.announce_features(without(&[WRITES_ANY]));
    let mut watch = less.watch();
    let following = tokio::spawn(Arc::clone(&less).follow());
    let heard = watch.wait_for(|now| *now > length);
    tokio::time::timeout(WITHIN, heard).await.unwrap().unwrap();
    following.abort();
    let entry = cloud.keeper.last_entry().unwrap();
    assert_eq!(
        (&*entry.action, &*entry.actor),
        ("region.features", "region second")
    );
    assert!(!cloud.knows("second").has(WRITES_ANY));
    // Every region knows it of every other.
    assert_eq!(less.region("second"), cloud.keeper.region("second"));
}

#[tokio::test]
async fn a_region_loses_no_feature_by_its_word_and_the_owner_accepts_an_older_release() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    cloud
        .asks_as("second", Some(without(&[WRITES_ANY]).names()))
        .await;
    cloud.asks_as("second", Some(Features::own().names())).await;
    let length = keeper.log_length();
    // The question of a build that announces nothing, as it is written.
    let ask = serde_json::from_str(r#"{"changes":{"from":0,"wait_ms":0}}"#).unwrap();
    let RegistryAnswer::Refused(why) = keeper.answer(&region("second"), ask).await else {
        panic!("it is answered");
    };
    assert!(why.contains("`guard-policies`"), "{why}");
    assert_eq!(keeper.withheld("second"), Some(why));
    let less = without(&[WRITES_ANY]);
    assert!(cloud.asked_as("second", Some(less.names())).await.is_err());
    assert_eq!(keeper.withheld_questions(), [("second".to_owned(), 2)]);
    assert_eq!(cloud.knows("second"), Features::own());
    assert_eq!(keeper.log_length(), length);
    cloud.asks_as("second", Some(Features::own().names())).await;
    assert_eq!(keeper.withheld_questions(), []);
    cloud.steps_back("second", less).await;
    assert_eq!(keeper.log_length(), length + 2);
    assert!(keeper.step_back(ROOT, "first").await.is_err());
}

#[tokio::test]
async fn a_record_grows_by_what_this_build_knows_alone() {
    let cloud = Cloud::new().await;
    let later = vec!["x-of-a-later-release".to_owned(), UNRENEWED.to_owned()];
    cloud.asks_as("second", Some(later)).await;
    assert_eq!(cloud.knows("second").names(), [UNRENEWED]);
    let length = cloud.keeper.log_length();
    for n in 0..50 {
        let many = (0..FEATURES_MAX - 1).map(|k| format!("f{n}-{k}"));
        let many = many.chain([UNRENEWED.to_owned()]).collect();
        cloud.asks_as("second", Some(many)).await;
    }
    assert_eq!(cloud.keeper.log_length(), length);
    // What the base has stays, once it was announced in full.
    cloud.asks_as("second", None).await;
    assert!(cloud.asked_as("second", Some(Vec::new())).await.is_err());
    assert_eq!(cloud.knows("second"), Features::base());
    assert_eq!(cloud.keeper.log_length(), length + 1);
}

/// How builds read the question that announce nothing themselves.
#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum OlderAsk {
    Changes { from: u64, wait_ms: u64 },
}

#[test]
fn an_older_registry_reads_the_question_of_a_newer_region() {
    let ask = Ask::Changes {
        from: 7,
        wait_ms: 9,
        receipt: None,
        features: Some(Features::own().names()),
    };
    let OlderAsk::Changes { from, wait_ms } =
        serde_json::from_slice(&serde_json::to_vec(&ask).unwrap()).unwrap();
    assert_eq!((from, wait_ms), (7, 9));
}

#[tokio::test]
async fn a_list_that_is_no_list_changes_nothing_and_keeps_nobody_from_following() {
    let cloud = Cloud::new().await;
    let length = *cloud.keeper.watch().borrow();
    let many = (0..=FEATURES_MAX).map(|n| format!("f{n}")).collect();
    for bad in [
        vec!["Not a name".to_owned()],
        vec!["a".into(), "a".into()],
        many,
    ] {
        cloud.asks_as("second", Some(bad)).await;
        assert_eq!(cloud.knows("second"), Features::base());
    }
    assert_eq!(*cloud.keeper.watch().borrow(), length);
}

#[tokio::test]
async fn a_placement_is_refused_that_needs_what_one_of_its_regions_does_not_announce() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let less = without(&[SEALED_REPLICAS, WRITES_ANY, UNRENEWED]);
    cloud.asks_as("second", Some(less.names())).await;
    let name = cloud.a_bucket("photos").await;
    let length = *keeper.watch().borrow();
    let refused = |refused: Result<_, CloudError>, feature: &str| {
        let why = refused.expect_err("a refusal").to_string();
        let wanted = format!("region second does not know `{feature}`");
        assert!(
            why.contains(&wanted) && why.contains("upgrade Dhow"),
            "{why}"
        );
    };
    // Placed: what the change is to bring, in a region that has the bucket or gets it.
    let sealed = copy_in("second", Some("first"));
    refused(
        keeper.place_bucket(ROOT, &name, &sealed).await,
        SEALED_REPLICAS,
    );
    let mut any = copy_in("second", None);
    any.writes = Some(Writes::Any);
    refused(keeper.place_bucket(ROOT, &name, &any).await, WRITES_ANY);
    refused(keeper.placed(&name, &any).map(Arc::new), WRITES_ANY);
    // Created.
    let owner = cloud.tenant("more").await;
    let mut new = bucket("more", &owner, "second");
    new.placement.writes = Writes::Any;
    let made = keeper.create(Actor::System, new).await;
    let Err(DeedError::Placement(why)) = made else {
        panic!("{made:?}");
    };
    assert!(
        why.contains("region second does not know `writes-any`"),
        "{why}"
    );
    assert_eq!(*keeper.watch().borrow(), length + 1, "the tenant alone");
    // What it knows is not refused, nor is the same elsewhere.
    cloud.placed(&name, copy_in("second", None)).await;
    let mut third = copy_in("third", Some("first"));
    third.trust_reads = Some(vec![Forwarder::Operator]);
    cloud.placed(&name, third).await;
    // Moved: the new home would have to seal the third region's replica.
    let moved = keeper
        .move_home(ROOT, (&name, 1), &region("second"), true)
        .await;
    refused(moved, SEALED_REPLICAS);
    // After an upgrade it is.
    cloud.asks_as("second", Some(Features::own().names())).await;
    keeper.moved(&name, &region("second")).unwrap();
    keeper.placed(&name, &any_writes()).unwrap();
}

fn any_writes() -> PlacementChange {
    PlacementChange {
        writes: Some(Writes::Any),
        ..PlacementChange::default()
    }
}

#[tokio::test]
async fn a_region_that_steps_back_keeps_nobody_from_changing_what_it_holds() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let name = cloud.a_bucket("photos").await;
    let mut both = copy_in("second", None);
    both.writes = Some(Writes::Any);
    cloud.placed(&name, both).await;
    assert_eq!(keeper.lacking(), []);
    cloud.asks_as("second", Some(Features::own().names())).await;
    cloud.steps_back("second", without(&[WRITES_ANY])).await;
    let lacking = keeper.lacking();
    assert_eq!(lacking.len(), 1);
    assert_eq!((&*lacking[0].region, lacking[0].buckets), ("second", 1));
    // It is not made worse by these, and the home may be moved away from a region that is lost.
    let third = keeper.placed(&name, &copy_in("third", None)).unwrap();
    assert_eq!(third.holders().count(), 3);
    keeper.moved(&name, &region("second")).unwrap();
    let home_alone = PlacementChange {
        writes: Some(Writes::Home),
        ..PlacementChange::default()
    };
    keeper.placed(&name, &home_alone).unwrap();
}

#[tokio::test]
async fn a_feature_of_a_later_release_is_needed_of_the_regions_that_hold_the_bucket() {
    const LATER: &[Need] = &[("x-later", |deed, _| deed.placement.proxy)];
    let cloud = Cloud::new().await;
    let mut record = (*cloud.keeper.region("second").unwrap()).clone();
    let mut later = Features::own().names();
    later.push("x-later".to_owned());
    record.features = Some(later);
    let turn = cloud.keeper.turn().await;
    let put = cloud
        .keeper
        .put_region(turn, ROOT, "region.features", record, Vec::new());
    put.await.unwrap();
    let owner = cloud.tenant("acme").await;
    let made = |name, home| {
        let mut new = bucket(name, &owner, home);
        new.placement.proxy = true;
        cloud.keeper.create(Actor::System, new)
    };
    let there = made("there", "second").await.unwrap();
    let here = made("here", "first").await.unwrap();
    let state = cloud.keeper.state.read();
    check(LATER, &state, None, &there).unwrap();
    let refused = check(LATER, &state, None, &here).unwrap_err().to_string();
    assert!(
        refused.contains("region first does not know `x-later`"),
        "{refused}"
    );
    // It was so before.
    check(LATER, &state, Some(&here), &here).unwrap();
}

#[tokio::test]
async fn the_registrys_region_announces_its_own() {
    let rows: Arc<dyn store::Index> = store::memory::Memory::new();
    let keeper = open(Arc::clone(&rows), "first", 1, Keeper::Here).await;
    keeper.announce_features(without(&[UNRENEWED]));
    let own = super::follow_tests::plan("first", "DE");
    let at = super::follow_tests::announcement(1);
    keeper.open_own_region(&own, &at).await.unwrap();
    assert!(!keeper.region("first").unwrap().features().has(UNRENEWED));
    // The next start runs another build.
    let keeper = open(rows, "first", 2, Keeper::Here).await;
    keeper.open_own_region(&own, &at).await.unwrap();
    assert_eq!(keeper.region("first").unwrap().features(), Features::own());
}

/// Each entry of the log is there for good, in every region.
#[tokio::test]
async fn p5_a_region_does_not_fill_the_log_with_what_it_says_of_itself() {
    let cloud = Cloud::new().await;
    let before = cloud.keeper.log_length();
    for n in 0..500_u16 {
        let announced = crate::Announcement {
            peer: format!("127.0.0.1:{}", 20_000 + n),
            ..super::follow_tests::announcement(2)
        };
        let ready = crate::link::Readiness {
            now_ms: 0,
            version: String::new(),
            writable: true,
        };
        let ask = Ask::Announce { announced, ready };
        cloud.keeper.answer(&RegionId::new("second"), ask).await;
    }
    let written = cloud.keeper.log_length() - before;
    assert!((50..=120).contains(&written), "{written}");
}
