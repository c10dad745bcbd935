//! Opening: the index as of its marker, then the journal from there on.
//!
//! The journal ends at the first place without a whole frame that follows from the one before it.
//! If any later frame was written when that place was known to be durable already, the place was
//! damaged since, and acknowledged commits would be lost with it: that is an alarm, not an end.
//! Otherwise the write there never finished, and nobody received an answer that it had.
//!
//! What is read here comes from the disk and not from the page cache: after a failed sync the cache
//! can have what the disk does not, and no later sync reports it.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::{
    frame::{self, FRAME_ALIGN, FrameAt, Header, Kind, Loc, Op},
    memtable::{Mem, own},
    openings::Openings,
    read,
    rows::Marker,
    segment::{Sealed, Segment},
    segments::{Noted, Segments},
};
use crate::{StoreError, StoreResult};

/// What the replay found.
pub(super) struct Replayed {
    pub(super) mem: Mem,
    /// After the last whole frame.
    pub(super) end: Marker,
    /// Something is behind the end.
    pub(super) torn: bool,
    /// With `salvage`: commits up to this one may be gone for good.
    pub(super) lost: Option<u64>,
}

fn failed(segment: &Segment, error: std::io::Error) -> StoreError {
    StoreError::io(format!("read {}", segment.path.display()), error)
}

/// Makes sure that what is read next of the segments from `marker` on is on the disk.
pub(super) fn read_from_disk(segments: &Segments, marker: Marker) -> StoreResult<()> {
    if types::planted("page-cache-trusted") {
        return Ok(());
    }
    let map = segments.map.read().clone();
    for segment in map.range(marker.place.segment..).map(|(_, s)| s) {
        let synced = segment.file.sync();
        synced.map_err(|e| StoreError::io(format!("sync {}", segment.path.display()), e))?;
        let dropped = segment.file.forget_cached();
        dropped.map_err(|e| failed(segment, e))?;
    }
    Ok(())
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
        offset: (header.payload_start() as u32).saturating_add(at),
        len,
        hash,
    }
}

/// Where the replay begins, if there is a journal.
fn beginning(
    segments: &Segments,
    map: &BTreeMap<u64, Arc<Segment>>,
    marker: Marker,
) -> StoreResult<Marker> {
    let mut begin = marker;
    let gone = |id: u64| {
        let dir = segments.dir.display();
        Err(StoreError::Corrupt(format!("{dir}: segment {id} is gone")))
    };
    if map.is_empty() {
        return match marker == Marker::default() {
            true => Ok(begin),
            false => gone(marker.place.segment),
        };
    }
    if begin.place == FrameAt::default() {
        // Nothing was ever checkpointed, so nothing was ever retired.
        begin.place.segment = 1;
    }
    match map.contains_key(&begin.place.segment) {
        true => Ok(begin),
        false => gone(begin.place.segment),
    }
}

/// An alarm where a segment from `begin` on is shorter than it was made.
fn not_shortened(
    segments: &Segments,
    map: &BTreeMap<u64, Arc<Segment>>,
    begin: FrameAt,
) -> StoreResult<()> {
    for segment in map.range(begin.segment..).map(|(_, s)| s) {
        let least = match segment.kind {
            // A crash may have come while an earlier version cut its end off.
            Kind::Open if segment.id == begin.segment => begin.offset,
            Kind::Open => 0,
            Kind::Keyed(_) => segments.bytes,
        };
        if segment.file.len().map_err(|e| failed(segment, e))? < least {
            return Err(StoreError::Corrupt(format!(
                "{} is shorter than it was made; acknowledged writes may be lost with its end",
                segment.path.display()
            )));
        }
    }
    Ok(())
}

/// Reads the journal from the marker. With `salvage`, goes on behind damage.
pub(super) fn replay(
    segments: &Segments,
    marker: Marker,
    openings: &Openings,
    salvage: bool,
) -> StoreResult<Replayed> {
    let map = segments.map.read().clone();
    let mut end = beginning(segments, &map, marker)?;
    let mut mem = Mem::default();
    let mut lost = None;
    if !salvage {
        not_shortened(segments, &map, end.place)?;
    }
    let torn = loop {
        let Some(segment) = map.get(&end.place.segment) else {
            break false;
        };
        let follows = |found: &(Header, Vec<frame::Commit>)| {
            found.0.before == end.before && found.0.first > end.sequence
        };
        let mut found = whole(segment, end.place.offset)?.filter(follows);
        if found.is_none()
            && let Some(next) = map.get(&(segment.id + 1))
        {
            found = whole(next, 0)?.filter(follows);
        }
        if found.is_none() {
            match check_end(&map, end.place) {
                Err(StoreError::Corrupt(alarm)) if salvage => {
                    tracing::error!(%alarm, "going on behind damage: commits are lost");
                    found = behind_damage(&map, end, openings)?;
                    let Some((header, _)) = &found else {
                        break true;
                    };
                    lost = Some(header.first - 1);
                }
                torn => break torn?,
            }
        }
        let Some((header, commits)) = found else {
            break false;
        };
        let at = &map[&header.place.segment];
        if at.id != segment.id {
            seal_left(segment, &header, end);
            let _ = at.base.set(header.first - 1);
        }
        apply(&mut mem, &header, commits);
        at.mark(header.first, header.place.offset);
        end = Marker {
            place: FrameAt {
                segment: at.id,
                offset: header.end(),
            },
            before: header.checksum,
            sequence: header.last,
        };
    };
    Ok(Replayed {
        mem,
        end,
        torn,
        lost,
    })
}

