//! Which regions are given whose signing keys. A region is given those of the accounts that have a
//! bucket there or trust it with one, and of the operators who look after it. Of all others it is
//! given a key once the key's holder has signed a request to that region, and shows the registry
//! the signature: which it could not make up, since it has not the key.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use access::{
    SessionOf, SessionToken,
    signature::{HmacKey, Service, Statement},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use types::{BucketDeed, Forwarder, Holding, RegionId};

use crate::{
    Account, CloudError, DerivedKeys, Registry,
    clients::{Left, Pace, client},
    keys::service_key,
    link::{Ask, RegistryAnswer},
    principals::SentRole,
    proving::Signed,
    registry::Keeper,
    state::State,
    verifiers::days,
};

/// The longest that a request waits for the key of its signature.
const WITHIN: Duration = Duration::from_secs(4);
/// How long the keeper is not asked again when it did not answer.
const AWAY: Duration = Duration::from_secs(1);
/// How long a key that is nobody's is not asked for again.
const NOBODY: Duration = Duration::from_secs(1);
/// Questions for keys that are on record. Anybody can make up others, so those have a room of
/// their own: they are made just now, or nobody's. A client that showed a wrong signature lately
/// has its questions in that room too. No key is ever kept waiting for what others sign in its
/// name: only clients are.
const ON_RECORD: Room = Room {
    at_once: 8,
    pace: Pace {
        per_second: 50.0,
        burst: 200.0,
    },
};
const NOT_ON_RECORD: Room = Room {
    at_once: 2,
    pace: Pace {
        per_second: 10.0,
        burst: 50.0,
    },
};
/// What one client has of the latter, so that none takes it all.
const OF_ONE_CLIENT: Pace = Pace {
    per_second: 2.0,
    burst: 10.0,
};
/// Clients of whom it is counted; with more all are dropped.
const CLIENTS_MAX: usize = 10_000;
/// How long a client that showed a signature which is not the key's counts as a stranger.
const WRONG_WINDOW: Duration = Duration::from_secs(60);
/// Keys that are remembered; with more all are dropped.
const REMEMBERED_MAX: usize = 10_000;
/// A key that changes all the time is asked for so often.
const ROUNDS_MAX: usize = 3;

/// So many questions at once; all others wait, and find the answer to the first.
struct Room {
    at_once: usize,
    pace: Pace,
}

/// A signature over a request to the region that asks.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduction {
    signed: Signed,
    /// Whether it is one for the admin API.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    admin: bool,
}

impl Introduction {
    fn new(statement: &Statement, service: Service) -> Self {
        Self {
            signed: Signed::of(statement),
            admin: service == Service::Admin,
        }
    }

    /// By a request for buckets or objects.
    #[cfg(test)]
    pub(crate) fn of(statement: &Statement) -> Self {
        Self::new(statement, Service::S3)
    }
}

/// Whose key it is that a request was signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introduced {
    /// The region knows it now.
    Known,
    /// Nobody's, or the signature is not the key's.
    Nobody,
}

/// What is known of keys that were asked for.
#[derive(Default)]
struct Doubts {
    /// Until when a key counts as nobody's.
    nobody: HashMap<String, Instant>,
    /// Clients that showed a wrong signature, and when they did last.
    wrong: HashMap<IpAddr, Instant>,
    /// What is left of the rooms for keys that are on record, and for others.
    left: [Left; 2],
    /// What is left of the latter for each client.
    clients: HashMap<IpAddr, Left>,
}

/// What limits the questions.
pub(crate) struct Introductions {
    /// For keys that are on record, and for others.
    at_once: [Semaphore; 2],
    doubts: Mutex<Doubts>,
    away: Mutex<Option<Instant>>,
}

impl Default for Introductions {
    fn default() -> Self {
        Self {
            at_once: [&ON_RECORD, &NOT_ON_RECORD].map(|room| Semaphore::new(room.at_once)),
            doubts: Mutex::default(),
            away: Mutex::default(),
        }
    }
}

impl Introductions {
    /// Whether a key was nobody's a moment ago.
    fn is_nobodys(&self, key: &str, now: Instant) -> bool {
        let doubts = self.doubts.lock();
        doubts.nobody.get(key).is_some_and(|until| now < *until)
    }

