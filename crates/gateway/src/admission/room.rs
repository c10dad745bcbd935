//! The accounts' shares of a bounded room, and who is next. No clock, no task, no lock: what
//! happens depends on the calls alone.

use std::collections::{BTreeSet, VecDeque};

/// An account may have this many times what is left free, so that a fifth is always left by one
/// account, a ninth by two, and so on.
const SHARE: usize = 4;

/// What a room allows.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Entries inside at once.
    pub(super) places: usize,
    /// Whether an account may take all places that nobody else wants, as it may where entries
    /// leave soon; otherwise some are always left to others.
    pub(super) all_to_one: bool,
    /// Entries of one account inside, at most.
    pub(super) account: usize,
    /// Entries outside at once: those that wait for something else than this machine.
    pub(super) outside: usize,
    /// Entries that wait for a place.
    pub(super) waiting: usize,
    /// Ticks after which an entry that waits is refused.
    pub(super) patience: u64,
    /// Ticks inside after which an entry is taken outside, if others wait.
    pub(super) overdue: Option<u64>,
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

/// An entry that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    index: u32,
    /// An entry's place in the table is used again by others.
    serial: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Gone,
    Inside { since: u64 },
    Outside,
}

#[derive(Debug)]
struct Entry {
    slot: u16,
    serial: u32,
    state: State,
}

/// One that waits. `notice` is how it learns that it was let in; dropping it says that it was not.
struct Waiter<N> {
    id: u64,
    until: u64,
    /// Was inside before, and wants to be again.
    again: Option<Ticket>,
    notice: N,
}

struct Slot<N> {
    inside: usize,
    outside: usize,
    /// Those that were inside before come first: they hold what they have read.
    again: VecDeque<Waiter<N>>,
    new: VecDeque<Waiter<N>>,
    /// When it was last let in, for the order among equals.
    served: u64,
}

impl<N> Slot<N> {
    fn new() -> Self {
        Self {
            inside: 0,
            outside: 0,
            again: VecDeque::new(),
            new: VecDeque::new(),
            served: 0,
        }
    }

    fn waits(&self) -> bool {
        !self.again.is_empty() || !self.new.is_empty()
    }
}

/// How a request that waits learns that it was let in.
pub(super) trait Notice {
    /// Answers whether it still wanted to know.
    fn admitted(self, ticket: Ticket) -> bool;
}

/// What somebody who wants to enter got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// A place.
    Inside(Ticket),
    /// There is none now.
    Full,
}

/// A bounded room. All that wait and may enter have entered at the end of each call.
pub(super) struct Room<N> {
    limits: Limits,
    places: usize,
    inside: usize,
    outside: usize,
    waiting: usize,
    /// By the accounts' numbers.
    slots: Vec<Slot<N>>,
    entries: Vec<Entry>,
    unused: Vec<u32>,
    /// The accounts with somebody that waits: the one with the fewest entries inside first, then
    /// the one that has not been let in for longest.
    order: BTreeSet<(usize, u64, u16)>,
    /// Accounts with an entry inside, and with one outside.
    accounts: (usize, usize),
    next: u64,
    now: u64,
    left: u64,
}

