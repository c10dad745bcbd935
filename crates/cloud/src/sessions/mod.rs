//! Sessions: made where the registry is kept, and verified in every region from the token alone,
//! with the registry away and without any secret that lasts. Nothing is stored for one.
//!
//! What ends a session before its time: the role is gone, or the user; the long-term key with
//! which it began is disabled or deleted, or the identity provider is deleted; its account, or that
//! of the key, is suspended. It stays ended when the key is enabled again, another of that id is
//! made, or the account resumed: a token says how long the audit log was when the session began,
//! and each region has the log. What the role or user may do is asked with each request.

pub(crate) mod keys;
pub(crate) mod token;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use access::{
    CallerKind, GuardPolicy, Identity, Session, SessionOf, SessionPolicies, SessionToken,
    SigningKey, TokenFault, Who,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use types::{
    AccessKeyId, AccountId, RegionId, Timestamp,
    features::{SESSIONS, WEB_IDENTITY},
    limits::CLOCK_SKEW_S_MAX,
};

use self::token::{Claims, Head, Held, Kind, Opened};
use crate::{
    CloudError, KeyStatus, RegionStatus, Registry,
    introduce::Served,
    keys::{generate, region_key, service_key},
    state::State,
};

/// The longest session, in seconds.
pub const SESSION_S_MAX: u64 = 129_600;
/// Tokens that are remembered once they were opened; past that all are dropped.
const KNOWN_MAX: usize = 4096;
/// Signing keys kept of one session.
const SCOPES_MAX: usize = 4;

/// Whose session is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantOf {
    /// Of a role, by its unique id.
    Role(String),
    /// Of a user, by their unique id.
    User(String),
    /// Of the account itself.
    Root,
    /// By `GetFederationToken` of a user, by their unique id, or of the account itself.
    Federated(Option<String>),
}

/// A session that is to be made: whoever asks has decided that it may be.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The account of the role or user.
    pub account: AccountId,
    /// Whose it is.
    pub of: GrantOf,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The keys of those tags that go on.
    pub transitive: Vec<String>,
    /// Who is behind it.
    pub source_identity: Option<String>,
    /// What bounds it: JSON.
    pub policies: Vec<String>,
    /// The long-term key with which it begins, or the unique id of the identity provider.
    pub parent: String,
    /// The account of that key or provider.
    pub parent_account: AccountId,
    /// The ARN of the identity provider whose token was shown for it.
    pub provider: Option<String>,
    /// How many entries the audit log had before it was known that the key is good.
    pub begun: u64,
    /// Whether a role's session asks for it.
    pub chained: bool,
    /// How long it lasts, in seconds.
    pub seconds: u64,
}

/// A session as whoever asked for it gets it, once.
pub struct NewSession {
    /// Its key.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// What is to be sent with each request.
    pub token: String,
    /// When it ends.
    pub expires: Timestamp,
    /// How much of the room for policies and tags is taken, in per cent.
    pub packed: u64,
}

/// A token that was opened, and what was made of it.
pub(crate) struct Known {
    opened: Opened,
    policies: SessionPolicies,
    access_key: String,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    /// As it is decided by, while whom it is of stays the same.
    session: Option<Arc<Session>>,
    /// Signing keys, each with day, region and service.
    keys: Vec<([String; 3], access::signature::HmacKey)>,
}

/// Tokens that were opened, by their SHA-256. Only good ones are remembered.
#[derive(Default)]
pub(crate) struct Sessions {
    known: Mutex<HashMap<[u8; 32], Arc<Known>>>,
    /// Whether there are any, as far as is known here.
    used: AtomicBool,
}

impl Sessions {
    pub(crate) fn forget(&self) {
        self.known.lock().clear();
    }

    pub(crate) fn are_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn use_them(&self) {
        self.used.store(true, Ordering::Relaxed);
    }
}

/// A session whose account and holder are there.
struct Live {
    account: AccountId,
    kind: CallerKind,
    guard: GuardPolicy,
    session: Arc<Session>,
}

/// What is known of the long-term key with which a session began.
enum Parent {
    Gone,
    /// It is there, and whose it is is not known here.
    Unknown,
    Of(AccountId, Who),
}

