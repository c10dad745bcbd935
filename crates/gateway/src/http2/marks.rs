//! What the requests of a connection note for its watchdog, which ends connections on which nothing
//! happens: as `watchdog.rs` does with one request at a time. The connection ends as a whole: an
//! answer that waits for its client cannot be ended by itself.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, Sleep, sleep},
};

use crate::{
    admission::Turn, body::WhenEnded, limits::GatewayConfig, payload::bytes_in, watchdog::Ended,
};

/// How often the limit of a head is divided.
const LOOKS: u32 = 4;
/// Requests that a client may take back before they are answered, beyond as many as were answered.
const RESETS_MAX: u64 = 200;

/// What all requests of a connection note.
pub(crate) struct Marks {
    begun: AtomicU64,
    open: AtomicUsize,
    answered: AtomicU64,
    /// Requests that were taken back before there was an answer.
    reset: AtomicU64,
    /// Answers that are being sent, by the number of their request.
    sending: Mutex<HashMap<u64, Sending>>,
    /// How many of them may have to end early.
    may_end: AtomicUsize,
}

/// An answer that is being sent.
struct Sending {
    sent: Arc<AtomicU64>,
    taker: Option<Turn>,
    ending: Option<WhenEnded>,
    /// Looks without a byte.
    still: u32,
    /// Looks since its rate was judged, and what had been sent by then; by the last look.
    judged: (u32, u64),
    seen: u64,
}

impl Marks {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            sending: Mutex::default(),
            may_end: AtomicUsize::new(0),
        })
    }

    /// A head has come.
    pub(crate) fn begin(self: &Arc<Self>) -> OnStream {
        self.open.fetch_add(1, Relaxed);
        OnStream {
            number: self.begun.fetch_add(1, Relaxed),
            marks: Arc::clone(self),
            sent: Arc::default(),
            is_answered: false,
            may_end: AtomicBool::new(false),
        }
    }

    /// Whether a request is being answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    /// Whether the client does hardly more than take its requests back.
    fn floods(&self) -> bool {
        let floods = self.reset.load(Relaxed) > RESETS_MAX + self.answered.load(Relaxed);
        floods && !types::planted("resets-uncounted")
    }

    fn is_cut(&self, cx: &mut Context<'_>) -> bool {
        if self.may_end.load(Relaxed) == 0 {
            return false;
        }
        let mut sending = self.sending.lock();
        let mut ends = sending.values_mut().filter_map(|one| one.ending.as_mut());
        ends.any(|ended| ended.as_mut().poll(cx).is_ready())
    }
}

/// A request under way; until it is dropped with the last of its answer.
pub(crate) struct OnStream {
    number: u64,
    marks: Arc<Marks>,
    sent: Arc<AtomicU64>,
    is_answered: bool,
    may_end: AtomicBool,
}

impl OnStream {
    /// The answer is made, and is sent from here on.
    pub(crate) fn answered(&mut self) {
        self.is_answered = true;
        self.marks.answered.fetch_add(1, Relaxed);
        let sending = Sending {
            sent: Arc::clone(&self.sent),
            taker: None,
            ending: None,
            still: 0,
            judged: (0, 0),
            seen: 0,
        };
        self.marks.sending.lock().insert(self.number, sending);
    }

    /// The answer goes to this account, as it takes it.
    pub(crate) fn taken_by(&self, turn: Turn) {
        if let Some(sending) = self.marks.sending.lock().get_mut(&self.number) {
            sending.taker = Some(turn);
        }
    }

    /// Cuts the connection when `ended` is ready before the answer has been sent.
    pub(crate) fn cut_when(&self, ended: WhenEnded) {
        if let Some(sending) = self.marks.sending.lock().get_mut(&self.number) {
            sending.ending = Some(ended);
            self.may_end.store(true, Relaxed);
            self.marks.may_end.fetch_add(1, Relaxed);
        }
    }

    /// So many bytes of the answer were handed over.
    pub(crate) fn moved(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
    }
}

impl Drop for OnStream {
    fn drop(&mut self) {
        if self.is_answered {
            self.marks.sending.lock().remove(&self.number);
        } else {
            self.marks.reset.fetch_add(1, Relaxed);
        }
        if *self.may_end.get_mut() {
            self.marks.may_end.fetch_sub(1, Relaxed);
        }
        self.marks.open.fetch_sub(1, Relaxed);
    }
}

/// Looks after one connection.
pub(crate) struct StreamsWatchdog {
    marks: Arc<Marks>,
    look: Pin<Box<Sleep>>,
    period: Duration,
    /// Looks without a request, the most of them, and how many requests there had been.
    idle: u32,
    idle_max: u32,
    begun: u64,
    /// Looks without a byte of an answer, at most.
    still_max: u32,
    /// Bytes a second that an answer must be taken at while others wait, and over how long.
    rate: (u64, Duration),
    /// Places for connections, and below how many of them nobody rests.
    places: Arc<Semaphore>,
    scarce: usize,
}

