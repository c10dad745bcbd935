//! Which operation a request means: the longest match of method, resource, query and headers in
//! the table of S3.

use std::sync::LazyLock;

use http::header;

use super::operations::{ROWS, Row};
use crate::{
    fault::{Fault, FaultKind},
    operations::{Operation, Resource, Status},
    request::Request,
};

/// The operations of one method on one kind of resource, most specific first.
struct Candidates([Vec<&'static Row>; 15]);

const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "DELETE", "POST"];

fn slot(method: &str, resource: Resource) -> Option<usize> {
    let method = METHODS.iter().position(|m| *m == method)?;
    Some(resource as usize * METHODS.len() + method)
}

static CANDIDATES: LazyLock<Candidates> = LazyLock::new(|| {
    let mut all = Candidates(Default::default());
    for operation in ROWS {
        if let Some(slot) = slot(operation.method, operation.resource) {
            all.0[slot].push(operation);
        }
    }
    for list in &mut all.0 {
        list.sort_by_key(|o| std::cmp::Reverse((o.query.len(), o.headers.len())));
    }
    all
});

/// Parameters that choose an operation. A request that carries one which its operation does not
/// know must not be taken for the plain operation: `DELETE /bucket?acl` deletes no bucket.
static SELECTORS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<_> = ROWS
        .iter()
        .filter_map(|o| o.query.first().copied())
        .chain(["uploadId"])
        .filter(|q| !q.contains('='))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
});

/// Finds the operation. No method of that kind is `MethodNotAllowed`, with the methods that are
/// (RFC 9110, 15.5.6).
pub(crate) fn route(request: &Request<'_>) -> Result<&'static Operation, Fault> {
    let method = request.method().as_str();
    let chosen = choose(method, request).map(|row| row.operation);
    chosen.ok_or_else(|| {
        let works = |method: &&&str| {
            choose(method, request).is_some_and(|operation| operation.status != Status::NotYet)
        };
        let named = selectors(request);
        let resource = request.target().resource();
        if let Some(error) = contradiction(&named, (method, resource), request) {
            return error;
        }
        let allowed: Vec<&str> = METHODS.iter().filter(works).copied().collect();
        Fault::new(FaultKind::MethodNotAllowed)
            .detail("Method", method)
            .detail("ResourceType", resource_type(&named, resource))
            .text_header(header::ALLOW, &allowed.join(", "))
    })
}

/// The parameters of a request that choose an operation, in the order of the alphabet.
fn selectors<'r>(request: &'r Request<'_>) -> Vec<&'r str> {
    let names = request.query().0.iter().map(|(name, _)| name.as_str());
    let mut named: Vec<_> = names
        .filter(|name| SELECTORS.binary_search(name).is_ok())
        .collect();
    named.sort_unstable();
    named
}

/// Parameters that no operation has together.
fn contradiction(
    named: &[&str],
    (method, resource): (&str, Resource),
    request: &Request<'_>,
) -> Option<Fault> {
    match named {
        ["partNumber"] if method == "PUT" && resource == Resource::Object => {
            let text = "This operation does not accept partNumber without uploadId";
            let number = request.query().get("partNumber").unwrap_or_default();
            Some(Fault::argument("partNumber", number, text))
        }
        [] | [_] | ["partNumber", "uploadId"] => None,
        [first, ..] => Some(Fault::argument(
            "ResourceType",
            first,
            format!("Conflicting query string parameters: {}", named.join(", ")),
        )),
    }
}

/// What S3 calls that which a request addresses, where it has a name of its own.
fn resource_type(named: &[&str], resource: Resource) -> &'static str {
    match (named, resource) {
        (["acl"], _) => "ACL",
        (["delete"], _) => "MULTI_OBJECT_DELETE",
        (["location"], _) => "LOCATION",
        (["partNumber", "uploadId"], _) => "PART",
        (["restore"], _) => "RESTORE",
        (["select"], _) => "SELECT",
        (["tagging"], Resource::Object) => "OBJECT_TAGGING",
        (["torrent"], _) => "TORRENT",
        (["uploadId"], _) => "UPLOAD",
        (["versioning"], _) => "VERSIONING",
        _ => resource.name(),
    }
}

