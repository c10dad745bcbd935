//! The search for an order of one key's operations: Wing and Gong's, with Lowe's memory of the
//! configurations already seen, over a linked list of calls and returns (as in Porcupine).
//!
//! Three things keep it small without losing an order:
//! - values that nobody read or expected are one value, for nothing can tell them apart;
//! - an operation that changes nothing and is right in the present state is taken at once: in any
//!   order that works from here, it can be moved to the front;
//! - an unknown write has no deadline, so it is taken only where something that was wrong becomes
//!   right by it: anywhere else it can be put off, or left out; of those that are alike, the first
//!   one called is taken first;
//! - where some configuration led nowhere, the same one with more unknown writes used up leads
//!   nowhere either.

use std::collections::HashMap;

use crate::{
    history::{Kind, Operation, Outcome, Value},
    linearizability::Budget,
};

/// A state of the key: absent, some value nobody looks at, or one of the others.
type State = u32;
const ABSENT: State = 0;
const OTHER: State = 1;

/// What the present state must be for the operation to have ended as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Requires {
    Anything,
    Is(State),
    Not(State),
}

#[derive(Debug, Clone, Copy)]
struct Step {
    requires: Requires,
    leaves: Option<State>,
    /// `None`: unknown, so it may come at any time after its call, or never.
    return_ns: Option<u64>,
    call_ns: u64,
}

impl Step {
    fn right_in(&self, state: State) -> bool {
        match self.requires {
            Requires::Anything => true,
            Requires::Is(wanted) => state == wanted,
            Requires::Not(other) => state != other,
        }
    }
}

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is an order.
    Order,
    /// There is none.
    NoOrder,
    /// The steps were spent first.
    StepsSpent,
    /// The memory was spent first.
    BytesSpent,
}

/// How much of an operation is held to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// As recorded.
    Fully,
    /// That it was called, but not how it ended.
    CallOnly,
}

/// Looks for an order of one key's operations. Takes what it uses from `budget`.
pub(crate) fn search(operations: &[(&Operation, Known)], budget: &mut Budget) -> Found {
    let steps = compile(operations);
    Search::new(&steps).run(budget)
}

/// Known operations in order of call, then the unknown ones.
fn compile(operations: &[(&Operation, Known)]) -> Vec<Step> {
    let counts = |operation: &Operation, known: Known| {
        let certain = known == Known::Fully && operation.answered_ns().is_some();
        operation.outcome != Outcome::Refused
            && (certain || (operation.kind.leaves().is_some() && operation.may_change()))
    };
    let relevant: Vec<(&Operation, Known)> = operations
        .iter()
        .copied()
        .filter(|(operation, known)| counts(operation, *known))
        .collect();
    let mut states: HashMap<&Value, State> = HashMap::new();
    for (operation, _) in &relevant {
        if let Some(value) = operation.kind.observes() {
            let next = OTHER + 1 + states.len() as State;
            states.entry(value).or_insert(next);
        }
    }
    let state = |value: &Value| states.get(value).copied().unwrap_or(OTHER);
    let mut steps: Vec<Step> = relevant
        .iter()
        .map(|(operation, known)| step(operation, *known, state))
        .collect();
    let any_not = steps.iter().any(|s| matches!(s.requires, Requires::Not(_)));
    // An unknown write of a value that nobody looks at can only ever explain a failed condition.
    steps.retain(|s| s.return_ns.is_some() || any_not || s.leaves != Some(OTHER));
    steps.sort_by_key(|s| (s.return_ns.is_none(), s.call_ns));
    steps
}

fn step(operation: &Operation, known: Known, state: impl Fn(&Value) -> State) -> Step {
    let failed = operation.outcome == Outcome::PreconditionFailed;
    let condition = match &operation.kind {
        Kind::Put { .. } | Kind::Delete => None,
        Kind::PutIfAbsent { .. } => Some(ABSENT),
        Kind::PutIfMatch { expected, .. } => Some(state(expected)),
        Kind::Get { found } => Some(found.as_ref().map_or(ABSENT, &state)),
    };
    let requires = match condition {
        None => Requires::Anything,
        Some(wanted) if failed => Requires::Not(wanted),
        Some(wanted) => Requires::Is(wanted),
    };
    let leaves = operation
        .kind
        .leaves()
        .filter(|_| !failed)
        .map(|value| value.map_or(ABSENT, &state));
    let return_ns = operation.answered_ns().filter(|_| known == Known::Fully);
    Step {
        requires,
        leaves,
        return_ns,
        call_ns: operation.call_ns,
    }
}

/// One place in the list: the call or the return of a step. Zero is the head.
type Place = usize;
const HEAD: Place = 0;
const END: Place = usize::MAX;

#[derive(Debug, Clone, Copy)]
struct Entry {
    step: usize,
    is_return: bool,
    previous: Place,
    next: Place,
}

