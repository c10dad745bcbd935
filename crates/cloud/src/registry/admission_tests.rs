//! Who is let in, why one is not, and what a token's holder learns.

use std::time::Duration;

use types::RegionId;

use super::follow_tests::{Cloud, ROOT, announcement, issued, plan};
use super::*;
use crate::{Ask, Readiness, RegionStatus, RegistryAnswer, SKEW_MAX_MS, token_hash};

const HOUR: Duration = Duration::from_secs(3600);

async fn planned(keeper: &Registry, secret: &[u8], valid: Duration) {
    let hash = token_hash(secret);
    let fourth = plan("fourth", "JP");
    let planned = keeper.plan_region(ROOT, &fourth, &hash, valid).await;
    planned.unwrap();
}

#[tokio::test]
async fn a_region_that_is_not_let_in_is_shown_with_the_reason() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let waits = || keeper.waits_for(&keeper.region("fourth").unwrap());
    planned(keeper, b"token", HOUR).await;
    assert!(waits().unwrap().contains("first start with its join token"));
    planned(keeper, b"over", Duration::ZERO).await;
    assert!(waits().unwrap().contains("the last one expired at"));
    planned(keeper, b"token", HOUR).await;
    let (announced, certificate) = (announcement(4), issued(4));
    let joined = keeper.join(b"token", "fourth", &announced, &certificate);
    joined.await.unwrap();
    assert!(waits().unwrap().contains("has not reported"));
    let announce = async |ahead_ms: i64, writable: bool, version: &str| {
        let now = keeper.clock.now().ms();
        let ready = Readiness {
            now_ms: now.saturating_add_signed(ahead_ms),
            version: version.to_owned(),
            writable,
        };
        let announced = announcement(4);
        let ask = Ask::Announce { announced, ready };
        match keeper.answer(&RegionId::new("fourth"), ask).await {
            RegistryAnswer::Done => None,
            RegistryAnswer::Refused(why) => Some(why),
            _ => panic!("another answer"),
        }
    };
    let own = env!("CARGO_PKG_VERSION");
    // What a region that is open may not be off, one that is let in may not be either.
    assert_eq!(SKEW_MAX_MS, 2_000);
    for (ahead_ms, writable, version, said) in [
        (
            4_000,
            true,
            own,
            "ahead of the registry's, 2000 are allowed",
        ),
        (-4_000, true, own, "behind the registry's"),
        (0, false, own, "takes no writes"),
        (0, true, "0.0.0", "runs version 0.0.0"),
    ] {
        let why = announce(ahead_ms, writable, version).await.unwrap();
        assert!(why.contains(said), "{why}");
        assert_eq!(waits(), Some(why.clone()), "{said}");
        assert_eq!(
            keeper.region("fourth").unwrap().status,
            RegionStatus::Joining
        );
    }
    assert_eq!(announce(0, true, own).await, None);
    assert_eq!(keeper.region("fourth").unwrap().status, RegionStatus::Open);
    assert_eq!(waits(), None);
    // A region that follows knows nothing of this.
    let third = keeper.region("third").unwrap();
    assert_eq!(cloud.second.waits_for(&third), None);
}

#[tokio::test]
async fn who_shows_a_token_that_was_good_learns_why_it_is_not() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let show = async |secret: &[u8], region: &str, key: u8| {
        let (announced, certificate) = (announcement(key), issued(key));
        let shown = keeper.join(secret, region, &announced, &certificate);
        match shown.await {
            Ok(_) => "let in".to_owned(),
            Err(why) => why.to_string(),
        }
    };
    let is = |why: &str, said: &str| assert!(why.contains(said), "{why}");
    planned(keeper, b"first", HOUR).await;
    planned(keeper, b"over", Duration::ZERO).await;
    is(
        &show(b"first", "fourth", 4).await,
        "was replaced by another one at",
    );
    is(&show(b"over", "fourth", 4).await, "expired at");
    planned(keeper, b"token", HOUR).await;
    // Whoever has no secret that was good once learns nothing, and a secret is good for one region.
    let nothing = show(b"guess", "fourth", 4).await;
    is(&nothing, "is not on record");
    assert_eq!(show(b"first", "third", 4).await, nothing);
    assert_eq!(show(b"token", "third", 4).await, nothing);
    assert_eq!(show(b"token", "fifth", 4).await, nothing);
    assert_eq!(show(b"token", "fourth", 4).await, "let in");
    is(&show(b"token", "fourth", 5).await, "another key");
    let opened = keeper.set_region_status(ROOT, "fourth", RegionStatus::Open);
    opened.await.unwrap();
    is(&show(b"token", "fourth", 4).await, "was used");
    assert_eq!(show(b"guess", "fourth", 4).await, nothing);
}
