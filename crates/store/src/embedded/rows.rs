//! The index file: every row as of the last checkpoint, in one redb table, with the checkpoint's
//! place in the journal and the live bytes of each segment, all replaced in one transaction.
//!
//! Every page is verified when it is read (`pages`), and every row carries a checksum of its own,
//! over key and content.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use parking_lot::RwLock;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{
    disk::{Disk, DiskFile},
    frame::{FrameAt, FrameKey, Loc},
    held::{Held, Slot},
    openings::Openings,
    pages::{self, Pages, State},
    segment::Sealed,
    segments::{Kinds, Noted},
};
use crate::{StoreError, StoreResult};

const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");
const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
const SEGMENTS: TableDefinition<'static, u64, u64> = TableDefinition::new("segments");
const NOTED: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("noted");
/// The format of this file and of the journal.
const FORMAT: u64 = 3;
/// The format of earlier versions: without a secret, openings and ends of segments.
const FORMAT_BEFORE: u64 = 2;

/// How far the index has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marker {
    /// The first frame that is not in the index.
    pub(super) place: FrameAt,
    /// The checksum of the frame before it.
    pub(super) before: u64,
    /// The last sequence number given out.
    pub(super) sequence: u64,
}

/// The rows of one checkpoint, for reading.
pub(super) type Snapshot = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The index file.
pub(super) struct Rows {
    file: Arc<dyn DiskFile>,
    cache_bytes: usize,
    db: RwLock<Opened>,
}

/// redb over the file; replaced after a failed call, for it makes no more of them then.
struct Opened {
    db: Option<Database>,
    state: Arc<State>,
}

/// Live bytes by segment.
pub(super) type Live = BTreeMap<u64, u64>;

fn failed(what: &str, error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Corrupt(format!("the index: {error}"))
        }
        // Another's failure; it is opened anew at this moment.
        redb::Error::PreviousIo => StoreError::Busy,
        redb::Error::Io(error) => StoreError::io(format!("{what} the index"), error),
        redb::Error::Corrupted(text) => StoreError::Corrupt(format!("the index: {text}")),
        other => StoreError::io(format!("{what} the index"), std::io::Error::other(other)),
    }
}

const FIXED: usize = 8 + 8 + 1 + 24;

/// A row's bytes in the table: checksum, version, whether a payload is there and where, value.
pub(super) fn encode(key: &[u8], row: &Held, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&row.version.to_le_bytes());
    out.push(u8::from(row.payload.is_some()));
    let none = Loc {
        segment: 0,
        offset: 0,
        len: 0,
        hash: 0,
    };
    let loc = row.payload.unwrap_or(none);
    out.extend_from_slice(&loc.segment.to_le_bytes());
    out.extend_from_slice(&loc.offset.to_le_bytes());
    out.extend_from_slice(&loc.len.to_le_bytes());
    out.extend_from_slice(&loc.hash.to_le_bytes());
    out.extend_from_slice(&row.value);
    let sum = xxh3_64_with_seed(&out[8..], xxh3_64(key));
    out[..8].copy_from_slice(&sum.to_le_bytes());
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().unwrap_or(&[0; 8]))
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(key: &[u8], bytes: &[u8]) -> StoreResult<Held> {
    let damaged = || StoreError::Corrupt(format!("the index: a row of {} key bytes", key.len()));
    if bytes.len() < FIXED || word(bytes, 0) != xxh3_64_with_seed(&bytes[8..], xxh3_64(key)) {
        return Err(damaged());
    }
    let payload = (bytes[16] == 1).then(|| Loc {
        segment: word(bytes, 17),
        offset: word(bytes, 25) as u32,
        len: (word(bytes, 25) >> 32) as u32,
        hash: word(bytes, 33),
    });
    Ok(Held {
        version: word(bytes, 8),
        value: Bytes::copy_from_slice(&bytes[FIXED..]),
        payload,
    })
}

/// What an engine knows of itself beside its rows.
pub(super) struct Identity {
    /// `None` when an earlier version wrote all there is.
    pub(super) kinds: Option<Kinds>,
    pub(super) openings: Openings,
    pub(super) noted: BTreeMap<u64, Noted>,
}

