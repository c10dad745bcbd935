//! The table of operations, from which routing, metric names, the refusal tests and
//! docs/operations.md follow.

use access::Action;

/// What an operation addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The service: `GET /`.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

/// Whether an operation works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It works.
    Works,
    /// It answers 501 NotImplemented with its name.
    NotYet,
}

/// One operation of the S3 API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name in the S3 API reference.
    pub name: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// What it addresses.
    pub resource: Resource,
    /// Query parameters that must all be there; an entry `k=v` fixes the value.
    pub query: &'static [&'static str],
    /// Headers that must be there (such as `x-amz-copy-source`).
    pub headers: &'static [&'static str],
    /// The permission without and with a `versionId` in the query; `None` while not there yet.
    pub action: Option<(Action, Action)>,
    /// Whether it works.
    pub status: Status,
}
