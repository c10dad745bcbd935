//! The listener: accepts connections, speaks HTTP on them, and drains them when it stops.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use access::{RequestFacts, Transport};
use http::{Method, Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use listener::{Certificates, Encryption, Handshake, Listener, Origin, Proxies, Refused, Stream};
use prometheus_client::metrics::gauge::Gauge;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinHandle},
    time::{Instant, Sleep},
};

use crate::{
    body::ResponseBody,
    forwarded,
    head_lines::HeadLines,
    http2::{self, Marks, Streams, StreamsWatchdog},
    limits::{CONNECTION_BUFFER_BYTES, GatewayConfig, HEADERS_MAX},
    pipeline::Taking,
    server::Gateway,
    shares::{Share, Shares},
    watchdog::{Activity, Ended, Watchdog, Watched},
};

/// Connections that the kernel keeps for us until they are accepted.
const BACKLOG: i32 = 4096;
/// How long a TLS handshake may take while few connections are left.
const HANDSHAKE_SHORT: Duration = Duration::from_secs(1);

/// Binds a listener to `address`; port 0 chooses a free one.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// How requests are read from a connection.
fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    // The watchdog of each connection limits the time of a head, for less than hyper's timer.
    http.header_read_timeout(None);
    http.max_buf_size(CONNECTION_BUFFER_BYTES);
    http.max_headers(HEADERS_MAX);
    http
}

impl Gateway {
    /// Serves `listener` until `shutdown` resolves; then takes no more connections, lets the
    /// requests under way finish within the configured time, and breaks off the rest.
    pub async fn serve(
        self: Arc<Self>,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let Listener {
            tcp,
            tls,
            proxies,
            http2,
        } = listener.into();
        let http2 = if http2 { http2_most(&self.config) } else { 0 };
        let http2 = Arc::new(Semaphore::new(http2));
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.config.connections_max));
        let shares = Arc::<Shares>::default();
        let http = http();
        // Handshakes end with their receiver.
        let (serving, _) = watch::channel(());
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = tcp.accept() => match accepted {
                    Ok((stream, address)) => (stream, address.ip()),
                    Err(error) => {
                        accept_failed(&error).await;
                        continue;
                    }
                },
            };
            let place = tokio::select! {
                biased;
                () = &mut shutdown => break,
                place = shares.place(&places) => place,
            };
            let Some(place) = place else { break };
            // Without this a small answer can wait for the client's delayed acknowledgement.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection broke before its first request");
                continue;
            }
            let connection = Connection {
                gateway: Arc::clone(&self),
                http: http.clone(),
                places: Arc::clone(&places),
                place: Arc::new(place),
                share: shares.enter(peer),
                origin: proxies.by_address(peer),
                proxies: Arc::clone(&proxies),
                http2: Arc::clone(&http2),
                watcher: graceful.watcher(),
            };
            let preamble = proxies.expects_preamble(&connection.origin);
            if tls.is_some() || preamble || !proxies.admit_clear(peer) {
                let (tls, stopped) = (tls.clone(), serving.subscribe());
                connection.spawn(|it| it.begin(tls, stream, stopped));
            } else {
                connection.spawn(|it| it.serve(stream.into()));
            }
        }
        drop((tcp, serving));
        self.drain(graceful, &places).await;
    }

    /// Answers a request that this process makes itself for a caller, signed like any other.
    pub async fn respond_within(
        &self,
        request: Request<Incoming>,
        facts: RequestFacts,
    ) -> Response<ResponseBody> {
        match self.is_beside(&request) {
            Some(api) => Box::pin(self.respond_beside(request, api, facts)).await,
            None => self.respond(request, facts).await,
        }
    }

    /// Waits until all connections and changes have ended, for the configured time at most.
    async fn drain(&self, graceful: GracefulShutdown, places: &Semaphore) {
        let drain = self.config.drain;
        let all = u32::try_from(self.config.connections_max).unwrap_or(u32::MAX);
        let drained = async {
            graceful.shutdown().await;
            // Changes whose client has left hold their connection's place to their end.
            let _ = places.acquire_many(all).await;
        };
        if tokio::time::timeout(drain, drained).await.is_err() {
            tracing::warn!(
                ?drain,
                "some requests did not finish in time and were broken off"
            );
        }
    }
}

