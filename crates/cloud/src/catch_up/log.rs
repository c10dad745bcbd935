//! The audit log as one region sends it to the registry's region, and how that reads it.

use proof::{Entry, Hash};
use serde::{Deserialize, Serialize};
use types::RegionId;

use super::LogSource;
use crate::{
    CloudError, Registry,
    change::{Change, RowChange},
    kinds::{Record, guard_policy::GuardPolicyRecord},
    link::{CHANGES_BYTES_MAX, CHANGES_MAX},
    standing::Receipt,
};

/// What the registry's region asks a region that follows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogAsk {
    /// The first entry that is wanted.
    pub from: u64,
    /// How many at most; none for the end alone.
    pub limit: usize,
}

impl LogAsk {
    /// The end of the log alone.
    pub(super) fn end_after(from: u64) -> Self {
        Self { from, limit: 0 }
    }
}

/// What it is answered.
#[derive(Serialize, Deserialize)]
pub struct LogPage {
    /// How many entries are there.
    pub length: u64,
    /// What the registry's region said last that it had sent.
    pub(crate) receipt: Option<Receipt>,
    /// Entries in order, with their rows.
    pub(crate) changes: Vec<Change>,
    /// Rows of which the changes have digests and that are known there: guard policies.
    pub(crate) shown: Vec<RowChange>,
}

/// The end of a region's log, which it has proven.
pub(super) struct Heard {
    pub(super) region: RegionId,
    pub(super) receipt: Receipt,
}

impl Heard {
    /// Whether an entry that another region sent is the one of the receipt.
    pub(super) fn agrees(&self, entry: &Entry, of: &RegionId) -> Result<(), CloudError> {
        let is_other =
            self.receipt.length == entry.number + 1 && self.receipt.hash != entry.hash.to_string();
        match is_other && !types::planted("caught-up-with-a-fork") {
            true if self.region == *of => {
                let why = "it is not the one that the receipt is for".to_owned();
                Err(CloudError::History(entry.number, why))
            }
            true => Err(forked(&format!(
                "regions {} and {of} have different entries {}",
                self.region, entry.number
            ))),
            false => Ok(()),
        }
    }
}

fn forked(why: &str) -> CloudError {
    CloudError::Refused(format!(
        "the registry has forked: {why}. Both were made by this registry, so it went on twice from \
         one state. Nothing was changed: restore the copy of the data folder whose changes are to \
         stay, and begin the regions anew that have others (docs/damage.md)"
    ))
}

impl Registry {
    /// Answers the registry's own region, and no other, with a page of the audit log as it was
    /// received here.
    ///
    /// # Errors
    /// Another region asks; failures of the engine.
    pub async fn log_page(&self, to: &RegionId, ask: &LogAsk) -> Result<LogPage, CloudError> {
        let keeper = match &self.keeper {
            crate::Keeper::There(upstream) => upstream.keeper().clone(),
            crate::Keeper::Here => {
                return Err(CloudError::Refused("the registry is kept here".to_owned()));
            }
        };
        if keeper != *to && !types::planted("log-for-any-region") {
            return Err(CloudError::Refused(
                "only the registry's region asks for the whole audit log".to_owned(),
            ));
        }
        let limit = ask.limit.min(CHANGES_MAX);
        let mut changes = match limit {
            0 => Vec::new(),
            limit => self.changes(ask.from, limit).await?,
        };
        let mut bytes = 0;
        let fit = changes.iter().take_while(|change| {
            bytes += change.bytes();
            bytes <= CHANGES_BYTES_MAX
        });
        let fit = fit.count().max(1);
        changes.truncate(fit);
        let state = self.state.read();
        changes.retain(|change| change.entry.number < state.length());
        let rows = changes.iter().flat_map(|change| &change.rows);
        let shown = rows.filter_map(|row| {
            let account = row.key.strip_prefix(GuardPolicyRecord::PREFIX)?;
            let held = state.guard_policies.get(account)?;
            held.record.text.as_ref()?;
            RowChange::put(account, &held.record).ok()
        });
        Ok(LogPage {
            length: state.length(),
            receipt: state.receipt.clone(),
            shown: shown.collect(),
            changes,
        })
    }

