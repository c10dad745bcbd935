//! Whether the registry that is stored here is the newest one. A registry that was put back to an
//! older state would give one name to two buckets. So its region gives each follower a receipt for
//! what it has sent, which only it can make; followers show it whenever they ask. A receipt for
//! more than is here, or for another history, ends all changes. After a start, changes wait until
//! the regions on record have asked once, for a limited time.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use types::RegionId;

use crate::{
    CloudError, MasterKey, RegionStatus, Registry,
    keys::mac,
    kinds::{FORMAT, Record},
    state::State,
};

/// Changes wait no longer than this for the comparison to end.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Why a copy changes nothing before another region has asked.
const UNSURE: &str = "the data folder of this region is a copy, as from a backup, and no other \
    region has shown yet whether it has more of the registry: nothing is changed until one reaches \
    this region. If no other region is left, or this is known to be the newest folder, start once \
    with --registry-is-newest (docs/damage.md)";

/// The keeper's statement of what it has sent: its log had `length` entries, the last with this
/// hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Format version.
    #[serde(rename = "v")]
    pub(crate) format: u32,
    pub(crate) length: u64,
    pub(crate) hash: String,
    /// Made with a key that only the keeper has, in hex.
    pub(crate) mac: String,
}

impl Record for Receipt {
    const PREFIX: &'static str = "c/receipt";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "c/receipt",
        r#"{"v":1,"length":3,"hash":"00ff","mac":"11ff"}"#,
    )];
    type Table = Option<Self>;

    fn put(state: &mut State, _: &MasterKey, _: &str, value: &[u8]) -> Result<(), CloudError> {
        state.receipt = Some(Self::read(value)?);
        Ok(())
    }
}

/// What is known about the registry that is stored here.
pub(crate) struct Standing {
    compared: watch::Sender<bool>,
    /// The rows are a copy, as from a backup: others may have more.
    is_copy: AtomicBool,
    /// So it is, and no other region has asked since the start.
    is_unsure: AtomicBool,
    /// Whether others have more; `behind` says why.
    is_behind: AtomicBool,
    /// Why nothing is changed any more.
    behind: RwLock<Option<String>>,
    asked: Mutex<BTreeSet<RegionId>>,
    news: watch::Sender<()>,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            compared: watch::Sender::new(true),
            is_copy: AtomicBool::new(false),
            is_unsure: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            behind: RwLock::default(),
            asked: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }
}

impl Receipt {
    fn of(master: &MasterKey, length: u64, hash: String) -> Self {
        let key = master.derive("dhow registry receipt 1");
        let text = format!("{length} {hash}");
        Self {
            format: FORMAT,
            mac: hex::encode(mac(&key, &text)),
            length,
            hash,
        }
    }

    pub(crate) fn is_made_with(&self, master: &MasterKey) -> bool {
        let own = Self::of(master, self.length, self.hash.clone());
        self.format == FORMAT && bool::from(own.mac.as_bytes().ct_eq(self.mac.as_bytes()))
    }
}

impl Registry {
    /// The keeper's receipt for all that is here.
    pub(crate) fn receipt(&self, state: &State) -> Option<Receipt> {
        let last = state.last.as_ref()?;
        let hash = last.hash.to_string();
        Some(Receipt::of(&self.master, last.number + 1, hash))
    }

    /// Why this registry changes nothing any more; `None` when it may. Each request asks.
    pub fn behind(&self) -> Option<String> {
        match self.standing.is_behind.load(Ordering::SeqCst) {
            true => self.standing.behind.read().clone(),
            false => None,
        }
    }

    /// Whether the comparison with the followers is still under way.
    pub fn comparing(&self) -> bool {
        !*self.standing.compared.borrow() || self.is_unsure()
    }

    /// Whether this may be an old copy of the registry, and no other region has asked yet.
    pub fn is_unsure(&self) -> bool {
        self.standing.is_unsure.load(Ordering::SeqCst)
    }

    /// Lets changes wait until [`Registry::compare`] has ended. For the keeper, at its start.
    /// `is_copy` says that the rows may be older than those that were written last.
    pub fn compare_first(&self, is_copy: bool) {
        let standing = &self.standing;
        standing.compared.send_replace(!self.keeps());
        standing.is_copy.store(is_copy, Ordering::SeqCst);
    }

