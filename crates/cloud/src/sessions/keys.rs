//! The keys that open tokens: one for each region and week, derived from the keeper's master key,
//! and given to that region alone. A region that gets a new key for its certificate gets others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::{RegionId, Timestamp, features::SESSIONS};

use super::token::TokenKey;
use crate::{
    Ask, CloudError, MasterKey, Registry, RegistryAnswer,
    keys::mac,
    kinds::{FORMAT, Record},
    link::Upstream,
    registry::Keeper,
    state::State,
};

const WEEK_S: u64 = 7 * 86_400;
/// How long the key of a week that is over is still needed: the longest session, and two hours.
const KEPT_S: u64 = 38 * 3600;

/// The week of a time.
pub(crate) fn week(seconds: u64) -> u32 {
    u32::try_from(seconds / WEEK_S).unwrap_or(u32::MAX)
}

/// The weeks whose keys a region has.
fn weeks(now: Timestamp) -> std::ops::RangeInclusive<u32> {
    week(now.s().saturating_sub(KEPT_S))..=week(now.s()).saturating_add(1)
}

/// A key, as its region gets it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentTokenKey {
    week: u32,
    /// In hex.
    key: String,
}

/// The same at rest where the registry is followed, sealed under the region's master key:
/// `s/<week>`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenKeyRecord {
    v: u32,
    week: u32,
    sealed: String,
}

fn sealed_as(week: u32) -> String {
    format!("sts/{week}")
}

impl Record for TokenKeyRecord {
    const PREFIX: &'static str = "s/";
    const SECRET: bool = true;
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "s/2969",
        concat!(
            r#"{"v":1,"week":2969,"sealed":"ZGBwvv5Sr65i6q+HmYvFtLUcjqWnG5ZpE9zUPdm9bTf8jVFczPkPbhXOBEb5"#,
            r#"II1BSoEvF32FThOqsqAQrtgRAIBxOhEMWv5pfVgNeeef7tEyiFX2K6frZ1MZMxY="}"#,
        ),
    )];
    type Table = BTreeMap<u32, [u8; 32]>;

    fn put(state: &mut State, master: &MasterKey, _: &str, value: &[u8]) -> Result<(), CloudError> {
        let record = Self::read(value)?;
        let key = master.open(&sealed_as(record.week), &record.sealed)?;
        let key = hex::decode(key).ok().and_then(|key| key.try_into().ok());
        let key = key.ok_or_else(|| CloudError::Record("a key of tokens".into()))?;
        state.token_keys.insert(record.week, key);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        if let Ok(week) = id.parse() {
            state.token_keys.remove(&week);
        }
        Ok(())
    }
}

impl Registry {
    /// The key of a region for a week, where the registry is kept.
    pub(crate) fn derived_key(&self, state: &State, region: &str, week: u32) -> TokenKey {
        let public = state.regions.get(region).map(|record| &*record.public_key);
        let root = self.master.derive("dhow session tokens 1");
        let root = mac(&root, &format!("week {week}"));
        // As HKDF expands a key.
        let info = format!("envelope\n{region}\n{}\u{1}", public.unwrap_or_default());
        TokenKey {
            region: region.to_owned(),
            key: mac(&root, &info),
        }
    }

    /// This region's own key for a week.
    pub(crate) fn own_key(&self, state: &State, week: u32) -> Option<TokenKey> {
        if !weeks(self.clock.now()).contains(&week) {
            return None;
        }
        match self.keeps() {
            true => Some(self.derived_key(state, self.own(), week)),
            false => Some(TokenKey {
                region: self.own().to_owned(),
                key: *state.token_keys.get(&week)?,
            }),
        }
    }

    /// Answers a region: with its own keys.
    pub(crate) fn answer_token_keys(&self, to: &RegionId) -> RegistryAnswer {
        let state = self.state.read();
        let own = |week| SentTokenKey {
            week,
            key: hex::encode(self.derived_key(&state, to, week).key),
        };
        let all = weeks(self.clock.now()).map(own);
        let known = state.knows(to, SESSIONS) && **to != *self.own();
        RegistryAnswer::TokenKeys {
            keys: all.filter(|_| known).collect(),
        }
    }

    /// Whether this region is to ask for its keys: where there are sessions, now and then, and at
    /// once where it lacks one. Without sessions it has no rows that an older build cannot read.
    pub(crate) fn wants_token_keys(&self, keeper: &RegionId, stale: bool) -> bool {
        let state = self.state.read();
        let used = self.sessions.are_used() || !state.token_keys.is_empty();
        let mut weeks = weeks(self.clock.now());
        let mut lacks = || !weeks.all(|week| state.token_keys.contains_key(&week));
        used && state.knows(keeper, SESSIONS) && (stale || lacks())
    }

    /// Whether this region has none of its keys that open tokens.
    pub(crate) fn lacks_token_keys(&self) -> bool {
        let lacks = || self.state.read().token_keys.is_empty();
        matches!(self.keeper, Keeper::There(_)) && lacks()
    }

    /// Gets this region's keys: a session has come here, and nobody has said yet that there are
    /// any.
    pub(crate) async fn meet_sessions(&self) -> Result<(), CloudError> {
        let Keeper::There(upstream) = &self.keeper else {
            return Ok(());
        };
        self.sessions.use_them();
        self.fetch_token_keys(&**upstream).await
    }

    /// Gets this region's keys, and drops all others.
    pub(crate) async fn fetch_token_keys(&self, upstream: &dyn Upstream) -> Result<(), CloudError> {
        if !self.state.read().knows(upstream.keeper(), SESSIONS) {
            return Ok(());
        }
        let RegistryAnswer::TokenKeys { keys } = upstream.ask(Ask::TokenKeys).await? else {
            return Err(CloudError::Unavailable(
                "the registry sent no keys of tokens".into(),
            ));
        };
        let is_new = |told: &&SentTokenKey| {
            let known = self
                .state
                .read()
                .token_keys
                .get(&told.week)
                .map(hex::encode);
            known.as_ref() != Some(&told.key)
        };
        let mut puts = Vec::new();
        for told in keys.iter().filter(is_new) {
            let sealed = self
                .master
                .seal(&sealed_as(told.week), &told.key, &*self.random)?;
            let record = TokenKeyRecord {
                v: FORMAT,
                week: told.week,
                sealed,
            };
            puts.push((TokenKeyRecord::key(told.week), record.write()?.into_bytes()));
        }
        let _turn = self.turn().await;
        let gone: Vec<String> = {
            let state = self.state.read();
            let weeks = state.token_keys.keys();
            let gone = weeks.filter(|week| !keys.iter().any(|told| told.week == **week));
            gone.map(TokenKeyRecord::key).collect()
        };
        if puts.is_empty() && gone.is_empty() {
            return Ok(());
        }
        self.rows.write(None, puts.clone(), gone.clone()).await?;
        let mut state = self.state.write();
        for (key, value) in &puts {
            state.put(&self.master, key, value)?;
        }
        for key in &gone {
            state.remove(key)?;
        }
        drop(state);
        // What was opened with a key that is gone counts no longer.
        self.sessions.forget();
        Ok(())
    }
}
