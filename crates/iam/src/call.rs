//! One request: who sends it, what it says, and whether it is allowed.

use std::{collections::BTreeMap, net::IpAddr};

use access::{GuardPolicy, SessionOf, Who, policy};
use cloud::{Registry, UserInfo};
use types::{AccessKeyId, AccountId, Actor, Timestamp};

use crate::{
    Form, IamError,
    answer::{Node, missing},
    comparing::Comparing,
};

/// Who sends a request, once its signature has been verified.
pub struct Caller<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// Who of the account.
    pub who: &'a Who,
    /// The account's guard policy.
    pub guard: &'a GuardPolicy,
    /// For the audit log.
    pub actor: &'a Actor,
    /// What policies may ask about.
    pub conditions: Conditions<'a>,
}

impl Caller<'_> {
    /// Refuses the sessions that may not change identities at all, whatever policies say: what
    /// `GetSessionToken` and `GetFederationToken` give would outlive what it was given for.
    pub(crate) fn check_session(&self) -> Result<(), IamError> {
        let of = match self.who {
            Who::Root | Who::User(_) => return Ok(()),
            Who::Session(session) => &session.of,
        };
        match of {
            SessionOf::Role(_) => Ok(()),
            SessionOf::Root | SessionOf::User(_) | SessionOf::Federated(_) => Err(IamError::new(
                "AccessDenied",
                403,
                "sessions by GetSessionToken and GetFederationToken do not use IAM: sign with a \
                 long-term key, or with a session of a role",
            )),
        }
    }
}

/// What is known of how a request came.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// When its head was there.
    pub now: Timestamp,
    /// The client's address.
    pub source: Option<IpAddr>,
    /// Whether the connection has TLS.
    pub tls: bool,
    /// The client's name for itself.
    pub user_agent: Option<&'a [u8]>,
    /// The region that was called.
    pub region: &'a str,
}

/// What a request says about what it is on, for conditions.
#[derive(Default)]
pub(crate) struct About<'a> {
    /// The tags that it gives.
    pub given: Option<&'a BTreeMap<String, String>>,
    /// The tags that the target has.
    pub has: Option<&'a BTreeMap<String, String>>,
    /// The managed policy that it attaches or detaches.
    pub policy: Option<&'a str>,
    /// The boundary that it sets.
    pub boundary: Option<&'a str>,
}

pub(crate) type Done = Result<Option<Node>, IamError>;

pub(crate) struct Call<'a> {
    pub registry: &'a Registry,
    pub kept: Option<&'a AccessKeyId>,
    pub caller: &'a Caller<'a>,
    pub form: &'a Form,
    pub action: &'static str,
    /// What simulations may compare.
    pub comparing: &'a Comparing,
}

