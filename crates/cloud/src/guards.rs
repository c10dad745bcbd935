//! The jurisdictions that all buckets of an account keep to.

use types::{AccountId, Placement};

use crate::{CloudError, state::State};

/// A bucket keeps to its account's guard: it takes it over when it names no jurisdictions itself,
/// and may otherwise only be narrower.
///
/// Answers what limits where it may be: its own jurisdictions or the guard, in words.
pub(crate) fn inherit_guard(
    state: &State,
    owner: &AccountId,
    placement: &mut Placement,
) -> Result<String, CloudError> {
    let own = || "the bucket's jurisdictions do".to_owned();
    let Some(account) = state.accounts.get(&**owner) else {
        return Ok(own());
    };
    let guard = account.guard_placement()?;
    if guard.jurisdictions.is_empty() {
        return Ok(own());
    }
    let names = account.guard.join(", ");
    let limit = format!("the guard of account {} ({names}) does", account.name);
    if placement.jurisdictions == guard.jurisdictions {
        return Ok(limit);
    }
    if placement.jurisdictions.is_empty() {
        placement.jurisdictions = guard.jurisdictions;
        return Ok(limit);
    }
    if !guard.covers(placement) {
        return Err(CloudError::Refused(format!(
            "the account's guard allows only {names}"
        )));
    }
    Ok(own())
}
