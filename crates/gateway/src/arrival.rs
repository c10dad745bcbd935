//! Whether what a bucket's home has changed of who has access holds in the other regions that
//! decide for the bucket. The answer to the change waits for those that are connected, for a short
//! time, and names those that may not have it yet. The change itself waits for no region.

use std::time::{Duration, Instant};

use access::Action;
use http::{HeaderMap, HeaderName, HeaderValue};
use types::{BucketDeed, RegionId};

use crate::{call::Answer, operations::Operation, server::Gateway};

/// In the answer to a change: the regions that may not have it yet, with commas between them.
pub const NOT_YET_IN: HeaderName = HeaderName::from_static("x-dhow-not-yet-in");

/// The longest that an answer waits for replicas.
const WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Names the regions that may not have a change yet.
pub fn name_late(headers: &mut HeaderMap, late: &[RegionId]) {
    let names: Vec<&str> = late.iter().map(|region| &**region).collect();
    if let (false, Ok(value)) = (names.is_empty(), HeaderValue::try_from(names.join(", "))) {
        headers.insert(NOT_YET_IN, value);
    }
}

/// Whether an operation that changes something may change who has access.
pub(crate) fn decides_access(operation: &Operation) -> bool {
    use Action as A;
    matches!(
        operation.action,
        Some(
            A::PutBucketPolicy
                | A::DeleteBucketPolicy
                | A::PutBucketPublicAccessBlock
                | A::PutBucketOwnershipControls
                | A::PutBucketAcl
                | A::PutBucketRequestPayment
                | A::PutObjectAcl
        )
    )
}

impl Gateway {
    /// The answer to a change of who has access to a bucket, once its readable replicas have it.
    pub(crate) async fn once_arrived(&self, deed: &BucketDeed, mut answer: Answer) -> Answer {
        if let Ok(done) = &mut answer {
            let late = self.not_yet_at(deed).await;
            name_late(done.headers_mut(), &late);
        }
        answer
    }

    /// Waits until the replicas that are connected have all that the home has now. Answers those
    /// that are not known to have it. One for which that was in vain is not waited for again at
    /// once ([`types::InVain`]).
    async fn not_yet_at(&self, deed: &BucketDeed) -> Vec<RegionId> {
        let Some(regions) = &self.regions else {
            return Vec::new();
        };
        if deed.home != self.region || types::planted("answered-before-it-arrived") {
            return Vec::new();
        }
        let position = self.objects.written_up_to(deed).0;
        let begun = Instant::now();
        loop {
            let (late, now) = (regions.lagging(deed, position), Instant::now());
            let mut waited_for = late.iter().filter_map(|(region, has)| {
                let line = (deed.id, region.clone());
                let waits = self.in_vain.is_waited_for(&line, (*has)?, now);
                waits.then_some(line)
            });
            let in_time = now - begun < WITHIN;
            if in_time && waited_for.next().is_some() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            waited_for.for_each(|line| self.in_vain.missed(line, position, now));
            return late.into_iter().map(|(region, _)| region).collect();
        }
    }
}
