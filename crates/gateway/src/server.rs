//! The gateway itself: what it is wired to.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use access::{Ask, Facts, Permit, Refusal, Replays, SigningKeys, Via};
use http::HeaderValue;
use objects::Objects;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use types::{AccountId, BucketDeed, BucketId, Clock, Deeds, InVain, Place, Random, RegionId};

use crate::{
    acknowledged::Acknowledged,
    admission::Admission,
    beside::{self, Beside},
    console::ConsolePages,
    fault::{Fault, FaultKind},
    limits::{GatewayConfig, LARGE_DOCUMENTS_MAX},
    metrics::Metrics,
    proof::unproven,
    regions::Regions,
    request_id::RequestIds,
};

/// All that a request can reach.
pub struct Gateway {
    /// Meaning of buckets and objects.
    pub objects: Arc<Objects>,
    /// The directory of buckets.
    pub deeds: Arc<dyn Deeds>,
    /// Verifies requests.
    pub keys: Arc<dyn SigningKeys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// This region.
    pub region: RegionId,
    /// Where it is.
    pub place: Place,
    /// The other regions; `None` in a cloud of one.
    pub regions: Option<Arc<dyn Regions>>,
    /// Whether buckets may be created here that have their home in any region of the cloud.
    pub any_location: bool,
    /// Names and limits.
    pub config: GatewayConfig,
    /// What is counted.
    pub metrics: Metrics,
    pub(crate) ids: RequestIds,
    pub(crate) admission: Admission,
    /// For requests that other regions forward.
    pub(crate) passed_admission: Admission,
    /// Signatures of changes that other regions relayed.
    pub(crate) replays: Mutex<Replays>,
    /// Writes that replicas may not have yet.
    pub(crate) acknowledged: Acknowledged,
    /// Replicas of which answers waited in vain for a bucket's policy.
    pub(crate) in_vain: InVain<(BucketId, RegionId)>,
    /// Whoever sends requests without a signature: they share what one account has.
    pub(crate) anybody: AccountId,
    /// Places for large documents.
    pub(crate) large_documents: Semaphore,
    /// Answers what is none of S3.
    pub(crate) beside: OnceLock<Arc<dyn Beside>>,
    /// Places for that.
    pub(crate) signed_forms: Semaphore,
    pub(crate) unsigned_forms: Semaphore,
    pub(crate) waiting_forms: Semaphore,
    /// The region's own console.
    pub(crate) console: Option<ConsolePages>,
    /// `x-amz-id-2` and `<HostId>`: names this process to support, and nothing to anybody else.
    pub(crate) host_id: HeaderValue,
}

/// What a [`Gateway`] is made of.
pub struct Parts {
    /// Meaning of buckets and objects.
    pub objects: Arc<Objects>,
    /// The directory of buckets.
    pub deeds: Arc<dyn Deeds>,
    /// Verifies requests.
    pub keys: Arc<dyn SigningKeys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Request ids.
    pub random: Arc<dyn Random>,
    /// This region, and where it is.
    pub place: Place,
    /// The other regions; `None` in a cloud of one.
    pub regions: Option<Arc<dyn Regions>>,
    /// Whether buckets may be created here that have their home in any region of the cloud, as
    /// AWS's us-east-1 allows.
    pub any_location: bool,
    /// Names and limits.
    pub config: GatewayConfig,
}

impl Gateway {
    /// Puts the gateway together; its metrics join `registry`.
    pub fn new(parts: Parts, registry: &mut Registry) -> Self {
        let mut host = [0; 32];
        parts.random.fill(&mut host);
        let metrics = Metrics::new(registry);
        Self {
            ids: RequestIds::new(&*parts.random),
            admission: Admission::new(&parts.config, &metrics.waiting),
            passed_admission: Admission::new(&parts.config, &metrics.waiting),
            replays: Mutex::new(Replays::new(parts.clock.now())),
            acknowledged: Acknowledged::default(),
            in_vain: InVain::default(),
            anybody: AccountId::new("anonymous"),
            large_documents: Semaphore::new(LARGE_DOCUMENTS_MAX),
            beside: OnceLock::new(),
            signed_forms: Semaphore::new(beside::SIGNED_AT_ONCE),
            unsigned_forms: Semaphore::new(beside::UNSIGNED_AT_ONCE),
            waiting_forms: Semaphore::new(beside::WAITING_MAX),
            metrics,
            host_id: HeaderValue::try_from(hex::encode(host))
                .expect("hex digits are a header's value"),
            objects: parts.objects,
            deeds: parts.deeds,
            keys: parts.keys,
            clock: parts.clock,
            region: parts.place.region.clone(),
            place: parts.place,
            regions: parts.regions,
            any_location: parts.any_location,
            console: ConsolePages::of(&parts.config),
            config: parts.config,
        }
    }

