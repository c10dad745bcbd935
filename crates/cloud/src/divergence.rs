//! Divergence: a region came back with versions that a bucket's home had not, and the audit log
//! keeps which keys they were of.

use std::sync::Arc;

use serde_json::json;
use types::{Actor, BucketDeed, BucketName, Deeds, RegionId};

use crate::{
    CloudError, Registry,
    change::Draft,
    keys::mac,
    link::{Ask, RegistryAnswer},
    registry::Keeper,
};

/// Bytes of keys that one entry of the audit log names.
const DIVERGENT_BYTES_MAX: usize = 32 << 10;
/// What stands before a key's hash where the key itself may not go. The hash is made with a secret
/// of the home's region: whoever reads the log cannot try guesses of a name.
const HASHED: &str = "hmac-sha256:";

impl Registry {
    /// A bucket's home reports what a region came back with.
    pub(crate) async fn answer_divergence(
        &self,
        from: &RegionId,
        name: &str,
        other: &str,
        epoch: u64,
        keys: &[String],
    ) -> Result<RegistryAnswer, CloudError> {
        let name = BucketName::new(name).map_err(|e| CloudError::Invalid(e.to_string()))?;
        let other = RegionId::new(other);
        let reported = self.record_divergence(from, &name, &other, epoch, keys);
        reported.await.map(|()| RegistryAnswer::Done)
    }

    /// Puts on record that a region came back with versions of these keys which the bucket's home
    /// had not.
    pub async fn report_divergence(
        &self,
        name: &BucketName,
        from: &RegionId,
        epoch: u64,
        keys: &[String],
    ) -> Result<(), CloudError> {
        let deed = Deeds::get(self, name).ok_or_else(|| CloudError::NoBucket(name.clone()))?;
        // The audit log goes to every region; names of objects may not, where the law is limited.
        let shown = |key: &String| match names_are_limited(&deed) {
            true => self.hashed(&deed, epoch, key),
            false => key.clone(),
        };
        let keys: Vec<String> = keys.iter().map(shown).collect();
        if let Keeper::There(upstream) = &self.keeper {
            let ask = Ask::Divergence {
                name: name.to_string(),
                from: from.to_string(),
                epoch,
                keys,
            };
            return match upstream.ask(ask).await? {
                RegistryAnswer::Done => Ok(()),
                RegistryAnswer::Refused(why) => Err(CloudError::Refused(why)),
                _ => Err(CloudError::Unavailable(
                    "an answer to another question".into(),
                )),
            };
        }
        let own = RegionId::new(self.own());
        self.record_divergence(&own, name, from, epoch, &keys).await
    }

    /// Puts on record what a bucket's home reports: of a region that has, or had, a readable
    /// replica of this bucket by the registry's own log. Who says so is in the entry; that it is
    /// true nobody has shown. Where names may not go to every region the home must have hashed
    /// them.
    pub(crate) async fn record_divergence(
        &self,
        home: &RegionId,
        name: &BucketName,
        from: &RegionId,
        epoch: u64,
        keys: &[String],
    ) -> Result<(), CloudError> {
        // What is in memory is compared before anything is read.
        let deed = self.diverges(home, name, from, epoch)?;
        let past = self.past_of(&deed, from, home).await?.past;
        let turn = self.turn().await;
        let id = deed.id;
        let deed = self.diverges(home, name, from, epoch)?;
        let possible = past.was_readable && deed.id == id;
        if !possible && !types::planted("reports-of-strangers") {
            return Err(CloudError::Refused(format!(
                "region {from} had no readable replica of {name}, or the deed has another epoch"
            )));
        }
        if let Some(key) = keys.iter().find(|key| types::ObjectKey::new(key).is_err()) {
            let shown = types::text::shown(key, 64);
            return Err(CloudError::Refused(format!("{shown} is no object's key")));
        }
        if names_are_limited(&deed) && !keys.iter().all(|key| is_hashed(key)) {
            return Err(CloudError::Refused(format!(
                "names of objects of {name} may not go to every region"
            )));
        }
        // An entry has room for so many; the rest are counted.
        let mut room = DIVERGENT_BYTES_MAX;
        let named = keys.iter().take_while(|key| {
            let fits = key.len() + 8 <= room;
            room = room.saturating_sub(key.len() + 8);
            fits
        });
        let named: Vec<&String> = named.collect();
        let draft = Draft {
            actor: Actor::Region(home.clone()),
            action: "bucket.divergence",
            subject: name.to_string(),
            detail: json!({
                "from": &**from,
                "epoch": epoch,
                "count": keys.len(),
                "keys": named,
            }),
            rows: Vec::new(),
        };
        self.change(turn, draft).await
    }

    /// The deed of a bucket whose home says that `from` came back.
    fn diverges(
        &self,
        home: &RegionId,
        name: &BucketName,
        from: &RegionId,
        epoch: u64,
    ) -> Result<Arc<BucketDeed>, CloudError> {
        let deed = Deeds::get(self, name).ok_or_else(|| CloudError::NoBucket(name.clone()))?;
        if deed.home != *home {
            return Err(CloudError::Refused(format!(
                "region {home} is not the home of {name}"
            )));
        }
        let possible = *from != deed.home && epoch <= deed.epoch;
        match possible || types::planted("reports-of-strangers") {
            true => Ok(deed),
            false => Err(CloudError::Refused(format!(
                "region {from} is the home of {name}, or the deed has another epoch"
            ))),
        }
    }

    /// A key's name as the log may show it: the same for the same key of one bucket in one epoch.
    pub(crate) fn hashed(&self, deed: &BucketDeed, epoch: u64, key: &str) -> String {
        let secret = self.master.derive("dhow names of divergent keys 1");
        let text = format!("{} {epoch} {key}", deed.id.0);
        format!("{HASHED}{}", hex::encode(mac(&secret, &text)))
    }
}

/// Whether names of the bucket's objects may not go to every region.
fn names_are_limited(deed: &BucketDeed) -> bool {
    let sealed = deed
        .placement
        .replicas
        .iter()
        .any(|r| r.sealed_by.is_some());
    sealed || !deed.placement.jurisdictions.is_empty()
}

fn is_hashed(key: &str) -> bool {
    let hex = key.strip_prefix(HASHED).unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}
