//! Health and metrics, on a listener of their own: they answer also when the gateway is
//! crowded, and no customer reaches them.

use std::{future::Future, sync::Arc};

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::{SmallLimits, body::ResponseBody, not_s3, serve_small};

/// Whether the region can serve; the text says what is wrong.
pub type Readiness = dyn Fn() -> Result<(), String> + Send + Sync;

/// What this listener tells.
pub struct Health {
    /// Encoded at every scrape.
    pub registry: Mutex<Registry>,
    /// Asked at every `/-/health/ready`.
    pub ready: Box<Readiness>,
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
        (&Method::GET | &Method::HEAD, "/-/health/ready") => match (health.ready)() {
            Ok(()) => (StatusCode::OK, text, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, text, format!("{why}\n")),
        },
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
