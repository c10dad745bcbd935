//! A registry that was put back to an older state is brought up to date from a region that follows
//! it and has more of the audit log.
//!
//! What a region may say is proven: the keeper gave each follower a receipt for what it had sent,
//! which only its own master key makes. Entries are taken over up to such a receipt, with every
//! hash checked on the way, and before anything is written. Regions have no secrets, and of users,
//! groups, policies, roles and identity providers only digests: what cannot be made again from the
//! rows that are here is lost, and nobody gets rights by that ([`finish`]).
//!
//! A row says that this was begun. It is written with the first entries and ends with the last
//! change, so whatever interrupts this, the registry changes and serves nothing until it is done.

mod finish;
mod log;
mod resolve;

use std::collections::BTreeMap;

use proof::{Entry, Hash};
use serde::{Deserialize, Serialize};
use types::{RegionId, deed::BoxFuture};

pub use self::{
    finish::CaughtUp,
    log::{LogAsk, LogPage},
};
use self::{log::Heard, resolve::Resolver};
use crate::{
    CloudError, MasterKey, RegionStatus, Registry,
    change::Change,
    kinds::{FORMAT, Record},
    registry::Landing,
    standing::Receipt,
    state::State,
};

/// Why a registry of which a part was taken over changes nothing.
pub(crate) const UNFINISHED: &str = "it was being brought up to date when that was interrupted: \
    run `dhow registry catch-up` again";

/// Reaches the regions that follow.
pub trait LogSource: Send + Sync {
    /// Asks one, with a limit of time that suits the question.
    fn ask<'a>(
        &'a self,
        region: &'a RegionId,
        ask: LogAsk,
    ) -> BoxFuture<'a, Result<LogPage, CloudError>>;
}

/// What is known of a row whose content no region has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRow {
    /// The entry that wrote it last.
    pub entry: u64,
    /// What that entry says was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Whether there is an older row of this key.
    pub is_there: bool,
}

/// That entries are being taken over, and what was lost so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CatchUpRecord {
    #[serde(rename = "v")]
    format: u32,
    /// From which region.
    region: String,
    /// The first entry that was not here.
    first: u64,
    /// Whether it goes on.
    open: bool,
    /// By the rows' keys.
    lost: BTreeMap<String, LostRow>,
}

impl Record for CatchUpRecord {
    const PREFIX: &'static str = "c/catch-up";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "c/catch-up",
        concat!(
            r#"{"v":1,"region":"second","first":7,"open":false,"lost":{"k/DHOWONE":"#,
            r#"{"entry":8,"action":"key.create","subject":"DHOWONE","is_there":false}}}"#,
        ),
    )];
    type Table = Option<Self>;

    fn put(state: &mut State, _: &MasterKey, _: &str, value: &[u8]) -> Result<(), CloudError> {
        state.catch_up = Some(Self::read(value)?);
        Ok(())
    }
}

impl State {
    /// Whether entries were being taken over when that was interrupted.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.catch_up.as_ref().is_some_and(|record| record.open)
    }
}

/// What is missing here, and who has it. Nothing of it is written yet.
#[derive(Debug, Clone)]
pub struct CatchUpPlan {
    /// How many entries are here.
    pub length: u64,
    /// Who has more, and how many; `None` where nobody has.
    pub from: Option<(RegionId, u64)>,
    /// When the first and the last of the missing entries were made, in milliseconds.
    pub between_ms: (u64, u64),
    /// How many entries of each action are missing.
    pub actions: BTreeMap<String, u64>,
    /// Rows whose content no region has, by their keys.
    pub lost: BTreeMap<String, LostRow>,
    /// Regions that did not answer, and why. They may have more.
    pub silent: Vec<(RegionId, String)>,
    /// Regions of whose log nothing is taken, and why.
    pub unproven: Vec<(RegionId, String)>,
    /// Whether it was begun before and interrupted.
    pub resumes: bool,
    /// The last entry of each page, as it was verified.
    pages: Vec<(u64, Hash)>,
}

impl Registry {
    /// Asks all regions on record what they have of the audit log, and verifies what is missing
    /// here. Changes nothing.
    ///
    /// # Errors
    /// Two regions show receipts for different histories, or one shows another history than is
    /// here: the registry has forked. The region that shows the most does not send what it has a
    /// receipt for. Failures of the engine.
    pub async fn plan_catch_up(&self, source: &dyn LogSource) -> Result<CatchUpPlan, CloudError> {
        if !self.keeps() {
            return Err(CloudError::Refused(
                "another region keeps the registry: it is brought up to date there".to_owned(),
            ));
        }
        let (length, resumes) = {
            let state = self.state.read();
            (state.length(), state.is_catching_up())
        };
        let mut plan = CatchUpPlan {
            length,
            from: None,
            between_ms: (0, 0),
            actions: BTreeMap::new(),
            lost: BTreeMap::new(),
            silent: Vec::new(),
            unproven: Vec::new(),
            resumes,
            pages: Vec::new(),
        };
        let mut heard = Vec::new();
        for region in self.others() {
            let ask = LogAsk::end_after(length);
            match source.ask(&region, ask).await {
                Err(error) => plan.silent.push((region, error.to_string())),
                Ok(page) => match self.own_receipt(page.receipt) {
                    None => plan
                        .unproven
                        .push((region, "it shows no receipt".to_owned())),
                    Some(receipt) => heard.push(Heard { region, receipt }),
                },
            }
        }
        for one in &heard {
            self.is_no_fork(source, one).await?;
        }
        heard.sort_by_key(|one| std::cmp::Reverse(one.receipt.length));
        let Some(best) = heard.first().filter(|best| best.receipt.length > length) else {
            return Ok(plan);
        };
        self.verify(source, &heard, best, &mut plan).await?;
        plan.from = Some((best.region.clone(), best.receipt.length));
        Ok(plan)
    }

