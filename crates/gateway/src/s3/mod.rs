//! The S3 dialect: routing, headers, XML, error codes, and one file per operation in `ops`.

mod bodies;
pub(crate) mod documents;
pub(crate) mod error;
pub mod headers;
mod listing;
pub(crate) mod lists;
mod multipart;
pub(crate) mod object_headers;
pub mod operations;
pub mod ops;
pub(crate) mod placement_headers;
pub mod refuse;
pub(crate) mod replication;
pub(crate) mod route;
pub mod tagging;
mod unset;
pub mod xml;

pub use documents::read_switches;
