//! The registry: rows with everything in memory as well, changed one change at a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use access::Replays;
use parking_lot::{Mutex, RwLock};
use proof::{chain::Entry, map::MapKey};
use serde_json::Value;
use store::StoreError;
use tokio::sync::{OwnedMutexGuard, watch};
use types::{AccountId, Actor, Clock, Features, InVain, Place, Random, RegionId, Timestamp};

use crate::{
    Account, Announcement, CloudError, KeyInfo, MasterKey, Operator, RegionRecord, Rows,
    admission::NotAdmitted,
    catch_up::UNFINISHED,
    chains::Chains,
    change::{Change, Draft, RowChange, RowNow},
    clients::Left,
    introduce::Introductions,
    keys::info,
    kinds::Record,
    link::Upstream,
    names,
    pace::{ChangeLimits, Pace},
    past_tokens::PastTokens,
    receipts::Pasts,
    sessions::Sessions,
    standing::Standing,
    state::State,
    uses::Uses,
    verifiers::Derived,
    warrant::ReadsRequests,
    withdraw::outdate,
    withheld::AllWithheld,
};

const PAGE_ROWS: usize = 250;
/// Rows that one entry of the audit log takes over from a registry without one.
const ADOPT_ROWS: usize = 100;

/// A change that has its place in the chain, with rows as they are kept here.
pub(crate) struct Landing {
    pub(crate) change: Change,
    pub(crate) kept: Vec<RowChange>,
}

/// The right to change the registry.
pub(crate) type Turn = OwnedMutexGuard<()>;

/// Who keeps the registry.
#[derive(Clone)]
pub enum Keeper {
    /// This region: it orders all changes.
    Here,
    /// Another region, which is followed; this one has a durable copy.
    There(Arc<dyn Upstream>),
}

/// What a registry is opened with.
pub struct Opening {
    /// Its rows.
    pub rows: Arc<dyn Rows>,
    /// Seals secrets at rest.
    pub master: MasterKey,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// The names for which signing keys are given out: the region's own first, then its aliases,
    /// which count in the registry's region only.
    pub regions: Vec<RegionId>,
    /// Who keeps it.
    pub keeper: Keeper,
}

/// Regions, operators, accounts, access keys and deeds of the cloud.
pub struct Registry {
    pub(crate) rows: Arc<dyn Rows>,
    pub(crate) master: MasterKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) regions: Vec<RegionId>,
    pub(crate) keeper: Keeper,
    pub(crate) state: Arc<RwLock<State>>,
    pub(crate) derived: Arc<Derived>,
    /// One change at a time, so that memory follows the rows in their order.
    changing: Arc<tokio::sync::Mutex<()>>,
    /// How many entries the audit log has.
    pub(crate) length: watch::Sender<u64>,
    /// How many entries each region that follows has taken over.
    pub(crate) heard: watch::Sender<BTreeMap<RegionId, u64>>,
    /// Which of them answers waited for in vain.
    pub(crate) in_vain: InVain<RegionId>,
    /// Whether all that the keeper knew has been taken over since the start.
    pub(crate) followed: watch::Sender<bool>,
    pub(crate) standing: Standing,
    pub(crate) pace: Pace,
    /// What was read of buckets' chains, where the registry is kept.
    pub(crate) pasts: Pasts,
    /// What regions announced last that was refused, in the registry's region.
    pub(crate) unreached: Mutex<BTreeMap<String, (Announcement, String)>>,
    /// Why regions are not open yet.
    pub(crate) not_admitted: NotAdmitted,
    /// Join tokens that are good no more.
    pub(crate) past_tokens: PastTokens,
    /// When the keeper last answered, in milliseconds; 0 before it has.
    pub(crate) answered_at: AtomicU64,
    pub(crate) chains: Arc<Chains>,
    /// What this region's build knows.
    pub(crate) features: RwLock<Features>,
    /// Who reads requests of customers.
    pub(crate) requests: OnceLock<Arc<dyn ReadsRequests>>,
    /// Until when the registry's region is not asked for proofs, since it did not answer.
    pub(crate) prover_away: Mutex<Option<std::time::Instant>>,
    /// Tokens of sessions that were opened.
    pub(crate) sessions: Sessions,
    /// What is left to each region of names of users and roles that it asks for.
    pub(crate) names_left: Mutex<HashMap<RegionId, Left>>,
    /// What limits the questions for keys that are not known here.
    pub(crate) introductions: Introductions,
    /// Their signatures, as regions sent them along.
    pub(crate) replays: Mutex<Replays>,
    /// When access keys were last used.
    pub(crate) uses: Uses,
    /// Regions from which changes are withheld, where the registry is kept.
    pub(crate) withheld: AllWithheld,
    /// The keys of rows that take rights away in memory and are not on the disk.
    pub(crate) unwritten: Arc<Mutex<BTreeSet<String>>>,
}