/// The operation that the request would be with this method.
fn choose(method: &str, request: &Request<'_>) -> Option<&'static Row> {
    let (query, headers) = (request.query(), request.headers());
    let slot = slot(method, request.target().resource())?;
    let operation = CANDIDATES.0[slot].iter().find(|o| {
        // The plain ones come last; a request without parameters need not try the others.
        if query.0.is_empty() && !o.query.is_empty() {
            return false;
        }
        o.query.iter().all(|q| match q.split_once('=') {
            Some((name, value)) => query.get(name) == Some(value),
            None => query.has(q),
        }) && o
            .headers
            .iter()
            .all(|h| access::first_header(headers, h).is_some())
    })?;
    let chosen = |name: &str| {
        SELECTORS.binary_search(&name).is_err()
            || operation.query.contains(&name)
            || (name == "partNumber" && matches!(operation.name, "GetObject" | "HeadObject"))
    };
    query
        .0
        .iter()
        .all(|(name, _)| chosen(name))
        .then_some(*operation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Received;

    fn name(method: &str, resource: Resource, query: &str, headers: &[&str]) -> String {
        let path = match resource {
            Resource::Service => "/",
            Resource::Bucket => "/bkt",
            Resource::Object => "/bkt/key",
        };
        let mut head = http::Request::builder().method(method).header("host", "h");
        for name in headers {
            head = head.header(*name, "x");
        }
        let head = head.uri(format!("{path}?{query}")).body(()).unwrap();
        let (mut head, ()) = head.into_parts();
        let received = Received::read(&mut head, &[]).and_then(Received::unverified);
        match received.and_then(|request| route(&request)) {
            Ok(operation) => operation.name.to_owned(),
            Err(error) => error.kind.name().to_owned(),
        }
    }

    #[test]
    fn the_longest_match_wins() {
        use Resource::{Bucket, Object, Service};
        for (method, resource, query, headers, expected) in [
            ("GET", Service, "", &[][..], "ListBuckets"),
            ("PUT", Service, "", &[], "MethodNotAllowed"),
            ("GET", Bucket, "", &[], "ListObjects"),
            ("GET", Bucket, "list-type=2&prefix=x", &[], "ListObjectsV2"),
            ("GET", Bucket, "list-type=1", &[], "ListObjects"),
            (
                "GET",
                Bucket,
                "inventory",
                &[],
                "ListBucketInventoryConfigurations",
            ),
            (
                "GET",
                Bucket,
                "inventory&id=1",
                &[],
                "GetBucketInventoryConfiguration",
            ),
            ("GET", Bucket, "id=1", &[], "ListObjects"),
            ("DELETE", Bucket, "", &[], "DeleteBucket"),
            ("DELETE", Bucket, "acl", &[], "MethodNotAllowed"),
            ("POST", Bucket, "delete", &[], "DeleteObjects"),
            ("POST", Bucket, "", &[], "PostObject"),
            ("GET", Object, "x-id=GetObject", &[], "GetObject"),
            ("GET", Object, "partNumber=1", &[], "GetObject"),
            ("GET", Object, "versionId=1", &[], "GetObject"),
            ("GET", Object, "uploadId=1", &[], "ListParts"),
            ("PUT", Object, "", &["x-amz-copy-source"], "CopyObject"),
            ("PUT", Object, "x-amz-copy-source=/b/k", &[], "CopyObject"),
            ("PUT", Object, "X-Amz-Copy%2DSource=/b/k", &[], "CopyObject"),
            (
                "PUT",
                Object,
                "annotation&annotationName=a",
                &[],
                "PutObjectAnnotation",
            ),
            ("PUT", Object, "uploadId=1", &[], "MethodNotAllowed"),
            ("PUT", Object, "uploadId=1&partNumber=2", &[], "UploadPart"),
            (
                "PUT",
                Object,
                "partNumber=2&uploadId=1",
                &["x-amz-copy-source"],
                "UploadPartCopy",
            ),
            ("PUT", Object, "acl", &[], "PutObjectAcl"),
            ("DELETE", Object, "retention", &[], "MethodNotAllowed"),
            ("PATCH", Object, "", &[], "MethodNotAllowed"),
        ] {
            let found = name(method, resource, query, headers);
            assert_eq!(found, expected, "{method} {resource:?} {query}");
        }
    }

    #[test]
    fn every_operation_is_reached_by_its_own_request() {
        for o in ROWS {
            assert_eq!(
                name(o.method, o.resource, &o.query.join("&"), o.headers),
                o.name
            );
        }
    }
}