    /// Whether a region's receipt is for something that is here.
    pub(super) async fn is_no_fork(
        &self,
        source: &dyn LogSource,
        heard: &Heard,
    ) -> Result<(), CloudError> {
        let receipt = &heard.receipt;
        let Some(number) = receipt.length.checked_sub(1) else {
            return Ok(());
        };
        if receipt.length > *self.length.borrow() || types::planted("caught-up-with-a-fork") {
            return Ok(());
        }
        match self.hash_of(number).await? {
            Some(hash) if hash.to_string() == receipt.hash => Ok(()),
            _ => {
                let first = self.first_difference(source, &heard.region, number).await;
                Err(forked(&format!(
                    "region {} has another entry {first} than is here",
                    heard.region
                )))
            }
        }
    }

    async fn hash_of(&self, number: u64) -> Result<Option<Hash>, CloudError> {
        let found = self.changes(number, 1).await?;
        let found = found.first().filter(|change| change.entry.number == number);
        Ok(found.map(|change| change.entry.hash))
    }

    /// The first entry that a region has otherwise than this one, by what it sends; `last` is
    /// known to be different.
    async fn first_difference(&self, source: &dyn LogSource, region: &RegionId, last: u64) -> u64 {
        let (mut same, mut other) = (0, last);
        while same < other {
            let number = same + (other - same) / 2;
            let ask = LogAsk {
                from: number,
                limit: 1,
            };
            let theirs = source.ask(region, ask).await.ok();
            let theirs = theirs.and_then(|page| page.changes.first().map(|c| c.entry.hash));
            let ours = self.hash_of(number).await.ok().flatten();
            match theirs.is_some() && theirs == ours {
                true => same = number + 1,
                false => other = number,
            }
        }
        other
    }

    /// What is said where the region that shows the most sends something else.
    pub(super) async fn differs_at(
        &self,
        source: &dyn LogSource,
        best: &Heard,
        (number, why): (u64, String),
    ) -> CloudError {
        let region = &best.region;
        let length = *self.length.borrow();
        let first = match number.checked_sub(1).filter(|_| number == length) {
            // It may differ from what is here long before.
            Some(last) => self
                .first_difference(source, region, last)
                .await
                .min(number),
            None => number,
        };
        CloudError::Refused(format!(
            "region {region} shows a receipt for {} entries, and its entry {first} is not the one \
             that belongs there ({why}). Nothing was changed. Either the registry has forked, or \
             the log of that region is damaged: with that region stopped, the command takes what \
             the others have",
            best.receipt.length
        ))
    }
}

/// Reads the log of one region, from where the own one ends up to a receipt.
pub(super) struct Reader<'r> {
    source: &'r dyn LogSource,
    region: &'r RegionId,
    last: Option<Entry>,
    end: u64,
}

impl<'r> Reader<'r> {
    pub(super) fn new(
        registry: &Registry,
        source: &'r dyn LogSource,
        region: &'r RegionId,
        end: u64,
    ) -> Self {
        Self {
            source,
            region,
            last: registry.last_entry(),
            end,
        }
    }

    fn length(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.number + 1)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.length() >= self.end
    }

    /// The next entries, each of which follows on the one before. No more than the receipt is for.
    pub(super) async fn next(&mut self) -> Result<LogPage, CloudError> {
        let ask = LogAsk {
            from: self.length(),
            limit: CHANGES_MAX,
        };
        let mut page = self.source.ask(self.region, ask).await?;
        page.changes.retain(|change| change.entry.number < self.end);
        for change in &page.changes {
            change.check(self.last.as_ref())?;
            self.last = Some(change.entry.clone());
        }
        match page.changes.is_empty() {
            true => Err(CloudError::Unavailable(format!(
                "region {} shows a receipt for {} entries and sends {}",
                self.region,
                self.end,
                self.length()
            ))),
            false => Ok(page),
        }
    }
}
