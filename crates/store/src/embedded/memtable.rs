//! What the index file does not have yet: an ordered table in memory, and the view that puts it
//! over the index file. It holds where payloads are, not the payloads.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    held::Slot,
    rows::{self, Snapshot},
};
use crate::{PartitionId, Row, ScanRange, StoreResult};

/// What a row costs beside its bytes; a guess.
const ROW_OVERHEAD_BYTES: usize = 160;

/// A memory table. Keys are the partition, eight bytes, most significant first, and then the key.
#[derive(Default)]
pub(super) struct Mem {
    pub(super) rows: BTreeMap<Bytes, Slot>,
    pub(super) bytes: usize,
    /// Bytes of payload that rows here refer to, by segment.
    pub(super) live: HashMap<u64, u64>,
}

impl Mem {
    pub(super) fn insert(&mut self, key: Bytes, slot: Slot) {
        if let Some(loc) = slot.as_ref().and_then(|r| r.payload) {
            *self.live.entry(loc.segment).or_default() += u64::from(loc.len);
        }
        let value = slot.as_ref().map_or(0, |r| r.value.len());
        self.bytes += key.len() + value + ROW_OVERHEAD_BYTES;
        let Some(old) = self.rows.insert(key.clone(), slot) else {
            return;
        };
        let value = old.as_ref().map_or(0, |r| r.value.len());
        self.bytes -= key.len() + value + ROW_OVERHEAD_BYTES;
        // The map keeps the key that it had, which shares a buffer with the first value.
        if value > ROW_OVERHEAD_BYTES
            && let Some(slot) = self.rows.remove(&key)
        {
            self.rows.insert(key, slot);
        }
        if let Some(loc) = old.and_then(|r| r.payload)
            && let Some(bytes) = self.live.get_mut(&loc.segment)
        {
            *bytes = bytes.saturating_sub(u64::from(loc.len));
        }
    }
}

/// A key of the tables: partition and key.
pub(super) fn full_key(partition: PartitionId, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(8 + key.len());
    full.extend_from_slice(&partition.0.to_be_bytes());
    full.extend_from_slice(key);
    full
}

/// Copies key and value into one allocation, so that a row never keeps a bigger buffer alive.
pub(super) fn own(partition: u64, key: &[u8], value: &[u8]) -> (Bytes, Bytes) {
    let mut both = BytesMut::with_capacity(8 + key.len() + value.len());
    both.put_u64(partition);
    both.put_slice(key);
    both.put_slice(value);
    let mut key_part = both.freeze();
    let value = key_part.split_off(8 + key.len());
    (key_part, value)
}

/// Everything a read needs, newest first.
pub(super) struct View {
    pub(super) active: Mem,
    /// Being applied to the index file.
    pub(super) frozen: Option<Arc<Mem>>,
    pub(super) rows: Arc<Snapshot>,
}

/// What memory knows of a key.
pub(super) enum Known {
    Here(Slot),
    /// Only the index file has the answer.
    Ask(Arc<Snapshot>),
}

impl View {
    pub(super) fn lookup(&self, key: &[u8]) -> Known {
        let frozen = || self.frozen.as_ref().and_then(|f| f.rows.get(key));
        match self.active.rows.get(key).or_else(frozen) {
            Some(slot) => Known::Here(slot.clone()),
            None => Known::Ask(self.rows.clone()),
        }
    }

    /// The newest of what memory knows in a range: at most `limit` rows, and every removal among
    /// and before them.
    fn collect(&self, start: &[u8], end: &[u8], limit: usize) -> Vec<(Bytes, Slot)> {
        let bounds = || (Bound::Included(start), Bound::Excluded(end));
        let mut active = self.active.rows.range::<[u8], _>(bounds()).peekable();
        let frozen = self.frozen.as_deref();
        let mut frozen = frozen
            .into_iter()
            .flat_map(|f| f.rows.range::<[u8], _>(bounds()))
            .peekable();
        let (mut found, mut rows) = (Vec::new(), 0);
        while rows < limit {
            let next = match (active.peek(), frozen.peek()) {
                (None, None) => break,
                (Some(_), None) => active.next(),
                (None, Some(_)) => frozen.next(),
                (Some((a, _)), Some((f, _))) if a > f => frozen.next(),
                (Some((a, _)), Some((f, _))) => {
                    if a == f {
                        frozen.next();
                    }
                    active.next()
                }
            };
            let Some((key, slot)) = next else { break };
            rows += usize::from(slot.is_some());
            found.push((key.clone(), slot.clone()));
        }
        found
    }
}

/// The end of a partition's keys, or of the range.
fn full_end(partition: PartitionId, end: Option<&Bytes>) -> Vec<u8> {
    match end {
        Some(end) => full_key(partition, end),
        // No key is longer than 4 KiB, but the id may be the last: nothing sorts after this.
        None => match partition.0.checked_add(1) {
            Some(next) => next.to_be_bytes().to_vec(),
            None => vec![0xFF; 8 + crate::KEY_BYTES_MAX + 1],
        },
    }
}

