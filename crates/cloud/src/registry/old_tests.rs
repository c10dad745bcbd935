//! Which regions are given keys of signatures with HMAC-SHA1, and whose.

use std::{collections::BTreeMap, time::Duration};

use access::{NoOldKey, SigningKeys, signature::Statement};
use base64::{Engine, engine::general_purpose::STANDARD};
use types::{AccountId, features::Features};

use super::{
    follow_tests::{Cloud, ROOT, announcement, follower, issued, plan},
    *,
};
use crate::{
    AccessChange, Ask, DerivedKeys, NewKey, RegionPlan, RegionStatus, RegistryAnswer,
    kinds::Record, verifiers::VerifierRecord,
};

impl Cloud {
    /// No region may be of a release that does not know what accounts say of access.
    async fn turn(&self, account: &AccountId, on: bool) {
        for region in self.keeper.all_regions() {
            if *region.id != *self.keeper.own() {
                self.told(&region.id).await;
            }
        }
        let change = AccessChange {
            old_signatures: Some(on),
            ..AccessChange::default()
        };
        let turned = self.keeper.set_account_access(ROOT, account, change);
        turned.await.unwrap();
    }

    /// What a region that knows everything receives of all keys.
    async fn told(&self, region: &str) -> Vec<DerivedKeys> {
        let (region, after) = (RegionId::new(region), String::new());
        let changes = Ask::Changes {
            from: 0,
            wait_ms: 0,
            receipt: None,
            features: Some(Features::own().names()),
        };
        self.keeper.answer(&region, changes).await;
        match self.keeper.answer(&region, Ask::Keys { after }).await {
            RegistryAnswer::Keys { keys, .. } => keys,
            _ => panic!("no keys"),
        }
    }

    /// A region of another operator.
    pub(super) async fn partner(&self, id: &str) {
        let keeper = &self.keeper;
        keeper.add_operator(ROOT, "partner", "P").await.unwrap();
        let plan = RegionPlan {
            operator: "partner".into(),
            ..plan(id, "AE")
        };
        let (valid, hash) = (Duration::from_secs(60), crate::token_hash(id.as_bytes()));
        keeper.plan_region(ROOT, &plan, &hash, valid).await.unwrap();
        let (announced, issued) = (announcement(4), issued(4));
        let joined = keeper.join(id.as_bytes(), id, &announced, &issued);
        joined.await.unwrap();
        let opened = keeper.set_region_status(ROOT, id, RegionStatus::Open);
        opened.await.unwrap();
    }
}

fn statement(key: &NewKey, text: &str) -> Statement {
    let signer = access::signature::OldKey::of_secret(&key.secret_key);
    Statement {
        access_key: key.access_key.clone(),
        day: String::new(),
        region: String::new(),
        region_set: None,
        stamp: String::new(),
        canonical: [0; 32],
        signature: STANDARD.encode(signer.sign(text.as_bytes())),
        token: None,
        old: Some(text.as_bytes().into()),
    }
}

#[tokio::test]
async fn p5_only_regions_of_the_clouds_owner_are_given_old_keys_and_only_of_who_asked() {
    let cloud = Cloud::new().await;
    cloud.partner("fourth").await;
    let asked = cloud.tenant("asked").await;
    let other = cloud.tenant("other").await;
    let (key, of_other) = (cloud.key_of(&asked).await, cloud.key_of(&other).await);
    // The partner has a bucket of both, and so their other keys.
    for owner in [&asked, &other] {
        let new = super::follow_tests::bucket(&format!("held-{owner}"), owner, "fourth");
        types::Deeds::create(&*cloud.keeper, types::Actor::System, new)
            .await
            .unwrap();
    }
    cloud.turn(&asked, true).await;
    let old = |told: &[DerivedKeys]| -> Vec<String> {
        let with = told.iter().filter(|keys| keys.old.is_some());
        with.map(|keys| keys.id.clone()).collect()
    };
    let told = old(&cloud.told("second").await);
    assert_eq!(told, std::slice::from_ref(&key.access_key));
    let partners = cloud.told("fourth").await;
    assert_eq!(partners.len(), 2);
    assert!(old(&partners).is_empty());
    // What a region receives is no secret: it verifies nothing else.
    let told = serde_json::to_string(&cloud.told("second").await).unwrap();
    assert!(!told.contains(&key.secret_key));
    let fourth = follower(&cloud.keeper, store::memory::Memory::new(), "fourth").await;
    let refused = |registry: &Registry, key: &NewKey| registry.old_signer(&key.access_key).err();
    assert_eq!(refused(&cloud.keeper, &key), None);
    assert_eq!(refused(&cloud.keeper, &of_other), Some(NoOldKey::Off));
    let following = tokio::spawn(Arc::clone(&fourth).follow());
    let length = *cloud.keeper.watch().borrow();
    fourth.watch().wait_for(|l| *l >= length).await.unwrap();
    assert_eq!(refused(&fourth, &key), Some(NoOldKey::Region));
    following.abort();
    // A signature that a partner's region has is not its to relay.
    let made = statement(&key, "GET\n\n\nsome day\n/b/k");
    assert!(cloud.keeper.old_signer_of(&made, "second").is_some());
    assert!(cloud.keeper.old_signer_of(&made, "fourth").is_none());
    let mut forged = statement(&of_other, "GET\n\n\nsome day\n/b/k");
    assert!(cloud.keeper.old_signer_of(&forged, "second").is_none());
    forged.access_key.clone_from(&key.access_key);
    assert!(cloud.keeper.old_signer_of(&forged, "second").is_none());
}

