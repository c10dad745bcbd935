//! Replication between regions: the receiver pulls. It waits at the source for changes of each
//! bucket that both hold, fetches bytes, and has `objects` apply them.
//!
//! Invariants: no rule of versions here, they are all in `objects`; both sides ask `access`, with
//! the deed that each knows itself; a cursor moves only once what it covers is applied; what a
//! peer sends is read strictly and never trusted with a place.

mod ahead;
mod answers;
mod aside;
mod behind;
mod body;
mod bounds;
mod client;
mod configuration;
mod error;
mod follow;
mod frames;
mod gate;
mod gather;
mod handover;
mod leases;
mod manager;
mod places;
mod promises;
mod removal;
mod removals;
mod renewal;
mod repair;
mod rules;
mod rules_far;
mod said;
mod seal_source;
mod seats;
mod silence;
mod source;
mod status;
mod takeover;
mod transport;
mod wire;
mod words;
mod yielding;

pub use behind::Behind;
pub use client::Far;
pub use error::ReplicationError;
pub use leases::FarLeases;
pub use manager::{Divergence, MayRemove, Regions, Replication};
pub use promises::{
    PROMISE_ASK_BYTES_MAX, PROMISE_PATH, Pause, PromiseAsk, Promised, Promises, RenewalShown,
};
pub use repair::{Repair, Repairs};
pub use rules::{RuleShown, Shipping};
pub use rules_far::ask_destination;
pub use said::Said;
pub use source::Source;
pub use status::{Following, ReplicaState, ReplicaStatus, Status};
pub use transport::Transport;
pub use wire::{ASK_BYTES_MAX, Ask, LEASE_MAX, PATH, Uploads, Usage, What, Yielded};
pub use words::OnWordOf;
