//! Why documents refused a request, as text that is sealed: the client takes it to STS, which shows
//! it to who may know (DecodeAuthorizationMessage).

use access::{
    Ask, Denied, Refusal, Resource, SessionOf, Who,
    policy::{Decision, Source, Target},
};
use serde_json::json;
use std::sync::Arc;
use types::{BucketDeed, Timestamp, text::shown};

use crate::{documents, fault::Fault, server::Gateway};

/// Characters of the resource, and of a statement's name.
const RESOURCE_MAX: usize = 500;
const SID_MAX: usize = 128;

/// What a statement that denies is in: the kind, and which one of the caller's it is.
fn document(source: Source) -> (&'static str, usize) {
    match source {
        Source::Guard => ("service control policy", 0),
        Source::Resource => ("resource-based policy", 0),
        Source::Identity(n) => ("identity-based policy", n),
        Source::Boundary => ("permissions boundary", 0),
        Source::Session(n) => ("session policy", n),
    }
}

fn target<'a>(resource: Resource<'a>) -> Target<'a> {
    match resource {
        Resource::Service => Target::Service,
        Resource::Bucket(bucket) | Resource::Keys { bucket, .. } => Target::Bucket(bucket),
        Resource::Object { bucket, key, .. } => Target::Object { bucket, key },
    }
}

fn id(who: &Who) -> &str {
    match who {
        Who::Root => "",
        Who::User(user) => &user.id,
        Who::Session(session) => match &session.of {
            SessionOf::Root | SessionOf::Federated(None) => "",
            SessionOf::User(user) | SessionOf::Federated(Some(user)) => &user.id,
            SessionOf::Role(role) => &role.id,
        },
    }
}

/// The reason, for a caller whose account owns all documents that it names.
fn text(ask: &Ask<'_>, denied: Denied, at: Timestamp) -> Option<String> {
    let Denied { action, decision } = denied;
    let (account, who) = (ask.principal.account()?, ask.principal.who()?);
    let why = decision.reason(&action.into())?;
    let mut told = json!({
        "account": &**account,
        "principal": who.arn(account),
        "id": id(who),
        "action": action.name(),
        "resource": shown(&target(ask.resource).to_string(), RESOURCE_MAX),
        "explicit": false,
        "reason": why,
        "at_ms": at.ms(),
    });
    if let Decision::ExplicitDeny(found) = decision {
        let (source, n) = document(found.document);
        let named = match found.document {
            Source::Identity(n) => who.policies().get(n),
            Source::Boundary => who.boundary(),
            Source::Session(n) => who.sessions().get(n),
            Source::Guard => ask.principal.guard().document(),
            Source::Resource => None,
        };
        let sid = named.and_then(|document| document.sid(found.statement));
        told["explicit"] = true.into();
        told["source"] = source.into();
        told["document"] = n.into();
        told["statement"] = found.statement.into();
        told["sid"] = sid.map(|sid| shown(sid, SID_MAX).into_owned()).into();
    }
    Some(told.to_string())
}

impl Gateway {
    /// The refusal of a request. Whom documents of their own account refuse gets the reason with
    /// it, sealed. Strangers get none, so refusing them costs nothing more.
    pub(crate) fn refused(
        &self,
        ask: &Ask<'_>,
        deed: Option<&Arc<BucketDeed>>,
        refusal: Refusal,
    ) -> Fault {
        let error = documents::refused(ask, deed, refusal);
        let Refusal::Policy(denied) = refusal else {
            return error;
        };
        let own = documents::is_own(ask, deed);
        let text = || text(ask, denied, self.clock.now()).filter(|_| own);
        let sealed = self
            .regions
            .as_ref()
            .and_then(|regions| regions.seal_reason(&text()?));
        match sealed {
            Some(message) => error.detail("EncodedMessage", message),
            None => error,
        }
    }
}
