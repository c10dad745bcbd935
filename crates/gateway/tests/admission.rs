//! Many connections, slow clients, and a second account that must not notice them.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use std::{net::SocketAddr, time::Duration};

use access::sign::{Signer, Unsigned};
use common::{TestServer, client::Client};
use gateway::GatewayConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ALICE: &str = "ALICEALICEALICEALICE";
const BOB: &str = "BOBBOBBOBBOBBOBBOBBO";
/// Only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection whose bytes the test sends as slowly as it likes.
struct Slow {
    stream: TcpStream,
    address: SocketAddr,
}

impl Slow {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, address }
    }

    /// Sends the head of a request of Alice's with a body of `length` bytes.
    async fn head(&mut self, method: &str, path: &str, length: usize) {
        let secret: String = ALICE.chars().rev().collect();
        let host = self.address.to_string();
        let payload = "UNSIGNED-PAYLOAD";
        let signed = Signer::new(ALICE, &secret, common::REGION).sign(
            &Unsigned {
                method,
                host: &host,
                path,
                query: "",
                headers: &[],
                payload,
            },
            types::Clock::now(&types::SystemClock),
        );
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {}\r\nx-amz-date: {}\r\n\
             x-amz-content-sha256: {payload}\r\ncontent-length: {length}\r\n\r\n",
            signed.authorization, signed.date
        );
        self.send(head.as_bytes()).await.unwrap();
    }

    async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// An answer with its body, or what came of it until the connection ended.
    async fn answer(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&all).to_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split("content-length: ").nth(1);
                let length = length.and_then(|l| l.lines().next()).unwrap_or("0");
                if body.len() >= length.parse::<usize>().unwrap() {
                    return text;
                }
            }
            let mut piece = [0; 4096];
            let reading = self.stream.read(&mut piece);
            match tokio::time::timeout(PATIENCE, reading).await.unwrap() {
                Ok(n) if n > 0 => all.extend_from_slice(&piece[..n]),
                _ => return text,
            }
        }
    }

    /// A whole small request.
    async fn put(&mut self, path: &str, body: &[u8]) -> String {
        self.head("PUT", path, body.len()).await;
        self.send(body).await.unwrap();
        self.answer().await
    }
}

async fn server(config: GatewayConfig) -> TestServer {
    let server = TestServer::open(config).await;
    server.grant_bucket("alices-bucket", "000000000001").await;
    server.grant_bucket("bobs-bucket", "000000000002").await;
    server
}

