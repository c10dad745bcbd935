//! The registry: rows in partition 0, with everything in memory as well.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use access::{SigningKey, SigningKeys};
use parking_lot::{Mutex, RwLock};
use store::{Batch, Guard, Index, PartitionId, ScanRange, StoreError};
use tokio::sync::OwnedMutexGuard;
use types::{
    AccessKeyId, AccountId, BucketDeed, BucketId, BucketName, Clock, DeedError, Deeds, Random,
    RegionId, deed::BoxFuture, limits::BUCKETS_PER_ACCOUNT_MAX,
};

use crate::{
    Account, CloudError, KeyInfo, KeyStatus, MasterKey, NewKey,
    keys::{check_imported, derive, generate},
    records::{DeedRecord, FORMAT, KeyRecord, read, write},
};

const PARTITION: PartitionId = PartitionId(0);
const PAGE_ROWS: usize = 1000;
/// Access keys whose derived signing keys are kept; past that the cache is emptied.
const DERIVED_MAX: usize = 4096;
/// Derived signing keys kept of one access key; past that the oldest goes.
const SCOPES_MAX: usize = 8;

/// A derived signing key and what it is for.
struct Scoped {
    /// `YYYYMMDD`.
    day: String,
    region: String,
    service: String,
    key: SigningKey,
}

/// Derived keys by access key. Few of each, so that a list finds one without allocating.
type Derived = HashMap<String, Vec<Scoped>>;
/// The right to change the registry.
type Turn = OwnedMutexGuard<()>;

struct Key {
    record: KeyRecord,
    secret: String,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<String, Account>,
    keys: BTreeMap<String, Key>,
    deeds: BTreeMap<String, Arc<BucketDeed>>,
    by_owner: HashMap<AccountId, BTreeMap<String, Arc<BucketDeed>>>,
}

impl State {
    fn insert(&mut self, deed: Arc<BucketDeed>) {
        let name = deed.name.to_string();
        self.by_owner
            .entry(deed.owner.clone())
            .or_default()
            .insert(name.clone(), Arc::clone(&deed));
        self.deeds.insert(name, deed);
    }

    fn remove(&mut self, deed: &BucketDeed) {
        self.deeds.remove(&*deed.name);
        if let Some(owned) = self.by_owner.get_mut(&deed.owner) {
            owned.remove(&*deed.name);
        }
    }
}

/// Accounts, access keys and deeds of the cloud.
pub struct Registry {
    index: Arc<dyn Index>,
    master: MasterKey,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// The region's own name and its aliases: what a signature's scope may name.
    regions: Vec<RegionId>,
    state: Arc<RwLock<State>>,
    derived: Arc<Mutex<Derived>>,
    /// One change at a time, so that memory follows the rows in their order.
    changing: Arc<tokio::sync::Mutex<()>>,
}

impl Registry {
    /// Reads all rows. `regions` are the names for which signing keys are given out.
    pub async fn open(
        index: Arc<dyn Index>,
        master: MasterKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        regions: Vec<RegionId>,
    ) -> Result<Arc<Self>, CloudError> {
        let mut state = State::default();
        let mut range = ScanRange::prefix(b"");
        loop {
            let page = index.scan(PARTITION, range.clone(), PAGE_ROWS).await?;
            for (key, row) in &page {
                load(&mut state, &master, key, &row.value)?;
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE_ROWS) else {
                break;
            };
            range.start = [last.as_ref(), b"\0"].concat().into();
        }
        Ok(Arc::new(Self {
            index,
            master,
            clock,
            random,
            regions,
            state: Arc::new(RwLock::new(state)),
            derived: Arc::default(),
            changing: Arc::default(),
        }))
    }

