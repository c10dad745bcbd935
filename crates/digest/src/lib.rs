//! Digests and checksums, fed piece by piece: MD5 (ETags), SHA-1, SHA-256, CRC-32, CRC-32C and
//! CRC-64/NVME, and the joining of the CRCs of parts into that of the whole.
//!
//! Invariant: the same digests on every path and every processor.

mod multi;
mod rounds;
mod simd;
mod sums;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use multi::Md5Stream;
use types::{ChecksumAlgorithm, ChecksumValue};

pub use multi::hash_here;
pub use simd::Path;
pub use sums::{checksum, combine, crc64nvme};

/// The digests of a whole stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// Bytes.
    pub len: u64,
    /// When it was asked for.
    pub md5: Option<[u8; 16]>,
    /// In the order in which they were asked for, without repeats.
    pub checksums: Vec<ChecksumValue>,
}

impl Digests {
    /// The checksum of one algorithm, when it was asked for.
    pub fn checksum(&self, algorithm: ChecksumAlgorithm) -> Option<ChecksumValue> {
        self.checksums
            .iter()
            .find(|c| c.algorithm() == algorithm)
            .copied()
    }
}

/// Computes the digests of one stream as it passes.
pub struct Hasher {
    len: u64,
    md5: Option<Md5Stream>,
    sums: Vec<sums::Sum>,
}

impl Hasher {
    /// For these checksums (repeats are ignored), and MD5 if wanted.
    pub fn new(algorithms: &[ChecksumAlgorithm], md5: bool) -> Self {
        let mut sums: Vec<sums::Sum> = Vec::with_capacity(algorithms.len());
        for algorithm in algorithms {
            if !sums.iter().any(|s| s.algorithm() == *algorithm) {
                sums.push(sums::Sum::new(*algorithm));
            }
        }
        Self {
            len: 0,
            md5: md5.then(Md5Stream::new),
            sums,
        }
    }

    /// Takes a piece, here and now. For small bodies.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        for sum in &mut self.sums {
            sum.update(bytes);
        }
    }

    /// Takes a piece; returns when it has been accepted, with at most two pieces under way.
    pub async fn feed(&mut self, bytes: Bytes) {
        self.len += bytes.len() as u64;
        for sum in &mut self.sums {
            sum.update(&bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.feed(bytes).await;
        }
    }

    /// The digests of all that was taken.
    pub async fn finish(self) -> Digests {
        let md5 = match self.md5 {
            Some(md5) => Some(md5.finish().await),
            None => None,
        };
        let checksums = self.sums.into_iter().map(sums::Sum::finish).collect();
        Digests {
            len: self.len,
            md5,
            checksums,
        }
    }

    /// The digests, where only [`Hasher::update`] was used.
    pub fn finish_now(self) -> Digests {
        Digests {
            len: self.len,
            md5: self.md5.map(Md5Stream::finish_now),
            checksums: self.sums.into_iter().map(sums::Sum::finish).collect(),
        }
    }
}

/// The MD5 of `bytes`.
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    multi::md5(bytes)
}

/// The MD5s of messages, hashed in lockstep on one path, as many at a time as it has lanes: for
/// measurements and tests.
pub fn md5_together(path: Path, messages: &[&[u8]]) -> Vec<[u8; 16]> {
    messages
        .chunks(path.lanes())
        .flat_map(|group| multi::md5_group(path, group))
        .collect()
}
