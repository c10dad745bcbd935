//! Following the registry: a region that does not keep it has a durable copy of what it needs, and
//! goes on with that when the keeper cannot be reached.

use std::{collections::HashSet, sync::Arc, time::Duration};

use ::follow::{Backoff, Follow, Step};
use store::StoreError;
use types::{RegionId, Timestamp, features::ROLES};

use crate::{
    Ask, CloudError, DerivedKeys, Registry, RegistryAnswer,
    change::{RowChange, RowNow},
    introduce::Served,
    kinds::Record,
    link::Upstream,
    principals::{FollowedRoleRecord, SentRole},
    registry::Keeper,
    state::State,
    verifiers::{VerifierRecord, days},
};

/// How long a question for changes may be held by the keeper.
const WAIT: Duration = Duration::from_secs(20);
/// After a failure.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// After an answer that is longer than any may be: it would come again.
const LONG_PAUSE: Duration = Duration::from_secs(60);
/// All signing keys are fetched anew this often, so that those of the next days are always there.
const KEYS_EVERY_MS: u64 = 6 * 3_600_000;
/// How long the author of a change waits until it has arrived here.
const APPLIED_WAIT_MAX: Duration = Duration::from_secs(10);

/// Follows the keeper. The cursor is the length of the audit log here.
struct Following {
    registry: Arc<Registry>,
    upstream: Arc<dyn Upstream>,
    /// When all keys were last fetched.
    keys_at: Option<Timestamp>,
    /// The last answer was longer than any may be.
    was_long: bool,
}

impl Follow for Following {
    type Cursor = ();
    type Fault = CloudError;

    async fn open(&mut self) -> Result<(), CloudError> {
        Ok(())
    }

    async fn step(&mut self, (): &mut ()) -> Result<Step, CloudError> {
        if std::mem::take(&mut self.was_long) {
            tokio::time::sleep(LONG_PAUSE).await;
        }
        let (registry, keys_at) = (&self.registry, &mut self.keys_at);
        let followed = registry.follow_once(&*self.upstream, keys_at).await;
        self.was_long = matches!(
            followed,
            Err(CloudError::Limit(_) | CloudError::Store(StoreError::Invalid(_)))
        );
        followed?;
        Ok(Step::Moved)
    }

    fn failed(&mut self, error: CloudError) {
        tracing::warn!(%error, keeper = %self.upstream.keeper(), "cannot follow the registry");
    }
}

