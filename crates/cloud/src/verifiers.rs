//! What verifies requests: signing keys derived for one region and one day.
//!
//! The registry's region derives them from secrets. Other regions are given the key of SigV4's
//! chain that is bound to day and region, for the days around today, and derive the rest: whoever
//! steals such a region can sign for that region and those days, and for nothing else.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
};

use access::{
    NewBuckets, NoOldKey, OldSigner, PublicAccessBlock, SessionToken, SigningKey, SigningKeys,
    TokenFault, VerifyingKey, Who,
    signature::{OldKey, PublicKey, Service},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use types::{
    AccountId, Random, RegionId, Timestamp,
    features::{ASYMMETRIC_SIGNATURES, IDENTITIES},
};

use crate::{
    Account, CloudError, KeyStatus, MasterKey, Registry,
    change::RowNow,
    keys::{region_key, service_key},
    kinds::{FORMAT, FORMAT_OF_USERS, Outdated, Record},
    principals::{SentUser, digest, holder},
    state::State,
};

/// Presigned URLs live seven days, so keys of past days are still needed.
const DAYS_BEFORE: u64 = 7;
/// A region that cannot reach the registry goes on for these days.
const DAYS_AHEAD: u64 = 3;
const DAY_MS: u64 = 86_400_000;
/// Access keys whose derived signing keys are kept; past that the cache is emptied.
const DERIVED_MAX: usize = 4096;
/// Derived signing keys kept of one access key; past that the oldest goes.
const SCOPES_MAX: usize = 8;

/// A derived signing key and what it is for.
struct Scoped {
    /// `YYYYMMDD`.
    day: String,
    region: RegionId,
    service: String,
    key: SigningKey,
}

/// Signing keys that were derived before, by access key. Few of each, so that a list finds one
/// without allocating.
#[derive(Default)]
pub(crate) struct Derived(Mutex<HashMap<String, Vec<Scoped>>>);

impl Derived {
    /// Drops what was derived of an access key, or of all.
    pub(crate) fn forget(&self, access_key: Option<&str>) {
        let mut derived = self.0.lock();
        match access_key {
            Some(id) => drop(derived.remove(id)),
            None => derived.clear(),
        }
    }

    /// Drops what was derived of the keys of a user.
    pub(crate) fn forget_user(&self, id: &str) {
        let is_theirs = |one: &Scoped| matches!(&one.key.who, Who::User(user) if user.id == id);
        let mut derived = self.0.lock();
        derived.retain(|_, scopes| !scopes.iter().any(is_theirs));
    }
}

/// The days for which a region holds keys, as SigV4 writes them (`YYYYMMDD`).
pub(crate) fn days(now: Timestamp) -> Vec<String> {
    let first = now.ms().saturating_sub(DAYS_BEFORE * DAY_MS);
    (0..=DAYS_BEFORE + DAYS_AHEAD)
        .map(|n| Timestamp::from_ms(first + n * DAY_MS).iso_basic()[..8].to_owned())
        .collect()
}

/// An access key as a region gets it that does not keep the registry.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DerivedKeys {
    /// The access key.
    pub id: String,
    /// The account's id.
    pub account: String,
    /// Whether it opens anything.
    pub active: bool,
    /// By day, the key bound to day and region, in hex. Empty unless active.
    pub days: BTreeMap<String, String>,
    /// The user who holds it; the account itself does without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<SentUser>,
    /// What verifies its asymmetric signatures, in hex. Regions of older builds get none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
    /// What makes and verifies its signatures with HMAC-SHA1, in hex: for regions that the cloud's
    /// owner runs, where the account asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
}

/// What there is to compare of what was sent, but for the keys of days.
#[derive(Serialize)]
struct Compared<'k> {
    account: &'k str,
    active: bool,
    user: &'k Option<SentUser>,
    public: &'k Option<String>,
    old: &'k Option<String>,
}

impl DerivedKeys {
    /// The digest of everything but the keys of days.
    fn digest(&self) -> [u8; 32] {
        digest(&Compared {
            account: &self.account,
            active: self.active,
            user: &self.user,
            public: &self.public,
            old: &self.old,
        })
    }
}

