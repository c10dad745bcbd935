use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;

/// Syncs that fail, for the tests.
#[derive(Default)]
pub(super) struct Faults {
    failing_syncs: AtomicU32,
}

impl Faults {
    pub(super) fn on_sync(&self) -> Result<(), Errno> {
        let fails = self
            .failing_syncs
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if fails.is_ok() {
            Err(Errno::IO)
        } else {
            Ok(())
        }
    }
}