    /// Whether the client has shown no wrong signature lately.
    fn is_trusted(&self, from: IpAddr, now: Instant) -> bool {
        let doubts = self.doubts.lock();
        let wrong = doubts.wrong.get(&client(from));
        wrong.is_none_or(|at| now.duration_since(*at) >= WRONG_WINDOW)
            || types::planted("wrong-signatures-unbounded")
    }

    /// Refuses while the keeper is not asked again.
    fn is_away(&self, now: Instant) -> Result<(), CloudError> {
        match *self.away.lock() {
            Some(until) if now < until => {
                Err(away("the registry's region did not answer a moment ago"))
            }
            _ => Ok(()),
        }
    }

    fn take_room(&self, of_record: bool, from: IpAddr, now: Instant) -> Result<(), CloudError> {
        let mut doubts = self.doubts.lock();
        let Doubts { left, clients, .. } = &mut *doubts;
        let [left_of_record, left_of_others] = left;
        let takes = match of_record {
            true => ON_RECORD.pace.take(left_of_record, now),
            // The client's own first: one that has none left takes none of the others'.
            false => {
                takes_of_its_own(clients, client(from), now)
                    && NOT_ON_RECORD.pace.take(left_of_others, now)
            }
        };
        match takes {
            true => Ok(()),
            false => Err(CloudError::SlowDown(
                "too many keys are asked for that this region does not know".into(),
            )),
        }
    }

    fn doubt(&self, key: &str, is_key: bool, from: IpAddr, now: Instant) {
        let mut doubts = self.doubts.lock();
        if doubts.nobody.len() >= REMEMBERED_MAX || doubts.wrong.len() >= REMEMBERED_MAX {
            (doubts.nobody, doubts.wrong) = Default::default();
        }
        match is_key {
            true => drop(doubts.wrong.insert(client(from), now)),
            false => drop(doubts.nobody.insert(key.to_owned(), now + NOBODY)),
        }
    }
}

fn takes_of_its_own(clients: &mut HashMap<IpAddr, Left>, from: IpAddr, now: Instant) -> bool {
    if types::planted("strangers-share-all") {
        return true;
    }
    if clients.len() >= CLIENTS_MAX && !clients.contains_key(&from) {
        clients.clear();
    }
    OF_ONE_CLIENT.take(clients.entry(from).or_default(), now)
}

/// Accounts whose keys a region is given unasked, found once each.
pub(crate) struct Served<'s> {
    state: &'s State,
    region: &'s RegionId,
    /// The operator of the registry's region.
    keeper: Option<&'s str>,
    /// The registry's region.
    keeper_id: &'s str,
    found: HashMap<String, bool>,
}

impl<'s> Served<'s> {
    pub(crate) fn by(state: &'s State, region: &'s RegionId, keeper_id: &'s str) -> Self {
        let keeper = state.regions.get(keeper_id).map(|r| r.operator.as_str());
        Self {
            state,
            region,
            keeper,
            keeper_id,
            found: HashMap::new(),
        }
    }

    /// Whether the region is given the keys of this account.
    pub(crate) fn has(&mut self, account: &str) -> bool {
        if let Some(found) = self.found.get(account) {
            return *found;
        }
        let found = self.state.accounts.get(account);
        let serves = found.is_some_and(|account| {
            self.looks_after(account) || self.holds(account) || self.takes_old(account)
        });
        let serves = serves || types::planted("keys-for-every-region");
        self.found.insert(account.to_owned(), serves);
        serves
    }

    /// Operators administer the regions that are theirs, the cloud's own those of the operator that
    /// keeps the registry.
    fn looks_after(&self, account: &Account) -> bool {
        let operator = match (account.root, &account.operator) {
            (true, _) => self.keeper,
            (false, operator) => operator.as_deref(),
        };
        let region = self.state.regions.get(&**self.region);
        region.is_some_and(|region| operator == Some(region.operator.as_str()))
    }

    /// A signature with HMAC-SHA1 cannot prove to the registry that its key's holder came: it
    /// covers names of objects, which stay where they are.
    fn takes_old(&self, account: &Account) -> bool {
        self.state.gives_old(account, self.region, self.keeper_id)
    }

