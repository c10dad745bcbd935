use std::{cell::RefCell, collections::HashMap, rc::Rc};

use super::*;

const LIMITS: Limits = Limits {
    places: 8,
    all_to_one: true,
    account: usize::MAX,
    outside: 1000,
    waiting: 1000,
    patience: 10,
    overdue: Some(3),
};
const A: u16 = 7;
const B: u16 = 9;
const C: u16 = 11;

/// Who was let in, in order: accounts with the number that they gave.
type Log = Rc<RefCell<Vec<(u16, u32, Ticket)>>>;

struct Note {
    log: Log,
    account: u16,
    number: u32,
    wanted: bool,
}

impl Notice for Note {
    fn admitted(self, ticket: Ticket) -> bool {
        if self.wanted {
            let entry = (self.account, self.number, ticket);
            self.log.borrow_mut().push(entry);
        }
        self.wanted
    }
}

struct World {
    room: Room<Note>,
    log: Log,
    /// Those inside, the oldest first.
    inside: Vec<(u16, Ticket)>,
    refused: usize,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            room: Room::new(limits),
            log: Log::default(),
            inside: Vec::new(),
            refused: 0,
        }
    }

    /// Enters or waits; answers whether it is inside.
    fn ask(&mut self, account: u16, number: u32) -> bool {
        match self.room.enter(account) {
            Ok(Entered::Inside(ticket)) => {
                self.inside.push((account, ticket));
                return true;
            }
            Ok(Entered::Full) => {
                let note = self.note(account, number);
                if self.room.wait(account, None, note).is_err() {
                    self.refused += 1;
                }
            }
            Err(Crowded) => self.refused += 1,
        }
        self.take_in();
        false
    }

    fn note(&self, account: u16, number: u32) -> Note {
        Note {
            log: Rc::clone(&self.log),
            account,
            number,
            wanted: true,
        }
    }

    fn take_in(&mut self) -> Vec<(u16, u32)> {
        let new: Vec<_> = self.log.borrow_mut().drain(..).collect();
        self.inside.extend(new.iter().map(|&(a, _, t)| (a, t)));
        new.into_iter().map(|(a, n, _)| (a, n)).collect()
    }

    /// The oldest inside ends; answers who was let in for it.
    fn end_oldest(&mut self) -> Vec<(u16, u32)> {
        let (_, ticket) = self.inside.remove(0);
        self.room.leave(ticket);
        self.take_in()
    }

    fn of(&self, account: u16) -> usize {
        self.inside.iter().filter(|(a, _)| *a == account).count()
    }
}

#[test]
fn an_account_has_all_that_nobody_else_wants() {
    let mut world = World::new(LIMITS);
    assert!((0..8).all(|n| world.ask(A, n)));
    assert!(!world.ask(A, 8));
    assert_eq!((world.room.waiting(), world.refused), (1, 0));
    assert_eq!(world.end_oldest(), [(A, 8)]);
}

#[test]
fn the_next_place_goes_to_whom_has_fewest() {
    let mut world = World::new(LIMITS);
    for n in 0..100 {
        world.ask(A, n);
    }
    world.ask(B, 0);
    world.ask(B, 1);
    assert_eq!(world.end_oldest(), [(B, 0)]);
    assert_eq!(world.end_oldest(), [(B, 1)]);
    // Nobody else wants it.
    assert_eq!(world.end_oldest(), [(A, 8)]);
}

#[test]
fn accounts_that_want_all_have_equal_shares_whatever_they_ask_for() {
    let mut world = World::new(LIMITS);
    for n in 0..400 {
        world.ask(A, n);
        if n % 4 == 0 {
            world.ask(B, n);
        }
        if n % 16 == 0 {
            world.ask(C, n);
        }
    }
    let mut served = HashMap::<u16, usize>::new();
    for _ in 0..60 {
        for (account, _) in world.end_oldest() {
            *served.entry(account).or_default() += 1;
        }
        assert_eq!(world.inside.len(), 8, "no place stays empty");
    }
    for account in [A, B, C] {
        assert!((2..=3).contains(&world.of(account)));
        let count = served[&account];
        assert!(count >= 16, "{account}: {count}");
    }
}

