//! Accounts and their access keys.

use access::{Identity, NewBuckets, PublicAccessBlock, signature::Statement};
use serde_json::json;
use types::{AccessKeyId, AccountId, Actor, Jurisdiction, Random, is_plain_text};

use crate::{
    Account, CloudError, KeyInfo, KeyStatus, NewKey, Registry,
    change::{Draft, RowChange},
    keys::{check_imported, generate, info},
    kinds::{
        FORMAT, Record as _,
        account::NewBucketsRecord,
        key::{Key, KeyRecord},
    },
};

/// Bytes of an account's name.
const NAME_MAX: usize = 128;
/// Bytes of a key's description.
const DESCRIPTION_MAX: usize = 256;

/// What an account is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AccountKind {
    /// A tenant.
    #[default]
    Tenant,
    /// The cloud's own operator.
    Root,
    /// Looks after the regions of an operator.
    Operator(String),
    /// Reads what is on record.
    Auditor,
}

/// What is to become of an account's say over access; `None` leaves it, `Some(None)` takes it away.
#[derive(Debug, Clone, Default)]
pub struct AccessChange {
    /// Which public access all its buckets refuse.
    pub block: Option<Option<PublicAccessBlock>>,
    /// What its new buckets begin with.
    pub new_buckets: Option<Option<NewBuckets>>,
    /// Whether requests for its buckets are to be signed asymmetrically.
    pub requires_asymmetric: Option<bool>,
    /// Whether signatures with HMAC-SHA1 are taken too.
    pub old_signatures: Option<bool>,
}

/// A new canonical id.
fn canonical_id(random: &dyn Random) -> String {
    let bytes: Vec<u8> = (0..4)
        .flat_map(|_| random.next_u64().to_be_bytes())
        .collect();
    hex::encode(bytes)
}

impl Registry {
    /// Creates an account. A name is given once, in upper or lower case. All buckets of the account
    /// keep to the jurisdictions of `guard`, if it names any.
    pub async fn create_account(
        &self,
        actor: &Actor,
        name: &str,
        kind: AccountKind,
        guard: Vec<Jurisdiction>,
    ) -> Result<Account, CloudError> {
        if name.is_empty() || !is_plain_text(name, NAME_MAX) {
            return Err(CloudError::Invalid(format!(
                "an account's name has 1 to {NAME_MAX} bytes and no control characters"
            )));
        }
        let turn = self.turn().await;
        if let AccountKind::Operator(id) = &kind
            && !self.state.read().operators.contains_key(id)
        {
            return Err(CloudError::NoOperator(id.clone()));
        }
        self.check_new_name(name)?;
        let id = loop {
            let id = format!("{:012}", self.random.next_u64() % 1_000_000_000_000);
            if !self.state.read().accounts.contains_key(&id) {
                break id;
            }
        };
        let account = Account {
            format: FORMAT,
            id: id.clone(),
            name: name.to_owned(),
            created_ms: self.clock.now().ms(),
            root: kind == AccountKind::Root,
            operator: match &kind {
                AccountKind::Operator(id) => Some(id.clone()),
                _ => None,
            },
            auditor: kind == AccountKind::Auditor,
            suspended: false,
            guard: guard.iter().map(|j| j.to_string()).collect(),
            canonical: canonical_id(&*self.random),
            public_access_block: None,
            new_buckets: None,
            requires_asymmetric: false,
            old_signatures: false,
        };
        let draft = Draft {
            actor: actor.clone(),
            action: "account.create",
            detail: json!({
                "name": name,
                "root": account.root,
                "operator": account.operator,
                "auditor": account.auditor,
                "guard": account.guard,
            }),
            rows: vec![RowChange::put(&id, &account)?],
            subject: id,
        };
        self.change(turn, draft).await?;
        Ok(account)
    }

    /// Refuses what another account is called, in upper or lower case, or has as its alias.
    fn check_new_name(&self, name: &str) -> Result<(), CloudError> {
        if name.len() == 12 && name.bytes().all(|c| c.is_ascii_digit()) {
            return Err(CloudError::Invalid(
                "12 digits are the id of an account: choose a name that is none".to_owned(),
            ));
        }
        let state = self.state.read();
        let mut accounts = state.accounts.values();
        if let Some(same) = accounts.find(|a| a.name.eq_ignore_ascii_case(name)) {
            let (id, name) = (&same.id, &same.name);
            let text = format!("an account named {name} ({id})");
            return Err(CloudError::Exists(text));
        }
        match state.aliases.account(&name.to_ascii_lowercase()) {
            None => Ok(()),
            Some(_) => Err(CloudError::Exists(format!(
                "an account with the alias {name}"
            ))),
        }
    }

    /// The account that a person means: one with this id, else the only one with this name, else an
    /// id that no account has.
    pub fn account_meant(&self, text: &str) -> AccountId {
        let state = self.state.read();
        let mut named = state.accounts.values().filter(|a| a.name == text);
        match (
            state.accounts.contains_key(text),
            named.next(),
            named.next(),
        ) {
            (false, Some(account), None) => AccountId::new(&account.id),
            _ => AccountId::new(text),
        }
    }

