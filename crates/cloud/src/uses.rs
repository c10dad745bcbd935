//! When access keys were last used. Each region notes it of requests whose signatures it has
//! verified; the others report what they noted to the one that keeps the registry, which answers.
//!
//! It is no record: nothing is decided by it, and no entry of the audit log is made. Of each key at
//! most one use in [`PERIOD_MS`] is noted, and what is noted is reported together, so neither the
//! path of a request nor the registry has much to do. What is lost with a crash or while the
//! registry is away is one of many uses. What a region says counts as what that region says, and
//! only of keys that the region was given: unasked, or since it showed a signature of theirs.

use std::{
    collections::{BTreeMap, HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use access::signature::Service;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use types::{AccessKeyId, RegionId, Timestamp};

use crate::{Ask, CloudError, Registry, RegistryAnswer, introduce::Served, registry::Keeper};

/// Of each key and service one use is noted in this time.
const PERIOD_MS: u64 = 5 * 60_000;
/// Keys of which it is known without a lock that they were noted lately.
const LATELY: usize = 4096;
/// Keys that wait to be reported. What comes beyond that is noted in the next period.
const WAITING_MAX: usize = 20_000;
/// Keys in one report.
const REPORT_MAX: usize = 1000;
/// What was noted is collected for so long before it is reported.
const COLLECT: Duration = Duration::from_secs(3);
/// After a report that was not taken.
const PAUSE: Duration = Duration::from_secs(60);
/// Keys of which it is remembered that a region was given them since it showed a signature. Of
/// what comes beyond that the region's reports do not count.
const SHOWN_MAX: usize = 20_000;
/// How long that is remembered: longer than the region can verify signatures with what it got.
const SHOWN_MS: u64 = 12 * 86_400_000;
/// The format of the file.
const FORMAT: u32 = 1;

/// The last use of an access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUse {
    /// When, in milliseconds since the epoch; to within five minutes.
    pub at_ms: u64,
    /// The region that verified the signature.
    pub region: String,
    /// The service that the signature was for.
    pub service: String,
}

/// A use as a region reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedUse {
    pub(crate) key: String,
    pub(crate) at_ms: u64,
    pub(crate) service: String,
}

/// What is kept over a restart of the registry's region.
#[derive(Serialize, Deserialize)]
struct File {
    v: u32,
    uses: BTreeMap<String, KeyUse>,
    /// By region, the keys whose signature it has shown, and when it did last.
    #[serde(default)]
    shown: Shown,
}

type Shown = BTreeMap<String, BTreeMap<String, u64>>;

/// What is known of uses.
pub(crate) struct Uses {
    hash: RandomState,
    /// What was noted last, one number for key, service and period.
    lately: Box<[AtomicU64]>,
    /// To be reported: time and service, by key.
    waiting: Mutex<HashMap<String, (u64, Service)>>,
    news: Notify,
    /// Where the registry is kept.
    known: Mutex<HashMap<String, KeyUse>>,
    /// The same: which regions have shown signatures of which keys.
    shown: Mutex<Shown>,
    changed: AtomicBool,
}

impl Default for Uses {
    fn default() -> Self {
        Self {
            hash: RandomState::new(),
            lately: (0..LATELY).map(|_| AtomicU64::new(0)).collect(),
            waiting: Mutex::default(),
            news: Notify::new(),
            known: Mutex::default(),
            shown: Mutex::default(),
            changed: AtomicBool::new(false),
        }
    }
}

impl Uses {
    /// Whether this is the first use in its period, as far as is known without a lock.
    fn is_first(&self, key: &str, service: Service, at_ms: u64) -> bool {
        let hash = self.hash.hash_one((key, service.name()));
        let slot = usize::try_from(hash % LATELY as u64).unwrap_or(0);
        let noted = hash ^ (at_ms / PERIOD_MS);
        let before = self
            .lately
            .get(slot)
            .map(|l| l.swap(noted, Ordering::Relaxed));
        before != Some(noted)
    }

