//! This start of the region among others that may have been or still are: what is said is in
//! `proof::instance`. Each start signs a statement every few seconds, gives it to all others, and
//! receives what they remember of other starts. It finds out so that its folder was put back to an
//! older state, and that another process runs as the same region.
//!
//! `starts.json` in the data folder keeps what others have said and what is not settled here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use admin::{data_dir::DataDir, failure::Failure};
use cloud::RegionStatus;
use futures_util::{StreamExt, stream::FuturesUnordered};
use http::Method;
use parking_lot::Mutex;
use peer::{Identity, Peer, collect, full};
use proof::instance::{Finding, Found, Own, Remembered, Statement};
use serde::{Deserialize, Serialize};
use store::Position;
use tokio::{sync::watch, time::Instant};
use types::{RegionId, Timestamp};

use super::{HELLO_WAIT, Neighbours, paths};
use crate::{folder_place, region::Region};

const FILE: &str = "starts.json";
const FORMAT: u32 = 1;
/// How often a statement is given to the others.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// While something is missing here, it is looked so often whether it has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Ends of logs that were received are kept this often; other starts at once.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// How often the folder is marked as the one that is in use.
const MARK_EVERY: Duration = Duration::from_secs(60);
/// The file is not written more often than this for what others say.
const NEWS_PAUSE: Duration = Duration::from_millis(500);
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What is kept in the folder.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    #[serde(rename = "v")]
    format: u32,
    /// What other regions have said.
    remembered: Remembered,
    /// What this folder's starts have found.
    found: Found,
}

/// The starts of a folder that is not in use that had more than it has; for `dhow doctor`.
pub fn behind_in(dir: &DataDir) -> Vec<Timestamp> {
    let kept = read(dir).unwrap_or_default();
    let since = kept.found.behind.iter();
    since.map(|s| Timestamp::from_ms(s.started_ms)).collect()
}

fn read(dir: &DataDir) -> Result<Kept, Failure> {
    let path = dir.join(FILE);
    let broken = |why: String| {
        Failure::new(format!("cannot read {}: {why}", path.display()))
            .hint("restore it from a backup, or move it away: the other regions send it again")
    };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(e) => return Err(broken(e.to_string())),
    };
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
    match kept.format <= FORMAT {
        true => Ok(kept),
        false => Err(broken(format!("it has format {}", kept.format))),
    }
}

/// Signs with the region's key.
struct Key<'r>(&'r Identity);

impl proof::Signer for Key<'_> {
    fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

/// This start, and what is remembered of others.
pub struct Starts {
    dir: DataDir,
    identity: Identity,
    own: Mutex<Own>,
    remembered: Mutex<(Remembered, Instant)>,
    /// One writes the file at a time.
    writing: tokio::sync::Mutex<()>,
    /// How many news there were.
    news: AtomicU64,
    /// When news were written last, and how many of them are.
    paced: tokio::sync::Mutex<(Option<Instant>, u64)>,
    /// Why this process has to end.
    ends: watch::Sender<Option<String>>,
    /// The others have been asked once.
    asked: watch::Sender<bool>,
}

impl Starts {
    /// Reads what the folder keeps. The start is the one that `neighbours` names to others.
    pub fn open(
        dir: &DataDir,
        identity: &Identity,
        neighbours: &Neighbours,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let kept = read(dir)?;
        let key = identity.public_key();
        let region = replication::Regions::here(neighbours).region;
        let instance = neighbours.instance;
        neighbours.falls_behind(!kept.found.behind.is_empty());
        if folder_place::is_copy(dir) {
            neighbours.is_copied();
            tracing::warn!(
                "this data folder is a copy of the one that was written last, as from a backup: \
                 buckets with replicas whose home is here are not served until another region has \
                 said whether anything is missing"
            );
        }
        Ok(Self {
            dir: dir.clone(),
            identity: identity.clone(),
            own: Mutex::new(Own::new(&region, instance, now.ms(), key, kept.found)),
            remembered: Mutex::new((kept.remembered, Instant::now())),
            writing: tokio::sync::Mutex::new(()),
            news: AtomicU64::new(0),
            paced: tokio::sync::Mutex::new((None, 0)),
            ends: watch::Sender::new(None),
            asked: watch::Sender::new(false),
        })
    }

