//! Receipts: a region where a bucket is not placed any more says that it has removed what lay
//! there, and the audit log keeps that. The region's identity is proven by its certificate.

use serde_json::json;
use types::{Actor, BucketId, BucketName, Deeds, Holding, RegionId};

use crate::{
    CloudError, Registry,
    change::Draft,
    link::{Ask, Told},
    registry::Keeper,
};

/// A region has a receipt for a bucket recorded this often at most: one that says it again and
/// again does not fill the log.
const AGAIN_MS: u64 = 60_000;
/// Receipts that are remembered for that.
const REMEMBERED_MAX: usize = 10_000;

impl Registry {
    /// Puts on record that this region has removed what lay here of a bucket.
    ///
    /// # Errors
    /// The registry's region does not answer, or knows another placement.
    pub async fn report_removed(
        &self,
        name: &BucketName,
        id: BucketId,
        epoch: u64,
        rows: u64,
    ) -> Result<(), CloudError> {
        let Keeper::There(upstream) = &self.keeper else {
            let own = RegionId::new(self.own());
            return self.record_removed(&own, name, id, epoch, rows).await;
        };
        let ask = Ask::Removed {
            name: name.to_string(),
            id: id.0,
            epoch,
            rows,
        };
        match upstream.ask(ask).await? {
            Told::Done => Ok(()),
            Told::Refused(why) => Err(CloudError::Refused(why)),
            _ => Err(CloudError::Unavailable(
                "an answer to another question".into(),
            )),
        }
    }

    pub(crate) async fn tell_removed(
        &self,
        from: &RegionId,
        name: &str,
        id: u64,
        epoch: u64,
        rows: u64,
    ) -> Result<Told, CloudError> {
        let name = BucketName::new(name).map_err(|e| CloudError::Invalid(e.to_string()))?;
        let recorded = self.record_removed(from, &name, BucketId(id), epoch, rows);
        recorded.await.map(|()| Told::Done)
    }

    async fn record_removed(
        &self,
        region: &RegionId,
        name: &BucketName,
        id: BucketId,
        epoch: u64,
        rows: u64,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let deed = Deeds::get(self, name).filter(|deed| deed.id == id);
        let deed = deed.ok_or_else(|| CloudError::NoBucket(name.clone()))?;
        if deed.epoch != epoch || deed.holding(region) != Holding::Nothing {
            return Err(CloudError::Refused(format!(
                "{name} is placed in region {region}, or its deed has changed"
            )));
        }
        self.may_again(region, id)?;
        let draft = Draft {
            actor: Actor::Region(region.clone()),
            action: "bucket.removed",
            subject: name.to_string(),
            detail: json!({ "region": &**region, "epoch": epoch, "rows": rows }),
            rows: Vec::new(),
        };
        self.change(turn, draft).await?;
        let now = self.clock.now().ms();
        self.receipts.lock().insert((region.clone(), id), now);
        Ok(())
    }

    fn may_again(&self, region: &RegionId, id: BucketId) -> Result<(), CloudError> {
        let now = self.clock.now().ms();
        let mut receipts = self.receipts.lock();
        receipts.retain(|_, at| now.saturating_sub(*at) < AGAIN_MS);
        let one = (region.clone(), id);
        if receipts.contains_key(&one) || receipts.len() >= REMEMBERED_MAX {
            return Err(CloudError::Refused(format!(
                "a receipt of region {region} was recorded less than a minute ago"
            )));
        }
        Ok(())
    }
}
