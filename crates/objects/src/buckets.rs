//! Creating, configuring and deleting buckets.
//!
//! A bucket is deleted in steps that a crash may interrupt anywhere: mark it as *deleting*, look
//! for anything inside, mark it as *removing*, remove what is left of replaced objects and of
//! uploads, remove the deed, remove the configuration. Every write that brings something in
//! guards on the configuration row, so none lands once a mark is there. The steps go on when the
//! caller goes away. A mark that nobody works on is taken up by the next write or at start-up: from
//! *deleting* the bucket is put back, from *removing* the deletion goes on, for the registry may
//! have removed the deed though its answer was lost.
//!
//! An upload under way is nothing inside, as at S3: it goes with its bucket.

use std::sync::Arc;

use access::{Action, Permit};
use store::{Batch, ScanRange, StoreError};
use tokio::sync::OwnedSemaphorePermit;
use types::{
    Actor, BucketDeed, BucketName, DeedError, NewDeed, Placement, RegionId, Replica, SignedRequest,
    Writes,
};

use crate::{
    Change, ChangeKind, Error, Objects, Result,
    bucket::{Bucket, TRIES_MAX, check_key, deed, partition_of},
    locks::Turn,
    owned::owned,
    records::{BucketRecord, BucketState, Cause, Effect, PartRecord, Versioning},
    rows,
};

/// Whether a deed's removal was asked for before.
#[derive(Clone, Copy)]
enum Try {
    First,
    Another,
}

