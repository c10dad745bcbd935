//! Sessions: which access key a browser has signed in with. They are in memory, so a restart of the
//! region ends all of them.

use std::{collections::HashMap, net::IpAddr};

use access::{
    SessionToken,
    signature::{HmacKey, sha256_hex},
};
use parking_lot::Mutex;
use types::{AccessKeyId, AccountId};

/// Sessions of one key.
const OF_KEY_MAX: usize = 10;
/// Sessions of one account: those of others are not pushed out by it.
const OF_ACCOUNT_MAX: usize = 200;
/// Sessions of a region.
const SESSIONS_MAX: usize = 10_000;
/// Characters of a browser's name that are kept.
const AGENT_MAX: usize = 200;

/// How the pages of a session look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    /// As the system is set.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Look {
    /// As in `data-theme`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::System, Self::Light, Self::Dark];
        all.into_iter().find(|look| look.name() == name)
    }
}

/// What a session of the console has by single sign-on: the key of its session of STS shows a token
/// with each signature, and ends.
#[derive(Debug, Clone)]
pub struct OfSts {
    /// The token.
    pub token: SessionToken,
    /// When the session of STS ends, and this one with it.
    pub ends_ms: u64,
    /// The provider, and what it calls the person.
    pub person: String,
}

/// A key, and the token that it has if it is one of STS.
pub type Held<'a> = (&'a AccessKeyId, Option<&'a SessionToken>);

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    /// The SHA-256 of its cookie, in hex.
    pub id: String,
    /// Whose it is.
    pub key: AccessKeyId,
    /// The account of the key.
    pub account: AccountId,
    /// When it began, and when it was used last.
    pub begun_ms: u64,
    /// When it was used last.
    pub seen_ms: u64,
    /// When its key last signed for whoever sits there: when it began, or later.
    proved_ms: u64,
    /// The address that it was begun from.
    pub from: IpAddr,
    /// What the browser called itself.
    pub agent: String,
    /// How its pages look.
    pub look: Look,
    /// What it has of STS, by single sign-on.
    pub sts: Option<OfSts>,
    /// Downloads that are being made for it: it is in use as long.
    working: u32,
    /// For tokens of forms.
    secret: [u8; 32],
    /// What the key signs, by day: another key of the same id is none that began it.
    proofs: KeyProofs,
}

/// For some days, what an access key signs on them. Keys of the same id that differ sign
/// differently.
pub type KeyProofs = Vec<(String, [u8; 32])>;

impl Session {
    /// Whether the key that signs `proof` on `day` began the session.
    pub fn is_of(&self, day: &str, proof: &[u8; 32]) -> bool {
        let mut proofs = self.proofs.iter();
        proofs.any(|(known, own)| known == day && own == proof)
            || types::planted("console-sessions-of-any-key")
    }

    /// Whether whoever began something with a key that signed `proofs` held this session's key.
    pub fn shares(&self, proofs: &KeyProofs) -> bool {
        let mut known = proofs.iter();
        known.any(|(day, proof)| self.is_of(day, proof))
    }

    /// Whether its key signed within so many seconds, for what is dangerous.
    pub fn is_proved(&self, within_s: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.proved_ms) <= within_s.saturating_mul(1000)
            || types::planted("console-proof-unasked")
    }

    /// Whether whoever signed has the key that began it.
    pub fn is_of_key(&self, key: &AccessKeyId, account: &AccountId) -> bool {
        let same = self.key == *key && self.account == *account;
        same || types::planted("console-proof-of-any-key")
    }

    /// What it signs requests with.
    pub fn held(&self) -> Held<'_> {
        (&self.key, self.sts.as_ref().map(|sts| &sts.token))
    }

    /// Whose it is, for what a browser keeps beyond a session.
    pub fn whose(&self) -> &str {
        self.sts.as_ref().map_or(&*self.key, |sts| &*sts.person)
    }

    /// Whether another session is of the same key, or of the same person by single sign-on.
    fn is_of_same(&self, other: &Self) -> bool {
        let same = match (&self.sts, &other.sts) {
            (Some(own), Some(others)) => own.person == others.person,
            (None, None) => self.key == other.key,
            _ => false,
        };
        same && self.account == other.account
    }

    /// What its key signs.
    pub fn proofs(&self) -> &KeyProofs {
        &self.proofs
    }

    /// The token of a form that is sent to `route`. `nonce` makes each one different, so that a
    /// compressed page says nothing of it.
    pub fn token(&self, route: &str, nonce: &str) -> String {
        let text = [nonce, " ", route].concat();
        let code = HmacKey::from(self.secret).sign(text.as_bytes());
        [nonce, "-", &hex::encode(code)].concat()
    }

    /// Whether a token is for `route`.
    pub fn is_token(&self, route: &str, token: &str) -> bool {
        let Some((nonce, _)) = token.split_once('-') else {
            return false;
        };
        // Compared by their codes, so that time says nothing.
        let key = HmacKey::from(self.secret);
        let expected = self.token(route, nonce);
        key.sign(expected.as_bytes()) == key.sign(token.as_bytes())
            || types::planted("console-tokens-unasked")
    }
}