impl Registry {
    /// Reads all rows. A registry from before there was an audit log begins one that takes its
    /// rows over.
    pub async fn open(opening: Opening) -> Result<Arc<Self>, CloudError> {
        let mut state = State::default();
        let mut adopted = Vec::new();
        let mut after = String::new();
        loop {
            let page = opening.rows.page("", &after, PAGE_ROWS).await?;
            for (key, value) in &page {
                state.put(&opening.master, key, value)?;
                if state.last.is_none() {
                    adopted.push(RowChange {
                        key: key.clone(),
                        now: RowNow::Value(String::from_utf8_lossy(value).into_owned()),
                    });
                }
            }
            match page.last().filter(|_| page.len() == PAGE_ROWS) {
                Some((last, _)) => after.clone_from(last),
                None => break,
            }
        }
        if matches!(opening.keeper, Keeper::Here) {
            let others = state.regions.keys().map(String::as_str);
            names::check_aliases(&opening.regions, others)?;
        }
        let fresh = state.last.is_none();
        let registry = Arc::new(Self::of(opening, state));
        if registry.keeps() && registry.state.read().is_catching_up() {
            registry.fall_behind(UNFINISHED);
        }
        if registry.keeps() {
            match registry.fold().await {
                // The next change does it, when there is room.
                Err(CloudError::Store(StoreError::Full(why))) => {
                    tracing::warn!(why, "the chains of buckets are behind the audit log");
                }
                folded => folded?,
            }
        }
        if fresh && registry.keeps() {
            for rows in adopted.chunks(ADOPT_ROWS) {
                let turn = registry.turn().await;
                let draft = Draft {
                    actor: Actor::System,
                    action: "registry.adopt",
                    subject: "registry".into(),
                    detail: serde_json::json!({ "rows": rows.len() }),
                    rows: rows.to_vec(),
                };
                registry.change(turn, draft).await?;
            }
        }
        Ok(registry)
    }

    fn of(opening: Opening, state: State) -> Self {
        let map_key = MapKey(opening.master.derive("dhow audit map 1"));
        let replays = Replays::new(opening.clock.now());
        Self {
            length: watch::Sender::new(state.length()),
            rows: opening.rows,
            master: opening.master,
            clock: opening.clock,
            random: opening.random,
            regions: opening.regions,
            keeper: opening.keeper,
            state: Arc::new(RwLock::new(state)),
            derived: Arc::default(),
            heard: watch::Sender::default(),
            in_vain: InVain::default(),
            followed: watch::Sender::new(false),
            standing: Standing::default(),
            pace: Pace::default(),
            pasts: Pasts::default(),
            unreached: Mutex::default(),
            not_admitted: NotAdmitted::default(),
            past_tokens: PastTokens::default(),
            answered_at: AtomicU64::new(0),
            chains: Arc::new(Chains::new(map_key)),
            features: RwLock::new(Features::own()),
            requests: OnceLock::new(),
            prover_away: Mutex::default(),
            sessions: Sessions::default(),
            names_left: Mutex::default(),
            introductions: Introductions::default(),
            replays: Mutex::new(replays),
            uses: Uses::default(),
            withheld: AllWithheld::default(),
            unwritten: Arc::default(),
            changing: Arc::default(),
        }
    }

    /// Whether this region keeps the registry.
    pub fn keeps(&self) -> bool {
        matches!(self.keeper, Keeper::Here)
    }

    /// How fast the registry may be changed from now on, where it is kept.
    pub fn limit_changes(&self, limits: ChangeLimits) {
        self.pace.limit(limits);
    }

    /// This region.
    pub(crate) fn own(&self) -> &str {
        self.regions.first().map_or("", |own| own)
    }

    /// All accounts, in order of id.
    pub fn accounts(&self) -> Vec<Account> {
        self.state.read().accounts.values().cloned().collect()
    }

