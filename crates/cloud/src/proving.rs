//! Signatures that a region relays: only the registry's region has the keys of all others, so a
//! bucket's home asks it. It answers whether a signature is that of the bucket's owner, and nothing
//! else: who asks has the signature already, and learns nothing with which another could be made.

use std::time::{Duration, Instant};

use access::{
    SessionToken, SigningKeys, Who,
    signature::{ChunkLink, HmacKey, SIGNATURE_HEX, Statement},
};
use serde::{Deserialize, Serialize};
use types::{AccountId, BucketName, Deeds, Holding, RegionId};

use crate::{
    CloudError, KeyStatus, RegionStatus, Registry,
    keys::{region_key, service_key},
    link::{Ask, RegistryAnswer},
    registry::Keeper,
};

/// The longest that the registry's region is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// How long it is not asked again when it did not answer.
const AWAY: Duration = Duration::from_secs(1);
/// Signatures of chunks in one question.
const LINKS_MAX: usize = 4096;

/// What a signature was made over, and by whom it is said to be.
#[derive(Serialize, Deserialize)]
pub(crate) struct Signed {
    access_key: String,
    day: String,
    region: String,
    /// The region set of an asymmetric signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region_set: Option<String>,
    stamp: String,
    /// SHA-256 of the canonical request, in hex.
    canonical: String,
    signature: String,
    /// The token that came with a session's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Signed {
    pub(crate) fn of(statement: &Statement) -> Self {
        Self {
            access_key: statement.access_key.clone(),
            day: statement.day.clone(),
            region: statement.region.clone(),
            region_set: statement.region_set.clone(),
            stamp: statement.stamp.clone(),
            canonical: hex::encode(statement.canonical),
            signature: statement.signature.clone(),
            token: statement
                .token
                .as_ref()
                .map(|token| token.as_str().to_owned()),
        }
    }

    pub(crate) fn read(&self) -> Option<Statement> {
        let mut canonical = [0; 32];
        hex::decode_to_slice(&self.canonical, &mut canonical).ok()?;
        Some(Statement {
            access_key: self.access_key.clone(),
            day: self.day.clone(),
            region: self.region.clone(),
            region_set: self.region_set.clone(),
            stamp: self.stamp.clone(),
            canonical,
            signature: self.signature.clone(),
            token: self.token.as_deref().map(SessionToken::new),
            // It covers names of objects, so it is never sent.
            old: None,
        })
    }
}

/// A signature that was relayed.
#[derive(Serialize, Deserialize)]
pub struct Question {
    /// The region that relays it.
    via: String,
    /// The bucket that is addressed.
    bucket: String,
    #[serde(flatten)]
    signed: Signed,
    /// Chunks of its body, where it is about these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunks: Option<Chunks>,
}

#[derive(Serialize, Deserialize)]
struct Chunks {
    /// The signature before them.
    previous: String,
    links: Vec<Link>,
}

#[derive(Serialize, Deserialize)]
struct Link {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    trailer: bool,
    sha256: String,
    signature: String,
}

impl Question {
    fn new(via: &RegionId, bucket: &str, statement: &Statement) -> Self {
        Self {
            via: via.to_string(),
            bucket: bucket.to_owned(),
            signed: Signed::of(statement),
            chunks: None,
        }
    }
}

impl Link {
    fn of(link: &ChunkLink) -> Self {
        Self {
            trailer: link.trailer,
            sha256: hex::encode(link.sha256),
            signature: String::from_utf8_lossy(&link.signature).into_owned(),
        }
    }

    fn read(&self) -> Option<ChunkLink> {
        let mut sha256 = [0; 32];
        hex::decode_to_slice(&self.sha256, &mut sha256).ok()?;
        let signature: [u8; SIGNATURE_HEX] = self.signature.as_bytes().try_into().ok()?;
        Some(ChunkLink {
            trailer: self.trailer,
            sha256,
            signature,
        })
    }
}

impl Registry {
    /// Whether the owner of `bucket` made this signature, with a key that is live, for the region
    /// `via`, which relays it. `None` for everything else.
    ///
    /// # Errors
    /// The registry's region does not answer, or has no such question yet.
    pub async fn prove(
        &self,
        via: &RegionId,
        bucket: &BucketName,
        statement: &Statement,
    ) -> Result<Option<AccountId>, CloudError> {
        self.ask_proof(Question::new(via, bucket, statement)).await
    }

