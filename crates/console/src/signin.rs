//! Signing in by an access key. The browser signs a challenge as it would sign a request to S3; the
//! secret is never sent.

use std::{collections::HashMap, net::IpAddr};

use access::{
    Identity, SigningKey, SigningKeys as _, Who,
    signature::{
        self, AuthType, Facts, PayloadMode, RegionNames, Request, Service, SignatureError,
    },
};
use cloud::Introduced;
use http::{HeaderMap, request::Parts};
use parking_lot::Mutex;
use types::{AccessKeyId, AccountId, Timestamp};

use crate::{
    Console,
    call::Caller,
    links::Link,
    session::{Held, KeyProofs, NewSession, OfSts},
    sign_ins::How,
};

/// The header with the challenge, which must be signed.
pub const CHALLENGE: &str = "x-dhow-challenge";
/// Challenges that can be answered, at most.
const CHALLENGES_MAX: usize = 10_000;
/// How long one can be answered.
const CHALLENGE_LIFE_MS: u64 = 120_000;
/// The longest access key that is looked at.
const KEY_CHARS_MAX: usize = 128;

/// Challenges that were given and not answered yet.
#[derive(Default)]
pub struct Challenges(Mutex<HashMap<String, u64>>);

impl Challenges {
    /// Keeps one until it is answered or too old. The oldest makes room.
    fn add(&self, challenge: String, now_ms: u64) {
        let mut all = self.0.lock();
        if all.len() >= CHALLENGES_MAX {
            all.retain(|_, given| now_ms.saturating_sub(*given) <= CHALLENGE_LIFE_MS);
        }
        if all.len() >= CHALLENGES_MAX {
            let oldest = all.iter().min_by_key(|(_, given)| **given);
            if let Some(oldest) = oldest.map(|(challenge, _)| challenge.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(challenge, now_ms);
    }

    /// Takes one; each can be taken once.
    fn take(&self, challenge: &str, now_ms: u64) -> bool {
        let given = self.0.lock().remove(challenge);
        given.is_some_and(|given| now_ms.saturating_sub(given) <= CHALLENGE_LIFE_MS)
            || types::planted("console-challenge-unasked")
    }
}

/// Why somebody was not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSignedIn {
    /// Key, signature or challenge are not good. Which of them it was is not said.
    Wrong,
    /// Too many attempts; seconds to wait.
    Wait(u64),
    /// A key of STS, which is for programs.
    Temporary,
    /// The registry must be asked whose key it is, and does not answer.
    Unknown,
}

impl Console {
    /// A challenge to be signed.
    pub(crate) fn challenge(&self) -> String {
        let challenge = self.random_hex::<32>();
        self.challenges
            .add(challenge.clone(), self.clock.now().ms());
        challenge
    }

    /// Begins a session for whoever signed a challenge; answers its cookie.
    pub(crate) async fn sign_in(
        &self,
        parts: &Parts,
        from: IpAddr,
        agent: &str,
    ) -> Result<String, NotSignedIn> {
        let (key, account) = self.who_signed(parts, from).await?;
        tracing::info!(%from, %key, "somebody signed in to the console");
        self.note_sign_in(How::Key, (&key, &account), from);
        let proofs = self.key_proofs((&key, None));
        Ok(self.begin((key, account, proofs), None, from, agent))
    }

    /// Takes a signature of the key that is signed in once more, before what is dangerous.
    pub(crate) async fn prove(
        &self,
        caller: &Caller,
        parts: &Parts,
        from: IpAddr,
    ) -> Result<(), NotSignedIn> {
        let (key, account) = self.who_signed(parts, from).await?;
        if !(caller.session.is_of_key(&key, &account) && self.is_of(caller)) {
            return Err(NotSignedIn::Wrong);
        }
        tracing::info!(%from, %key, "a key has signed again in the console");
        self.sessions
            .proved(&caller.session.id, self.clock.now().ms());
        Ok(())
    }

