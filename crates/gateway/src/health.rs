//! Health and metrics, on a listener of their own: they answer also when the front door is
//! crowded, and no customer reaches them.

use std::{convert::Infallible, future::Future, sync::Arc};

use http::{Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::Semaphore};

use crate::body::ResponseBody;

/// Whether the region can serve; the text says what is wrong.
pub type Readiness = dyn Fn() -> Result<(), String> + Send + Sync;

/// What this listener tells.
pub struct Health {
    /// Encoded at every scrape.
    pub registry: Mutex<Registry>,
    /// Asked at every `/-/health/ready`.
    pub ready: Box<Readiness>,
}

/// Connections at once; scrapers and probes need few.
const CONNECTIONS_MAX: usize = 64;

/// Serves `/-/health/live`, `/-/health/ready` and `/metrics` until `shutdown` resolves.
pub async fn serve(
    health: Arc<Health>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(std::time::Duration::from_secs(30));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::error!(%error, "cannot accept on the health listener");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let health = Arc::clone(&health);
        let service = service_fn(move |request| {
            let answer = answer(&health, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A probe that hangs up early is no news.
            let _ = connection.await;
            drop(place);
        });
    }
    let second = std::time::Duration::from_secs(1);
    let _ = tokio::time::timeout(second, graceful.shutdown()).await;
}

fn answer(health: &Health, request: &Request<Incoming>) -> Response<ResponseBody> {
    let text = "text/plain; charset=utf-8";
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
