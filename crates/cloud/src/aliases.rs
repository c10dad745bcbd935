//! Aliases of accounts: a second name that the account itself chooses, at most one. Only the
//! registry's region has them.

use serde_json::json;
use types::{AccountId, Actor};

use crate::{
    CloudError, Registry,
    change::{Draft, RowChange},
    keys::{FEW, text},
    kinds::{FORMAT, alias::AliasRecord},
};

/// Whether this can be an alias ("Creating, deleting, and listing an AWS account alias"). What has
/// the form of an account's id would be taken for one.
fn check(alias: &str) -> Result<(), CloudError> {
    let known = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_number = alias.len() == 12 && alias.bytes().all(|c| c.is_ascii_digit());
    let ends = alias.starts_with('-') || alias.ends_with('-') || alias.contains("--");
    let good = (3..=63).contains(&alias.len()) && alias.bytes().all(known) && !ends && !is_number;
    match good {
        true => Ok(()),
        false => Err(CloudError::Invalid(
            "an account's alias has 3 to 63 lower-case letters, digits, and single hyphens between \
             them, and is not 12 digits"
                .into(),
        )),
    }
}

impl Registry {
    /// The alias of an account; none where the registry is not kept.
    pub fn alias(&self, account: &AccountId) -> Option<String> {
        let state = self.state.read();
        let found = state.aliases.get(&**account);
        found.map(|record| record.alias.clone())
    }

    /// Gives an account an alias, in place of the one that it has.
    ///
    /// # Errors
    /// It is no alias, or another account has it.
    pub async fn create_alias(
        &self,
        actor: &Actor,
        account: &AccountId,
        alias: &str,
    ) -> Result<(), CloudError> {
        check(alias)?;
        let turn = self.turn().await;
        {
            let state = self.state.read();
            let found = state.accounts.get(&**account);
            let found = found.ok_or_else(|| CloudError::NoAccount(account.clone()))?;
            if !found.caller_kind().keeps_data() {
                return Err(CloudError::Refused(
                    "accounts of operators and auditors have no alias".into(),
                ));
            }
            // What people read as another account's name would mislead them.
            let mut others = state
                .accounts
                .iter()
                .filter(|(id, _)| id.as_str() != &**account);
            match state.aliases.account(alias) {
                None if others.any(|(_, of)| of.name.eq_ignore_ascii_case(alias)) => {
                    return Err(CloudError::Exists(format!("an account named {alias}")));
                }
                None => {}
                Some(own) if *own == **account => return Ok(()),
                Some(_) => {
                    return Err(CloudError::Exists(format!(
                        "an account with the alias {alias}"
                    )));
                }
            }
        }
        let record = AliasRecord {
            v: FORMAT,
            account: account.to_string(),
            alias: alias.to_owned(),
            salt: text(&*self.random, 16, FEW),
        };
        let draft = Draft {
            actor: actor.clone(),
            action: "account.alias",
            subject: account.to_string(),
            detail: json!({}),
            rows: vec![RowChange::put(account, &record)?],
        };
        self.change(turn, draft).await
    }

    /// Takes an alias away from an account.
    ///
    /// # Errors
    /// The account has another one, or none.
    pub async fn delete_alias(
        &self,
        actor: &Actor,
        account: &AccountId,
        alias: &str,
    ) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let is_its = {
            let state = self.state.read();
            let found = state.aliases.get(&**account);
            found.is_some_and(|record| record.alias == alias)
        };
        if !is_its {
            return Err(CloudError::NoEntity(
                "the account does not have that alias".into(),
            ));
        }
        let draft = Draft {
            actor: actor.clone(),
            action: "account.unalias",
            subject: account.to_string(),
            detail: json!({}),
            rows: vec![RowChange::remove::<AliasRecord>(account)],
        };
        self.change(turn, draft).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_has_a_form() {
        for good in ["abc", "acme-prod-1", "123", &"a".repeat(63)] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "ab",
            "Acme",
            "-acme",
            "acme-",
            "a--b",
            "123456789012",
            "a_b",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
