//! Promotions: a bucket gets another home, once the one that it has decides nothing more.

use std::{sync::Arc, time::Duration};

use admin::bodies::Promote;
use replication::{What, Yielded};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use types::{Actor, BucketDeed, RegionId};

use super::{
    Admin, Answer, Call, Refused,
    answers::{conflict, parse, refused},
    buckets::{deed, with_uploads},
};

/// How long the old home may take to say that it decides nothing more.
const YIELD_WITHIN: Duration = Duration::from_secs(2);
/// How long the old home takes no writes at most while a planned move waits for the new one to get
/// the last changes.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(20);
/// The old home is informed again that the move is under way, well before what it received expires.
const SAY_AGAIN: Duration = Duration::from_secs(1);
/// Between two looks at how far the new home is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Admin {
    pub(super) async fn promote(&self, call: &Call, found: &Arc<BucketDeed>) -> Answer {
        self.promote_as(&call.actor, found, parse(&call.body)?)
            .await
    }

    /// Gives a bucket another home, or says what that would be.
    pub(super) async fn promote_as(
        &self,
        actor: &Actor,
        found: &Arc<BucketDeed>,
        promote: Promote,
    ) -> Answer {
        // Before the old home is asked to yield: where the registry cannot be changed, nothing is.
        let registry = &self.region.registry;
        registry.takes_changes().map_err(refused)?;
        let (to, why) = match &promote.to {
            Some(to) => (RegionId::new(to), None),
            None => {
                let (to, why) = self.chosen(found).await?;
                (to, Some(why))
            }
        };
        let would = registry.moved(&found.name, &to).map_err(refused)?;
        if !promote.force {
            self.may_promote(found, &to).await?;
            self.is_whole(found, &to).await?;
        }
        // Before the old home is asked to yield, too: this may be refused.
        let lost = self.lost_uploads(found, promote.abort_uploads).await?;
        if promote.dry_run {
            let mut would = with_uploads(deed(&would), lost);
            if let Some(why) = why {
                would["why"] = json!(why);
            }
            return Ok(would);
        }
        // Before other buckets of that home are affected, which need promises, too.
        if promote.planned {
            self.catches_up(found, &would).await?;
        }
        let promises = self.region.replication.promises();
        // The region itself learns of the new deed as it is made.
        let pause = (found.home != self.region.id).then(|| promises.pause(&found.home));
        let wait = promote.wait_ms.map_or(Duration::MAX, Duration::from_millis);
        if pause.is_some()
            && let Some(left) = self.old_home_decides(found, &would, wait).await?
        {
            let mut waiting = deed(found);
            waiting["waits"] = json!({
                "for": &*found.home,
                "to": &*to,
                "left_ms": left.as_millis() as u64,
            });
            return Ok(with_uploads(waiting, lost));
        }
        let from = (&found.name, found.epoch);
        let moved = registry.move_home(actor, from, &to, promote.force);
        let moved = moved.await.map_err(refused)?;
        if let Some(pause) = pause {
            pause.end();
        }
        Ok(with_uploads(deed(&moved), lost))
    }

    /// Waits until the old home decides nothing more: it says so itself, or the promise of this
    /// region has ended. Answers how long that still takes when it takes longer than `wait`.
    async fn old_home_decides(
        &self,
        found: &Arc<BucketDeed>,
        would: &BucketDeed,
        wait: Duration,
    ) -> Result<Option<Duration>, Refused> {
        if self.yields(found, would).await {
            return Ok(None);
        }
        self.home_counts_on(found, &would.home).await?;
        if types::planted("promise-not-waited-out") {
            return Ok(None);
        }
        let promises = self.region.replication.promises();
        let left = || {
            let until = promises.given_until(&found.home);
            until.saturating_duration_since(Instant::now())
        };
        let now = left();
        if now > Duration::ZERO {
            let (bucket, home, left_ms) = (&found.name, &found.home, now.as_millis() as u64);
            tracing::info!(%bucket, %home, left_ms, "a promotion waits for the promise to the old home to end");
        }
        sleep(now.min(wait)).await;
        Ok(Some(left()).filter(|left| !left.is_zero()))
    }

    /// Has the old home take no more writes, and waits until the new one has all that it
    /// acknowledged. A failure changes nothing: the old home goes on by itself.
    async fn catches_up(&self, found: &Arc<BucketDeed>, would: &BucketDeed) -> Result<(), Refused> {
        let (name, home, to) = (&found.name, &found.home, &would.home);
        let until = Instant::now() + CATCH_UP_WITHIN;
        let mut said: Option<Instant> = None;
        while Instant::now() < until {
            if said.is_none_or(|at| at.elapsed() > SAY_AGAIN) {
                let asked = Instant::now();
                if !self.yields(found, would).await {
                    if said.is_some() {
                        sleep(LOOK_EVERY).await;
                        continue;
                    }
                    return Err(conflict(&format!(
                        "the home of {name}, region {home}, does not answer, and only with its help \
                         is nothing lost: try again, or promote {to} (`dhow bucket promote`)"
                    )));
                }
                said = Some(asked);
            }
            // Asked after it takes none: what is not behind then has all.
            let copies = self.region.replicas(found).await.unwrap_or_default();
            let copy = copies.iter().find(|copy| *copy.region == **to);
            if copy.is_some_and(|copy| copy.behind == Some(0)) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        Err(conflict(&format!(
            "{to} did not get the last changes of {name} within {} s, in which region {home} took no \
             writes; its home is still {home}. Try again when less is written, or over a faster link",
            CATCH_UP_WITHIN.as_secs()
        )))
    }

    /// A silent home may decide by the promises of all successors that it knows. The new home's own
    /// promise, which that one waits out, is among them only if the old home knows of it.
    async fn home_counts_on(&self, found: &Arc<BucketDeed>, to: &RegionId) -> Result<(), Refused> {
        let knows = self.region.registry.home_knows(found, to).await;
        if knows.map_err(refused)? || matches!(self.has_followed(found, to).await?, Some(true)) {
            return Ok(());
        }
        let (name, home) = (&found.name, &found.home);
        Err(conflict(&format!(
            "the home of {name}, region {home}, does not answer, and may not know yet that \
             {to} keeps a replica: it could go on deciding beside {to}, so --force does not help. \
             Promote a region that has kept a replica for longer, or try again once {to} has got \
             all of {name}, or {home} answers"
        )))
    }

    /// Whether the old home takes no writes any more under the epoch before the new one. One that
    /// does not yet know that it is the home says nothing: it could learn that later, and decide.
    async fn yields(&self, found: &Arc<BucketDeed>, would: &BucketDeed) -> bool {
        if found.home == self.region.id {
            let promises = self.region.replication.promises();
            return promises.learned(found, would.epoch, &self.region.id);
        }
        let would = Arc::new(would.clone());
        let far = self.region.ask_at(&found.home, &would);
        let asked = timeout(YIELD_WITHIN, far.read::<Yielded>(What::Yield)).await;
        matches!(asked, Ok(Ok(yielded)) if yielded.was_home)
    }

    /// Away from a home that answers, here or to any other region, only by force: what it has and
    /// the replica has not would diverge.
    async fn may_promote(&self, found: &BucketDeed, to: &RegionId) -> Result<(), Refused> {
        if found.home == self.region.id {
            return Err(self.still_answers(found, to, "it keeps the registry"));
        }
        match &*self.region.reached_from(&found.home).await {
            [] => Ok(()),
            by => {
                let by: Vec<&str> = by.iter().map(|region| &**region).collect();
                let by = format!("it is reached from {}", by.join(", "));
                Err(self.still_answers(found, to, &by))
            }
        }
    }

    /// To a replica that is not whole only by force: the rest would be lost with the home, which
    /// may not even know that it could be succeeded.
    async fn is_whole(&self, found: &Arc<BucketDeed>, to: &RegionId) -> Result<(), Refused> {
        // Who does not answer, or does not know the question, is not asked for more.
        match self.has_followed(found, to).await?.unwrap_or(true) {
            true => Ok(()),
            false => Err(conflict(&format!(
                "region {to} has not got all of {} yet, and what it lacks would be lost with the home; \
                 --force promotes it all the same",
                found.name
            ))),
        }
    }

    /// Whether a replica has got all of the bucket once; `None` where it does not say.
    async fn has_followed(
        &self,
        found: &Arc<BucketDeed>,
        to: &RegionId,
    ) -> Result<Option<bool>, Refused> {
        if *to == self.region.id {
            let followed = self.region.replication.source().followed(found).await;
            return followed.map(Some).map_err(|e| conflict(&e.to_string()));
        }
        let copy = self.region.ask_at(to, found);
        let asked = timeout(YIELD_WITHIN, copy.read(What::Followed)).await;
        Ok(asked.ok().and_then(Result::ok))
    }

    fn still_answers(&self, found: &BucketDeed, to: &RegionId, how: &str) -> Refused {
        conflict(&format!(
            "the home of {}, region {}, still answers ({how}); writes that {to} does not have yet \
             would diverge. `dhow bucket move {} --to {to}` moves it without losing a write; \
             --force does not wait",
            found.name, found.home, found.name
        ))
    }
}
