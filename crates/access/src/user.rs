//! A user of an account, as a region decides by it.

use types::AccountId;

use crate::policy::{self, Document, DocumentKind, Principal, UserRef};

/// A user, made anew after something of it has changed.
#[derive(Debug)]
pub struct User {
    /// Its unique id, `AIDA…`, which is never given again.
    pub id: String,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: String,
    /// `/`, or words between slashes.
    pub path: String,
    /// Its tags.
    pub tags: Vec<(String, String)>,
    /// What it may do.
    pub policies: Policies,
}

/// The policies of a user, compiled.
#[derive(Debug, Default)]
pub struct Policies {
    /// Of the user, and of its groups.
    pub identity: Vec<Document>,
    /// What bounds it.
    pub boundary: Option<Document>,
    /// Some document cannot be read: one that denies everything is in its place.
    unreadable: bool,
    /// Some document may ask for the tags of the object that is addressed.
    wants_existing_tags: bool,
}

impl Policies {
    /// Compiles the texts of policies, and of the boundary. One that cannot be compiled, such as
    /// one of a later release, takes all rights away.
    pub fn compile<'t>(texts: impl Iterator<Item = &'t str>, boundary: Option<&str>) -> Self {
        let (mut unreadable, mut wants_existing_tags) = (false, false);
        let mut read = |text: &str, kind| {
            wants_existing_tags |= policy::may_want_existing_tags(text);
            Document::interned(text, kind).unwrap_or_else(|_| {
                unreadable = true;
                Document::unreadable(kind)
            })
        };
        let identity = texts.map(|text| read(text, DocumentKind::Identity));
        let identity = identity.collect();
        let boundary = boundary.map(|text| read(text, DocumentKind::Boundary));
        Self {
            identity,
            boundary,
            unreadable,
            wants_existing_tags,
        }
    }

    /// Whether a decision may need the tags of the object that is addressed.
    pub fn wants_existing_tags(&self) -> bool {
        self.wants_existing_tags
    }

    /// Whether some document could not be compiled.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable
    }
}

/// `arn:aws:iam::ACCOUNT:user/path/name`.
pub fn arn_of_user(account: &str, path: &str, name: &str) -> String {
    ["arn:aws:iam::", account, ":user", path, name].concat()
}

impl User {
    /// `arn:aws:iam::ACCOUNT:user/path/name`.
    pub fn arn(&self) -> String {
        arn_of_user(&self.account, &self.path, &self.name)
    }

    /// As policies name it. `tags` are [`Self::tags`].
    pub fn principal<'a>(&'a self, tags: &'a [(&'a str, &'a str)]) -> Principal<'a> {
        Principal::User {
            account: &self.account,
            user: UserRef {
                path: &self.path,
                name: &self.name,
                id: &self.id,
            },
            tags,
        }
    }
}
