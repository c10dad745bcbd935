//! Answers with changes: a head of 9 bytes, then frames.
//!
//! ```text
//! head   u8 flags (1: seed anew, 2: a row follows, 4: hand over first)  u64 position
//! row    u32 length  bytes                          (only with flag 2)
//! frame  u64 position  u32 length  the change's bytes
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use objects::ShippedChange;

use crate::ReplicationError;

/// Changes of one answer. The longest honest one is a page of removals.
const CHANGES_MAX: usize = 20_000;
const RESEED: u8 = 1;
const ROW: u8 = 2;
const AHEAD: u8 = 4;

/// An answer with changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The log does not reach back so far.
    pub reseed: bool,
    /// The asker has read what this log does not have: it hands over what it alone has, before it
    /// begins anew.
    pub ahead: bool,
    /// Where to go on in the log.
    pub position: u64,
    /// Where to go on in a snapshot.
    pub row: Option<Bytes>,
    /// Changes, each with its position.
    pub changes: Vec<(u64, ShippedChange)>,
}

impl Answer {
    /// The bytes that travel.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let reseed = if self.reseed { RESEED } else { 0 };
        let ahead = if self.ahead { AHEAD } else { 0 };
        out.put_u8(reseed | ahead | if self.row.is_some() { ROW } else { 0 });
        out.put_u64(self.position);
        if let Some(row) = &self.row {
            out.put_u32(row.len() as u32);
            out.put_slice(row);
        }
        for (position, change) in &self.changes {
            let bytes = change.encode();
            out.put_u64(*position);
            out.put_u32(bytes.len() as u32);
            out.put_slice(&bytes);
        }
        out.freeze()
    }

    /// Reads them.
    pub fn decode(mut bytes: Bytes) -> Result<Self, ReplicationError> {
        let short = || ReplicationError::Malformed("it is cut short".to_owned());
        if bytes.len() < 9 {
            return Err(short());
        }
        let flags = bytes.get_u8();
        if flags & !(RESEED | ROW | AHEAD) != 0 {
            return Err(ReplicationError::Malformed("unknown flags".to_owned()));
        }
        let mut answer = Self {
            reseed: flags & RESEED != 0,
            ahead: flags & AHEAD != 0,
            position: bytes.get_u64(),
            row: None,
            changes: Vec::new(),
        };
        let piece = |bytes: &mut Bytes| {
            let len = match bytes.len() {
                0..4 => return Err(short()),
                _ => bytes.get_u32() as usize,
            };
            match len <= bytes.len() {
                true => Ok(bytes.split_to(len)),
                false => Err(short()),
            }
        };
        if flags & ROW != 0 {
            answer.row = Some(piece(&mut bytes)?);
        }
        while !bytes.is_empty() {
            if bytes.len() < 8 {
                return Err(short());
            }
            if answer.changes.len() == CHANGES_MAX {
                return Err(ReplicationError::Malformed(format!(
                    "more than {CHANGES_MAX} changes"
                )));
            }
            let position = bytes.get_u64();
            let change = ShippedChange::decode(&piece(&mut bytes)?)
                .map_err(|e| ReplicationError::Malformed(e.to_string()))?;
            answer.changes.push((position, change));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{ObjectKey, VersionId};

    #[test]
    fn answers_read_back_and_nothing_shorter_does() {
        let removed = |n: u8| ShippedChange::Removed {
            key: ObjectKey::new(&format!("k{n}")).unwrap(),
            version: VersionId::from_bytes([n; 16]),
            null: true,
        };
        let answer = Answer {
            reseed: true,
            ahead: true,
            position: 5,
            row: Some(Bytes::from_static(b"c\0row")),
            changes: vec![(1, removed(1)), (2, removed(2))],
        };
        let bytes = answer.encode();
        assert_eq!(Answer::decode(bytes.clone()).unwrap(), answer);
        let whole = [18, 18 + 12 + answer.changes[0].1.encode().len()];
        for len in 0..bytes.len() {
            let cut = Answer::decode(bytes.slice(..len));
            assert_eq!(cut.is_ok(), whole.contains(&len), "{len}");
        }
    }
}