/// The format of a row with a key of old signatures: a build that does not know these would keep
/// the key when the account takes no more of them.
const FORMAT_OF_OLD: u32 = 3;

/// The same at rest: each day's key sealed under the region's master key. The fields are those of
/// [`DerivedKeys`], written out: a field that is not known would be skipped in a flattened one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifierRecord {
    v: u32,
    /// It was sent when a customer's signature was shown, and not unasked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shown: bool,
    id: String,
    account: String,
    active: bool,
    days: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<SentUser>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    old: Option<String>,
}

/// Keys by day, in order of day: a region has many, so they take little room.
#[derive(Default)]
struct Days(Box<[(u32, [u8; 32])]>);

impl Days {
    /// A day as a number; `None` for what is not `YYYYMMDD`.
    fn number(day: &str) -> Option<u32> {
        let is_day = day.len() == 8 && day.bytes().all(|b| b.is_ascii_digit());
        is_day.then(|| day.parse().ok()).flatten()
    }

    fn get(&self, day: &str) -> Option<&[u8; 32]> {
        let day = Self::number(day)?;
        let at = self.0.binary_search_by_key(&day, |(day, _)| *day).ok()?;
        self.0.get(at).map(|(_, key)| key)
    }

    fn last(&self) -> Option<u32> {
        self.0.last().map(|(day, _)| *day)
    }

    /// Whether they are these, each in hex.
    fn are(&self, told: &BTreeMap<String, String>) -> bool {
        let is_same = |((day, key), (told_day, told)): (&(u32, [u8; 32]), (&String, &String))| {
            let mut bytes = [0; 32];
            let is_read = hex::decode_to_slice(told, &mut bytes).is_ok();
            is_read && bytes == *key && Self::number(told_day) == Some(*day)
        };
        self.0.len() == told.len() && self.0.iter().zip(told).all(is_same)
    }
}

/// The same in memory.
pub(crate) struct Verifier {
    pub account: String,
    pub active: bool,
    /// It was sent when a customer's signature was shown, and not unasked.
    pub shown: bool,
    /// Who of the account holds it.
    pub who: Who,
    /// What else the user's rights depend on.
    pub of: Vec<String>,
    /// What verifies its asymmetric signatures, where that was sent.
    pub public: Option<PublicKey>,
    /// What makes and verifies its signatures with HMAC-SHA1, where that was sent.
    pub old: Option<OldKey>,
    days: Days,
    /// [`DerivedKeys::digest`] of what was sent.
    digest: [u8; 32],
}

impl Verifier {
    pub(crate) fn has_day(&self, day: &str) -> bool {
        self.days.get(day).is_some()
    }

    /// Whether this region may not know who holds it.
    pub(crate) fn is_forbidden(&self, state: &State, region: &str) -> bool {
        !self.who.is_root() && !state.may_know_users(&self.account, region)
    }

    /// Whether it verifies nothing from `first` on, a day.
    pub(crate) fn ended_before(&self, first: &str) -> bool {
        self.days.last() < Days::number(first)
    }

    /// Whether this is what was sent, to the last letter of the last policy.
    pub(crate) fn is_unchanged(&self, told: &DerivedKeys, shown: bool) -> bool {
        self.shown == shown && self.days.are(&told.days) && self.digest == told.digest()
    }

    /// Its user, and what else the user's rights depend on.
    fn depends_on(&self) -> impl Iterator<Item = &str> {
        let user = match &self.who {
            Who::User(user) => Some(&*user.id),
            _ => None,
        };
        user.into_iter().chain(self.of.iter().map(String::as_str))
    }
}

/// All of them, by access key.
#[derive(Default)]
pub(crate) struct Verifiers {
    by_id: BTreeMap<String, Verifier>,
    /// What they depend on, each with the access key: a change of one user must not look at the
    /// keys of all.
    depending: BTreeSet<(Box<str>, Box<str>)>,
}

