//! How many bytes the questions and answers of one region may hold here at once.
//!
//! Whoever answers takes room before it makes the answer, gives back what was not needed, and ties
//! the rest to the bytes: it is free again once the connection has written the last of them, or has
//! ended. So a region that asks and does not read fills its own room and nobody else's. Each
//! connection of a region has half of the region's room.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use types::RegionId;

use crate::{BoxBody, BoxError, full};

/// Up to here an answer counts as small: it does not wait behind pages and bodies.
pub const SMALL_BYTES: usize = 64 << 10;
/// What the least answer counts: its stream costs memory too.
const LEAST_BYTES: usize = 4 << 10;
/// What a body holds that is sent as it is read: a piece that was read ahead, and what HTTP/2 has
/// been given and has not sent.
pub const STREAM_BYTES: usize = 3 << 19;
/// How long room is waited for.
const ROOM_WAIT: Duration = Duration::from_secs(10);

/// What room is for. What one kind holds takes nothing from the others, so that pages which nobody
/// reads do not keep a region's customers waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A question's own bytes, and what is made of them.
    Asked,
    /// Answers to questions: pages, bodies of versions, counts.
    Answer,
    /// Answers to requests of customers that were forwarded.
    Passed,
}

/// Bytes that one region may hold, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomLimits {
    /// All answers of at most [`SMALL_BYTES`].
    pub small: usize,
    /// [`Kind::Asked`].
    pub asked: usize,
    /// [`Kind::Answer`].
    pub answers: usize,
    /// [`Kind::Passed`].
    pub passed: usize,
    /// How long room is waited for.
    pub wait: Duration,
    /// Answers that are in the making at once, short ones apart.
    pub making: usize,
    /// The same of all regions together; they take turns.
    pub making_all: usize,
}

impl Default for RoomLimits {
    fn default() -> Self {
        Self {
            small: 16 << 20,
            asked: 32 << 20,
            answers: 64 << 20,
            passed: 128 << 20,
            wait: ROOM_WAIT,
            making: 3,
            making_all: 8,
        }
    }
}

impl RoomLimits {
    fn halved(&self) -> Self {
        Self {
            small: self.small / 2,
            asked: self.asked / 2,
            answers: self.answers / 2,
            passed: self.passed / 2,
            ..self.clone()
        }
    }
}

/// There was no room in time: ask again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is on its way to this region already; ask again")]
pub struct NoRoom;

impl NoRoom {
    /// The answer that says so.
    pub fn answer(self) -> Response<BoxBody> {
        let mut answer = Response::new(full(self.to_string()));
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let soon = HeaderValue::from_static("1");
        answer.headers_mut().insert(header::RETRY_AFTER, soon);
        answer
    }
}

#[derive(Debug)]
struct Budget {
    limits: RoomLimits,
    small: Arc<Semaphore>,
    asked: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    passed: Arc<Semaphore>,
    making: Arc<Semaphore>,
}

impl Budget {
    fn new(limits: RoomLimits) -> Arc<Self> {
        let of = |bytes: usize| Arc::new(Semaphore::new(bytes));
        Arc::new(Self {
            small: of(limits.small),
            asked: of(limits.asked),
            answers: of(limits.answers),
            passed: of(limits.passed),
            making: of(limits.making),
            limits,
        })
    }

    fn part(&self, kind: Kind, bytes: usize) -> (&Arc<Semaphore>, usize) {
        match kind {
            _ if bytes <= SMALL_BYTES => (&self.small, self.limits.small),
            Kind::Asked => (&self.asked, self.limits.asked),
            Kind::Answer => (&self.answers, self.limits.answers),
            Kind::Passed => (&self.passed, self.limits.passed),
        }
    }
}

/// The room of one region, as one of its connections may use it.
#[derive(Debug, Clone)]
pub struct Room {
    region: Arc<Budget>,
    connection: Arc<Budget>,
    /// Where answers of all regions are made.
    making_all: Option<Arc<Semaphore>>,
}

impl Room {
    /// Room of its own.
    pub fn new(limits: RoomLimits) -> Self {
        let region = Budget::new(limits);
        Self {
            connection: Arc::clone(&region),
            region,
            making_all: None,
        }
    }

    fn of(region: Arc<Budget>, making_all: &Arc<Semaphore>) -> Self {
        let connection = Budget::new(region.limits.halved());
        Self {
            region,
            connection,
            making_all: Some(Arc::clone(making_all)),
        }
    }

