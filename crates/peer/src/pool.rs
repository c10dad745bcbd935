//! The connections to one peer.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedMutexGuard, Semaphore},
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;
use types::{Random, SystemRandom};

use crate::{
    BoxBody, Peer, PeerError,
    connection::{
        CONNECTION_WINDOW, FRAME_BYTES_MAX, HEADER_BYTES_MAX, SEND_BUFFER, STREAM_WINDOW, Source,
        Timing,
    },
    error::find,
    tls::ALPN,
    verify::{self, Facts},
};

/// Connections to one peer at once.
const CONNECTIONS_MAX: usize = 4;
/// Requests to one peer whose response's head is awaited at once.
const REQUESTS_MAX: usize = 512;
/// Pause after the first failure to connect, in milliseconds; it doubles up to the longest.
const PAUSE_MS: u64 = 50;
const PAUSE_MS_MAX: u64 = 2000;
/// How many connections one request tries; each was found dead before the request was sent.
const TRIES: usize = 3;

/// The connections to one peer, and when to try the next.
pub(crate) struct Pool {
    peer: Peer,
    /// The name that the server's certificate must have.
    name: String,
    timing: Timing,
    connections: Mutex<Vec<Arc<Connection>>>,
    requests: Semaphore,
    /// Held by whoever connects; the others wait for the outcome.
    dialling: Arc<tokio::sync::Mutex<()>>,
    past: Mutex<Past>,
    ticks: AtomicU64,
}

/// How the attempts to connect went.
#[derive(Default)]
struct Past {
    /// All attempts that have ended.
    attempts: u64,
    /// Failures since the last response.
    failures: u32,
    /// When the next attempt may begin, and why not now.
    pause: Option<(Instant, PeerError)>,
    /// The credentials of the last failure; new ones deserve a new attempt.
    generation: u64,
}

struct Connection {
    sender: SendRequest<BoxBody>,
    generation: u64,
    server: Facts,
    /// Requests whose response the caller still holds.
    in_use: AtomicUsize,
    last_used: AtomicU64,
    /// Whether the peer has answered a request on it.
    answered: AtomicBool,
    /// The failure of TLS that ended the connection; HTTP/2 keeps its text only.
    broken: Arc<OnceLock<rustls::Error>>,
}

