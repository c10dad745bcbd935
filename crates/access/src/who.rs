//! Who of an account asks. Each question about it is one exhaustive match, so that a new kind of
//! principal is thought of wherever something is decided.

use std::{fmt, sync::Arc};

use types::AccountId;

use crate::{
    GuardPolicy, Session, User,
    policy::{
        self, ActionName, Conditions, Decision, Document, Documents, Principal, Request, Target,
    },
    user::Policies,
};

/// Who of an account holds a key.
#[derive(Clone)]
pub enum Who {
    /// The account itself, which may do what accounts may.
    Root,
    /// A user, who may do what their policies allow.
    User(Arc<User>),
    /// A session, which may do what whom it is of may do, less what bounds it.
    Session(Arc<Session>),
}

/// Users and sessions are distinguished by their ids: a name can be given again.
impl PartialEq for Who {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Root, Self::Root) => true,
            (Self::User(one), Self::User(other)) => one.id == other.id,
            (Self::Session(one), Self::Session(other)) => one.id == other.id,
            (Self::Root | Self::User(_) | Self::Session(_), _) => false,
        }
    }
}

impl Eq for Who {}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("Root"),
            Self::User(user) => write!(f, "User({})", user.id),
            Self::Session(session) => write!(f, "Session({})", session.id),
        }
    }
}

impl Who {
    /// Whether it is the account itself, by a key of its own.
    pub fn is_root(&self) -> bool {
        matches!(self, Self::Root)
    }

    /// The session.
    pub fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Root | Self::User(_) => None,
            Self::Session(session) => Some(session),
        }
    }

    /// As policies name it. `tags` are those of [`Self::tags`].
    pub fn principal<'a>(
        &'a self,
        account: &'a str,
        tags: &'a [(&'a str, &'a str)],
    ) -> Principal<'a> {
        match self {
            Self::Root => Principal::Root { account },
            Self::User(user) => user.principal(tags),
            Self::Session(session) => session.principal(account, tags),
        }
    }

    /// Its tags. Without any nothing is allocated.
    pub fn tags(&self) -> Vec<(&str, &str)> {
        let tags = match self {
            Self::Root => return Vec::new(),
            Self::User(user) => &user.tags,
            Self::Session(session) => &session.tags,
        };
        let pairs = tags.iter().map(|(key, value)| (&**key, &**value));
        pairs.collect()
    }

    fn held(&self) -> Option<&Policies> {
        match self {
            Self::Root => None,
            Self::User(user) => Some(&user.policies),
            Self::Session(session) => session.held(),
        }
    }

    /// The policies of the user or role, and of the user's groups.
    pub fn policies(&self) -> &[Document] {
        self.held().map_or(&[], |held| &held.identity)
    }

    /// What bounds the user or role.
    pub fn boundary(&self) -> Option<&Document> {
        self.held()?.boundary.as_ref()
    }

    /// What bounds the session.
    pub fn sessions(&self) -> &[Document] {
        self.session().map_or(&[], |session| session.bounds())
    }

    /// Whether a decision may need the tags of the object that is addressed.
    pub fn wants_existing_tags(&self) -> bool {
        match self {
            Self::Root => false,
            Self::User(user) => user.policies.wants_existing_tags(),
            Self::Session(session) => session.wants_existing_tags(),
        }
    }

    /// What conditions ask of it that is in no request.
    pub fn fill<'a>(&'a self, conditions: &mut Conditions<'a>) {
        if let Some(session) = self.session() {
            session.fill(conditions);
        }
    }

    /// Its documents with the guard policy of its account, for what belongs to `owner`.
    pub fn documents<'a>(&'a self, owner: &'a str, guard: &'a GuardPolicy) -> Documents<'a> {
        Documents {
            owner,
            guard: guard.document(),
            identity: self.policies(),
            boundary: self.boundary(),
            sessions: self.sessions(),
            ..Documents::default()
        }
    }

    /// What its own documents and the guard policy of its account say, where nothing but them
    /// counts: on what belongs to its account.
    ///
    /// # Errors
    /// The decision, which is no permission.
    pub fn decide(
        &self,
        (account, guard): (&AccountId, &GuardPolicy),
        action: ActionName<'_>,
        target: Target<'_>,
        conditions: &Conditions<'_>,
    ) -> Result<(), Decision> {
        let documents = self.documents(account, guard);
        self.decide_by(account, action, target, conditions, documents)
    }

    /// What these documents say, which may be more than its own.
    ///
    /// # Errors
    /// The decision, which is no permission.
    pub fn decide_by(
        &self,
        account: &AccountId,
        action: ActionName<'_>,
        target: Target<'_>,
        conditions: &Conditions<'_>,
        documents: Documents<'_>,
    ) -> Result<(), Decision> {
        let tags = self.tags();
        let mut conditions = *conditions;
        self.fill(&mut conditions);
        let request = Request {
            principal: &self.principal(account, &tags),
            action,
            target,
            conditions: &conditions,
        };
        let decision = policy::decide(&request, &documents);
        match decision.is_allowed() {
            true => Ok(()),
            false => Err(decision),
        }
    }

    /// Its ARN; for a session the session's.
    pub fn arn(&self, account: &AccountId) -> String {
        let principal = self.principal(account, &[]);
        principal.arn().unwrap_or_default()
    }

    /// Why not, in the words of IAM.
    pub fn sentence(
        &self,
        account: &AccountId,
        action: ActionName<'_>,
        target: Target<'_>,
        decision: &Decision,
    ) -> String {
        let request = Request {
            principal: &self.principal(account, &[]),
            action,
            target,
            conditions: &Conditions::default(),
        };
        let sentence = policy::sentence(&request, decision);
        sentence.unwrap_or_else(|| self.sentence_without_reason(account, action, target))
    }

    /// The same for callers who must not learn the reason.
    pub fn sentence_without_reason(
        &self,
        account: &AccountId,
        action: ActionName<'_>,
        target: Target<'_>,
    ) -> String {
        let arn = self.arn(account);
        format!("User: {arn} is not authorized to perform: {action} on resource: {target}")
    }
}
