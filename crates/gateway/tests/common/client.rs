//! A client that signs.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use access::sign::{Signer, Unsigned, payload_sha256};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use types::{Clock, SystemClock, Timestamp};

/// The time at which the next request is signed. Each is signed at another second, as a change
/// that another region relays counts once.
fn now() -> Timestamp {
    static SIGNED: AtomicU64 = AtomicU64::new(0);
    let second = SIGNED.fetch_add(1, Ordering::Relaxed) % 800;
    Timestamp::from_ms(SystemClock.now().ms() + second * 1000)
}

/// One key pair at one listener.
pub struct Client {
    address: SocketAddr,
    access_key: String,
    secret: String,
    region: String,
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
            region: super::REGION.to_owned(),
        }
    }

    /// The same, at the listener of another region.
    pub fn in_region(address: SocketAddr, access_key: &str, region: &str) -> Self {
        Self {
            region: region.to_owned(),
            ..Self::new(address, access_key)
        }
    }

    /// Sends a PUT with an aws-chunked body of two signed chunks. `tamper` changes the body as it
    /// goes over the wire; `trailer` is a checksum behind it, not signed with a signature of its
    /// own unless there are chunk signatures.
    pub async fn put_chunked(
        &self,
        target: &str,
        chunks: &[&[u8]],
        trailer: Option<(&str, &str)>,
        tamper: impl FnOnce(&mut Vec<u8>),
    ) -> Answer {
        let host = self.address.to_string();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let payload = match trailer {
            None => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            Some(_) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        };
        let length: usize = chunks.iter().map(|c| c.len()).sum();
        let length = length.to_string();
        let mut headers = vec![
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", &*length),
        ];
        headers.extend(trailer.map(|(name, _)| ("x-amz-trailer", name)));
        let mut signer = Signer::new(&self.access_key, &self.secret, &self.region);
        let unsigned = Unsigned {
            method: "PUT",
            host: &host,
            path,
            query,
            headers: &headers,
            payload,
        };
        let signed = signer.sign(&unsigned, now());
        let mut verifier = signer.chunks(&signed);
        let mut body = Vec::new();
        for chunk in chunks.iter().copied().chain([&b""[..]]) {
            let sha256 = <sha2::Sha256 as sha2::Digest>::digest(chunk).into();
            let signature = verifier.sign_chunk(&sha256);
            let line = format!("{:x};chunk-signature={signature}\r\n", chunk.len());
            body.extend_from_slice(line.as_bytes());
            body.extend_from_slice(chunk);
            if !chunk.is_empty() {
                body.extend_from_slice(b"\r\n");
            }
        }
        if let Some((name, value)) = trailer {
            let signature = verifier.sign_trailer(format!("{name}:{value}\n").as_bytes());
            let lines = format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n");
            body.extend_from_slice(lines.as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        tamper(&mut body);
        let mut request = Request::put(target)
            .header("host", &host)
            .header("authorization", signed.authorization)
            .header("x-amz-date", signed.date)
            .header("x-amz-content-sha256", payload);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        exchange(self.address, request).await
    }

    /// The same with chunks that are not signed, and this trailer, whose line ends in `end`.
    pub async fn put_unsigned_chunks(
        &self,
        target: &str,
        chunks: &[&[u8]],
        (name, value): (&str, &str),
        end: &str,
    ) -> Answer {
        let length: usize = chunks.iter().map(|c| c.len()).sum();
        let length = length.to_string();
        let headers = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", &*length),
            ("x-amz-trailer", name),
        ];
        let mut body = Vec::new();
        for chunk in chunks {
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("0\r\n{name}:{value}{end}\r\n").as_bytes());
        let payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
        self.send_claiming("PUT", target, &headers, body, payload)
            .await
    }

    /// A presigned URL's path and query.
    pub fn presign(&self, method: &str, path: &str, host: &str) -> String {
        let mut signer = Signer::new(&self.access_key, &self.secret, &self.region);
        let unsigned = Unsigned {
            method,
            host,
            path,
            query: "",
            headers: &[],
            payload: "UNSIGNED-PAYLOAD",
        };
        format!("{path}?{}", signer.presign(&unsigned, now(), 60))
    }

    /// Sends a request with a presigned URL that has these parameters.
    pub async fn send_presigned(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &'static str,
    ) -> Answer {
        let host = self.address.to_string();
        let mut signer = Signer::new(&self.access_key, &self.secret, &self.region);
        let unsigned = Unsigned {
            method,
            host: &host,
            path,
            query,
            headers: &[],
            payload: "UNSIGNED-PAYLOAD",
        };
        let query = signer.presign(&unsigned, now(), 60);
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?{query}"))
            .header("host", host);
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        exchange(self.address, request).await
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
        let payload = payload_sha256(&body);
        self.send_claiming(method, target, headers, body, &payload)
            .await
    }

    /// The same with a body that is claimed to have this digest.
    pub async fn send_claiming(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
        payload: &str,
    ) -> Answer {
        let body = body.into();
        let host = self.address.to_string();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut signer = Signer::new(&self.access_key, &self.secret, &self.region);
        let signed = signer.sign(
            &Unsigned {
                method,
                host: &host,
                path,
                query,
                headers,
                payload,
            },
            now(),
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
