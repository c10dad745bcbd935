//! The S3 dialect: routing, headers, XML, error codes, and one file per operation in `ops`.

mod call;
pub(crate) mod documents;
mod error;
pub mod headers;
mod listing;
pub(crate) mod lists;
mod map_error;
mod multipart;
pub(crate) mod object_headers;
pub mod ops;
pub(crate) mod placement_headers;
pub mod refuse;
pub(crate) mod replication;
pub mod tagging;
mod unset;
pub mod xml;

pub use call::{Query, S3Call, S3Result};
pub use documents::read_switches;
pub use error::{ErrorCode, S3Error};