impl Deref for Verifiers {
    type Target = BTreeMap<String, Verifier>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Verifiers {
    fn put(&mut self, id: &str, verifier: Verifier) {
        self.remove(id);
        for what in verifier.depends_on() {
            self.depending.insert((what.into(), id.into()));
        }
        self.by_id.insert(id.to_owned(), verifier);
    }

    fn remove(&mut self, id: &str) {
        let Some(verifier) = self.by_id.remove(id) else {
            return;
        };
        for what in verifier.depends_on() {
            self.depending.remove(&(what.into(), id.into()));
        }
    }

    /// Nothing that is signed with a key is good any more. Answers whether something was.
    pub(crate) fn halt(&mut self, id: &str) -> bool {
        let Some(verifier) = self.by_id.get_mut(id).filter(|one| one.active) else {
            return false;
        };
        verifier.active = false;
        // Whatever is sent of the key next is written, also if it is what was sent before.
        verifier.digest = [0; 32];
        true
    }

    /// The access keys that depend on a user, group or managed policy.
    pub(crate) fn depending_on(&self, what: &str) -> impl Iterator<Item = &str> {
        let from = (Box::from(what), Box::from(""));
        let found = self.depending.range(from..);
        let found = found.take_while(move |(on, _)| **on == *what);
        found.map(|(_, id)| &**id)
    }
}

impl VerifierRecord {
    pub(crate) fn seal(
        keys: &DerivedKeys,
        shown: bool,
        master: &MasterKey,
        random: &dyn Random,
    ) -> Result<Self, CloudError> {
        let mut sealed = keys.clone();
        for (day, key) in &mut sealed.days {
            *key = master.seal(&format!("{}/{day}", keys.id), key, random)?;
        }
        if let Some(key) = &mut sealed.old {
            *key = master.seal(&format!("{}/old", keys.id), key, random)?;
        }
        let v = match (&sealed.old, &sealed.user) {
            (Some(_), _) => FORMAT_OF_OLD,
            (None, Some(_)) => FORMAT_OF_USERS,
            (None, None) => FORMAT,
        };
        let DerivedKeys {
            id,
            account,
            active,
            days,
            user,
            public,
            old,
        } = sealed;
        Ok(Self {
            v,
            shown,
            id,
            account,
            active,
            days,
            user,
            public,
            old,
        })
    }

    fn into_told(self) -> (bool, DerivedKeys) {
        let keys = DerivedKeys {
            id: self.id,
            account: self.account,
            active: self.active,
            days: self.days,
            user: self.user,
            public: self.public,
            old: self.old,
        };
        (self.shown, keys)
    }

    pub(crate) fn open(self, master: &MasterKey) -> Result<Verifier, CloudError> {
        let (shown, mut keys) = self.into_told();
        let wrong = || CloudError::Record("a derived key".into());
        let mut days = Vec::with_capacity(keys.days.len());
        for (day, sealed) in std::mem::take(&mut keys.days) {
            let key = master.open(&format!("{}/{day}", keys.id), &sealed)?;
            let mut bytes = [0; 32];
            hex::decode_to_slice(key, &mut bytes).map_err(|_| wrong())?;
            days.push((Days::number(&day).ok_or_else(wrong)?, bytes));
        }
        if let Some(sealed) = &mut keys.old {
            *sealed = master.open(&format!("{}/old", keys.id), sealed)?;
        }
        let digest = keys.digest();
        let public = keys.public.map(|text| text.parse()).transpose();
        let public = public.map_err(|_| CloudError::Record("a public key".into()))?;
        let old = keys.old.map(|key| key.parse::<OldKey>()).transpose();
        let old = old.map_err(|_| CloudError::Record("a key of old signatures".into()))?;
        let who = holder(keys.user.as_ref(), &keys.account);
        let of = keys.user.map(|user| user.of).unwrap_or_default();
        Ok(Verifier {
            who,
            of,
            account: keys.account,
            active: keys.active,
            shown,
            public,
            old,
            days: Days(days.into()),
            digest,
        })
    }
}

impl Record for VerifierRecord {
    const PREFIX: &'static str = "v/";
    const NEWEST: u32 = FORMAT_OF_OLD;
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[
        (
            "v/DHOWONE",
            concat!(
                r#"{"v":1,"shown":true,"id":"DHOWONE","account":"000000000001","active""#,
                r#":true,"days":{"20261129":"xFkEdRoPSioOWLB6Vj5TVKH8gu9GJO6unYlym1f2jw"#,
                r#"sXwgaPXcX+M9UL0VysyRNY7KyxthNvchnbC8Y9Bw6V0hPcLOwzRk3Bc7fceBNyNzXCoJ"#,
                r#"CgnJL0gKrDIVk="}}"#,
            ),
        ),
        (
            "v/DHOWFOUR",
            concat!(
                r#"{"v":1,"id":"DHOWFOUR","account":"000000000001","active":true,"days":{},"#,
                r#""public":"0415d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb"#,
                r#"0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0"}"#,
            ),
        ),
        (
            "v/DHOWTWO",
            r#"{"v":1,"id":"DHOWTWO","account":"000000000001","active":false,"days":{}}"#,
        ),
        (
            "v/DHOWTHREE",
            concat!(
                r#"{"v":2,"id":"DHOWTHREE","account":"000000000001","active":true,"days":{},"#,
                r#""user":{"id":"AIDAONE","name":"Alice","path":"/","policies":[{"name":"read","#,
                r#""text":"{}"}]}}"#,
            ),
        ),
    ];
    type Table = Verifiers;