    /// Whether these chunks follow `previous` in the body of that request.
    ///
    /// # Errors
    /// As [`Registry::prove`].
    pub async fn prove_chunks(
        &self,
        via: &RegionId,
        bucket: &BucketName,
        statement: &Statement,
        previous: &str,
        links: &[ChunkLink],
    ) -> Result<bool, CloudError> {
        let mut question = Question::new(via, bucket, statement);
        question.chunks = Some(Chunks {
            previous: previous.to_owned(),
            links: links.iter().map(Link::of).collect(),
        });
        self.ask_proof(question).await.map(|found| found.is_some())
    }

    async fn ask_proof(&self, question: Question) -> Result<Option<AccountId>, CloudError> {
        let Keeper::There(upstream) = &self.keeper else {
            let own = RegionId::new(self.own());
            return Ok(self.proven(&own, &question));
        };
        let away = |why: &str| CloudError::Unavailable(why.to_owned());
        if self
            .prover_away
            .lock()
            .is_some_and(|until| Instant::now() < until)
        {
            return Err(away("the registry's region did not answer a moment ago"));
        }
        let asked = upstream.ask(Ask::Verify(Box::new(question)));
        let told = match tokio::time::timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(told)) => told,
            // Requests that need no proof must not wait for one each.
            failed => {
                *self.prover_away.lock() = Some(Instant::now() + AWAY);
                return match failed {
                    Ok(Err(error)) => Err(error),
                    _ => Err(away("the registry's region does not answer in time")),
                };
            }
        };
        match told {
            RegistryAnswer::Verified { account } => Ok(account.map(|id| AccountId::new(&id))),
            RegistryAnswer::Refused(why) => Err(CloudError::Refused(why)),
            _ => Err(CloudError::Unavailable(
                "an answer to another question".into(),
            )),
        }
    }

    /// Answers the region `asker`, which must hold the bucket.
    pub(crate) fn proven(&self, asker: &RegionId, question: &Question) -> Option<AccountId> {
        let statement = question.signed.read()?;
        let bucket = BucketName::new(&question.bucket).ok()?;
        let deed = Deeds::get(self, &bucket)?;
        if !matches!(deed.holding(asker), Holding::Home | Holding::Replica) {
            return None;
        }
        let found = self.key_of(&RegionId::new(&question.via), &statement);
        // Of these nobody asks: each region verifies the other kind itself.
        let found = found.filter(|(account, ..)| !self.requires_asymmetric(account));
        // An unknown key costs what a wrong signature costs.
        let (account, key) = found.map(|(account, _, key)| (account, key)).unzip();
        let key = key.unwrap_or_else(|| HmacKey::from([0; 32]));
        let good = match &question.chunks {
            None => statement.is_proven_by(&key),
            Some(chunks) if chunks.links.len() > LINKS_MAX => false,
            Some(chunks) => {
                let links: Option<Vec<ChunkLink>> = chunks.links.iter().map(Link::read).collect();
                links.is_some_and(|links| {
                    statement.chunks_are_proven_by(key, &chunks.previous, &links)
                })
            }
        };
        let good = good || types::planted("regions-word-is-proof");
        account.filter(|account| good && access::is_owner(account, &deed))
    }

    /// The key of a statement that `via` relays, derived for that region, and whose it is.
    pub(crate) fn key_of(
        &self,
        via: &RegionId,
        statement: &Statement,
    ) -> Option<(AccountId, Who, HmacKey)> {
        let state = self.state.read();
        let scope = RegionId::new(&statement.region);
        let own = self.regions.first() == Some(via);
        // Names of this region count for it alone, unless a region is called so.
        let alias =
            own && self.regions.contains(&scope) && !state.regions.contains_key(&*statement.region);
        if scope != *via && !alias {
            return None;
        }
        let open = state.regions.get(&**via);
        if !own && open.is_none_or(|region| region.status == RegionStatus::Closed) {
            return None;
        }
        if let Some(token) = &statement.token {
            let key = (token, &*statement.access_key);
            let bound = self.session_bound_to(&state, key, (&statement.day, &scope));
            let (account, who, key) = bound?;
            return Some((account, who, service_key(&key, "s3").into()));
        }
        let found = state.keys.get(&statement.access_key)?;
        let account = state.accounts.get(&found.record.account)?;
        if found.record.status != KeyStatus::Active || account.suspended {
            return None;
        }
        let key = region_key(&found.secret, &statement.day, &scope);
        let who = state.holder(&found.record)?;
        Some((account.account_id(), who, service_key(&key, "s3").into()))
    }
}
