//! Sign-ins for the audit log, and what else happens in the console alone: sessions that end, links
//! that are shared, files that are saved. The log is kept for good and read by all regions, so it
//! gets one entry for all sign-ins of some seconds, with networks instead of addresses; whoever
//! fails is counted, and failures alone make an entry now and then. So nobody floods it by signing
//! in.

use std::{collections::BTreeMap, net::IpAddr, sync::Weak, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use types::{AccessKeyId, AccountId};

use crate::{Console, brakes, call::Caller};

/// Between two entries, if somebody signed in.
const EVERY: Duration = Duration::from_secs(10);
/// The same, if somebody was refused and nobody signed in; and how long the first failure waits.
const REFUSED_EVERY: Duration = Duration::from_secs(600);
const REFUSED_WAIT: Duration = Duration::from_secs(60);
/// How long the last entry may take when the process ends.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// Sign-ins of one entry that are named, and networks whose failures are counted one by one.
const NAMED_MAX: usize = 50;
const NETWORKS_MAX: usize = 20;
/// Other events of one entry that are named.
const EVENTS_MAX: usize = 25;
/// Between two entries, if there are only such.
const EVENTS_EVERY: Duration = Duration::from_secs(60);

/// How somebody signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// With the secret of a key.
    Key,
    /// By a link of the command line.
    Link,
    /// At an identity provider.
    Oidc,
}

impl How {
    const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Link => "link",
            Self::Oidc => "oidc",
        }
    }
}

/// What is not on record yet.
#[derive(Default)]
struct Noted {
    came: Vec<Value>,
    more: u64,
    refused: u64,
    from: BTreeMap<String, u64>,
    events: Vec<Value>,
    more_events: u64,
}

#[derive(Default)]
struct State {
    noted: Noted,
    /// When the last entry was made.
    last: Option<Instant>,
    /// When the next one is to be made.
    due: Option<Instant>,
}

/// Sign-ins that are to be put on record.
#[derive(Default)]
pub struct SignIns(Mutex<State>);

impl SignIns {
    fn came(&self, one: Value, now: Instant) -> Option<Instant> {
        let mut state = self.0.lock();
        match state.noted.came.len() < NAMED_MAX {
            true => state.noted.came.push(one),
            false => state.noted.more += 1,
        }
        let due = state.last.map_or(now, |last| now.max(last + EVERY));
        state.wait_until(due)
    }

    fn happened(&self, one: Value, now: Instant) -> Option<Instant> {
        let mut state = self.0.lock();
        state.noted.add_event(one);
        let due = state.last.map_or(now, |last| now.max(last + EVENTS_EVERY));
        state.wait_until(due)
    }

    fn refused(&self, network: String, now: Instant) -> Option<Instant> {
        let mut state = self.0.lock();
        let noted = &mut state.noted;
        noted.refused += 1;
        if noted.from.len() < NETWORKS_MAX || noted.from.contains_key(&network) {
            *noted.from.entry(network).or_default() += 1;
        }
        let first = now + REFUSED_WAIT;
        let due = state
            .last
            .map_or(first, |last| first.max(last + REFUSED_EVERY));
        state.wait_until(due)
    }

    /// What is to be put on record now, if anything is.
    fn take(&self, now: Instant) -> Option<Noted> {
        let mut state = self.0.lock();
        if state.due.is_none_or(|due| due > now) {
            return None;
        }
        state.due = None;
        state.last = Some(now);
        Some(std::mem::take(&mut state.noted))
    }

    /// What is not on record yet, due or not.
    fn rest(&self) -> Option<Noted> {
        let mut state = self.0.lock();
        state.due.take()?;
        Some(std::mem::take(&mut state.noted))
    }

    /// What could not be put on record is so later.
    fn again(&self, noted: Noted, now: Instant) -> Option<Instant> {
        let mut state = self.0.lock();
        let later = std::mem::replace(&mut state.noted, noted);
        let all = &mut state.noted;
        all.more += later.more;
        for one in later.came {
            match all.came.len() < NAMED_MAX {
                true => all.came.push(one),
                false => all.more += 1,
            }
        }
        all.refused += later.refused;
        all.more_events += later.more_events;
        for one in later.events {
            all.add_event(one);
        }
        for (network, count) in later.from {
            if all.from.len() < NETWORKS_MAX || all.from.contains_key(&network) {
                *all.from.entry(network).or_default() += count;
            }
        }
        state.wait_until(now + REFUSED_WAIT)
    }
}

impl State {
    /// Notes that an entry is due then; `None` if one is due before.
    fn wait_until(&mut self, due: Instant) -> Option<Instant> {
        if self.due.is_some_and(|known| known <= due) {
            return None;
        }
        self.due = Some(due);
        Some(due)
    }
}

impl Noted {
    fn add_event(&mut self, one: Value) {
        match self.events.len() < EVENTS_MAX {
            true => self.events.push(one),
            false => self.more_events += 1,
        }
    }

    fn detail(&self) -> Value {
        json!({
            "signed_in": self.came,
            "more": self.more,
            "refused": self.refused,
            "refused_from": self.from,
            "events": self.events,
            "more_events": self.more_events,
        })
    }
}

