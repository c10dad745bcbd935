//! The steps of one bucket that leaves a region, and the waits between them. From one step to the
//! next the bucket is whole in some other lawful region.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use admin::bodies::Promote;
use cloud::{DrainRecord, DrainState};
use parking_lot::Mutex;
use replication::ReplicaStatus;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use types::{BucketDeed, BucketName, Deeds as _, RegionId, Timestamp};

use super::super::{Admin, Answer, Refused};
use super::plan::{Plan, promotion};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long the home may take to say how its replicas are.
const HOME_WAIT: Duration = Duration::from_secs(5);
/// How long it may leave that question unanswered.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long a replica may stay as far as it is.
const STALLED_MAX: Duration = Duration::from_secs(120);
/// How long other buckets wait for one whose replica still makes progress.
const TURN_MAX: Duration = Duration::from_secs(600);
/// Changes that a replica may be behind, and still counts as following closely.
const NEARLY: u64 = 1000;

/// Why a bucket has not left.
pub(super) enum Stop {
    /// The drain has ended, or there is another order.
    Ended,
    /// Its replica makes progress, and takes long.
    Slow,
    /// It cannot go now.
    Stays(String),
}

impl From<Refused> for Stop {
    fn from((_, why): Refused) -> Self {
        Self::Stays(why)
    }
}

/// When a wait for a replica ends.
#[derive(Debug, Clone, Copy)]
enum Enough {
    /// It follows closely. Under writes it may never have everything.
    Nearly,
    /// It follows, and so has handed over what it alone had.
    Follows,
}

impl Enough {
    fn is_met(self, replica: &ReplicaStatus) -> bool {
        let behind = replica.behind.unwrap_or_default();
        let close = matches!(self, Self::Follows) || behind <= NEARLY;
        replica.applied.is_some() && close
    }
}

/// How far a replica is: applied, seeded, behind.
type HowFar = (Option<u64>, Option<u64>, Option<u64>);

/// What a replica does, for whoever watches.
fn words(replica: &ReplicaStatus) -> String {
    let region = &replica.region;
    match (replica.applied, replica.seeded, replica.behind) {
        (Some(_), _, None | Some(0)) => format!("{region} follows"),
        (Some(_), _, Some(behind)) => format!("{region} follows: {behind} changes to come"),
        (None, Some(versions), _) => {
            format!("{region} takes a snapshot: {versions} versions so far")
        }
        (None, None, _) => format!("waits for {region} to begin"),
    }
}

/// One drain, as it was ordered.
pub(super) struct Run<'a> {
    pub admin: &'a Admin,
    pub region: &'a RegionId,
    pub drain: &'a DrainRecord,
    /// Regions that were waited for in vain in this pass: their other buckets do not wait.
    pub in_vain: Mutex<BTreeSet<RegionId>>,
}

