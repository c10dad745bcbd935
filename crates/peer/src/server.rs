//! Answering peers: the accept loop, the handshake, and who it is that asks.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use types::{ConnectionSlot, Connections, RegionId};

use crate::{
    BoxBody, Kind, NoRoom, Room, RoomLimits, Tls,
    connection::{FRAME_BYTES_MAX, HEADER_BYTES_MAX, SEND_BUFFER, STREAM_WINDOW},
    room::Rooms,
    tls::ALPN,
    verify::{self, Facts},
};

/// How long a refused caller may take to read why, before its connection is cut.
const LINGER: Duration = Duration::from_secs(1);
/// Most bytes that are read from a refused caller meanwhile.
const LINGER_BYTES_MAX: u64 = 64 * 1024;
/// Pause after a failure to accept (out of file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Streams of one connection of a region.
const STREAMS_MAX: u32 = 256;
/// Streams, and bytes in flight, of one connection of a stranger.
const STRANGER_STREAMS_MAX: u32 = 2;
const STRANGER_WINDOW: u32 = 64 * 1024;
/// Bytes of requests that one connection of a region may have sent and nobody has read: 53 MiB/s at
/// 300 ms. What regions ask for in bulk comes the other way.
const SERVER_WINDOW: u32 = 16 << 20;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A region of this cloud, by its certificate.
    Region(RegionId),
    /// Somebody without a certificate. To be refused, except for joining the cloud.
    Stranger,
}

/// Answers the requests of peers.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. The deadline is the handler's own affair; the future is dropped when
    /// the caller goes away. An answer for which no `room` was taken is given some by its length
    /// once it is made: whoever makes much takes it before.
    async fn handle(
        &self,
        from: Caller,
        room: Room,
        request: Request<Incoming>,
    ) -> Response<BoxBody>;
}

/// The serial number of the certificate that the caller has shown: an extension of each request of
/// a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(pub String);

/// The limits of a server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections of regions at once.
    pub connections: usize,
    /// Connections of one region at once, so that none uses up the places of the others. With one
    /// more the oldest is cut: its other end may have left it after a break of the network.
    pub region_connections: usize,
    /// What one region may have under way in bytes.
    pub room: RoomLimits,
    /// Connections of strangers at once. With one more, the one that has done nothing for longest
    /// is closed: one of the address that has the most.
    pub strangers: usize,
    /// Handshakes at once; with one more, the oldest gives way in the same manner.
    pub handshakes: usize,
    /// Longest handshake.
    pub handshake: Duration,
    /// Longest life of a stranger's connection.
    pub stranger: Duration,
    /// Time between two pings on a connection.
    pub ping: Duration,
    /// Longest wait for the answer to a ping, after which a connection counts as dead.
    pub ping_timeout: Duration,
    /// Longest wait for requests that are under way when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            region_connections: 8,
            room: RoomLimits::default(),
            strangers: 16,
            handshakes: 256,
            handshake: Duration::from_secs(10),
            stranger: Duration::from_secs(60),
            ping: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// What all strangers together may have under way.
const STRANGERS_ROOM: RoomLimits = RoomLimits {
    small: 1 << 20,
    asked: 2 << 20,
    answers: 1 << 20,
    passed: 0,
    wait: Duration::from_secs(1),
    making: 1,
    making_all: 1,
};

/// The connections of each region, the oldest first; each is cut when it is signalled.
type OwnConnections = HashMap<RegionId, VecDeque<Arc<Notify>>>;

struct Server {
    tls: Arc<Tls>,
    handler: Arc<dyn Handler>,
    limits: Limits,
    regions: Arc<Semaphore>,
    strangers: Arc<Connections>,
    held: Arc<Mutex<OwnConnections>>,
    rooms: Rooms,
    strangers_room: Room,
}

/// One of the connections that a region may have at once; counted until it is dropped.
struct OwnConnection {
    held: Arc<Mutex<OwnConnections>>,
    region: RegionId,
    /// A newer connection takes the place.
    cut: Arc<Notify>,
}