    /// Marks the folder as the one that is in use.
    async fn mark(&self) {
        let dir = self.dir.clone();
        let marked = tokio::task::spawn_blocking(move || folder_place::mark(&dir)).await;
        match marked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a copy of this folder may not be noticed"),
            Err(error) => tracing::warn!(%error, "a copy of this folder may not be noticed"),
        }
    }

    /// Waits until the others that answer have been asked once, for so long at most.
    pub async fn asked_once(&self, within: Duration) {
        let mut asked = self.asked.subscribe();
        // Whoever does not answer is asked again later.
        let _ = tokio::time::timeout(within, asked.wait_for(|asked| *asked)).await;
    }

    /// Waits until this process has to end; says why.
    pub async fn must_end(&self) -> String {
        let mut ends = self.ends.subscribe();
        loop {
            if let Some(why) = ends.borrow_and_update().clone() {
                return why;
            }
            if ends.changed().await.is_err() {
                // The sender lives as long as this.
                std::future::pending::<()>().await;
            }
        }
    }

    async fn keep(&self) {
        let _turn = self.writing.lock().await;
        let kept = Kept {
            format: FORMAT,
            remembered: self.remembered.lock().0.clone(),
            found: self.own.lock().found(),
        };
        let dir = self.dir.clone();
        let write = move || -> Result<(), Failure> {
            dir.write_private(FILE, &serde_json::to_vec_pretty(&kept)?)
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => self.remembered.lock().1 = Instant::now(),
            Ok(Err(error)) => tracing::error!(%error, "what other regions say is not kept"),
            Err(error) => tracing::error!(%error, "what other regions say is not kept"),
        }
    }

    /// The same for what others say, at most once in a while: a region that says something new with
    /// each question waits for its own answers then. What several say meanwhile is written at once.
    async fn keep_news(&self) {
        let mine = self.news.fetch_add(1, Ordering::SeqCst) + 1;
        let mut paced = self.paced.lock().await;
        let (last, written) = *paced;
        if written >= mine {
            return;
        }
        if let Some(last) = last {
            tokio::time::sleep(NEWS_PAUSE.saturating_sub(last.elapsed())).await;
        }
        let written = self.news.load(Ordering::SeqCst);
        self.keep().await;
        *paced = (Some(Instant::now()), written);
    }

    fn says(&self, region: &Region) -> Statement {
        let end = region.upkeep.last_commit().0;
        self.own.lock().says(end, &Key(&self.identity))
    }

    /// A region says which of its starts runs: answers what is remembered of others. One that
    /// comes in this region's own name is another process of it.
    pub async fn receive(
        &self,
        region: &Region,
        from: &RegionId,
        said: Statement,
    ) -> Option<Vec<Statement>> {
        if *from == region.id {
            self.judge(region, vec![said]).await;
            return Some(vec![self.says(region)]);
        }
        let key = region.registry.region(from)?.public_key.clone();
        let key: [u8; 32] = hex::decode(key).ok()?.try_into().ok()?;
        let (heard, is_due) = {
            let mut remembered = self.remembered.lock();
            let known = |id: &str| region.registry.region(id).is_some();
            remembered.0.keep(known);
            let heard = remembered.0.receive(from, &key, said)?;
            (heard, remembered.1.elapsed() > KEEP_EVERY)
        };
        if heard.is_news || is_due {
            self.keep_news().await;
        }
        Some(heard.others)
    }

    async fn judge(&self, region: &Region, told: Vec<Statement>) {
        let findings = {
            let gave = |at| region.upkeep.gave(Position(at));
            self.own.lock().judge(told, gave)
        };
        for finding in findings {
            match finding {
                Finding::Later(other) => self.end(region, &other),
                Finding::Clone(other) => {
                    tracing::error!(
                        since = %Timestamp::from_ms(other.started_ms),
                        "another process has been started as this region, with this region's key: \
                         it started later and has to end"
                    );
                    self.keep().await;
                }
                Finding::Behind(other) => {
                    tracing::error!(
                        since = %Timestamp::from_ms(other.started_ms),
                        "this data folder was put back to an older state, or lost its newest \
                         writes: buckets whose home is here are not served until their replicas \
                         have handed over what they have"
                    );
                    region.neighbours.falls_behind(true);
                    self.keep().await;
                }
            }
        }
    }

    fn end(&self, region: &Region, other: &Statement) {
        let why = format!(
            "another process runs as region {} since {}, with the same key; this one started later \
             and ends",
            region.id,
            Timestamp::from_ms(other.started_ms)
        );
        if self.ends.borrow().is_none() {
            tracing::error!(why, "writes are refused");
        }
        region.neighbours.refuse_writes(&why);
        self.ends.send_replace(Some(why));
    }
}

