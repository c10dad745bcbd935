//! A region's key in the hands of somebody else, and addresses that are not the region's.

use std::time::Duration;

use types::{CertificateSerial, RegionId};

use super::follow_tests::{Cloud, ROOT, announcement, issued};
use super::*;
use crate::{Announcement, Ask, Readiness, RegionStatus, RegistryAnswer, token_hash};

const HOUR: Duration = Duration::from_secs(3600);

fn serials(keeper: &Registry) -> (Vec<String>, Vec<String>) {
    let record = keeper.region("second").unwrap();
    let issued = record.issued.iter().map(|one| one.serial.clone());
    (issued.collect(), record.revoked_serials.clone())
}

#[tokio::test]
async fn a_certificate_that_was_taken_back_brings_no_other_whenever_it_was_asked_for() {
    let cloud = Cloud::new().await;
    let (keeper, second) = (&cloud.keeper, RegionId::new("second"));
    let key = announcement(2).public_key;
    let renew = async |n: u8, shown: &str| {
        let issued = issued(n);
        keeper.record_issued(&second, &issued, &key, shown).await
    };
    renew(7, "4a01").await.unwrap();
    renew(8, "4a07").await.unwrap();
    // All that was ever issued to it, renewals among them.
    let gone = keeper
        .revoke_certificates(ROOT, "second", None)
        .await
        .unwrap();
    assert_eq!(gone, ["4a01", "4a07", "4a08"]);
    for shown in ["4a01", "4a07", "4a08"] {
        assert!(renew(9, shown).await.is_err(), "{shown}");
    }
    assert_eq!(serials(keeper).0.len(), 3, "none was recorded since");
}

#[tokio::test]
async fn what_was_taken_back_leaves_room_for_new_certificates() {
    let cloud = Cloud::new().await;
    let (keeper, second) = (&cloud.keeper, RegionId::new("second"));
    let key = announcement(2).public_key;
    let renew = async |n: u8| {
        let issued = issued(n);
        keeper.record_issued(&second, &issued, &key, "4a01").await
    };
    for n in 2..=100 {
        renew(n).await.unwrap();
    }
    let more = renew(101).await;
    assert!(matches!(more, Err(CloudError::SlowDown(_))), "{more:?}");
    let one = CertificateSerial::parse("4a02").unwrap();
    let revoking = keeper.revoke_certificates(ROOT, "second", Some(&one));
    revoking.await.unwrap();
    renew(101).await.unwrap();
    assert!(renew(102).await.is_err());
}

#[tokio::test]
async fn a_new_key_takes_back_all_that_the_old_one_had_and_locks_nobody_out() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let old = announcement(2);
    let new = announcement(42);
    let renew = async |n: u8, key: &str, shown: &str| {
        let second = RegionId::new("second");
        keeper.record_issued(&second, &issued(n), key, shown).await
    };
    // A thief renews.
    let renewed = renew(7, &old.public_key, "4a01");
    renewed.await.unwrap();
    for bad in ["first", "nowhere"] {
        assert!(
            keeper.rekey_region(ROOT, bad, "h", HOUR).await.is_err(),
            "{bad}"
        );
    }
    let rekey = async |secret: &[u8]| {
        let hash = token_hash(secret);
        keeper.rekey_region(ROOT, "second", &hash, HOUR).await
    };
    rekey(b"first").await.unwrap();
    rekey(b"token").await.unwrap();
    // Nothing is taken back before the new key is there.
    assert!(serials(keeper).1.is_empty());
    let show = async |secret: &[u8], region: &str, with: &Announcement, n: u8| {
        keeper.join(secret, region, with, &issued(n)).await
    };
    assert!(show(b"first", "second", &new, 8).await.is_err(), "replaced");
    assert!(show(b"token", "third", &new, 8).await.is_err());
    assert!(
        show(b"token", "second", &old, 8).await.is_err(),
        "the same key"
    );
    assert!(
        show(b"token", "second", &announcement(3), 8).await.is_err(),
        "another region's"
    );
    // The word of the one who has the token is about the key: the address stays.
    let record = show(b"token", "second", &new, 8).await.unwrap();
    assert_eq!(record.public_key, new.public_key);
    assert_eq!(
        (record.status, &record.peer),
        (RegionStatus::Open, &old.peer)
    );
    assert_eq!(serials(keeper).1, ["4a01", "4a07"]);
    let last = keeper.last_entry().unwrap();
    assert_eq!((&*last.action, &*last.subject), ("region.open", "second"));
    // Cut off, it gets another certificate for the same key, and the first is gone.
    show(b"token", "second", &new, 9).await.unwrap();
    assert_eq!(serials(keeper).1, ["4a01", "4a07", "4a08"]);
    assert!(
        show(b"token", "second", &announcement(43), 10)
            .await
            .is_err()
    );
    // Whoever has the old key renews and announces nothing.
    for shown in ["4a01", "4a07", "4aff"] {
        let renewed = renew(11, &old.public_key, shown);
        assert!(renewed.await.is_err(), "{shown}");
    }
    assert!(keeper.announce("second", &old).await.is_err());
    let renewed = renew(12, &new.public_key, "4a09");
    renewed.await.unwrap();
    keeper.announce("second", &new).await.unwrap();
    // It stays so after a restart, and another token is no way back to the key that was lost.
    rekey(b"again").await.unwrap();
    show(b"again", "second", &announcement(44), 13)
        .await
        .unwrap();
    assert!(keeper.announce("second", &new).await.is_err());
}

fn at(peer: &str, endpoint: &str) -> Announcement {
    Announcement {
        peer: peer.to_owned(),
        endpoint: endpoint.to_owned(),
        ..announcement(2)
    }
}

