//! Which start of a region runs, and whether its folder is the newest. Each start signs statements
//! and gives them to the other regions, which remember them and show them to
//! whoever comes in the region's name. From statements of its own key a region learns
//!
//! - that its folder was put back to an older state: a start before this one had a log that goes
//!   beyond what is here;
//! - that another process runs as the same region: its statement names this start, so it was made
//!   after this start began. The one that started later ends.
//!
//! What others say themselves counts for nothing, so nobody can stop a region but its own key.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use types::RegionId;

use super::{NAMED_MAX, Statement};
use crate::{Hex, Signer};

/// Starts of one region whose statements are kept.
const KEPT_MAX: usize = 4;

/// Statements that are of no use any more, of which a folder remembers that.
const COVERS_MAX: usize = 64;

/// What this region remembers of what others have said.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered(BTreeMap<String, Vec<Statement>>);

/// What followed from a statement that was received.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// What other starts of the region have said, as far as it still matters.
    pub others: Vec<Statement>,
    /// Whether other starts are remembered than before: worth to be kept at once.
    pub is_news: bool,
}

impl Remembered {
    /// Takes what `region`, whose key is `key`, says. `None` for what it did not say.
    pub fn receive(
        &mut self,
        region: &RegionId,
        key: &[u8; 32],
        said: Statement,
    ) -> Option<Received> {
        if !said.is_of(region, key) {
            return None;
        }
        let all = self.0.entry(region.to_string()).or_default();
        let others: Vec<Statement> = all
            .iter()
            .filter(|s| s.instance != said.instance)
            .cloned()
            .collect();
        let before = all.len();
        let covered = |s: &Statement| {
            let mut covers = said.covers.iter();
            covers.any(|(id, end)| *id == s.instance && s.log_end <= *end)
        };
        all.retain(|s| !covered(s));
        let mut is_news = all.len() != before;
        match all.iter_mut().find(|s| s.instance == said.instance) {
            Some(known) if known.log_end <= said.log_end => *known = said,
            // An older one that comes late.
            Some(_) => {}
            None => {
                is_news = true;
                all.push(said);
                if all.len() > KEPT_MAX {
                    // The first ones are what a folder that was put back does not know.
                    all.remove(KEPT_MAX - 1);
                }
            }
        }
        Some(Received { others, is_news })
    }

    /// Drops what it keeps of all regions but these.
    pub fn keep(&mut self, known: impl Fn(&str) -> bool) {
        self.0.retain(|region, _| known(region));
    }
}

/// What a region finds in statements of its own key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Another process runs as this region, and started earlier: this one has to end.
    Later(Statement),
    /// Another process runs, or ran, as this region, and started later.
    Clone(Statement),
    /// An earlier start had a log that goes further than what is here.
    Behind(Statement),
}

/// What a folder's starts have found, to be kept in the folder.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Statements of starts that had more than this folder has.
    pub behind: Vec<Statement>,
    /// Statements that are of no use any more.
    pub covers: Vec<(u64, u64)>,
}

/// This start of this region.
#[derive(Debug)]
pub struct Own {
    region: String,
    instance: u64,
    started_ms: u64,
    key: [u8; 32],
    heard: VecDeque<u64>,
    covers: VecDeque<(u64, u64)>,
    behind: BTreeMap<u64, Statement>,
}

impl Own {
    /// A start that began at `started_ms`, with what earlier ones of the folder have found.
    pub fn new(region: &str, instance: u64, started_ms: u64, key: [u8; 32], found: Found) -> Self {
        let behind = found.behind.into_iter().map(|s| (s.instance, s));
        Self {
            region: region.to_owned(),
            instance,
            started_ms,
            key,
            heard: VecDeque::new(),
            covers: found.covers.into(),
            behind: behind.collect(),
        }
    }

    /// What it says now.
    pub fn says(&self, log_end: u64, signer: &dyn Signer) -> Statement {
        Statement {
            region: self.region.clone(),
            instance: self.instance,
            started_ms: self.started_ms,
            log_end,
            heard: self.heard.iter().copied().collect(),
            covers: self.covers.iter().rev().take(NAMED_MAX).copied().collect(),
            signature: Hex([0; 64]),
        }
        .signed(signer)
    }

