//! Every engine and every wrapper passes the conformance suite.

use std::sync::Arc;

use async_trait::async_trait;
use store::{
    Engine,
    conformance::Subject,
    extents::{Extents, ExtentsConfig},
    faults::{Script, faulty},
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
