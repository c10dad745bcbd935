//! Every engine and every wrapper passes the conformance suite.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use store::{
    Batch, Damaged, Engine, Local, PartitionId, StoreError, Upkeep,
    conformance::{Subject, upkeep::looks_after_its_engine},
    embedded::EmbeddedConfig,
    extents::{Extents, ExtentsConfig},
    faults::{Script, faulty, flip_bit},
    memory::Memory,
};

struct InMemory;

#[async_trait]
impl Subject for InMemory {
    async fn open(&self) -> Engine {
        Memory::engine()
    }
    async fn reopen(&self, _engine: Engine) -> Option<Engine> {
        None
    }
}

store::conformance_suite!(memory, InMemory);

/// The fault wrappers without faults.
struct PassedThrough;

#[async_trait]
impl Subject for PassedThrough {
    async fn open(&self) -> Engine {
        faulty(Memory::engine(), &Script::new())
    }
    async fn reopen(&self, _engine: Engine) -> Option<Engine> {
        None
    }
}

store::conformance_suite!(faults, PassedThrough);

/// Extents on disk beside rows in memory; both stay when the extents are opened again.
struct OnDisk {
    dir: tempfile::TempDir,
}

impl OnDisk {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    fn extents(&self) -> Arc<Extents> {
        let config = ExtentsConfig::new(self.dir.path().join("extents"));
        Extents::open(config).expect("extents")
    }
}

#[async_trait]
impl Subject for OnDisk {
    async fn open(&self) -> Engine {
        let mut engine = Memory::engine();
        engine.blobs = self.extents();
        engine
    }
    async fn reopen(&self, mut engine: Engine) -> Option<Engine> {
        engine.blobs = self.extents();
        Some(engine)
    }
}

store::conformance_suite!(extents, OnDisk::new());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_engine_is_looked_after() {
    let memory = Memory::new();
    let engine = Arc::clone(&memory).into_engine();
    looks_after_its_engine(&engine, &*memory).await;

    let dir = tempfile::tempdir().expect("a directory");
    let local = || {
        let rows = EmbeddedConfig::new(dir.path().join("journal"));
        let extents = ExtentsConfig::new(dir.path().join("extents"));
        Local::open(rows, extents).expect("an engine")
    };
    let first = local();
    looks_after_its_engine(&first.engine(), &*first).await;
    let last = first.last_commit();
    let index = first.engine().index;
    let refused = index.commit(PartitionId(7), Batch::new()).await;
    assert!(matches!(refused, Err(StoreError::Fenced(_))), "{refused:?}");
    drop(index);
    drop(first);
    // Another opening has what was committed, and knows the position.
    let second = local();
    assert!(second.gave(last) && second.last_commit() >= last);
}

/// Flips a bit of the first run of this byte in a file below `dir`.
fn flip_in_run(dir: &Path, byte: u8) {
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("a file");
            let at = bytes
                .windows(64)
                .position(|run| run.iter().all(|b| *b == byte));
            if let Some(at) = at {
                flip_bit(&path, at as u64 * 8).expect("a flip");
                return;
            }
        }
    }
    panic!("no file has it");
}

/// A byte of an extent and a byte of a payload that the disk has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_of_both_parts_is_found_by_one_verification() {
    let dir = tempfile::tempdir().expect("a directory");
    let rows = EmbeddedConfig::new(dir.path().join("journal"));
    let extents = ExtentsConfig::new(dir.path().join("extents"));
    let local = Local::open(rows, extents).expect("an engine");
    let engine = local.engine();
    let payload = Bytes::from(vec![0x5A; 3000]);
    let batch = Batch::new().put_with("key", "value", payload);
    let of = PartitionId(7);
    engine.index.commit(of, batch).await.expect("a commit");
    let mut writer = engine.blobs.create(None).await.expect("an extent");
    let id = writer.id();
    let bytes = Bytes::from(vec![0xA5; 5000]);
    writer.write(bytes).await.expect("a write");
    writer.finish().await.expect("an extent");
    flip_in_run(&dir.path().join("journal"), 0x5A);
    flip_in_run(&dir.path().join("extents"), 0xA5);
    let mut parts = Vec::new();
    let found = local.verify(&mut |seen| {
        parts.push(seen.part);
        ControlFlow::Continue(())
    });
    let found = found.expect("a verification");
    let payload = Damaged::Payload(of, Bytes::from_static(b"key"));
    let is_found = |of: Damaged| found.iter().any(|damage| damage.of == of);
    assert!(
        is_found(payload) && is_found(Damaged::Extent(id)),
        "{found:?}"
    );
    assert!(
        parts.contains(&"journal") && parts.contains(&"extents"),
        "{parts:?}"
    );
}
