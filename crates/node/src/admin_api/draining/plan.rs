//! What a drain does with one bucket: the steps after which nothing of it is in the region, and it
//! is whole in another lawful one.

use std::sync::Arc;

use admin::bodies::{Place, Promote};
use cloud::DrainOrder;
use replication::Uploads;
use serde_json::{Value, json};
use types::{Actor, BucketDeed, RegionId, Writes};

use super::super::{Admin, Answer, Refused, answers::conflict};

/// The steps, and what they concern.
pub(super) struct Plan {
    pub name: String,
    /// Its writes are ordered in the region that drains.
    pub is_home: bool,
    /// The region that gets a replica first, with how many versions and bytes go there.
    pub replica: Option<(RegionId, u64, u64)>,
    /// The next home, when it has its home in the region that drains.
    pub home: Option<RegionId>,
    /// Uploads in progress at the home, where that drains.
    pub uploads: Option<Uploads>,
    /// The regions that hold it already and stay.
    pub others: Vec<RegionId>,
}

impl Plan {
    pub(super) fn shown(&self) -> Value {
        let replica = self.replica.as_ref();
        let to = replica.map(|(to, _, _)| &**to);
        let others = self.others.iter().map(|region| &**region);
        json!({
            "bucket": self.name,
            "home": self.home.as_deref(),
            "replica": to,
            // The name that it had until 0.1, for one more release.
            "copy": to,
            "versions": replica.map_or(0, |(_, versions, _)| *versions),
            "bytes": replica.map_or(0, |(_, _, bytes)| *bytes),
            "uploads": self.uploads,
            "others": others.collect::<Vec<_>>(),
        })
    }
}

impl Admin {
    /// What would be done with a bucket of a region that drains, or why nothing can be.
    pub(super) async fn plan_move(
        &self,
        actor: &Actor,
        deed: &Arc<BucketDeed>,
        region: &RegionId,
        order: &DrainOrder,
    ) -> Result<Plan, Refused> {
        let is_home = deed.home == *region;
        if is_home && deed.placement.writes == Writes::Any {
            return Err(conflict(&format!(
                "it takes writes everywhere: let the home alone take them first (dhow bucket \
                 place {} --writes home)",
                deed.name
            )));
        }
        let mut uploads = None;
        if is_home {
            uploads = self.lost_uploads(deed, order.abort_uploads).await?;
        }
        let others: Vec<RegionId> = deed.holders().filter(|r| *r != region).cloned().collect();
        let to = order.to.as_deref().map(RegionId::new);
        let replica = match to.filter(|to| !others.contains(to)) {
            Some(to) => Some(self.would_add(actor, deed, to).await?),
            None => None,
        };
        let home = match is_home {
            true => Some(self.next_home(actor, deed, order, replica.as_ref()).await?),
            false => None,
        };
        Ok(Plan {
            name: deed.name.to_string(),
            is_home,
            replica,
            home,
            uploads,
            others,
        })
    }

    /// Whether a region may get a replica, and how much it would get.
    async fn would_add(
        &self,
        actor: &Actor,
        deed: &Arc<BucketDeed>,
        to: RegionId,
    ) -> Result<(RegionId, u64, u64), Refused> {
        let would = self.adds(actor, deed, &to, true).await?;
        let number = |of: &str| would.pointer(of).and_then(Value::as_u64);
        let count = |of: &str| number(of).unwrap_or_default();
        Ok((to, count("/moves/versions"), count("/moves/bytes")))
    }

    async fn next_home(
        &self,
        actor: &Actor,
        deed: &Arc<BucketDeed>,
        order: &DrainOrder,
        replica: Option<&(RegionId, u64, u64)>,
    ) -> Result<RegionId, Refused> {
        let replicas = deed.placement.replicas.iter();
        let readable: Vec<&RegionId> = replicas
            .filter(|replica| replica.sealed_by.is_none())
            .map(|replica| &replica.region)
            .collect();
        // A region that does not answer is no home, where the order names another one.
        let silent = replica.is_some() && !self.any_answers(&readable).await;
        if !readable.is_empty() && !silent {
            let would = Promote {
                dry_run: true,
                ..promotion(None, order)
            };
            let would = self.promote_as(actor, deed, would).await?;
            let home = would.get("home").and_then(Value::as_str);
            return Ok(RegionId::new(home.unwrap_or_default()));
        }
        replica.map(|(to, _, _)| to.clone()).ok_or_else(|| {
            conflict(
                "it has no other replica that a region can read: name a region that is to have it, \
                 with --to",
            )
        })
    }

    async fn any_answers(&self, regions: &[&RegionId]) -> bool {
        for region in regions {
            if **region == self.region.id || self.region.answers(region).await {
                return true;
            }
        }
        false
    }

    /// Gives a region a replica.
    pub(super) async fn adds(
        &self,
        actor: &Actor,
        deed: &Arc<BucketDeed>,
        to: &RegionId,
        dry_run: bool,
    ) -> Answer {
        let place = Place {
            add: vec![to.to_string()],
            dry_run,
            ..Place::default()
        };
        self.place_as(actor, deed, place).await
    }

    /// Takes a region's replica away.
    pub(super) async fn removes(
        &self,
        actor: &Actor,
        deed: &Arc<BucketDeed>,
        from: &RegionId,
        dry_run: bool,
    ) -> Answer {
        let place = Place {
            remove: vec![from.to_string()],
            dry_run,
            ..Place::default()
        };
        self.place_as(actor, deed, place).await
    }
}

/// By force, since the home still answers.
pub(super) fn promotion(to: Option<&RegionId>, order: &DrainOrder) -> Promote {
    Promote {
        to: to.map(ToString::to_string),
        force: true,
        abort_uploads: order.abort_uploads,
        ..Promote::default()
    }
}
