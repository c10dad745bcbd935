//! Identity providers of accounts (OpenID Connect): whose tokens may begin sessions of roles. All
//! of it is changed where the registry is kept. As with users, the audit log has their ids alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use types::{AccountId, Actor};

use crate::{
    CloudError, Registry,
    change::{Draft, RowChange},
    keys::{FEW, text},
    kinds::{
        FORMAT,
        provider::{ID_PREFIX, ProviderRecord, place},
    },
    state::State,
    tags::{add_tags, check_tags, remove_tags},
};

/// Identity providers of one account; client ids and thumbprints of one provider, as in IAM.
const PROVIDERS_MAX: usize = 100;
const CLIENTS_MAX: usize = 100;
const THUMBPRINTS_MAX: usize = 5;
/// Characters of a URL, and of a client id.
const URL_MAX: usize = 255;
const CLIENT_MAX: usize = 255;
/// Hexadecimal digits of a SHA-1.
const THUMBPRINT_LEN: usize = 40;

/// An identity provider as listings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderInfo {
    /// Its unique id.
    pub id: String,
    /// What its tokens have as `iss`.
    pub url: String,
    /// The same without the scheme, as conditions name it (`PLACE:aud`).
    pub place: String,
    /// `arn:aws:iam::ACCOUNT:oidc-provider/host/path`.
    pub arn: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The audiences of tokens that count.
    pub clients: BTreeSet<String>,
    /// Kept, and of no consequence.
    pub thumbprints: Vec<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// An identity provider that is to be made.
#[derive(Debug, Clone, Default)]
pub struct NewProvider {
    /// What its tokens have as `iss`: a scheme, a host in lower case, perhaps a port and a path.
    pub url: String,
    /// The audiences of tokens that count.
    pub clients: Vec<String>,
    /// SHA-1s of certificates, in hexadecimal digits.
    pub thumbprints: Vec<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What is to become of an identity provider.
#[derive(Debug, Clone)]
pub enum ProviderChange {
    /// Tokens for this audience count.
    AddClient(String),
    /// They do not.
    RemoveClient(String),
    /// Other thumbprints.
    Thumbprints(Vec<String>),
    /// These tags beside the others.
    Tag(BTreeMap<String, String>),
    /// Without the tags of these keys.
    Untag(Vec<String>),
}

impl ProviderChange {
    const fn action(&self) -> &'static str {
        match self {
            Self::AddClient(_) => "provider.client.add",
            Self::RemoveClient(_) => "provider.client.remove",
            Self::Thumbprints(_) => "provider.thumbprints",
            Self::Tag(_) => "provider.tag",
            Self::Untag(_) => "provider.untag",
        }
    }
}

fn shown(record: &ProviderRecord) -> ProviderInfo {
    ProviderInfo {
        id: record.id.clone(),
        url: record.url.clone(),
        place: place(&record.url).to_owned(),
        arn: record.arn(),
        created_ms: record.created_ms,
        clients: record.clients.clone(),
        thumbprints: record.thumbprints.clone(),
        tags: record.tags.clone(),
    }
}

/// A scheme, a host, perhaps a port, and a path: nothing that a request would be asked with, and
/// nothing that could name another host than the one that is read here.
fn check_url(url: &str) -> Result<(), CloudError> {
    let rest = url.strip_prefix("https://");
    let rest = rest.or_else(|| url.strip_prefix("http://"));
    let host = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.:[]".contains(&c);
    let path = |c: u8| c.is_ascii_alphanumeric() || b"-._~/%+=,@:".contains(&c);
    let good = rest.is_some_and(|rest| {
        let (at, after) = rest.split_once('/').unwrap_or((rest, ""));
        !at.is_empty() && at.bytes().all(host) && after.bytes().all(path)
    });
    match good && url.len() <= URL_MAX {
        true => Ok(()),
        false => Err(CloudError::Invalid(format!(
            "the URL of an identity provider has at most {URL_MAX} characters: https://, a host in \
             lower case, perhaps a port and a path, and no query"
        ))),
    }
}

fn check_clients(clients: &BTreeSet<String>) -> Result<(), CloudError> {
    let good = |client: &String| {
        (1..=CLIENT_MAX).contains(&client.chars().count()) && !client.chars().any(char::is_control)
    };
    if !clients.iter().all(good) {
        return Err(CloudError::Invalid(format!(
            "a client id has 1 to {CLIENT_MAX} characters"
        )));
    }
    match clients.len() <= CLIENTS_MAX {
        true => Ok(()),
        false => Err(CloudError::Limit(format!(
            "an identity provider has at most {CLIENTS_MAX} client ids"
        ))),
    }
}

fn check_thumbprints(thumbprints: &[String]) -> Result<(), CloudError> {
    let good =
        |text: &String| text.len() == THUMBPRINT_LEN && text.bytes().all(|c| c.is_ascii_hexdigit());
    match thumbprints.len() <= THUMBPRINTS_MAX && thumbprints.iter().all(good) {
        true => Ok(()),
        false => Err(CloudError::Invalid(format!(
            "an identity provider has at most {THUMBPRINTS_MAX} thumbprints, each a SHA-1 in \
             {THUMBPRINT_LEN} hexadecimal digits"
        ))),
    }
}

