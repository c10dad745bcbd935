//! Requests that two readers could take for two things: what is signed is what is done, and what
//! is not clear is not done at all.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use access::sign::{Signer, Unsigned};
use common::{REGION, TestServer, client::Client};
use gateway::GatewayConfig;
use types::BucketName;

const ALICE: &str = "ALICEALICEALICEALICE";
const OWNER: &str = "000000000001";

/// What was answered to raw bytes, read until the connection closes.
async fn raw(server: &TestServer, bytes: String) -> String {
    let address = server.address;
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let _ = stream.write_all(bytes.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

/// The query of a URL that Alice signed.
fn presigned(method: &str, host: &str, path: &str, query: &str) -> String {
    let secret: String = ALICE.chars().rev().collect();
    let request = Unsigned {
        method,
        host,
        path,
        query,
        headers: &[],
        payload: "UNSIGNED-PAYLOAD",
    };
    let now = types::Clock::now(&types::SystemClock);
    Signer::new(ALICE, &secret, REGION).presign(&request, now, 60)
}

/// Sends a request with a presigned URL as its target says; `head` are more lines.
async fn send(server: &TestServer, method: &str, target: &str, head: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n\
         {body}"
    );
    raw(server, request).await
}

fn status(answer: &str) -> u16 {
    let text = answer.strip_prefix("HTTP/1.1 ").and_then(|a| a.get(..3));
    text.unwrap_or("0").parse().unwrap()
}

async fn content(alice: &Client, target: &str) -> Option<String> {
    let got = alice.send("GET", target, &[], "").await;
    (got.status == 200).then(|| got.text())
}

async fn door_with_two_buckets() -> (TestServer, Client) {
    let server = TestServer::open(GatewayConfig::default()).await;
    let alice = Client::new(server.address, ALICE);
    for bucket in ["mine", "other"] {
        server.grant_bucket(bucket, OWNER).await;
        let put = alice
            .send("PUT", &format!("/{bucket}/k"), &[], bucket)
            .await;
        assert_eq!(put.status, 200);
    }
    (server, alice)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_opens_no_bucket_but_its_own() {
    let (server, alice) = door_with_two_buckets().await;
    server.grant_bucket("empty", OWNER).await;
    let host = "mine.localhost";
    for (method, path) in [
        ("GET", "/k"),
        ("PUT", "/k"),
        ("DELETE", "/k"),
        ("DELETE", "/"),
    ] {
        let query = presigned(method, host, path, "");
        for (target, head) in [
            (
                format!("http://other.localhost{path}?{query}"),
                format!("Host: {host}\r\n"),
            ),
            (
                format!("http://empty.localhost{path}?{query}"),
                format!("Host: {host}\r\n"),
            ),
            (
                format!("HTTP://{host}@other.localhost{path}?{query}"),
                format!("Host: {host}\r\n"),
            ),
            (
                format!("{path}?{query}"),
                format!("Host: {host}\r\nHost: other.localhost\r\n"),
            ),
            (
                format!("{path}?{query}"),
                format!("Host: other.localhost\r\nHost: {host}\r\n"),
            ),
            (
                format!("{path}?{query}"),
                "Host: other.localhost\r\n".to_owned(),
            ),
            (
                format!("//other.localhost{path}?{query}"),
                format!("Host: {host}\r\n"),
            ),
            (
                format!("/..%2fother{path}?{query}"),
                format!("Host: {host}\r\n"),
            ),
            (
                format!("http://other.localhost{path}?{query}"),
                String::new(),
            ),
        ] {
            let answer = send(&server, method, &target, &head, "forged").await;
            assert!(
                matches!(status(&answer), 400 | 403),
                "{method} {target} {head}: {answer}"
            );
        }
    }
    assert_eq!(content(&alice, "/mine/k").await.as_deref(), Some("mine"));
    assert_eq!(content(&alice, "/other/k").await.as_deref(), Some("other"));
    let empty = BucketName::new("empty").unwrap();
    assert!(server.gateway.deeds.get(&empty).is_some());
    // The same URL is good for what it was made for, in absolute form too.
    let query = presigned("GET", host, "/k", "");
    for target in [format!("/k?{query}"), format!("http://{host}/k?{query}")] {
        let answer = send(&server, "GET", &target, &format!("Host: {host}\r\n"), "").await;
        assert!(answer.ends_with("\r\n\r\nmine"), "{answer}");
    }
}

/// As JavaScript v3 presigns them: everything stands in the query.
#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_copy_stores_no_bytes_of_its_holder() {
    let (server, alice) = door_with_two_buckets().await;
    let host = server.address.to_string();
    let head = format!("Host: {host}\r\n");
    for name in [
        "x-amz-copy-source",
        "X-Amz-Copy-Source",
        "x-amz%2Dcopy-source",
    ] {
        let query = format!("{name}=%2Fother%2Fk&x-id=CopyObject");
        let query = presigned("PUT", &host, "/mine/copy", &query);
        let answer = send(
            &server,
            "PUT",
            &format!("/mine/copy?{query}"),
            &head,
            "forged",
        )
        .await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.contains("<CopyObjectResult"), "{answer}");
        assert_eq!(
            content(&alice, "/mine/copy").await.as_deref(),
            Some("other")
        );
    }
    let begun = alice.send("POST", "/mine/parts?uploads", &[], "").await;
    let upload = begun.element("UploadId").unwrap();
    let query = format!(
        "partNumber=1&uploadId={upload}&x-amz-copy-source=%2Fother%2Fk\
         &x-amz-copy-source-range=bytes%3D0-1&x-id=UploadPartCopy"
    );
    let query = presigned("PUT", &host, "/mine/parts", &query);
    let answer = send(
        &server,
        "PUT",
        &format!("/mine/parts?{query}"),
        &head,
        "forged",
    )
    .await;
    assert!(answer.contains("<CopyPartResult"), "{answer}");
    let parts = alice
        .send("GET", &format!("/mine/parts?uploadId={upload}"), &[], "")
        .await;
    assert_eq!(
        parts.element("Size").as_deref(),
        Some("2"),
        "{}",
        parts.text()
    );
    // What a presigned upload lets its holder choose is the bytes, and nothing else.
    let query = presigned("PUT", &host, "/mine/k", "x-id=PutObject");
    for more in [
        "x-amz-copy-source: /other/k\r\n",
        "X-Amz-Meta-A: b\r\n",
        "x-dhow-placement-home: elsewhere\r\n",
    ] {
        let head = format!("{head}{more}");
        let answer = send(&server, "PUT", &format!("/mine/k?{query}"), &head, "forged").await;
        assert_eq!(status(&answer), 403, "{more}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presigned_uploads_ignore_checksums_of_their_query() {
    let (server, alice) = door_with_two_buckets().await;
    let host = server.address.to_string();
    let head = format!("Host: {host}\r\n");
    let query = presigned(
        "PUT",
        &host,
        "/mine/js",
        "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32\
         &X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&x-amz-meta-colour=blue\
         &x-amz-acl=bucket-owner-full-control\
         &x-amz-storage-class=STANDARD&x-amz-tagging=a%3Db&x-id=PutObject\
         &Content-Type=text%2Fplain&Content-MD5=AAAAAAAAAAAAAAAAAAAAAA%3D%3D&Cache-Control=no-store",
    );
    let answer = send(&server, "PUT", &format!("/mine/js?{query}"), &head, "bytes").await;
    assert_eq!(status(&answer), 200, "{answer}");
    let got = alice.send("GET", "/mine/js", &[], "").await;
    assert_eq!(
        (got.text().as_str(), got.header("x-amz-meta-colour")),
        ("bytes", Some("blue"))
    );
    assert_eq!(got.header("x-amz-tagging-count"), Some("1"));
    // Those are headers that the client sends or does not.
    assert_eq!(got.header("content-type"), Some("binary/octet-stream"));
    assert_eq!(got.header("cache-control"), None);
    let begun = alice.send("POST", "/mine/parts?uploads", &[], "").await;
    let upload = begun.element("UploadId").unwrap();
    let query = format!(
        "partNumber=1&uploadId={upload}&x-amz-checksum-crc32=AAAAAA%3D%3D\
         &x-amz-sdk-checksum-algorithm=CRC32&x-id=UploadPart"
    );
    let query = presigned("PUT", &host, "/mine/parts", &query);
    let answer = send(
        &server,
        "PUT",
        &format!("/mine/parts?{query}"),
        &head,
        "bytes",
    )
    .await;
    assert_eq!(status(&answer), 200, "{answer}");
    // It is signed over all the same.
    let other = query.replace("AAAAAA", "AAAAAB");
    let answer = send(
        &server,
        "PUT",
        &format!("/mine/parts?{other}"),
        &head,
        "bytes",
    )
    .await;
    assert_eq!(status(&answer), 403, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_a_query_acts_as_the_header_does() {
    let (server, alice) = door_with_two_buckets().await;
    let host = server.address.to_string();
    for (method, target, query, expected) in [
        (
            "PUT",
            "/mine/k",
            "x-amz-expected-bucket-owner=000000000002",
            403,
        ),
        (
            "GET",
            "/mine/k",
            "X-Amz-Expected-Bucket-Owner=000000000002",
            403,
        ),
        (
            "DELETE",
            "/mine",
            "x-amz-expected-bucket-owner=000000000002",
            403,
        ),
        (
            "GET",
            "/mine/k",
            "x-amz-expected-bucket-owner=000000000001",
            200,
        ),
        (
            "PUT",
            "/placed",
            "x-dhow-placement-jurisdictions=Nowhere",
            400,
        ),
        ("PUT", "/placed", "X-Dhow-Placement-Jurisdiction=DE", 400),
        ("PUT", "/placed", "x-dhow-placement-replicas=nowhere-1", 400),
        ("PUT", "/mine/k", "x-dhow-placement-proxy=true", 400),
        ("PUT", "/mine/k", "x-amz-acl=public-read", 400),
        ("PUT", "/mine/k", "x-amz-server-side-encryption=AES256", 501),
        ("PUT", "/mine/k", "x-id=CopyObject", 400),
        ("PUT", "/mine/k", "annotation&annotationName=a", 501),
        ("PUT", "/mine/k", "anything", 501),
        ("PUT", "/mine/k", "versionId=null", 400),
        ("DELETE", "/mine", "prefix=k", 501),
        (
            "GET",
            "/mine/k",
            "response-content-type=a%2Fb&x-id=GetObject",
            200,
        ),
    ] {
        let signed = presigned(method, &host, target, query);
        let head = format!("Host: {host}\r\n");
        let answer = send(&server, method, &format!("{target}?{signed}"), &head, "").await;
        assert_eq!(
            status(&answer),
            expected,
            "{method} {target} {query}: {answer}"
        );
    }
    assert_eq!(content(&alice, "/mine/k").await.as_deref(), Some("mine"));
    assert!(
        server
            .gateway
            .deeds
            .get(&BucketName::new("placed").unwrap())
            .is_none()
    );
}

/// A list of header lines is signed as one line with commas, and was read as its first.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_comes_twice_changes_nothing() {
    let (server, alice) = door_with_two_buckets().await;
    let host = server.address.to_string();
    let secret: String = ALICE.chars().rev().collect();
    let sign = |headers: &[(&str, &str)]| {
        let request = Unsigned {
            method: "PUT",
            host: &host,
            path: "/mine/new",
            query: "",
            headers,
            payload: "UNSIGNED-PAYLOAD",
        };
        let now = types::Clock::now(&types::SystemClock);
        let signed = Signer::new(ALICE, &secret, REGION).sign(&request, now);
        format!(
            "Host: {host}\r\nAuthorization: {}\r\nx-amz-date: {}\r\n\
             x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n",
            signed.authorization, signed.date
        )
    };
    // The signer meant one line; who sends it on made two of it.
    for (name, joined, lines) in [
        (
            "x-amz-copy-source",
            "/mine/k,/other/k",
            ["/mine/k", "/other/k"],
        ),
        ("x-amz-copy-source", ",/other/k", ["", "/other/k"]),
        ("if-match", "\"a\",\"b\"", ["\"a\"", "\"b\""]),
        ("if-none-match", "*,\"b\"", ["*", "\"b\""]),
        ("x-amz-tagging", "a=b,c=d", ["a=b", "c=d"]),
        (
            "x-amz-expected-bucket-owner",
            "000000000001,2",
            ["000000000001", "2"],
        ),
    ] {
        let head = sign(&[(name, joined)]);
        let head = format!("{head}{name}: {}\r\n{name}: {}\r\n", lines[0], lines[1]);
        let answer = send(&server, "PUT", "/mine/new", &head, "forged").await;
        assert_eq!(status(&answer), 400, "{name}: {answer}");
        assert!(answer.contains("more than once"), "{name}: {answer}");
    }
    assert_eq!(content(&alice, "/mine/new").await, None);
    // Metadata is a list: it is read as it is signed.
    let head = sign(&[("x-amz-meta-a", "b,c")]);
    let head = format!("{head}x-amz-meta-a: b\r\nx-amz-meta-a: c\r\n");
    let answer = send(&server, "PUT", "/mine/new", &head, "fine").await;
    assert_eq!(status(&answer), 200, "{answer}");
    let got = alice.send("GET", "/mine/new", &[], "").await;
    assert_eq!(got.header("x-amz-meta-a"), Some("b,c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_lf_ends_no_line() {
    let (server, _) = door_with_two_buckets().await;
    let host = server.address.to_string();
    let query = presigned("GET", &host, "/mine/k", "");
    let good = format!("GET /mine/k?{query} HTTP/1.1\r\nHost: {host}\r\nX-A: b\r\n\r\n");
    let closing =
        format!("GET /mine/k?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert!(
        raw(&server, closing.clone())
            .await
            .ends_with("\r\n\r\nmine")
    );
    let lines = good.matches("\r\n").count();
    for line in 0..lines {
        let at = good.match_indices("\r\n").nth(line).unwrap().0;
        let bad = format!("{}{}", &good[..at], &good[at + 1..]);
        // Alone on its connection, and behind another request.
        for bytes in [format!("{bad}{closing}"), format!("{good}{bad}{closing}")] {
            let answer = raw(&server, bytes).await;
            let last = answer.rsplit("HTTP/1.1 ").next().unwrap();
            assert!(last.starts_with("400"), "line {line}: {answer}");
            assert!(last.contains("connection: close"), "line {line}: {answer}");
        }
    }
    let put = presigned("PUT", &host, "/mine/lines", "");
    let body = "a\nb\nGET / HTTP/1.1\n\n";
    let put = format!(
        "PUT /mine/lines?{put} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&server, format!("{put}{closing}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
}
