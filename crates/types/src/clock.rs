//! Time as an argument: whoever needs the time takes a `Clock`, so tests and the simulator own it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Timestamp;

/// Gives the wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// Now, to the millisecond. May step backwards when the machine's clock does.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that reads the machine's clock
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_ms(since.as_millis() as u64)
    }
}

/// The machine's clock, set wrong on purpose: for drills.
#[derive(Debug, Clone, Copy)]
pub struct ShiftedClock {
    /// Milliseconds ahead of the machine's clock; behind it when negative.
    pub ahead_ms: i64,
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(SystemClock.now().ms().saturating_add_signed(self.ahead_ms))
    }
}

/// A clock that a test sets by hand.
#[derive(Debug, Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    /// A clock that shows `ms` after the epoch.
    pub fn at_ms(ms: u64) -> Self {
        Self(AtomicU64::new(ms))
    }
    /// Moves the clock forward by `ms`.
    pub fn advance_ms(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
    /// Sets the clock, backwards too.
    pub fn set_ms(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::SeqCst))
    }
}
