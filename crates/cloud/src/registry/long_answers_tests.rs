//! Answers of the registry are bounded, however much there is.

use serde_json::json;

use super::{
    follow_tests::{Cloud, ROOT, follower},
    *,
};
use crate::{AccountKind, Ask, RegistryAnswer, change::CHANGE_BYTES_MAX};

const ENTRIES: u64 = 60;
const ENTRY_BYTES: usize = 60_000;
/// What an answer may have as JSON: twice its text, and some more.
const ANSWER_BYTES_MAX: usize = 4 << 20;

#[tokio::test]
async fn p11_an_answer_has_no_more_changes_than_it_has_room_for() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let first = *keeper.watch().borrow();
    for n in 0..ENTRIES {
        let draft = Draft {
            actor: ROOT.clone(),
            action: "bucket.divergence",
            subject: format!("bucket-{n}"),
            // Each quote becomes two characters on the way.
            detail: json!({ "keys": "\"".repeat(ENTRY_BYTES / 4) }),
            rows: Vec::new(),
        };
        keeper.change(keeper.turn().await, draft).await.unwrap();
    }
    let (mut from, mut answers) = (first, 0);
    while from < first + ENTRIES {
        let ask = Ask::Changes {
            features: None,
            from,
            wait_ms: 0,
            receipt: None,
        };
        let told = keeper.answer(&RegionId::new("second"), ask).await;
        let bytes = serde_json::to_vec(&told).unwrap().len();
        assert!(bytes <= ANSWER_BYTES_MAX, "{bytes} bytes");
        let RegistryAnswer::Changes { changes, .. } = told else {
            panic!("another answer");
        };
        let text: usize = changes.iter().map(|told| told.change.bytes()).sum();
        assert!(text <= 1 << 20, "{text} bytes of changes");
        assert!(!changes.is_empty(), "no answer moves on");
        from += changes.len() as u64;
        answers += 1;
    }
    assert!(answers > 2, "{answers} answers");
    // Whoever follows gets all of it.
    let copy = follower(keeper, store::memory::Memory::new(), "second").await;
    let following = tokio::spawn(Arc::clone(&copy).follow());
    let mut watch = copy.watch();
    let has = watch.wait_for(|length| *length == first + ENTRIES);
    let within = std::time::Duration::from_secs(30);
    tokio::time::timeout(within, has).await.unwrap().unwrap();
    following.abort();
}

/// A change of the registry with a row of so many bytes, which is of a kind that all regions have.
fn long(bytes: usize) -> Draft {
    let row = RowChange {
        key: "o/long".to_owned(),
        now: RowNow::Value(
            json!({ "v": 1, "id": "long", "created_ms": 1, "name": "x".repeat(bytes) }).to_string(),
        ),
    };
    Draft {
        actor: ROOT.clone(),
        action: "operator.add",
        subject: "long".to_owned(),
        detail: json!({}),
        rows: vec![row],
    }
}

#[tokio::test]
async fn p11_a_change_that_no_region_could_receive_is_refused_and_the_next_one_arrives() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let before = *keeper.watch().borrow();
    let refused = keeper
        .change(keeper.turn().await, long(CHANGE_BYTES_MAX))
        .await;
    let Err(CloudError::Limit(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        why.contains("operator.add of long") && why.contains("262144"),
        "{why}"
    );
    assert_eq!(*keeper.watch().borrow(), before, "nothing was written");
    assert!(keeper.operators().iter().all(|one| one.id != "long"));
    // The largest that is taken reaches those who follow, within what they read of an answer.
    let largest = long(CHANGE_BYTES_MAX - 1_000);
    keeper.change(keeper.turn().await, largest).await.unwrap();
    let ask = Ask::Changes {
        features: None,
        from: before,
        wait_ms: 0,
        receipt: None,
    };
    let told = keeper.answer(&RegionId::new("second"), ask).await;
    let bytes = serde_json::to_vec(&told).unwrap().len();
    assert!(bytes <= 1 << 20, "{bytes}");
    keeper
        .create_account(ROOT, "later", AccountKind::Tenant, Vec::new())
        .await
        .unwrap();
    cloud.catch_up().await;
    assert!(cloud.second.operators().iter().any(|one| one.id == "long"));
}

#[tokio::test]
async fn p11_an_account_with_many_keys_makes_no_answer_that_is_too_long() {
    const KEYS: usize = 6_000;
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    keeper.limit_changes(crate::ChangeLimits::default());
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    {
        // As they are in memory: it is the answer that is measured.
        let key = keeper
            .create_key(ROOT, &account, None, "", false)
            .await
            .unwrap();
        let found = keeper
            .rows
            .page(&format!("k/{}", key.access_key), "", 1)
            .await
            .unwrap();
        let text = String::from_utf8(found[0].1.clone()).unwrap();
        let mut state = keeper.state.write();
        for n in 0..KEYS {
            let id = format!("DHOWMANY{n:012}");
            let sealed = keeper.master.seal(&id, "secret", &*keeper.random).unwrap();
            let mut row: serde_json::Value = serde_json::from_str(&text).unwrap();
            row["id"] = json!(id);
            row["sealed"] = json!(sealed);
            let row = row.to_string();
            state
                .put(&keeper.master, &format!("k/{id}"), row.as_bytes())
                .unwrap();
        }
    }
    let from = *keeper.watch().borrow();
    keeper.suspend_account(ROOT, &account, true).await.unwrap();
    keeper.suspend_account(ROOT, &account, false).await.unwrap();
    for from in [from, from + 1] {
        let ask = Ask::Changes {
            features: None,
            from,
            wait_ms: 0,
            receipt: None,
        };
        let told = keeper.answer(&RegionId::new("second"), ask).await;
        let bytes = serde_json::to_vec(&told).unwrap().len();
        assert!(bytes <= ANSWER_BYTES_MAX, "{bytes} bytes");
    }
}

#[tokio::test]
async fn p11_a_change_that_is_longer_than_any_is_taken_over_by_nobody() {
    let cloud = Cloud::new().await;
    cloud.catch_up().await;
    let keeper = &cloud.keeper;
    let last = keeper.last_entry();
    let change = long(2 * CHANGE_BYTES_MAX)
        .seal(last.as_ref(), keeper.clock.now())
        .unwrap();
    let told = crate::link::SentChange {
        change,
        keys: Vec::new(),
        roles: Vec::new(),
        shown: Vec::new(),
    };
    let before = *cloud.second.watch().borrow();
    let taken = cloud.second.take_all(vec![told], None).await;
    assert!(matches!(taken, Err(CloudError::Limit(_))), "{taken:?}");
    assert_eq!(*cloud.second.watch().borrow(), before);
}
