//! Scrubbing: every stored byte is read and compared with its checksum; on request, extents that
//! nothing refers to are removed.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use serde::Serialize;
use types::Clock;

use crate::{failure::Failure, region::Region};

/// How far a pass is, and what it found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScrubState {
    /// Under way.
    pub running: bool,
    /// What is being read: `journal`, `extents` or `orphans`.
    pub phase: &'static str,
    /// Bytes verified.
    pub bytes: u64,
    /// Bytes there were to verify when the pass began. Writes meanwhile can bring `bytes` above it.
    pub bytes_total: u64,
    /// Rows and extents verified.
    pub items: u64,
    /// Orphaned extents removed (with `repair`).
    pub orphans_removed: u64,
    /// Bytes that they took.
    pub orphan_bytes: u64,
    /// What is damaged, in words.
    pub damaged: Vec<String>,
    /// Why the pass ended early.
    pub error: Option<String>,
    /// Milliseconds since the epoch.
    pub started_ms: u64,
    /// Milliseconds that the pass took so far.
    pub took_ms: u64,
}

/// At most one pass at a time.
#[derive(Default)]
pub struct ScrubJob {
    busy: AtomicBool,
    state: Mutex<ScrubState>,
}

impl ScrubJob {
    /// A pass that its maker drives itself with [`ScrubJob::pass`].
    pub fn begun() -> Self {
        let state = ScrubState {
            running: true,
            started_ms: types::SystemClock.now().ms(),
            ..ScrubState::default()
        };
        Self {
            busy: AtomicBool::new(true),
            state: Mutex::new(state),
        }
    }

    /// The state now.
    pub fn state(&self) -> ScrubState {
        self.state.lock().clone()
    }

    /// Starts a pass in the background; `false` when one is under way.
    pub fn start(job: &Arc<Self>, region: Arc<Region>, repair: bool) -> bool {
        if job.busy.swap(true, Ordering::AcqRel) {
            return false;
        }
        *job.state.lock() = ScrubState {
            running: true,
            started_ms: region.clock.now().ms(),
            ..ScrubState::default()
        };
        let job = Arc::clone(job);
        tokio::spawn(async move {
            let ended = job.pass(&region, repair).await;
            let mut state = job.state.lock();
            if let Err(error) = ended {
                tracing::error!(%error, "the scrub ended early");
                state.error = Some(error.to_string());
            }
            for damage in &state.damaged {
                tracing::error!(damage, "the scrub found damage");
            }
            state.running = false;
            drop(state);
            job.busy.store(false, Ordering::Release);
        });
        true
    }

    /// One whole pass, here and now.
    pub async fn pass(self: &Arc<Self>, region: &Arc<Region>, repair: bool) -> Result<(), Failure> {
        let (job, reader) = (Arc::clone(self), Arc::clone(region));
        let verified = tokio::task::spawn_blocking(move || job.verify(&reader)).await;
        verified.map_err(|e| Failure::new(format!("the scrub broke: {e}")))??;
        if repair {
            self.state.lock().phase = "orphans";
            let swept = region.objects.sweep_orphans().await;
            let swept = swept.map_err(|e| Failure::new(e.to_string()))?;
            let mut state = self.state.lock();
            state.orphans_removed = swept.removed;
            state.orphan_bytes = swept.bytes;
        }
        self.tick(&*region.clock);
        Ok(())
    }

    fn tick(&self, clock: &dyn Clock) {
        let mut state = self.state.lock();
        state.took_ms = clock.now().ms().saturating_sub(state.started_ms);
    }

    fn verify(&self, region: &Region) -> Result<(), Failure> {
        let total = region.embedded.stats().live_bytes + region.extents.bytes()?;
        {
            let mut state = self.state.lock();
            (state.phase, state.bytes_total) = ("journal", total);
        }
        let report = region.embedded.verify(|progress| {
            let mut state = self.state.lock();
            state.bytes = progress.bytes;
            state.items = progress.rows;
            drop(state);
            self.tick(&*region.clock);
            ControlFlow::Continue(())
        })?;
        let (bytes, items) = {
            let mut state = self.state.lock();
            (state.bytes, state.items) = (report.bytes, report.rows);
            let words = |d: &store::embedded::Damage| {
                format!("row {:?} of partition {}: {}", d.key, d.partition, d.what)
            };
            state.damaged.extend(report.damage.iter().map(words));
            state.phase = "extents";
            (state.bytes, state.items)
        };
        let report = region.extents.verify(&mut |progress| {
            let mut state = self.state.lock();
            state.bytes = bytes + progress.bytes;
            state.items = items + progress.extents;
            drop(state);
            self.tick(&*region.clock);
            true
        })?;
        let mut state = self.state.lock();
        for damage in report.damaged {
            // An unfinished extent is what a crash left of an upload: an orphan, not damage.
            if damage.kind != store::extents::DamageKind::Unfinished {
                state
                    .damaged
                    .push(format!("extent {}: {:?}", damage.id, damage.kind));
            }
        }
        Ok(())
    }
}
