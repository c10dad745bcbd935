//! A client that signs.

use std::net::SocketAddr;

use access::sign::{Signer, Unsigned, payload_sha256};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, client::conn::http1};
use hyper_util::rt::TokioIo;

/// One key pair at one door.
pub struct Client {
    address: SocketAddr,
    access_key: String,
    secret: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// The text of the first element of this name.
    pub fn element(&self, name: &str) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    }
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    /// Of a key of the test accounts: the secret is the access key backwards.
    pub fn new(address: SocketAddr, access_key: &str) -> Self {
        Self {
            address,
            access_key: access_key.to_owned(),
            secret: access_key.chars().rev().collect(),
        }
    }

    /// Signs and sends a request; `target` is the encoded path and query.
    pub async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let host = self.address.to_string();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let payload = payload_sha256(&body);
        let mut signer = Signer::new(&self.access_key, &self.secret, super::REGION);
        let signed = signer.sign(
            &Unsigned {
                method,
                host: &host,
                path,
                query,
                headers,
                payload: &payload,
            },
            types::Clock::now(&types::SystemClock),
        );
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", &host)
            .header("authorization", signed.authorization)
            .header("x-amz-date", signed.date)
            .header("x-amz-content-sha256", payload);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        exchange(self.address, request.body(Full::new(body)).unwrap()).await
    }
}

/// Sends one request on a connection of its own.
pub async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    connection.abort();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    }
}