    fn holds(&self, account: &Account) -> bool {
        let owned = self.state.deeds.by_owner.get(&account.account_id());
        owned.is_some_and(|owned| owned.values().any(|deed| self.concerns(deed)))
    }

    /// Whether the bucket is stored there, or its owner trusts that region.
    fn concerns(&self, deed: &BucketDeed) -> bool {
        let operator = |id: &str| self.state.regions.get(id).map(|region| &region.operator);
        let trust = &deed.placement.trust;
        let mut trusted = trust.reads.iter().chain(&trust.writes);
        deed.holding(self.region) != Holding::Nothing
            || trusted.any(|forwarder| match forwarder {
                Forwarder::Region(region) => region == self.region,
                Forwarder::Operator => operator(self.region) == operator(&deed.home),
            })
    }

    /// The users whose rights depend on a group or managed policy.
    pub(crate) fn users_with(&self, id: &str) -> Vec<String> {
        self.state.users_with(id).into_iter().collect()
    }

    /// The roles whose rights depend on a managed policy.
    pub(crate) fn roles_with(&self, id: &str) -> Vec<String> {
        self.state.roles_with(id).into_iter().collect()
    }

    /// The owner of a bucket, if that concerns the region.
    pub(crate) fn owner_of(&self, name: &str) -> Option<String> {
        let deed = self.state.deeds.get(name)?;
        self.concerns(deed).then(|| deed.owner.to_string())
    }
}

impl Registry {
    /// Learns the key with which a request to this region was signed, if the registry says that it
    /// was. Nothing to learn where the registry is kept. `from` is the client's address; clients
    /// without one are counted as one.
    ///
    /// # Errors
    /// `Unavailable` and `SlowDown`: nobody can say now.
    pub async fn introduce(
        &self,
        statement: &Statement,
        service: Service,
        from: Option<IpAddr>,
    ) -> Result<Introduced, CloudError> {
        let (Keeper::There(upstream), key) = (&self.keeper, &statement.access_key) else {
            return Ok(Introduced::Nobody);
        };
        // The keys that verify those are sent unasked, or not at all.
        if statement.is_old() {
            return Ok(Introduced::Nobody);
        }
        let is_ours = statement.is_for(self.own());
        if !is_ours || !days(self.clock.now()).contains(&statement.day) {
            return Ok(Introduced::Nobody);
        }
        // What cannot be opened here is nothing to ask about.
        let Some(origin) = self.origin(statement).await? else {
            return Ok(Introduced::Nobody);
        };
        let parent = origin.as_deref();
        let from = from.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
        for _ in 0..ROUNDS_MAX {
            let is_of_record = self.has_on_record(parent.unwrap_or(key))
                && self.introductions.is_trusted(from, Instant::now());
            let [of_record, of_others] = &self.introductions.at_once;
            let places = if is_of_record { of_record } else { of_others };
            let one = tokio::time::timeout(WITHIN, places.acquire());
            let Ok(Ok(_one)) = one.await else {
                return Err(away("the registry's region does not answer in time"));
            };
            // Somebody else's question may have brought it.
            match self.knows_signer(statement) {
                Some(true) => return Ok(Introduced::Known),
                Some(false) => return Ok(Introduced::Nobody),
                None => {}
            }
            let now = Instant::now();
            if self.introductions.is_nobodys(key, now) {
                return Ok(Introduced::Nobody);
            }
            self.introductions.is_away(now)?;
            self.introductions.take_room(is_of_record, from, now)?;
            let ask = Ask::Introduce(Box::new(Introduction::new(statement, service)));
            let told = tokio::time::timeout(WITHIN, upstream.ask(ask)).await;
            let Ok(Ok(told)) = told else {
                *self.introductions.away.lock() = Some(Instant::now() + AWAY);
                return Err(away("the registry's region does not answer"));
            };
            match told {
                RegistryAnswer::Introduced {
                    keys, role, length, ..
                } if keys.is_some() || role.is_some() => {
                    let told = (keys.as_deref(), role.as_ref());
                    if self.keep_introduced(told, parent, length).await? {
                        return Ok(Introduced::Known);
                    }
                }
                RegistryAnswer::Introduced { is_key, .. } => {
                    self.introductions.doubt(key, is_key, from, now);
                    return Ok(Introduced::Nobody);
                }
                RegistryAnswer::Refused(why) => return Err(CloudError::Refused(why)),
                _ => return Err(away("an answer to another question")),
            }
        }
        Err(CloudError::SlowDown("the key changes too often".into()))
    }

