//! Requests for buckets that are not here, or not here for this action: to whom they go. The rule
//! is `access`'s; this file only reads its answer.

use std::{fmt::Write, sync::Arc};

use access::{Action, Ask, Facts, Identity, Permit, Refusal, Via};
use http::{HeaderValue, header};
use types::{BucketDeed, Holding, Place, RegionId, Writes};

use crate::{
    acknowledged::Touched,
    fault::{Fault, FaultKind},
    operations::{Operation, Status},
    proof::unproven,
    server::Gateway,
};

/// Where a request is acted on.
pub(crate) enum Way {
    /// Here.
    Here(Permit),
    /// In one of these regions, the best one first; a write has one only.
    Forward(Vec<RegionId>),
}

impl Gateway {
    /// Where a request is acted on, by what `access` decided of it here.
    pub(crate) fn way(
        &self,
        operation: &Operation,
        ask: &Ask<'_>,
        facts: &Facts<'_>,
        decided: Result<Permit, Refusal>,
    ) -> Result<Way, Fault> {
        let (action, conditional) = (ask.action, ask.context.conditional);
        let refusal = match decided {
            Ok(permit) if operation.status.answers() => {
                self.check_clock(action)?;
                self.check_home(facts.deed)?;
                self.check_touch(ask.principal, facts.deed)?;
                if let Some(deed) = facts.deed {
                    self.check_decides(action, conditional, deed)?;
                }
                return Ok(Way::Here(permit));
            }
            Ok(_) => return Err(Fault::not_implemented(operation.name)),
            Err(refusal) => refusal,
        };
        let Some(deed) = facts.deed else {
            return Err(self.refused(ask, None, refusal));
        };
        match (refusal, facts.via) {
            // SDKs send this to find out for which region to sign. The answer is the same for all
            // buckets, so it says nothing of this one.
            (Refusal::Anonymous, _) => {
                Err(Fault::new(FaultKind::AccessDenied).bucket_region(&self.region))
            }
            (
                Refusal::NotOwner
                | Refusal::ExpectedOwner
                | Refusal::NeedsList
                | Refusal::NeedsInitiator
                | Refusal::Kind
                | Refusal::ForRegions
                | Refusal::NotAccepted
                | Refusal::Mismatch
                | Refusal::Policy(_)
                | Refusal::UnreadablePolicy
                | Refusal::RootOnly
                | Refusal::RequesterPays
                | Refusal::ListAmongMany
                | Refusal::PolicyOfOthers,
                _,
            ) => Err(self.refused(ask, facts.deed, refusal)),
            // Only signatures of the bucket's own account are proven to another region.
            (Refusal::NotHome | Refusal::Conditional, Via::Client)
                if !ask.principal.is_forwarded(deed) =>
            {
                Err(self.redirect_once(deed, "it is forwarded for the bucket's own account only"))
            }
            (Refusal::Unproven, _) => Err(unproven(refusal.to_string())),
            (_, Via::Region(from, _)) => Err(self.not_from(refusal, from)),
            (Refusal::Residency, Via::Client) => Err(self.not_lawful(deed)),
            (Refusal::Sealed, Via::Client) => self.opened(ask, facts, deed),
            (Refusal::NotHome | Refusal::Conditional | Refusal::Elsewhere, Via::Client) => {
                self.forwarded(operation, (action, conditional), deed)
            }
            (
                Refusal::SenderResidency | Refusal::SenderSealed | Refusal::SenderElsewhere,
                Via::Client,
            ) => Err(FaultKind::AccessDenied.into()),
        }
    }

    /// Where a request goes that this region does not act on.
    fn forwarded(
        &self,
        operation: &Operation,
        (action, conditional): (Action, bool),
        deed: &BucketDeed,
    ) -> Result<Way, Fault> {
        if operation.status == Status::NotYet {
            return Err(Fault::not_implemented(operation.name));
        }
        if conditional && operation.name == "CompleteMultipartUpload" {
            self.began_here(deed)?;
        }
        let holders = self.holders(action, deed);
        match holders.is_empty() {
            true => Err(self.redirect(deed)),
            false => Ok(Way::Forward(holders)),
        }
    }

