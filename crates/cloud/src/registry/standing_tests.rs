//! A registry that was put back to an older state changes nothing once a follower has shown that
//! there was more.

use std::time::Duration;

use store::{Index, memory::Memory};
use types::RegionId;

use super::follow_tests::{Cloud, ROOT, follower, open};
use super::*;
use crate::{AccountKind, Ask, IndexRows, standing::Receipt};

/// The keeper's rows as they are now, for another start.
pub(super) async fn backup(registry: &Registry) -> Arc<dyn Index> {
    let rows = registry.rows.page("", "", 10_000).await.unwrap();
    let index: Arc<dyn Index> = Memory::new();
    let copy = IndexRows(Arc::clone(&index));
    copy.write(None, rows, Vec::new()).await.unwrap();
    index
}

async fn tenant(registry: &Registry, name: &str) -> Result<(), CloudError> {
    let made = registry.create_account(ROOT, name, AccountKind::Tenant, Vec::new());
    made.await.map(drop)
}

async fn asks(keeper: &Registry, region: &str, from: u64, receipt: Option<Receipt>) {
    let ask = Ask::Changes {
        features: None,
        from,
        wait_ms: 0,
        receipt,
    };
    keeper.answer(&RegionId::new(region), ask).await;
}

#[tokio::test]
async fn a_follower_that_has_more_stops_a_registry_that_was_put_back() {
    let cloud = Cloud::new().await;
    let old = backup(&cloud.keeper).await;
    tenant(&cloud.keeper, "later").await.unwrap();
    cloud.catch_up().await;
    // The receipt comes with the next answer, whatever that has.
    asks(&cloud.keeper, "second", 0, None).await;
    cloud.receipt().await;
    let restored = open(old, "first", 1, Keeper::Here).await;
    restored.compare_first(false);
    let changing = tokio::spawn({
        let restored = Arc::clone(&restored);
        async move { tenant(&restored, "other").await }
    });
    let comparing = tokio::spawn({
        let restored = Arc::clone(&restored);
        async move { restored.compare(Duration::from_secs(30)).await }
    });
    asks(&restored, "third", 0, None).await;
    assert!(!changing.is_finished() && !comparing.is_finished());
    // The follower as it is after a start of its own: what it shows is on its disk.
    let second = follower(&restored, Arc::clone(&cloud.rows), "second").await;
    let following = tokio::spawn(Arc::clone(&second).follow());
    comparing.await.unwrap();
    following.abort();
    let why = changing.await.unwrap().unwrap_err().to_string();
    assert!(
        why.contains("older state") && why.contains("second"),
        "{why}"
    );
    assert!(tenant(&restored, "another").await.is_err());
    assert!(restored.behind().is_some());
}

#[tokio::test]
async fn another_history_of_the_same_length_stops_it_too() {
    let cloud = Cloud::new().await;
    let old = backup(&cloud.keeper).await;
    tenant(&cloud.keeper, "one").await.unwrap();
    let shown = cloud.keeper.receipt(&cloud.keeper.state.read());
    let restored = open(old, "first", 1, Keeper::Here).await;
    // It went on before anybody could reach it.
    tenant(&restored, "other").await.unwrap();
    let length = *restored.watch().borrow();
    assert_eq!(length, *cloud.keeper.watch().borrow());
    asks(&restored, "second", length, shown).await;
    assert!(tenant(&restored, "more").await.is_err());
}

#[tokio::test]
async fn a_word_without_a_receipt_and_a_region_that_is_away_stop_nothing() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    keeper.compare_first(false);
    keeper.compare(Duration::from_millis(20)).await;
    tenant(keeper, "one").await.unwrap();
    let good = keeper.receipt(&keeper.state.read()).unwrap();
    for (length, hash, mac) in [
        (u64::MAX, good.hash.clone(), good.mac.clone()),
        (good.length + 1, good.hash.clone(), good.mac.clone()),
        (good.length, "00".repeat(32), good.mac.clone()),
        (good.length + 1, good.hash.clone(), String::new()),
    ] {
        let forged = Receipt {
            length,
            hash,
            mac,
            ..good.clone()
        };
        asks(keeper, "second", u64::MAX, Some(forged)).await;
    }
    asks(keeper, "second", u64::MAX, None).await;
    asks(keeper, "second", good.length, Some(good)).await;
    tenant(keeper, "two").await.unwrap();
    assert!(keeper.behind().is_none());
}

impl Cloud {
    /// Follows until the second region has the keeper's receipt for all that it has.
    pub(super) async fn receipt(&self) {
        let following = tokio::spawn(Arc::clone(&self.second).follow());
        let length = *self.keeper.watch().borrow();
        let has = |registry: &Registry| {
            let state = registry.state.read();
            state.receipt.as_ref().is_some_and(|r| r.length == length)
        };
        while !has(&self.second) {
            tokio::task::yield_now().await;
        }
        following.abort();
    }
}

#[tokio::test]
async fn a_copy_changes_nothing_before_another_region_has_asked() {
    let cloud = Cloud::new().await;
    let old = backup(&cloud.keeper).await;
    tenant(&cloud.keeper, "later").await.unwrap();
    cloud.catch_up().await;
    asks(&cloud.keeper, "second", 0, None).await;
    cloud.receipt().await;
    let restored = open(Arc::clone(&old), "first", 1, Keeper::Here).await;
    restored.compare_first(true);
    let comparing = tokio::spawn({
        let restored = Arc::clone(&restored);
        async move { restored.compare(Duration::from_millis(20)).await }
    });
    let refused = tenant(&restored, "other").await.unwrap_err();
    assert!(matches!(refused, CloudError::Unavailable(_)), "{refused}");
    assert!(
        refused.to_string().contains("--registry-is-newest"),
        "{refused}"
    );
    assert!(restored.comparing() && restored.behind().is_none());
    // The one that has more comes at last.
    let second = follower(&restored, Arc::clone(&cloud.rows), "second").await;
    let following = tokio::spawn(Arc::clone(&second).follow());
    comparing.await.unwrap();
    following.abort();
    let refused = tenant(&restored, "other").await.unwrap_err().to_string();
    assert!(refused.contains("older state"), "{refused}");
    drop(restored);

    // Of a copy that is the newest one any region says so.
    let newest = open(backup(&cloud.keeper).await, "first", 1, Keeper::Here).await;
    newest.compare_first(true);
    let comparing = tokio::spawn({
        let newest = Arc::clone(&newest);
        async move { newest.compare(Duration::from_millis(20)).await }
    });
    assert!(tenant(&newest, "other").await.is_err());
    let length = *newest.watch().borrow();
    asks(&newest, "third", length, None).await;
    comparing.await.unwrap();
    tenant(&newest, "other").await.unwrap();
    // Where an operator says that it is the newest, nobody is waited for.
    let said = open(old, "first", 1, Keeper::Here).await;
    said.compare_first(false);
    said.compare(Duration::from_millis(20)).await;
    tenant(&said, "other").await.unwrap();
}
