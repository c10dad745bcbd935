//! Accounts and keys.

use access::{NewBuckets, Ownership, PublicAccessBlock};
use admin::bodies::{AccountAccess, NewAccount, NewKey, SetGuardPolicy};
use cloud::{AccessChange, AccountKind, KeyInfo, KeyStatus};
use serde_json::{Value, json};
use types::{AccessKeyId, AccountId, Jurisdiction};

use super::{
    Admin, Answer, Call,
    answers::{bad, parse, refused, to_json},
};

/// Requests for an account's buckets are signed in any way, or asymmetrically.
const ANY: &str = "any";
const V4A: &str = "v4a";

fn signatures(name: &str) -> Result<bool, super::Refused> {
    match name {
        ANY => Ok(false),
        V4A => Ok(true),
        _ => Err(bad("signatures are any or v4a")),
    }
}

fn change(
    asked: AccountAccess,
    before: Option<NewBuckets>,
) -> Result<AccessChange, super::Refused> {
    let block = |names: Vec<String>| {
        PublicAccessBlock::of_names(&names).ok_or_else(|| {
            let known = PublicAccessBlock::ALL.names().join(", ");
            bad(&format!(
                "the switches of a public access block are {known}"
            ))
        })
    };
    let mode = |name: String| {
        Ownership::of_name(&name).ok_or_else(|| {
            let known = Ownership::ALL.map(Ownership::name).join(", ");
            bad(&format!("the modes of object ownership are {known}"))
        })
    };
    let requires_asymmetric = asked.signatures.as_deref().map(signatures).transpose()?;
    let own = match (asked.public_access_block, asked.unset_block) {
        (Some(_), true) => return Err(bad("a block is set or unset, not both")),
        (Some(names), false) => Some(Some(block(names)?)),
        (None, true) => Some(None),
        (None, false) => None,
    };
    let ownership = asked.new_ownership.map(mode).transpose()?;
    let new_block = asked.new_public_access_block.map(block).transpose()?;
    let new_buckets = match (
        ownership.is_some() || new_block.is_some(),
        asked.unset_new_buckets,
    ) {
        (true, true) => return Err(bad("it is set or unset, not both")),
        (false, true) => Some(None),
        (false, false) => None,
        (true, false) => {
            let before = before.unwrap_or_default();
            Some(Some(NewBuckets {
                ownership: ownership.unwrap_or(before.ownership),
                block: new_block.unwrap_or(before.block),
            }))
        }
    };
    Ok(AccessChange {
        block: own,
        new_buckets,
        requires_asymmetric,
        old_signatures: asked.old_signatures,
    })
}

impl Admin {
    pub(super) fn list_accounts(&self, call: &Call) -> Answer {
        call.may()?;
        let accounts = self.region.registry.accounts();
        Ok(accounts.iter().map(account).collect())
    }

    pub(super) async fn create_account(&self, call: &Call) -> Answer {
        call.may()?;
        let new: NewAccount = parse(&call.body)?;
        let kind = match (new.operator, new.auditor) {
            (Some(operator), false) => AccountKind::Operator(operator),
            (None, true) => AccountKind::Auditor,
            (None, false) => AccountKind::Tenant,
            (Some(_), true) => {
                return Err(bad("an account is an operator's or an auditor's, not both"));
            }
        };
        let guard = jurisdictions(&new.guard)?;
        let registry = &self.region.registry;
        let made = registry
            .create_account(&call.actor, &new.name, kind, guard)
            .await;
        made.map(|a| account(&a)).map_err(refused)
    }

    pub(super) async fn suspend_account(&self, call: &Call, id: &str, suspend: bool) -> Answer {
        call.may()?;
        let registry = &self.region.registry;
        let id = registry.account_meant(id);
        let changed = registry.suspend_account(&call.actor, &id, suspend).await;
        changed.map(|a| account(&a)).map_err(refused)
    }

    /// A body without fields changes nothing, and answers what there is.
    pub(super) async fn change_access(&self, call: &Call, id: &str) -> Answer {
        let registry = &self.region.registry;
        let id = registry.account_meant(id);
        call.of_account(&id)?;
        let asked: AccountAccess = parse(&call.body)?;
        let found = registry.account(&id);
        let found = found.ok_or_else(|| refused(cloud::CloudError::NoAccount(id.clone())))?;
        let change = change(asked, found.begins_with())?;
        let changed = registry.set_account_access(&call.actor, &id, change).await;
        let changed = changed.map_err(refused)?;
        let new = changed.new_buckets.as_ref();
        Ok(json!({
            "id": changed.id,
            "canonical": changed.canonical,
            "public_access_block": changed.public_access_block,
            "new_ownership": new.map(|new| &new.ownership),
            "new_public_access_block": new.map(|new| &new.public_access_block),
            "signatures": match changed.requires_asymmetric {
                true => V4A,
                false => ANY,
            },
            "old_signatures": changed.old_signatures,
        }))
    }

    /// A body without fields changes nothing, and answers what there is.
    pub(super) async fn set_guard_policy(&self, call: &Call, id: &str) -> Answer {
        call.may()?;
        let registry = &self.region.registry;
        let id = registry.account_meant(id);
        let asked: SetGuardPolicy = parse(&call.body)?;
        let wanted = match (&asked.policy, asked.remove) {
            (Some(_), true) => return Err(bad("a guard policy is set or removed, not both")),
            (None, false) => None,
            (document, _) => Some(document.as_deref()),
        };
        if registry.account(&id).is_none() {
            return Err(refused(cloud::CloudError::NoAccount(id)));
        }
        if let Some(document) = wanted {
            let set = registry.set_guard_policy(&call.actor, &id, document).await;
            set.map_err(refused)?;
        }
        Ok(json!({
            "id": &*id,
            "policy": registry.guard_policy(&id),
        }))
    }

