//! What a region said of a refusal, for who may know it.

use access::SessionOf;
use serde::Deserialize;
use serde_json::{Value, json};
use types::{RegionId, Timestamp};

use super::{Call, denied};
use crate::{IamError, answer::Node, call::Done};

const ACTION: &str = "sts:DecodeAuthorizationMessage";

/// Why a region refused a request, in its words.
#[derive(Deserialize)]
struct Reason {
    /// The account of the caller, which is also that of all documents that are named.
    account: String,
    principal: String,
    /// The unique id of the user or role.
    #[serde(default)]
    id: String,
    action: String,
    resource: String,
    /// Whether a statement denies it.
    explicit: bool,
    reason: String,
    /// Which kind of document has the statement, which one of the caller's, and its place in it.
    #[serde(default)]
    source: String,
    #[serde(default)]
    document: usize,
    #[serde(default)]
    statement: usize,
    #[serde(default)]
    sid: Option<String>,
    at_ms: u64,
}

impl Call<'_> {
    pub(super) fn decode_authorization_message(&self) -> Done {
        let message = self.form.need("EncodedMessage")?;
        let of = self.session().map(|session| &session.of);
        if of.is_some_and(|of| !matches!(of, SessionOf::Role(_))) {
            return Err(denied(
                "sessions by GetSessionToken and GetFederationToken do not decode: sign with a \
                 long-term key, or with a session of a role",
            ));
        }
        let account = self.caller.account;
        let documents = self.own_documents(account);
        self.may(ACTION, "*", (&self.conditions(), documents))?;
        let opened = self.registry.open_reason(message);
        let told = opened.and_then(|(region, text)| {
            let reason: Reason = serde_json::from_str(&text).ok()?;
            Some((region, reason))
        });
        let own = |(_, reason): &(RegionId, Reason)| *reason.account == **account;
        // Of another account's one does not learn that it is one.
        let Some((region, reason)) = told.filter(own) else {
            return Err(IamError::new(
                "InvalidAuthorizationMessageException",
                400,
                "The message is none of this account, was changed, or is too old.",
            ));
        };
        let decoded = self.shown(&region, &reason).to_string();
        Ok(Some(Node::Fields(vec![("DecodedMessage", decoded.into())])))
    }

    /// As AWS's services show it, with what they do not.
    fn shown(&self, region: &RegionId, reason: &Reason) -> Value {
        let mut matched = Vec::new();
        if reason.explicit {
            matched.push(json!({
                "statementId": reason.sid,
                "statement": reason.statement,
                "effect": "DENY",
                "source": reason.source,
                "policy": self.policy_of(reason),
            }));
        }
        json!({
            "allowed": false,
            "explicitDeny": reason.explicit,
            "reason": reason.reason,
            "matchedStatements": {"items": matched},
            "failures": {"items": []},
            "context": {
                "principal": {"id": reason.id, "arn": reason.principal},
                "action": reason.action,
                "resource": reason.resource,
                "conditions": {"items": []},
                "region": &**region,
                "time": Timestamp::from_ms(reason.at_ms).iso8601(),
            },
        })
    }

    /// The name of the document that decided, as the caller's documents are now.
    fn policy_of(&self, reason: &Reason) -> Option<String> {
        let registry = self.registry;
        let user = registry.user(&reason.id).map(|user| user.account);
        let role = || registry.told_of_role(&reason.id);
        let told = match user {
            Some(account) if account == reason.account => registry.told_of_user(&reason.id),
            Some(_) => None,
            None => role().filter(|_| self.is_own_role(&reason.id)),
        };
        let told = told?;
        match &*reason.source {
            "identity-based policy" => Some(told.policies.get(reason.document)?.name.clone()),
            "permissions boundary" => Some(told.boundary?.name),
            _ => None,
        }
    }

    fn is_own_role(&self, id: &str) -> bool {
        let roles = self.registry.roles(self.caller.account);
        roles.iter().any(|role| role.id == id)
    }
}
