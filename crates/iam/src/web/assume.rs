//! `AssumeRoleWithWebIdentity`: a request that nobody signs. The token is all that there is, so
//! nothing is said of providers, roles and tokens before it was verified, and all tokens that do
//! not count are answered alike. The account is asked about only after the signature was verified:
//! until then the same is done, and takes as long, whichever account the request names.

use std::sync::Arc;

use access::policy::{self, ActionName, Decision, Documents, Principal, Request, Target};
use cloud::{Assumable, Grant, GrantOf, ProviderInfo, Registry};

use super::{
    Issuers, KeySet,
    jws::{Claims, Fault, Unverified},
};
use crate::{
    Conditions, Form, IamError, Row,
    answer::{Answer, Api, Node, invalid},
    call::Done,
    sts::{
        NO_ANSWER, ROLE_S, VERSION, assumed, credentials, denied, named, seconds, session_policies,
        too_large,
    },
};

/// The action's name.
pub(crate) const ACTION: &str = "AssumeRoleWithWebIdentity";
/// The fields of its form.
pub(crate) static ROW: Row = Row {
    name: ACTION,
    fields: &[
        "RoleArn",
        "RoleSessionName",
        "WebIdentityToken",
        "DurationSeconds",
        "Policy",
    ],
    lists: &["PolicyArns"],
};
/// How far the clocks of a provider may be from ours, in seconds.
const SKEW_S: u64 = 60;
/// Characters of a subject.
const SUBJECT: std::ops::RangeInclusive<usize> = 1..=255;

fn bad() -> IamError {
    IamError::new(
        "InvalidIdentityToken",
        400,
        "the token is none of an identity provider of this account, or is not for it",
    )
}

/// Whom a token is for, as policies see it.
fn audiences(claims: &Claims, provider: &ProviderInfo) -> Option<Vec<String>> {
    let is_ours = |client: &&String| {
        provider.clients.contains(*client) || types::planted("tokens-for-anybody")
    };
    let ours: Vec<String> = claims.audiences.iter().filter(is_ours).cloned().collect();
    if ours.is_empty() {
        return None;
    }
    match &claims.party {
        None => Some(ours),
        // Who asked for it must be one of ours as well.
        Some(party) if is_ours(&party) => Some(vec![party.clone()]),
        Some(_) => None,
    }
}

/// Whether a token that was verified counts now.
fn check(claims: &Claims, provider: &ProviderInfo, now: u64) -> Result<Vec<String>, IamError> {
    let of_it = claims.issuer == provider.url;
    if !of_it || !SUBJECT.contains(&claims.subject.chars().count()) {
        return Err(bad());
    }
    let audiences = audiences(claims, provider).ok_or_else(bad)?;
    let begun = claims.not_before.unwrap_or_default().max(claims.issued);
    if begun > now + SKEW_S {
        return Err(bad());
    }
    if claims.expires.saturating_add(SKEW_S) <= now {
        let why = "the token has expired: get a new one of the identity provider";
        return Err(IamError::new("ExpiredTokenException", 400, why));
    }
    if claims.gives_more {
        return Err(invalid(
            "the token gives tags or a source identity to the session, which is not implemented",
        ));
    }
    Ok(audiences)
}

/// A request, whose sender is not known.
pub(crate) struct Web<'a> {
    pub registry: &'a Registry,
    pub issuers: &'a dyn Issuers,
    pub conditions: Conditions<'a>,
    pub form: &'a Form,
    /// How many entries the audit log had when the request came.
    pub begun: u64,
}

