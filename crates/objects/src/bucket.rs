//! A bucket's configuration, read through a cache, and the guard that keeps the cache honest:
//! every write to the bucket guards on the configuration that it was decided by.

use std::{collections::HashMap, sync::Arc};

use access::{Action, Permit};
use parking_lot::RwLock;
use store::{Batch, Committed, Guard, PartitionId, RowVersion, StoreError, Want};
use types::{BucketDeed, BucketId, DisplayVersion, Holding, ObjectKey};

use crate::{
    Error, Objects, Result,
    owned::owned,
    records::{BucketRecord, BucketState, Versioning},
    rows,
};

/// How often a decision is taken anew when others write the same rows at the same time.
pub(crate) const TRIES_MAX: usize = 64;

/// A bucket's configuration as it was read.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub partition: PartitionId,
    pub version: RowVersion,
    pub record: BucketRecord,
}

impl Bucket {
    /// Holds as long as the configuration is the one that was read.
    pub(crate) fn guard(&self) -> Guard {
        Guard::Version(rows::BUCKET.into(), self.version)
    }
    pub(crate) fn versioning(&self) -> Versioning {
        self.record.versioning
    }
}

/// Configurations in memory; each read is verified by the guard of the write that it is for.
pub(crate) type BucketCache = RwLock<HashMap<BucketId, Arc<Bucket>>>;

/// The deed of a permit that must be for one of `actions`.
pub(crate) fn deed<'p>(permit: &'p Permit, actions: &[Action]) -> Result<&'p Arc<BucketDeed>> {
    match permit.deed() {
        Some(deed) if actions.contains(&permit.action()) => Ok(deed),
        _ => Err(Error::WrongPermit),
    }
}

/// The same, for one of `actions` on this key, and on the version where one is named. A permit for
/// another key does nothing.
pub(crate) fn deed_for<'p>(
    permit: &'p Permit,
    actions: &[Action],
    (key, version): (&ObjectKey, Option<DisplayVersion>),
) -> Result<&'p Arc<BucketDeed>> {
    let deed = deed(permit, actions)?;
    check_key(permit, permit.covers(key, version))?;
    Ok(deed)
}

/// Refuses a permit that does not cover the key. Whoever asked has a bug, so the log says so.
pub(crate) fn check_key(permit: &Permit, covered: bool) -> Result<()> {
    if covered || types::planted("keys-uncompared") {
        return Ok(());
    }
    let action = permit.action();
    tracing::error!(
        ?action,
        "a permit was shown for a key that it does not cover"
    );
    Err(Error::WrongKey)
}

/// The partition of a bucket's rows.
pub(crate) fn partition_of(deed: &BucketDeed) -> PartitionId {
    PartitionId(deed.id.0)
}

impl Objects {
    /// The configuration of a bucket that takes writes; perhaps not the newest one.
    pub(crate) async fn bucket(&self, deed: &BucketDeed) -> Result<Arc<Bucket>> {
        self.may_commit(deed)?;
        for _ in 0..TRIES_MAX {
            let bucket = self.known_bucket(deed).await?;
            if bucket.record.epoch > deed.epoch {
                return Err(Error::Fenced);
            }
            match bucket.record.state {
                BucketState::Active | BucketState::Sealed => {
                    return self.of_its_kind(deed, bucket);
                }
                BucketState::Deleting | BucketState::Removing | BucketState::Discarding => {
                    self.forget_bucket(deed);
                    self.take_up(deed).await?;
                }
            }
        }
        Err(Error::Contention)
    }

    /// The configuration of a bucket for a read, which a deletion under way does not stop: it may
    /// yet find the bucket not empty.
    pub(crate) async fn readable_bucket(&self, deed: &BucketDeed) -> Result<Arc<Bucket>> {
        let bucket = self.known_bucket(deed).await?;
        match bucket.record.state {
            BucketState::Discarding => Err(Error::BucketBusy),
            _ => self.of_its_kind(deed, bucket),
        }
    }

    async fn known_bucket(&self, deed: &BucketDeed) -> Result<Arc<Bucket>> {
        let cached = self.buckets.read().get(&deed.id).cloned();
        match cached {
            Some(bucket) => Ok(bucket),
            None => self.load_bucket(deed).await,
        }
    }

    fn of_its_kind(&self, deed: &BucketDeed, bucket: Arc<Bucket>) -> Result<Arc<Bucket>> {
        match self.is_of_its_kind(deed, &bucket) {
            true => Ok(bucket),
            // Until what is stored here has gone.
            false => Err(Error::BucketBusy),
        }
    }