/// A connection that was accepted.
struct Connection {
    gateway: Arc<Gateway>,
    http: http1::Builder,
    places: Arc<Semaphore>,
    place: Arc<OwnedSemaphorePermit>,
    share: Share,
    /// Where it comes from.
    origin: Origin,
    proxies: Arc<Proxies>,
    /// How many connections may still speak HTTP/2.
    http2: Arc<Semaphore>,
    watcher: Watcher,
}

impl Connection {
    /// Runs in a task of its own, until it ends or another connection needs its place.
    fn spawn<F>(self, run: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let held = self.share.held();
        tokio::spawn(held.until_needed(run(self)));
    }

    /// Does what comes before the first request, then serves.
    async fn begin(
        mut self,
        tls: Option<Arc<Certificates>>,
        stream: TcpStream,
        mut stopped: watch::Receiver<()>,
    ) {
        let begun = tokio::select! {
            begun = self.open(tls, stream) => begun,
            _ = stopped.changed() => return,
        };
        let Some((stream, http2)) = begun else {
            return;
        };
        match http2 {
            Some(_counted) if stream.is_http2() => self.serve_http2(stream).await,
            _ => self.serve(stream).await,
        }
    }

    /// What the proxy says, then the handshake. Both have as long as a head. With the connection
    /// comes what counts it among those of HTTP/2, if that was offered.
    async fn open(
        &mut self,
        tls: Option<Arc<Certificates>>,
        mut stream: TcpStream,
    ) -> Option<(Stream, Option<OwnedSemaphorePermit>)> {
        let config = &self.gateway.config;
        // Where connections are short nobody holds one without a request for long.
        let within = match self.places.available_permits() < config.connections_max / 8 {
            true => config.head_timeout.min(HANDSHAKE_SHORT),
            false => config.head_timeout,
        };
        let until = Instant::now() + within;
        if tls.is_none() && (self.origin.source).is_none_or(|ip| !self.proxies.admit_clear(ip)) {
            tracing::debug!("a connection in clear did not come by a trusted proxy");
            listener::refuse_direct(stream).await;
            return None;
        }
        if self.proxies.expects_preamble(&self.origin) {
            let reading = self.proxies.read_preamble(&mut stream, self.origin, within);
            match reading.await {
                Ok(origin) => {
                    self.origin = origin;
                    origin.source.inspect(|source| self.share.is_of(*source));
                }
                Err(error) => {
                    self.refused(&error);
                    return None;
                }
            }
        }
        let Some(tls) = tls else {
            return Some((stream.into(), None));
        };
        let left = until.saturating_duration_since(Instant::now());
        // One of them may keep more than one of HTTP/1.1: beyond so many it is not offered.
        let http2 = Arc::clone(&self.http2).try_acquire_owned().ok();
        match tls.accept(stream, left, http2.is_some()).await {
            Ok(stream) => Some((stream, http2)),
            Err(error) => {
                if !matches!(error, Handshake::Challenge) {
                    self.gateway.metrics.handshakes_failed.inc();
                }
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        }
    }

    /// A proxy that does not do as it is configured serves nobody: somebody should know. One that
    /// only looks whether the port is open says nothing.
    fn refused(&self, error: &Refused) {
        let proxy = self.origin.source.map(tracing::field::display);
        match error {
            Refused::Preamble(_) => tracing::warn!(%error, proxy, "a connection was refused"),
            Refused::Late | Refused::Broken(_) => {
                tracing::debug!(%error, proxy, "a connection was refused");
            }
        }
    }

    /// Answers the requests of the connection until it ends.
    async fn serve(self, stream: Stream) {
        let facts = self.facts(&stream);
        let (gateway, place, share) = (self.gateway, self.place, self.share);
        let config = &gateway.config;
        let unread = Arc::new(AtomicBool::new(false));
        let activity = Activity::new();
        share.works(&activity);
        let (head, idle) = (config.head_timeout, config.keep_alive_idle);
        let mut watchdog = Watchdog::new(Arc::clone(&activity), head, idle)
            .with_rate(config.body_rate, config.rate_window)
            .with_places(self.places, config.connections_max / 8);
        let marks = (Arc::clone(&unread), Arc::clone(&activity));
        let io = TokioIo::new(Stalling::<true>::new(stream, config.write_idle, marks));
        let open = Arc::new(Open {
            gateway: Arc::clone(&gateway),
            place: Arc::clone(&place),
            unread,
            activity,
            facts,
            proxies: said_by(&self.origin, self.proxies),
        });
        let service = service_fn(move |request| Arc::clone(&open).answer(request));
        let connection = self.watcher.watch(self.http.serve_connection(io, service));
        drive(&gateway, connection, |cx| watchdog.poll(cx)).await;
        drop((place, share));
    }

    /// What is known of the connection's requests before they are read.
    fn facts(&self, stream: &Stream) -> RequestFacts {
        // Where a proxy ends the client's TLS, what it uses itself says nothing of the client.
        let (transport, tls) = match (self.origin.encryption, stream) {
            (Encryption::Tls(version), _) => (Transport::Tls, version),
            (Encryption::None, Stream::Tls(_)) => (Transport::Tls, stream.tls_version()),
            (Encryption::None, Stream::Clear(_)) => (Transport::Clear, None),
        };
        RequestFacts::of_connection(self.origin.source, transport).with_tls(tls)
    }

    /// The same over HTTP/2, with several requests at once.
    async fn serve_http2(self, stream: Stream) {
        let facts = self.facts(&stream);
        let (gateway, config) = (Arc::clone(&self.gateway), &self.gateway.config);
        let marks = Marks::new();
        self.share.works_on_streams(&marks);
        let mut watchdog = StreamsWatchdog::new(Arc::clone(&marks), config, self.places);
        let unwatched = (Arc::default(), Activity::new());
        let io = Stalling::<false>::new(stream, config.write_idle, unwatched);
        let streams = Arc::new(Streams::new(
            Arc::clone(&gateway),
            Arc::clone(&self.place),
            (facts, said_by(&self.origin, self.proxies)),
            marks,
        ));
        let service = service_fn(move |request| Arc::clone(&streams).answer(request));
        let connection = http2::builder().serve_connection(TokioIo::new(io), service);
        let connection = self.watcher.watch(connection);
        drive(&gateway, connection, |cx| watchdog.poll(cx)).await;
    }
}

/// Serves a connection until it ends, or `watch` says why it is to be ended.
async fn drive<E: std::fmt::Display>(
    gateway: &Gateway,
    connection: impl Future<Output = Result<(), E>>,
    mut watch: impl FnMut(&mut Context<'_>) -> Poll<Ended>,
) {
    let _counted = Counted::new(&gateway.metrics.connections);
    let mut connection = std::pin::pin!(connection);
    let ended = poll_fn(|cx| match connection.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Ok(ended)),
        Poll::Pending => watch(cx).map(Err),
    });
    match ended.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection broke"),
        Err(why) => tracing::debug!(?why, "a connection was ended"),
    }
}

