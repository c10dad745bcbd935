//! What comes over the socket, byte by byte, before any signature matters.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use common::{TestServer, client::Client};
use gateway::GatewayConfig;

/// Sends bytes and returns all that comes until the peer closes or is silent for `silence`.
async fn raw(address: SocketAddr, bytes: Vec<u8>, silence: Duration) -> (String, bool) {
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(silence)).unwrap();
        // The peer may have closed already: its answer is what counts.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return (String::from_utf8_lossy(&answer).into_owned(), true),
                Ok(n) => answer.extend_from_slice(&buffer[..n]),
                Err(error) => {
                    let closed = error.kind() == std::io::ErrorKind::ConnectionReset;
                    return (String::from_utf8_lossy(&answer).into_owned(), closed);
                }
            }
        }
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

const SILENCE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn s12_smuggling_is_refused_and_the_connection_closed() {
    let server = TestServer::open(GatewayConfig::default()).await;
    for case in [
        "POST /bkt HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        "POST /bkt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 2\r\n\r\nab",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\na",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\na",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1 2\r\n\r\na",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\na",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "PUT /bkt/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n",
        "PUT /bkt/k HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX A: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n",
        "GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1 x\r\nHost: h\r\n\r\n",
        "GET\r\n\r\n",
        "GET / \0 HTTP/1.1\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
    ] {
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
        let bytes = format!("{case}{smuggled}").into_bytes();
        let (answer, closed) = raw(server.address, bytes, SILENCE).await;
        let first = answer.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("HTTP/1.1 4") || first.is_empty(),
            "{case:?}: {answer}"
        );
        assert!(!answer.contains("smuggled"), "{case:?}: {answer}");
        assert!(closed, "{case:?} was not closed: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_the_request() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let bytes = b"GET /no-such-bucket/a%26b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let (answer, _) = raw(server.address, bytes.to_vec(), SILENCE).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let id = head
        .lines()
        .find_map(|l| l.strip_prefix("x-amz-request-id: "))
        .unwrap();
    assert!(head.starts_with("HTTP/1.1 404"), "{answer}");
    for line in [
        "server: Dhow",
        "content-type: application/xml",
        "x-amz-id-2: ",
        "date: ",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(
        body.contains(&format!("<RequestId>{id}</RequestId>")),
        "{body}"
    );
    assert!(body.contains("<Code>NoSuchBucket</Code>"), "{body}");
    assert!(
        body.contains("<Resource>/no-such-bucket/a%26b</Resource>"),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_answered_without_a_body() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let bytes = b"HEAD /no-such-bucket HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let (answer, _) = raw(server.address, bytes.to_vec(), SILENCE).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s23_nothing_but_s3_is_served_here() {
    let server = TestServer::open(GatewayConfig::default()).await;
    for path in [
        "/-/health/live",
        "/metrics",
        "/debug/pprof",
        "/-/admin/v1/keys",
        "/.env",
    ] {
        let bytes = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let (answer, _) = raw(server.address, bytes.into_bytes(), SILENCE).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec();
    let (answer, _) = raw(server.address, bytes, SILENCE).await;
    assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s29_heads_have_a_limit() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let head = |n| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\nX-A: {}\r\n\r\n",
            "a".repeat(n)
        )
    };
    let (answer, _) = raw(server.address, head(20_000).into_bytes(), SILENCE).await;
    assert!(
        answer.contains("<Code>RequestHeaderSectionTooLarge</Code>"),
        "{answer}"
    );
    let (answer, _) = raw(server.address, head(1_000_000).into_bytes(), SILENCE).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn s29_a_slow_head_is_cut_off() {
    let server = TestServer::open(GatewayConfig {
        head_timeout: Duration::from_millis(300),
        ..GatewayConfig::default()
    })
    .await;
    let begun = Instant::now();
    let bytes = b"GET / HTTP/1.1\r\nHos".to_vec();
    let (_, closed) = raw(server.address, bytes, Duration::from_secs(10)).await;
    assert!(closed && begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_ahead_does_not_cut_the_answer_before_it() {
    let limit = Duration::from_millis(100);
    let server = TestServer::open(GatewayConfig {
        head_timeout: limit,
        ..GatewayConfig::default()
    })
    .await;
    let alice = Client::new(server.address, "ALICEALICEALICEALICE");
    server.grant_bucket("bkt", "000000000001").await;
    let size = 32 << 20;
    let put = alice.send("PUT", "/bkt/k", &[], vec![7; size]).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let host = server.address.to_string();
    let target = alice.presign("GET", "/bkt/k", &host);
    let slow_client = move || {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let head = |end| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{end}\r\n");
        stream.write_all(head("").as_bytes()).unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        // While the answer to the first waits for its reader.
        let ahead = head("Connection: close\r\n");
        stream.write_all(ahead.as_bytes()).unwrap();
        std::thread::sleep(limit * 10);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest.len()
    };
    let got = tokio::task::spawn_blocking(slow_client).await.unwrap();
    assert!(got > 2 * size, "{got} bytes of two answers of {size}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_is_not_asked_for_its_body() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let bytes = b"PUT /no-such-bucket/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\
        Expect: 100-continue\r\n\r\n"
        .to_vec();
    let (answer, closed) = raw(server.address, bytes, SILENCE).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(closed && !answer.contains("100 Continue"), "{answer}");
}

/// botocore reads the next answer wrongly on a connection on which it had one instead of
/// `100 Continue`: it had not asked for more, so there is nothing to continue with.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_continue_that_was_expected_ends_the_connection() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let bytes = b"PUT /no-such-bucket/k HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\
        Expect: 100-continue\r\n\r\n"
        .to_vec();
    let (answer, closed) = raw(server.address, bytes, SILENCE).await;
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(closed && !answer.contains("100 Continue"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s31_refusals_of_strangers_are_counted_apart() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec();
    raw(server.address, bytes, SILENCE).await;
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &server.registry).unwrap();
    assert!(
        text.contains("dhow_s3_strangers_total{code=\"AccessDenied\"} 1"),
        "{text}"
    );
    // Rows appear once something is counted.
    let counted = "dhow_s3_requests_total{operation=\"ListBuckets\",status=\"4xx\"}";
    assert!(!text.contains(counted), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_idle_connections() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let address = server.address;
    let idle = TcpStream::connect(address).unwrap();
    raw(
        address,
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        SILENCE,
    )
    .await;
    let begun = Instant::now();
    server.close().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(TcpStream::connect(address).is_err());
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let mut bytes =
        b"PUT /no-such-bucket/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    bytes.resize(bytes.len() + 900_000, b'x');
    for _ in 0..20 {
        let (answer, _) = raw(server.address, bytes.clone(), Duration::from_secs(5)).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}
