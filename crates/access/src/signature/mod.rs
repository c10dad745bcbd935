//! Signature version 4, written once ("Authenticating Requests (AWS Signature Version 4)"), and
//! version 2 ([`v2`]), for accounts that ask for it.
//!
//! [`AuthType`] is decided once, before routing; [`verify`] checks header and presigned
//! signatures; [`ChunkVerifier`] checks the chunks of a streaming body; [`sign`](crate::sign) is
//! the client's side of the same canonical form.

pub mod asymmetric;
mod auth_type;
pub mod canonical;
mod chunk;
mod claim;
mod error;
mod hash;
mod old;
pub(crate) mod parse;
mod payload;
mod signature_headers;
pub mod v2;
mod verify;

pub use asymmetric::PublicKey;
pub use auth_type::{Algorithm, AuthType};
pub use chunk::{ChunkLink, ChunkVerifier, SIGNATURE_HEX};
pub use claim::{Claim, Statement};
pub use error::{Mismatch, SignatureError};
pub use hash::{EMPTY_SHA256, HmacKey, hmac, sha256_hex, signing_key};
pub use old::{NotAnOldKey, OldKey};
pub use parse::{Credential, Presigned, Service, SignedHeader};
pub use payload::PayloadMode;
pub use v2::verify_old_text;
pub(crate) use verify::string_to_sign;
pub use verify::{
    Facts, RegionNames, Request, Verified, claim, claim_admin, verify, verify_admin, verify_form,
    verify_presigned_form, verify_text,
};
