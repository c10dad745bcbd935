//! The journal's files: numbered without gaps in the order of writing, all of one size, allocated
//! ahead, recycled when nothing live is left in them.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::{
    disk::Disk,
    frame::{HEADER_BYTES, Header, Place},
};
use crate::{StoreError, StoreResult};

/// How many segments wait to be used again beside the reserve.
const POOL_MAX: usize = 2;
/// A place in a segment is remembered about every so many bytes, for readers of the log.
const MARK_BYTES: u64 = 256 << 10;

/// One file of the journal.
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    /// Sequence and offset of some frames, rising.
    marks: Mutex<Vec<(u64, u64)>>,
}

impl Segment {
    pub(super) fn mark(&self, first: u64, offset: u64) {
        let mut marks = self.marks.lock();
        if marks.last().is_none_or(|(_, at)| offset >= at + MARK_BYTES) {
            marks.push((first, offset));
        }
    }
    /// The offset of a frame from which all commits after `sequence` follow.
    pub(super) fn offset_before(&self, sequence: u64) -> u64 {
        let marks = self.marks.lock();
        let after = marks.partition_point(|(first, _)| *first <= sequence);
        after.checked_sub(1).map_or(0, |i| marks[i].1)
    }

    /// Reads the frame's header and meta at `offset`; `None` when no whole ones are there.
    pub(super) fn read_head(&self, offset: u64) -> io::Result<Option<(Header, Bytes)>> {
        let place = Place {
            segment: self.id,
            offset,
        };
        let size = self.file.metadata()?.len();
        if offset + HEADER_BYTES as u64 > size {
            return Ok(None);
        }
        // Most heads fit in the first read.
        let mut head = vec![0; (size - offset).min(4096) as usize];
        self.file.read_exact_at(&mut head, offset)?;
        let Some(header) = Header::parse(&head, place) else {
            return Ok(None);
        };
        if header.end() > size.next_multiple_of(64) || header.payload_start() > size {
            return Ok(None);
        }
        let have = head.len();
        head.resize(header.head_len(), 0);
        if have < head.len() {
            self.file
                .read_exact_at(&mut head[have..], offset + have as u64)?;
        }
        Ok(header
            .verify(&head)
            .then(|| (header, Bytes::from(head).slice(HEADER_BYTES..))))
    }
}

/// The journal's directory.
pub(super) struct Segments {
    pub(super) dir: PathBuf,
    pub(super) bytes: u64,
    pub(super) disk: Disk,
    pub(super) map: RwLock<BTreeMap<u64, Arc<Segment>>>,
    /// Kept back for batches that free room.
    spare: Mutex<Option<PathBuf>>,
    pool: Mutex<Vec<PathBuf>>,
    names: Mutex<u64>,
}

fn io_error(what: &str, path: &Path, source: io::Error) -> StoreError {
    StoreError::io(format!("{what} {}", path.display()), source)
}

impl Segments {
    /// Opens what is there. Files kept for later use are removed: they hold nothing.
    pub(super) fn open(dir: PathBuf, bytes: u64, disk: Disk) -> StoreResult<Self> {
        std::fs::create_dir_all(&dir).map_err(|e| io_error("create", &dir, e))?;
        let mut map = BTreeMap::new();
        for entry in std::fs::read_dir(&dir).map_err(|e| io_error("list", &dir, e))? {
            let path = entry.map_err(|e| io_error("list", &dir, e))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
            if name.ends_with(".free") {
                std::fs::remove_file(&path).map_err(|e| io_error("remove", &path, e))?;
            } else if let Some(id) = name.strip_suffix(".seg")
                && let Ok(id) = u64::from_str_radix(id, 16)
            {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(&path)
                    .map_err(|e| io_error("open", &path, e))?;
                map.insert(id, Arc::new(Segment::new(id, file, path.clone())));
            }
        }
        Ok(Self {
            dir,
            bytes,
            disk,
            map: RwLock::new(map),
            spare: Mutex::new(None),
            pool: Mutex::new(Vec::new()),
            names: Mutex::new(0),
        })
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Segment>> {
        self.map.read().get(&id).cloned()
    }

    fn free_path(&self) -> PathBuf {
        let mut names = self.names.lock();
        *names += 1;
        self.dir.join(format!("{:08}.free", *names))
    }

    /// Puts a segment into service under `id`: one to be recycled, or a new one, or, with
    /// `reserve`, the one kept back.
    pub(super) fn activate(&self, id: u64, reserve: bool) -> StoreResult<Arc<Segment>> {
        let recycled = self.pool.lock().pop();
        let from = match recycled {
            Some(path) => path,
            None => {
                let path = self.free_path();
                match self.disk.create(&path, self.bytes) {
                    Ok(_) => path,
                    Err(error) => match self.spare.lock().take().filter(|_| reserve) {
                        Some(spare) => spare,
                        None => return Err(io_error("allocate", &path, error)),
                    },
                }
            }
        };
        let path = self.dir.join(format!("{id:016x}.seg"));
        let open = || {
            std::fs::rename(&from, &path)?;
            self.disk.sync_dir(&self.dir)?;
            OpenOptions::new().read(true).write(true).open(&path)
        };
        let file = open().map_err(|e| io_error("put into service", &path, e))?;
        let segment = Arc::new(Segment::new(id, file, path));
        self.map.write().insert(id, segment.clone());
        Ok(segment)
    }

    /// Makes sure that a segment is kept back. Answers whether one is.
    pub(super) fn keep_spare(&self) -> bool {
        let mut spare = self.spare.lock();
        if spare.is_none() {
            *spare = self.pool.lock().pop().or_else(|| {
                let path = self.free_path();
                self.disk.create(&path, self.bytes).ok().map(|_| path)
            });
        }
        spare.is_some()
    }

    /// Takes a segment out of service; its file is used again, or removed.
    pub(super) fn retire(&self, id: u64) -> StoreResult<()> {
        let Some(segment) = self.map.write().remove(&id) else {
            return Ok(());
        };
        let mut pool = self.pool.lock();
        let keep =
            pool.len() < POOL_MAX && segment.file.metadata().is_ok_and(|m| m.len() == self.bytes);
        if keep {
            let path = self.free_path();
            std::fs::rename(&segment.path, &path)
                .map_err(|e| io_error("retire", &segment.path, e))?;
            pool.push(path);
            Ok(())
        } else {
            std::fs::remove_file(&segment.path).map_err(|e| io_error("remove", &segment.path, e))
        }
    }
}

impl Segment {
    fn new(id: u64, file: File, path: PathBuf) -> Self {
        Self {
            id,
            file: Arc::new(file),
            path,
            marks: Mutex::new(Vec::new()),
        }
    }
}
