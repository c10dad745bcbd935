//! Frames: what one group of commits looks like in a journal segment. docs/disk-format.md draws
//! them.
//!
//! A frame is a header, the operations of its commits ("meta"), and then the payloads. The checksum
//! in the header covers header and meta; each payload has a checksum of its own in the meta, so
//! that a payload can be read and verified alone. The header names its own segment and offset and
//! the checksum of the frame before it, so bytes of an earlier use of the file are never taken for
//! a frame; and it names the place up to which the journal was durable when the frame was written,
//! which distinguishes damage from a torn tail.
//!
//! The checksum is computed with a secret of the store ([`FrameKey`]). Payloads are what clients
//! send, and a segment that is used again still has those of its earlier use: without the secret a
//! client could send bytes that look like a frame to whoever searches a segment for frames.

use bytes::Bytes;
use types::Random;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_secret};

/// Frames begin at multiples of this.
pub(super) const FRAME_ALIGN: u64 = 64;
/// Bytes of a frame's header.
pub(super) const HEADER_BYTES: usize = 80;
/// Bytes of an operation beside its key and its value.
pub(super) const OP_BYTES: usize = 48;
/// Bytes of a commit beside its operations.
pub(super) const COMMIT_BYTES: usize = 20;
/// Frames without the secret, as earlier versions wrote them.
const MAGIC_OPEN: u32 = u32::from_le_bytes(*b"DHJ1");
/// Frames with the secret.
const MAGIC_KEYED: u32 = u32::from_le_bytes(*b"DHJ2");

/// Bytes of a [`FrameKey`].
pub(super) const KEY_BYTES: usize = 192;

/// The secret with which a store's frames have their checksums.
#[derive(Clone)]
pub(super) struct FrameKey(Box<[u8; KEY_BYTES]>);

impl FrameKey {
    /// A new one.
    pub(super) fn random(random: &dyn Random) -> Self {
        let mut key = Box::new([0; KEY_BYTES]);
        random.fill(&mut key[..]);
        Self(key)
    }

    /// The one that was kept; `None` when these are not as many bytes.
    pub(super) fn kept(bytes: &[u8]) -> Option<Self> {
        Some(Self(Box::new(bytes.try_into().ok()?)))
    }

    /// To be kept.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[..]
    }
}

/// Which frames a segment has: all of one kind.
#[derive(Clone)]
pub(super) enum Kind {
    /// Without a secret.
    Open,
    /// With this secret.
    Keyed(FrameKey),
}

impl Kind {
    fn magic(&self) -> u32 {
        match self {
            Self::Open => MAGIC_OPEN,
            Self::Keyed(_) => MAGIC_KEYED,
        }
    }

    fn checksum(&self, bytes: &[u8]) -> u64 {
        match self {
            Self::Open => xxh3_64(bytes),
            Self::Keyed(_) if types::planted("frames-without-secret") => xxh3_64(bytes),
            Self::Keyed(key) => xxh3_64_with_secret(bytes, key.bytes()),
        }
    }
}

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct FrameAt {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// Where a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loc {
    pub(super) segment: u64,
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) hash: u64,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) checksum: u64,
    pub(super) meta_len: u32,
    pub(super) payload_len: u32,
    pub(super) place: FrameAt,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) synced: FrameAt,
    pub(super) before: u64,
}

impl Header {
    /// Bytes of header and meta.
    pub(super) fn head_len(&self) -> usize {
        HEADER_BYTES + self.meta_len as usize
    }
    /// Where the payloads begin in the segment.
    pub(super) fn payload_start(&self) -> u64 {
        self.place.offset + self.head_len() as u64
    }
    /// Where the next frame begins.
    pub(super) fn end(&self) -> u64 {
        (self.payload_start() + u64::from(self.payload_len)).next_multiple_of(FRAME_ALIGN)
    }

    /// Writes the header, with its checksum, over the first bytes of `head`, whose rest is meta.
    pub(super) fn seal(&mut self, head: &mut [u8], kind: &Kind) {
        head[8..12].copy_from_slice(&kind.magic().to_le_bytes());
        head[12..16].copy_from_slice(&self.meta_len.to_le_bytes());
        head[16..20].copy_from_slice(&self.payload_len.to_le_bytes());
        head[20..24].fill(0);
        let words = [
            self.place.segment,
            self.place.offset,
            self.first,
            self.last,
            self.synced.segment,
            self.synced.offset,
            self.before,
        ];
        for (at, word) in head[24..HEADER_BYTES].chunks_exact_mut(8).zip(words) {
            at.copy_from_slice(&word.to_le_bytes());
        }
        self.checksum = kind.checksum(&head[8..]);
        head[..8].copy_from_slice(&self.checksum.to_le_bytes());
    }

