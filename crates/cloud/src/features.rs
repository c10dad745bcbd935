//! Which features regions know, and which of them accounts and placements need. Each region says
//! with every question for changes what its build knows, so the registry learns of an upgrade with
//! the first question after the start.
//!
//! A region's word decides about that region alone. No change of the registry waits for a region
//! that does not know what the change needs: the change, and the keys of whom it binds, are
//! withheld from that region. Only a placement there is refused, for the bucket that it is about.
//! What a region knew before, its word does not take from its record: the cloud's owner does.

use std::collections::BTreeSet;

use access::PublicAccessBlock;
use types::{
    BucketDeed, Deeds, Features, RegionId,
    features::{ACCESS_LISTS, ASYMMETRIC_SIGNATURES, GUARD_POLICIES, NEEDS, Need, lacking},
};

use crate::{CloudError, RegionRecord, Registry, change::Change, kinds::Kind, state::State};

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

    /// Notes what a region announces. What builds know that announce nothing is not written where
    /// nothing else was: the record of such a region stays as it always was.
    pub(crate) fn know(&mut self, features: &Features) {
        let is_unsaid = self.features.is_none() && *features == Features::base();
        self.features = (!is_unsaid).then(|| features.names());
    }

    /// What is on record once the region has said that its build knows `told`: more than before,
    /// and only what this build knows too, so that a region's record grows a few times at most.
    /// `Err` has what the region said before and says no more.
    fn told(&self, told: &Features) -> Result<Features, String> {
        let own = Features::own();
        let known = |features: &Features| -> BTreeSet<String> {
            let names = features.names().into_iter();
            names.filter(|name| own.has(name)).collect()
        };
        let told = known(told);
        let list = |names: BTreeSet<String>| {
            let names: Vec<String> = names.into_iter().collect();
            Features::announced(&names).map_err(|error| error.to_string())
        };
        if self.features.is_none() || types::planted("features-lost-by-a-word") {
            return list(told);
        }
        let before = self.features();
        let lost: Vec<String> = known(&before).difference(&told).cloned().collect();
        match lost.is_empty() {
            true => list(before.names().into_iter().chain(told).collect()),
            false => Err(format!("`{}`", lost.join("`, `"))),
        }
    }
}

impl Registry {
    /// What this region's build knows; to be called before the region is put on record.
    pub fn announce_features(&self, own: Features) {
        *self.features.write() = own;
    }

    /// A region has announced its features, or asks as builds do that announce none. What cannot be
    /// put on record now is when it asks again. Answers why its question is not answered: where it
    /// knew more before. Its word alone takes nothing from its record, since rules of accounts
    /// depend on that.
    pub(crate) async fn announced(
        &self,
        region: &RegionId,
        names: Option<&[String]>,
    ) -> Option<String> {
        let told = names.map_or_else(|| Ok(Features::base()), Features::announced);
        let noted = match told {
            Ok(told) => {
                if let Err(lost) = self.region(region)?.told(&told) {
                    return Some(stepped_back(region, &lost));
                }
                self.note_features(region, &told).await
            }
            Err(invalid) => Err(CloudError::Invalid(invalid.to_string())),
        };
        if let Err(error) = noted {
            tracing::debug!(%region, %error, "the features of a region are not on record");
        }
        None
    }

    async fn note_features(&self, region: &RegionId, told: &Features) -> Result<(), CloudError> {
        let news = |record: &RegionRecord| {
            let told = record.told(told).ok();
            told.filter(|told| *told != record.features())
        };
        if self.comparing() || news(&*self.known(region)?).is_none() {
            return Ok(());
        }
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        let Some(told) = news(&record) else {
            return Ok(());
        };
        record.know(&told);
        let actor = types::Actor::Region(region.clone());
        self.put_region(turn, &actor, "region.features", record, Vec::new())
            .await
    }

