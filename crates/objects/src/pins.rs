//! The register of extents that must stay, whatever the rows say at the moment. Whoever deletes an
//! extent asks it, and there is no other way to delete one than those at the end of this file.
//!
//! Two kinds are pinned:
//!
//! - What this process creates ([`Fresh`]), from its creation until the commit that refers to it
//!   has ended. While it is on its way no row names it, and how long that takes is up to clients
//!   and other regions: neither its age nor any clock says whether it is needed.
//! - What a read needs and has not opened ([`Pinned`]), though the object was replaced meanwhile.
//!
//! A process that ends takes the register with it: what no row names then is an orphan.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use parking_lot::Mutex;
use store::{BlobId, BlobWriter, Committed, StoreError, StoreResult};

use crate::Objects;

#[derive(Default)]
struct State {
    /// How many need each extent.
    needed: HashMap<BlobId, u32>,
    /// No row names these, or will: they go as soon as nobody needs them.
    leaving: HashSet<BlobId>,
}

impl State {
    fn unpin(&mut self, ids: &[BlobId]) {
        for id in ids {
            if let Some(count) = self.needed.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    self.needed.remove(id);
                }
            }
        }
    }
}

/// The register.
#[derive(Default)]
pub(crate) struct Pins(Mutex<State>);

impl Pins {
    /// Pins `extents` for a read. Those that were dead before may have gone already: whoever pins
    /// looks afterwards whether the row that names them is still there.
    pub(crate) fn pin(self: &Arc<Self>, extents: Vec<BlobId>) -> Pinned {
        let mut state = self.0.lock();
        for id in &extents {
            *state.needed.entry(*id).or_default() += 1;
        }
        Pinned {
            pins: Arc::clone(self),
            extents,
        }
    }

    /// For extents that are about to be created, all for one commit.
    pub(crate) fn fresh(self: &Arc<Self>) -> Arc<Fresh> {
        Arc::new(Fresh {
            pins: Arc::clone(self),
            extents: Mutex::default(),
            fate: AtomicU8::new(NOT_COMMITTED),
        })
    }

    /// Whether somebody needs the extent.
    pub(crate) fn holds(&self, id: BlobId) -> bool {
        self.0.lock().needed.contains_key(&id)
    }

    /// Notes that the extent goes once nobody needs it; `false` when that is so now.
    fn leaves_later(&self, id: BlobId) -> bool {
        let mut state = self.0.lock();
        let needed = state.needed.contains_key(&id);
        if needed {
            state.leaving.insert(id);
        }
        needed
    }

    /// Takes out those that go and that nobody needs.
    fn take_leaving(self: &Arc<Self>) -> Leaving {
        let mut state = self.0.lock();
        let State { needed, leaving } = &mut *state;
        let mut ids = Vec::new();
        leaving.retain(|id| {
            let stays = needed.contains_key(id);
            if !stays {
                ids.push(*id);
            }
            stays
        });
        Leaving {
            pins: Arc::clone(self),
            ids,
        }
    }

    /// How many are pinned, and how many wait to be deleted.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.0.lock();
        (state.needed.len(), state.leaving.len())
    }
}

/// Extents pinned by one read, until it drops this.
pub(crate) struct Pinned {
    pins: Arc<Pins>,
    extents: Vec<BlobId>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        self.pins.0.lock().unpin(&self.extents);
    }
}

/// No commit that refers to the extents was begun, or it is certain that it did not land.
const NOT_COMMITTED: u8 = 0;
/// It landed.
const LANDED: u8 = 1;
/// It is under way, or nobody knows.
const UNKNOWN: u8 = 2;

/// Extents that this process creates for one commit, pinned. Shared by whoever creates them and the
/// commit, which may outlive it; the last of them decides about the extents: they are the row's
/// when the commit landed, they go when it did not, and when nobody knows they stay pinned until
/// the process ends.
pub(crate) struct Fresh {
    pins: Arc<Pins>,
    extents: Mutex<Vec<BlobId>>,
    fate: AtomicU8,
}

