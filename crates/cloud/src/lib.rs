//! The registry of a cloud: accounts, access keys and deeds, durable in partition 0 of the index
//! and answered from memory.
//!
//! Invariants: not on the path of a GET beyond a look in memory; a secret leaves this crate only
//! as a signing key derived for one region and day, or once, to whoever created it.

mod error;
mod keys;
mod records;
mod registry;
mod seal;

pub use error::CloudError;
pub use keys::{KeyInfo, NewKey};
pub use records::{Account, KeyStatus};
pub use registry::Registry;
pub use seal::MasterKey;
