//! Sessions that are ended singly.

use types::{AccessKeyId, features::ENDED_SESSIONS};

use super::{
    follow_tests::{Cloud, ROOT, follower},
    sessions_tests::{follows_until, verifies},
    *,
};
use crate::{Ask, RegistryAnswer};

#[tokio::test]
async fn a_session_is_ended_singly_in_every_region() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let (account, other) = (cloud.tenant("acme").await, cloud.tenant("other").await);
    cloud.held_by_second(&account).await;
    let (_, key) = cloud.user(&account, "alice").await;
    let role = cloud.role(&account, "reader").await;
    let (keeper, second) = (&cloud.keeper, &cloud.second);
    let (one, two) = (cloud.session(&role, &key), cloud.session(&role, &key));
    let lives =
        |registry: &Registry, made, region| matches!(verifies(registry, made, region), Ok(Some(_)));
    cloud.catch_up().await;
    follows_until(second, || lives(second, &one, "second")).await;
    let id = AccessKeyId::new(&one.access_key);
    // Of another account it is no session.
    keeper.end_session(ROOT, &other, &id).await.unwrap();
    assert!(lives(keeper, &one, "first"));
    let until = keeper.end_session(ROOT, &account, &id).await.unwrap();
    assert!(until.s() >= one.expires.s());
    assert!(!lives(keeper, &one, "first") && lives(keeper, &two, "first"));
    cloud.catch_up().await;
    assert!(!lives(second, &one, "second") && lives(second, &two, "second"));
    // Also after a start, and it is one change however often it is asked for.
    let again = follower(keeper, Arc::clone(&cloud.rows), "second").await;
    assert!(!lives(&again, &one, "second") && lives(&again, &two, "second"));
    let length = keeper.log_length();
    assert_eq!(
        keeper.end_session(ROOT, &account, &id).await.unwrap(),
        until
    );
    assert_eq!(keeper.log_length(), length);
    let text = format!("{:?}", keeper.audit(0, (1000, 1 << 20)).await.unwrap());
    assert!(!text.contains("alice") && text.contains(&one.access_key));
}

#[tokio::test]
async fn what_is_no_session_is_not_ended_and_no_region_keeps_one_from_its_end() {
    let cloud = Cloud::new().await;
    let (keeper, account) = (&cloud.keeper, cloud.tenant("acme").await);
    let refused = async |account: &str, key: &str| {
        let (account, key) = (AccountId::new(account), AccessKeyId::new(key));
        let ended = keeper.end_session(ROOT, &account, &key).await;
        ended.unwrap_err().to_string()
    };
    let good = format!("DHST{}", "A".repeat(26));
    for bad in ["", "DHOWABCDEFGH", "DHST", &good[1..], &good.to_lowercase()] {
        let why = refused(&account, bad).await;
        assert!(why.contains("access keys of sessions"), "{bad}: {why}");
    }
    let nobody = refused("000000000000", &good).await;
    assert!(nobody.contains("no account"), "{nobody}");
    // A region of an older release is sent nothing of it, and stops nobody.
    let from = keeper.log_length();
    let good = AccessKeyId::new(&good);
    keeper.end_session(ROOT, &account, &good).await.unwrap();
    let ask = Ask::Changes {
        from,
        wait_ms: 0,
        receipt: None,
        features: None,
    };
    let RegistryAnswer::Refused(why) = keeper.answer(&RegionId::new("second"), ask).await else {
        panic!("it is sent what it cannot read");
    };
    assert!(why.contains(ENDED_SESSIONS), "{why}");
    assert_eq!(keeper.withheld("second"), Some(why));
}
