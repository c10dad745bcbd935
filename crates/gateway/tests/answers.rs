//! What is answered where S3's documentation is exact about it: codes, details, conditions, limits.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use common::{
    TestServer,
    client::{Answer, Client},
};
use gateway::GatewayConfig;

const ALICE: &str = "ALICEALICEALICEALICE";

async fn open() -> (TestServer, Client) {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("bkt", "000000000001").await;
    let alice = Client::new(server.address, ALICE);
    (server, alice)
}

fn code(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, answer.element("Code"))
}

fn expected(status: u16, code: &str) -> (u16, Option<String>) {
    (status, (!code.is_empty()).then(|| code.to_owned()))
}

/// Begins an upload of one part.
async fn upload(alice: &Client) -> (String, String) {
    let begun = alice.send("POST", "/bkt/parts?uploads", &[], "").await;
    let id = begun.element("UploadId").unwrap();
    let part = format!("/bkt/parts?partNumber=1&uploadId={id}");
    let part = alice.send("PUT", &part, &[], "part").await;
    (id, part.header("etag").unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_writes_hold_or_are_refused() {
    let (_door, alice) = open().await;
    let put = alice.send("PUT", "/bkt/k", &[], "one").await;
    let etag = put.header("etag").unwrap().to_owned();
    let weak = format!("W/{etag}");
    let other = "\"00000000000000000000000000000000\"";
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let copy = ("x-amz-copy-source", "/bkt/k");
    let meta = ("x-amz-metadata-directive", "REPLACE");
    for (method, target, headers, status, name) in [
        (
            "PUT",
            "/bkt/k",
            vec![("if-none-match", "*")],
            412,
            "PreconditionFailed",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![("if-none-match", &*etag)],
            501,
            "NotImplemented",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![("if-none-match", other)],
            501,
            "NotImplemented",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![("if-match", other)],
            412,
            "PreconditionFailed",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![("if-match", &*weak)],
            412,
            "PreconditionFailed",
        ),
        (
            "PUT",
            "/bkt/absent",
            vec![("if-match", &*etag)],
            404,
            "NoSuchKey",
        ),
        (
            "PUT",
            "/bkt/absent",
            vec![("if-match", "*")],
            404,
            "NoSuchKey",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![("if-modified-since", date)],
            501,
            "NotImplemented",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![("if-unmodified-since", date)],
            501,
            "NotImplemented",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![("content-range", "bytes 0-2/9")],
            400,
            "InvalidRequest",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![copy, meta, ("if-none-match", "*")],
            412,
            "PreconditionFailed",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![copy, meta, ("if-none-match", other)],
            501,
            "NotImplemented",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![copy, meta, ("if-match", other)],
            412,
            "PreconditionFailed",
        ),
        (
            "PUT",
            "/bkt/new",
            vec![copy, ("x-amz-copy-source-if-match", other)],
            412,
            "PreconditionFailed",
        ),
        (
            "PUT",
            "/bkt/new",
            vec![copy, ("x-amz-copy-source-if-none-match", &*etag)],
            412,
            "PreconditionFailed",
        ),
        (
            "PUT",
            "/bkt/new",
            vec![copy, ("x-amz-copy-source-if-unmodified-since", date)],
            412,
            "PreconditionFailed",
        ),
        (
            "DELETE",
            "/bkt/k",
            vec![("if-match", other)],
            412,
            "PreconditionFailed",
        ),
        (
            "DELETE",
            "/bkt/k",
            vec![("if-none-match", "*")],
            501,
            "NotImplemented",
        ),
        (
            "DELETE",
            "/bkt/k?versionId=null",
            vec![("if-match", &*etag)],
            501,
            "NotImplemented",
        ),
        (
            "DELETE",
            "/bkt/k",
            vec![("x-amz-if-match-size", "3")],
            501,
            "NotImplemented",
        ),
        (
            "DELETE",
            "/bkt/absent",
            vec![("if-match", &*etag)],
            404,
            "NoSuchKey",
        ),
        (
            "DELETE",
            "/bkt/absent",
            vec![("if-match", "*")],
            404,
            "NoSuchKey",
        ),
        (
            "POST",
            "/bkt/k?uploads",
            vec![("if-none-match", "*")],
            501,
            "NotImplemented",
        ),
        (
            "PUT",
            "/bkt/k?tagging",
            vec![("if-match", &*etag)],
            501,
            "NotImplemented",
        ),
        (
            "DELETE",
            "/bkt",
            vec![("if-match", "*")],
            501,
            "NotImplemented",
        ),
        (
            "PUT",
            "/bkt/k",
            vec![("if-match", &*etag), ("range", "bytes=0-1")],
            200,
            "",
        ),
        ("DELETE", "/bkt/k", vec![("if-match", "*")], 204, ""),
    ] {
        let answer = alice.send(method, target, &headers, "two").await;
        assert_eq!(
            code(&answer),
            expected(status, name),
            "{method} {target} {headers:?}"
        );
        if status == 501 {
            assert!(answer.element("Header").is_some(), "{}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_reads_follow_the_rfc() {
    let (_door, alice) = open().await;
    let headers = [("cache-control", "max-age=60"), ("expires", "soon")];
    let put = alice.send("PUT", "/bkt/k", &headers, "0123456789").await;
    let etag = put.header("etag").unwrap().to_owned();
    let weak = format!("W/{etag}");
    let modified = alice.send("HEAD", "/bkt/k", &[], "").await;
    let modified = modified.header("last-modified").unwrap().to_owned();
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let range = ("range", "bytes=2-3");
    for (headers, status) in [
        (vec![("if-match", &*etag)], 200),
        (vec![("if-match", &*weak)], 412),
        (
            vec![("if-match", &*etag), ("if-unmodified-since", date)],
            200,
        ),
        (vec![("if-unmodified-since", date)], 412),
        (vec![("if-none-match", &*weak)], 304),
        (
            vec![
                ("if-none-match", "\"x\""),
                ("if-modified-since", &*modified),
            ],
            200,
        ),
        (vec![("if-modified-since", &*modified)], 304),
        (vec![("if-modified-since", date)], 200),
        (vec![("if-modified-since", "never")], 200),
        (vec![range], 206),
        (vec![("range", "Bytes=2-3")], 206),
        (vec![("range", "lines=2-3")], 200),
        (vec![("range", "bytes=2-3,5-6")], 200),
        (vec![range, ("if-range", &*etag)], 206),
        (vec![range, ("if-range", &*weak)], 200),
        (vec![range, ("if-range", "\"x\"")], 200),
        (vec![range, ("if-range", &*modified)], 206),
        (vec![range, ("if-range", date)], 200),
        (vec![("range", "bytes=20-30"), ("if-range", "\"x\"")], 200),
        (vec![("range", "bytes=20-30")], 416),
        (vec![range, ("if-none-match", &*etag)], 304),
    ] {
        let answer = alice.send("GET", "/bkt/k", &headers, "").await;
        assert_eq!(answer.status, status, "{headers:?} {}", answer.text());
        match status {
            200 => assert_eq!(answer.text(), "0123456789"),
            206 => assert_eq!(answer.text(), "23"),
            304 => {
                for (name, value) in [
                    ("etag", &*etag),
                    ("last-modified", &*modified),
                    ("cache-control", "max-age=60"),
                    ("expires", "soon"),
                ] {
                    assert_eq!(answer.header(name), Some(value), "{headers:?}");
                }
            }
            416 => {
                assert_eq!(answer.header("content-range"), Some("bytes */10"));
                let details = ["RangeRequested", "ActualObjectSize"].map(|d| answer.element(d));
                assert_eq!(details, [Some("bytes=20-30".into()), Some("10".into())]);
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plus_in_a_copy_source_is_a_space() {
    let (_door, alice) = open().await;
    alice.send("PUT", "/bkt/a%20b", &[], "space").await;
    alice.send("PUT", "/bkt/a%2Bb", &[], "plus").await;
    let (id, _) = upload(&alice).await;
    for (source, content) in [
        ("/bkt/a+b", "space"),
        ("bkt/a%20b", "space"),
        ("/bkt/a%2Bb", "plus"),
    ] {
        let headers = [("x-amz-copy-source", source)];
        let copied = alice.send("PUT", "/bkt/copy", &headers, "").await;
        assert_eq!(copied.status, 200, "{}", copied.text());
        assert_eq!(
            alice.send("GET", "/bkt/copy", &[], "").await.text(),
            content
        );
        let part = format!("/bkt/parts?partNumber=2&uploadId={id}");
        let copied = alice.send("PUT", &part, &headers, "").await;
        let etag = copied.element("ETag").unwrap();
        assert!(
            etag.contains(&hex::encode(digest::md5(content.as_bytes()))),
            "{etag}"
        );
    }
    let headers = [("x-amz-copy-source", "/bkt/a  b")];
    let refused = alice.send("PUT", "/bkt/copy", &headers, "").await;
    assert_eq!(code(&refused), expected(400, "InvalidArgument"));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_completions_say_what_is_wrong() {
    let (_door, alice) = open().await;
    let (id, etag) = upload(&alice).await;
    let target = format!("/bkt/parts?uploadId={id}");
    let list = |number: &str, etag: &str| {
        format!(
            "<CompleteMultipartUpload><Part><PartNumber>{number}</PartNumber>\
             <ETag>{}</ETag></Part></CompleteMultipartUpload>",
            etag.replace('"', "&quot;")
        )
    };
    for (body, name) in [
        (String::new(), "MalformedXML"),
        ("<CompleteMultipartUpload/>".to_owned(), "MalformedXML"),
        (list("0", &etag), "InvalidArgument"),
        (list("x", &etag), "MalformedXML"),
        (list("2", &etag), "InvalidPart"),
        (
            list("1", "\"00000000000000000000000000000000\""),
            "InvalidPart",
        ),
    ] {
        let answer = alice.send("POST", &target, &[], body.clone()).await;
        assert_eq!(code(&answer), expected(400, name), "{body}");
        if name == "InvalidPart" {
            assert_eq!(answer.element("UploadId").as_deref(), Some(&*id));
            assert!(answer.element("PartNumber").is_some() && answer.element("ETag").is_some());
        }
    }
    for number in ["0", "10001", "-1", "x", ""] {
        let part = format!("/bkt/parts?partNumber={number}&uploadId={id}");
        let answer = alice.send("PUT", &part, &[], "x").await;
        assert_eq!(code(&answer), expected(400, "InvalidArgument"), "{number}");
        assert_eq!(
            answer.element("ArgumentName").as_deref(),
            Some("partNumber")
        );
    }
    let done = alice.send("POST", &target, &[], list("1", &etag)).await;
    assert_eq!(done.status, 200, "{}", done.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_legal_documents_are_read() {
    let (_door, alice) = open().await;
    let key = "\"".repeat(1024);
    alice
        .send("PUT", &format!("/bkt/{}", "%22".repeat(1024)), &[], "x")
        .await;
    let mut body = String::from("<Delete><Quiet>true</Quiet>");
    for _ in 0..1000 {
        let escaped = key.replace('"', "&quot;");
        body.push_str(&format!("<Object><Key>{escaped}</Key></Object>"));
    }
    body.push_str("</Delete>");
    assert!(body.len() > 6_000_000);
    let md5 = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        digest::md5(body.as_bytes()),
    );
    let headers = [("content-md5", &*md5)];
    let deleted = alice.send("POST", "/bkt?delete", &headers, body).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert!(!deleted.text().contains("<Error>"), "{}", deleted.text());
    let got = alice
        .send("GET", &format!("/bkt/{}", "%22".repeat(1024)), &[], "")
        .await;
    assert_eq!(got.status, 404);

    let (id, etag) = upload(&alice).await;
    let mut body = String::from("<CompleteMultipartUpload>\n");
    for number in 1..=10_000 {
        body.push_str(&format!(
            "  <Part>\n    <PartNumber>{number}</PartNumber>\n    <ETag>{}</ETag>\n    \
             <ChecksumSHA256>47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=</ChecksumSHA256>\n  \
             </Part>\n",
            etag.replace('"', "&quot;")
        ));
    }
    body.push_str("</CompleteMultipartUpload>");
    assert!(body.len() > 1_500_000);
    let answer = alice
        .send("POST", &format!("/bkt/parts?uploadId={id}"), &[], body)
        .await;
    // It is read to its end: all but one of the parts are not there.
    assert_eq!(
        code(&answer),
        expected(400, "InvalidPart"),
        "{}",
        answer.text()
    );
    let completed = format!("/bkt/parts?uploadId={id}");
    let answer = refused_early(&alice, "POST", &completed, (8 << 20) + 1).await;
    assert_eq!(code(&answer), expected(400, "MaxMessageLengthExceeded"));
    let answer = refused_early(&alice, "PUT", "/bkt?tagging", (1 << 20) + 1).await;
    assert_eq!(code(&answer), expected(400, "MaxMessageLengthExceeded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_kilobytes_of_metadata_may_have_many_names() {
    let (_door, alice) = open().await;
    let names: Vec<String> = (0..450).map(|n| format!("x-amz-meta-{n:03}")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "1")).collect();
    let put = alice.send("PUT", "/bkt/k", &headers, "x").await;
    assert_eq!(put.status, 200, "{}", put.text());
    let copy = [("x-amz-copy-source", "/bkt/k")];
    let copied = alice.send("PUT", "/bkt/copy", &copy, "").await;
    assert_eq!(copied.status, 200, "{}", copied.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_token_is_none() {
    let (_door, alice) = open().await;
    let put = alice.send("PUT", "/bkt/k", &[("x-amz-security-token", "")], "x");
    assert_eq!(put.await.status, 200);
    let query = "X-Amz-Security-Token=";
    let got = alice.send_presigned("GET", "/bkt/k", query, "").await;
    assert_eq!(got.status, 200, "{}", got.text());
    let some = [("x-amz-security-token", "t")];
    let refused = alice.send("GET", "/bkt/k", &some, "").await;
    assert_eq!(code(&refused), expected(400, "InvalidToken"));
}

/// The answer to a body that is too long. It comes before the body is read, and the connection is
/// closed: where this client is still writing then, it reads no answer, and asks again.
async fn refused_early(alice: &Client, method: &str, target: &str, len: usize) -> Answer {
    for _ in 0..100 {
        let sent = alice.send(method, target, &[], "x".repeat(len));
        let sent = std::panic::AssertUnwindSafe(sent);
        if let Ok(answer) = futures_util::FutureExt::catch_unwind(sent).await {
            return answer;
        }
    }
    panic!("no answer was read in a hundred tries");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_have_their_codes() {
    let (_door, alice) = open().await;
    alice.send("PUT", "/bkt/k", &[], "x").await;
    let document = |keys: &[String]| {
        let tags: String = keys
            .iter()
            .map(|k| format!("<Tag><Key>{k}</Key><Value>v</Value></Tag>"))
            .collect();
        format!("<Tagging><TagSet>{tags}</TagSet></Tagging>")
    };
    let many = |n: usize| (0..n).map(|n| format!("k{n}")).collect::<Vec<_>>();
    for (target, keys, status, name) in [
        ("/bkt/k?tagging", many(10), 200, ""),
        ("/bkt/k?tagging", many(11), 400, "BadRequest"),
        ("/bkt?tagging", many(50), 204, ""),
        ("/bkt?tagging", many(51), 400, "BadRequest"),
        (
            "/bkt/k?tagging",
            vec!["aws:owner".to_owned()],
            400,
            "InvalidTag",
        ),
        (
            "/bkt?tagging",
            vec!["AWS:owner".to_owned()],
            400,
            "InvalidTag",
        ),
        (
            "/bkt/k?tagging",
            vec!["a".to_owned(), "a".to_owned()],
            400,
            "InvalidTag",
        ),
        ("/bkt/k?tagging", vec![String::new()], 400, "InvalidTag"),
    ] {
        let answer = alice.send("PUT", target, &[], document(&keys)).await;
        assert_eq!(code(&answer), expected(status, name), "{target} {keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_marker_is_no_source_of_a_copy() {
    let (_door, alice) = open().await;
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    alice.send("PUT", "/bkt?versioning", &[], on).await;
    alice.send("PUT", "/bkt/k", &[], "x").await;
    let gone = alice.send("DELETE", "/bkt/k", &[], "").await;
    let marker = format!(
        "/bkt/k?versionId={}",
        gone.header("x-amz-version-id").unwrap()
    );
    for (method, target, document) in [
        ("GET", marker.clone(), ""),
        (
            "PUT",
            format!("{marker}&tagging"),
            "<Tagging><TagSet/></Tagging>",
        ),
    ] {
        let refused = alice.send(method, &target, &[], document).await;
        assert_eq!(
            code(&refused),
            expected(405, "MethodNotAllowed"),
            "{method}"
        );
        assert_eq!(refused.element("Method").as_deref(), Some(method));
    }
    let (id, _) = upload(&alice).await;
    let part = format!("/bkt/parts?partNumber=2&uploadId={id}");
    for target in ["/bkt/copy", &*part] {
        let named = alice
            .send("PUT", target, &[("x-amz-copy-source", &*marker)], "")
            .await;
        assert_eq!(
            code(&named),
            expected(400, "InvalidRequest"),
            "{}",
            named.text()
        );
        let current = alice
            .send("PUT", target, &[("x-amz-copy-source", "/bkt/k")], "")
            .await;
        assert_eq!(code(&current), expected(404, "NoSuchKey"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_the_same_everywhere() {
    let (_door, alice) = open().await;
    alice.send("PUT", "/bkt/k", &[], "x").await;
    let head = alice.send("HEAD", "/bkt/k", &[], "").await;
    let head = types::Timestamp::parse_http_date(head.header("last-modified").unwrap()).unwrap();
    for target in ["/bkt", "/bkt?list-type=2", "/bkt?versions"] {
        let page = alice.send("GET", target, &[], "").await;
        let listed = page.element("LastModified").unwrap();
        assert_eq!(listed, head.iso8601(), "{target}");
    }
    let copied = alice
        .send("PUT", "/bkt/copy", &[("x-amz-copy-source", "/bkt/k")], "")
        .await;
    assert!(copied.element("LastModified").unwrap().ends_with(".000Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_method_names_those_that_are_allowed() {
    let (_door, alice) = open().await;
    for (method, target, allowed) in [
        ("PATCH", "/bkt/k", "GET, PUT, HEAD, DELETE"),
        ("PUT", "/", "GET"),
        ("DELETE", "/bkt?acl", "GET, PUT"),
        ("PUT", "/bkt?location", "GET"),
        ("POST", "/bkt/k?tagging", "GET, PUT, DELETE"),
        ("HEAD", "/bkt?versions", "GET"),
        ("PUT", "/bkt/k?uploads", "POST"),
        ("GET", "/bkt/k?renameObject", ""),
    ] {
        let answer = alice.send(method, target, &[], "").await;
        let found = (answer.status, answer.header("allow"));
        assert_eq!(found, (405, Some(allowed)), "{method} {target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_what_they_are_about() {
    let (_door, alice) = open().await;
    alice.send("PUT", "/bkt/there", &[], "x").await;
    let version = "0".repeat(32);
    for (method, target, code, element, text) in [
        ("GET", "/bkt/a%20b%26", "NoSuchKey", "Key", "a b&amp;"),
        (
            "GET",
            "/bkt/k?uploadId=no",
            "NoSuchUpload",
            "UploadId",
            "no",
        ),
        ("DELETE", "/bkt", "BucketNotEmpty", "BucketName", "bkt"),
        ("GET", "/bkt?tagging", "NoSuchTagSet", "BucketName", "bkt"),
        (
            "GET",
            "/bkt?policy",
            "NoSuchBucketPolicy",
            "BucketName",
            "bkt",
        ),
        ("GET", "/none", "NoSuchBucket", "BucketName", "none"),
    ] {
        let answer = alice.send(method, target, &[], "").await;
        assert_eq!(answer.element("Code").as_deref(), Some(code), "{target}");
        assert_eq!(answer.element(element).as_deref(), Some(text), "{target}");
    }
    let target = format!("/bkt/there?versionId={version}");
    let answer = alice.send("GET", &target, &[], "").await;
    assert_eq!(
        answer.element("VersionId"),
        Some(version),
        "{}",
        answer.text()
    );
    assert_eq!(answer.element("Key").as_deref(), Some("there"));
    // No XML can hold this one.
    let answer = alice.send("GET", "/bkt/a%01", &[], "").await;
    assert_eq!((answer.status, answer.element("Key")), (404, None));
    let long = format!("/bkt/{}", "k".repeat(1025));
    let answer = alice.send("GET", &long, &[], "").await;
    assert_eq!(answer.element("MaxSizeAllowed").as_deref(), Some("1024"));
    let none = alice.send("GET", "/bkt/there?attributes", &[], "").await;
    assert_eq!(code(&none), expected(400, "InvalidRequest"));
    // GetObjectAttributes has the conditions of a read.
    let wants = ("x-amz-object-attributes", "ETag");
    for (name, value, status) in [
        ("if-match", "*", 200),
        ("if-match", "\"no\"", 412),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"no\"", 200),
        ("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT", 304),
        ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT", 412),
    ] {
        let headers = [wants, (name, value)];
        let answer = alice
            .send("GET", "/bkt/there?attributes", &headers, "")
            .await;
        assert_eq!(answer.status, status, "{name}: {value}");
    }
    // A copy's source names the condition by the header that has it.
    for (name, value) in [
        ("x-amz-copy-source-if-match", "\"no\""),
        ("x-amz-copy-source-if-none-match", "*"),
        (
            "x-amz-copy-source-if-modified-since",
            "Fri, 01 Jan 2100 00:00:00 GMT",
        ),
        (
            "x-amz-copy-source-if-unmodified-since",
            "Sat, 01 Jan 2000 00:00:00 GMT",
        ),
    ] {
        let headers = [("x-amz-copy-source", "/bkt/there"), (name, value)];
        let answer = alice.send("PUT", "/bkt/copy", &headers, "").await;
        assert_eq!(code(&answer), expected(412, "PreconditionFailed"), "{name}");
        let condition = answer.element("Condition").unwrap_or_default();
        assert!(condition.eq_ignore_ascii_case(name), "{name}: {condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_upload_says_where_the_object_is() {
    let (server, alice) = open().await;
    let (id, etag) = upload(&alice).await;
    let part = format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
    let document = format!("<CompleteMultipartUpload>{part}</CompleteMultipartUpload>");
    let target = format!("/bkt/parts?uploadId={id}");
    let done = alice.send("POST", &target, &[], document).await;
    let location = format!("http://{}/bkt/parts", server.address);
    assert_eq!(done.element("Location"), Some(location), "{}", done.text());
}
