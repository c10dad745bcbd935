//! Whether what takes rights away has arrived in the other regions when it is answered.

use std::time::Duration;

use types::in_vain::UNWAITED;

use super::{
    follow_tests::{Cloud, ROOT},
    *,
};
use crate::{Ask, RegistryAnswer};

const WITHIN: Duration = Duration::from_secs(30);

async fn asks(keeper: &Registry, region: &str, wait_ms: u64) -> RegistryAnswer {
    let ask = Ask::Changes {
        from: keeper.log_length(),
        wait_ms,
        receipt: None,
        features: None,
    };
    keeper.answer(&RegionId::new(region), ask).await
}

fn late(keeper: &Arc<Registry>) -> tokio::task::JoinHandle<Vec<RegionId>> {
    let keeper = Arc::clone(keeper);
    tokio::spawn(async move { keeper.not_yet_in(None).await })
}

async fn ends(late: tokio::task::JoinHandle<Vec<RegionId>>) -> Vec<String> {
    let late = tokio::time::timeout(WITHIN, late).await.unwrap().unwrap();
    late.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn what_takes_rights_away_waits_for_regions_that_are_connected() {
    let cloud = Cloud::new().await;
    let (keeper, account) = (&cloud.keeper, cloud.tenant("acme").await);
    asks(keeper, "second", 0).await;
    keeper.suspend_account(ROOT, &account, true).await.unwrap();
    let waiting = late(keeper);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "the second region asked just now");
    asks(keeper, "second", 0).await;
    // The third has never asked: it is named, and not waited for.
    assert_eq!(ends(waiting).await, ["third"]);
}

#[tokio::test(start_paused = true)]
async fn a_connected_region_that_takes_nothing_over_is_named_in_the_end() {
    let cloud = Cloud::new().await;
    let (keeper, account) = (&cloud.keeper, cloud.tenant("acme").await);
    let asking = {
        let keeper = Arc::clone(keeper);
        tokio::spawn(async move { asks(&keeper, "second", 20_000).await })
    };
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    keeper.suspend_account(ROOT, &account, true).await.unwrap();
    assert_eq!(ends(late(keeper)).await, ["second", "third"]);
    asking.abort();
    // One that is not to have it is neither waited for nor named.
    asks(keeper, "second", 0).await;
    assert_eq!(keeper.not_yet_in(Some("third")).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_region_that_was_late_delays_no_other_answer_for_a_while() {
    let cloud = Cloud::new().await;
    let (keeper, account) = (&cloud.keeper, cloud.tenant("acme").await);
    asks(keeper, "second", 0).await;
    let took = async |suspend: bool| {
        let changed = keeper.suspend_account(ROOT, &account, suspend).await;
        changed.unwrap();
        let begun = tokio::time::Instant::now();
        assert_eq!(ends(late(keeper)).await, ["second", "third"]);
        begun.elapsed()
    };
    assert!(took(true).await > Duration::from_secs(1));
    assert_eq!(took(false).await, Duration::ZERO);
    // Also where it has all again, and late, however often it does so.
    asks(keeper, "second", 0).await;
    assert_eq!(took(true).await, Duration::ZERO);
    tokio::time::advance(UNWAITED).await;
    assert!(took(false).await > Duration::from_secs(1));
    // A region that is gone does not have what was missed, however long that is ago.
    tokio::time::advance(UNWAITED).await;
    assert_eq!(took(true).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn no_answer_waits_for_a_region_from_which_changes_are_withheld() {
    let cloud = Cloud::new().await;
    let (keeper, account) = (&cloud.keeper, cloud.tenant("acme").await);
    asks(keeper, "second", 0).await;
    keeper.suspend_account(ROOT, &account, true).await.unwrap();
    let begun = tokio::time::Instant::now();
    let waiting = late(keeper);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "the second region asked just now");
    keeper.withhold(&RegionId::new("second"), "of an older release".into());
    assert_eq!(ends(waiting).await, ["second", "third"]);
    assert_eq!(ends(late(keeper)).await, ["second", "third"]);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_region_that_follows_refuses_before_the_answer() {
    let cloud = Cloud::new().await;
    let (keeper, account) = (&cloud.keeper, cloud.tenant("acme").await);
    cloud.catch_up().await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    for suspend in [true, false, true] {
        let changed = keeper.suspend_account(ROOT, &account, suspend).await;
        changed.unwrap();
        let late = ends(late(keeper)).await;
        let known = cloud.second.account(&account).unwrap().suspended;
        assert!(known == suspend || late.contains(&"second".to_owned()));
    }
    following.abort();
}