impl OwnConnection {
    fn take(held: &Arc<Mutex<OwnConnections>>, region: &RegionId, most: usize) -> Self {
        let cut = Arc::new(Notify::new());
        let mut all = held.lock();
        let own = all.entry(region.clone()).or_default();
        own.push_back(Arc::clone(&cut));
        while own.len() > most {
            tracing::warn!(%region, "too many connections of one region: the oldest is cut");
            if let Some(oldest) = own.pop_front() {
                oldest.notify_one();
            }
        }
        drop(all);
        Self {
            held: Arc::clone(held),
            region: region.clone(),
            cut,
        }
    }
}

impl Drop for OwnConnection {
    fn drop(&mut self) {
        let mut all = self.held.lock();
        if let Some(own) = all.get_mut(&self.region) {
            own.retain(|cut| !Arc::ptr_eq(cut, &self.cut));
            if own.is_empty() {
                all.remove(&self.region);
            }
        }
    }
}

/// Answers peers on `listener` within the usual [`Limits`], until `stopping` is ready and what was
/// under way has ended (ten seconds at most).
pub async fn serve(
    listener: TcpListener,
    tls: Arc<Tls>,
    handler: Arc<dyn Handler>,
    stopping: impl Future<Output = ()>,
) {
    serve_within(Limits::default(), listener, tls, handler, stopping).await;
}

/// Answers peers on `listener` within `limits`, until `stopping` is ready and what was under way
/// has ended ([`Limits::drain`] at most).
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    tls: Arc<Tls>,
    handler: Arc<dyn Handler>,
    stopping: impl Future<Output = ()>,
) {
    let server = Arc::new(Server {
        tls,
        handler,
        regions: Arc::new(Semaphore::new(limits.connections)),
        strangers: Connections::new(limits.strangers, limits.stranger),
        held: Arc::default(),
        rooms: Rooms::new(limits.room.clone()),
        strangers_room: Room::new(STRANGERS_ROOM),
        limits,
    });
    let handshakes = Connections::new(server.limits.handshakes, server.limits.handshake);
    let stop = watch::Sender::new(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stopping);
    loop {
        let accepted = tokio::select! {
            () = &mut stopping => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, from)) => {
                let Some(place) = PeerSlot::take(&handshakes, from) else {
                    continue;
                };
                let (server, stop) = (Arc::clone(&server), stop.subscribe());
                let answering = async move { server.connection(socket, from, place, stop).await };
                connections.spawn(answering);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer's connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(server.limits.drain, ended).await.is_err() {
        connections.shutdown().await;
    }
}

/// A place among connections that others may need.
struct PeerSlot {
    place: ConnectionSlot,
    needed: Arc<Notify>,
}