impl Call<'_> {
    /// Whether the caller may do the action on what has this ARN, which the caller has named.
    pub fn may(&self, arn: &str, about: &About<'_>) -> Result<(), IamError> {
        self.may_to((arn, about), (arn, arn, about))
    }

    /// Whether the caller may create what has this ARN, and give it the tags that come with it:
    /// that is an action of its own, `tag` ("Actions, resources, and condition keys for AWS
    /// Identity and Access Management (IAM)", dependent actions).
    pub fn may_create(
        &self,
        arn: &str,
        about: &About<'_>,
        tag: &'static str,
    ) -> Result<(), IamError> {
        self.may(arn, about)?;
        match about.given {
            Some(tags) if !tags.is_empty() => self.may_do(tag, (arn, about), (arn, arn, about)),
            _ => Ok(()),
        }
    }

    /// Whether the caller may do the action on what has this ARN. Of what the caller has named by
    /// less than the ARN, a refusal says no more than of the same `named` at the path `/`, which
    /// need not be there: neither whether it is, nor where.
    pub fn may_to(
        &self,
        target: (&str, &About<'_>),
        named: (&str, &str, &About<'_>),
    ) -> Result<(), IamError> {
        self.may_do(self.action, target, named)
    }

    fn may_do(
        &self,
        action: &str,
        (arn, about): (&str, &About<'_>),
        (plain, named, of_plain): (&str, &str, &About<'_>),
    ) -> Result<(), IamError> {
        let (who, account) = (self.caller.who, self.caller.account);
        let name = ["iam:", action].concat();
        if self.decides(&name, arn, about).is_ok() {
            return Ok(());
        }
        tracing::info!(?who, action = name, "an IAM request was refused");
        let action = policy::ActionName::parse(&name);
        let told = policy::Target::Arn(named);
        let why = match self.decides(&name, plain, of_plain) {
            Err(decision) => who.sentence(account, action, told, &decision),
            Ok(()) => who.sentence_without_reason(account, action, told),
        };
        Err(IamError::new("AccessDenied", 403, why))
    }

    fn decides(&self, name: &str, arn: &str, about: &About<'_>) -> Result<(), policy::Decision> {
        let given = about.given.map(pairs).unwrap_or_default();
        let has = about.has.map(pairs).unwrap_or_default();
        let how = &self.caller.conditions;
        let conditions = policy::Conditions {
            current_time: Some(how.now),
            source_ip: how.source,
            secure_transport: Some(how.tls),
            user_agent: how.user_agent,
            requested_region: Some(how.region),
            request_tags: Some(&given),
            resource_tags: Some(&has),
            policy_arn: about.policy,
            permissions_boundary: about.boundary,
            ..policy::Conditions::default()
        };
        let action = policy::ActionName::parse(name);
        let target = policy::Target::Arn(arn);
        let of = (self.caller.account, self.caller.guard);
        self.caller.who.decide(of, action, target, &conditions)
    }

    /// Whether the account itself may do the action on itself.
    pub fn may_on_account(&self) -> Result<(), IamError> {
        let arn = format!("arn:aws:iam::{}:root", self.caller.account);
        self.may(&arn, &About::default())
    }

    /// The ARN of a user who may not be there.
    pub fn user_arn(&self, path: &str, name: &str) -> String {
        let account = self.caller.account;
        format!("arn:aws:iam::{account}:user{path}{name}")
    }

    /// The user that the form names, or the caller if it names none, once the caller may do the
    /// action on them. Who may not does not learn whether there is such a user.
    pub fn user(&self, about: &About<'_>) -> Result<UserInfo, IamError> {
        let found = match (self.form.get("UserName"), self.caller.who) {
            (Some(name), _) => {
                let found = self.registry.user_named(self.caller.account, name);
                // As IAM: what is asked for by a name has just that name.
                found.filter(|found| found.name == name).ok_or(name)
            }
            (None, Who::User(user)) => self.registry.user(&user.id).ok_or(&*user.name),
            (None, Who::Root | Who::Session(_)) => {
                return Err(crate::answer::invalid(
                    "the field UserName is missing: who asks is no user",
                ));
            }
        };
        let name = match &found {
            Ok(user) => user.name.as_str(),
            Err(name) => name,
        };
        let plain = self.user_arn("/", name);
        let named = format!("user {}", types::text::shown(name, 64));
        let of_plain = (&*plain, &*named, about);
        match found {
            Ok(user) => {
                let about = About {
                    has: Some(&user.tags),
                    // What is set counts, else what there is.
                    boundary: about.boundary.or(user.boundary.as_deref()),
                    ..*about
                };
                self.may_to((&user.arn, &about), of_plain)?;
                Ok(user)
            }
            Err(name) => {
                self.may_to((&plain, about), of_plain)?;
                let name = types::text::shown(name, 64);
                Err(missing(format!(
                    "The user with name {name} cannot be found."
                )))
            }
        }
    }
}

fn pairs(tags: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    tags.iter().map(|(key, value)| (&**key, &**value)).collect()
}
