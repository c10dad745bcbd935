//! Writes that this region forwarded to a bucket's home and acknowledged. Until the replica here
//! has applied them, another one that has applied them answers reads of what they wrote. A client
//! that writes here and reads at once finds its write.
//!
//! A replica that takes writes itself decides them by what it has. So a write waits until what was
//! acknowledged before of the same key is applied here, and what is forwarded to the home waits
//! until the home has what clients wrote here. Nothing is decided by documents of a bucket that an
//! acknowledged request has replaced.
//!
//! Each write is remembered by its position in the home's change log, for as long as the replica
//! here is behind it. A region that holds nothing of the bucket names the position to the regions
//! that it asks (in [`AT_LEAST`]), until one of them has applied it.

mod written;

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use access::{Action, Via};
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use types::{BucketDeed, BucketId, Holding, ObjectKey, Writes};

use self::written::{Buckets, Standing};
use crate::{
    arrival::decides_access,
    call::{Answer, Call},
    dialect::dispatch,
    elsewhere::unavailable,
    fault::{Fault, FaultKind},
    operations::{Operation, Resource},
    server::Gateway,
};

/// In the answer to a write that was forwarded: where the home's log of the bucket was after it.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("x-dhow-position");
/// In a read that is forwarded: a replica that has not applied so much must not answer it. In the
/// answer: the replica has compared, and has applied so much.
pub(crate) const AT_LEAST: HeaderName = HeaderName::from_static("x-dhow-at-least");

/// How long a request waits for the replica here, where nobody else can answer.
const APPLIED_WAIT: Duration = Duration::from_secs(5);
const APPLIED_PAUSE: Duration = Duration::from_millis(10);

/// A place in a bucket's log, under an epoch of its deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) epoch: u64,
    pub(crate) position: u64,
}

impl Mark {
    /// As it goes between regions.
    pub(crate) fn to_value(self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}.{}", self.epoch, self.position)).ok()
    }

    /// One that another region sent; `None` where there is none, or it is none.
    pub(crate) fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let (epoch, position) = headers.get(name)?.to_str().ok()?.split_once('.')?;
        Some(Self {
            epoch: epoch.parse().ok()?,
            position: position.parse().ok()?,
        })
    }
}

/// What an operation writes, or reads, of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touched {
    /// Nothing that a replica could be behind with.
    Nothing,
    /// One object.
    Key(ObjectKey),
    /// All of its objects.
    Objects,
    /// Its configuration.
    Configuration,
}

impl Touched {
    /// By this operation, on this key.
    pub(crate) fn by(operation: &Operation, key: Option<&ObjectKey>) -> Self {
        match operation.name {
            // What they change is read in the home only.
            "CreateMultipartUpload"
            | "UploadPart"
            | "UploadPartCopy"
            | "AbortMultipartUpload"
            | "ListParts"
            | "ListMultipartUploads"
            | "CreateBucket"
            | "DeleteBucket" => Self::Nothing,
            "ListObjects" | "ListObjectsV2" | "ListObjectVersions" | "DeleteObjects"
            | "PostObject" => Self::Objects,
            _ => match (operation.resource, key) {
                (Resource::Object, Some(key)) => Self::Key(key.clone()),
                (Resource::Bucket, _)
                    if operation.action.is_some_and(Action::is_of_configuration) =>
                {
                    Self::Configuration
                }
                _ => Self::Nothing,
            },
        }
    }
}

/// The acknowledged writes that a replica may not have yet.
#[derive(Default)]
pub(crate) struct Acknowledged {
    buckets: Mutex<Buckets>,
    /// How many buckets there are: nearly always none, and then nothing is looked up.
    count: AtomicUsize,
    hasher: std::hash::RandomState,
    /// Buckets in which clients wrote here, at a replica that took writes, with the last deed then.
    own: Mutex<HashMap<BucketId, Arc<BucketDeed>>>,
}

impl Acknowledged {
    /// Whether there are any: nearly never.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    fn hash(&self, touched: &Touched) -> Option<u64> {
        match touched {
            Touched::Key(key) => Some(self.hasher.hash_one(&**key)),
            _ => None,
        }
    }
}

impl Gateway {
    /// Remembers a write that the bucket's home answered with this mark. The epoch may have risen
    /// while it was on its way: positions of one home's log can be compared all the same.
    pub(crate) fn acknowledge(&self, deed: &Arc<BucketDeed>, touched: &Touched, mark: Mark) {
        let known = self.deeds.get(&deed.name);
        let known = known.filter(|known| known.id == deed.id && known.home == deed.home);
        let deed = known.as_ref().unwrap_or(deed);
        let here = deed.holding(&self.region);
        let may_read = matches!(here, Holding::Replica | Holding::Nothing);
        if *touched == Touched::Nothing || !may_read {
            return;
        }
        if self.applied(deed).is_some_and(|at| at >= mark.position) {
            return;
        }
        if types::planted("acknowledged-forgotten") {
            return;
        }
        let key = self.acknowledged.hash(touched);
        let now = Instant::now();
        let mut all = self.acknowledged.buckets.lock();
        all.add(deed, (touched, key), mark.position, now);
        self.look(&mut all, now);
    }

