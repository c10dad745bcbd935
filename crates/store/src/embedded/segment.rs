//! A file of the journal, and going through its frames.
//!
//! Where a segment ends is known: it is noted when the journal goes on in the next one, and kept in
//! the index. So a reader of a segment can distinguish its end from damage: a place before the end
//! without a whole frame is a gap. A gap is reported once, and reading goes on behind it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    disk::DiskFile,
    frame::{FRAME_ALIGN, FrameAt, HEADER_BYTES, Header, Kind},
};

/// A place in a segment is remembered about every so many bytes, for readers of the log.
const MARK_BYTES: u64 = 256 << 10;
/// Bytes that are searched for frames at a time.
const SEARCH_BYTES: u64 = 1 << 20;

/// Where a segment ends that the journal has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sealed {
    /// The offset behind its last frame.
    pub(super) end: u64,
    /// Its last commit.
    pub(super) last: u64,
}

/// A part of a segment that has no whole frame, though frames were written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from: u64,
    /// Where the next whole frame is, or the segment's end.
    pub(super) to: u64,
    /// The first commit of that frame.
    pub(super) next: Option<u64>,
}

/// What is at a place of a segment.
pub(super) enum Step {
    /// A frame: its header, and its meta.
    Frame(Header, Bytes),
    /// Damage.
    Gap(Gap),
    /// The segment went out of service; its file may be in use again.
    Gone,
    /// Nothing more.
    End,
}

/// One file of the journal.
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// The last commit before its first.
    pub(super) base: OnceLock<u64>,
    /// Set when the journal goes on in another.
    pub(super) sealed: OnceLock<Sealed>,
    /// Set before its file is used again.
    pub(super) retired: AtomicBool,
    /// Sequence and offset of some frames, rising.
    marks: Mutex<Vec<(u64, u64)>>,
    gaps: Mutex<Vec<Gap>>,
}

impl Segment {
    pub(super) fn new(id: u64, file: Arc<dyn DiskFile>, path: PathBuf, kind: Kind) -> Self {
        Self {
            id,
            file,
            path,
            kind,
            base: OnceLock::new(),
            sealed: OnceLock::new(),
            retired: AtomicBool::new(false),
            marks: Mutex::default(),
            gaps: Mutex::default(),
        }
    }

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

