//! Short ways to write histories.

#![allow(dead_code, reason = "each test file uses a part")]

use check::{Kind, Operation, Outcome, Value};

/// An answered operation on the key `k`, from `span.0` to `span.1`.
pub fn op(client: u32, span: (u64, u64), kind: Kind, outcome: Outcome) -> Operation {
    Operation {
        client,
        key: "k".to_owned(),
        call_ns: span.0,
        return_ns: Some(span.1),
        kind,
        outcome,
    }
}

pub fn put(client: u32, call: u64, end: u64, value: u64) -> Operation {
    let value = Value::from(value);
    op(client, (call, end), Kind::Put { value }, Outcome::Ok)
}

/// A put that was never answered.
pub fn put_cut(client: u32, call: u64, value: u64) -> Operation {
    Operation {
        return_ns: None,
        outcome: Outcome::Unknown,
        ..put(client, call, call, value)
    }
}

pub fn delete(client: u32, call: u64, end: u64) -> Operation {
    op(client, (call, end), Kind::Delete, Outcome::Ok)
}

/// A get that found this number; zero for nothing.
pub fn get(client: u32, call: u64, end: u64, found: u64) -> Operation {
    let found = (found > 0).then(|| Value::from(found));
    op(client, (call, end), Kind::Get { found }, Outcome::Ok)
}

pub fn put_if_absent(client: u32, call: u64, end: u64, value: u64, outcome: Outcome) -> Operation {
    let value = Value::from(value);
    op(client, (call, end), Kind::PutIfAbsent { value }, outcome)
}

/// `change` is (expected, value).
pub fn put_if_match(
    client: u32,
    call: u64,
    end: u64,
    change: (u64, u64),
    outcome: Outcome,
) -> Operation {
    let (expected, value) = (Value::from(change.0), Value::from(change.1));
    let kind = Kind::PutIfMatch { expected, value };
    op(client, (call, end), kind, outcome)
}
