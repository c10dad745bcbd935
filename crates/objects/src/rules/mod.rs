//! Replication between buckets by the owner's rules (PutBucketReplication). A version goes to
//! another bucket under its own id, with all that belongs to it, so that shipping it twice changes
//! nothing; what came by a rule is marked and goes no further (S3: "Amazon S3 doesn't replicate
//! replicas").

mod config;
mod state;

pub use config::{Candidate, Rule, Rules};
pub use state::{RuleProgress, RuleStates, RuleStatus};

use std::sync::Arc;

use access::{Action, Permit};
use bytes::Bytes;
use store::{Batch, Position, Want};
use types::{Body, BodyError, BucketDeed, BucketName, deed::BoxFuture};

use crate::{
    Applied, BodySource, Error, FollowCursor, ObjectInfo, ObjectReader, Objects, Result, Shipped,
    ShippedChange, Versioning,
    bucket::{Bucket, deed, partition_of},
    owned::owned,
    rows,
};

/// What became of a version that was to go to another bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It arrived, or had before.
    There,
    /// It came by a rule itself, or no rule is about it.
    Stays,
}

impl Objects {
    /// The bucket's replication configuration.
    pub async fn rules(&self, permit: &Permit) -> Result<Option<Arc<Rules>>> {
        let allowed = [Action::GetReplicationConfiguration, Action::ReplicateFrom];
        let deed = deed(permit, &allowed)?;
        Ok(self.readable_bucket(deed).await?.record.rules.clone())
    }

    /// Replaces it; `None` removes it. The caller has checked the destinations.
    ///
    /// # Errors
    /// `InvalidRequest` when the bucket does not keep versions.
    pub async fn set_rules(&self, permit: &Permit, rules: Option<Rules>) -> Result<()> {
        let deed = deed(permit, &[Action::PutReplicationConfiguration])?;
        let (this, deed) = (self.handle(), Arc::clone(deed));
        owned(async move { this.set_rules_owned(&deed, rules).await }).await
    }

    async fn set_rules_owned(&self, deed: &BucketDeed, rules: Option<Rules>) -> Result<()> {
        let now = self.clock.now();
        let configured = self.configure(deed, |record| {
            if rules.is_some() && record.versioning != Versioning::Enabled {
                return Err(Error::InvalidRequest(
                    "Versioning must be 'Enabled' on the bucket to apply a replication \
                     configuration"
                        .to_owned(),
                ));
            }
            let before = record.rules.take();
            let after = rules
                .clone()
                .map(|r| r.following_on(before.as_deref(), now));
            record.rules = after.map(Arc::new);
            record.set.rules = self.set_now(deed, record.set)?;
            Ok(())
        });
        let configured = configured.await;
        // Also after a failure: they may have been set, and the answer only says that nobody knows.
        self.rules_changed.send_modify(|n| *n += 1);
        configured
    }

    /// Changes when the rules of some bucket may have changed.
    pub fn watch_rules(&self) -> tokio::sync::watch::Receiver<u64> {
        self.rules_changed.subscribe()
    }

    /// How far each destination of each bucket has come.
    pub fn rule_states(&self) -> &RuleStates {
        &self.rule_states
    }

    /// Whether the bucket keeps versions: a destination must.
    pub async fn keeps_versions(&self, permit: &Permit) -> Result<bool> {
        let allowed = [
            Action::GetReplicationConfiguration,
            Action::PutReplicationConfiguration,
            Action::ReplicateInto,
        ];
        let bucket = self.readable_bucket(deed(permit, &allowed)?).await?;
        Ok(bucket.versioning() == Versioning::Enabled)
    }