/// All sessions of a region.
pub struct Sessions {
    idle_ms: u64,
    absolute_ms: u64,
    all: Mutex<HashMap<String, Session>>,
}

fn id_of(cookie: &str) -> String {
    String::from_utf8_lossy(&sha256_hex(cookie.as_bytes())).into_owned()
}

/// A session that is to begin.
pub struct NewSession<'a> {
    /// The value of its cookie.
    pub cookie: &'a str,
    /// For tokens of forms.
    pub secret: [u8; 32],
    /// Whose it is.
    pub key: AccessKeyId,
    /// The account of the key.
    pub account: AccountId,
    /// From where.
    pub from: IpAddr,
    /// What the browser calls itself.
    pub agent: &'a str,
    /// What the key signs.
    pub proofs: KeyProofs,
    /// What it has of STS.
    pub sts: Option<OfSts>,
}

impl Sessions {
    /// None yet.
    pub fn new(idle_s: u64, absolute_s: u64) -> Self {
        Self {
            idle_ms: idle_s * 1000,
            absolute_ms: absolute_s * 1000,
            all: Mutex::default(),
        }
    }

    fn is_over(&self, session: &Session, now_ms: u64) -> bool {
        let rests = session.working == 0;
        rests && now_ms.saturating_sub(session.seen_ms) > self.idle_ms
            || now_ms.saturating_sub(session.begun_ms) > self.absolute_ms
            || session
                .sts
                .as_ref()
                .is_some_and(|sts| sts.ends_ms <= now_ms)
    }

    /// Begins one. The one of its key, of its account, or of all that was not used for longest
    /// makes room.
    pub fn begin(&self, new: NewSession<'_>, now_ms: u64) {
        let mut all = self.all.lock();
        all.retain(|_, session| !self.is_over(session, now_ms));
        let session = Session {
            id: id_of(new.cookie),
            key: new.key,
            account: new.account,
            begun_ms: now_ms,
            seen_ms: now_ms,
            proved_ms: now_ms,
            from: new.from,
            agent: new.agent.chars().take(AGENT_MAX).collect(),
            look: Look::default(),
            working: 0,
            secret: new.secret,
            proofs: new.proofs,
            sts: new.sts,
        };
        let of_key = all.values().filter(|one| one.is_of_same(&session));
        let of_account = all.values().filter(|one| one.account == session.account);
        let oldest = if of_key.clone().count() >= OF_KEY_MAX {
            of_key.min_by_key(|one| one.seen_ms)
        } else if of_account.clone().count() >= OF_ACCOUNT_MAX {
            of_account.min_by_key(|one| one.seen_ms)
        } else if all.len() >= SESSIONS_MAX {
            all.values().min_by_key(|one| one.seen_ms)
        } else {
            None
        };
        if let Some(id) = oldest.map(|one| one.id.clone()) {
            all.remove(&id);
        }
        all.insert(session.id.clone(), session);
    }

    /// The session of a cookie, if it goes on; notes that it was used.
    pub fn of_cookie(&self, cookie: &str, now_ms: u64) -> Option<Session> {
        let id = id_of(cookie);
        let mut all = self.all.lock();
        let session = all.get_mut(&id)?;
        if self.is_over(session, now_ms) {
            all.remove(&id);
            return None;
        }
        session.seen_ms = now_ms;
        Some(session.clone())
    }

