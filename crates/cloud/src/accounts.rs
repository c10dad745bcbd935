//! Accounts and their access keys.

use serde_json::json;
use types::{AccessKeyId, AccountId, Jurisdiction};

use crate::{
    Account, CloudError, KeyInfo, KeyStatus, NewKey, Registry,
    change::{Draft, RowChange},
    keys::{check_imported, generate, info},
    records::{FORMAT, KeyRecord, write},
};

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

impl Registry {
    /// Creates an account. Names are for people and need not be unique. All buckets of the account
    /// keep to the jurisdictions of `guard`, if it names any.
    pub async fn create_account(
        &self,
        actor: &str,
        name: &str,
        kind: AccountKind,
        guard: Vec<Jurisdiction>,
    ) -> Result<Account, CloudError> {
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            return Err(CloudError::Invalid(
                "an account's name has 1 to 128 characters".into(),
            ));
        }
        let turn = self.turn().await;
        if let AccountKind::Operator(id) = &kind
            && !self.state.read().operators.contains_key(id)
        {
            return Err(CloudError::NoOperator(id.clone()));
        }
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
        };
        let draft = Draft {
            actor: actor.into(),
            action: "account.create",
            detail: json!({
                "name": name,
                "root": account.root,
                "operator": account.operator,
                "auditor": account.auditor,
                "guard": account.guard,
            }),
            rows: vec![RowChange::put(format!("a/{id}"), write(&account)?)],
            subject: id,
        };
        self.change(turn, draft).await?;
        Ok(account)
    }

    /// Stops all keys of an account, or lets them open again. Takes effect here with the answer,
    /// and in other regions once they hear of it.
    pub async fn suspend_account(
        &self,
        actor: &str,
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
        account.suspended = suspended;
        let draft = Draft {
            actor: actor.into(),
            action: if suspended {
                "account.suspend"
            } else {
                "account.resume"
            },
            subject: id.to_string(),
            detail: json!({}),
            rows: vec![RowChange::put(format!("a/{id}"), write(&account)?)],
        };
        self.change(turn, draft).await?;
        Ok(account)
    }

    /// Creates a key for an account, or takes over the `pair` (access key, secret key).
    pub async fn create_key(
        &self,
        actor: &str,
        account: &AccountId,
        pair: Option<(&str, &str)>,
        description: &str,
        admin: bool,
    ) -> Result<NewKey, CloudError> {
        let (id, secret) = match pair {
            Some((id, secret)) => {
                check_imported(id, secret)?;
                (id.to_owned(), secret.to_owned())
            }
            None => generate(&*self.random),
        };
        let turn = self.turn().await;
        if self.account(account).is_none() {
            return Err(CloudError::NoAccount(account.clone()));
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
        };
        let draft = Draft {
            actor: actor.into(),
            action: "key.create",
            subject: id.clone(),
            detail: json!({
                "account": &**account,
                "imported": pair.is_some(),
                "admin": admin,
            }),
            rows: vec![RowChange::put(format!("k/{id}"), write(&record)?)],
        };
        self.change(turn, draft).await?;
        Ok(NewKey {
            access_key: id,
            secret_key: secret,
            account: account.to_string(),
        })
    }

    /// One key, without its secret.
    pub fn key(&self, id: &AccessKeyId) -> Option<KeyInfo> {
        self.state.read().keys.get(&**id).map(|k| info(&k.record))
    }

    /// Enables or disables a key. Takes effect with the answer.
    pub async fn set_key_status(
        &self,
        actor: &str,
        id: &AccessKeyId,
        status: KeyStatus,
    ) -> Result<KeyInfo, CloudError> {
        let turn = self.turn().await;
        let found = self.state.read().keys.get(&**id).map(|k| k.record.clone());
        let mut record = found.ok_or_else(|| CloudError::NoKey(id.clone()))?;
        record.status = status;
        let draft = Draft {
            actor: actor.into(),
            action: match status {
                KeyStatus::Active => "key.enable",
                KeyStatus::Disabled => "key.disable",
            },
            subject: id.to_string(),
            detail: json!({ "account": record.account }),
            rows: vec![RowChange::put(format!("k/{id}"), write(&record)?)],
        };
        self.change(turn, draft).await?;
        Ok(info(&record))
    }

    /// Deletes a key. Takes effect with the answer.
    pub async fn delete_key(&self, actor: &str, id: &AccessKeyId) -> Result<(), CloudError> {
        let turn = self.turn().await;
        if !self.state.read().keys.contains_key(&**id) {
            return Err(CloudError::NoKey(id.clone()));
        }
        let draft = Draft {
            actor: actor.into(),
            action: "key.delete",
            subject: id.to_string(),
            detail: json!({}),
            rows: vec![RowChange::remove(format!("k/{id}"))],
        };
        self.change(turn, draft).await
    }
}
