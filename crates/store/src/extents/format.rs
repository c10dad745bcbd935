//! The bytes of an extent's file: content, table of block checksums, footer.

use crc_fast::{CrcAlgorithm, Digest};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{BlobId, BlobRef};

/// Content is checksummed in blocks of this many bytes; the last one may be shorter.
pub const BLOCK_BYTES: usize = 128 << 10;

/// Bytes of the footer, the end of the file.
pub(super) const FOOTER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"DHOWEXT1";

/// How many blocks `len` bytes of content have.
pub(super) fn blocks(len: u64) -> u64 {
    len.div_ceil(BLOCK_BYTES as u64)
}

/// Bytes after the content: the table and the footer.
pub(super) fn trailer_bytes(len: u64) -> u64 {
    blocks(len) * 8 + FOOTER_BYTES as u64
}

/// Ties a checksum to its extent and to its place there, so that a block (or a whole file) in
/// another's place is found.
fn place(id: BlobId, number: u64) -> u64 {
    xxh3_64_with_seed(&id.0, number)
}

/// The checksum of block `number`: the CRC-64/NVME of its bytes, tied to its place.
pub(super) fn block_checksum(id: BlobId, number: u64, bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes) ^ place(id, number)
}

/// The checksum of the table, which is also [`BlobRef::checksum`]: over the checksums of all
/// blocks, tied to the extent's id and length.
pub(super) fn table_checksum(id: BlobId, len: u64, table: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, table) ^ place(id, !len)
}

/// The checksums of content that comes in pieces of any length.
pub(super) struct Table {
    id: BlobId,
    entries: Vec<u8>,
    block: Digest,
    block_len: usize,
    len: u64,
}

impl Table {
    pub(super) fn new(id: BlobId) -> Self {
        Self {
            id,
            entries: Vec::new(),
            block: Digest::new(CrcAlgorithm::Crc64Nvme),
            block_len: 0,
            len: 0,
        }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block_len));
            if now.len() == BLOCK_BYTES {
                let sum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, now);
                self.push(sum);
            } else {
                self.block.update(now);
                self.block_len += now.len();
                if self.block_len == BLOCK_BYTES {
                    self.end_block();
                }
            }
            self.len += now.len() as u64;
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        let sum = self.block.finalize_reset();
        self.block_len = 0;
        self.push(sum);
    }

    fn push(&mut self, sum: u64) {
        let number = (self.entries.len() / 8) as u64;
        let entry = sum ^ place(self.id, number);
        self.entries.extend_from_slice(&entry.to_le_bytes());
    }

    /// The trailer (table and footer) and the reference of the content.
    pub(super) fn finish(mut self) -> (Vec<u8>, BlobRef) {
        if self.block_len > 0 {
            self.end_block();
        }
        let blob = BlobRef {
            id: self.id,
            len: self.len,
            checksum: table_checksum(self.id, self.len, &self.entries),
        };
        let mut trailer = self.entries;
        trailer.extend_from_slice(&footer(&blob));
        (trailer, blob)
    }
}

/// The footer of an extent. Integers are little-endian.
fn footer(blob: &BlobRef) -> [u8; FOOTER_BYTES] {
    let mut bytes = [0; FOOTER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..24].copy_from_slice(&blob.id.0);
    bytes[24..32].copy_from_slice(&blob.len.to_le_bytes());
    bytes[32..40].copy_from_slice(&(BLOCK_BYTES as u64).to_le_bytes());
    bytes[40..48].copy_from_slice(&blob.checksum.to_le_bytes());
    let sum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &bytes[..56]);
    bytes[56..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Checks a trailer against the reference that led to it; the error says what does not fit.
pub(super) fn check_trailer(blob: &BlobRef, trailer: &[u8]) -> Result<(), &'static str> {
    let Some((table, end)) = trailer.split_last_chunk::<FOOTER_BYTES>() else {
        return Err("it is too short");
    };
    if *end != footer(blob) {
        return Err("its footer is not the one that its reference names");
    }
    if table_checksum(blob.id, blob.len, table) != blob.checksum {
        return Err("its table of checksums is damaged");
    }
    Ok(())
}

/// What a footer says of its extent: the reference, when the footer is whole. `None` for bytes
/// that are no footer: the extent was never finished, or its end is damaged.
pub(super) fn parse_footer(bytes: &[u8; FOOTER_BYTES]) -> Option<BlobRef> {
    let number = |at: usize| {
        let mut le = [0; 8];
        le.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(le)
    };
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[8..24]);
    let blob = BlobRef {
        id: BlobId(id),
        len: number(24),
        checksum: number(40),
    };
    (footer(&blob) == *bytes).then_some(blob)
}

/// The checksum of block `number` according to a trailer.
pub(super) fn table_entry(trailer: &[u8], number: u64) -> Option<u64> {
    let at = usize::try_from(number).ok()?.checked_mul(8)?;
    let entry = trailer.get(at..at + 8)?.try_into().ok()?;
    Some(u64::from_le_bytes(entry))
}
