//! What a request asks for and does not get. Nothing of it is ignored: a client that asked for
//! encryption, a lock, a public ACL or a condition must not assume that it got it.
//!
//! A write honours what its line in the table of operations names, and refuses the rest by name. A
//! read refuses the headers of features that are known and not implemented.

use http::{HeaderName, HeaderValue, header};
use types::ChecksumAlgorithm;

use super::operations::{EVERYWHERE, Row};
use crate::{
    fault::{Fault, FaultKind},
    operations::{Operation, Status},
    request::Request,
};

/// Families of headers that are not implemented.
const FAMILIES: &[&str] = &[
    "grant-",
    "server-side-encryption",
    "copy-source-server-side-encryption",
    "object-lock-",
];

/// Names that begin like that of a checksum, and are none.
const KNOWN_CHECKSUMS: [&str; 2] = ["x-amz-checksum-algorithm", "x-amz-checksum-type"];

/// Refuses a request that asks for what is not there, naming it.
pub(crate) fn check(operation: &Operation, request: &Request<'_>) -> Result<(), Fault> {
    let Some(row) = Row::of(operation) else {
        return Err(Fault::not_implemented(operation.name));
    };
    let writes = row.writes();
    let versioned = request.query().has("versionId");
    for (name, value) in request.headers() {
        check_header(row, (writes, versioned), name, value)?;
    }
    for (name, value) in &request.query().0 {
        check_parameter(row, writes, name, value)?;
    }
    check_one_condition(row, request)
}

/// S3 takes one condition on the object that a write replaces.
fn check_one_condition(row: &Row, request: &Request<'_>) -> Result<(), Fault> {
    let both = [header::IF_MATCH, header::IF_NONE_MATCH];
    let all = |name: &HeaderName| row.heeds(name.as_str()) && request.headers().contains_key(name);
    match both.iter().all(all) {
        true => Err(
            Fault::not_implemented("A request with If-Match and If-None-Match")
                .detail("Header", "If-None-Match")
                .detail(
                    "additionalMessage",
                    "Multiple conditional request headers present in the request",
                ),
        ),
        false => Ok(()),
    }
}

/// Of headers that are Dhow's own. `ours` is what comes after `x-dhow-`.
fn check_own(row: &Row, name: &str, ours: &str) -> Result<(), Fault> {
    match (ours, row.name) {
        ("if-state", "DeleteObject") => Ok(()),
        (ours, "CreateBucket") if ours.starts_with("placement-") => Ok(()),
        // Of an answer: s3cmd sends what HEAD had with a copy. It asks for nothing.
        ("state", _) => Ok(()),
        _ => Err(Fault::argument(
            name,
            "",
            "This header is not for this request: those of placement are for CreateBucket, and \
             x-dhow-if-state is for DeleteObject",
        )),
    }
}