/// Rows of a range, memory's over the index file's, all as they were at one moment.
pub(super) fn scan(
    view: impl Fn(&mut dyn FnMut(&View)),
    partition: PartitionId,
    range: &ScanRange,
    limit: usize,
) -> StoreResult<Vec<(Bytes, Row)>> {
    if limit == 0 || range.end.as_ref().is_some_and(|end| *end <= range.start) {
        return Ok(Vec::new());
    }
    let start = full_key(partition, &range.start);
    let end = full_end(partition, range.end.as_ref());
    match scan_file_first(&view, &start, &end, limit)? {
        Some(rows) => Ok(rows),
        None => scan_memory_first(&view, &start, &end, limit),
    }
}

/// Reads the index file first, so that of memory only what is between its rows is looked at, and
/// not as many rows again from behind them. `None` when that does not do: the index file changed
/// meanwhile, or memory removes so many of its rows that more of them are needed.
fn scan_file_first(
    view: &impl Fn(&mut dyn FnMut(&View)),
    start: &[u8],
    end: &[u8],
    limit: usize,
) -> StoreResult<Option<Vec<(Bytes, Row)>>> {
    let mut taken = None;
    view(&mut |view| taken = Some(view.rows.clone()));
    let Some(snapshot) = taken else {
        return Ok(None);
    };
    let mut file: Vec<(Bytes, Row)> = Vec::with_capacity(limit.min(1024));
    rows::scan(&snapshot, start, end, |key, held| {
        file.push((Bytes::copy_from_slice(key), held.into_row(None)));
        file.len() < limit
    })?;
    let is_cut = file.len() == limit;
    let end = match file.last() {
        Some((last, _)) if is_cut => [last, &[0][..]].concat(),
        _ => end.to_vec(),
    };
    let mut memory = None;
    view(&mut |view| {
        // The same file, hence what memory has now belongs on top of it.
        if Arc::ptr_eq(&view.rows, &snapshot) {
            memory = Some(view.collect(start, &end, limit));
        }
    });
    let Some(memory) = memory else {
        return Ok(None);
    };
    let out = merge(memory, file, limit);
    Ok((!is_cut || out.len() == limit).then_some(out))
}

/// Puts memory's rows over the file's, both with whole keys; at most `limit`, with short keys.
fn merge(
    memory: Vec<(Bytes, Slot)>,
    mut file: Vec<(Bytes, Row)>,
    limit: usize,
) -> Vec<(Bytes, Row)> {
    let shorten = |(key, row): (Bytes, Row)| (key.slice(8..), row);
    if memory.is_empty() {
        for (key, _) in &mut file {
            bytes::Buf::advance(key, 8);
        }
        return file;
    }
    let mut memory = memory.into_iter().peekable();
    let mut out = Vec::with_capacity(limit.min(1024));
    let newer = |(key, slot): (Bytes, Slot)| Some((key, slot?.into_row(None)));
    for (key, row) in file {
        while let Some(next) = memory.next_if(|(k, _)| *k < key) {
            out.extend(newer(next).map(shorten));
        }
        match memory.next_if(|(k, _)| *k == key) {
            Some(next) => out.extend(newer(next).map(shorten)),
            None => out.push(shorten((key, row))),
        }
    }
    out.extend(memory.filter_map(newer).map(shorten));
    out.truncate(limit);
    out
}

/// Takes what memory has first, as much as could be wanted, and the index file's rows around it.
fn scan_memory_first(
    view: &impl Fn(&mut dyn FnMut(&View)),
    start: &[u8],
    end: &[u8],
    limit: usize,
) -> StoreResult<Vec<(Bytes, Row)>> {
    let mut taken = None;
    view(&mut |view| taken = Some((view.collect(start, end, limit), view.rows.clone())));
    let Some((memory, snapshot)) = taken else {
        return Ok(Vec::new());
    };
    let mut memory = memory.into_iter().peekable();
    let mut out = Vec::with_capacity(limit.min(1024));
    rows::scan(&snapshot, start, end, |key, held| {
        while out.len() < limit
            && let Some((newer, slot)) = memory.next_if(|(k, _)| k[..] < *key)
        {
            out.extend(slot.map(|row| (newer.slice(8..), row.into_row(None))));
        }
        if out.len() >= limit {
            return false;
        }
        match memory.next_if(|(k, _)| k[..] == *key) {
            Some((newer, slot)) => {
                out.extend(slot.map(|row| (newer.slice(8..), row.into_row(None))));
            }
            None => out.push((Bytes::copy_from_slice(&key[8..]), held.into_row(None))),
        }
        out.len() < limit
    })?;
    let rest = memory.filter_map(|(key, slot)| Some((key.slice(8..), slot?.into_row(None))));
    let missing = limit - out.len();
    out.extend(rest.take(missing));
    Ok(out)
}