    fn put(
        state: &mut State,
        master: &MasterKey,
        id: &str,
        value: &[u8],
    ) -> Result<(), CloudError> {
        let verifier = Self::read(value)?.open(master)?;
        state.verifiers.put(id, verifier);
        Ok(())
    }

    fn remove(state: &mut State, id: &str) -> Result<(), CloudError> {
        state.verifiers.remove(id);
        Ok(())
    }

    fn withdraw(state: &mut State, id: &str, now: &RowNow, _: Option<&RegionId>) -> bool {
        let stops = match now {
            RowNow::Removed => true,
            RowNow::Value(value) => Self::read(value.as_bytes()).is_ok_and(|new| !new.active),
            RowNow::Hidden(_) => false,
        };
        stops && state.verifiers.halt(id)
    }

    fn outdates(id: &str) -> Outdated<'_> {
        Outdated::Key(id)
    }
}

impl Registry {
    /// An access key as `region` may have it.
    pub(crate) fn derive_for(&self, state: &State, id: &str, region: &str) -> Option<DerivedKeys> {
        let key = state.keys.get(id)?;
        let user = match &key.record.user {
            None => None,
            // A build that does not know users would take the key for one of the account.
            Some(_) if !state.knows(region, IDENTITIES) => return None,
            Some(_) if !state.may_know_users(&key.record.account, region) => return None,
            Some(user) => Some(SentUser::of(state, &state.users.get(user)?.record)),
        };
        let account = state.accounts.get(&key.record.account);
        let suspended = account.is_none_or(|a| a.suspended);
        // A region that is called like a name of this one would get the keys of this one.
        let named_as_this = self.regions.iter().any(|own| **own == *region);
        let active = key.record.status == KeyStatus::Active && !suspended && !named_as_this;
        let enforced = state.unenforced(&key.record.account, region).is_none();
        let active = active && (enforced || types::planted("keys-for-who-cannot-enforce"));
        let day = |day: String| {
            let derived = region_key(&key.secret, &day, region);
            (day, hex::encode(derived))
        };
        let days = match active {
            true => days(self.clock.now()).into_iter().map(day).collect(),
            false => BTreeMap::new(),
        };
        let public = key.public_key().filter(|_| active);
        let public = public.filter(|_| state.knows(region, ASYMMETRIC_SIGNATURES));
        let old = active && self.may_have_old(state, &key.record.account, region);
        Some(DerivedKeys {
            id: id.to_owned(),
            account: key.record.account.clone(),
            active,
            days,
            user,
            public: public.map(ToString::to_string),
            old: old.then(|| key.old_key().to_hex()),
        })
    }

    /// The last day for which this region can verify requests; `None` when it has no keys.
    pub fn verifies_until(&self) -> Option<String> {
        let state = self.state.read();
        let ends = state.verifiers.values().filter_map(|v| v.days.last());
        ends.min().map(|day| format!("{day:08}"))
    }
}

impl SigningKeys for Registry {
    fn session_key(
        &self,
        token: &SessionToken,
        access_key: &str,
        day: &str,
        region: &RegionId,
        service: &str,
    ) -> Result<Option<SigningKey>, TokenFault> {
        self.signing_key_of_session(token, access_key, day, region, service)
    }