fn check_header(
    row: &Row,
    (writes, versioned): (bool, bool),
    name: &HeaderName,
    value: &HeaderValue,
) -> Result<(), Fault> {
    let name = name.as_str();
    let refuse = || Err(Fault::not_implemented(name).detail("Header", name));
    // Nearly every header of a GET fails the first comparison.
    let Some(rest) = name.strip_prefix("x-") else {
        return match name {
            _ if !writes => Ok(()),
            // Without a range it means nothing (RFC 9110, 13.1.5).
            "if-range" => Ok(()),
            "content-range" => Err(Fault::with(
                FaultKind::InvalidRequest,
                "A part of an object cannot be written: Content-Range is not for this request.",
            )),
            _ if name.starts_with("if-") && !row.heeds(name) => refuse(),
            // A condition is on the current version.
            "if-match" if row.name == "DeleteObject" && versioned => refuse(),
            // Only what was never there can be created on a condition.
            "if-none-match" if value != "*" => refuse(),
            _ => Ok(()),
        };
    };
    if let Some(ours) = rest.strip_prefix("dhow-") {
        return check_own(row, name, ours);
    }
    let Some(rest) = rest.strip_prefix("amz-") else {
        return Ok(());
    };
    if rest.starts_with("meta-") {
        return Ok(());
    }
    let fine = match rest {
        "acl" if !row.heeds(name) => value == "private" || value == "bucket-owner-full-control",
        "storage-class" if value == "STANDARD" => true,
        "storage-class" => return Err(other_class(value)),
        "bucket-namespace" => value == "global",
        // There are no annotations that could be copied.
        "object-annotation-directive" => value == "COPY" || value == "EXCLUDE",
        "server-side-encryption-bucket-key-enabled" => value == "false",
        "bucket-object-lock-enabled" => value == "false",
        // No object is locked, so there is nothing to bypass.
        "bypass-governance-retention" => row.name.starts_with("DeleteObject"),
        _ if writes => EVERYWHERE.contains(&rest) || row.heeds(name),
        _ => !FAMILIES.iter().any(|family| rest.starts_with(family)),
    };
    match fine {
        true => Ok(()),
        false if rest.starts_with("checksum-") => Err(unknown_checksum(name)),
        // Other headers may bring what is secret.
        false if matches!(rest, "acl" | "bucket-namespace") => {
            let text = format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
            Err(Fault::not_implemented(&text).detail("Header", name))
        }
        false => refuse(),
    }
}

/// One that no operation knows is refused as S3 does.
fn unknown_checksum(name: &str) -> Fault {
    if ChecksumAlgorithm::from_header(name).is_some() || KNOWN_CHECKSUMS.contains(&name) {
        return Fault::not_implemented(name).detail("Header", name);
    }
    let text = "The algorithm type you specified in x-amz-checksum- header is invalid.";
    Fault::with(FaultKind::InvalidRequest, text).detail("Header", name)
}

fn other_class(value: &HeaderValue) -> Fault {
    let class = String::from_utf8_lossy(value.as_bytes());
    let text =
        format!("The storage class you specified is not valid: {class}. This region has STANDARD.");
    Fault::with(FaultKind::InvalidStorageClass, text).detail("StorageClassRequested", class)
}

