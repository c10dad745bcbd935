//! A new key for a region whose key somebody else has.
//!
//! Certificates of one key are distinguished by their serials only, and whoever has the key renews
//! as the region does. So the region's own operator gets a token that is good for one new key; at
//! the moment in which the certificate for that is issued, all that the region had is taken back,
//! and the key that it had is no longer the region's.

use std::{sync::Arc, time::Duration};

use types::{Actor, RegionId};

use crate::{
    Announcement, CloudError, IssuedRecord, RegionRecord, RegionStatus, Registry,
    change::RowChange,
    kinds::{FORMAT, token::TokenRecord},
    past_tokens::Ended,
};

impl Registry {
    /// Gives a region that has joined the right to one new key: `token_hash`
    /// ([`crate::token_hash`]) is that of the token's secret. An earlier token of the region is
    /// good no longer.
    pub async fn rekey_region(
        &self,
        actor: &Actor,
        region: &str,
        token_hash: &str,
        valid: Duration,
    ) -> Result<Arc<RegionRecord>, CloudError> {
        let turn = self.turn().await;
        let record = (*self.known(region)?).clone();
        let joined = !record.public_key.is_empty() && record.status != RegionStatus::Closed;
        if !joined || region == self.own() {
            return Err(CloudError::Refused(format!(
                "region {region} has no key that could be replaced: a region gets a new one that \
                 has joined, is not closed, and does not keep the registry"
            )));
        }
        let token = TokenRecord {
            format: FORMAT,
            region: region.to_owned(),
            expires_ms: self.clock.now().ms() + valid.as_millis() as u64,
            rekeys: true,
            key: None,
        };
        let mut rows = self.drop_tokens(region, Ended::Replaced);
        rows.push(RowChange::put(token_hash, &token)?);
        self.put_region(turn, actor, "region.rekey", record, rows)
            .await?;
        self.known(region)
    }

    /// The region shows the token with a new key: that is the region's from now on, and no
    /// certificate that was issued before is good. To be called under the turn in which the token
    /// was looked up.
    pub(crate) async fn take_new_key(
        &self,
        turn: crate::registry::Turn,
        (hash, token): (String, TokenRecord),
        known: &RegionRecord,
        announced: &Announcement,
        issued: &IssuedRecord,
    ) -> Result<Arc<RegionRecord>, CloudError> {
        let refused = |why: &str| {
            Err(CloudError::Refused(format!(
                "region {} gets no new key: {why}",
                known.id
            )))
        };
        if known.status == RegionStatus::Closed {
            return refused("it is closed");
        }
        let key = &announced.public_key;
        match &token.key {
            // Cut off before it wrote down what it got.
            Some(first) if first == key => {}
            Some(_) => return refused("the token was used with another key"),
            None if known.public_key == *key => return refused("it is the key that it had"),
            None => {}
        }
        let of_another = |r: &Arc<RegionRecord>| r.id != known.id && r.public_key == *key;
        if self.all_regions().iter().any(of_another) {
            return refused("the key is another region's");
        }
        let mut record = known.clone();
        let all: Vec<String> = record.issued.iter().map(|one| one.serial.clone()).collect();
        if !types::planted("rekey-leaves-certificates") {
            let new = all
                .into_iter()
                .filter(|serial| !known.revoked_serials.contains(serial));
            record.revoked_serials.extend(new);
        }
        record.public_key.clone_from(key);
        // Where it is reached it says once it has its certificate, by the rules for that.
        record.note_issued(issued, self.clock.now().ms());
        let token = TokenRecord {
            key: Some(key.clone()),
            ..token
        };
        let rows = vec![RowChange::put(hash, &token)?];
        let actor = Actor::Region(RegionId::new(&known.id));
        // Whoever checks the audit log has a region's key from the entry that opens it.
        let action = match record.status {
            RegionStatus::Joining | RegionStatus::Planned => "region.join",
            _ => "region.open",
        };
        self.put_region(turn, &actor, action, record, rows).await?;
        self.known(&known.id)
    }
}