impl<N: Notice> Room<N> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            places: limits.places,
            limits,
            inside: 0,
            outside: 0,
            waiting: 0,
            slots: Vec::new(),
            entries: Vec::new(),
            unused: Vec::new(),
            order: BTreeSet::new(),
            accounts: (0, 0),
            next: 0,
            now: 0,
            left: 0,
        }
    }

    /// A place, if there is one that nobody else comes before.
    pub(super) fn enter(&mut self, slot: u16) -> Result<Entered, Crowded> {
        if self.slot(slot).outside >= share(self.limits.outside, self.outside) {
            return Err(Crowded);
        }
        if self.slot(slot).waits() || !self.may_enter(slot) {
            return Ok(Entered::Full);
        }
        Ok(Entered::Inside(self.admit(slot, None)))
    }

    /// A place for an entry that was taken outside. One that has gone needs none.
    pub(super) fn enter_again(&mut self, ticket: Ticket) -> Entered {
        let Some(slot) = self.outside_slot(ticket) else {
            return Entered::Inside(ticket);
        };
        if self.slot(slot).waits() || !self.may_enter(slot) {
            return Entered::Full;
        }
        Entered::Inside(self.admit(slot, Some(ticket)))
    }

    /// Waits for a place that was asked for and is not there; answers the number by which to give
    /// up.
    pub(super) fn wait(
        &mut self,
        slot: u16,
        again: Option<Ticket>,
        notice: N,
    ) -> Result<u64, Crowded> {
        let of_account = self.slot(slot).new.len();
        // Those that wait again are bounded by those outside.
        if again.is_none() && of_account >= share(self.limits.waiting, self.waiting) {
            return Err(Crowded);
        }
        self.next += 1;
        let id = self.next;
        let waiter = Waiter {
            id,
            until: self.now + self.limits.patience,
            again,
            notice,
        };
        self.unlist(slot);
        match again {
            Some(_) => self.slot(slot).again.push_back(waiter),
            None => self.slot(slot).new.push_back(waiter),
        }
        self.list(slot);
        self.waiting += 1;
        self.let_in();
        Ok(id)
    }

    /// No longer waits. Answers whether it still did.
    pub(super) fn give_up(&mut self, slot: u16, id: u64) -> bool {
        self.unlist(slot);
        let this = self.slot(slot);
        let before = this.again.len() + this.new.len();
        this.again.retain(|w| w.id != id);
        this.new.retain(|w| w.id != id);
        let gone = before - this.again.len() - this.new.len();
        self.list(slot);
        self.waiting -= gone;
        self.let_in();
        gone > 0
    }

    /// Takes an entry outside: it waits for something else than this machine.
    pub(super) fn step_out(&mut self, ticket: Ticket) {
        self.take_out(ticket);
        self.let_in();
    }

    /// Ends an entry.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        let Some(entry) = self.entry(ticket) else {
            return;
        };
        let (slot, state) = (entry.slot, entry.state);
        entry.state = State::Gone;
        match state {
            State::Gone => return,
            State::Inside { .. } => {
                self.left += 1;
                self.add_inside(slot, false);
            }
            State::Outside => self.add_outside(slot, false),
        }
        self.unused.push(ticket.index);
        self.let_in();
    }

    /// Lets time pass: refuses those that have waited too long, and takes outside what is overdue.
    pub(super) fn tick(&mut self) {
        self.now += 1;
        let now = self.now;
        let waiting: Vec<u16> = self.order.iter().map(|&(_, _, slot)| slot).collect();
        for number in waiting {
            self.unlist(number);
            let slot = self.slot(number);
            let mut refused = 0;
            for queue in [&mut slot.again, &mut slot.new] {
                while queue.front().is_some_and(|w| w.until <= now) {
                    queue.pop_front();
                    refused += 1;
                }
            }
            self.waiting -= refused;
            self.list(number);
        }
        if let (Some(overdue), false) = (self.limits.overdue, self.order.is_empty()) {
            for index in 0..self.entries.len() {
                let entry = &self.entries[index];
                if matches!(entry.state, State::Inside { since } if since + overdue <= now) {
                    self.take_out(Ticket {
                        index: index as u32,
                        serial: entry.serial,
                    });
                }
            }
        }
        self.let_in();
    }

    /// Changes how many may be inside.
    pub(super) fn resize(&mut self, places: usize) {
        self.places = places;
        self.let_in();
    }

    /// Entries that left from inside, ever.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether somebody waits for a place, and this account has no fewer than others have.
    pub(super) fn presses_inside(&self, slot: u16) -> bool {
        let inside = self.slots.get(usize::from(slot)).map_or(0, |s| s.inside);
        self.waiting > 0 && inside > 0 && inside * self.accounts.0 >= self.inside
    }

    /// Whether half of what may be outside is, and this account has no less of it than others.
    pub(super) fn presses_outside(&self, slot: u16) -> bool {
        let outside = self.slots.get(usize::from(slot)).map_or(0, |s| s.outside);
        let half = self.outside >= self.limits.outside / 2;
        half && outside > 0 && outside * self.accounts.1 >= self.outside
    }

    fn may_enter(&self, slot: u16) -> bool {
        let inside = self.slots[usize::from(slot)].inside;
        let free = self.places.saturating_sub(self.inside);
        let room = match self.limits.all_to_one {
            true => free > 0,
            false => inside < share(self.places, self.inside),
        };
        room && inside < self.limits.account
    }

    fn let_in(&mut self) {
        while let Some(&(_, _, number)) = self.order.first() {
            if !self.may_enter(number) {
                return;
            }
            self.unlist(number);
            let slot = self.slot(number);
            let first = slot.again.pop_front().or_else(|| slot.new.pop_front());
            self.list(number);
            if let Some(waiter) = first {
                self.waiting -= 1;
                let ticket = self.admit(number, waiter.again);
                if !waiter.notice.admitted(ticket) && waiter.again.is_none() {
                    self.undo(ticket);
                }
            }
        }
    }

    /// Nobody took the place.
    fn undo(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entry(ticket) {
            entry.state = State::Gone;
            let slot = entry.slot;
            self.add_inside(slot, false);
            self.unused.push(ticket.index);
        }
    }

    fn admit(&mut self, slot: u16, again: Option<Ticket>) -> Ticket {
        self.next += 1;
        let served = self.next;
        self.unlist(slot);
        self.slot(slot).served = served;
        self.list(slot);
        let state = State::Inside { since: self.now };
        if let Some(ticket) = again {
            if self.outside_slot(ticket).is_some() {
                self.add_outside(slot, false);
                self.entries[ticket.index as usize].state = state;
                self.add_inside(slot, true);
            }
            return ticket;
        }
        self.add_inside(slot, true);
        match self.unused.pop() {
            Some(index) => {
                let entry = &mut self.entries[index as usize];
                let serial = entry.serial.wrapping_add(1);
                *entry = Entry {
                    slot,
                    serial,
                    state,
                };
                Ticket { index, serial }
            }
            None => {
                let index = self.entries.len() as u32;
                let serial = 0;
                self.entries.push(Entry {
                    slot,
                    serial,
                    state,
                });
                Ticket { index, serial }
            }
        }
    }

    fn take_out(&mut self, ticket: Ticket) {
        let Some(entry) = self.entry(ticket) else {
            return;
        };
        if matches!(entry.state, State::Inside { .. }) {
            entry.state = State::Outside;
            let slot = entry.slot;
            self.add_inside(slot, false);
            self.add_outside(slot, true);
        }
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(ticket.index as usize)?;
        (entry.serial == ticket.serial).then_some(entry)
    }

    fn outside_slot(&mut self, ticket: Ticket) -> Option<u16> {
        let entry = self.entry(ticket)?;
        (entry.state == State::Outside).then_some(entry.slot)
    }

    fn add_inside(&mut self, slot: u16, more: bool) {
        self.unlist(slot);
        let count = &mut self.slots[usize::from(slot)].inside;
        add(count, more, &mut self.inside, &mut self.accounts.0);
        self.list(slot);
    }

    fn add_outside(&mut self, slot: u16, more: bool) {
        let count = &mut self.slots[usize::from(slot)].outside;
        add(count, more, &mut self.outside, &mut self.accounts.1);
    }

    fn slot(&mut self, slot: u16) -> &mut Slot<N> {
        let number = usize::from(slot);
        if number >= self.slots.len() {
            self.slots.resize_with(number + 1, Slot::new);
        }
        &mut self.slots[number]
    }

    /// Before what decides an account's turn changes.
    fn unlist(&mut self, number: u16) {
        if let Some(turn) = self.turn(number) {
            self.order.remove(&turn);
        }
    }

    /// After it has.
    fn list(&mut self, number: u16) {
        if let Some(turn) = self.turn(number) {
            self.order.insert(turn);
        }
    }

    fn turn(&mut self, number: u16) -> Option<(usize, u64, u16)> {
        let slot = self.slot(number);
        let first = slot.again.front().or(slot.new.front())?;
        match types::planted("admission-first-come") {
            true => Some((0, first.id, number)),
            false => Some((slot.inside, slot.served, number)),
        }
    }
}

/// What an account may have of a room in which others have `taken`.
fn share(room: usize, taken: usize) -> usize {
    room.saturating_sub(taken).saturating_mul(SHARE)
}

fn add(count: &mut usize, more: bool, all: &mut usize, accounts: &mut usize) {
    if more {
        *accounts += usize::from(*count == 0);
        *count += 1;
        *all += 1;
    } else {
        *count -= 1;
        *all -= 1;
        *accounts -= usize::from(*count == 0);
    }
}

#[cfg(test)]
mod tests;
