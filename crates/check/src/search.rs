//! The search for an order of one key's operations: Wing and Gong's, with Lowe's memory of the
//! configurations already seen, over a linked list of calls and returns (as in Porcupine).
//!
//! Three things keep it small without losing an order:
//! - values that nobody read or expected are one value, for nothing distinguishes them;
//! - an operation that changes nothing and is right in the present state is taken at once: in any
//!   order that works from here, it can be moved to the front;
//! - an unknown write has no deadline, so it is taken only where something that was wrong becomes
//!   right by it: anywhere else it can be put off, or left out; of those that are alike, the first
//!   one called is taken first;
//! - where some configuration led nowhere, the same one with more unknown writes used up leads
//!   nowhere either.

use std::collections::HashMap;

use crate::{
    budget::Budget,
    history::{Kind, Operation, Outcome, Value},
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

impl Requires {
    fn holds(self, state: State) -> bool {
        match self {
            Requires::Anything => true,
            Requires::Is(wanted) => state == wanted,
            Requires::Not(other) => state != other,
        }
    }
}

impl Step {
    fn right_in(&self, state: State) -> bool {
        self.requires.holds(state)
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
    // A read without an answer says nothing, and what was refused or failed may be left out.
    let counts = |operation: &Operation, known: Known| {
        let certain = known == Known::Fully && operation.answered_ns().is_some();
        certain || operation.may_change()
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
type StepIndex = usize;
const HEAD: StepIndex = 0;
const END: StepIndex = usize::MAX;

#[derive(Debug, Clone, Copy)]
struct Entry {
    step: usize,
    is_return: bool,
    previous: StepIndex,
    next: StepIndex,
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
    call_at: Vec<StepIndex>,
    return_at: Vec<StepIndex>,
    state: State,
    left: usize,
    /// Bits of the steps taken: known and unknown ones apart.
    taken: [Vec<u64>; 2],
    classes: Vec<Class>,
    /// The class of each unknown step.
    class_of: Vec<usize>,
    frames: Vec<Frame>,
    /// By known steps taken and state: the sets of unknown steps taken, none within another.
    seen: HashMap<Box<[u64]>, Vec<Box<[u64]>>>,
}

/// What is still to be tried at a configuration: known steps first, since every unknown write
/// that is used up makes the rest harder.
#[derive(Debug, Clone, Copy)]
enum Untried {
    /// From this place on, and then the unknown ones.
    Known(StepIndex),
    /// From this class on.
    Unknown(usize),
}

/// Unknown steps that are alike. They are taken in order of call, for the first one can come
/// wherever a later one can.
struct Class {
    requires: Requires,
    leaves: State,
    members: Vec<usize>,
    /// How many of the members are taken.
    taken: usize,
}

/// States in which something that may come next, and is wrong now, would be right.
struct Wanted {
    /// Any state but the present one.
    any_other: bool,
    states: Vec<State>,
}

impl<'a> Search<'a> {
    fn new(steps: &'a [Step]) -> Self {
        // A return and a call at the same instant overlap: the call goes first.
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(steps.len() * 2);
        for (n, step) in steps.iter().enumerate() {
            if let Some(return_ns) = step.return_ns {
                events.push((step.call_ns, false, n));
                events.push((return_ns, true, n));
            }
        }
        let known = events.len() / 2;
        events.sort_unstable();
        let after = |place: StepIndex| {
            if place == events.len() {
                END
            } else {
                place + 1
            }
        };
        let mut entries = vec![Entry {
            step: 0,
            is_return: false,
            previous: HEAD,
            next: after(HEAD),
        }];
        let mut call_at = vec![END; known];
        let mut return_at = vec![END; known];
        for (place, (_, is_return, step)) in (1..).zip(events.iter().copied()) {
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
                next: after(place),
            });
        }
        let (classes, class_of) = classes(&steps[known..], known);
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
            classes,
            class_of,
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
                        Some(false) => Untried::Unknown(usize::MAX),
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
            untried = Some(match step.checked_sub(self.known) {
                None => Untried::Known(self.entries[self.call_at[step]].next),
                Some(unknown) => Untried::Unknown(self.class_of[unknown] + 1),
            });
        }
        Found::Order
    }

    /// A step that may come next, changes nothing and is right in the present state.
    fn free_step(&self, budget: &mut Budget) -> Option<usize> {
        self.window(self.entries[HEAD].next).find(|&n| {
            budget.spend(1);
            let step = &self.steps[n];
            step.leaves.is_none() && step.right_in(self.state)
        })
    }

    /// The next step worth choosing.
    fn candidate(&self, untried: Untried, budget: &mut Budget) -> Option<usize> {
        let first_class = match untried {
            Untried::Known(from) => {
                let known = self.window(from).find(|&n| {
                    budget.spend(1);
                    let step = &self.steps[n];
                    step.leaves.is_some() && step.right_in(self.state)
                });
                if known.is_some() {
                    return known;
                }
                0
            }
            Untried::Unknown(from) => from,
        };
        let classes = self.classes.get(first_class..)?;
        if classes.is_empty() {
            return None;
        }
        let deadline = self.first_return();
        let wanted = self.wanted(deadline, budget);
        classes.iter().find_map(|class| {
            budget.spend(1);
            let helps = wanted.any_other || wanted.states.contains(&class.leaves);
            let worth = helps && class.leaves != self.state && class.requires.holds(self.state);
            self.next_of(class, deadline).filter(|_| worth)
        })
    }

    /// When the first of the known steps that are left returned: what comes next was called by
    /// then.
    fn first_return(&self) -> u64 {
        let mut place = self.entries[HEAD].next;
        while let Some(entry) = self.entries.get(place) {
            if entry.is_return {
                return self.steps[entry.step].return_ns.unwrap_or(u64::MAX);
            }
            place = entry.next;
        }
        u64::MAX
    }

    fn next_of(&self, class: &Class, deadline: u64) -> Option<usize> {
        let next = class.members.get(class.taken).copied();
        next.filter(|n| self.steps[*n].call_ns <= deadline)
    }

    /// What known steps want, and what unknown ones want that lead there.
    fn wanted(&self, deadline: u64, budget: &mut Budget) -> Wanted {
        let mut wanted = Wanted {
            any_other: false,
            states: Vec::new(),
        };
        for n in self.window(self.entries[HEAD].next) {
            budget.spend(1);
            match self.steps[n].requires {
                Requires::Is(state) if state != self.state => wanted.states.push(state),
                Requires::Not(state) if state == self.state => wanted.any_other = true,
                _ => {}
            }
        }
        let mut reached = 0;
        while !wanted.any_other && reached < wanted.states.len() {
            let target = wanted.states[reached];
            reached += 1;
            for class in self.classes.iter().filter(|c| c.leaves == target) {
                budget.spend(1);
                let Requires::Is(before) = class.requires else {
                    continue;
                };
                let new = before != self.state && !wanted.states.contains(&before);
                if new && self.next_of(class, deadline).is_some() {
                    wanted.states.push(before);
                }
            }
        }
        wanted
    }

    /// Known steps that may come next: called before the first return of those that are left.
    fn window(&self, from: StepIndex) -> impl Iterator<Item = usize> + '_ {
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
        match step.checked_sub(self.known) {
            None => {
                flip(&mut self.taken[0], step);
                self.unlink(self.call_at[step]);
                self.unlink(self.return_at[step]);
                self.left -= 1;
            }
            Some(unknown) => {
                flip(&mut self.taken[1], unknown);
                self.classes[self.class_of[unknown]].taken += 1;
            }
        }
    }

    /// Undoes everything back to the last choice, that one too, and names it.
    fn give_back(&mut self) -> Option<usize> {
        while let Some(frame) = self.frames.pop() {
            let step = frame.step;
            match step.checked_sub(self.known) {
                None => {
                    self.relink(self.return_at[step]);
                    self.relink(self.call_at[step]);
                    self.left += 1;
                    flip(&mut self.taken[0], step);
                }
                Some(unknown) => {
                    self.classes[self.class_of[unknown]].taken -= 1;
                    flip(&mut self.taken[1], unknown);
                }
            }
            self.state = frame.before;
            if !frame.forced {
                return Some(step);
            }
        }
        None
    }

    fn unlink(&mut self, place: StepIndex) {
        let Entry { previous, next, .. } = self.entries[place];
        self.entries[previous].next = next;
        if next != END {
            self.entries[next].previous = previous;
        }
    }

    fn relink(&mut self, place: StepIndex) {
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
        budget.spend(sets.len() as u64);
        if sets.iter().any(|set| is_within(set, unknown)) {
            return Some(false);
        }
        sets.retain(|set| !is_within(unknown, set));
        sets.push(unknown.into());
        budget.bytes = budget.bytes.checked_sub(bytes)?;
        Some(true)
    }

    /// The known steps taken, and the state. Steps are taken nearly in order of call: the full
    /// words in front are only counted, and the empty ones behind are left out.
    fn configuration(&self) -> Box<[u64]> {
        // The list is in order of call, as are the steps: all before its first step are taken.
        let first = self.entries.get(self.entries[HEAD].next);
        let full = first.map_or(self.known, |entry| entry.step) / 64;
        let deadline = self.first_return();
        let called = self.steps[..self.known].partition_point(|s| s.call_ns <= deadline);
        let rest = &self.taken[0][full..called.div_ceil(64)];
        let mut key = Vec::with_capacity(2 + rest.len());
        key.push(u64::from(self.state));
        key.push(full as u64);
        key.extend_from_slice(&rest[..used(rest)]);
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

fn flip(words: &mut [u64], bit: usize) {
    words[bit / 64] ^= 1 << (bit % 64);
}

/// Unknown steps (the first has number `known`) by what they need and leave, and the class of
/// each.
fn classes(unknown: &[Step], known: usize) -> (Vec<Class>, Vec<usize>) {
    let mut places = HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    let mut class_of = Vec::with_capacity(unknown.len());
    for (step, n) in unknown.iter().zip(known..) {
        // Unknown steps without an effect were not compiled.
        let leaves = step.leaves.unwrap_or(OTHER);
        let place = *places.entry((step.requires, leaves)).or_insert_with(|| {
            classes.push(Class {
                requires: step.requires,
                leaves,
                members: Vec::new(),
                taken: 0,
            });
            classes.len() - 1
        });
        classes[place].members.push(n);
        class_of.push(place);
    }
    (classes, class_of)
}
