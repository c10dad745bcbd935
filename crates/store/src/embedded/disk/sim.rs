//! A disk in memory with the faults of real ones: what was not synced is lost or torn when the
//! power goes, a failed sync leaves in the page cache what the disk does not have, room ends, bits
//! change. Decided by a seed; the threads of the engine decide the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use types::{Random, SeededRandom};

use super::{Disk, DiskFile, DiskFolder, DiskHook};

/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// What takes room as a whole.
const PAGE: usize = 4096;

#[derive(Default)]
struct Inode {
    /// What processes see.
    cache: Vec<u8>,
    /// What is on the disk.
    disk: Vec<u8>,
    /// Sectors that wait to be written.
    dirty: BTreeSet<usize>,
    /// Pages that take room.
    taken: BTreeSet<usize>,
    locked_by: Option<u64>,
}

impl Inode {
    fn flush(&mut self, sector: usize) {
        let range = sector * SECTOR..((sector + 1) * SECTOR).min(self.cache.len());
        if range.start < range.end && range.end <= self.disk.len() {
            self.disk[range.clone()].copy_from_slice(&self.cache[range]);
        }
    }
}

enum NameChange {
    Set(PathBuf, u64),
    Gone(PathBuf),
    Renamed(PathBuf, PathBuf, u64),
}

impl NameChange {
    fn carry_out(self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Set(path, inode) => {
                names.insert(path, inode);
            }
            Self::Gone(path) => {
                names.remove(&path);
            }
            Self::Renamed(from, to, inode) => {
                names.remove(&from);
                names.insert(to, inode);
            }
        }
    }
}

struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    /// Not durable yet, in order: a journaling file system keeps that.
    changes: Vec<NameChange>,
    next_inode: u64,
    random: SeededRandom,
    /// Handles of earlier processes do nothing any more.
    process: u64,
    pages_max: usize,
    /// Syncs that still succeed, then one fails.
    syncs_left: Option<u64>,
    failed_syncs: u64,
    /// Calls until the process ends.
    calls_left: Option<u64>,
}

