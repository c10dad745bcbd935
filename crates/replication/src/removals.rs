//! Home and replica exchange their removals before a replica begins under a new epoch, or begins
//! again: what one side removed, and the other does not know to be removed, must not come back
//! through the other.
//!
//! The replica asks the home for the removals in the home's log, and has the home ask the replica.
//! Neither moves any object.

use std::{sync::Arc, time::Duration};

use access::{Permit, authorize_receiving};
use objects::{Removed, Report, ShippedChange, Word};
use store::Position;
use tokio::time::Instant;
use types::{BucketDeed, Holding, Place};

use crate::{
    Divergence, ReplicationError, Source,
    answers::{Refused, failed},
    client::Far,
    follow::{Follower, stands_still},
    frames::Answer,
    wire::{Gathered, What},
};

/// How long the home works on one answer before it says how far it came.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(10);

/// A page of what was removed in the other region, and where to go on.
async fn page(far: &Far, after: u64) -> Result<(Vec<Removed>, u64), ReplicationError> {
    let answer = far.ask(What::Removals { after }).await?;
    let removed = |(_, change): (u64, ShippedChange)| match change {
        ShippedChange::Removed { key, version, null } => Ok(Removed {
            name: (key, version),
            null,
        }),
        _ => Err(ReplicationError::Malformed(
            "something else than a removal".to_owned(),
        )),
    };
    let removals: Result<Vec<_>, _> = answer.changes.into_iter().map(removed).collect();
    match answer.position >= after {
        true => Ok((removals?, answer.position)),
        false => Err(stands_still("a log")),
    }
}

impl Follower {
    /// At a replica: takes over what was removed at the home, as far back as the home's log reaches
    /// and this region does not know it.
    pub(crate) async fn exchange_removals(
        &self,
        permit: &Permit,
        known: Position,
    ) -> Result<(), ReplicationError> {
        let mut after = known.0;
        loop {
            let (removed, next) = page(&self.far, after).await?;
            self.objects.take_removals(permit, removed).await?;
            if next == after {
                return Ok(());
            }
            after = next;
        }
    }

    /// At a replica: has the home take over what is known here to be removed.
    pub(crate) async fn send_removals(&self) -> Result<(), ReplicationError> {
        self.until_read(|after| What::Hear { after }).await
    }
}

impl Source {
    /// What was removed here.
    pub(crate) async fn removals(&self, permit: &Permit, after: u64) -> Result<Answer, Refused> {
        let page = self.objects.removals(permit, Position(after)).await;
        let page = page.map_err(failed)?;
        Ok(Answer {
            position: page.next.0,
            changes: page.removed.into_iter().map(|r| (0, r.into())).collect(),
            ..Answer::default()
        })
    }

    /// At the home: takes over what a replica knows to be removed.
    pub(crate) async fn hear(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        after: u64,
    ) -> Result<Gathered, ReplicationError> {
        let here = self.regions.here();
        if deed.holding(&here.region) != Holding::Home {
            return Err(ReplicationError::Refused(format!(
                "the home of {} is region {}",
                deed.name, deed.home
            )));
        }
        let permit = authorize_receiving(deed, &here, from)?;
        let mut page_of_removals = Gathered {
            position: after,
            done: false,
        };
        let Some(_place) = self.handover.place(deed.id, &from.region) else {
            return Ok(page_of_removals);
        };
        // Once for each time that this region became the home: what a replica knows of before.
        let (objects, region) = (&self.objects, &from.region);
        let since = self.regions.home_since(deed).await;
        let since = since.map_err(ReplicationError::Refused)?;
        if !objects
            .may_tell(&permit, region, since, Report::Removals)
            .await?
        {
            page_of_removals.done = true;
            return Ok(page_of_removals);
        }
        let far = self.handover.far(deed, from);
        let until = Instant::now() + EXCHANGE_WITHIN;
        while !page_of_removals.done && Instant::now() < until {
            let (removed, next) = page(&far, page_of_removals.position).await?;
            let (removed, hits) = objects.believed(&permit, removed).await?;
            let noted = objects.note_on_word(&permit, region, Word::Former, &hits);
            noted.await?;
            let keys = objects.take_removals(&permit, removed).await?;
            if !keys.is_empty() {
                let divergence = Divergence {
                    bucket: deed.name.clone(),
                    id: deed.id,
                    from: from.region.clone(),
                    epoch: deed.epoch,
                    keys: keys.iter().map(ToString::to_string).collect(),
                };
                self.regions.report(divergence).await;
            }
            page_of_removals.done = next == page_of_removals.position;
            page_of_removals.position = next;
        }
        if page_of_removals.done {
            objects.has_told(&permit, region, Report::Removals).await?;
        }
        Ok(page_of_removals)
    }
}