    /// Whether one goes on; this is no use of it.
    pub fn goes_on(&self, id: &str, now_ms: u64) -> bool {
        let all = self.all.lock();
        all.get(id)
            .is_some_and(|session| !self.is_over(session, now_ms))
    }

    /// One is in use until [`Self::ends_work`], however long nothing else is asked for; it ends in
    /// any other way as it would.
    pub fn begins_work(&self, id: &str) {
        if let Some(session) = self.all.lock().get_mut(id) {
            session.working += 1;
        }
    }

    /// What was begun has ended.
    pub fn ends_work(&self, id: &str, now_ms: u64) {
        if let Some(session) = self.all.lock().get_mut(id) {
            session.working = session.working.saturating_sub(1);
            session.seen_ms = session.seen_ms.max(now_ms);
        }
    }

    /// Notes that the key of one has signed once more.
    pub fn proved(&self, id: &str, now_ms: u64) {
        if let Some(session) = self.all.lock().get_mut(id) {
            session.proved_ms = now_ms;
        }
    }

    /// Ends one.
    pub fn end(&self, id: &str) {
        self.all.lock().remove(id);
    }

    /// Ends the session of a cookie.
    pub fn end_of_cookie(&self, cookie: &str) {
        self.end(&id_of(cookie));
    }

    /// Those of the same key or person, the one that was used last first.
    pub fn of_same(&self, session: &Session, now_ms: u64) -> Vec<Session> {
        let all = self.all.lock();
        let own = all.values().filter(|one| one.is_of_same(session));
        let mut own: Vec<Session> = own.filter(|s| !self.is_over(s, now_ms)).cloned().collect();
        own.sort_by_key(|one| std::cmp::Reverse(one.seen_ms));
        own
    }

