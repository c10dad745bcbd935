//! Drains: all buckets of a region move to other regions. The region that keeps the registry does
//! it, so a drain outlives the command that asked for it. The order is in the registry, and what is
//! left follows from the deeds: after a restart the drain begins again where it was.

mod job;
mod plan;
mod progress;
mod steps;

use std::{sync::Arc, time::Duration};

use access::grants::{Action, Grant, grant};
use admin::bodies::{DrainRegion, PlanDrain};
use cloud::{DrainOrder, DrainState, RegionRecord, RegionStatus};
use serde_json::{Value, json};
use tokio::time::Instant;
use types::{BucketDeed, Deeds as _, RegionId, Timestamp};

pub use self::progress::Drains;
use super::{
    Admin, Answer, Call, Refused,
    answers::{parse, refused},
};

/// Buckets of one answer to what a drain would do.
const PLANS_MAX: usize = 100;
/// How long such an answer gathers; it has one bucket at least.
const PLAN_WITHIN: Duration = Duration::from_secs(5);

/// Where a drained region's buckets go.
fn order(to: Option<String>, abort_uploads: bool) -> DrainOrder {
    DrainOrder { to, abort_uploads }
}

impl Admin {
    /// Places nothing more in a region, and moves its buckets elsewhere if that is asked for.
    pub(super) async fn drain(&self, call: &Call, id: &str) -> Answer {
        let body: DrainRegion = match call.body.is_empty() {
            true => DrainRegion::default(),
            false => parse(&call.body)?,
        };
        if !body.moves {
            return self.set_region(call, id, RegionStatus::Draining).await;
        }
        let registry = &self.region.registry;
        call.of_region(registry.region(id).as_deref())?;
        // It changes what belongs to all accounts.
        call.may_all(&[Action::PlaceBuckets, Action::PromoteBuckets])?;
        let order = order(body.to, body.abort_uploads);
        let begun = registry.begin_drain(&call.actor, id, &order).await;
        let begun = begun.map_err(refused)?;
        self.drains.wake();
        Ok(self.shown(&begun))
    }

    /// How far a drain is.
    pub(super) fn get_drain(&self, call: &Call, id: &str) -> Answer {
        let found = self.region.registry.region(id);
        call.of_region(found.as_deref())?;
        let region = found.ok_or_else(|| refused(cloud::CloudError::NoRegion(id.into())))?;
        Ok(self.drain_shown(call, &region))
    }

    /// Ends a drain between two steps. Buckets that moved stay where they are.
    pub(super) async fn abort_drain(&self, call: &Call, id: &str) -> Answer {
        let registry = &self.region.registry;
        let found = registry.region(id);
        call.of_region(found.as_deref())?;
        registry.takes_changes().map_err(refused)?;
        let region = found.ok_or_else(|| refused(cloud::CloudError::NoRegion(id.into())))?;
        let begun = region.drain.as_ref().map_or(0, |drain| drain.begun_ms);
        let aborted = DrainState::Aborted;
        let ended = registry.end_drain(&call.actor, id, begun, aborted).await;
        self.drains.wake();
        Ok(self.drain_shown(call, &*ended.map_err(refused)?))
    }

    /// Says what a drain would do with each bucket of a region, in order of their names.
    pub(super) async fn plan_drain(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        let PlanDrain {
            to,
            abort_uploads,
            after,
        } = parse(&call.body)?;
        let registry = &self.region.registry;
        if registry.region(id).is_none() {
            return Err(refused(cloud::CloudError::NoRegion(id.into())));
        }
        registry.takes_changes().map_err(refused)?;
        let (order, region) = (order(to, abort_uploads), RegionId::new(id));
        let residents = self.residents(&region);
        let mut rest = residents.iter().filter(|deed| *deed.name > *after);
        let (begun, mut plans, mut last) = (Instant::now(), Vec::new(), None);
        while plans.len() < PLANS_MAX && (plans.is_empty() || begun.elapsed() < PLAN_WITHIN) {
            last = rest.next();
            let Some(deed) = last else { break };
            plans.push(self.would(call, deed, &region, &order).await);
        }
        Ok(json!({
            "moves": plans,
            "total": residents.len(),
            "next": last.map(|deed| &*deed.name),
        }))
    }

