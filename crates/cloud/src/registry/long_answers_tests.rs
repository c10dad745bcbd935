//! Answers of the registry are bounded, however much there is.

use serde_json::json;

use super::{
    follow_tests::{Cloud, ROOT, follower},
    *,
};
use crate::{Ask, RegistryAnswer};

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