    /// Stops all keys of an account, or lets them open again. Takes effect here with the answer,
    /// and in other regions once they receive it.
    pub async fn suspend_account(
        &self,
        actor: &Actor,
        id: &AccountId,
        suspended: bool,
    ) -> Result<Account, CloudError> {
        let turn = self.turn().await;
        let mut account = self
            .account(id)
            .ok_or_else(|| CloudError::NoAccount(id.clone()))?;
        if account.root {
            return Err(CloudError::Refused(
                "the root account cannot be suspended: nobody could administer".into(),
            ));
        }
        if account.suspended == suspended && !self.is_unwritten(&Account::key(id)) {
            return Ok(account);
        }
        account.suspended = suspended;
        let draft = Draft {
            actor: actor.clone(),
            action: if suspended {
                "account.suspend"
            } else {
                "account.resume"
            },
            subject: id.to_string(),
            detail: json!({}),
            rows: vec![RowChange::put(id, &account)?],
        };
        self.change(turn, draft).await?;
        Ok(account)
    }

    /// Gives canonical ids to accounts that have none, such as those of an earlier release.
    pub async fn give_canonical_ids(&self) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let mut rows = Vec::new();
        for mut account in self.accounts() {
            if account.canonical.is_empty() {
                account.canonical = canonical_id(&*self.random);
                rows.push(RowChange::put(&account.id, &account)?);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let draft = Draft {
            actor: Actor::System,
            action: "account.canonical",
            subject: format!("{} accounts", rows.len()),
            detail: json!({}),
            rows,
        };
        self.change(turn, draft).await
    }

    /// Changes what all buckets of an account refuse, and what its new ones begin with.
    ///
    /// # Errors
    /// `Refused` for two ways of signing that exclude each other.
    pub async fn set_account_access(
        &self,
        actor: &Actor,
        id: &AccountId,
        change: AccessChange,
    ) -> Result<Account, CloudError> {
        let turn = self.turn().await;
        let mut account = self
            .account(id)
            .ok_or_else(|| CloudError::NoAccount(id.clone()))?;
        let before = account.clone();
        if let Some(block) = change.block {
            account.set_block(block);
        }
        if let Some(new) = change.new_buckets {
            account.new_buckets = new.map(NewBucketsRecord::of);
        }
        if let Some(requires) = change.requires_asymmetric {
            account.requires_asymmetric = requires;
        }
        if let Some(takes) = change.old_signatures {
            account.old_signatures = takes;
        }
        if account.requires_asymmetric && account.old_signatures {
            return Err(CloudError::Refused(
                "an account that requires asymmetric signatures takes no old ones: turn one of the \
                 two off, with `--signatures any` or with `--old-signatures off`"
                    .into(),
            ));
        }
        if account == before && !self.is_unwritten(&Account::key(id)) {
            return Ok(account);
        }
        let draft = Draft {
            actor: actor.clone(),
            action: "account.access",
            subject: id.to_string(),
            detail: json!({
                "public_access_block": account.public_access_block,
                "new_buckets": account.new_buckets,
                "requires_asymmetric": account.requires_asymmetric,
                "old_signatures": account.old_signatures,
            }),
            rows: vec![RowChange::put(id, &account)?],
        };
        self.change(turn, draft).await?;
        Ok(account)
    }

    /// Creates a key for an account, or takes over the `pair` (access key, secret key).
    pub async fn create_key(
        &self,
        actor: &Actor,
        account: &AccountId,
        pair: Option<(&str, &str)>,
        description: &str,
        admin: bool,
    ) -> Result<NewKey, CloudError> {
        if !is_plain_text(description, DESCRIPTION_MAX) {
            return Err(CloudError::Invalid(format!(
                "a key's description has at most {DESCRIPTION_MAX} bytes and no \
                 control characters"
            )));
        }
        let (id, secret) = match pair {
            Some((id, secret)) => {
                check_imported(id, secret)?;
                (id.to_owned(), secret.to_owned())
            }
            None => generate(&*self.random),
        };
        let turn = self.turn().await;
        let Some(owner) = self.account(account) else {
            return Err(CloudError::NoAccount(account.clone()));
        };
        if admin && (owner.operator.is_some() || owner.auditor) {
            let role = owner.role(admin).words();
            return Err(CloudError::Invalid(format!(
                "a key of account {} has the role {role}, and administers no account: make it \
                 without --admin",
                owner.name
            )));
        }
        if self.state.read().keys.contains_key(&id) {
            return Err(CloudError::KeyExists(AccessKeyId::new(&id)));
        }
        let record = KeyRecord {
            format: FORMAT,
            sealed: self.master.seal(&id, &secret, &*self.random)?,
            id: id.clone(),
            account: account.to_string(),
            status: KeyStatus::Active,
            created_ms: self.clock.now().ms(),
            description: description.to_owned(),
            admin,
            user: None,
        };
        let draft = Draft {
            actor: actor.clone(),
            action: "key.create",
            subject: id.clone(),
            detail: json!({
                "account": &**account,
                "imported": pair.is_some(),
                "admin": admin,
            }),
            rows: vec![RowChange::put(&id, &record)?],
        };
        self.change(turn, draft).await?;
        Ok(NewKey {
            access_key: id,
            secret_key: secret,
            account: account.to_string(),
        })
    }

    /// Whether a key may be disabled or deleted: somebody must be left who can administer.
    fn may_stop(&self, id: &AccessKeyId) -> Result<(), CloudError> {
        let state = self.state.read();
        let administers = |key: &&Key| {
            let account = state.accounts.get(&key.record.account);
            key.record.status == KeyStatus::Active
                && key.record.user.is_none()
                && account.is_some_and(|a| a.root)
        };
        let mut others = state.keys.values().filter(administers);
        let is_one = state.keys.get(&**id).filter(administers).is_some();
        match is_one && !others.any(|key| key.record.id != **id) {
            false => Ok(()),
            true => Err(CloudError::Refused(format!(
                "{id} is the last active key of the root account: nobody could administer. Create \
                 another one first; `dhow key recover` makes one on a data folder that is stopped"
            ))),
        }
    }

    /// The root account; there is one once the registry's region has started.
    pub fn root_account(&self) -> Option<Account> {
        self.state
            .read()
            .accounts
            .values()
            .find(|a| a.root)
            .cloned()
    }

    /// The caller who holds a key, as this region knows key and account now; `None` unless both
    /// are known and neither is disabled or suspended.
    pub fn caller(&self, key: &AccessKeyId) -> Option<Identity> {
        let state = self.state.read();
        let (account, who) = match (state.keys.get(&**key), state.verifiers.get(&**key)) {
            (Some(found), _) if found.record.status == KeyStatus::Active => {
                (&found.record.account, state.holder(&found.record)?)
            }
            (None, Some(found)) if found.active => (&found.account, found.who.clone()),
            _ => return None,
        };
        let account = state.accounts.get(account).filter(|a| !a.suspended)?;
        Some(Identity::Key {
            access_key: key.clone(),
            account: account.account_id(),
            kind: account.caller_kind(),
            guard: state.guard_policy(&account.id),
            who,
        })
    }

    /// The same of whoever made a signature, as it says: by its token where it is a session's.
    pub fn caller_of(&self, statement: &Statement) -> Option<Identity> {
        match &statement.token {
            None => self.caller(&AccessKeyId::new(&statement.access_key)),
            Some(token) => self.session_caller(token, &statement.access_key),
        }
    }

    /// Whether this region knows of a key, whatever it opens.
    pub fn knows_key(&self, key: &AccessKeyId) -> bool {
        let state = self.state.read();
        state.keys.contains_key(&**key) || state.verifiers.contains_key(&**key)
    }

    /// Whether this is the secret of that key, whatever the key opens; only where the registry is
    /// kept.
    pub fn is_pair(&self, access_key: &str, secret_key: &str) -> bool {
        use subtle::ConstantTimeEq;
        let state = self.state.read();
        let found = state.keys.get(access_key);
        found.is_some_and(|key| key.secret.as_bytes().ct_eq(secret_key.as_bytes()).into())
    }

    /// Whether a key was made to administer its account. Every region knows that.
    pub fn administers(&self, id: &AccessKeyId) -> bool {
        self.state.read().keys.administers(id)
    }

    /// One key, without its secret.
    pub fn key(&self, id: &AccessKeyId) -> Option<KeyInfo> {
        self.state.read().keys.get(&**id).map(|k| info(&k.record))
    }

    /// Enables or disables a key. Takes effect with the answer.
    pub async fn set_key_status(
        &self,
        actor: &Actor,
        id: &AccessKeyId,
        status: KeyStatus,
    ) -> Result<KeyInfo, CloudError> {
        let turn = self.turn().await;
        let found = self.state.read().keys.get(&**id).map(|k| k.record.clone());
        let mut record = found.ok_or_else(|| CloudError::NoKey(id.clone()))?;
        if status != KeyStatus::Active {
            self.may_stop(id)?;
        }
        if record.status == status && !self.is_unwritten(&KeyRecord::key(id)) {
            return Ok(info(&record));
        }
        record.status = status;
        let draft = Draft {
            actor: actor.clone(),
            action: match status {
                KeyStatus::Active => "key.enable",
                KeyStatus::Disabled => "key.disable",
            },
            subject: id.to_string(),
            detail: json!({ "account": record.account }),
            rows: vec![RowChange::put(id, &record)?],
        };
        self.change(turn, draft).await?;
        Ok(info(&record))
    }

    /// Deletes a key. Takes effect with the answer.
    pub async fn delete_key(&self, actor: &Actor, id: &AccessKeyId) -> Result<(), CloudError> {
        let turn = self.turn().await;
        if !self.state.read().keys.contains_key(&**id) {
            return Err(CloudError::NoKey(id.clone()));
        }
        self.may_stop(id)?;
        let draft = Draft {
            actor: actor.clone(),
            action: "key.delete",
            subject: id.to_string(),
            detail: json!({}),
            rows: vec![RowChange::remove::<KeyRecord>(id)],
        };
        self.change(turn, draft).await
    }
}