    /// Whether this region, where it is the bucket's home, may act as that now: refused before the
    /// body is read. Where the object's conditions are asked, `objects` asks once more.
    fn check_decides(
        &self,
        action: Action,
        conditional: bool,
        deed: &BucketDeed,
    ) -> Result<(), Fault> {
        match action.configures() || conditional && action.writes_objects() {
            true => Ok(self.objects.may_decide(deed)?),
            false if action.writes_objects() => Ok(self.objects.may_write(deed)?),
            false => Ok(()),
        }
    }

    /// An upload that was begun at a replica which takes writes is completed there, where a
    /// condition cannot be decided.
    fn began_here(&self, deed: &BucketDeed) -> Result<(), Fault> {
        let here =
            deed.placement.writes == Writes::Any && deed.holding(&self.region) == Holding::Replica;
        match here {
            false => Ok(()),
            true => Err(Fault::with(
                FaultKind::NotImplemented,
                format!(
                    "An upload that was begun at a replica cannot be completed on a condition: begin \
                     it in the bucket's home, region {}.",
                    deed.home
                ),
            )),
        }
    }

    /// Where the replica is sealed, objects are read with leases from the home; all else is done at
    /// the home.
    fn opened(&self, ask: &Ask<'_>, facts: &Facts<'_>, deed: &BucketDeed) -> Result<Way, Fault> {
        match access::authorize_opening(ask, facts) {
            Ok(permit) => Ok(Way::Here(permit)),
            Err(_) => Err(self.redirect(deed)),
        }
    }

    /// Versions are ordered by time: a region whose clock is wrong must not make any.
    fn check_clock(&self, action: Action) -> Result<(), Fault> {
        let doubt = self.regions.as_ref().and_then(|r| r.clock_doubt());
        match doubt {
            Some(why) if action.is_for_writers() => {
                Err(Fault::with(FaultKind::ServiceUnavailable, why)
                    .header(header::RETRY_AFTER, HeaderValue::from_static("5")))
            }
            _ => Ok(()),
        }
    }

    /// Where a read goes: a replica that is behind what was acknowledged here does not answer it.
    /// One that takes writes waits instead (`until_shown`), except for what only the home writes.
    /// So do reads of others than the bucket's own account, which no other region would take.
    pub(crate) fn way_to_read(
        &self,
        way: Way,
        ask: &Ask<'_>,
        deed: &Arc<BucketDeed>,
        touched: &Touched,
    ) -> Result<Way, Fault> {
        if !ask.principal.is_forwarded(deed) {
            return Ok(way);
        }
        let Way::Here(_) = &way else {
            return Ok(way);
        };
        if deed.holding(&self.region) != Holding::Replica || self.wanted(deed, touched).is_none() {
            return Ok(way);
        }
        if deed.placement.writes == Writes::Any && *touched != Touched::Configuration {
            return Ok(way);
        }
        let mut holders = self.holders(ask.action, deed);
        holders.retain(|region| *region == deed.home);
        match holders.is_empty() {
            true => Err(self.redirect_once(deed, "the replica here is behind what was written")),
            false => Ok(Way::Forward(holders)),
        }
    }

    /// A region that knows that its keys and deeds are not the newest acts on nothing.
    pub(crate) fn check_region(&self) -> Result<(), Fault> {
        match self.regions.as_ref().and_then(|regions| regions.doubt()) {
            None => Ok(()),
            Some(why) => Err(Fault::with(FaultKind::ServiceUnavailable, why)
                .header(header::RETRY_AFTER, HeaderValue::from_static("5"))),
        }
    }

    /// A home that knows that it lacks what was written before answers nothing that is wrong.
    pub(crate) fn check_home(&self, deed: Option<&Arc<BucketDeed>>) -> Result<(), Fault> {
        let (Some(regions), Some(deed)) = (&self.regions, deed) else {
            return Ok(());
        };
        match regions.home_doubt(deed) {
            None => Ok(()),
            Some(why) => Err(Fault::with(FaultKind::ServiceUnavailable, why)
                .header(header::RETRY_AFTER, HeaderValue::from_static("5"))),
        }
    }

