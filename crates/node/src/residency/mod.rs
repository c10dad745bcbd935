//! What regions say that they hold of a bucket: this one, signed with its key, and all of them,
//! gathered over the link.

mod gather;

pub use gather::{AGAIN_PAUSE, AGAIN_WITHIN, Gathered};

use std::{sync::LazyLock, time::Duration};

use access::{Action, Permit, SystemReason, authorize_system};
use cloud::{CloudError, MapAfter};
use proof::{
    chain::Checkpoint,
    residency::{Digest, DigestBuilder, Holder, Leaf},
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use types::{BucketDeed, BucketName, Deeds, Holding, Writes};

use crate::region::Region;

/// Versions that are read at once while counting.
const PAGE: usize = 1000;
/// Longest time of one answer, all tries together.
pub const COUNT_WAIT: Duration = Duration::from_secs(25);
/// How long a region waits until it has received a deed.
const DEED_WAIT: Duration = Duration::from_secs(5);
/// How often the region counts all that it holds, unasked.
const EVERY: Duration = Duration::from_secs(3600);
/// How often a bucket that changes is counted again.
const TRIES_MAX: usize = 4;
/// Between two counts: a page of changes takes some milliseconds.
const TRY_PAUSE: Duration = Duration::from_millis(50);
/// Counting reads every row of a bucket: so many at a time, the others wait their turn.
static COUNTING: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

/// Asks a region what it holds of a bucket.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskHoldings {
    /// The bucket's name.
    pub bucket: String,
    /// Its number.
    pub id: u64,
    /// The epoch of its deed, which the region must know.
    pub epoch: u64,
}