    /// Looks at what another region remembers. `gave` says whether this log gave a position.
    pub fn judge(&mut self, told: Vec<Statement>, gave: impl Fn(u64) -> bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        for said in told.into_iter().take(NAMED_MAX) {
            if said.instance == self.instance || !said.is_of(&self.region, &self.key) {
                continue;
            }
            if !self.heard.contains(&said.instance) {
                self.heard.push_back(said.instance);
                self.heard
                    .drain(..self.heard.len().saturating_sub(NAMED_MAX));
            }
            let mut covers = self.covers.iter();
            let covered = covers.any(|(id, end)| *id == said.instance && said.log_end <= *end);
            let is_earlier = said.order() < (self.started_ms, self.instance);
            let runs = said.heard.contains(&self.instance);
            match (is_earlier, runs) {
                (true, true) if !types::planted("clones-go-on") => {
                    findings.push(Finding::Later(said));
                }
                _ if covered => {}
                (true, _) if gave(said.log_end) || types::planted("older-folders-pass") => {
                    self.cover(said.instance, said.log_end, &gave);
                }
                (true, _) => {
                    let known = self.behind.insert(said.instance, said.clone());
                    if known.is_none() {
                        findings.push(Finding::Behind(said));
                    }
                }
                (false, _) => {
                    // It ends; nothing that it has written counts for this folder.
                    self.cover(said.instance, u64::MAX, &gave);
                    findings.push(Finding::Clone(said));
                }
            }
        }
        findings
    }

    fn cover(&mut self, instance: u64, log_end: u64, gave: impl Fn(u64) -> bool) {
        self.covers.retain(|(id, _)| *id != instance);
        self.covers.push_back((instance, log_end));
        if self.covers.len() > COVERS_MAX {
            // Of an end that this log gave it is found again that it is of no use.
            let first = self.covers.iter().position(|(_, end)| gave(*end));
            self.covers.remove(first.unwrap_or(0));
        }
    }

    /// Whether a start had more than this folder has.
    pub fn is_behind(&self) -> bool {
        !self.behind.is_empty()
    }

    /// What is to be kept in the folder.
    pub fn found(&self) -> Found {
        Found {
            behind: self.behind.values().cloned().collect(),
            covers: self.covers.iter().copied().collect(),
        }
    }

