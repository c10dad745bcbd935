//! Accounts: `a/<account id>`.

use std::collections::BTreeMap;

use access::{CallerKind, NewBuckets, Ownership, PublicAccessBlock, grants::Role};
use serde::{Deserialize, Serialize};
use types::{AccountId, Placement, RegionId};

use super::{Concern, Outdated, Record, deed::PlacementRecord};
use crate::{
    CloudError, MasterKey,
    change::{RowChange, RowNow},
    introduce::Served,
    state::State,
};

/// A tenant account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Format version.
    #[serde(rename = "v")]
    pub format: u32,
    /// 12 decimal digits.
    pub id: String,
    /// For people.
    pub name: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The operator of the cloud itself, who may use the admin API.
    pub root: bool,
    /// The operator whose regions its keys may look after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Its keys may read what is on record of all accounts, and change nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auditor: bool,
    /// Its keys open nothing while this holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Jurisdictions that all its buckets keep to; empty for no guard.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<String>,
    /// Names the account in access control lists: 64 hex digits that say nothing of its number.
    /// Empty where the registry has not given one yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub canonical: String,
    /// Which public access all its buckets refuse, by the names of the switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access_block: Option<Vec<String>>,
    /// What its new buckets begin with, where the account says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_buckets: Option<NewBucketsRecord>,
    /// Requests for its buckets are signed asymmetrically, with its keys and no sessions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_asymmetric: bool,
    /// Signatures with HMAC-SHA1 are taken too, in regions that the cloud's owner runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub old_signatures: bool,
}

/// What new buckets of an account begin with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBucketsRecord {
    /// Who owns what is written into them.
    pub ownership: String,
    /// Which public access they refuse, by the names of the switches.
    pub public_access_block: Vec<String>,
}

impl NewBucketsRecord {
    /// The record of it.
    pub fn of(new: NewBuckets) -> Self {
        Self {
            ownership: new.ownership.name().to_owned(),
            public_access_block: owned(new.block),
        }
    }

    /// What cannot be read is as strict as can be.
    fn read(&self) -> NewBuckets {
        let strict = NewBuckets::default();
        NewBuckets {
            ownership: Ownership::of_name(&self.ownership).unwrap_or(strict.ownership),
            block: PublicAccessBlock::of_names(&self.public_access_block).unwrap_or(strict.block),
        }
    }
}

fn owned(block: PublicAccessBlock) -> Vec<String> {
    let names = block.names().into_iter();
    names.map(str::to_owned).collect()
}

impl Account {
    /// The guard as a placement that allows just that.
    pub(crate) fn guard_placement(&self) -> Result<Placement, CloudError> {
        PlacementRecord::within(self.guard.clone()).try_into()
    }

    /// Which public access all its buckets refuse; `None` where that was never set.
    pub fn block(&self) -> Option<PublicAccessBlock> {
        let names = self.public_access_block.as_ref()?;
        Some(PublicAccessBlock::of_names(names).unwrap_or(PublicAccessBlock::ALL))
    }

    /// Sets it, or takes it away.
    pub(crate) fn set_block(&mut self, block: Option<PublicAccessBlock>) {
        self.public_access_block = block.map(owned);
    }

    /// What its new buckets begin with, where the account says it.
    pub fn begins_with(&self) -> Option<NewBuckets> {
        self.new_buckets.as_ref().map(NewBucketsRecord::read)
    }

    /// The role of one of its keys. `admin`: whether the key was made to administer it.
    pub fn role(&self, admin: bool) -> Role {
        match (&self.operator, self.root, self.auditor) {
            (_, true, _) => Role::CloudOperator,
            (Some(operator), ..) => Role::RegionalOperator(operator.clone()),
            (None, _, true) => Role::Auditor,
            _ if admin => Role::TenantAdmin,
            _ => Role::Customer,
        }
    }