    /// Creates an account. Names are for people and need not be unique.
    pub async fn create_account(&self, name: &str, root: bool) -> Result<Account, CloudError> {
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            return Err(CloudError::Invalid(
                "an account's name has 1 to 128 characters".into(),
            ));
        }
        loop {
            let account = Account {
                format: FORMAT,
                id: format!("{:012}", self.random.next_u64() % 1_000_000_000_000),
                name: name.to_owned(),
                created_ms: self.clock.now().ms(),
                root,
            };
            let batch = insert(format!("a/{}", account.id), write(&account)?);
            let made = account.clone();
            let turn = self.turn().await;
            let apply = |state: &mut State| {
                state.accounts.insert(made.id.clone(), made);
                None
            };
            match self.change(turn, batch, apply).await {
                Err(CloudError::Store(StoreError::Conflict { .. })) => continue,
                other => other?,
            }
            return Ok(account);
        }
    }

    /// All accounts, in order of id.
    pub fn accounts(&self) -> Vec<Account> {
        self.state.read().accounts.values().cloned().collect()
    }

    /// One account.
    pub fn account(&self, id: &AccountId) -> Option<Account> {
        self.state.read().accounts.get(&**id).cloned()
    }

    /// Creates a key for an account, or takes over the `pair` (access key, secret key).
    pub async fn create_key(
        &self,
        account: &AccountId,
        pair: Option<(&str, &str)>,
        description: &str,
    ) -> Result<NewKey, CloudError> {
        if self.account(account).is_none() {
            return Err(CloudError::NoAccount(account.clone()));
        }
        let (id, secret) = match pair {
            Some((id, secret)) => {
                check_imported(id, secret)?;
                (id.to_owned(), secret.to_owned())
            }
            None => generate(&*self.random),
        };
        let record = KeyRecord {
            format: FORMAT,
            sealed: self.master.seal(&id, &secret, &*self.random)?,
            id: id.clone(),
            account: account.to_string(),
            status: KeyStatus::Active,
            created_ms: self.clock.now().ms(),
            description: description.to_owned(),
        };
        let batch = insert(format!("k/{id}"), write(&record)?);
        let key = Key {
            record,
            secret: secret.clone(),
        };
        let turn = self.turn().await;
        let apply = |state: &mut State| {
            state.keys.insert(key.record.id.clone(), key);
            None
        };
        match self.change(turn, batch, apply).await {
            Err(CloudError::Store(StoreError::Conflict { .. })) => {
                return Err(CloudError::KeyExists(AccessKeyId::new(&id)));
            }
            other => other?,
        }
        Ok(NewKey {
            access_key: id,
            secret_key: secret,
            account: account.to_string(),
        })
    }

    /// The keys of one account, or of all.
    pub fn keys(&self, account: Option<&AccountId>) -> Vec<KeyInfo> {
        let state = self.state.read();
        let of_account = |key: &&Key| account.is_none_or(|a| **a == *key.record.account);
        state
            .keys
            .values()
            .filter(of_account)
            .map(|key| info(&key.record))
            .collect()
    }

    /// Enables or disables a key. Takes effect with the answer.
    pub async fn set_key_status(
        &self,
        id: &AccessKeyId,
        status: KeyStatus,
    ) -> Result<KeyInfo, CloudError> {
        let missing = || CloudError::NoKey(id.clone());
        let turn = self.turn().await;
        let mut record = self
            .state
            .read()
            .keys
            .get(&**id)
            .map(|k| k.record.clone())
            .ok_or_else(missing)?;
        record.status = status;
        let batch = Batch::new().put(format!("k/{id}"), write(&record)?);
        let changed = info(&record);
        self.change(turn, batch, move |state| {
            if let Some(key) = state.keys.get_mut(&record.id) {
                key.record = record.clone();
            }
            Some(record.id)
        })
        .await?;
        Ok(changed)
    }

    /// Deletes a key. Takes effect with the answer.
    pub async fn delete_key(&self, id: &AccessKeyId) -> Result<(), CloudError> {
        let turn = self.turn().await;
        if !self.state.read().keys.contains_key(&**id) {
            return Err(CloudError::NoKey(id.clone()));
        }
        let batch = Batch::new().delete(format!("k/{id}")).frees();
        let id = id.to_string();
        self.change(turn, batch, move |state| {
            state.keys.remove(&id);
            Some(id)
        })
        .await
    }

    async fn turn(&self) -> Turn {
        Arc::clone(&self.changing).lock_owned().await
    }

    /// Commits, then does the same in memory. Both happen whether or not the caller stays to hear
    /// of it: a client that hangs up in the midst must not leave a row that memory knows nothing
    /// of. `apply` returns the access key whose derived keys are no longer true.
    async fn change(
        &self,
        turn: Turn,
        batch: Batch,
        apply: impl FnOnce(&mut State) -> Option<String> + Send + 'static,
    ) -> Result<(), CloudError> {
        let (index, state) = (Arc::clone(&self.index), Arc::clone(&self.state));
        let derived = Arc::clone(&self.derived);
        let changed = tokio::spawn(async move {
            index.commit(PARTITION, batch).await?;
            // `signing_key` locks `derived` before `state`: here they are held one after the other.
            let stale = apply(&mut state.write());
            if let Some(id) = stale {
                derived.lock().remove(&id);
            }
            drop(turn);
            Ok(())
        });
        changed
            .await
            .map_err(|e| CloudError::Record(format!("a change broke: {e}")))?
    }

    async fn create_deed(
        &self,
        name: BucketName,
        owner: AccountId,
        home: RegionId,
    ) -> Result<Arc<BucketDeed>, DeedError> {
        // Most names that are taken are refused without waiting for a turn.
        self.may_create(&name, &owner)?;
        let turn = self.turn().await;
        self.may_create(&name, &owner)?;
        let deed = Arc::new(BucketDeed {
            id: self.new_bucket_id(),
            name: name.clone(),
            owner,
            home,
            created: self.clock.now(),
            epoch: 1,
        });
        let value = write(&DeedRecord::from(&*deed)).map_err(unavailable)?;
        let batch = insert(format!("n/{name}"), value);
        let made = Arc::clone(&deed);
        self.change(turn, batch, |state| {
            state.insert(made);
            None
        })
        .await
        .map_err(unavailable)?;
        Ok(deed)
    }

    fn may_create(&self, name: &BucketName, owner: &AccountId) -> Result<(), DeedError> {
        let state = self.state.read();
        if let Some(deed) = state.deeds.get(&**name) {
            return Err(DeedError::Exists(name.clone(), Box::new((**deed).clone())));
        }
        let owned = state.by_owner.get(owner).map_or(0, BTreeMap::len);
        if owned >= BUCKETS_PER_ACCOUNT_MAX {
            return Err(DeedError::TooMany(owned));
        }
        Ok(())
    }

    /// Random, so that a number is never used again, also after its deed is gone; 0 is the
    /// registry's own partition.
    fn new_bucket_id(&self) -> BucketId {
        loop {
            let id = self.random.next_u64();
            let state = self.state.read();
            if id != 0 && state.deeds.values().all(|d| d.id.0 != id) {
                return BucketId(id);
            }
        }
    }

    async fn remove_deed(&self, name: BucketName, id: BucketId) -> Result<(), DeedError> {
        let turn = self.turn().await;
        let deed = self
            .get(&name)
            .filter(|deed| deed.id == id)
            .ok_or_else(|| DeedError::NotFound(name.clone()))?;
        let batch = Batch::new().delete(format!("n/{name}")).frees();
        self.change(turn, batch, move |state| {
            state.remove(&deed);
            None
        })
        .await
        .map_err(unavailable)
    }
}

