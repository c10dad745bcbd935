//! A row as memory and the index file have it: its payload is elsewhere.

use bytes::Bytes;

use super::frame::Loc;
use crate::{Row, RowVersion};

/// A row without its payload's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) version: u64,
    pub(super) value: Bytes,
    pub(super) payload: Option<Loc>,
}

impl Held {
    pub(super) fn into_row(self, payload: Option<Bytes>) -> Row {
        Row {
            version: RowVersion(self.version),
            value: self.value,
            payload,
        }
    }
}

/// A row, or that there is none any more.
pub(super) type Slot = Option<Held>;
