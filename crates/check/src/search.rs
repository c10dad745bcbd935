//! The search for an order of one key's operations: Wing and Gong's, with Lowe's memory of the
//! configurations already seen, over a linked list of calls and returns (as in Porcupine).
//!
//! Three things keep it small without losing an order:
//! - values that nobody read or expected are one value, for nothing can tell them apart;
//! - an operation that changes nothing and is right in the present state is taken at once: in any
//!   order that works from here, it can be moved to the front;
//! - an unknown write has no deadline, so it is taken only where something that was wrong becomes
//!   right by it: anywhere else it can be put off, or left out.

use std::collections::{HashMap, HashSet};

use crate::{
    history::{Kind, Operation, Outcome, Value},
    linearizability::Budget,
};

/// A state of the key: absent, some value nobody looks at, or one of the others.
type State = u32;
const ABSENT: State = 0;
const OTHER: State = 1;

/// What the present state must be for the operation to have ended as it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    frames: Vec<Frame>,
    seen: HashSet<Box<[u64]>>,
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
            frames: Vec::new(),
            seen: HashSet::new(),
        }
    }

    fn run(mut self, budget: &mut Budget) -> Found {
        let mut from = self.entries[HEAD].next;
        let mut arrived = true;
        while self.left > 0 {
            if arrived {
                if let Some(step) = self.free_step(budget) {
                    self.take(step, true);
                    continue;
                }
                let key = self.configuration();
                let bytes = key.len() * 8 + 64;
                if budget.bytes < bytes {
                    return Found::BytesSpent;
                }
                if self.seen.insert(key) {
                    budget.bytes -= bytes;
                    from = self.entries[HEAD].next;
                } else {
                    from = END;
                }
            }
            if budget.steps == 0 {
                return Found::StepsSpent;
            }
            arrived = match self.candidate(from, budget) {
                Some(step) => {
                    self.take(step, false);
                    true
                }
                None => {
                    let Some(step) = self.give_back() else {
                        return Found::NoOrder;
                    };
                    from = self.entries[self.call_at[step]].next;
                    false
                }
            };
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

    /// The next step worth choosing, from this place on.
    fn candidate(&self, from: Place, budget: &mut Budget) -> Option<usize> {
        self.window(from).find(|&n| {
            spend(budget);
            let step = &self.steps[n];
            let Some(leaves) = step.leaves else {
                return false;
            };
            step.right_in(self.state) && (n < self.known || self.helps(leaves, budget))
        })
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

    fn flip(&mut self, step: usize) {
        let (half, bit) = match step.checked_sub(self.known) {
            None => (0, step),
            Some(unknown) => (1, unknown),
        };
        self.taken[half][bit / 64] ^= 1 << (bit % 64);
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

    /// What has been taken, and the state. Known steps are taken nearly in order of call, so the
    /// full words in front and the empty ones behind are only counted.
    fn configuration(&self) -> Box<[u64]> {
        let [known, unknown] = &self.taken;
        let used = |words: &[u64]| words.iter().rposition(|w| *w != 0).map_or(0, |n| n + 1);
        let full = known.iter().take_while(|w| **w == u64::MAX).count();
        let end = used(known).max(full);
        let mut key = Vec::with_capacity(2 + end - full + unknown.len());
        key.push(u64::from(self.state) << 32 | (end - full) as u64);
        key.push(full as u64);
        key.extend_from_slice(&known[full..end]);
        key.extend_from_slice(&unknown[..used(unknown)]);
        key.into_boxed_slice()
    }
}