impl State {
    /// Whether a region is where the account's guard allows it to have anything of the account.
    pub(crate) fn is_within_guard(&self, account: &str, region: &str) -> bool {
        let guard = self.accounts.get(account);
        let Some(Ok(guard)) = guard.map(crate::Account::guard_placement) else {
            return false;
        };
        let place = self.regions.get(region).map(|region| region.place());
        matches!(place, Some(Ok(place))
            if guard.jurisdictions.is_empty() || guard.admits(&place.jurisdiction))
    }

    /// Whether a region may learn who the users and roles of an account are and what they may do:
    /// these documents obey the law that the account's buckets obey.
    pub(crate) fn may_know_users(&self, account: &str, region: &str) -> bool {
        self.is_within_guard(account, region) || types::planted("users-outside-the-guard")
    }

    /// Since which entry of the audit log that is there with which a session began: a long-term
    /// key, or an identity provider.
    pub(crate) fn origin_since(&self, parent: &str) -> Option<u64> {
        let provider = self.providers.since(parent);
        provider.or_else(|| self.keys.named.get(parent).copied())
    }

    fn parent(&self, key: &str, keeps: bool) -> Parent {
        if let Some(found) = self.keys.get(key) {
            let active = found.record.status == KeyStatus::Active;
            let who = self.holder(&found.record).filter(|_| active);
            let account = AccountId::new(&found.record.account);
            return who.map_or(Parent::Gone, |who| Parent::Of(account, who));
        }
        match self.verifiers.get(key) {
            Some(found) if found.active => {
                Parent::Of(AccountId::new(&found.account), found.who.clone())
            }
            Some(_) => Parent::Gone,
            None if keeps || !self.keys.named.contains_key(key) => Parent::Gone,
            None if self.keys.disabled.contains(key) => Parent::Gone,
            None => Parent::Unknown,
        }
    }

    /// Whose session it is, as that is known here now; `None` where it is gone, or not known.
    fn session_of(&self, claims: &Claims, keeps: bool) -> Option<SessionOf> {
        let live = |id: &str| self.accounts.get(id).is_some_and(|a| !a.suspended);
        if !live(&claims.account) || !live(&claims.parent_account) {
            return None;
        }
        // A key that is made anew, and one that is enabled again, begins its sessions anew.
        let whose = [&*claims.account, &*claims.parent_account];
        let since = self.origin_since(&claims.parent);
        let parent = match self.keys.hold_since(since, whose, claims.begun) {
            true if self.providers.since(&claims.parent).is_some() => Parent::Unknown,
            true => self.parent(&claims.parent, keeps),
            false => Parent::Gone,
        };
        let parent = match parent {
            Parent::Gone if types::planted("sessions-outlive-their-key") => Parent::Unknown,
            parent => parent,
        };
        let account = &*claims.account;
        match (claims.kind, parent) {
            (_, Parent::Gone) => None,
            (Kind::Role, _) => {
                let role = self.role(&claims.principal)?;
                (*role.account == *account).then(|| SessionOf::Role(Arc::clone(role)))
            }
            (_, Parent::Unknown) => None,
            (Kind::Root, Parent::Of(of, Who::Root)) => (*of == *account).then_some(SessionOf::Root),
            (Kind::User, Parent::Of(_, Who::User(user))) => {
                let same = user.id == claims.principal && *user.account == *account;
                same.then_some(SessionOf::User(user))
            }
            (Kind::Federated, Parent::Of(of, Who::Root)) => {
                let same = claims.principal.is_empty() && *of == *account;
                same.then_some(SessionOf::Federated(None))
            }
            (Kind::Federated, Parent::Of(_, Who::User(user))) => {
                let same = user.id == claims.principal && *user.account == *account;
                same.then_some(SessionOf::Federated(Some(user)))
            }
            (Kind::Root, Parent::Of(_, Who::User(_)))
            | (Kind::User, Parent::Of(_, Who::Root))
            | (_, Parent::Of(_, Who::Session(_))) => None,
        }
    }
}

impl Known {
    /// Whether this is so of its account, or of the one of the key with which it began.
    pub(crate) fn is_of(&self, account: impl Fn(&str) -> bool) -> bool {
        let claims = &self.opened.claims;
        account(&claims.account) || account(&claims.parent_account)
    }