    /// Makes a link that signs in whoever signed a challenge; answers its code.
    pub(crate) async fn make_link(
        &self,
        parts: &Parts,
        from: IpAddr,
    ) -> Result<String, NotSignedIn> {
        let (key, account) = self.who_signed(parts, from).await?;
        tracing::info!(%from, %key, "a link to the console was made");
        let code = self.random_hex::<32>();
        let link = Link {
            proofs: self.key_proofs((&key, None)),
            key,
            account,
        };
        self.links.add(&code, link, self.clock.now().ms());
        Ok(code)
    }

    /// Whether the key of a link is the one that asked for it, and opens anything now.
    pub(crate) fn is_still(&self, link: &Link) -> bool {
        let day = day_of(self.clock.now());
        let signs = self.key_proof((&link.key, None), &day);
        let known = link.proofs.iter().find(|(of, _)| *of == day);
        signs.is_some_and(|signs| known.is_some_and(|(_, proof)| *proof == signs))
            && self.identity((&link.key, None)).is_some()
    }

    /// Whether whoever was signed in still is who he was: no other key took the place of his.
    pub(crate) fn is_of(&self, caller: &Caller) -> bool {
        let day = day_of(self.clock.now());
        let signs = self.key_proof(caller.session.held(), &day);
        let now = self.identity(caller.session.held());
        let same = now.is_some_and(|now| now.is_of(&caller.account.account_id()));
        same && signs.is_some_and(|signs| caller.session.is_of(&day, &signs))
    }

    /// Begins a session; answers its cookie.
    pub(crate) fn begin(
        &self,
        (key, account, proofs): (AccessKeyId, AccountId, KeyProofs),
        sts: Option<OfSts>,
        from: IpAddr,
        agent: &str,
    ) -> String {
        let cookie = self.random_hex::<32>();
        let mut secret = [0; 32];
        self.random.fill(&mut secret);
        let new = NewSession {
            cookie: &cookie,
            secret,
            key,
            account,
            from,
            agent,
            proofs,
            sts,
        };
        self.sessions.begin(new, self.clock.now().ms());
        cookie
    }

    /// Who signed a challenge; counts the attempt.
    async fn who_signed(
        &self,
        parts: &Parts,
        from: IpAddr,
    ) -> Result<(AccessKeyId, AccountId), NotSignedIn> {
        let now = self.clock.now().ms();
        let claimed = claimed_key(&parts.headers).ok_or(NotSignedIn::Wrong)?;
        let waiting = self.brakes.attempt(&claimed, from, now);
        waiting.map_err(NotSignedIn::Wait)?;
        let signer = self.signer(parts, from).await;
        let wrong = signer.as_ref().err() == Some(&NotSignedIn::Wrong);
        if signer.is_ok() || wrong {
            self.brakes.ended(&claimed, from, signer.is_ok(), now);
        }
        if wrong {
            self.note_refusal(from);
            tracing::info!(%from, key = %types::text::shown(&claimed, 64), "a sign-in was refused");
        }
        signer
    }

    /// What a key signs today and tomorrow, as far as its signing keys are known.
    pub(crate) fn key_proofs(&self, held: Held<'_>) -> KeyProofs {
        let now = self.clock.now();
        let days = [now, Timestamp::from_s(now.s() + 86_400)];
        let proof = |at: Timestamp| {
            let day = day_of(at);
            let proof = self.key_proof(held, &day)?;
            Some((day, proof))
        };
        days.into_iter().filter_map(proof).collect()
    }

    /// What a key signs on a day; `None` if it opens nothing here.
    pub(crate) fn key_proof(&self, held: Held<'_>, day: &str) -> Option<[u8; 32]> {
        let found = self.signing_key(held, day, Service::S3)?;
        Some(found.key.sign(b"dhow console session"))
    }

    /// What signs for a key on a day, by its token if it is one of STS.
    pub(crate) fn signing_key(
        &self,
        (key, token): Held<'_>,
        day: &str,
        service: Service,
    ) -> Option<SigningKey> {
        let (region, registry) = (&self.settings.region, self.backend.registry());
        match token {
            None => registry.signing_key(key, day, region, service.name()),
            Some(token) => {
                let found = registry.session_key(token, key, day, region, service.name());
                found.ok().flatten()
            }
        }
    }