    /// The gaps that readers have met.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        self.gaps.lock().clone()
    }

    /// Reads the frame's header and meta at `offset`; `None` when no whole ones are there.
    pub(super) fn read_head(&self, offset: u64) -> io::Result<Option<(Header, Bytes)>> {
        let place = FrameAt {
            segment: self.id,
            offset,
        };
        let size = self.file.len()?;
        if offset + HEADER_BYTES as u64 > size {
            return Ok(None);
        }
        // Most heads fit in the first read.
        let mut head = vec![0; (size - offset).min(4096) as usize];
        self.file.read_at(&mut head, offset)?;
        let Some(header) = Header::parse(&head, place, &self.kind) else {
            return Ok(None);
        };
        if header.end() > size.next_multiple_of(FRAME_ALIGN) || header.payload_start() > size {
            return Ok(None);
        }
        let have = head.len();
        head.resize(header.head_len(), 0);
        if have < head.len() {
            self.file.read_at(&mut head[have..], offset + have as u64)?;
        }
        Ok(header
            .verify(&head, &self.kind)
            .then(|| (header, Bytes::from(head).slice(HEADER_BYTES..))))
    }

    /// What is at `offset`. Where the journal is still written to this segment, `written` is how
    /// far. A segment of an earlier version whose end nobody noted ends where no frame is.
    pub(super) fn step(&self, offset: u64, written: Option<u64>) -> io::Result<Step> {
        let end = self.sealed.get().map(|sealed| sealed.end).or(written);
        if end.is_some_and(|end| offset >= end) {
            return Ok(Step::End);
        }
        let found = match self.read_head(offset) {
            // A place that the disk cannot read is damage like any other.
            Err(error) if end.is_some() && is_damage(&error) => None,
            other => other?,
        };
        match (found, end) {
            (Some((header, meta)), None) => Ok(Step::Frame(header, meta)),
            (Some((header, meta)), Some(end)) if header.end() <= end => {
                Ok(Step::Frame(header, meta))
            }
            (_, None) => Ok(Step::End),
            (_, Some(_)) if types::planted("damage-taken-for-an-end") => Ok(Step::End),
            (_, Some(_)) if self.retired.load(Ordering::Acquire) => Ok(Step::Gone),
            (_, Some(end)) => Ok(Step::Gap(self.gap(offset, end)?)),
        }
    }

    /// The gap that begins at `from`.
    fn gap(&self, from: u64, end: u64) -> io::Result<Gap> {
        if let Some(gap) = self.gaps.lock().iter().find(|gap| gap.from == from) {
            return Ok(*gap);
        }
        let found = self.search(from + FRAME_ALIGN, end, |header| header.end() <= end)?;
        let gap = Gap {
            from,
            to: found.map_or(end, |header| header.place.offset),
            next: found.map(|header| header.first),
        };
        tracing::error!(
            segment = %self.path.display(), from, to = gap.to,
            "damage in the journal: a frame cannot be read"
        );
        let mut gaps = self.gaps.lock();
        if !gaps.contains(&gap) {
            gaps.push(gap);
        }
        Ok(gap)
    }

    /// The first frame at or after `from` and before `end` that `fits`. Only frames with the
    /// store's secret are found: others may be what a client sent.
    pub(super) fn search(
        &self,
        from: u64,
        end: u64,
        fits: impl Fn(&Header) -> bool,
    ) -> io::Result<Option<Header>> {
        if matches!(self.kind, Kind::Open) {
            return Ok(None);
        }
        let mut found = None;
        self.each_header(from, end, |header| {
            if !fits(header) {
                return Ok(false);
            }
            found = match self.read_head(header.place.offset) {
                Err(error) if !is_damage(&error) => return Err(error),
                read => read.ok().flatten().map(|(header, _)| header),
            };
            Ok(found.is_some())
        })?;
        Ok(found)
    }

    /// Calls `each` with what looks like a header in `from..end`, checksums not yet compared, until
    /// it answers `true`. Answers whether there is anything but zeros.
    pub(super) fn each_header(
        &self,
        from: u64,
        end: u64,
        mut each: impl FnMut(&Header) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let size = self.file.len()?.min(end);
        let (mut offset, mut anything) = (from, false);
        // Blocks overlap, for a header may begin in one and end in the next.
        let overlap = HEADER_BYTES as u64;
        while offset < size {
            let mut block = vec![0; (size - offset).min(SEARCH_BYTES + overlap) as usize];
            match self.file.read_at(&mut block, offset) {
                Err(error) if is_damage(&error) => self.read_around(&mut block, offset),
                read => read?,
            }
            anything |= block.iter().any(|b| *b != 0);
            let places = (SEARCH_BYTES.min(size - offset)) as usize;
            for at in (0..places).step_by(FRAME_ALIGN as usize) {
                let place = FrameAt {
                    segment: self.id,
                    offset: offset + at as u64,
                };
                let bytes = block.get(at..).unwrap_or_default();
                if let Some(header) = Header::parse(bytes, place, &self.kind)
                    && each(&header)?
                {
                    return Ok(true);
                }
            }
            offset += SEARCH_BYTES;
        }
        Ok(anything)
    }

    /// Fills `block` with what can be read of it, zeros elsewhere.
    fn read_around(&self, block: &mut [u8], offset: u64) {
        for (n, piece) in block.chunks_mut(4096).enumerate() {
            if self.file.read_at(piece, offset + n as u64 * 4096).is_err() {
                piece.fill(0);
            }
        }
    }
}

/// Whether a read failed because of what is on the disk there.
fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        || error.kind() == io::ErrorKind::UnexpectedEof
}
