//! What a region holds, counted from its rows.

use super::*;

impl Region {
    fn counting(&self) -> Permit {
        authorize_system(SystemReason::Residency, Action::CountVersions, &self.deed)
    }

    /// All versions by pages of `limit`.
    async fn count(&self, limit: usize) -> Vec<(Vec<u8>, [u8; 16])> {
        let (mut all, mut from) = (Vec::new(), None);
        let permit = self.counting();
        loop {
            let page = self.objects.versions_by_key(&permit, from.as_ref(), limit);
            let (found, next) = page.await.unwrap();
            assert!(found.len() <= limit);
            all.extend(
                found
                    .iter()
                    .map(|c| (c.key.as_bytes().to_vec(), c.version.newest_first())),
            );
            match next {
                Some(next) => from = Some(next),
                None => return all,
            }
        }
    }
}

/// Keys whose order shows whether they are compared as bytes, and escaped ones among them.
const KEYS: [&str; 9] = ["a", "a\0", "a\0\u{1}", "a\u{1}", "a/b", "ab", "b", "z", "ä"];

async fn filled(seed: u64) -> Region {
    let home = Region::new("home", seed);
    history(&home, seed).await;
    for at in KEYS {
        home.put(at, at.to_owned()).await;
    }
    home.versioning(Versioning::Enabled).await;
    for at in KEYS {
        home.put(at, at.to_owned()).await;
        home.put(at, at.to_owned()).await;
    }
    home.delete("a\0", None).await;
    home
}

#[tokio::test]
async fn versions_come_by_key_and_then_newest_first_in_pages_of_any_size() {
    for seed in 0..5 {
        let home = filled(seed).await;
        let whole = home.count(10_000).await;
        assert_eq!(whole.len(), home.versions().await.len(), "seed {seed}");
        let in_order = whole.iter().zip(whole.iter().skip(1));
        assert!(in_order.into_iter().all(|(a, b)| a < b), "seed {seed}");
        for limit in [1, 2, 3, 7, whole.len() - 1, whole.len(), whole.len() + 1] {
            assert_eq!(home.count(limit).await, whole, "seed {seed} limit {limit}");
        }
    }
}

#[tokio::test]
async fn a_copy_counts_the_same_and_says_of_which_position() {
    let (home, copy) = (filled(1).await, Region::new("copy", 2));
    copy.follow(&home).await;
    assert_eq!(copy.count(7).await, home.count(7).await);
    let at = home.objects.position_held(&home.counting()).await.unwrap();
    assert!(at.is_some_and(|at| at.0 > 0));
    let held = async || copy.objects.position_held(&copy.counting()).await.unwrap();
    assert_eq!(held().await, None, "no cursor was noted");
    let (source, receiving) = (RegionId::new("home"), copy.receiving());
    for (epoch, snapshot, expect) in [
        (2, None, None),
        (1, Some(Bytes::from_static(b"c")), None),
        (1, None, Some(Position(42))),
    ] {
        let cursor = crate::FollowCursor {
            epoch,
            position: Position(42),
            seeded: 0,
            snapshot,
            reach: Position(0),
        };
        let noted = copy.objects.set_follow_cursor(&receiving, &source, &cursor);
        noted.await.unwrap();
        assert_eq!(held().await, expect, "{cursor:?}");
    }
}

#[tokio::test]
async fn what_lies_outside_the_placement_is_counted_all_the_same() {
    let elsewhere = filled(3).await;
    let outside = Region::new("outside", 4);
    assert!(outside.count(10).await.is_empty());
    // It was placed there before.
    let row = store::Batch::new().put(
        rows::BUCKET,
        crate::records::BucketRecord::default().encode(),
    );
    let committed = outside.engine.index.commit(PartitionId(7), row);
    committed.await.unwrap();
    outside.follow(&elsewhere).await;
    assert_eq!(outside.count(10).await, elsewhere.count(10).await);
    let position = outside.objects.position_held(&outside.counting()).await;
    assert_eq!(position.unwrap(), None);
}

#[tokio::test]
async fn a_permit_to_count_hands_nothing_out_and_no_other_counts() {
    let home = filled(5).await;
    let permit = home.counting();
    let changes = home.objects.changes(&permit, Position(0), 1, 1);
    assert!(matches!(changes.await, Err(Error::WrongPermit)));
    let counted = home.objects.versions_by_key(&home.sending(), None, 1).await;
    assert!(matches!(counted, Err(Error::WrongPermit)));
}