    fn know(&self, key: &str, new: KeyUse) {
        let mut known = self.known.lock();
        if known.get(key).is_none_or(|old| old.at_ms < new.at_ms) {
            known.insert(key.to_owned(), new);
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// Remembers that a region was given a key since it showed a signature of it.
    pub(crate) fn was_shown(&self, region: &RegionId, key: &str, now_ms: u64) {
        let mut shown = self.shown.lock();
        let of_region = shown.entry(region.to_string()).or_default();
        if of_region.len() >= SHOWN_MAX && !of_region.contains_key(key) {
            of_region.retain(|_, at| now_ms < at.saturating_add(SHOWN_MS));
        }
        if of_region.len() < SHOWN_MAX || of_region.contains_key(key) {
            of_region.insert(key.to_owned(), now_ms);
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    fn has_shown(&self, region: &RegionId, key: &str, now_ms: u64) -> bool {
        let shown = self.shown.lock();
        let at = shown.get(&**region).and_then(|keys| keys.get(key));
        at.is_some_and(|at| now_ms < at.saturating_add(SHOWN_MS))
    }

    /// Takes what waits, at most as much as one report has.
    fn take(&self) -> Vec<ReportedUse> {
        let mut waiting = self.waiting.lock();
        let keys: Vec<String> = waiting.keys().take(REPORT_MAX).cloned().collect();
        let told = keys.into_iter().filter_map(|key| {
            let (at_ms, service) = waiting.remove(&key)?;
            Some(ReportedUse {
                key,
                at_ms,
                service: service.name().to_owned(),
            })
        });
        told.collect()
    }

    fn wait(&self, key: &str, at_ms: u64, service: Service) {
        let mut waiting = self.waiting.lock();
        let full = waiting.len() >= WAITING_MAX;
        match waiting.get_mut(key) {
            Some(noted) if noted.0 < at_ms => *noted = (at_ms, service),
            Some(_) => {}
            None if full => {}
            None => drop(waiting.insert(key.to_owned(), (at_ms, service))),
        }
    }
}

impl Registry {
    pub(crate) fn note(&self, key: &str, service: Service, at: Timestamp) {
        if !self.uses.is_first(key, service, at.ms()) {
            return;
        }
        match self.keeps() {
            true => {
                let new = KeyUse {
                    at_ms: at.ms(),
                    region: self.own().to_owned(),
                    service: service.name().to_owned(),
                };
                self.uses.know(key, new);
            }
            false => {
                self.uses.wait(key, at.ms(), service);
                self.uses.news.notify_one();
            }
        }
    }

    /// When a key was last used, as far as the registry's region knows; nothing elsewhere.
    pub fn last_use(&self, key: &AccessKeyId) -> Option<KeyUse> {
        let created = self.key(key)?.created_ms;
        let known = self.uses.known.lock().get(&**key).cloned();
        // What was there before was another key of that id.
        known.filter(|found| found.at_ms >= created)
    }

    /// Reports what is noted here, until the task is dropped. Nothing to do where the registry is
    /// kept.
    pub async fn report_uses(self: Arc<Self>) {
        while !self.keeps() {
            self.uses.news.notified().await;
            tokio::time::sleep(COLLECT).await;
            if let Err(error) = self.report_uses_once().await {
                tracing::debug!(%error, "when keys were used could not be reported");
                tokio::time::sleep(PAUSE).await;
                self.uses.news.notify_one();
            }
        }
    }

    pub(crate) async fn report_uses_once(&self) -> Result<(), CloudError> {
        let Keeper::There(upstream) = &self.keeper else {
            return Ok(());
        };
        loop {
            let uses = self.uses.take();
            if uses.is_empty() {
                return Ok(());
            }
            let told = upstream.ask(Ask::Used { uses: uses.clone() }).await;
            if !matches!(told, Ok(RegistryAnswer::Done)) {
                for told in uses {
                    if let Some(service) = Service::of_name(&told.service) {
                        self.uses.wait(&told.key, told.at_ms, service);
                    }
                }
                return Err(CloudError::Unavailable("the report was not taken".into()));
            }
        }
    }

    /// Takes a region's report: of keys that it was given, and of times between the key's creation
    /// and now. A later use is never replaced by an earlier one.
    pub(crate) fn answer_used(&self, from: &RegionId, uses: Vec<ReportedUse>) -> RegistryAnswer {
        let now = self.clock.now().ms();
        let state = self.state.read();
        let mut served = Served::by(&state, from, self.own());
        for told in uses.into_iter().take(REPORT_MAX) {
            let Some(service) = Service::of_name(&told.service) else {
                continue;
            };
            let Some(key) = state.keys.get(&told.key) else {
                continue;
            };
            let record = &key.record;
            // What was given before the account's guard changed counts no more.
            let may_know = record.user.is_none() || state.may_know_users(&record.account, from);
            let was_given =
                served.has(&record.account) || self.uses.has_shown(from, &told.key, now);
            let counts = may_know && was_given || types::planted("uses-of-strangers");
            if !counts || told.at_ms < record.created_ms {
                continue;
            }
            let new = KeyUse {
                at_ms: told.at_ms.min(now),
                region: from.to_string(),
                service: service.name().to_owned(),
            };
            self.uses.know(&told.key, new);
        }
        RegistryAnswer::Done
    }

    /// What is to be kept of uses over a restart, if there is anything new. Keys that are gone are
    /// dropped.
    pub fn uses_to_keep(&self) -> Option<String> {
        if !self.uses.changed.swap(false, Ordering::Relaxed) {
            return None;
        }
        let state = self.state.read();
        let mut known = self.uses.known.lock();
        known.retain(|key, _| state.keys.contains_key(key));
        let uses = known.iter().map(|(key, one)| (key.clone(), one.clone()));
        let uses = uses.collect();
        drop(known);
        let mut shown = self.uses.shown.lock();
        shown.retain(|region, keys| {
            keys.retain(|key, _| state.keys.contains_key(key));
            state.regions.contains_key(region)
        });
        let file = File {
            v: FORMAT,
            uses,
            shown: shown.clone(),
        };
        drop(shown);
        serde_json::to_string(&file).ok()
    }

    /// Takes what was kept. What cannot be read says nothing.
    pub fn take_kept_uses(&self, text: &str) {
        let Ok(file) = serde_json::from_str::<File>(text) else {
            tracing::warn!("when access keys were last used cannot be read, and is not known");
            return;
        };
        if file.v != FORMAT {
            return;
        }
        let state = self.state.read();
        for (key, one) in file.uses {
            if state.keys.contains_key(&key) {
                self.uses.know(&key, one);
            }
        }
        let mut shown = self.uses.shown.lock();
        for (region, keys) in file.shown {
            let of_region = shown.entry(region).or_default();
            for (key, at) in keys.into_iter().take(SHOWN_MAX) {
                let noted = of_region.entry(key).or_default();
                *noted = at.max(*noted);
            }
        }
    }
}
