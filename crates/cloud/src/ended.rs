//! Ending one session before its time, in every region. Nothing is stored of sessions that go on,
//! so it is not known here whether there is one with such a key.

use serde_json::json;
use types::{AccessKeyId, AccountId, Actor, Timestamp};

use crate::{
    CloudError, Registry,
    change::{Draft, RowChange},
    keys::FEW,
    kinds::{
        FORMAT, Record,
        ended::{Ended, EndedRecord},
    },
    sessions::{SESSION_S_MAX, token::PREFIX},
};

/// Sessions of one account that were ended and could still last.
const ENDED_MAX: usize = 1000;
/// Letters of a session's access key behind its prefix.
const ID_LETTERS: usize = 26;

impl Registry {
    /// Ends the session of an account that has this access key. Answers until when that is kept: as
    /// long as the session could last.
    ///
    /// # Errors
    /// `Invalid`: no session has such a key. `Limit`: too many were ended lately. `NoAccount`.
    pub async fn end_session(
        &self,
        actor: &Actor,
        account: &AccountId,
        access_key: &AccessKeyId,
    ) -> Result<Timestamp, CloudError> {
        let letters = access_key.strip_prefix(PREFIX).unwrap_or_default();
        if letters.len() != ID_LETTERS || !letters.bytes().all(|c| FEW.contains(&c)) {
            return Err(CloudError::Invalid(format!(
                "access keys of sessions have {PREFIX} and {ID_LETTERS} letters and digits: the \
                 one of each session is shown in its credentials and, where a request of it was \
                 refused, in the log"
            )));
        }
        let turn = self.turn().await;
        let now = self.clock.now().s();
        let until_s = now + SESSION_S_MAX;
        let id = Ended::id(account, access_key);
        let mut rows = vec![RowChange::put(&id, &EndedRecord { v: FORMAT, until_s })?];
        {
            let state = self.state.read();
            if !state.accounts.contains_key(&**account) {
                return Err(CloudError::NoAccount(account.clone()));
            }
            let before = state.ended.until(account, access_key);
            if let Some(until) = before.filter(|until| *until > now)
                && !self.is_unwritten(&EndedRecord::key(&id))
            {
                return Ok(Timestamp::from_s(until));
            }
            if state.ended.count(account, now) >= ENDED_MAX {
                return Err(CloudError::Limit(format!(
                    "{ENDED_MAX} sessions of the account were ended in the last 36 hours: end \
                     those of a role by their time, or disable the key with which they begin \
                     (docs/access.md)"
                )));
            }
            rows.extend(state.ended.sweep(now));
        }
        let draft = Draft {
            actor: actor.clone(),
            action: "session.end",
            subject: access_key.to_string(),
            detail: json!({ "account": &**account }),
            rows,
        };
        self.change(turn, draft).await?;
        Ok(Timestamp::from_s(until_s))
    }
}
