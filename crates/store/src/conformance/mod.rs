//! What every engine must do: one suite, passed by each engine and each wrapper around one.
//!
//! A check panics when the engine breaks a rule. [`conformance_suite!`](crate::conformance_suite)
//! makes one test of each check, on an engine of its own:
//!
//! ```ignore
//! store::conformance_suite!(memory, InMemory);
//! ```

pub mod blobs;
pub mod histories;
pub mod log;
pub mod rows;
pub mod upkeep;

use async_trait::async_trait;

use crate::Engine;

/// Where the suite gets its engines from. One value serves one check.
#[async_trait]
pub trait Subject: Send + Sync {
    /// A new, empty engine.
    async fn open(&self) -> Engine;

    /// The same engine again after it was closed; `None` when it keeps nothing.
    async fn reopen(&self, engine: Engine) -> Option<Engine>;
}

/// A repeatable sequence of numbers (an xorshift), for the checks that draw lots.
pub(crate) struct Lots(pub(crate) u64);

impl Lots {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Makes a module `$name` of tests, one of each check, on the engines of `$subject` (an expression
/// that is evaluated for each test).
#[macro_export]
macro_rules! conformance_suite {
    ($name:ident, $subject:expr) => {
        $crate::conformance_suite!(@ $name, $subject,
            rows: reads_what_was_written, keeps_payloads_apart, tells_empty_from_none,
                takes_any_bytes_as_key, scans_in_order, scans_ranges, scans_to_the_last_key,
                keeps_partitions_apart, guards_hold_or_nothing_lands, guards_see_their_own_row,
                versions_only_rise, refuses_what_breaks_the_limits, takes_large_batches,
                takes_an_empty_batch, deletes_what_is_not_there;
            histories: has_one_winner_per_guard, counts_without_losing,
                reads_its_writes_under_load, survives_reopening, agrees_with_a_model;
            log: logs_in_commit_order, pages_whole_commits, goes_on_after_a_trim,
                logs_nothing_of_refused_batches;
            blobs: returns_what_was_written, reads_at_any_offset, reads_after_delete,
                knows_no_blob_that_was_deleted, leaves_nothing_when_dropped, lists_in_order,
                writes_many_at_once, keeps_blobs_over_reopening, refuses_a_false_reference;
        );
    };
    (@ $name:ident, $subject:expr, $($module:ident: $($check:ident),+;)+) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    $crate::conformance::$module::$check(&$subject).await;
                }
            )+)+
        }
    };
}
