//! What clients did and what they were answered, one record per operation.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a write leaves under a key: an ETag or a number that no other write of that key uses.
///
/// A number and its decimal text are the same value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(String);

impl Value {
    /// From an ETag or any other unique text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number, zero or more")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
                Ok(Value::from(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::from(text))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What was asked for. Every key begins absent.
///
/// A listing that shows ETags is recorded as one [`Kind::Get`] for each key it covers, over the
/// span of the page that showed the key, or should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Store this, whatever is there.
    Put {
        /// What is stored.
        value: Value,
    },
    /// Store this if nothing is there (`If-None-Match: *`).
    PutIfAbsent {
        /// What is stored.
        value: Value,
    },
    /// Store this if that is there (`If-Match`). A key with nothing under it fails the condition.
    PutIfMatch {
        /// What must be there.
        expected: Value,
        /// What is stored.
        value: Value,
    },
    /// Leave nothing there. Succeeds on a key with nothing under it.
    Delete,
    /// Read.
    Get {
        /// What was there; `None` for nothing. Without meaning unless the outcome is `Ok`.
        found: Option<Value>,
    },
}

impl Kind {
    /// What a successful run leaves: `None` when it changes nothing, `Some(None)` when it leaves
    /// the key absent.
    pub(crate) fn leaves(&self) -> Option<Option<&Value>> {
        match self {
            Kind::Put { value } | Kind::PutIfAbsent { value } | Kind::PutIfMatch { value, .. } => {
                Some(Some(value))
            }
            Kind::Delete => Some(None),
            Kind::Get { .. } => None,
        }
    }

    /// The value that a successful run proves to have been there.
    pub(crate) fn observes(&self) -> Option<&Value> {
        match self {
            Kind::Get { found } => found.as_ref(),
            Kind::PutIfMatch { expected, .. } => Some(expected),
            _ => None,
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged: a write has happened, a read has answered.
    Ok,
    /// The condition did not hold, and nothing was changed (412, or 404 for `If-Match`).
    PreconditionFailed,
    /// Timeout, cut connection, 5xx. A write may have happened at any time after its call, up to
    /// the end of the history, or never. A read says nothing.
    Unknown,
    /// Turned away before it began (503 `SlowDown`, 507, 409 for a conflict): it never happened.
    Refused,
}

/// One operation of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "crate::lines::Line", into = "crate::lines::Line")]
pub struct Operation {
    /// Who called.
    pub client: u32,
    /// The object it is about.
    pub key: String,
    /// When it was called, in nanoseconds of one monotonic clock that all clients share.
    pub call_ns: u64,
    /// When it was answered, on the same clock; `None` when it never was.
    pub return_ns: Option<u64>,
    /// What was asked for.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
}

/// Why an operation cannot be what a client saw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// A return before the call.
    #[error("return_ns {return_ns} is before call_ns {call_ns}")]
    ReturnBeforeCall {
        /// The call, in nanoseconds.
        call_ns: u64,
        /// The return, in nanoseconds.
        return_ns: u64,
    },
    /// An outcome that only an answer can show.
    #[error("outcome {0:?} needs return_ns")]
    Unanswered(Outcome),
    /// Only conditional writes have a condition that can fail.
    #[error("a {0} has no condition that could fail")]
    NoCondition(&'static str),
    /// A member that this kind must have.
    #[error("a {kind} needs `{member}`")]
    Missing {
        /// The kind, as in the JSON form.
        kind: &'static str,
        /// The member's name.
        member: &'static str,
    },
    /// A member that this kind cannot have.
    #[error("a {kind} has no `{member}`")]
    Surplus {
        /// The kind, as in the JSON form.
        kind: &'static str,
        /// The member's name.
        member: &'static str,
    },
}

impl Operation {
    /// Whether the record contradicts itself.
    ///
    /// # Errors
    /// [`Unsound`] names the contradiction.
    pub fn validate(&self) -> Result<(), Unsound> {
        match self.return_ns {
            Some(return_ns) if return_ns < self.call_ns => Err(Unsound::ReturnBeforeCall {
                call_ns: self.call_ns,
                return_ns,
            }),
            None if matches!(self.outcome, Outcome::Ok | Outcome::PreconditionFailed) => {
                Err(Unsound::Unanswered(self.outcome))
            }
            _ => match (&self.kind, self.outcome) {
                (Kind::Put { .. }, Outcome::PreconditionFailed) => Err(Unsound::NoCondition("put")),
                (Kind::Delete, Outcome::PreconditionFailed) => Err(Unsound::NoCondition("delete")),
                (Kind::Get { .. }, Outcome::PreconditionFailed) => Err(Unsound::NoCondition("get")),
                _ => Ok(()),
            },
        }
    }

    /// When an answer that says something came: what was `Unknown` has none.
    pub(crate) fn answered_ns(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Ok | Outcome::PreconditionFailed => self.return_ns,
            Outcome::Unknown | Outcome::Refused => None,
        }
    }

    /// A write that has changed the key, or may have.
    pub(crate) fn may_change(&self) -> bool {
        self.kind.leaves().is_some() && matches!(self.outcome, Outcome::Ok | Outcome::Unknown)
    }
}

impl fmt::Display for Operation {
    /// One line of a report: `client 3 put 17 -> ok`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} ", self.client)?;
        match &self.kind {
            Kind::Put { value } => write!(f, "put {value}")?,
            Kind::PutIfAbsent { value } => write!(f, "put {value} if absent")?,
            Kind::PutIfMatch { expected, value } => write!(f, "put {value} if it is {expected}")?,
            Kind::Delete => f.write_str("delete")?,
            Kind::Get { .. } => f.write_str("get")?,
        }
        match (self.outcome, &self.kind) {
            (Outcome::Ok, Kind::Get { found: Some(value) }) => write!(f, " -> found {value}"),
            (Outcome::Ok, Kind::Get { found: None }) => f.write_str(" -> found nothing"),
            (Outcome::Ok, _) => f.write_str(" -> ok"),
            (Outcome::PreconditionFailed, _) => f.write_str(" -> precondition failed"),
            (Outcome::Unknown, _) => f.write_str(" -> unknown"),
            (Outcome::Refused, _) => f.write_str(" -> refused"),
        }
    }
}

/// Each key's operations, without those that never happened.
pub(crate) fn by_key(history: &[Operation]) -> BTreeMap<&str, Vec<&Operation>> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        if operation.outcome != Outcome::Refused {
            keys.entry(&operation.key).or_default().push(operation);
        }
    }
    keys
}