/// Travels in the extensions of a response, and counts it as in use until it is dropped.
#[derive(Clone)]
struct InUse(#[allow(dead_code)] Arc<Counted>);

struct Counted(Arc<Connection>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(peer: Peer, name: String, timing: Timing) -> Self {
        Self {
            peer,
            name,
            timing,
            connections: Mutex::default(),
            requests: Semaphore::new(REQUESTS_MAX),
            dialling: Arc::default(),
            past: Mutex::default(),
            ticks: AtomicU64::new(0),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.peer.address
    }

    /// Open connections.
    pub(crate) fn open(&self) -> usize {
        let connections = self.connections.lock();
        connections.iter().filter(|c| !c.sender.is_closed()).count()
    }

    /// Sends a request on one of the connections, and opens one if there is none.
    pub(crate) async fn send(
        self: &Arc<Self>,
        source: &Source,
        mut request: Request<BoxBody>,
    ) -> Result<Response<Incoming>, PeerError> {
        let Ok(_place) = self.requests.acquire().await else {
            return Err(PeerError::Deadline("a place among the requests to a peer"));
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let counted = self.connection(source).await?;
            let connection = &counted.0;
            let mut sender = connection.sender.clone();
            let error = match sender.try_send_request(request).await {
                Ok(mut response) => {
                    self.answered(connection);
                    response.extensions_mut().insert(InUse(Arc::new(counted)));
                    return Ok(response);
                }
                Err(error) => error,
            };
            if let Some(refused) = self.refusal(connection) {
                self.forget(connection);
                self.failed(connection.generation, &refused);
                return Err(refused);
            }
            let mut failed = error;
            let unsent = failed.take_message();
            let error = PeerError::from_exchange(&self.peer.region, &failed.into_error());
            if unsent.is_some() || !matches!(error, PeerError::Protocol { .. }) {
                self.forget(connection);
                // One that never answered is no better than none.
                if !connection.answered.load(Ordering::Relaxed) {
                    self.failed(connection.generation, &error);
                }
            }
            match unsent {
                Some(unsent) if tries < TRIES => request = unsent,
                _ => return Err(error),
            }
        }
    }

    /// Why TLS ended a connection, if it was the server's judgement on us.
    fn refusal(&self, connection: &Connection) -> Option<PeerError> {
        let error = connection.broken.get()?;
        match PeerError::from_connect(&self.peer.region, error) {
            refused @ PeerError::Refused { .. } => Some(refused),
            _ => None,
        }
    }

    /// The least used connection that will do, or a new one.
    async fn connection(self: &Arc<Self>, source: &Source) -> Result<Counted, PeerError> {
        if let Some((connection, more)) = self.pick(source)? {
            if more {
                self.widen(source);
            }
            return Ok(connection);
        }
        let seen = self.past.lock().attempts;
        let turn = Arc::clone(&self.dialling).lock_owned().await;
        if let Some((connection, _)) = self.pick(source)? {
            return Ok(connection);
        }
        {
            // Whoever held the turn has failed meanwhile; so would we.
            let past = self.past.lock();
            if past.attempts != seen
                && past.generation == source.generation()
                && let Some((_, error)) = &past.pause
            {
                return Err(error.clone());
            }
        }
        // A task of its own: a caller that gives up early leaves a connection for the next one,
        // else callers in a hurry would never get one over a slow link.
        let (pool, source) = (Arc::clone(self), source.clone());
        let dialled = tokio::spawn(async move { pool.dial(&source, turn).await }).await;
        dialled.unwrap_or_else(|_| {
            Err(PeerError::Unreachable {
                peer: self.peer.region.to_string(),
                reason: "the attempt was given up".to_owned(),
            })
        })
    }

    /// A connection that is in use gets company, up to four, without anybody waiting for it: bulk
    /// is spread over several TCP connections, each with windows and losses of its own.
    fn widen(self: &Arc<Self>, source: &Source) {
        let Ok(turn) = Arc::clone(&self.dialling).try_lock_owned() else {
            return;
        };
        if self.past.lock().pause.is_some() {
            return;
        }
        let (pool, source) = (Arc::clone(self), source.clone());
        tokio::spawn(async move {
            if let Err(error) = pool.dial(&source, turn).await {
                tracing::debug!(%error, "no further connection to a peer");
            }
        });
    }

    /// The best open connection, and whether another one would help.
    fn pick(&self, source: &Source) -> Result<Option<(Counted, bool)>, PeerError> {
        let generation = source.generation();
        let mut connections = self.connections.lock();
        let mut revoked = None;
        // What is dropped here ends in order, once the responses on it have been read.
        connections.retain(|c| {
            let stale = source.check(&c.server).err();
            revoked = revoked.or(stale.filter(|s| *s == crate::tls::Stale::Revoked));
            !c.sender.is_closed() && c.generation == generation && stale.is_none()
        });
        if let Some(stale) = revoked {
            return Err(PeerError::Refused {
                peer: self.peer.region.to_string(),
                reason: stale.reason().to_owned(),
            });
        }
        let used = |c: &Arc<Connection>| {
            let in_use = c.in_use.load(Ordering::Relaxed);
            (in_use, c.last_used.load(Ordering::Relaxed))
        };
        let Some(best) = connections.iter().min_by_key(|c| used(c)) else {
            return Ok(None);
        };
        let more = used(best).0 > 0 && connections.len() < CONNECTIONS_MAX;
        Ok(Some((self.counted(best), more)))
    }

    fn counted(&self, connection: &Arc<Connection>) -> Counted {
        let tick = self.ticks.fetch_add(1, Ordering::Relaxed);
        connection.last_used.store(tick, Ordering::Relaxed);
        connection.in_use.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(connection))
    }

    /// Waits until the next attempt may begin, connects and remembers the outcome.
    async fn dial(&self, source: &Source, turn: OwnedMutexGuard<()>) -> Result<Counted, PeerError> {
        let (config, generation) = source.config();
        let pause = {
            let past = self.past.lock();
            past.pause
                .as_ref()
                .filter(|_| past.generation == generation)
                .map(|(until, _)| *until)
        };
        if let Some(until) = pause {
            sleep_until(until).await;
        }
        let connecting = timeout(self.timing.connect, self.connect(config, generation));
        let outcome = connecting
            .await
            .unwrap_or(Err(PeerError::Deadline("a connection")));
        self.past.lock().attempts += 1;
        let outcome = match outcome {
            Ok(connection) => {
                let connection = Arc::new(connection);
                let counted = self.counted(&connection);
                self.connections.lock().push(connection);
                Ok(counted)
            }
            Err(error) => {
                self.failed(generation, &error);
                Err(error)
            }
        };
        drop(turn);
        outcome
    }

    /// A failure: the next attempt waits, longer each time, and not in step with other callers.
    fn failed(&self, generation: u64, error: &PeerError) {
        let mut past = self.past.lock();
        if past.generation != generation {
            past.failures = 0;
            past.generation = generation;
        }
        let longest = PAUSE_MS
            .saturating_mul(1 << past.failures.min(16))
            .min(PAUSE_MS_MAX);
        let ms = longest / 2 + SystemRandom.next_u64() % (longest / 2 + 1);
        past.failures = past.failures.saturating_add(1);
        past.pause = Some((Instant::now() + Duration::from_millis(ms), error.clone()));
    }

    /// A response: the peer is well. (A handshake is not enough: in TLS 1.3 the server judges the
    /// client's certificate after the client has finished.)
    fn answered(&self, connection: &Connection) {
        connection.answered.store(true, Ordering::Relaxed);
        let mut past = self.past.lock();
        past.failures = 0;
        past.pause = None;
    }

    fn forget(&self, connection: &Arc<Connection>) {
        self.connections
            .lock()
            .retain(|c| !Arc::ptr_eq(c, connection));
    }

    async fn connect(
        &self,
        config: Arc<rustls::ClientConfig>,
        generation: u64,
    ) -> Result<Connection, PeerError> {
        let peer = &*self.peer.region;
        let name = ServerName::try_from(self.name.clone()).map_err(PeerError::credentials)?;
        let socket = TcpStream::connect(&self.peer.address)
            .await
            .map_err(|e| PeerError::from_connect(peer, &e))?;
        // Requests are small frames; waiting for more to send with them only adds delay.
        let _ = socket.set_nodelay(true);
        let stream = TlsConnector::from(config)
            .connect(name, socket)
            .await
            .map_err(|e| PeerError::from_connect(peer, &e))?;
        let handshake = |reason: &str| PeerError::Handshake {
            peer: peer.to_owned(),
            reason: reason.to_owned(),
        };
        let session = stream.get_ref().1;
        if session.alpn_protocol() != Some(ALPN) {
            return Err(handshake("it does not speak HTTP/2"));
        }
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let server = leaf
            .and_then(|leaf| verify::leaf(leaf).ok())
            .ok_or_else(|| handshake("no certificate of a region"))?;
        let broken = Arc::new(OnceLock::new());
        let stream = Observed {
            stream,
            broken: Arc::clone(&broken),
        };
        let (sender, connection) = builder(self.timing)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| PeerError::from_connect(peer, &e))?;
        // Ends with the connection, which ends when it breaks or nobody can send on it any more.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a peer broke");
            }
        });
        Ok(Connection {
            sender,
            generation,
            server,
            in_use: AtomicUsize::new(0),
            last_used: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            broken,
        })
    }
}

fn builder(timing: Timing) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(timing.ping)
        .keep_alive_timeout(timing.ping_timeout)
        .keep_alive_while_idle(true);
    builder
}

/// A stream that remembers the failure of TLS in it.
struct Observed<S> {
    stream: S,
    broken: Arc<OnceLock<rustls::Error>>,
}

impl<S> Observed<S> {
    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && let Some(tls) = find::<rustls::Error>(error)
        {
            let _ = self.broken.set(tls.clone()); // the first one counts
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(polled)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(polled)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(polled)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(polled)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
