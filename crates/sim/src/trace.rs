//! What happened, event by event: a hash that two runs of one seed must share, and the last events
//! for whoever looks into a failure.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Events that are kept to be shown.
const SHOWN: usize = 400;

/// The record of one run.
pub struct Trace {
    start: Instant,
    /// Whether events are printed as they come.
    loud: bool,
    inner: Mutex<(u64, VecDeque<String>)>,
}

impl Trace {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            loud: std::env::var_os("DHOW_SIM_SHOW").is_some(),
            inner: Mutex::default(),
        }
    }

    /// Notes an event.
    pub fn note(&self, event: impl AsRef<str>) {
        let at = self.start.elapsed().as_micros();
        let line = format!("{at:>10} {}", event.as_ref());
        if self.loud {
            println!("{line}");
        }
        let mut inner = self.inner.lock();
        inner.0 = xxh3_64_with_seed(line.as_bytes(), inner.0);
        if inner.1.len() == SHOWN {
            inner.1.pop_front();
        }
        inner.1.push_back(line);
    }

    /// The hash of all events so far.
    pub fn hash(&self) -> u64 {
        self.inner.lock().0
    }

    /// The last events.
    pub fn tail(&self) -> Vec<String> {
        self.inner.lock().1.iter().cloned().collect()
    }
}
