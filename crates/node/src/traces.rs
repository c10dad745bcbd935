//! Export of traces over OTLP/HTTP (protobuf) to a collector.
//!
//! The gateway makes one span a request, at level DEBUG, and knows nothing of OpenTelemetry; here
//! its fields get the names of OpenTelemetry's semantic conventions for HTTP servers. Finished
//! spans wait in a bounded queue (2048, further ones are dropped) for a thread of their own that
//! sends them in batches, so a slow collector costs no request anything.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use admin::failure::Failure;
use async_trait::async_trait;
use opentelemetry::{
    KeyValue, Value,
    trace::{SpanKind, Status, TracerProvider},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, filter_fn},
};

/// Longest time for one batch, from connecting to the end of the answer.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait at shutdown for what is still queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The head of a collector's answer is a few lines: no more than this is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A running export. Dropping it sends what is queued, for `FLUSH_TIMEOUT` at most.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts the exporter's thread, and makes the layer that feeds it. `endpoint` is the
    /// collector's base address, to which `/v1/traces` is added.
    ///
    /// Errors: the address is not one of plain HTTP.
    pub fn start(
        endpoint: &str,
        region: &str,
    ) -> Result<(Box<dyn Layer<Registry> + Send + Sync>, Self), Failure> {
        let url = address(endpoint)?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::default())
            .with_endpoint(url)
            .with_timeout(SEND_TIMEOUT)
            .build()
            .map_err(|e| Failure::new(format!("cannot export traces to `{endpoint}`: {e}")))?;
        let resource = Resource::builder()
            .with_service_name("dhow")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("cloud.region", region.to_owned()))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Conventional(exporter))
            .with_resource(resource)
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("dhow"))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(
                filter_fn(|m| m.is_span() && m.target().starts_with("gateway"))
                    .with_max_level_hint(LevelFilter::DEBUG),
            );
        Ok((layer.boxed(), Self(provider)))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "some traces have not been exported");
        }
    }
}

/// The address to post to.
fn address(endpoint: &str) -> Result<String, Failure> {
    let malformed = || {
        Failure::new(format!(
            "`{endpoint}` is not the address of a collector of traces"
        ))
        .hint("use plain HTTP to a collector nearby, such as http://127.0.0.1:4318")
    };
    let uri: http::Uri = endpoint.parse().map_err(|_| malformed())?;
    // TLS and credentials are the nearby collector's business.
    let plain = uri.scheme_str() == Some("http")
        && uri.query().is_none()
        && uri.authority().is_some_and(|a| !a.as_str().contains('@'));
    if !plain {
        return Err(malformed());
    }
    Ok(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
}

/// Gives spans the names and fields that OpenTelemetry's conventions have for them.
#[derive(Debug)]
struct Conventional<E>(E);

impl<E: SpanExporter> SpanExporter for Conventional<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(conventional);
        self.0.export(batch).await
    }
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }
    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn conventional(span: &mut SpanData) {
    if span.name != "request" {
        return;
    }
    span.span_kind = SpanKind::Server;
    for KeyValue { key, value, .. } in &mut span.attributes {
        match key.as_str() {
            "operation" => {
                if !value.as_str().is_empty() {
                    span.name = value.as_str().into_owned().into();
                }
                *key = "rpc.method".into();
            }
            "status" => {
                // An unsigned field arrives as text.
                if let Ok(status) = value.as_str().parse::<i64>() {
                    *value = Value::I64(status);
                    if status >= 500 {
                        span.status = Status::error("");
                    }
                }
                *key = "http.response.status_code".into();
            }
            "method" => *key = "http.request.method".into(),
            "path" => *key = "url.path".into(),
            "request_id" => *key = "aws.request_id".into(),
            _ => {}
        }
    }
}

/// Posts one batch a connection, blocking: the exporter's thread does nothing else.
#[derive(Debug, Default)]
struct Collector {
    failing: AtomicBool,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = post(&request);
        let trouble = match &answer {
            Ok(status) if status.is_success() => None,
            Ok(status) => Some(format!("it answers {status}")),
            Err(error) => Some(error.to_string()),
        };
        // Said once when it begins, not every few seconds.
        let failed_before = self.failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(error) if !failed_before => {
                tracing::warn!(collector = %request.uri(), error, "cannot export traces");
            }
            None if failed_before => tracing::info!("traces are exported again"),
            _ => {}
        }
        Ok(Response::builder().status(answer?).body(Bytes::new())?)
    }
}

/// Sends a request with its whole body, and reads the answer's status.
fn post(request: &Request<Bytes>) -> io::Result<http::StatusCode> {
    let deadline = Instant::now() + SEND_TIMEOUT;
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let uri = request.uri();
    let authority = uri.authority().ok_or_else(|| invalid("no host"))?;
    let host = authority.host().trim_matches(['[', ']']);
    let mut stream = connect(host, authority.port_u16().unwrap_or(80), deadline)?;
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {}\r\nconnection: close\r\n",
        uri.path(),
        request.body().len()
    )
    .into_bytes();
    for (name, value) in request.headers() {
        if !matches!(name.as_str(), "host" | "content-length" | "connection") {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(request.body());
    let mut rest = &head[..];
    while !rest.is_empty() {
        stream.set_write_timeout(Some(left(deadline)?))?;
        let sent = stream.write(rest)?;
        rest = &rest[sent..];
    }
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    // The whole head, so that the collector is not cut off; its body says nothing of use.
    while !answer.windows(4).any(|w| w == b"\r\n\r\n") && answer.len() < ANSWER_BYTES_MAX {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece)? {
            0 => break,
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    status(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it speaks no HTTP"))
}

fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What is left until the deadline; an error when nothing is, since a timeout of zero means none.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

/// The status in an answer's first line, `HTTP/1.1 200 OK`.
fn status(answer: &[u8]) -> Option<http::StatusCode> {
    let code = answer.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    http::StatusCode::from_bytes(code).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_an_address() {
        assert_eq!(address("http://a:4318").unwrap(), "http://a:4318/v1/traces");
        assert_eq!(
            address("http://[::1]:4318/x/").unwrap(),
            "http://[::1]:4318/x/v1/traces"
        );
        for wrong in [
            "",
            "a:4318",
            "https://a",
            "http://u:p@a",
            "http://a/?b",
            "/v1",
            "http://",
        ] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_an_http_answer_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n").unwrap(), 200);
        assert_eq!(status(b"HTTP/1.0 503\r\n").unwrap(), 503);
        for wrong in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/1.1 2",
            b"SSH-2.0-x",
            b"HTTP/1.1 abc",
        ] {
            assert!(status(wrong).is_none());
        }
    }
}
