//! The additional checksums, running and joined.

use crc_fast::{CrcAlgorithm, checksum_combine};
use sha1::Digest as _;
use types::{ChecksumAlgorithm, ChecksumValue};
use xxhash_rust::{xxh3::Xxh3, xxh64::Xxh64};

/// One running checksum.
pub(crate) enum Sum {
    Crc(ChecksumAlgorithm, crc_fast::Digest),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Md5(md5::Md5),
    Xxh64(Xxh64),
    /// 64 bits or 128 of it. Boxed: it keeps half a kilobyte of state.
    Xxh3(ChecksumAlgorithm, Box<Xxh3>),
}

fn crc_of(algorithm: ChecksumAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumAlgorithm::Sha1
        | ChecksumAlgorithm::Sha256
        | ChecksumAlgorithm::Sha512
        | ChecksumAlgorithm::Md5
        | ChecksumAlgorithm::Xxhash64
        | ChecksumAlgorithm::Xxhash3
        | ChecksumAlgorithm::Xxhash128 => None,
    }
}

fn value(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> ChecksumValue {
    ChecksumValue::new(algorithm, bytes).expect("the digest has its algorithm's length")
}

fn crc_value(algorithm: ChecksumAlgorithm, crc: u64) -> ChecksumValue {
    value(algorithm, &crc.to_be_bytes()[8 - algorithm.len()..])
}

impl Sum {
    pub(crate) fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Crc32 => Self::crc(algorithm, CrcAlgorithm::Crc32IsoHdlc),
            ChecksumAlgorithm::Crc32c => Self::crc(algorithm, CrcAlgorithm::Crc32Iscsi),
            ChecksumAlgorithm::Crc64Nvme => Self::crc(algorithm, CrcAlgorithm::Crc64Nvme),
            ChecksumAlgorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            ChecksumAlgorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            ChecksumAlgorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
            ChecksumAlgorithm::Md5 => Self::Md5(md5::Md5::new()),
            ChecksumAlgorithm::Xxhash64 => Self::Xxh64(Xxh64::new(0)),
            ChecksumAlgorithm::Xxhash3 | ChecksumAlgorithm::Xxhash128 => {
                Self::Xxh3(algorithm, Box::default())
            }
        }
    }

    fn crc(algorithm: ChecksumAlgorithm, crc: CrcAlgorithm) -> Self {
        Self::Crc(algorithm, crc_fast::Digest::new(crc))
    }

    pub(crate) fn algorithm(&self) -> ChecksumAlgorithm {
        match self {
            Self::Crc(algorithm, _) | Self::Xxh3(algorithm, _) => *algorithm,
            Self::Sha1(_) => ChecksumAlgorithm::Sha1,
            Self::Sha256(_) => ChecksumAlgorithm::Sha256,
            Self::Sha512(_) => ChecksumAlgorithm::Sha512,
            Self::Md5(_) => ChecksumAlgorithm::Md5,
            Self::Xxh64(_) => ChecksumAlgorithm::Xxhash64,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, crc) => crc.update(bytes),
            Self::Sha1(sha) => sha.update(bytes),
            Self::Sha256(sha) => sha.update(bytes),
            Self::Sha512(sha) => sha.update(bytes),
            Self::Md5(md5) => md5.update(bytes),
            Self::Xxh64(xxh) => xxh.update(bytes),
            Self::Xxh3(_, xxh) => xxh.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> ChecksumValue {
        let algorithm = self.algorithm();
        match self {
            Self::Crc(_, crc) => crc_value(algorithm, crc.finalize()),
            Self::Sha1(sha) => value(algorithm, &sha.finalize()),
            Self::Sha256(sha) => value(algorithm, &sha.finalize()),
            Self::Sha512(sha) => value(algorithm, &sha.finalize()),
            Self::Md5(md5) => value(algorithm, &md5.finalize()),
            Self::Xxh64(xxh) => value(algorithm, &xxh.digest().to_be_bytes()),
            Self::Xxh3(ChecksumAlgorithm::Xxhash128, xxh) => {
                value(algorithm, &xxh.digest128().to_be_bytes())
            }
            Self::Xxh3(_, xxh) => value(algorithm, &xxh.digest().to_be_bytes()),
        }
    }
}

/// The checksum of bytes in memory.
pub fn checksum(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> ChecksumValue {
    let mut sum = Sum::new(algorithm);
    sum.update(bytes);
    sum.finish()
}

/// CRC-64/NVME of bytes in memory.
pub fn crc64nvme(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The CRC of the parts' bytes one after another, from the parts' CRCs and lengths. `None` where
/// the algorithm is no CRC, a value is of another algorithm or itself
/// composite, or there is no part.
pub fn combine(
    algorithm: ChecksumAlgorithm,
    parts: &[(ChecksumValue, u64)],
) -> Option<ChecksumValue> {
    let crc = crc_of(algorithm)?;
    let number = |v: &ChecksumValue| {
        let bytes = (v.algorithm() == algorithm && v.parts() == 0).then(|| v.bytes())?;
        Some(bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)))
    };
    let ((first, _), rest) = parts.split_first()?;
    let joined = rest
        .iter()
        .try_fold(number(first)?, |joined, (part, len)| {
            Some(checksum_combine(crc, joined, number(part)?, *len))
        })?;
    Some(crc_value(algorithm, joined))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_checksums() {
        // The check values of the CRC catalogue, and FIPS 180's of "abc".
        let hex = |a, b: &[u8]| hex(checksum(a, b).bytes());
        assert_eq!(hex(ChecksumAlgorithm::Crc32, b"123456789"), "cbf43926");
        assert_eq!(hex(ChecksumAlgorithm::Crc32c, b"123456789"), "e3069283");
        assert_eq!(
            hex(ChecksumAlgorithm::Crc64Nvme, b"123456789"),
            "ae8b14860a799888"
        );
        assert!(hex(ChecksumAlgorithm::Sha1, b"abc").starts_with("a9993e36"));
        assert!(hex(ChecksumAlgorithm::Sha256, b"abc").starts_with("ba7816bf"));
        assert!(hex(ChecksumAlgorithm::Sha512, b"abc").starts_with("ddaf35a1"));
        assert!(hex(ChecksumAlgorithm::Md5, b"abc").starts_with("90015098"));
        // Of no bytes, as the specification of xxHash has them.
        assert_eq!(hex(ChecksumAlgorithm::Xxhash64, b""), "ef46db3751d8e999");
        assert_eq!(hex(ChecksumAlgorithm::Xxhash3, b""), "2d06800538d394c2");
        let none = "99aa06d3014798d86001c324468d497f";
        assert_eq!(hex(ChecksumAlgorithm::Xxhash128, b""), none);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn joined_crcs_are_those_of_the_whole() {
        let whole: Vec<u8> = (0..100_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
        for a in [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32c,
            ChecksumAlgorithm::Crc64Nvme,
        ] {
            let parts: Vec<_> = [&whole[..1], &whole[1..60_000], &[], &whole[60_000..]]
                .iter()
                .map(|p| (checksum(a, p), p.len() as u64))
                .collect();
            assert_eq!(
                combine(a, &parts),
                Some(checksum(a, &whole)),
                "{}",
                a.name()
            );
        }
        assert_eq!(combine(ChecksumAlgorithm::Sha1, &[]), None);
    }
}