    /// Takes over what the plan says, which must be of this moment, and ends what was begun before.
    ///
    /// # Errors
    /// The region sends other entries than it did for the plan. Failures of the engine: what was
    /// written stays, and another call goes on from there.
    pub async fn catch_up(
        &self,
        source: &dyn LogSource,
        plan: &CatchUpPlan,
    ) -> Result<CaughtUp, CloudError> {
        if let Some((region, end)) = &plan.from {
            let mut reader = log::Reader::new(self, source, region, *end);
            let mut record = self.catch_up_record(region, plan.length);
            let mut resolver = Resolver::new(self, record.lost.clone());
            for (last, hash) in &plan.pages {
                let page = reader.next().await?;
                let found = page.changes.last().map(|change| &change.entry);
                if found.is_none_or(|entry| (entry.number, entry.hash) != (*last, *hash)) {
                    return Err(CloudError::Unavailable(format!(
                        "region {region} sends other entries than a moment ago"
                    )));
                }
                let mut landings = Vec::new();
                for change in page.changes {
                    let kept = resolver.resolve(&change, &page.shown).await?;
                    landings.push(Landing { change, kept });
                }
                record.lost = resolver.lost.clone();
                self.land_taken(landings, &record).await?;
            }
        }
        self.finish_catch_up(plan).await
    }

    /// Writes entries that were taken over, with the chains that they continue.
    async fn land_taken(
        &self,
        landings: Vec<Landing>,
        record: &CatchUpRecord,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let entries: Vec<Entry> = landings
            .iter()
            .map(|one| one.change.entry.clone())
            .collect();
        if entries
            .first()
            .is_some_and(|first| self.state.read().chained != first.number)
        {
            self.fold().await?;
        }
        let mut beside = self.linked(&entries).await?;
        beside.push((CatchUpRecord::key(""), record.write()?.into_bytes()));
        self.land(turn, landings, beside).await
    }

    /// What was begun and interrupted, or a new one.
    fn catch_up_record(&self, region: &RegionId, first: u64) -> CatchUpRecord {
        let begun = self.state.read().catch_up.clone();
        begun
            .filter(|record| record.open)
            .unwrap_or_else(|| CatchUpRecord {
                format: FORMAT,
                region: region.to_string(),
                first,
                open: true,
                lost: BTreeMap::new(),
            })
    }

    /// The other regions that may follow.
    fn others(&self) -> Vec<RegionId> {
        let own = self.own();
        let all = self.all_regions().into_iter();
        let follow = all.filter(|r| {
            r.id != own && !matches!(r.status, RegionStatus::Closed | RegionStatus::Planned)
        });
        follow.map(|r| RegionId::new(&r.id)).collect()
    }

    /// A receipt that this registry made.
    fn own_receipt(&self, receipt: Option<Receipt>) -> Option<Receipt> {
        receipt.filter(|receipt| receipt.is_made_with(&self.master))
    }

    /// Reads all that is missing once, and compares it with every receipt on the way.
    async fn verify(
        &self,
        source: &dyn LogSource,
        heard: &[Heard],
        best: &Heard,
        plan: &mut CatchUpPlan,
    ) -> Result<(), CloudError> {
        let region = &best.region;
        let mut reader = log::Reader::new(self, source, region, best.receipt.length);
        let begun = self.catch_up_record(region, plan.length);
        let mut resolver = Resolver::new(self, begun.lost);
        while !reader.is_at_end() {
            let page = reader.next().await;
            let page = page.and_then(|page| {
                let mut pairs = page
                    .changes
                    .iter()
                    .flat_map(|c| heard.iter().map(move |h| (c, h)));
                let agree = pairs.try_for_each(|(change, one)| one.agrees(&change.entry, region));
                agree.map(|()| page)
            });
            let page = match page {
                Err(CloudError::History(number, why)) => {
                    return Err(self.differs_at(source, best, (number, why)).await);
                }
                page => page?,
            };
            for change in &page.changes {
                resolver.resolve(change, &page.shown).await?;
                plan.note(change);
            }
            if let Some(last) = page.changes.last() {
                plan.pages.push((last.entry.number, last.entry.hash));
            }
        }
        plan.lost = resolver.lost;
        Ok(())
    }
}

impl CatchUpPlan {
    fn note(&mut self, change: &Change) {
        let entry = &change.entry;
        if self.actions.is_empty() {
            self.between_ms.0 = entry.at_ms;
        }
        self.between_ms.1 = entry.at_ms;
        *self.actions.entry(entry.action.clone()).or_default() += 1;
    }

    /// How many entries are missing.
    pub fn missing(&self) -> u64 {
        let end = self.from.as_ref().map_or(self.length, |(_, end)| *end);
        end.saturating_sub(self.length)
    }
}
