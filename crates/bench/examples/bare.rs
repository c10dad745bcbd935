//! A bare hyper server: answers every request, whatever it asks for, with the same bytes: the body
//! of a small object behind the head that Dhow puts before it. What a small GET of Dhow costs is
//! measured against it, with the same requests. `bare PORT [BYTES]`.

use std::{convert::Infallible, net::SocketAddr};

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

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse::<usize>().ok());
    let port = numbers.next().unwrap_or(0) as u16;
    let body = Bytes::from(vec![0x5A; numbers.next().unwrap_or(4096)]);
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_| {
                let body = body.clone();
                async move { Ok::<_, Infallible>(answer(body)) }
            });
            // A client that leaves is no error here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
