//! The slow judge: tries every order. Written apart from the checker, to be compared with it.

use check::{Kind, Operation, Outcome, Value};

/// Whether some order of one key's operations explains every answer. For short histories only.
pub fn has_order(history: &[Operation]) -> bool {
    let rest: Vec<&Operation> = history
        .iter()
        .filter(|o| o.outcome != Outcome::Refused)
        .collect();
    order_from(&rest, None)
}

fn order_from(rest: &[&Operation], state: Option<&Value>) -> bool {
    // What is unknown may never happen.
    if rest.iter().all(|o| o.outcome == Outcome::Unknown) {
        return true;
    }
    (0..rest.len()).any(|n| {
        let next = rest[n];
        let too_early = rest.iter().any(|other| {
            other.outcome != Outcome::Unknown
                && other.return_ns.is_some_and(|end| end < next.call_ns)
        });
        if too_early {
            return false;
        }
        let mut others = rest.to_vec();
        others.remove(n);
        match after(next, state) {
            Some(state) => order_from(&others, state),
            None => false,
        }
    })
}

/// The state after it, or nothing if it could not have ended as it did.
fn after<'a>(operation: &'a Operation, state: Option<&'a Value>) -> Option<Option<&'a Value>> {
    let (holds, left) = match &operation.kind {
        Kind::Put { value } => (true, Some(value)),
        Kind::PutIfAbsent { value } => (state.is_none(), Some(value)),
        Kind::PutIfMatch { expected, value } => (state == Some(expected), Some(value)),
        Kind::Delete => (true, None),
        Kind::Get { found } => (state == found.as_ref(), state),
    };
    match operation.outcome {
        Outcome::Ok => holds.then_some(left),
        Outcome::PreconditionFailed => (!holds).then_some(state),
        Outcome::Unknown if matches!(operation.kind, Kind::Get { .. }) => Some(state),
        Outcome::Unknown => Some(if holds { left } else { state }),
        Outcome::Refused => Some(state),
    }
}