    /// Ends some of what need not be remembered.
    fn look(&self, all: &mut Buckets, now: Instant) {
        all.look(now, |deed| {
            let known = self.deeds.get(&deed.name);
            let known = known.filter(|known| known.id == deed.id);
            Standing {
                same: known.is_some(),
                moved: known.is_some_and(|known| known.epoch != deed.epoch),
                ..self.standing(deed)
            }
        });
        self.acknowledged.count.store(all.len(), Ordering::Release);
    }

    /// How it stands with a bucket that is there.
    fn standing(&self, deed: &BucketDeed) -> Standing {
        Standing {
            same: true,
            moved: false,
            applied: self.applied(deed).unwrap_or(0),
            endless: deed.placement.writes == Writes::Any
                || deed.holding(&self.region) != Holding::Replica,
        }
    }

    /// Up to where in its home's log the replica here has applied what was written.
    fn applied(&self, deed: &BucketDeed) -> Option<u64> {
        self.regions.as_ref()?.applied(deed)
    }

    /// What a replica must have applied to read this; `None` where the replica here has it, or
    /// nothing was written.
    pub(crate) fn wanted(&self, deed: &Arc<BucketDeed>, touched: &Touched) -> Option<Mark> {
        if !self.acknowledged.any() || *touched == Touched::Nothing {
            return None;
        }
        // A region that has become the home waits for nobody: what it has is what there is.
        if deed.holding(&self.region) == Holding::Home {
            return None;
        }
        let key = self.acknowledged.hash(touched);
        let (standing, now) = (self.standing(deed), Instant::now());
        let mut all = self.acknowledged.buckets.lock();
        let position = all.wanted(deed, (touched, key), &standing, now);
        self.look(&mut all, now);
        drop(all);
        (position > 0).then_some(Mark {
            epoch: deed.epoch,
            position,
        })
    }

    /// Another region's replica has applied all up to this mark.
    pub(crate) fn found_applied(&self, deed: &BucketDeed, mark: Mark) {
        let mut all = self.acknowledged.buckets.lock();
        all.applied(deed.id, mark.epoch, mark.position);
        self.acknowledged.count.store(all.len(), Ordering::Release);
    }

    /// Refuses a read that another region forwarded, and for which the replica here is behind.
    /// Answers whether it was compared.
    fn check_applied(&self, deed: &BucketDeed, mark: Mark) -> Result<bool, Fault> {
        let behind = || {
            Err(unavailable(
                &self.region,
                "has not applied a write that came before",
            ))
        };
        match deed.holding(&self.region) {
            Holding::Home => Ok(false),
            _ if deed.epoch != mark.epoch => behind(),
            _ if self.applied(deed).is_some_and(|at| at >= mark.position) => Ok(true),
            _ => behind(),
        }
    }

    /// Has the operation answer; a read only if the replica here has applied `at_least`.
    pub(crate) async fn dispatch(&self, call: &mut Call<'_>, at_least: Option<Mark>) -> Answer {
        let mut compared = None;
        let writes = call.operation.writes();
        match at_least.filter(|_| !writes) {
            Some(mark) if self.check_applied(call.deed()?, mark)? => {
                compared = mark.to_value();
            }
            Some(_) => {}
            None => {
                if self.acknowledged.any()
                    && call.via == Via::Client
                    && let Some(deed) = call.permit.deed()
                    && !(writes && types::planted("writes-before-what-came-before"))
                {
                    let touched = Touched::by(call.operation, call.key.as_ref());
                    Box::pin(self.until_shown(deed, &touched)).await?;
                }
            }
        }
        let mut result = dispatch(call).await;
        if writes && let Some(deed) = call.permit.deed() {
            if decides_access(call.operation) {
                result = Box::pin(self.once_arrived(deed, result)).await;
            }
            match call.via {
                Via::Region(..) => self.note_write(deed, &mut result),
                Via::Client if deed.holding(&self.region) == Holding::Replica => {
                    self.note_own(deed);
                }
                Via::Client => {}
            }
        }
        if let Some(value) = compared {
            say(&mut result, AT_LEAST, value);
        }
        result
    }

    /// A client wrote here, at a replica that takes writes. Buckets that are gone make room.
    fn note_own(&self, deed: &Arc<BucketDeed>) {
        let mut own = self.acknowledged.own.lock();
        if own.len() == own.capacity() && !own.contains_key(&deed.id) {
            own.retain(|id, deed| self.deeds.get(&deed.name).is_some_and(|now| now.id == *id));
        }
        own.insert(deed.id, Arc::clone(deed));
    }

