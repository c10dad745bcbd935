//! Replication: what a region hands to another of a bucket that both hold, and how it takes over
//! what another hands to it. The transport is somebody else's; every rule of versions is here.
//!
//! The source reads its change log and answers with versions as they are now: a follower that has
//! applied all entries up to a position has what the source had then. The destination keeps each
//! version's own id, so that applying a change twice changes nothing and the order in which
//! versions arrive does not matter.

mod apply;
mod cursor;
mod discard;
mod export;
mod holdings;
mod present;
mod removals;
#[cfg(test)]
mod tests;

pub(crate) use apply::Resuming;
pub(crate) use export::{key_of, ship};

pub use apply::{Applied, BodySource};
pub use export::{Census, ChangePage, SnapshotPage, VersionName};
pub use holdings::CountedTo;
pub use removals::{Logged, Removals, RemovalsPage, Removed};

/// How far ahead of the local clock a version may be, in milliseconds, to be taken over. A region
/// whose clock runs ahead must not bury what others write.
pub const AHEAD_MAX_MS: u64 = 600_000;
