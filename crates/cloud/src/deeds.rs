//! Deeds: who owns a bucket, and where it may be stored.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use serde_json::{Value, json};
use types::{
    AccountId, Actor, BucketDeed, BucketId, BucketName, DeedError, Deeds, Forwarder, Jurisdiction,
    NewDeed, Placement, RegionId, Replica, SignedRequest, Writes, deed::BoxFuture,
    limits::BUCKETS_PER_ACCOUNT_MAX,
};

use crate::{
    CloudError, RegionStatus, Registry,
    change::{Draft, RowChange},
    guards::inherit_guard,
    kinds::{Record as _, deed::DeedRecord},
    link::Upstream,
    registry::Keeper,
    state::State,
};

/// How long a change of a placement waits for the regions that held the bucket.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);
/// Buckets from which one bucket accepts what rules send.
const ACCEPTS_MAX: usize = 100;
/// Regions whose word one bucket's owner takes.
const TRUSTED_MAX: usize = 64;

/// What is to become of a placement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlacementChange {
    /// Regions that are to keep a replica.
    pub add: Vec<Replica>,
    /// Regions that are to keep none any more.
    pub remove: Vec<RegionId>,
    /// The jurisdictions that are to be allowed, in place of those before.
    pub jurisdictions: Option<Vec<Jurisdiction>>,
    /// Whether regions that hold nothing may forward requests.
    pub proxy: Option<bool>,
    /// Which regions are to take writes.
    pub writes: Option<Writes>,
    /// The successors of the home, in place of those before.
    pub successors: Option<Vec<RegionId>>,
    /// The buckets whose rules are accepted from another operator's region, in place of those
    /// before.
    pub accepts: Option<Vec<BucketName>>,
    /// Whose word counts for reads where no signature proves them, in place of those before.
    pub trust_reads: Option<Vec<Forwarder>>,
    /// The same for writes.
    pub trust_writes: Option<Vec<Forwarder>>,
    /// What the home is to take while no other region renews it.
    pub unrenewed: Option<types::Unrenewed>,
}

impl Registry {
    /// Records a bucket.
    pub(crate) async fn create_deed(
        &self,
        actor: &Actor,
        mut new: NewDeed,
        request: Option<&SignedRequest>,
    ) -> Result<Arc<BucketDeed>, DeedError> {
        if let Keeper::There(upstream) = &self.keeper {
            return self.create_upstream(&**upstream, new, request).await;
        }
        // Most names that are taken are refused without waiting for a turn.
        self.may_create(&new)?;
        let turn = self.turn().await;
        self.may_create(&new)?;
        {
            let state = self.state.read();
            inherit_guard(&state, &new.owner, &mut new.placement)
                .and_then(|limit| {
                    self.check_placement(&state, &new.home, &new.placement, (&[], &limit))
                })
                .map_err(|e| DeedError::Placement(e.to_string()))?;
        }
        // Numbers of changes come from the registry alone.
        new.placement.since.clear();
        let name = new.name.clone();
        let deed = BucketDeed {
            id: self.new_bucket_id(),
            name: new.name,
            owner: new.owner,
            home: new.home,
            created: self.clock.now(),
            epoch: 1,
            placement: new.placement,
        };
        self.check_features(&self.state.read(), None, &deed)
            .map_err(|e| DeedError::Placement(e.to_string()))?;
        self.record(turn, actor, "bucket.create", &deed)
            .await
            .map_err(failed)?;
        Deeds::get(self, &name).ok_or(DeedError::NotFound(name))
    }

    /// A region that follows asks the keeper, and waits until it has received the bucket itself:
    /// what it acknowledges it must know.
    async fn create_upstream(
        &self,
        upstream: &dyn Upstream,
        new: NewDeed,
        request: Option<&SignedRequest>,
    ) -> Result<Arc<BucketDeed>, DeedError> {
        let name = new.name.clone();
        let made = upstream.create_deed(new, request).await?;
        self.heard(|state| {
            let known = state.deeds.get(&*name);
            known.is_some_and(|deed| deed.id == made.id)
        })
        .await
        .map_err(failed)?;
        Ok(Arc::new(made))
    }

