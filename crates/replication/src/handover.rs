//! The home fetches what another region alone has: after a promotion, what the old home had not
//! sent to replicas, or what reached one replica and not the one that became the home.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use access::{Permit, authorize_receiving};
use objects::{AHEAD_MAX_MS, Applied, Objects, Removals, ShippedChange, VersionName};
use parking_lot::Mutex;
use store::Position;
use types::{BucketDeed, BucketId, Holding, Place, RegionId, Timestamp, Writes};

use crate::{
    Divergence, Regions, ReplicationError, Transport,
    client::Far,
    gather::take_back,
    places::{Places, Taken},
    wire::{Settled, name},
};

/// How long an offer's answer waits for the work; that goes on in any case.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Takes offers.
#[derive(Clone)]
pub struct HandOver {
    pub(crate) client: Arc<dyn Transport>,
    pub(crate) objects: Arc<Objects>,
    pub(crate) regions: Arc<dyn Regions>,
    places: Places,
    /// Of which regions it was said that versions of a bucket were refused.
    refused: Arc<Mutex<BTreeSet<(BucketId, RegionId)>>>,
}

impl HandOver {
    pub(crate) fn new(
        client: Arc<dyn Transport>,
        objects: Arc<Objects>,
        regions: Arc<dyn Regions>,
    ) -> Self {
        Self {
            client,
            objects,
            regions,
            places: Places::default(),
            refused: Arc::default(),
        }
    }

    /// The bucket's place for one who reads it from `region`, unless that is taken.
    pub(crate) fn place(&self, bucket: BucketId, region: &RegionId) -> Option<Taken> {
        self.places.take(bucket, region)
    }

    pub(crate) fn far(&self, deed: &Arc<BucketDeed>, region: &Place) -> Far {
        Far::new(&self.client, &self.regions, &region.region, deed)
    }

    /// Up to which timestamp versions are taken from a region that offers them; `None` for none at
    /// all. Where only the home takes writes, another region has what the home has not only from
    /// an earlier epoch, or where the home lost it. A region of the home's own operator may
    /// also offer what the home lost without knowing it.
    async fn offered_until(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        permit: &Permit,
    ) -> Result<Option<Timestamp>, ReplicationError> {
        const LAST: Timestamp = Timestamp::from_ms(u64::MAX);
        let any = deed.placement.writes == Writes::Any;
        let own = from.is_of_operator_of(&self.regions.here());
        if any || own || types::planted("offers-without-an-epoch") {
            return Ok(Some(LAST));
        }
        if let Some(until) = self.regions.lost_until(deed) {
            return Ok(Some(until));
        }
        let since = self.regions.home_since(deed).await;
        let since = since.map_err(ReplicationError::Refused)?;
        let reports = self
            .objects
            .reports_since(permit, &from.region, since)
            .await?;
        // Clocks of buckets may be ahead of those of their regions.
        Ok(reports.map(|began| Timestamp::from_ms(began.ms().saturating_add(2 * AHEAD_MAX_MS))))
    }

    /// Fetches `versions` from the region that offers them; without any, its configuration. Whoever
    /// offers asks again until nothing is lacking, so work that fails is offered again.
    pub async fn take(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        versions: Vec<VersionName>,
    ) -> Result<Settled, ReplicationError> {
        let here = self.regions.here();
        if deed.holding(&here.region) != Holding::Home {
            return Err(ReplicationError::Refused(format!(
                "the home of {} is region {}",
                deed.name, deed.home
            )));
        }
        // Work under way is enough; the offer comes again.
        let Some(place) = self.place(deed.id, &from.region) else {
            return Ok(Settled {
                configuration: Some(false),
                ..Settled::default()
            });
        };
        let permit = authorize_receiving(deed, &here, from)?;
        let until = self.offered_until(deed, from, &permit).await?;
        if versions.is_empty() {
            return Ok(self.compared(deed, from, (&permit, until)).await);
        }
        let removed = self.objects.removed_here(&permit, &versions).await?;
        let work = Work {
            far: self.far(deed, from),
            objects: Arc::clone(&self.objects),
            permit,
        };
        let (gone, wanted): (Vec<_>, Vec<_>) = versions
            .into_iter()
            .partition(|version| removed.named(version));
        let settled = Settled {
            removed: gone.iter().map(|(k, v)| name(k, *v)).collect(),
            ..Settled::default()
        };
        let until = match until {
            _ if wanted.is_empty() => return Ok(settled),
            Some(until) => until,
            None => return Err(self.nothing_from(deed, from)),
        };
        let working = tokio::spawn(async move {
            let _place = place;
            work.fetch(wanted, until, &removed).await
        });
        // Not done in time is no failure: it is asked again.
        let superseded = match tokio::time::timeout(ANSWER_WITHIN, working).await {
            Ok(Ok(superseded)) => superseded,
            _ => Vec::new(),
        };
        Ok(Settled {
            superseded,
            ..settled
        })
    }

