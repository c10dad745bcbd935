//! Sessions: credentials that end by themselves, which a principal was given by STS. What a
//! session may do is never more than what whom it is of may do.

use std::{fmt, sync::Arc};

use types::{AccountId, Timestamp};

use crate::{
    User,
    policy::{self, Conditions, Document, DocumentKind, Principal, UserRef},
    user::Policies,
};

/// A token that a client shows with a session's key. It says nothing to who logs it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(Arc<str>);

impl SessionToken {
    /// As it came.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// For whoever opens it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// It is none, was changed, is not for this region, or is another key's.
    Invalid,
    /// Its time is over.
    Expired,
    /// The key that it was sealed with is not here any more.
    Outdated,
}

/// A role of an account, as a region decides by it.
#[derive(Debug)]
pub struct Role {
    /// Its unique id, `AROA…`, which is never given again.
    pub id: String,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Its name, unique among the account's roles.
    pub name: String,
    /// `/`, or words between slashes.
    pub path: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// What it may do.
    pub policies: Policies,
}

/// Whose session it is.
#[derive(Debug, Clone)]
pub enum SessionOf {
    /// Of the account itself, by `GetSessionToken`.
    Root,
    /// Of a user, by `GetSessionToken`.
    User(Arc<User>),
    /// Of a role.
    Role(Arc<Role>),
    /// By `GetFederationToken` of a user, or of the account itself.
    Federated(Option<Arc<User>>),
}

/// A session, as a region decides by it.
#[derive(Debug)]
pub struct Session {
    /// Its access key, which no other session has.
    pub id: String,
    /// Whose it is.
    pub of: SessionOf,
    /// Its name; empty for one by `GetSessionToken`.
    pub name: String,
    /// The tags that it was given, and those of its role.
    pub tags: Vec<(String, String)>,
    /// Those that it was given.
    pub given: Vec<(String, String)>,
    /// The keys of tags that go on to sessions that it asks for.
    pub transitive: Vec<String>,
    /// Who is behind it, as was said when it began.
    pub source_identity: Option<String>,
    /// When it was given.
    pub issued: Timestamp,
    /// The long-term key with which it began, or the unique id of the identity provider.
    pub parent: String,
    /// The account of that key.
    pub parent_account: AccountId,
    /// The ARN of the identity provider whose token was shown for it.
    pub provider: Option<String>,
    /// Whether a role's session asked for it.
    pub chained: bool,
    /// What bounds it.
    pub policies: SessionPolicies,
}

/// The policies that bound a session, compiled. They are made once for a token.
#[derive(Debug, Clone, Default)]
pub struct SessionPolicies {
    documents: Vec<Document>,
    wants_existing_tags: bool,
}

impl SessionPolicies {
    /// Compiles the texts. One that cannot be compiled takes all rights away.
    pub fn compile<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let mut wants_existing_tags = false;
        let read = |text: &str| {
            wants_existing_tags |= policy::may_want_existing_tags(text);
            let read = Document::parse(text, DocumentKind::Session);
            read.unwrap_or_else(|_| Document::unreadable(DocumentKind::Session))
        };
        let documents = texts.map(read).collect();
        Self {
            documents,
            wants_existing_tags,
        }
    }
}

impl Session {
    /// As policies name it. `tags` are [`Self::tags`] as pairs.
    pub(crate) fn principal<'a>(
        &'a self,
        account: &'a str,
        tags: &'a [(&'a str, &'a str)],
    ) -> Principal<'a> {
        match &self.of {
            SessionOf::Root => Principal::Root { account },
            SessionOf::User(user) => user.principal(tags),
            SessionOf::Role(role) => Principal::RoleSession {
                account: &role.account,
                path: &role.path,
                role: &role.name,
                id: &role.id,
                session: &self.name,
                provider: self.provider.as_deref(),
                tags,
            },
            SessionOf::Federated(user) => Principal::Federated {
                account,
                name: &self.name,
                user: user.as_ref().map(|user| UserRef {
                    path: &user.path,
                    name: &user.name,
                    id: &user.id,
                }),
                tags,
            },
        }
    }

    /// Who gave it, where it is a federated one: the unique id of a user, or `root`.
    pub(crate) fn federated_by(&self) -> Option<&str> {
        match &self.of {
            SessionOf::Federated(Some(user)) => Some(&user.id),
            SessionOf::Federated(None) => Some("root"),
            SessionOf::Root | SessionOf::User(_) | SessionOf::Role(_) => None,
        }
    }

    /// The policies of whom it is of.
    pub(crate) fn held(&self) -> Option<&Policies> {
        match &self.of {
            SessionOf::Root | SessionOf::Federated(None) => None,
            SessionOf::User(user) | SessionOf::Federated(Some(user)) => Some(&user.policies),
            SessionOf::Role(role) => Some(&role.policies),
        }
    }

    /// What bounds it.
    pub(crate) fn bounds(&self) -> &[Document] {
        &self.policies.documents
    }

    pub(crate) fn wants_existing_tags(&self) -> bool {
        let held = self.held().is_some_and(Policies::wants_existing_tags);
        held || self.policies.wants_existing_tags
    }

    /// What conditions ask of sessions alone.
    pub(crate) fn fill<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.token_issue_time = Some(self.issued);
        conditions.source_identity = self.source_identity.as_deref();
        // There is no second factor.
        conditions.mfa_present = Some(false);
    }
}