    async fn record(
        &self,
        turn: crate::registry::Turn,
        actor: &Actor,
        action: &'static str,
        deed: &BucketDeed,
    ) -> Result<(), CloudError> {
        let draft = Draft {
            actor: actor.clone(),
            action,
            subject: deed.name.to_string(),
            detail: detail(deed),
            rows: vec![RowChange::put(&deed.name, &DeedRecord::from(deed))?],
        };
        self.change(turn, draft).await
    }

    fn may_create(&self, new: &NewDeed) -> Result<(), DeedError> {
        let (name, owner) = (&new.name, &new.owner);
        let state = self.state.read();
        let account = state.accounts.get(&**owner);
        if account.is_some_and(|a| !a.caller_kind().keeps_data()) {
            return Err(DeedError::Placement(format!(
                "account {owner} is an auditor's or a regional operator's, which keeps no data"
            )));
        }
        if let Some(deed) = state.deeds.get(&**name) {
            return Err(DeedError::Exists(name.clone(), Box::new((**deed).clone())));
        }
        // Each operator's regions have room of their own, so that none takes what is for others.
        let operator = |home: &RegionId| state.regions.get(&**home).map(|r| &r.operator);
        let of_operator = operator(&new.home);
        let owned = match state.deeds.by_owner.get(owner) {
            // Most are far from it, and need not be counted.
            Some(owned) if owned.len() >= BUCKETS_PER_ACCOUNT_MAX => {
                let beside = owned.values().filter(|d| operator(&d.home) == of_operator);
                beside.count()
            }
            _ => 0,
        };
        if owned >= BUCKETS_PER_ACCOUNT_MAX {
            return Err(DeedError::TooMany(owned));
        }
        Ok(())
    }

    /// Why a region may not make this bucket: another one accepts what rules of a bucket of that
    /// name send, and its owner meant one that is gone, or that is still to come. Whoever runs the
    /// region could make it in the owner's name, so it is made in the registry's region.
    pub(crate) fn accepts_unseen(&self, new: &NewDeed) -> Option<String> {
        let state = self.state.read();
        let operator = |region: &RegionId| state.regions.get(&**region).map(|r| &r.operator);
        let mut owned = state.deeds.by_owner.get(&new.owner)?.values();
        let by = owned.find(|deed| {
            deed.placement.accepts.contains(&new.name)
                && operator(&deed.home) != operator(&new.home)
        })?;
        let (name, by) = (&new.name, &by.name);
        (!types::planted("accepted-names-for-anybody")).then(|| {
            format!(
                "bucket {by} accepts what rules of a bucket {name} send: create {name} with \
                 `dhow bucket create`, or first take it out of what {by} accepts"
            )
        })
    }

    /// Random, so that a number is never used again, also after its deed is gone; 0 is the
    /// registry's own partition.
    fn new_bucket_id(&self) -> BucketId {
        loop {
            let id = self.random.next_u64();
            let state = self.state.read();
            if id != 0 && state.deeds.values().all(|d| d.id.0 != id) {
                return BucketId(id);
            }
        }
    }

    /// Whether a bucket may have this home and these replicas. `before` held it already: a region
    /// that drains may keep what it has. `limit` is what the jurisdictions come from, in words.
    fn check_placement(
        &self,
        state: &State,
        home: &RegionId,
        placement: &Placement,
        (before, limit): (&[RegionId], &str),
    ) -> Result<(), CloudError> {
        let invalid = |why: String| Err(CloudError::Invalid(why));
        check_replicas(home, placement)?;
        for (n, successor) in placement.successors.iter().enumerate() {
            let mut copies = placement.replicas.iter();
            if !copies.any(|r| r.region == *successor && r.sealed_by.is_none()) {
                return invalid(format!(
                    "region {successor} keeps no replica that it can read, so it cannot be a successor"
                ));
            }
            if placement.successors.iter().take(n).any(|s| s == successor) {
                return invalid(format!("successor {successor} is named twice"));
            }
        }
        if placement.accepts.len() > ACCEPTS_MAX {
            return invalid(format!(
                "a bucket accepts from {ACCEPTS_MAX} buckets at most"
            ));
        }
        check_trust(state, placement)?;
        let copies = placement.replicas.iter().map(|r| &r.region);
        for region in std::iter::once(home).chain(copies) {
            let Some(record) = state.regions.get(&**region) else {
                // A cloud that has no regions on record is this region alone.
                if state.regions.is_empty() && **region == *self.own() {
                    continue;
                }
                return Err(CloudError::NoRegion(region.to_string()));
            };
            if record.status != RegionStatus::Open && !before.contains(region) {
                return Err(CloudError::Refused(format!(
                    "region {region} is {}, not open",
                    record.status.name()
                )));
            }
            let place = record.place()?;
            if !placement.admits(&place.jurisdiction) {
                return Err(CloudError::Refused(format!(
                    "region {region} is in {}, which {limit} not allow",
                    place.jurisdiction
                )));
            }
        }
        Ok(())
    }