    /// Sets how the pages of one look.
    pub fn set_look(&self, id: &str, look: Look) {
        if let Some(session) = self.all.lock().get_mut(id) {
            session.look = look;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(sessions: &Sessions, cookie: &str, key: &str, now_ms: u64) {
        let new = NewSession {
            cookie,
            secret: [7; 32],
            key: AccessKeyId::new(key),
            account: AccountId::new(&key[..1]),
            from: IpAddr::from([127, 0, 0, 1]),
            agent: "a browser",
            proofs: vec![("20261129".to_owned(), [1; 32])],
            sts: None,
        };
        sessions.begin(new, now_ms);
    }

    #[test]
    fn a_session_ends_when_it_rests_and_when_it_is_old() {
        let sessions = Sessions::new(10, 25);
        begin(&sessions, "c", "K", 0);
        assert!(sessions.of_cookie("c", 10_000).is_some());
        assert!(sessions.of_cookie("d", 10_000).is_none());
        assert!(sessions.of_cookie("c", 20_000).is_some());
        assert!(sessions.of_cookie("c", 25_001).is_none());
        begin(&sessions, "e", "K", 0);
        assert!(sessions.of_cookie("e", 10_001).is_none());
    }

    #[test]
    fn a_proof_is_old_after_its_time_and_another_one_counts_anew() {
        let sessions = Sessions::new(1000, 1000);
        begin(&sessions, "c", "K", 0);
        let is_proved = |now_ms| {
            sessions
                .of_cookie("c", now_ms)
                .unwrap()
                .is_proved(300, now_ms)
        };
        assert!(is_proved(0) && is_proved(300_000));
        // Use of the session is no proof.
        assert!(!is_proved(300_001));
        sessions.proved(&id_of("c"), 400_000);
        assert!(is_proved(700_000) && !is_proved(700_001));
    }

    #[test]
    fn a_proof_is_of_the_sessions_own_key() {
        let sessions = Sessions::new(10, 10);
        begin(&sessions, "c", "K", 0);
        let session = sessions.of_cookie("c", 0).unwrap();
        let is_of =
            |key, account| session.is_of_key(&AccessKeyId::new(key), &AccountId::new(account));
        assert!(is_of("K", "K"));
        assert!(!is_of("L", "K") && !is_of("K", "L"));
    }

    #[test]
    fn a_session_does_not_rest_while_something_is_made_for_it() {
        let sessions = Sessions::new(10, 60);
        begin(&sessions, "c", "K", 0);
        let id = id_of("c");
        sessions.begins_work(&id);
        sessions.begins_work(&id);
        assert!(sessions.goes_on(&id, 30_000));
        sessions.ends_work(&id, 30_000);
        assert!(sessions.goes_on(&id, 45_000));
        sessions.ends_work(&id, 45_000);
        assert!(sessions.goes_on(&id, 55_000) && !sessions.goes_on(&id, 55_001));
        // It grows old all the same, and can be ended.
        sessions.begins_work(&id);
        assert!(sessions.goes_on(&id, 60_000) && !sessions.goes_on(&id, 60_001));
        sessions.end(&id);
        assert!(!sessions.goes_on(&id, 50_000));
        sessions.ends_work(&id, 50_000);
    }

    #[test]
    fn a_key_has_so_many_sessions_and_the_one_that_rests_longest_goes() {
        let sessions = Sessions::new(1000, 1000);
        for n in 0..=OF_KEY_MAX {
            begin(&sessions, &n.to_string(), "K", n as u64);
        }
        begin(&sessions, "other", "L", 100);
        assert!(sessions.of_cookie("0", 100).is_none());
        assert!(sessions.of_cookie("1", 100).is_some());
        let one = sessions.of_cookie("1", 100).unwrap();
        assert_eq!(sessions.of_same(&one, 100).len(), OF_KEY_MAX);
    }

    #[test]
    fn an_account_pushes_out_no_session_of_another() {
        let sessions = Sessions::new(1000, 1000);
        begin(&sessions, "other", "L", 0);
        for n in 0..2 * OF_ACCOUNT_MAX {
            begin(&sessions, &n.to_string(), &format!("K{n}"), 1 + n as u64);
        }
        let all = sessions.all.lock().len();
        assert_eq!(all, OF_ACCOUNT_MAX + 1);
        assert!(sessions.of_cookie("other", 500).is_some());
        assert!(sessions.of_cookie("0", 500).is_none());
    }

    #[test]
    fn a_session_is_of_the_key_that_began_it() {
        let sessions = Sessions::new(10, 10);
        begin(&sessions, "c", "K", 0);
        let session = sessions.of_cookie("c", 0).unwrap();
        assert!(session.is_of("20261129", &[1; 32]));
        assert!(!session.is_of("20261129", &[2; 32]));
        assert!(!session.is_of("20261130", &[1; 32]));
    }

    #[test]
    fn a_token_is_for_one_session_and_one_route() {
        let sessions = Sessions::new(10, 10);
        begin(&sessions, "c", "K", 0);
        let session = sessions.of_cookie("c", 0).unwrap();
        let token = session.token("/signout", "0011");
        assert!(session.is_token("/signout", &token));
        assert!(!session.is_token("/sessions/end", &token));
        for bad in ["", "-", "0011-", &token.replace("0011", "0012")] {
            assert!(!session.is_token("/signout", bad), "{bad}");
        }
        let other = Session {
            secret: [8; 32],
            ..session.clone()
        };
        assert!(!other.is_token("/signout", &token));
    }

    #[test]
    fn a_session_ends_with_that_of_sts_and_is_seen_by_its_person_only() {
        let sessions = Sessions::new(1000, 1000);
        let begin = |cookie: &str, key: &str, person: &str, ends_ms: u64| {
            let new = NewSession {
                cookie,
                secret: [7; 32],
                key: AccessKeyId::new(key),
                account: AccountId::new("A"),
                from: IpAddr::from([127, 0, 0, 1]),
                agent: "",
                proofs: Vec::new(),
                sts: Some(OfSts {
                    token: SessionToken::new("token"),
                    ends_ms,
                    person: person.to_owned(),
                }),
            };
            sessions.begin(new, 0);
        };
        begin("a", "K1", "anna", 10);
        begin("b", "K2", "anna", 20);
        begin("c", "K3", "bob", 20);
        let anna = sessions.of_cookie("b", 9).unwrap();
        assert_eq!(sessions.of_same(&anna, 9).len(), 2);
        assert!(sessions.of_cookie("a", 10).is_none() && sessions.of_cookie("b", 10).is_some());
        assert_eq!(sessions.of_same(&anna, 10).len(), 1);
    }
}
