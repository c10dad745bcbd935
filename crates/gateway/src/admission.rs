//! How many requests are worked on at once, and whose.
//!
//! A request that can be worked on takes a place at work; while there is none it waits, with no
//! more than its head read, and the account with the fewest at work is next. So an account has all
//! that others leave, and the next place as soon as it wants one. A request that waits for its
//! client, or for another region, is no work: it gives its place back and takes one again
//! afterwards. Bodies and answers that do not fit into a connection's buffer are counted apart,
//! with some room always left for other accounts.

mod room;
mod width;

use std::{
    collections::HashMap,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;
use types::AccountId;

pub use room::Crowded;
use room::{Entered, Limits, Notice, Room, Ticket};
use width::Width;

use crate::limits::GatewayConfig;

/// How often those that wait are looked after.
const TICK: Duration = Duration::from_millis(25);
/// Ticks at work after which a request counts as waiting for something else, if others wait.
const OVERDUE: u64 = 4;
/// Ticks for which the looking goes on once nobody waits.
const LINGER: u32 = 40;

/// Admits requests.
#[derive(Debug)]
pub struct Admission {
    work: Arc<Gate>,
    large: Arc<Gate>,
    /// The accounts' numbers.
    known: RwLock<HashMap<AccountId, u16>>,
    hasher: RandomState,
}

impl Admission {
    /// With these limits; `waiting` shows how many wait.
    pub fn new(config: &GatewayConfig, waiting: &Gauge) -> Self {
        let patience = (config.queue_wait.as_millis() / TICK.as_millis()).max(1);
        let patience = u64::try_from(patience).unwrap_or(u64::MAX);
        let least = match config.work {
            0 => work_by_cores(),
            some => some,
        };
        let width = Width::new(least, config.requests_max);
        let work = Limits {
            places: width.get(),
            all_to_one: true,
            account: usize::MAX,
            outside: config.connections_max,
            waiting: config.connections_max,
            patience,
            overdue: Some(OVERDUE),
        };
        let large = Limits {
            places: config.requests_max,
            all_to_one: false,
            account: config.account_requests_max,
            outside: usize::MAX,
            waiting: config.connections_max,
            patience,
            overdue: None,
        };
        Self {
            work: Gate::new(work, Some(width), waiting),
            large: Gate::new(large, None, waiting),
            known: RwLock::default(),
            hasher: RandomState::new(),
        }
    }

    /// Whose requests are to be counted together.
    pub fn payer(&self, account: &AccountId) -> Payer {
        if let Some(number) = self.known.read().get(account) {
            return Payer(*number);
        }
        let mut known = self.known.write();
        let next = u16::try_from(known.len()).ok();
        match (known.get(account), next) {
            (Some(number), _) => Payer(*number),
            (None, Some(next)) => {
                known.insert(account.clone(), next);
                Payer(next)
            }
            // More accounts than numbers: some share one, and its room.
            (None, None) => Payer(self.hasher.hash_one(account) as u16),
        }
    }

    /// A place at work, at once or after a wait.
    ///
    /// # Errors
    /// When too many wait, or it took too long.
    pub async fn work(&self, payer: Payer) -> Result<Admittance, Crowded> {
        self.work.enter(payer.0).await
    }

    /// A place for a body or an answer that is large, at once or after a wait.
    ///
    /// # Errors
    /// As [`Admission::work`].
    pub async fn large(&self, payer: Payer) -> Result<Admittance, Crowded> {
        self.large.enter(payer.0).await
    }

    /// How one who waits for a client uses the place at work.
    pub(crate) fn turn(&self, place: &Admittance) -> Turn {
        Turn {
            work: Arc::clone(&self.work),
            large: Arc::clone(&self.large),
            slot: place.slot,
            ticket: place.ticket,
        }
    }
}

/// So many that the processors have something to do while others wait for the disk.
fn work_by_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (16 * cores).max(32)
}

/// An account, as [`Admission`] counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payer(u16);

/// A place; given back when dropped.
#[derive(Debug)]
pub struct Admittance {
    gate: Arc<Gate>,
    slot: u16,
    ticket: Ticket,
}

impl Admittance {
    /// Lets others have it; the request goes on outside, and no longer does what they wait for.
    pub fn step_out(&self) {
        self.gate.room.lock().step_out(self.ticket);
    }
}

impl Drop for Admittance {
    fn drop(&mut self) {
        self.gate.room.lock().leave(self.ticket);
    }
}

/// A request's place at work for one who waits for its client in between.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    work: Arc<Gate>,
    large: Arc<Gate>,
    slot: u16,
    ticket: Ticket,
}

impl Turn {
    /// Gives the place back for a while.
    pub(crate) fn step_out(&self) {
        self.work.room.lock().step_out(self.ticket);
    }

    /// Takes a place again.
    pub(crate) fn step_in(&self) -> Wait {
        self.work.enter_again(self.slot, self.ticket)
    }