#[tokio::test]
async fn p5_an_old_key_is_taken_away_when_the_account_turns_it_off() {
    let cloud = Cloud::new().await;
    let asked = cloud.tenant("asked").await;
    let key = cloud.key_of(&asked).await;
    cloud.second.announce_features(Features::own());
    cloud.told("second").await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    let heard = async || {
        let length = *cloud.keeper.watch().borrow();
        let mut watch = cloud.second.watch();
        watch.wait_for(|l| *l >= length).await.unwrap();
    };
    let second = &cloud.second;
    let found = || {
        second
            .old_signer(&key.access_key)
            .map(|signer| signer.account)
    };
    heard().await;
    assert_eq!(found(), Err(NoOldKey::Off));
    cloud.turn(&asked, true).await;
    heard().await;
    assert_eq!(found(), Ok(asked.clone()));
    let made = statement(&key, "GET\n\n\nsome day\n/b/k");
    assert!(second.old_signer_of(&made, "third").is_some());
    cloud.turn(&asked, false).await;
    heard().await;
    assert_eq!(found(), Err(NoOldKey::Off));
    let has_old = |id: &str| {
        let state = second.state.read();
        state.verifiers.get(id).is_some_and(|one| one.old.is_some())
    };
    assert!(!has_old(&key.access_key), "the key is still there");
    // A key that is disabled, and an account that takes asymmetric signatures only.
    cloud.turn(&asked, true).await;
    let id = types::AccessKeyId::new(&key.access_key);
    let disabled = cloud
        .keeper
        .set_key_status(ROOT, &id, crate::KeyStatus::Disabled);
    disabled.await.unwrap();
    heard().await;
    assert_eq!(found(), Err(NoOldKey::Unknown));
    let both = AccessChange {
        requires_asymmetric: Some(true),
        ..AccessChange::default()
    };
    let refused = cloud.keeper.set_account_access(ROOT, &asked, both).await;
    assert!(matches!(refused, Err(CloudError::Refused(_))));
    following.abort();
}

/// An earlier build would keep the key when the account takes no more old signatures.
#[tokio::test]
async fn a_row_with_an_old_key_is_not_read_by_a_build_that_does_not_know_them() {
    let cloud = Cloud::new().await;
    let asked = cloud.tenant("asked").await;
    let key = cloud.key_of(&asked).await;
    let second = &cloud.second;
    let row = async || {
        let told = cloud.told("second").await;
        let keys = told.iter().find(|keys| keys.id == key.access_key);
        let keys = keys.cloned().unwrap_or_else(|| DerivedKeys {
            id: key.access_key.clone(),
            account: asked.to_string(),
            active: false,
            days: BTreeMap::new(),
            user: None,
            public: None,
            old: None,
        });
        VerifierRecord::seal(&keys, false, &second.master, &*second.random).unwrap()
    };
    let value = async || serde_json::to_value(row().await).unwrap();
    assert_eq!(value().await["v"], 1);
    cloud.turn(&asked, true).await;
    let mut with = value().await;
    assert!(with["v"] == 3 && with["old"].is_string(), "{with}");
    let read = |value: &serde_json::Value| VerifierRecord::read(value.to_string().as_bytes());
    assert!(read(&with).is_ok());
    // A field that this build does not know is not skipped.
    with["until"] = 1.into();
    assert!(read(&with).is_err());
}
