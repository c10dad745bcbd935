//! The additional checksums of S3 ("Checking object integrity in Amazon S3"): values only; the
//! `digest` crate computes them.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};

/// Which checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC), 4 bytes.
    Crc32,
    /// CRC-32C (Castagnoli), 4 bytes.
    Crc32c,
    /// CRC-64/NVME, 8 bytes; always of the full object.
    Crc64Nvme,
    /// SHA-1, 20 bytes; only composite for multipart objects.
    Sha1,
    /// SHA-256, 32 bytes; only composite for multipart objects.
    Sha256,
    /// SHA-512, 64 bytes; only composite for multipart objects.
    Sha512,
    /// MD5, 16 bytes; only composite for multipart objects. Not the `Content-MD5` header, and not
    /// the ETag.
    Md5,
    /// XXH64 with seed 0, 8 bytes; only composite for multipart objects.
    Xxhash64,
    /// XXH3 of 64 bits with seed 0, 8 bytes; only composite for multipart objects.
    Xxhash3,
    /// XXH3 of 128 bits with seed 0, 16 bytes; only composite for multipart objects.
    Xxhash128,
}

/// Bytes of the longest value.
const LEN_MAX: usize = 64;

impl ChecksumAlgorithm {
    /// All of them, as the S3 API lists them in `ChecksumAlgorithm`.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::Xxhash64,
        Self::Xxhash3,
        Self::Xxhash128,
    ];

    /// As in `x-amz-checksum-algorithm`, such as `CRC64NVME`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::Xxhash64 => "XXHASH64",
            Self::Xxhash3 => "XXHASH3",
            Self::Xxhash128 => "XXHASH128",
        }
    }
    /// The header that carries the value, such as `x-amz-checksum-crc32`.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::Xxhash64 => "x-amz-checksum-xxhash64",
            Self::Xxhash3 => "x-amz-checksum-xxhash3",
            Self::Xxhash128 => "x-amz-checksum-xxhash128",
        }
    }
    /// The element in XML, such as `ChecksumCRC32`.
    pub const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
            Self::Sha512 => "ChecksumSHA512",
            Self::Md5 => "ChecksumMD5",
            Self::Xxhash64 => "ChecksumXXHASH64",
            Self::Xxhash3 => "ChecksumXXHASH3",
            Self::Xxhash128 => "ChecksumXXHASH128",
        }
    }
    /// Bytes of a value; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::Xxhash64 | Self::Xxhash3 => 8,
            Self::Md5 | Self::Xxhash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => LEN_MAX,
        }
    }
    /// Reads the name, case-insensitively.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
    }
    /// From the header's name in lower case.
    pub fn from_header(header: &str) -> Option<Self> {
        let value = header.strip_prefix("x-amz-checksum-")?;
        Self::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(value))
    }
}

/// Whether a multipart object's checksum is of all its bytes, or of its parts' checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumKind {
    /// Over the object's bytes.
    FullObject,
    /// Over the concatenated checksums of the parts; the text form ends in `-N`.
    Composite,
}

impl ChecksumKind {
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
    /// Reads the name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite]
            .into_iter()
            .find(|k| k.name() == name)
    }
}

/// A checksum: an algorithm and the bytes of its value (big-endian for CRCs and XXH).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChecksumValue {
    algorithm: ChecksumAlgorithm,
    bytes: [u8; LEN_MAX],
    /// How many parts a composite value covers; 0 for a full-object value.
    parts: u16,
}

impl ChecksumValue {
    /// `None` when `bytes` has not the algorithm's length.
    pub fn new(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != algorithm.len() {
            return None;
        }
        let mut all = [0; LEN_MAX];
        all[..bytes.len()].copy_from_slice(bytes);
        Some(Self {
            algorithm,
            bytes: all,
            parts: 0,
        })
    }
    /// The same value, marked as composite over `parts` parts.
    pub const fn composite(mut self, parts: u16) -> Self {
        self.parts = parts;
        self
    }
    /// Reads the text form: base64, with `-N` when composite.
    pub fn parse(algorithm: ChecksumAlgorithm, text: &str) -> Option<Self> {
        // `-` is not in this base64 alphabet, so it can only be the parts' separator.
        let (value, parts) = match text.split_once('-') {
            Some((v, n)) => (v, n.parse().ok().filter(|n| *n > 0)?),
            None => (text, 0),
        };
        Self::new(algorithm, &STANDARD.decode(value).ok()?).map(|v| v.composite(parts))
    }
    /// Which checksum.
    pub const fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }
    /// The raw bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.len()]
    }
    /// The bytes in base64, without the number of parts.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.bytes())
    }
    /// Full object or composite.
    pub const fn kind(&self) -> ChecksumKind {
        if self.parts == 0 {
            ChecksumKind::FullObject
        } else {
            ChecksumKind::Composite
        }
    }
    /// How many parts a composite value covers; 0 for a full-object value.
    pub const fn parts(&self) -> u16 {
        self.parts
    }
}

impl fmt::Display for ChecksumValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base64())?;
        if self.parts > 0 {
            write!(f, "-{}", self.parts)?;
        }
        Ok(())
    }
}
impl fmt::Debug for ChecksumValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{self}", self.algorithm.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back() {
        for a in ChecksumAlgorithm::ALL {
            let v = ChecksumValue::new(a, &vec![0xFB; a.len()]).unwrap();
            assert_eq!(ChecksumValue::parse(a, &v.to_string()), Some(v));
            let c = v.composite(3);
            assert_eq!(ChecksumValue::parse(a, &c.to_string()), Some(c));
            assert_eq!(ChecksumValue::new(a, &[0; 3]), None);
            assert_eq!(ChecksumAlgorithm::parse(a.name()), Some(a));
        }
    }
}
