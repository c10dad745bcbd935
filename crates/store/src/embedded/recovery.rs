//! Opening: the index as of its marker, then the journal from there on.
//!
//! The journal ends at the first place without a whole frame that follows from the one before it.
//! If any later frame was written when that place was known to be durable already, the place was
//! damaged since, and acknowledged commits would be lost with it: that is an alarm, not an end.
//! Otherwise the write there never came to its end and nobody was told that it had; it is cut off.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;

use super::{
    frame::{self, FRAME_ALIGN, HEADER_BYTES, Header, Loc, Op, Place},
    memtable::{Mem, own},
    read,
    rows::Marker,
    segment::{Segment, Segments},
};
use crate::{StoreError, StoreResult};

/// What the replay found.
pub(super) struct Replayed {
    pub(super) mem: Mem,
    /// After the last whole frame.
    pub(super) end: Marker,
    /// Something lay behind the end and was cut off.
    pub(super) torn: bool,
}

fn failed(segment: &Segment, error: std::io::Error) -> StoreError {
    StoreError::io(format!("read {}", segment.path.display()), error)
}

/// A whole frame, with its commits; `None` when there is none.
fn whole(segment: &Segment, offset: u64) -> StoreResult<Option<(Header, Vec<frame::Commit>)>> {
    let head = segment.read_head(offset).map_err(|e| failed(segment, e))?;
    let Some((header, meta)) = head else {
        return Ok(None);
    };
    let Some(commits) = frame::parse_meta(meta) else {
        return Ok(None);
    };
    for op in commits.iter().flat_map(|c| &c.ops) {
        if let Op::Put {
            payload: Some((at, len, hash)),
            ..
        } = op
        {
            let loc = place_of(&header, *at, *len, *hash);
            match read::read_now(segment, loc) {
                Ok(_) => {}
                Err(StoreError::Corrupt(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Some((header, commits)))
}

fn place_of(header: &Header, at: u32, len: u32, hash: u64) -> Loc {
    Loc {
        segment: header.place.segment,
        offset: header.payload_start() as u32 + at,
        len,
        hash,
    }
}

/// Reads the journal from the marker.
pub(super) fn replay(segments: &Segments, marker: Marker) -> StoreResult<Replayed> {
    let map = segments.map.read().clone();
    let mut end = marker;
    let mut mem = Mem::default();
    if let Some(first) = map.keys().next()
        && end.place == Place::default()
    {
        // Nothing was ever checkpointed, so nothing was ever retired.
        if *first != 1 {
            let dir = segments.dir.display();
            return Err(StoreError::Corrupt(format!("{dir}: segment 1 is gone")));
        }
        end.place.segment = 1;
    }
    if end.place.segment != 0 && !map.contains_key(&end.place.segment) && !map.is_empty()
        || map.is_empty() && marker != Marker::default()
    {
        return Err(StoreError::Corrupt(format!(
            "{}: segment {} is gone",
            segments.dir.display(),
            end.place.segment
        )));
    }
    while let Some(segment) = map.get(&end.place.segment) {
        let follows = |found: &(Header, Vec<frame::Commit>)| {
            found.0.before == end.before && found.0.first > end.sequence
        };
        let mut found = whole(segment, end.place.offset)?.filter(follows);
        let mut at = segment;
        if found.is_none()
            && let Some(next) = map.get(&(segment.id + 1))
        {
            found = whole(next, 0)?.filter(follows);
            at = next;
        }
        let Some((header, commits)) = found else {
            break;
        };
        apply(&mut mem, &header, commits);
        at.mark(header.first, header.place.offset);
        end = Marker {
            place: Place {
                segment: at.id,
                offset: header.end(),
            },
            before: header.checksum,
            sequence: header.last,
        };
    }
    let torn = check_end(&map, end.place)?;
    Ok(Replayed { mem, end, torn })
}

fn apply(mem: &mut Mem, header: &Header, commits: Vec<frame::Commit>) {
    for commit in commits {
        for op in commit.ops {
            match op {
                Op::Put {
                    version,
                    key,
                    value,
                    payload,
                } => {
                    let (key, value) = own(commit.partition, &key, &value);
                    let payload = payload.map(|(at, len, hash)| place_of(header, at, len, hash));
                    let row = super::memtable::Held {
                        version,
                        value,
                        payload,
                    };
                    mem.insert(key, Some(row));
                }
                Op::Delete { key } => mem.insert(own(commit.partition, &key, b"").0, None),
                Op::Log { .. } => {}
            }
        }
    }
}

/// Whether anything lies behind the end; an alarm if it must not.
fn check_end(map: &BTreeMap<u64, Arc<Segment>>, end: Place) -> StoreResult<bool> {
    let mut torn = false;
    for segment in map.range(end.segment..).map(|(_, s)| s) {
        let start = if segment.id == end.segment {
            end.offset
        } else {
            torn = true;
            0
        };
        let size = segment
            .file
            .metadata()
            .map_err(|e| failed(segment, e))?
            .len();
        let mut offset = start;
        while offset < size {
            let block = read_block(segment, offset, size)?;
            torn |= block.iter().any(|b| *b != 0);
            for at in (0..block.len()).step_by(FRAME_ALIGN as usize) {
                let place = Place {
                    segment: segment.id,
                    offset: offset + at as u64,
                };
                let known = block
                    .get(at..at + HEADER_BYTES)
                    .is_none_or(|b| Header::parse(b, place).is_some_and(|h| h.synced > end));
                if known
                    && let Some((header, _)) = segment
                        .read_head(place.offset)
                        .map_err(|e| failed(segment, e))?
                    && header.synced > end
                {
                    return Err(StoreError::Corrupt(format!(
                        "{} at {}: the journal was durable here, and a later frame at {} of \
                         segment {} proves it",
                        map[&end.segment].path.display(),
                        end.offset,
                        place.offset,
                        place.segment
                    )));
                }
            }
            offset += block.len() as u64;
        }
    }
    Ok(torn)
}

fn read_block(segment: &Segment, offset: u64, size: u64) -> StoreResult<Bytes> {
    use std::os::unix::fs::FileExt;
    let mut block = vec![0; (size - offset).min(1 << 20) as usize];
    segment
        .file
        .read_exact_at(&mut block, offset)
        .map_err(|e| failed(segment, e))?;
    Ok(block.into())
}

/// Removes what lies behind the end, so that it can never be read again.
pub(super) fn cut(segments: &Segments, end: Place) -> StoreResult<()> {
    let later: Vec<_> = {
        let map = segments.map.read();
        let after = (Bound::Excluded(end.segment), Bound::Unbounded);
        map.range(after).map(|(_, s)| s.clone()).collect()
    };
    for segment in later.into_iter().rev() {
        segments.map.write().remove(&segment.id);
        std::fs::remove_file(&segment.path)
            .map_err(|e| StoreError::io(format!("remove {}", segment.path.display()), e))?;
    }
    if let Some(segment) = segments.get(end.segment) {
        let cut = || {
            segment.file.set_len(end.offset)?;
            segment.file.set_len(segments.bytes.max(end.offset))?;
            segment.file.sync_all()
        };
        cut().map_err(|e| StoreError::io(format!("cut {}", segment.path.display()), e))?;
    }
    segments
        .disk
        .sync_dir(&segments.dir)
        .map_err(|e| StoreError::io(format!("sync {}", segments.dir.display()), e))
}
