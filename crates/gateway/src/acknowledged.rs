//! Writes that this region passed on to a bucket's home and acknowledged: until the copy that would
//! answer has applied them, reads of what they wrote are answered by one that has. A client that
//! writes here and looks at once finds its write.
//!
//! Each write is remembered by its position in the home's change log, for as long as the copy here
//! is behind it. A region that holds nothing of the bucket names the position to the regions that
//! it asks (in [`AT_LEAST`]), until one of them has applied it.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use access::Via;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use types::{BucketDeed, BucketId, Holding, ObjectKey};

use crate::{
    elsewhere::unavailable,
    operations::{Operation, Resource},
    s3::{S3Call, S3Error, S3Result, ops},
    server::Gateway,
};

/// In the answer to a write that was passed on: where the home's log of the bucket was after it.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("x-dhow-position");
/// In a read that is passed on: a copy that has not applied so much must not answer it.
pub(crate) const AT_LEAST: HeaderName = HeaderName::from_static("x-dhow-at-least");

/// Keys of one bucket that are told from each other; beyond, all of the bucket is taken for
/// written.
const KEYS_MAX: usize = 1024;
/// So many buckets are remembered before those are looked for that need not be any more.
const BUCKETS_SWEPT: usize = 256;
/// How long the source of a copy is waited for.
const SOURCE_WAIT: Duration = Duration::from_secs(5);
const SOURCE_PAUSE: Duration = Duration::from_millis(10);

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
    /// Nothing that a copy could be behind with.
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
                    if operation
                        .query
                        .iter()
                        .any(|q| matches!(*q, "versioning" | "tagging" | "replication")) =>
                {
                    Self::Configuration
                }
                _ => Self::Nothing,
            },
        }
    }
}

/// What was written of one bucket.
struct Written {
    deed: Arc<BucketDeed>,
    /// Keys by their hash, and where they were written last. Two keys that share a hash cost a
    /// read in the home.
    keys: HashMap<u64, u64>,
    /// Where keys were written that are told apart no more, or the configuration was.
    whole: u64,
}

impl Written {
    fn of(deed: &Arc<BucketDeed>) -> Self {
        Self {
            deed: Arc::clone(deed),
            keys: HashMap::new(),
            whole: 0,
        }
    }

    fn add(&mut self, key: Option<u64>, position: u64) {
        let known = match key {
            Some(key) if self.keys.len() < KEYS_MAX || self.keys.contains_key(&key) => {
                self.keys.entry(key).or_default()
            }
            _ => &mut self.whole,
        };
        *known = position.max(*known);
    }

    /// Up to where must be applied what `touched` reads.
    fn wanted(&self, touched: &Touched, key: Option<u64>) -> u64 {
        match (touched, key) {
            (Touched::Nothing, _) => 0,
            (Touched::Configuration, _) => self.whole,
            (Touched::Key(_), Some(key)) => {
                let of_key = self.keys.get(&key).copied().unwrap_or(0);
                of_key.max(self.whole)
            }
            _ => self.keys.values().copied().fold(self.whole, u64::max),
        }
    }

    /// Forgets what is applied; answers whether anything is left.
    fn applied(&mut self, position: u64) -> bool {
        self.keys.retain(|_, at| *at > position);
        if self.whole <= position {
            self.whole = 0;
        }
        !self.keys.is_empty() || self.whole > 0
    }
}

/// The acknowledged writes that a copy may not have yet.
#[derive(Default)]
pub(crate) struct Acknowledged {
    buckets: Mutex<HashMap<BucketId, Written>>,
    /// How many buckets there are: nearly always none, and then nothing is looked up.
    count: AtomicUsize,
    hasher: std::hash::RandomState,
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
    /// Remembers a write that the bucket's home answered with this mark.
    pub(crate) fn acknowledge(&self, deed: &Arc<BucketDeed>, touched: &Touched, mark: Mark) {
        let here = deed.holding(&self.region);
        let may_read = matches!(here, Holding::Replica | Holding::Nothing);
        if *touched == Touched::Nothing || mark.epoch != deed.epoch || !may_read {
            return;
        }
        if self.applied(deed).is_some_and(|at| at >= mark.position) {
            return;
        }
        if types::planted("acknowledged-forgotten") {
            return;
        }
        let key = self.acknowledged.hash(touched);
        let mut all = self.acknowledged.buckets.lock();
        if all.len() >= BUCKETS_SWEPT {
            all.retain(|_, written| self.is_wanted(written));
        }
        let written = all.entry(deed.id).or_insert_with(|| Written::of(deed));
        if written.deed.epoch != deed.epoch {
            *written = Written::of(deed);
        }
        written.add(key, mark.position);
        self.acknowledged.count.store(all.len(), Ordering::Release);
    }

    /// Whether something of it is still to be applied, and the bucket is there.
    fn is_wanted(&self, written: &mut Written) -> bool {
        let deed = &written.deed;
        let now = self.deeds.get(&deed.name);
        let same = now.is_some_and(|now| now.id == deed.id && now.epoch == deed.epoch);
        let applied = self.applied(deed).unwrap_or(0);
        same && written.applied(applied)
    }

    /// Up to where in its home's log the copy here has applied what was written.
    fn applied(&self, deed: &BucketDeed) -> Option<u64> {
        self.regions.as_ref()?.applied(deed)
    }

