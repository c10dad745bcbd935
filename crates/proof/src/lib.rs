//! What happened, made provable without trust in whoever keeps the records: the audit log as a
//! hash chain, a map of chains by bucket beside it, Merkle trees over what a region holds, digests
//! that regions sign about a bucket, and the bundle in which all of it is handed to an auditor who
//! checks it offline.
//!
//! Invariants: pure functions, no IO, no clock; private keys stay behind [`Signer`]; whatever is
//! hashed or signed is first put in one unambiguous binary form (see [`encoding`]), so that no two
//! different values have the same signature, and no reader needs to write JSON to check one.

pub mod bundle;
pub mod chain;
pub mod encoding;
pub mod instance;
pub mod jurisdictions;
mod log_check;
pub mod map;
pub mod merkle;
pub mod residency;
mod signature;
#[cfg(test)]
mod test_support;

pub use bundle::{
    AnchorKey, AnyBundle, BucketBundle, Bundle, FileError, Finding, Report, TrustAnchor,
};
pub use chain::{ChainError, Checkpoint, Entry, Head};
pub use encoding::{Hash, Hex, PublicKey, Signature};
pub use log_check::{LogCheck, LogError};
pub use residency::{Digest, DigestBuilder, Leaf};
pub use signature::{Signer, verify_signature};
