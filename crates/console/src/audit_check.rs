//! Verifying the audit log, as `dhow audit verify` does: reads all of it, by requests to the admin
//! API of whoever asked, computes every hash anew, and compares the last one, and the map of
//! buckets, with what the registry's region has signed. One at a time in a region.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use http::Method;
use parking_lot::Mutex;
use proof::{Checkpoint, Entry, Hash, Head, LogCheck};
use serde_json::Value;

use crate::{
    Console,
    call::Call,
    fault::Fault,
    jobs::run::{Origin, patiently},
    words::ENGLISH,
};

/// How one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every entry follows on the one before, and the last one is signed.
    Good(Head, Box<Checkpoint>),
    /// The log is not what was signed; why, in English.
    Wrong(String),
    /// It could not be read to its end; why, in English.
    Broken(String),
}

/// One verification.
#[derive(Debug)]
pub struct Check {
    /// Entries that there are to read.
    pub entries: u64,
    read: AtomicU64,
    ended: Mutex<Option<(Outcome, u64)>>,
}

impl Check {
    /// Entries that were read.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// How it ended, and when; `None` while it goes on.
    pub fn ended(&self) -> Option<(Outcome, u64)> {
        self.ended.lock().clone()
    }
}

/// The last verification in this region.
#[derive(Default)]
pub struct Checks(Mutex<Option<Arc<Check>>>);

impl Checks {
    /// The last one.
    pub fn last(&self) -> Option<Arc<Check>> {
        self.0.lock().clone()
    }

    /// A new one, unless one goes on.
    fn begin(&self, entries: u64) -> Option<Arc<Check>> {
        let mut last = self.0.lock();
        if last.as_ref().is_some_and(|last| last.ended().is_none()) {
            return None;
        }
        let check = Arc::new(Check {
            entries,
            read: AtomicU64::new(0),
            ended: Mutex::default(),
        });
        *last = Some(Arc::clone(&check));
        Some(check)
    }
}

/// What was signed, and what the map is computed with.
struct Signed {
    checkpoint: Checkpoint,
    map_key: Option<Hash>,
}

async fn signed(call: &Call<'_>) -> Result<Signed, Fault> {
    let checkpoint = call.admin(&Method::GET, "audit/checkpoint", None).await?;
    let checkpoint: Option<Checkpoint> = serde_json::from_value(checkpoint)
        .map_err(|error| Fault::Failed(format!("the checkpoint cannot be read: {error}")))?;
    let checkpoint = checkpoint.ok_or_else(|| Fault::Missing(call.t("The log is empty.")))?;
    let map_key = match checkpoint.map {
        Some(_) => {
            let answer = call.admin(&Method::GET, "audit/map-key", None).await?;
            let key = answer.get("key").and_then(Value::as_str);
            let none = || Fault::Failed("the cloud names no key of the map".into());
            Some(key.and_then(Hash::parse).ok_or_else(none)?)
        }
        None => None,
    };
    Ok(Signed {
        checkpoint,
        map_key,
    })
}

/// Begins one, which goes on when the page is left. Where one goes on already, nothing is begun.
pub async fn begin(call: &Call<'_>) -> Result<(), Fault> {
    let signed = signed(call).await?;
    let gone = || Fault::Failed("the console is stopping".into());
    let console = call.console.own.upgrade().ok_or_else(gone)?;
    let origin = Origin {
        words: ENGLISH,
        ..Origin::of(call)?
    };
    let entries = signed.checkpoint.head.number.saturating_add(1);
    if let Some(check) = console.audit_checks.begin(entries) {
        let id = call.id.to_owned();
        tokio::spawn(async move { run(&console, (&origin, &id), signed, &check).await });
    }
    Ok(())
}

async fn run(console: &Console, (origin, id): (&Origin, &str), signed: Signed, check: &Check) {
    let call = origin.call(console, id);
    let outcome = match read(&call, signed, check).await {
        Ok(outcome) | Err(outcome) => outcome,
    };
    if !matches!(outcome, Outcome::Good(..)) {
        tracing::warn!(request_id = id, ?outcome, "the audit log was not verified");
    }
    *check.ended.lock() = Some((outcome, console.clock.now().ms()));
}