    /// Takes room for `bytes` bytes, and waits for it if need be. More than a connection may have
    /// takes all that it may have.
    ///
    /// # Errors
    /// [`NoRoom`] when there was none in time.
    pub async fn take(&self, kind: Kind, bytes: usize) -> Result<Held, NoRoom> {
        let until = Instant::now() + self.region.limits.wait;
        let bytes = bytes.max(LEAST_BYTES);
        let (own, most) = self.connection.part(kind, bytes);
        let count = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
        let take = async |of: &Arc<Semaphore>, count| {
            let taken = timeout_at(until, Arc::clone(of).acquire_many_owned(count)).await;
            taken.map_err(|_| NoRoom)?.map_err(|_| NoRoom)
        };
        // The connection's first: one that is full does not keep the region's room from others.
        let own = match Arc::ptr_eq(&self.connection, &self.region) {
            true => None,
            false => Some(take(own, count).await?),
        };
        let (shared, _) = self.region.part(kind, bytes);
        let shared = take(shared, count).await?;
        // Whoever has room takes its turn: the region's own first, so that one which asks much is
        // not in the queue of all more often than the others.
        let making = match &self.making_all {
            Some(all) if kind == Kind::Answer && bytes > SMALL_BYTES => {
                Some((take(&self.region.making, 1).await?, take(all, 1).await?))
            }
            _ => None,
        };
        Ok(Held {
            shared,
            own,
            making,
            _region: Arc::clone(&self.region),
        })
    }

    /// Takes room for an answer that is made already, unless it has some.
    ///
    /// # Errors
    /// [`NoRoom`] when there was none in time.
    pub async fn admit(
        &self,
        kind: Kind,
        mut answer: Response<BoxBody>,
    ) -> Result<Response<BoxBody>, NoRoom> {
        if answer.extensions_mut().remove::<Charged>().is_some() {
            return Ok(answer);
        }
        let bytes = match answer.body().size_hint().exact() {
            Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            None => STREAM_BYTES,
        };
        let held = self.take(kind, bytes).await?;
        Ok(answer.map(|body| held.around(body)))
    }

    /// The same for a body that is read as it is sent, of which there is never more than
    /// [`STREAM_BYTES`] here.
    ///
    /// # Errors
    /// [`NoRoom`] when there was none in time.
    pub async fn stream(
        &self,
        kind: Kind,
        answer: Response<BoxBody>,
    ) -> Result<Response<BoxBody>, NoRoom> {
        let exact = answer.body().size_hint().exact();
        let bytes = exact.map_or(STREAM_BYTES, |bytes| {
            usize::try_from(bytes).map_or(STREAM_BYTES, |bytes| bytes.min(STREAM_BYTES))
        });
        let held = self.take(kind, bytes).await?;
        Ok(held.answer(answer))
    }
}

/// Says of an answer that its room is taken.
#[derive(Clone)]
struct Charged;

/// Room that was taken, until it is dropped.
#[derive(Debug)]
pub struct Held {
    shared: OwnedSemaphorePermit,
    own: Option<OwnedSemaphorePermit>,
    /// Until the answer is made.
    making: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
    // As long as anything is held, new connections of the region share the same budget.
    _region: Arc<Budget>,
}

impl Held {
    /// Gives back all but `bytes`.
    pub fn keep(&mut self, bytes: usize) {
        for permit in std::iter::once(&mut self.shared).chain(&mut self.own) {
            let more = permit.num_permits().saturating_sub(bytes.max(LEAST_BYTES));
            drop(permit.split(more));
        }
    }

    /// How many bytes it is for.
    pub fn bytes(&self) -> usize {
        self.shared.num_permits()
    }

    /// An answer of these bytes, which holds as much room until they are sent.
    pub fn full(mut self, bytes: Bytes) -> Response<BoxBody> {
        self.keep(bytes.len());
        self.answer(Response::new(full(bytes)))
    }

    /// Ties the room to an answer until its last byte is sent.
    pub fn answer(self, answer: Response<BoxBody>) -> Response<BoxBody> {
        let mut answer = answer.map(|body| self.around(body));
        answer.extensions_mut().insert(Charged);
        answer
    }

    fn around(mut self, body: BoxBody) -> BoxBody {
        self.making = None;
        if types::planted("answers-hold-no-room") {
            return body;
        }
        let held = Arc::new(self);
        HeldBody { body, held }.boxed_unsync()
    }
}

/// A body whose pieces hold room for as long as anybody has them.
struct HeldBody {
    body: BoxBody,
    held: Arc<Held>,
}

struct HeldBytes {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let held = |bytes: Bytes| {
            Bytes::from_owner(HeldBytes {
                bytes,
                _held: Arc::clone(&self.held),
            })
        };
        polled.map_ok(|frame| frame.map_data(held))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The rooms of all regions.
#[derive(Debug)]
pub(crate) struct Rooms {
    limits: RoomLimits,
    making: Arc<Semaphore>,
    of: Mutex<HashMap<RegionId, Weak<Budget>>>,
}

impl Rooms {
    pub(crate) fn new(limits: RoomLimits) -> Self {
        Self {
            making: Arc::new(Semaphore::new(limits.making_all)),
            limits,
            of: Mutex::default(),
        }
    }

    /// For a connection of a region. All of its connections share what the region may have, and so
    /// does what ended connections left behind.
    pub(crate) fn of(&self, region: &RegionId) -> Room {
        let mut rooms = self.of.lock();
        rooms.retain(|_, budget| budget.strong_count() > 0);
        if let Some(budget) = rooms.get(region).and_then(Weak::upgrade) {
            return Room::of(budget, &self.making);
        }
        let budget = Budget::new(self.limits.clone());
        rooms.insert(region.clone(), Arc::downgrade(&budget));
        Room::of(budget, &self.making)
    }
}