    /// Whether others want what the account has more of than they.
    pub(crate) fn presses(&self) -> bool {
        self.large.room.lock().presses_inside(self.slot)
            || self.work.room.lock().presses_outside(self.slot)
    }
}

struct Admitted(oneshot::Sender<Ticket>);

impl Notice for Admitted {
    fn admitted(self, ticket: Ticket) -> bool {
        self.0.send(ticket).is_ok()
    }
}

/// A room that many tasks use.
struct Gate {
    room: Mutex<Room<Admitted>>,
    looking: Mutex<Looking>,
    waiting: Gauge,
}

struct Looking {
    on: bool,
    width: Option<Width>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gate")
    }
}

impl Gate {
    fn new(limits: Limits, width: Option<Width>, waiting: &Gauge) -> Arc<Self> {
        Arc::new(Self {
            room: Mutex::new(Room::new(limits)),
            looking: Mutex::new(Looking { on: false, width }),
            waiting: waiting.clone(),
        })
    }

    async fn enter(self: &Arc<Self>, slot: u16) -> Result<Admittance, Crowded> {
        let place = |ticket| Admittance {
            gate: Arc::clone(self),
            slot,
            ticket,
        };
        let wait = {
            let mut room = self.room.lock();
            if let Entered::Inside(ticket) = room.enter(slot)? {
                return Ok(place(ticket));
            }
            let (tell, told) = oneshot::channel();
            let id = room.wait(slot, None, Admitted(tell))?;
            Waiting::new(self, slot, (id, told), true)
        };
        self.look();
        wait.await.map(place)
    }

    fn enter_again(self: &Arc<Self>, slot: u16, ticket: Ticket) -> Wait {
        let wait = {
            let mut room = self.room.lock();
            if let Entered::Inside(_) = room.enter_again(ticket) {
                return Wait(None);
            }
            let (tell, told) = oneshot::channel();
            let Ok(id) = room.wait(slot, Some(ticket), Admitted(tell)) else {
                return Wait(None);
            };
            Waiting::new(self, slot, (id, told), false)
        };
        self.look();
        Wait(Some(wait))
    }

    /// Sees to it that time passes for those that wait.
    fn look(self: &Arc<Self>) {
        let mut looking = self.looking.lock();
        if looking.on {
            return;
        }
        let gate = Arc::clone(self);
        looking.on = true;
        drop(looking);
        tokio::spawn(async move {
            let mut idle = 0;
            while idle < LINGER || !gate.rest() {
                tokio::time::sleep(TICK).await;
                idle = match gate.tick() {
                    true => 0,
                    false => idle + 1,
                };
            }
        });
    }

    /// Ends the looking, unless somebody waits.
    fn rest(&self) -> bool {
        let mut looking = self.looking.lock();
        let rest = self.room.lock().waiting() == 0;
        looking.on = !rest;
        rest
    }

    /// One tick; answers whether somebody waits.
    fn tick(&self) -> bool {
        let mut looking = self.looking.lock();
        let mut room = self.room.lock();
        let waits = room.waiting() > 0;
        if let Some(width) = &mut looking.width {
            let before = width.get();
            let places = width.tick(room.left(), waits);
            if places != before {
                room.resize(places);
            }
        }
        room.tick();
        waits
    }
}

/// Until a place is had again.
pub(crate) struct Wait(Option<Waiting>);

impl Future for Wait {
    type Output = Result<(), Crowded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(waiting) = &mut self.0 else {
            return Poll::Ready(Ok(()));
        };
        let admitted = ready!(Pin::new(waiting).poll(cx));
        self.0 = None;
        Poll::Ready(admitted.map(|_| ()))
    }
}

/// One that waits for a place. Dropped, it no longer does.
struct Waiting {
    gate: Arc<Gate>,
    slot: u16,
    id: u64,
    told: Option<oneshot::Receiver<Ticket>>,
    /// Nobody else ends the entry that it was given.
    new: bool,
}

impl Waiting {
    fn new(
        gate: &Arc<Gate>,
        slot: u16,
        (id, told): (u64, oneshot::Receiver<Ticket>),
        new: bool,
    ) -> Self {
        gate.waiting.inc();
        Self {
            gate: Arc::clone(gate),
            slot,
            id,
            told: Some(told),
            new,
        }
    }
}

impl Future for Waiting {
    type Output = Result<Ticket, Crowded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(told) = &mut self.told else {
            return Poll::Ready(Err(Crowded));
        };
        let ticket = ready!(Pin::new(told).poll(cx));
        self.told = None;
        Poll::Ready(ticket.map_err(|_| Crowded))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gate.waiting.dec();
        let Some(mut told) = self.told.take() else {
            return;
        };
        let mut room = self.gate.room.lock();
        if !room.give_up(self.slot, self.id)
            && self.new
            && let Ok(ticket) = told.try_recv()
        {
            room.leave(ticket);
        }
    }
}

#[cfg(test)]
mod tests;
