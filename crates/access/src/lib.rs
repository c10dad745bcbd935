//! Who asks, and whether they may: signatures, keys, and the decision that yields a [`Permit`].
//!
//! Invariants: pure functions on fetched facts; no store, no body bytes beyond chunk signatures,
//! and the default is to refuse.

mod keys;
mod permit;
mod placement;
mod replays;
pub mod sign;
pub mod signature;

pub use keys::{SigningKey, SigningKeys};
pub use permit::{
    Action, CallerKind, Counting, Identity, Permit, Refusal, SystemReason, authorize,
    authorize_counting, authorize_opening, authorize_receiving, authorize_receiving_sealed,
    authorize_rule_receiving, authorize_rule_sending, authorize_sealing, authorize_sending,
    authorize_system,
};
pub use placement::{
    Proof, Via, is_trusted, may_copy, may_decide, may_hand_over_rules, may_pass, may_relay,
};
pub use replays::{Replayed, Replays};
pub use signature::{AuthType, PayloadMode, SignatureError};
