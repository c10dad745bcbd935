//! Divergence: a region came back with versions that a bucket's home had not, and the audit log
//! keeps which keys they were of.

use serde_json::json;
use types::{Actor, BucketDeed, BucketName, Deeds, RegionId};

use crate::{
    CloudError, Registry,
    change::Draft,
    keys::mac,
    link::{Ask, Told},
    registry::Keeper,
};

/// Bytes of keys that one entry of the audit log names.
const DIVERGENT_BYTES_MAX: usize = 32 << 10;
/// What stands before a key's hash where the key itself may not go. The hash is made with a secret
/// of the home's region: whoever reads the log cannot try guesses of a name.
const HASHED: &str = "hmac-sha256:";

impl Registry {
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
                Told::Done => Ok(()),
                Told::Refused(why) => Err(CloudError::Refused(why)),
                _ => Err(CloudError::Unavailable(
                    "an answer to another question".into(),
                )),
            };
        }
        let own = RegionId::new(self.own());
        self.record_divergence(&own, name, from, epoch, &keys).await
    }

    /// Puts on record what a bucket's home reports: of a region that has, or had, a readable copy
    /// of this bucket by the registry's own log. Who says so is in the entry; that it is true
    /// nobody has shown. Where names may not go to every region the home must have hashed them.
    pub(crate) async fn record_divergence(
        &self,
        home: &RegionId,
        name: &BucketName,
        from: &RegionId,
        epoch: u64,
        keys: &[String],
    ) -> Result<(), CloudError> {
        let deed = Deeds::get(self, name).ok_or_else(|| CloudError::NoBucket(name.clone()))?;
        let past = self.past_of(name, deed.id, from).await?.past;
        let turn = self.turn().await;
        let known = Deeds::get(self, name).filter(|now| now.id == deed.id);
        let deed = known.ok_or_else(|| CloudError::NoBucket(name.clone()))?;
        if deed.home != *home {
            return Err(CloudError::Refused(format!(
                "region {home} is not the home of {name}"
            )));
        }
        let possible = past.was_readable && *from != deed.home && epoch <= deed.epoch;
        if !possible && !types::planted("reports-of-strangers") {
            return Err(CloudError::Refused(format!(
                "region {from} had no readable copy of {name}, or the deed has another epoch"
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