    /// Waits until `regions` have taken over all that is on record now.
    ///
    /// # Errors
    /// `NotApplied` names those that have not in time.
    pub async fn wait_until_applied(&self, regions: &[RegionId]) -> Result<(), CloudError> {
        let length = *self.length.borrow();
        let own = self.own().to_owned();
        let missing = |heard: &BTreeMap<RegionId, u64>| -> Vec<String> {
            let behind = regions
                .iter()
                .filter(|r| ***r != *own && heard.get(*r).copied().unwrap_or_default() < length);
            behind.map(ToString::to_string).collect()
        };
        let mut heard = self.heard.subscribe();
        let hearing = heard.wait_for(|heard| missing(heard).is_empty());
        if tokio::time::timeout(APPLIED_WITHIN, hearing).await.is_ok() {
            return Ok(());
        }
        let missing = missing(&self.heard.borrow());
        match missing.is_empty() {
            true => Ok(()),
            false => Err(CloudError::NotApplied(missing.join(", "))),
        }
    }

    /// Whether a bucket's home is known to have learned that `replica` keeps a replica, if it has
    /// learned that it is the home. Before that it may decide without that region's promise. What
    /// regions have learned is known since this process began only.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn home_knows(
        &self,
        deed: &BucketDeed,
        replica: &RegionId,
    ) -> Result<bool, CloudError> {
        let since = deed.placement.since.get(replica).copied();
        let Some(since) = since.filter(|_| *deed.home != *self.own()) else {
            return Ok(true);
        };
        let heard = self.heard.borrow().get(&deed.home).copied();
        if heard.is_some_and(|heard| heard > since) {
            return Ok(true);
        }
        // By that entry they changed places, so that whoever knows one change knows both.
        let page = self.changes(since, 1).await?;
        let entry = page.first().map(|change| &change.entry);
        Ok(entry.is_some_and(|entry| {
            entry.number == since && entry.action.starts_with("bucket.promote")
        }))
    }

    /// Changes a bucket's placement. From the answer on no region gives anything to one that is not
    /// in it: all that held the bucket have received the change.
    ///
    /// # Errors
    /// `NotApplied` when the change is on record and one of them has not received it in time.
    pub async fn place_bucket(
        &self,
        actor: &Actor,
        name: &BucketName,
        change: &PlacementChange,
    ) -> Result<Arc<BucketDeed>, CloudError> {
        let turn = self.turn().await;
        let before: Vec<RegionId> = match Deeds::get(self, name) {
            Some(deed) => deed.holders().cloned().collect(),
            None => Vec::new(),
        };
        let deed = self.placed(name, change)?;
        // What is as it should be is no change, and no entry.
        let is_as_recorded = Deeds::get(self, name).is_some_and(|old| *old == deed);
        if !is_as_recorded || self.is_unwritten(&DeedRecord::key(name)) {
            self.record(turn, actor, "bucket.place", &deed).await?;
        } else {
            drop(turn);
        }
        self.wait_until_applied(&before).await?;
        Deeds::get(self, name).ok_or_else(|| CloudError::NoBucket(name.clone()))
    }

    /// The deed as it would be after `change`, if that is allowed.
    pub fn placed(
        &self,
        name: &BucketName,
        change: &PlacementChange,
    ) -> Result<BucketDeed, CloudError> {
        let state = self.state.read();
        let found = state.deeds.get(&**name);
        let found = Arc::clone(found.ok_or_else(|| CloudError::NoBucket(name.clone()))?);
        let mut deed = (*found).clone();
        let before: Vec<RegionId> = deed.holders().cloned().collect();
        for region in &change.remove {
            let copies = &mut deed.placement.replicas;
            if !copies.iter().any(|r| r.region == *region) {
                return Err(CloudError::Refused(format!(
                    "region {region} keeps no replica of {name}"
                )));
            }
            // It may have acknowledged what the home has not read yet.
            let sealed = |r: &Replica| r.region == *region && r.sealed_by.is_some();
            if deed.placement.writes == Writes::Any && !copies.iter().any(sealed) {
                return Err(CloudError::Refused(format!(
                    "region {region} takes writes of {name}: let the home alone take them first \
                     (dhow bucket place {name} --writes home), so that none is lost"
                )));
            }
            copies.retain(|r| r.region != *region);
            deed.placement.since.remove(region);
            deed.placement.successors.retain(|s| s != region);
        }
        let added = change
            .add
            .iter()
            .map(|r| (r.region.clone(), state.length()));
        deed.placement.since.extend(added);
        deed.placement.replicas.extend(change.add.iter().cloned());
        deed.placement.replicas.sort();
        if let Some(jurisdictions) = &change.jurisdictions {
            deed.placement.jurisdictions.clone_from(jurisdictions);
        }
        if let Some(proxy) = change.proxy {
            deed.placement.proxy = proxy;
        }
        if let Some(successors) = &change.successors {
            deed.placement.successors.clone_from(successors);
        }
        if let Some(reads) = &change.trust_reads {
            deed.placement.trust.reads.clone_from(reads);
        }
        if let Some(writes) = &change.trust_writes {
            deed.placement.trust.writes.clone_from(writes);
        }
        if let Some(unrenewed) = change.unrenewed {
            deed.placement.unrenewed = unrenewed;
        }
        if let Some(accepts) = &change.accepts {
            deed.placement.accepts.clone_from(accepts);
        }
        if let Some(writes) = change.writes
            && writes != deed.placement.writes
        {
            // Nothing that was permitted in the other way may be committed later, and the home
            // reads what replicas have taken: that is what a new epoch is for.
            deed.placement.writes = writes;
            deed.epoch += 1;
        }
        let limit = inherit_guard(&state, &deed.owner, &mut deed.placement)?;
        self.check_placement(&state, &deed.home, &deed.placement, (&before, &limit))?;
        self.check_features(&state, Some(&found), &deed)?;
        Ok(deed)
    }

    /// Makes the replica in `to` the bucket's home, and the home a replica. The epoch rises: what
    /// the old home still accepts under the old one is fenced everywhere. Whoever asks has waited
    /// until the old home decides nothing more under `epoch`, the bucket's present one.
    pub async fn move_home(
        &self,
        actor: &Actor,
        (name, epoch): (&BucketName, u64),
        to: &RegionId,
        forced: bool,
    ) -> Result<Arc<BucketDeed>, CloudError> {
        let turn = self.turn().await;
        let deed = self.moved(name, to)?;
        if deed.epoch != epoch + 1 {
            return Err(CloudError::Refused(format!(
                "the deed of {name} has changed meanwhile: its epoch is {}, not {epoch}",
                deed.epoch.saturating_sub(1)
            )));
        }
        let action = if forced {
            "bucket.promote-forced"
        } else {
            "bucket.promote"
        };
        self.record(turn, actor, action, &deed).await?;
        Deeds::get(self, name).ok_or_else(|| CloudError::NoBucket(name.clone()))
    }

    /// The deed as it would be with its home in `to`, if that can be.
    pub fn moved(&self, name: &BucketName, to: &RegionId) -> Result<BucketDeed, CloudError> {
        let found = Deeds::get(self, name).ok_or_else(|| CloudError::NoBucket(name.clone()))?;
        let mut deed = (*found).clone();
        let copies = &mut deed.placement.replicas;
        let Some(at) = copies.iter().position(|r| r.region == *to) else {
            return Err(CloudError::Refused(format!(
                "region {to} keeps no replica of {name}, so it cannot become its home"
            )));
        };
        if copies.remove(at).sealed_by.is_some() {
            return Err(CloudError::Refused(format!(
                "region {to} keeps a sealed replica of {name}, which it cannot read, so it cannot \
                 become its home"
            )));
        }
        // The home holds the key: the new one seals such replicas again.
        for replica in copies.iter_mut().filter(|r| r.sealed_by.is_some()) {
            replica.sealed_by = Some(to.clone());
        }
        let old = std::mem::replace(&mut deed.home, to.clone());
        deed.placement.since.remove(to);
        let now = self.state.read().length();
        deed.placement.since.insert(old.clone(), now);
        copies.push(Replica {
            region: old,
            sealed_by: None,
        });
        copies.sort();
        // The rest of the list still says who follows next.
        deed.placement.successors.retain(|s| s != to);
        deed.epoch += 1;
        self.check_features(&self.state.read(), Some(&found), &deed)?;
        Ok(deed)
    }

    /// Removes a bucket from the registry.
    pub(crate) async fn remove_deed(
        &self,
        actor: &Actor,
        leaving: Leaving,
        request: Option<&SignedRequest>,
    ) -> Result<(), DeedError> {
        let Leaving { name, id, by } = leaving;
        if let Keeper::There(upstream) = &self.keeper {
            let epoch = by.map_or(0, |(_, epoch)| epoch);
            let removing = upstream.remove_deed((name.clone(), id, epoch), request);
            removing.await?;
            let gone = |state: &State| state.deeds.get(&*name).is_none_or(|deed| deed.id != id);
            return self.heard(gone).await.map_err(failed);
        }
        let turn = self.turn().await;
        let deed = Deeds::get(self, &name).filter(|deed| deed.id == id);
        let deed = deed.ok_or_else(|| DeedError::NotFound(name.clone()))?;
        // Now that nothing else changes: the bucket may have got another home while its home looked
        // whether it is empty.
        let stays =
            by.is_some_and(|(home, epoch)| deed.home != home || (epoch > 0 && deed.epoch != epoch));
        if stays && !types::planted("deleted-by-a-former-home") {
            return Err(DeedError::Moved);
        }
        let draft = Draft {
            actor: actor.clone(),
            action: "bucket.delete",
            subject: name.to_string(),
            detail: detail(&deed),
            rows: vec![RowChange::remove::<DeedRecord>(&name)],
        };
        self.change(turn, draft).await.map_err(failed)
    }
}

