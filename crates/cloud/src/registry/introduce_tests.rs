//! Which regions are given whose keys.

use std::time::Duration;

use access::{
    SigningKeys,
    signature::{Service, Statement},
};
use serde_json::json;
use types::{AccessKeyId, BucketName, Deeds, Forwarder, NewDeed, Replica, features::Features};

use super::{
    follow_tests::{Cloud, ROOT, bucket, open, today},
    warrant_tests::{InJson, signed},
    *,
};
use crate::{
    Ask, Introduced, KeyStatus, NewKey, PlacementChange, ReadsRequests, RegistryAnswer,
    asymmetric::sign,
};

const WITHIN: Duration = Duration::from_secs(30);

/// A signature that the holder of `key` makes for a request to `region`.
pub(super) fn statement(key: &NewKey, region: &str) -> Statement {
    let request = signed(key, region, json!({"bucket": "any-bucket", "homes": []}));
    let read = InJson.read(&RegionId::new(region), &request);
    read.unwrap().statement
}

/// The same, asymmetric, for the regions of this set.
fn asymmetric(key: &NewKey, set: &str) -> Statement {
    let mut made = statement(key, "second");
    made.region.clear();
    made.region_set = Some(set.to_owned());
    let text = format!(
        "AWS4-ECDSA-P256-SHA256\n{}\n{}/s3/aws4_request\n{}",
        made.stamp,
        made.day,
        hex::encode(made.canonical)
    );
    made.signature = sign(&key.access_key, &key.secret_key, text.as_bytes());
    made
}

fn opens(registry: &Registry, key: &NewKey, region: &str) -> bool {
    let region = RegionId::new(region);
    let found = registry.signing_key(&key.access_key, &today(), &region, "s3");
    found.is_some()
}

impl Cloud {
    async fn account_with_key(&self, name: &str) -> (AccountId, NewKey) {
        let account = self.tenant(name).await;
        let key = self.key_of(&account).await;
        (account, key)
    }

    /// All access keys of which a region receives anything, however it asks.
    async fn told_to(&self, region: &str) -> Vec<String> {
        let region = RegionId::new(region);
        let known = self.keeper.region(&region).unwrap().features().names();
        let ask = |from| Ask::Changes {
            features: Some(known.clone()),
            from,
            wait_ms: 0,
            receipt: None,
        };
        let mut told = Vec::new();
        let mut from = 0;
        loop {
            let RegistryAnswer::Changes { changes, .. } =
                self.keeper.answer(&region, ask(from)).await
            else {
                panic!("no changes");
            };
            if changes.is_empty() {
                break;
            }
            from += changes.len() as u64;
            for change in changes {
                told.extend(change.keys.into_iter().map(|keys| keys.id));
            }
        }
        let after = String::new();
        let RegistryAnswer::Keys { keys, .. } =
            self.keeper.answer(&region, Ask::Keys { after }).await
        else {
            panic!("no keys");
        };
        told.extend(keys.into_iter().map(|keys| keys.id));
        told.sort();
        told.dedup();
        told
    }
}