    /// Accepts that a region runs an older release than before: what it announces next is on
    /// record, and until then that it knows what builds know that announce nothing.
    ///
    /// # Errors
    /// `Refused` for the registry's region, whose record follows its own build.
    pub async fn step_back(
        &self,
        actor: &types::Actor,
        region: &str,
    ) -> Result<std::sync::Arc<RegionRecord>, CloudError> {
        if region == self.own() {
            return Err(CloudError::Refused(
                "the registry's region has on record what its own release knows".into(),
            ));
        }
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        if record.features.take().is_some() {
            self.put_region(turn, actor, "region.step_back", record, Vec::new())
                .await?;
        }
        self.known(region)
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
            false => check(NEEDS, state, before, after)
                .and_then(|()| check_account(state, before, after)),
        }
    }

    /// Whether a region acts by all that is in force for a bucket's owner. What it does not act by
    /// is withheld from it, and data with it.
    ///
    /// # Errors
    /// Says what it does not know.
    pub fn enforces(&self, region: &RegionId, deed: &BucketDeed) -> Result<(), String> {
        match self.state.read().unenforced(&deed.owner, region) {
            None => Ok(()),
            Some(name) => Err(unenforced(region, name)),
        }
    }

    /// Regions that hold buckets which need what the region does not know.
    pub fn lacking(&self) -> Vec<Lacking> {
        let regions = self.all_regions();
        let lacks_one = |region: &&std::sync::Arc<RegionRecord>| {
            let known = region.features();
            let of_accounts = [ACCESS_LISTS, ASYMMETRIC_SIGNATURES, GUARD_POLICIES];
            let mut all = NEEDS.iter().map(|(name, _)| *name).chain(of_accounts);
            all.any(|name| !known.has(name))
        };
        // Nearly always there is none, and then no bucket is looked at.
        let behind = regions.iter().filter(lacks_one);
        let counted = behind.map(|region| {
            let (id, known) = (RegionId::new(&region.id), region.features());
            let is_lacking = |deed: &&std::sync::Arc<BucketDeed>| {
                let holds = deed.holders().any(|holder| *holder == id);
                let lacks = || lacking(NEEDS, deed, &id, &known).next().is_some();
                holds && (lacks() || self.enforces(&id, deed).is_err())
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

    /// What is in force for an account that a region on record does not know, so that it would not
    /// act by it.
    pub(crate) fn unenforced(&self, account: &str, region: &str) -> Option<&'static str> {
        let (account, region) = (self.accounts.get(account)?, self.regions.get(region)?);
        let blocks = account
            .block()
            .is_some_and(|block| block != PublicAccessBlock::NONE);
        let all = [
            (blocks || account.new_buckets.is_some(), ACCESS_LISTS),
            (account.requires_asymmetric, ASYMMETRIC_SIGNATURES),
            (
                self.guard_policies.contains_key(&account.id),
                GUARD_POLICIES,
            ),
        ];
        let mut needed = all
            .into_iter()
            .filter(|(is_needed, _)| *is_needed)
            .peekable();
        needed.peek()?;
        let known = region.features();
        needed
            .find(|(_, name)| !known.has(name))
            .map(|(_, name)| name)
    }

    /// Why a region cannot read a change; `None` where it can.
    pub(crate) fn unreadable(&self, change: &Change, region: &str) -> Option<String> {
        let kinds = change
            .rows
            .iter()
            .filter_map(|row| Kind::of_key(&row.key).ok());
        let mut needed = kinds.filter_map(|(kind, _)| kind.feature).peekable();
        needed.peek()?;
        let known = self.regions.get(region)?.features();
        let feature = needed.find(|name| !known.has(name))?;
        Some(format!(
            "region {region} does not know `{feature}`, which entry {} of the audit log needs: \
             upgrade Dhow in that region",
            change.entry.number
        ))
    }
}

fn stepped_back(region: &RegionId, lost: &str) -> String {
    format!(
        "region {region} runs a release that does not know {lost}, which it knew before: upgrade \
         Dhow in that region, or let the cloud's owner accept the older release (dhow region \
         step-back {region})"
    )
}

fn unenforced(region: &RegionId, feature: &str) -> String {
    format!(
        "region {region} does not know `{feature}`, which is in force for the bucket's owner: \
         upgrade Dhow in that region"
    )
}

/// Whether the regions to which a placement is new act by what is in force for the bucket's owner.
fn check_account(
    state: &State,
    before: Option<&BucketDeed>,
    after: &BucketDeed,
) -> Result<(), CloudError> {
    let held = |region: &RegionId| {
        before.is_some_and(|deed| deed.holders().any(|holder| holder == region))
    };
    for region in after.holders().filter(|region| !held(region)) {
        if let Some(name) = state.unenforced(&after.owner, region) {
            return Err(CloudError::Refused(unenforced(region, name)));
        }
    }
    Ok(())
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