    /// The session, as it is decided by now.
    fn session(&self, of: SessionOf) -> Arc<Session> {
        let mut made = self.made.lock();
        if let Some(session) = made.session.as_ref().filter(|one| is_same(&one.of, &of)) {
            return Arc::clone(session);
        }
        let Opened { claims, head, .. } = &self.opened;
        let mut tags: Vec<(String, String)> = match &of {
            SessionOf::Role(role) => role.tags.clone(),
            SessionOf::User(user) => user.tags.clone(),
            SessionOf::Root | SessionOf::Federated(_) => Vec::new(),
        };
        // Those of the session are over the role's; a key in another case is the same key, as it
        // is to policies: of ASCII letters.
        let given = |key: &str| {
            let mut keys = claims.tags.keys();
            keys.any(|own| own.eq_ignore_ascii_case(key))
        };
        tags.retain(|(key, _)| !given(key));
        tags.extend(claims.tags.clone());
        let session = Arc::new(Session {
            id: self.access_key.clone(),
            of,
            name: claims.name.clone(),
            tags,
            transitive: claims.transitive.clone(),
            source_identity: claims.source_identity.clone(),
            issued: Timestamp::from_s(head.issued),
            parent: claims.parent.clone(),
            parent_account: AccountId::new(&claims.parent_account),
            provider: claims.provider.clone(),
            chained: claims.chained,
            given: claims.tags.clone().into_iter().collect(),
            policies: self.policies.clone(),
        });
        made.session = Some(Arc::clone(&session));
        session
    }
}

fn is_same(one: &SessionOf, other: &SessionOf) -> bool {
    match (one, other) {
        (SessionOf::Root, SessionOf::Root)
        | (SessionOf::Federated(None), SessionOf::Federated(None)) => true,
        (SessionOf::Role(one), SessionOf::Role(other)) => Arc::ptr_eq(one, other),
        (SessionOf::User(one), SessionOf::User(other))
        | (SessionOf::Federated(Some(one)), SessionOf::Federated(Some(other))) => {
            Arc::ptr_eq(one, other)
        }
        _ => false,
    }
}

/// The UTC days in which requests of a session may be signed.
fn days(issued: u64, expires: u64) -> Vec<String> {
    const DAY_S: u64 = 86_400;
    let first = issued.saturating_sub(CLOCK_SKEW_S_MAX) / DAY_S;
    let last = (expires + CLOCK_SKEW_S_MAX) / DAY_S;
    (first..=last)
        .map(|day| Timestamp::from_s(day * DAY_S).iso_basic()[..8].to_owned())
        .collect()
}

impl Registry {
    /// How many entries the audit log has. To be asked before a request is verified that is to
    /// begin a session (`Grant::begun`).
    pub fn log_length(&self) -> u64 {
        self.state.read().length()
    }

    /// Makes a session. Whoever asks for it has decided that it may be.
    ///
    /// # Errors
    /// `Limit`: what bounds it is too large. `Elsewhere`: the registry is not kept here.
    pub fn issue_session(&self, grant: Grant) -> Result<NewSession, CloudError> {
        if !self.keeps() {
            return Err(CloudError::Elsewhere("of the registry".into()));
        }
        self.sessions.use_them();
        let (issued, now) = (self.clock.now().s(), self.clock.now());
        let seconds = grant.seconds.min(SESSION_S_MAX);
        let mut id = [0; 16];
        self.random.fill(&mut id);
        let head = Head {
            week: keys::week(issued),
            id,
            issued,
            expires: issued + seconds,
        };
        let (_, secret) = generate(&*self.random);
        let (kind, principal) = match grant.of {
            GrantOf::Role(id) => (Kind::Role, id),
            GrantOf::User(id) => (Kind::User, id),
            GrantOf::Root => (Kind::Root, String::new()),
            GrantOf::Federated(id) => (Kind::Federated, id.unwrap_or_default()),
        };
        let claims = Claims {
            account: grant.account.to_string(),
            kind,
            principal,
            name: grant.name,
            tags: grant.tags,
            transitive: grant.transitive,
            source_identity: grant.source_identity,
            policies: grant.policies,
            parent: grant.parent,
            parent_account: grant.parent_account.to_string(),
            provider: grant.provider,
            begun: grant.begun,
            chained: grant.chained,
        };
        let size = serde_json::to_vec(&claims).map_or(usize::MAX, |claims| claims.len());
        let envelopes = self.envelopes(&claims, &head, &secret);
        let token = token::seal(&head, &claims, &envelopes, &*self.random);
        let token = token.ok_or_else(|| {
            CloudError::Limit("the policies and tags of the session are too large".into())
        })?;
        tracing::info!(
            key = head.access_key(),
            account = claims.account,
            principal = claims.principal,
            parent = claims.parent,
            at = %now.iso8601(),
            "a session was made"
        );
        Ok(NewSession {
            access_key: head.access_key(),
            secret_key: secret,
            token,
            expires: Timestamp::from_s(head.expires),
            packed: (size * 100).div_ceil(token::CLAIMS_MAX) as u64,
        })
    }

