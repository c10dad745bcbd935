//! The index file's pages, each with a checksum that is compared whenever redb reads it.
//!
//! redb has checksums of its own, but looks at them only when it repairs a file. A flipped bit in
//! an inner page would hide rows, and nothing would say so. Here a page that is not what was
//! written never reaches redb: the read fails.
//!
//! Checksums are in the file itself, a block of them before the 512 pages that they are of, and go
//! out with the same sync. That is safe in a loss of power because redb never overwrites a page
//! that its last commit refers to: a torn block of checksums holds, for such a page, the same entry
//! before and after. The header alone is overwritten; its checksum is in the same sector.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use redb::StorageBackend;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::disk::DiskFile;

/// redb's page, and ours.
const PAGE: u64 = 4096;
/// Pages that one block of checksums is of.
const GROUP: u64 = PAGE / 8;
/// What a disk writes as a whole, at least.
const SECTOR: usize = 512;
/// Where the header's checksum is; redb's header is shorter.
const HEADER_MAX: usize = SECTOR - 16;
const MAGIC: &[u8; 8] = b"DHOWIDX2";

type Sums = Box<[u64; GROUP as usize]>;

/// The file under redb.
#[derive(Debug)]
pub(super) struct Pages {
    file: Arc<dyn DiskFile>,
    sums: RwLock<BTreeMap<u64, Sums>>,
    /// Groups with checksums that are not written yet.
    dirty: Mutex<BTreeSet<u64>>,
    state: Arc<State>,
}

/// What became of a database over [`Pages`].
#[derive(Debug, Default)]
pub(super) struct State {
    /// A call failed: redb makes no more of them until it is opened anew.
    pub(super) failed: AtomicBool,
    /// Another one took the place of this: nothing more may be read or written by it.
    pub(super) replaced: AtomicBool,
    /// The engine is fenced: nothing more may be written, also not when redb is closed.
    pub(super) sealed: AtomicBool,
}

fn damaged(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Whether the file has nothing of redb's yet: what a first opening that was cut off leaves.
pub(super) fn is_blank(file: &dyn DiskFile) -> io::Result<bool> {
    if file.len()? < SECTOR as u64 {
        return Ok(true);
    }
    let mut sector = [0; SECTOR];
    file.read_at(&mut sector, 0)?;
    Ok(sector.iter().all(|b| *b == 0))
}

/// Group of a page and its place there. Page 0 is the header, in no group.
fn place(page: u64) -> (u64, usize) {
    ((page - 1) / GROUP, ((page - 1) % GROUP) as usize)
}

/// Where a group's checksums are.
fn sums_at(group: u64) -> u64 {
    PAGE + group * (GROUP + 1) * PAGE
}

/// The file's length when redb's pages take `len` bytes.
fn whole_len(len: u64) -> u64 {
    match (len / PAGE).checked_sub(1) {
        None => 0,
        Some(pages) => (1 + pages + pages.div_ceil(GROUP)) * PAGE,
    }
}

/// The checksum of a page; never 0, which says that the page was not written yet.
fn sum(page: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, page).max(1)
}

/// What one contiguous read or write covers.
struct Run {
    page: u64,
    group: u64,
    first: usize,
    at: u64,
    bytes: std::ops::Range<usize>,
}

/// The runs of some bytes of redb's.
fn runs(offset: u64, len: usize) -> io::Result<impl Iterator<Item = Run>> {
    if offset == 0 || !offset.is_multiple_of(PAGE) || !(len as u64).is_multiple_of(PAGE) {
        return Err(io::Error::other(format!("{len} bytes at {offset}")));
    }
    let (mut page, mut done) = (offset / PAGE, 0);
    Ok(std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let (group, first) = place(page);
        let pages = (GROUP as usize - first).min((len - done) / PAGE as usize);
        let run = Run {
            page,
            group,
            first,
            at: sums_at(group) + (1 + first as u64) * PAGE,
            bytes: done..done + pages * PAGE as usize,
        };
        done = run.bytes.end;
        page += pages as u64;
        Some(run)
    }))
}

impl Pages {
    pub(super) fn new(file: Arc<dyn DiskFile>, state: Arc<State>) -> Self {
        Self {
            file,
            state,
            sums: RwLock::default(),
            dirty: Mutex::default(),
        }
    }

    /// The checksums of a group.
    fn with<T>(&self, group: u64, use_them: impl FnOnce(&mut Sums) -> T) -> io::Result<T> {
        let mut sums = self.sums.write();
        if let Some(sums) = sums.get_mut(&group) {
            return Ok(use_them(sums));
        }
        let mut block = vec![0; PAGE as usize];
        self.file.read_at(&mut block, sums_at(group))?;
        let mut read: Sums = Box::new([0; GROUP as usize]);
        for (to, from) in read.iter_mut().zip(block.chunks_exact(8)) {
            *to = u64::from_le_bytes(*from.first_chunk().unwrap_or(&[0; 8]));
        }
        Ok(use_them(sums.entry(group).or_insert(read)))
    }

