//! Uploads by HTML forms, through the gateway.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use access::sign::Signer;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use common::{
    TestServer,
    client::{Answer, Client, exchange},
};
use gateway::GatewayConfig;
use http_body_util::Full;
use hyper::Request;
use types::{Clock, SystemClock, Timestamp};

const ALICE: &str = "ALICEALICEALICEALICE";
const BOB: &str = "BOBBOBBOBBOBBOBBOBBO";
const EDGE: &str = "edge-of-the-form";

/// Sends a form without signing any head.
async fn post(server: &TestServer, path: &str, fields: &[(String, String)], file: &[u8]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!(
            "--{EDGE}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{EDGE}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"me.txt\"\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{EDGE}--\r\n").as_bytes());
    let request = Request::post(path)
        .header("host", server.address.to_string())
        .header(
            "content-type",
            format!("multipart/form-data; boundary={EDGE}"),
        )
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    exchange(server.address, request).await
}

/// The fields of a form for `bucket` that holds for a minute.
fn signed(access_key: &str, bucket: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let now = SystemClock.now();
    let date = now.iso_basic();
    let region = common::REGION;
    let credential = format!("{access_key}/{}/{region}/s3/aws4_request", &date[..8]);
    let until = Timestamp::from_s(now.s() + 60).iso8601();
    let extra: String = more
        .iter()
        .map(|(n, v)| format!(",{{\"{n}\":\"{v}\"}}"))
        .collect();
    let policy = STANDARD.encode(format!(
        r#"{{"expiration":"{until}","conditions":[{{"bucket":"{bucket}"}},
        ["starts-with","$key","up/"],["content-length-range",1,1000000],
        {{"x-amz-algorithm":"AWS4-HMAC-SHA256"}},{{"x-amz-credential":"{credential}"}},
        {{"x-amz-date":"{date}"}}{extra}]}}"#
    ));
    let secret: String = access_key.chars().rev().collect();
    let signature = Signer::new(access_key, &secret, region).sign_text(&policy, now);
    [
        ("key", "up/${filename}"),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &credential),
        ("x-amz-date", &date),
        ("policy", &policy),
        ("x-amz-signature", &signature),
    ]
    .iter()
    .chain(more)
    .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_a_form_stores_an_object_or_nothing() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    server.grant_bucket("alice-other", "000000000001").await;
    let alice = Client::new(server.address, ALICE);
    let here = format!("http://{}/alice-bucket/up/me.txt", server.address);

    let more = [
        ("success_action_status", "201"),
        ("Content-Type", "text/x-form"),
        ("x-amz-meta-a", "1"),
    ];
    let form = signed(ALICE, "alice-bucket", &more);
    // Larger than what is kept beside the row, and than one piece of the connection.
    let file: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    let stored = post(&server, "/alice-bucket", &form, &file).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    assert_eq!(stored.element("Key").as_deref(), Some("up/me.txt"));
    assert_eq!(stored.element("Location").as_deref(), Some(&*here));
    assert_eq!(stored.header("location"), Some(&*here));
    let got = alice.send("GET", "/alice-bucket/up/me.txt", &[], "").await;
    assert_eq!((got.status, &got.body[..]), (200, &file[..]));
    assert_eq!(got.header("content-type"), Some("text/x-form"));
    assert_eq!(got.header("x-amz-meta-a"), Some("1"));
    assert_eq!(got.header("etag"), stored.header("etag"));

    let plain = signed(ALICE, "alice-bucket", &[]);
    let stored = post(&server, "/alice-bucket/", &plain, b"small").await;
    assert_eq!(
        (stored.status, stored.header("location")),
        (204, Some(&*here))
    );
    let done = [("success_action_redirect", "http://x.example/done")];
    let form = signed(ALICE, "alice-bucket", &done);
    let stored = post(&server, "/alice-bucket", &form, b"by form").await;
    let to = stored.header("location").unwrap();
    assert_eq!(stored.status, 303);
    assert!(to.starts_with("http://x.example/done?bucket=alice-bucket&key=up%2Fme.txt&etag="));

    let changed = |name: &str, value: &str| {
        let mut form = plain.clone();
        form.iter_mut().find(|f| f.0 == name).unwrap().1 = value.to_owned();
        form
    };
    let nobody = vec![("key".to_owned(), "up/x".to_owned())];
    let acl = signed(ALICE, "alice-bucket", &[("acl", "public-read")]);
    let bobs = signed(BOB, "alice-bucket", &[]);
    let tail = "Invalid according to Policy: Policy Condition failed:";
    for (path, form, file, code, says) in [
        (
            "/alice-bucket",
            &changed("key", "else/k"),
            9,
            "AccessDenied",
            tail,
        ),
        ("/alice-other", &plain, 9, "AccessDenied", tail),
        ("/alice-bucket", &plain, 0, "EntityTooSmall", ""),
        ("/alice-bucket", &plain, 1_000_001, "EntityTooLarge", ""),
        ("/alice-bucket", &nobody, 9, "AccessDenied", ""),
        ("/alice-bucket", &bobs, 9, "AccessDenied", ""),
        (
            "/alice-bucket",
            &acl,
            9,
            "AccessControlListNotSupported",
            "",
        ),
        ("/no-such-bucket", &nobody, 9, "NoSuchBucket", ""),
        (
            "/alice-bucket",
            &changed("x-amz-signature", "00"),
            9,
            "SignatureDoesNotMatch",
            "",
        ),
    ] {
        let refused = post(&server, path, form, &vec![b'x'; file]).await;
        assert_eq!(
            refused.element("Code").as_deref(),
            Some(code),
            "{refused:?}"
        );
        assert!(refused.text().contains(says), "{refused:?}");
    }
    let got = alice.send("GET", "/alice-bucket/up/me.txt", &[], "").await;
    assert_eq!(
        &got.body[..],
        b"by form",
        "a refused form changed the object"
    );
    let others = alice.send("GET", "/alice-other?list-type=2", &[], "").await;
    assert_eq!(others.element("KeyCount").as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn s29_fields_that_trickle_in_are_not_waited_for() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let idle = std::time::Duration::from_millis(300);
    let server = TestServer::open(GatewayConfig {
        body_idle: idle,
        ..GatewayConfig::default()
    })
    .await;
    let stream = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    let (mut from, mut to) = stream.into_split();
    let head = format!(
        "POST /bkt HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\
         Content-Type: multipart/form-data; boundary={EDGE}\r\n\r\n\
         --{EDGE}\r\nContent-Disposition: form-data; name=\"x"
    );
    to.write_all(head.as_bytes()).await.unwrap();
    // Never silent for as long as the gateway would wait for one piece.
    let trickle = tokio::spawn(async move {
        let mut pace = tokio::time::interval(idle / 6);
        loop {
            pace.tick().await;
            if to.write_all(b"x").await.is_err() {
                return;
            }
        }
    });
    let mut answer = [0; 12];
    let answered = from.read_exact(&mut answer);
    let answered = tokio::time::timeout(idle * 30, answered).await;
    trickle.abort();
    answered.expect("the server waits without end").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}
