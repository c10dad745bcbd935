//! Leases, in the region whose replica is sealed: asked for at the home, kept for as long as they
//! last, and no longer than the deed stays as it is.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use objects::{DisplayVersion, Error, Lease, Leases, Named};
use parking_lot::Mutex;
use seal::Asking;
use tokio::time::Instant;
use types::{BucketDeed, BucketId, Holding, ObjectKey, VersionId, deed::BoxFuture};

use crate::{
    Regions, ReplicationError, Transport,
    client::Far,
    wire::{LEASE_MAX, LeaseAnswer, UnwrapAnswer, What},
};

/// Leases of each kind that are remembered.
const KEPT_MAX: usize = 10_000;
/// How long the home may take: reads of sealed replicas fail soon without it, and nothing else
/// does.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How often leases are dropped that are over, or whose bucket is no longer sealed here.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// What is remembered until then, under the epoch of the deed.
struct Kept<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K: Hash + Eq, V: Clone> Kept<K, V> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    fn get(&self, key: &K) -> Option<V> {
        let mut kept = self.0.lock();
        let (until, value) = kept.get(key)?;
        if *until > Instant::now() {
            return Some(value.clone());
        }
        kept.remove(key);
        None
    }

    fn put(&self, key: K, until: Instant, value: V) {
        let mut kept = self.0.lock();
        if kept.len() >= KEPT_MAX {
            let now = Instant::now();
            kept.retain(|_, (until, _)| *until > now);
        }
        // Still full: what is new is more likely to be asked for again.
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, (until, value));
    }

    /// Keeps what is not over and for which `stands` is true; says whether anything is left.
    fn forget(&self, stands: impl Fn(&K) -> bool) -> bool {
        let (mut kept, now) = (self.0.lock(), Instant::now());
        kept.retain(|key, (until, _)| *until > now && stands(key));
        !kept.is_empty()
    }
}

type Asked = (BucketId, u64, ObjectKey, Option<DisplayVersion>);
type Wrapped = (BucketId, u64, ObjectKey, VersionId, Vec<u8>);

struct Held {
    named: Kept<Asked, Arc<Named>>,
    keys: Kept<Wrapped, Arc<Lease>>,
    /// Whether a task is dropping what is over.
    forgetting: AtomicBool,
}

impl Held {
    fn forget(&self, regions: &dyn Regions) -> bool {
        let here = regions.here().region;
        let sealed = |deed: &Arc<BucketDeed>| deed.holding(&here) == Holding::Sealed;
        let deeds = regions.deeds().into_iter().filter(sealed);
        let standing: HashSet<(BucketId, u64)> = deeds.map(|d| (d.id, d.epoch)).collect();
        let named = self.named.forget(|k| standing.contains(&(k.0, k.1)));
        let keys = self.keys.forget(|k| standing.contains(&(k.0, k.1)));
        named || keys
    }
}

/// Leases of the buckets whose replicas here are sealed.
pub struct FarLeases {
    client: Arc<dyn Transport>,
    regions: Arc<dyn Regions>,
    held: Arc<Held>,
    longest: Duration,
}

impl FarLeases {
    /// Asked for through `client`.
    pub fn new(client: impl Transport, regions: Arc<dyn Regions>) -> Self {
        Self {
            client: Arc::new(client),
            regions,
            held: Arc::new(Held {
                named: Kept::new(),
                keys: Kept::new(),
                forgetting: AtomicBool::new(false),
            }),
            longest: LEASE_MAX,
        }
    }

    /// With leases that last no longer than this, and never longer than [`LEASE_MAX`].
    #[must_use]
    pub fn lasting(self, longest: Duration) -> Self {
        Self {
            longest: longest.min(LEASE_MAX),
            ..self
        }
    }

