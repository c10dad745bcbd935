//! How far drains are, for whoever watches them. It is kept in the data folder, so that a restart
//! does not lose what moved and why something stays; nothing is decided by it.

use std::{collections::BTreeMap, sync::Arc};

use admin::data_dir::DataDir;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

/// Buckets that moved, and buckets that stay, that are named.
const NAMED_MAX: usize = 1000;

/// How far one drain is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Progress {
    /// When it was ordered.
    begun_ms: u64,
    /// Buckets that moved.
    pub moved: u64,
    /// The last of them.
    pub moves: Vec<Value>,
    /// Why buckets stay, by their names.
    pub stays: BTreeMap<String, Value>,
    /// The bucket that it is at.
    #[serde(skip)]
    pub bucket: Option<String>,
    /// What it does with it.
    #[serde(skip)]
    pub step: Option<String>,
    /// When it tries again what stays, where it has tried all.
    #[serde(skip)]
    pub next_try_ms: Option<u64>,
}

impl Progress {
    /// Without the names of buckets, and without what is said of them.
    pub fn hide_names(&mut self) {
        self.moves.clear();
        self.stays.clear();
        self.bucket = None;
        self.step = None;
    }
}

/// All drains, by region.
pub struct Drains {
    all: Mutex<BTreeMap<String, Progress>>,
    woken: watch::Sender<()>,
    dir: DataDir,
}

impl Drains {
    /// As they were left in the data folder.
    pub fn open(dir: &DataDir) -> Self {
        let kept = dir
            .drains()
            .and_then(|text| serde_json::from_str(&text).ok());
        Self {
            all: Mutex::new(kept.unwrap_or_default()),
            woken: watch::Sender::default(),
            dir: dir.clone(),
        }
    }

    /// There is another order, or one has ended.
    pub fn wake(&self) {
        self.woken.send_replace(());
    }

    /// Whenever that is so.
    pub fn woken(&self) -> watch::Receiver<()> {
        self.woken.subscribe()
    }

    /// How far the drain of a region is that was ordered then.
    pub fn of(&self, region: &str, begun_ms: u64) -> Progress {
        let all = self.all.lock();
        let found = all.get(region).filter(|known| known.begun_ms == begun_ms);
        found.cloned().unwrap_or_default()
    }

    /// Whether it waits for its next try, and how many buckets stay.
    pub fn brief(&self, region: &str, begun_ms: u64) -> (bool, usize) {
        let all = self.all.lock();
        let found = all.get(region).filter(|known| known.begun_ms == begun_ms);
        found.map_or((false, 0), |known| {
            (known.next_try_ms.is_some(), known.stays.len())
        })
    }

    /// Changes how far it is. That of an earlier order is gone.
    pub fn note(&self, region: &str, begun_ms: u64, change: impl FnOnce(&mut Progress)) {
        let mut all = self.all.lock();
        let progress = all.entry(region.to_owned()).or_default();
        if progress.begun_ms != begun_ms {
            *progress = Progress {
                begun_ms,
                ..Progress::default()
            };
        }
        change(progress);
        progress.bound();
    }

    /// Writes all of it into the data folder. What is not written is only not shown after a
    /// restart.
    pub async fn keep(self: &Arc<Self>) {
        let drains = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            let text = serde_json::to_string(&*drains.all.lock());
            drains.dir.note_drains(&text.unwrap_or_default())
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "how far a drain is was not written"),
            Err(error) => tracing::warn!(%error, "how far a drain is was not written"),
        }
    }
}

impl Progress {
    fn bound(&mut self) {
        let over = self.moves.len().saturating_sub(NAMED_MAX);
        self.moves.drain(..over);
        while self.stays.len() > NAMED_MAX {
            self.stays.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_is_shown_belongs_to_one_order_and_survives_a_restart() {
        let folder = std::env::temp_dir().join(format!("dhow-drains-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let dir = DataDir::new(&folder);
        let drains = Arc::new(Drains::open(&dir));
        for n in 0..2 * NAMED_MAX {
            drains.note("a", 1, |progress| {
                progress.moved += 1;
                progress.moves.push(json!(n));
                progress.stays.insert(n.to_string(), Value::Null);
            });
        }
        drains.keep().await;
        let again = Drains::open(&dir);
        for drains in [&*drains, &again] {
            let kept = drains.of("a", 1);
            let (moves, stays) = (kept.moves.len(), kept.stays.len());
            assert_eq!((moves, stays), (NAMED_MAX, NAMED_MAX));
            assert_eq!(kept.moved, 2 * NAMED_MAX as u64);
            assert_eq!(drains.of("a", 2).moved, 0);
            assert_eq!(drains.of("b", 1).moved, 0);
        }
        again.note("a", 2, |progress| progress.moved += 1);
        assert_eq!((again.of("a", 1).moved, again.of("a", 2).moved), (0, 1));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