    /// The configuration as it is stored here, if there is one.
    pub(crate) async fn stored_bucket(&self, partition: PartitionId) -> Result<Option<Bucket>> {
        let index = &self.engine.index;
        let row = index.get(partition, rows::BUCKET, Want::Value).await?;
        row.map(|row| {
            Ok(Bucket {
                partition,
                version: row.version,
                record: BucketRecord::decode(&row.value)?,
            })
        })
        .transpose()
    }

    /// Reads the configuration anew, and writes the default one where a crash between deed and
    /// row left none.
    pub(crate) async fn load_bucket(&self, deed: &BucketDeed) -> Result<Arc<Bucket>> {
        let partition = partition_of(deed);
        for _ in 0..TRIES_MAX {
            if let Some(bucket) = self.stored_bucket(partition).await? {
                let bucket = Arc::new(bucket);
                let mut cache = self.buckets.write();
                // Another may have read a newer one meanwhile.
                let newer = cache.get(&deed.id).filter(|b| b.version > bucket.version);
                if newer.is_none() {
                    cache.insert(deed.id, Arc::clone(&bucket));
                }
                return Ok(bucket);
            }
            let (this, deed) = (self.handle(), deed.clone());
            owned(async move { this.make_bucket(&deed).await }).await?;
        }
        Err(Error::Contention)
    }

    async fn make_bucket(&self, deed: &BucketDeed) -> Result<()> {
        let partition = partition_of(deed);
        // The row goes after the deed, and both while this is held: without a deed the bucket is
        // gone, not fresh.
        let _lock = self.bucket_locks.lock(partition, rows::BUCKET).await;
        let now = self.deeds.get(&deed.name).filter(|now| now.id == deed.id);
        let now = now.ok_or(Error::NoSuchBucket)?;
        // Who began under an earlier deed may come when all that was here is gone, and with it the
        // fence: nothing is made anew for that.
        let is_former = now.epoch > deed.epoch || now.holding(&self.region) == Holding::Nothing;
        if is_former && !types::planted("made-anew-for-a-former-deed") {
            return Err(Error::Fenced);
        }
        let batch = Batch::new()
            .guard(Guard::Absent(rows::BUCKET.into()))
            .put(rows::BUCKET, self.first_record(&now).encode());
        match self.commit(partition, batch).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn first_record(&self, deed: &BucketDeed) -> BucketRecord {
        BucketRecord {
            state: self.state_in_service(deed),
            // At a replica nothing is taken that was begun under an earlier deed. The home notes
            // its epoch once it has taken its place.
            epoch: match deed.holding(&self.region) {
                Holding::Replica => deed.epoch,
                Holding::Home | Holding::Sealed | Holding::Nothing => 0,
            },
            ..BucketRecord::default()
        }
    }

    /// The state of a bucket that is as its deed says.
    pub(crate) fn state_in_service(&self, deed: &BucketDeed) -> BucketState {
        match self.sealed_here(deed) {
            true => BucketState::Sealed,
            false => BucketState::Active,
        }
    }

    pub(crate) fn forget_bucket(&self, deed: &BucketDeed) {
        self.buckets.write().remove(&deed.id);
    }

    /// Commits what `batch` makes of the bucket's configuration, anew when that has changed. The
    /// first guard must be [`Bucket::guard`]; when another does not hold, the answer is
    /// `Store(Conflict)`.
    pub(crate) async fn with_bucket(
        &self,
        permit: &Permit,
        batch: impl FnMut(&Bucket) -> Batch,
    ) -> Result<Committed> {
        let deed = permit.deed().ok_or(Error::WrongPermit)?;
        self.in_bucket(deed, batch).await
    }

    /// [`Objects::with_bucket`] for a deed.
    pub(crate) async fn in_bucket(
        &self,
        deed: &BucketDeed,
        mut batch: impl FnMut(&Bucket) -> Batch,
    ) -> Result<Committed> {
        for _ in 0..TRIES_MAX {
            let bucket = self.bucket(deed).await?;
            let committed = self.commit(bucket.partition, batch(&bucket)).await;
            match committed {
                Err(StoreError::Conflict { index: 0 }) => self.forget_bucket(deed),
                other => return Ok(other?),
            }
        }
        Err(Error::Contention)
    }
}
