//! Room that is kept back on the disk for what frees room.
//!
//! To free room the index has to write first, and on a full disk there is none: so files of some
//! size are kept, and one after the other is removed when the index needs its room. They are made
//! again when the disk has room. They stay over a restart, for an opening writes too.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::disk::Disk;

/// How many files there are.
const PORTIONS: u64 = 4;
/// The part of the reserve that all of them take.
const PART: u64 = 4;

/// The files.
pub(super) struct Ballast {
    disk: Disk,
    dir: PathBuf,
    portion_bytes: u64,
    there: Mutex<Vec<PathBuf>>,
}

impl Ballast {
    /// What is there of it in `dir`, for a reserve of so many bytes.
    pub(super) fn find(disk: &Disk, dir: &Path, reserve_bytes: u64) -> Arc<Self> {
        let ballast = Self {
            disk: disk.clone(),
            dir: dir.to_owned(),
            portion_bytes: reserve_bytes / PART / PORTIONS,
            there: Mutex::default(),
        };
        let found = ballast.paths().filter(|path| {
            let whole = |path| disk.folder.open(path)?.len();
            whole(path).is_ok_and(|len| len == ballast.portion_bytes)
        });
        let found = found.collect();
        *ballast.there.lock() = found;
        Arc::new(ballast)
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        (0..PORTIONS).map(|n| self.dir.join(format!("{n}.ballast")))
    }

    /// The bytes that it takes now.
    pub(super) fn bytes(&self) -> u64 {
        self.there.lock().len() as u64 * self.portion_bytes
    }

    /// Makes what is missing, as long as `has_room` says that there is room for so many bytes.
    pub(super) fn keep(&self, has_room: impl Fn(u64) -> bool) {
        if self.portion_bytes == 0 {
            return;
        }
        for path in self.paths() {
            if self.there.lock().contains(&path) {
                continue;
            }
            if !has_room(self.portion_bytes) {
                return;
            }
            if self.disk.reserve(&path, self.portion_bytes).is_ok() {
                self.there.lock().push(path);
            }
        }
    }

    /// Gives a part of it up. Answers whether there was any.
    pub(super) fn release(&self) -> bool {
        let Some(path) = self.there.lock().pop() else {
            return false;
        };
        tracing::warn!("the disk is full: the index uses room that was kept back for it");
        self.disk.folder.remove(&path).is_ok()
    }
}