    /// Makes sure that what is kept is dropped in time, also when nobody asks for it any more: a
    /// key that may not be used must not stay in memory either.
    fn forget_in_time(&self) {
        if self.held.forgetting.swap(true, Ordering::AcqRel) {
            return;
        }
        let (held, regions) = (Arc::clone(&self.held), Arc::clone(&self.regions));
        let every = self.longest.min(FORGET_EVERY);
        let mut deeds = regions.watch();
        tokio::spawn(async move {
            loop {
                // At once when a deed has changed: it may be the end of a lease.
                let _ = tokio::time::timeout(every, deeds.changed()).await;
                if held.forget(&*regions) {
                    continue;
                }
                held.forgetting.store(false, Ordering::Release);
                // Somebody may have put something in just before, and have seen us at work.
                if !held.forget(&*regions) || held.forgetting.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }

    async fn ask<T: for<'de> serde::Deserialize<'de>>(
        &self,
        deed: &Arc<BucketDeed>,
        what: What,
    ) -> objects::Result<T> {
        let far = Far {
            sealed: true,
            ..Far::new(&self.client, &self.regions, &deed.home, deed)
        };
        let home = &deed.home;
        match tokio::time::timeout(ANSWER_WITHIN, far.read(what)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(ReplicationError::Refused(why))) => Err(Error::NoLease(format!(
                "region {home}, which holds the key of this sealed replica, gives no lease: {why}"
            ))),
            Ok(Err(error)) => Err(Error::NoLease(format!(
                "region {home}, which holds the key of this sealed replica, does not answer: {error}"
            ))),
            Err(_) => Err(Error::NoLease(format!(
                "region {home}, which holds the key of this sealed replica, does not answer in time"
            ))),
        }
    }
}

fn malformed(_: impl std::fmt::Display) -> Error {
    Error::NoLease("the answer to a question for a lease cannot be read".to_owned())
}

impl Leases for FarLeases {
    fn current<'a>(
        &'a self,
        deed: &'a Arc<BucketDeed>,
        key: &'a ObjectKey,
        version: Option<DisplayVersion>,
        fresh: bool,
    ) -> BoxFuture<'a, objects::Result<Arc<Named>>> {
        Box::pin(async move {
            let asked = (deed.id, deed.epoch, key.clone(), version);
            let kept = self.held.named.get(&asked).filter(|_| !fresh);
            if let Some(named) = kept {
                return Ok(named);
            }
            // From the question on: the home may answer late.
            let until = Instant::now() + self.longest;
            let what = What::Lease {
                key: key.to_string(),
                version: version.map(|v| v.to_string()),
            };
            let named = match self.ask(deed, what).await? {
                LeaseAnswer::Current {
                    token,
                    version,
                    head,
                } => Arc::new(Named {
                    token,
                    version: VersionId::parse(&version).ok_or_else(|| malformed(""))?,
                    head: hex::decode(head)
                        .map_err(malformed)?
                        .try_into()
                        .map_err(|_| malformed(""))?,
                }),
                LeaseAnswer::NoKey => {
                    return Err(Error::NoSuchKey {
                        delete_marker: None,
                    });
                }
                LeaseAnswer::NoVersion => return Err(Error::NoSuchVersion),
            };
            self.held.named.put(asked, until, Arc::clone(&named));
            self.forget_in_time();
            Ok(named)
        })
    }

    fn unwrap<'a>(
        &'a self,
        deed: &'a Arc<BucketDeed>,
        key: &'a ObjectKey,
        version: VersionId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, objects::Result<Arc<Lease>>> {
        Box::pin(async move {
            let asked = (deed.id, deed.epoch, key.clone(), version, wrapped.to_vec());
            if let Some(lease) = self.held.keys.get(&asked) {
                return Ok(lease);
            }
            let from = Instant::now();
            let asking = Asking::new().map_err(malformed)?;
            let what = What::Unwrap {
                key: key.to_string(),
                version: version.to_string(),
                wrapped: hex::encode(wrapped),
                asker: hex::encode(asking.public()),
            };
            let answer: UnwrapAnswer = self.ask(deed, what).await?;
            let bytes = hex::decode(answer.key).map_err(malformed)?;
            let lasts = Duration::from_millis(answer.lasts_ms).min(self.longest);
            let lease = Arc::new(Lease {
                key: asking.open(&bytes).map_err(malformed)?,
                until: from + lasts,
            });
            self.held.keys.put(asked, lease.until, Arc::clone(&lease));
            self.forget_in_time();
            Ok(lease)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_what_is_over_or_stands_no_longer_is_forgotten_unasked() {
        let kept = Kept::new();
        let (now, key) = (Instant::now(), Arc::new(7));
        kept.put(1, now, Arc::clone(&key));
        kept.put(2, now + Duration::from_secs(60), Arc::clone(&key));
        assert!(kept.forget(|_| true));
        assert_eq!(Arc::strong_count(&key), 2);
        assert!(kept.get(&1).is_none() && kept.get(&2).is_some());
        assert!(!kept.forget(|bucket| *bucket != 2));
        assert_eq!(Arc::strong_count(&key), 1);
    }
}
