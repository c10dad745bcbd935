//! Leases, in the region whose copy is sealed: asked for at the home, kept for as long as they
//! last, and no longer than the deed stays as it is.

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use objects::{DisplayVersion, Error, Lease, Leases, Named};
use parking_lot::Mutex;
use peer::Client;
use seal::DataKey;
use tokio::time::Instant;
use types::{BucketDeed, BucketId, ObjectKey, VersionId, deed::BoxFuture};

use crate::{
    Regions, ReplicationError,
    client::Far,
    wire::{LEASE_MAX, LeaseAnswer, UnwrapAnswer, What},
};

/// Leases of each kind that are remembered.
const KEPT_MAX: usize = 10_000;
/// How long the home may take: reads of sealed copies fail soon without it, and nothing else does.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

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
}

type Asked = (BucketId, u64, ObjectKey, Option<DisplayVersion>);
type Wrapped = (BucketId, u64, ObjectKey, VersionId, Vec<u8>);

/// Leases of the buckets whose copies here are sealed.
pub struct FarLeases {
    client: Client,
    regions: Arc<dyn Regions>,
    named: Kept<Asked, Arc<Named>>,
    keys: Kept<Wrapped, Arc<Lease>>,
    longest: Duration,
}

impl FarLeases {
    /// Asked for through `client`.
    pub fn new(client: Client, regions: Arc<dyn Regions>) -> Self {
        Self {
            client,
            regions,
            named: Kept::new(),
            keys: Kept::new(),
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

    async fn ask<T: for<'de> serde::Deserialize<'de>>(
        &self,
        deed: &Arc<BucketDeed>,
        what: What,
    ) -> objects::Result<T> {
        let far = Far {
            client: self.client.clone(),
            regions: Arc::clone(&self.regions),
            region: deed.home.clone(),
            deed: Arc::clone(deed),
            sealed: true,
        };
        let home = &deed.home;
        match tokio::time::timeout(ANSWER_WITHIN, far.read(what)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(ReplicationError::Refused(why))) => Err(Error::NoLease(format!(
                "region {home}, which holds the key of this sealed copy, gives no lease: {why}"
            ))),
            Ok(Err(error)) => Err(Error::NoLease(format!(
                "region {home}, which holds the key of this sealed copy, does not answer: {error}"
            ))),
            Err(_) => Err(Error::NoLease(format!(
                "region {home}, which holds the key of this sealed copy, does not answer in time"
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
            let kept = self.named.get(&asked).filter(|_| !fresh);
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
            self.named.put(asked, until, Arc::clone(&named));
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
            if let Some(lease) = self.keys.get(&asked) {
                return Ok(lease);
            }
            let from = Instant::now();
            let what = What::Unwrap {
                key: key.to_string(),
                version: version.to_string(),
                wrapped: hex::encode(wrapped),
            };
            let answer: UnwrapAnswer = self.ask(deed, what).await?;
            let bytes = hex::decode(answer.key).map_err(malformed)?;
            let lasts = Duration::from_millis(answer.lasts_ms).min(self.longest);
            let lease = Arc::new(Lease {
                key: DataKey::from_bytes(&bytes).map_err(malformed)?,
                until: from + lasts,
            });
            self.keys.put(asked, lease.until, Arc::clone(&lease));
            Ok(lease)
        })
    }
}