    /// The long-term key with which the session of a signature began; `Some(None)` for a signature
    /// that is none of a session, `None` for a token that is no good here.
    async fn origin(&self, statement: &Statement) -> Result<Option<Option<String>>, CloudError> {
        let Some(token) = &statement.token else {
            return Ok(Some(None));
        };
        self.meet_first_session().await?;
        let origin = self.origin_of_session(token, &statement.access_key);
        Ok(origin.map(Some))
    }

    /// Whether this region has what it needs for a signature: `Some(false)` where it knows that the
    /// key opens nothing.
    fn knows_signer(&self, statement: &Statement) -> Option<bool> {
        let key = &statement.access_key;
        match &statement.token {
            None if statement.is_asymmetric() => self.knows_public(key),
            None => self.knows_day(key, &statement.day),
            Some(token) => self.session_caller(token, key).map(|_| true),
        }
    }

    /// Gets what opens tokens, if this region has none yet.
    async fn meet_first_session(&self) -> Result<(), CloudError> {
        if !self.lacks_token_keys() {
            return Ok(());
        }
        let [_, of_others] = &self.introductions.at_once;
        let got = async {
            let Ok(_one) = of_others.acquire().await else {
                return Ok(());
            };
            match self.lacks_token_keys() {
                false => Ok(()),
                true => {
                    self.introductions.is_away(Instant::now())?;
                    self.meet_sessions().await
                }
            }
        };
        let got = tokio::time::timeout(WITHIN, got).await;
        let got =
            got.unwrap_or_else(|_| Err(away("the registry's region does not answer in time")));
        if got.is_err() {
            *self.introductions.away.lock() = Some(Instant::now() + AWAY);
        }
        got
    }

    /// Whether the log that this region has names the key: that needs no secret.
    fn has_on_record(&self, key: &str) -> bool {
        self.state.read().origin_since(key).is_some()
            && !types::planted("newcomers-among-strangers")
    }

    /// Whether this region has the key for that day: `Some(false)` where it knows that the key
    /// opens nothing.
    fn knows_day(&self, key: &str, day: &str) -> Option<bool> {
        let state = self.state.read();
        let known = state.verifiers.get(key)?;
        match known.active {
            false => Some(false),
            true => known.has_day(day).then_some(true),
        }
    }

    /// The same of the public key.
    fn knows_public(&self, key: &str) -> Option<bool> {
        let state = self.state.read();
        let known = state.verifiers.get(key)?;
        match known.active {
            false => Some(false),
            true => known.public.is_some().then_some(true),
        }
    }

    /// Keeps what the registry sent when its log had `length` entries, unless this region has
    /// received more: then the key may be disabled by now.
    async fn keep_introduced(
        &self,
        (keys, role): (Option<&DerivedKeys>, Option<&SentRole>),
        parent: Option<&str>,
        length: u64,
    ) -> Result<bool, CloudError> {
        let account = keys.map(|keys| &keys.account);
        let account = account.or_else(|| role.map(|role| &role.account));
        // A new account, or the key with which a session began, may be on its way here.
        let heard = self.heard(|state| {
            account.is_some_and(|id| state.accounts.contains_key(id))
                && parent.is_none_or(|parent| state.origin_since(parent).is_some())
        });
        heard.await?;
        let turn = self.turn().await;
        if self.state.read().length() > length {
            return Ok(false);
        }
        if let Some(keys) = keys {
            self.keep_keys(std::slice::from_ref(keys), true).await?;
            tracing::info!(key = keys.id, "the key of a new caller was learned");
        }
        if let Some(role) = role {
            self.keep_roles(std::slice::from_ref(role), true).await?;
            tracing::info!(role = role.role.id, "the role of a new session was learned");
        }
        drop(turn);
        Ok(true)
    }

