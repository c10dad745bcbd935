//! Every operation of the table refuses whoever may not ask: the requests are made from the table
//! itself, so an operation that is added is tested without anybody thinking of it.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use bytes::Bytes;
use common::TestServer;
use gateway::{
    GatewayConfig,
    operations::Resource,
    s3::operations::{ROWS, Row},
};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, client::conn::http1};
use hyper_util::rt::TokioIo;

/// Sends one request on a connection of its own; status and body.
async fn send(server: &TestServer, request: Request<Full<Bytes>>) -> (u16, String) {
    let (status, _, body) = send_whole(server, request).await;
    (status, body)
}

/// The same with the headers of the answer.
async fn send_whole(
    server: &TestServer,
    request: Request<Full<Bytes>>,
) -> (u16, HeaderMap, String) {
    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    (status, headers, String::from_utf8_lossy(&body).into_owned())
}

/// The request of an operation on Alice's bucket, unsigned.
fn request(server: &TestServer, operation: &Row) -> http::request::Builder {
    let path = match operation.resource {
        Resource::Service => "/",
        Resource::Bucket if operation.name == "CreateBucket" => "/new-bucket",
        Resource::Bucket => "/alice-bucket",
        Resource::Object => "/alice-bucket/key",
    };
    let query: Vec<_> = operation
        .query
        .iter()
        .map(|q| match *q {
            "partNumber" => "partNumber=1".to_owned(),
            "uploadId" => format!("uploadId={}", "0".repeat(32)),
            "id" => "id=x".to_owned(),
            flag => flag.to_owned(),
        })
        .collect();
    let mut builder = Request::builder()
        .method(operation.method)
        .uri(format!("{path}?{}", query.join("&")))
        .header("host", server.address.to_string());
    for header in operation.headers {
        builder = builder.header(*header, "/alice-bucket/source");
    }
    builder
}

fn body_of(operation: &Row) -> Full<Bytes> {
    match operation.method {
        "PUT" | "POST" => Full::new(Bytes::from_static(b"<Anything/>")),
        _ => Full::new(Bytes::new()),
    }
}

