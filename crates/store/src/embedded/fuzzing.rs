//! What the fuzz target for frames calls.

use bytes::Bytes;
use types::SeededRandom;

use super::frame::{FrameAt, FrameKey, HEADER_BYTES, Header, Kind, parse_meta};

/// Reads `data` as a header for the place that it names itself, and as the meta of a frame; and as
/// what a client sends: made into a frame as well as one can who does not have the store's secret.
pub fn frames(data: &[u8]) {
    if let Some(commits) = parse_meta(Bytes::copy_from_slice(data)) {
        let ops: usize = commits.iter().map(|c| c.ops.len()).sum();
        assert!(ops <= data.len(), "more operations than bytes");
    }
    let Some(head) = data.first_chunk::<HEADER_BYTES>() else {
        return;
    };
    let word = |at: usize| u64::from_le_bytes(*head[at..].first_chunk().unwrap_or(&[0; 8]));
    let place = FrameAt {
        segment: word(24),
        offset: word(32),
    };
    let key = |seed| Kind::Keyed(FrameKey::random(&SeededRandom::new(seed)));
    for kind in [Kind::Open, key(1)] {
        if let Some(header) = Header::parse(head, place, &kind) {
            // A made-up checksum must not pass for a whole frame.
            let _ = header.verify(data, &kind);
            let elsewhere = FrameAt {
                segment: !place.segment,
                ..place
            };
            assert!(Header::parse(head, elsewhere, &kind).is_none());
        }
    }
    // Everything but the secret is right.
    for forged_with in [Kind::Open, key(2)] {
        let mut forged = data.to_vec();
        let mut header = Header {
            checksum: 0,
            meta_len: (data.len() - HEADER_BYTES) as u32,
            payload_len: 0,
            place,
            first: word(40),
            last: word(48).max(word(40)),
            synced: place,
            before: word(72),
        };
        header.seal(&mut forged, &forged_with);
        if matches!(forged_with, Kind::Open) {
            // It names the right kind, and has a checksum that anybody can compute.
            forged[8..12].copy_from_slice(b"DHJ2");
            let checksum = xxhash_rust::xxh3::xxh3_64(&forged[8..]);
            forged[..8].copy_from_slice(&checksum.to_le_bytes());
        }
        if let Some(header) = Header::parse(&forged, place, &key(1)) {
            assert!(!header.verify(&forged, &key(1)), "forged without the key");
        }
    }
}

#[cfg(test)]
mod tests {
    use types::{Random, SeededRandom};

    #[test]
    fn the_target_holds_for_random_bytes() {
        let random = SeededRandom::new(7);
        for n in 0..20_000usize {
            let mut data = vec![0; n % 400];
            random.fill(&mut data);
            if data.len() > 12 {
                data[8..12].copy_from_slice(if n % 2 == 0 { b"DHJ1" } else { b"DHJ2" });
            }
            super::frames(&data);
        }
    }
}