impl Run<'_> {
    /// Whether the order still holds.
    pub(super) fn goes_on(&self) -> Result<(), Stop> {
        let known = self.admin.region.registry.region(self.region);
        let holds = known.is_some_and(|known| {
            known.drain.as_ref().is_some_and(|drain| {
                drain.begun_ms == self.drain.begun_ms && drain.state == DrainState::Moving
            })
        });
        holds.then_some(()).ok_or(Stop::Ended)
    }

    /// The bucket, while it has its home or a replica in the region.
    fn resident(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        let deed = self.admin.region.registry.get(name);
        deed.filter(|deed| deed.holders().any(|holder| holder == self.region))
    }

    /// Moves one bucket away. `None` where it has gone by itself.
    pub(super) async fn bucket(&self, name: &BucketName) -> Result<Option<Value>, Stop> {
        self.goes_on()?;
        let Some(deed) = self.resident(name) else {
            return Ok(None);
        };
        let (actor, order) = (self.drain.actor(), &self.drain.order);
        let plan = self.admin.plan_move(&actor, &deed, self.region, order);
        let plan = plan.await?;
        match self.steps(&deed, &plan).await {
            // Its owner may have deleted or moved it meanwhile.
            Err(Stop::Stays(_)) if self.resident(name).is_none() => Ok(Some(plan.shown())),
            Err(stop) => Err(stop),
            Ok(()) => Ok(Some(plan.shown())),
        }
    }

    async fn steps(&self, deed: &Arc<BucketDeed>, plan: &Plan) -> Result<(), Stop> {
        let (name, actor) = (&deed.name, self.drain.actor());
        if let Some((to, _, _)) = &plan.replica {
            self.says(format!("gives {to} a replica"));
            let added = self.admin.adds(&actor, deed, to, false).await;
            self.recorded(name, added, |deed| {
                deed.holders().any(|holder| holder == to)
            })?;
            self.wait(name, to, Enough::Nearly).await?;
        }
        if let Some(home) = &plan.home {
            self.wait(name, home, Enough::Nearly).await?;
            self.goes_on()?;
            self.says(format!("moves the home to {home}"));
            let planned = Promote {
                planned: true,
                ..promotion(Some(home), &self.drain.order)
            };
            let deed = self.known(name)?;
            self.admin.promote_as(&actor, &deed, planned).await?;
        }
        let deed = self.known(name)?;
        // Under an epoch that is new to the region, it may have what no other region has.
        if deed.epoch > 1 && self.runs().await {
            self.wait(name, self.region, Enough::Follows).await?;
        }
        self.goes_on()?;
        self.says(format!("removes the replica of {}", self.region));
        let deed = self.known(name)?;
        let removed = self.admin.removes(&actor, &deed, self.region, false);
        self.recorded(name, removed.await, |deed| {
            !deed.holders().any(|holder| holder == self.region)
        })
    }

    /// A change that is on record is made, also where a region has not received it in time: that
    /// one may be the silent one.
    fn recorded(
        &self,
        name: &BucketName,
        answer: Answer,
        is_done: impl FnOnce(&BucketDeed) -> bool,
    ) -> Result<(), Stop> {
        match answer {
            Err((_, why)) if is_done(&*self.known(name)?) => {
                self.says(why);
                Ok(())
            }
            answer => Ok(answer.map(drop)?),
        }
    }

    fn known(&self, name: &BucketName) -> Result<Arc<BucketDeed>, Stop> {
        let deed = self.admin.region.registry.get(name);
        deed.ok_or_else(|| Stop::Stays("the bucket is deleted".to_owned()))
    }

    /// How the home says that a replica is.
    async fn replica(
        &self,
        deed: &Arc<BucketDeed>,
        at: &RegionId,
    ) -> Result<ReplicaStatus, String> {
        let asked = timeout(HOME_WAIT, self.admin.region.replicas(deed)).await;
        let all = asked.unwrap_or_else(|_| {
            let (home, wait) = (&deed.home, HOME_WAIT.as_secs());
            Err(format!("{home} does not answer within {wait} s"))
        })?;
        let found = all.into_iter().find(|replica| *replica.region == **at);
        found.ok_or_else(|| format!("{} does not know yet that {at} has a replica", deed.home))
    }

    /// Whether the region that drains runs, so that it can be waited for.
    async fn runs(&self) -> bool {
        let here = &self.admin.region;
        *self.region == here.id || here.answers(self.region).await
    }

    /// Waits until a replica is as far as it must be. Progress may take as long as it takes, but
    /// other buckets do not wait for it longer than their turn.
    async fn wait(&self, name: &BucketName, at: &RegionId, enough: Enough) -> Result<(), Stop> {
        let waited = self.in_vain.lock().contains(at);
        let begun = Instant::now();
        let (mut last, mut silent) = (None::<(HowFar, Instant)>, None::<Instant>);
        loop {
            self.goes_on()?;
            match self.replica(&self.known(name)?, at).await {
                Ok(replica) if enough.is_met(&replica) => return Ok(()),
                Ok(replica) => {
                    silent = None;
                    let now = (replica.applied, replica.seeded, replica.behind);
                    let (_, since) = *match &mut last {
                        Some(last) if last.0 == now => last,
                        other => other.insert((now, Instant::now())),
                    };
                    self.says(words(&replica));
                    if waited || since.elapsed() > STALLED_MAX {
                        self.in_vain.lock().insert(at.clone());
                        let seconds = STALLED_MAX.as_secs();
                        return Err(Stop::Stays(format!(
                            "a replica of {at} has made no progress for {seconds} s ({})",
                            words(&replica)
                        )));
                    }
                }
                Err(why) if silent.get_or_insert_with(Instant::now).elapsed() > SILENCE_MAX => {
                    return Err(Stop::Stays(why));
                }
                Err(why) => self.says(why),
            }
            if begun.elapsed() > TURN_MAX {
                return Err(Stop::Slow);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What is done now, for whoever watches.
    fn says(&self, step: String) {
        let drains = &self.admin.drains;
        drains.note(self.region, self.drain.begun_ms, |progress| {
            progress.step = Some(step);
        });
    }

    /// Notes that it is at a bucket.
    pub(super) fn begins(&self, name: &BucketName) {
        let drains = &self.admin.drains;
        drains.note(self.region, self.drain.begun_ms, |progress| {
            progress.bucket = Some(name.to_string());
            progress.step = None;
            progress.next_try_ms = None;
        });
    }

    /// Notes what became of a bucket.
    pub(super) async fn ends(&self, name: &BucketName, outcome: Result<Option<Value>, String>) {
        let now = self.admin.region.clock.now();
        let stays = match (&outcome, self.resident(name)) {
            (Err(why), Some(deed)) => Some(self.admin.stays(&deed, self.region, why).await),
            _ => None,
        };
        let drains = &self.admin.drains;
        drains.note(self.region, self.drain.begun_ms, |progress| {
            progress.bucket = None;
            progress.step = None;
            let before = progress.stays.remove(&**name);
            if let Ok(Some(moved)) = outcome {
                progress.moved += 1;
                progress.moves.push(moved);
            }
            if let Some(stays) = stays {
                progress
                    .stays
                    .insert(name.to_string(), tried(stays, before, now));
            }
        });
        drains.keep().await;
    }
}

/// Why a bucket stays, with how often it was tried and since when.
fn tried(mut stays: Value, before: Option<Value>, now: Timestamp) -> Value {
    let before = before.unwrap_or_default();
    let tries = before.get("tries").and_then(Value::as_u64);
    let since = before.get("since").and_then(Value::as_str);
    stays["tries"] = json!(tries.unwrap_or_default() + 1);
    stays["since"] = json!(since.map_or_else(|| now.iso8601(), str::to_owned));
    stays
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(applied: Option<u64>, seeded: Option<u64>, behind: Option<u64>) -> ReplicaStatus {
        ReplicaStatus {
            region: "b".to_owned(),
            applied,
            seeded,
            in_touch: true,
            behind,
            lagging: Vec::new(),
        }
    }

    #[test]
    fn a_wait_ends_under_writes_where_that_will_do() {
        let met = |enough: Enough| {
            [
                replica(None, None, None),
                replica(None, Some(3), None),
                replica(Some(1), None, Some(NEARLY + 1)),
                replica(Some(1), None, Some(1)),
                replica(Some(1), None, Some(0)),
            ]
            .map(|replica| enough.is_met(&replica))
        };
        assert_eq!(met(Enough::Nearly), [false, false, false, true, true]);
        assert_eq!(met(Enough::Follows), [false, false, true, true, true]);
    }

    #[test]
    fn tries_are_counted_since_the_first() {
        let at = Timestamp::from_ms;
        let first = tried(json!({ "error": "a" }), None, at(1000));
        let second = tried(json!({ "error": "b" }), Some(first.clone()), at(9000));
        assert_eq!(second["tries"], 2);
        assert_eq!(second["since"], first["since"]);
        assert_eq!(second["error"], "b");
    }
}
