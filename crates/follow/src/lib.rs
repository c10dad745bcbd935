//! One runner for all that follows a change log: it reads the cursor, steps, waits, and pauses
//! after a fault.
//!
//! Invariants: it keeps nothing, so the follower's own rows are the only source of truth; after a
//! fault the cursor is read anew; it ends when its task is dropped, at any point.

mod backoff;
mod run;
mod task;
mod tries;

pub use backoff::Backoff;
pub use run::{Follow, Step, run};
pub use task::Task;
pub use tries::Tries;