/// An open connection, also where its place is needed and it ends half way.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Who says for whom the requests of a connection are, where the client is not who is connected.
fn said_by(origin: &Origin, proxies: Arc<Proxies>) -> Option<Arc<Proxies>> {
    let is_proxy = origin.is_proxy || types::planted("everybody-is-a-proxy");
    is_proxy.then_some(proxies)
}

/// How many connections may speak HTTP/2 at once.
fn http2_most(config: &GatewayConfig) -> usize {
    (config.connections_max / 8).max(1)
}

/// What the requests of one connection share. A request counts references to this alone, which no
/// other thread does at the same time.
struct Open {
    gateway: Arc<Gateway>,
    /// Bounds changes that outlive their connection as it bounds connections.
    place: Arc<OwnedSemaphorePermit>,
    unread: Arc<AtomicBool>,
    activity: Arc<Activity>,
    /// What is known of its requests before they are read.
    facts: RequestFacts,
    /// It is of one of these, which says of each request for whom it is.
    proxies: Option<Arc<Proxies>>,
}

impl Open {
    /// Answers one request. A client that hangs up drops this future; a change goes on in a task
    /// of its own, so that it ends as done or refused and never half way. Its body, broken off,
    /// is an error that it cleans up after.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Watched>, JoinError> {
        let busy = self.activity.begin();
        let mut answer = match self.gateway.is_beside(&request) {
            _ if self.activity.is_ambiguous() => self.gateway.refuse_lines(&request),
            Some(api) => {
                let facts = self.facts(&request);
                Box::pin(self.gateway.respond_beside(request, api, facts)).await
            }
            None if matches!(*request.method(), Method::GET | Method::HEAD) => {
                match self.lead(&request) {
                    Some(led) => led,
                    None => {
                        let facts = self.facts(&request);
                        self.gateway.respond(request, facts).await
                    }
                }
            }
            _ => self.change(request).await?,
        };
        if answer.extensions().get::<Unread>().is_some() {
            self.unread.store(true, Ordering::Relaxed);
        }
        if let Some(Taking(turn)) = answer.extensions_mut().remove() {
            self.activity.taken_by(turn);
        }
        if let ResponseBody::Stream(stream) = answer.body_mut()
            && let Some(ended) = stream.take_ended()
        {
            self.activity.cut_when(ended);
        }
        Ok(answer.map(|body| Watched::new(body, busy)))
    }

    /// Where a browser that opens the endpoint is led.
    fn lead(&self, request: &Request<Incoming>) -> Option<Response<ResponseBody>> {
        self.gateway.console.as_ref()?.lead(request)
    }

    /// How a request came.
    fn facts(&self, request: &Request<Incoming>) -> RequestFacts {
        match &self.proxies {
            None => self.facts,
            Some(proxies) => forwarded::facts(request.headers(), self.facts, proxies),
        }
    }

    fn change(&self, request: Request<Incoming>) -> JoinHandle<Response<ResponseBody>> {
        let (gateway, place) = (Arc::clone(&self.gateway), Arc::clone(&self.place));
        let facts = self.facts(&request);
        // In a box: a task copies what it runs at its start and its end, and this is several KiB.
        let respond = Box::pin(async move { gateway.respond(request, facts).await });
        tokio::spawn(async move {
            let answer = respond.await;
            drop(place);
            answer
        })
    }
}

