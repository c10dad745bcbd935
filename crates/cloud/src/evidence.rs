//! What speaks for removing the rows of a bucket that is not placed in this region. That a deed
//! does not name the region is not enough: the folder may be another region's, or the registry may
//! have been put back to an older state. So the log has to hold the entry that took this region
//! out, and the keeper has to say now that it still holds.

use std::time::Duration;

use types::{BucketDeed, BucketId, BucketName, Deeds, Holding, RegionId};

use crate::{
    CloudError, Registry,
    change::{Change, RowNow},
    kinds::{Record, deed::DeedRecord},
    link::{Ask, RegistryAnswer},
    registry::Keeper,
};

const PAGE: usize = 500;
/// How long the keeper may take to answer.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// Whether this region's rows of a bucket are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// They are.
    Ordered(Order),
    /// Nobody has said so for certain; says why. They stay.
    Doubt(String),
}

/// The entry of the audit log that took the bucket away from this region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub entry: u64,
    /// When it was made, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Whether nothing may stay for a while: the law of the region is not allowed, the replica was
    /// a sealed one that is revoked, or the customer has deleted the bucket.
    pub prompt: bool,
}

/// What the log says of one bucket and one region.
#[derive(Clone, Default)]
pub(crate) struct Past {
    /// What was placed there when the log last placed anything there.
    pub(crate) placed: Option<Holding>,
    /// The entry that took it away, by number and time.
    pub(crate) left: Option<(u64, u64)>,
    deleted: bool,
    /// Whether it was ever the bucket's home.
    pub(crate) was_home: bool,
    /// Whether it ever had a replica that it can read, or was the home.
    pub(crate) was_readable: bool,
}

impl Past {
    pub(crate) fn take(&mut self, change: &Change, row: &RowNow, id: BucketId, region: &RegionId) {
        let at = (change.entry.number, change.entry.at_ms);
        match row {
            RowNow::Value(value) => {
                let deed = DeedRecord::read(value.as_bytes()).and_then(DeedRecord::into_deed);
                let Some(deed) = deed.ok().filter(|deed| deed.id == id) else {
                    return;
                };
                match deed.holding(region) {
                    Holding::Nothing if self.placed.is_some() => {
                        self.left.get_or_insert(at);
                    }
                    Holding::Nothing => {}
                    holding => {
                        (self.placed, self.left) = (Some(holding), None);
                        self.was_home |= holding == Holding::Home;
                        self.was_readable |= holding != Holding::Sealed;
                    }
                }
            }
            RowNow::Removed if self.placed.is_some() && !self.deleted => {
                self.left.get_or_insert(at);
                self.deleted = true;
            }
            _ => {}
        }
    }
}

impl Registry {
    /// Whether the rows that are stored here of `deed`'s bucket, which this region knows as placed
    /// elsewhere or deleted, are to go.
    pub async fn removal(&self, deed: &BucketDeed) -> Removal {
        let doubt = |why: &str| Removal::Doubt(why.to_owned());
        if self.comparing() || self.behind().is_some() {
            return doubt("this registry is not known to be the newest");
        }
        let own = RegionId::new(self.own());
        let known = *self.length.borrow();
        let past = match self.past(&deed.name, deed.id, &own).await {
            Ok(past) => past,
            Err(error) => return Removal::Doubt(format!("the audit log cannot be read: {error}")),
        };
        let (Some(placed), Some((entry, at_ms))) = (&past.placed, past.left) else {
            return doubt("no entry of the audit log takes the bucket away from this region");
        };
        let told = match self.placed_now(&deed.name).await {
            Ok(told) => told,
            Err(error) => {
                return Removal::Doubt(format!("the registry does not say so now: {error}"));
            }
        };
        if told.region != own {
            return Removal::Doubt(format!(
                "the registry knows this region as {}, not as {own}",
                told.region
            ));
        }
        if told.length < known {
            return Removal::Doubt(format!(
                "the registry has {} entries, this region {known}: it was put back to an older \
                 state",
                told.length
            ));
        }
        let now = told.deed.filter(|now| now.id == deed.id);
        let admitted = match (&now, past.deleted) {
            (Some(now), false) if now.holding(&own) == Holding::Nothing => {
                let place = self.place(&own);
                place.is_some_and(|place| now.placement.admits(&place.jurisdiction))
            }
            (None, true) => false,
            _ => return doubt("the registry does not say so any more"),
        };
        Removal::Ordered(Order {
            entry,
            at_ms,
            prompt: !admitted || *placed == Holding::Sealed,
        })
    }

    /// What this region's copy of the log says of a bucket.
    async fn past(
        &self,
        name: &BucketName,
        id: BucketId,
        region: &RegionId,
    ) -> Result<Past, CloudError> {
        let row = DeedRecord::key(name);
        let (mut past, mut from) = (Past::default(), 0);
        loop {
            let page = self.changes(from, PAGE).await?;
            for change in &page {
                for found in change.rows.iter().filter(|r| r.key == row) {
                    past.take(change, &found.now, id, region);
                }
            }
            match page.last() {
                Some(last) => from = last.entry.number + 1,
                None => return Ok(past),
            }
        }
    }

    /// The bucket's epoch as the registry has it now; `None` when its region does not answer, does
    /// not know the bucket, or has less in its log than this region.
    pub async fn epoch_now(&self, deed: &BucketDeed) -> Option<u64> {
        let length = *self.length.borrow();
        let placed = self.placed_now(&deed.name).await.ok()?;
        let known = placed.deed.filter(|d| d.id == deed.id);
        known
            .filter(|_| placed.length >= length)
            .map(|known| known.epoch)
    }

    async fn placed_now(&self, name: &BucketName) -> Result<Placed, CloudError> {
        let Keeper::There(upstream) = &self.keeper else {
            return Ok(Placed {
                region: RegionId::new(self.own()),
                length: *self.length.borrow(),
                deed: Deeds::get(self, name).map(|deed| (*deed).clone()),
            });
        };
        let ask = upstream.ask(Ask::Placed {
            name: name.to_string(),
        });
        let told = tokio::time::timeout(ASK_WITHIN, ask).await;
        let told = told.map_err(|_| CloudError::Unavailable("no answer in time".into()))?;
        match told? {
            RegistryAnswer::Placed {
                region,
                length,
                deed,
            } => Ok(Placed {
                region: RegionId::new(&region),
                length,
                deed: deed.map(DeedRecord::into_deed).transpose()?,
            }),
            RegistryAnswer::Refused(why) => Err(CloudError::Refused(why)),
            _ => Err(CloudError::Unavailable(
                "an answer to another question".into(),
            )),
        }
    }

    /// Answers a region where a bucket is placed, if that is a bucket that it knows: every region
    /// follows all deeds.
    pub(crate) fn answer_placed(
        &self,
        to: &RegionId,
        name: &str,
    ) -> Result<RegistryAnswer, CloudError> {
        let name = BucketName::new(name).map_err(|e| CloudError::Invalid(e.to_string()))?;
        let state = self.state.read();
        Ok(RegistryAnswer::Placed {
            region: to.to_string(),
            length: state.length(),
            deed: state.deeds.get(&*name).map(|deed| (&**deed).into()),
        })
    }
}

struct Placed {
    /// Who the asker is, by its certificate.
    region: RegionId,
    length: u64,
    deed: Option<BucketDeed>,
}