    /// Waits until every other region on record has asked since the start, but no longer than
    /// `within`; then changes may go on, unless one had more. Where this is a copy, none is made
    /// before one other region has asked, however long that takes.
    pub async fn compare(&self, within: Duration) {
        let mut news = self.standing.news.subscribe();
        let all = async {
            while !self.silent().is_empty() {
                if news.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(within, all).await.is_err() {
            let silent: Vec<String> = self.silent().iter().map(ToString::to_string).collect();
            tracing::warn!(
                regions = silent.join(", "),
                "the registry could not be compared with what these regions have of it"
            );
        }
        let asked = || !self.standing.asked.lock().is_empty();
        let is_copy = self.standing.is_copy.load(Ordering::SeqCst);
        let alone = is_copy && !self.silent().is_empty() && !asked();
        let alone = alone && !types::planted("old-copies-change");
        self.standing.is_unsure.store(alone, Ordering::SeqCst);
        self.standing.compared.send_replace(true);
        if !alone {
            return;
        }
        tracing::error!(
            "this data folder is a copy, and no other region has asked for the registry: nothing of \
             it is changed until one has"
        );
        while !asked() && news.changed().await.is_ok() {}
        self.standing.is_unsure.store(false, Ordering::SeqCst);
        tracing::info!("another region has shown what it has of the registry");
    }

    /// Regions that follow and have not asked since the start.
    fn silent(&self) -> Vec<RegionId> {
        let asked = self.standing.asked.lock();
        let follows = |status| matches!(status, RegionStatus::Open | RegionStatus::Draining);
        let others = self.all_regions().into_iter().filter(|r| follows(r.status));
        others
            .map(|r| RegionId::new(&r.id))
            .filter(|id| **id != *self.own() && !asked.contains(id))
            .collect()
    }

    /// Waits while the registry is compared.
    pub(crate) async fn compared(&self) {
        let mut compared = self.standing.compared.subscribe();
        // Whoever never began to compare, or broke, must not block without end.
        let _ = tokio::time::timeout(WAIT_MAX, compared.wait_for(|compared| *compared)).await;
    }

    /// A follower asks for entries from `first` on, and shows what it received last.
    pub(crate) async fn asked_by(&self, region: &RegionId, first: u64, shown: Option<&Receipt>) {
        let length = *self.length.borrow();
        let shown = shown.filter(|receipt| receipt.is_made_with(&self.master));
        let more = match shown {
            Some(receipt) if receipt.length > length => Some(format!(
                "region {region} has {} entries, here are {length}",
                receipt.length
            )),
            Some(receipt) => self.differs(region, receipt).await,
            None => None,
        };
        match more {
            Some(why) => self.fall_behind(&why),
            // Its word alone stops nothing: any region could say so.
            None if first > length => tracing::error!(
                %region,
                first,
                length,
                "a region asks for entries that are not here, and shows no receipt for them"
            ),
            None => {}
        }
        self.standing.asked.lock().insert(region.clone());
        self.standing.news.send_replace(());
    }

    /// How many entries of the audit log a region has, as its questions say; `None` if it has asked
    /// nothing yet.
    pub fn heard_from(&self, region: &RegionId) -> Option<u64> {
        self.heard.borrow().get(region).copied()
    }

    /// Whoever asks for an entry has all before it, and nobody has what is not here.
    pub(crate) fn note_heard(&self, region: &RegionId, first: u64) {
        let mut first = first;
        if !types::planted("heard-of-what-is-not-there") {
            first = first.min(*self.length.borrow());
        }
        self.heard.send_if_modified(|heard| {
            let known = heard.entry(region.clone()).or_default();
            let moved = *known < first;
            *known = first.max(*known);
            moved
        });
    }

    async fn differs(&self, region: &RegionId, receipt: &Receipt) -> Option<String> {
        let number = receipt.length.checked_sub(1)?;
        let found = self.changes(number, 1).await.ok()?;
        let hash = found.first().map(|change| change.entry.hash.to_string());
        (hash.as_deref() != Some(&receipt.hash))
            .then(|| format!("region {region} has another entry {number} than is here"))
    }

    /// Nothing of it is missing any more.
    pub(crate) fn goes_on(&self) {
        *self.standing.behind.write() = None;
        self.standing.is_behind.store(false, Ordering::SeqCst);
    }

    pub(crate) fn fall_behind(&self, why: &str) {
        let mut behind = self.standing.behind.write();
        if behind.is_none() {
            tracing::error!(
                why,
                "this registry was put back to an older state: its region changes nothing and \
                 serves nothing. Stop it and run `dhow registry catch-up`, or restore the \
                 newest copy of its data folder"
            );
            *behind = Some(format!(
                "this registry was put back to an older state ({why}): its region changes nothing, \
                 since names and keys could be given twice, and serves nothing, since it does not \
                 know which keys and placements hold. Stop it and run `dhow registry catch-up`, or \
                 restore the newest copy of its data folder (docs/damage.md)"
            ));
            self.standing.is_behind.store(true, Ordering::SeqCst);
        }
    }

    /// Whether changes are made here now: in the registry's region, unless others have more.
    ///
    /// # Errors
    /// Another region keeps the registry; this one was put back to an older state.
    pub fn takes_changes(&self) -> Result<(), CloudError> {
        if let crate::Keeper::There(upstream) = &self.keeper {
            return Err(CloudError::Elsewhere(upstream.keeper().to_string()));
        }
        self.may_change()
    }

    /// Refuses changes where others have more.
    pub(crate) fn may_change(&self) -> Result<(), CloudError> {
        match self.behind() {
            None if self.is_unsure() => Err(CloudError::Unavailable(UNSURE.to_owned())),
            None => Ok(()),
            Some(why) => Err(CloudError::Unavailable(why)),
        }
    }

    /// A follower keeps the keeper's receipt, once it has all that it is for.
    pub(crate) async fn keep_receipt(&self, receipt: Option<Receipt>) -> Result<(), CloudError> {
        let Some(receipt) = receipt else {
            return Ok(());
        };
        let mine = {
            let state = self.state.read();
            let all = state.length() == receipt.length;
            all && state.receipt.as_ref() != Some(&receipt)
        };
        if !mine {
            return Ok(());
        }
        let row = (Receipt::key(""), receipt.write()?.into_bytes());
        self.rows.write(None, vec![row], Vec::new()).await?;
        self.state.write().receipt = Some(receipt);
        Ok(())
    }
}
