//! The receiver's questions.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;
use objects::ShippedChange;
use peer::{BoxBody, Held, Kind, Peer, PeerError, collect, full};
use types::{Body, BodyError, BucketDeed, RegionId, deed::BoxFuture};

use crate::{
    Regions, ReplicationError, Transport,
    body::PeerBody,
    frames::Answer,
    said::{By, Said},
    wire::{ANSWER_BYTES_MAX, Ask, END, INSTANCE, PATH, WAIT_MAX, What, name},
};

/// Longer than the longest wait at the source, which waits for room before and after it waits for
/// something to say.
const ANSWER_WAIT: Duration = Duration::from_secs(WAIT_MAX.as_secs() + 25);

/// One bucket at one other region.
#[derive(Clone)]
pub struct Far {
    /// How regions are reached.
    pub client: Arc<dyn Transport>,
    /// Where they are.
    pub regions: Arc<dyn Regions>,
    /// The region that is asked.
    pub region: RegionId,
    /// The bucket.
    pub deed: Arc<BucketDeed>,
    /// Whether the replica here is sealed: then versions are asked for by their sealed names.
    pub sealed: bool,
    /// What is said with each question besides.
    pub said: Arc<Said>,
}

/// Who answers, as far as it says so.
fn by(headers: &HeaderMap) -> By {
    let number = |name: &str| {
        let found = headers.get(name);
        found.and_then(|found| found.to_str().ok()?.parse().ok())
    };
    By {
        start: number(INSTANCE).unwrap_or_default(),
        end: number(END)
            .filter(|_| !types::planted("ends-of-logs-unheard"))
            .unwrap_or_default(),
    }
}

impl Far {
    /// A bucket at another region, for who asks about it there and does not follow it.
    pub fn new(
        client: &Arc<dyn Transport>,
        regions: &Arc<dyn Regions>,
        region: &RegionId,
        deed: &Arc<BucketDeed>,
    ) -> Self {
        Self {
            client: Arc::clone(client),
            regions: Arc::clone(regions),
            region: region.clone(),
            deed: Arc::clone(deed),
            sealed: false,
            said: Arc::default(),
        }
    }

