//! The journal's directory: segments numbered without gaps in the order of writing, all of one
//! size, allocated ahead, used again when nothing live is left in them.
//!
//! A spare segment is kept back for what frees room on a full disk, also over a restart.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use parking_lot::{Mutex, RwLock};
use types::Random;

use super::{
    ballast::Ballast,
    disk::Disk,
    frame::{FrameKey, Kind},
    segment::{Sealed, Segment},
};
use crate::{StoreError, StoreResult};

/// How many segments wait to be used again beside the spare.
const POOL_MAX: usize = 2;

/// What the index knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    /// The last commit before its first.
    pub(super) base: u64,
    /// Its end, if the journal has left it.
    pub(super) sealed: Option<Sealed>,
}

/// The kinds of frames: from one segment on they have the store's secret.
#[derive(Clone)]
pub(super) struct Kinds {
    pub(super) key: FrameKey,
    pub(super) keyed_from: u64,
}

impl Kinds {
    /// A new secret, and no segment yet that has it.
    pub(super) fn new(random: &dyn Random) -> Self {
        Self {
            key: FrameKey::random(random),
            keyed_from: u64::MAX,
        }
    }

    fn of(&self, id: u64) -> Kind {
        match id < self.keyed_from {
            true => Kind::Open,
            false => Kind::Keyed(self.key.clone()),
        }
    }
}

/// The journal's directory.
pub(super) struct Segments {
    pub(super) dir: PathBuf,
    pub(super) bytes: u64,
    pub(super) disk: Disk,
    pub(super) map: RwLock<BTreeMap<u64, Arc<Segment>>>,
    kinds: Kinds,
    reserve_bytes: u64,
    /// Kept back for batches that free room.
    spare: Mutex<Option<PathBuf>>,
    pool: Mutex<Vec<PathBuf>>,
    names: Mutex<u64>,
    pub(super) ballast: Arc<Ballast>,
}

fn io_error(what: &str, path: &Path, source: io::Error) -> StoreError {
    StoreError::io(format!("{what} {}", path.display()), source)
}

impl Segments {
    /// Opens what is there.
    pub(super) fn open(
        dir: PathBuf,
        bytes: u64,
        disk: Disk,
        kinds: Kinds,
        reserve_bytes: u64,
        ballast: Arc<Ballast>,
    ) -> StoreResult<Self> {
        let folder = &*disk.folder;
        folder
            .make_dir(&dir)
            .map_err(|e| io_error("create", &dir, e))?;
        let (mut map, mut free, mut names) = (BTreeMap::new(), Vec::new(), 0);
        for name in folder.list(&dir).map_err(|e| io_error("list", &dir, e))? {
            let path = dir.join(&name);
            if let Some(number) = name.strip_suffix(".free") {
                names = number
                    .parse()
                    .map_or(names, |number: u64| number.max(names));
                free.push(path);
            } else if let Some(id) = name.strip_suffix(".seg")
                && let Ok(id) = u64::from_str_radix(id, 16)
            {
                let file = folder.open(&path).map_err(|e| io_error("open", &path, e))?;
                let segment = Segment::new(id, file, path, kinds.of(id));
                map.insert(id, Arc::new(segment));
            }
        }
        let segments = Self {
            dir,
            bytes,
            disk,
            map: RwLock::new(map),
            kinds,
            reserve_bytes,
            spare: Mutex::new(None),
            pool: Mutex::default(),
            names: Mutex::new(names),
            ballast,
        };
        free.sort();
        for path in free {
            segments.take_in(path)?;
        }
        Ok(segments)
    }

    /// From which segment on frames have the secret.
    pub(super) fn set_kinds(&mut self, kinds: Kinds) {
        self.kinds = kinds;
    }

