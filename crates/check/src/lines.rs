//! The JSON lines form of a history: one flat object per operation, so that any language can
//! write it.
//!
//! ```json
//! {"client":1,"key":"a","call_ns":10,"return_ns":25,"kind":"put","value":"e1","outcome":"ok"}
//! {"client":2,"key":"a","call_ns":30,"return_ns":41,"kind":"get","found":"e1","outcome":"ok"}
//! {"client":2,"key":"b","call_ns":50,"return_ns":52,"kind":"get","found":null,"outcome":"ok"}
//! {"client":1,"key":"a","call_ns":60,"kind":"delete","outcome":"unknown"}
//! ```
//!
//! Kinds: `put`, `put_if_absent` (both with `value`), `put_if_match` (`expected`, `value`),
//! `delete`, `get` (`found`, which may be null, when the outcome is `ok`). Outcomes: `ok`,
//! `precondition_failed`, `unknown`, `refused`.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Deserializer, Serialize};

use crate::history::{Kind, Operation, Outcome, Unsound, Value};

/// Longest line that is read, in bytes, its end included: an S3 key has at most 1024.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Most operations that are read from one history.
pub const OPERATIONS_MAX: usize = 10_000_000;

/// Why a history could not be read. Lines count from one.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source failed.
    #[error("line {line}: {source}")]
    Io {
        /// The line that was being read.
        line: usize,
        /// What happened.
        source: io::Error,
    },
    /// Not an operation.
    #[error("line {line}, column {column}: {what}")]
    Line {
        /// Which line.
        line: usize,
        /// Where in it, from one; zero when that is not known.
        column: usize,
        /// What is wrong with it.
        what: String,
    },
    /// More than [`LINE_BYTES_MAX`].
    #[error("line {0}: longer than {LINE_BYTES_MAX} bytes")]
    TooLong(usize),
    /// More than [`OPERATIONS_MAX`].
    #[error("line {0}: more than {OPERATIONS_MAX} operations")]
    TooMany(usize),
}

/// Reads JSON lines; blank lines are passed over.
///
/// # Errors
/// [`ReadError`] names the first line that is no operation, and why.
pub fn read(mut source: impl BufRead) -> Result<Vec<Operation>, ReadError> {
    let mut operations = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let got = source
            .by_ref()
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(|source| ReadError::Io { line, source })?;
        if got == 0 {
            break;
        }
        if got > LINE_BYTES_MAX {
            return Err(ReadError::TooLong(line));
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        if operations.len() == OPERATIONS_MAX {
            return Err(ReadError::TooMany(line));
        }
        let operation = serde_json::from_slice(bytes.trim_ascii_end());
        operations.push(operation.map_err(|error| wrong(line, &error))?);
    }
    Ok(operations)
}

fn wrong(line: usize, error: &serde_json::Error) -> ReadError {
    let column = error.column();
    // Each line is parsed alone, so the parser's own count of lines would mislead.
    let place = format!(" at line {} column {column}", error.line());
    let text = error.to_string();
    let what = text.strip_suffix(&place).unwrap_or(&text).to_owned();
    ReadError::Line { line, column, what }
}

/// Writes JSON lines, which [`read`] reads back as they were.
///
/// # Errors
/// Those of the target.
pub fn write(mut target: impl Write, operations: &[Operation]) -> io::Result<()> {
    for operation in operations {
        serde_json::to_writer(&mut target, operation)?;
        target.write_all(b"\n")?;
    }
    target.flush()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Put,
    PutIfAbsent,
    PutIfMatch,
    Delete,
    Get,
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Name::Put => "put",
            Name::PutIfAbsent => "put_if_absent",
            Name::PutIfMatch => "put_if_match",
            Name::Delete => "delete",
            Name::Get => "get",
        }
    }
}

/// One line, before it is known to hold together.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    client: u32,
    key: String,
    call_ns: u64,
    #[serde(default)]
    return_ns: Option<u64>,
    kind: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// Outer: is the member there. Inner: was anything found.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "even_null"
    )]
    found: Option<Option<Value>>,
    outcome: Outcome,
}

fn even_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Value>>, D::Error> {
    Option::<Value>::deserialize(from).map(Some)
}

impl Line {
    fn kind(&mut self) -> Result<Kind, Unsound> {
        let kind = self.kind.text();
        let missing = |member| Unsound::Missing { kind, member };
        let mut value = || self.value.take().ok_or(missing("value"));
        Ok(match self.kind {
            Name::Put => Kind::Put { value: value()? },
            Name::PutIfAbsent => Kind::PutIfAbsent { value: value()? },
            Name::PutIfMatch => Kind::PutIfMatch {
                value: value()?,
                expected: self.expected.take().ok_or(missing("expected"))?,
            },
            Name::Delete => Kind::Delete,
            Name::Get if self.outcome == Outcome::Ok => Kind::Get {
                found: self.found.take().ok_or(missing("found"))?,
            },
            Name::Get => Kind::Get { found: None },
        })
    }
}

impl TryFrom<Line> for Operation {
    type Error = Unsound;

    fn try_from(mut line: Line) -> Result<Self, Unsound> {
        let kind = line.kind()?;
        let surplus = |member| Unsound::Surplus {
            kind: line.kind.text(),
            member,
        };
        if line.value.is_some() {
            return Err(surplus("value"));
        }
        if line.expected.is_some() {
            return Err(surplus("expected"));
        }
        // A read without an answer may say `"found":null`; it means nothing.
        if line
            .found
            .is_some_and(|f| f.is_some() || kind.leaves().is_some())
        {
            return Err(surplus("found"));
        }
        let operation = Operation {
            client: line.client,
            key: line.key,
            call_ns: line.call_ns,
            return_ns: line.return_ns,
            kind,
            outcome: line.outcome,
        };
        operation.validate().map(|()| operation)
    }
}

impl From<Operation> for Line {
    fn from(operation: Operation) -> Self {
        let mut line = Line {
            client: operation.client,
            key: operation.key,
            call_ns: operation.call_ns,
            return_ns: operation.return_ns,
            kind: Name::Delete,
            expected: None,
            value: None,
            found: None,
            outcome: operation.outcome,
        };
        match operation.kind {
            Kind::Put { value } => (line.kind, line.value) = (Name::Put, Some(value)),
            Kind::PutIfAbsent { value } => {
                (line.kind, line.value) = (Name::PutIfAbsent, Some(value));
            }
            Kind::PutIfMatch { expected, value } => {
                (line.kind, line.value) = (Name::PutIfMatch, Some(value));
                line.expected = Some(expected);
            }
            Kind::Delete => {}
            Kind::Get { found } => {
                line.kind = Name::Get;
                line.found = (operation.outcome == Outcome::Ok).then_some(found);
            }
        }
        line
    }
}