/// Who asked for a bucket's end, and how.
struct Asked {
    actor: Actor,
    request: Option<SignedRequest>,
}

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
        check_key(permit, permit.covers_new(&name))?;
        let home = home.unwrap_or_else(|| self.region.clone());
        let new = NewDeed {
            name,
            owner: account.clone(),
            home,
            placement,
        };
        let actor = permit.actor().ok_or(Error::WrongPermit)?;
        let request = permit.request().cloned();
        let made = self.deeds.create_for(actor, new, request).await;
        let deed = made.map_err(|error| match error {
            DeedError::Exists(_, deed) if access::is_owner(account, &deed) => {
                Error::BucketOwnedByYou
            }
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
    /// `BucketNotEmpty`, `BucketBusy`, `NoSuchBucket`, `Registry`; `TakenEverywhere` while replicas
    /// take writes, which this region may not have received.
    pub async fn delete_bucket(&self, permit: &Permit) -> Result<()> {
        let deed = deed(permit, &[Action::DeleteBucket])?;
        let readable = |replica: &Replica| replica.sealed_by.is_none();
        if deed.placement.writes == Writes::Any && deed.placement.replicas.iter().any(readable) {
            return Err(Error::TakenEverywhere);
        }
        let asked = Asked {
            actor: permit.actor().ok_or(Error::WrongPermit)?,
            request: permit.request().cloned(),
        };
        let under_way = self.begin_change().await?;
        let (this, deed) = (self.handle(), Arc::clone(deed));
        owned(async move {
            let _permit = under_way;
            this.delete_owned(&deed, asked).await
        })
        .await
    }

    /// One of the changes that go on without their callers: there is a bound to how many do.
    pub(crate) async fn begin_change(&self) -> Result<OwnedSemaphorePermit> {
        let changes = Arc::clone(&self.changes);
        // It is never closed.
        changes.acquire_owned().await.map_err(|_| Error::Contention)
    }

    async fn delete_owned(&self, deed: &BucketDeed, asked: Asked) -> Result<()> {
        let turn = self.turns.take(deed.id).ok_or(Error::BucketBusy)?;
        let found = self.load_bucket(deed).await?;
        // What another region has not handed over yet would go with the bucket.
        self.has_all(deed)?;
        if found.record.state == BucketState::Removing {
            // An earlier try, of which nobody knows how it ended.
            return self.remove_deed(deed, asked, turn, Try::Another).await;
        }
        self.mark(deed, BucketState::Deleting).await?;
        let looked_through = {
            let partition = partition_of(deed);
            let _lock = self.bucket_locks.lock(partition, rows::BUCKET).await;
            match self.is_empty(deed).await {
                // The deed goes then, and with it what another home may have taken meanwhile.
                Ok(true) => match self.may_acknowledge(deed) {
                    Ok(()) => self.mark(deed, BucketState::Removing).await,
                    refused => refused,
                },
                Ok(false) => Err(Error::BucketNotEmpty),
                Err(error) => Err(error),
            }
        };
        if let Err(error) = looked_through {
            self.put_back_or_later(deed).await;
            return Err(error);
        }
        self.remove_deed(deed, asked, turn, Try::First).await
    }

    /// Removes what is left in a bucket that is empty and takes nothing any more, then its deed,
    /// then the configuration.
    async fn remove_deed(
        &self,
        deed: &BucketDeed,
        asked: Asked,
        _turn: Turn,
        which: Try,
    ) -> Result<()> {
        let partition = partition_of(deed);
        let refused = {
            let _lock = self.bucket_locks.lock(partition, rows::BUCKET).await;
            self.clear_empty(deed).await?;
            let removing = self.deeds.remove_for(asked.actor, deed, asked.request);
            match removing.await {
                removed @ (Ok(()) | Err(DeedError::NotFound(_))) => {
                    // A row that stays behind does no harm, as ids are never used twice.
                    let batch = Batch::new().delete(rows::BUCKET).frees();
                    if let Err(error) = self.commit(partition, batch).await {
                        tracing::warn!(%error, "the configuration row of a deleted bucket stays");
                    }
                    self.forget_bucket(deed);
                    self.forget_documents(deed).await;
                    return match which {
                        Try::First => removed.map_err(registry),
                        // An earlier one removed it, and its answer was lost.
                        Try::Another => Ok(()),
                    };
                }
                // It may be removed or not. Until that is known the bucket takes nothing: what it
                // took would go with it.
                Err(error @ DeedError::Unavailable(_)) => return Err(registry(error)),
                Err(refused) => refused,
            }
        };
        self.put_back_or_later(deed).await;
        Err(registry(refused))
    }

    /// Goes on with what a crash, a failure or a lost answer left half done, unless somebody is at
    /// it: an emptied bucket goes, one that was only looked through is put back, and what was being
    /// discarded is discarded to its end.
    pub(crate) async fn take_up(&self, deed: &BucketDeed) -> Result<()> {
        let permit = self.begin_change().await?;
        let (this, deed) = (self.handle(), deed.clone());
        owned(async move {
            let _permit = permit;
            let turn = this.turns.take(deed.id).ok_or(Error::BucketBusy)?;
            let bucket = this.stored_bucket(partition_of(&deed)).await?;
            match bucket.map(|bucket| bucket.record.state) {
                Some(BucketState::Deleting) => this.put_back(&deed).await,
                // It got another home before it was gone: it is only a replica here.
                Some(BucketState::Removing) if this.is_home_elsewhere(&deed) => {
                    this.put_back(&deed).await
                }
                Some(BucketState::Removing) => {
                    // The caller who asked for it is gone. A registry elsewhere does not accept the
                    // removal from this region alone: then the bucket, which is empty, is restored.
                    let nobody = Asked {
                        actor: Actor::System,
                        request: None,
                    };
                    let ended = this.remove_deed(&deed, nobody, turn, Try::Another).await;
                    match ended {
                        Ok(()) => Err(Error::NoSuchBucket),
                        Err(Error::Unproven(why)) => {
                            tracing::warn!(bucket = %deed.name, why, "a deletion is taken back");
                            Ok(())
                        }
                        error => error,
                    }
                }
                Some(BucketState::Discarding) => this.discard_rows(&deed).await.map(drop),
                Some(BucketState::Active | BucketState::Sealed) | None => Ok(()),
            }
        })
        .await
    }

    /// Takes up what a crash interrupted. To be called at start-up, before requests are served.
    ///
    /// # Errors
    /// Failures of the engine. A registry that does not answer is no error: the bucket takes
    /// nothing until it does.
    pub async fn recover_buckets(&self) -> Result<()> {
        for deed in self.deeds.all() {
            if deed.home != self.region {
                continue;
            }
            let state = self.load_bucket(&deed).await?.record.state;
            let under_way = !matches!(state, BucketState::Active | BucketState::Sealed);
            if under_way {
                match self.take_up(&deed).await {
                    Ok(()) | Err(Error::NoSuchBucket) => {}
                    Err(Error::Registry(why)) => {
                        tracing::warn!(bucket = %deed.name, why, "a deletion waits for the registry");
                    }
                    Err(Error::Store(StoreError::Full(why))) => {
                        tracing::warn!(bucket = %deed.name, why, "a change waits for room");
                    }
                    Err(error) => return Err(error),
                }
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
        self.configure(deed, |record| {
            if record.rules.is_some() && to != Versioning::Enabled {
                return Err(Error::HasRules);
            }
            record.versioning = to;
            record.set.versioning = self.set_now(deed, record.set)?;
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
        crate::tags::check_of_bucket(&tags)?;
        self.configure(deed, |record| {
            record.tags.clone_from(&tags);
            record.set.tags = self.set_now(deed, record.set)?;
            Ok(())
        })
        .await
    }

    /// Changes the configuration, anew when it has changed meanwhile.
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
        let effect = Effect::nothing(self.clock.now(), Cause::Client);
        let batch = batch.log(Change::of_bucket(ChangeKind::Config, "", effect).encode());
        match self.commit(bucket.partition, batch).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => {
                self.forget_bucket(deed);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes another state, also where it is the same: whoever decided by an older row finds that
    /// it has changed.
    async fn mark(&self, deed: &BucketDeed, state: BucketState) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let bucket = self.stored_bucket(partition_of(deed)).await?;
            let bucket = bucket.ok_or(Error::NoSuchBucket)?;
            if bucket.record.epoch > deed.epoch {
                return Err(Error::Fenced);
            }
            if bucket.record.state == BucketState::Discarding {
                return Err(Error::BucketBusy);
            }
            let record = BucketRecord {
                state,
                ..bucket.record.clone()
            };
            if self.replace_bucket(deed, &bucket, &record).await? {
                return Ok(());
            }
        }
        Err(Error::Contention)
    }

    fn is_home_elsewhere(&self, deed: &BucketDeed) -> bool {
        let now = self.deeds.get(&deed.name).filter(|now| now.id == deed.id);
        now.is_some_and(|now| now.home != self.region)
    }

    async fn put_back(&self, deed: &BucketDeed) -> Result<()> {
        self.mark(deed, self.state_in_service(deed)).await
    }

    /// Puts a bucket back in service; what fails here the next request does.
    async fn put_back_or_later(&self, deed: &BucketDeed) {
        if let Err(error) = self.put_back(deed).await {
            tracing::warn!(bucket = %deed.name, %error, "a bucket stays marked until its next write");
        }
    }

    /// Removes all rows but the configuration from a bucket that holds no object, its uploads under
    /// way among them, and the extents that they name: without its deed no sweep would find them.
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
            let mut extents = Vec::new();
            for (row_key, row) in found {
                if row_key.starts_with(rows::DEAD) {
                    extents.push(rows::dead_blob(&row_key)?);
                } else if row_key.starts_with(rows::PART) {
                    let part = PartRecord::decode(&row.value)?;
                    extents.extend(part.extents.iter().map(|blob| blob.id));
                } else if !row_key.starts_with(rows::UPLOAD)
                    && !row_key.starts_with(rows::FINISHED_UPLOAD)
                    && !row_key.starts_with(rows::FOLLOW)
                    && !row_key.starts_with(rows::FAILED)
                    && !row_key.starts_with(rows::GONE)
                    && !row_key.starts_with(rows::ASIDE)
                    && !row_key.starts_with(rows::WORDS)
                    && !row_key.starts_with(rows::ON_WORD)
                    && !row_key.starts_with(rows::DOCUMENT)
                {
                    return Err(Error::BucketNotEmpty);
                }
                batch = batch.delete(row_key);
            }
            if !batch.deletes.is_empty() {
                self.commit(partition, batch).await?;
            }
            // After their rows: what a crash leaves is an orphan, and no part without its bytes.
            for id in extents {
                self.let_go(id).await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Whether there is no version of any object.
    async fn is_empty(&self, deed: &BucketDeed) -> Result<bool> {
        for kind in [rows::CURRENT, rows::OLDER] {
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
        DeedError::Moved => Error::Fenced,
        DeedError::SlowDown(why) => Error::SlowDown(why),
        DeedError::Full(what) => Error::Store(StoreError::Full(what)),
        DeedError::Unavailable(cause) => Error::Registry(cause),
        DeedError::Unproven(why) => Error::Unproven(why),
    }
}
