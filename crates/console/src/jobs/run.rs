//! Runs a job: lists a page, does what is to be done with each object of it, and goes on.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use access::RequestFacts;
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use types::Deeds as _;

use super::{BucketPrefix, Ended, Job, Work, copying, purging, state::State};
use crate::{
    Console,
    call::{Call, Caller},
    fault::Fault,
    fields::{Fields, decoded},
    pages,
    s3::S3Ask,
    words::{ENGLISH, Words},
};

/// Objects at once.
pub(super) const AT_ONCE: usize = 8;
/// Objects of a page of the listing.
pub(super) const PAGE: &str = "1000";
/// How often an object is tried while S3 is busy, and the wait in between.
const TRIES: u32 = 6;
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// An object as it was listed.
pub struct Listed {
    /// Its key.
    pub key: String,
    /// The tag, in quotes. Whatever has another tag meanwhile is left alone.
    pub etag: String,
    /// Its bytes.
    pub size: u64,
}

/// What became of an object.
pub enum Outcome {
    /// It is done.
    Done,
    /// It stays as it is.
    Left,
}

/// Why the whole job ends.
pub(super) enum Stop {
    Aborted,
    Broken(String),
}

/// How the requests of a job come: as the one that began it.
pub struct Origin {
    /// Who began it.
    pub caller: Caller,
    /// How that request came.
    pub facts: RequestFacts,
    /// From where.
    pub from: std::net::IpAddr,
    /// The language of what it says.
    pub words: Words,
}

impl Origin {
    /// That of a request whose work goes on after its answer has begun.
    pub fn of(call: &Call<'_>) -> Result<Self, Fault> {
        Ok(Self {
            caller: call.who()?.clone(),
            facts: call.facts,
            from: call.from,
            words: call.words,
        })
    }

    /// A call as its caller makes it.
    pub fn call<'a>(&'a self, console: &'a Console, id: &'a str) -> Call<'a> {
        Call {
            console,
            route: pages::fault::route(),
            bucket: None,
            query: Fields::default(),
            form: Fields::default(),
            caller: Some(&self.caller),
            facts: self.facts,
            from: self.from,
            agent: "",
            here: "",
            flow: None,
            from_own_page: false,
            words: self.words,
            id,
        }
    }
}

impl Console {
    /// Runs a job until it ends.
    pub(crate) async fn run_job(self: Arc<Self>, origin: Origin, job: Arc<Job>) {
        // Whoever reads it may do so in another language than whoever began it.
        let origin = Origin {
            words: ENGLISH,
            ..origin
        };
        let call = origin.call(&self, &job.id);
        tracing::info!(job = job.id, key = %job.key, bucket = %job.from.bucket, "a job begins");
        let walked = match job.work {
            Work::Purge(what) => purging::walk(&call, &job, what).await,
            Work::Delete | Work::Copy { .. } => walk(&call, &job).await,
        };
        let ended = match walked {
            Ok(()) => Ended::Done,
            Err(Stop::Aborted) => Ended::Aborted,
            Err(Stop::Broken(why)) => Ended::Broken(why),
        };
        let (done, failed) = (job.done.load(Relaxed), job.failed.load(Relaxed));
        tracing::info!(job = job.id, ?ended, done, failed, "a job has ended");
        job.end(ended, self.clock.now().ms());
    }
}

async fn walk(call: &Call<'_>, job: &Job) -> Result<(), Stop> {
    let mut token: Option<String> = None;
    loop {
        goes_on(call, job)?;
        let (listed, next) = page(call, job, token.as_deref()).await?;
        let mut all = stream::iter(listed)
            .map(|one| one_object(call, job, one))
            .buffer_unordered(AT_ONCE);
        // What is under way ends, and is counted: a copy in parts removes what it has begun.
        let mut stopped = Ok(());
        while let Some(ended) = all.next().await {
            stopped = stopped.and(ended);
        }
        stopped?;
        match next {
            Some(next) => token = Some(next),
            None => return Ok(()),
        }
    }
}

