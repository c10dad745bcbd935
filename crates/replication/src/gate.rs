//! Which questions a region may ask about a bucket. Every kind of question has its line here, and
//! nothing is answered without what this gives: a question that no rule of placement covers does
//! not compile.

use std::sync::Arc;

use access::{
    Counting, Permit, authorize_counting, authorize_receiving, authorize_rule_receiving,
    authorize_rule_sending, authorize_sealing, authorize_sending, may_name,
};
use http::StatusCode;
use types::{BucketDeed, BucketName, Holding, Place};

use crate::{
    Source,
    answers::{Refused, refused},
    wire::{Ask, What},
};

/// What a question was admitted as.
pub(crate) enum Admitted {
    /// How the bucket is doing.
    Counts(Counting),
    /// Of a region that holds a readable replica, about what is in the bucket.
    Copy(Permit),
    /// Of a region whose replica is sealed.
    Sealed,
    /// About what clients changed at a replica.
    Gathering,
    /// By a replication rule.
    Rule,
}

/// Said alike of a bucket that is not there and of one that is nothing to the region that asks.
pub(crate) fn outside() -> Refused {
    refused("the region that asks holds nothing of such a bucket")
}

impl Source {
    /// The deed as this region knows it, and what the question is admitted as. Which epoch it is
    /// about is compared last: others need not know it.
    pub(crate) fn admit(
        &self,
        from: &Place,
        ask: &Ask,
    ) -> Result<(Arc<BucketDeed>, Admitted), Refused> {
        let name = BucketName::new(&ask.bucket).map_err(refused)?;
        let found = self.regions.deed(&name).filter(|d| d.id.0 == ask.id);
        let deed = found.ok_or_else(outside)?;
        let admitted = self.gate(&deed, from, &ask.what);
        let planted = types::planted("residency-unchecked-at-source");
        let admitted = match deed.holding(&from.region) {
            Holding::Nothing if !planted => Ok(admitted.map_err(|_| outside())?),
            _ => admitted,
        };
        if deed.epoch != ask.epoch && !types::planted("epoch-unchecked") {
            let why = format!("the bucket's epoch is {}, not {}", deed.epoch, ask.epoch);
            return Err((StatusCode::CONFLICT, why));
        }
        Ok((deed, admitted?))
    }

    fn gate(&self, deed: &Arc<BucketDeed>, from: &Place, what: &What) -> Result<Admitted, Refused> {
        let here = self.regions.here();
        match what {
            What::Replicas | What::Usage | What::Uploads | What::Rules | What::Renewal => {
                let keeps = self.regions.keeps_registry(&from.region);
                let counting = authorize_counting(deed, &here, from, keeps);
                counting.map(Admitted::Counts).map_err(refused)
            }
            What::Own { .. } | What::Gone { .. } => self
                .permit_for_home(deed, from)
                .map(|_| Admitted::Gathering),
            What::Gather { .. } => {
                let receiving = authorize_receiving(deed, &here, from);
                receiving.map(|_| Admitted::Gathering).map_err(refused)
            }
            What::TakeByRule {
                source, id, epoch, ..
            } => {
                let source = self.source_of_rule(source, *id, *epoch, from)?;
                match authorize_rule_receiving(&source, deed, &here, from) {
                    Ok(_) => Ok(Admitted::Rule),
                    // The source's home gets the reason, for the owner of both.
                    Err(_) if source.home == from.region && may_name(&source, deed).is_ok() => {
                        Ok(Admitted::Rule)
                    }
                    Err(why) => Err(refused(why)),
                }
            }
            What::ByRule { to, .. } | What::BodyByRule { to, .. } => {
                let to = BucketName::new(to).map_err(refused)?;
                let destination = self.regions.deed(&to).ok_or_else(outside)?;
                self.enforced(&destination, from)?;
                let sending = authorize_rule_sending(deed, &destination, &here, from);
                sending.map(|_| Admitted::Rule).map_err(refused)
            }
            What::Head
            | What::Changes { .. }
            | What::Snapshot { .. }
            | What::Body { .. }
            | What::Version { .. }
            | What::Lacking { .. } => match deed.holding(&from.region) {
                Holding::Sealed => self.sealed(deed, from),
                Holding::Nothing => self.copy(deed, from),
                Holding::Home | Holding::Replica => {
                    self.enforced(deed, from)?;
                    self.copy(deed, from)
                }
            },
            What::Lease { .. } | What::Unwrap { .. } => match deed.holding(&from.region) {
                Holding::Sealed => self.sealed(deed, from),
                _ => Err(refused("the replica is not sealed")),
            },
            // Answered whatever the epoch is, by `answer_standing`.
            What::Yield | What::Followed => Err(outside()),
            What::Removals { .. } | What::Hear { .. } | What::Offer { .. } => self.copy(deed, from),
        }
    }

    /// A region is sent nothing that it can read and that it would not guard as its owner must.
    fn enforced(&self, deed: &BucketDeed, from: &Place) -> Result<(), Refused> {
        self.regions.enforces(deed, &from.region).map_err(refused)
    }

    fn copy(&self, deed: &Arc<BucketDeed>, from: &Place) -> Result<Admitted, Refused> {
        let permit = authorize_sending(deed, &self.regions.here(), from);
        permit.map(Admitted::Copy).map_err(refused)
    }

    fn sealed(&self, deed: &Arc<BucketDeed>, from: &Place) -> Result<Admitted, Refused> {
        let permit = authorize_sealing(deed, &self.regions.here(), from);
        permit.map(|_| Admitted::Sealed).map_err(refused)
    }
}
