//! Comparing clocks: versions are ordered by time, so a region whose clock is off must not write.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use cloud::RegionStatus;
use peer::{Peer, collect};
use serde::Deserialize;
use tokio::task::JoinSet;
use types::RegionId;

use super::{
    HELLO_WAIT,
    clocks::{OFF_MAX_MS, is_off},
    paths,
};
use crate::{load::Load, region::Region};

/// How often clocks are compared.
const COMPARE_EVERY: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Hello {
    now_ms: u64,
    /// Not to every region, and not by every release.
    #[serde(default)]
    load: Option<Load>,
}

/// Compares this region's clock with the others' until the task is dropped, and notes which of them
/// answer.
pub async fn watch_clock(region: Arc<Region>) {
    loop {
        let keeper = RegionId::new(&region.link.membership.keeper);
        let mut asking = JoinSet::new();
        let mut asked = HashSet::new();
        for other in region.registry.all_regions() {
            let id = RegionId::new(&other.id);
            let known = matches!(other.status, RegionStatus::Open | RegionStatus::Draining);
            if id == region.id || !known || other.peer.is_empty() {
                continue;
            }
            asked.insert(id.clone());
            let region = Arc::clone(&region);
            asking.spawn(async move {
                // One whose address its list does not have is asked by nobody.
                let answered = match other.peer_address() {
                    Some(address) => ask(&region, &id, address).await,
                    None => None,
                };
                let (offset, load) = answered.unzip();
                let said = (offset.is_some(), load.flatten());
                region.watched.others.note(&id, said, region.clock.now());
                let status = region.replication.status();
                status.looked(&id, offset.is_some());
                // The clock of one that is being drained counts no more.
                offset.map(|offset| (id, offset, other.status == RegionStatus::Open))
            });
        }
        region.watched.others.keep(|id| asked.contains(id));
        let (mut offsets, mut all) = (Vec::new(), HashMap::new());
        while let Some(answered) = asking.join_next().await {
            let Some((id, offset, counts)) = answered.ok().flatten() else {
                continue;
            };
            offsets.extend(counts.then_some((id == keeper, offset)));
            all.insert(id, offset);
        }
        // Nobody to compare with changes nothing: what was known stays.
        let clocks = &region.neighbours.clocks;
        let off = match offsets.is_empty() {
            true => clocks.own().saturating_neg(),
            false => {
                let off = off(&offsets);
                region.neighbours.doubt_clock(off.and_then(doubt));
                off.unwrap_or_default()
            }
        };
        clocks.note(all, if is_off(off) { off.saturating_neg() } else { 0 });
        tokio::time::sleep(COMPARE_EVERY).await;
    }
}

/// How far the other's clock is ahead of ours, in milliseconds; what the way there and back may
/// account for is in our favour. And what it says of itself.
async fn ask(region: &Region, id: &RegionId, address: &str) -> Option<(i64, Option<Load>)> {
    let to = Peer {
        region: id.clone(),
        address: address.to_owned(),
    };
    let request = http::Request::builder()
        .uri(paths::HELLO)
        .body(peer::empty());
    let before = region.clock.now().ms();
    let answer = region
        .link
        .client
        .request_within(HELLO_WAIT, &to, request.ok()?)
        .await
        .ok()?;
    let body = collect(answer.into_body(), 4096, HELLO_WAIT).await.ok()?;
    let after = region.clock.now().ms();
    let hello: Hello = serde_json::from_slice(&body).ok()?;
    Some((ahead(hello.now_ms, before..=after), hello.load))
}

/// How far a clock is ahead of `own`, whatever it says: the arithmetic saturates.
fn ahead(theirs: u64, own: RangeInclusive<u64>) -> i64 {
    let nearest = theirs.clamp(*own.start(), *own.end());
    let off = i64::try_from(theirs.abs_diff(nearest)).unwrap_or(i64::MAX);
    match theirs < nearest {
        true => -off,
        false => off,
    }
}

/// What the others' clocks say of ours, each with whether it is the registry's region and how far
/// it is ahead. With two or more others the median counts, and the own clock counts as well where
/// it breaks a tie: of three clocks that differ the middle one is right. A single other one counts
/// only if it keeps the registry, since one of two must be right.
fn off(offsets: &[(bool, i64)]) -> Option<i64> {
    let mut sorted: Vec<i64> = offsets.iter().map(|(_, offset)| *offset).collect();
    if sorted.len() > 1 && sorted.len().is_multiple_of(2) {
        sorted.push(0);
    }
    sorted.sort_unstable();
    match sorted.as_slice() {
        [] => None,
        [only] if offsets.iter().any(|(keeper, _)| *keeper) => Some(*only),
        [_] => None,
        many => many.get(many.len() / 2).copied(),
    }
}

/// Why writes are refused, if the others are so far ahead.
fn doubt(off: i64) -> Option<String> {
    is_off(off).then(|| {
        let way = if off > 0 { "behind" } else { "ahead of" };
        format!(
            "The clock of this region is {} ms {way} the other regions', {OFF_MAX_MS} are \
             allowed; writes are refused until it is right.",
            off.unsigned_abs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(offsets: &[(bool, i64)]) -> Option<String> {
        off(offsets).and_then(doubt)
    }

    #[test]
    fn a_clock_that_says_anything_is_compared() {
        for (theirs, off) in [(0, -100), (99, -1), (100, 0), (105, 0), (110, 0), (111, 1)] {
            assert_eq!(ahead(theirs, 100..=110), off);
        }
        assert_eq!(ahead(u64::MAX, 100..=110), i64::MAX);
        assert_eq!(ahead(u64::MAX, 0..=0), i64::MAX);
        assert_eq!(ahead(0, u64::MAX..=u64::MAX), -i64::MAX);
        assert!(judge(&[(true, ahead(u64::MAX, 1..=2))]).is_some_and(|w| w.contains("behind")));
    }

    #[test]
    fn one_wrong_clock_among_many_is_told_apart() {
        // Ours is right, one other is wrong.
        assert_eq!(judge(&[(true, 0), (false, 90_000), (false, 3)]), None);
        assert_eq!(judge(&[(true, 90_000), (false, 0), (false, 3)]), None);
        // Of three in all, ahead or behind: the other two agree.
        for wrong in [90_000, -90_000] {
            assert_eq!(judge(&[(true, wrong), (false, 3)]), None);
            assert_eq!(judge(&[(true, -3), (false, wrong)]), None);
        }
        assert_eq!(judge(&[(true, -90_000), (false, 90_000)]), None);
        // Ours is wrong.
        assert!(judge(&[(true, 5_000), (false, 5_001)]).is_some_and(|w| w.contains("behind")));
        assert!(judge(&[(true, -5_000), (false, -5_001)]).is_some_and(|w| w.contains("ahead")));
        // One of two: the registry's region counts.
        assert!(judge(&[(true, 5_000)]).is_some());
        assert_eq!(judge(&[(false, 5_000)]), None);
        assert_eq!(judge(&[(true, 2_000)]), None);
        assert!(judge(&[(true, 2_001)]).is_some());
        assert!(judge(&[(true, i64::MIN)]).is_some_and(|w| w.contains("ahead")));
        assert_eq!(judge(&[]), None);
    }
}
