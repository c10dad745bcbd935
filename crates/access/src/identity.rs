//! Who asks.

use std::{fmt, sync::Arc};

use types::{AccessKeyId, AccountId, Actor};

use crate::{
    Action, User,
    policy::{Document, Principal},
};

/// Who sends a request, once its signature has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody that we know: no signature at all.
    Anonymous,
    /// The holder of an access key.
    Key {
        /// Which key.
        access_key: AccessKeyId,
        /// The account that the key belongs to.
        account: AccountId,
        /// What the account is for.
        kind: CallerKind,
        /// Who of the account holds it.
        who: Who,
    },
}

/// Who of an account holds a key.
#[derive(Clone)]
pub enum Who {
    /// The account itself, which may do what accounts may.
    Root,
    /// A user, who may do what their policies allow.
    User(Arc<User>),
}

/// Users are told apart by their ids: a name can be given again.
impl PartialEq for Who {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Root, Self::Root) => true,
            (Self::User(one), Self::User(other)) => one.id == other.id,
            _ => false,
        }
    }
}

impl Eq for Who {}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("Root"),
            Self::User(user) => write!(f, "User({})", user.id),
        }
    }
}

/// What the account of a caller is for, which bounds what its keys may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CallerKind {
    /// Keeps data in buckets.
    #[default]
    Customer,
    /// Runs the cloud, and may keep data of its own.
    CloudOperator,
    /// Looks after the regions of an operator: keeps no data.
    RegionalOperator,
    /// Reads what is on record: keeps no data.
    Auditor,
}

impl CallerKind {
    /// Whether accounts of this kind have buckets and objects.
    pub const fn keeps_data(self) -> bool {
        matches!(self, Self::Customer | Self::CloudOperator)
    }
}

impl Identity {
    /// The account, unless anonymous.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Anonymous => None,
            Self::Key { account, .. } => Some(account),
        }
    }

    /// The user who asks; `None` for the account itself and for anonymous callers.
    pub fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::Key {
                who: Who::User(user),
                ..
            } => Some(user),
            _ => None,
        }
    }

    /// As policies name it. `tags` are those of [`Self::tags`].
    pub fn principal<'a>(&'a self, tags: &'a [(&'a str, &'a str)]) -> Principal<'a> {
        match self {
            Self::Anonymous => Principal::Anonymous,
            Self::Key {
                account,
                who: Who::Root,
                ..
            } => Principal::Root { account },
            Self::Key {
                who: Who::User(user),
                ..
            } => user.principal(tags),
        }
    }

    /// The tags of a user.
    pub fn tags(&self) -> Vec<(&str, &str)> {
        self.user().map(|user| user.tags()).unwrap_or_default()
    }

    /// The policies of a user, of itself and of its groups.
    pub fn policies(&self) -> &[Document] {
        self.user().map_or(&[], |user| &user.policies.identity)
    }

    /// What bounds a user.
    pub fn boundary(&self) -> Option<&Document> {
        self.user()?.policies.boundary.as_ref()
    }

    /// Who makes a change of the registry; without a caller it is the region itself.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Anonymous => Actor::System,
            Self::Key {
                access_key,
                account,
                ..
            } => Actor::Key {
                account: account.clone(),
                access_key: access_key.clone(),
            },
        }
    }

    /// Whether the account of the caller may do this at all. What keeps no data makes no bucket
    /// and changes nothing in one.
    pub(crate) fn may_by_kind(&self, action: Action) -> bool {
        match self {
            Self::Key { kind, .. } if !kind.keeps_data() => !action.is_for_writers(),
            _ => true,
        }
    }
}