    async fn send(&self, what: &What) -> Result<Response<BoxBody>, ReplicationError> {
        let malformed = |e: &dyn std::fmt::Display| ReplicationError::Malformed(e.to_string());
        let address = self.regions.address(&self.region).ok_or_else(|| {
            ReplicationError::Refused(format!("region {} has no address", self.region))
        })?;
        let to = Peer {
            region: self.region.clone(),
            address,
        };
        let ask = Ask::about(&self.deed, what.clone());
        let here = self.regions.here().region;
        let mut ask = ask.by(&self.deed, &here, self.regions.instance());
        if matches!(what, What::Followed) {
            // About the replica there.
            ask.since = self.deed.placement.copy_since(&self.region);
        }
        let ask = self.said.with(ask);
        let bytes = serde_json::to_vec(&ask).map_err(|e| malformed(&e))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(PATH)
            .body(full(bytes))
            .map_err(|e| malformed(&e))?;
        let answer = self.client.ask(ANSWER_WAIT, &to, request).await?;
        if answer.status().is_success() {
            return match self.said.hears(what, by(answer.headers())) {
                true => Ok(answer),
                false => Err(ReplicationError::AnotherStart(self.region.clone())),
            };
        }
        let status = answer.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(PeerError::Deadline("room for an answer at the other region").into());
        }
        let why = collect(answer.into_body(), 4096, ANSWER_WAIT).await;
        let why = why.map(|b| types::text::of_peer(&b));
        Err(ReplicationError::Refused(format!(
            "{status}: {}",
            why.unwrap_or_default()
        )))
    }

    /// A whole answer, and the room that it and what is read from it take.
    async fn bytes(&self, what: &What) -> Result<(Bytes, Option<Held>), ReplicationError> {
        self.read_whole(self.send(what).await?).await
    }

    async fn read_whole(
        &self,
        answer: Response<BoxBody>,
    ) -> Result<(Bytes, Option<Held>), ReplicationError> {
        let held = match self.client.room(&self.region) {
            Some(room) => {
                let said = answer.body().size_hint().exact();
                let said = said.and_then(|said| usize::try_from(said).ok());
                let bytes = said.map_or(ANSWER_BYTES_MAX, |said| said.min(ANSWER_BYTES_MAX));
                let held = room.take(Kind::Answer, 2 * bytes).await;
                Some(held.map_err(|_| PeerError::Deadline("room for an answer here"))?)
            }
            None => None,
        };
        let bytes = collect(answer.into_body(), ANSWER_BYTES_MAX, ANSWER_WAIT).await?;
        Ok((bytes, held))
    }

    /// A question that is answered with changes.
    pub async fn ask(&self, what: What) -> Result<Answer, ReplicationError> {
        self.ask_by(what).await.map(|(answer, _)| answer)
    }

    /// The same, and which start of the region answers.
    pub(crate) async fn ask_by(&self, what: What) -> Result<(Answer, By), ReplicationError> {
        let answer = self.send(&what).await?;
        let by = by(answer.headers());
        let (bytes, _held) = self.read_whole(answer).await?;
        let answer = Answer::decode(bytes)?;
        crate::bounds::check(&what, self.sealed, &answer)?;
        if matches!(what, What::Changes { .. }) && !answer.ahead {
            self.said.has_all(by);
        }
        Ok((answer, by))
    }

    /// A version without its bytes; `None` when the other region has nothing to say of it.
    ///
    /// # Errors
    /// It answers with something else than was asked for.
    pub async fn version(
        &self,
        named: &objects::VersionName,
    ) -> Result<Option<ShippedChange>, ReplicationError> {
        let (key, version) = name(&named.0, named.1);
        let answer = self.ask(What::Version { key, version }).await?;
        match answer.changes.into_iter().next() {
            None => Ok(None),
            Some((_, ShippedChange::Version(one)))
                if (&one.key, one.version) == (&named.0, named.1) =>
            {
                Ok(Some(ShippedChange::Version(one)))
            }
            Some(_) => Err(ReplicationError::Malformed(
                "another version than was asked for".to_owned(),
            )),
        }
    }

    /// A question that is answered with names of versions.
    pub async fn names(
        &self,
        what: What,
    ) -> Result<Vec<(types::ObjectKey, types::VersionId)>, ReplicationError> {
        let names: Vec<(String, String)> = self.read(what).await?;
        names.iter().map(crate::wire::read_name).collect()
    }

    /// The same, and which start of the region answers; 0 where it does not say.
    pub(crate) async fn names_by(
        &self,
        what: What,
    ) -> Result<(Vec<(types::ObjectKey, types::VersionId)>, u64), ReplicationError> {
        let answer = self.send(&what).await?;
        let by = by(answer.headers());
        let (bytes, _held) = self.read_whole(answer).await?;
        let names: Vec<(String, String)> = serde_json::from_slice(&bytes)
            .map_err(|e| ReplicationError::Malformed(e.to_string()))?;
        let names: Result<Vec<_>, _> = names.iter().map(crate::wire::read_name).collect();
        Ok((names?, by.start))
    }

    /// A question that is answered with JSON.
    pub async fn read<T: for<'de> serde::Deserialize<'de>>(
        &self,
        what: What,
    ) -> Result<T, ReplicationError> {
        let (bytes, _held) = self.bytes(&what).await?;
        serde_json::from_slice(&bytes).map_err(|e| ReplicationError::Malformed(e.to_string()))
    }

    /// A question that is answered with bytes.
    pub(crate) async fn body(&self, what: What) -> Result<Box<dyn Body>, BodyError> {
        match self.send(&what).await {
            Ok(answer) => Ok(Box::new(PeerBody(answer.into_body())) as Box<dyn Body>),
            Err(error) => Err(BodyError::Connection(error.to_string())),
        }
    }

    /// Something to be done there.
    pub async fn tell(&self, what: What) -> Result<(), ReplicationError> {
        self.bytes(&what).await.map(drop)
    }
}

impl objects::BodySource for Far {
    fn open<'a>(
        &'a self,
        shipped: &'a objects::Shipped,
        offset: u64,
    ) -> BoxFuture<'a, Result<Box<dyn Body>, BodyError>> {
        Box::pin(async move {
            let (key, version) = match objects::sealed_name(&shipped.attributes) {
                Some(sealed) if self.sealed => (sealed.to_owned(), shipped.version.to_string()),
                _ => name(&shipped.key, shipped.version),
            };
            let ask = What::Body {
                key,
                version,
                offset,
            };
            self.body(ask).await
        })
    }
}
