//! Guard policies of accounts: who can have one, and what regions know of it.

use access::{
    GuardPolicy, Identity, SigningKeys, Who,
    policy::{ActionName, Target},
};
use serde_json::json;
use store::memory::Memory;
use types::{AccessKeyId, Deeds, Features, Jurisdiction};

use super::{
    follow_tests::{Cloud, ROOT, bucket, follower, today},
    *,
};
use crate::{AccountKind, Ask, NewKey, RegistryAnswer, kinds::guard_policy::is_of};

fn denying(action: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Sid": "canarySid", "Effect": "Deny", "Action": action, "Resource": "*"},
    ]})
    .to_string()
}

/// Whether the holder of a key may do something on its own account, by what a region knows.
fn may(registry: &Registry, key: &NewKey, action: &str) -> bool {
    let by_caller = registry.caller(&AccessKeyId::new(&key.access_key));
    let Some(Identity::Key {
        account,
        guard,
        who,
        ..
    }) = by_caller
    else {
        panic!("the key is not known");
    };
    let (name, on) = (ActionName::parse(action), Target::Arn("*"));
    let decides = |who: &Who, guard: &GuardPolicy| {
        let of = (&account, guard);
        who.decide(of, name, on, &Default::default()).is_ok()
    };
    let may = decides(&who, &guard);
    // What verifies a signature says the same, and does not say what was before.
    let signer = registry.signing_key(&key.access_key, &today(), &registry.regions[0], "s3");
    let signer = signer.unwrap();
    assert_eq!(decides(&signer.who, &signer.guard), may, "{action}");
    may
}

async fn world() -> (Cloud, AccountId, NewKey) {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("guarded").await;
    cloud.held_by_second(&account).await;
    let key = cloud.key_of(&account).await;
    (cloud, account, key)
}

async fn set(cloud: &Cloud, account: &AccountId, text: Option<&str>) {
    let set = cloud.keeper.set_guard_policy(ROOT, account, text);
    set.await.unwrap();
}

