//! The cloud-wide record of a bucket, and the seam through which `objects` reaches whoever keeps
//! those records (`cloud`).

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{AccountId, Actor, BucketId, BucketName, Holding, Placement, RegionId, Timestamp};

/// What the cloud knows of a bucket: name, owner, placement, epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketDeed {
    /// The bucket's own number.
    pub id: BucketId,
    /// The cloud-wide name.
    pub name: BucketName,
    /// The account that owns it.
    pub owner: AccountId,
    /// The region where its writes are ordered.
    pub home: RegionId,
    /// When it was created.
    pub created: Timestamp,
    /// Rises whenever the home changes; fences a home that was replaced.
    pub epoch: u64,
    /// Where else it may be stored.
    pub placement: Placement,
}

impl BucketDeed {
    /// What `region` is to the bucket.
    pub fn holding(&self, region: &RegionId) -> Holding {
        if self.home == *region {
            return Holding::Home;
        }
        let replica = self.placement.replicas.iter().find(|r| r.region == *region);
        match replica {
            None => Holding::Nothing,
            Some(replica) if replica.sealed_by.is_some() => Holding::Sealed,
            Some(_) => Holding::Replica,
        }
    }
    /// Home and replicas.
    pub fn holders(&self) -> impl Iterator<Item = &RegionId> {
        std::iter::once(&self.home).chain(self.placement.replicas.iter().map(|r| &r.region))
    }
}

/// A bucket to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeed {
    /// The cloud-wide name.
    pub name: BucketName,
    /// The account that is to own it.
    pub owner: AccountId,
    /// The region where its writes are to be ordered.
    pub home: RegionId,
    /// Where else it may be stored.
    pub placement: Placement,
}

/// A request as its customer signed it, for whoever can verify the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// The head, in the form in which the gateway relays it (its module `relayed`).
    pub head: Arc<[u8]>,
    /// The body.
    pub body: Arc<[u8]>,
}

/// Why a deed could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DeedError {
    /// The name is taken.
    #[error("bucket {0} exists already")]
    Exists(BucketName, Box<BucketDeed>),
    /// There is no such bucket.
    #[error("no bucket named {0}")]
    NotFound(BucketName),
    /// The account has as many buckets as it may have.
    #[error("the account has {0} buckets in the regions of this operator, the most it may have")]
    TooMany(usize),
    /// Too many changes lately; says when to try again.
    #[error("{0}")]
    SlowDown(String),
    /// The bucket has another home, or another epoch, by now. Nothing has changed.
    #[error("where the bucket's writes are taken has changed meanwhile")]
    Moved,
    /// A region of the placement is unknown, not open, or in a jurisdiction that is not allowed.
    #[error("{0}")]
    Placement(String),
    /// Nothing proves to the registry that a customer asked for it. It has changed nothing.
    #[error("the registry wants proof of the customer's request: {0}")]
    Unproven(String),
    /// The disk that holds the registry is full.
    #[error("the registry's disk is full: {0}")]
    Full(String),
    /// The registry does not answer or cannot write.
    #[error("the registry is not available: {0}")]
    Unavailable(String),
}

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps deeds. Reads are answered from memory.
pub trait Deeds: Send + Sync + 'static {
    /// The deed of a bucket.
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>>;
    /// The deeds of an account's buckets in order of their names: those that start with `prefix`
    /// and come after `after`, at most `limit`.
    fn list(
        &self,
        owner: &AccountId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<BucketDeed>>;
    /// Every deed, for background work.
    fn all(&self) -> Vec<Arc<BucketDeed>>;
    /// Records a new bucket durably; `Exists` if the name is taken, by whomever.
    fn create(
        &self,
        actor: Actor,
        new: NewDeed,
    ) -> BoxFuture<'_, Result<Arc<BucketDeed>, DeedError>>;
    /// The same for a customer whose signed request may have to be shown to the registry.
    fn create_for(
        &self,
        actor: Actor,
        new: NewDeed,
        _request: Option<SignedRequest>,
    ) -> BoxFuture<'_, Result<Arc<BucketDeed>, DeedError>> {
        self.create(actor, new)
    }
    /// Removes the deed durably, if it is still the bucket `id`.
    fn remove(
        &self,
        actor: Actor,
        name: BucketName,
        id: BucketId,
    ) -> BoxFuture<'_, Result<(), DeedError>>;
    /// The same, asked by the bucket's home by `deed`, for a customer whose signed request may have
    /// to be shown to the registry. Where the bucket has another home or epoch by now it stays:
    /// what was found empty here need not be empty there.
    fn remove_for(
        &self,
        actor: Actor,
        deed: &BucketDeed,
        _request: Option<SignedRequest>,
    ) -> BoxFuture<'_, Result<(), DeedError>> {
        self.remove(actor, deed.name.clone(), deed.id)
    }
}

/// One bucket that no request makes or removes, for tests.
pub struct OneDeed(pub Arc<BucketDeed>);

impl Deeds for OneDeed {
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        (self.0.name == *name).then(|| Arc::clone(&self.0))
    }
    fn list(&self, _: &AccountId, _: &str, _: Option<&str>, _: usize) -> Vec<Arc<BucketDeed>> {
        self.all()
    }
    fn all(&self) -> Vec<Arc<BucketDeed>> {
        vec![Arc::clone(&self.0)]
    }
    fn create(&self, _: Actor, new: NewDeed) -> BoxFuture<'_, Result<Arc<BucketDeed>, DeedError>> {
        Box::pin(std::future::ready(Err(DeedError::NotFound(new.name))))
    }
    fn remove(
        &self,
        _: Actor,
        name: BucketName,
        _: BucketId,
    ) -> BoxFuture<'_, Result<(), DeedError>> {
        Box::pin(std::future::ready(Err(DeedError::NotFound(name))))
    }
}
