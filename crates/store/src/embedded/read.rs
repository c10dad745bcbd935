//! Reading payloads: from the page cache without leaving the thread, else on a thread that may
//! wait for the disk. Every read is verified.

use std::{io, sync::Arc};

use bytes::Bytes;
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

fn failed(segment: &Segment, loc: Loc, error: io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return damaged(segment, loc);
    }
    StoreError::io(format!("read {}", segment.path.display()), error)
}

/// Reads a payload; may wait for the disk.
pub(super) fn read_now(segment: &Segment, loc: Loc) -> StoreResult<Bytes> {
    let mut bytes = vec![0; loc.len as usize];
    let read = segment.file.read_at(&mut bytes, u64::from(loc.offset));
    read.map_err(|e| failed(segment, loc, e))?;
    verified(segment, loc, bytes)
}

/// Reads a payload; a wait for the disk is another thread's.
pub(super) async fn read(segment: &Arc<Segment>, loc: Loc) -> StoreResult<Bytes> {
    let mut bytes = vec![0; loc.len as usize];
    let offset = u64::from(loc.offset);
    match segment.file.read_cached(&mut bytes, offset) {
        Ok(true) => return verified(segment, loc, bytes),
        Ok(false) => {}
        Err(error) => return Err(failed(segment, loc, error)),
    }
    let file = segment.file.clone();
    let filled = tokio::task::spawn_blocking(move || {
        let filled = file.read_at(&mut bytes, offset);
        filled.map(|()| bytes)
    })
    .await
    .unwrap_or_else(|_| Err(io::Error::other("the reading thread ended")));
    verified(segment, loc, filled.map_err(|e| failed(segment, loc, e))?)
}
