//! What happens to which call.

use std::{future::Future, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{StoreError, StoreResult};

/// The calls of the three traits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `Index::get`.
    Get,
    /// `Index::scan`.
    Scan,
    /// `Index::commit`.
    Commit,
    /// `Log::read`.
    ReadLog,
    /// `Log::trim`.
    Trim,
    /// `Blobs::create`.
    Create,
    /// `BlobWriter::write`.
    Write,
    /// `BlobWriter::finish`.
    Finish,
    /// `Blobs::open`.
    Open,
    /// `BlobReader::read`.
    Read,
    /// `Blobs::delete`.
    Delete,
    /// `Blobs::list`.
    List,
}

const CALLS: usize = Call::List as usize + 1;

/// What happens to a call.
#[derive(Clone)]
pub enum Fault {
    /// It does nothing and answers this.
    Fail(StoreError),
    /// It is carried out, but answers this: the outcome is unknown to the caller. An error that
    /// the engine itself answers comes through as it is.
    LandThenFail(StoreError),
    /// It waits at the gate before it is carried out.
    HoldBefore(Arc<Gate>),
    /// It is carried out and waits at the gate before it answers.
    HoldAfter(Arc<Gate>),
}

impl Fault {
    /// Fails as a disk that gives no answer.
    pub fn io() -> Self {
        Self::Fail(io_error())
    }
    /// Is carried out, but seems to have failed.
    pub fn land_then_io() -> Self {
        Self::LandThenFail(io_error())
    }
}

fn io_error() -> StoreError {
    StoreError::io("a planned fault", std::io::Error::from_raw_os_error(5))
}

/// Holds calls until the test lets them go on, and signals the test when one has arrived.
pub struct Gate {
    arrived: Semaphore,
    released: Semaphore,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
        })
    }

    /// Waits until one more call has reached the gate.
    pub async fn arrival(&self) {
        take(&self.arrived).await;
    }

    /// Lets one call go on, now or when it comes.
    pub fn release(&self) {
        self.released.add_permits(1);
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        take(&self.released).await;
    }
}

async fn take(permits: &Semaphore) {
    if let Ok(permit) = permits.acquire().await {
        permit.forget();
    }
}

struct Rule {
    call: Call,
    /// The first call concerned, counted from 1.
    from: u64,
    /// The last call concerned.
    to: u64,
    fault: Fault,
}

#[derive(Default)]
struct State {
    counts: [u64; CALLS],
    rules: Vec<Rule>,
}

/// Which calls fail, and how. Shared by the wrappers of one engine; rules may be added at any
/// time, and the first that fits a call applies.
#[derive(Default)]
pub struct Script(Mutex<State>);

impl Script {
    /// No faults yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The `nth` call from now on, counted from 1, has this fault.
    pub fn on(&self, call: Call, nth: u64, fault: Fault) {
        let mut state = self.0.lock();
        let at = state.counts[call as usize] + nth.max(1);
        state.rules.push(Rule {
            call,
            from: at,
            to: at,
            fault,
        });
    }

    /// Every call from now on has this fault.
    pub fn always(&self, call: Call, fault: Fault) {
        let mut state = self.0.lock();
        let from = state.counts[call as usize] + 1;
        state.rules.push(Rule {
            call,
            from,
            to: u64::MAX,
            fault,
        });
    }

    /// No faults any more.
    pub fn clear(&self) {
        self.0.lock().rules.clear();
    }

    /// How often `call` was made.
    pub fn count(&self, call: Call) -> u64 {
        self.0.lock().counts[call as usize]
    }

    fn next(&self, call: Call) -> Option<Fault> {
        let mut state = self.0.lock();
        state.counts[call as usize] += 1;
        let n = state.counts[call as usize];
        let fits = |r: &&Rule| r.call == call && (r.from..=r.to).contains(&n);
        state.rules.iter().find(fits).map(|r| r.fault.clone())
    }

    /// Makes the call, with what the script has for it.
    pub(super) async fn run<T>(
        &self,
        call: Call,
        inner: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        match self.next(call) {
            None => inner.await,
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::LandThenFail(error)) => {
                inner.await?;
                Err(error)
            }
            Some(Fault::HoldBefore(gate)) => {
                gate.pass().await;
                inner.await
            }
            Some(Fault::HoldAfter(gate)) => {
                let answer = inner.await;
                gate.pass().await;
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, PartitionId, ScanRange, Want, faults::faulty, memory::Memory};

    const P: PartitionId = PartitionId(1);

    #[tokio::test]
    async fn the_named_call_fails_and_no_other() {
        let script = Script::new();
        let index = faulty(Memory::engine(), &script).index;
        let put = |k: &'static str| index.commit(P, Batch::new().put(k, ""));
        put("a").await.unwrap();
        script.on(Call::Commit, 2, Fault::Fail(StoreError::Busy));
        put("b").await.unwrap();
        assert!(matches!(put("c").await, Err(StoreError::Busy)));
        put("d").await.unwrap();
        assert_eq!(script.count(Call::Commit), 4);
        let rows = index.scan(P, ScanRange::prefix(b""), 9).await.unwrap();
        assert_eq!(rows.len(), 3, "the failed one did nothing");
    }

    #[tokio::test]
    async fn a_commit_can_land_and_seem_failed() {
        let script = Script::new();
        let index = faulty(Memory::engine(), &script).index;
        script.on(Call::Commit, 1, Fault::land_then_io());
        let answer = index.commit(P, Batch::new().put("a", "")).await;
        assert!(matches!(answer, Err(StoreError::Io { .. })));
        assert!(index.get(P, b"a", Want::Value).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn every_call_fails_until_cleared() {
        let script = Script::new();
        let blobs = faulty(Memory::engine(), &script).blobs;
        script.always(Call::Finish, Fault::io());
        for _ in 0..3 {
            let writer = blobs.create(None).await.unwrap();
            assert!(writer.finish().await.is_err());
        }
        assert_eq!(blobs.list(None, 9).await.unwrap(), []);
        script.clear();
        blobs.create(None).await.unwrap().finish().await.unwrap();
    }

    #[tokio::test]
    async fn a_gate_holds_a_call_before_or_after_it_lands() {
        for after in [false, true] {
            let script = Script::new();
            let index = faulty(Memory::engine(), &script).index;
            let gate = Gate::new();
            let fault = match after {
                false => Fault::HoldBefore(gate.clone()),
                true => Fault::HoldAfter(gate.clone()),
            };
            script.on(Call::Commit, 1, fault);
            let held = index.clone();
            let call = async move { held.commit(P, Batch::new().put("a", "")).await };
            let held = tokio::spawn(call);
            gate.arrival().await;
            let row = index.get(P, b"a", Want::Value).await.unwrap();
            assert_eq!(row.is_some(), after);
            gate.release();
            held.await.unwrap().unwrap();
            assert!(index.get(P, b"a", Want::Value).await.unwrap().is_some());
        }
    }
}
