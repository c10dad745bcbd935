//! Regions from which the registry withholds changes, since their builds cannot read them, or know
//! less than before. Such a region gets no keys either: it goes on with what it has, as one that is
//! cut off, until its keys end.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use types::{RegionId, Timestamp};

use crate::{Ask, Registry, RegistryAnswer};

/// The log has a line of a region no more often than this.
const LOGGED_EVERY_MS: u64 = 60_000;

/// What is withheld from a region.
#[derive(Default)]
struct Withheld {
    /// Why; `None` once a question was answered again.
    why: Option<String>,
    /// How many questions for changes were refused since the last that was answered.
    refused: u64,
    /// When the log had it.
    logged_ms: Option<u64>,
}

/// All of it; in memory, where the registry is kept. Only regions on record are in it.
#[derive(Default)]
pub(crate) struct AllWithheld(Mutex<BTreeMap<String, Withheld>>);

impl AllWithheld {
    /// Whether the log is to have a line.
    fn note(&self, region: &RegionId, why: &str, now: Timestamp) -> bool {
        let mut all = self.0.lock();
        let one = all.entry(region.to_string()).or_default();
        one.why = Some(why.to_owned());
        one.refused += 1;
        let ago = one.logged_ms.map(|at| now.ms().abs_diff(at));
        let logs = ago.is_none_or(|ago| ago >= LOGGED_EVERY_MS);
        if logs {
            one.logged_ms = Some(now.ms());
        }
        logs
    }

    fn end(&self, region: &RegionId) {
        if let Some(one) = self.0.lock().get_mut(&**region) {
            (one.why, one.refused) = (None, 0);
        }
    }

    fn why(&self, region: &str) -> Option<String> {
        self.0.lock().get(region)?.why.clone()
    }
}

impl Registry {
    /// Withholds changes from a region, and answers its question with the reason.
    pub(crate) fn withhold(&self, region: &RegionId, why: String) -> RegistryAnswer {
        if self.withheld.note(region, &why, self.clock.now()) {
            tracing::warn!(%region, why, "changes are withheld from a region");
        }
        // No answer waits for it any more.
        self.heard.send_modify(|_| {});
        RegistryAnswer::Refused(why)
    }

    /// A region's question for changes is answered.
    pub(crate) fn withholds_no_more(&self, region: &RegionId) {
        self.withheld.end(region);
    }

    /// Why changes are withheld from a region.
    pub fn withheld(&self, region: &str) -> Option<String> {
        self.withheld.why(region)
    }

    /// How many questions for changes were refused since the last that was answered, of each region
    /// from which they are withheld.
    pub fn withheld_questions(&self) -> Vec<(String, u64)> {
        let all = self.withheld.0.lock();
        let now = all.iter().filter(|(_, one)| one.why.is_some());
        now.map(|(region, one)| (region.clone(), one.refused))
            .collect()
    }

    /// Why a region is not given what it asks for, while changes are withheld from it: keys, and
    /// buckets of which it would not learn.
    pub(crate) fn refuses_withheld(&self, from: &RegionId, ask: &Ask) -> Option<String> {
        let gives = matches!(
            ask,
            Ask::Keys { .. }
                | Ask::Roles { .. }
                | Ask::TokenKeys
                | Ask::Introduce(_)
                | Ask::CreateDeed(_)
        );
        gives.then(|| self.withheld(from)).flatten()
    }
}
