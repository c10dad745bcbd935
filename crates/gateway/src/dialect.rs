//! The seam between the pipeline and the APIs that clients use. The pipeline works with neutral
//! operations, requests and faults; a dialect says how they are written on the wire.
//!
//! A dialect has a folder of its own beside `s3/`, with one line for each of its requests, the
//! names of its headers, its codes and its documents. To add one: implement [`Dialect`], give it a
//! [`Name`], name it in [`of`] and [`dispatch`].

use access::{Ask, Identity, RequestFacts, signature};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use types::{BucketName, ObjectKey, Placement, deed::BoxFuture};

use crate::{
    ask::Details,
    body::ResponseBody,
    call::{Answer, Call},
    fault::Fault,
    form::Form,
    operations::Operation,
    request::Request,
    s3,
};

/// Which dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// The S3 API.
    S3,
}

/// What a parameter of a query is, by its name.
pub(crate) enum Meaning {
    /// Part of a signature: it counts for the signature alone.
    Signature(&'static str),
    /// Signed over, and not acted on.
    Ignored,
    /// A header that no parameter can say.
    Refused,
    /// The header of that name.
    Header,
    /// A parameter.
    Parameter,
}

/// What several lines of one header mean.
pub(crate) enum Lines {
    /// What one line with commas means.
    List,
    /// One value only: several are refused.
    One,
    /// Nothing here reads it.
    Unread,
}

/// A bucket that is to be made.
pub(crate) struct NewBucket {
    /// The homes that the request names.
    pub(crate) homes: Vec<String>,
    pub(crate) placement: Placement,
}

/// How an API is written on the wire.
pub(crate) trait Dialect: Sync {
    /// Which one it is.
    fn name(&self) -> Name;

    /// What a parameter is; `signs` says whether the query has a signature whose parameters have
    /// common names.
    fn meaning(&self, parameter: &str, signs: bool) -> Meaning;

    /// Whether a query has a signature whose parameters have common names.
    fn signs_by_common_names(&self, query: &str) -> bool;

    /// Whether a parameter only repeats a header that a signature in the query covers.
    fn repeats_header(&self, parameter: &str) -> bool;

    /// What several lines of a header mean.
    fn lines(&self, header: &str) -> Lines;

    /// Whether a head says how long a body is that comes in chunks.
    fn says_length(&self, headers: &HeaderMap) -> bool;

    /// Which operation a request means. No method of that kind is `MethodNotAllowed`, with the
    /// methods that are (RFC 9110, 15.5.6).
    fn route(&self, request: &Request<'_>) -> Result<&'static Operation, Fault>;

    /// Refuses what the request asks for and would not get, by name.
    fn check(&self, operation: &Operation, request: &Request<'_>) -> Result<(), Fault>;

    /// Whether a request depends on what is there.
    fn is_conditional(&self, headers: &HeaderMap) -> bool;

    /// The version of the object that a request names.
    fn version<'a>(&self, request: &'a Request<'_>) -> Option<&'a str>;

    /// The upload in parts that a request names.
    fn upload<'a>(&self, request: &'a Request<'_>) -> Option<&'a str>;

    /// What conditions of policies ask for, as the head says it. What cannot be read is refused by
    /// its handler; a condition on it is not met until then.
    fn details(&self, operation: &Operation, request: &Request<'_>) -> Details;

    /// What a request asks for, by its head. `form` is the key of a form, which its body names.
    fn ask<'a>(
        &self,
        operation: &Operation,
        request: &'a Request<'_>,
        principal: &'a Identity,
        form: Option<&'a ObjectKey>,
        facts: RequestFacts,
    ) -> Ask<'a>;

    /// Reads a form up to its file, and verifies it.
    fn read_form<'a>(
        &'a self,
        body: Box<dyn types::Body>,
        head: &'a HeaderMap,
        bucket: &'a BucketName,
        facts: &'a signature::Facts<'_>,
    ) -> BoxFuture<'a, Result<Form, Fault>>;

    /// The account that the client takes for the bucket's owner.
    fn expected_owner<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue>;

    /// What a request to make a bucket says of it.
    fn new_bucket(&self, headers: &HeaderMap, body: &[u8]) -> Result<NewBucket, Fault>;

    /// Names what a fault is about, as the clients of the dialect show it.
    fn name_in(&self, fault: &mut Fault, call: &Call<'_>);

    /// Says in an answer that the caller pays for the request.
    fn add_charged(&self, headers: &mut HeaderMap);

    /// The header with the id of a request.
    fn request_id(&self) -> HeaderName;

    /// Says in an answer who answers.
    fn add_host_id(&self, headers: &mut HeaderMap, host_id: &HeaderValue);

    /// What the client may read of a fault.
    fn message<'f>(&self, fault: &'f Fault) -> &'f str;

    /// The answer to a fault. `path` is what was asked for.
    fn response(
        &self,
        fault: Fault,
        path: &str,
        request_id: &str,
        host_id: &str,
    ) -> Response<ResponseBody>;
}

/// The dialect of a request. All clients use S3's today; where there are several, the scheme of
/// the signature decides, and then the host.
pub(crate) fn of(_head: &HeaderMap) -> &'static dyn Dialect {
    &s3::dialect::Dialect
}

/// Calls the handler of an operation. By name and not by the trait, so that the most frequent
/// operations need no allocation.
pub(crate) async fn dispatch(call: &mut Call<'_>) -> Answer {
    match call.dialect.name() {
        Name::S3 => s3::ops::dispatch(call).await,
    }
}