fn spend(budget: &mut Budget) {
    budget.steps = budget.steps.saturating_sub(1);
}

struct Frame {
    step: usize,
    before: State,
    /// Taken because it could be, not chosen: there is no other choice to try here.
    forced: bool,
}

struct Search<'a> {
    steps: &'a [Step],
    /// How many of the first steps are known: these must all be ordered.
    known: usize,
    entries: Vec<Entry>,
    call_at: Vec<Place>,
    return_at: Vec<Place>,
    state: State,
    left: usize,
    /// Bits of the steps taken: known and unknown ones apart.
    taken: [Vec<u64>; 2],
    /// For each unknown step, the one like it that was called before it.
    twin: Vec<Option<usize>>,
    frames: Vec<Frame>,
    /// By known steps taken and state: the sets of unknown steps taken, none within another.
    seen: HashMap<Box<[u64]>, Vec<Box<[u64]>>>,
}

/// What is still to be tried at a configuration: known steps first, since every unknown write
/// that is used up makes the rest harder.
#[derive(Debug, Clone, Copy)]
enum Untried {
    Known(Place),
    Unknown(Place),
}

impl<'a> Search<'a> {
    fn new(steps: &'a [Step]) -> Self {
        let known = steps.iter().filter(|s| s.return_ns.is_some()).count();
        // A return and a call at the same instant overlap: the call goes first.
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(steps.len() + known);
        for (n, step) in steps.iter().enumerate() {
            events.push((step.call_ns, false, n));
            if let Some(return_ns) = step.return_ns {
                events.push((return_ns, true, n));
            }
        }
        events.sort_unstable();
        let mut entries = vec![Entry {
            step: 0,
            is_return: false,
            previous: HEAD,
            next: if events.is_empty() { END } else { 1 },
        }];
        let mut call_at = vec![END; steps.len()];
        let mut return_at = vec![END; steps.len()];
        for (n, (_, is_return, step)) in events.iter().copied().enumerate() {
            let place = n + 1;
            let at = if is_return {
                &mut return_at
            } else {
                &mut call_at
            };
            at[step] = place;
            entries.push(Entry {
                step,
                is_return,
                previous: place - 1,
                next: if place == events.len() {
                    END
                } else {
                    place + 1
                },
            });
        }
        Self {
            steps,
            known,
            entries,
            call_at,
            return_at,
            state: ABSENT,
            left: known,
            taken: [
                vec![0; known.div_ceil(64)],
                vec![0; (steps.len() - known).div_ceil(64)],
            ],
            twin: twins(&steps[known..], known),
            frames: Vec::new(),
            seen: HashMap::new(),
        }
    }

    fn run(mut self, budget: &mut Budget) -> Found {
        let mut untried = None;
        while self.left > 0 {
            if budget.steps == 0 {
                return Found::StepsSpent;
            }
            let from = match untried.take() {
                Some(from) => from,
                None => {
                    if let Some(step) = self.free_step(budget) {
                        self.take(step, true);
                        continue;
                    }
                    match self.remember(budget) {
                        Some(true) => Untried::Known(self.entries[HEAD].next),
                        Some(false) => Untried::Unknown(END),
                        None => return Found::BytesSpent,
                    }
                }
            };
            if let Some(step) = self.candidate(from, budget) {
                self.take(step, false);
                continue;
            }
            let Some(step) = self.give_back() else {
                return Found::NoOrder;
            };
            let next = self.entries[self.call_at[step]].next;
            untried = Some(if step < self.known {
                Untried::Known(next)
            } else {
                Untried::Unknown(next)
            });
        }
        Found::Order
    }

    /// A known step that may come next, changes nothing and is right in the present state.
    fn free_step(&self, budget: &mut Budget) -> Option<usize> {
        self.window(self.entries[HEAD].next)
            .inspect(|_| spend(budget))
            .find(|&n| {
                let step = &self.steps[n];
                n < self.known && step.leaves.is_none() && step.right_in(self.state)
            })
    }

    /// The next step worth choosing.
    fn candidate(&self, untried: Untried, budget: &mut Budget) -> Option<usize> {
        let (known_from, unknown_from) = match untried {
            Untried::Known(from) => (from, self.entries[HEAD].next),
            Untried::Unknown(from) => (END, from),
        };
        let known = self.window(known_from).find(|&n| {
            spend(budget);
            let step = &self.steps[n];
            n < self.known && step.leaves.is_some() && step.right_in(self.state)
        });
        known.or_else(|| {
            self.window(unknown_from).find(|&n| {
                spend(budget);
                n >= self.known && self.worth_taking(n, budget)
            })
        })
    }

    fn worth_taking(&self, unknown: usize, budget: &mut Budget) -> bool {
        let step = &self.steps[unknown];
        let in_turn = self.twin[unknown - self.known].is_none_or(|twin| self.is_taken(twin));
        let helps = |to| self.helps(to, budget);
        in_turn && step.right_in(self.state) && step.leaves.is_some_and(helps)
    }

