//! Extents that a read still needs though it has not opened them: the sweep leaves them alone.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use store::BlobId;

/// How many reads need each extent.
#[derive(Default)]
pub(crate) struct Pins(Mutex<HashMap<BlobId, u32>>);

/// Extents pinned by one read, until it drops this.
pub(crate) struct Pinned {
    pins: Arc<Pins>,
    extents: Vec<BlobId>,
}

impl Pins {
    /// Pins `extents`. Those that were dead before may have gone already: whoever pins looks
    /// afterwards whether the row that names them is still there.
    pub(crate) fn pin(self: &Arc<Self>, extents: Vec<BlobId>) -> Pinned {
        let mut all = self.0.lock();
        for id in &extents {
            *all.entry(*id).or_default() += 1;
        }
        Pinned {
            pins: Arc::clone(self),
            extents,
        }
    }

    pub(crate) fn holds(&self, id: BlobId) -> bool {
        self.0.lock().contains_key(&id)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut all = self.pins.0.lock();
        for id in &self.extents {
            if let Some(count) = all.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    all.remove(id);
                }
            }
        }
    }
}