impl ProviderRecord {
    fn change(&mut self, change: ProviderChange) -> Result<(), CloudError> {
        match change {
            ProviderChange::AddClient(client) => drop(self.clients.insert(client)),
            ProviderChange::RemoveClient(client) => drop(self.clients.remove(&client)),
            ProviderChange::Thumbprints(thumbprints) => self.thumbprints = thumbprints,
            ProviderChange::Tag(tags) => add_tags(&mut self.tags, tags)?,
            ProviderChange::Untag(keys) => remove_tags(&mut self.tags, &keys),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), CloudError> {
        check_url(&self.url)?;
        check_clients(&self.clients)?;
        check_thumbprints(&self.thumbprints)?;
        check_tags(&self.tags)
    }
}

fn no_provider() -> CloudError {
    CloudError::NoEntity("there is no such identity provider".into())
}

fn check_new(state: &State, record: &ProviderRecord) -> Result<(), CloudError> {
    record.check()?;
    let account = &*record.account;
    let found = state.accounts.get(account);
    let found = found.ok_or_else(|| CloudError::NoAccount(AccountId::new(account)))?;
    if !found.caller_kind().keeps_data() {
        return Err(CloudError::Refused(
            "accounts of operators and auditors have no identity providers".into(),
        ));
    }
    if state.providers.at(account, place(&record.url)).is_some() {
        return Err(CloudError::Exists(
            "an identity provider of that URL".into(),
        ));
    }
    match state.providers.of(account).count() < PROVIDERS_MAX {
        true => Ok(()),
        false => Err(CloudError::Limit(format!(
            "an account has at most {PROVIDERS_MAX} identity providers"
        ))),
    }
}

impl Registry {
    /// The identity providers of an account; none where the registry is not kept.
    pub fn providers(&self, account: &AccountId) -> Vec<ProviderInfo> {
        self.state.read().providers.of(account).map(shown).collect()
    }

    /// An identity provider of an account by its ARN.
    pub fn provider_of_arn(&self, account: &AccountId, arn: &str) -> Option<ProviderInfo> {
        let (_, place) = arn.split_once(":oidc-provider/")?;
        let state = self.state.read();
        let found = state.providers.at(account, place);
        found.filter(|found| found.arn() == arn).map(shown)
    }

    /// The identity provider of an account whose tokens have this `iss`.
    pub fn provider_of_issuer(&self, account: &str, issuer: &str) -> Option<ProviderInfo> {
        let state = self.state.read();
        state.providers.of_issuer(account, issuer).map(shown)
    }

    /// Whether some account has an identity provider whose tokens have this `iss`.
    pub fn is_issuer(&self, issuer: &str) -> bool {
        self.state.read().providers.has_issuer(issuer)
    }

    /// Creates an identity provider, whose tokens begin no session yet: a role has to trust it.
    pub async fn create_provider(
        &self,
        actor: &Actor,
        account: &AccountId,
        new: NewProvider,
    ) -> Result<ProviderInfo, CloudError> {
        let turn = self.turn().await;
        let record = {
            let state = self.state.read();
            let record = ProviderRecord {
                v: FORMAT,
                id: self.new_id(ID_PREFIX, |id| state.providers.since(id).is_some()),
                account: account.to_string(),
                url: new.url,
                created_ms: self.clock.now().ms(),
                salt: text(&*self.random, 16, FEW),
                clients: new.clients.into_iter().collect(),
                thumbprints: new.thumbprints,
                tags: new.tags,
            };
            check_new(&state, &record)?;
            record
        };
        let made = shown(&record);
        let draft = provider_draft(actor, "provider.create", &record)?;
        self.change(turn, draft).await?;
        Ok(made)
    }

    /// Changes an identity provider. Takes effect with the answer.
    pub async fn change_provider(
        &self,
        actor: &Actor,
        id: &str,
        change: ProviderChange,
    ) -> Result<ProviderInfo, CloudError> {
        let turn = self.turn().await;
        let before = self.provider_record(id)?;
        let mut record = before.clone();
        let action = change.action();
        record.change(change)?;
        record.check()?;
        let changed = shown(&record);
        if record != before {
            let draft = provider_draft(actor, action, &record)?;
            self.change(turn, draft).await?;
        }
        Ok(changed)
    }

    /// Deletes an identity provider. The sessions that began with its tokens end with it.
    pub async fn delete_provider(&self, actor: &Actor, id: &str) -> Result<(), CloudError> {
        let turn = self.turn().await;
        let record = self.provider_record(id)?;
        let draft = Draft {
            actor: actor.clone(),
            action: "provider.delete",
            subject: id.to_owned(),
            detail: json!({ "account": record.account }),
            rows: vec![RowChange::remove::<ProviderRecord>(id)],
        };
        self.change(turn, draft).await
    }

    fn provider_record(&self, id: &str) -> Result<ProviderRecord, CloudError> {
        let found = self.state.read().providers.get(id).cloned();
        found.ok_or_else(no_provider)
    }
}

fn provider_draft(
    actor: &Actor,
    action: &'static str,
    record: &ProviderRecord,
) -> Result<Draft, CloudError> {
    Ok(Draft {
        actor: actor.clone(),
        action,
        subject: record.id.clone(),
        detail: json!({ "account": record.account }),
        rows: vec![RowChange::put(&record.id, record)?],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_one_host_and_asks_for_nothing() {
        for url in [
            "https://id.example.com",
            "https://id.example.com/",
            "https://id.example.com:8443/realms/Team_1",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/a",
        ] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "id.example.com",
            "https://",
            "https:///path",
            "ftp://id.example.com",
            "HTTPS://id.example.com",
            "https://ID.example.com",
            "https://user@id.example.com",
            "https://id.example.com?x=1",
            "https://id.example.com/a?x=1",
            "https://id.example.com/a#b",
            "https://id.example.com\\@other",
            "https://id.example.com/a b",
            "https://id.example.com/\u{e9}",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
        assert!(check_url(&format!("https://a/{}", "x".repeat(255))).is_err());
    }
}