#[test]
fn of_one_account_the_first_is_first() {
    let mut world = World::new(LIMITS);
    for n in 0..28 {
        world.ask(A, n);
    }
    let order: Vec<u32> = (0..20)
        .flat_map(|_| world.end_oldest())
        .map(|e| e.1)
        .collect();
    assert_eq!(order, (8..28).collect::<Vec<_>>());
}

#[test]
fn one_account_leaves_room_among_those_that_wait() {
    let mut world = World::new(LIMITS);
    for n in 0..2000 {
        world.ask(A, n);
    }
    assert_eq!(world.room.waiting(), 800);
    assert_eq!(world.refused, 2000 - 808);
    world.ask(B, 0);
    assert_eq!(world.refused, 2000 - 808);
}

#[test]
fn who_waits_too_long_is_refused_and_no_longer_counted() {
    let mut world = World::new(Limits {
        overdue: None,
        ..LIMITS
    });
    for n in 0..10 {
        world.ask(A, n);
    }
    for _ in 0..9 {
        world.room.tick();
    }
    assert_eq!(world.room.waiting(), 2);
    world.room.tick();
    assert_eq!(world.room.waiting(), 0);
    assert_eq!(world.end_oldest(), []);
}

#[test]
fn who_gives_up_leaves_their_turn_to_the_next() {
    let mut world = World::new(LIMITS);
    for n in 0..8 {
        world.ask(A, n);
    }
    let note = world.note(B, 0);
    let id = world.room.wait(B, None, note).unwrap();
    world.ask(C, 0);
    assert!(world.room.give_up(B, id) && !world.room.give_up(B, id));
    assert_eq!(world.end_oldest(), [(C, 0)]);
    // One that went away unnoticed takes no place either.
    let mut note = world.note(B, 1);
    note.wanted = false;
    world.room.wait(B, None, note).unwrap();
    world.ask(C, 1);
    assert_eq!(world.end_oldest(), [(C, 1)]);
    assert_eq!((world.room.inside, world.room.waiting()), (8, 0));
}

#[test]
fn who_waits_for_something_else_makes_room_and_comes_first_again() {
    let mut world = World::new(LIMITS);
    for n in 0..10 {
        world.ask(A, n);
    }
    let (_, ticket) = world.inside.remove(0);
    world.room.step_out(ticket);
    assert_eq!(world.take_in(), [(A, 8)]);
    assert_eq!(world.room.enter_again(ticket), Entered::Full);
    let note = world.note(A, 99);
    world.room.wait(A, Some(ticket), note).unwrap();
    assert_eq!(world.end_oldest(), [(A, 99)]);
    assert_eq!(world.end_oldest(), [(A, 9)]);
    // It is the same entry: it ends once.
    for _ in 0..8 {
        world.end_oldest();
    }
    assert_eq!((world.room.inside, world.room.outside), (0, 0));
    world.room.leave(ticket);
    assert_eq!((world.room.inside, world.room.outside), (0, 0));
    assert_eq!(world.room.enter_again(ticket), Entered::Inside(ticket));
    assert_eq!(world.room.inside, 0, "who has gone takes no place");
}

#[test]
fn what_takes_long_is_taken_out_only_when_others_wait() {
    let mut world = World::new(LIMITS);
    for n in 0..8 {
        world.ask(A, n);
    }
    for _ in 0..20 {
        world.room.tick();
    }
    assert_eq!((world.room.inside, world.room.outside), (8, 0));
    world.ask(B, 0);
    world.room.tick();
    assert_eq!(world.take_in(), [(B, 0)]);
    assert_eq!((world.room.inside, world.room.outside), (1, 8));
    while !world.inside.is_empty() {
        world.end_oldest();
    }
    assert_eq!((world.room.inside, world.room.outside), (0, 0));
}