    /// The answer to a region that forwarded a write says what a replica must have applied to show
    /// it, also if it was refused for what is there.
    fn note_write(&self, deed: &BucketDeed, result: &mut Answer) {
        if deed.home != self.region || deed.placement.replicas.is_empty() {
            return;
        }
        let mark = Mark {
            epoch: deed.epoch,
            position: self.objects.written_up_to(deed).0,
        };
        let Some(value) = mark.to_value() else {
            return;
        };
        say(result, POSITION, value);
    }

    /// A replica that takes writes has what its home does not, so only it answers its clients, and
    /// only reads of the bucket's own account are forwarded: the others wait for what was
    /// acknowledged of the home's. So does a write, which would otherwise be decided without that,
    /// and might come before it in time.
    async fn until_shown(&self, deed: &Arc<BucketDeed>, touched: &Touched) -> Result<(), Fault> {
        let wait = self.until_applied(deed, touched);
        wait.await
            .map_err(|()| unavailable(&self.region, "has not applied a write yet"))
    }

    /// Waits until the replica here has what was acknowledged of the source of a copy.
    pub(crate) async fn until_source(
        &self,
        deed: &Arc<BucketDeed>,
        key: &ObjectKey,
    ) -> Result<(), Fault> {
        let touched = Touched::Key(key.clone());
        let wait = self.until_applied(deed, &touched);
        wait.await
            .map_err(|()| unavailable(&self.region, "has not applied the copy's source yet"))
    }

    /// Waits until the replica here has the configuration that was acknowledged, before anything is
    /// decided by it. What reads or writes the configuration itself goes to the home meanwhile.
    pub(crate) async fn until_configured(
        &self,
        deed: &Arc<BucketDeed>,
        touched: &Touched,
    ) -> Result<(), Fault> {
        let here = deed.holding(&self.region) == Holding::Replica;
        if !self.acknowledged.any()
            || !here
            || *touched == Touched::Configuration
            || types::planted("configured-later")
        {
            return Ok(());
        }
        let wait = self.until_applied(deed, &Touched::Configuration);
        wait.await.map_err(|()| {
            let what = "has not applied a change of the bucket's configuration yet";
            unavailable(&self.region, what)
        })
    }

    /// At a replica that takes writes, or took them until now: waits until the home has what
    /// clients wrote here, before the home decides a write that is forwarded.
    pub(crate) async fn until_home_has(&self, deed: &BucketDeed) -> Result<(), Fault> {
        if deed.holding(&self.region) != Holding::Replica || types::planted("homes-decide-early") {
            return Ok(());
        }
        let regions = self.regions.as_ref().ok_or(FaultKind::InternalError)?;
        let has = match deed.placement.writes {
            Writes::Any => {
                let position = self.objects.written_up_to(deed).0;
                let read = regions.until_read_by_home(deed, position, APPLIED_WAIT);
                read.await
            }
            Writes::Home => {
                let own = &self.acknowledged.own;
                let older = |then: &Arc<BucketDeed>| then.epoch < deed.epoch;
                let before = own.lock().get(&deed.id).is_some_and(older);
                // A replica follows under the next epoch once the home has read all of before.
                let waiting = async {
                    while regions.applied(deed).is_none() {
                        tokio::time::sleep(APPLIED_PAUSE).await;
                    }
                    own.lock()
                        .retain(|_, then| then.id != deed.id || !older(then));
                };
                !before || tokio::time::timeout(APPLIED_WAIT, waiting).await.is_ok()
            }
        };
        match has {
            true => Ok(()),
            false => Err(unavailable(
                &deed.home,
                "does not have yet what was written here before",
            )),
        }
    }

    async fn until_applied(&self, deed: &Arc<BucketDeed>, touched: &Touched) -> Result<(), ()> {
        let waiting = async {
            while self.wanted(deed, touched).is_some() {
                tokio::time::sleep(APPLIED_PAUSE).await;
            }
        };
        let waited = tokio::time::timeout(APPLIED_WAIT, waiting).await;
        waited.map_err(drop)
    }
}

/// Adds a header for the region that passed the request on, also to an error.
fn say(result: &mut Answer, name: HeaderName, value: HeaderValue) {
    match result {
        Ok(answer) => drop(answer.headers_mut().insert(name, value)),
        Err(error) => error.headers.push((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written() {
        let mark = Mark {
            epoch: 3,
            position: u64::MAX,
        };
        let mut headers = HeaderMap::new();
        assert_eq!(Mark::of(&headers, &POSITION), None);
        headers.insert(POSITION, mark.to_value().unwrap());
        assert_eq!(Mark::of(&headers, &POSITION), Some(mark));
        for bad in ["", "1", "1.", ".1", "1.x", "1.2.3", "-1.2"] {
            headers.insert(POSITION, HeaderValue::from_static(bad));
            assert_eq!(Mark::of(&headers, &POSITION), None, "{bad}");
        }
    }
}
