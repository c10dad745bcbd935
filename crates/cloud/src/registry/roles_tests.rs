//! Who may still act: certificates that are taken back, keys and accounts that are stopped, the
//! last one who can administer, and whom the audit log names.

use access::Identity;
use types::{AccessKeyId, AccountId, CertificateSerial, DeedError, Deeds, RegionId};

use super::follow_tests::{Cloud, ROOT, announcement, bucket, issued};
use super::warrant_tests::{creates, deletes};
use super::*;
use crate::{AccountKind, Ask, KeyStatus, RegistryAnswer};

fn serial(text: &str) -> CertificateSerial {
    CertificateSerial::parse(text).unwrap()
}

#[tokio::test]
async fn a_certificate_is_taken_back_by_any_form_of_its_number_and_no_other_is() {
    let cloud = Cloud::new().await;
    let (keeper, second) = (&cloud.keeper, RegionId::new("second"));
    let key = announcement(2).public_key;
    keeper
        .record_issued(&second, &issued(7), &key, "4a01")
        .await
        .unwrap();
    let mine: Vec<String> = keeper
        .region("second")
        .unwrap()
        .issued
        .iter()
        .map(|one| one.serial.clone())
        .collect();
    assert_eq!(mine.len(), 2, "{mine:?}");
    for never in ["4a99", "01", &"7f".repeat(20)] {
        let one = serial(never);
        let refused = keeper.revoke_certificates(ROOT, "second", Some(&one)).await;
        assert!(matches!(refused, Err(CloudError::Refused(_))), "{never}");
    }
    assert!(keeper.region("second").unwrap().revoked_serials.is_empty());
    let one = serial("4A:07");
    let gone = keeper.revoke_certificates(ROOT, "second", Some(&one)).await;
    assert_eq!(gone.unwrap(), ["4a07"]);
    assert_eq!(keeper.region("second").unwrap().revoked_serials, ["4a07"]);
    // A renewal that was asked for before that comes too late.
    let late = issued(8);
    let late = keeper.record_issued(&second, &late, &key, "4a07");
    assert!(late.await.is_err());
    // All that it has, whatever was taken back before.
    let all = keeper
        .revoke_certificates(ROOT, "second", None)
        .await
        .unwrap();
    assert_eq!(all, mine);
    let mut revoked = keeper.region("second").unwrap().revoked_serials.clone();
    revoked.sort();
    let mut sorted = mine.clone();
    sorted.sort();
    assert_eq!(revoked, sorted);
    assert!(
        keeper
            .revoke_certificates(ROOT, "first", None)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_last_one_who_can_administer_stays() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let root = keeper
        .create_account(ROOT, "root", AccountKind::Root, Vec::new())
        .await;
    let root = root.unwrap().account_id();
    let key = || async {
        let made = keeper.create_key(ROOT, &root, None, "", false).await;
        AccessKeyId::new(&made.unwrap().access_key)
    };
    let (one, two) = (key().await, key().await);
    let disable = |id| keeper.set_key_status(ROOT, id, KeyStatus::Disabled);
    disable(&one).await.unwrap();
    for _ in 0..2 {
        let refused = disable(&two).await.unwrap_err().to_string();
        assert!(refused.contains("nobody could administer"), "{refused}");
        let refused = keeper.delete_key(ROOT, &two).await.unwrap_err().to_string();
        assert!(refused.contains("dhow key recover"), "{refused}");
    }
    // A key that opens nothing may go.
    keeper.delete_key(ROOT, &one).await.unwrap();
    let three = key().await;
    keeper.delete_key(ROOT, &two).await.unwrap();
    assert!(disable(&three).await.is_err());
    assert!(keeper.caller(&three).is_some());
    // Keys of tenants are not meant.
    let tenant = cloud.tenant("acme").await;
    let theirs = keeper
        .create_key(ROOT, &tenant, None, "", true)
        .await
        .unwrap();
    disable(&AccessKeyId::new(&theirs.access_key))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_caller_is_who_key_and_account_say_now_in_every_region() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let auditor = keeper
        .create_account(ROOT, "aud", AccountKind::Auditor, Vec::new())
        .await;
    let auditor = auditor.unwrap().account_id();
    let tenant = cloud.tenant("acme").await;
    let key = |account: AccountId| async move {
        let made = keeper.create_key(ROOT, &account, None, "", false).await;
        AccessKeyId::new(&made.unwrap().access_key)
    };
    let (theirs, audits) = (key(tenant.clone()).await, key(auditor.clone()).await);
    cloud.held_by_second(&tenant).await;
    cloud.catch_up().await;
    for registry in [keeper, &cloud.second] {
        let Some(Identity::Key { account, kind, .. }) = registry.caller(&theirs) else {
            panic!("unknown");
        };
        assert_eq!((account, kind.keeps_data()), (tenant.clone(), true));
        for never in ["", "nobody", "DHOWAAAAAAAAAAAAAAAA"] {
            assert!(registry.caller(&AccessKeyId::new(never)).is_none());
        }
    }
    // Auditors read in the registry's region.
    assert!(cloud.second.caller(&audits).is_none());
    let Some(Identity::Key { kind, .. }) = keeper.caller(&audits) else {
        panic!("unknown");
    };
    assert!(!kind.keeps_data());
    let made = keeper
        .create(Actor::System, bucket("kept", &auditor, "first"))
        .await;
    assert!(matches!(made, Err(DeedError::Placement(_))), "{made:?}");
    keeper.suspend_account(ROOT, &tenant, true).await.unwrap();
    cloud.catch_up().await;
    assert!(keeper.caller(&theirs).is_none() && cloud.second.caller(&theirs).is_none());
    keeper.suspend_account(ROOT, &tenant, false).await.unwrap();
    keeper
        .set_key_status(ROOT, &theirs, KeyStatus::Disabled)
        .await
        .unwrap();
    cloud.catch_up().await;
    assert!(keeper.caller(&theirs).is_none() && cloud.second.caller(&theirs).is_none());
}

#[tokio::test]
async fn the_audit_log_names_the_key_that_changed_something() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let (tenant, other) = (cloud.tenant("acme").await, cloud.tenant("other").await);
    let pair = keeper
        .create_key(ROOT, &tenant, None, "", false)
        .await
        .unwrap();
    let key = AccessKeyId::new(&pair.access_key);
    cloud.catch_up().await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    let actor = || keeper.caller(&key).unwrap().actor().unwrap();
    let made = cloud
        .second
        .create_for(
            actor(),
            bucket("own", &tenant, "second"),
            Some(creates(&pair, "second", "own")),
        )
        .await;
    let made = made.unwrap();
    cloud
        .second
        .remove_for(actor(), &made, Some(deletes(&pair, "second", "own")))
        .await
        .unwrap();
    following.abort();
    let log = keeper.audit(0, (1000, usize::MAX)).await.unwrap();
    for action in ["bucket.create", "bucket.delete"] {
        let mut entries = log.iter().map(|change| &change["entry"]);
        let entry = entries.find(|e| e["action"] == action).unwrap();
        let told = format!("account {tenant} key {key} through region second");
        assert_eq!(entry["actor"], told.as_str());
    }
    // A region names a key of somebody else's, or one that is not there.
    let second = RegionId::new("second");
    let nobody = crate::NewKey {
        access_key: "DHOWAAAAAAAAAAAAAAAA".into(),
        ..pair.clone()
    };
    for (owner, named) in [(&other, &pair), (&tenant, &nobody)] {
        let mut record = crate::NewDeedRecord::from(bucket("planted", owner, "second"));
        record.request = Some((&creates(named, "second", "planted")).into());
        let told = keeper.answer(&second, Ask::CreateDeed(record)).await;
        assert!(
            matches!(told, RegistryAnswer::Refused(_)),
            "{owner} {}",
            named.access_key
        );
    }
}

