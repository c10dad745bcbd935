use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    Engine, Guard,
    conformance::Subject,
    extents::{Extents, ExtentsConfig},
};

mod compaction;
mod damage;
mod forged;
mod full;
mod hot;
mod killed;
mod older;
mod seeds;

const P: PartitionId = PartitionId(7);

fn small(dir: &Path) -> EmbeddedConfig {
    EmbeddedConfig {
        segment_bytes: 64 << 10,
        memtable_bytes: 8 << 10,
        reserve_bytes: 0,
        ..EmbeddedConfig::new(dir)
    }
}

fn big(dir: &Path) -> EmbeddedConfig {
    EmbeddedConfig {
        reserve_bytes: 0,
        ..EmbeddedConfig::new(dir)
    }
}

struct OnDisk {
    dir: tempfile::TempDir,
    config: fn(&Path) -> EmbeddedConfig,
}

impl OnDisk {
    fn with(config: fn(&Path) -> EmbeddedConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, config }
    }
    fn engine(&self) -> Engine {
        let rows = Embedded::open((self.config)(self.dir.path())).unwrap();
        let blobs = Extents::open(ExtentsConfig {
            reserve_bytes: 0,
            ..ExtentsConfig::new(self.dir.path().join("extents"))
        });
        Engine {
            index: rows.clone(),
            log: rows,
            blobs: blobs.unwrap(),
        }
    }
}

#[async_trait]
impl Subject for OnDisk {
    async fn open(&self) -> Engine {
        self.engine()
    }
    async fn reopen(&self, engine: Engine) -> Option<Engine> {
        drop(engine);
        Some(self.engine())
    }
}

crate::conformance_suite!(strict, OnDisk::with(big));
crate::conformance_suite!(
    relaxed,
    OnDisk::with(|dir| EmbeddedConfig {
        durability: Durability::Relaxed,
        ..big(dir)
    })
);

async fn put(engine: &Embedded, key: &str, value: &str) -> StoreResult<Committed> {
    let batch = Batch::new().put_with(
        Bytes::copy_from_slice(key.as_bytes()),
        Bytes::copy_from_slice(value.as_bytes()),
        Bytes::from(value.repeat(50)),
    );
    engine.commit(P, batch).await
}

async fn value(engine: &Embedded, key: &str) -> StoreResult<Option<String>> {
    let row = engine.get(P, key.as_bytes(), Want::Payload).await?;
    Ok(row.map(|row| {
        let value = String::from_utf8(row.value.to_vec()).unwrap();
        assert_eq!(row.payload.unwrap(), value.repeat(50));
        value
    }))
}

