//! How far a region has followed another.

use bytes::Bytes;
use store::Position;

use super::codec::{Reader, Writer};
use crate::Result;

const VERSION: u8 = 1;

/// Where a follower stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FollowCursor {
    /// The deed's epoch under which it followed.
    pub epoch: u64,
    /// Applied up to here in the source's log; while a snapshot is taken, where following will
    /// begin.
    pub position: Position,
    /// Versions that snapshots have brought so far.
    pub seeded: u64,
    /// While a snapshot is taken: the row of the source where it goes on.
    pub snapshot: Option<Bytes>,
}

impl FollowCursor {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.u64(self.epoch).u64(self.position.0).u64(self.seeded);
        match &self.snapshot {
            None => out.u8(0),
            Some(row) => out.u8(1).count(row.len()).raw(row),
        };
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, "a follower's cursor")?;
        let mut cursor = Self {
            epoch: r.u64()?,
            position: Position(r.u64()?),
            seeded: r.u64()?,
            snapshot: None,
        };
        match r.u8()? {
            0 => {}
            1 => {
                let len = r.count(1)?;
                cursor.snapshot = Some(Bytes::copy_from_slice(r.raw(len)?));
            }
            _ => return Err(r.damaged()),
        }
        r.end()?;
        Ok(cursor)
    }
}
