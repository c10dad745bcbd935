//! A registry that was put back to an older state is brought up to date from its followers, and
//! nobody gets rights by that.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::json;
use store::{Index, memory::Memory};
use types::{AccessKeyId, Deeds, RegionId, deed::BoxFuture};

use super::{
    follow_tests::{Cloud, ROOT, bucket, follower, open},
    standing_tests::backup,
    *,
};
use crate::{
    AccountKind, CatchUpPlan, CaughtUp, IndexRows, KeyStatus, LogAsk, LogPage, LogSource, NewKey,
};

/// The followers, in this process.
#[derive(Default)]
struct Followers {
    all: BTreeMap<RegionId, Arc<Registry>>,
    /// Sends other entries than it has.
    evil: Option<fn(&mut LogPage)>,
    /// How many pages of entries are sent before nobody answers any more.
    left: Mutex<Option<usize>>,
}

impl Followers {
    fn of(all: &[(&str, &Arc<Registry>)]) -> Self {
        let all = all
            .iter()
            .map(|(id, registry)| (RegionId::new(id), Arc::clone(registry)));
        Self {
            all: all.collect(),
            ..Self::default()
        }
    }
}

impl LogSource for Followers {
    fn ask<'a>(
        &'a self,
        region: &'a RegionId,
        ask: LogAsk,
    ) -> BoxFuture<'a, Result<LogPage, CloudError>> {
        Box::pin(async move {
            let away = || CloudError::Unavailable("it is away".into());
            let found = self.all.get(region).ok_or_else(away)?;
            if ask.limit > 1
                && let Some(left) = &mut *self.left.lock()
            {
                *left = left.checked_sub(1).ok_or_else(away)?;
            }
            // Pages of two entries, so that there are several.
            let ask = LogAsk {
                limit: ask.limit.min(2),
                ..ask
            };
            let mut page = found.log_page(&RegionId::new("first"), &ask).await?;
            if let Some(evil) = self.evil {
                evil(&mut page);
            }
            let sent = serde_json::to_vec(&page).unwrap();
            Ok(serde_json::from_slice(&sent).unwrap())
        })
    }
}

/// A cloud whose registry went on after a backup, and what is known of that.
struct Restored {
    cloud: Cloud,
    old: Arc<dyn Index>,
    account: AccountId,
    /// Keys that were there at the backup: one that stays, one disabled since, one deleted since.
    keys: [NewKey; 3],
    later: NewKey,
}

impl Restored {
    async fn new() -> Self {
        let cloud = Cloud::new().await;
        cloud.knows_users().await;
        let keeper = Arc::clone(&cloud.keeper);
        let account = cloud.tenant("acme").await;
        cloud.held_by_second(&account).await;
        let key = || keeper.create_key(ROOT, &account, None, "", false);
        let keys = [
            key().await.unwrap(),
            key().await.unwrap(),
            key().await.unwrap(),
        ];
        let old = backup(&keeper).await;
        let [_, second, third] = [0, 1, 2].map(|n: usize| AccessKeyId::new(&keys[n].access_key));
        let disabled = keeper.set_key_status(ROOT, &second, KeyStatus::Disabled);
        disabled.await.unwrap();
        keeper.delete_key(ROOT, &third).await.unwrap();
        let later = keeper
            .create_key(ROOT, &account, None, "", false)
            .await
            .unwrap();
        for name in ["one", "two", "three"] {
            let new = bucket(name, &account, "second");
            keeper.create(Actor::System, new).await.unwrap();
        }
        let cloud = Self {
            cloud,
            old,
            account,
            keys,
            later,
        };
        cloud.cloud.receipt().await;
        cloud
    }

    /// The registry on the backup's rows.
    async fn registry(&self) -> Arc<Registry> {
        open(Arc::clone(&self.old), "first", 1, Keeper::Here).await
    }

    fn second(&self) -> Followers {
        Followers::of(&[("second", &self.cloud.second)])
    }

    fn status(&self, registry: &Registry) -> Vec<Option<KeyStatus>> {
        let all = registry.keys(Some(&self.account));
        let of = |key: &NewKey| all.iter().find(|k| k.access_key == key.access_key);
        let keys = self.keys.iter().chain([&self.later]);
        keys.map(|key| of(key).map(|key| key.status)).collect()
    }
}

async fn caught_up(
    registry: &Registry,
    source: &Followers,
) -> Result<(CatchUpPlan, CaughtUp), CloudError> {
    let plan = registry.plan_catch_up(source).await?;
    let done = registry.catch_up(source, &plan).await?;
    Ok((plan, done))
}

