//! What becomes of rows whose content no region has. Nobody gets rights by it:
//!
//! - what was made after the backup is removed: keys, users, groups, policies, roles, identity
//!   providers, aliases, join tokens;
//! - a key that was there is disabled; an alias or token that was there is removed;
//! - an account of which a user, group, policy, role or provider was changed is suspended, since
//!   what they allow now is not known; of the root account the keys of users are disabled, and the
//!   roles removed, since it cannot be suspended;
//! - of an account whose guard policy is not known nobody may do anything until it is set again.
//!
//! All of it is on record, with an entry `registry.catch_up` at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use types::{AccessKeyId, AccountId, Actor};

use super::{CatchUpPlan, CatchUpRecord, LostRow};
use crate::{
    CloudError, KeyStatus, Registry,
    change::{Draft, RowChange, RowNow},
    kinds::{Record, guard_policy::GuardPolicyRecord, key::KeyRecord, role::RoleRecord},
    registry::Landing,
};

/// Rows that one change removes.
const REMOVED_MAX: usize = 100;

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct CaughtUp {
    /// How many entries were taken over, those of earlier tries too.
    pub entries: u64,
    /// Rows whose content no region has, by their keys.
    pub lost: BTreeMap<String, LostRow>,
    /// Accounts that were suspended.
    pub suspended: Vec<String>,
    /// Keys that were disabled.
    pub disabled: Vec<String>,
    /// Keys that are active, since nobody could administer without them.
    pub left: Vec<String>,
    /// Keys of rows that were removed.
    pub removed: Vec<String>,
    /// Accounts of which nobody may do anything until their guard policy is set again.
    pub guarded: Vec<String>,
}

impl Registry {
    /// Ends what was begun, now or by an earlier try.
    pub(super) async fn finish_catch_up(&self, plan: &CatchUpPlan) -> Result<CaughtUp, CloudError> {
        let begun = self.state.read().catch_up.clone();
        let Some(mut record) = begun.filter(|record| record.open) else {
            return Ok(CaughtUp::default());
        };
        // From here on changes are made as always.
        self.goes_on();
        let mut done = CaughtUp {
            entries: self.state.read().length().saturating_sub(record.first),
            lost: record.lost.clone(),
            ..CaughtUp::default()
        };
        debug_assert!(plan.missing() <= done.entries);
        let accounts = self.sort_out(&record, &mut done).await?;
        for account in accounts {
            self.stop_account(&account, &mut done).await?;
        }
        record.open = false;
        self.close_catch_up(record, &done).await?;
        Ok(done)
    }

    /// Decides of each lost row, and answers the accounts whose rights are not known.
    async fn sort_out(
        &self,
        record: &CatchUpRecord,
        done: &mut CaughtUp,
    ) -> Result<BTreeSet<String>, CloudError> {
        let mut accounts = BTreeSet::new();
        for (key, lost) in &record.lost {
            let id = key.get(2..).unwrap_or_default();
            if key.starts_with(GuardPolicyRecord::PREFIX) {
                done.guarded.push(id.to_owned());
            } else if !lost.is_there {
                done.removed.push(key.clone());
            } else if key.starts_with(KeyRecord::PREFIX) {
                self.stop_key(id, done).await?;
            } else if let Some(account) = self.account_of_row(key).await? {
                accounts.insert(account);
            } else {
                done.removed.push(key.clone());
            }
        }
        Ok(accounts)
    }

    /// The account of a user, group, policy, role or identity provider.
    async fn account_of_row(&self, key: &str) -> Result<Option<String>, CloudError> {
        if !["u/", "g/", "p/", "q/", "i/"]
            .iter()
            .any(|kind| key.starts_with(kind))
        {
            return Ok(None);
        }
        let found = self.rows.page(key, "", 1).await?;
        let found = found.into_iter().find(|(found, _)| found == key);
        let value = found.and_then(|(_, value)| serde_json::from_slice(&value).ok());
        let account = value
            .and_then(|value: serde_json::Value| value.get("account")?.as_str().map(str::to_owned));
        Ok(account)
    }

    async fn stop_key(&self, id: &str, done: &mut CaughtUp) -> Result<(), CloudError> {
        let key = AccessKeyId::new(id);
        let stopped = self.set_key_status(&Actor::System, &key, KeyStatus::Disabled);
        match stopped.await {
            Ok(_) => done.disabled.push(id.to_owned()),
            Err(CloudError::Refused(_)) => done.left.push(id.to_owned()),
            Err(CloudError::NoKey(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn stop_account(&self, id: &str, done: &mut CaughtUp) -> Result<(), CloudError> {
        let account = AccountId::new(id);
        let Some(found) = self.account(&account) else {
            return Ok(());
        };
        if !found.root {
            self.suspend_account(&Actor::System, &account, true).await?;
            done.suspended.push(id.to_owned());
            return Ok(());
        }
        let (keys, roles): (Vec<String>, Vec<String>) = {
            let state = self.state.read();
            let of = state.keys.of_account.get(id);
            let of_users = of.into_iter().flatten().filter(|key| {
                let key = state.keys.get(*key);
                key.is_some_and(|key| key.record.user.is_some())
            });
            let roles = state
                .roles
                .of(id)
                .map(|held| RoleRecord::key(&held.record.id));
            (of_users.cloned().collect(), roles.collect())
        };
        for key in keys {
            self.stop_key(&key, done).await?;
        }
        done.removed.extend(roles);
        Ok(())
    }

    /// Puts on record what was done, and that it is done.
    async fn close_catch_up(
        &self,
        record: CatchUpRecord,
        done: &CaughtUp,
    ) -> Result<(), CloudError> {
        let mut left: Vec<&[String]> = done.removed.chunks(REMOVED_MAX).collect();
        if left.is_empty() {
            left.push(&[]);
        }
        let last = left.len() - 1;
        for (n, removed) in left.into_iter().enumerate() {
            let removed = removed.iter().map(|key| RowChange {
                key: key.clone(),
                now: RowNow::Removed,
            });
            let draft = Draft {
                actor: Actor::System,
                action: "registry.catch_up",
                subject: record.region.clone(),
                detail: json!({
                    "first": record.first,
                    "entries": done.entries,
                    "lost": done.lost.len(),
                }),
                rows: removed.collect(),
            };
            let turn = self.turn().await;
            let change = draft.seal(self.state.read().last.as_ref(), self.clock.now())?;
            let mut beside = self.linked(std::slice::from_ref(&change.entry)).await?;
            if n == last {
                beside.push((CatchUpRecord::key(""), record.write()?.into_bytes()));
            }
            let landing = Landing {
                change,
                kept: draft.rows,
            };
            self.land(turn, vec![landing], beside).await?;
        }
        Ok(())
    }
}