fn check_parameter(row: &Row, writes: bool, name: &str, value: &str) -> Result<(), Fault> {
    if name == "x-id" {
        return match value == row.name {
            true => Ok(()),
            false => Err(Fault::argument(
                name,
                value,
                format!("The request is {}, and not what x-id says.", row.name),
            )),
        };
    }
    // S3 leaves parameters with this prefix to the client.
    if !writes || name.starts_with("x-") || name.starts_with("response-") || row.takes(name) {
        return Ok(());
    }
    if row.status == Status::NotYet {
        return Ok(());
    }
    Err(match name {
        "versionId" => Fault::argument(name, value, "This operation does not accept a version-id."),
        _ => Fault::not_implemented(name).detail("Parameter", name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{request::Received, s3::route::route};

    fn refused(method: &str, target: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut head = http::Request::builder().method(method).header("host", "h");
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let head = head.uri(target).body(()).unwrap();
        let (mut head, ()) = head.into_parts();
        let checked = Received::read(&mut head, &[])
            .and_then(Received::unverified)
            .and_then(|request| check(route(&request)?, &request));
        checked.err().map(|error| error.kind.name())
    }

    #[test]
    fn what_is_not_there_is_named_not_ignored() {
        for (name, value, code) in [
            ("x-amz-acl", "private", None),
            ("x-amz-acl", "bucket-owner-full-control", None),
            ("x-amz-acl", "public-read", None),
            ("x-amz-grant-read", "id=1", None),
            (
                "x-amz-server-side-encryption",
                "AES256",
                Some("NotImplemented"),
            ),
            (
                "x-amz-object-lock-mode",
                "COMPLIANCE",
                Some("NotImplemented"),
            ),
            ("x-amz-storage-class", "STANDARD", None),
            (
                "x-amz-storage-class",
                "GLACIER",
                Some("InvalidStorageClass"),
            ),
            ("x-amz-request-payer", "requester", None),
            ("x-amz-api-version", "2006-03-01", None),
            ("x-amz-meta-x-amz-acl", "public-read", None),
            ("x-amz-date", "20151021T072800Z", None),
            ("x-amz-checksum-crc32", "AAAAAA==", None),
            ("x-amz-checksum-sha3", "AAAAAA==", Some("InvalidRequest")),
            ("x-amz-checksum-mode", "ENABLED", Some("InvalidRequest")),
            ("x-amz-annotation", "x", Some("NotImplemented")),
            (
                "x-amz-copy-source-range",
                "bytes=0-1",
                Some("NotImplemented"),
            ),
            (
                "x-dhow-placement-jurisdictions",
                "DE",
                Some("InvalidArgument"),
            ),
            ("x-dhow-client-host", "h", Some("InvalidArgument")),
            ("if-match", "\"e\"", None),
            ("if-none-match", "*", None),
            ("if-none-match", "\"e\"", Some("NotImplemented")),
            ("if-modified-since", "x", Some("NotImplemented")),
            ("if-unmodified-since", "x", Some("NotImplemented")),
            ("if-range", "x", None),
            ("range", "bytes=0-1", None),
            ("content-range", "bytes 0-1/2", Some("InvalidRequest")),
        ] {
            let found = refused("PUT", "/bkt/k", &[(name, value)]);
            assert_eq!(found, code, "{name}: {value}");
        }
        let sse = [("x-amz-server-side-encryption-customer-key", "x")];
        assert_eq!(refused("GET", "/bkt/k", &sse), Some("NotImplemented"));
        let other = [("if-none-match", "\"e\""), ("x-amz-unknown", "x")];
        assert_eq!(refused("GET", "/bkt/k", &other), None);
    }

    #[test]
    fn a_write_refuses_parameters_that_it_does_not_know() {
        for (method, target, code) in [
            ("PUT", "/bkt/k?annotation-name=a", Some("NotImplemented")),
            ("PUT", "/bkt/k?versionId=null", Some("InvalidArgument")),
            ("PUT", "/bkt/k?ACL", Some("NotImplemented")),
            ("PUT", "/bkt/k?amp;acl", Some("NotImplemented")),
            ("PUT", "/bkt/k?;acl", Some("NotImplemented")),
            ("PUT", "/bkt/k?a%63l&tagging", Some("InvalidArgument")),
            ("PUT", "/bkt/k?If-None-Match=*", Some("NotImplemented")),
            ("PUT", "/bkt/k?Content-Type=a", Some("NotImplemented")),
            ("PUT", "/bkt/k?x-id=PutObject", None),
            ("PUT", "/bkt/k?x-id=GetObject", Some("InvalidArgument")),
            ("PUT", "/bkt/k?x-id=", Some("InvalidArgument")),
            ("PUT", "/bkt/k?x-id=CopyObject", Some("InvalidArgument")),
            ("PUT", "/bkt/k?x-mine=1&response-content-type=a", None),
            ("PUT", "/bkt/k?partNumber=1", Some("InvalidArgument")),
            ("PUT", "/bkt/k?tagging&versionId=null", None),
            ("PUT", "/bkt?prefix=a", Some("NotImplemented")),
            ("DELETE", "/bkt?prefix=a", Some("NotImplemented")),
            ("DELETE", "/bkt/k?versionId=null&x-id=DeleteObject", None),
            ("DELETE", "/bkt/k?versionid=null", Some("NotImplemented")),
            ("POST", "/bkt?delete&list-type=2", Some("NotImplemented")),
            ("GET", "/bkt/k?unknown", None),
            ("GET", "/bkt/k?x-id=PutObject", Some("InvalidArgument")),
            ("GET", "/bkt?list-type=2&prefix=a&unknown=1", None),
        ] {
            assert_eq!(refused(method, target, &[]), code, "{method} {target}");
        }
    }
}