impl Fresh {
    fn add(&self, id: BlobId) {
        if types::planted("arrivals-unpinned") {
            return;
        }
        *self.pins.0.lock().needed.entry(id).or_default() += 1;
        self.extents.lock().push(id);
    }

    /// A commit that refers to them begins.
    pub(crate) fn begins(&self) {
        self.fate.store(UNKNOWN, Ordering::Release);
    }

    /// It has ended.
    pub(crate) fn ended(&self, answer: &Result<Committed, StoreError>) {
        let fate = match answer {
            Ok(_) => LANDED,
            Err(error) if nothing_landed(error) => NOT_COMMITTED,
            Err(_) => UNKNOWN,
        };
        self.fate.store(fate, Ordering::Release);
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let extents = self.extents.get_mut();
        if extents.is_empty() {
            return;
        }
        let mut state = self.pins.0.lock();
        match *self.fate.get_mut() {
            LANDED => state.unpin(extents),
            NOT_COMMITTED => {
                state.unpin(extents);
                state.leaving.extend(extents.iter());
            }
            _ => {}
        }
    }
}

/// Whether it is certain that a commit that answered so did not land.
fn nothing_landed(error: &StoreError) -> bool {
    use StoreError as E;
    matches!(
        error,
        E::Conflict { .. } | E::Full(_) | E::Busy | E::Invalid(_)
    )
}

/// Extents that are being deleted; those that were not come back to the register.
struct Leaving {
    pins: Arc<Pins>,
    ids: Vec<BlobId>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            self.pins.0.lock().leaving.extend(self.ids.iter());
        }
    }
}

impl Objects {
    /// Begins an extent for the commit of `fresh`.
    pub(crate) async fn create_extent(
        &self,
        fresh: &Fresh,
        len_hint: Option<u64>,
    ) -> StoreResult<Box<dyn BlobWriter>> {
        let writer = self.engine.blobs.create(len_hint).await?;
        fresh.add(writer.id());
        Ok(writer)
    }

    /// Deletes an extent that no row needs, unless somebody else does; answers whether it is gone.
    /// For those who keep a note of it and ask again.
    pub(crate) async fn delete_extent(&self, id: BlobId) -> StoreResult<bool> {
        if self.pins.holds(id) {
            return Ok(false);
        }
        // What replaced it must not be lost with the power, or the row that needs it comes back.
        self.engine.index.settle().await?;
        self.engine.blobs.delete(id).await?;
        Ok(true)
    }

    /// Deletes an extent that no row names any more, now or as soon as nobody needs it. A crash
    /// before that leaves an orphan.
    pub(crate) async fn let_go(&self, id: BlobId) -> StoreResult<()> {
        match self.pins.leaves_later(id) {
            true => Ok(()),
            false => {
                self.engine.index.settle().await?;
                self.engine.blobs.delete(id).await
            }
        }
    }

    /// Deletes what was created here for commits that did not land, and what was let go while
    /// somebody needed it; answers how many.
    pub(crate) async fn sweep_leaving(&self) -> StoreResult<u64> {
        let mut leaving = self.pins.take_leaving();
        self.engine.index.settle().await?;
        let mut count = 0;
        while let Some(id) = leaving.ids.last() {
            self.engine.blobs.delete(*id).await?;
            leaving.ids.pop();
            count += 1;
        }
        Ok(count)
    }

    /// Gives the room of a write that failed back at once; what fails here the next sweep does.
    pub(crate) async fn give_back(&self, fresh: Option<Arc<Fresh>>) {
        if fresh.is_none() {
            return;
        }
        drop(fresh);
        if let Err(error) = self.sweep_leaving().await {
            tracing::warn!(%error, "extents of a write that failed stay until the next sweep");
        }
    }
}