/// A bucket that is to be removed.
pub(crate) struct Leaving {
    pub(crate) name: BucketName,
    pub(crate) id: BucketId,
    /// Which region asks for it as the home, and under which epoch it does; 0 where a release
    /// before this one does not say.
    pub(crate) by: Option<(RegionId, u64)>,
}

/// Whose word counts: regions that there are, each once.
fn check_trust(state: &State, placement: &Placement) -> Result<(), CloudError> {
    for trusted in [&placement.trust.reads, &placement.trust.writes] {
        for (n, forwarder) in trusted.iter().enumerate() {
            if n >= TRUSTED_MAX || trusted.iter().take(n).any(|f| f == forwarder) {
                return Err(CloudError::Invalid(format!(
                    "{TRUSTED_MAX} regions at most can be trusted, each once; {forwarder} is \
                     one too many"
                )));
            }
            if let Forwarder::Region(region) = forwarder
                && !state.regions.contains_key(&**region)
            {
                return Err(CloudError::NoRegion(region.to_string()));
            }
        }
    }
    Ok(())
}

/// A deed as the audit log shows it.
fn detail(deed: &BucketDeed) -> Value {
    let replica = |r: &Replica| match &r.sealed_by {
        None => json!({ "region": &*r.region }),
        Some(holder) => json!({ "region": &*r.region, "sealed_by": &**holder }),
    };
    let placement = &deed.placement;
    let mut detail = json!({
        "id": deed.id.0,
        "owner": &*deed.owner,
        "home": &*deed.home,
        "replicas": placement.replicas.iter().map(replica).collect::<Vec<_>>(),
        "jurisdictions": placement.jurisdictions.iter().map(|j| &**j).collect::<Vec<_>>(),
        "writes": match placement.writes { Writes::Home => "home", Writes::Any => "any" },
        "proxy": placement.proxy,
        "epoch": deed.epoch,
    });
    if !placement.successors.is_empty() {
        let named: Vec<_> = placement.successors.iter().map(|r| &**r).collect();
        detail["successors"] = json!(named);
    }
    for (field, trusted) in [
        ("trust_reads", &placement.trust.reads),
        ("trust_writes", &placement.trust.writes),
    ] {
        if !trusted.is_empty() {
            let named: Vec<_> = trusted.iter().map(ToString::to_string).collect();
            detail[field] = json!(named);
        }
    }
    if placement.unrenewed != types::Unrenewed::default() {
        detail["unrenewed"] = json!(placement.unrenewed.name());
    }
    if !placement.accepts.is_empty() {
        let named: Vec<_> = placement.accepts.iter().map(|b| &**b).collect();
        detail["accepts"] = json!(named);
    }
    detail
}

