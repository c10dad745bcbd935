//! Single sign-on (OpenID Connect, authorization code flow with PKCE): what is sent by the browser,
//! and what its ID token must say.
//!
//! Nothing is kept here while somebody is at the provider, so nobody fills a memory by beginning.
//! The browser keeps a cookie that no page can read; `state`, `nonce` and the verifier of PKCE are
//! codes of that cookie, made with a key of this process. So what comes back counts in the browser
//! that began. It counts once: its answer takes the cookie away, and which sign-ins came back is
//! known here for as long as they would count.

use std::collections::HashMap;

use access::signature::{HmacKey, sha256_hex};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::Value;
use types::Random;

use crate::Console;

/// Below it each provider has a path of its own where it sends browsers back to.
pub const RETURN_PATH: &str = "/signin/return/";
/// How long somebody may be at the provider.
const LIFE_MS: u64 = 10 * 60_000;
/// Sign-ins that came back and are remembered. Of more than that the oldest are dropped: the
/// provider takes their codes once.
const USED_MAX: usize = 20_000;
/// Before the value of the cookie, once somebody came back and is to be given a session.
const DONE: &str = "done.";
/// Bytes of the page to go to afterwards.
const NEXT_MAX: usize = 1000;
/// Roles of a claim that are tried.
const ROLES_MAX: usize = 10;
/// Characters of a session's name (STS).
const NAME_MAX: usize = 64;

/// A provider of identities where people sign in.
#[derive(Debug, Clone)]
pub struct Provider {
    /// What its button says.
    pub name: String,
    /// Its URL, as its tokens name it.
    pub issuer: String,
    /// What the console is called there.
    pub client_id: String,
    /// What is asked for; `openid` is among it.
    pub scopes: Vec<String>,
    /// Which role somebody gets.
    pub role: RoleOf,
    /// The claim that names sessions.
    pub name_claim: String,
    /// How long sessions last; as the role says without it.
    pub seconds: Option<u64>,
}

impl Provider {
    /// The name as the last part of a path: no two providers may have the same.
    pub fn path_part(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        self.name.to_ascii_lowercase().chars().map(plain).collect()
    }

    /// Whether this is where it sends browsers back to, with a query or without.
    pub fn sends_to(&self, here: &str) -> bool {
        let path = here.split('?').next().unwrap_or_default();
        let part = path.rsplit('/').next().unwrap_or_default();
        part == self.path_part() || types::planted("console-sso-any-return")
    }
}

/// Which role somebody gets. Its trust policy decides whether they do.
#[derive(Debug, Clone)]
pub enum RoleOf {
    /// This one, by its ARN.
    All(String),
    /// The one that this claim of the token names, by its ARN.
    Claim(String),
}

/// Makes codes of cookies, and knows which of them came back.
pub struct Flows {
    key: HmacKey,
    /// When those that came back were begun, by the beginning of their state.
    used: Mutex<HashMap<String, u64>>,
}

/// A sign-in that a browser has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// The cookie.
    pub cookie: String,
    /// Which provider, by its place in the settings.
    pub nth: usize,
    /// Where to go afterwards.
    pub next: String,
    /// In what is sent to the provider and comes back.
    pub state: String,
    /// In the token.
    pub nonce: String,
    /// Whoever redeems the code must know it.
    pub verifier: String,
    /// When it began.
    pub begun_ms: u64,
}

impl Flow {
    /// What the provider gets of the verifier (RFC 7636, S256).
    pub fn challenge(&self) -> String {
        let digest = hex::decode(sha256_hex(self.verifier.as_bytes()));
        URL_SAFE_NO_PAD.encode(digest.unwrap_or_default())
    }
}

impl Flows {
    /// With a key of its own.
    pub fn new(random: &dyn Random) -> Self {
        let mut key = [0; 32];
        random.fill(&mut key);
        Self {
            key: HmacKey::from(key),
            used: Mutex::default(),
        }
    }

    fn code(&self, what: &str, cookie: &str) -> String {
        let text = [what, " ", cookie].concat();
        hex::encode(self.key.sign(text.as_bytes()))
    }

    fn of(&self, cookie: &str, begun_ms: u64, (nth, next): (usize, String)) -> Flow {
        Flow {
            begun_ms,
            cookie: cookie.to_owned(),
            nth,
            next,
            state: self.code("state", cookie),
            nonce: self.code("nonce", cookie),
            verifier: self.code("verifier", cookie),
        }
    }

    /// Begins one. `unique` was never used before.
    pub fn begin(&self, nth: usize, next: &str, unique: &str, now_ms: u64) -> Flow {
        let next = if next.len() > NEXT_MAX { "/" } else { next };
        let cookie = format!("{now_ms}.{nth}.{unique}.{}", hex::encode(next));
        self.of(&cookie, now_ms, (nth, next.to_owned()))
    }

