//! A user of an account, as a region decides by it.

use types::AccountId;

/// A user, made anew whenever something of it changes.
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
}

impl User {
    /// `arn:aws:iam::ACCOUNT:user/path/name`.
    pub fn arn(&self) -> String {
        [
            "arn:aws:iam::",
            &*self.account,
            ":user",
            &self.path,
            &self.name,
        ]
        .concat()
    }
}