#[tokio::test]
async fn a_guard_policy_binds_the_account_itself_in_every_region_that_has_its_keys() {
    let (cloud, account, key) = world().await;
    let actions =
        |registry: &Registry| ["s3:GetObject", "s3:PutObject"].map(|a| may(registry, &key, a));
    cloud.catch_up().await;
    assert_eq!(actions(&cloud.second), [true, true]);
    set(&cloud, &account, Some(&denying("s3:Get*"))).await;
    cloud.catch_up().await;
    for registry in [&cloud.keeper, &cloud.second] {
        assert_eq!(actions(registry), [false, true]);
    }
    set(&cloud, &account, Some(&denying("s3:Put*"))).await;
    cloud.catch_up().await;
    for registry in [&cloud.keeper, &cloud.second] {
        assert_eq!(actions(registry), [true, false]);
    }
    // A region that starts anew has it, and one that begins with an empty folder reads the whole
    // log, which shows older ones by their digests.
    let again = follower(&cloud.keeper, Arc::clone(&cloud.rows), "second").await;
    assert_eq!(actions(&again), [true, false]);
    let fresh = Cloud {
        keeper: Arc::clone(&cloud.keeper),
        rows: Memory::new(),
        second: follower(&cloud.keeper, Memory::new(), "second").await,
    };
    fresh.second.announce_features(Features::own());
    fresh.catch_up().await;
    assert_eq!(actions(&fresh.second), [true, false]);
    set(&cloud, &account, None).await;
    cloud.catch_up().await;
    for registry in [&cloud.keeper, &cloud.second] {
        assert_eq!(actions(registry), [true, true]);
        assert_eq!(registry.guard_policy(&account), None);
    }
    // What was done is on record, and what it says is not.
    let log = cloud.keeper.audit(0, (1000, usize::MAX)).await.unwrap();
    let log = serde_json::to_string(&log).unwrap();
    assert_eq!(log.matches(r#""action":"account.guard_policy""#).count(), 3);
    assert!(!log.contains("canarySid"));
}

#[tokio::test]
async fn p8_a_region_outside_the_accounts_jurisdictions_refuses_it_and_never_has_the_text() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let eu = vec![Jurisdiction::parse("EU").unwrap()];
    let made = cloud
        .keeper
        .create_account(ROOT, "european", AccountKind::Tenant, eu);
    let account = made.await.unwrap().account_id();
    let key = cloud.key_of(&account).await;
    // Its owner trusts the region outside, which receives the account's own keys then.
    let mut trusting = bucket("trusting", &account, "first");
    let second = types::Forwarder::Region(RegionId::new("second"));
    trusting.placement.trust.reads = vec![second];
    trusting.placement.proxy = true;
    cloud.keeper.create(Actor::System, trusting).await.unwrap();
    cloud.catch_up().await;
    assert!(may(&cloud.second, &key, "s3:GetObject"));
    set(&cloud, &account, Some(&denying("s3:Put*"))).await;
    cloud.catch_up().await;
    assert!(may(&cloud.keeper, &key, "s3:GetObject"));
    assert!(!may(&cloud.second, &key, "s3:GetObject"));
    assert_eq!(cloud.second.guard_policy(&account), None);
    for (region, knows) in [("second", false), ("third", true)] {
        let ask = Ask::Changes {
            features: Some(Features::own().names()),
            from: 0,
            wait_ms: 0,
            receipt: None,
        };
        let told = cloud.keeper.answer(&RegionId::new(region), ask).await;
        let told = serde_json::to_string(&told).unwrap();
        assert_eq!(told.contains("canarySid"), knows, "{region}");
    }
    set(&cloud, &account, None).await;
    cloud.catch_up().await;
    assert!(may(&cloud.second, &key, "s3:GetObject"));
}

#[tokio::test]
async fn only_the_text_of_which_the_log_has_the_digest_is_taken() {
    let (cloud, account, key) = world().await;
    set(&cloud, &account, Some(&denying("s3:Get*"))).await;
    let older = {
        let state = cloud.keeper.state.read();
        RowChange::put(&account, &state.guard_policies[&*account].record).unwrap()
    };
    set(&cloud, &account, Some(&denying("s3:Put*"))).await;
    let length = cloud.keeper.log_length();
    let ask = Ask::Changes {
        features: Some(Features::own().names()),
        from: length - 1,
        wait_ms: 0,
        receipt: None,
    };
    let told = cloud.keeper.answer(&RegionId::new("second"), ask).await;
    let RegistryAnswer::Changes { mut changes, .. } = told else {
        panic!("no changes");
    };
    let last = changes.pop().unwrap();
    let [shown] = &last.shown[..] else {
        panic!("one row is shown");
    };
    assert!(is_of(shown, &last.change.rows));
    assert!(!is_of(&older, &last.change.rows));
    let other = RowChange {
        key: format!("{}0", older.key),
        ..shown.clone()
    };
    assert!(!is_of(&other, &last.change.rows));
    // The keeper sends the newest with each change of it: for an older change that is no text.
    let ask = Ask::Changes {
        features: Some(Features::own().names()),
        from: length - 2,
        wait_ms: 0,
        receipt: None,
    };
    let told = cloud.keeper.answer(&RegionId::new("second"), ask).await;
    let RegistryAnswer::Changes { changes, .. } = told else {
        panic!("no changes");
    };
    assert!(!is_of(&changes[0].shown[0], &changes[0].change.rows));
    cloud.catch_up().await;
    assert!(may(&cloud.second, &key, "s3:GetObject"));
}

#[tokio::test]
async fn a_guard_policy_is_refused_where_it_is_wrong() {
    let cloud = Cloud::new().await;
    let account = cloud.tenant("acme").await;
    let keeper = &cloud.keeper;
    let good = denying("s3:*");
    let refused = async |account: &AccountId, text: &str| {
        let set = keeper.set_guard_policy(ROOT, account, Some(text));
        set.await.unwrap_err().to_string()
    };
    cloud.knows_users().await;
    let principal = good.replacen(r#""Effect""#, r#""Principal":"*","Effect""#, 1);
    let place = refused(&account, &principal).await;
    assert!(place.contains("statement 1, line 1, column"), "{place}");
    let long = good.replace("canarySid", &"a".repeat(6200));
    let large = refused(&account, &long).await;
    assert!(large.contains("6144"), "{large}");
    let nobody = refused(&AccountId::new("000000000000"), &good).await;
    assert!(nobody.contains("no account"), "{nobody}");
    for kind in [AccountKind::Root, AccountKind::Auditor] {
        let name = format!("{kind:?}");
        let made = keeper.create_account(ROOT, &name, kind, Vec::new());
        let made = made.await.unwrap().account_id();
        let why = refused(&made, &good).await;
        assert!(why.contains("no guard policy"), "{why}");
    }
    let length = keeper.log_length();
    set(&cloud, &account, Some(&good)).await;
    set(&cloud, &account, Some(&good)).await;
    assert_eq!(
        keeper.log_length(),
        length + 1,
        "the same again is no change"
    );
}

#[test]
fn a_text_that_cannot_be_read_or_is_not_known_denies_everything() {
    for text in [Some("{}"), Some(""), None] {
        let guard = GuardPolicy::compile(text);
        let account = AccountId::new("000000000001");
        let action = ActionName::parse("s3:GetObject");
        let on = Target::Arn("*");
        let decided = Who::Root.decide((&account, &guard), action, on, &Default::default());
        assert!(decided.is_err(), "{text:?}");
    }
}
