//! Drains: orders to move all buckets of a region elsewhere. The registry has the order, who gave
//! it, and its end; the region that keeps the registry carries it out (`node`), in the name of
//! whoever gave it.

use std::sync::Arc;

use types::Actor;

use crate::{
    CloudError, DrainOrder, DrainRecord, DrainState, RegionRecord, RegionStatus, Registry,
    past_tokens::Ended,
};

impl DrainRecord {
    /// Ends it, if it has not ended.
    pub(crate) fn end(&mut self, state: DrainState, now_ms: u64) {
        if self.state == DrainState::Moving {
            self.state = state;
            self.ended_ms = Some(now_ms);
        }
    }
}

impl Registry {
    /// Orders that all buckets of a region move elsewhere. The region takes no new ones from now
    /// on. An order takes the place of the one before.
    ///
    /// # Errors
    /// `Refused` for a region that is neither open nor draining, `Invalid` where the buckets are to
    /// go to that region itself.
    pub async fn begin_drain(
        &self,
        actor: &Actor,
        region: &str,
        order: &DrainOrder,
    ) -> Result<Arc<RegionRecord>, CloudError> {
        let Actor::Key {
            account,
            access_key,
        } = actor
        else {
            return Err(CloudError::Refused(format!("{actor} orders no drain")));
        };
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        if let Some(to) = &order.to {
            self.known(to)?;
            if to == region {
                return Err(CloudError::Invalid(format!(
                    "the buckets of region {region} are to move to another region"
                )));
            }
        }
        let rows = match record.status {
            RegionStatus::Open => self.drop_tokens(region, Ended::Used),
            RegionStatus::Draining => Vec::new(),
            other => {
                let why = other.keeps_from(region, RegionStatus::Draining);
                return Err(CloudError::Refused(why));
            }
        };
        record.status = RegionStatus::Draining;
        let last = record.drain.as_ref().map_or(0, |drain| drain.begun_ms);
        record.drain = Some(DrainRecord {
            state: DrainState::Moving,
            order: order.clone(),
            account: account.to_string(),
            access_key: access_key.to_string(),
            begun_ms: self.clock.now().ms().max(last + 1),
            ended_ms: None,
        });
        self.put_region(turn, actor, "region.drain", record, rows)
            .await?;
        self.known(region)
    }

    /// Ends the order that began then; one that has ended, or is another, stays as it is.
    pub async fn end_drain(
        &self,
        actor: &Actor,
        region: &str,
        begun_ms: u64,
        state: DrainState,
    ) -> Result<Arc<RegionRecord>, CloudError> {
        let turn = self.turn().await;
        let mut record = (*self.known(region)?).clone();
        let now_ms = self.clock.now().ms();
        let is_that = |drain: &&mut DrainRecord| {
            drain.begun_ms == begun_ms && drain.state == DrainState::Moving
        };
        let Some(drain) = record.drain.as_mut().filter(is_that) else {
            return Ok(Arc::new(record));
        };
        drain.end(state, now_ms);
        let action = match state {
            DrainState::Done => "region.drained",
            DrainState::Moving | DrainState::Aborted => "region.drain-abort",
        };
        self.put_region(turn, actor, action, record, Vec::new())
            .await?;
        self.known(region)
    }
}