    /// The one that a cookie and a state are of, in time.
    pub fn end(&self, cookie: &str, state: &str, now_ms: u64) -> Option<Flow> {
        let mut parts = cookie.split('.');
        let begun: u64 = parts.next()?.parse().ok()?;
        let nth = parts.next()?.parse().ok()?;
        let (_, next) = (parts.next()?, hex::decode(parts.next()?).ok()?);
        let flow = self.of(cookie, begun, (nth, String::from_utf8(next).ok()?));
        // Compared by their codes, so that time says nothing.
        let same = self.code("same", &flow.state) == self.code("same", state);
        let in_time = (begun..=begun.saturating_add(LIFE_MS)).contains(&now_ms);
        let good = same || types::planted("console-sso-any-state");
        (good && in_time).then_some(flow)
    }

    /// Whether a sign-in comes back for the first time; from then on it has.
    pub fn use_up(&self, flow: &Flow, now_ms: u64) -> bool {
        let id: String = flow.state.chars().take(32).collect();
        let mut used = self.used.lock();
        if used.contains_key(&id) && !types::planted("console-sso-again") {
            return false;
        }
        if used.len() >= USED_MAX {
            used.retain(|_, begun| begun.saturating_add(LIFE_MS) >= now_ms);
        }
        if used.len() >= USED_MAX {
            let oldest = used.iter().min_by_key(|(_, begun)| **begun);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                used.remove(&oldest);
            }
        }
        used.insert(id, flow.begun_ms);
        true
    }
}

/// The value of the cookie between coming back and the first page: that of the new session. The
/// session's own cookie is not sent with what another site has begun, and so the one that it is to
/// replace does not come with that either.
pub fn done(session: &str) -> String {
    [DONE, session].concat()
}

/// The session in such a value.
pub fn session_of(cookie: &str) -> Option<&str> {
    cookie.strip_prefix(DONE)
}

/// What an ID token says, before its signature is verified. STS verifies the same token before
/// anything comes of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// What the provider calls the person.
    pub subject: String,
    /// The name of the session.
    pub name: String,
    /// The roles to try, in their order.
    pub roles: Vec<String>,
}