/// Whether the job may do the next thing.
pub(super) fn goes_on(call: &Call<'_>, job: &Job) -> Result<(), Stop> {
    if job.is_aborted() {
        return Err(Stop::Aborted);
    }
    let caller = call.caller.filter(|caller| call.console.is_of(caller));
    if caller.is_none() {
        return Err(Stop::Broken(call.t(KEY_ENDED).into_owned()));
    }
    let to = match &job.work {
        Work::Copy { to, .. } => Some(to),
        Work::Delete | Work::Purge(_) => None,
    };
    let registry = call.console.backend.registry();
    let here = &call.console.settings.region;
    let stays = |place: &BucketPrefix| {
        // Whatever is not on record is refused by S3.
        registry
            .get(&place.bucket)
            .is_none_or(|deed| deed.home == *here)
    };
    match stays(&job.from) && to.is_none_or(stays) {
        true => Ok(()),
        false => Err(Stop::Broken(call.t(HOME_MOVED).into_owned())),
    }
}

const HOME_MOVED: &str = "The home of a bucket is in another region now. Begin it again there.";

const KEY_ENDED: &str = "The access key that began it is disabled, or the job is older than a day.";

async fn page(
    call: &Call<'_>,
    job: &Job,
    token: Option<&str>,
) -> Result<(Vec<Listed>, Option<String>), Stop> {
    let ask = || {
        S3Ask::bucket(&Method::GET, &job.from.bucket)
            .query("list-type", "2")
            .query("encoding-type", "url")
            .query("max-keys", PAGE)
            .query("prefix", &*job.from.prefix)
            .maybe("continuation-token", token)
    };
    let broken = |fault: Fault| Stop::Broken(call.why(&fault));
    let answer = patiently(|| call.s3(ask())).await.map_err(broken)?;
    let root = answer.xml().map_err(broken)?;
    let read = root.all("Contents").map(|node| Listed {
        key: decoded(node.text("Key")).into_owned(),
        etag: node.text("ETag").to_owned(),
        size: node.text("Size").parse().unwrap_or(0),
    });
    let next = root.text("NextContinuationToken");
    let next = (!next.is_empty()).then(|| next.to_owned());
    Ok((read.collect(), next))
}

async fn one_object(call: &Call<'_>, job: &Job, one: Listed) -> Result<(), Stop> {
    goes_on(call, job)?;
    match acted(call, job, &one).await {
        Ok(Outcome::Done) => {
            job.done.fetch_add(1, Relaxed);
            job.bytes.fetch_add(one.size, Relaxed);
        }
        Ok(Outcome::Left) => {
            job.left.fetch_add(1, Relaxed);
        }
        Err(fault) => job.fails(&one.key, call.why(&fault)),
    }
    Ok(())
}

/// Does with one object what the job is for. Its state is asked for first: what is deleted in the
/// end is in that state, so it is what was copied, with its tags, and nothing that came in its
/// place, be it of the same bytes.
async fn acted(call: &Call<'_>, job: &Job, one: &Listed) -> Result<Outcome, Fault> {
    let from = (&*job.from.bucket, &*one.key);
    let Some(state) = State::of(call, from).await? else {
        return Ok(Outcome::Left);
    };
    if state.written > job.until {
        return Ok(Outcome::Left);
    }
    if let Work::Copy { to, replaces, .. } = &job.work {
        let copied = copying::copy(call, job, to, *replaces, one).await?;
        if let Outcome::Left = copied {
            return Ok(copied);
        }
    }
    match job.work {
        Work::Delete | Work::Copy { moves: true, .. } => {
            // The home may have moved during a long copy: then the other region decides.
            if goes_on(call, job).is_err() {
                return Err(Fault::Changed);
            }
            let ask = || state.delete(from);
            let answer = patiently(|| call.s3(ask())).await?;
            match answer.0.status() {
                StatusCode::NOT_FOUND => Ok(Outcome::Left),
                _ => Ok(Outcome::Done),
            }
        }
        // Versions are listed otherwise.
        Work::Copy { .. } | Work::Purge(_) => Ok(Outcome::Done),
    }
}

/// Asks again while S3 is busy.
pub async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let mut tries = 1;
    loop {
        match ask().await {
            Err(Fault::Busy(_)) if tries < TRIES => tokio::time::sleep(BUSY_WAIT * tries).await,
            answer => return answer,
        }
        tries += 1;
    }
}