fn journal(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("journal"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Offsets of the whole frames of a segment, and the end of the last.
fn frames(path: &Path) -> Vec<u64> {
    let dir = path.parent().unwrap().parent().unwrap();
    let id = u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap();
    let disk = Disk::real(None);
    let rows = rows::Rows::open(&disk, &dir.join("index.redb"), 1 << 20, false).unwrap();
    let key = rows.identity().unwrap().kinds.unwrap().key;
    let file = disk.folder.open(path).unwrap();
    let segment = segment::Segment::new(id, file, path.into(), frame::Kind::Keyed(key));
    let mut offsets = vec![0];
    while let Some((header, _)) = segment.read_head(*offsets.last().unwrap()).unwrap() {
        offsets.push(header.end());
    }
    offsets
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_any_byte() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    let engine = Embedded::open(small(&base)).unwrap();
    for n in 0..5 {
        put(&engine, &format!("key {n}"), &format!("value {n}"))
            .await
            .unwrap();
    }
    drop(engine);
    let ends = frames(&journal(&base)[0]);
    let (start, end) = (ends[4], ends[5]);
    for cut in (start..end - 64).step_by(7) {
        let torn = dir.path().join(format!("torn {cut}"));
        copy(&base, &torn);
        let path = &journal(&torn)[0];
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(cut).unwrap();
        file.set_len(64 << 10).unwrap();
        let engine = Embedded::open(small(&torn)).unwrap();
        for n in 0..4 {
            let expected = Some(format!("value {n}"));
            assert_eq!(value(&engine, &format!("key {n}")).await.unwrap(), expected);
        }
        assert_eq!(value(&engine, "key 4").await.unwrap(), None, "cut at {cut}");
        // What is written next is found again.
        put(&engine, "key 5", "value 5").await.unwrap();
        drop(engine);
        let engine = Embedded::open(small(&torn)).unwrap();
        assert_eq!(value(&engine, "key 5").await.unwrap().unwrap(), "value 5");
        assert_eq!(value(&engine, "key 4").await.unwrap(), None);
        drop(engine);
        fs::remove_dir_all(&torn).unwrap();
    }
}

#[tokio::test]
async fn damage_before_the_last_frame_is_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    let engine = Embedded::open(small(&base)).unwrap();
    for n in 0..6 {
        put(&engine, &format!("key {n}"), &format!("value {n}"))
            .await
            .unwrap();
    }
    drop(engine);
    let ends = frames(&journal(&base)[0]);
    for at in (0..ends[5] - 64).step_by(61) {
        let hurt = dir.path().join(format!("hurt {at}"));
        copy(&base, &hurt);
        let path = &journal(&hurt)[0];
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        match Embedded::open(small(&hurt)) {
            Err(StoreError::Corrupt(text)) => assert!(text.contains("0001.seg"), "{text}"),
            Err(other) => panic!("at {at}: {other}"),
            // The padding between frames carries nothing.
            Ok(engine) => {
                for n in 0..6 {
                    let expected = Some(format!("value {n}"));
                    let found = value(&engine, &format!("key {n}")).await.unwrap();
                    assert_eq!(found, expected, "at {at}");
                }
            }
        }
        fs::remove_dir_all(&hurt).unwrap();
    }
}

#[tokio::test]
async fn a_damaged_payload_is_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Embedded::open(small(dir.path())).unwrap();
    put(&engine, "a", "one").await.unwrap();
    put(&engine, "b", "two").await.unwrap();
    engine.close().unwrap();
    drop(engine);
    let path = &journal(dir.path())[0];
    let bytes = fs::read(path).unwrap();
    let at = bytes.windows(6).position(|w| w == b"oneone").unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(b"x", at as u64 + 40).unwrap();
    let engine = Embedded::open(small(dir.path())).unwrap();
    let found = value(&engine, "a").await;
    assert!(matches!(found, Err(StoreError::Corrupt(_))), "{found:?}");
    assert_eq!(value(&engine, "b").await.unwrap().unwrap(), "two");
    let report = engine
        .verify(|_| std::ops::ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(
        (report.rows, report.payloads, report.damage.len()),
        (2, 2, 1)
    );
    assert_eq!(report.damage[0].key, "a");
}

struct Script {
    fail: AtomicBool,
    call: DiskCall,
    kind: io::ErrorKind,
}

fn hooked(
    config: EmbeddedConfig,
    call: DiskCall,
    kind: io::ErrorKind,
) -> (EmbeddedConfig, Arc<Script>) {
    let fail = AtomicBool::new(false);
    let script = Arc::new(Script { fail, call, kind });
    let inner = script.clone();
    let hook: DiskHook = Arc::new(move |call| {
        if call == inner.call && inner.fail.load(Ordering::SeqCst) {
            return Err(inner.kind.into());
        }
        Ok(())
    });
    let hook = Some(hook);
    (EmbeddedConfig { hook, ..config }, script)
}

#[tokio::test]
async fn a_failed_sync_or_write_fences() {
    for call in [DiskCall::Sync, DiskCall::Write] {
        let dir = tempfile::tempdir().unwrap();
        let (config, script) = hooked(small(dir.path()), call, io::ErrorKind::Other);
        let engine = Embedded::open(config).unwrap();
        put(&engine, "before", "here").await.unwrap();
        script.fail.store(true, Ordering::SeqCst);
        let failed = put(&engine, "during", "x").await;
        assert!(matches!(failed, Err(StoreError::Fenced(_))), "{failed:?}");
        script.fail.store(false, Ordering::SeqCst);
        let failed = put(&engine, "after", "x").await;
        assert!(matches!(failed, Err(StoreError::Fenced(_))), "{failed:?}");
        assert!(engine.stats().fenced.is_some());
        assert_eq!(value(&engine, "before").await.unwrap().unwrap(), "here");
        assert_eq!(value(&engine, "after").await.unwrap(), None);
        drop(engine);
        let note = fs::read_to_string(dir.path().join("fenced")).unwrap();
        assert!(note.contains("0001.seg"), "{note}");
        let engine = Embedded::open(small(dir.path())).unwrap();
        assert!(!dir.path().join("fenced").exists());
        assert_eq!(value(&engine, "before").await.unwrap().unwrap(), "here");
        put(&engine, "after", "y").await.unwrap();
    }
}

/// A frame for which there is no room is refused, and the next one takes its place.
#[tokio::test]
async fn a_write_without_room_is_refused_and_no_fence() {
    let dir = tempfile::tempdir().unwrap();
    let (config, script) = hooked(
        small(dir.path()),
        DiskCall::Write,
        io::ErrorKind::StorageFull,
    );
    let engine = Embedded::open(config).unwrap();
    put(&engine, "before", "here").await.unwrap();
    script.fail.store(true, Ordering::SeqCst);
    let refused = put(&engine, "during", "x").await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert_eq!(engine.stats().fenced, None);
    script.fail.store(false, Ordering::SeqCst);
    put(&engine, "after", "y").await.unwrap();
    drop(engine);
    let engine = Embedded::open(small(dir.path())).unwrap();
    assert_eq!(value(&engine, "before").await.unwrap().unwrap(), "here");
    assert_eq!(value(&engine, "during").await.unwrap(), None);
    assert_eq!(value(&engine, "after").await.unwrap().unwrap(), "y");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_takes_deletes_and_recovers() {
    for call in [DiskCall::Room, DiskCall::Allocate] {
        let dir = tempfile::tempdir().unwrap();
        let (config, script) = hooked(small(dir.path()), call, io::ErrorKind::StorageFull);
        let engine = Embedded::open(EmbeddedConfig {
            memtable_bytes: 8 << 20,
            ..config
        })
        .unwrap();
        put(&engine, "k", "kept").await.unwrap();
        engine.checkpoint();
        script.fail.store(true, Ordering::SeqCst);
        let mut refused = false;
        for n in 0..5000 {
            match put(&engine, &format!("key {n}"), "some value").await {
                Ok(_) => {}
                Err(StoreError::Full(_)) => {
                    refused = true;
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!(refused);
        assert_eq!(value(&engine, "k").await.unwrap().unwrap(), "kept");
        let delete = Batch::new().delete("k").frees();
        engine.commit(P, delete).await.unwrap();
        assert_eq!(value(&engine, "k").await.unwrap(), None);
        script.fail.store(false, Ordering::SeqCst);
        put(&engine, "again", "room").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_commits_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Embedded::open(big(dir.path())).unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|t| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    put(&engine, &format!("{t}/{n}"), "v").await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = engine.stats();
    assert_eq!(stats.commits, 640);
    assert!(stats.syncs < 640, "{stats:?}");
}

/// Overwrites while segments are checkpointed, compacted and recycled; then opens again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_keeps_rows_versions_and_payloads() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Embedded::open(small(dir.path())).unwrap();
    let mut versions = BTreeMap::new();
    // Rows that stay, spread thinly over many segments, among rows that are overwritten.
    for n in 0..3000_u32 {
        let key = if n % 10 == 0 {
            format!("stay {n}")
        } else {
            format!("hot {}", n % 7)
        };
        let text = format!("value {n}");
        let done = put(&engine, &key, &text).await.unwrap();
        versions.insert(key, (done.version, text));
    }
    let total: u64 = versions.values().map(|(_, v)| v.len() as u64 * 50).sum();
    let settled = |engine: &Embedded| {
        // What a row in memory replaces counts until the next checkpoint.
        (0..500).any(|_| {
            engine.checkpoint();
            let stats = engine.stats();
            stats.live_bytes == total && stats.segment_bytes < 1200 << 10
        })
    };
    assert!(settled(&engine), "{:?}, {total} live", engine.stats());
    assert!(engine.stats().moved > 0, "{:?}", engine.stats());
    let mut engine = engine;
    for turn in 0..2 {
        for (key, (version, text)) in &versions {
            let row = engine
                .get(P, key.as_bytes(), Want::Payload)
                .await
                .unwrap()
                .unwrap();
            assert_eq!(
                (row.version, &row.value[..]),
                (*version, text.as_bytes()),
                "{turn}"
            );
            assert_eq!(row.payload.unwrap(), text.repeat(50));
        }
        drop(engine);
        engine = Embedded::open(small(dir.path())).unwrap();
    }
    assert!(settled(&engine), "{:?}, {total} live", engine.stats());
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u16, bool),
    Delete(u8),
    Guarded(u8, bool),
    Checkpoint,
    Drop,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..20_u8, 0..3000_u16, any::<bool>()).prop_map(|(k, l, p)| Step::Put(k, l, p)),
        4 => (0..20_u8).prop_map(Step::Delete),
        4 => (0..20_u8, any::<bool>()).prop_map(|(k, a)| Step::Guarded(k, a)),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Drop),
        1 => Just(Step::Close),
    ]
}

type Model = BTreeMap<Bytes, Row>;

async fn run(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Embedded::open(small(dir.path())).unwrap();
    let mut model = Model::new();
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Put(k, len, with) => {
                let key = Bytes::from(vec![k]);
                let value = Bytes::from(format!("{n}"));
                let payload = with.then(|| Bytes::from(vec![n as u8; usize::from(len)]));
                let mut batch = Batch::new();
                batch.puts.push(crate::Put {
                    key: key.clone(),
                    value: value.clone(),
                    payload: payload.clone(),
                });
                let version = engine.commit(P, batch).await.unwrap().version;
                let row = Row {
                    version,
                    value,
                    payload,
                };
                model.insert(key, row);
            }
            Step::Delete(k) => {
                engine
                    .commit(P, Batch::new().delete(vec![k]))
                    .await
                    .unwrap();
                model.remove(&[k][..]);
            }
            Step::Guarded(k, absent) => {
                let key = Bytes::from(vec![k]);
                let had = model.get(&key).map(|r| r.version);
                let guard = match had.filter(|_| !absent) {
                    Some(version) => Guard::Version(key.clone(), version),
                    None => Guard::Absent(key.clone()),
                };
                let holds = !matches!(guard, Guard::Absent(_)) || had.is_none();
                let batch = Batch::new().guard(guard).put(key.clone(), "guarded");
                match engine.commit(P, batch).await {
                    Ok(done) if holds => {
                        let row = Row {
                            version: done.version,
                            value: "guarded".into(),
                            payload: None,
                        };
                        model.insert(key, row);
                    }
                    Err(StoreError::Conflict { index: 0 }) if !holds => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Checkpoint => engine.checkpoint(),
            Step::Drop => {
                drop(engine);
                engine = Embedded::open(small(dir.path())).unwrap();
            }
            Step::Close => {
                engine.close().unwrap();
                drop(engine);
                engine = Embedded::open(small(dir.path())).unwrap();
            }
        }
    }
    let found = engine.scan(P, ScanRange::prefix(b""), 1000).await.unwrap();
    assert_eq!(found.len(), model.len());
    for (key, row) in found {
        let full = engine.get(P, &key, Want::Payload).await.unwrap().unwrap();
        assert_eq!(Some(&full), model.get(&key));
        assert_eq!((row.version, row.value), (full.version, full.value));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn agrees_with_a_map(steps in proptest::collection::vec(step(), 1..250)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}

#[tokio::test]
async fn scans_merge_memory_over_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Embedded::open(big(dir.path())).unwrap();
    let count = AtomicU64::new(0);
    for n in (0..100).step_by(2) {
        put(&engine, &format!("{n:03}"), "old").await.unwrap();
        count.fetch_add(1, Ordering::Relaxed);
    }
    engine.checkpoint();
    for n in (0..100).step_by(3) {
        put(&engine, &format!("{n:03}"), "new").await.unwrap();
    }
    for n in (0..100).step_by(5) {
        let key = format!("{n:03}");
        engine.commit(P, Batch::new().delete(key)).await.unwrap();
    }
    let expected: Vec<_> = (0..100)
        .filter(|n| n % 5 != 0 && (n % 2 == 0 || n % 3 == 0))
        .map(|n| (format!("{n:03}"), if n % 3 == 0 { "new" } else { "old" }))
        .collect();
    for limit in [1, 2, 7, 1000] {
        let (mut found, mut start) = (Vec::new(), Bytes::new());
        loop {
            let range = ScanRange::new(start.clone(), None);
            let page = engine.scan(P, range, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some((last, _)) = page.last() else { break };
            start = [&last[..], b"\0"].concat().into();
            found.extend(
                page.into_iter()
                    .map(|(k, r)| (String::from_utf8(k.to_vec()).unwrap(), r.value)),
            );
        }
        let found: Vec<_> = found.iter().map(|(k, v)| (k.clone(), &v[..])).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(k, v)| (k.clone(), v.as_bytes()))
            .collect();
        assert_eq!(found, expected, "limit {limit}");
    }
}
