//! Latencies in buckets that grow with the value: 1/32 of it at most, over 1 us to an hour, in a
//! fixed 8 KiB.

/// Buckets for each power of two.
const STEPS: u64 = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = 1024;

/// Counts of latencies in microseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
            sum: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub fn add(&mut self, micros: u64) {
        self.counts[bucket(micros).min(BUCKETS - 1)] += 1;
        self.total += 1;
        self.sum = self.sum.saturating_add(micros);
        self.max = self.max.max(micros);
    }
    /// Takes the counts of another in.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }
    /// How many.
    pub fn count(&self) -> u64 {
        self.total
    }
    /// The largest, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }
    /// The mean, in microseconds.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.total.max(1) as f64
    }
    /// The latency that `share` (0 to 1) of all stay within, to 1/32.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (n, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(n).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = value.ilog2() - STEP_BITS;
    (u64::from(shift + 1) * STEPS + (value >> shift) - STEPS) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket % STEPS + STEPS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_meet_without_gaps() {
        for value in (0..100_000).chain([1 << 30, (1 << 33) + 12_345]) {
            let n = bucket(value);
            assert!(n < BUCKETS && value <= upper(n), "{value}");
            assert!(n == 0 || value > upper(n - 1), "{value}");
            assert!(upper(n) - value <= value / STEPS, "{value}");
        }
    }

    #[test]
    fn quantiles_are_near() {
        let mut h = Histogram::default();
        (1..=1000).for_each(|v| h.add(v));
        assert!((500..=516).contains(&h.quantile(0.5)));
        assert!((990..=1000).contains(&h.quantile(0.99)));
        assert_eq!((h.count(), h.max(), h.quantile(1.0)), (1000, 1000, 1000));
        let mut all = Histogram::default();
        all.merge(&h);
        assert_eq!(all.mean(), 500.5);
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