    /// For each region that may take the session: its key, and what it is given. This region's own
    /// is the only one with the secret. First come those that hold something of the account; the
    /// account's guard allows no others than it allows buckets.
    fn envelopes(
        &self,
        claims: &Claims,
        head: &Head,
        secret: &str,
    ) -> Vec<(token::TokenKey, Held)> {
        let account = &*claims.account;
        let state = self.state.read();
        // Others would not read the claims.
        let needs = match state.providers.since(&claims.parent) {
            Some(_) => WEB_IDENTITY,
            None => SESSIONS,
        };
        let mut all = vec![(
            self.derived_key(&state, self.own(), head.week),
            Held::Secret(secret.to_owned()),
        )];
        let open = state.regions.values().filter(|region| {
            let is_open = matches!(region.status, RegionStatus::Open | RegionStatus::Draining);
            let within = state.is_within_guard(account, &region.id);
            let knows = || {
                let enforced = state.unenforced(account, &region.id).is_none();
                let told = self.withheld(&region.id).is_none();
                enforced && told && region.features().has(needs)
            };
            is_open && within && region.id != self.own() && knows()
        });
        let mut regions: Vec<RegionId> = open.map(|region| RegionId::new(&region.id)).collect();
        let serves = |region: &RegionId| Served::by(&state, region, self.own()).has(account);
        regions.sort_by_cached_key(|region| !serves(region));
        let days = days(head.issued, head.expires);
        for region in regions.iter().take(token::REGIONS_MAX - 1) {
            let key = |day: &String| (day.clone(), region_key(secret, day, region));
            let held = Held::Days(days.iter().map(key).collect());
            all.push((self.derived_key(&state, region, head.week), held));
        }
        all
    }

    /// Opens a token that came with an access key.
    pub(crate) fn open_session(
        &self,
        token: &SessionToken,
        access_key: &str,
    ) -> Result<Arc<Known>, TokenFault> {
        let digest: [u8; 32] = Sha256::digest(token.as_str().as_bytes()).into();
        let known = self.sessions.known.lock().get(&digest).cloned();
        let known = match known {
            Some(known) => known,
            None => {
                let known = Arc::new(self.open_new(token)?);
                let mut all = self.sessions.known.lock();
                if all.len() >= KNOWN_MAX {
                    all.clear();
                }
                all.insert(digest, Arc::clone(&known));
                known
            }
        };
        let head = &known.opened.head;
        let is_of =
            subtle::ConstantTimeEq::ct_eq(known.access_key.as_bytes(), access_key.as_bytes());
        if !bool::from(is_of) {
            return Err(TokenFault::Invalid);
        }
        let now = self.clock.now().s();
        if now >= head.expires && !types::planted("sessions-never-end") {
            return Err(TokenFault::Expired);
        }
        match head.issued > now + CLOCK_SKEW_S_MAX {
            true => Err(TokenFault::Invalid),
            false => Ok(known),
        }
    }

    fn open_new(&self, token: &SessionToken) -> Result<Known, TokenFault> {
        let read = token::read(token.as_str()).ok_or(TokenFault::Invalid)?;
        let head = read.head;
        let length = head.expires.checked_sub(head.issued);
        // The key of a week is for what was made in that week.
        let fits = length.is_some_and(|length| (1..=SESSION_S_MAX).contains(&length))
            && keys::week(head.issued) == head.week;
        if !fits {
            return Err(TokenFault::Invalid);
        }
        let key = self.own_key(&self.state.read(), head.week);
        let key = key.ok_or(TokenFault::Outdated)?;
        let opened = read.open(&key).ok_or(TokenFault::Invalid)?;
        let texts = opened.claims.policies.iter().map(String::as_str);
        Ok(Known {
            policies: SessionPolicies::compile(texts),
            access_key: head.access_key(),
            opened,
            made: Mutex::default(),
        })
    }

