//! What the console needs of the node.

use access::RequestFacts;
use bytes::Bytes;
use cloud::Registry;
use http::{Request, Response};
use types::deed::BoxFuture;

/// Which API a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// Buckets, objects, users.
    S3,
    /// The admin API.
    Admin,
}

/// An API did not answer as it should: the connection broke, or the answer is too large.
#[derive(Debug)]
pub struct Unanswered(pub String);

/// The node that a console belongs to.
pub trait Backend: Send + Sync + 'static {
    /// The registry as this region has it.
    fn registry(&self) -> &Registry;

    /// The region that keeps the registry.
    fn keeper(&self) -> String;

    /// Sends a signed request to an API of this process, as a client would, and reads its answer,
    /// which is `most` bytes long at most. `facts` says where the browser's request came from.
    fn ask<'a>(
        &'a self,
        api: Api,
        request: Request<Bytes>,
        facts: RequestFacts,
        most: usize,
    ) -> BoxFuture<'a, Result<Response<Bytes>, Unanswered>>;
}
