//! Asking peers.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use http::{Request, Response, Uri, Version, uri::PathAndQuery};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::timeout;
use types::{Clock, RegionId};

use crate::{
    BoxBody, PeerError, Room, RoomLimits, Tls,
    connection::{Source, Timing},
    pool::Pool,
    region_dns_name, tls,
};

/// What answers of one peer may hold that are collected before they are read. Only a moment is
/// waited for it: what waits unread keeps the windows of a connection full, and those who have room
/// need them.
const ANSWERS_ROOM: RoomLimits = RoomLimits {
    small: 16 << 20,
    asked: 0,
    answers: 256 << 20,
    passed: 0,
    wait: Duration::from_secs(1),
    making: 1,
    making_all: 1,
};
/// Peers that are remembered at once; a cloud has some tens of regions.
const PEERS_MAX: usize = 1024;

/// A region and where it answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The region; its certificate must say the same.
    pub region: RegionId,
    /// `host:port`.
    pub address: String,
}

/// Sends requests to peers over few long-lived connections. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    source: Source,
    timing: Timing,
    pools: Mutex<HashMap<RegionId, Arc<Pool>>>,
    rooms: Mutex<HashMap<RegionId, Room>>,
}

impl Client {
    /// A client in the name of the region of `tls`.
    pub fn new(tls: Arc<Tls>) -> Self {
        Self::with_timing(tls, Timing::default())
    }

    /// The same with other waits.
    pub fn with_timing(tls: Arc<Tls>, timing: Timing) -> Self {
        Self::of(Source::Region(tls), timing)
    }

    /// A client without a certificate, which trusts exactly the cloud whose authority has this
    /// fingerprint: for joining.
    ///
    /// # Errors
    /// [`PeerError::Credentials`] when TLS cannot be set up.
    pub fn stranger(fingerprint: [u8; 32], clock: Arc<dyn Clock>) -> Result<Self, PeerError> {
        let config = tls::stranger(fingerprint, clock)?;
        Ok(Self::of(
            Source::Stranger(Arc::new(config)),
            Timing::default(),
        ))
    }

    fn of(source: Source, timing: Timing) -> Self {
        Self(Arc::new(Inner {
            source,
            timing,
            pools: Mutex::default(),
            rooms: Mutex::default(),
        }))
    }

    /// Sends `request` to `to` and waits for the head of the response, 35 s at most
    /// ([`Timing::response`]). Of the
    /// request's address only path and query count. The body of the response has no deadline of
    /// its own: read it with [`crate::next_data`].
    ///
    /// Requests go to the connection with the fewest responses in use. A response is in use until
    /// its extensions are dropped: who reads a large body keeps the head for as long.
    ///
    /// A request is sent once: when the connection breaks after it may have arrived, the error
    /// says so and the caller decides.
    ///
    /// # Errors
    /// [`PeerError`], by what happened; [`PeerError::is_transient`] says whether to try again.
    /// After a failure to connect, the next attempt begins after a pause (2 s at most), so that a
    /// caller that tries again at once makes no storm.
    pub async fn request(
        &self,
        to: &Peer,
        request: Request<BoxBody>,
    ) -> Result<Response<Incoming>, PeerError> {
        self.request_within(self.0.timing.response, to, request)
            .await
    }

    /// The same with another deadline for the head of the response, for uploads that take longer
    /// and for callers with less time.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn request_within(
        &self,
        deadline: Duration,
        to: &Peer,
        request: Request<BoxBody>,
    ) -> Result<Response<Incoming>, PeerError> {
        let name = region_dns_name(&to.region)
            .ok_or_else(|| PeerError::credentials("the peer's region id is no DNS label"))?;
        let request = address(request, &name)?;
        let pool = self.pool(to, name);
        timeout(deadline, pool.send(&self.0.source, request))
            .await
            .unwrap_or(Err(PeerError::Deadline("a response")))
    }

    /// Room for answers of `region` that are collected as a whole.
    pub fn room(&self, region: &RegionId) -> Room {
        let mut rooms = self.0.rooms.lock();
        if rooms.len() >= PEERS_MAX && !rooms.contains_key(region) {
            // Regions come and go; what is held counts for as long as it is held.
            rooms.clear();
        }
        let room = rooms
            .entry(region.clone())
            .or_insert_with(|| Room::new(ANSWERS_ROOM));
        room.clone()
    }

    /// How many connections to `region` are open, for metrics and tests.
    pub fn connections(&self, region: &RegionId) -> usize {
        let pool = self.0.pools.lock().get(region).cloned();
        pool.map_or(0, |pool| pool.open())
    }

    fn pool(&self, to: &Peer, name: String) -> Arc<Pool> {
        let mut pools = self.0.pools.lock();
        if let Some(pool) = pools.get(&to.region)
            && pool.address() == to.address
        {
            return Arc::clone(pool);
        }
        if pools.len() >= PEERS_MAX {
            pools.retain(|_, pool| pool.open() > 0);
        }
        // A region that has moved: its old connections end with their requests.
        let pool = Arc::new(Pool::new(to.clone(), name, self.0.timing));
        pools.insert(to.region.clone(), Arc::clone(&pool));
        pool
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Gives a request the authority and version that HTTP/2 wants.
fn address(mut request: Request<BoxBody>, name: &str) -> Result<Request<BoxBody>, PeerError> {
    let path = request.uri().path_and_query().cloned();
    let uri = Uri::builder()
        .scheme("https")
        .authority(name)
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build()
        .map_err(|e| PeerError::Protocol {
            peer: name.to_owned(),
            reason: e.to_string(),
        })?;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}
