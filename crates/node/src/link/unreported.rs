//! What a home has to put on record while the registry does not answer: the keys of versions that
//! a region alone had. It is kept in the data folder and reported again until it is accepted.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use admin::{data_dir::DataDir, failure::Failure};
use cloud::{CloudError, Registry};
use parking_lot::Mutex;
use replication::Divergence;
use serde::{Deserialize, Serialize};
use types::{BucketId, BucketName, Deeds, RegionId, deed::BoxFuture};

const FILE: &str = "unreported.json";
const FORMAT: u32 = 1;
/// Reports that are kept.
const REPORTS_MAX: usize = 1000;
/// Bytes of keys of one that are kept: about what one entry of the audit log may have.
const KEYS_BYTES_MAX: usize = 32 << 10;
/// How often they are tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// One report in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Report {
    bucket: String,
    id: u64,
    from: String,
    epoch: u64,
    keys: Vec<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    #[serde(rename = "v")]
    format: u32,
    reports: VecDeque<Report>,
}

/// The reports that were not accepted yet.
pub struct Unreported {
    dir: DataDir,
    kept: Mutex<VecDeque<Report>>,
}

impl Report {
    fn of(divergence: &Divergence) -> Self {
        let mut bytes = 0;
        let fit = divergence.keys.iter().take_while(|key| {
            bytes += key.len();
            bytes <= KEYS_BYTES_MAX
        });
        Self {
            bucket: divergence.bucket.to_string(),
            id: divergence.id.0,
            from: divergence.from.to_string(),
            epoch: divergence.epoch,
            keys: fit.cloned().collect(),
        }
    }

    fn divergence(&self) -> Option<Divergence> {
        Some(Divergence {
            bucket: BucketName::new(&self.bucket).ok()?,
            id: BucketId(self.id),
            from: RegionId::new(&self.from),
            epoch: self.epoch,
            keys: self.keys.clone(),
        })
    }
}

/// Who puts reports on record.
trait Recorder: Send + Sync {
    fn record<'a>(&'a self, one: &'a Divergence) -> BoxFuture<'a, Result<(), CloudError>>;
}

impl Recorder for Registry {
    fn record<'a>(&'a self, one: &'a Divergence) -> BoxFuture<'a, Result<(), CloudError>> {
        Box::pin(async move {
            // Of a bucket that was deleted meanwhile there is nothing to say.
            if Deeds::get(self, &one.bucket).is_none_or(|deed| deed.id != one.id) {
                return Err(CloudError::NoBucket(one.bucket.clone()));
            }
            let reported = self.report_divergence(&one.bucket, &one.from, one.epoch, &one.keys);
            reported.await
        })
    }
}

/// Whether a report may be accepted later. What the registry refuses it refuses again.
fn may_be_accepted(error: &CloudError) -> bool {
    !matches!(
        error,
        CloudError::Refused(_) | CloudError::Invalid(_) | CloudError::NoBucket(_)
    )
}

impl Unreported {
    /// Those that the folder keeps.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(dir: &DataDir) -> Result<Self, Failure> {
        let path = dir.join(FILE);
        let broken = |why: String| {
            Failure::new(format!("cannot read {}: {why}", path.display())).hint(
                "move it away: what it has is also in the log of this process, as `a region came \
                 back with versions`",
            )
        };
        let kept = match std::fs::read(&path) {
            Ok(bytes) => {
                let kept: Kept =
                    serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
                if kept.format > FORMAT {
                    return Err(broken(format!("it has format {}", kept.format)));
                }
                kept.reports
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => VecDeque::new(),
            Err(e) => return Err(broken(e.to_string())),
        };
        Ok(Self {
            dir: dir.clone(),
            kept: Mutex::new(kept),
        })
    }

    /// Reports one now. If that fails it is kept, and reported again.
    pub async fn report_or_keep(&self, registry: &Registry, one: &Divergence) {
        match registry.record(one).await {
            Ok(()) => {}
            Err(error) if may_be_accepted(&error) => {
                tracing::warn!(%error, "what a region alone had is reported later");
                self.keep(one).await;
            }
            Err(error) => {
                tracing::error!(%error, keys = ?one.keys, "divergent keys are not on record");
            }
        }
    }

