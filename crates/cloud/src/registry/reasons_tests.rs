//! Why requests were refused, sealed for the registry's region.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use types::Features;

use super::{follow_tests::Cloud, *};

const TEXT: &str = r#"{"account":"000000000001"}"#;

async fn cloud() -> Cloud {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    cloud.second.catch(&cloud).await;
    cloud
}

impl Registry {
    /// The region gets its keys.
    async fn catch(&self, cloud: &Cloud) {
        cloud.catch_up().await;
        self.announce_features(Features::own());
        self.meet_sessions().await.unwrap();
    }
}

#[tokio::test]
async fn the_registry_reads_what_a_region_says_and_knows_which_one() {
    let cloud = cloud().await;
    for (region, name) in [(&cloud.keeper, "first"), (&cloud.second, "second")] {
        let message = region.seal_reason(TEXT).unwrap();
        assert_ne!(message, region.seal_reason(TEXT).unwrap());
        assert!(!message.contains("account") && message.len() < 200);
        let (from, text) = cloud.keeper.open_reason(&message).unwrap();
        assert_eq!((&*from, &*text), (name, TEXT));
        // Nobody else reads any: neither another region's nor its own.
        assert_eq!(cloud.second.open_reason(&message), None);
    }
    assert_eq!(cloud.keeper.seal_reason(&"x".repeat(3000)), None);
}

#[tokio::test]
async fn no_region_speaks_for_another_and_nothing_is_changed() {
    let cloud = cloud().await;
    let message = cloud.second.seal_reason(TEXT).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&message).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let changed = URL_SAFE_NO_PAD.encode(changed);
        assert_eq!(cloud.keeper.open_reason(&changed), None, "{at}");
    }
    // The same bytes in the name of the registry's region.
    let name = bytes.windows(6).position(|w| w == b"second").unwrap();
    let mut forged = bytes[..name - 1].to_vec();
    forged.push(5);
    forged.extend_from_slice(b"first");
    forged.extend_from_slice(&bytes[name + 6..]);
    assert_eq!(
        cloud.keeper.open_reason(&URL_SAFE_NO_PAD.encode(forged)),
        None
    );
    for end in 0..bytes.len() {
        let cut = URL_SAFE_NO_PAD.encode(&bytes[..end]);
        assert_eq!(cloud.keeper.open_reason(&cut), None);
    }
    assert_eq!(cloud.keeper.open_reason("no message"), None);
    assert_eq!(cloud.keeper.open_reason(&"A".repeat(5000)), None);
}