/// The journal left `segment` where the frame `next` of another one says.
fn seal_left(segment: &Segment, next: &Header, end: Marker) {
    let named = (next.synced.segment == segment.id).then_some(next.synced.offset);
    let _ = segment.sealed.set(Sealed {
        end: named.unwrap_or(end.place.offset).max(end.place.offset),
        last: end.sequence,
    });
}

/// The first whole frame behind a damaged place that was written after it.
fn behind_damage(
    map: &BTreeMap<u64, Arc<Segment>>,
    end: Marker,
    openings: &Openings,
) -> StoreResult<Option<(Header, Vec<frame::Commit>)>> {
    for segment in map.range(end.place.segment..).map(|(_, s)| s) {
        let mut from = match segment.id == end.place.segment {
            true => end.place.offset + FRAME_ALIGN,
            false => 0,
        };
        let later = |h: &Header| h.first > end.sequence && openings.gave(h.first);
        while let Some(header) = segment
            .search(from, u64::MAX, later)
            .map_err(|e| failed(segment, e))?
        {
            if let Some(found) = whole(segment, header.place.offset)? {
                return Ok(Some(found));
            }
            from = header.place.offset + FRAME_ALIGN;
        }
    }
    Ok(None)
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
                    let row = super::held::Held {
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

/// Whether anything is behind the end; an alarm if it must not be.
fn check_end(map: &BTreeMap<u64, Arc<Segment>>, end: FrameAt) -> StoreResult<bool> {
    let mut torn = false;
    for segment in map.range(end.segment..).map(|(_, s)| s) {
        let start = if segment.id == end.segment {
            end.offset
        } else {
            torn = true;
            0
        };
        let mut proof = None;
        let anything = segment.each_header(start, u64::MAX, |header| {
            if header.synced > end
                && let Some((header, _)) = segment.read_head(header.place.offset)?
            {
                proof = Some(header.place);
                return Ok(true);
            }
            Ok(false)
        });
        torn |= anything.map_err(|e| failed(segment, e))?;
        if let Some(place) = proof {
            return Err(StoreError::Corrupt(format!(
                "{} at {}: the journal was durable here, and a later frame at {} of segment {} \
                 proves it; acknowledged writes are lost with this place",
                map[&end.segment].path.display(),
                end.offset,
                place.offset,
                place.segment
            )));
        }
    }
    Ok(torn)
}

/// Removes what is behind the end, so that it can never be read again. Room that the last segment
/// has, it keeps.
pub(super) fn cut(segments: &Segments, end: FrameAt) -> StoreResult<()> {
    let later: Vec<_> = {
        let map = segments.map.read();
        let after = (Bound::Excluded(end.segment), Bound::Unbounded);
        map.range(after).map(|(_, s)| s.clone()).collect()
    };
    let folder = &segments.disk.folder;
    for segment in later.into_iter().rev() {
        segments.map.write().remove(&segment.id);
        let removed = folder.remove(&segment.path);
        removed.map_err(|e| StoreError::io(format!("remove {}", segment.path.display()), e))?;
    }
    if let Some(segment) = segments.get(end.segment) {
        // What follows cannot be taken for a frame without a header here: each names the one
        // before it, and positions are never given twice.
        let cut = || {
            let rest = segment.file.len()?.saturating_sub(end.offset);
            let blank = vec![0; rest.min(FRAME_ALIGN * 2) as usize];
            segment.file.write_at(&blank, end.offset)?;
            segment.file.sync()
        };
        cut().map_err(|e| StoreError::io(format!("cut {}", segment.path.display()), e))?;
    }
    folder
        .sync_dir(&segments.dir)
        .map_err(|e| StoreError::io(format!("sync {}", segments.dir.display()), e))
}

/// Gives the segments what the index noted of them. What an earlier version did not note is read
/// from the segments themselves.
pub(super) fn learn(
    segments: &Segments,
    noted: &BTreeMap<u64, Noted>,
    end: Marker,
) -> StoreResult<()> {
    let map = segments.map.read().clone();
    let mut after = end.sequence;
    for (id, segment) in map.iter().rev() {
        let is_left = *id < end.place.segment;
        if let Some(known) = noted.get(id) {
            let _ = segment.base.set(known.base);
            if let Some(sealed) = known.sealed.filter(|_| is_left) {
                let _ = segment.sealed.set(sealed);
            }
        }
        let first = |segment: &Segment| segment.read_head(0).map_err(|e| failed(segment, e));
        if is_left
            && segment.sealed.get().is_none()
            && let Some(next) = map.get(&(id + 1))
            && let Some((header, _)) = first(next)?
            && header.synced.segment == *id
        {
            let _ = segment.sealed.set(Sealed {
                end: header.synced.offset,
                last: header.first.saturating_sub(1),
            });
        }
        if segment.base.get().is_none() {
            // An unreadable first frame: nothing is promised of what is before the next segment.
            let base = first(segment)?.map_or(after, |(header, _)| header.first.saturating_sub(1));
            let _ = segment.base.set(base);
        }
        after = segment.base.get().copied().unwrap_or(after);
    }
    Ok(())
}
