//! When keys were last used, as regions report it, and aliases of accounts.

use access::signature::Service;
use serde_json::json;
use store::memory::Memory;
use types::{AccessKeyId, Deeds, Features, Jurisdiction, Timestamp};

use super::{
    follow_tests::{Cloud, ROOT, bucket, open},
    introduce_tests::statement,
    *,
};
use crate::{AccountKind, Ask, NewKey, RegistryAnswer};

impl Cloud {
    async fn guarded(&self, name: &str, country: &str) -> AccountId {
        let guard = vec![Jurisdiction::parse(country).unwrap()];
        let made = self
            .keeper
            .create_account(ROOT, name, AccountKind::Tenant, guard);
        made.await.unwrap().account_id()
    }

    /// What the second region says of a use.
    async fn says(&self, key: &NewKey, at_ms: u64, service: &str) {
        says((&self.keeper, "second"), key, at_ms, service).await;
    }

    /// The second region shows a signature of this key.
    async fn shows(&self, key: &NewKey) {
        let shown = crate::Introduction::of(&statement(key, "second"));
        let ask = Ask::Introduce(Box::new(shown));
        let told = self.keeper.answer(&RegionId::new("second"), ask).await;
        assert!(matches!(
            told,
            RegistryAnswer::Introduced { keys: Some(_), .. }
        ));
    }

    fn last(&self, key: &NewKey) -> Option<crate::KeyUse> {
        self.keeper.last_use(&AccessKeyId::new(&key.access_key))
    }
}

async fn says((to, from): (&Registry, &str), key: &NewKey, at_ms: u64, service: &str) {
    let told = json!({
        "used": {"uses": [{"key": key.access_key, "at_ms": at_ms, "service": service}]},
    });
    let ask: Ask = serde_json::from_value(told).unwrap();
    let told = to.answer(&RegionId::new(from), ask).await;
    assert!(matches!(told, RegistryAnswer::Done));
}

#[tokio::test]
async fn the_registry_knows_when_a_key_was_last_used_and_where() {
    let cloud = Cloud::new().await;
    let account = cloud.tenant("acme").await;
    let (key, other) = (cloud.key_of(&account).await, cloud.key_of(&account).await);
    cloud.shows(&key).await;
    assert_eq!(cloud.last(&key), None);
    let now = cloud.keeper.clock.now();
    let note = |registry: &Registry, service, after_ms| {
        let at = Timestamp::from_ms(now.ms() + after_ms);
        registry.note(&key.access_key, service, at);
    };
    note(&cloud.keeper, Service::Iam, 0);
    let found = cloud.last(&key).unwrap();
    assert_eq!((&*found.region, &*found.service), ("first", "iam"));
    assert_eq!((found.at_ms, cloud.last(&other)), (now.ms(), None));
    // Nobody but the registry's region answers; the others report.
    note(&cloud.second, Service::S3, 1);
    assert_eq!(
        cloud.second.last_use(&AccessKeyId::new(&key.access_key)),
        None
    );
    cloud.second.report_uses_once().await.unwrap();
    let reported = cloud.last(&key).unwrap();
    // A use that another clock dates later than now is of now.
    assert!(reported.at_ms >= found.at_ms && reported.at_ms <= now.ms() + 1);
    // What is kept comes back at the next start, and only of keys that are there.
    let kept = cloud.keeper.uses_to_keep().unwrap();
    assert_eq!(cloud.keeper.uses_to_keep(), None);
    cloud
        .keeper
        .delete_key(ROOT, &AccessKeyId::new(&key.access_key))
        .await
        .unwrap();
    cloud.keeper.take_kept_uses(&kept);
    assert_eq!(cloud.last(&key), None);
    cloud.keeper.take_kept_uses("no JSON");
}

#[tokio::test]
async fn of_a_key_one_use_is_noted_in_a_while() {
    let cloud = Cloud::new().await;
    let account = cloud.tenant("acme").await;
    let key = cloud.key_of(&account).await;
    let start = cloud.keeper.clock.now().ms() / 300_000 * 300_000;
    for after in [0, 1000, 299_999] {
        let at = Timestamp::from_ms(start + after);
        cloud.keeper.note(&key.access_key, Service::S3, at);
        assert_eq!(
            cloud.last(&key).map(|one| one.at_ms),
            noted(&cloud, &key, start)
        );
    }
    let later = Timestamp::from_ms(start + 300_000);
    cloud.keeper.note(&key.access_key, Service::S3, later);
    assert_eq!(cloud.last(&key).unwrap().at_ms, later.ms());
}

/// The first use of the period, where the key was there then.
fn noted(cloud: &Cloud, key: &NewKey, start: u64) -> Option<u64> {
    let created = cloud.keeper.key(&AccessKeyId::new(&key.access_key));
    (start >= created.unwrap().created_ms).then_some(start)
}