    /// Keeps one, on the disk when this returns. Beyond the bound the oldest goes.
    async fn keep(&self, divergence: &Divergence) {
        {
            let mut kept = self.kept.lock();
            if kept.len() >= REPORTS_MAX {
                let lost = kept.pop_front();
                tracing::error!(?lost, "too many reports wait for the registry: one is lost");
            }
            kept.push_back(Report::of(divergence));
        }
        self.write().await;
    }

    /// Reports again what waits, in order, until something is not accepted. Answers how many wait.
    async fn report(&self, to: &dyn Recorder) -> usize {
        loop {
            let Some(first) = self.kept.lock().front().cloned() else {
                return 0;
            };
            if let Some(one) = first.divergence() {
                match to.record(&one).await {
                    Ok(()) => {}
                    Err(error) if may_be_accepted(&error) => return self.kept.lock().len(),
                    Err(error) => {
                        tracing::error!(%error, keys = ?one.keys, "divergent keys are not on record");
                    }
                }
            }
            // Only this takes from the front but for the bound.
            self.kept.lock().pop_front_if(|front| *front == first);
            self.write().await;
        }
    }

    /// Reports again what waits, until the task is dropped.
    pub async fn run(self: Arc<Self>, registry: Arc<Registry>) {
        loop {
            self.report(&*registry).await;
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn write(&self) {
        let kept = Kept {
            format: FORMAT,
            reports: self.kept.lock().clone(),
        };
        let dir = self.dir.clone();
        let write =
            move || -> Result<(), Failure> { dir.write_private(FILE, &serde_json::to_vec(&kept)?) };
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a report is kept in memory only"),
            Err(error) => tracing::error!(%error, "a report is kept in memory only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers by whatever is next, and then that the registry is away.
    #[derive(Default)]
    struct Says {
        answers: Mutex<VecDeque<Result<(), CloudError>>>,
        said: Mutex<Vec<Divergence>>,
    }

    impl Says {
        fn these(answers: impl IntoIterator<Item = Result<(), CloudError>>) -> Self {
            Self {
                answers: Mutex::new(answers.into_iter().collect()),
                ..Self::default()
            }
        }
    }

    impl Recorder for Says {
        fn record<'a>(&'a self, one: &'a Divergence) -> BoxFuture<'a, Result<(), CloudError>> {
            self.said.lock().push(one.clone());
            let away = || Err(CloudError::Unavailable("away".into()));
            let answer = self.answers.lock().pop_front().unwrap_or_else(away);
            Box::pin(std::future::ready(answer))
        }
    }

    fn divergence(key: &str, many: usize) -> Divergence {
        Divergence {
            bucket: BucketName::new("photos").unwrap(),
            id: BucketId(7),
            from: RegionId::new("second"),
            epoch: 2,
            keys: vec![key.to_owned(); many],
        }
    }

    #[tokio::test]
    async fn what_a_region_alone_had_is_kept_until_the_registry_has_it_on_record() {
        let folder = std::env::temp_dir().join(format!("dhow-unreported-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let dir = DataDir::new(&folder);
        let unreported = Unreported::open(&dir).unwrap();
        unreported.keep(&divergence("one", 1)).await;
        unreported.keep(&divergence("two", 1)).await;
        let away = &Says::default();
        assert_eq!(unreported.report(away).await, 2);
        // Over a restart, too.
        let again = Unreported::open(&dir).unwrap();
        let takes_one = Says::these([Ok(()), Err(CloudError::SlowDown("later".into()))]);
        assert_eq!(again.report(&takes_one).await, 1);
        let both = [divergence("one", 1), divergence("two", 1)];
        assert_eq!(*takes_one.said.lock(), both);
        let last = Unreported::open(&dir).unwrap();
        let refuses = Says::these([Err(CloudError::Refused("no replica".into()))]);
        assert_eq!(last.report(&refuses).await, 0);
        assert_eq!(*refuses.said.lock(), both[1..]);
        assert_eq!(Unreported::open(&dir).unwrap().report(away).await, 0);
        // It is bounded.
        last.keep(&divergence(&"k".repeat(1000), 100)).await;
        assert!(last.kept.lock()[0].keys.len() <= KEYS_BYTES_MAX / 1000);
        last.kept
            .lock()
            .resize(REPORTS_MAX, Report::of(&divergence("k", 1)));
        last.keep(&divergence("newest", 1)).await;
        assert_eq!(last.report(away).await, REPORTS_MAX);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