#[test]
fn what_waits_elsewhere_leaves_others_room_too() {
    let mut world = World::new(Limits {
        outside: 10,
        ..LIMITS
    });
    for n in 0..20 {
        if world.ask(A, n) {
            let (_, ticket) = world.inside[world.inside.len() - 1];
            world.room.step_out(ticket);
        }
    }
    assert_eq!((world.room.outside, world.refused), (8, 12));
    assert!(world.room.presses_outside(A) && !world.room.presses_outside(B));
    assert!(world.ask(B, 0));
}

#[test]
fn where_entries_stay_one_account_never_has_it_all() {
    let mut world = World::new(Limits {
        places: 100,
        all_to_one: false,
        overdue: None,
        ..LIMITS
    });
    for n in 0..300 {
        world.ask(A, n);
    }
    assert_eq!((world.of(A), world.room.waiting()), (80, 220));
    for n in 0..300 {
        world.ask(B, n);
    }
    assert_eq!(world.of(A), 80);
    assert!(world.of(B) >= 15, "{}", world.of(B));
    assert!(world.ask(C, 0), "some are left for a third");
    assert!(world.room.presses_inside(A));
    assert!(!world.room.presses_inside(B) && !world.room.presses_inside(C));
    // A's end, and B has as many in time.
    for _ in 0..60 {
        let at = world.inside.iter().position(|(a, _)| *a == A).unwrap();
        let (_, ticket) = world.inside.remove(at);
        world.room.leave(ticket);
        world.take_in();
    }
    let (a, b) = (world.of(A), world.of(B));
    assert!(a.abs_diff(b) <= 1 && a + b >= 80, "{a} {b}");
}

/// Anything in any order: nothing is lost, and no place is empty that somebody may have.
#[test]
fn the_counts_hold_whatever_happens() {
    let mut seed = 1_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for all_to_one in [true, false] {
        let mut world = World::new(Limits {
            all_to_one,
            ..LIMITS
        });
        let mut waiting = Vec::new();
        let mut out = Vec::new();
        for n in 0..20_000 {
            let account = random(5) as u16;
            match random(8) {
                0..=2 => {
                    world.ask(account, n);
                }
                3 if !world.inside.is_empty() => {
                    let at = random(world.inside.len());
                    let (_, ticket) = world.inside.remove(at);
                    world.room.leave(ticket);
                }
                4 if !world.inside.is_empty() => {
                    let at = random(world.inside.len());
                    let (account, ticket) = world.inside.remove(at);
                    world.room.step_out(ticket);
                    out.push((account, ticket));
                }
                5 if !out.is_empty() => {
                    let (account, ticket) = out.swap_remove(random(out.len()));
                    match world.room.enter_again(ticket) {
                        Entered::Inside(_) => world.inside.push((account, ticket)),
                        Entered::Full => {
                            let note = world.note(account, n);
                            let id = world.room.wait(account, Some(ticket), note).unwrap();
                            waiting.push((account, id));
                        }
                    }
                }
                6 if !waiting.is_empty() => {
                    let (account, id) = waiting.swap_remove(random(waiting.len()));
                    world.room.give_up(account, id);
                }
                7 => world.room.tick(),
                _ => world.room.resize(1 + random(12)),
            }
            world.take_in();
            let room = &world.room;
            let sums = room.slots.iter().fold((0, 0, 0), |(i, o, w), s| {
                let waits = s.new.len() + s.again.len();
                (i + s.inside, o + s.outside, w + waits)
            });
            assert_eq!(sums, (room.inside, room.outside, room.waiting));
            let first = room.order.first();
            assert!(first.is_none_or(|&(_, _, slot)| !room.may_enter(slot)));
            let gone = |e: &&Entry| e.state == State::Gone;
            assert_eq!(room.entries.iter().filter(gone).count(), room.unused.len());
        }
    }
}
