//! Listeners for operators: probes, metrics, the admin API. They answer whoever comes, however many
//! connections others have open on which nothing happens.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use listener::{Certificates, Listener, Stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};
use types::{ConnectionSlot, Connections};

use crate::head_lines::HeadLines;

/// Pause after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address on which a connection was accepted, as an extension of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServedAt(pub SocketAddr);

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

/// Answers requests on `listener` by `answer` until `shutdown` resolves. A request that came by TLS
/// has the [`types::TlsVersion`] among its extensions.
pub async fn serve_small<B, F, A>(
    limits: SmallLimits,
    listener: impl Into<Listener>,
    answer: F,
    shutdown: impl Future<Output = ()> + Send,
) where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>, Data = Bytes>
        + Send
        + Unpin
        + 'static,
    F: Fn(SocketAddr, Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
{
    let Listener { tcp, tls, .. } = listener.into();
    let graceful = GracefulShutdown::new();
    let all = Connections::new(limits.connections, limits.busy);
    let http = reader(limits.head);
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
        let at = stream.local_addr().ok().map(ServedAt);
        let two_readings = Arc::new(AtomicBool::new(false));
        let found = Arc::clone(&two_readings);
        let (http, watcher, tls) = (http.clone(), graceful.watcher(), tls.clone());
        let connection = async move {
            if let Some(stream) = encrypted(stream, tls, limits.head).await {
                let version = stream.tls_version();
                let service = service_fn(move |mut request: Request<Incoming>| {
                    let extensions = request.extensions_mut();
                    at.map(|at| extensions.insert(at));
                    version.map(|version| extensions.insert(version));
                    let refused =
                        two_readings.load(Relaxed) && !types::planted("small-listener-lines");
                    let answering = (!refused).then(|| answer(from, request));
                    send(Arc::clone(&place), answering)
                });
                let stream = Lined::new(stream, found);
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

/// Reads requests whose head comes within `head`.
fn reader(head: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(64 << 10);
    http
}

/// A connection on which heads are followed line by line, as at the S3 listener.
struct Lined {
    stream: Stream,
    lines: HeadLines,
    /// A head can be read in two ways: nothing more that comes is answered.
    found: Arc<AtomicBool>,
}

impl Lined {
    fn new(stream: Stream, found: Arc<AtomicBool>) -> Self {
        Self {
            stream,
            lines: HeadLines::new(),
            found,
        }
    }
}

impl AsyncRead for Lined {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let new = buf.filled().get(before..).unwrap_or_default();
        if read.is_ready() && (self.lines.ambiguous(new) || self.lines.had_two_lengths()) {
            self.found.store(true, Relaxed);
        }
        read
    }
}

impl AsyncWrite for Lined {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Sends an answer; without one, the request is refused for its head.
async fn send<B>(
    place: Arc<ConnectionSlot>,
    answering: Option<impl Future<Output = Response<B>>>,
) -> Result<Response<OnItsWay<Either<B, Full<Bytes>>>>, Infallible> {
    place.busy();
    let answer = match answering {
        Some(answering) => answering.await.map(Either::Left),
        None => refused_lines().map(Either::Right),
    };
    Ok(answer.map(|body| OnItsWay { body, place }))
}

/// Refuses a request that a proxy could read in another way. The connection ends with the answer.
fn refused_lines() -> Response<Full<Bytes>> {
    let why = "The lines of a request's head end in CR LF, its target has no `#`, and its length is said once: \
               Content-Length or Transfer-Encoding.\n";
    let mut answer = Response::new(Full::from(why));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    let close = http::HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

/// A body that is being sent. Until it is, its connection is at work; each piece that the client
/// takes shows that it goes on.
struct OnItsWay<B> {
    body: B,
    place: Arc<ConnectionSlot>,
}

impl<B: Body + Unpin> Body for OnItsWay<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let next = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(_))) = next {
            self.place.busy();
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for OnItsWay<B> {
    fn drop(&mut self) {
        self.place.idle();
    }
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
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

fn enter(all: &Arc<Connections>, from: SocketAddr) -> Option<(ConnectionSlot, Arc<Notify>)> {
    let ended = Arc::new(Notify::new());
    let end = Arc::clone(&ended);
    let place = all.enter(from.ip(), move || end.notify_one())?;
    Some((place, ended))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::mpsc,
    };

    use super::*;

    /// A body that a test sends piece by piece.
    struct Pieces(mpsc::Receiver<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0
                .poll_recv(cx)
                .map(|piece| Some(Ok(Frame::data(piece?))))
        }
    }

    #[tokio::test]
    async fn a_head_with_two_readings_is_refused() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = tcp.local_addr().unwrap();
        let answer = |_, _| async { Response::new(Full::from("secret")) };
        let limits = SmallLimits::default();
        let serving = tokio::spawn(serve_small(limits, tcp, answer, std::future::pending()));
        let chunked = "transfer-encoding: chunked\r\n";
        for (head, status) in [
            ("GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), "200"),
            ("GET / HTTP/1.1\r\nhost: a\n\r\n".to_owned(), "400"),
            ("GET / HTTP/1.1\nhost: a\n\n".to_owned(), "400"),
            (
                format!("POST / HTTP/1.1\r\nhost: a\r\n{chunked}\r\n0\r\n\r\n"),
                "200",
            ),
            (
                format!(
                    "POST / HTTP/1.1\r\nhost: a\r\n{chunked}content-length: 5\r\n\r\n0\r\n\r\n"
                ),
                "400",
            ),
            (
                format!(
                    "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n{chunked}\r\n0\r\n\r\n"
                ),
                "400",
            ),
        ] {
            let mut client = TcpStream::connect(at).await.unwrap();
            client.write_all(head.as_bytes()).await.unwrap();
            let mut got = vec![0; 12];
            client.read_exact(&mut got).await.unwrap();
            assert_eq!(got, format!("HTTP/1.1 {status}").as_bytes(), "{head:?}");
        }
        serving.abort();
    }

    #[tokio::test]
    async fn a_download_on_its_way_does_not_give_way_to_who_comes_later() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = tcp.local_addr().unwrap();
        let (sender, receiver) = mpsc::channel(1);
        let body = Arc::new(Mutex::new(Some(Pieces(receiver))));
        let answer = move |_, _| {
            let body = body.lock().unwrap().take().unwrap();
            async move { Response::new(body) }
        };
        let limits = SmallLimits {
            connections: 1,
            ..SmallLimits::default()
        };
        let serving = serve_small(limits, tcp, answer, std::future::pending());
        let serving = tokio::spawn(serving);
        let mut client = TcpStream::connect(at).await.unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        sender.send(Bytes::from_static(b"first")).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"first\r\n") {
            assert!(client.read_buf(&mut got).await.unwrap() > 0);
        }
        // Whoever comes now is sent away.
        let mut other = TcpStream::connect(at).await.unwrap();
        assert_eq!(other.read(&mut [0; 1]).await.unwrap_or(0), 0);
        sender.send(Bytes::from_static(b"last")).await.unwrap();
        drop(sender);
        while !got.ends_with(b"last\r\n0\r\n\r\n") {
            assert!(client.read_buf(&mut got).await.unwrap() > 0);
        }
        serving.abort();
    }
}
