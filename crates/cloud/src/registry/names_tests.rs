//! Ids of regions, aliases and the keys that are derived from them are one set of names.

use std::{sync::Arc, time::Duration};

use access::SigningKeys;
use store::{Index, memory::Memory};
use types::{RegionId, SeededRandom, SystemClock};

use super::follow_tests::{Cloud, ROOT, announcement, issued, plan, today};
use super::*;
use crate::{IndexRows, token_hash};

async fn try_open(
    rows: Arc<dyn Index>,
    region: &str,
    aliases: &[&str],
) -> Result<Arc<Registry>, CloudError> {
    let names = std::iter::once(&region).chain(aliases);
    Registry::open(Opening {
        rows: Arc::new(IndexRows(rows)),
        master: MasterKey::generate(&SeededRandom::new(1)),
        clock: Arc::new(SystemClock),
        random: Arc::new(SeededRandom::new(1)),
        regions: names.map(|n| RegionId::new(n)).collect(),
        keeper: Keeper::Here,
    })
    .await
}

async fn planned(registry: &Registry, id: &str) -> Result<(), CloudError> {
    let valid = Duration::from_secs(60);
    let hash = token_hash(id.as_bytes());
    let plan = plan(id, "DE");
    let planned = registry.plan_region(ROOT, &plan, &hash, valid);
    planned.await.map(drop)
}

#[tokio::test]
async fn a_region_is_not_called_like_an_alias_or_another_region() {
    let rows: Arc<dyn Index> = Memory::new();
    let keeper = try_open(Arc::clone(&rows), "first-1", &["us-east-1", "auto"]).await;
    let keeper = keeper.unwrap();
    let own = plan("first-1", "DE");
    keeper
        .open_own_region(&own, &announcement(1))
        .await
        .unwrap();
    planned(&keeper, "second-1").await.unwrap();
    for id in [
        "us-east-1",
        "us-east-l",
        "useast1",
        "us-east--1",
        "auto",
        "aut0",
        "first-l",
        "second-l",
        "sec0nd-1",
        "US-EAST-1",
        "",
        "-",
        "a\u{1b}[1m",
    ] {
        assert!(planned(&keeper, id).await.is_err(), "{id:?}");
        assert!(keeper.may_plan(&plan(id, "DE")).is_err(), "{id:?}");
    }
    // It may be planned again under its own name, for another token.
    keeper.may_plan(&plan("second-1", "DE")).unwrap();
    drop(keeper);
    // The alias comes after the plan: neither start nor join.
    for alias in ["second-1", "second-l", "second1"] {
        let refused = try_open(Arc::clone(&rows), "first-1", &[alias]).await;
        let why = refused.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(why.contains("second-1") && why.contains(alias), "{why:?}");
    }
    // The own id as an alias is the same name of the same region.
    try_open(rows, "first-1", &["first-1"]).await.unwrap();
}

#[tokio::test]
async fn p5_a_region_with_the_name_of_an_alias_gets_no_keys_and_opens_nothing() {
    // From a cloud in which nobody asked when the region was planned.
    let cloud = Cloud::new().await;
    let owner = cloud.tenant("acme").await;
    let pair = cloud.keeper.create_key(ROOT, &owner, None, "", false).await;
    let pair = pair.unwrap();
    let alias = RegionId::new("us-east-1");
    let opens = |registry: &Registry, region: &RegionId| {
        let key = registry.signing_key(&pair.access_key, &today(), region, "s3");
        key.is_some()
    };
    assert!(opens(&cloud.keeper, &alias));
    let derived = |region: &str| {
        let state = cloud.keeper.state.read();
        let keys = cloud.keeper.derive_for(&state, &pair.access_key, region);
        keys.is_some_and(|keys| keys.active || !keys.days.is_empty())
    };
    assert!(derived("second"));
    assert!(!derived("us-east-1") && !derived("first"));
    let mut record = (*cloud.keeper.region("third").unwrap()).clone();
    record.id = "us-east-1".into();
    let put = |registry: &Registry| {
        let mut state = registry.state.write();
        state.regions.insert("us-east-1".into(), Arc::new(record));
    };
    put(&cloud.keeper);
    cloud.keeper.derived.forget(None);
    assert!(!opens(&cloud.keeper, &alias));
    assert!(opens(&cloud.keeper, &RegionId::new("first")));
    // It was planned in time, and joins too late.
    let joined = cloud
        .keeper
        .join(b"any", "us-east-1", &announcement(9), &issued(1))
        .await;
    let why = joined.unwrap_err().to_string();
    assert!(why.contains("is an alias of the registry"), "{why}");
}
