//! The home fetches what another region alone has: after a promotion, what the old home had not
//! handed on, or what reached one copy and not the one that became the home.

use std::{sync::Arc, time::Duration};

use access::authorize_receiving;
use objects::{Applied, Objects};
use peer::Client;
use tokio::sync::Semaphore;
use types::{BucketDeed, Holding, ObjectKey, Place, VersionId};

use crate::{
    Divergence, Regions, ReplicationError,
    client::Far,
    wire::{What, name},
};

/// Offers that are worked on at once.
const AT_ONCE: usize = 2;
/// How long an offer's answer waits for the work; that goes on in any case.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Takes offers.
pub struct HandOver {
    pub(crate) client: Client,
    pub(crate) objects: Arc<Objects>,
    pub(crate) regions: Arc<dyn Regions>,
    places: Arc<Semaphore>,
}

impl HandOver {
    pub(crate) fn new(client: Client, objects: Arc<Objects>, regions: Arc<dyn Regions>) -> Self {
        Self {
            client,
            objects,
            regions,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Fetches `versions` from the region that offers them. Whoever offers asks again until
    /// nothing is lacking, so work that fails is offered again.
    pub async fn take(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        versions: Vec<(ObjectKey, VersionId)>,
    ) -> Result<(), ReplicationError> {
        let here = self.regions.here();
        if deed.holding(&here.region) != Holding::Home {
            return Err(ReplicationError::Refused(format!(
                "the home of {} is region {}",
                deed.name, deed.home
            )));
        }
        // Work under way is enough; the offer comes again.
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Ok(());
        };
        let permit = authorize_receiving(deed, &here, from)?;
        let far = Far {
            client: self.client.clone(),
            regions: Arc::clone(&self.regions),
            region: from.region.clone(),
            deed: Arc::clone(deed),
        };
        let (objects, regions) = (Arc::clone(&self.objects), Arc::clone(&self.regions));
        let work = tokio::spawn(async move {
            let _place = place;
            let mut keys = Vec::new();
            for (key, version) in versions {
                let (k, v) = name(&key, version);
                let fetched = far.ask(What::Version { key: k, version: v }).await;
                let change = fetched.map(|answer| answer.changes.into_iter().next());
                let applied = match change {
                    Ok(Some((_, change))) => objects.apply(&permit, change, &far).await,
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::warn!(%key, %version, %error, "an offered version did not come");
                        continue;
                    }
                };
                match applied {
                    Ok(Applied::Done) => keys.push(key.to_string()),
                    // An older null version, whose place a newer one has: lost by the rules of
                    // unversioned buckets, and reported.
                    Ok(Applied::Superseded) => keys.push(key.to_string()),
                    Ok(Applied::Known) => {}
                    Err(error) => tracing::warn!(%key, %error, "an offered version was refused"),
                }
            }
            if !keys.is_empty() {
                keys.sort();
                keys.dedup();
                let divergence = Divergence {
                    bucket: far.deed.name.clone(),
                    id: far.deed.id,
                    from: far.region.clone(),
                    epoch: far.deed.epoch,
                    keys,
                };
                regions.report(divergence).await;
            }
        });
        // Not done in time is no failure: it is asked again.
        let _ = tokio::time::timeout(ANSWER_WITHIN, work).await;
        Ok(())
    }
}
