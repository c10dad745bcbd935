//! Reading payloads: from the page cache without leaving the thread, else on a thread that may
//! wait for the disk. Every read is verified.

use std::{fs::File, io, io::IoSliceMut, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};
use xxhash_rust::xxh3::xxh3_64;

use super::{frame::Loc, segment::Segment};
use crate::{StoreError, StoreResult};

fn damaged(segment: &Segment, loc: Loc) -> StoreError {
    let path = segment.path.display();
    StoreError::Corrupt(format!("{path}: the payload at {}", loc.offset))
}

fn verified(segment: &Segment, loc: Loc, bytes: Vec<u8>) -> StoreResult<Bytes> {
    if xxh3_64(&bytes) == loc.hash {
        Ok(bytes.into())
    } else {
        Err(damaged(segment, loc))
    }
}

fn fill(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(bytes, offset)
}

fn failed(segment: &Segment, loc: Loc, error: io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return damaged(segment, loc);
    }
    StoreError::io(format!("read {}", segment.path.display()), error)
}

/// Reads a payload; may wait for the disk.
pub(super) fn read_now(segment: &Segment, loc: Loc) -> StoreResult<Bytes> {
    let mut bytes = vec![0; loc.len as usize];
    fill(&segment.file, &mut bytes, u64::from(loc.offset)).map_err(|e| failed(segment, loc, e))?;
    verified(segment, loc, bytes)
}

/// Reads a payload; a wait for the disk is another thread's.
pub(super) async fn read(segment: &Arc<Segment>, loc: Loc) -> StoreResult<Bytes> {
    let mut bytes = vec![0; loc.len as usize];
    let offset = u64::from(loc.offset);
    let cached = rustix::io::preadv2(
        &*segment.file,
        &mut [IoSliceMut::new(&mut bytes)],
        offset,
        ReadWriteFlags::NOWAIT,
    );
    match cached {
        Ok(len) if len == bytes.len() => return verified(segment, loc, bytes),
        Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => {}
        Err(error) => return Err(failed(segment, loc, error.into())),
    }
    let file = segment.file.clone();
    let filled = tokio::task::spawn_blocking(move || {
        let filled = fill(&file, &mut bytes, offset);
        filled.map(|()| bytes)
    })
    .await
    .unwrap_or_else(|_| Err(io::Error::other("the reading thread ended")));
    verified(segment, loc, filled.map_err(|e| failed(segment, loc, e))?)
}
