//! Every change of the registry has the name of whoever made it, not that of the owner.

use std::{collections::BTreeSet, time::Duration};

use types::{AccessKeyId, CertificateSerial, Deeds, RegionId, Replica};

use super::{
    follow_tests::{Cloud, bucket, plan},
    *,
};
use crate::{
    AccountKind, DrainOrder, DrainState, KeyStatus, PlacementChange, RegionStatus, token_hash,
};

const VALID: Duration = Duration::from_secs(60);

fn caller() -> Actor {
    Actor::Key {
        account: AccountId::new("000000000009"),
        access_key: AccessKeyId::new("DHOWCALLER"),
    }
}

impl Cloud {
    /// Changes of accounts and keys, all by the caller.
    async fn change_accounts(&self) -> AccountId {
        let (keeper, by) = (&self.keeper, caller());
        let made = keeper.create_account(&by, "acme", AccountKind::Tenant, Vec::new());
        let owner = made.await.unwrap().account_id();
        for suspended in [true, false] {
            let changed = keeper.suspend_account(&by, &owner, suspended).await;
            changed.unwrap();
        }
        let key = keeper.create_key(&by, &owner, None, "", false).await;
        let key = AccessKeyId::new(&key.unwrap().access_key);
        for status in [KeyStatus::Disabled, KeyStatus::Active] {
            let changed = keeper.set_key_status(&by, &key, status).await;
            changed.unwrap();
        }
        keeper.delete_key(&by, &key).await.unwrap();
        owner
    }

    /// Changes of a bucket of that owner, all by the caller.
    async fn change_buckets(&self, owner: &AccountId) {
        let (keeper, by, second) = (&self.keeper, caller(), RegionId::new("second"));
        let alone = keeper.create(by.clone(), bucket("alone", owner, "first"));
        let alone = alone.await.unwrap();
        let proxy = PlacementChange {
            proxy: Some(true),
            ..PlacementChange::default()
        };
        let placed = keeper.place_bucket(&by, &alone.name, &proxy).await;
        placed.unwrap();
        let mut new = bucket("photos", owner, "first");
        new.placement.replicas = vec![Replica {
            region: second.clone(),
            sealed_by: None,
        }];
        let deed = keeper.create(by.clone(), new).await.unwrap();
        let name = &deed.name;
        let moved = keeper.move_home(&by, (name, 1), &second, false).await;
        moved.unwrap();
        let first = RegionId::new("first");
        let moved = keeper.move_home(&by, (name, 2), &first, true).await;
        moved.unwrap();
        keeper
            .remove(by, name.clone(), deed.id)
            .await
            .expect("a removal");
    }

    /// Changes of operators and regions, all by the caller.
    async fn change_regions(&self) {
        let (keeper, by) = (&self.keeper, caller());
        keeper.add_operator(&by, "partner", "").await.unwrap();
        let hash = token_hash(b"fourth");
        let plan = plan("fourth", "JP");
        let planned = keeper.plan_region(&by, &plan, &hash, VALID);
        planned.await.unwrap();
        for status in [RegionStatus::Draining, RegionStatus::Open] {
            let changed = keeper.set_region_status(&by, "second", status).await;
            changed.unwrap();
        }
        let order = DrainOrder::default();
        for state in [DrainState::Aborted, DrainState::Done] {
            let drained = keeper.begin_drain(&by, "second", &order).await.unwrap();
            let begun = drained.drain.as_ref().unwrap().begun_ms;
            let ended = keeper.end_drain(&by, "second", begun, state).await;
            assert_eq!(ended.unwrap().drain.as_ref().unwrap().state, state);
            // It has ended, whatever comes after.
            let length = *keeper.watch().borrow();
            let again = keeper.end_drain(&by, "second", begun, DrainState::Done);
            assert_eq!(again.await.unwrap().drain.as_ref().unwrap().state, state);
            assert_eq!(*keeper.watch().borrow(), length);
        }
        let opened = keeper.set_region_status(&by, "second", RegionStatus::Open);
        assert_eq!(opened.await.unwrap().drain, None);
        let addresses = ["127.0.0.1".to_owned()];
        let allowed = keeper.allow_addresses(&by, "second", &addresses);
        allowed.await.unwrap();
        let serial = CertificateSerial::parse("4a01").unwrap();
        let revoked = keeper.revoke_certificates(&by, "second", Some(&serial));
        revoked.await.unwrap();
        let hash = token_hash(b"new");
        let rekeyed = keeper.rekey_region(&by, "second", &hash, VALID);
        rekeyed.await.unwrap();
        let closed = keeper.set_region_status(&by, "fourth", RegionStatus::Closed);
        closed.await.unwrap();
    }
}

#[tokio::test]
async fn every_change_names_who_asked_for_it_and_not_the_owner() {
    let cloud = Cloud::new().await;
    let before = *cloud.keeper.watch().borrow();
    let owner = cloud.change_accounts().await;
    cloud.change_buckets(&owner).await;
    cloud.change_regions().await;
    let entries = cloud.keeper.entries(before, 1000).await.unwrap();
    let by: BTreeSet<&str> = entries.iter().map(|entry| &*entry.actor).collect();
    assert_eq!(by, BTreeSet::from([&*caller().to_string()]));
    let actions: BTreeSet<&str> = entries.iter().map(|entry| &*entry.action).collect();
    let all = [
        "account.create",
        "account.resume",
        "account.suspend",
        "bucket.create",
        "bucket.delete",
        "bucket.place",
        "bucket.promote",
        "bucket.promote-forced",
        "key.create",
        "key.delete",
        "key.disable",
        "key.enable",
        "operator.add",
        "region.allow",
        "region.close",
        "region.drain",
        "region.drain-abort",
        "region.drained",
        "region.open",
        "region.plan",
        "region.rekey",
        "region.revoke",
    ];
    assert_eq!(actions, BTreeSet::from(all));
    // What regions do themselves has their names.
    let earlier = cloud.keeper.entries(0, before as usize).await.unwrap();
    let joined = earlier.iter().filter(|entry| entry.action == "region.join");
    let joined: Vec<&str> = joined.map(|entry| &*entry.actor).collect();
    assert_eq!(joined, ["region second", "region third"]);
}
