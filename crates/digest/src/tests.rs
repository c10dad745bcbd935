use bytes::Bytes;
use md5::{Digest as _, Md5};
use proptest::prelude::*;
use types::ChecksumAlgorithm::*;

use super::*;
use crate::multi::{Md5Stream, Workers};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn reference(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// Bytes that differ from place to place and from seed to seed.
fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed | 1;
    let mut step = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..len).map(|_| step()).collect()
}

/// The check values of the CRC catalogue, RFC 1321, RFC 3174 and FIPS 180-4.
#[test]
fn published_values() {
    let nine = b"123456789";
    assert_eq!(hex(checksum(Crc32, nine).bytes()), "cbf43926");
    assert_eq!(hex(checksum(Crc32c, nine).bytes()), "e3069283");
    assert_eq!(hex(checksum(Crc64Nvme, nine).bytes()), "ae8b14860a799888");
    assert_eq!(
        hex(checksum(Sha1, b"abc").bytes()),
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    );
    assert_eq!(
        hex(checksum(Sha256, b"abc").bytes()),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(hex(&md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
}

#[test]
fn every_length_around_a_block() {
    let whole = bytes(300, 7);
    for len in 0..whole.len() {
        assert_eq!(md5(&whole[..len]), reference(&whole[..len]), "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_path_gives_the_same_md5(lens in prop::collection::vec(0usize..5000, 1..40)) {
        let messages: Vec<_> =
            lens.iter().enumerate().map(|(n, len)| bytes(*len, n as u64 * 77)).collect();
        let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let expected: Vec<_> = messages.iter().map(|m| reference(m)).collect();
        for path in Path::available() {
            prop_assert_eq!(&md5_together(path, &slices), &expected, "{:?}", path);
        }
    }

    #[test]
    fn pieces_give_the_digests_of_the_whole(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
    ) {
        let whole = pieces.concat();
        let mut h = Hasher::new(&types::ChecksumAlgorithm::ALL, true);
        for p in &pieces {
            h.update(p);
        }
        let d = h.finish_now();
        prop_assert_eq!(d.len, whole.len() as u64);
        prop_assert_eq!(d.md5, Some(reference(&whole)));
        for sum in d.checksums {
            prop_assert_eq!(sum, checksum(sum.algorithm(), &whole));
        }
    }
}

/// Bodies of odd lengths in odd pieces, large and small, all at the same time, on each path.
#[test]
fn bodies_at_the_same_time_keep_apart() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    for path in Path::available() {
        let workers = Workers::start(path, 2);
        let tasks: Vec<_> = (0..40u64)
            .map(|n| {
                runtime.spawn(async move {
                    let whole = Bytes::from(bytes(300_000 + n as usize * 7919, n));
                    let expected = reference(&whole);
                    let mut stream = Md5Stream::new();
                    let (mut at, mut step) = (0, 1 + n as usize * 1000);
                    while at < whole.len() {
                        let end = (at + step).min(whole.len());
                        stream.feed_to(whole.slice(at..end), workers).await;
                        (at, step) = (end, (step * 7 + 13) % 200_000);
                    }
                    assert_eq!(stream.finish().await, expected, "body {n}");
                })
            })
            .collect();
        for task in tasks {
            runtime.block_on(task).unwrap();
        }
    }
}

#[test]
fn waiting_off_the_async_threads_works_too() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let whole = Bytes::from(bytes(1_000_000, 3));
    let mut hasher = Hasher::new(&[Crc64Nvme], true);
    runtime.block_on(hasher.feed(whole.slice(..700_001)));
    hasher.update(&whole[700_001..]);
    let digests = hasher.finish_now();
    assert_eq!(digests.md5, Some(reference(&whole)));
    assert_eq!(digests.checksums, [checksum(Crc64Nvme, &whole)]);
}
