//! Guard policies of accounts: what the cloud's owner lets everybody of an account do at most, the
//! account itself included.

use access::{CallerKind, GuardPolicy};
use serde_json::json;
use types::{AccountId, Actor};

use crate::{
    CloudError, Registry,
    change::{Draft, RowChange},
    keys::{FEW, text},
    kinds::{FORMAT, Record as _, guard_policy::GuardPolicyRecord},
};

impl Registry {
    /// The guard policy of an account, as requests are decided by it.
    pub fn guard_of(&self, account: &AccountId) -> GuardPolicy {
        self.state.read().guard_policy(account)
    }

    /// The text of the guard policy of an account; `None` where there is none, or where this region
    /// may not know it.
    pub fn guard_policy(&self, account: &AccountId) -> Option<String> {
        let state = self.state.read();
        state.guard_policies.get(&**account)?.record.text.clone()
    }

    /// Sets the guard policy of an account, or removes it.
    ///
    /// # Errors
    /// `Policy` says where the text is wrong. `Refused` for the cloud's own account and those that
    /// keep no data.
    pub async fn set_guard_policy(
        &self,
        actor: &Actor,
        account: &AccountId,
        document: Option<&str>,
    ) -> Result<(), CloudError> {
        if let Some(document) = document {
            let checked = GuardPolicy::check(document);
            checked.map_err(|error| CloudError::Policy(error.to_string()))?;
        }
        let turn = self.turn().await;
        {
            let state = self.state.read();
            let found = state.accounts.get(&**account);
            let found = found.ok_or_else(|| CloudError::NoAccount(account.clone()))?;
            match found.caller_kind() {
                CallerKind::Customer => {}
                CallerKind::CloudOperator => {
                    return Err(CloudError::Refused(
                        "the root account takes no guard policy: it sets those of others".into(),
                    ));
                }
                CallerKind::RegionalOperator | CallerKind::Auditor => {
                    return Err(CloudError::Refused(
                        "accounts of operators and auditors take no guard policy".into(),
                    ));
                }
            }
            let before = state.guard_policies.get(&**account);
            let same = before.and_then(|held| held.record.text.as_deref()) == document;
            if same && !self.is_unwritten(&GuardPolicyRecord::key(account)) {
                return Ok(());
            }
        }
        let row = match document {
            Some(document) => {
                let record = GuardPolicyRecord {
                    v: FORMAT,
                    salt: text(&*self.random, 16, FEW),
                    text: Some(document.to_owned()),
                    unknown: None,
                };
                RowChange::put(account, &record)?
            }
            None => RowChange::remove::<GuardPolicyRecord>(account),
        };
        let draft = Draft {
            actor: actor.clone(),
            action: "account.guard_policy",
            subject: account.to_string(),
            detail: json!({ "set": document.is_some() }),
            rows: vec![row],
        };
        self.change(turn, draft).await
    }
}