#[tokio::test]
async fn p5_a_region_is_given_the_keys_of_those_who_have_a_bucket_there() {
    let cloud = Cloud::new().await;
    let mut keys = Vec::new();
    for name in [
        "home",
        "copy",
        "sealed",
        "trusts",
        "proxy",
        "elsewhere",
        "none",
    ] {
        keys.push((name, cloud.account_with_key(name).await));
    }
    let second = RegionId::new("second");
    for (name, (owner, _)) in &keys {
        let replica = |sealed_by: Option<&str>| Replica {
            region: second.clone(),
            sealed_by: sealed_by.map(RegionId::new),
        };
        let home = if *name == "home" { "second" } else { "first" };
        let mut new: NewDeed = bucket(&format!("of-{name}"), owner, home);
        let placement = &mut new.placement;
        match *name {
            "copy" => placement.replicas = vec![replica(None)],
            "sealed" => placement.replicas = vec![replica(Some("first"))],
            "trusts" => placement.trust.reads = vec![Forwarder::Region(second.clone())],
            "proxy" => placement.proxy = true,
            "none" => continue,
            _ => {}
        }
        cloud.keeper.create(Actor::System, new).await.unwrap();
    }
    let told = cloud.told_to("second").await;
    cloud.catch_up().await;
    for (name, (_, key)) in &keys {
        let given = ["home", "copy", "sealed", "trusts"].contains(name);
        assert_eq!(told.contains(&key.access_key), given, "{name}");
        assert_eq!(opens(&cloud.second, key, "second"), given, "{name}");
    }
    assert_eq!(cloud.told_to("third").await, Vec::<String>::new());
    // A bucket that comes there brings its owner's keys along, and one that goes takes them away.
    let name = BucketName::new("of-elsewhere").unwrap();
    let (_, key) = &keys
        .iter()
        .find(|(name, _)| *name == "elsewhere")
        .unwrap()
        .1;
    let add = PlacementChange {
        add: vec![Replica {
            region: second.clone(),
            sealed_by: None,
        }],
        ..PlacementChange::default()
    };
    cloud.keeper.place_bucket(ROOT, &name, &add).await.unwrap();
    cloud.catch_up().await;
    assert!(opens(&cloud.second, key, "second"));
    let remove = PlacementChange {
        remove: vec![second],
        ..PlacementChange::default()
    };
    cloud.placed(&name, remove).await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    let gone = async {
        while opens(&cloud.second, key, "second") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, gone).await.unwrap();
    following.abort();
}

#[tokio::test]
async fn p5_a_region_is_told_a_key_once_its_holder_has_signed_a_request_to_it() {
    let cloud = Cloud::new().await;
    let (_, key) = cloud.account_with_key("guest").await;
    let (_, other) = cloud.account_with_key("other").await;
    cloud.catch_up().await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    let second = &cloud.second;
    let introduce = async |statement: &Statement| {
        let introduced = second.introduce(statement, Service::S3, None).await;
        introduced.unwrap() == Introduced::Known
    };
    // What was signed for another region, by another key, or for another service, shows nothing.
    let mut forged = statement(&other, "second");
    forged.access_key.clone_from(&key.access_key);
    let mut elsewhere = statement(&key, "third");
    assert!(!introduce(&forged).await && !introduce(&elsewhere).await);
    "second".clone_into(&mut elsewhere.region);
    assert!(!introduce(&elsewhere).await);
    let good = statement(&key, "second");
    let admin = second.introduce(&good, Service::Admin, None).await.unwrap();
    assert_eq!(admin, Introduced::Nobody);
    assert!(!opens(second, &key, "second"));
    // Nor does it in another region's hand.
    let shown = |region: &str, statement: &Statement| {
        let ask = Ask::Introduce(Box::new(crate::Introduction::of(statement)));
        let (keeper, region) = (Arc::clone(&cloud.keeper), RegionId::new(region));
        async move {
            match keeper.answer(&region, ask).await {
                RegistryAnswer::Introduced { keys, .. } => keys.is_some(),
                _ => panic!("no answer"),
            }
        }
    };
    assert!(!shown("third", &good).await && shown("second", &good).await);
    assert!(introduce(&good).await);
    assert!(opens(second, &key, "second") && !opens(second, &other, "second"));
    // A region goes on with it alone.
    let alone = open(Arc::clone(&cloud.rows), "second", 2, Keeper::Here).await;
    assert!(opens(&alone, &key, "second"));
    // A key that is disabled ends here too, and comes back by another request.
    let id = AccessKeyId::new(&key.access_key);
    for (status, live) in [(KeyStatus::Disabled, false), (KeyStatus::Active, true)] {
        cloud
            .keeper
            .set_key_status(ROOT, &id, status)
            .await
            .unwrap();
        let length = *cloud.keeper.watch().borrow();
        second.watch().wait_for(|l| *l >= length).await.unwrap();
        assert!(!opens(second, &key, "second"));
        assert_eq!(shown("second", &good).await, live);
    }
    let again = async {
        while !introduce(&statement(&key, "second")).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, again).await.unwrap();
    assert!(opens(second, &key, "second"));
    following.abort();
}