const WANTED: [Option<KeyStatus>; 4] = [
    Some(KeyStatus::Active),
    Some(KeyStatus::Disabled),
    None,
    None,
];

#[tokio::test]
async fn p7_a_registry_from_a_backup_takes_over_what_a_follower_has() {
    let restored = Restored::new().await;
    let truth = &restored.cloud.keeper;
    let registry = restored.registry().await;
    let before = registry.last_entry();
    let (plan, done) = caught_up(&registry, &restored.second()).await.unwrap();
    assert_eq!(plan.missing(), 6);
    assert_eq!(plan.actions["bucket.create"], 3);
    assert_eq!(
        plan.silent.len(),
        1,
        "the third region is away: {:?}",
        plan.silent
    );
    assert_eq!(done.entries, 6);
    // A secret key that was made since is in no other region.
    let lost: Vec<_> = done.lost.keys().cloned().collect();
    assert_eq!(lost, [format!("k/{}", restored.later.access_key)]);
    assert_eq!(restored.status(&registry), WANTED);
    // All of it is as it was, to the byte, and one entry more says what was done.
    let all = registry.changes(0, 1000).await.unwrap();
    let known = truth.changes(0, 1000).await.unwrap();
    assert_eq!(all[..known.len()], known[..]);
    assert_eq!(all.len(), known.len() + 1);
    assert_eq!(all.last().unwrap().entry.action, "registry.catch_up");
    assert_ne!(registry.last_entry(), before);
    for name in ["one", "two", "three"] {
        let name = types::BucketName::new(name).unwrap();
        let deed = Deeds::get(&*registry, &name).unwrap();
        assert_eq!(
            Some(deed.id),
            Deeds::get(&**truth, &name).map(|deed| deed.id)
        );
    }
    // It goes on from there, also after a start, and so do those who follow.
    drop(registry);
    let registry = restored.registry().await;
    assert_eq!(restored.status(&registry), WANTED);
    assert!(registry.behind().is_none());
    let more = registry.create_account(ROOT, "more", AccountKind::Tenant, Vec::new());
    more.await.unwrap();
    let second = follower(&registry, Arc::clone(&restored.cloud.rows), "second").await;
    second.announce_features(types::Features::own());
    let following = tokio::spawn(Arc::clone(&second).follow());
    let length = *registry.watch().borrow();
    let mut watch = second.watch();
    let has = watch.wait_for(|l| *l >= length);
    let within = std::time::Duration::from_secs(30);
    tokio::time::timeout(within, has).await.unwrap().unwrap();
    following.abort();
    assert!(registry.behind().is_none());
    // Nothing more is missing.
    let plan = registry.plan_catch_up(&restored.second()).await.unwrap();
    assert_eq!((plan.missing(), plan.resumes), (0, false));
}

#[tokio::test]
async fn p7_what_interrupts_a_catch_up_keeps_the_registry_from_changing_until_it_is_done() {
    let restored = Restored::new().await;
    let pages = 3;
    for left in 0..pages {
        let rows = backup_of(&restored.old).await;
        let registry = open(Arc::clone(&rows), "first", 1, Keeper::Here).await;
        let source = restored.second();
        let plan = registry.plan_catch_up(&source).await.unwrap();
        *source.left.lock() = Some(left);
        let stopped = registry.catch_up(&source, &plan).await;
        assert!(matches!(stopped, Err(CloudError::Unavailable(_))));
        drop(registry);
        let registry = open(rows, "first", 1, Keeper::Here).await;
        let made = registry.create_account(ROOT, "other", AccountKind::Tenant, Vec::new());
        let made = made.await;
        match left {
            // Nothing was written: what it lacks it finds out by what others show.
            0 => continue,
            _ => {
                let why = made.unwrap_err().to_string();
                assert!(why.contains("catch-up"), "{why}");
            }
        }
        let (_, done) = caught_up(&registry, &restored.second()).await.unwrap();
        assert_eq!((done.entries, done.lost.len()), (6, 1), "{left}");
        assert_eq!(restored.status(&registry), WANTED);
        assert!(registry.behind().is_none());
    }
}

async fn backup_of(index: &Arc<dyn Index>) -> Arc<dyn Index> {
    let rows = IndexRows(Arc::clone(index))
        .page("", "", 10_000)
        .await
        .unwrap();
    let copy: Arc<dyn Index> = Memory::new();
    let put = IndexRows(Arc::clone(&copy));
    put.write(None, rows, Vec::new()).await.unwrap();
    copy
}