/// Gives this start's statement to the others, again and again, until the task is dropped.
pub async fn say_start(region: Arc<Region>, own_address: String) {
    let mut marked: Option<Instant> = None;
    loop {
        let said = region.starts.says(&region);
        let others = others(&region, &own_address);
        let mut count = (others.len(), 0);
        let mut asking: FuturesUnordered<_> = others
            .into_iter()
            .map(|to| tokio::time::timeout(HELLO_WAIT, say_to(&region, to, &said)))
            .collect();
        // Each answer counts at once: a region that is silent holds up none.
        while let Some(told) = asking.next().await {
            if let Ok(Some(told)) = told {
                region.starts.judge(&region, told).await;
                count.1 += 1;
            }
        }
        let (others, answered) = count;
        let settled = region.neighbours.others_asked(others, answered);
        region.starts.asked.send_replace(true);
        if settled && marked.is_none_or(|at| at.elapsed() >= MARK_EVERY) {
            region.starts.mark().await;
            marked = Some(Instant::now());
        }
        tokio::time::sleep(SAY_EVERY).await;
    }
}

/// To whom to send: all others; and, where this region is on record with another address than its
/// own, whoever answers there.
fn others(region: &Region, own_address: &str) -> Vec<Peer> {
    let known = region.registry.all_regions();
    let reached = known.iter().filter(|r| {
        let runs = !matches!(r.status, RegionStatus::Planned | RegionStatus::Closed);
        runs && !r.peer.is_empty() && (r.id != *region.id || r.peer != own_address)
    });
    reached
        .map(|r| Peer {
            region: RegionId::new(&r.id),
            address: r.peer.clone(),
        })
        .collect()
}

async fn say_to(region: &Region, to: Peer, said: &Statement) -> Option<Vec<Statement>> {
    let request = http::Request::builder()
        .method(Method::POST)
        .uri(paths::START)
        .body(full(serde_json::to_vec(said).ok()?));
    let client = &region.link.client;
    let asked = client.request_within(HELLO_WAIT, &to, request.ok()?).await;
    let answer = asked.ok().filter(|answer| answer.status().is_success())?;
    let body = collect(answer.into_body(), ANSWER_BYTES_MAX, HELLO_WAIT).await;
    serde_json::from_slice(&body.ok()?).ok()
}

/// Whether the registry here is the newest: buckets that were made since the folder's state are
/// known.
fn heard_all(region: &Region) -> bool {
    region.upstream.is_none() || *region.registry.followed().borrow()
}

/// Looks whether what was missing has come, until the task is dropped.
pub async fn watch_behind(region: Arc<Region>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if region.neighbours.is_behind() && heard_all(&region) && region.neighbours.has_caught_up()
        {
            region.starts.own.lock().is_settled();
            region.starts.keep().await;
            // Another region may have said meanwhile that there was still more.
            if region.starts.own.lock().is_behind() {
                continue;
            }
            region.neighbours.falls_behind(false);
            tracing::warn!(
                "what this folder lacked has come from the replicas: the buckets whose home is here \
                 are served again"
            );
        }
    }
}
