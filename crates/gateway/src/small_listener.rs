//! Listeners for operators: probes, metrics, the admin API. They answer whoever comes, however many
//! connections others have open on which nothing happens.

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use listener::{Certificates, Listener, Stream};
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};
use types::{ConnectionPlace, Connections};

/// Pause after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of such a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallLimits {
    /// Connections at once; with one more, the one that has done nothing for longest is closed.
    pub connections: usize,
    /// How long a head may take, and a connection may rest.
    pub head: Duration,
    /// How long a request may be worked on before its connection gives way to others as well.
    pub busy: Duration,
    /// Longest wait for requests that are under way when the listener stops.
    pub drain: Duration,
}

impl Default for SmallLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(30),
            busy: Duration::from_secs(300),
            drain: Duration::from_secs(1),
        }
    }
}

/// Answers requests on `listener` by `answer` until `shutdown` resolves.
pub async fn serve_small<B, F, A>(
    limits: SmallLimits,
    listener: impl Into<Listener>,
    answer: F,
    shutdown: impl Future<Output = ()> + Send,
) where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>, Data: Send> + Send + 'static,
    F: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
{
    let Listener { tcp, tls, .. } = listener.into();
    let graceful = GracefulShutdown::new();
    let all = Connections::new(limits.connections, limits.busy);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(64 << 10);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = tcp.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some((place, ended)) = enter(&all, from) else {
            tracing::warn!(%from, "all connections of a listener are at work: one was closed");
            continue;
        };
        let (place, answer) = (Arc::new(place), answer.clone());
        let service = service_fn(move |request| {
            let (place, answering) = (Arc::clone(&place), answer(from, request));
            async move {
                place.busy();
                let answer = answering.await;
                place.idle();
                Ok::<_, Infallible>(answer)
            }
        });
        let (http, watcher, tls) = (http.clone(), graceful.watcher(), tls.clone());
        let connection = async move {
            if let Some(stream) = encrypted(stream, tls, limits.head).await {
                // Whoever hangs up early is no news.
                let _ = watcher
                    .watch(http.serve_connection(TokioIo::new(stream), service))
                    .await;
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = connection => {}
                () = ended.notified() => {}
            }
        });
    }
    drop(tcp);
    let _ = timeout(limits.drain, graceful.shutdown()).await;
}

/// The connection after its handshake, where there is to be one.
async fn encrypted(
    stream: TcpStream,
    tls: Option<Arc<Certificates>>,
    within: Duration,
) -> Option<Stream> {
    // A small answer must not wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return Some(stream.into());
    };
    match tls.accept(stream, within, false).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "a connection did not come to TLS");
            None
        }
    }
}

fn enter(all: &Arc<Connections>, from: SocketAddr) -> Option<(ConnectionPlace, Arc<Notify>)> {
    let ended = Arc::new(Notify::new());
    let end = Arc::clone(&ended);
    let place = all.enter(from.ip(), move || end.notify_one())?;
    Some((place, ended))
}