    pub(super) fn list_keys(&self, call: &Call) -> Answer {
        let of = call.query.as_deref();
        let of = of.and_then(|q| q.strip_prefix("account="));
        let registry = &self.region.registry;
        let of = call.within_account(of.map(|text| registry.account_meant(text)))?;
        if let Some(account) = &of
            && registry.account(account).is_none()
        {
            return Err(refused(cloud::CloudError::NoAccount(account.clone())));
        }
        // Another region has none of them, which must not look like an account without keys.
        self.keeps()?;
        Ok(registry
            .keys(of.as_ref())
            .iter()
            .map(|k| self.key(k))
            .collect())
    }

    pub(super) async fn set_key(&self, call: &Call, id: &str, status: KeyStatus) -> Answer {
        self.may_change_key(call, id)?;
        if status == KeyStatus::Disabled {
            self.keeps_the_folders_key(id)?;
        }
        let registry = &self.region.registry;
        let changed = registry
            .set_key_status(&call.actor, &AccessKeyId::new(id), status)
            .await;
        Ok(self.key(&changed.map_err(refused)?))
    }

    /// A key for people and scripts: with the name of its account, and what it may administer.
    fn key(&self, key: &KeyInfo) -> Value {
        let account = self.region.registry.account(&AccountId::new(&key.account));
        let role = account.as_ref().map(|account| account.role(key.admin));
        let mut shown = json!({
            "access_key": key.access_key,
            "account": key.account,
            "account_name": account.map(|account| account.name.clone()).unwrap_or_default(),
            "role": match &key.user {
                Some(_) => "user".to_owned(),
                None => role.map(|role| role.words()).unwrap_or_default(),
            },
            "status": key.status,
            "created_ms": key.created_ms,
            "description": key.description,
            "admin": key.admin,
        });
        let registry = &self.region.registry;
        if registry.keeps() {
            let used = registry.last_use(&AccessKeyId::new(&key.access_key));
            shown["last_used"] = json!(used.map(|used| {
                json!({ "at_ms": used.at_ms, "region": used.region, "service": used.service })
            }));
        }
        shown
    }

    pub(super) async fn delete_key(&self, call: &Call, id: &str) -> Answer {
        self.may_change_key(call, id)?;
        self.keeps_the_folders_key(id)?;
        let registry = &self.region.registry;
        let deleted = registry
            .delete_key(&call.actor, &AccessKeyId::new(id))
            .await;
        deleted.map_err(refused)?;
        Ok(json!({}))
    }

    /// The command line of this folder signs with one key: without it every command would be
    /// refused, whatever other keys the root account has.
    fn keeps_the_folders_key(&self, id: &str) -> Result<(), super::Refused> {
        let root = self.region.credentials.as_ref();
        match root.is_some_and(|root| root.access_key == *id) {
            false => Ok(()),
            true => Err(bad(
                "`dhow` signs with this key, which is in credentials.json: nobody could administer \
                 from this data folder. Stop the cloud, make another one with `dhow key recover`, \
                 start it, and take this one back then",
            )),
        }
    }

    /// A key that is not there is refused like one of another account: neither is the caller's.
    fn may_change_key(&self, call: &Call, id: &str) -> Result<(), super::Refused> {
        let key = self.region.registry.key(&AccessKeyId::new(id));
        match key {
            Some(key) => call.of_account(&AccountId::new(&key.account)),
            // A region that follows does not have every key.
            None if !self.region.registry.keeps() => {
                let keeper = self.region.link.membership.keeper.clone();
                call.may()
                    .and(Err(refused(cloud::CloudError::Elsewhere(keeper))))
            }
            None => call
                .may()
                .and(Err(refused(cloud::CloudError::NoKey(AccessKeyId::new(id))))),
        }
    }

    pub(super) async fn create_key(&self, call: &Call) -> Answer {
        let new: NewKey = parse(&call.body)?;
        let pair = match (&new.access_key, &new.secret_key) {
            (Some(access), Some(secret)) => Some((access.as_str(), secret.as_str())),
            (None, None) => None,
            _ => {
                return Err(bad(
                    "an existing pair needs both its access key and its secret key",
                ));
            }
        };
        let registry = &self.region.registry;
        let account = registry.account_meant(&new.account);
        call.of_account(&account)?;
        let made = registry
            .create_key(&call.actor, &account, pair, &new.description, new.admin)
            .await;
        to_json(made.map_err(refused)?)
    }
}

/// Countries and groups by their names.
pub(super) fn jurisdictions(names: &[String]) -> Result<Vec<Jurisdiction>, super::Refused> {
    let one = |name: &String| Jurisdiction::named(name).map_err(|error| bad(&error.to_string()));
    names.iter().map(one).collect()
}

fn account(account: &cloud::Account) -> Value {
    json!({
        "id": account.id,
        "name": account.name,
        "created": types::Timestamp::from_ms(account.created_ms).iso8601(),
        "root": account.root,
        "operator": account.operator,
        "auditor": account.auditor,
        "suspended": account.suspended,
        "guard": account.guard,
    })
}
