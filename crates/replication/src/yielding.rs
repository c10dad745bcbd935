//! Which region decides for a bucket: what a home answers to the one that follows it.

use std::sync::Arc;

use access::authorize_receiving;
use http::{Response, StatusCode};
use peer::BoxBody;
use store::Position;
use types::{BucketDeed, BucketName, Holding, Place};

use crate::{
    ReplicationError, Source,
    answers::{Refused, failed, json, refused},
    gate::outside,
    wire::{Ask, What, Yielded},
};

impl Source {
    /// Answers the registry's region and regions that hold a readable replica, whatever epoch they
    /// know.
    pub(crate) async fn answer_standing(
        &self,
        from: &Place,
        ask: &Ask,
    ) -> Result<Response<BoxBody>, Refused> {
        let name = BucketName::new(&ask.bucket).map_err(refused)?;
        let found = self.regions.deed(&name).filter(|d| d.id.0 == ask.id);
        let deed = found.ok_or_else(outside)?;
        let holds = matches!(deed.holding(&from.region), Holding::Home | Holding::Replica);
        if !holds && !self.regions.keeps_registry(&from.region) {
            return Err(outside());
        }
        match ask.what {
            What::Followed => {
                // A deed of before the question's may mean a replica that was removed since.
                let here = self.regions.here().region;
                let same = deed.placement.copy_since(&here) == ask.since;
                let known = deed.epoch >= ask.epoch && same;
                let followed = known && self.followed(&deed).await.map_err(refused)?;
                json(&followed)
            }
            _ => self.answer_yield(&deed, from, ask).await,
        }
    }

    /// Whether this region takes no writes any more under an epoch before the question's.
    async fn answer_yield(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        ask: &Ask,
    ) -> Result<Response<BoxBody>, Refused> {
        let fenced = self.promises.learned(deed, ask.epoch, &from.region);
        let is_home = deed.home == self.regions.here().region;
        if deed.epoch > ask.epoch || (is_home && !fenced) {
            let why = format!("the bucket's epoch is {}, not {}", deed.epoch, ask.epoch);
            return Err((StatusCode::CONFLICT, why));
        }
        // After the fence: what was acknowledged before it is in the log.
        let position = match self.permit(deed, from) {
            Ok(permit) => self.objects.head_position(&permit).await.map_err(failed)?.0,
            Err(_) => Position(0),
        };
        json(&Yielded {
            epoch: deed.epoch,
            was_home: is_home,
            position: position.0,
        })
    }

    /// A refused question may have been asked under a newer epoch than this region knows: what it
    /// does as the home by an earlier one ends.
    pub(crate) fn note_epoch(&self, from: &Place, ask: &Ask) {
        let deed = BucketName::new(&ask.bucket).ok();
        let deed = deed.and_then(|name| self.regions.deed(&name));
        if let Some(deed) = deed.filter(|d| d.id.0 == ask.id) {
            self.promises.learned(&deed, ask.epoch, &from.region);
        }
    }

    /// Whether the replica here has taken all of its home's snapshot once: the home knows of it
    /// then.
    ///
    /// # Errors
    /// No replica is placed here; failures of the engine.
    pub async fn followed(&self, deed: &Arc<BucketDeed>) -> Result<bool, ReplicationError> {
        let unknown = || ReplicationError::Refused("the home is not known".to_owned());
        let home = self.regions.place(&deed.home).ok_or_else(unknown)?;
        let permit = authorize_receiving(deed, &self.regions.here(), &home)?;
        Ok(self.objects.has_followed(&permit, &deed.home).await?)
    }
}