    /// How far the shipping to `to` is. `epoch` of the cursor is the configuration's generation.
    pub async fn rule_cursor(
        &self,
        permit: &Permit,
        to: &BucketName,
    ) -> Result<Option<FollowCursor>> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let (index, row_key) = (&self.engine.index, rows::follow_rule(to));
        let row = index.get(partition_of(deed), &row_key, Want::Value).await?;
        row.map(|row| FollowCursor::decode(&row.value)).transpose()
    }

    /// Notes how far it is.
    pub async fn set_rule_cursor(
        &self,
        permit: &Permit,
        to: &BucketName,
        cursor: &FollowCursor,
    ) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let row = rows::follow_rule(to);
        self.note_cursor(deed, row, cursor).await.map(drop)
    }

    /// Notes that a version cannot go to `to` by itself, or that it can.
    pub async fn note_failed(
        &self,
        permit: &Permit,
        to: &BucketName,
        shipped: &Shipped,
        why: Option<&str>,
    ) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        let row_key = rows::failed_rule(shipped.key.as_bytes(), shipped.version, to);
        let partition = partition_of(deed);
        let index = &self.engine.index;
        let noted = index.get(partition, &row_key, Want::Value).await?.is_some();
        if why.is_none() && !noted {
            return Ok(());
        }
        let batch = |bucket: &Bucket| {
            let guarded = Batch::new().guard(bucket.guard());
            match why {
                Some(why) => guarded.put(row_key.clone(), why.as_bytes().to_vec()),
                None => guarded.delete(row_key.clone()).frees(),
            }
        };
        self.in_bucket(deed, batch).await.map(drop)
    }

    /// Where the bucket's log ends now.
    pub async fn rules_end(&self, permit: &Permit) -> Result<Position> {
        let deed = deed(permit, &[Action::ReplicateFrom])?;
        Ok(self.log_end(partition_of(deed)))
    }

    /// Takes a version of another bucket over, whose home is here too; `from` and `into` are
    /// permits for both ends.
    ///
    /// # Errors
    /// As of [`Objects::apply`].
    pub async fn send_by_rule(
        &self,
        from: &Permit,
        into: &Permit,
        rules: &Rules,
        shipped: &Shipped,
    ) -> Result<Sent> {
        let to = &deed(into, &[Action::ReplicateInto])?.name;
        let Some(copy) = copy_by_rule(rules, shipped, to) else {
            return Ok(Sent::Stays);
        };
        let bodies = OwnBodies {
            objects: self,
            from,
        };
        let change = ShippedChange::Version(Box::new(copy));
        match self.apply(into, change, &bodies).await? {
            Applied::Done | Applied::Known | Applied::Superseded => Ok(Sent::There),
        }
    }

    /// What came of a version by the rules of its bucket, whose home is here.
    pub(crate) async fn rule_status(
        &self,
        permit: &Permit,
        key: &types::ObjectKey,
        info: &ObjectInfo,
    ) -> Result<RuleStatus> {
        let deed = permit.deed().ok_or(Error::WrongPermit)?;
        if info.attributes.replica {
            return Ok(RuleStatus::Replica);
        }
        let bucket = self.readable_bucket(deed).await?;
        let Some(rules) = &bucket.record.rules else {
            return Ok(RuleStatus::None);
        };
        let version = Candidate {
            key,
            written: info.id.at(),
            tags: &info.attributes.tags,
            delete_marker: false,
        };
        let generation = rules.generation();
        let mut status = RuleStatus::None;
        for to in rules.destinations() {
            if !rules.send(version, &to) {
                continue;
            }
            let known = self.rule_states.of(deed.id, &to);
            let known = known.filter(|known| known.generation == generation);
            let failed = rows::failed_rule(key.as_bytes(), info.id, &to);
            let index = &self.engine.index;
            let one = match known {
                Some(known) if known.refused.is_some() => RuleStatus::Failed,
                _ if index
                    .get(bucket.partition, &failed, Want::Value)
                    .await?
                    .is_some() =>
                {
                    RuleStatus::Failed
                }
                Some(known) if !known.scanning && known.position >= info.position => {
                    RuleStatus::Completed
                }
                _ => RuleStatus::Pending,
            };
            status = worse(status, one);
        }
        Ok(status)
    }
}

fn worse(a: RuleStatus, b: RuleStatus) -> RuleStatus {
    let rank = |status: RuleStatus| match status {
        RuleStatus::None => 0,
        RuleStatus::Replica => 1,
        RuleStatus::Completed => 2,
        RuleStatus::Pending => 3,
        RuleStatus::Failed => 4,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// A version as it goes to another bucket by rules; `None` when they do not send it there.
pub fn copy_by_rule(rules: &Rules, shipped: &Shipped, to: &BucketName) -> Option<Shipped> {
    if shipped.attributes.replica || !rules.send(candidate(shipped), to) {
        return None;
    }
    let mut copy = shipped.clone();
    copy.attributes.replica = true;
    // What keeps no versions at the source must not replace what is there at the destination.
    copy.null = false;
    Some(copy)
}

fn candidate(shipped: &Shipped) -> Candidate<'_> {
    Candidate {
        key: &shipped.key,
        written: shipped.version.at(),
        tags: &shipped.attributes.tags,
        delete_marker: shipped.delete_marker,
    }
}

/// The bytes of versions that are stored here.
struct OwnBodies<'a> {
    objects: &'a Objects,
    from: &'a Permit,
}

impl BodySource for OwnBodies<'_> {
    fn open<'a>(
        &'a self,
        shipped: &'a Shipped,
        offset: u64,
    ) -> BoxFuture<'a, std::result::Result<Box<dyn Body>, BodyError>> {
        Box::pin(async move {
            let (key, version) = (&shipped.key, shipped.version);
            let reader = self.objects.ship_body(self.from, key, version, offset);
            match reader.await {
                Ok(reader) => Ok(Box::new(OwnBody(reader)) as Box<dyn Body>),
                Err(error) => Err(BodyError::Connection(error.to_string())),
            }
        })
    }
}

struct OwnBody(ObjectReader);

impl Body for OwnBody {
    fn next(&mut self) -> types::body::NextChunk<'_> {
        Box::pin(async {
            match self.0.next().await {
                Ok(piece) => piece.map(|bytes: Bytes| Ok(bytes)),
                Err(error) => Some(Err(BodyError::Connection(error.to_string()))),
            }
        })
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}
