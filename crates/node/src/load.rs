//! How much a region is asked, and how far its replicas are behind their homes: what it says of
//! itself to the region that keeps the registry and to those of its own operator. No other region
//! is given it: partners compete.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use gateway::Gateway;
use parking_lot::Mutex;
use replication::{Following, Replication};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Requests are counted over so long.
const OVER: Duration = Duration::from_secs(60);

/// What a region says of itself. Nothing follows from it: it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Answered requests of known callers in the last minute.
    pub requests_per_minute: u64,
    /// Buckets of which it keeps a replica.
    pub replicas: u64,
    /// For how many seconds one of these may lack something, the worst one; `None` if one of them
    /// has not caught up since the process started. An idle home is asked every 20 seconds.
    pub behind_s: Option<u64>,
}

/// What this region says of itself; nothing before the first look.
#[derive(Debug, Default)]
pub struct OwnLoad(Mutex<Option<Load>>);

impl OwnLoad {
    /// As of the last look.
    pub fn get(&self) -> Option<Load> {
        *self.0.lock()
    }
}

/// Counts requests by what there were in all at each look.
#[derive(Debug, Default)]
struct Looks(VecDeque<(Instant, u64)>);

impl Looks {
    /// Requests in a minute, once there were two looks.
    fn look(&mut self, now: Instant, requests: u64) -> Option<u64> {
        let looks = &mut self.0;
        looks.push_back((now, requests));
        // The oldest of those that stay is the minute's first.
        while looks
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= OVER)
        {
            looks.pop_front();
        }
        let (first, before) = *looks.front()?;
        let took = now.duration_since(first).as_millis();
        if took == 0 {
            return None;
        }
        let came = u128::from(requests.saturating_sub(before));
        u64::try_from(came * OVER.as_millis() / took).ok()
    }
}

/// The worst of what is followed, and how much that is.
fn behind(all: &[(types::BucketId, Following)]) -> (u64, Option<u64>) {
    let of = |one: &Following| one.caught_up.map(|at| at.elapsed().as_secs());
    let mut ages = all.iter().map(|(_, one)| of(one));
    let worst = ages.try_fold(0, |worst: u64, one| Some(worst.max(one?)));
    (all.len() as u64, worst)
}

/// Looks again and again, until the task is dropped.
pub async fn watch(own: Arc<OwnLoad>, replication: Arc<Replication>, gateway: Arc<Gateway>) {
    let mut looks = Looks::default();
    loop {
        let counted = looks.look(Instant::now(), gateway.metrics.answered_in_all());
        if let Some(requests_per_minute) = counted {
            let (replicas, behind_s) = behind(&replication.status().following());
            *own.0.lock() = Some(Load {
                requests_per_minute,
                replicas,
                behind_s,
            });
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_last_minute() {
        let begun = Instant::now();
        let at = |s: u64| begun + Duration::from_secs(s);
        let mut looks = Looks::default();
        assert_eq!(looks.look(at(0), 100), None);
        // As if the few seconds were a minute.
        assert_eq!(looks.look(at(5), 150), Some(600));
        for n in 2..=12 {
            looks.look(at(5 * n), 150);
        }
        assert_eq!(looks.look(at(65), 150), Some(0));
        assert_eq!(looks.look(at(125), 151), Some(1));
        assert!(looks.0.len() <= 14);
        // Counters begin anew with the process: never less than none.
        assert_eq!(looks.look(at(130), 0), Some(0));
    }
}