impl State {
    /// Whether the process still runs; counts its calls.
    fn runs(&mut self, process: u64) -> io::Result<()> {
        match &mut self.calls_left {
            Some(0) => {
                self.calls_left = None;
                self.process += 1;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        match self.process == process {
            true => Ok(()),
            false => Err(io::Error::other("the process has ended")),
        }
    }

    fn below(&self, end: u64) -> u64 {
        self.random.next_u64() % end.max(1)
    }

    fn free_pages(&self) -> usize {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        let taken = self.inodes.iter().filter(|(id, _)| named.contains(id));
        let taken: usize = taken.map(|(_, inode)| inode.taken.len()).sum();
        self.pages_max.saturating_sub(taken)
    }

    fn sync(&mut self, id: u64) -> io::Result<()> {
        let fails = match &mut self.syncs_left {
            Some(0) => {
                self.syncs_left = None;
                self.failed_syncs += 1;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        let (seed, inode) = (self.random.next_u64(), self.inodes.get_mut(&id));
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        // Clean from here on, whether the disk has it or not.
        let dirty = std::mem::take(&mut inode.dirty);
        if fails {
            let random = SeededRandom::new(seed);
            for sector in dirty {
                if random.next_u64().is_multiple_of(3) {
                    inode.flush(sector);
                }
            }
            return Err(io::Error::from_raw_os_error(5));
        }
        inode.disk.resize(inode.cache.len(), 0);
        for sector in dirty {
            inode.flush(sector);
        }
        Ok(())
    }
}

/// The disk; handles to it are its clones.
#[derive(Clone)]
pub(in super::super) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty one with room for so many bytes.
    pub(in super::super) fn new(seed: u64, bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            changes: Vec::new(),
            next_inode: 1,
            random: SeededRandom::new(seed),
            process: 0,
            pages_max: bytes / PAGE,
            syncs_left: None,
            failed_syncs: 0,
            calls_left: None,
        })))
    }

    /// As the process of this moment uses it.
    pub(in super::super) fn disk(&self, hook: Option<DiskHook>) -> Disk {
        let process = self.0.lock().process;
        Disk {
            folder: Arc::new(SimFolder(self.clone(), process)),
            hook,
        }
    }

    /// The process is killed: what it still does has no effect.
    pub(in super::super) fn end_process(&self) {
        let mut state = self.0.lock();
        state.process += 1;
        state.syncs_left = None;
        state.calls_left = None;
        state.inodes.values_mut().for_each(|i| i.locked_by = None);
    }

    /// The power goes: of what was not synced, any part is lost.
    pub(in super::super) fn cut_power(&self) {
        self.end_process();
        let mut state = self.0.lock();
        let survive = state.below(state.changes.len() as u64 + 1) as usize;
        for change in std::mem::take(&mut state.changes).into_iter().take(survive) {
            change.carry_out(&mut state.durable_names);
        }
        state.names = state.durable_names.clone();
        let seed = state.random.next_u64();
        let random = SeededRandom::new(seed);
        // Sometimes all of it, sometimes nothing, mostly some.
        let odds = random.next_u64() % 5;
        for inode in state.inodes.values_mut() {
            if random.next_u64() % 4 < odds {
                inode.disk.resize(inode.cache.len(), 0);
            }
            for sector in std::mem::take(&mut inode.dirty) {
                if random.next_u64() % 4 < odds {
                    inode.flush(sector);
                }
            }
            inode.cache = inode.disk.clone();
        }
        let named: BTreeSet<u64> = state.names.values().copied().collect();
        state.inodes.retain(|id, _| named.contains(id));
    }

    /// After so many more syncs one fails.
    pub(in super::super) fn fail_a_sync_after(&self, syncs: u64) {
        self.0.lock().syncs_left = Some(syncs);
    }

    /// No sync fails any more that was to fail.
    pub(in super::super) fn fail_no_sync(&self) {
        self.0.lock().syncs_left = None;
    }

    /// The process ends after so many more calls.
    pub(in super::super) fn end_after_calls(&self, calls: u64) {
        self.0.lock().calls_left = Some(calls);
    }

    /// How many syncs failed.
    pub(in super::super) fn failed_syncs(&self) -> u64 {
        self.0.lock().failed_syncs
    }

    /// Leaves room for so many bytes more than what is taken.
    pub(in super::super) fn leave_room(&self, bytes: usize) {
        let mut state = self.0.lock();
        let free = state.free_pages();
        state.pages_max = (state.pages_max - free) + bytes / PAGE;
    }

    /// Changes a bit of a file, on the disk and in memory.
    pub(in super::super) fn flip(&self, path: &Path, bit: usize) {
        let mut state = self.0.lock();
        let id = state.names[path];
        let inode = state.inodes.get_mut(&id).unwrap();
        for bytes in [&mut inode.cache, &mut inode.disk] {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Files and their content as processes see it.
    pub(in super::super) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.0.lock();
        let content = |(path, id): (&PathBuf, &u64)| (path.clone(), state.inodes[id].cache.clone());
        state.names.iter().map(content).collect()
    }
}

struct SimFile {
    disk: SimDisk,
    inode: u64,
    process: u64,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {} of process {}", self.inode, self.process)
    }
}

impl SimFile {
    fn with<T>(&self, use_it: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock();
        state.runs(self.process)?;
        use_it(&mut state, self.inode)
    }
}

