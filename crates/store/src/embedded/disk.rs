//! The few file calls that the journal makes, with a hook before each, so that tests can make one
//! fail.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use rustix::fs::FallocateFlags;

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

/// File calls with the hook.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) hook: Option<DiskHook>,
}

impl Disk {
    pub(super) fn before(&self, call: DiskCall) -> io::Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| hook(call))
    }

    pub(super) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.before(DiskCall::Write)?;
        file.write_all_at(bytes, offset)
    }

    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.before(DiskCall::Sync)?;
        file.sync_data()
    }

    /// A new file of `bytes`, all zero, allocated and durable but for its name.
    pub(super) fn create(&self, path: &Path, bytes: u64) -> io::Result<File> {
        self.before(DiskCall::Allocate)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        let allocated = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)
            .map_err(io::Error::from)
            .or_else(|e| match e.kind() {
                io::ErrorKind::Unsupported => file.set_len(bytes),
                _ => Err(e),
            })
            .and_then(|()| file.sync_all());
        if let Err(error) = allocated {
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(file)
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// Bytes that are free to us on the disk of `dir`.
    pub(super) fn room(&self, dir: &Path) -> io::Result<u64> {
        self.before(DiskCall::Room)?;
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