    fn signing_key(
        &self,
        access_key: &str,
        day: &str,
        region: &RegionId,
        service: &str,
    ) -> Option<SigningKey> {
        if !self.regions.contains(region) {
            return None;
        }
        let mut derived = self.derived.0.lock();
        let wanted = |s: &&Scoped| s.day == day && s.region == *region && s.service == service;
        if let Some(found) = derived
            .get(access_key)
            .and_then(|all| all.iter().find(wanted))
        {
            return Some(found.key.clone());
        }
        // Under the lock on purpose: a key that is disabled meanwhile cannot be put back.
        let state = self.state.read();
        let (account, who, key) = match state.keys.get(access_key) {
            Some(found) if found.record.status == KeyStatus::Active => {
                let key = region_key(&found.secret, day, region);
                (&found.record.account, state.holder(&found.record)?, key)
            }
            Some(_) => return None,
            // Keys were derived for the region's own name; an alias would need others.
            None if self.regions.first() != Some(region) => return None,
            None => {
                let found = state.verifiers.get(access_key).filter(|v| v.active)?;
                (&found.account, found.who.clone(), *found.days.get(day)?)
            }
        };
        let account = state.accounts.get(account).filter(|a| !a.suspended)?;
        // Another region that is called like an alias has the same keys.
        let own = self.regions.first() == Some(region);
        if !own && state.regions.contains_key(&**region) {
            return None;
        }
        let key = SigningKey {
            account: account.account_id(),
            kind: account.caller_kind(),
            guard: state.guard_policy(&account.id),
            who,
            key: service_key(&key, service).into(),
        };
        if derived.len() >= DERIVED_MAX && !derived.contains_key(access_key) {
            derived.clear();
        }
        let scopes = derived.entry(access_key.to_owned()).or_default();
        if scopes.len() >= SCOPES_MAX {
            scopes.remove(0);
        }
        scopes.push(Scoped {
            day: day.to_owned(),
            region: region.clone(),
            service: service.to_owned(),
            key: key.clone(),
        });
        Some(key)
    }

    fn public_key(&self, access_key: &str) -> Option<VerifyingKey> {
        self.state.read().verifying_key(access_key)
    }

    fn old_signer(&self, access_key: &str) -> Result<OldSigner, NoOldKey> {
        self.old_signer_here(access_key)
    }

    fn is_suspended(&self, access_key: &str, token: Option<&SessionToken>) -> bool {
        let opened = token.and_then(|token| self.open_session(token, access_key).ok());
        let state = self.state.read();
        let is = |id: &str| state.accounts.get(id).is_some_and(|a| a.suspended);
        if token.is_some() {
            return opened.is_some_and(|known| known.is_of(is));
        }
        let kept = state.keys.get(access_key).map(|key| &key.record.account);
        let told = || state.verifiers.get(access_key).map(|key| &key.account);
        kept.or_else(told).is_some_and(|account| is(account))
    }

    fn requires_asymmetric(&self, account: &AccountId) -> bool {
        let state = self.state.read();
        let found = state.accounts.get(&**account);
        found.is_some_and(|account| account.requires_asymmetric)
    }

    fn account_block(&self, account: &AccountId) -> PublicAccessBlock {
        let state = self.state.read();
        let found = state.accounts.get(&**account).and_then(Account::block);
        found.unwrap_or(PublicAccessBlock::NONE)
    }

    fn new_buckets(&self, account: &AccountId) -> Option<NewBuckets> {
        self.state.read().accounts.get(&**account)?.begins_with()
    }

    fn canonical_id(&self, account: &AccountId) -> Option<String> {
        let state = self.state.read();
        let found = state.accounts.get(&**account)?;
        (!found.canonical.is_empty()).then(|| found.canonical.clone())
    }

    fn account_of(&self, canonical: &str) -> Option<AccountId> {
        let state = self.state.read();
        let is_it = |account: &&Account| match account.canonical.is_empty() {
            true => account.id == canonical,
            false => account.canonical == canonical,
        };
        let found = state.accounts.values().find(is_it)?;
        Some(found.account_id())
    }

    fn note_use(&self, access_key: &str, service: Service, at: Timestamp) {
        self.note(access_key, service, at);
    }
}