/// Reads the log up to the entry that was signed.
async fn read(call: &Call<'_>, signed: Signed, check: &Check) -> Result<Outcome, Outcome> {
    let Signed {
        checkpoint,
        map_key,
    } = signed;
    let broken = |fault: Fault| Outcome::Broken(call.why(&fault));
    let mut log = LogCheck::new(None, map_key);
    while check.read() < check.entries {
        let goes_on = call.caller.is_some_and(|caller| call.console.is_of(caller));
        if !goes_on {
            return Err(Outcome::Broken(call.t(KEY_ENDED).into_owned()));
        }
        let path = format!("audit?from={}", check.read());
        let page = patiently(|| call.admin(&Method::GET, &path, None));
        let page = page.await.map_err(broken)?;
        let before = check.read();
        take(&mut log, page, check)?;
        // The log ends early: the signature is not on its last entry.
        if check.read() == before {
            break;
        }
        tokio::task::yield_now().await;
    }
    // The map of many buckets takes a while.
    let ended = tokio::task::spawn_blocking(move || end(log, checkpoint)).await;
    Ok(ended.unwrap_or_else(|error| Outcome::Broken(error.to_string())))
}

const KEY_ENDED: &str = "The access key that began it is disabled, or opens nothing any more.";

/// Takes a page of entries, up to the last that is to be read.
fn take(log: &mut LogCheck, page: Value, check: &Check) -> Result<(), Outcome> {
    let Value::Array(page) = page else {
        return Err(Outcome::Broken("the log cannot be read".into()));
    };
    for mut change in page {
        let next = check.read();
        if next >= check.entries {
            break;
        }
        let entry = change.get_mut("entry").map(Value::take).unwrap_or_default();
        let entry: Entry = serde_json::from_value(entry)
            .map_err(|error| Outcome::Wrong(format!("entry {next} cannot be read: {error}")))?;
        let pushed = log.push(&entry);
        if !types::planted("console-audit-unread") {
            pushed.map_err(|error| Outcome::Wrong(error.to_string()))?;
        }
        check.read.store(next + 1, Relaxed);
    }
    Ok(())
}

fn end(log: LogCheck, checkpoint: Checkpoint) -> Outcome {
    match log.end(&checkpoint) {
        Err(error) => Outcome::Wrong(error.to_string()),
        Ok(_) if !checkpoint.verify() => {
            Outcome::Wrong("the signature on the log's last entry is wrong".into())
        }
        Ok(head) => Outcome::Good(head, Box::new(checkpoint)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::Timestamp;

    use super::*;

    fn log() -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        for n in 0..5_u64 {
            let (at, detail) = (Timestamp::from_s(n), json!({ "n": n }));
            let next = Entry::next(all.last(), at, "key K", "bucket.create", "b", &detail);
            all.push(next.unwrap());
        }
        all
    }

    fn check(entries: u64) -> Arc<Check> {
        Checks::default().begin(entries).unwrap()
    }

    /// What comes of reading these, of which so many were signed.
    fn taken(entries: &[Entry], signed: u64) -> Result<u64, Outcome> {
        let (mut log, check) = (LogCheck::new(None, None), check(signed));
        let page = entries
            .iter()
            .map(|entry| json!({ "entry": entry, "rows": [] }));
        take(&mut log, page.collect(), &check)?;
        Ok(check.read())
    }

    #[test]
    fn a_log_that_was_changed_is_found() {
        let good = log();
        assert_eq!(taken(&good, 5), Ok(5));
        // What came after the signature is not looked at.
        assert_eq!(taken(&good, 3), Ok(3));
        let mut changed = good.clone();
        changed[2].detail = r#"{"n":7}"#.to_owned();
        let mut forged = good.clone();
        forged[2].actor = "key L".to_owned();
        forged[2].hash = forged[2].computed_hash();
        let mut cut = good.clone();
        cut.remove(1);
        let mut moved = good;
        moved.swap(1, 2);
        for (bad, says) in [
            (changed, "entry 2 was changed"),
            (forged, "entry 3 does not follow"),
            (cut, "entry 1 is missing"),
            (moved, "entry 1 is missing"),
        ] {
            match taken(&bad, 5) {
                Err(Outcome::Wrong(why)) => assert!(why.contains(says), "{why}"),
                other => panic!("{says}: {other:?}"),
            }
        }
    }

    #[test]
    fn one_goes_on_at_a_time() {
        let all = Checks::default();
        let first = all.begin(1).unwrap();
        assert!(all.begin(1).is_none() && all.last().unwrap().ended().is_none());
        *first.ended.lock() = Some((Outcome::Wrong("x".into()), 1));
        assert!(all.begin(1).is_some());
    }
}
