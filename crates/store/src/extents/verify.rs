//! Reading everything: what a scrub does with extents.

use std::{fs::File, num::NonZeroU64, os::unix::fs::FileExt};

use rustix::fs::Advice;

use super::{
    BLOCK_BYTES,
    files::Files,
    format::{self, FOOTER_BYTES},
};
use crate::{BlobId, BlobInfo, StoreError, StoreResult};

/// Extents listed at a time.
const PAGE: usize = 1000;

/// How a damaged extent is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// It has no footer. Without a reference to it, it is what a crash left of an upload;
    /// with one, its end is lost.
    Unfinished,
    /// Footer, table or length do not fit together, or it is another extent's file.
    Trailer,
    /// A block does not have its checksum.
    Block {
        /// Which one, from 0.
        number: u64,
    },
    /// The disk did not give the bytes.
    Unreadable,
}

/// An extent that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Which extent.
    pub id: BlobId,
    /// What is wrong with it; of several things the first.
    pub kind: DamageKind,
}

/// How far a pass has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Extents read.
    pub extents: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Damaged extents found.
    pub damaged: u64,
}

/// What a pass found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How far it came.
    pub progress: VerifyProgress,
    /// Whether it read everything.
    pub complete: bool,
    /// What is damaged.
    pub damaged: Vec<Damage>,
}

pub(super) fn bytes(files: &Files) -> StoreResult<u64> {
    let mut bytes = 0;
    let mut after = None;
    loop {
        let page = files.list(after, PAGE)?;
        let Some(last) = page.last() else {
            return Ok(bytes);
        };
        after = Some(last.id);
        bytes += page.iter().map(|info| info.bytes).sum::<u64>();
    }
}

pub(super) fn verify(
    files: &Files,
    progress: &mut dyn FnMut(&VerifyProgress) -> bool,
) -> StoreResult<VerifyReport> {
    let mut report = VerifyReport::default();
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut after = None;
    loop {
        let page = files.list(after, PAGE)?;
        let Some(last) = page.last() else {
            report.complete = true;
            return Ok(report);
        };
        after = Some(last.id);
        for info in page {
            if let Some(damage) = verify_one(files, &info, &mut buffer)? {
                report.progress.damaged += 1;
                report.damaged.push(damage);
            }
            report.progress.extents += 1;
            report.progress.bytes += info.bytes;
            if !progress(&report.progress) {
                return Ok(report);
            }
        }
    }
}

fn verify_one(files: &Files, info: &BlobInfo, buffer: &mut [u8]) -> StoreResult<Option<Damage>> {
    let file = match File::open(files.path(info.id)) {
        Ok(file) => file,
        // Deleted since it was listed.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::io(format!("opening extent {}", info.id), e)),
    };
    // So that the disk is asked, not the page cache's copy of it. A hint.
    let _ = rustix::fs::fadvise(&file, 0, None::<NonZeroU64>, Advice::DontNeed);
    let kind = match read_through(&file, info, buffer) {
        Ok(kind) => kind,
        Err(error) => {
            tracing::error!(id = %info.id, %error, "an extent cannot be read");
            Some(DamageKind::Unreadable)
        }
    };
    Ok(kind.map(|kind| Damage { id: info.id, kind }))
}

fn read_through(
    file: &File,
    info: &BlobInfo,
    buffer: &mut [u8],
) -> std::io::Result<Option<DamageKind>> {
    let size = file.metadata()?.len();
    let Some(content_and_table) = size.checked_sub(FOOTER_BYTES as u64) else {
        return Ok(Some(DamageKind::Unfinished));
    };
    let mut footer = [0; FOOTER_BYTES];
    file.read_exact_at(&mut footer, content_and_table)?;
    let Some(blob) = format::parse_footer(&footer) else {
        return Ok(Some(DamageKind::Unfinished));
    };
    let expected = blob.len.checked_add(format::trailer_bytes(blob.len));
    if blob.id != info.id || expected != Some(size) {
        return Ok(Some(DamageKind::Trailer));
    }
    let mut trailer = vec![0; (size - blob.len) as usize];
    file.read_exact_at(&mut trailer, blob.len)?;
    if format::check_trailer(&blob, &trailer).is_err() {
        return Ok(Some(DamageKind::Trailer));
    }
    for number in 0..format::blocks(blob.len) {
        let offset = number * BLOCK_BYTES as u64;
        let block = &mut buffer[..(blob.len - offset).min(BLOCK_BYTES as u64) as usize];
        file.read_exact_at(block, offset)?;
        let sum = format::block_checksum(blob.id, number, block);
        if format::table_entry(&trailer, number) != Some(sum) {
            return Ok(Some(DamageKind::Block { number }));
        }
    }
    Ok(None)
}