    /// Takes over what of the configuration was set later in another region. Nothing was, where
    /// that may offer nothing.
    async fn compared(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        (permit, until): (&Permit, Option<Timestamp>),
    ) -> Settled {
        let done = match until {
            None => true,
            Some(_) => {
                let compared = self.compare_configuration(deed, from, permit);
                let compared = tokio::time::timeout(ANSWER_WITHIN, compared).await;
                if let Ok(Err(error)) = &compared {
                    let (bucket, region) = (&deed.name, &from.region);
                    tracing::warn!(%bucket, %region, %error, "a configuration was not compared");
                }
                matches!(compared, Ok(Ok(())))
            }
        };
        Settled {
            configuration: Some(done),
            ..Settled::default()
        }
    }

    /// A region offers what it cannot have. It may offer that again and again: the log says it
    /// once.
    fn nothing_from(&self, deed: &BucketDeed, from: &Place) -> ReplicationError {
        let (bucket, region) = (&deed.name, &from.region);
        if self.refused.lock().insert((deed.id, region.clone())) {
            tracing::warn!(
                %bucket, %region,
                "versions that a replica of another operator offered were refused: this home knows \
                 of no writes that it lost, and takes what was made under earlier epochs within a \
                 day of that region's first contact only. What that region alone has stays there"
            );
        }
        ReplicationError::Refused(format!(
            "the home of {bucket} takes no versions from region {region} now: it knows of no writes \
             that it lost, and takes what was made under earlier epochs within a day of this \
             region's first contact only"
        ))
    }
}

/// The fetching of what was offered.
struct Work {
    far: Far,
    objects: Arc<Objects>,
    permit: Permit,
}

impl Work {
    /// Fetches all it can, and reports the keys; answers what has no place here. What was made
    /// after `until` was not made under an earlier epoch.
    async fn fetch(
        self,
        versions: Vec<VersionName>,
        until: Timestamp,
        removed: &Removals,
    ) -> Vec<(String, String)> {
        let (mut keys, mut superseded, mut brought) = (Vec::new(), Vec::new(), Vec::new());
        for (key, version) in versions {
            if version.at() > until {
                tracing::warn!(
                    %key, %version, region = %self.far.region,
                    "an offered version was refused: it says that it was made after that region \
                     began to hand over what it had"
                );
                continue;
            }
            let fetched = self.far.version(&(key.clone(), version)).await;
            let change = match fetched {
                Ok(Some(change)) => change,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%key, %version, %error, "an offered version did not come");
                    continue;
                }
            };
            let null = matches!(&change, ShippedChange::Version(one) if one.null);
            if removed.holds(&(key.clone(), version), null) {
                // A null version whose successor was removed here.
                superseded.push(name(&key, version));
                continue;
            }
            brought.push(((key.clone(), version), null));
            let applied = self.objects.apply(&self.permit, change.clone(), &self.far);
            match applied.await {
                Err(objects::Error::ClockAhead(stamp)) => {
                    let (permit, region, at) = (&self.permit, &self.far.region, Position(0));
                    let aside = self.objects.set_aside(permit, region, (at, stamp), &change);
                    if let Err(error) = aside.await {
                        tracing::warn!(%key, %error, "an offered version was not set aside");
                    }
                }
                Ok(Applied::Done) => keys.push(key.to_string()),
                // An older null version, whose place a newer one has: lost by the rules of
                // unversioned buckets, and reported.
                Ok(Applied::Superseded) => {
                    superseded.push(name(&key, version));
                    keys.push(key.to_string());
                }
                Ok(Applied::Known) => {}
                Err(error) => tracing::warn!(%key, %error, "an offered version was refused"),
            }
        }
        let taken_back = take_back(&self.objects, &self.permit, &brought, &self.far);
        if let Err(error) = taken_back.await {
            tracing::warn!(%error, "what was removed meanwhile is not known");
        }
        if !keys.is_empty() {
            keys.sort();
            keys.dedup();
            let divergence = Divergence {
                bucket: self.far.deed.name.clone(),
                id: self.far.deed.id,
                from: self.far.region.clone(),
                epoch: self.far.deed.epoch,
                keys,
            };
            self.far.regions.report(divergence).await;
        }
        superseded
    }
}
