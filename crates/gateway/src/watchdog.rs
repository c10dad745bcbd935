//! Ends connections on which nothing happens, or whose client takes too long over a head.
//!
//! Requests say only that they begin and end, and reads and writes that there were some; time is
//! looked at a few times in each limit, and never for a request.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, Sleep, sleep},
};

use crate::{
    admission::Turn,
    body::{ResponseBody, WhenEnded},
    payload::bytes_in,
};

/// How often the limit of a head is divided: it ends between one and one and a quarter of it.
const LOOKS: u32 = 4;

/// What a connection's task notes for its watchdog. All of it happens in one task, or is only a
/// hint: no order between the marks is needed.
pub(crate) struct Activity {
    /// A request is being answered.
    busy: AtomicBool,
    /// Bytes of a head that is not complete have come, or the first head has yet to come.
    heading: AtomicBool,
    /// Something was read or written.
    moved: AtomicBool,
    /// A head can be read in two ways: nothing more that comes is accepted.
    ambiguous: AtomicBool,
    /// Bytes written.
    written: AtomicU64,
    /// An answer is taken piece by piece; then whose it is.
    taking: AtomicBool,
    taker: Mutex<Option<Turn>>,
    /// Whether there is an `ending`.
    may_end: AtomicBool,
    /// Is ready once the answer under way must not be sent any more.
    ending: Mutex<Option<WhenEnded>>,
}

impl Activity {
    /// Of a new connection.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            busy: AtomicBool::new(false),
            heading: AtomicBool::new(true),
            moved: AtomicBool::new(true),
            ambiguous: AtomicBool::new(false),
            written: AtomicU64::new(0),
            taking: AtomicBool::new(false),
            taker: Mutex::new(None),
            may_end: AtomicBool::new(false),
            ending: Mutex::default(),
        })
    }

    /// Cuts the connection when `ended` is ready before the answer has been sent.
    pub(crate) fn cut_when(&self, ended: WhenEnded) {
        *self.ending.lock() = Some(ended);
        self.may_end.store(true, Relaxed);
    }

    /// Whether the connection is to be cut now.
    fn is_cut(&self, cx: &mut Context<'_>) -> bool {
        if !self.may_end.load(Relaxed) {
            return false;
        }
        let mut ending = self.ending.lock();
        ending
            .as_mut()
            .is_some_and(|ended| ended.as_mut().poll(cx).is_ready())
    }

    pub(crate) fn found_ambiguous(&self) {
        self.ambiguous.store(true, Relaxed);
    }

    pub(crate) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Relaxed)
    }

    /// A head is complete; until the guard goes, with the last of the answer's body, its request
    /// is being answered.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.store(true, Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether a request is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Whether there is no answer under way, also none of which the last bytes are not sent yet.
    pub(crate) fn rests(&self) -> bool {
        !self.is_busy() && (self.heading.load(Relaxed) || !self.moved.load(Relaxed))
    }

    pub(crate) fn read(&self) {
        self.heading.store(true, Relaxed);
        self.moved.store(true, Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.moved.store(true, Relaxed);
        self.written.fetch_add(bytes, Relaxed);
    }

    /// The answer that is sent now goes to this account, as it takes it.
    pub(crate) fn taken_by(&self, turn: Turn) {
        *self.taker.lock() = Some(turn);
        self.taking.store(true, Relaxed);
    }

    /// Whether others want the room of the answer that is being sent.
    fn is_wanted(&self) -> bool {
        self.taker.lock().as_ref().is_some_and(Turn::presses)
    }
}

/// A request is being answered.
pub(crate) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.taking.swap(false, Relaxed) {
            *self.0.taker.lock() = None;
        }
        if self.0.may_end.load(Relaxed) {
            self.0.may_end.store(false, Relaxed);
            *self.0.ending.lock() = None;
        }
        // What came meanwhile was the body, or a request sent ahead.
        self.0.heading.store(false, Relaxed);
        self.0.moved.store(true, Relaxed);
        self.0.busy.store(false, Relaxed);
    }
}

/// The body of an answer: its request counts as being answered until it has been handed over.
/// Bytes that come meanwhile may be of a request sent ahead, which is not late.
pub(crate) struct Watched {
    body: ResponseBody,
    _busy: Busy,
}

