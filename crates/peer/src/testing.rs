//! A TCP proxy that delays, throttles, stalls and cuts, for tests of whoever talks to peers.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream, lookup_host,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

/// Bytes that are read and forwarded as one piece.
const PIECE_BYTES: usize = 16 * 1024;
/// What the kernel may hold for the proxy to read, fixed: left alone it grows to many MiB, which
/// would lengthen the link's queue beyond [`Link::buffer`].
const SOCKET_BYTES: u32 = 256 * 1024;
/// Pieces that may be under way in one direction; their bytes are bounded by [`Link::buffer`].
const PIECES_MAX: usize = 8192;

/// How the link behaves, in both directions alike.
#[derive(Debug, Clone)]
pub struct Link {
    /// Time that every byte takes one way.
    pub delay: Duration,
    /// Bytes per second of each direction, shared by all connections; `None` for no limit.
    pub bandwidth: Option<u64>,
    /// Bytes under way in one direction of one connection, at most. What a link can hold is its
    /// bandwidth times its delay; less than that throttles. With a limit on the bandwidth never
    /// more than the link carries in its delay and one second, for a longer queue would hold back
    /// pings until they count as lost. Read when a connection begins.
    pub buffer: usize,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            bandwidth: None,
            buffer: 8 << 20,
        }
    }
}

impl Link {
    /// Bytes under way in one direction, at most.
    fn room(&self) -> usize {
        let queue = (self.delay + Duration::from_secs(1)).as_secs_f64();
        let carried = self.bandwidth.map(|b| (b as f64 * queue) as usize);
        let room = carried.map_or(self.buffer, |carried| carried.min(self.buffer));
        room.max(PIECE_BYTES)
    }
}

#[derive(Debug, Clone)]
struct State {
    link: Link,
    /// No byte passes, and neither side gets an error.
    stalled: bool,
    /// Counts the cuts; a connection lives until the next.
    cuts: u64,
    /// New connections are closed at once.
    down: bool,
}

/// A proxy on a loopback address. It ends, with its connections, when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// A proxy to `target` (`host:port`) on a free port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: &str, link: Link) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Connections inherit it.
        socket.set_recv_buffer_size(SOCKET_BYTES)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(1024)?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(State {
            link,
            stalled: false,
            cuts: 0,
            down: false,
        });
        let accepted = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(accept(
            listener,
            target.to_owned(),
            state.subscribe(),
            Arc::clone(&accepted),
        ));
        Ok(Self {
            address,
            state,
            accepted,
            task,
        })
    }

    /// Where the proxy listens, `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections it has accepted since it began.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Changes the link, for the connections that are open too.
    pub fn set_link(&self, link: Link) {
        self.state.send_modify(|state| state.link = link);
    }

    /// From here on no byte passes and no connection ends: the silence of a dead link.
    pub fn stall(&self) {
        self.state.send_modify(|state| state.stalled = true);
    }

    /// Ends a stall; what was held passes.
    pub fn flow(&self) {
        self.state.send_modify(|state| state.stalled = false);
    }

    /// Closes every open connection.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Closes every open connection, and every new one until [`FaultProxy::up`].
    pub fn down(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.down = true;
        });
    }

    /// Accepts connections again.
    pub fn up(&self) {
        self.state.send_modify(|state| state.down = false);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

/// One direction of the link: when it has sent all that it was given.
type Lane = Arc<Mutex<Instant>>;

async fn accept(
    listener: TcpListener,
    target: String,
    state: watch::Receiver<State>,
    accepted: Arc<AtomicUsize>,
) {
    let lane = || Lane::new(Mutex::new(Instant::now()));
    let (there, back) = (lane(), lane());
    loop {
        let Ok((near, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        accepted.fetch_add(1, Ordering::SeqCst);
        let state = state.clone();
        if state.borrow().down {
            continue;
        }
        let target = target.clone();
        let (there, back) = (Arc::clone(&there), Arc::clone(&back));
        tokio::spawn(async move {
            let cuts = state.borrow().cuts;
            let mut watched = state.clone();
            let carried = async {
                let far = connect(&target).await?;
                near.set_nodelay(true)?;
                far.set_nodelay(true)?;
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::try_join!(
                    carry(near_read, far_write, there, state.clone()),
                    carry(far_read, near_write, back, state.clone()),
                )
            };
            tokio::select! {
                _ = carried => {}
                // An error means that the proxy is gone.
                _ = watched.wait_for(|state| state.cuts != cuts) => {}
            }
        });
    }
}

async fn connect(target: &str) -> io::Result<TcpStream> {
    let address = lookup_host(target).await?.next();
    let address = address.ok_or_else(|| io::Error::other("the target has no address"))?;
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    socket.connect(address).await
}

/// One piece under way, with the room that it takes.
struct Piece {
    due: Instant,
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

async fn carry(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    lane: Lane,
    state: watch::Receiver<State>,
) -> io::Result<()> {
    let buffer = state.borrow().link.room();
    let room = Arc::new(Semaphore::new(buffer.min(Semaphore::MAX_PERMITS)));
    let (send, receive) = mpsc::channel(PIECES_MAX);
    tokio::try_join!(
        take_in(from, send, room, state.clone()),
        let_out(to, receive, lane, state)
    )?;
    Ok(())
}

async fn take_in(
    mut from: OwnedReadHalf,
    send: mpsc::Sender<Piece>,
    room: Arc<Semaphore>,
    state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let space = Arc::clone(&room).acquire_many_owned(PIECE_BYTES as u32);
        let mut space = space.await.map_err(io::Error::other)?;
        let bytes = match from.read(&mut piece).await? {
            0 => return Ok(()),
            n => Bytes::copy_from_slice(piece.get(..n).unwrap_or_default()),
        };
        // What the piece does not fill is given back.
        drop(space.split(PIECE_BYTES - bytes.len()));
        let due = Instant::now() + state.borrow().link.delay;
        let piece = Piece {
            due,
            bytes,
            _room: space,
        };
        if send.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

async fn let_out(
    mut to: OwnedWriteHalf,
    mut receive: mpsc::Receiver<Piece>,
    lane: Lane,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    while let Some(piece) = receive.recv().await {
        sleep_until(piece.due).await;
        let bandwidth = {
            let flowing = state.wait_for(|state| !state.stalled).await;
            flowing.map_err(io::Error::other)?.link.bandwidth
        };
        if let Some(bandwidth) = bandwidth {
            let seconds = piece.bytes.len() as f64 / bandwidth.max(1) as f64;
            let sent = {
                let mut free = lane.lock();
                *free = free.max(piece.due) + Duration::from_secs_f64(seconds);
                *free
            };
            sleep_until(sent).await;
        }
        to.write_all(&piece.bytes).await?;
    }
    to.shutdown().await
}