impl StreamsWatchdog {
    pub(crate) fn new(marks: Arc<Marks>, config: &GatewayConfig, places: Arc<Semaphore>) -> Self {
        let period = (config.head_timeout / LOOKS).max(Duration::from_millis(1));
        let looks = |time: Duration| {
            let looks = time.as_millis().div_ceil(period.as_millis());
            u32::try_from(looks).unwrap_or(u32::MAX)
        };
        Self {
            marks,
            look: Box::pin(sleep(period)),
            period,
            idle: 0,
            idle_max: looks(config.keep_alive_idle),
            begun: 0,
            still_max: looks(config.write_idle),
            rate: (config.body_rate, config.rate_window),
            places,
            scarce: config.connections_max / 8,
        }
    }

    /// Ready when the connection is to be ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if self.marks.is_cut(cx) {
            return Poll::Ready(Ended::Withdrawn);
        }
        if self.marks.floods() {
            return Poll::Ready(Ended::Flood);
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
        let begun = self.marks.begun.load(Relaxed);
        let busy = self.marks.open.load(Relaxed) > 0 || begun != self.begun;
        self.begun = begun;
        self.idle = if busy { 0 } else { self.idle + 1 };
        if begun == 0 && self.idle > LOOKS {
            // A head that is not complete, or none at all.
            return Some(Ended::SlowHead);
        }
        let scarce = self.places.available_permits() < self.scarce;
        if self.idle > self.idle_max || self.idle > 0 && begun > 0 && scarce {
            return Some(Ended::Idle);
        }
        self.sends_slowly().then_some(Ended::SlowAnswer)
    }

    /// Whether an answer has not moved for too long, or moves too slowly while others wait.
    fn sends_slowly(&self) -> bool {
        let mut all = self.marks.sending.lock();
        // All are counted: one that is slow must not hide another.
        let slow = all.values_mut().map(|one| {
            let sent = one.sent.load(Relaxed);
            one.still = if sent == one.seen { one.still + 1 } else { 0 };
            one.seen = sent;
            let Some(taker) = &one.taker else {
                return one.still > self.still_max;
            };
            let (looks, before) = &mut one.judged;
            *looks += 1;
            let passed = self.period * *looks;
            let mut slow = false;
            if passed >= self.rate.1 {
                slow = sent - *before < bytes_in(self.rate.0, passed) && taker.presses();
                one.judged = (0, sent);
            }
            slow || one.still > self.still_max
        });
        slow.fold(false, |any, slow| any | slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why a connection ends, and after how many seconds. `step` is called each second.
    async fn ends(marks: &Arc<Marks>, mut step: impl FnMut(u64)) -> (Ended, u64) {
        let config = GatewayConfig::default();
        let places = Arc::new(Semaphore::new(config.connections_max));
        let mut dog = StreamsWatchdog::new(Arc::clone(marks), &config, places);
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    let at = begun.elapsed().as_secs();
                    assert!(at < 3600, "the connection is not ended");
                    step(at);
                }
                ended = std::future::poll_fn(|cx| dog.poll(cx)) => {
                    return (ended, begun.elapsed().as_secs());
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_has_the_time_of_a_head() {
        let (ended, after) = ends(&Marks::new(), |_| {}).await;
        assert_eq!(ended, Ended::SlowHead);
        assert!((10..=13).contains(&after), "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_a_connection_may_rest() {
        let marks = Marks::new();
        let mut open = None;
        let (ended, after) = ends(&marks, |at| match at {
            5 => open = Some(marks.begin()),
            // At work for longer than a connection may rest.
            200 => {
                let mut stream = open.take().unwrap();
                stream.answered();
            }
            240 => {
                let mut stream = marks.begin();
                stream.answered();
            }
            _ => {}
        })
        .await;
        assert_eq!(ended, Ended::Idle);
        assert!((299..=306).contains(&after), "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_the_connection_whatever_others_do() {
        let marks = Marks::new();
        let mut all = Vec::new();
        let (ended, after) = ends(&marks, |at| match at {
            1 => {
                for _ in 0..2 {
                    let mut stream = marks.begin();
                    stream.answered();
                    all.push(stream);
                }
            }
            2..100 => all.iter().for_each(|stream| stream.moved(1)),
            at if at > 2 => all[0].moved(1),
            _ => {}
        })
        .await;
        assert_eq!(ended, Ended::SlowAnswer);
        assert!((158..=166).contains(&after), "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_requests_back_and_does_little_else_is_ended() {
        let marks = Marks::new();
        let (ended, after) = ends(&marks, |at| {
            for n in 0..20 {
                let mut stream = marks.begin();
                // For a time most are wanted.
                if at < 20 && n > 8 {
                    stream.answered();
                }
            }
        })
        .await;
        assert_eq!(ended, Ended::Flood);
        assert!((20..=40).contains(&after), "{after}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_not_be_sent_any_more_ends_the_connection_while_it_is_sent() {
        let marks = Marks::new();
        let mut stream = marks.begin();
        stream.answered();
        stream.cut_when(Box::pin(std::future::ready(())));
        drop(stream);
        let mut stream = marks.begin();
        stream.answered();
        stream.cut_when(Box::pin(sleep(Duration::from_secs(20))));
        let (ended, after) = ends(&marks, |_| {}).await;
        assert_eq!((ended, after), (Ended::Withdrawn, 20));
    }
}