#[tokio::test]
async fn p5_an_asymmetric_signature_gives_a_region_nothing_with_which_it_could_sign() {
    let cloud = Cloud::new().await;
    let (_, key) = cloud.account_with_key("guest").await;
    let (_, other) = cloud.account_with_key("other").await;
    cloud.second.announce_features(Features::own());
    cloud.catch_up().await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    let second = &cloud.second;
    let introduce = async |statement: &Statement| {
        let introduced = second.introduce(statement, Service::S3, None).await;
        introduced.unwrap() == Introduced::Known
    };
    let mut forged = asymmetric(&other, "*");
    forged.access_key.clone_from(&key.access_key);
    assert!(!introduce(&forged).await && !introduce(&asymmetric(&key, "third")).await);
    let mut renamed = asymmetric(&key, "third");
    // The set is in what was signed, of which the registry has the digest.
    renamed.canonical = [7; 32];
    renamed.region_set = Some("*".to_owned());
    assert!(!introduce(&renamed).await);
    let good = asymmetric(&key, "second,first");
    let told = |region: &str| {
        let ask = Ask::Introduce(Box::new(crate::Introduction::of(&good)));
        let (keeper, region) = (Arc::clone(&cloud.keeper), RegionId::new(region));
        async move {
            match keeper.answer(&region, ask).await {
                RegistryAnswer::Introduced { keys, .. } => keys,
                _ => panic!("no answer"),
            }
        }
    };
    assert!(told("third").await.is_none());
    let keys = told("second").await.unwrap();
    assert!(keys.active && keys.days.is_empty() && keys.public.is_some());
    assert!(introduce(&good).await);
    let verifies = |id: &str| second.public_key(id).is_some();
    assert!(verifies(&key.access_key) && !verifies(&other.access_key));
    assert!(second.signer_of(&good, "second").is_some());
    assert!(second.signer_of(&forged, "second").is_none());
    assert!(second.signer_of(&good, "third").is_none());
    assert!(!opens(second, &key, "second"));
    // What another kind of signature needs is sent when one is shown, with both.
    assert!(introduce(&statement(&key, "second")).await);
    assert!(opens(second, &key, "second") && verifies(&key.access_key));
    // A key that is disabled verifies nothing.
    let id = AccessKeyId::new(&key.access_key);
    let keeper = &cloud.keeper;
    let disabled = keeper.set_key_status(ROOT, &id, KeyStatus::Disabled).await;
    disabled.unwrap();
    let length = *keeper.watch().borrow();
    second.watch().wait_for(|l| *l >= length).await.unwrap();
    assert!(!verifies(&key.access_key) && keeper.public_key(&key.access_key).is_none());
    following.abort();
}

