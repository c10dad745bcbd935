//! Why a request is allowed or refused. The registry's region knows users and groups with their
//! policies, a bucket's home has the bucket's documents: so the former sends the question to the
//! latter, with the policies of the user, and the home decides as it decides requests.
//!
//! The home is asked about users of the bucket's own account only, whose keys and policies it is
//! given anyway. The bucket's documents stay there: the answer says which statement of them counts.

mod ask;
mod judge;
mod shown;

use cloud::SentUser;
use serde::{Deserialize, Serialize};

pub use self::judge::{Here, Wanted, given, is_of_s3, judge};

/// A question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The bucket that is there: its name and number.
    pub bucket: Option<(String, u64)>,
    /// Whose key would sign; nobody's without one.
    pub account: Option<String>,
    /// Which user or role of the account; the account itself without one.
    pub user: Option<SentUser>,
    /// `user` is a role, and a session of it asks, which these policies bound. An older release
    /// that is asked so does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Vec<String>>,
    /// Such as `s3:GetObject`.
    pub action: String,
    /// On what, as an ARN.
    pub resource: String,
    /// Values of condition keys.
    pub given: Vec<(String, String)>,
}

impl Question {
    /// What the `user` is.
    fn kind(&self) -> &'static str {
        match self.session {
            None => "user",
            Some(_) => "role",
        }
    }
}

/// Whether a request would be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It would.
    Allowed,
    /// It would not.
    Refused,
    /// It depends on what was not seen.
    Unknown,
}

/// What one check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// It stands in nobody's way.
    Passes,
    /// It allows it.
    Allows,
    /// It denies it, whatever else is said.
    Denies,
    /// It is refused for another reason than a policy.
    Refuses,
    /// It says nothing about it.
    Nothing,
    /// There is no such document.
    None,
    /// That was not seen.
    Unknown,
}

/// What was looked at, and what it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// What it says.
    pub says: Says,
    /// In words.
    pub why: String,
    /// Of a document: each of its statements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementSays>,
}

impl Check {
    /// Of what is no document.
    pub fn new(what: impl Into<String>, says: Says, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            says,
            why: why.into(),
            statements: Vec::new(),
        }
    }
}

/// What a statement says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatementSays {
    /// Its place in the text, from 1.
    pub number: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: String,
    /// Whether it is about the request; null where that was not seen.
    pub applies: Option<bool>,
    /// In words.
    pub why: String,
    /// What may surprise.
    pub notes: Vec<String>,
}

/// What was decided of one of the actions that a request needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActionSays {
    /// Such as `s3:GetObject`.
    pub action: String,
    /// What the documents decide.
    pub verdict: Verdict,
    /// Each of them.
    pub documents: Vec<Check>,
}

/// What a region decides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judged {
    /// What.
    pub verdict: Verdict,
    /// In words.
    pub reason: String,
    /// Who asks, by ARN.
    pub principal: Option<String>,
    /// What is no document.
    pub checks: Vec<Check>,
    /// What documents say of each action that the request needs.
    pub actions: Vec<ActionSays>,
    /// Condition keys that documents ask about and for which no value was given.
    pub missing: Vec<String>,
    /// Why the caller's own policies refuse it, whatever the bucket's documents say, where the
    /// bucket is another account's.
    #[serde(skip)]
    pub own_side: Option<String>,
}
