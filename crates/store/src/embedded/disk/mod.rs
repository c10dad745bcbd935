//! The file calls of the journal and the index, behind two small traits, so that tests can put a
//! disk below that loses what was not synced, runs full or changes bits. A hook before the calls of
//! the journal lets tests make one fail.

mod real;
#[cfg(test)]
pub(super) mod sim;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(super) use self::real::RealFolder;

/// Zeros that are written at a time.
const ZEROS: u64 = 1 << 20;

/// What is about to happen to a file of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskCall {
    /// A frame is written to the journal.
    Write,
    /// A journal segment is made durable.
    Sync,
    /// Room for a segment is taken.
    Allocate,
    /// The free room of the disk is looked up; a `StorageFull` failure means that there is none.
    Room,
    /// Rows are about to be applied to the index.
    Checkpoint,
}

/// Called before each [`DiskCall`]; an error takes the place of the call's own.
pub type DiskHook = Arc<dyn Fn(DiskCall) -> io::Result<()> + Send + Sync>;

/// An open file. Calls may come from any thread.
pub(super) trait DiskFile: Send + Sync + fmt::Debug {
    /// Fills `bytes` from `offset` on; `UnexpectedEof` when the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// The same without waiting for the disk; `false` when it would have to.
    fn read_cached(&self, bytes: &mut [u8], offset: u64) -> io::Result<bool>;

    /// Writes all of `bytes`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;

    /// Bytes of the file.
    fn len(&self) -> io::Result<u64>;

    /// Shortens or lengthens it; new bytes are zero and take no room yet.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Takes room for the first `len` bytes, where the file system can; lengthens the file.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Lets later reads come from the disk and not from memory, where nothing waits to be written.
    fn forget_cached(&self) -> io::Result<()>;

    /// Keeps other processes from opening the file; `false` when one has it open.
    fn lock(&self) -> io::Result<bool>;

    /// Ends [`DiskFile::lock`].
    fn unlock(&self);
}

/// The directories and names.
pub(super) trait DiskFolder: Send + Sync {
    /// Makes a directory and those above it; no error when it is there.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// Names in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file, in place of one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, over one that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; no error when it is not there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that are free to us on the disk of `dir`.
    fn room(&self, dir: &Path) -> io::Result<u64>;
}

/// A folder with the hook.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) folder: Arc<dyn DiskFolder>,
    pub(super) hook: Option<DiskHook>,
}

impl Disk {
    /// The machine's own.
    pub(super) fn real(hook: Option<DiskHook>) -> Self {
        Self {
            folder: Arc::new(RealFolder),
            hook,
        }
    }

    pub(super) fn before(&self, call: DiskCall) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(call))
    }

    pub(super) fn write(&self, file: &dyn DiskFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.before(DiskCall::Write)?;
        file.write_at(bytes, offset)
    }

    /// A failure is never one of room: what the sync was to make durable may be lost.
    pub(super) fn sync(&self, file: &dyn DiskFile) -> io::Result<()> {
        self.before(DiskCall::Sync)?;
        file.sync()
            .map_err(|e| io::Error::other(format!("a sync failed: {e}")))
    }

    /// Makes names durable. As with [`Disk::sync`], a failure is never one of room.
    pub(super) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.folder
            .sync_dir(dir)
            .map_err(|e| io::Error::other(format!("a sync failed: {e}")))
    }

    /// A new file that takes the room of `bytes`, durable but for its name.
    pub(super) fn reserve(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.make(path, |file| file.allocate(bytes))
    }

    /// The same, written with zeros. Where blocks were only allocated, a sync needs the file
    /// system's own journal, and some answer that they synced although that failed (measured:
    /// docs/decisions/0005-what-a-shutdown-proves.md).
    pub(super) fn create(&self, path: &Path, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.make(path, |file| {
            file.allocate(bytes)?;
            let zeros = vec![0; ZEROS.min(bytes) as usize];
            for offset in (0..bytes).step_by(ZEROS as usize) {
                let len = ZEROS.min(bytes - offset) as usize;
                file.write_at(&zeros[..len], offset)?;
            }
            Ok(())
        })
    }

    fn make(
        &self,
        path: &Path,
        fill: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
    ) -> io::Result<Arc<dyn DiskFile>> {
        self.before(DiskCall::Allocate)?;
        let file = self.folder.create(path)?;
        if let Err(error) = fill(&*file).and_then(|()| file.sync()) {
            drop(file);
            let _ = self.folder.remove(path);
            return Err(error);
        }
        Ok(file)
    }

    /// Bytes that are free to us on the disk of `dir`.
    pub(super) fn room(&self, dir: &Path) -> io::Result<u64> {
        self.before(DiskCall::Room)?;
        self.folder.room(dir)
    }

    /// Whether a file of this name is there.
    pub(super) fn is_there(&self, path: &Path) -> io::Result<bool> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
        else {
            return Ok(false);
        };
        Ok(self.folder.list(dir)?.iter().any(|found| found == name))
    }

    /// Makes a file with this content, durable with its name, in place of one that is there.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let file = self.folder.create(&fresh)?;
        file.write_at(content, 0)?;
        file.sync()?;
        self.folder.rename(&fresh, path)?;
        self.folder.sync_dir(path.parent().unwrap_or(Path::new("")))
    }
}
