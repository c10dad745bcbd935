//! Who asks, and whether they may: signatures, keys, and the decision that yields a [`Permit`].
//!
//! Invariants: pure functions on fetched facts; no store, no body bytes beyond chunk signatures,
//! and the default is to refuse.

pub mod acl;
pub mod actions;
mod ask;
mod bucket_access;
mod conditions;
pub mod grants;
mod guard;
mod header;
mod identity;
mod initiator;
mod keys;
mod permit;
mod placement;
pub mod policy;
mod refusal;
mod relation;
mod replays;
mod request_facts;
mod session;
pub mod sign;
pub mod signature;
mod user;
mod who;

pub use acl::{AccessList, Grant, Grantee, NewBuckets, Ownership, Permission};
pub use actions::Action;
pub use ask::{Ask, Context, Facts, Resource};
pub use bucket_access::{BucketAccess, PublicAccessBlock, refusal_by_block, refusal_sentence};
pub use guard::GuardPolicy;
pub use header::first_header;
pub use identity::{CallerKind, Identity};
pub use initiator::Initiator;
pub use keys::{NoOldKey, OldSigner, SigningKey, SigningKeys, VerifyingKey};
pub use permit::{
    Counting, Explained, Permit, SystemReason, authorize, authorize_counting, authorize_opening,
    authorize_receiving, authorize_receiving_sealed, authorize_rule_receiving,
    authorize_rule_sending, authorize_sealing, authorize_sending, authorize_system, explain,
    may_by_documents, needs_initiator, needs_list,
};
pub use placement::{
    Proof, Via, is_trusted, may_copy, may_hand_over_rules, may_name, may_pass, may_relay,
    may_set_grants,
};
pub use refusal::{Denied, Refusal};
pub use relation::{is_account, is_expected_owner, is_of_another, is_owner, may_replace};
pub use replays::{Replayed, Replays};
pub use request_facts::{FACTS_BYTES_MAX, RequestFacts, Transport, UnreadableFacts};
pub use session::{Role, Session, SessionOf, SessionPolicies, SessionToken, TokenFault};
pub use signature::{AuthType, PayloadMode, SignatureError};
pub use user::{Policies, User, arn_of_user};
pub use who::Who;