fn encode_noted(noted: &Noted) -> [u8; 32] {
    let sealed = noted.sealed.unwrap_or(Sealed { end: 0, last: 0 });
    let mut bytes = [0; 32];
    let words = [
        noted.base,
        u64::from(noted.sealed.is_some()),
        sealed.end,
        sealed.last,
    ];
    for (at, word) in bytes.chunks_exact_mut(8).zip(words) {
        at.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn decode_noted(bytes: &[u8]) -> Noted {
    let at = |n: usize| bytes.get(n * 8..).map_or(0, |rest| word(rest, 0));
    Noted {
        base: at(0),
        sealed: (at(1) == 1).then(|| Sealed {
            end: at(2),
            last: at(3),
        }),
    }
}

fn gone(path: &Path) -> StoreError {
    let path = path.display();
    StoreError::Corrupt(format!(
        "{path} is gone or empty, though there is a journal"
    ))
}

/// Keeps other processes out.
fn claim(file: &dyn DiskFile) -> io::Result<()> {
    match file.lock()? {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            "it is in use already",
        )),
    }
}

impl Rows {
    /// Opens or makes the file, for this process alone. A new one gets its name when it is
    /// complete; `is_new` says that there is no journal that could refer to one.
    pub(super) fn open(
        disk: &Disk,
        path: &Path,
        cache_bytes: usize,
        is_new: bool,
    ) -> StoreResult<Self> {
        let context = |what: &str| format!("{what} {}", path.display());
        let file = match disk.folder.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_new => {
                return Self::make(disk, path, cache_bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone(path)),
            Err(error) => return Err(StoreError::io(context("open"), error)),
        };
        claim(&*file).map_err(|e| StoreError::io(context("open"), e))?;
        // After a failed sync the page cache can have what the disk does not.
        let fresh = file.sync().and_then(|()| file.forget_cached());
        fresh.map_err(|e| StoreError::io(context("read"), e))?;
        if pages::is_blank(&*file).map_err(|e| StoreError::io(context("read"), e))? {
            return match is_new {
                true => Self::make(disk, path, cache_bytes),
                false => Err(gone(path)),
            };
        }
        Self::over(file, cache_bytes)
    }

    fn make(disk: &Disk, path: &Path, cache_bytes: usize) -> StoreResult<Self> {
        let failed = |e| StoreError::io(format!("make {}", path.display()), e);
        let fresh = path.with_extension("new");
        let file = disk.folder.create(&fresh).map_err(failed)?;
        claim(&*file).map_err(failed)?;
        let rows = Self::over(file, cache_bytes)?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let named = disk.folder.rename(&fresh, path);
        named.and_then(|()| disk.sync_dir(dir)).map_err(failed)?;
        Ok(rows)
    }

    fn over(file: Arc<dyn DiskFile>, cache_bytes: usize) -> StoreResult<Self> {
        let db = RwLock::new(Opened::over(&file, cache_bytes)?);
        let rows = Self {
            file,
            cache_bytes,
            db,
        };
        rows.check_format()?;
        Ok(rows)
    }

