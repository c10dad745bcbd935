//! What whoever looks after an engine can rely on.

use std::{collections::BTreeSet, ops::ControlFlow};

use bytes::Bytes;

use crate::{Batch, Engine, PartitionId, Position, Upkeep, Want};

const OF: PartitionId = PartitionId(7);

/// A new engine is well, knows what it gave, finds no damage, and keeps all over its end.
///
/// # Panics
/// The engine breaks a rule.
pub async fn looks_after_its_engine(engine: &Engine, upkeep: &dyn Upkeep) {
    let health = upkeep.health();
    assert!(health.fenced.is_none() && !health.full, "{health:?}");
    let before = upkeep.last_commit();
    let payload = Bytes::from(vec![7; 1000]);
    let batch = Batch::new().put_with("key", "value", payload).log("entry");
    let committed = engine.index.commit(OF, batch).await.expect("a commit");
    let last = upkeep.last_commit();
    assert!(last > before && last.0 >= committed.version.0, "{last:?}");
    assert!(upkeep.gave(last), "its own position");
    assert!(!upkeep.gave(Position(u64::MAX)), "a position of no engine");

    let mut writer = engine.blobs.create(None).await.expect("an extent");
    let bytes = Bytes::from(vec![9; 5000]);
    writer.write(bytes).await.expect("a write");
    writer.finish().await.expect("an extent");
    let (mut calls, mut read) = (0, 0);
    let damage = upkeep.verify(&mut |seen| {
        calls += 1;
        assert!(seen.bytes >= read && !seen.part.is_empty(), "{seen:?}");
        read = seen.bytes;
        ControlFlow::Continue(())
    });
    assert_eq!(damage.expect("a verification"), []);
    assert!(calls > 0 && read >= 6000, "{calls} calls, {read} bytes");
    // Whoever asks may end it.
    let mut calls = 0;
    let ended = upkeep.verify(&mut |_| {
        calls += 1;
        ControlFlow::Break(())
    });
    assert_eq!(ended.expect("a verification"), []);
    assert_eq!(calls, 1);

    let figures = upkeep.figures();
    let names: BTreeSet<&str> = figures.iter().map(|figure| figure.name).collect();
    assert_eq!(names.len(), figures.len(), "{figures:?}");
    let is_name = |name: &str| name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    assert!(names.iter().all(|name| is_name(name)), "{names:?}");

    upkeep.close().expect("a close");
    let found = engine.index.get(OF, b"key", Want::Value).await;
    let found = found.expect("a read").map(|row| row.value);
    assert_eq!(found.as_deref(), Some(&b"value"[..]));
}