    /// Whether something that may come next, and is wrong in the present state, is right in `to`.
    fn helps(&self, to: State, budget: &mut Budget) -> bool {
        to != self.state
            && self.window(self.entries[HEAD].next).any(|n| {
                spend(budget);
                let step = &self.steps[n];
                !step.right_in(self.state) && step.right_in(to)
            })
    }

    /// Steps that may come next: called before the first return of those that are left.
    fn window(&self, from: Place) -> impl Iterator<Item = usize> + '_ {
        let mut place = from;
        std::iter::from_fn(move || {
            let entry = self.entries.get(place).filter(|e| !e.is_return)?;
            place = entry.next;
            Some(entry.step)
        })
    }

    fn take(&mut self, step: usize, forced: bool) {
        self.frames.push(Frame {
            step,
            before: self.state,
            forced,
        });
        self.state = self.steps[step].leaves.unwrap_or(self.state);
        self.flip(step);
        self.unlink(self.call_at[step]);
        if step < self.known {
            self.unlink(self.return_at[step]);
            self.left -= 1;
        }
    }

    /// Undoes everything back to the last choice, that one too, and names it.
    fn give_back(&mut self) -> Option<usize> {
        while let Some(frame) = self.frames.pop() {
            let step = frame.step;
            if step < self.known {
                self.relink(self.return_at[step]);
                self.left += 1;
            }
            self.relink(self.call_at[step]);
            self.flip(step);
            self.state = frame.before;
            if !frame.forced {
                return Some(step);
            }
        }
        None
    }

    fn bit(&self, step: usize) -> (usize, usize, u64) {
        let (half, bit) = match step.checked_sub(self.known) {
            None => (0, step),
            Some(unknown) => (1, unknown),
        };
        (half, bit / 64, 1 << (bit % 64))
    }

    fn is_taken(&self, step: usize) -> bool {
        let (half, word, bit) = self.bit(step);
        self.taken[half][word] & bit != 0
    }

    fn flip(&mut self, step: usize) {
        let (half, word, bit) = self.bit(step);
        self.taken[half][word] ^= bit;
    }

    fn unlink(&mut self, place: Place) {
        let Entry { previous, next, .. } = self.entries[place];
        self.entries[previous].next = next;
        if next != END {
            self.entries[next].previous = previous;
        }
    }

    fn relink(&mut self, place: Place) {
        let Entry { previous, next, .. } = self.entries[place];
        self.entries[previous].next = place;
        if next != END {
            self.entries[next].previous = place;
        }
    }

    /// Notes the present configuration. Whether it is worth a look: not if it was looked at
    /// before, with these unknown steps taken or fewer. `None` when there is no room for it.
    fn remember(&mut self, budget: &mut Budget) -> Option<bool> {
        let key = self.configuration();
        let unknown = &self.taken[1][..used(&self.taken[1])];
        let bytes = (key.len() + unknown.len()) * 8 + 128;
        let sets = self.seen.entry(key).or_default();
        budget.steps = budget.steps.saturating_sub(sets.len() as u64);
        if sets.iter().any(|set| is_within(set, unknown)) {
            return Some(false);
        }
        sets.retain(|set| !is_within(unknown, set));
        sets.push(unknown.into());
        budget.bytes = budget.bytes.checked_sub(bytes)?;
        Some(true)
    }

    /// The known steps taken, and the state. They are taken nearly in order of call, so the full
    /// words in front are only counted, and the empty ones behind are left out.
    fn configuration(&self) -> Box<[u64]> {
        let known = &self.taken[0];
        let full = known.iter().take_while(|w| **w == u64::MAX).count();
        let rest = &known[full..used(known).max(full)];
        let mut key = Vec::with_capacity(2 + rest.len());
        key.push(u64::from(self.state));
        key.push(full as u64);
        key.extend_from_slice(rest);
        key.into_boxed_slice()
    }
}

/// How many words there are up to the last one that is not empty.
fn used(words: &[u64]) -> usize {
    words.iter().rposition(|w| *w != 0).map_or(0, |n| n + 1)
}

/// Whether every bit of `inner` is in `outer`; both without empty words at the end.
fn is_within(inner: &[u64], outer: &[u64]) -> bool {
    inner.len() <= outer.len() && inner.iter().zip(outer).all(|(i, o)| i & !o == 0)
}

/// For each unknown step (the first has number `known`), the last one before it that is like it.
fn twins(unknown: &[Step], known: usize) -> Vec<Option<usize>> {
    let mut last = HashMap::new();
    let steps = unknown.iter().zip(known..);
    steps
        .map(|(step, n)| last.insert((step.requires, step.leaves), n))
        .collect()
}