    /// Makes what a new file lacks; refuses another version's.
    fn check_format(&self) -> StoreResult<()> {
        let opened = self.db.read();
        let found = {
            let txn = opened.begin_read()?;
            match txn.open_table(META) {
                Ok(meta) => {
                    let format = meta.get("format").map_err(|e| failed("read", e))?;
                    format.map(|f| word(f.value(), 0))
                }
                Err(redb::TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(failed("open", error)),
            }
        };
        match found {
            None => {}
            Some(FORMAT | FORMAT_BEFORE) => return Ok(()),
            Some(other) => {
                return Err(StoreError::Corrupt(format!(
                    "the index has format {other}, this version reads {FORMAT_BEFORE} and {FORMAT}"
                )));
            }
        }
        let txn = opened.begin()?;
        txn.open_table(ROWS).map_err(|e| failed("open", e))?;
        txn.open_table(SEGMENTS).map_err(|e| failed("open", e))?;
        {
            let mut meta = txn.open_table(META).map_err(|e| failed("open", e))?;
            let format = FORMAT_BEFORE.to_le_bytes();
            meta.insert("format", &format[..])
                .map_err(|e| failed("write", e))?;
        }
        txn.commit().map_err(|e| failed("write", e))
    }

    /// What the file says of the engine.
    pub(super) fn identity(&self) -> StoreResult<Identity> {
        let txn = self.db.read().begin_read()?;
        let meta = txn.open_table(META).map_err(|e| failed("read", e))?;
        let get = |name: &str| {
            let found = meta.get(name).map_err(|e| failed("read", e))?;
            StoreResult::Ok(found.map(|found| found.value().to_vec()))
        };
        let kinds = match (get("frame key")?, get("keyed from")?) {
            (Some(key), Some(from)) => Some(Kinds {
                key: FrameKey::kept(&key)
                    .ok_or_else(|| StoreError::Corrupt("the index: its frame key".to_owned()))?,
                keyed_from: word(&from, 0),
            }),
            _ => None,
        };
        let openings = Openings::decode(&get("openings")?.unwrap_or_default());
        let mut noted = BTreeMap::new();
        match txn.open_table(NOTED) {
            Ok(table) => {
                for entry in table.iter().map_err(|e| failed("read", e))? {
                    let (id, bytes) = entry.map_err(|e| failed("read", e))?;
                    noted.insert(id.value(), decode_noted(bytes.value()));
                }
            }
            Err(redb::TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(failed("read", error)),
        }
        Ok(Identity {
            kinds,
            openings,
            noted,
        })
    }

    /// Notes, durably, that an opening begins.
    pub(super) fn begin(&self, kinds: &Kinds, openings: &Openings) -> StoreResult<()> {
        let opened = self.db.read();
        let txn = opened.begin()?;
        {
            let mut meta = txn.open_table(META).map_err(|e| failed("open", e))?;
            let format = FORMAT.to_le_bytes();
            let from = kinds.keyed_from.to_le_bytes();
            let openings = openings.encode();
            let all: [(&str, &[u8]); 4] = [
                ("format", &format),
                ("frame key", kinds.key.bytes()),
                ("keyed from", &from),
                ("openings", &openings),
            ];
            for (name, value) in all {
                meta.insert(name, value).map_err(|e| failed("write", e))?;
            }
        }
        txn.commit().map_err(|e| failed("write", e))
    }

    /// Whether [`Rows::seal`] was called.
    pub(super) fn is_sealed(&self) -> bool {
        self.db.read().state.sealed.load(Ordering::Acquire)
    }

    /// From now on nothing is written any more, also not when this is dropped.
    pub(super) fn seal(&self) {
        self.db.read().state.sealed.store(true, Ordering::Release);
    }

    /// Whether a call failed, so that only [`Rows::reopen`] helps.
    pub(super) fn failed(&self) -> bool {
        self.db.read().state.failed.load(Ordering::Acquire)
    }

    /// Opens the file anew, as of the last transaction. Snapshots of before fail from now on.
    pub(super) fn reopen(&self) -> StoreResult<()> {
        let mut opened = self.db.write();
        let is_sealed = opened.state.sealed.load(Ordering::Acquire);
        opened.state.replaced.store(true, Ordering::Release);
        drop(opened.db.take());
        *opened = Opened::over(&self.file, self.cache_bytes)?;
        opened.state.sealed.store(is_sealed, Ordering::Release);
        Ok(())
    }

    pub(super) fn snapshot(&self) -> StoreResult<Arc<Snapshot>> {
        let txn = self.db.read().begin_read()?;
        let table = txn.open_table(ROWS).map_err(|e| failed("read", e))?;
        Ok(Arc::new(table))
    }

    /// The marker and the live bytes of the last checkpoint.
    pub(super) fn marker(&self) -> StoreResult<(Option<Marker>, Live)> {
        let txn = self.db.read().begin_read()?;
        let meta = txn.open_table(META).map_err(|e| failed("read", e))?;
        let marker = meta.get("marker").map_err(|e| failed("read", e))?;
        let marker = match marker.as_ref().map(|m| m.value()) {
            None => None,
            Some(m) if m.len() == 40 && xxh3_64(&m[..32]) == word(m, 32) => Some(Marker {
                place: FrameAt {
                    segment: word(m, 0),
                    offset: word(m, 8),
                },
                before: word(m, 16),
                sequence: word(m, 24),
            }),
            Some(_) => return Err(StoreError::Corrupt("the index: its marker".to_owned())),
        };
        let table = txn.open_table(SEGMENTS).map_err(|e| failed("read", e))?;
        let mut live = Live::new();
        for entry in table.iter().map_err(|e| failed("read", e))? {
            let (id, bytes) = entry.map_err(|e| failed("read", e))?;
            live.insert(id.value(), bytes.value());
        }
        Ok((marker, live))
    }

    /// Applies a memory table, durably. Answers the live bytes that then hold. A part of one may be
    /// applied with the marker of before: the journal brings the same rows again.
    pub(super) fn apply(
        &self,
        mem: &BTreeMap<Bytes, Slot>,
        marker: Marker,
        live: &Live,
        noted: &BTreeMap<u64, Noted>,
    ) -> StoreResult<Live> {
        let mut live = live.clone();
        let opened = self.db.read();
        let txn = opened.begin()?;
        {
            let mut table = txn.open_table(ROWS).map_err(|e| failed("open", e))?;
            let mut buffer = Vec::new();
            for (key, slot) in filling(mem) {
                let old = match slot {
                    Some(row) => {
                        encode(key, row, &mut buffer);
                        table.insert(&key[..], &buffer[..])
                    }
                    None => table.remove(&key[..]),
                };
                let old = old.map_err(|e| failed("write", e))?;
                let old = old.map(|o| decode(key, o.value())).transpose()?;
                if let Some(loc) = old.and_then(|o| o.payload)
                    && let Some(bytes) = live.get_mut(&loc.segment)
                {
                    *bytes = bytes.saturating_sub(u64::from(loc.len));
                }
            }
            for loc in mem.values().flatten().filter_map(|row| row.payload) {
                *live.entry(loc.segment).or_default() += u64::from(loc.len);
            }
            live.retain(|_, bytes| *bytes > 0);
            let mut segments = txn.open_table(SEGMENTS).map_err(|e| failed("open", e))?;
            segments
                .retain(|id, _| live.contains_key(&id))
                .map_err(|e| failed("write", e))?;
            for (id, bytes) in &live {
                segments.insert(id, bytes).map_err(|e| failed("write", e))?;
            }
            let mut table = txn.open_table(NOTED).map_err(|e| failed("open", e))?;
            table
                .retain(|id, _| noted.contains_key(&id))
                .map_err(|e| failed("write", e))?;
            for (id, noted) in noted {
                let bytes = encode_noted(noted);
                let is_there = table
                    .get(id)
                    .map_err(|e| failed("read", e))?
                    .is_some_and(|found| found.value() == bytes);
                if !is_there {
                    table
                        .insert(id, &bytes[..])
                        .map_err(|e| failed("write", e))?;
                }
            }
            let mut bytes = Vec::with_capacity(40);
            let FrameAt { segment, offset } = marker.place;
            for word in [segment, offset, marker.before, marker.sequence] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
            let mut meta = txn.open_table(META).map_err(|e| failed("open", e))?;
            meta.insert("marker", &bytes[..])
                .map_err(|e| failed("write", e))?;
        }
        txn.commit().map_err(|e| failed("commit", e))?;
        Ok(live)
    }
}

/// The rows in an order that fills the index's pages. Rows that come in order among others leave
/// each page half full: it is split in halves when it overflows, and never holds more. So two in
/// five are left out at first, and then find room between the others.
fn filling<K, V>(rows: &BTreeMap<K, V>) -> impl Iterator<Item = (&K, &V)> {
    let pass = |second: bool| {
        let rows = rows.iter().enumerate();
        rows.filter(move |(n, _)| (n % 5 % 2 == 1) == second)
            .map(|(_, row)| row)
    };
    pass(false).chain(pass(true))
}

impl Drop for Rows {
    fn drop(&mut self) {
        drop(self.db.get_mut().db.take());
        // A read that is still under way keeps the file, and must not keep others out of it.
        self.file.unlock();
    }
}

impl Opened {
    fn over(file: &Arc<dyn DiskFile>, cache_bytes: usize) -> StoreResult<Self> {
        let state = Arc::new(State::default());
        let pages = Pages::new(file.clone(), state.clone());
        // redb panics on some damage that it meets while it opens a file, one that is cut short
        // for example.
        let open = || {
            Database::builder()
                .set_cache_size(cache_bytes)
                .create_with_backend(pages)
        };
        let db = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open))
            .map_err(|_| StoreError::Corrupt("the index: it cannot be opened".to_owned()))?
            .map_err(|e| failed("open", e))?;
        let db = Some(db);
        Ok(Self { db, state })
    }