    /// Whose a key is now; `None` if it opens nothing.
    pub(crate) fn identity(&self, (key, token): Held<'_>) -> Option<Identity> {
        let registry = self.backend.registry();
        match token {
            None => registry.caller(key),
            Some(token) => registry.session_caller(token, key),
        }
    }

    async fn signer(
        &self,
        parts: &Parts,
        from: IpAddr,
    ) -> Result<(AccessKeyId, AccountId), NotSignedIn> {
        let challenge = parts.headers.get(CHALLENGE).and_then(|c| c.to_str().ok());
        let now = self.clock.now();
        if !self
            .challenges
            .take(challenge.unwrap_or_default(), now.ms())
        {
            return Err(NotSignedIn::Wrong);
        }
        // A session of the console would outlast that of STS.
        if parts.headers.contains_key("x-amz-security-token") {
            return Err(NotSignedIn::Temporary);
        }
        // What is signed is what is asked for, with the path that the console is below.
        let path = [&*self.settings.base, parts.uri.path()].concat();
        let request = Request {
            method: parts.method.as_str(),
            path: &path,
            host_bucket: None,
            query: parts.uri.query(),
            headers: &parts.headers,
        };
        let registry = self.backend.registry();
        let facts = Facts {
            keys: registry,
            regions: RegionNames {
                own: &self.settings.region,
                aliases: &[],
            },
            now,
        };
        let verified = match signature::verify(AuthType::HeaderV4, &request, &facts) {
            Err(SignatureError::UnknownKey(_)) => {
                self.learn(&request, from).await?;
                signature::verify(AuthType::HeaderV4, &request, &facts)
            }
            verified => verified,
        };
        let verified = verified.map_err(|_| NotSignedIn::Wrong)?;
        match (verified.identity, verified.payload) {
            (
                Identity::Key {
                    access_key,
                    account,
                    who: Who::Root | Who::User(_),
                    ..
                },
                PayloadMode::Sha256(_),
            ) => Ok((access_key, account)),
            _ => Err(NotSignedIn::Wrong),
        }
    }

    /// Asks the registry for a key that this region does not know.
    async fn learn(&self, request: &Request<'_>, from: IpAddr) -> Result<(), NotSignedIn> {
        let claim = signature::claim(AuthType::HeaderV4, request, self.clock.now());
        let claim = claim.map_err(|_| NotSignedIn::Wrong)?;
        let registry = self.backend.registry();
        let asked = registry.introduce(&claim.statement, Service::S3, Some(from));
        match asked.await {
            Ok(Introduced::Known) => Ok(()),
            Ok(Introduced::Nobody) => Err(NotSignedIn::Wrong),
            Err(error) => {
                tracing::warn!(%error, "whose key it is cannot be looked up");
                Err(NotSignedIn::Unknown)
            }
        }
    }
}

/// The day of a time, as signatures write it.
pub fn day_of(at: Timestamp) -> String {
    at.iso_basic().get(..8).unwrap_or_default().to_owned()
}

/// The access key that a request says it is signed with.
fn claimed_key(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (_, rest) = value.split_once("Credential=")?;
    let (key, _) = rest.split_once('/')?;
    Some(key.chars().take(KEY_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_taken_once_and_in_time() {
        let challenges = Challenges::default();
        challenges.add("a".into(), 0);
        assert!(challenges.take("a", CHALLENGE_LIFE_MS));
        assert!(!challenges.take("a", 1));
        assert!(!challenges.take("", 1));
        challenges.add("b".into(), 0);
        assert!(!challenges.take("b", CHALLENGE_LIFE_MS + 1));
    }

    #[test]
    fn no_more_challenges_are_kept_than_there_is_room_for() {
        let challenges = Challenges::default();
        for n in 0..=CHALLENGES_MAX as u64 {
            challenges.add(n.to_string(), n);
        }
        assert_eq!(challenges.0.lock().len(), CHALLENGES_MAX);
        assert!(!challenges.take("0", 10_000) && challenges.take("1", 10_000));
    }
}
