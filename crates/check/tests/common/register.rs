//! A register that clients use at the same time, correct but for one fault that can be planted.

use check::{Kind, Operation, Outcome, Value};
use proptest::prelude::*;

/// One operation as planned, before it runs. Times are in ticks.
#[derive(Debug, Clone)]
pub struct Plan {
    pub client: u32,
    /// What to do, out of six.
    pub action: u8,
    /// From the client's last return to this call, from the call to the effect, from the effect
    /// to the return.
    pub waits: [u64; 3],
    /// How it ends, out of sixteen: most are answered.
    pub end: u8,
    /// Which of the values written so far a conditional write expects, when it is not to hold.
    pub pick: usize,
}

/// What goes wrong, at the n-th operation that it can happen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A write is acknowledged and not done.
    SkipWrite(usize),
    /// A read answers with what was there before the last change.
    OldValue(usize),
    /// A write whose condition does not hold is done and acknowledged.
    ConditionIgnored(usize),
}

/// Plans of this many operations by up to this many clients.
pub fn plans(
    clients: u32,
    size: impl Into<proptest::collection::SizeRange>,
) -> impl Strategy<Value = Vec<Plan>> {
    let plan = (
        1..=clients,
        0..6u8,
        [0..4u64, 0..6u64, 0..6u64],
        0..16u8,
        0..8usize,
    )
        .prop_map(|(client, action, waits, end, pick)| Plan {
            client,
            action,
            waits,
            end,
            pick,
        });
    proptest::collection::vec(plan, size)
}

pub fn faults() -> impl Strategy<Value = Fault> {
    (0..3u8, 0..4usize).prop_map(|(kind, nth)| match kind {
        0 => Fault::SkipWrite(nth),
        1 => Fault::OldValue(nth),
        _ => Fault::ConditionIgnored(nth),
    })
}

/// Runs the plans on one key. Returns the history, and whether the fault struck.
pub fn run(plans: &[Plan], fault: Option<Fault>) -> (Vec<Operation>, bool) {
    let mut clock = std::collections::HashMap::new();
    let mut timed: Vec<(u64, u64, u64, &Plan)> = plans
        .iter()
        .map(|plan| {
            let now = clock.entry(plan.client).or_insert(0u64);
            let call = *now + plan.waits[0] + 1;
            let effect = call + plan.waits[1];
            let end = effect + plan.waits[2];
            *now = end;
            (effect, call, end, plan)
        })
        .collect();
    timed.sort_by_key(|(effect, ..)| *effect);
    let mut register = Register {
        states: vec![None],
        written: 0,
        fault,
        chances: 0,
        struck: false,
    };
    let history = timed
        .into_iter()
        .map(|(_, call, end, plan)| {
            let (kind, outcome) = register.act(plan);
            let answered = outcome != Outcome::Unknown || plan.pick.is_multiple_of(2);
            Operation {
                client: plan.client,
                key: "k".to_owned(),
                call_ns: call,
                return_ns: answered.then_some(end),
                kind,
                outcome,
            }
        })
        .collect();
    (history, register.struck)
}

struct Register {
    /// All states so far, the present one last.
    states: Vec<Option<u64>>,
    written: u64,
    fault: Option<Fault>,
    chances: usize,
    struck: bool,
}

impl Register {
    fn act(&mut self, plan: &Plan) -> (Kind, Outcome) {
        let now = self.states.last().copied().flatten();
        if plan.action >= 4 {
            return self.read(now, plan);
        }
        self.written += 1;
        let new = self.written;
        let value = Value::from(new);
        let expected = match now {
            Some(now) if plan.pick < 5 => now,
            _ => (plan.pick as u64 % new) + 1,
        };
        let (kind, holds, left) = match plan.action {
            0 => (Kind::Put { value }, true, Some(new)),
            1 => (Kind::PutIfAbsent { value }, now.is_none(), Some(new)),
            2 => (
                Kind::PutIfMatch {
                    expected: Value::from(expected),
                    value,
                },
                now == Some(expected),
                Some(new),
            ),
            _ => (Kind::Delete, true, None),
        };
        match plan.end {
            0 => return (kind, Outcome::Refused),
            // Cut before the effect, and after it.
            1 => return (kind, Outcome::Unknown),
            2 => {
                if holds {
                    self.states.push(left);
                }
                return (kind, Outcome::Unknown);
            }
            _ => {}
        }
        if !holds && !self.strikes(|f| matches!(f, Fault::ConditionIgnored(_))) {
            return (kind, Outcome::PreconditionFailed);
        }
        if !(holds && self.strikes(|f| matches!(f, Fault::SkipWrite(_)))) {
            self.states.push(left);
        }
        (kind, Outcome::Ok)
    }

    fn read(&mut self, now: Option<u64>, plan: &Plan) -> (Kind, Outcome) {
        if plan.end == 0 {
            return (Kind::Get { found: None }, Outcome::Unknown);
        }
        let mut found = now;
        let before = self.states.len().checked_sub(2).map(|n| self.states[n]);
        if let Some(before) = before
            && self.strikes(|f| matches!(f, Fault::OldValue(_)))
        {
            found = before;
        }
        let found = found.map(Value::from);
        (Kind::Get { found }, Outcome::Ok)
    }

    /// Counts a chance for the planted fault, if it is of this kind, and says if it is the one.
    fn strikes(&mut self, of_this_kind: impl Fn(&Fault) -> bool) -> bool {
        let Some(fault) = self.fault.filter(of_this_kind) else {
            return false;
        };
        let (Fault::SkipWrite(nth) | Fault::OldValue(nth) | Fault::ConditionIgnored(nth)) = fault;
        self.chances += 1;
        let strikes = self.chances == nth + 1;
        self.struck |= strikes;
        strikes
    }
}
