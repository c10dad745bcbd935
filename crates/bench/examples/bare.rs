//! A bare hyper server: answers every request, whatever it asks for, with the body of a small
//! object behind the head that Dhow puts before it. What a small GET of Dhow costs is measured
//! against it, with the same requests. `bare PORT [BYTES [BODIES]]`: it holds as many bodies as
//! there are objects, and answers with one after the other as if at random. One body for all would
//! stay in the processor's nearest cache, from which no server could send thousands of objects.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response,
    header::{HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The head of Dhow's answer to a GET, with constant values; hyper adds length and date.
const HEAD: [(HeaderName, &str); 7] = [
    (
        HeaderName::from_static("last-modified"),
        "Mon, 23 Nov 2026 08:00:00 GMT",
    ),
    (
        HeaderName::from_static("etag"),
        "\"0cc175b9c0f1b6a831c399e269772661\"",
    ),
    (HeaderName::from_static("accept-ranges"), "bytes"),
    (
        HeaderName::from_static("content-type"),
        "binary/octet-stream",
    ),
    (HeaderName::from_static("server"), "bare"),
    (
        HeaderName::from_static("x-amz-id-2"),
        "c3RvcmFnZS1jbG91ZC1vZi1tYW55LXJlZ2lvbnM=",
    ),
    (
        HeaderName::from_static("x-amz-request-id"),
        "C58F4960C3E32AAE",
    ),
];

fn answer(body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    let headers = answer.headers_mut();
    headers.reserve(HEAD.len() + 2);
    for (name, value) in HEAD {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// Numbers as if at random, for next to nothing (splitmix64).
fn random(counter: &AtomicU64) -> u64 {
    let mut z = counter.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse::<usize>().ok());
    let port = numbers.next().unwrap_or(0) as u16;
    let bytes = numbers.next().unwrap_or(4096);
    let count = numbers.next().unwrap_or(1).max(1);
    let bodies: Vec<Bytes> = (0..count).map(|n| vec![n as u8; bytes].into()).collect();
    let bodies = Arc::new(bodies);
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let bodies = Arc::clone(&bodies);
        tokio::spawn(async move {
            let seed = stream.peer_addr().map_or(0, |peer| peer.port().into());
            let counter = AtomicU64::new(seed);
            let service = service_fn(move |_| {
                let body = bodies[random(&counter) as usize % bodies.len()].clone();
                async move { Ok::<_, Infallible>(answer(body)) }
            });
            // A client that leaves is no error here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