impl Watched {
    pub(crate) fn new(body: ResponseBody, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A head took too long.
    SlowHead,
    /// Nothing happened for too long.
    Idle,
    /// The client takes an answer too slowly while others wait.
    SlowAnswer,
    /// What was being sent must not be sent any more.
    Withdrawn,
    /// The client takes back what it asks for.
    Flood,
}

/// Looks after one connection.
pub(crate) struct Watchdog {
    activity: Arc<Activity>,
    look: Pin<Box<Sleep>>,
    period: Duration,
    idle: u32,
    idle_max: u32,
    heading: u32,
    /// Bytes a second that an answer must be taken at while others wait, and over how long.
    rate: (u64, Duration),
    /// Looks since the answer's rate was judged, and what had been written by then.
    taking: (u32, u64),
    /// Places for connections, and below how many of them nobody rests.
    places: Option<(Arc<Semaphore>, usize)>,
}

impl Watchdog {
    /// With the longest time for a head, and the longest time without anything.
    pub(crate) fn new(activity: Arc<Activity>, head: Duration, idle: Duration) -> Self {
        let period = (head / LOOKS).max(Duration::from_millis(1));
        let idle_max = idle.as_millis().div_ceil(period.as_millis());
        Self {
            activity,
            look: Box::pin(sleep(period)),
            period,
            idle: 0,
            idle_max: u32::try_from(idle_max).unwrap_or(u32::MAX),
            heading: 0,
            rate: (0, Duration::MAX),
            taking: (0, 0),
            places: None,
        }
    }

    /// With the bytes a second, counted over so long, at which an answer must be taken while others
    /// wait for its room.
    pub(crate) fn with_rate(self, rate: u64, window: Duration) -> Self {
        Self {
            rate: (rate, window),
            ..self
        }
    }

    /// With the places for connections: when fewer than `scarce` are left, one that rests ends.
    pub(crate) fn with_places(self, places: Arc<Semaphore>, scarce: usize) -> Self {
        Self {
            places: Some((places, scarce)),
            ..self
        }
    }

    /// Ready when the connection is to be ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.activity.is_cut(cx) {
            return Poll::Ready(Ended::Withdrawn);
        }
        while self.look.as_mut().poll(cx).is_ready() {
            self.look.as_mut().reset(Instant::now() + self.period);
            if let Some(ended) = self.judge() {
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    }

    fn judge(&mut self) -> Option<Ended> {
        let moved = self.activity.moved.swap(false, Relaxed);
        let busy = self.activity.busy.load(Relaxed);
        let heading = !busy && self.activity.heading.load(Relaxed);
        self.heading = if heading { self.heading + 1 } else { 0 };
        self.idle = if busy || moved { 0 } else { self.idle + 1 };
        let scarce = self.idle > 0
            && (self.places.as_ref()).is_some_and(|(p, few)| p.available_permits() < *few);
        if self.heading > LOOKS {
            Some(Ended::SlowHead)
        } else if self.idle > self.idle_max || scarce && !heading {
            Some(Ended::Idle)
        } else if self.takes_slowly() {
            Some(Ended::SlowAnswer)
        } else {
            None
        }
    }
}

impl Watchdog {
    fn takes_slowly(&mut self) -> bool {
        let written = self.activity.written.load(Relaxed);
        if !self.activity.taking.load(Relaxed) {
            self.taking = (0, written);
            return false;
        }
        let (looks, before) = &mut self.taking;
        *looks += 1;
        let passed = self.period * *looks;
        if passed < self.rate.1 {
            return false;
        }
        let wanted = bytes_in(self.rate.0, passed);
        let slow = written - *before < wanted;
        self.taking = (0, written);
        slow && self.activity.is_wanted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    async fn ends(activity: &Arc<Activity>, mut step: impl FnMut(u64)) -> (Ended, u64) {
        let mut dog = Watchdog::new(Arc::clone(activity), HEAD, IDLE);
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => step(begun.elapsed().as_secs()),
                ended = std::future::poll_fn(|cx| dog.poll(cx)) => {
                    return (ended, begun.elapsed().as_secs());
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_in_has_its_time_and_no_more() {
        let activity = Activity::new();
        let (ended, after) = ends(&activity, |_| activity.read()).await;
        assert_eq!(ended, Ended::SlowHead);
        assert!((10..=13).contains(&after), "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_at_all_is_taken_for_a_slow_head() {
        let activity = Activity::new();
        let (ended, after) = ends(&activity, |_| {}).await;
        assert_eq!(ended, Ended::SlowHead);
        assert!((10..=13).contains(&after), "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_a_connection_may_rest() {
        let activity = Activity::new();
        let (ended, after) = ends(&activity, |at| {
            if at == 5 || at == 40 {
                activity.read();
                drop(activity.begin());
            }
        })
        .await;
        assert_eq!(ended, Ended::Idle);
        assert!((100..=105).contains(&after), "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn neither_a_long_body_nor_a_long_answer_is_cut() {
        let activity = Activity::new();
        let mut busy = None;
        let (ended, after) = ends(&activity, |at| match at {
            1 => busy = Some(activity.begin()),
            2..200 => activity.read(),
            200 => busy = None,
            201..400 => activity.wrote(1),
            _ => {}
        })
        .await;
        assert_eq!(ended, Ended::Idle);
        assert!((459..=465).contains(&after), "{after}");
    }
}