    /// One account.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        self.state.read().accounts.get(&**id).cloned()
    }

    /// The keys of one account, or of all; none where the registry is not kept.
    pub fn keys(&self, account: Option<&AccountId>) -> Vec<KeyInfo> {
        let state = self.state.read();
        let records = state.keys.values().map(|key| &key.record);
        let of_account = records.filter(|r| account.is_none_or(|a| **a == *r.account));
        of_account.map(info).collect()
    }

    /// All regions, in order of id.
    pub fn all_regions(&self) -> Vec<Arc<RegionRecord>> {
        self.state.read().regions.values().cloned().collect()
    }

    /// One region.
    pub fn region(&self, id: &str) -> Option<Arc<RegionRecord>> {
        self.state.read().regions.get(id).cloned()
    }

    /// A region as the rules of placement see it.
    pub fn place(&self, id: &RegionId) -> Option<Place> {
        self.region(id)?.place().ok()
    }

    /// All operators, in order of id.
    pub fn operators(&self) -> Vec<Operator> {
        self.state.read().operators.values().cloned().collect()
    }

    /// How many entries the audit log has, now and whenever that changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.length.subscribe()
    }

    /// Whether all that the keeper knew has been taken over since the start.
    pub fn followed(&self) -> watch::Receiver<bool> {
        self.followed.subscribe()
    }

    /// When the keeper last said what it has, if it has since the start.
    pub fn answered_at(&self) -> Option<Timestamp> {
        let ms = self.answered_at.load(Ordering::Relaxed);
        (ms > 0).then(|| Timestamp::from_ms(ms))
    }

    /// Entries of the audit log from number `from` on, each as JSON with the rows that it changed;
    /// secrets are not among them. At most `limit`, and no more than `bytes` of text but for the
    /// first.
    pub async fn audit(
        &self,
        from: u64,
        (limit, bytes): (usize, usize),
    ) -> Result<Vec<Value>, CloudError> {
        let (mut all, mut sum) = (Vec::new(), 0);
        for change in self.changes(from, limit).await? {
            let value = serde_json::to_value(change);
            let value = value.map_err(|e| CloudError::Record(e.to_string()))?;
            sum += value.to_string().len();
            if sum > bytes && !all.is_empty() {
                break;
            }
            all.push(value);
        }
        Ok(all)
    }

    /// The same as entries of the chain, without the rows.
    pub async fn entries(&self, from: u64, limit: usize) -> Result<Vec<Entry>, CloudError> {
        let changes = self.changes(from, limit).await?;
        Ok(changes.into_iter().map(|change| change.entry).collect())
    }

    /// The last entry of the audit log.
    pub fn last_entry(&self) -> Option<Entry> {
        self.state.read().last.clone()
    }

    pub(crate) async fn changes(&self, from: u64, limit: usize) -> Result<Vec<Change>, CloudError> {
        let after = match from.checked_sub(1) {
            Some(before) => Change::key(Change::id(before)),
            None => String::new(),
        };
        let found = self.rows.page(Change::PREFIX, &after, limit).await?;
        let change = |(key, value): (String, Vec<u8>)| {
            Change::read(&value).map_err(|e| CloudError::Record(format!("{key}: {e}")))
        };
        found.into_iter().map(change).collect()
    }

    pub(crate) async fn turn(&self) -> Turn {
        self.compared().await;
        Arc::clone(&self.changing).lock_owned().await
    }

    /// Commits a change, then does the same in memory. Both happen whether or not the caller waits
    /// for it: a client that hangs up in the midst must not leave a row that memory knows nothing
    /// of.
    pub(crate) async fn change(&self, turn: Turn, draft: Draft) -> Result<(), CloudError> {
        if let Keeper::There(upstream) = &self.keeper {
            return Err(CloudError::Elsewhere(upstream.keeper().to_string()));
        }
        self.keeps_pace(&draft)?;
        self.may_change()?;
        draft.fits()?;
        // Whatever keeps it from being written.
        self.withdraw_first(&draft.rows);
        let rows: Vec<String> = draft.rows.iter().map(|row| row.key.clone()).collect();
        let changed = self.seal_and_land(turn, draft).await;
        changed.map_err(|error| self.said_of(&rows, error))
    }

    async fn seal_and_land(&self, turn: Turn, draft: Draft) -> Result<(), CloudError> {
        let change = draft.seal(self.state.read().last.as_ref(), self.clock.now())?;
        // A log that is longer than its chains would be corrected at the next start.
        if self.state.read().chained != change.entry.number {
            self.fold().await?;
        }
        let linked = self.linked(std::slice::from_ref(&change.entry)).await?;
        let landing = Landing {
            change,
            kept: draft.rows,
        };
        self.land(turn, vec![landing], linked).await
    }

    /// Whether whoever makes a change has not made too many lately.
    fn keeps_pace(&self, draft: &Draft) -> Result<(), CloudError> {
        let is_operator = |id: &str| {
            let state = self.state.read();
            state.accounts.get(id).is_some_and(|account| account.root)
        };
        let (own, now) = (RegionId::new(self.own()), self.clock.now());
        let pace = &self.pace;
        let act = (draft.action, &*draft.subject);
        pace.take(&draft.actor, act, &own, is_operator, now)
    }

    /// Commits changes that follow one another, all of them or none, with rows that go with the
    /// last: one write, however many they are.
    pub(crate) async fn land(
        &self,
        turn: Turn,
        all: Vec<Landing>,
        beside: Vec<(String, Vec<u8>)>,
    ) -> Result<(), CloudError> {
        let (rows, state) = (Arc::clone(&self.rows), Arc::clone(&self.state));
        let (derived, length) = (Arc::clone(&self.derived), self.length.clone());
        let (master, chains) = (self.master.clone(), Arc::clone(&self.chains));
        for landing in &all {
            self.withdraw_first(&landing.kept);
        }
        let unwritten = Arc::clone(&self.unwritten);
        let withdraws = self.are_unwritten(all.iter().flat_map(|landing| &landing.kept));
        let withdraws = withdraws && !types::planted("revoked-without-the-reserve");
        let landed = tokio::spawn(async move {
            let written: Result<Vec<Written>, _> = all.iter().map(Written::of).collect();
            let mut written = written?;
            // Whatever is there already: the first of them is, too.
            let once = all.first().map(|landing| once(&landing.change));
            if let Some(last) = written.last_mut() {
                last.puts.extend(beside);
            }
            let (puts, removes) = last_of_each(&written);
            match withdraws {
                true => rows.write_from_reserve(once.as_deref(), puts, removes),
                false => rows.write(once.as_deref(), puts, removes),
            }
            .await?;
            for (landing, written) in all.iter().zip(&written) {
                chains.touched(&landing.change.entry);
                // `signing_key` locks `derived` before `state`, and whoever waits for the length
                // may look at the state: here they are held one after the other.
                {
                    let mut state = state.write();
                    for (key, value) in &written.puts {
                        state.put(&master, key, value)?;
                    }
                    for key in &written.removes {
                        state.remove(key)?;
                    }
                }
                for row in &landing.kept {
                    outdate(&derived, &row.key);
                }
                let mut unwritten = unwritten.lock();
                for row in landing.kept.iter().chain(&landing.change.rows) {
                    unwritten.remove(&row.key);
                }
            }
            length.send_replace(state.read().length());
            drop(turn);
            Ok(())
        });
        landed
            .await
            .map_err(|e| CloudError::Record(format!("a change broke: {e}")))?
    }
}