impl State {
    fn inode(&mut self, id: u64) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(&id)
            .ok_or(io::ErrorKind::NotFound.into())
    }

    /// Takes room for pages of a file; as many as there is room for.
    fn take(&mut self, id: u64, pages: std::ops::Range<usize>) -> io::Result<usize> {
        let mut free = self.free_pages();
        let inode = self.inode(id)?;
        for page in pages.clone() {
            if inode.taken.contains(&page) {
                continue;
            }
            if free == 0 {
                return Ok(page);
            }
            free -= 1;
            inode.taken.insert(page);
        }
        Ok(pages.end)
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|state, id| {
            let cache = &state.inode(id)?.cache;
            let from = cache
                .get(offset as usize..offset as usize + bytes.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(from);
            Ok(())
        })
    }

    fn read_cached(&self, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
        self.read_at(bytes, offset).map(|()| true)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, id| {
            let offset = offset as usize;
            let end = offset + bytes.len();
            let pages = offset / PAGE..end.div_ceil(PAGE);
            let fits = (state.take(id, pages)? * PAGE).clamp(offset, end);
            let inode = state.inode(id)?;
            if inode.cache.len() < fits {
                inode.cache.resize(fits, 0);
            }
            inode.cache[offset..fits].copy_from_slice(&bytes[..fits - offset]);
            inode.dirty.extend(offset / SECTOR..fits.div_ceil(SECTOR));
            match fits == end {
                true => Ok(()),
                false => Err(io::ErrorKind::StorageFull.into()),
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(State::sync)
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|state, id| Ok(state.inode(id)?.cache.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(|state, id| {
            let inode = state.inode(id)?;
            let len = len as usize;
            inode.cache.resize(len, 0);
            inode.dirty.retain(|sector| sector * SECTOR < len);
            inode.taken.retain(|page| page * PAGE < len);
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.with(|state, id| {
            let pages = (len as usize).div_ceil(PAGE);
            if state.take(id, 0..pages)? < pages {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let inode = state.inode(id)?;
            let len = inode.cache.len().max(len as usize);
            inode.cache.resize(len, 0);
            Ok(())
        })
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.with(|state, id| {
            let inode = state.inode(id)?;
            let mut disk = inode.disk.clone();
            disk.resize(inode.cache.len(), 0);
            for sector in &inode.dirty {
                let range = sector * SECTOR..((sector + 1) * SECTOR).min(disk.len());
                disk[range.clone()].copy_from_slice(&inode.cache[range]);
            }
            inode.cache = disk;
            Ok(())
        })
    }

    fn lock(&self) -> io::Result<bool> {
        let process = self.process;
        self.with(|state, id| {
            let inode = state.inode(id)?;
            let free = inode.locked_by.is_none();
            inode.locked_by = inode.locked_by.or(Some(process));
            Ok(free)
        })
    }

    fn unlock(&self) {
        let _ = self.with(|state, id| {
            state.inode(id)?.locked_by = None;
            Ok(())
        });
    }
}

struct SimFolder(SimDisk, u64);

impl SimFolder {
    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.0.lock();
        state.runs(self.1)?;
        use_it(&mut state)
    }

    fn file(&self, inode: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.0.clone(),
            inode,
            process: self.1,
        })
    }
}

impl DiskFolder for SimFolder {
    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.with(|state| {
            let here = state.names.keys().filter(|p| p.parent() == Some(dir));
            let name = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().to_owned();
            Ok(here.map(name).collect())
        })
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let found = self.with(|state| Ok(state.names.get(path).copied()))?;
        found
            .map(|inode| self.file(inode))
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.with(|state| {
            let id = state.next_inode;
            state.next_inode += 1;
            state.inodes.insert(id, Inode::default());
            state.names.insert(path.into(), id);
            state.changes.push(NameChange::Set(path.into(), id));
            Ok(id)
        })?;
        Ok(self.file(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.with(|state| {
            let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.into(), id);
            let change = NameChange::Renamed(from.into(), to.into(), id);
            state.changes.push(change);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.with(|state| {
            if state.names.remove(path).is_some() {
                state.changes.push(NameChange::Gone(path.into()));
            }
            Ok(())
        })
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.with(|state| {
            for change in std::mem::take(&mut state.changes) {
                change.carry_out(&mut state.durable_names);
            }
            Ok(())
        })
    }

    fn room(&self, _dir: &Path) -> io::Result<u64> {
        self.with(|state| Ok((state.free_pages() * PAGE) as u64))
    }
}