/// Out of file descriptors, mostly: waiting lets connections end; without it this would spin.
async fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    ) {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Marks an answer whose request had a body that was not read to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unread;

/// How long, and for how many bytes, a closed connection goes on reading what the peer still
/// sends: closing at once resets the connection, and the peer may lose the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1 << 20;

/// A connection that breaks off when the peer takes nothing for too long, and that lets the peer
/// read a refusal of what it is still sending. With `HEADS` there are heads in lines on it.
struct Stalling<const HEADS: bool> {
    stream: Stream,
    idle: Duration,
    /// Runs only while a write waits, so that a fast peer costs nothing.
    waiting: Option<Pin<Box<Sleep>>>,
    unread: Arc<AtomicBool>,
    activity: Arc<Activity>,
    lingering: Option<Lingering>,
    lines: HeadLines,
}

struct Lingering {
    until: Pin<Box<Sleep>>,
    bytes: usize,
    scratch: Vec<u8>,
}

impl<const HEADS: bool> Stalling<HEADS> {
    fn new(
        stream: Stream,
        idle: Duration,
        (unread, activity): (Arc<AtomicBool>, Arc<Activity>),
    ) -> Self {
        Self {
            stream,
            idle,
            waiting: None,
            unread,
            activity,
            lingering: None,
            lines: HeadLines::new(),
        }
    }

    /// Reads and drops bytes until the peer closes, or has had its time.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lingering = self.lingering.get_or_insert_with(|| Lingering {
            until: Box::pin(tokio::time::sleep(LINGER)),
            bytes: 0,
            scratch: vec![0; 16 << 10],
        });
        while lingering.bytes < LINGER_BYTES_MAX {
            if lingering.until.as_mut().poll(cx).is_ready() {
                break;
            }
            let mut buffer = ReadBuf::new(&mut lingering.scratch);
            match std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => lingering.bytes += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = &wrote {
            let bytes = done.as_ref().map_or(0, bytes);
            self.activity.wrote(bytes as u64);
            self.waiting = None;
            return wrote;
        }
        let deadline = Instant::now() + self.idle;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<const HEADS: bool> AsyncRead for Stalling<HEADS> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.activity.read();
            let new = buf.filled().get(before..).unwrap_or_default();
            if HEADS && self.lines.ambiguous(new) {
                self.activity.found_ambiguous();
            }
        }
        read
    }
}

impl<const HEADS: bool> AsyncWrite for Stalling<HEADS> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, wrote, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, wrote, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        match self.stream {
            // There is nothing to flush, and that says nothing about the peer.
            Stream::Clear(_) => flushed,
            Stream::Tls(_) => self.watch(cx, flushed, |()| 0),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
            std::task::ready!(self.watch(cx, ended, |()| 0))?;
        }
        if self.unread.load(Ordering::Relaxed) {
            std::task::ready!(self.linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