    /// What was missing has come, or cannot come any more.
    pub fn is_settled(&mut self) {
        for said in std::mem::take(&mut self.behind).into_values() {
            self.cover(said.instance, said.log_end, |_| false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Key;

    fn key(seed: u8) -> Key {
        Key::from_seed(&[seed; 32])
    }

    fn region() -> RegionId {
        RegionId::new("eu-1")
    }

    /// A start, with its key and how far its log goes.
    struct Process {
        own: Own,
        key: Key,
        gave: Vec<std::ops::RangeInclusive<u64>>,
    }

    impl Process {
        fn new(instance: u64, started_ms: u64, gave: &[std::ops::RangeInclusive<u64>]) -> Self {
            let key = key(1);
            Self {
                own: Own::new(
                    "eu-1",
                    instance,
                    started_ms,
                    key.public_key(),
                    Found::default(),
                ),
                key,
                gave: gave.to_vec(),
            }
        }

        fn end(&self) -> u64 {
            *self.gave.last().unwrap().end()
        }

        fn visits(&mut self, other: &mut Remembered) -> Vec<Finding> {
            let said = self.own.says(self.end(), &self.key);
            let heard = other
                .receive(&region(), &self.key.public_key(), said)
                .unwrap();
            let gave = self.gave.clone();
            self.own.judge(heard.others, |at| {
                at == 0 || gave.iter().any(|range| range.contains(&at))
            })
        }
    }

    #[test]
    fn an_honest_restart_finds_nothing_and_leaves_one_statement() {
        let mut other = Remembered::default();
        for n in 1..50 {
            let gave: Vec<_> = (1..=n).map(|k| k * 1000..=k * 1000 + 7).collect();
            let mut start = Process::new(n, n * 10, &gave);
            for _ in 0..3 {
                assert_eq!(start.visits(&mut other), []);
            }
            assert_eq!(other.0["eu-1"].len(), 1, "start {n}");
        }
    }

    #[test]
    fn a_folder_that_was_put_back_is_found_out_until_that_is_settled() {
        let mut other = Remembered::default();
        let mut first = Process::new(1, 10, &[1000..=1100]);
        first.visits(&mut other);
        // Later states of the same start, then another one.
        first.gave = vec![1000..=1200];
        first.visits(&mut other);
        let mut second = Process::new(2, 20, &[1000..=1200, 5000..=5003]);
        second.visits(&mut other);
        second.visits(&mut other);
        // From a backup of the first, taken while it ran; it restarts again and again.
        for n in 3..20 {
            let mut put_back = Process::new(n, n * 10, &[1000..=1100, 9000..=9900]);
            let found = put_back.visits(&mut other);
            assert!(
                matches!(found.as_slice(), [Finding::Behind(s)] if s.instance == 2),
                "{n}: {found:?}"
            );
            assert_eq!(put_back.visits(&mut other), [], "it is said once");
            assert_eq!(put_back.own.found().behind.len(), 1);
        }
        let mut mended = Process::new(20, 200, &[1000..=1100, 9000..=9900]);
        mended.visits(&mut other);
        mended.own.is_settled();
        mended.visits(&mut other);
        let mut later = Process::new(21, 210, &[1000..=1100, 9000..=9999]);
        assert_eq!(later.visits(&mut other), []);
    }

    #[test]
    fn of_two_processes_the_later_one_finds_that_it_has_to_end() {
        // With the same log, with less of it, and with a log of its own.
        for gave in [vec![1000..=1100], vec![1000..=1050], vec![1..=1]] {
            let (mut p, mut q) = (Remembered::default(), Remembered::default());
            let mut first = Process::new(1, 10, &[1000..=1100]);
            let mut second = Process::new(2, 20, &gave);
            let mut ends = false;
            for round in 0..4 {
                // Each reaches both of the others, or only one.
                for other in [&mut p, &mut q] {
                    let found = first.visits(other);
                    assert!(!found.iter().any(|f| matches!(f, Finding::Later(_))));
                    assert!(!first.own.is_behind(), "{round}");
                }
                ends |= second
                    .visits(&mut p)
                    .iter()
                    .any(|f| matches!(f, Finding::Later(_)));
            }
            assert!(ends, "{gave:?}");
            // Once it has ended, the first one starts again and finds nothing.
            first.visits(&mut p);
            first.visits(&mut p);
            let mut again = Process::new(3, 30, &[1000..=1100, 7000..=7001]);
            assert_eq!(again.visits(&mut p), []);
            // Even of others who have not received that from the first one.
            let mut again = Process::new(4, 40, &[1000..=1100, 7000..=7001]);
            again.own = Own::new("eu-1", 4, 40, again.own.key, first.own.found());
            let said = second.own.says(99_999, &second.key);
            assert_eq!(again.own.judge(vec![said], |_| false), []);
        }
    }

    #[test]
    fn what_was_settled_once_stays_so_whatever_others_kept() {
        let lost: Vec<Statement> = (1..=12)
            .map(|n| {
                let process = Process::new(n, n * 10, &[]);
                process.own.says(10_000 + n, &process.key)
            })
            .collect();
        let gave = |end: u64| end <= 1_000;
        let mut found = Found::default();
        for start in 100..200_u64 {
            let key = key(1);
            let public = proof_key(&key);
            let mut own = Own::new("eu-1", start, start * 10, public, found);
            // The start before it had no more than this log gave.
            let before = Own::new("eu-1", start - 1, start * 10 - 10, public, Found::default());
            own.judge(vec![before.says(start, &key)], gave);
            for said in &lost {
                let findings = own.judge(vec![said.clone()], gave);
                assert_eq!(findings.is_empty(), start > 100, "{start}");
            }
            assert!(own.says(start, &key).is_of(&region(), &public));
            own.is_settled();
            found = own.found();
        }
    }

    fn proof_key(key: &Key) -> [u8; 32] {
        key.public_key()
    }

    #[test]
    fn what_others_make_up_or_keep_stops_nobody() {
        let mut other = Remembered::default();
        let mut first = Process::new(1, 10, &[1000..=1100]);
        let mut kept = Vec::new();
        for _ in 0..5 {
            first.visits(&mut other);
            kept.push(first.own.says(1100, &first.key));
        }
        let mut second = Process::new(2, 20, &[1000..=1100, 5000..=5003]);
        // All that the first one ever said, one after the other, as if it still ran.
        for said in kept.clone() {
            let findings = second.own.judge(vec![said], |at| at <= 5003);
            assert_eq!(findings, []);
        }
        // Made up: with another key, changed, for another region.
        let mut forged = kept[0].clone();
        forged.heard = vec![2];
        forged.log_end = 1 << 60;
        let foreign = forged.clone().signed(&key(2));
        let mut elsewhere = forged.clone();
        elsewhere.region = "eu-2".into();
        let elsewhere = elsewhere.signed(&key(1));
        for said in [forged, foreign.clone(), elsewhere] {
            assert_eq!(second.own.judge(vec![said], |at| at <= 5003), []);
        }
        assert!(!second.own.is_behind());
        let key = second.key.public_key();
        assert_eq!(other.receive(&region(), &key, foreign), None);
    }
}