/// The key of a change, which is written once.
fn once(change: &Change) -> String {
    Change::key(Change::id(change.entry.number))
}

/// What a change writes and removes.
struct Written {
    puts: Vec<(String, Vec<u8>)>,
    removes: Vec<String>,
}

impl Written {
    fn of(landing: &Landing) -> Result<Self, CloudError> {
        let change = &landing.change;
        let mut puts = vec![(once(change), change.write()?.into_bytes())];
        let mut removes = Vec::new();
        for row in &landing.kept {
            match &row.now {
                RowNow::Value(value) => puts.push((row.key.clone(), value.clone().into())),
                RowNow::Removed => removes.push(row.key.clone()),
                RowNow::Hidden(_) => {}
            }
        }
        Ok(Self { puts, removes })
    }
}

/// What becomes of each row in the end: rows to write, and rows to remove.
fn last_of_each(written: &[Written]) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
    let mut last: BTreeMap<&str, Option<&Vec<u8>>> = BTreeMap::new();
    for one in written {
        last.extend(one.puts.iter().map(|(key, value)| (&**key, Some(value))));
        last.extend(one.removes.iter().map(|key| (&**key, None)));
    }
    let (mut puts, mut removes) = (Vec::new(), Vec::new());
    for (key, value) in last {
        match value {
            Some(value) => puts.push((key.to_owned(), value.clone())),
            None => removes.push(key.to_owned()),
        }
    }
    (puts, removes)
}

#[cfg(test)]
mod actors_tests;
#[cfg(test)]
mod admission_tests;
#[cfg(test)]
mod arrival_tests;
#[cfg(test)]
mod catch_up_tests;
#[cfg(test)]
mod chains_tests;
#[cfg(test)]
mod ended_tests;
#[cfg(test)]
mod evidence_tests;
#[cfg(test)]
mod evil_tests;
#[cfg(test)]
mod features_tests;
#[cfg(test)]
mod follow_tests;
#[cfg(test)]
mod guard_policies_tests;
#[cfg(test)]
mod introduce_tests;
#[cfg(test)]
mod long_answers_tests;
#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod old_tests;
#[cfg(test)]
mod pace_tests;
#[cfg(test)]
mod reasons_tests;
#[cfg(test)]
mod rekey_tests;
#[cfg(test)]
mod reports_tests;
#[cfg(test)]
mod roles_tests;
#[cfg(test)]
mod sessions_tests;
#[cfg(test)]
mod standing_tests;
#[cfg(test)]
mod take_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod users_tests;
#[cfg(test)]
mod uses_tests;
#[cfg(test)]
mod warrant_tests;
#[cfg(test)]
mod withdrawn_tests;
