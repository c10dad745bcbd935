//! The directory of extents: names, creation, removal, listing, syncs and the fence.

use std::{
    collections::HashSet,
    ffi::CStr,
    fs::{DirBuilder, File},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use rustix::{
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};

use super::{ExtentsConfig, pool::Pool};
use crate::{BlobId, BlobInfo, StoreError, StoreResult};

/// The files of one directory; shared by the engine, its readers and its writers.
pub(super) struct Files {
    pub(super) config: ExtentsConfig,
    pub(super) root: OwnedFd,
    /// Set once, by the first failed sync or write.
    pub(super) fence: OnceLock<String>,
    pub(super) pool: Arc<Pool>,
    /// Extents that have a writer; listings leave them out.
    unfinished: Mutex<HashSet<BlobId>>,
    #[cfg(test)]
    pub(super) faults: super::tests::Faults,
}

/// The path of an extent below the root: `ab/ab01…`, two digits and all 32.
pub(super) struct Name([u8; 36]);

impl Name {
    pub(super) fn new(id: BlobId) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut name = [0; 36];
        let (dir, file) = name.split_at_mut(3);
        for (pair, byte) in file.chunks_exact_mut(2).zip(id.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        dir[..2].copy_from_slice(&file[..2]);
        dir[2] = b'/';
        Self(name)
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).expect("the last byte is never written")
    }

    fn as_str(&self) -> &str {
        self.as_c_str().to_str().expect("hex digits and a slash")
    }
}

/// The id that a file name spells, if it is an extent's.
fn parse_name(name: &str) -> Option<BlobId> {
    if name.len() != 32 || !name.is_ascii() {
        return None;
    }
    let mut id = [0; 16];
    for (i, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&name[i * 2..i * 2 + 2], 16).ok()?;
    }
    // Only our own spelling: upper case or a sign is somebody else's file.
    (BlobId(id).to_string() == name).then_some(BlobId(id))
}

