//! What the change log says that a bucket has, beside what it has.

use objects::Change;
use store::{Log, PartitionId};

use crate::{region::Region, system::System};

/// The sum of what all entries of a bucket's log added and removed.
pub async fn by_log(log: &dyn Log, partition: PartitionId) -> i128 {
    let (mut at, mut sum) = (log.floor(partition).await.unwrap(), 0);
    loop {
        let page = log.read(partition, at, 1000).await.unwrap();
        for entry in &page.entries {
            let change = Change::decode(&entry.entry).unwrap();
            let effect = change.effect.expect("each entry says what it did");
            sum += i128::from(effect.added) - i128::from(effect.removed);
        }
        if page.next == at {
            return sum;
        }
        at = page.next;
    }
}

/// Bytes of the parts of all uploads under way.
pub async fn parts(region: &Region, bucket: &str) -> i128 {
    let page = region.list_uploads(bucket, "", "", None, 1000).await;
    assert!(page.next.is_none(), "one page has all");
    let mut sum = 0;
    for (key, upload) in page.uploads {
        let (parts, more) = region.list_parts(bucket, &key, &upload, 0, 1000).await;
        assert!(!more, "one page has all");
        sum += parts
            .iter()
            .map(|(_, size)| i128::from(*size))
            .sum::<i128>();
    }
    sum
}
