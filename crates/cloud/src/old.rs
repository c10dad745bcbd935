//! Keys of signatures with HMAC-SHA1 (version 2 of AWS): who has them.
//!
//! Whoever verifies such a signature can make it, for every region that takes it and for as long as
//! the secret lives. So a region gets such a key only if the operator of the registry's region runs
//! it, which has the secrets anyway, and only of accounts that ask for it. It is not the secret:
//! nothing else follows from it ([`OldKey`](access::signature::OldKey)).

use access::{NoOldKey, OldSigner, signature::Statement};
use types::features::OLD_SIGNATURES;

use crate::{Account, KeyStatus, Registry, registry::Keeper, state::State};

impl State {
    /// Whether the cloud's owner runs a region: the operator of the one that keeps the registry.
    pub(crate) fn is_owners(&self, region: &str, keeper: &str) -> bool {
        let operator = |id: &str| self.regions.get(id).map(|region| &region.operator);
        let same = operator(region).is_some_and(|of| operator(keeper) == Some(of));
        region == keeper || same || types::planted("v2-secret-for-partners")
    }

    /// Whether a region is given such keys of an account.
    pub(crate) fn gives_old(&self, account: &Account, region: &str, keeper: &str) -> bool {
        let asked = account.old_signatures && !account.requires_asymmetric;
        asked
            && self.is_owners(region, keeper)
            && self.knows(region, OLD_SIGNATURES)
            && self.is_within_guard(&account.id, region)
    }
}

impl Registry {
    /// The region that keeps the registry.
    fn keeper_id(&self) -> &str {
        match &self.keeper {
            Keeper::Here => self.own(),
            Keeper::There(upstream) => upstream.keeper(),
        }
    }

    /// Whether a region receives such keys of an account.
    pub(crate) fn may_have_old(&self, state: &State, account: &str, region: &str) -> bool {
        let account = state.accounts.get(account);
        account.is_some_and(|account| state.gives_old(account, region, self.own()))
    }

    /// Whether the cloud's owner runs a region, so that it may take signatures with HMAC-SHA1.
    pub fn is_owners_region(&self, region: &str) -> bool {
        self.state.read().is_owners(region, self.keeper_id())
    }

    /// What verifies such signatures of a key that is live, of an account that takes them.
    pub(crate) fn old_signer_here(&self, access_key: &str) -> Result<OldSigner, NoOldKey> {
        let state = self.state.read();
        if !state.is_owners(self.own(), self.keeper_id()) {
            return Err(NoOldKey::Region);
        }
        let (account, who, key) =
            match (state.keys.get(access_key), state.verifiers.get(access_key)) {
                (Some(found), _) => {
                    let active = found.record.status == KeyStatus::Active;
                    let who = state.holder(&found.record).filter(|_| active);
                    let who = who.ok_or(NoOldKey::Unknown)?;
                    (&found.record.account, who, Some(found.old_key()))
                }
                (None, Some(found)) if found.active => {
                    (&found.account, found.who.clone(), found.old.clone())
                }
                // The log names it, so it is somebody's: if its account took such signatures,
                // this region would have the key.
                (None, None) if state.origin_since(access_key).is_some() => {
                    return Err(NoOldKey::Off);
                }
                _ => return Err(NoOldKey::Unknown),
            };
        let account = state.accounts.get(account).filter(|a| !a.suspended);
        let account = account.ok_or(NoOldKey::Unknown)?;
        let takes = account.old_signatures && !account.requires_asymmetric;
        if !takes && !types::planted("v2-where-not-asked") {
            return Err(NoOldKey::Off);
        }
        Ok(OldSigner {
            account: account.account_id(),
            kind: account.caller_kind(),
            guard: state.guard_policy(&account.id),
            who,
            key: key.ok_or(NoOldKey::Off)?,
        })
    }

    /// Who made a signature with HMAC-SHA1 over a request that the region `via` has; `None` where
    /// it is none, or is nobody's here, or the region takes none.
    pub fn old_signer_of(&self, statement: &Statement, via: &str) -> Option<OldSigner> {
        if !self.is_owners_region(via) {
            return None;
        }
        let signer = self.old_signer_here(&statement.access_key).ok()?;
        statement.is_proven_by_old(&signer).then_some(signer)
    }
}