#[tokio::test]
async fn p7_a_registry_that_went_another_way_takes_nothing_and_says_where() {
    let restored = Restored::new().await;
    let registry = restored.registry().await;
    let first = *registry.watch().borrow();
    for name in ["here", "alone"] {
        let made = registry.create_account(ROOT, name, AccountKind::Tenant, Vec::new());
        made.await.unwrap();
    }
    let length = *registry.watch().borrow();
    let refused = caught_up(&registry, &restored.second())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains(&format!("entry {first} is not")),
        "{refused}"
    );
    assert_eq!(*registry.watch().borrow(), length);
    // Also where it has more by now than the others.
    for n in 0..8 {
        let name = format!("more-{n}");
        let made = registry.create_account(ROOT, &name, AccountKind::Tenant, Vec::new());
        made.await.unwrap();
    }
    let refused = registry
        .plan_catch_up(&restored.second())
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("has forked"), "{refused}");
    assert!(
        refused.contains(&format!("another entry {first} ")),
        "{refused}"
    );
}

#[tokio::test]
async fn p7_of_a_region_that_sends_something_else_nothing_is_taken() {
    let restored = Restored::new().await;
    let evil: [fn(&mut LogPage); 6] = [
        // Without a receipt, or with one that this registry never made.
        |page| page.receipt = None,
        |page| {
            if let Some(receipt) = &mut page.receipt {
                receipt.length += 1;
            }
        },
        // Rows that the entry does not speak of, an entry less, one that says something else.
        |page| {
            page.changes
                .iter_mut()
                .for_each(|change| change.rows.clear())
        },
        |page| {
            page.changes.pop();
        },
        |page| {
            page.changes
                .iter_mut()
                .for_each(|change| change.entry.subject.push('x'))
        },
        // More than one page has.
        |page| page.changes = Vec::new(),
    ];
    for (n, evil) in evil.into_iter().enumerate() {
        let rows = backup_of(&restored.old).await;
        let registry = open(rows, "first", 1, Keeper::Here).await;
        let length = *registry.watch().borrow();
        let source = Followers {
            evil: Some(evil),
            ..restored.second()
        };
        let taken = caught_up(&registry, &source).await;
        match taken {
            Ok((plan, _)) if n < 2 => assert_eq!((plan.missing(), plan.unproven.len()), (0, 1)),
            Ok(_) => panic!("{n}: it was taken"),
            Err(error) => assert!(n >= 2, "{n}: {error}"),
        }
        assert_eq!(*registry.watch().borrow(), length, "{n}");
    }
}

#[tokio::test]
async fn p7_accounts_whose_rights_are_not_known_any_more_are_suspended() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let keeper = &cloud.keeper;
    let (account, other) = (cloud.tenant("acme").await, cloud.tenant("other").await);
    let (alice, _) = cloud.user(&account, "alice").await;
    let guard = |action: &str| {
        let text = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": action, "Resource": "*"}]});
        text.to_string()
    };
    let old = backup(keeper).await;
    // Less than before: nobody knows it but the registry that is lost.
    let text = guard("s3:ListBucket");
    let put = keeper.put_user_policy(ROOT, &alice.id, "own", Some(&text));
    put.await.unwrap();
    let (bob, _) = cloud.user(&other, "bob").await;
    cloud.receipt().await;
    let registry = open(old, "first", 1, Keeper::Here).await;
    let source = Followers::of(&[("second", &cloud.second)]);
    let (_, done) = caught_up(&registry, &source).await.unwrap();
    assert_eq!(done.suspended, [account.to_string()]);
    assert!(registry.account(&account).unwrap().suspended);
    // Of what was made since nothing is left, and nobody else is stopped by that.
    assert!(
        done.removed.contains(&format!("u/{}", bob.id)),
        "{:?}",
        done.removed
    );
    assert!(!registry.account(&other).unwrap().suspended);
    let state = registry.state.read();
    assert!(state.users.get(&alice.id).is_some() && state.users.get(&bob.id).is_none());
}

#[tokio::test]
async fn p15_the_log_is_sent_to_the_registrys_region_alone_and_in_pages() {
    let restored = Restored::new().await;
    let second = &restored.cloud.second;
    let ask = LogAsk {
        from: 0,
        limit: usize::MAX,
    };
    for other in ["third", "second", "firs"] {
        let refused = second.log_page(&RegionId::new(other), &ask).await;
        assert!(matches!(refused, Err(CloudError::Refused(_))), "{other}");
    }
    let page = second
        .log_page(&RegionId::new("first"), &ask)
        .await
        .unwrap();
    assert!(page.changes.len() <= 200 && !page.changes.is_empty());
    let refused = restored
        .cloud
        .keeper
        .log_page(&RegionId::new("first"), &ask)
        .await;
    assert!(matches!(refused, Err(CloudError::Refused(_))));
}