impl Web<'_> {
    pub(crate) async fn act(&self) -> Result<Answer, IamError> {
        if self.form.get("Version").is_some_and(|own| own != VERSION) {
            return Err(invalid(&format!("the version is {VERSION}")));
        }
        self.form.check(ROW.fields, ROW.lists)?;
        let result = self.assume().await;
        result.map(|result| Answer::of(Api::Sts, ACTION, result))
    }

    async fn assume(&self) -> Done {
        let arn = self.form.need("RoleArn")?;
        let name = self.form.need("RoleSessionName")?;
        let name = named(name, "RoleSessionName", 2..=64)?;
        let account = arn.strip_prefix("arn:aws:iam::");
        let account = account.and_then(|rest| rest.split_once(":role/"));
        let account = account
            .ok_or_else(|| invalid("RoleArn is the ARN of a role"))?
            .0;
        let (claims, provider) = self.verified(account).await?;
        let audiences = check(&claims, &provider, self.conditions.now.s())?;
        // From here on it is somebody whom the account's own provider vouches for.
        let role = self.registry.assumable(arn);
        let trusted = role.filter(|role| self.is_trusted(role, (&provider, &claims), &audiences));
        let role =
            trusted.ok_or_else(|| denied(format!("Not authorized to perform sts:{ACTION}")))?;
        let policies = session_policies(self.registry, &role.account, self.form)?;
        let made = self.registry.issue_session(Grant {
            account: role.account.clone(),
            of: GrantOf::Role(role.id.clone()),
            name: name.to_owned(),
            tags: Default::default(),
            transitive: Vec::new(),
            source_identity: None,
            policies,
            parent: provider.id.clone(),
            parent_account: role.account.clone(),
            provider: Some(provider.arn.clone()),
            begun: self.begun,
            chained: false,
            seconds: seconds(self.form, ROLE_S, role.max_session_s)?,
        });
        let made = made.map_err(too_large)?;
        let audience = audiences.into_iter().next().unwrap_or_default();
        Ok(Some(Node::Fields(vec![
            ("Credentials", credentials(&made)),
            ("SubjectFromWebIdentityToken", claims.subject.into()),
            ("AssumedRoleUser", assumed(&role, name)),
            ("PackedPolicySize", made.packed.to_string().into()),
            ("Provider", provider.arn.into()),
            ("Audience", audience.into()),
        ])))
    }

    /// What the token says, once a key of a provider of the account has verified it.
    async fn verified(&self, account: &str) -> Result<(Claims, ProviderInfo), IamError> {
        let token = self.form.need("WebIdentityToken")?;
        let token = Unverified::read(token).ok_or_else(bad)?;
        let issuer = token.issuer();
        if !self.registry.is_issuer(issuer) {
            return Err(bad());
        }
        let keys = self.keys(issuer, None).await?;
        let verified = match token.verify(&keys) {
            Err(Fault::UnknownKey) => token.verify(&*self.keys(issuer, Some(&keys)).await?),
            verified => verified,
        };
        let claims = verified.map_err(|_| bad())?;
        let provider = self.registry.provider_of_issuer(account, issuer);
        let provider = provider.ok_or_else(bad)?;
        Ok((claims, provider))
    }

    async fn keys(
        &self,
        issuer: &str,
        beyond: Option<&Arc<KeySet>>,
    ) -> Result<Arc<KeySet>, IamError> {
        let keys = self.issuers.keys(issuer, beyond).await;
        keys.map_err(|why| {
            tracing::warn!(issuer, %why, "the keys of a provider cannot be had");
            IamError::new(
                NO_ANSWER,
                400,
                "the keys of the identity provider cannot be had now: try again",
            )
        })
    }

    /// Whether the role's trust policy lets whom the token is about have the role.
    fn is_trusted(
        &self,
        role: &Assumable,
        (provider, claims): (&ProviderInfo, &Claims),
        audiences: &[String],
    ) -> bool {
        let key = |name: &str| format!("{}:{name}", provider.place);
        let (aud, sub, amr) = (key("aud"), key("sub"), key("amr"));
        let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
        let methods: Vec<&str> = claims.methods.iter().map(String::as_str).collect();
        let subject = [&*claims.subject];
        let mut all: Vec<(&str, &[&str])> = vec![(&aud, &audiences), (&sub, &subject)];
        if !methods.is_empty() {
            all.push((&amr, &methods));
        }
        let tags: Vec<(&str, &str)> = role.tags.iter().map(|(k, v)| (&**k, &**v)).collect();
        let how = &self.conditions;
        let duration = self.form.get("DurationSeconds");
        let conditions = policy::Conditions {
            current_time: Some(how.now),
            source_ip: how.source,
            secure_transport: Some(how.tls),
            user_agent: how.user_agent,
            requested_region: Some(how.region),
            role_session_name: self.form.get("RoleSessionName"),
            duration_seconds: duration.and_then(|text| text.parse().ok()),
            request_tags: Some(&[]),
            resource_tags: Some(&tags),
            claims: &all,
            ..policy::Conditions::default()
        };
        let action = format!("sts:{ACTION}");
        let request = Request {
            principal: &Principal::WebIdentity {
                provider: &provider.arn,
            },
            action: ActionName::parse(&action),
            target: Target::Arn(&role.arn),
            conditions: &conditions,
        };
        let documents = Documents {
            owner: &role.account,
            resource: Some(&role.trust),
            ..Documents::default()
        };
        let decision: Decision = policy::decide(&request, &documents);
        if !decision.is_allowed() {
            tracing::info!(
                role = role.id,
                provider = provider.id,
                ?decision,
                "a token was refused"
            );
        }
        decision.is_allowed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn provider() -> ProviderInfo {
        ProviderInfo {
            id: "OIDPONE".into(),
            url: "https://id.example.com".into(),
            place: "id.example.com".into(),
            arn: "arn:aws:iam::000000000001:oidc-provider/id.example.com".into(),
            created_ms: 1,
            clients: ["app", "web"].map(str::to_owned).into(),
            thumbprints: Vec::new(),
            tags: Default::default(),
        }
    }

    fn claims() -> Claims {
        Claims {
            issuer: "https://id.example.com".into(),
            subject: "someone".into(),
            audiences: vec!["app".into()],
            party: None,
            expires: NOW + 600,
            not_before: None,
            issued: NOW,
            methods: Vec::new(),
            gives_more: false,
        }
    }

    fn code(claims: &Claims) -> Result<Vec<String>, &'static str> {
        check(claims, &provider(), NOW).map_err(|error| error.code)
    }

    #[test]
    fn a_token_is_for_a_client_that_is_registered() {
        let of = |all: &[&str], party: Option<&str>| Claims {
            audiences: all.iter().map(|one| (*one).to_owned()).collect(),
            party: party.map(str::to_owned),
            ..claims()
        };
        let ours = |all: &[&str]| Ok(all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        for (all, party, expected) in [
            (&["app"][..], None, ours(&["app"])),
            (&["other", "web", "app"], None, ours(&["web", "app"])),
            (&["app"], Some("web"), ours(&["web"])),
            (&["app"], Some("other"), Err("InvalidIdentityToken")),
            (&["other"], Some("app"), Err("InvalidIdentityToken")),
            (&["other"], None, Err("InvalidIdentityToken")),
            (&["App"], None, Err("InvalidIdentityToken")),
            (&["app "], None, Err("InvalidIdentityToken")),
            (&[""], None, Err("InvalidIdentityToken")),
            (&[], None, Err("InvalidIdentityToken")),
        ] {
            assert_eq!(code(&of(all, party)), expected, "{all:?} {party:?}");
        }
    }

    #[test]
    fn a_token_counts_from_its_issue_to_its_end() {
        let at = |issued: u64, not_before: Option<u64>, expires: u64| Claims {
            issued,
            not_before,
            expires,
            ..claims()
        };
        for (one, expected) in [
            (at(NOW + 60, None, NOW + 600), None),
            (at(NOW + 61, None, NOW + 600), Some("InvalidIdentityToken")),
            (at(0, Some(NOW + 60), NOW + 600), None),
            (
                at(0, Some(NOW + 61), NOW + 600),
                Some("InvalidIdentityToken"),
            ),
            (at(0, None, NOW - 59), None),
            (at(0, None, NOW - 60), Some("ExpiredTokenException")),
            (at(0, None, 0), Some("ExpiredTokenException")),
            (at(0, None, u64::MAX), None),
        ] {
            assert_eq!(code(&one).err(), expected, "{one:?}");
        }
    }

    #[test]
    fn a_token_is_of_the_provider_and_about_somebody() {
        for issuer in [
            "https://id.example.com/",
            "http://id.example.com",
            "id.example.com",
            "",
        ] {
            let one = Claims {
                issuer: issuer.into(),
                ..claims()
            };
            assert_eq!(code(&one), Err("InvalidIdentityToken"), "{issuer}");
        }
        for subject in [String::new(), "s".repeat(256)] {
            let one = Claims {
                subject,
                ..claims()
            };
            assert_eq!(code(&one), Err("InvalidIdentityToken"));
        }
    }
}