    /// Answers a region that shows a signature over a request to it.
    pub(crate) fn answer_introduced(
        &self,
        to: &RegionId,
        introduction: &Introduction,
    ) -> RegistryAnswer {
        let service = match introduction.admin {
            true => Service::Admin,
            false => Service::S3,
        };
        let state = self.state.read();
        let length = state.length();
        let nobody = |is_key| RegistryAnswer::Introduced {
            keys: None,
            role: None,
            is_key,
            length,
        };
        let introduced = |keys| RegistryAnswer::Introduced {
            keys: Some(Box::new(keys)),
            role: None,
            is_key: true,
            length,
        };
        let statement = introduction.signed.read();
        let days = days(self.clock.now());
        let asked = statement.filter(|s| s.is_for(to) && days.contains(&s.day));
        let Some(statement) = asked else {
            return nobody(true);
        };
        if let Some(token) = &statement.token {
            let found = self.session_shown(&state, to, (token, &statement), service);
            return match found {
                Ok((keys, role)) => RegistryAnswer::Introduced {
                    keys: keys.map(Box::new),
                    role,
                    is_key: true,
                    length,
                },
                Err(is_key) => nobody(is_key),
            };
        }
        let Some(keys) = self.derive_for(&state, &statement.access_key, to) else {
            return nobody(false);
        };
        if statement.is_asymmetric() {
            let key = state.verifying_key(&statement.access_key);
            return match key.filter(|key| statement.is_proven_by_public(&key.key)) {
                Some(_) => {
                    self.note_shown(to, &keys.id);
                    introduced(self.public_alone(&state, to, keys))
                }
                None => nobody(keys.active),
            };
        }
        let day = keys.days.get(&statement.day).filter(|_| keys.active);
        let Some(day) = day.and_then(|day| hex::decode(day).ok()?.try_into().ok()) else {
            return nobody(false);
        };
        let key: HmacKey = service_key(&day, service.name()).into();
        match statement.is_proven_for(service, &key) || types::planted("keys-for-the-asking") {
            true => {
                self.note_shown(to, &keys.id);
                introduced(keys)
            }
            false => nobody(true),
        }
    }

    /// Reports of the region about the key count from now on.
    fn note_shown(&self, to: &RegionId, key: &str) {
        self.uses.was_shown(to, key, self.clock.now().ms());
    }
}

impl Registry {
    /// What a region gets of a key for an asymmetric signature: nothing with which it could sign,
    /// unless it receives that unasked anyway.
    fn public_alone(&self, state: &State, to: &RegionId, keys: DerivedKeys) -> DerivedKeys {
        match Served::by(state, to, self.own()).has(&keys.account) {
            true => keys,
            false => DerivedKeys {
                days: BTreeMap::new(),
                ..keys
            },
        }
    }

    /// What a region is to know of a session with whose key a request to it was signed: the role,
    /// or who holds the long-term key, without what verifies that key's signatures. `Err`: nothing,
    /// and whether there is such a session.
    fn session_shown(
        &self,
        state: &State,
        to: &RegionId,
        (token, statement): (&SessionToken, &Statement),
        service: Service,
    ) -> Result<(Option<DerivedKeys>, Option<SentRole>), bool> {
        let key = (token, &*statement.access_key);
        let bound = self.session_bound_to(state, key, (&statement.day, to));
        let (account, who, bound) = bound.ok_or(false)?;
        let key: HmacKey = service_key(&bound, service.name()).into();
        if !statement.is_proven_for(service, &key) {
            return Err(true);
        }
        let session = who.session().ok_or(false)?;
        // A region outside the guard has no envelope of the token, and gets nothing else either.
        if !state.is_within_guard(&account, to) {
            return Err(true);
        }
        if let SessionOf::Role(role) = &session.of {
            return Ok((None, state.role_for(&role.id, to)));
        }
        let keys = self.derive_for(state, &session.parent, to);
        let without = |keys| DerivedKeys {
            days: BTreeMap::new(),
            ..keys
        };
        Ok((keys.map(without), None))
    }
}

fn away(why: &str) -> CloudError {
    CloudError::Unavailable(why.to_owned())
}