    /// What lets others than the bucket's own account in may have been taken back long ago, where
    /// this region cannot know of it.
    pub(crate) fn check_touch(
        &self,
        caller: &Identity,
        deed: Option<&Arc<BucketDeed>>,
    ) -> Result<(), Fault> {
        let (Some(regions), Some(deed)) = (&self.regions, deed) else {
            return Ok(());
        };
        if !caller.is_let_in(deed) {
            return Ok(());
        }
        match regions.out_of_touch(deed) {
            None => Ok(()),
            Some(why) => Err(Fault::with(FaultKind::ServiceUnavailable, why)
                .header(header::RETRY_AFTER, HeaderValue::from_static("60"))),
        }
    }

    /// The regions to which a request may be forwarded, the best one first.
    fn holders(&self, action: Action, deed: &BucketDeed) -> Vec<RegionId> {
        let Some(regions) = &self.regions else {
            return Vec::new();
        };
        let here = self.place_on_record();
        let may = |region: &RegionId| {
            let there = regions.place(region);
            *region != self.region
                && there.is_some_and(|there| access::may_relay(deed, &here, &there, action))
        };
        if action.is_for_writers() {
            return Some(deed.home.clone()).into_iter().filter(may).collect();
        }
        let among: Vec<RegionId> = deed.holders().filter(|r| may(r)).cloned().collect();
        let mut nearest = regions.nearest(&among);
        // Whatever order it answers, it adds nobody.
        nearest.retain(|region| among.contains(region));
        nearest
    }

    /// A bucket that is addressed at the wrong region.
    pub(crate) fn redirect(&self, deed: &BucketDeed) -> Fault {
        let regions = self.regions.as_ref();
        let endpoint = regions.and_then(|regions| regions.endpoint(&deed.home));
        let mut text = format!(
            "The bucket you are attempting to access must be addressed using the specified \
             endpoint. It is in region {}, and this endpoint is of region {}.",
            deed.home, self.region
        );
        if let Some(endpoint) = &endpoint {
            let _ = write!(
                text,
                " Send the request to {endpoint}, signed for region {}.",
                deed.home
            );
        }
        let error = Fault::with(FaultKind::PermanentRedirect, text)
            .detail("Bucket", &*deed.name)
            .detail("Region", &*deed.home)
            .bucket_region(&deed.home);
        match endpoint {
            Some(endpoint) => error.detail("Endpoint", endpoint),
            None => error,
        }
    }

    /// The same for this request only, which cannot be forwarded.
    pub(crate) fn redirect_once(&self, deed: &BucketDeed, why: &str) -> Fault {
        Fault {
            kind: FaultKind::TemporaryRedirect,
            message: Some(format!(
                "Please send this request to the bucket's home, region {}: {why}.",
                deed.home
            )),
            ..self.redirect(deed)
        }
    }

    /// The owner asks where the law that they chose does not allow the bucket to be.
    pub(crate) fn not_lawful(&self, deed: &BucketDeed) -> Fault {
        let (region, country) = (&self.region, &self.place.jurisdiction);
        Fault::with(
            FaultKind::AccessDenied,
            format!(
                "Access Denied: the jurisdictions of the bucket's placement do not include that \
                 of region {region} ({country}); its home is {}.",
                deed.home
            ),
        )
        .detail("Region", &*deed.home)
        .bucket_region(&deed.home)
    }

    /// A request that another region forwarded is refused here.
    fn not_from(&self, refusal: Refusal, from: &Place) -> Fault {
        if matches!(
            refusal,
            Refusal::NotHome | Refusal::Sealed | Refusal::Elsewhere
        ) {
            // Regions learn of a new deed one after the other: soon both know the same.
            return unavailable(&self.region, "does not hold the bucket for this request");
        }
        let text = format!(
            "Access Denied: region {} does not take this request from region {}: {refusal}.",
            self.region, from.region
        );
        Fault::with(FaultKind::AccessDenied, text)
    }
}

pub(crate) fn unavailable(region: &RegionId, what: &str) -> Fault {
    let text = format!("Service is unable to handle request: region {region} {what}.");
    Fault::with(FaultKind::ServiceUnavailable, text)
        .detail("Region", &**region)
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}