/// Why an ID token is none of this sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOurs {
    /// It cannot be read, or is of another provider, for another client, or of another sign-in.
    Token,
    /// It names no role.
    NoRole,
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(all)) => {
            let texts = all.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// As names of sessions are written. What is changed or cut ends with a digest, so that no two
/// people have one name.
fn session_name(text: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let chars = text.chars().take(NAME_MAX);
    let mut name: String = chars.map(|c| if good(c) { c } else { '-' }).collect();
    if name != text {
        name.truncate(NAME_MAX - 17);
        name.push('-');
        let digest = sha256_hex(text.as_bytes());
        name.extend(digest[..16].iter().map(|digit| char::from(*digit)));
    }
    while name.len() < 2 {
        name.push('-');
    }
    name
}

/// Reads an ID token that came for a flow.
pub fn read(token: &str, provider: &Provider, flow: &Flow) -> Result<Said, NotOurs> {
    let payload = token.split('.').nth(1).ok_or(NotOurs::Token)?;
    let payload = URL_SAFE_NO_PAD.decode(payload);
    let claims: Option<Value> = payload
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let claims = claims.ok_or(NotOurs::Token)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let nonce = text("nonce") == Some(&flow.nonce) || types::planted("console-sso-any-nonce");
    let client = &provider.client_id;
    let for_us = texts(claims.get("aud")).contains(client);
    let by_us = text("azp").is_none_or(|party| party == client);
    let subject = text("sub").filter(|subject| !subject.is_empty());
    let of_it = text("iss") == Some(&provider.issuer);
    let subject = subject.filter(|_| nonce && for_us && by_us && of_it);
    let subject = subject.ok_or(NotOurs::Token)?.to_owned();
    let mut roles = match &provider.role {
        RoleOf::All(role) => vec![role.clone()],
        RoleOf::Claim(claim) => texts(claims.get(claim)),
    };
    roles.truncate(ROLES_MAX);
    if roles.is_empty() {
        return Err(NotOurs::NoRole);
    }
    let name = text(&provider.name_claim).filter(|name| !name.is_empty());
    let name = session_name(name.unwrap_or(&subject));
    Ok(Said {
        subject,
        name,
        roles,
    })
}

impl Console {
    /// Where the provider sends browsers back to: never what a request says. With one address for
    /// all, a provider could lead a browser on to another one, and would be given the code of that
    /// one (RFC 9700, 4.4).
    pub(crate) fn redirect_uri(&self, provider: &Provider) -> String {
        self.address(&[RETURN_PATH, &provider.path_part()].concat())
    }

    /// The cookie of a browser that has begun. Its name has the region, as that of sessions.
    pub(crate) fn flow_cookie_name(&self) -> String {
        format!("__Host-dhow-sso-{}", self.settings.region)
    }

    /// The providers that sign in here: sessions of STS begin where the registry is kept.
    pub(crate) fn providers(&self) -> &[Provider] {
        match self.backend.keeper() == *self.settings.region {
            true => &self.settings.providers,
            false => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::SeededRandom;

    use super::*;

    fn flows() -> Flows {
        Flows::new(&SeededRandom::new(1))
    }

    fn provider(role: RoleOf) -> Provider {
        Provider {
            name: "acme".into(),
            issuer: "https://id.example.com".into(),
            client_id: "dhow".into(),
            scopes: vec!["openid".into()],
            role,
            name_claim: "sub".into(),
            seconds: None,
        }
    }

    #[test]
    fn each_provider_sends_browsers_to_an_address_of_its_own() {
        let mut one = provider(RoleOf::All("arn".into()));
        one.name = "Acme & Söhne 2".into();
        assert_eq!(one.path_part(), "acme---s-hne-2");
        assert!(one.sends_to("/signin/return/acme---s-hne-2?code=a/b"));
        for other in [
            "/signin/return/acme?a=/acme---s-hne-2",
            "/signin/return",
            "/",
        ] {
            assert!(!one.sends_to(other), "{other}");
        }
    }

    #[test]
    fn what_comes_back_counts_in_the_browser_that_began_and_in_time() {
        let flows = flows();
        let one = flows.begin(1, "/b/photos?prefix=a.b", "u1", 5);
        assert_eq!(
            flows.end(&one.cookie, &one.state, 5 + LIFE_MS),
            Some(one.clone())
        );
        assert_eq!((one.nth, &*one.next), (1, "/b/photos?prefix=a.b"));
        assert!(flows.use_up(&one, 6) && !flows.use_up(&one, 7));
        let other = flows.begin(1, "/", "u2", 5);
        assert!(flows.use_up(&other, 6));
        assert_eq!(flows.end(&other.cookie, &one.state, 5), None);
        assert_eq!(flows.end(&one.cookie, &one.state, 4), None);
        assert_eq!(flows.end(&one.cookie, &one.state, 6 + LIFE_MS), None);
        // A cookie that somebody changed is another.
        let later = one.cookie.replacen('5', "9", 1);
        assert_eq!(flows.end(&later, &one.state, 10), None);
        for bad in ["", "....", "5.1.u1", "x.1.u1.2f"] {
            assert_eq!(flows.end(bad, &one.state, 5), None, "{bad}");
        }
        let restarted = Flows::new(&SeededRandom::new(2));
        assert_eq!(restarted.end(&one.cookie, &one.state, 5), None);
        assert_ne!(one.state, one.nonce);
        assert_ne!(one.nonce, one.verifier);
        assert_eq!(flows.begin(0, &"/".repeat(2000), "u3", 5).next, "/");
    }

    #[test]
    fn few_of_those_that_came_back_are_remembered() {
        let flows = flows();
        let begin = |n: usize, at: u64| flows.begin(0, "/", &n.to_string(), at);
        for n in 0..=USED_MAX {
            assert!(flows.use_up(&begin(n, n as u64), n as u64));
        }
        assert_eq!(flows.used.lock().len(), USED_MAX);
        assert!(!flows.use_up(&begin(USED_MAX, USED_MAX as u64), USED_MAX as u64));
        // Those that do not count any more go first, all of them.
        let late = LIFE_MS + USED_MAX as u64 + 1;
        assert!(flows.use_up(&begin(USED_MAX + 1, late), late));
        assert_eq!(flows.used.lock().len(), 1);
    }

    #[test]
    fn a_token_is_of_this_sign_in_and_names_a_role() {
        let flow = flows().begin(0, "/", "u", 0);
        let good = json!({
            "iss": "https://id.example.com", "aud": ["other", "dhow"], "sub": "anna b/\u{e9}",
            "nonce": flow.nonce, "role": ["one", "two"],
        });
        let token =
            |claims: &Value| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let fixed = provider(RoleOf::All("arn".into()));
        let said = read(&token(&good), &fixed, &flow).unwrap();
        assert_eq!(
            (&*said.name, said.roles),
            ("anna-b---6e730d9a44ffe285", vec!["arn".to_owned()])
        );
        let claimed = provider(RoleOf::Claim("role".into()));
        assert_eq!(
            read(&token(&good), &claimed, &flow).unwrap().roles,
            ["one", "two"]
        );
        let none = provider(RoleOf::Claim("roles".into()));
        assert_eq!(read(&token(&good), &none, &flow), Err(NotOurs::NoRole));
        for (name, bad) in [
            ("nonce", json!("another")),
            ("nonce", Value::Null),
            ("iss", json!("https://id.example.org")),
            ("aud", json!("other")),
            ("aud", Value::Null),
            ("azp", json!("other")),
            ("sub", json!("")),
        ] {
            let mut claims = good.clone();
            claims[name] = bad;
            assert_eq!(
                read(&token(&claims), &fixed, &flow),
                Err(NotOurs::Token),
                "{name}"
            );
        }
        for bad in ["", "..", "a.b.c"] {
            assert_eq!(read(bad, &fixed, &flow), Err(NotOurs::Token));
        }
    }
}
