//! Single sign-on of the console: its identity providers as the configuration names them.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use admin::failure::Failure;
use console::{Provider, RoleOf};
use iam::Issuers as _;
use serde::Deserialize;

use crate::issuers::{Client, Fetched, StsConfig};

/// Providers of one console.
const PROVIDERS_MAX: usize = 8;
/// How long sessions of roles can be, in seconds (STS).
const SESSION_S: std::ops::RangeInclusive<u64> = 900..=43_200;

/// An identity provider where people sign in to the console.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// What its button says.
    pub name: String,
    /// Its URL, as its tokens name it; its origin is one of `sts.oidc_allow`.
    pub issuer: String,
    /// What the console is called there.
    pub client_id: String,
    /// A file with the secret that the console has there; without it the console has none.
    pub client_secret_file: Option<PathBuf>,
    /// The ARN of the role that everybody gets.
    pub role: Option<String>,
    /// The claim of the ID token that names the role instead.
    pub role_claim: Option<String>,
    /// The claim that names sessions.
    #[serde(default = "subject")]
    pub name_claim: String,
    /// What is asked for.
    #[serde(default = "openid")]
    pub scopes: Vec<String>,
    /// How long sessions last.
    pub session_s: Option<u64>,
}

fn subject() -> String {
    "sub".to_owned()
}

fn openid() -> Vec<String> {
    vec!["openid".to_owned()]
}

fn wrong(what: impl std::fmt::Display) -> Failure {
    Failure::new(format!("[[console.oidc]]: {what}"))
}

impl ProviderConfig {
    /// What the types cannot say, of all providers.
    ///
    /// # Errors
    /// What is wrong, and with which.
    pub fn check_all(all: &[Self], sts: &StsConfig) -> Result<(), Failure> {
        if all.len() > PROVIDERS_MAX {
            return Err(wrong(format!("at most {PROVIDERS_MAX} providers")));
        }
        let allowed = Fetched::new(sts);
        for (n, one) in all.iter().enumerate() {
            let name = one.name.escape_default();
            if one.name.trim().is_empty() || one.name.chars().count() > 64 {
                return Err(wrong("`name` has 1 to 64 characters"));
            }
            let part = one.provider()?.path_part();
            let same = |other: &Self| other.provider().is_ok_and(|own| own.path_part() == part);
            if all.iter().take(n).any(same) {
                return Err(wrong(format!(
                    "two providers are called {name}, or have names that differ in case or marks \
                     alone"
                )));
            }
            let no_keys = |why: iam::NoKeys| wrong(format!("{name}: {why}"));
            allowed.check(&one.issuer).map_err(no_keys)?;
            if one.client_id.is_empty() {
                return Err(wrong(format!("{name}: `client_id` is empty")));
            }
            if !one.scopes.iter().any(|scope| scope == "openid") {
                return Err(wrong(format!("{name}: `openid` is missing in `scopes`")));
            }
            if one.session_s.is_some_and(|s| !SESSION_S.contains(&s)) {
                return Err(wrong(format!("{name}: `session_s` is 900 to 43200")));
            }
        }
        Ok(())
    }

    fn role_of(&self) -> Result<RoleOf, Failure> {
        let name = self.name.escape_default();
        match (&self.role, &self.role_claim) {
            (Some(arn), None) if arn.starts_with("arn:aws:iam::") && arn.contains(":role/") => {
                Ok(RoleOf::All(arn.clone()))
            }
            (Some(_), None) => Err(wrong(format!("{name}: `role` is the ARN of a role"))),
            (None, Some(claim)) if !claim.is_empty() => Ok(RoleOf::Claim(claim.clone())),
            _ => Err(wrong(format!("{name}: name either `role` or `role_claim`"))),
        }
    }

    /// As the console has it.
    ///
    /// # Errors
    /// It names no role.
    pub fn provider(&self) -> Result<Provider, Failure> {
        Ok(Provider {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            scopes: self.scopes.clone(),
            role: self.role_of()?,
            name_claim: self.name_claim.clone(),
            seconds: self.session_s,
        })
    }
}

/// What redeems codes: each client with its secret, which nothing else gets.
pub struct Clients(Vec<Own>);

struct Own {
    issuer: String,
    id: String,
    secret: Option<String>,
}

impl Clients {
    /// Reads the secrets.
    ///
    /// # Errors
    /// A file cannot be read, is empty, or others may read it.
    pub fn read(all: &[ProviderConfig]) -> Result<Self, Failure> {
        let own = all.iter().map(|one| {
            let secret = one.client_secret_file.as_deref().map(read_secret);
            Ok(Own {
                issuer: one.issuer.clone(),
                id: one.client_id.clone(),
                secret: secret.transpose()?,
            })
        });
        own.collect::<Result<_, Failure>>().map(Self)
    }

    /// The issuer of one, and what the console is there.
    pub fn nth(&self, nth: usize) -> Option<(&str, Client<'_>)> {
        let own = self.0.get(nth)?;
        let client = Client {
            id: &own.id,
            secret: own.secret.as_deref(),
        };
        Some((&own.issuer, client))
    }
}

fn read_secret(path: &Path) -> Result<String, Failure> {
    let at = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|e| wrong(format!("cannot read the secret in {at}: {e}")))?;
    let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        let why = format!("{at} holds a secret, and others may read it");
        return Err(wrong(why).hint(format!("chmod 600 {at}")));
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(wrong(format!("{at} is empty"))),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(changes: &str) -> Result<(), String> {
        let text = format!(
            "name = 'acme'\nissuer = 'https://id.example.com'\nclient_id = 'dhow'\n{changes}"
        );
        let read: Result<ProviderConfig, _> = toml::from_str(&text);
        let read = read.map_err(|error| error.message().to_owned())?;
        let sts = StsConfig {
            oidc_allow: vec!["https://id.example.com".into()],
            oidc_ca: None,
        };
        let checked = ProviderConfig::check_all(&[read], &sts);
        checked.map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_provider_names_one_way_to_a_role() {
        let role = "role = 'arn:aws:iam::123456789012:role/console'";
        assert_eq!(one(role), Ok(()));
        assert_eq!(one("role_claim = 'dhow_role'"), Ok(()));
        for (bad, why) in [
            ("", "either `role`"),
            ("role = 'console'", "the ARN of a role"),
            (&format!("{role}\nrole_claim = 'x'"), "either `role`"),
            (&format!("{role}\nscopes = ['email']"), "`openid`"),
            (&format!("{role}\nsession_s = 60"), "`session_s`"),
            (&format!("{role}\nsecret = 'x'"), "secret"),
        ] {
            let said = one(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn a_providers_origin_is_allowed_by_the_operator() {
        let config = ProviderConfig {
            name: "acme".into(),
            issuer: "https://id.example.org".into(),
            client_id: "dhow".into(),
            client_secret_file: None,
            role: None,
            role_claim: Some("role".into()),
            name_claim: subject(),
            scopes: openid(),
            session_s: None,
        };
        let said = ProviderConfig::check_all(&[config], &StsConfig::default());
        assert!(said.unwrap_err().to_string().contains("oidc_allow"));
    }
}