    async fn would(
        &self,
        call: &Call,
        deed: &Arc<BucketDeed>,
        region: &RegionId,
        order: &DrainOrder,
    ) -> Value {
        let planned = self.plan_move(&call.actor, deed, region, order).await;
        let checked = match planned {
            Ok(plan) if !plan.is_home => {
                let removed = self.removes(&call.actor, deed, region, true).await;
                removed.map(|_| plan)
            }
            planned => planned,
        };
        match checked {
            Ok(plan) => plan.shown(),
            Err((_, why)) => self.stays(deed, region, &why).await,
        }
    }

    /// The buckets that have their home or a replica in a region, in order of their names.
    fn residents(&self, region: &RegionId) -> Vec<Arc<BucketDeed>> {
        let mut all = self.region.registry.all();
        all.retain(|deed| deed.holders().any(|holder| holder == region));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Of a drain as a part of its region, for whoever sees all of the region.
    pub(super) fn drain_in_short(&self, region: &RegionRecord) -> Value {
        let Some(drain) = &region.drain else {
            return Value::Null;
        };
        let (_, stays) = self.drains.brief(&region.id, drain.begun_ms);
        json!({
            "state": self.drain_state(region),
            "to": drain.order.to,
            "begun": Timestamp::from_ms(drain.begun_ms).iso8601(),
            "ended": drain.ended_ms.map(|ms| Timestamp::from_ms(ms).iso8601()),
            "stays": stays,
        })
    }

    /// A drain that moves nothing until its next try waits.
    fn drain_state(&self, region: &RegionRecord) -> &'static str {
        let Some(drain) = &region.drain else {
            return "none";
        };
        let (waits, _) = self.drains.brief(&region.id, drain.begun_ms);
        match drain.state {
            DrainState::Moving if waits => "waiting",
            state => state.name(),
        }
    }

    fn drain_shown(&self, call: &Call, region: &RegionRecord) -> Value {
        let drain = region.drain.as_ref();
        let begun = drain.map_or(0, |drain| drain.begun_ms);
        let mut progress = self.drains.of(&region.id, begun);
        // Who looks after a region does not see what the buckets of others are called.
        if grant(&call.role, Action::ListBuckets) != Grant::All {
            progress.hide_names();
        }
        let at = |ms: u64| Timestamp::from_ms(ms).iso8601();
        json!({
            "region": region.id,
            "state": self.drain_state(region),
            "to": drain.and_then(|drain| drain.order.to.as_deref()),
            "abort_uploads": drain.is_some_and(|drain| drain.order.abort_uploads),
            "by": drain.map(|drain| drain.actor().to_string()),
            "begun": drain.map(|drain| at(drain.begun_ms)),
            "ended": drain.and_then(|drain| drain.ended_ms).map(at),
            "left": self.region.registry.held_by(&region.id),
            "moved": progress.moved,
            "bucket": progress.bucket,
            "step": progress.step,
            "next_try": progress.next_try_ms.map(at),
            "moves": progress.moves,
            "stays": progress.stays.values().collect::<Vec<_>>(),
        })
    }

    /// What is known of a bucket that stays, and why it does.
    async fn stays(&self, deed: &Arc<BucketDeed>, region: &RegionId, why: &str) -> Value {
        let uploads = match deed.home == *region {
            true => self.uploads(deed).await.ok(),
            false => None,
        };
        json!({ "bucket": &*deed.name, "error": why, "uploads": uploads })
    }
}

impl Call {
    /// Whether the caller may do all of these everywhere.
    fn may_all(&self, actions: &[Action]) -> Result<(), Refused> {
        let all = |action: &Action| grant(&self.role, *action) == Grant::All;
        match actions.iter().all(all) {
            true => Ok(()),
            false => Err(self.refuse()),
        }
    }
}