/// Why a region does not say what it holds.
#[derive(Debug, thiserror::Error)]
pub enum HoldingsError {
    /// The name is none that a bucket can have.
    #[error(transparent)]
    Name(#[from] types::NameError),
    /// The region does not know the bucket under that number and epoch.
    #[error("the bucket is not known here under that number and epoch")]
    NoDeed,
    /// The registry does not have the region itself.
    #[error("the region is not on record")]
    NotOnRecord,
    /// It takes too long.
    #[error("counting took longer than {} s", COUNT_WAIT.as_secs())]
    Deadline,
    /// The rows came in an order that they should not have.
    #[error("the bucket's rows: {0}")]
    Leaf(#[from] proof::residency::LeafError),
    /// The rows cannot be read.
    #[error(transparent)]
    Objects(#[from] objects::Error),
}

/// Signs with the region's key.
struct RegionKey<'r>(&'r peer::Identity);

impl proof::Signer for RegionKey<'_> {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

impl Region {
    /// The cloud's name: that of the region that began it.
    fn cloud(&self) -> &str {
        &self.link.membership.keeper
    }

    /// The audit log's head with the map after it, signed; `None` while the log is empty.
    ///
    /// # Errors
    /// Where the registry is not kept; failures of the engine.
    pub async fn checkpoint(&self) -> Result<Option<Checkpoint>, CloudError> {
        let after = self.registry.map().await?;
        Ok(after.map(|after| self.signed(&after)))
    }

    fn signed(&self, after: &MapAfter) -> Checkpoint {
        let last = &after.last;
        // A clock that went back must not date the signature before what it signs.
        let at = types::Timestamp::from_ms(self.clock.now().ms().max(last.at_ms));
        let signer = RegionKey(&self.link.identity);
        let signed = (last.head(), after.root);
        Checkpoint::with_map(&signer, self.cloud(), &self.id, signed, at)
    }

    /// What this region holds of a bucket, read from its own rows, signed with its key.
    ///
    /// # Errors
    /// [`HoldingsError`]; the region then says nothing.
    pub async fn holdings(&self, ask: &AskHoldings) -> Result<Digest, HoldingsError> {
        let counted = tokio::time::timeout(COUNT_WAIT, async {
            let deed = self.known_deed(ask).await?;
            let _turn = COUNTING.acquire().await;
            self.count(&deed).await
        });
        counted.await.unwrap_or(Err(HoldingsError::Deadline))
    }

    /// The deed in the epoch that is asked about; other regions receive changes a little later than
    /// the registry's.
    async fn known_deed(
        &self,
        ask: &AskHoldings,
    ) -> Result<std::sync::Arc<BucketDeed>, HoldingsError> {
        let name = BucketName::new(&ask.bucket)?;
        let mut watch = self.registry.watch();
        let found = tokio::time::timeout(DEED_WAIT, async {
            loop {
                watch.borrow_and_update();
                let deed = Deeds::get(&*self.registry, &name);
                let deed = deed.filter(|d| d.id.0 == ask.id && d.epoch >= ask.epoch);
                if deed.is_some() || watch.changed().await.is_err() {
                    return deed;
                }
            }
        });
        found.await.ok().flatten().ok_or(HoldingsError::NoDeed)
    }

    async fn count(&self, deed: &std::sync::Arc<BucketDeed>) -> Result<Digest, HoldingsError> {
        let permit = authorize_system(SystemReason::Residency, Action::CountVersions, deed);
        let record = self.registry.region(&self.id);
        let record = record.ok_or(HoldingsError::NotOnRecord)?;
        let holder = Holder {
            cloud: self.cloud().to_owned(),
            region: self.id.clone(),
            jurisdiction: record.jurisdiction.clone(),
            operator: record.operator.clone(),
        };
        let placed = deed.holding(&self.id) != Holding::Nothing;
        let mut tries = 0;
        loop {
            tries += 1;
            let before = self.position(&permit, deed).await?;
            let built = self.count_once(&permit, deed).await;
            let after = self.position(&permit, deed).await?;
            let moving = before != after || (before.is_none() && placed);
            if moving && tries < TRIES_MAX {
                tokio::time::sleep(TRY_PAUSE).await;
                continue;
            }
            // Of a bucket that never rests the last count is given, of no position.
            let position = after.filter(|_| before == after).map_or(0, |p| p.0);
            let (signer, now) = (RegionKey(&self.link.identity), self.clock.now());
            return Ok(built?.finish(&signer, &holder, deed.epoch, position, now));
        }
    }

    /// The position that the rows reflect. At a replica in the middle of a page of changes there is
    /// none: some are applied, and none is noted.
    async fn position(
        &self,
        permit: &Permit,
        deed: &BucketDeed,
    ) -> Result<Option<store::Position>, HoldingsError> {
        // In this order: a page that ends between the two shows as another position later on.
        let status = self.replication.status();
        let settled = deed.home == self.id || status.settled(deed);
        let held = self.objects.position_held(permit).await?;
        // What clients changed at a replica is of no position of the home's until it has read that.
        let own =
            deed.placement.writes == Writes::Any && deed.holding(&self.id) == Holding::Replica;
        if own {
            let read = status.read_up_to(deed);
            if self.objects.has_own_changes(permit, read).await? {
                return Ok(None);
            }
        }
        Ok(held.filter(|_| settled))
    }

    async fn count_once(
        &self,
        permit: &Permit,
        deed: &BucketDeed,
    ) -> Result<DigestBuilder, HoldingsError> {
        let mut builder = DigestBuilder::new(deed.name.clone(), deed.id);
        let mut from = None;
        loop {
            let page = self
                .objects
                .versions_by_key(permit, from.as_ref(), PAGE)
                .await?;
            for one in &page.0 {
                let etag = match one.delete_marker {
                    true => String::new(),
                    false => one.etag.to_string(),
                };
                builder.push(&Leaf {
                    key: one.key.as_bytes(),
                    version: one.version,
                    delete_marker: one.delete_marker,
                    size: one.size,
                    etag: &etag,
                })?;
            }
            match page.1 {
                Some(next) => from = Some(next),
                None => return Ok(builder),
            }
        }
    }
}

/// Counts every hour what the region holds of each bucket, also of those that are not placed here,
/// and says so in the log, until the task is dropped. What should not be here is a warning.
pub async fn watch(region: std::sync::Arc<Region>) {
    loop {
        tokio::time::sleep(EVERY).await;
        for deed in region.registry.all() {
            let ask = AskHoldings {
                bucket: deed.name.to_string(),
                id: deed.id.0,
                epoch: deed.epoch,
            };
            let placed = deed.holding(&region.id) != Holding::Nothing;
            match region.holdings(&ask).await {
                Ok(digest) if digest.count > 0 && !placed => tracing::warn!(
                    bucket = %deed.name,
                    versions = digest.count,
                    bytes = digest.bytes,
                    "the region holds what is not placed in it"
                ),
                Ok(digest) if digest.count > 0 => tracing::info!(
                    bucket = %deed.name,
                    versions = digest.count,
                    bytes = digest.bytes,
                    position = digest.position,
                    root = %digest.root,
                    "holdings were counted"
                ),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(bucket = %deed.name, %error, "holdings cannot be counted");
                }
            }
        }
    }
}
