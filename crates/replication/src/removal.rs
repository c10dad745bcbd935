//! When the rows of a bucket that is not placed here are removed: once the registry has said so for
//! this region and bucket, and the time is over in which they can be brought back. A doubt keeps
//! them. Asking goes on beside everything else, since the registry may be away.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ::follow::{Backoff, Task};
use tokio::sync::{
    Notify,
    oneshot::{self, error::TryRecvError},
};
use types::{BucketDeed, BucketId};

use crate::{MayRemove, Regions};

/// After a doubt, the registry is asked again: soon at first, then less often.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(300);

/// What is asked about one bucket.
struct Asked {
    deed: Arc<BucketDeed>,
    _asking: Task,
    /// Sent before anybody learns that there is one.
    answer: oneshot::Receiver<MayRemove>,
    /// The last doubt, so that it is said once.
    said: Option<String>,
    backoff: Backoff,
}

/// What is asked about all.
pub(crate) struct Removing {
    regions: Arc<dyn Regions>,
    /// Somebody has answered.
    pub(crate) answered: Arc<Notify>,
    asked: BTreeMap<BucketId, Asked>,
}

impl Removing {
    pub(crate) fn new(regions: Arc<dyn Regions>) -> Self {
        Self {
            regions,
            answered: Arc::default(),
            asked: BTreeMap::new(),
        }
    }

    /// Drops all but these.
    pub(crate) fn keep(&mut self, known: &HashSet<BucketId>) {
        self.asked.retain(|id, _| known.contains(id));
    }

    /// The bucket is placed here after all, or nothing of it is left.
    pub(crate) fn forget(&mut self, id: BucketId) {
        self.asked.remove(&id);
    }

    /// Whether the bucket's rows are to be removed now. Asks if nobody has been asked; the answer
    /// holds for the deed about which it was asked, and once.
    pub(crate) async fn may(&mut self, deed: &Arc<BucketDeed>) -> bool {
        let about = |asked: &Asked| *asked.deed == **deed;
        let first = || Backoff::new(AGAIN_MIN, AGAIN_MAX, deed.id);
        let Some(mut asked) = self.asked.remove(&deed.id).filter(about) else {
            let asked = self.ask(deed, Duration::ZERO, None, first());
            self.asked.insert(deed.id, asked);
            return false;
        };
        let answer = match asked.answer.try_recv() {
            Err(TryRecvError::Empty) => {
                self.asked.insert(deed.id, asked);
                return false;
            }
            answer => answer,
        };
        let Asked {
            said, mut backoff, ..
        } = asked;
        let bucket = &deed.name;
        let again = match answer {
            Ok(MayRemove::Yes) => return true,
            Ok(MayRemove::Later(left)) => {
                let left_s = left.as_secs();
                tracing::warn!(
                    %bucket,
                    left_s,
                    "rows of a bucket that is not placed here any more will be removed; until then \
                     placing it here again brings them back"
                );
                self.ask(deed, left, None, first())
            }
            Ok(MayRemove::No(why)) => {
                if said.as_ref() != Some(&why) {
                    tracing::warn!(
                        %bucket,
                        why,
                        "rows of a bucket that is not placed here are kept: it is not certain that \
                         they are to be removed"
                    );
                }
                self.ask(deed, backoff.pause(), Some(why), backoff)
            }
            // The question broke; it is asked again.
            Err(_) => self.ask(deed, backoff.pause(), said, backoff),
        };
        self.asked.insert(deed.id, again);
        false
    }

    fn ask(
        &self,
        deed: &Arc<BucketDeed>,
        after: Duration,
        said: Option<String>,
        backoff: Backoff,
    ) -> Asked {
        let (regions, about) = (Arc::clone(&self.regions), Arc::clone(deed));
        let answered = Arc::clone(&self.answered);
        let (send, answer) = oneshot::channel();
        let asking = async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            // Nobody waits for it where it is asked anew.
            let _ = send.send(regions.may_remove(&about).await);
            answered.notify_one();
        };
        Asked {
            deed: Arc::clone(deed),
            _asking: Task::begin(asking),
            answer,
            said,
            backoff,
        }
    }
}