#[tokio::test]
async fn what_a_terminal_obeys_is_not_kept() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let tenant = cloud.tenant("acme").await;
    let long = "x".repeat(60_000);
    for bad in [
        "\u{1b}]0;owned\u{7}",
        "a\nb",
        "\u{9b}2J",
        "\u{202e}gpj.exe",
        &*long,
    ] {
        let account = keeper.create_account(ROOT, bad, AccountKind::Tenant, Vec::new());
        assert!(account.await.is_err(), "{bad:.20?}");
        assert!(
            keeper
                .create_key(ROOT, &tenant, None, bad, false)
                .await
                .is_err()
        );
        assert!(keeper.add_operator(ROOT, "new", bad).await.is_err());
        let mut plan = super::follow_tests::plan("new", "DE");
        plan.city = bad.to_owned();
        assert!(keeper.may_plan(&plan).is_err());
    }
}

#[tokio::test]
async fn every_region_knows_which_keys_administer_their_accounts() {
    let cloud = Cloud::new().await;
    let (keeper, account) = (&cloud.keeper, cloud.tenant("acme").await);
    cloud.held_by_second(&account).await;
    let mut keys = Vec::new();
    for admin in [true, false, true] {
        let made = keeper
            .create_key(ROOT, &account, None, "admin", admin)
            .await;
        keys.push(AccessKeyId::new(&made.unwrap().access_key));
    }
    cloud.catch_up().await;
    let administer = |registry: &Registry| -> Vec<bool> {
        keys.iter().map(|key| registry.administers(key)).collect()
    };
    assert_eq!(administer(keeper), [true, false, true]);
    assert_eq!(administer(&cloud.second), [true, false, true]);
    keeper.delete_key(ROOT, &keys[0]).await.unwrap();
    cloud.catch_up().await;
    // Also after a new start.
    let again = super::follow_tests::follower(keeper, Arc::clone(&cloud.rows), "second").await;
    for registry in [keeper, &cloud.second, &again] {
        assert_eq!(administer(registry), [false, false, true]);
        assert!(!registry.administers(&AccessKeyId::new("NOBODY")));
    }
}
