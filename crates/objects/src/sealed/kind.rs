//! Whether what is stored here of a bucket is sealed. A bucket's configuration row says so, and
//! every read and write looks: what was taken over in one way is never served in the other.

use access::{Action, Permit};
use types::{BucketDeed, Holding};

use crate::{
    Objects, Result, VersionName,
    bucket::{Bucket, deed, partition_of},
    records::BucketState,
};

impl Objects {
    /// Whether the deed has a sealed replica here.
    pub(crate) fn sealed_here(&self, deed: &BucketDeed) -> bool {
        deed.holding(&self.region) == Holding::Sealed
    }

    /// Whether the rows that are stored here are of the kind that the deed says.
    pub(crate) fn is_of_its_kind(&self, deed: &BucketDeed, bucket: &Bucket) -> bool {
        (bucket.record.state == BucketState::Sealed) == self.sealed_here(deed)
    }

    /// Removes what was taken over in the other way: readable where the replica is to be sealed, or
    /// sealed where it is to be readable. To be called before the bucket is followed.
    pub async fn hold_as_placed(&self, permit: &Permit) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let row = self.stored_bucket(partition_of(deed)).await?;
        let Some(bucket) = row else {
            return Ok(());
        };
        let whole = bucket.record.state != BucketState::Discarding;
        if whole && self.is_of_its_kind(deed, &bucket) {
            return Ok(());
        }
        let count = self.discard_bucket(deed).await?;
        tracing::info!(
            bucket = %deed.name,
            count,
            sealed = self.sealed_here(deed),
            "rows were removed before the replica is made again"
        );
        Ok(())
    }

    /// The names at the home of versions that are stored here sealed.
    pub async fn sealed_names(
        &self,
        permit: &Permit,
        versions: &[VersionName],
    ) -> Result<Vec<(String, VersionName)>> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let mut names = Vec::with_capacity(versions.len());
        for (token, version) in versions {
            let found = self
                .find_even_damaged(partition_of(deed), token, *version)
                .await?;
            if let Some(stored) = found {
                let name = super::piece(&stored.record.attributes, super::NAME)?;
                names.push((name.to_owned(), (token.clone(), *version)));
            }
        }
        Ok(names)
    }
}
