//! One request to the admin API, once its sender is known, and how far its right reaches.

use access::grants::{Action, Grant, Role, grant};
use bytes::Bytes;
use cloud::RegionRecord;
use http::StatusCode;
use types::{AccountId, Actor};

use super::Refused;

/// Whose key signed a request.
pub struct Sender {
    /// For the audit log.
    pub actor: Actor,
    /// The account of the key.
    pub account: AccountId,
    /// In which role.
    pub role: Role,
}

/// A request whose signature was verified.
pub struct Call {
    /// What it wants to do, as the table of operations says.
    pub action: Action,
    /// What follows the question mark.
    pub query: Option<String>,
    /// Its body, whose digest was signed.
    pub body: Bytes,
    /// Who sends it, for the audit log.
    pub actor: Actor,
    /// The account of the key that signed.
    pub account: AccountId,
    /// In which role.
    pub role: Role,
}

impl Call {
    pub(super) fn refuse(&self) -> Refused {
        let Self {
            actor,
            role,
            action,
            ..
        } = self;
        tracing::info!(%actor, ?role, ?action, "an admin request was refused");
        // The caller's signature is good: what its own key may is no secret to it.
        let why = format!(
            "access denied: the role of this key is {}, which may not do this",
            role.words()
        );
        (StatusCode::FORBIDDEN, why)
    }

    /// Everywhere.
    pub fn may(&self) -> Result<(), Refused> {
        match grant(&self.role, self.action) {
            Grant::All => Ok(()),
            _ => Err(self.refuse()),
        }
    }

    /// Somewhere.
    pub fn may_at_all(&self) -> Result<(), Refused> {
        match grant(&self.role, self.action) {
            Grant::No => Err(self.refuse()),
            _ => Ok(()),
        }
    }

    /// To what belongs to `account`.
    pub fn of_account(&self, account: &AccountId) -> Result<(), Refused> {
        let may = self
            .role
            .may_to_account(self.action, &self.account, account);
        may.then_some(()).ok_or_else(|| self.refuse())
    }

    /// To what belongs to `asked`, or to all accounts: answers to which it comes down.
    pub fn within_account(&self, asked: Option<AccountId>) -> Result<Option<AccountId>, Refused> {
        let within = self.role.within_account(self.action, &self.account, asked);
        within.ok_or_else(|| self.refuse())
    }

    /// To a region; one that is not there belongs to no operator.
    pub fn of_region(&self, region: Option<&RegionRecord>) -> Result<(), Refused> {
        let operator = region.map(|region| &*region.operator);
        let may = self.role.may_to_region(self.action, operator);
        may.then_some(()).ok_or_else(|| self.refuse())
    }
}