    fn db(&self) -> StoreResult<&Database> {
        self.db.as_ref().ok_or(StoreError::Busy)
    }

    fn begin(&self) -> StoreResult<redb::WriteTransaction> {
        let mut txn = self.db()?.begin_write().map_err(|e| failed("open", e))?;
        // Else an opening after a crash walks the whole file.
        txn.set_quick_repair(true);
        Ok(txn)
    }

    fn begin_read(&self) -> StoreResult<redb::ReadTransaction> {
        self.db()?.begin_read().map_err(|e| failed("read", e))
    }
}

/// Reads one row of a snapshot.
pub(super) fn get(snapshot: &Snapshot, key: &[u8]) -> StoreResult<Option<Held>> {
    let found = snapshot.get(key).map_err(|e| failed("read", e))?;
    found.map(|row| decode(key, row.value())).transpose()
}

/// Rows of a snapshot with keys from `start` to before `end`, until `each` says stop.
pub(super) fn scan(
    snapshot: &Snapshot,
    start: &[u8],
    end: &[u8],
    mut each: impl FnMut(&[u8], Held) -> bool,
) -> StoreResult<()> {
    for entry in snapshot
        .range::<&[u8]>(start..end)
        .map_err(|e| failed("read", e))?
    {
        let (key, row) = entry.map_err(|e| failed("read", e))?;
        let held = decode(key.value(), row.value())?;
        if !each(key.value(), held) {
            break;
        }
    }
    Ok(())
}

