//! A cloud of several regions in one thread, on simulated time, network and disk.
//!
//! It runs the real code of `objects` and `replication`. What they meet the outside world by comes
//! in as an argument, and here from a seed: the clock of each region, random numbers, the engine
//! (which may stop between a commit and its answer), the way to other regions (which delays, loses
//! and cuts). Tokio's time stands still while anything can run and jumps when nothing can, so a
//! minute takes milliseconds, and the same seed is the same run to the last event.
//!
//! Clients put, replace, delete, tag and read; regions crash, are cut off, have wrong clocks, get
//! and lose replicas, and lose their homes; in scenarios of their own, folders are put back to an
//! older state, emptied, or started twice, and a region sends versions years ahead of their time.
//! The checks know nothing of how any of it works: they compare what clients were answered with
//! what all regions hold in the end, and watch what leaves which region when.
//!
//! Invariant: for tests only; nothing ships with it.

mod checks;
mod clients;
mod disk;
mod leases;
mod net;
mod poison;
mod registry;
mod starts;
mod trace;
mod world;

pub use world::{Outcome, Scenario, run};