    fn live_session(&self, state: &State, known: &Known) -> Option<Live> {
        let claims = &known.opened.claims;
        let ended = state.ended.until(&claims.account, &known.access_key);
        if ended.is_some() && !types::planted("ended-sessions-go-on") {
            return None;
        }
        let of = state.session_of(claims, self.keeps())?;
        let account = state.accounts.get(&claims.account)?;
        Some(Live {
            account: account.account_id(),
            kind: account.caller_kind(),
            guard: state.guard_policy(&account.id),
            session: known.session(of),
        })
    }

    /// The signing key of a session.
    pub(crate) fn signing_key_of_session(
        &self,
        token: &SessionToken,
        access_key: &str,
        day: &str,
        region: &RegionId,
        service: &str,
    ) -> Result<Option<SigningKey>, TokenFault> {
        if !self.regions.contains(region) {
            return Ok(None);
        }
        let known = self.open_session(token, access_key)?;
        let state = self.state.read();
        let Some(live) = self.live_session(&state, &known) else {
            return Ok(None);
        };
        let own = self.regions.first() == Some(region);
        // Another region that is called like an alias has keys of its own.
        if !own && state.regions.contains_key(&**region) {
            return Ok(None);
        }
        drop(state);
        let mut made = known.made.lock();
        let wanted = |scope: &[String; 3]| *scope == [day, region, service];
        let found = made.keys.iter().find(|(scope, _)| wanted(scope));
        let key = match found {
            Some((_, key)) => key.clone(),
            None => {
                let Some(bound) = known.opened.held.bound_to(day, region, own) else {
                    return Ok(None);
                };
                let key: access::signature::HmacKey = service_key(&bound, service).into();
                if made.keys.len() >= SCOPES_MAX {
                    made.keys.remove(0);
                }
                let scope = [day.to_owned(), region.to_string(), service.to_owned()];
                made.keys.push((scope, key.clone()));
                key
            }
        };
        Ok(Some(SigningKey {
            account: live.account,
            kind: live.kind,
            guard: live.guard,
            who: Who::Session(live.session),
            key,
        }))
    }

    /// Who sends a request with a session's key, as that is known here now: nothing is said of the
    /// request's signature.
    pub fn session_caller(&self, token: &SessionToken, access_key: &str) -> Option<Identity> {
        let known = self.open_session(token, access_key).ok()?;
        let state = self.state.read();
        let live = self.live_session(&state, &known)?;
        Some(Identity::Key {
            access_key: AccessKeyId::new(access_key),
            account: live.account,
            kind: live.kind,
            guard: live.guard,
            who: Who::Session(live.session),
        })
    }

    /// Where the registry is kept: the key of a session that is bound to a day and region, with
    /// whose it is.
    pub(crate) fn session_bound_to(
        &self,
        state: &State,
        (token, access_key): (&SessionToken, &str),
        (day, region): (&str, &str),
    ) -> Option<(AccountId, Who, [u8; 32])> {
        let known = self.open_session(token, access_key).ok()?;
        let Held::Secret(secret) = &known.opened.held else {
            return None;
        };
        let days = days(known.opened.head.issued, known.opened.head.expires);
        if !days.iter().any(|own| own == day) {
            return None;
        }
        let live = self.live_session(state, &known)?;
        let key = region_key(secret, day, region);
        Some((live.account, Who::Session(live.session), key))
    }

    /// The long-term key with which a session began.
    pub(crate) fn origin_of_session(
        &self,
        token: &SessionToken,
        access_key: &str,
    ) -> Option<String> {
        let known = self.open_session(token, access_key).ok()?;
        Some(known.opened.claims.parent.clone())
    }
}

impl Held {
    fn bound_to(&self, day: &str, region: &str, own: bool) -> Option<[u8; 32]> {
        match self {
            Self::Secret(secret) => Some(region_key(secret, day, region)),
            // They are for the region's own name.
            Self::Days(days) if own => {
                let found = days.iter().find(|(own, _)| own == day);
                found.map(|(_, key)| *key)
            }
            Self::Days(_) => None,
        }
    }
}

/// Keys that the audit log says are disabled, where the registry is followed.
pub(crate) type Disabled = BTreeSet<String>;