    /// Reads a header; `None` when there is none of this kind for this place. Its checksum is not
    /// yet verified.
    pub(super) fn parse(bytes: &[u8], place: FrameAt, kind: &Kind) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let u32_at = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap_or(&[0; 4]));
        let u64_at = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap_or(&[0; 8]));
        let header = Self {
            checksum: u64_at(0),
            meta_len: u32_at(12),
            payload_len: u32_at(16),
            place: FrameAt {
                segment: u64_at(24),
                offset: u64_at(32),
            },
            first: u64_at(40),
            last: u64_at(48),
            synced: FrameAt {
                segment: u64_at(56),
                offset: u64_at(64),
            },
            before: u64_at(72),
        };
        let rises = header.first <= header.last;
        (u32_at(8) == kind.magic() && header.place == place && rises).then_some(header)
    }

    /// Whether `head` (header and meta) has its checksum.
    pub(super) fn verify(&self, head: &[u8], kind: &Kind) -> bool {
        head.len() == self.head_len() && kind.checksum(&head[8..]) == self.checksum
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const LOG: u8 = 3;
const NO_PAYLOAD: u32 = u32::MAX;

/// One operation as it is stored in the meta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// A row, new or moved. The payload's offset counts from the frame's first payload.
    Put {
        version: u64,
        key: Bytes,
        value: Bytes,
        payload: Option<(u32, u32, u64)>,
    },
    /// A row that is gone.
    Delete { key: Bytes },
    /// An entry of the change log.
    Log { entry: Bytes },
}

/// One commit as it is stored in the meta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) sequence: u64,
    pub(super) partition: u64,
    pub(super) ops: Vec<Op>,
}

pub(super) fn begin_commit(meta: &mut Vec<u8>, sequence: u64, partition: u64, ops: usize) {
    meta.extend_from_slice(&sequence.to_le_bytes());
    meta.extend_from_slice(&partition.to_le_bytes());
    meta.extend_from_slice(&(ops as u32).to_le_bytes());
}

pub(super) fn push_put(
    meta: &mut Vec<u8>,
    version: u64,
    key: &[u8],
    value: &[u8],
    payload: Option<(u32, u32, u64)>,
) {
    let (offset, len, hash) = payload.unwrap_or((NO_PAYLOAD, 0, 0));
    meta.push(PUT);
    meta.extend_from_slice(&version.to_le_bytes());
    meta.extend_from_slice(&offset.to_le_bytes());
    meta.extend_from_slice(&len.to_le_bytes());
    meta.extend_from_slice(&hash.to_le_bytes());
    push_bytes(meta, key);
    push_bytes(meta, value);
}

pub(super) fn push_delete(meta: &mut Vec<u8>, key: &[u8]) {
    meta.push(DELETE);
    push_bytes(meta, key);
}

pub(super) fn push_log(meta: &mut Vec<u8>, entry: &[u8]) {
    meta.push(LOG);
    push_bytes(meta, entry);
}

fn push_bytes(meta: &mut Vec<u8>, bytes: &[u8]) {
    meta.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    meta.extend_from_slice(bytes);
}

struct Parser(Bytes);

impl Parser {
    fn take(&mut self, len: usize) -> Option<Bytes> {
        (len <= self.0.len()).then(|| self.0.split_to(len))
    }
    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }
    fn u32(&mut self) -> Option<u32> {
        self.take(4)
            .and_then(|b| Some(u32::from_le_bytes(*b.first_chunk()?)))
    }
    fn u64(&mut self) -> Option<u64> {
        self.take(8)
            .and_then(|b| Some(u64::from_le_bytes(*b.first_chunk()?)))
    }
    fn bytes(&mut self) -> Option<Bytes> {
        let len = self.u32()?;
        self.take(len as usize)
    }
    fn op(&mut self) -> Option<Op> {
        match self.u8()? {
            PUT => {
                let version = self.u64()?;
                let (offset, len, hash) = (self.u32()?, self.u32()?, self.u64()?);
                Some(Op::Put {
                    version,
                    key: self.bytes()?,
                    value: self.bytes()?,
                    payload: (offset != NO_PAYLOAD).then_some((offset, len, hash)),
                })
            }
            DELETE => Some(Op::Delete { key: self.bytes()? }),
            LOG => Some(Op::Log {
                entry: self.bytes()?,
            }),
            _ => None,
        }
    }
}

/// Reads the commits of a meta whose checksum holds. `None` when it makes no sense all the same.
pub(super) fn parse_meta(meta: Bytes) -> Option<Vec<Commit>> {
    let mut parser = Parser(meta);
    let mut commits = Vec::new();
    while !parser.0.is_empty() {
        let (sequence, partition) = (parser.u64()?, parser.u64()?);
        let count = parser.u32()?;
        let ops: Option<Vec<Op>> = (0..count).map(|_| parser.op()).collect();
        commits.push(Commit {
            sequence,
            partition,
            ops: ops?,
        });
    }
    Some(commits)
}
