//! S3, as the pipeline sees it.

use access::{Ask, Identity, RequestFacts, signature};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use types::{BucketName, ObjectKey, deed::BoxFuture};

use super::{
    ask, error, head, headers::names, operations::ROWS, ops::create_bucket::location,
    placement_headers, post_form, refuse, route::route,
};
use crate::{
    ask::Details,
    body::ResponseBody,
    call::Call,
    dialect::{self, Lines, Meaning, Name, NewBucket},
    fault::{Fault, FaultKind},
    form::Form,
    operations::Operation,
    request::Request,
};

/// The S3 API.
pub(crate) struct Dialect;

impl dialect::Dialect for Dialect {
    fn name(&self) -> Name {
        Name::S3
    }

    fn meaning(&self, parameter: &str, signs: bool) -> Meaning {
        head::meaning(parameter, signs)
    }

    fn signs_by_common_names(&self, query: &str) -> bool {
        head::is_version2(query)
    }

    fn repeats_header(&self, parameter: &str) -> bool {
        head::repeats_header(parameter)
    }

    fn lines(&self, header: &str) -> Lines {
        head::lines(header)
    }

    fn says_length(&self, headers: &HeaderMap) -> bool {
        headers.contains_key("x-amz-decoded-content-length")
    }

    fn route(&self, request: &Request<'_>) -> Result<&'static Operation, Fault> {
        route(request)
    }

    fn check(&self, operation: &Operation, request: &Request<'_>) -> Result<(), Fault> {
        refuse::check(operation, request)
    }

    fn details(&self, operation: &Operation, request: &Request<'_>) -> Details {
        ask::details(operation, request)
    }

    fn ask<'a>(
        &self,
        operation: &Operation,
        request: &'a Request<'_>,
        principal: &'a Identity,
        form: Option<&'a ObjectKey>,
        facts: RequestFacts,
    ) -> Ask<'a> {
        ask::ask(operation, request, principal, form, facts)
    }

    fn is_conditional(&self, headers: &HeaderMap) -> bool {
        ask::is_conditional(headers)
    }

    fn version<'a>(&self, request: &'a Request<'_>) -> Option<&'a str> {
        request.query().get("versionId")
    }

    fn upload<'a>(&self, request: &'a Request<'_>) -> Option<&'a str> {
        request.query().get("uploadId")
    }

    fn read_form<'a>(
        &'a self,
        body: Box<dyn types::Body>,
        head: &'a HeaderMap,
        bucket: &'a BucketName,
        facts: &'a signature::Facts<'_>,
    ) -> BoxFuture<'a, Result<Form, Fault>> {
        Box::pin(post_form::read(body, head, bucket, facts))
    }

    fn expected_owner<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers.get(names::EXPECTED_OWNER)
    }

    fn new_bucket(&self, headers: &HeaderMap, body: &[u8]) -> Result<NewBucket, Fault> {
        let asked = placement_headers::read(headers)?;
        let home = asked.home.map(|home| home.to_string());
        Ok(NewBucket {
            homes: location(body)?.into_iter().chain(home).collect(),
            placement: asked.placement,
        })
    }

    fn name_in(&self, fault: &mut Fault, call: &Call<'_>) {
        name_in(fault, call);
    }

    fn add_charged(&self, headers: &mut HeaderMap) {
        let requester = HeaderValue::from_static("requester");
        headers.insert(names::REQUEST_CHARGED, requester);
    }

    fn request_id(&self) -> HeaderName {
        names::REQUEST_ID
    }

    fn add_host_id(&self, headers: &mut HeaderMap, host_id: &HeaderValue) {
        headers.insert(names::ID_2, host_id.clone());
    }

    fn message<'f>(&self, fault: &'f Fault) -> &'f str {
        error::message(fault)
    }

    fn response(
        &self,
        fault: Fault,
        path: &str,
        request_id: &str,
        host_id: &str,
    ) -> Response<ResponseBody> {
        error::response(fault, path, request_id, host_id)
    }
}

/// Names what the error is about, in the elements that S3 has for it and that SDKs show. A copy has
/// two objects: its errors may be about the other one.
fn name_in(error: &mut Fault, call: &Call<'_>) {
    use FaultKind as C;
    // The handler of a copy names its source.
    if call.copies() && !matches!(error.kind, C::NoSuchUpload) {
        return;
    }
    let mut add = |element: &'static str, text: Option<&str>| {
        let there = error.details.iter().any(|(name, _)| *name == element);
        if let Some(text) = text.filter(|_| !there) {
            error.details.push((element, text.to_owned()));
        }
    };
    match error.kind {
        C::NoSuchKey | C::NoSuchObjectLockConfiguration => add("Key", call.key.as_deref()),
        C::NoSuchVersion => {
            add("Key", call.key.as_deref());
            add("VersionId", call.query.get("versionId"));
        }
        C::NoSuchUpload => add("UploadId", call.query.get("uploadId")),
        C::MethodNotAllowed => {
            let row = ROWS
                .iter()
                .find(|row| row.operation.id == call.operation.id);
            add("Method", row.map(|row| row.method));
        }
        C::BucketAlreadyExists
        | C::BucketAlreadyOwnedByYou
        | C::BucketNotEmpty
        | C::InvalidBucketAclWithObjectOwnership
        | C::NoSuchBucket
        | C::NoSuchBucketPolicy
        | C::NoSuchCORSConfiguration
        | C::NoSuchLifecycleConfiguration
        | C::NoSuchPublicAccessBlockConfiguration
        | C::NoSuchTagSet
        | C::NoSuchWebsiteConfiguration
        | C::ObjectLockConfigurationNotFoundError
        | C::OwnershipControlsNotFoundError
        | C::ReplicationConfigurationNotFoundError
        | C::ServerSideEncryptionConfigurationNotFoundError => {
            add("BucketName", call.bucket.as_deref());
        }
        _ => {}
    }
}