#[tokio::test]
async fn a_region_reports_only_keys_that_it_was_given() {
    let rows = Memory::new();
    let cloud = Cloud::kept_in(rows.clone()).await;
    let free = cloud.tenant("free").await;
    let bound = cloud.guarded("bound", "DE").await;
    let (of_free, of_bound) = (cloud.key_of(&free).await, cloud.key_of(&bound).await);
    let root = cloud
        .keeper
        .create_account(ROOT, "root", AccountKind::Root, Vec::new());
    let of_root = cloud.key_of(&root.await.unwrap().account_id()).await;
    cloud.knows_users().await;
    let (_, of_user) = cloud.user(&bound, "anna").await;
    // No key was used before it was made.
    let now = cloud.keeper.clock.now().ms();
    // Nobody has a bucket in the second region, and it has shown no signature: it was given no key.
    for key in [&of_user, &of_bound, &of_free] {
        cloud.says(key, now + 60_000, "s3").await;
        assert_eq!(cloud.last(key), None);
    }
    // Regions of the cloud's operator look after the cloud's own account, and no partner does.
    cloud.partner("fourth").await;
    says((&cloud.keeper, "fourth"), &of_root, now, "s3").await;
    assert_eq!(cloud.last(&of_root), None);
    cloud.says(&of_root, now + 60_000, "s3").await;
    assert_eq!(cloud.last(&of_root).unwrap().region, "second");
    // Who signs there may be reported from there, whatever the account's guard says.
    cloud.shows(&of_bound).await;
    cloud.says(&of_bound, now, "s3").await;
    assert_eq!(cloud.last(&of_bound).unwrap().region, "second");
    cloud.says(&of_user, now, "s3").await;
    assert_eq!(cloud.last(&of_user), None);
    // Accounts with a bucket there have all their keys there.
    let placed = bucket("of-free", &free, "second");
    cloud.keeper.create(Actor::System, placed).await.unwrap();
    // Nothing is of the future, of another service, or older than what is known or the key.
    cloud.says(&of_free, 1, "s3").await;
    assert!(
        cloud
            .keeper
            .uses_to_keep()
            .is_some_and(|kept| !kept.contains(r#""at_ms":1,"#))
    );
    cloud.says(&of_free, now + 3_600_000, "s3").await;
    let known = cloud.last(&of_free).unwrap();
    assert!(
        known.at_ms < now + 3_600_000 && known.region == "second",
        "{known:?}"
    );
    cloud.says(&of_free, u64::MAX, "ec2").await;
    cloud.says(&of_free, 1, "iam").await;
    assert_eq!(cloud.last(&of_free).unwrap().service, "s3");
    let nobodys = NewKey {
        access_key: "DHOWNOBODY".into(),
        ..of_free
    };
    cloud.says(&nobodys, now, "s3").await;
    assert_eq!(cloud.last(&nobodys), None);
    // What was given is remembered over a restart of the registry's region.
    let kept = cloud.keeper.uses_to_keep().unwrap();
    let again = open(rows, "first", 1, Keeper::Here).await;
    let last = || again.last_use(&AccessKeyId::new(&of_bound.access_key));
    says((&again, "second"), &of_bound, again.clock.now().ms(), "iam").await;
    assert_eq!(last(), None);
    again.take_kept_uses(&kept);
    says((&again, "second"), &of_bound, again.clock.now().ms(), "iam").await;
    assert_eq!(last().unwrap().service, "iam");
}

#[tokio::test]
async fn an_alias_is_one_accounts_and_stays_where_the_registry_is_kept() {
    let cloud = Cloud::new().await;
    let (acme, other) = (cloud.tenant("acme").await, cloud.tenant("other").await);
    let create = |account: &AccountId, alias: &str| {
        let (keeper, account) = (Arc::clone(&cloud.keeper), account.clone());
        let alias = alias.to_owned();
        async move { keeper.create_alias(ROOT, &account, &alias).await }
    };
    let own = Features::own().names();
    for region in ["second", "third"] {
        cloud
            .keeper
            .announced(&RegionId::new(region), Some(&own))
            .await;
    }
    create(&acme, "acme-prod").await.unwrap();
    create(&acme, "acme-prod").await.unwrap();
    assert!(matches!(
        create(&other, "acme-prod").await,
        Err(CloudError::Exists(_))
    ));
    assert!(matches!(
        create(&other, "Acme").await,
        Err(CloudError::Invalid(_))
    ));
    // The name of another account misleads, whichever of them came first.
    assert!(matches!(
        create(&acme, "other").await,
        Err(CloudError::Exists(_))
    ));
    create(&acme, "acme-live").await.unwrap();
    assert_eq!(cloud.keeper.alias(&acme).as_deref(), Some("acme-live"));
    create(&other, "acme-prod").await.unwrap();
    cloud.second.announce_features(Features::own());
    cloud.catch_up().await;
    assert_eq!(cloud.second.alias(&acme), None);
    let told =
        serde_json::to_string(&cloud.second.audit(0, (1000, usize::MAX)).await.unwrap()).unwrap();
    assert!(!told.contains("acme-live") && !told.contains("acme-prod"));
    let delete = cloud.keeper.delete_alias(ROOT, &acme, "acme-prod").await;
    assert!(matches!(delete, Err(CloudError::NoEntity(_))));
    cloud
        .keeper
        .delete_alias(ROOT, &acme, "acme-live")
        .await
        .unwrap();
    assert_eq!(cloud.keeper.alias(&acme), None);
}