#[tokio::test]
async fn questions_for_keys_end_soon_where_nobody_has_them_or_nobody_answers() {
    let cloud = Cloud::new().await;
    let (_, key) = cloud.account_with_key("guest").await;
    cloud.catch_up().await;
    let second = &cloud.second;
    let good = statement(&key, "second");
    let mut wrong = good.clone();
    wrong.canonical = [7; 32];
    // Wrong signatures have an end for the client that shows them, whatever keys they name; and
    // keep nobody else from showing a right one.
    let (thief, other) = (
        Some("192.0.2.1".parse().unwrap()),
        "192.0.2.2".parse().unwrap(),
    );
    let (mut asked, begun) = (0, std::time::Instant::now());
    loop {
        match second.introduce(&wrong, Service::S3, thief).await {
            Ok(introduced) => assert_eq!(introduced, Introduced::Nobody),
            Err(CloudError::SlowDown(_)) => break,
            Err(error) => panic!("{error}"),
        }
        asked += 1;
        assert!(asked < 100 + 2 * begun.elapsed().as_secs());
    }
    let following = tokio::spawn(Arc::clone(second).follow());
    let right = second.introduce(&good, Service::S3, Some(other)).await;
    assert_eq!(right.unwrap(), Introduced::Known);
    following.abort();
    let mut strange = good.clone();
    "DHOWNOBODY".clone_into(&mut strange.access_key);
    let nobody = second.introduce(&strange, Service::S3, None).await.unwrap();
    assert_eq!(nobody, Introduced::Nobody);
    // A day for which no region has keys is not asked for.
    let mut old = good.clone();
    "20200101".clone_into(&mut old.day);
    old.access_key.push('x');
    assert_eq!(
        second.introduce(&old, Service::S3, None).await.unwrap(),
        Introduced::Nobody
    );
    let nobody = open(store::memory::Memory::new(), "first", 1, Keeper::Here).await;
    let rows = store::memory::Memory::new();
    let strange = super::follow_tests::follower(&nobody, rows, "second").await;
    let refused = strange.introduce(&good, Service::S3, None).await;
    assert!(
        matches!(refused, Err(CloudError::Refused(_))),
        "{refused:?}"
    );
}

/// Whoever makes up access keys keeps nobody out who has one.
#[tokio::test]
async fn keys_that_nobody_has_use_up_no_room_of_those_that_are_on_record() {
    let (cloud, other) = (Cloud::new().await, Cloud::new().await);
    let (_, key) = cloud.account_with_key("guest").await;
    cloud.catch_up().await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    let good = statement(&key, "second");
    let mut refused = 0;
    for n in 0..600 {
        let mut strange = good.clone();
        strange.access_key = format!("DHOWNOBODY{n}");
        match cloud.second.introduce(&strange, Service::S3, None).await {
            Ok(introduced) => assert_eq!(introduced, Introduced::Nobody),
            Err(CloudError::SlowDown(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0, "strangers have an end");
    // One client uses up its own, and leaves some for the others.
    let ask = |n: u32, from: &str| {
        let mut strange = good.clone();
        strange.access_key = format!("DHOWSTRANGER{n}");
        let from = Some(from.parse().unwrap());
        let second = Arc::clone(&other.second);
        async move { second.introduce(&strange, Service::S3, from).await }
    };
    let one = ["2001:db8::1", "2001:db8::2"];
    let (mut answered, begun) = (0, std::time::Instant::now());
    for n in 0..200 {
        answered += u32::from(ask(n, one[n as usize % 2]).await.is_ok());
    }
    let at_most = 11 + 2 * begun.elapsed().as_secs() as u32 + 2;
    assert!((10..=at_most).contains(&answered), "{answered}");
    for (n, from) in ["2001:db8:0:1::1", "192.0.2.1"].into_iter().enumerate() {
        ask(500 + n as u32, from).await.unwrap();
    }
    let known = cloud
        .second
        .introduce(&good, Service::S3, None)
        .await
        .unwrap();
    assert_eq!(known, Introduced::Known);
    // A key that was deleted is a stranger's; a start finds out the same.
    assert!(
        cloud
            .second
            .state
            .read()
            .keys
            .named
            .contains_key(&key.access_key)
    );
    let id = AccessKeyId::new(&key.access_key);
    cloud
        .keeper
        .set_key_status(ROOT, &id, KeyStatus::Disabled)
        .await
        .unwrap();
    cloud.keeper.delete_key(ROOT, &id).await.unwrap();
    let length = *cloud.keeper.watch().borrow();
    cloud
        .second
        .watch()
        .wait_for(|l| *l >= length)
        .await
        .unwrap();
    following.abort();
    let again = open(Arc::clone(&cloud.rows), "second", 2, Keeper::Here).await;
    for registry in [&cloud.second, &again] {
        assert!(
            !registry
                .state
                .read()
                .keys
                .named
                .contains_key(&key.access_key)
        );
    }
}