impl Registry {
    /// Follows the keeper until the task is dropped. Nothing to do where the registry is kept.
    pub async fn follow(self: Arc<Self>) {
        let Keeper::There(upstream) = self.keeper.clone() else {
            return;
        };
        let backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX, self.own());
        let following = Following {
            registry: self,
            upstream,
            keys_at: None,
            was_long: false,
        };
        ::follow::run(following, backoff).await;
    }

    /// Asks once for changes, and for all keys where those that are here are old.
    pub(crate) async fn follow_once(
        &self,
        upstream: &dyn Upstream,
        keys_at: &mut Option<Timestamp>,
    ) -> Result<(), CloudError> {
        let from = self.state.read().length();
        let now = self.clock.now();
        let stale = keys_at.is_none_or(|at| now.ms().abs_diff(at.ms()) >= KEYS_EVERY_MS);
        // The first question is answered at once: a region that starts wants to know.
        let wait_ms = if stale { 0 } else { WAIT.as_millis() as u64 };
        let receipt = self.state.read().receipt.clone();
        let ask = Ask::Changes {
            from,
            wait_ms,
            receipt,
            features: Some(self.features.read().names()),
        };
        match upstream.ask(ask).await? {
            RegistryAnswer::Changes {
                length,
                changes,
                receipt,
                sessions,
            } => {
                if sessions {
                    self.sessions.use_them();
                }
                if length < from {
                    return Err(CloudError::History(
                        length,
                        format!("the keeper has {length} entries, this region has {from}"),
                    ));
                }
                self.take_all(changes, receipt.as_ref()).await?;
                if self.state.read().length() < length {
                    return Ok(());
                }
                self.keep_receipt(receipt).await?;
            }
            RegistryAnswer::Refused(why) => return Err(CloudError::Refused(why)),
            _ => {
                return Err(CloudError::Unavailable(
                    "an answer to another question".into(),
                ));
            }
        }
        let heard = self.clock.now().ms();
        self.answered_at
            .store(heard, std::sync::atomic::Ordering::Relaxed);
        self.followed.send_replace(true);
        if self.wants_token_keys(upstream.keeper(), stale) {
            self.fetch_token_keys(upstream).await?;
        }
        if stale {
            self.fetch_keys(upstream).await?;
            *keys_at = Some(now);
        }
        Ok(())
    }

    pub(crate) fn sealed(&self, keys: &DerivedKeys, shown: bool) -> Result<RowChange, CloudError> {
        let record = VerifierRecord::seal(keys, shown, &self.master, &*self.random)?;
        RowChange::put(&keys.id, &record)
    }

    async fn fetch_keys(&self, upstream: &dyn Upstream) -> Result<(), CloudError> {
        let mut after = String::new();
        let mut told = HashSet::new();
        loop {
            let ask = Ask::Keys {
                after: after.clone(),
            };
            let RegistryAnswer::Keys { keys, more } = upstream.ask(ask).await? else {
                return Err(CloudError::Unavailable(
                    "the registry sent no signing keys".into(),
                ));
            };
            if let Some(last) = keys.last() {
                after.clone_from(&last.id);
                let _turn = self.turn().await;
                self.keep_keys(&keys, false).await?;
            }
            told.extend(keys.into_iter().map(|keys| keys.id));
            if !more {
                self.forget_keys(upstream.keeper(), &told).await?;
                return self.fetch_roles(upstream).await;
            }
        }
    }

    async fn fetch_roles(&self, upstream: &dyn Upstream) -> Result<(), CloudError> {
        let keeper = upstream.keeper();
        let wanted = {
            let state = self.state.read();
            // Where there are none, nothing is asked that an older registry could not answer.
            let are_there = self.sessions.are_used() || !state.told_roles.is_empty();
            are_there && state.knows(keeper, ROLES)
        };
        if !wanted {
            return Ok(());
        }
        let mut after = String::new();
        let mut told = HashSet::new();
        loop {
            let ask = Ask::Roles {
                after: after.clone(),
            };
            let RegistryAnswer::Roles { roles, more } = upstream.ask(ask).await? else {
                return Err(CloudError::Unavailable("the registry sent no roles".into()));
            };
            if let Some(last) = roles.last() {
                after.clone_from(&last.role.id);
                let _turn = self.turn().await;
                self.keep_roles(&roles, false).await?;
            }
            told.extend(roles.into_iter().map(|told| told.role.id));
            if !more {
                return self.forget_roles(keeper, &told).await;
            }
        }
    }

    /// Keeps roles that the keeper sent. To be called in a turn.
    pub(crate) async fn keep_roles(
        &self,
        roles: &[SentRole],
        shown: bool,
    ) -> Result<(), CloudError> {
        let mut puts = Vec::new();
        for told in roles {
            let state = self.state.read();
            let known = state.told_roles.get(&told.role.id);
            if known.is_some_and(|known| known.is_unchanged(told, shown)) {
                continue;
            }
            let record = FollowedRoleRecord::new(told, shown);
            let key = FollowedRoleRecord::key(&told.role.id);
            puts.push((key, record.write()?.into_bytes()));
        }
        if puts.is_empty() {
            return Ok(());
        }
        self.rows.write(None, puts.clone(), Vec::new()).await?;
        let mut state = self.state.write();
        for (key, value) in &puts {
            state.put(&self.master, key, value)?;
        }
        Ok(())
    }

    /// Drops roles that are not sent here any more. Those that came with a session stay while there
    /// are such, at most until the next time.
    async fn forget_roles(
        &self,
        keeper: &RegionId,
        told: &HashSet<String>,
    ) -> Result<(), CloudError> {
        let _turn = self.turn().await;
        let gone: Vec<String> = {
            let state = self.state.read();
            let own = RegionId::new(self.own());
            let mut served = Served::by(&state, &own, keeper);
            let all = state.told_roles.iter();
            all.filter(|(id, one)| {
                let account = &*one.role.account;
                let stays = served.has(account) && state.may_know_users(account, &own);
                !told.contains(*id) && (one.shown || !stays)
            })
            .map(|(id, _)| FollowedRoleRecord::key(id))
            .collect()
        };
        if gone.is_empty() {
            return Ok(());
        }
        self.rows.write(None, Vec::new(), gone.clone()).await?;
        let mut state = self.state.write();
        for row in &gone {
            state.remove(row)?;
        }
        Ok(())
    }

    /// Keeps keys that the keeper sent, where they are not here so already. To be called in a turn.
    pub(crate) async fn keep_keys(
        &self,
        keys: &[DerivedKeys],
        shown: bool,
    ) -> Result<(), CloudError> {
        let is_new = |told: &&DerivedKeys| {
            let state = self.state.read();
            let known = state.verifiers.get(&told.id);
            !known.is_some_and(|known| known.is_unchanged(told, shown))
                || types::planted("keys-written-at-each-start")
        };
        let new: Vec<&DerivedKeys> = keys.iter().filter(is_new).collect();
        let mut puts = Vec::new();
        for keys in &new {
            let row = self.sealed(keys, shown)?;
            let RowNow::Value(value) = row.now else {
                continue;
            };
            puts.push((row.key, value.into_bytes()));
        }
        if puts.is_empty() {
            return Ok(());
        }
        self.rows.write(None, puts.clone(), Vec::new()).await?;
        {
            let mut state = self.state.write();
            for (key, value) in &puts {
                state.put(&self.master, key, value)?;
            }
        }
        for keys in new {
            self.derived.forget(Some(&keys.id));
        }
        Ok(())
    }

    /// Drops keys that are not sent here any more and, by all that is known here, need not be.
    /// Those that came with a customer's request stay until their days are over.
    async fn forget_keys(
        &self,
        keeper: &RegionId,
        told: &HashSet<String>,
    ) -> Result<(), CloudError> {
        let _turn = self.turn().await;
        let first = days(self.clock.now())
            .into_iter()
            .next()
            .unwrap_or_default();
        let gone: Vec<String> = {
            let state = self.state.read();
            let own = RegionId::new(self.own());
            let mut served = Served::by(&state, &own, keeper);
            let all = state.verifiers.iter();
            all.filter(|(id, one)| {
                let ended = || !one.shown || one.ended_before(&first);
                let unserved = ended() && !served.has(&one.account);
                !told.contains(*id) && (unserved || one.is_forbidden(&state, &own))
            })
            .map(|(id, _)| id.clone())
            .collect()
        };
        if gone.is_empty() {
            return Ok(());
        }
        let rows: Vec<String> = gone.iter().map(VerifierRecord::key).collect();
        self.rows.write(None, Vec::new(), rows.clone()).await?;
        let mut state = self.state.write();
        for row in &rows {
            state.remove(row)?;
        }
        drop(state);
        for id in &gone {
            self.derived.forget(Some(id));
        }
        Ok(())
    }

    /// Waits until what was changed through the keeper is known here too.
    pub(crate) async fn heard(&self, known: impl Fn(&State) -> bool) -> Result<(), CloudError> {
        let mut length = self.length.subscribe();
        let hearing = length.wait_for(|_| known(&self.state.read()));
        match tokio::time::timeout(APPLIED_WAIT_MAX, hearing).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(CloudError::Unavailable(
                "the change was made, but this region did not receive it in time".into(),
            )),
        }
    }
}