impl PeerSlot {
    fn take(of: &Arc<Connections>, from: SocketAddr) -> Option<Self> {
        let needed = Arc::new(Notify::new());
        let tell = Arc::clone(&needed);
        let place = of.enter(from.ip(), move || tell.notify_one())?;
        Some(Self { place, needed })
    }
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        socket: TcpStream,
        from: SocketAddr,
        handshaking: PeerSlot,
        mut stop: watch::Receiver<bool>,
    ) {
        // Answers are small frames; waiting for more to send with them only adds delay.
        let _ = socket.set_nodelay(true);
        let handshake = self.handshake(socket);
        let stream = tokio::select! {
            () = stopped(&mut stop) => return,
            () = handshaking.needed.notified() => {
                return tracing::debug!(%from, "others needed the place of a handshake");
            }
            done = timeout(self.limits.handshake, handshake) => match done {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(_) => return tracing::debug!(%from, "no handshake in time"),
            },
        };
        let facts = match stream.get_ref().1.peer_certificates() {
            None | Some([]) => None,
            // Verified in the handshake; read again rather than carried around it.
            Some([leaf, ..]) => match verify::leaf(leaf) {
                Ok(facts) => Some(facts),
                Err(_) => return,
            },
        };
        match facts {
            Some(facts) => {
                let Ok(_place) = Arc::clone(&self.regions).try_acquire_owned() else {
                    return tracing::warn!(%from, "too many connections of peers");
                };
                let most = self.limits.region_connections;
                let own = OwnConnection::take(&self.held, &facts.region, most);
                drop(handshaking);
                tokio::select! {
                    () = self.answer(stream, Some(facts), None, stop) => {}
                    () = own.cut.notified() => {}
                }
            }
            None => {
                let Some(place) = PeerSlot::take(&self.strangers, from) else {
                    return tracing::warn!(%from, "too many strangers are at work");
                };
                drop(handshaking);
                let place = Arc::new(place);
                let answered = self.answer(stream, None, Some(Arc::clone(&place)), stop);
                tokio::select! {
                    _ = timeout(self.limits.stranger, answered) => {}
                    () = place.needed.notified() => {}
                }
            }
        }
    }

    async fn handshake(&self, socket: TcpStream) -> Option<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.state().server));
        match acceptor.accept(socket).into_fallible().await {
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(ALPN) => Some(stream),
            Ok(_) => None,
            Err((error, socket)) => {
                tracing::debug!(%error, "handshake with a peer failed");
                let _ = timeout(LINGER, linger(socket)).await;
                None
            }
        }
    }

    async fn answer(
        &self,
        stream: TlsStream<TcpStream>,
        facts: Option<Facts>,
        place: Option<Arc<PeerSlot>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut changes = self.tls.changes();
        let facts = facts.map(Arc::new);
        let stale = Arc::new(Notify::new());
        let room = self.room_of(facts.as_deref());
        let service = {
            let (tls, handler) = (Arc::clone(&self.tls), Arc::clone(&self.handler));
            let (facts, stale) = (facts.clone(), Arc::clone(&stale));
            service_fn(move |mut request: Request<Incoming>| {
                let admitted = facts.as_ref().map(|facts| tls.check(facts)).transpose();
                let from = match &facts {
                    Some(facts) => Caller::Region(facts.region.clone()),
                    None => Caller::Stranger,
                };
                if let Some(facts) = &facts {
                    let shown = Shown(facts.serial.clone());
                    request.extensions_mut().insert(shown);
                }
                let handler = Arc::clone(&handler);
                let stale = Arc::clone(&stale);
                let (room, place) = (room.clone(), place.clone());
                async move {
                    if admitted.is_err() {
                        stale.notify_one();
                        // The caller learns it from the code of the reset.
                        return Err(h2::Error::from(h2::Reason::INADEQUATE_SECURITY));
                    }
                    place.as_ref().inspect(|place| place.place.busy());
                    let answer = handler.handle(from, room.clone(), request).await;
                    place.as_ref().inspect(|place| place.place.idle());
                    let answer = room.admit(Kind::Answer, answer).await;
                    Ok(answer.unwrap_or_else(NoRoom::answer))
                }
            })
        };
        let connection = self
            .builder(facts.is_some())
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut stopping = false;
        loop {
            // The set may have changed between the handshake and the subscription.
            if facts.as_ref().is_some_and(|f| self.revoked(f)) {
                return; // cut: whatever is under way is not theirs to finish
            }
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection of a peer broke");
                    }
                    return;
                }
                () = stopped(&mut stop), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = stale.notified(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                Ok(()) = changes.changed() => {}
            }
        }
    }

    fn room_of(&self, facts: Option<&Facts>) -> Room {
        match facts {
            Some(facts) => self.rooms.of(&facts.region),
            None => self.strangers_room.clone(),
        }
    }

    fn revoked(&self, facts: &Facts) -> bool {
        self.tls.check(facts) == Err(crate::tls::Stale::Revoked)
    }

    /// A stranger gets little room: what it makes us hold costs it nothing.
    fn builder(&self, region: bool) -> http2::Builder<TokioExecutor> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.ping)
            .keep_alive_timeout(self.limits.ping_timeout)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_send_buf_size(SEND_BUFFER);
        if region {
            builder
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(SERVER_WINDOW)
                .max_frame_size(FRAME_BYTES_MAX)
                .max_concurrent_streams(STREAMS_MAX);
        } else {
            builder
                .initial_stream_window_size(STRANGER_WINDOW)
                .initial_connection_window_size(STRANGER_WINDOW)
                .max_concurrent_streams(STRANGER_STREAMS_MAX);
        }
        builder
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Lets a refused caller read the alert: closing a socket with unread bytes in it resets the
/// connection, and the alert would be lost with it.
async fn linger(mut socket: TcpStream) -> io::Result<()> {
    socket.shutdown().await?;
    let mut rest = socket.take(LINGER_BYTES_MAX);
    let mut sink = [0; 4096];
    while rest.read(&mut sink).await? > 0 {}
    Ok(())
}
