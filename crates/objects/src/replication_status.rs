//! How far a version has got: to the bucket's replicas, and to other buckets by its rules.

use access::Permit;
use types::{BucketDeed, Holding, ObjectKey, Writes};

use crate::{Error, ObjectInfo, Objects, Result, RuleStatus, bucket::check_key};

/// How far a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicationStatus {
    /// It was made elsewhere.
    Replica,
    /// It has not arrived everywhere.
    Pending,
    /// It has arrived everywhere.
    Completed,
    /// It cannot arrive somewhere unless something is changed.
    Failed,
}

/// What a region knows of the other regions that hold a bucket.
pub trait Replicas: Send + Sync {
    /// Whether all replicas have applied what the home, which is here, had committed up to
    /// `position`.
    fn replicated(&self, deed: &BucketDeed, position: u64) -> bool;

    /// Whether the home has read what clients had changed here, at a replica, up to `position`.
    fn read_by_home(&self, deed: &BucketDeed, position: u64) -> bool;
}

impl Objects {
    /// How far a version has come; `None` where it goes nowhere.
    ///
    /// # Errors
    /// `WrongPermit`, `WrongKey`; failures of the engine.
    pub async fn replication_status(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        info: &ObjectInfo,
        replicas: &dyn Replicas,
    ) -> Result<Option<ReplicationStatus>> {
        let deed = permit.deed().ok_or(Error::WrongPermit)?;
        check_key(permit, permit.covers_key(key))?;
        let copied = !deed.placement.replicas.is_empty();
        if copied && deed.holding(&self.region) != Holding::Home {
            let made_here = deed.placement.writes == Writes::Any && self.made_here(info.id);
            return Ok(Some(
                match made_here && !replicas.read_by_home(deed, info.position) {
                    true => ReplicationStatus::Pending,
                    false => ReplicationStatus::Replica,
                },
            ));
        }
        let by_rules = match info.ruled || info.attributes.replica {
            false => RuleStatus::None,
            true => Box::pin(self.rule_status(permit, key, info)).await?,
        };
        let pending = copied && !replicas.replicated(deed, info.position);
        Ok(match by_rules {
            RuleStatus::Failed => Some(ReplicationStatus::Failed),
            RuleStatus::Pending => Some(ReplicationStatus::Pending),
            _ if pending => Some(ReplicationStatus::Pending),
            RuleStatus::Replica => Some(ReplicationStatus::Replica),
            RuleStatus::Completed => Some(ReplicationStatus::Completed),
            RuleStatus::None => copied.then_some(ReplicationStatus::Completed),
        })
    }
}