async fn assert_refused(server: &TestServer, operation: &Row, who: &str, sent: (u16, String)) {
    let (status, body) = sent;
    let refused = matches!(status, 400 | 401 | 403);
    assert!(refused, "{} by {who}: {status} {body}", operation.name);
    assert!(
        !body.contains("<Code>NotImplemented"),
        "{} by {who}",
        operation.name
    );
    let new = types::BucketName::new("new-bucket").unwrap();
    assert!(
        server.gateway.deeds.get(&new).is_none(),
        "{} by {who}",
        operation.name
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s02_every_operation_refuses_anonymous_callers() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    for operation in ROWS {
        let request = request(&server, operation)
            .body(body_of(operation))
            .unwrap();
        let sent = send(&server, request).await;
        assert_refused(&server, operation, "nobody", sent).await;
    }
}

/// Signs the request of an operation; `tamper` changes a header afterwards.
fn signed(
    server: &TestServer,
    operation: &Row,
    access_key: &str,
    secret: &str,
) -> Request<Full<Bytes>> {
    signed_for(server, operation, access_key, secret, common::REGION)
}

fn signed_for(
    server: &TestServer,
    operation: &Row,
    access_key: &str,
    secret: &str,
    region: &str,
) -> Request<Full<Bytes>> {
    let unsigned = request(server, operation).body(()).unwrap();
    let host = server.address.to_string();
    let headers: Vec<(&str, &str)> = operation
        .headers
        .iter()
        .map(|h| (*h, "/alice-bucket/source"))
        .collect();
    let body = body_of(operation);
    let payload = match operation.method {
        "PUT" | "POST" => access::sign::payload_sha256(b"<Anything/>"),
        _ => access::sign::payload_sha256(b""),
    };
    let mut signer = access::sign::Signer::new(access_key, secret, region);
    let signed = signer.sign(
        &access::sign::Unsigned {
            method: operation.method,
            host: &host,
            path: unsigned.uri().path(),
            query: unsigned.uri().query().unwrap_or_default(),
            headers: &headers,
            payload: &payload,
        },
        types::Clock::now(&types::SystemClock),
    );
    let (mut parts, ()) = unsigned.into_parts();
    for (name, value) in [
        ("authorization", &signed.authorization),
        ("x-amz-date", &signed.date),
        ("x-amz-content-sha256", &payload),
    ] {
        parts.headers.insert(name, value.parse().unwrap());
    }
    Request::from_parts(parts, body)
}

const ALICE: &str = "ALICEALICEALICEALICE";
const BOB: &str = "BOBBOBBOBBOBBOBBOBBO";

fn secret(access_key: &str) -> String {
    access_key.chars().rev().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s01_every_operation_refuses_a_forged_signature() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    for operation in ROWS {
        let forged = signed(&server, operation, ALICE, "not the secret of Alice at all");
        let sent = send(&server, forged).await;
        if operation.method != "HEAD" {
            assert!(
                sent.1.contains("<Code>SignatureDoesNotMatch</Code>"),
                "{}: {sent:?}",
                operation.name
            );
        }
        assert_refused(&server, operation, "a forger", sent).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_an_unknown_key() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    for operation in ROWS {
        let stranger = signed(&server, operation, "AKIDUNKNOWNUNKNOWN00", "any secret");
        let sent = send(&server, stranger).await;
        if operation.method != "HEAD" {
            let code = "<Code>InvalidAccessKeyId</Code>";
            assert!(sent.1.contains(code), "{}: {sent:?}", operation.name);
        }
        assert_refused(&server, operation, "an unknown key", sent).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_on_a_bucket_refuses_another_account() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    for operation in ROWS {
        if operation.resource == Resource::Service || operation.name == "CreateBucket" {
            continue;
        }
        let sent = send(&server, signed(&server, operation, BOB, &secret(BOB))).await;
        if operation.method != "HEAD" {
            let code = "<Code>AccessDenied</Code>";
            assert!(sent.1.contains(code), "{}: {sent:?}", operation.name);
        }
        assert_refused(&server, operation, "another account", sent).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_yet_says_so_by_name_to_the_owner() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    for operation in ROWS.iter().filter(|o| o.action.is_none()) {
        let (status, body) = send(&server, signed(&server, operation, ALICE, &secret(ALICE))).await;
        assert_eq!(status, 501, "{}: {body}", operation.name);
        let message = format!("<Message>{} is not implemented", operation.name);
        assert!(body.contains(&message), "{}: {body}", operation.name);
    }
}

/// A region whose keys do not verify what is signed for another: it says for which one to sign, as
/// SDKs read it, on every operation.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_names_the_region_to_sign_for() {
    let server = TestServer::open(GatewayConfig {
        region_aliases: Vec::new(),
        ..GatewayConfig::default()
    })
    .await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    for operation in ROWS {
        for (region, said) in [
            ("us-east-1", "the region 'us-east-1' is wrong; expecting"),
            ("auto", "the region 'auto' is wrong; expecting"),
            ("eu-west-9", "the region 'eu-west-9' is wrong; expecting"),
            ("", "a non-empty region must be provided in the credential"),
        ] {
            let sent = signed_for(&server, operation, ALICE, &secret(ALICE), region);
            let (status, headers, body) = send_whole(&server, sent).await;
            let what = format!("{} for {region}: {body}", operation.name);
            assert_eq!(status, 400, "{what}");
            assert_eq!(headers["x-amz-bucket-region"], common::REGION, "{what}");
            assert_names_region(operation, &body, "AuthorizationHeaderMalformed", said);

            // Their headers would have to be signed.
            if !operation.headers.is_empty() {
                continue;
            }
            let target = presigned(&server, operation, region);
            let sent = request(&server, operation).uri(target);
            let sent = sent.body(body_of(operation)).unwrap();
            let (status, headers, body) = send_whole(&server, sent).await;
            let what = format!("{} presigned for {region}: {body}", operation.name);
            assert_eq!(status, 400, "{what}");
            assert_eq!(headers["x-amz-bucket-region"], common::REGION, "{what}");
            assert_names_region(operation, &body, "AuthorizationQueryParametersError", said);
        }
    }
}

fn assert_names_region(operation: &Row, body: &str, code: &str, said: &str) {
    if operation.method == "HEAD" {
        assert_eq!(body, "");
        return;
    }
    let region = format!("<Region>{}</Region>", common::REGION);
    let code = format!("<Code>{code}</Code>");
    for part in [&*code, &*region, said] {
        assert!(body.contains(part), "{}: {body}", operation.name);
    }
}

fn presigned(server: &TestServer, operation: &Row, region: &str) -> String {
    let plain = request(server, operation).body(()).unwrap();
    let host = server.address.to_string();
    let path = plain.uri().path();
    let mut signer = access::sign::Signer::new(ALICE, &secret(ALICE), region);
    let unsigned = access::sign::Unsigned {
        method: operation.method,
        host: &host,
        path,
        query: plain.uri().query().unwrap_or_default(),
        headers: &[],
        payload: "UNSIGNED-PAYLOAD",
    };
    let now = types::Clock::now(&types::SystemClock);
    format!("{path}?{}", signer.presign(&unsigned, now, 60))
}

/// Libraries find out so for which region to sign: without a signature. It is the endpoint's own,
/// for every bucket, so it reveals to nobody where one is.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_without_a_signature_is_told_the_region_of_the_endpoint() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    for method in ["HEAD", "GET"] {
        for path in ["/alice-bucket", "/alice-bucket/key"] {
            let request = Request::builder().method(method).uri(path);
            let request = request.header("host", server.address.to_string());
            let request = request.body(Full::new(Bytes::new())).unwrap();
            let (status, headers, _) = send_whole(&server, request).await;
            let region = headers.get("x-amz-bucket-region").unwrap();
            assert_eq!((status, region), (403, &common::REGION.parse().unwrap()));
        }
    }
}
