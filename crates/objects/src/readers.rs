//! Reads that go on: whether a bucket may still be read here is asked again for each piece, and
//! whoever removes what is stored here of a bucket knows when its last reader has ended.
//!
//! Small objects are read in one go and are not noted here.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use types::{BucketDeed, BucketId, Deeds, Holding, RegionId};

use crate::{ObjectContent, ObjectReader, ObjectView, Objects};

/// One read.
#[derive(Debug, Default)]
struct Live {
    ended: AtomicBool,
    told: Notify,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Readers {
    of: Mutex<HashMap<BucketId, Vec<Arc<Live>>>>,
    /// Rises with each that ends.
    gone: watch::Sender<u64>,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            of: Mutex::default(),
            gone: watch::Sender::new(0),
        }
    }
}

/// What a read has as long as it goes on.
pub(crate) struct Reading {
    readers: Arc<Readers>,
    deeds: Arc<dyn Deeds>,
    here: RegionId,
    deed: Arc<BucketDeed>,
    sealed: bool,
    live: Arc<Live>,
}

fn is_sealed(holding: Holding) -> Option<bool> {
    match holding {
        Holding::Nothing => None,
        Holding::Sealed => Some(true),
        Holding::Home | Holding::Replica => Some(false),
    }
}

impl Reading {
    /// Whether the bucket may still be read here, in the way in which it is. Of a bucket that was
    /// deleted, what was being read may be read to its end, until it is removed here.
    pub(crate) fn stands(&self) -> bool {
        if self.live.ended.load(Ordering::Relaxed) {
            return false;
        }
        let now = self.deeds.get(&self.deed.name);
        let now = now.filter(|now| now.id == self.deed.id);
        now.is_none_or(|now| is_sealed(now.holding(&self.here)) == Some(self.sealed))
            || types::planted("reads-go-on-after-removal")
    }

    /// Is ready once the read must not go on.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let live = Arc::clone(&self.live);
        async move { live.told.notified().await }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut of = self.readers.of.lock();
        if let Some(all) = of.get_mut(&self.deed.id) {
            all.retain(|live| !Arc::ptr_eq(live, &self.live));
            if all.is_empty() {
                of.remove(&self.deed.id);
            }
        }
        drop(of);
        self.readers.gone.send_modify(|gone| *gone += 1);
    }
}

impl Objects {
    /// Has a read ask for each piece.
    pub(crate) fn noted(&self, deed: &Arc<BucketDeed>, reader: ObjectReader) -> ObjectReader {
        let live = Arc::new(Live::default());
        let mut of = self.readers.of.lock();
        of.entry(deed.id).or_default().push(Arc::clone(&live));
        drop(of);
        reader.while_stands(Reading {
            readers: Arc::clone(&self.readers),
            deeds: Arc::clone(&self.deeds),
            here: self.region.clone(),
            deed: Arc::clone(deed),
            sealed: self.sealed_here(deed),
            live,
        })
    }

    pub(crate) fn noted_view(&self, deed: &Arc<BucketDeed>, mut view: ObjectView) -> ObjectView {
        view.content = match view.content {
            Some(ObjectContent::Reader(reader)) => {
                Some(ObjectContent::Reader(self.noted(deed, reader)))
            }
            other => other,
        };
        view
    }

    /// Ends all reads of a bucket that are under way: none gets another piece. Answers how many
    /// there are; they go as soon as whoever reads asks for more or hangs up.
    pub fn end_reads(&self, bucket: BucketId) -> usize {
        let of = self.readers.of.lock();
        let all = of.get(&bucket).map(Vec::as_slice).unwrap_or_default();
        if !types::planted("reads-go-on-after-removal") {
            for live in all {
                live.ended.store(true, Ordering::Relaxed);
                live.told.notify_one();
            }
        }
        all.len()
    }

    /// Waits until nobody reads the bucket any more, for `within` at most; answers whether so.
    pub async fn reads_ended(&self, bucket: BucketId, within: Duration) -> bool {
        let mut gone = self.readers.gone.subscribe();
        let none = |_: &u64| !self.readers.of.lock().contains_key(&bucket);
        tokio::time::timeout(within, gone.wait_for(none))
            .await
            .is_ok()
    }
}