    /// What it is for, as a caller.
    pub fn caller_kind(&self) -> CallerKind {
        match (self.root, &self.operator, self.auditor) {
            (true, ..) => CallerKind::CloudOperator,
            (_, Some(_), _) => CallerKind::RegionalOperator,
            (_, _, true) => CallerKind::Auditor,
            _ => CallerKind::Customer,
        }
    }

    /// The id as a type.
    pub fn account_id(&self) -> AccountId {
        AccountId::new(&self.id)
    }
}

impl Record for Account {
    const PREFIX: &'static str = "a/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "a/000000000001",
            r#"{"v":1,"id":"000000000001","name":"acme","created_ms":1,"root":false}"#,
        ),
        (
            "a/000000000002",
            concat!(
                r#"{"v":1,"id":"000000000002","name":"eu","created_ms":2,"root":true,"#,
                r#""operator":"op","auditor":true,"suspended":true,"guard":["AE","EU"]}"#,
            ),
        ),
        (
            "a/000000000004",
            concat!(
                r#"{"v":1,"id":"000000000004","name":"bank","created_ms":4,"root":false,"#,
                r#""requires_asymmetric":true}"#,
            ),
        ),
        (
            "a/000000000005",
            concat!(
                r#"{"v":1,"id":"000000000005","name":"cams","created_ms":5,"root":false,"#,
                r#""old_signatures":true}"#,
            ),
        ),
        (
            "a/000000000003",
            concat!(
                r#"{"v":1,"id":"000000000003","name":"old","created_ms":3,"root":false,"#,
                r#""canonical":"00ff","public_access_block":["BlockPublicAcls"],"#,
                r#""new_buckets":{"ownership":"ObjectWriter","public_access_block":[]}}"#,
            ),
        ),
    ];
    type Table = BTreeMap<String, Self>;

    fn put(state: &mut State, _: &MasterKey, id: &str, value: &[u8]) -> Result<(), CloudError> {
        state.accounts.insert(id.to_owned(), Self::read(value)?);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.accounts.remove(id);
        Ok(())
    }

    /// An account that is suspended, or takes fewer signatures.
    fn withdraw(state: &mut State, id: &str, now: &RowNow, _: Option<&RegionId>) -> bool {
        let RowNow::Value(value) = now else {
            return false;
        };
        let (Ok(new), Some(known)) = (Self::read(value.as_bytes()), state.accounts.get_mut(id))
        else {
            return false;
        };
        let before = known.clone();
        known.suspended |= new.suspended;
        known.requires_asymmetric |= new.requires_asymmetric;
        known.old_signatures &= new.old_signatures;
        *known != before
    }

    /// An account that is suspended takes its keys along.
    fn concerns(_: &Served<'_>, id: &str, _: &RowNow) -> Concern {
        Concern::Account(id.to_owned())
    }

    fn outdates(_: &str) -> Outdated<'_> {
        Outdated::All
    }

    /// The keys of an account that takes no more signatures with HMAC-SHA1 are sent again; a region
    /// that does not receive them has none any more.
    fn followed(state: &State, id: &str, row: &RowChange) -> Vec<RowChange> {
        let takes = |value: &String| Self::read(value.as_bytes()).is_ok_and(|a| a.old_signatures);
        let mut kept = vec![row.clone()];
        if !matches!(&row.now, RowNow::Value(value) if takes(value)) {
            kept.extend(state.forget_old_keys_of(id));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_follow_from_accounts_and_keys() {
        let account = |fields: &str| -> Account {
            let text = format!(r#"{{"v":1,"id":"1","name":"n","created_ms":0{fields}}}"#);
            serde_json::from_str(&text).unwrap()
        };
        let of = |fields: &str, admin| account(fields).role(admin);
        assert_eq!(of(r#","root":true"#, false), Role::CloudOperator);
        assert_eq!(of(r#","root":false"#, false), Role::Customer);
        assert_eq!(of(r#","root":false"#, true), Role::TenantAdmin);
        assert_eq!(of(r#","root":false,"auditor":true"#, true), Role::Auditor);
        let operator = of(r#","root":false,"operator":"o""#, true);
        assert_eq!(operator, Role::RegionalOperator("o".into()));
    }
}