/// Puts a row that must not be there yet.
fn insert(row: String, value: Vec<u8>) -> Batch {
    let guard = Guard::Absent(row.clone().into());
    Batch::new().guard(guard).put(row, value)
}

fn unavailable(error: impl std::fmt::Display) -> DeedError {
    DeedError::Unavailable(error.to_string())
}

fn info(record: &KeyRecord) -> KeyInfo {
    KeyInfo {
        access_key: record.id.clone(),
        account: record.account.clone(),
        status: record.status,
        created_ms: record.created_ms,
        description: record.description.clone(),
    }
}

fn load(state: &mut State, master: &MasterKey, key: &[u8], value: &[u8]) -> Result<(), CloudError> {
    match key.get(..2) {
        Some(b"a/") => {
            let account: Account = read(value)?;
            state.accounts.insert(account.id.clone(), account);
        }
        Some(b"k/") => {
            let record: KeyRecord = read(value)?;
            let secret = master.open(&record.id, &record.sealed)?;
            state.keys.insert(record.id.clone(), Key { record, secret });
        }
        Some(b"n/") => state.insert(Arc::new(read::<DeedRecord>(value)?.into_deed()?)),
        _ => {
            let name = String::from_utf8_lossy(key).into_owned();
            return Err(CloudError::Record(format!("unknown row {name}")));
        }
    }
    Ok(())
}

impl SigningKeys for Registry {
    fn signing_key(
        &self,
        access_key: &str,
        day: &str,
        region: &RegionId,
        service: &str,
    ) -> Option<SigningKey> {
        if !self.regions.contains(region) {
            return None;
        }
        let mut derived = self.derived.lock();
        let found = derived.get(access_key).and_then(|scopes| {
            let same = |s: &&Scoped| s.day == day && *s.region == **region && s.service == service;
            scopes.iter().find(same)
        });
        if let Some(scoped) = found {
            return Some(scoped.key.clone());
        }
        // Under the lock on purpose: a key that is disabled meanwhile cannot be put back.
        let state = self.state.read();
        let found = state.keys.get(access_key)?;
        if found.record.status != KeyStatus::Active {
            return None;
        }
        let key = SigningKey {
            account: AccountId::new(&found.record.account),
            key: derive(&found.secret, day, region, service),
        };
        if derived.len() >= DERIVED_MAX {
            derived.clear();
        }
        let scopes = derived.entry(access_key.to_owned()).or_default();
        if scopes.len() >= SCOPES_MAX {
            scopes.remove(0);
        }
        scopes.push(Scoped {
            day: day.to_owned(),
            region: region.to_string(),
            service: service.to_owned(),
            key: key.clone(),
        });
        Some(key)
    }
}

impl Deeds for Registry {
    fn get(&self, name: &BucketName) -> Option<Arc<BucketDeed>> {
        self.state.read().deeds.get(&**name).cloned()
    }

    fn list(
        &self,
        owner: &AccountId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Arc<BucketDeed>> {
        let state = self.state.read();
        let Some(owned) = state.by_owner.get(owner) else {
            return Vec::new();
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        owned
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .take(limit)
            .map(|(_, deed)| Arc::clone(deed))
            .collect()
    }

    fn all(&self) -> Vec<Arc<BucketDeed>> {
        self.state.read().deeds.values().cloned().collect()
    }

    fn create(
        &self,
        name: BucketName,
        owner: AccountId,
        home: RegionId,
    ) -> BoxFuture<'_, Result<Arc<BucketDeed>, DeedError>> {
        Box::pin(self.create_deed(name, owner, home))
    }

    fn remove(&self, name: BucketName, id: BucketId) -> BoxFuture<'_, Result<(), DeedError>> {
        Box::pin(self.remove_deed(name, id))
    }
}

#[cfg(test)]
mod tests;