impl Console {
    /// Notes that somebody signed in. Nothing names a role: all regions read the log, and not all
    /// may know which roles an account has.
    pub(crate) fn note_sign_in(
        &self,
        how: How,
        (key, account): (&AccessKeyId, &AccountId),
        from: IpAddr,
    ) {
        let one = json!({
            "at": self.clock.now().iso8601_seconds(),
            "how": how.name(),
            "account": &**account,
            "key": &**key,
            "network": brakes::network_text(from),
        });
        self.put_on_record(self.sign_ins.came(one, Instant::now()));
    }

    /// Notes what somebody did in the console alone: `about` says to what, and never names an
    /// object.
    pub(crate) fn note_event(&self, what: &'static str, caller: &Caller, about: Value) {
        let one = json!({
            "at": self.clock.now().iso8601_seconds(),
            "what": what,
            "account": &*caller.account.id,
            "key": &*caller.key,
            "about": about,
        });
        self.put_on_record(self.sign_ins.happened(one, Instant::now()));
    }

    /// Notes that somebody was refused.
    pub(crate) fn note_refusal(&self, from: IpAddr) {
        let network = brakes::network_text(from);
        self.put_on_record(self.sign_ins.refused(network, Instant::now()));
    }

    /// Puts on record what waits for it, before the process ends.
    pub async fn put_rest_on_record(&self) {
        let registry = self.backend.registry();
        let Some(noted) = self.sign_ins.rest().filter(|_| registry.keeps()) else {
            return;
        };
        let put = tokio::time::timeout(LAST_WAIT, registry.note_sign_ins(noted.detail()));
        match put.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last sign-ins are not in the audit log"),
            Err(_) => tracing::warn!("the last sign-ins did not come into the audit log in time"),
        }
    }

    fn put_on_record(&self, due: Option<Instant>) {
        // Only the region that keeps the registry adds to its log.
        if let Some(due) = due.filter(|_| self.backend.registry().keeps()) {
            tokio::spawn(record(self.own.clone(), due));
        }
    }
}

async fn record(console: Weak<Console>, due: Instant) {
    tokio::time::sleep_until(due).await;
    let Some(console) = console.upgrade() else {
        return;
    };
    let Some(noted) = console.sign_ins.take(Instant::now()) else {
        return;
    };
    let registry = console.backend.registry();
    if let Err(error) = registry.note_sign_ins(noted.detail()).await {
        tracing::warn!(%error, "sign-ins are not in the audit log yet");
        let mut noted = noted;
        if matches!(error, cloud::CloudError::Invalid(_)) {
            // It would be refused again, and with it all that comes later.
            noted.more += noted.came.len() as u64;
            noted.came.clear();
            noted.more_events += noted.events.len() as u64;
            noted.events.clear();
        }
        let due = console.sign_ins.again(noted, Instant::now());
        console.put_on_record(due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sign_ins_and_failures_make_few_entries() {
        let all = SignIns::default();
        let at = |s: u64| Instant::now() + Duration::from_secs(s);
        assert_eq!(all.came(json!(1), at(0)), Some(at(0)));
        assert_eq!(all.take(at(0)).unwrap().came.len(), 1);
        // The next ones wait together.
        assert_eq!(all.came(json!(2), at(1)), Some(at(10)));
        for n in 0..1000 {
            assert_eq!(all.came(json!(n), at(2)), None);
        }
        assert!(all.take(at(9)).is_none());
        let noted = all.take(at(10)).unwrap();
        assert_eq!((noted.came.len(), noted.more), (NAMED_MAX, 951));
        // Failures alone wait for long, and go with whoever signs in.
        assert_eq!(all.refused("a".into(), at(11)), Some(at(610)));
        for n in 0..1000 {
            assert_eq!(all.refused(n.to_string(), at(12)), None);
        }
        assert_eq!(all.came(json!(3), at(30)), Some(at(30)));
        let noted = all.take(at(30)).unwrap();
        assert_eq!((noted.refused, noted.from.len()), (1001, NETWORKS_MAX));
        assert!(noted.detail().to_string().len() < 16 << 10);
        assert_eq!(all.again(noted, at(30)), Some(at(90)));
        assert_eq!(all.take(at(90)).unwrap().refused, 1001);
        // Other events wait longer, and go with whoever signs in.
        assert_eq!(all.happened(json!(1), at(91)), Some(at(150)));
        for n in 0..100 {
            assert_eq!(all.happened(json!(n), at(92)), None);
        }
        assert_eq!(all.came(json!(4), at(101)), Some(at(101)));
        let noted = all.take(at(101)).unwrap();
        assert_eq!((noted.events.len(), noted.more_events), (EVENTS_MAX, 76));
        assert_eq!(all.again(noted, at(101)), Some(at(161)));
        assert_eq!(all.take(at(161)).unwrap().more_events, 76);
        // At the end nothing waits.
        assert!(all.rest().is_none());
        all.refused("a".into(), at(162));
        assert_eq!(all.rest().unwrap().refused, 1);
        assert!(all.rest().is_none() && all.take(at(10_000)).is_none());
    }
}
