//! Health and metrics, on a listener of their own: they answer also when the gateway is
//! crowded, and no customer reaches them.

use std::{future::Future, sync::Arc};

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::{SmallLimits, body::ResponseBody, not_s3, serve_small};

/// What a region says of how ready it is.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    /// Why it cannot serve; it can where there is nothing.
    pub why_not: Option<String>,
    /// Whether there is a certificate for customers; `None` where there is to be none.
    ///
    /// A region without one is ready all the same: the ACME server has to reach its listener, and
    /// what stands before that may let nobody through to a region that is not ready.
    pub certificate: Option<bool>,
    /// The disk is full up to its reserve. Reads and deletes go on, so the region is ready.
    pub is_full: bool,
}

/// What this listener answers.
pub struct Health {
    /// Encoded at every scrape.
    pub registry: Mutex<Registry>,
    /// Asked at every `/-/health/ready`.
    pub ready: Box<dyn Fn() -> Readiness + Send + Sync>,
}

/// Serves `/-/health/live`, `/-/health/ready` and `/metrics` until `shutdown` resolves.
pub async fn serve(
    health: Arc<Health>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let answer = move |_, request: Request<Incoming>| {
        let answer = answer(&health, &request);
        async move { answer }
    };
    serve_small(SmallLimits::default(), listener, answer, shutdown).await;
}

fn answer(health: &Health, request: &Request<Incoming>) -> Response<ResponseBody> {
    let text = "text/plain; charset=utf-8";
    if let Some(body) = not_s3(request.headers(), "health and metrics") {
        let mut answer = Response::new(ResponseBody::full(body));
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        return answer;
    }
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/-/health/live") => (StatusCode::OK, text, "live\n".into()),
        (&Method::GET | &Method::HEAD, "/-/health/ready") => {
            let readiness = (health.ready)();
            let status = match readiness.why_not {
                None => StatusCode::OK,
                Some(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            match wants_json(request) {
                true => (status, "application/json", readiness.in_json()),
                false => (status, text, readiness.in_words()),
            }
        }
        (&Method::GET, "/metrics") => metrics(&health.registry.lock()),
        _ => (StatusCode::NOT_FOUND, text, "not found\n".to_owned()),
    };
    let mut answer = Response::new(ResponseBody::full(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    answer
}

/// Whether the client asks for JSON by name.
fn wants_json(request: &Request<Incoming>) -> bool {
    let accept = request.headers().get_all(header::ACCEPT).iter();
    let mut named = accept.filter_map(|value| value.to_str().ok());
    named.any(|value| value.contains("application/json"))
}

impl Readiness {
    fn in_words(&self) -> String {
        match (&self.why_not, self.certificate) {
            (Some(why), _) => format!("{why}\n"),
            (None, Some(false)) => {
                "ready, and there is no TLS certificate yet: the log says why\n".to_owned()
            }
            (None, _) if self.is_full => {
                "ready, and the disk has no room: reads and deletes only\n".to_owned()
            }
            (None, _) => "ready\n".to_owned(),
        }
    }

    fn in_json(&self) -> String {
        let certificate = match self.certificate {
            None => "none needed",
            Some(true) => "present",
            Some(false) => "missing",
        };
        let said = serde_json::json!({
            "ready": self.why_not.is_none(),
            "why_not": self.why_not,
            "certificate": certificate,
            "disk": if self.is_full { "full" } else { "ok" },
        });
        format!("{said}\n")
    }
}

fn metrics(registry: &Registry) -> (StatusCode, &'static str, String) {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => (
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain; charset=utf-8",
            error.to_string(),
        ),
    }
}
