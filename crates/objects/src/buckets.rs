//! Creating, configuring and deleting buckets.
//!
//! A bucket is deleted in steps that a crash may interrupt anywhere: mark it, look for anything
//! inside, remove what is left of replaced objects and ended uploads, remove the deed, remove the
//! mark. Every write that brings something in guards on the configuration row, so none lands once
//! the mark is there. A mark that a crash left is taken back at start-up.
//!
//! An upload under way counts as something inside: its parts may be all that a client has, so they
//! go only when the client aborts it.

use std::sync::Arc;

use access::{Action, Permit};
use store::{Batch, ScanRange, StoreError};
use types::{
    BucketDeed, BucketName, DeedError, NewDeed, Placement, RegionId, Replica, VersionId, Writes,
    limits,
};

use crate::{
    Change, ChangeKind, Error, Objects, Result,
    bucket::{Bucket, TRIES_MAX, deed, partition_of},
    records::{BucketRecord, BucketState, PartRecord, Versioning},
    rows,
};

/// Rows that are cleared from a bucket in one commit.
const CLEAR_BATCH: usize = 500;

impl Objects {
    /// Creates a bucket with its home here, or in another region.
    ///
    /// # Errors
    /// `BucketOwnedByYou`, `BucketExists`, `TooManyBuckets`, `Registry`.
    pub async fn create_bucket(
        &self,
        permit: &Permit,
        name: BucketName,
        home: Option<RegionId>,
        placement: Placement,
    ) -> Result<Arc<BucketDeed>> {
        let account = permit.identity().account().ok_or(Error::WrongPermit)?;
        if permit.action() != Action::CreateBucket {
            return Err(Error::WrongPermit);
        }
        let home = home.unwrap_or_else(|| self.region.clone());
        let new = NewDeed {
            name,
            owner: account.clone(),
            home,
            placement,
        };
        let made = self.deeds.create(permit.identity().actor(), new).await;
        let deed = made.map_err(|error| match error {
            DeedError::Exists(_, deed) if deed.owner == *account => Error::BucketOwnedByYou,
            other => registry(other),
        })?;
        // Elsewhere its home makes the configuration at the first request.
        if deed.home == self.region {
            self.load_bucket(&deed).await?;
        }
        Ok(deed)
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// `BucketNotEmpty`, `BucketBusy`, `NoSuchBucket`, `Registry`; `TakenEverywhere` while copies
    /// take writes, of which this region may not have heard.
    pub async fn delete_bucket(&self, permit: &Permit) -> Result<()> {
        let deed = deed(permit, &[Action::DeleteBucket])?;
        let readable = |replica: &Replica| replica.sealed_by.is_none();
        if deed.placement.writes == Writes::Any && deed.placement.replicas.iter().any(readable) {
            return Err(Error::TakenEverywhere);
        }
        self.change_bucket(deed, |record| {
            record.state = BucketState::Deleting;
            Ok(())
        })
        .await?;
        let partition = partition_of(deed);
        let lock = self.bucket_locks.lock(partition, rows::BUCKET).await;
        let removed = match self.clear_empty(deed).await {
            Ok(()) => {
                let actor = permit.identity().actor();
                let removed = self.deeds.remove(actor, deed.name.clone(), deed.id).await;
                removed.map_err(registry)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            // It may have to make the row.
            drop(lock);
            self.reopen(deed).await?;
            return Err(error);
        }
        // The bucket is gone; a row that stays behind does no harm, as ids are never used twice.
        let batch = Batch::new().delete(rows::BUCKET).frees();
        if let Err(error) = self.engine.index.commit(partition, batch).await {
            tracing::warn!(%error, "the configuration row of a deleted bucket stays");
        }
        self.forget_bucket(deed);
        Ok(())
    }

    /// Takes back the marks of deletions that a crash interrupted. To be called at start-up,
    /// before requests are served.
    pub async fn recover_buckets(&self) -> Result<()> {
        for deed in self.deeds.all() {
            if deed.home == self.region
                && self.load_bucket(&deed).await?.record.state == BucketState::Deleting
            {
                self.reopen(&deed).await?;
            }
        }
        Ok(())
    }

    /// Whether the bucket keeps versions.
    pub async fn versioning(&self, permit: &Permit) -> Result<Versioning> {
        let deed = deed(permit, &[Action::GetBucketVersioning])?;
        Ok(self.load_bucket(deed).await?.versioning())
    }

    /// Turns versioning on, or suspends it; it cannot be turned off again.
    pub async fn set_versioning(&self, permit: &Permit, to: Versioning) -> Result<()> {
        let deed = deed(permit, &[Action::PutBucketVersioning])?;
        if to == Versioning::Off {
            return Err(Error::InvalidRequest(
                "Versioning can only be suspended".to_owned(),
            ));
        }
        self.change_bucket(deed, |record| {
            if record.rules.is_some() && to != Versioning::Enabled {
                return Err(Error::HasRules);
            }
            record.versioning = to;
            Ok(())
        })
        .await
    }

    /// The bucket's tags; empty when it has none.
    pub async fn bucket_tags(&self, permit: &Permit) -> Result<Vec<(String, String)>> {
        let deed = deed(permit, &[Action::GetBucketTagging])?;
        Ok(self.load_bucket(deed).await?.record.tags.clone())
    }

    /// Replaces the bucket's tags.
    ///
    /// # Errors
    /// `InvalidTag` for more than 50 tags, long ones, or a name that comes twice.
    pub async fn set_bucket_tags(
        &self,
        permit: &Permit,
        tags: Vec<(String, String)>,
    ) -> Result<()> {
        let deed = deed(permit, &[Action::PutBucketTagging])?;
        crate::tags::check(&tags, limits::BUCKET_TAGS_MAX)?;
        self.change_bucket(deed, |record| {
            record.tags.clone_from(&tags);
            Ok(())
        })
        .await
    }

    pub(crate) async fn change_bucket(
        &self,
        deed: &BucketDeed,
        change: impl Fn(&mut BucketRecord) -> Result<()>,
    ) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let bucket = self.bucket(deed).await?;
            let mut record = bucket.record.clone();
            change(&mut record)?;
            if self.replace_bucket(deed, &bucket, &record).await? {
                return Ok(());
            }
        }
        Err(Error::Contention)
    }