    /// What a copy must have applied to read this; `None` where the copy here has it, or nothing
    /// was written.
    pub(crate) fn wanted(&self, deed: &Arc<BucketDeed>, touched: &Touched) -> Option<Mark> {
        if !self.acknowledged.any() || *touched == Touched::Nothing {
            return None;
        }
        let key = self.acknowledged.hash(touched);
        let mut all = self.acknowledged.buckets.lock();
        let Entry::Occupied(mut found) = all.entry(deed.id) else {
            return None;
        };
        let old = found.get().deed.epoch != deed.epoch;
        // Another home orders writes by another log.
        let left = !old && found.get_mut().applied(self.applied(deed).unwrap_or(0));
        let wanted = left.then(|| found.get().wanted(touched, key));
        if !left {
            found.remove();
            self.acknowledged.count.store(all.len(), Ordering::Release);
        }
        let position = wanted.filter(|position| *position > 0)?;
        Some(Mark {
            epoch: deed.epoch,
            position,
        })
    }

    /// Another region's copy has applied all up to this mark.
    pub(crate) fn found_applied(&self, deed: &BucketDeed, mark: Mark) {
        let mut all = self.acknowledged.buckets.lock();
        if let Entry::Occupied(mut found) = all.entry(deed.id)
            && found.get().deed.epoch == mark.epoch
            && !found.get_mut().applied(mark.position)
        {
            found.remove();
        }
        self.acknowledged.count.store(all.len(), Ordering::Release);
    }

    /// A client wrote this here, at a copy that takes writes: it is newer than what was passed on.
    pub(crate) fn written_here(&self, deed: &BucketDeed, key: &ObjectKey) {
        if !self.acknowledged.any() {
            return;
        }
        let hash = self.acknowledged.hasher.hash_one(&**key);
        let mut all = self.acknowledged.buckets.lock();
        if let Some(written) = all.get_mut(&deed.id) {
            written.keys.remove(&hash);
        }
    }

    /// Refuses a read that another region passed on, and that the copy here is behind for.
    fn check_applied(&self, deed: &BucketDeed, mark: Mark) -> Result<(), S3Error> {
        let behind = || {
            Err(unavailable(
                &self.region,
                "has not applied a write that came before",
            ))
        };
        match deed.holding(&self.region) {
            Holding::Home => Ok(()),
            _ if deed.epoch != mark.epoch => behind(),
            _ if self.applied(deed).is_some_and(|at| at >= mark.position) => Ok(()),
            _ => behind(),
        }
    }

    /// Has the operation answer; a read only if the copy here has applied `at_least`.
    pub(crate) async fn dispatch(&self, call: &mut S3Call<'_>, at_least: Option<Mark>) -> S3Result {
        if let Some(mark) = at_least
            && !call.operation.writes()
        {
            self.check_applied(call.deed()?, mark)?;
        }
        let mut result = ops::dispatch(call).await;
        if call.operation.writes()
            && let Some(deed) = call.permit.deed()
        {
            match (&call.via, &call.key) {
                (Via::Region(..), _) => Box::pin(self.note_write(deed, &mut result)).await,
                (Via::Door, Some(key)) if result.is_ok() => self.written_here(deed, key),
                (Via::Door, _) => {}
            }
        }
        result
    }

    /// Whoever passed a write on is told what a copy must have applied to show it, also if it was
    /// refused for what is there.
    async fn note_write(&self, deed: &BucketDeed, result: &mut S3Result) {
        if deed.home != self.region || deed.placement.replicas.is_empty() {
            return;
        }
        let Ok(position) = self.objects.written_up_to(deed).await else {
            return;
        };
        let mark = Mark {
            epoch: deed.epoch,
            position: position.0,
        };
        let Some(value) = mark.to_value() else {
            return;
        };
        match result {
            Ok(answer) => drop(answer.headers_mut().insert(POSITION, value)),
            Err(error) => error.headers.push((POSITION, value)),
        }
    }

    /// Waits until the copy here has what was acknowledged of a copy's source.
    pub(crate) async fn until_applied(
        &self,
        deed: &Arc<BucketDeed>,
        key: &ObjectKey,
    ) -> Result<(), S3Error> {
        if !self.acknowledged.any() {
            return Ok(());
        }
        let touched = Touched::Key(key.clone());
        let waiting = async {
            while self.wanted(deed, &touched).is_some() {
                tokio::time::sleep(SOURCE_PAUSE).await;
            }
        };
        let waited = tokio::time::timeout(SOURCE_WAIT, waiting).await;
        waited.map_err(|_| unavailable(&self.region, "has not applied the copy's source yet"))
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

    #[test]
    fn what_is_remembered_of_a_bucket_is_bounded_and_never_too_little() {
        let deed = Arc::new(BucketDeed {
            id: BucketId(1),
            name: types::BucketName::new("papers").unwrap(),
            owner: types::AccountId::new("1"),
            home: types::RegionId::new("home"),
            created: types::Timestamp::default(),
            epoch: 1,
            placement: types::Placement::default(),
        });
        let mut written = Written::of(&deed);
        let any = Touched::Key(ObjectKey::new("k").unwrap());
        for n in 1..=3 * KEYS_MAX as u64 {
            written.add(Some(n), n);
            assert!(written.wanted(&any, Some(n)) >= n);
        }
        assert_eq!(written.keys.len(), KEYS_MAX);
        let last = 3 * KEYS_MAX as u64;
        assert_eq!(written.wanted(&Touched::Objects, None), last);
        assert!(written.applied(last - 1));
        assert_eq!(written.wanted(&any, Some(1)), last);
        assert!(!written.applied(last));
        written.add(Some(1), last + 1);
        assert_eq!(written.wanted(&any, Some(2)), 0);
        assert_eq!(written.wanted(&Touched::Configuration, None), 0);
        assert_eq!(written.wanted(&any, Some(1)), last + 1);
    }
}