    /// Compares pages of a group, in order from `page`, with their checksums; mostly without
    /// waiting for others.
    fn compare(&self, page: u64, bytes: &[u8]) -> io::Result<()> {
        let (group, first) = place(page);
        let pages = bytes.len() / PAGE as usize;
        let check = |sums: &Sums| {
            let expected = sums[first..first + pages].iter();
            let pages = (page..).zip(bytes.chunks_exact(PAGE as usize).zip(expected));
            for (page, (bytes, expected)) in pages {
                let blank = *expected == 0 && bytes.iter().all(|b| *b == 0);
                if !blank && sum(page, bytes) != *expected {
                    return Err(damaged(format!("page {page}")));
                }
            }
            Ok(())
        };
        if let Some(sums) = self.sums.read().get(&group) {
            return check(sums);
        }
        self.with(group, |sums| check(sums))?
    }

    fn read_header(&self, out: &mut [u8]) -> io::Result<()> {
        let mut sector = [0; SECTOR];
        self.file.read_at(&mut sector, 0)?;
        let (header, end) = sector.split_at(HEADER_MAX);
        let expected = xxh3_64_with_seed(header, 0).to_le_bytes();
        let blank = sector.iter().all(|b| *b == 0);
        if !blank && (&end[..8] != MAGIC || end[8..] != expected) {
            return Err(damaged("the header".to_owned()));
        }
        match header.get(..out.len()) {
            Some(from) => out.copy_from_slice(from),
            None => return Err(io::Error::other("a long read of the header")),
        }
        Ok(())
    }

    fn write_header(&self, data: &[u8]) -> io::Result<()> {
        let mut sector = [0; SECTOR];
        match sector[..HEADER_MAX].get_mut(..data.len()) {
            Some(to) => to.copy_from_slice(data),
            None => return Err(io::Error::other("a long header")),
        }
        let sum = xxh3_64_with_seed(&sector[..HEADER_MAX], 0);
        sector[HEADER_MAX..HEADER_MAX + 8].copy_from_slice(MAGIC);
        sector[HEADER_MAX + 8..].copy_from_slice(&sum.to_le_bytes());
        self.file.write_at(&sector, 0)
    }

    fn write_sums(&self) -> io::Result<()> {
        for group in std::mem::take(&mut *self.dirty.lock()) {
            let block: Vec<u8> =
                self.with(group, |s| s.iter().flat_map(|s| s.to_le_bytes()).collect())?;
            self.file.write_at(&block, sums_at(group))?;
        }
        Ok(())
    }
}

impl Pages {
    fn len_now(&self) -> io::Result<u64> {
        let len = self.file.len()?;
        if !len.is_multiple_of(PAGE) {
            return Err(damaged(format!("its length of {len} bytes")));
        }
        let Some(pages) = (len / PAGE).checked_sub(1) else {
            return Ok(0);
        };
        let (groups, rest) = (pages / (GROUP + 1), pages % (GROUP + 1));
        Ok((1 + groups * GROUP + rest.saturating_sub(1)) * PAGE)
    }

    fn read_now(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 {
            return self.read_header(out);
        }
        for run in runs(offset, out.len())? {
            let bytes = &mut out[run.bytes.clone()];
            self.file.read_at(bytes, run.at)?;
            self.compare(run.page, bytes)?;
        }
        Ok(())
    }

    fn set_len_now(&self, len: u64) -> io::Result<()> {
        let (old, new) = (self.file.len()?, whole_len(len));
        // Growth takes no room yet: redb doubles its file. A write reports a full disk, before the
        // header names what was being written.
        if new <= old {
            // From the first page that goes.
            let (group, first) = place((len / PAGE).max(1));
            let stays = |id: u64| id < group || id == group && first > 0;
            self.sums.write().retain(|id, _| stays(*id));
            self.dirty.lock().retain(|id| stays(*id));
            if stays(group) {
                self.with(group, |sums| sums[first..].fill(0))?;
                self.dirty.lock().insert(group);
            }
        }
        self.file.set_len(new)
    }

    fn sync_now(&self) -> io::Result<()> {
        self.write_sums()?;
        // Never taken for a want of room that a later try could overcome: what the sync was to
        // make durable may be lost.
        self.file
            .sync()
            .map_err(|e| io::Error::other(format!("a sync failed: {e}")))
    }

    fn write_now(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 {
            return self.write_header(data);
        }
        for run in runs(offset, data.len())? {
            let bytes = &data[run.bytes.clone()];
            self.with(run.group, |sums| {
                for (i, bytes) in bytes.chunks_exact(PAGE as usize).enumerate() {
                    sums[run.first + i] = sum(run.page + i as u64, bytes);
                }
            })?;
            self.dirty.lock().insert(run.group);
            self.file.write_at(bytes, run.at)?;
        }
        Ok(())
    }

    fn told<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.is_err() {
            self.state.failed.store(true, Ordering::Release);
        }
        result
    }

    fn in_place(&self) -> io::Result<()> {
        if self.state.replaced.load(Ordering::Acquire) {
            return Err(io::Error::other("the index was opened anew"));
        }
        Ok(())
    }

    fn open_for_writes(&self) -> io::Result<()> {
        if self.state.sealed.load(Ordering::Acquire) {
            return Err(io::Error::other("the engine takes no more writes"));
        }
        self.in_place()
    }
}

impl StorageBackend for Pages {
    fn len(&self) -> io::Result<u64> {
        self.told(self.len_now())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.in_place()?;
        self.told(self.read_now(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.open_for_writes()?;
        self.told(self.set_len_now(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.open_for_writes()?;
        self.told(self.sync_now())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.open_for_writes()?;
        self.told(self.write_now(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.open_for_writes()?;
        self.write_sums()
    }
}