#[tokio::test]
async fn a_region_is_reached_where_its_list_says_and_nowhere_else() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let announce = async |peer: &str, endpoint: &str| {
        let announced = at(peer, endpoint);
        let ready = Readiness {
            now_ms: 0,
            version: String::new(),
            writable: true,
        };
        let ask = Ask::Announce { announced, ready };
        match keeper.answer(&RegionId::new("second"), ask).await {
            RegistryAnswer::Done => Ok(()),
            RegistryAnswer::Refused(why) => Err(why),
            _ => Err("another answer".to_owned()),
        }
    };
    let known = || {
        let record = keeper.region("second").unwrap();
        (record.peer.clone(), record.endpoint.clone())
    };
    let before = known();
    // Without a list: where it was. Others' addresses, other hosts and nonsense are refused, each
    // by itself.
    let (good_peer, good_endpoint) = ("127.0.0.1:12", "http://127.0.0.1:2");
    for peer in [
        "169.254.169.254:80",
        "10.0.0.1:22",
        "evil.example:443",
        "127.0.0.1:11", // the registry's
        "127.0.0.1:13", // the third region's
        "127.0.0.1",
        "u@127.0.0.1:12",
        "[::1]:12",
    ] {
        assert!(announce(peer, good_endpoint).await.is_err(), "{peer}");
        assert_eq!(known(), before, "{peer}");
    }
    for endpoint in [
        "http://evil.example",
        "http://127.0.0.1:3",
        "http://127.0.0.1:2/path",
        "http://127.0.0.1:2@evil.example",
        "file:///etc/passwd",
        "javascript://127.0.0.1:2",
    ] {
        let why = announce(good_peer, endpoint).await.unwrap_err();
        assert!(
            why.contains("region allow second") || why.contains("announces"),
            "{why}"
        );
        assert_eq!(known(), before, "{endpoint}");
    }
    assert!(keeper.unreached("second").unwrap().1.contains("endpoint"));
    // On this machine ports move.
    announce("127.0.0.1:99", "http://127.0.0.1:98")
        .await
        .unwrap();
    assert!(keeper.unreached("second").is_none());
    // With a list: what it has.
    let list = [
        "db.example:7443".to_owned(),
        "203.0.113.0/24:443".to_owned(),
    ];
    keeper.allow_addresses(ROOT, "second", &list).await.unwrap();
    let record = keeper.region("second").unwrap();
    // What is on record and not in the list is not used, wherever the record is known.
    assert_eq!(
        (record.peer_address(), record.endpoint_host()),
        (None, None)
    );
    cloud.catch_up().await;
    let there = cloud.second.region("second").unwrap();
    assert_eq!((there.peer_address(), there.endpoint_host()), (None, None));
    assert!(
        announce("db.example:7443", "https://198.51.100.1")
            .await
            .is_err()
    );
    assert!(
        announce("db.example:7444", "https://203.0.113.9")
            .await
            .is_err()
    );
    announce("db.example:7443", "https://203.0.113.9")
        .await
        .unwrap();
    let record = keeper.region("second").unwrap();
    assert_eq!(record.peer_address(), Some("db.example:7443"));
    assert_eq!(record.endpoint_host(), Some("203.0.113.9"));
    // Without one again it is pinned to that, port and all.
    keeper.allow_addresses(ROOT, "second", &[]).await.unwrap();
    assert!(
        announce("db.example:7444", "https://203.0.113.9")
            .await
            .is_err()
    );
    assert!(
        announce("db.example:7443", "https://203.0.113.9:444")
            .await
            .is_err()
    );
    let bad = ["http://a".to_owned()];
    let bad = keeper.allow_addresses(ROOT, "second", &bad);
    assert!(bad.await.is_err());
}

/// A registry that the whole world reaches lets nobody in that says it is on its own machine.
#[tokio::test]
async fn nobody_joins_from_nearer_than_the_registry() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let own = keeper.region("first").unwrap();
    let public = Announcement {
        endpoint: "https://first.example".into(),
        peer: "first.example:7443".into(),
        public_key: own.public_key.clone(),
    };
    keeper.announce("first", &public).await.unwrap();
    for (n, (peer, listed, good)) in [
        ("127.0.0.1:6379", &[][..], false),
        ("localhost:6379", &[], false),
        ("10.0.0.1:7443", &[], false),
        ("169.254.169.254:80", &[], false),
        ("first.example:7443", &[], false),
        ("second.example:7443", &[], true),
        ("10.0.0.1:7443", &["10.0.0.0/8", "x.example"], true),
        ("10.0.0.1:7443", &["11.0.0.0/8", "x.example"], false),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("new-region-{n}x");
        let mut plan = super::follow_tests::plan(&id, "JP");
        plan.addresses = listed.iter().map(|s| (*s).to_owned()).collect();
        let hash = token_hash(id.as_bytes());
        keeper.plan_region(ROOT, &plan, &hash, HOUR).await.unwrap();
        let announced = Announcement {
            peer: peer.to_owned(),
            endpoint: "https://x.example".to_owned(),
            public_key: hex::encode([100 + n as u8; 32]),
        };
        let joined = keeper
            .join(id.as_bytes(), &id, &announced, &issued(1))
            .await;
        assert_eq!(joined.is_ok(), good, "{peer} {listed:?} {:?}", joined.err());
        if good {
            // The endpoint is its own now; the others say the same here only for the test.
            keeper
                .set_region_status(ROOT, &id, RegionStatus::Closed)
                .await
                .unwrap();
        }
    }
}
