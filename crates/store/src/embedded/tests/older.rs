//! Folders of earlier versions, and first openings that were cut off.

use std::process::Command;

use super::*;
use crate::{Log, Position, Reach, embedded::disk::sim::SimDisk};

/// What `tests/data/folder-of-format-2.tar.gz` has: written by the version before frames had a
/// secret, and not closed. 400 commits, each to one of 150 keys; every ninth removes its key.
fn recorded() -> BTreeMap<String, String> {
    let mut rows = BTreeMap::new();
    for n in 0..400_u32 {
        let key = format!("key {:03}", n % 150);
        match n % 9 {
            0 => rows.remove(&key),
            _ => rows.insert(key, format!("value {n}")),
        };
    }
    rows
}

fn unpack(dir: &Path) -> EmbeddedConfig {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/folder-of-format-2.tar.gz");
    let status = Command::new("tar")
        .arg("xzf")
        .arg(packed)
        .arg("-C")
        .arg(dir)
        .status();
    assert!(status.unwrap().success());
    small(&dir.join("format-1"))
}

async fn check(engine: &Embedded, rows: &BTreeMap<String, String>) {
    for n in 0..150 {
        let key = format!("key {n:03}");
        let found = value(engine, &key).await.unwrap();
        assert_eq!(found.as_ref(), rows.get(&key), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_an_earlier_version_is_read_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = unpack(dir.path());
    let mut rows = recorded();
    let engine = Embedded::open(config.clone()).unwrap();
    check(&engine, &rows).await;
    // The log goes on from positions that the earlier version gave.
    let floor = engine.floor(P).await.unwrap();
    let page = Log::read(&*engine, P, floor, 1000).await.unwrap();
    assert_eq!(page.entries.last().unwrap().entry, "entry 399");
    assert!(engine.reach(P, Position(400)).await.unwrap() == Reach::Here);
    assert!(engine.reach(P, Position(5000)).await.unwrap() != Reach::Here);
    for n in 0..300 {
        let (key, text) = (format!("key {:03}", n % 150), format!("new {n}"));
        put(&engine, &key, &text).await.unwrap();
        rows.insert(key, text);
    }
    drop(engine);
    for close in [false, true] {
        let engine = Embedded::open(config.clone()).unwrap();
        check(&engine, &rows).await;
        if close {
            engine.close().unwrap();
        }
    }
    let segments: Vec<_> = journal(&config.dir)
        .iter()
        .map(|path| fs::read(path).unwrap()[8..12].to_vec())
        .collect();
    assert!(segments.iter().any(|magic| magic == b"DHJ2"));
}

/// The first opening, cut off by a loss of power or a kill at any moment, leaves a folder that
/// opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_opening_that_was_cut_off_leaves_a_folder_that_opens() {
    let config = small(Path::new("/engine"));
    for seed in 0..60_u64 {
        let disk = SimDisk::new(seed, 8 << 20);
        // Each later one gets one call further.
        disk.end_after_calls(seed);
        let first = Embedded::open_on(disk.disk(None), config.clone());
        match seed % 2 {
            0 => disk.cut_power(),
            _ => disk.end_process(),
        }
        drop(first);
        let engine = Embedded::open_on(disk.disk(None), config.clone());
        let engine = engine.unwrap_or_else(|error| panic!("after {seed} calls: {error}"));
        put(&engine, "key", "value").await.unwrap();
        drop(engine);
        disk.cut_power();
        let engine = Embedded::open_on(disk.disk(None), config.clone()).unwrap();
        let found = value(&engine, "key").await.unwrap();
        assert_eq!(found.as_deref(), Some("value"), "after {seed} calls");
    }
}