    /// Whether the new configuration took the place of the one that was read.
    async fn replace_bucket(
        &self,
        deed: &BucketDeed,
        bucket: &Bucket,
        record: &BucketRecord,
    ) -> Result<bool> {
        let batch = Batch::new()
            .guard(bucket.guard())
            .put(rows::BUCKET, record.encode());
        let config = Change {
            kind: ChangeKind::Config,
            version: VersionId::from_bytes([0; 16]),
            null: false,
            key: String::new(),
            own: None,
        };
        let batch = batch.log(config.encode());
        let committed = self.commit(bucket.partition, batch).await;
        self.forget_bucket(deed);
        match committed {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn reopen(&self, deed: &BucketDeed) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let bucket = self.load_bucket(deed).await?;
            let record = BucketRecord {
                state: BucketState::Active,
                ..bucket.record.clone()
            };
            if self.replace_bucket(deed, &bucket, &record).await? {
                return Ok(());
            }
        }
        Err(Error::Contention)
    }

    /// Removes all rows but the configuration from a bucket that holds nothing, and the extents
    /// that they name: without its deed no sweep would find them.
    async fn clear_empty(&self, deed: &BucketDeed) -> Result<()> {
        if !self.is_empty(deed).await? {
            return Err(Error::BucketNotEmpty);
        }
        let partition = partition_of(deed);
        let index = &self.engine.index;
        loop {
            let range = ScanRange::new(rows::CURRENT, None);
            let found = index.scan(partition, range, CLEAR_BATCH).await?;
            let last = found.len() < CLEAR_BATCH;
            let mut batch = Batch::new().frees();
            for (row_key, row) in found {
                if row_key.starts_with(rows::DEAD) {
                    self.engine.blobs.delete(rows::dead_blob(&row_key)?).await?;
                } else if row_key.starts_with(rows::PART) {
                    for blob in PartRecord::decode(&row.value)?.extents {
                        self.engine.blobs.delete(blob.id).await?;
                    }
                } else if !row_key.starts_with(rows::FINISHED_UPLOAD)
                    && !row_key.starts_with(rows::FOLLOW)
                    && !row_key.starts_with(rows::FAILED)
                    && !row_key.starts_with(rows::GONE)
                {
                    return Err(Error::BucketNotEmpty);
                }
                batch = batch.delete(row_key);
            }
            if !batch.deletes.is_empty() {
                index.commit(partition, batch).await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    async fn is_empty(&self, deed: &BucketDeed) -> Result<bool> {
        for kind in [rows::CURRENT, rows::OLDER, rows::UPLOAD] {
            let range = ScanRange::prefix(kind);
            if !self
                .engine
                .index
                .scan(partition_of(deed), range, 1)
                .await?
                .is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn registry(error: DeedError) -> Error {
    match error {
        DeedError::Exists(..) => Error::BucketExists,
        DeedError::NotFound(_) => Error::NoSuchBucket,
        DeedError::TooMany(_) => Error::TooManyBuckets,
        DeedError::Placement(why) => Error::Placement(why),
        DeedError::Full(what) => Error::Store(StoreError::Full(what)),
        DeedError::Unavailable(cause) => Error::Registry(cause),
    }
}