    /// Keeps a file that an earlier opening kept for later use, if it has all its room.
    fn take_in(&self, path: PathBuf) -> StoreResult<()> {
        let whole = || {
            let file = self.disk.folder.open(&path)?;
            if file.len()? != self.bytes {
                return Ok(false);
            }
            file.allocate(self.bytes)?;
            io::Result::Ok(true)
        };
        if whole().unwrap_or(false) {
            let mut spare = self.spare.lock();
            if spare.is_none() {
                *spare = Some(path);
                return Ok(());
            }
            let mut pool = self.pool.lock();
            if pool.len() < POOL_MAX {
                pool.push(path);
                return Ok(());
            }
        }
        let removed = self.disk.folder.remove(&path);
        removed.map_err(|e| io_error("remove", &path, e))
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Segment>> {
        self.map.read().get(&id).cloned()
    }

    fn free_path(&self) -> PathBuf {
        let mut names = self.names.lock();
        *names += 1;
        self.dir.join(format!("{:08}.free", *names))
    }

    /// Puts a segment into service under `id`, for commits after `base`: one to be used again, or a
    /// new one, or, with `reserve`, the one kept back. [`StoreError::Full`] is the only failure
    /// that leaves no doubt about what is on the disk.
    pub(super) fn activate(&self, id: u64, base: u64, reserve: bool) -> StoreResult<Arc<Segment>> {
        let recycled = self.pool.lock().pop();
        let from = match recycled {
            Some(path) => path,
            None => {
                let path = self.free_path();
                match self.disk.create(&path, self.bytes) {
                    Ok(_) => path,
                    Err(error) => match self.spare.lock().take_if(|_| reserve) {
                        Some(spare) => spare,
                        None => return Err(io_error("allocate", &path, error)),
                    },
                }
            }
        };
        let path = self.dir.join(format!("{id:016x}.seg"));
        let folder = &self.disk.folder;
        if let Err(error) = folder.rename(&from, &path) {
            self.pool.lock().push(from);
            return Err(io_error("put into service", &path, error));
        }
        let open = || {
            self.disk.sync_dir(&self.dir)?;
            folder.open(&path)
        };
        let file = open().map_err(|e| io_error("put into service", &path, e))?;
        let segment = Arc::new(Segment::new(id, file, path, self.kinds.of(id)));
        let _ = segment.base.set(base);
        self.map.write().insert(id, segment.clone());
        Ok(segment)
    }

    /// Takes room for the whole of a segment that lost it. Answers whether it has it now.
    pub(super) fn allocate(&self, segment: &Segment) -> StoreResult<bool> {
        match segment.file.allocate(self.bytes) {
            Ok(()) => Ok(true),
            Err(error) => match io_error("allocate", &segment.path, error) {
                StoreError::Full(_) => Ok(false),
                error => Err(error),
            },
        }
    }

    /// Bytes that are free to us, the ballast among them.
    pub(super) fn room(&self) -> io::Result<u64> {
        Ok(self
            .disk
            .room(&self.dir)?
            .saturating_add(self.ballast.bytes()))
    }

    /// Makes sure that room is kept back, where there is more than the reserve. With `ahead` also
    /// that the next segment is there before the journal needs it.
    pub(super) fn keep_reserve(&self, ahead: bool) {
        let free = |more: u64| {
            let wanted = self.reserve_bytes.saturating_add(more);
            self.room().is_ok_and(|room| room >= wanted)
        };
        let take = || self.pool.lock().pop();
        if self.spare.lock().is_none() {
            // Used segments are as good as new ones.
            let found = take();
            let found = found.or_else(|| {
                let path = self.free_path();
                let made = free(self.bytes) && self.disk.reserve(&path, self.bytes).is_ok();
                made.then_some(path)
            });
            *self.spare.lock() = found;
        }
        if ahead && self.pool.lock().is_empty() && free(self.bytes) {
            let path = self.free_path();
            if self.disk.create(&path, self.bytes).is_ok() {
                self.pool.lock().push(path);
            }
        }
        self.ballast.keep(free);
    }

    /// Takes a segment out of service; its file is used again, or removed.
    pub(super) fn retire(&self, id: u64) -> StoreResult<()> {
        let Some(segment) = self.map.write().remove(&id) else {
            return Ok(());
        };
        segment.retired.store(true, Ordering::Release);
        let mut pool = self.pool.lock();
        let whole = segment.file.len().is_ok_and(|len| len == self.bytes);
        if pool.len() < POOL_MAX && whole {
            let path = self.free_path();
            let renamed = self.disk.folder.rename(&segment.path, &path);
            renamed.map_err(|e| io_error("retire", &segment.path, e))?;
            pool.push(path);
            Ok(())
        } else {
            let removed = self.disk.folder.remove(&segment.path);
            removed.map_err(|e| io_error("remove", &segment.path, e))
        }
    }

    /// What is known of all segments up to and with `last`, for the index.
    pub(super) fn noted(&self, last: u64) -> BTreeMap<u64, Noted> {
        let map = self.map.read();
        let noted = map.range(..=last).filter_map(|(id, segment)| {
            let noted = Noted {
                base: *segment.base.get()?,
                // The marker may be in a segment that the journal has left since.
                sealed: segment.sealed.get().copied(),
            };
            Some((*id, noted))
        });
        noted.collect()
    }
}
