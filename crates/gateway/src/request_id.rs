//! Request ids: 16 upper-case hex digits, as S3's.

use std::sync::atomic::{AtomicU64, Ordering};

use types::Random;

/// Makes ids that do not repeat within a process and do not reveal how many there were.
#[derive(Debug)]
pub struct RequestIds {
    next: AtomicU64,
    mask: u64,
}

impl RequestIds {
    /// Starts somewhere random.
    pub fn new(random: &dyn Random) -> Self {
        Self {
            next: AtomicU64::new(random.next_u64()),
            mask: random.next_u64(),
        }
    }

    /// The next id.
    pub fn next(&self) -> String {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        // SplitMix64's finaliser is a bijection: distinct counters give distinct ids.
        let mut z = self.next.fetch_add(1, Ordering::Relaxed) ^ self.mask;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        let digits: [u8; 16] = std::array::from_fn(|n| HEX[(z >> (60 - 4 * n) & 15) as usize]);
        std::str::from_utf8(&digits).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sixteen_digits_and_differ() {
        let ids = RequestIds::new(&types::SeededRandom::new(1));
        let all: std::collections::HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(all.len(), 10_000);
        let hex = |id: &String| {
            id.len() == 16 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
        };
        assert!(all.iter().all(hex));
    }
}