/// Whether no region is named twice, and each sealed replica is sealed by the home.
fn check_replicas(home: &RegionId, placement: &Placement) -> Result<(), CloudError> {
    let invalid = |why: String| Err(CloudError::Invalid(why));
    for replica in &placement.replicas {
        if replica.sealed_by.as_ref().is_some_and(|by| by != home) {
            return invalid(format!(
                "the replica in region {} can be sealed by the bucket's home only, {home}",
                replica.region
            ));
        }
        let count = placement
            .replicas
            .iter()
            .filter(|r| r.region == replica.region);
        if replica.region == *home {
            return invalid(format!(
                "region {home} is the bucket's home, which keeps no replica beside"
            ));
        }
        if count.count() > 1 {
            return invalid(format!(
                "region {} keeps a replica already, or is named twice",
                replica.region
            ));
        }
    }
    Ok(())
}

fn failed(error: CloudError) -> DeedError {
    match error {
        CloudError::Store(store::StoreError::Full(what)) => DeedError::Full(what),
        CloudError::SlowDown(why) => DeedError::SlowDown(why),
        CloudError::Unavailable(why) => DeedError::Unavailable(why),
        other => DeedError::Unavailable(other.to_string()),
    }
}

impl Deeds for Registry {
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        self.state.read().deeds.get(&**name).cloned()
    }

    fn list(
        &self,
        owner: &AccountId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<BucketDeed>> {
        let state = self.state.read();
        let Some(owned) = state.deeds.by_owner.get(owner) else {
            return Vec::new();
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        owned
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .take(limit)
            .map(|(_, deed)| Arc::clone(deed))
            .collect()
    }

    fn all(&self) -> Vec<Arc<BucketDeed>> {
        self.state.read().deeds.values().cloned().collect()
    }

    fn create(
        &self,
        actor: Actor,
        new: NewDeed,
    ) -> BoxFuture<'_, Result<Arc<BucketDeed>, DeedError>> {
        self.create_for(actor, new, None)
    }

    fn create_for(
        &self,
        actor: Actor,
        new: NewDeed,
        request: Option<SignedRequest>,
    ) -> BoxFuture<'_, Result<Arc<BucketDeed>, DeedError>> {
        Box::pin(async move { self.create_deed(&actor, new, request.as_ref()).await })
    }

    fn remove(
        &self,
        actor: Actor,
        name: BucketName,
        id: BucketId,
    ) -> BoxFuture<'_, Result<(), DeedError>> {
        let leaving = Leaving { name, id, by: None };
        Box::pin(async move { self.remove_deed(&actor, leaving, None).await })
    }

    fn remove_for(
        &self,
        actor: Actor,
        deed: &BucketDeed,
        request: Option<SignedRequest>,
    ) -> BoxFuture<'_, Result<(), DeedError>> {
        let leaving = Leaving {
            name: deed.name.clone(),
            id: deed.id,
            by: Some((deed.home.clone(), deed.epoch)),
        };
        Box::pin(async move { self.remove_deed(&actor, leaving, request.as_ref()).await })
    }
}
