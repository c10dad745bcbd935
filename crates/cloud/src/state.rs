//! The registry in memory. It changes only by rows, so that the region that keeps the registry and
//! those that follow it come to the same state by the same way.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use proof::chain::Entry;
use types::{AccountId, BucketDeed, Holding, RegionId};

use crate::{
    Account, CloudError, MasterKey, Operator, RegionRecord, RegionStatus, chains,
    change::{Change, RowChange, RowNow},
    records::{DeedRecord, KeyRecord, read},
    region_records::TokenRecord,
    standing::{self, Receipt},
    verifiers::{Verifier, VerifierRecord},
};

/// An access key with its secret: in the registry's region only.
pub(crate) struct Key {
    pub record: KeyRecord,
    pub secret: String,
}

#[derive(Default)]
pub(crate) struct State {
    pub accounts: BTreeMap<String, Account>,
    pub keys: BTreeMap<String, Key>,
    /// The ids of each account's keys.
    pub keys_of: HashMap<String, BTreeSet<String>>,
    /// What a region that follows has in place of keys.
    pub verifiers: BTreeMap<String, Verifier>,
    pub deeds: BTreeMap<String, Arc<BucketDeed>>,
    pub by_owner: HashMap<AccountId, BTreeMap<String, Arc<BucketDeed>>>,
    pub regions: BTreeMap<String, Arc<RegionRecord>>,
    pub operators: BTreeMap<String, Operator>,
    pub tokens: BTreeMap<String, TokenRecord>,
    /// Access keys that the audit log has, live or not; not those that were deleted.
    pub named: HashSet<String>,
    /// The last entry of the audit log.
    pub last: Option<Entry>,
    /// What the keeper said that it had told, where the registry is followed.
    pub receipt: Option<Receipt>,
    /// How many entries of the log are in the chains, where the registry is kept.
    pub chained: u64,
}

impl State {
    /// Takes a row as it was written or read.
    pub(crate) fn put(
        &mut self,
        master: &MasterKey,
        key: &str,
        value: &[u8],
    ) -> Result<(), CloudError> {
        let (kind, rest) = key.split_at_checked(2).ok_or_else(|| unknown(key))?;
        let rest = rest.to_owned();
        match kind {
            "a/" => drop(self.accounts.insert(rest, read(value)?)),
            "k/" => {
                let record: KeyRecord = read(value)?;
                let secret = master.open(&record.id, &record.sealed)?;
                let of = self.keys_of.entry(record.account.clone()).or_default();
                of.insert(rest.clone());
                self.keys.insert(rest, Key { record, secret });
            }
            "v/" => {
                let record: VerifierRecord = read(value)?;
                self.verifiers.insert(rest, record.open(master)?);
            }
            "n/" => {
                let deed = Arc::new(read::<DeedRecord>(value)?.into_deed()?);
                self.put_deed(rest, deed);
            }
            "r/" => drop(self.regions.insert(rest, Arc::new(read(value)?))),
            "o/" => drop(self.operators.insert(rest, read(value)?)),
            "t/" => drop(self.tokens.insert(rest, read(value)?)),
            "c/" if key == standing::ROW => self.receipt = Some(read(value)?),
            "c/" if key == chains::ROW => self.chained = read::<chains::Folded>(value)?.length,
            // The chains themselves stay on disk.
            "m/" | "l/" => {}
            "e/" => {
                let change: Change = serde_json::from_slice(value)
                    .map_err(|e| CloudError::Record(format!("{key}: {e}")))?;
                for row in &change.rows {
                    match (row.key.strip_prefix("k/"), &row.now) {
                        (None, _) => {}
                        (Some(id), RowNow::Removed) => drop(self.named.remove(id)),
                        (Some(id), _) => drop(self.named.insert(id.to_owned())),
                    }
                }
                self.last = Some(change.entry);
            }
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    /// Forgets a row that was removed.
    pub(crate) fn remove(&mut self, key: &str) -> Result<(), CloudError> {
        let (kind, rest) = key.split_at_checked(2).ok_or_else(|| unknown(key))?;
        match kind {
            "a/" => drop(self.accounts.remove(rest)),
            "k/" => self.remove_key(rest),
            "v/" => drop(self.verifiers.remove(rest)),
            "n/" => self.remove_deed(rest),
            "r/" => drop(self.regions.remove(rest)),
            "o/" => drop(self.operators.remove(rest)),
            "t/" => drop(self.tokens.remove(rest)),
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    fn remove_key(&mut self, id: &str) {
        let Some(key) = self.keys.remove(id) else {
            return;
        };
        if let Some(of) = self.keys_of.get_mut(&key.record.account) {
            of.remove(id);
            if of.is_empty() {
                self.keys_of.remove(&key.record.account);
            }
        }
    }

    /// Takes over of a row that is about to be written what takes rights away, and only that:
    /// revoked certificates, a region that is closed, and a bucket that does not lie in `here` any
    /// more, or not readable. Answers whether there was anything.
    pub(crate) fn withdraw(&mut self, row: &RowChange, here: Option<&RegionId>) -> bool {
        let (Some((kind, rest)), now) = (row.key.split_at_checked(2), &row.now) else {
            return false;
        };
        match (kind, now, here) {
            ("r/", RowNow::Value(value), _) => {
                let Ok(new) = read::<RegionRecord>(value.as_bytes()) else {
                    return false;
                };
                let Some(known) = self.regions.get(rest) else {
                    return false;
                };
                let mut record = (**known).clone();
                if new.status == RegionStatus::Closed {
                    record.status = new.status;
                }
                let more = new.revoked_serials.into_iter();
                let more = more.filter(|serial| !known.revoked_serials.contains(serial));
                record.revoked_serials.extend(more.collect::<Vec<_>>());
                if record == **known {
                    return false;
                }
                self.regions.insert(rest.to_owned(), Arc::new(record));
                true
            }
            ("n/", RowNow::Value(value), Some(here)) => {
                let deed = read::<DeedRecord>(value.as_bytes()).and_then(DeedRecord::into_deed);
                let (Ok(deed), Some(known)) = (deed, self.deeds.get(rest)) else {
                    return false;
                };
                let less = match (known.holding(here), deed.holding(here)) {
                    (Holding::Nothing, _) => false,
                    (_, Holding::Nothing) => true,
                    (Holding::Home | Holding::Replica, Holding::Sealed) => true,
                    _ => false,
                };
                if less && known.id == deed.id {
                    // As it will be read from the disk.
                    self.put_deed(rest.to_owned(), Arc::new(deed));
                    return true;
                }
                false
            }
            _ => false,
        }
    }

    fn put_deed(&mut self, name: String, deed: Arc<BucketDeed>) {
        self.remove_deed(&name);
        let owned = self.by_owner.entry(deed.owner.clone()).or_default();
        owned.insert(name.clone(), Arc::clone(&deed));
        self.deeds.insert(name, deed);
    }

    fn remove_deed(&mut self, name: &str) {
        if let Some(deed) = self.deeds.remove(name)
            && let Some(owned) = self.by_owner.get_mut(&deed.owner)
        {
            owned.remove(name);
        }
    }

    /// How many entries the audit log has.
    pub(crate) fn length(&self) -> u64 {
        self.last.as_ref().map_or(0, |entry| entry.number + 1)
    }
}

fn unknown(key: &str) -> CloudError {
    CloudError::Record(format!("unknown row {key}"))
}
