//! Judges what clients saw: was there one order of their operations that explains every answer,
//! was anything acknowledged lost, do all regions hold the same in the end.
//!
//! Ships with the tests, not with the server. Invariant: it knows nothing of how the server works,
//! so that it cannot share the server's mistakes; it judges only recorded calls and answers.

mod budget;
mod explain;
mod history;
mod linearizability;
mod lines;
mod search;
mod session;

pub use budget::Budget;
pub use history::{Kind, Operation, Outcome, Unsound, Value};
pub use linearizability::{Verdict, Why, check};
pub use lines::{LINE_BYTES_MAX, OPERATIONS_MAX, ReadError, read, write};
pub use session::{
    Difference, KeyVersions, Lost, RegionState, Resurrected, converged, lost_acknowledged,
    resurrected,
};
