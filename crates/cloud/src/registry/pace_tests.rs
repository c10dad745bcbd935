//! One who changes without end does not fill the log of all, and nothing that changes nothing is in
//! it.

use store::memory::Memory;
use types::{AccessKeyId, AccountId, BucketName, DeedError, Deeds, NewDeed, Placement};

use super::{tests::open, *};
use crate::{AccountKind, ChangeLimits, KeyStatus, PlacementChange, Share};

async fn registry() -> (Arc<Registry>, Account, Account) {
    let registry = open(Memory::new(), 1).await;
    let account = |name: &'static str, kind| {
        let registry = Arc::clone(&registry);
        async move {
            let made = registry.create_account(&Actor::System, name, kind, Vec::new());
            made.await.unwrap()
        }
    };
    let root = account("root", AccountKind::Root).await;
    let tenant = account("tenant", AccountKind::Tenant).await;
    let share = |burst| Share {
        burst,
        per_minute: 1,
    };
    registry.limit_changes(ChangeLimits {
        account: share(20),
        region: share(1000),
        operator: share(1000),
    });
    (registry, root, tenant)
}

fn by(account: &Account) -> Actor {
    Actor::Key {
        account: account.account_id(),
        access_key: AccessKeyId::new("KEY"),
    }
}

fn bucket(name: &str, owner: &AccountId) -> NewDeed {
    NewDeed {
        name: BucketName::new(name).unwrap(),
        owner: owner.clone(),
        home: RegionId::new("local-1"),
        placement: Placement::default(),
    }
}

#[tokio::test]
async fn a_loop_of_one_tenant_ends_and_the_operator_goes_on() {
    let (registry, root, tenant) = registry().await;
    let before = *registry.watch().borrow();
    let (actor, owner) = (by(&tenant), tenant.account_id());
    let mut made = 0;
    let refused = loop {
        match registry
            .create(actor.clone(), bucket("again", &owner))
            .await
        {
            Ok(deed) => {
                made += 1;
                assert!(made < 1000, "nobody ended the loop");
                let removed = registry.remove(actor.clone(), deed.name.clone(), deed.id);
                removed.await.unwrap();
            }
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&refused, DeedError::SlowDown(why) if why.contains("account")),
        "{refused}"
    );
    assert_eq!(made, 10);
    assert_eq!(*registry.watch().borrow(), before + 2 * made);
    // Refused requests are no entries, and the operator is not held up.
    for _ in 0..50 {
        assert!(
            registry
                .create(actor.clone(), bucket("more", &owner))
                .await
                .is_err()
        );
    }
    assert_eq!(*registry.watch().borrow(), before + 2 * made);
    let root_id = root.account_id();
    registry
        .create(by(&root), bucket("theirs", &root_id))
        .await
        .unwrap();
    let change = PlacementChange {
        proxy: Some(true),
        ..PlacementChange::default()
    };
    let name = BucketName::new("theirs").unwrap();
    registry
        .place_bucket(&by(&root), &name, &change)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_changes_nothing_is_no_entry() {
    let (registry, root, tenant) = registry().await;
    let actor = by(&root);
    let key = registry
        .create_key(&actor, &tenant.account_id(), None, "", false)
        .await
        .unwrap();
    let id = AccessKeyId::new(&key.access_key);
    registry
        .create(by(&tenant), bucket("one", &tenant.account_id()))
        .await
        .unwrap();
    let before = *registry.watch().borrow();
    let name = BucketName::new("one").unwrap();
    let nothing = PlacementChange::default();
    for _ in 0..30 {
        registry
            .set_key_status(&actor, &id, KeyStatus::Active)
            .await
            .unwrap();
        registry
            .suspend_account(&actor, &tenant.account_id(), false)
            .await
            .unwrap();
        registry
            .place_bucket(&by(&tenant), &name, &nothing)
            .await
            .unwrap();
        let again = registry
            .create(by(&tenant), bucket("one", &tenant.account_id()))
            .await;
        assert!(matches!(again, Err(DeedError::Exists(..))));
    }
    assert_eq!(*registry.watch().borrow(), before);
}
