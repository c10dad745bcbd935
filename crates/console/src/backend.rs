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

/// What an identity provider says of itself (OpenID Connect Discovery).
#[derive(Debug, Clone)]
pub struct Discovered {
    /// Where people sign in: an https address, or one on this machine.
    pub authorization_endpoint: String,
    /// Whether its answers say whose they are (RFC 9207).
    pub names_itself: bool,
}

/// The node that a console belongs to.
pub trait Backend: Send + Sync + 'static {
    /// The registry as this region has it.
    fn registry(&self) -> &Registry;

    /// The region that keeps the registry.
    fn keeper(&self) -> String;

    /// What an identity provider says of itself. `nth` is its place in the settings.
    fn discover(&self, nth: usize) -> BoxFuture<'_, Result<Discovered, Unanswered>>;

    /// Redeems a code at the token endpoint of an identity provider, with the secret that the
    /// console has there: the ID token.
    fn redeem<'a>(
        &'a self,
        nth: usize,
        form: &'a [(&'a str, &'a str)],
    ) -> BoxFuture<'a, Result<String, Unanswered>>;

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
