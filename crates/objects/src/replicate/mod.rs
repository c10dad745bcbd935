//! Replication: what a region hands to another of a bucket that both hold, and how it takes over
//! what another hands to it. The transport is somebody else's; every rule of versions is here.
//!
//! The source reads its change log and answers with versions as they are now: a follower that has
//! applied all entries up to a position has what the source had then. The destination keeps each
//! version's own id, so that applying a change twice changes nothing and the order in which
//! versions arrive does not matter.

mod apply;
mod aside;
mod configuration;
mod cursor;
mod discard;
mod export;
mod holdings;
mod present;
mod removals;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use apply::Resuming;
pub(crate) use aside::Asides;
pub(crate) use export::{key_of, ship};
pub(crate) use words::Unreported;

pub use apply::{Applied, BodySource};
pub use aside::SetAside;
pub use export::{Census, ChangePage, SnapshotPage, VersionName};
pub use holdings::CountedTo;
pub use removals::{Logged, Removals, RemovalsPage, Removed};
pub use words::{OnWord, Report, Word, Words};

/// How far ahead of the local clock a version may be, in milliseconds, to be taken over by a home;
/// by a replica from its home twice that. Honest clocks are two seconds off at most, or their
/// regions refuse writes. A region whose clock runs further ahead must not hide what others write:
/// what it wrote is taken over when its time has come.
pub const AHEAD_MAX_MS: u64 = 60_000;
