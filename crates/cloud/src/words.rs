//! Removals that another region reported: a bucket's home says how many versions it removed because
//! a replica reported that they had been removed there, and the audit log keeps that number with a
//! digest of the list. The list itself, which has names, stays with the home.

use serde::{Deserialize, Serialize};
use serde_json::json;
use types::{Actor, BucketDeed, BucketId, BucketName, Holding, RegionId};

use crate::{
    CloudError, Registry,
    change::{Draft, RowNow},
    kinds::{Record, deed::DeedRecord},
    link::{Ask, RegistryAnswer},
    registry::Keeper,
};

const PAGE: usize = 500;

/// What a region has removed of a bucket on another one's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedOnWord {
    /// The bucket.
    pub name: BucketName,
    /// Its number.
    pub id: BucketId,
    /// The region that said so.
    pub from: RegionId,
    /// The epoch of the last removal.
    pub epoch: u64,
    /// Removals in all.
    pub count: u64,
    /// SHA-256 of the list, in hex.
    pub digest: String,
}

/// The same as it travels.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnWordRecord {
    name: String,
    id: u64,
    from: String,
    epoch: u64,
    count: u64,
    digest: String,
}

impl Registry {
    /// The epoch with which the bucket's home became it, as the audit log says that this region
    /// has: 1 for the first one.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn home_since(&self, deed: &BucketDeed) -> Result<u64, CloudError> {
        let row = DeedRecord::key(&deed.name);
        let (mut since, mut from): (Option<(RegionId, u64)>, u64) = (None, 0);
        loop {
            let page = self.changes(from, PAGE).await?;
            for change in &page {
                for found in change.rows.iter().filter(|r| r.key == row) {
                    let RowNow::Value(value) = &found.now else {
                        continue;
                    };
                    let then = DeedRecord::read(value.as_bytes())?.into_deed()?;
                    if then.id == deed.id && since.as_ref().is_none_or(|(h, _)| *h != then.home) {
                        since = Some((then.home, then.epoch));
                    }
                }
            }
            match page.last() {
                Some(last) => from = last.entry.number + 1,
                None => break,
            }
        }
        // A log that does not say it leaves what is certain: not before this epoch.
        let known = since.filter(|(home, _)| *home == deed.home);
        Ok(known.map_or(deed.epoch, |(_, since)| since))
    }

    /// Puts on record what this region has removed on another one's word.
    ///
    /// # Errors
    /// The registry's region does not answer, or refuses.
    pub async fn report_on_word(&self, removed: &RemovedOnWord) -> Result<(), CloudError> {
        let Keeper::There(upstream) = &self.keeper else {
            let own = RegionId::new(self.own());
            return self.record_on_word(&own, removed).await;
        };
        let ask = Ask::RemovedOnWord(OnWordRecord {
            name: removed.name.to_string(),
            id: removed.id.0,
            from: removed.from.to_string(),
            epoch: removed.epoch,
            count: removed.count,
            digest: removed.digest.clone(),
        });
        match upstream.ask(ask).await? {
            RegistryAnswer::Done => Ok(()),
            RegistryAnswer::Refused(why) => Err(CloudError::Refused(why)),
            _ => Err(CloudError::Unavailable(
                "an answer to another question".into(),
            )),
        }
    }

    pub(crate) async fn answer_on_word(
        &self,
        region: &RegionId,
        said: OnWordRecord,
    ) -> Result<RegistryAnswer, CloudError> {
        let name = BucketName::new(&said.name);
        let removed = RemovedOnWord {
            name: name.map_err(|e| CloudError::Invalid(e.to_string()))?,
            id: BucketId(said.id),
            from: RegionId::new(&said.from),
            epoch: said.epoch,
            count: said.count,
            digest: said.digest,
        };
        let recorded = self.record_on_word(region, &removed).await;
        recorded.map(|()| RegistryAnswer::Done)
    }

    async fn record_on_word(
        &self,
        region: &RegionId,
        removed: &RemovedOnWord,
    ) -> Result<(), CloudError> {
        let name = &removed.name;
        let refused = || {
            Err(CloudError::Refused(format!(
                "region {region} has removed nothing of {name} on such a word"
            )))
        };
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let fits = |deed: &BucketDeed| {
            deed.holding(region) != Holding::Nothing && removed.epoch <= deed.epoch
        };
        // What is in memory is compared before anything is read.
        let deed = self.deed_of(name, removed.id)?;
        let planted = types::planted("reports-of-strangers");
        if !fits(&deed) || !hex(&removed.digest) || (removed.from == *region && !planted) {
            return refused();
        }
        let past = self.past_of(&deed, region, region).await?.past;
        let other = self.past_of(&deed, &removed.from, region).await?.past;
        let turn = self.turn().await;
        let deed = self.deed_of(name, removed.id)?;
        // Homes do so, because a region with a readable replica reported it. What the log said it
        // says still.
        let heard = past.was_home && other.was_readable;
        if !(heard || planted) || !fits(&deed) {
            return refused();
        }
        let draft = Draft {
            actor: Actor::Region(region.clone()),
            action: "bucket.removed_on_word",
            subject: name.to_string(),
            detail: json!({
                "from": &*removed.from,
                "epoch": removed.epoch,
                "count": removed.count,
                "digest": removed.digest,
            }),
            rows: Vec::new(),
        };
        self.change(turn, draft).await
    }
}