impl Files {
    pub(super) fn open(config: ExtentsConfig) -> StoreResult<Self> {
        let dir = &config.dir;
        let context = |what: &str| format!("{what} {}", dir.display());
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| StoreError::io(context("creating"), e))?;
        builder.recursive(false);
        for n in 0..=255u8 {
            match builder.create(dir.join(format!("{n:02x}"))) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(StoreError::io(context("creating subdirectories of"), e)),
            }
        }
        let root = File::open(dir).map_err(|e| StoreError::io(context("opening"), e))?;
        // At each start: that they are there does not say that they were ever synced, and a file
        // is only as durable as the names above it.
        let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        for path in [dir.as_path(), parent] {
            sync_dir(path).map_err(|e| StoreError::io(context("syncing"), e))?;
        }
        Ok(Self {
            config,
            root: root.into(),
            fence: OnceLock::new(),
            pool: Arc::default(),
            unfinished: Mutex::default(),
            #[cfg(test)]
            faults: Default::default(),
        })
    }

    pub(super) fn path(&self, id: BlobId) -> PathBuf {
        self.config.dir.join(Name::new(id).as_str())
    }

    pub(super) fn check_fence(&self) -> StoreResult<()> {
        match self.fence.get() {
            Some(why) => Err(StoreError::Fenced(why.clone())),
            None => Ok(()),
        }
    }

    /// Free bytes and all bytes of the file system.
    pub(super) fn room(&self) -> StoreResult<(u64, u64)> {
        let room = rustix::fs::fstatvfs(&self.root)
            .map_err(|e| self.error("asking for free space under", None, e))?;
        let bytes = |blocks: u64| blocks.saturating_mul(room.f_frsize);
        Ok((bytes(room.f_bavail), bytes(room.f_blocks)))
    }

    /// Refuses when `len` more bytes would eat into the reserve.
    pub(super) fn check_room(&self, len: u64) -> StoreResult<()> {
        let (free, _) = self.room()?;
        let needed = len.saturating_add(self.config.reserve_bytes);
        if free < needed {
            return Err(StoreError::Full(format!(
                "{free} bytes are free, {len} are asked for, {} are kept back",
                self.config.reserve_bytes
            )));
        }
        Ok(())
    }

    /// An id that no other extent has, registered as unfinished.
    pub(super) fn new_id(&self) -> BlobId {
        let mut id = [0; 16];
        self.config.random.fill(&mut id);
        let id = BlobId(id);
        self.unfinished.lock().insert(id);
        id
    }

    /// The extent has no writer any more.
    pub(super) fn settle(&self, id: BlobId) {
        self.unfinished.lock().remove(&id);
    }

    pub(super) fn is_unfinished(&self, id: BlobId) -> bool {
        self.unfinished.lock().contains(&id)
    }

    pub(super) fn unfinished_count(&self) -> usize {
        self.unfinished.lock().len()
    }

    pub(super) fn create(&self, id: BlobId) -> StoreResult<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let name = Name::new(id);
        let file = rustix::fs::openat(&self.root, name.as_c_str(), flags, Mode::from(0o600))
            .map_err(|e| self.error("creating", Some(id), e))?;
        Ok(file.into())
    }

    /// Unlinks an extent; one that is not there is no error.
    pub(super) fn remove(&self, id: BlobId) -> StoreResult<()> {
        match rustix::fs::unlinkat(&self.root, Name::new(id).as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(self.error("removing", Some(id), e)),
        }
    }

    /// Waits until the file and its name are on the disk. Also where rows may take their time: the
    /// kernel can write a row to the disk before the extent that it refers to.
    pub(super) fn sync(&self, file: &File, id: BlobId) -> StoreResult<()> {
        #[cfg(test)]
        self.faults
            .on_sync()
            .map_err(|e| self.write_failed("syncing", id, e))?;
        rustix::fs::fdatasync(file).map_err(|e| self.write_failed("syncing", id, e))?;
        let name = Name::new(id);
        let dir = &name.as_str()[..2];
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&self.root, dir, flags, Mode::empty())
            .map_err(|e| self.error("opening the directory of", Some(id), e))?;
        rustix::fs::fsync(dir).map_err(|e| {
            // Names of other extents may be lost with it, so this is never a mere want of room.
            let error = self.error("syncing the directory of", Some(id), e);
            self.fence(&error);
            error
        })
    }

    fn fence(&self, error: &StoreError) {
        tracing::error!(%error, "no more extents are taken");
        let _ = self.fence.set(error.to_string());
    }

    /// A failed write or sync. The kernel may have dropped what it could not write and will not
    /// say so twice, so no later success could be trusted: the engine fences itself. A full disk
    /// is another matter: it concerns this extent alone, which is not acknowledged.
    pub(super) fn write_failed(&self, doing: &str, id: BlobId, errno: Errno) -> StoreError {
        let error = self.error(doing, Some(id), errno);
        if matches!(error, StoreError::Io { .. }) {
            self.fence(&error);
        }
        error
    }

    pub(super) fn error(&self, doing: &str, id: Option<BlobId>, errno: Errno) -> StoreError {
        let path = id.map_or_else(|| self.config.dir.clone(), |id| self.path(id));
        StoreError::io(format!("{doing} {}", path.display()), errno.into())
    }

    /// The ids in subdirectory `dir` that come after `after`, in order.
    fn ids_of(&self, dir: u8, after: Option<BlobId>) -> StoreResult<Vec<BlobId>> {
        let path = self.config.dir.join(format!("{dir:02x}"));
        let failed = |e| StoreError::io(format!("listing {}", path.display()), e);
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let id = name.to_str().and_then(parse_name);
            ids.extend(id.filter(|id| id.0[0] == dir && after.is_none_or(|a| *id > a)));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    pub(super) fn list(&self, after: Option<BlobId>, limit: usize) -> StoreResult<Vec<BlobInfo>> {
        let mut infos = Vec::new();
        for dir in after.map_or(0, |a| a.0[0])..=255 {
            for id in self.ids_of(dir, after)? {
                if infos.len() == limit {
                    return Ok(infos);
                }
                if self.is_unfinished(id) {
                    continue;
                }
                let name = Name::new(id);
                match rustix::fs::statat(&self.root, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => infos.push(BlobInfo {
                        id,
                        bytes: u64::try_from(stat.st_size).unwrap_or(0),
                    }),
                    // Deleted since the directory was read.
                    Err(Errno::NOENT) => {}
                    Err(e) => return Err(self.error("examining", Some(id), e)),
                }
            }
        }
        Ok(infos)
    }
}

/// Makes the names in a directory durable.
fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    #[cfg(test)]
    super::tests::note_dir_sync(path);
    Ok(())
}