    /// Where this region is and who runs it, as the registry has it on record now: a region that
    /// has just joined learns of it after its start. The gateway's own requests need not know.
    pub(crate) fn place_for(&self, via: &Via) -> Cow<'_, Place> {
        match via {
            Via::Client => Cow::Borrowed(&self.place),
            Via::Region(..) => Cow::Owned(self.place_on_record()),
        }
    }

    pub(crate) fn place_on_record(&self) -> Place {
        let known = self.regions.as_ref().and_then(|r| r.place(&self.region));
        known.unwrap_or_else(|| self.place.clone())
    }

    /// A region's own name: an alias means this region, which has it.
    pub(crate) fn canonical<'a>(&'a self, name: &'a str) -> &'a str {
        match self.config.region_aliases.iter().any(|alias| alias == name) {
            true => &self.region,
            false => name,
        }
    }

    /// A permit to read what `ask` names as the source of a copy into the bucket `destination`,
    /// which may not lead anywhere that the source's placement forbids.
    ///
    /// # Errors
    /// `NoSuchBucket`; `AccessDenied`, which names the reason to the source's owner; and
    /// `InvalidRequest` with the region's name where the source cannot be read here.
    pub async fn permit_copy(
        &self,
        mut ask: Ask<'_>,
        destination: &BucketDeed,
        via: &Via,
    ) -> Result<Permit, Fault> {
        let named = ask.resource.bucket().ok_or(FaultKind::NoSuchBucket)?;
        let deed = self.deeds.get(named).ok_or(FaultKind::NoSuchBucket)?;
        let documents = self.objects.documents(&deed).await?;
        let (mut tags, access) = (None, documents.as_ref().map(|found| &found.access));
        let own = ask.principal.wants_existing_tags();
        let wanted = access.is_some_and(|access| own || access.wants_existing_tags());
        if wanted && let access::Resource::Object { key, version, .. } = ask.resource {
            tags = Some(self.existing_tags(&deed, key, version).await?);
        }
        ask.context.existing_tags = tags.as_deref();
        let facts = Facts {
            deed: Some(&deed),
            access,
            account_block: self.account_block(Some(&deed), access),
            here: &self.place_for(via),
            via,
        };
        let list = self.list_of(&ask, &facts).await?;
        ask.context.list = list.as_ref().map(Option::as_ref);
        let permit = access::authorize(&ask, &facts).map_err(|refusal| match refusal {
            Refusal::Policy(_)
            | Refusal::UnreadablePolicy
            | Refusal::RootOnly
            | Refusal::RequesterPays
            | Refusal::ListAmongMany
            | Refusal::PolicyOfOthers
            | Refusal::Anonymous
            | Refusal::NotOwner
            | Refusal::NeedsList
            | Refusal::NeedsInitiator
            | Refusal::ExpectedOwner
            | Refusal::Kind
            | Refusal::ForRegions
            | Refusal::NotAccepted
            | Refusal::Mismatch
            | Refusal::SenderResidency
            | Refusal::SenderSealed
            | Refusal::SenderElsewhere => self.refused(&ask, Some(&deed), refusal),
            Refusal::Residency => self.not_lawful(&deed),
            Refusal::Unproven => unproven(refusal.to_string()),
            Refusal::NotHome | Refusal::Conditional | Refusal::Sealed | Refusal::Elsewhere => {
                Fault::with(
                    FaultKind::InvalidRequest,
                    format!(
                        "The copy source cannot be read in region {}; its home is region {}. \
                     Read it there and upload it here.",
                        self.region, deed.home
                    ),
                )
                .detail("Region", &*deed.home)
            }
        })?;
        self.check_home(Some(&deed))?;
        self.check_touch(ask.principal, Some(&deed))?;
        access::may_copy(&deed, destination).map_err(|_| {
            Fault::with(
                FaultKind::AccessDenied,
                "Access Denied: the placement of the copy's destination allows jurisdictions \
                 that the placement of its source does not.",
            )
        })?;
        Ok(permit)
    }
}
