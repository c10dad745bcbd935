//! Who reads a bucket from another region: one at a time for each bucket. What comes is compared
//! with what was removed here before, and nothing else may bring it meanwhile.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use types::{BucketId, RegionId};

/// Buckets that are read from one region at once: one that answers slowly takes no places from the
/// others.
const OF_A_REGION: usize = 16;

/// The places that are taken.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<BucketId, RegionId>>>);

/// A bucket's place, until it is dropped.
pub(crate) struct Taken {
    bucket: BucketId,
    places: Places,
}

impl Places {
    /// The bucket's place for one who reads it from `region`, unless it is taken, or too many
    /// buckets are read from there.
    pub(crate) fn take(&self, bucket: BucketId, region: &RegionId) -> Option<Taken> {
        let mut taken = self.0.lock();
        let of_it = taken.values().filter(|other| *other == region).count();
        if of_it >= OF_A_REGION || taken.contains_key(&bucket) {
            return None;
        }
        taken.insert(bucket, region.clone());
        Some(Taken {
            bucket,
            places: self.clone(),
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.places.0.lock().remove(&self.bucket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_one_place_and_a_region_only_so_many() {
        let (one, other) = (RegionId::new("one"), RegionId::new("other"));
        let places = Places::default();
        let first = places.take(BucketId(0), &one);
        assert!(first.is_some());
        assert!(places.take(BucketId(0), &one).is_none());
        assert!(places.take(BucketId(0), &other).is_none());
        let more: Vec<_> = (1..100)
            .filter_map(|n| places.take(BucketId(n), &one))
            .collect();
        assert_eq!(more.len(), OF_A_REGION - 1);
        // Others have places of their own.
        let another = places.take(BucketId(200), &other);
        assert!(another.is_some());
        drop(first);
        assert!(places.take(BucketId(0), &other).is_some());
        drop(more);
        assert!(places.take(BucketId(1), &one).is_some());
    }
}
