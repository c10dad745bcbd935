//! The S3 dialect: routing, headers, XML, error codes, and one file per operation in `ops`.

mod ask;
mod bodies;
pub(crate) mod dialect;
mod documents;
mod error;
pub(crate) mod head;
pub mod headers;
mod listing;
mod lists;
mod multipart;
mod not_here;
mod object_headers;
pub mod operations;
pub mod ops;
mod placement_headers;
pub(crate) mod post_form;
mod refuse;
mod replication;
mod route;
mod signature;
pub mod tagging;
mod unset;
pub mod xml;

pub use documents::read_switches;
pub use not_here::not_s3;
