//! What the fuzz target for frames calls.

use bytes::Bytes;

use super::frame::{HEADER_BYTES, Header, Place, parse_meta};

/// Reads `data` as a header for the place that it names itself, and as the meta of a frame.
pub fn frames(data: &[u8]) {
    if let Some(commits) = parse_meta(Bytes::copy_from_slice(data)) {
        let ops: usize = commits.iter().map(|c| c.ops.len()).sum();
        assert!(ops <= data.len(), "more operations than bytes");
    }
    let Some(head) = data.first_chunk::<HEADER_BYTES>() else {
        return;
    };
    let word = |at: usize| u64::from_le_bytes(*head[at..].first_chunk().unwrap_or(&[0; 8]));
    let place = Place {
        segment: word(24),
        offset: word(32),
    };
    if let Some(header) = Header::parse(head, place) {
        // A made-up checksum must not pass for a whole frame.
        let _ = header.verify(data);
        assert!(
            Header::parse(
                head,
                Place {
                    segment: !place.segment,
                    ..place
                }
            )
            .is_none()
        );
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
                data[8..12].copy_from_slice(b"DHJ1");
            }
            super::frames(&data);
        }
    }
}
