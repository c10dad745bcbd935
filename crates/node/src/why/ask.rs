//! The question between regions.

use std::{sync::Arc, time::Duration};

use http::{Method, Request};
use peer::{Peer, collect, full};
use types::{BucketDeed, BucketName, Deeds};

use super::{Here, Judged, Question, judge};
use crate::{link::paths, region::Region};

/// How long whoever asks waits for a bucket's home.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// How large the documents of one request can be.
const ANSWER_BYTES_MAX: usize = 1 << 20;

impl Region {
    /// What is decided of a request about a bucket, as its home decides.
    ///
    /// # Errors
    /// The home does not say; why.
    pub async fn why(&self, deed: &Arc<BucketDeed>, question: &Question) -> Result<Judged, String> {
        match deed.home == self.id {
            true => self.judge_own(question).await,
            false => {
                let asked = tokio::time::timeout(ANSWER_WAIT, self.ask_home(deed, question));
                let home = &deed.home;
                let late = || format!("{home} does not answer within {} s", ANSWER_WAIT.as_secs());
                asked.await.map_err(|_| late())?
            }
        }
    }

    /// What this region decides of a request about a bucket whose home it is.
    ///
    /// # Errors
    /// It is not the home, or cannot say.
    pub async fn judge_own(&self, question: &Question) -> Result<Judged, String> {
        let (name, id) = question.bucket.as_ref().ok_or("no bucket is named")?;
        let name = BucketName::new(name).map_err(|e| e.to_string())?;
        let deed = Deeds::get(&*self.registry, &name).filter(|deed| deed.id.0 == *id);
        let deed = deed.ok_or_else(|| format!("{} does not know the bucket yet", self.id))?;
        if deed.home != self.id {
            return Err(format!("{} is not its home", self.id));
        }
        if question
            .account
            .as_deref()
            .is_some_and(|account| !access::is_account(account, &deed.owner))
        {
            return Err("it is asked about the bucket's own account only".to_owned());
        }
        if let Some(doubt) = replication::Regions::home_doubt(&*self.neighbours, &deed) {
            return Err(doubt);
        }
        let documents = self.objects.documents(&deed).await;
        let documents = documents.map_err(|e| e.to_string())?;
        judge(
            &Here {
                registry: &self.registry,
                place: &self.place(),
                deed: Some(&deed),
                access: documents.as_ref().map(|documents| &documents.access),
                now: self.clock.now(),
            },
            question,
        )
    }

    async fn ask_home(&self, deed: &BucketDeed, question: &Question) -> Result<Judged, String> {
        let record = self.registry.region(&deed.home);
        let address = record.as_ref().and_then(|r| r.peer_address());
        let address = address.ok_or_else(|| format!("no address of {} is on record", deed.home))?;
        let peer = Peer {
            region: deed.home.clone(),
            address: address.to_owned(),
        };
        let body = serde_json::to_vec(question).map_err(|e| e.to_string())?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(paths::WHY)
            .body(full(body))
            .map_err(|e| e.to_string())?;
        let answer = self.link.client.request_within(ANSWER_WAIT, &peer, request);
        let answer = answer.await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = collect(answer.into_body(), ANSWER_BYTES_MAX, ANSWER_WAIT).await;
        let body = body.map_err(|e| e.to_string())?;
        match (status.is_success(), status) {
            (true, _) => serde_json::from_slice(&body)
                .map_err(|e| types::text::of_peer(e.to_string().as_bytes())),
            (false, http::StatusCode::NOT_FOUND) => Err(format!(
                "the release of {} does not know the question",
                deed.home
            )),
            (false, _) => Err(types::text::of_peer(&body)),
        }
    }
}
