//! How far a region has followed another.

use bytes::Bytes;
use store::Position;

use super::codec::{Reader, Writer};
use crate::Result;

const VERSION: u8 = 1;
/// With which of the replicas that the region was to keep it is about.
const OF_REPLICA: u8 = 2;
/// With that, and up to where the source's log went when it last sent something.
const REACHING: u8 = 3;

/// How far a follower is.
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
    /// While a snapshot is taken: what was read of the source is from before this position of its
    /// log; 0 where that is not known.
    pub reach: Position,
}

impl FollowCursor {
    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_as(VERSION, None)
    }

    /// The same of the replica that was added by the registry's change `since`
    /// (`Placement::copy_since`).
    pub(crate) fn encode_of(&self, since: u64) -> Vec<u8> {
        match since {
            _ if self.snapshot.is_some()
                && self.reach > Position(0)
                && !types::planted("half-a-snapshot-is-forgotten") =>
            {
                self.encode_as(REACHING, Some(since))
            }
            // It is there since the bucket was made; earlier releases can read this.
            0 => self.encode(),
            since => self.encode_as(OF_REPLICA, Some(since)),
        }
    }

    fn encode_as(&self, version: u8, since: Option<u64>) -> Vec<u8> {
        let mut out = Writer::new(version);
        if let Some(since) = since {
            out.u64(since);
        }
        if version == REACHING {
            out.u64(self.reach.0);
        }
        out.u64(self.epoch).u64(self.position.0).u64(self.seeded);
        match &self.snapshot {
            None => out.u8(0),
            Some(row) => out.u8(1).count(row.len()).raw(row),
        };
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        Ok(Self::decode_of(bytes)?.0)
    }

    /// The same, with the replica that it is of, if that is noted.
    pub(crate) fn decode_of(bytes: &[u8]) -> Result<(Self, Option<u64>)> {
        let (mut r, version) = Reader::up_to(REACHING, bytes, "a follower's cursor")?;
        let since = match version {
            OF_REPLICA | REACHING => Some(r.u64()?),
            _ => None,
        };
        let reach = match version {
            REACHING => r.u64()?,
            _ => 0,
        };
        let mut cursor = Self {
            epoch: r.u64()?,
            position: Position(r.u64()?),
            seeded: r.u64()?,
            snapshot: None,
            reach: Position(reach),
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
        Ok((cursor, since))
    }
}
