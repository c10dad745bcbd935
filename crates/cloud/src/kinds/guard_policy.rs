//! Guard policies of accounts: `x/<account id>`. The registry's region has their texts, and sends
//! them to the regions within the account's jurisdictions. Each region has the digest, by the audit
//! log: one that lacks the text refuses everybody of the account.

use std::collections::BTreeMap;

use access::GuardPolicy;
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::{RegionId, features};

use super::{FORMAT, Outdated, Record};
use crate::{
    CloudError, MasterKey,
    change::{RowChange, RowNow, sha256},
    state::State,
};

/// A planted bug.
const DROPPED: &str = "guard-dropped-on-the-follower";

/// A guard policy at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuardPolicyRecord {
    pub(crate) v: u32,
    /// Makes the digest of the row, which every region has, say nothing of the text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) salt: String,
    /// JSON, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// Where the text is not known: the digest of the row that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<String>,
}

/// A guard policy in memory.
pub(crate) struct HeldGuardPolicy {
    pub record: GuardPolicyRecord,
    /// As requests are decided by it.
    pub guard: GuardPolicy,
}

impl Record for GuardPolicyRecord {
    const PREFIX: &'static str = "x/";
    const SECRET: bool = true;
    const FEATURE: Option<&'static str> = Some(features::GUARD_POLICIES);
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        ("x/000000000001", r#"{"v":1,"salt":"00","text":"{}"}"#),
        ("x/000000000002", r#"{"v":1,"unknown":"00ff"}"#),
    ];
    type Table = BTreeMap<String, HeldGuardPolicy>;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        let guard = GuardPolicy::compile(record.text.as_deref());
        let held = HeldGuardPolicy { record, guard };
        state.guard_policies.insert(id.to_owned(), held);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.guard_policies.remove(id);
        Ok(())
    }

    /// One where there was none. Of another one than before nobody can say that it allows less.
    fn withdraw(state: &mut State, id: &str, now: &RowNow, _: Option<&RegionId>) -> bool {
        let record = match now {
            RowNow::Value(value) => Self::read(value.as_bytes()).ok(),
            RowNow::Hidden(digest) => Some(Self {
                v: FORMAT,
                salt: String::new(),
                text: None,
                unknown: Some(digest.clone()),
            }),
            RowNow::Removed => None,
        };
        let Some(record) = record.filter(|_| !state.guard_policies.contains_key(id)) else {
            return false;
        };
        let guard = GuardPolicy::compile(record.text.as_deref());
        let held = HeldGuardPolicy { record, guard };
        state.guard_policies.insert(id.to_owned(), held);
        true
    }

    /// What verifies a signature says what bounds its maker.
    fn outdates(_: &str) -> Outdated<'_> {
        Outdated::All
    }

    /// Until the text is known, nobody of the account may do anything.
    fn followed(_: &State, id: &str, row: &RowChange) -> Vec<RowChange> {
        if types::planted(DROPPED) {
            return Vec::new();
        }
        let RowNow::Hidden(digest) = &row.now else {
            return vec![row.clone()];
        };
        let unknown = json!({ "v": FORMAT, "unknown": digest });
        vec![RowChange {
            key: Self::key(id),
            now: RowNow::Value(unknown.to_string()),
        }]
    }
}

impl State {
    /// The guard policy of an account.
    pub(crate) fn guard_policy(&self, account: &str) -> GuardPolicy {
        let held = self.guard_policies.get(account);
        held.map(|held| held.guard.clone()).unwrap_or_default()
    }

    /// The texts of the guard policies that a change sets, for a region that may have them: rows as
    /// they are now, of which the change shows digests.
    pub(crate) fn guard_policies_for(&self, rows: &[RowChange], region: &str) -> Vec<RowChange> {
        let told = rows.iter().filter_map(|row| {
            let account = row.key.strip_prefix(GuardPolicyRecord::PREFIX)?;
            let held = self.guard_policies.get(account)?;
            let may = self.may_know_users(account, region);
            may.then(|| RowChange::put(account, &held.record).ok())?
        });
        told.collect()
    }
}

/// Whether a row that came beside a change is the guard policy of which the change has the digest.
pub(crate) fn is_of(told: &RowChange, rows: &[RowChange]) -> bool {
    let RowNow::Value(value) = &told.now else {
        return false;
    };
    if types::planted(DROPPED) {
        return false;
    }
    let digest = RowNow::Hidden(sha256(value));
    told.key.starts_with(GuardPolicyRecord::PREFIX)
        && rows
            .iter()
            .any(|row| row.key == told.key && row.now == digest)
}