/// Every kind of request, small and large.
async fn all_is_well(bob: &Client, rounds: usize) {
    let large = vec![7; 300_000];
    for n in 0..rounds {
        let small = format!("/bobs-bucket/small-{n}");
        let answer = bob.send("PUT", &small, &[], "small").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(bob.send("GET", &small, &[], "").await.status, 200);
        let path = format!("/bobs-bucket/large-{n}");
        let answer = bob.send("PUT", &path, &[], large.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let got = bob.send("GET", &path, &[], "").await;
        assert!(got.status == 200 && got.body == large);
        let answer = bob.send("GET", "/bobs-bucket?list-type=2", &[], "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(bob.send("DELETE", &path, &[], "").await.status, 204);
    }
}

async fn trickle(length: usize) {
    let server = server(GatewayConfig {
        work: 2,
        requests_max: 64,
        connections_max: 400,
        ..GatewayConfig::default()
    })
    .await;
    let mut held = Vec::new();
    for n in 0..300 {
        let mut slow = Slow::open(server.address).await;
        slow.head("PUT", &format!("/alices-bucket/{n}"), length)
            .await;
        slow.send(b"a").await.unwrap();
        held.push(slow);
    }
    let bob = Client::new(server.address, BOB);
    let work = async {
        all_is_well(&bob, 10).await;
        // Slowly on, as those who want to stay unnoticed.
        for slow in &mut held {
            // Those that found no room have got that answer.
            let _ = slow.send(b"a").await;
        }
        all_is_well(&bob, 10).await;
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn trickling_small_uploads_of_one_account_leave_another_alone() {
    trickle(1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trickling_large_uploads_of_one_account_leave_another_alone() {
    trickle(1 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_of_one_account_are_served_when_nobody_else_wants_the_room() {
    let server = server(GatewayConfig {
        work: 2,
        requests_max: 2,
        queue_wait: PATIENCE,
        ..GatewayConfig::default()
    })
    .await;
    let mut all = Vec::new();
    for n in 0..300 {
        let mut slow = Slow::open(server.address).await;
        all.push(tokio::spawn(async move {
            for round in 0..3 {
                let path = format!("/alices-bucket/{n}-{round}");
                let answer = slow.put(&path, b"bytes").await;
                assert!(answer.starts_with("http/1.1 200"), "{answer}");
            }
        }));
    }
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_for_want_of_room_may_go_on_with_the_connection() {
    let server = server(GatewayConfig {
        requests_max: 1,
        queue_wait: Duration::from_millis(200),
        ..GatewayConfig::default()
    })
    .await;
    let mut held = Slow::open(server.address).await;
    held.head("PUT", "/alices-bucket/held", 1 << 20).await;
    let mut other = Slow::open(server.address).await;
    // The one that has the room may come second, since nothing has shown that it was first.
    let body = vec![0; 200_000];
    loop {
        let answer = other.put("/alices-bucket/large", &body).await;
        if answer.starts_with("http/1.1 503") {
            assert!(answer.contains("slowdown"), "{answer}");
            assert!(answer.contains("retry-after: 1"), "{answer}");
            assert!(!answer.contains("connection: close"), "{answer}");
            break;
        }
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
    }
    let answer = other.put("/alices-bucket/small", b"small").await;
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
}

fn impatient() -> GatewayConfig {
    GatewayConfig {
        requests_max: 1,
        queue_wait: PATIENCE,
        // The watchdog looks at four times in this.
        head_timeout: Duration::from_millis(800),
        rate_window: Duration::from_millis(400),
        ..GatewayConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trickling_upload_ends_once_somebody_waits_for_its_room() {
    let server = server(impatient()).await;
    let mut held = Slow::open(server.address).await;
    held.head("PUT", "/alices-bucket/held", 1 << 20).await;
    // Nobody waits: it may take its time.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        held.send(b"a").await.unwrap();
    }
    let mut other = Slow::open(server.address).await;
    let waiting = tokio::spawn(async move {
        let body = vec![0; 200_000];
        other.put("/alices-bucket/large", &body).await
    });
    let trickling = async {
        // It fails when the connection has ended, as it is to.
        while held.send(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if waiting.is_finished() {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, trickling).await.unwrap();
    let answer = waiting.await.unwrap();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    let answer = held.answer().await;
    assert!(answer.contains("requesttimeout"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_ends_once_somebody_waits_for_its_room() {
    let server = server(impatient()).await;
    let alice = Client::new(server.address, ALICE);
    // More than the system's buffers of a connection hold.
    let large = vec![7; 32 << 20];
    let answer = alice.send("PUT", "/alices-bucket/large", &[], large).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut reader = Slow::open(server.address).await;
    reader.head("GET", "/alices-bucket/large", 0).await;
    let mut first = [0; 12];
    reader.stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let other = alice.send("GET", "/alices-bucket/large", &[], "");
    let other = tokio::time::timeout(PATIENCE, other).await.unwrap();
    assert_eq!((other.status, other.body.len()), (200, 32 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_rest_end_when_there_are_no_more() {
    let server = server(GatewayConfig {
        connections_max: 16,
        head_timeout: Duration::from_millis(800),
        ..GatewayConfig::default()
    })
    .await;
    let mut resting = Vec::new();
    for n in 0..16 {
        let mut slow = Slow::open(server.address).await;
        let answer = slow.put(&format!("/alices-bucket/{n}"), b"a").await;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        resting.push(slow);
    }
    let bob = Client::new(server.address, BOB);
    let asked = bob.send("PUT", "/bobs-bucket/key", &[], "small");
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await;
    assert_eq!(answer.unwrap().status, 200);
}