/// Rows with keys before `end`, the last first, until `each` says stop.
pub(super) fn scan_back(
    snapshot: &Snapshot,
    end: &[u8],
    mut each: impl FnMut(&[u8], Held) -> bool,
) -> StoreResult<()> {
    let range = snapshot
        .range::<&[u8]>(..end)
        .map_err(|e| failed("read", e))?;
    for entry in range.rev() {
        let (key, row) = entry.map_err(|e| failed("read", e))?;
        let held = decode(key.value(), row.value())?;
        if !each(key.value(), held) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use redb::ReadableTableMetadata;

    use super::*;

    #[test]
    fn every_row_is_written_once_and_three_in_five_at_first() {
        for count in [0, 1, 2, 5, 7, 1000] {
            let rows: BTreeMap<u32, ()> = (0..count).map(|n| (n, ())).collect();
            let mut order: Vec<u32> = filling(&rows).map(|(n, ())| *n).collect();
            let first = order.windows(2).take_while(|w| w[0] < w[1]).count() + 1;
            assert!(count < 1000 || first == 600, "{first} of {count}");
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }

    /// Rows that come in among others, as all do but those of the last bucket, one memory table
    /// after another. How redb splits pages is what their order is for.
    #[test]
    fn pages_of_rows_in_order_are_more_than_half_full() {
        let fill = |filled: bool| {
            let backend = redb::backends::InMemoryBackend::new();
            let db = Database::builder().create_with_backend(backend).unwrap();
            let mut full = 0.0;
            for table in 0..10_u32 {
                // As from eight clients, each with keys of its own in order.
                let keys = (0..8).flat_map(|client| {
                    (table * 250..(table + 1) * 250)
                        .map(move |n| format!("key {client} of the usual length {n:09}"))
                });
                let rows: BTreeMap<String, ()> = keys.map(|key| (key, ())).collect();
                let order: Vec<&String> = match filled {
                    true => filling(&rows).map(|(key, ())| key).collect(),
                    false => rows.keys().collect(),
                };
                let txn = db.begin_write().unwrap();
                {
                    let mut table = txn.open_table(ROWS).unwrap();
                    for key in order {
                        table.insert(key.as_bytes(), &[7; 100][..]).unwrap();
                    }
                    let stats = table.stats().unwrap();
                    full = stats.stored_bytes() as f64 / (stats.leaf_pages() as f64 * 4096.0);
                }
                txn.commit().unwrap();
            }
            full
        };
        let (one, two) = (fill(false), fill(true));
        assert!(two > 0.7 && two > one * 1.3, "{two:.2}, {one:.2} in order");
    }
}
