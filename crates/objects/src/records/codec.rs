//! The bytes of records: fixed-width big-endian numbers, and byte strings behind their length.

use store::{BlobId, BlobRef};
use types::{ChecksumAlgorithm, ChecksumValue, Timestamp};

use crate::{Error, Result};

/// Writes fields in order.
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn new(version: u8) -> Self {
        let mut out = Vec::with_capacity(192);
        out.push(version);
        Self(out)
    }
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }
    pub(crate) fn u8(&mut self, n: u8) -> &mut Self {
        self.raw(&[n])
    }
    pub(crate) fn u16(&mut self, n: u16) -> &mut Self {
        self.raw(&n.to_be_bytes())
    }
    pub(crate) fn u64(&mut self, n: u64) -> &mut Self {
        self.raw(&n.to_be_bytes())
    }
    /// Lengths are limited long before 4 GiB by what a row may hold.
    pub(crate) fn count(&mut self, n: usize) -> &mut Self {
        self.raw(&u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes())
    }
    /// A number that is often small: its length in bytes (0 to 8), then these, most significant
    /// first.
    pub(crate) fn number(&mut self, n: u64) -> &mut Self {
        let bytes = n.to_be_bytes();
        let zeros = (n.leading_zeros() / 8) as usize;
        self.raw(&[8 - zeros as u8]).raw(&bytes[zeros..])
    }
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.count(text.len()).raw(text.as_bytes())
    }
    pub(crate) fn pairs(&mut self, pairs: &[(String, String)]) -> &mut Self {
        self.count(pairs.len());
        for (name, value) in pairs {
            self.text(name).text(value);
        }
        self
    }
    pub(crate) fn checksum(&mut self, checksum: Option<&ChecksumValue>) -> &mut Self {
        match checksum {
            None => self.u8(0),
            Some(c) => self
                .u8(algorithm_number(c.algorithm()))
                .u16(c.parts())
                .raw(c.bytes()),
        }
    }
    pub(crate) fn extents(&mut self, extents: &[BlobRef]) -> &mut Self {
        self.count(extents.len());
        for blob in extents {
            self.raw(&blob.id.0).u64(blob.len).u64(blob.checksum);
        }
        self
    }
}

/// Reads fields in order; whatever is amiss is `Error::Record`.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Checks the version byte.
    pub(crate) fn new(bytes: &'a [u8], version: u8, what: &'static str) -> Result<Self> {
        let mut reader = Self { rest: bytes, what };
        match reader.u8()? {
            v if v == version => Ok(reader),
            v => Err(Error::Record(format!("{what} has the unknown version {v}"))),
        }
    }
    /// For what has several layouts: any version up to `newest`, which is answered too.
    pub(crate) fn up_to(newest: u8, bytes: &'a [u8], what: &'static str) -> Result<(Self, u8)> {
        let found = bytes.first().copied().unwrap_or_default();
        let version = if (1..=newest).contains(&found) {
            found
        } else {
            newest
        };
        Ok((Self::new(bytes, version, what)?, version))
    }
    pub(crate) fn damaged(&self) -> Error {
        Error::Record(format!("{} cannot be read", self.what))
    }
    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }
    pub(crate) fn raw(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(*head)
    }
    pub(crate) fn sixteen(&mut self) -> Result<[u8; 16]> {
        self.array()
    }
    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }
    pub(crate) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }
    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }
    /// As [`Writer::number`] writes one: leading zeros are refused.
    pub(crate) fn number(&mut self) -> Result<u64> {
        let len = usize::from(self.u8()?);
        let bytes = self.raw(len)?;
        if len > 8 || bytes.first() == Some(&0) {
            return Err(self.damaged());
        }
        Ok(bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }
    pub(crate) fn time(&mut self) -> Result<Timestamp> {
        self.u64().map(Timestamp::from_ms)
    }
    /// A count of things of at least `width` bytes, so that a damaged one reserves no memory.
    pub(crate) fn count(&mut self, width: usize) -> Result<usize> {
        let n = u32::from_be_bytes(self.array()?) as usize;
        if n.saturating_mul(width) > self.rest.len() {
            return Err(self.damaged());
        }
        Ok(n)
    }
    pub(crate) fn text(&mut self) -> Result<String> {
        let len = self.count(1)?;
        let bytes = self.raw(len)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.damaged())?;
        Ok(text.to_owned())
    }
    pub(crate) fn pairs(&mut self) -> Result<Vec<(String, String)>> {
        (0..self.count(8)?)
            .map(|_| Ok((self.text()?, self.text()?)))
            .collect()
    }
    pub(crate) fn algorithm(&mut self) -> Result<ChecksumAlgorithm> {
        let n = self.u8()?;
        algorithm(n).ok_or_else(|| self.damaged())
    }
    pub(crate) fn checksum(&mut self) -> Result<Option<ChecksumValue>> {
        let n = self.u8()?;
        if n == 0 {
            return Ok(None);
        }
        let algorithm = algorithm(n).ok_or_else(|| self.damaged())?;
        let parts = self.u16()?;
        let value = ChecksumValue::new(algorithm, self.raw(algorithm.len())?);
        value
            .map(|v| Some(v.composite(parts)))
            .ok_or_else(|| self.damaged())
    }
    pub(crate) fn extents(&mut self) -> Result<Vec<BlobRef>> {
        (0..self.count(32)?)
            .map(|_| {
                Ok(BlobRef {
                    id: BlobId(self.sixteen()?),
                    len: self.u64()?,
                    checksum: self.u64()?,
                })
            })
            .collect()
    }
}

pub(crate) const fn algorithm_number(algorithm: ChecksumAlgorithm) -> u8 {
    match algorithm {
        ChecksumAlgorithm::Crc32 => 1,
        ChecksumAlgorithm::Crc32c => 2,
        ChecksumAlgorithm::Crc64Nvme => 3,
        ChecksumAlgorithm::Sha1 => 4,
        ChecksumAlgorithm::Sha256 => 5,
        ChecksumAlgorithm::Sha512 => 6,
        ChecksumAlgorithm::Md5 => 7,
        ChecksumAlgorithm::Xxhash64 => 8,
        ChecksumAlgorithm::Xxhash3 => 9,
        ChecksumAlgorithm::Xxhash128 => 10,
    }
}

fn algorithm(number: u8) -> Option<ChecksumAlgorithm> {
    ChecksumAlgorithm::ALL
        .into_iter()
        .find(|a| algorithm_number(*a) == number)
}
