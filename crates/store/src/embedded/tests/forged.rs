//! Bytes that clients send, made to look like frames, and damage among frames.

use super::*;
use crate::{
    Log, Position, Reach,
    embedded::frame::{FrameAt, FrameKey, Header, KEY_BYTES, Kind},
};

/// Segments for which frames are forged: those that come next.
const AHEAD: u64 = 16;

/// A payload that begins at `start` of its segment, full of frames for that place in segments
/// to come: as good as one can make them who knows everything but the store's secret.
fn forged(segment: u64, start: u64, len: u64, kind: &Kind) -> Bytes {
    let mut payload = vec![0; len as usize];
    let places = (start.next_multiple_of(64)..start + len - 128).step_by(128);
    for (offset, segment) in places.zip((segment + 1..segment + AHEAD).cycle()) {
        let mut head = vec![0; frame::HEADER_BYTES];
        frame::begin_commit(&mut head, u64::MAX - 1, P.0, 0);
        let mut header = Header {
            checksum: 0,
            meta_len: (head.len() - frame::HEADER_BYTES) as u32,
            payload_len: 0,
            place: FrameAt { segment, offset },
            first: u64::MAX - 1,
            last: u64::MAX - 1,
            synced: FrameAt {
                segment: segment + 1,
                offset: 1 << 30,
            },
            before: 0,
        };
        header.seal(&mut head, kind);
        if matches!(kind, Kind::Open) {
            head[8..12].copy_from_slice(b"DHJ2");
            let checksum = xxhash_rust::xxh3::xxh3_64(&head[8..]);
            head[..8].copy_from_slice(&checksum.to_le_bytes());
        }
        let at = (offset - start) as usize;
        payload[at..at + head.len()].copy_from_slice(&head);
    }
    payload.into()
}

/// Recovery searches what is behind the journal's end, where payloads of an earlier use of the file
/// can be. Before frames had a secret, one client's object could keep the node from starting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_a_client_sends_are_never_taken_for_frames() {
    let guesses = [
        Kind::Open,
        Kind::Keyed(FrameKey::kept(&[0; KEY_BYTES]).unwrap()),
    ];
    for kind in guesses {
        let dir = tempfile::tempdir().unwrap();
        let engine = Embedded::open(small(dir.path())).unwrap();
        for n in 0..12 {
            // Each object fills a segment, so it begins at the start of the next.
            let (key, value, len) = (format!("key {n:02}"), "value", 60_000);
            let meta = 20 + 33 + key.len() + value.len();
            let start = (frame::HEADER_BYTES + meta) as u64;
            let segment = engine.shared.progress.lock().applied.place.segment + 1;
            let batch = Batch::new().put_with(key, value, forged(segment, start, len, &kind));
            engine.commit(P, batch).await.unwrap();
            engine.checkpoint();
            let delete = Batch::new().delete(format!("key {n:02}"));
            engine.commit(P, delete).await.unwrap();
            engine.checkpoint();
        }
        // Their segments are used again, with the payloads still behind the end of what is new.
        let filler = Batch::new().put_with("filler", "", vec![0; 10_000].into());
        engine.commit(P, filler).await.unwrap();
        put(&engine, "kept", "kept").await.unwrap();
        engine.close().unwrap();
        drop(engine);
        let last = fs::read(journal(dir.path()).last().unwrap()).unwrap();
        let begun = *frames(journal(dir.path()).last().unwrap()).last().unwrap() as usize;
        let rest = last[begun..].windows(4).filter(|w| *w == b"DHJ2").count();
        assert!(rest > 100, "{rest} forged frames are behind the end");
        let engine = Embedded::open(small(dir.path())).unwrap();
        assert_eq!(value(&engine, "kept").await.unwrap().unwrap(), "kept");
        assert_eq!(engine.stats().damaged, 0);
    }
}

/// Segments that stay because one row in each is live, and are worth compacting.
async fn sparse(dir: &Path) -> (EmbeddedConfig, BTreeMap<String, String>) {
    let config = EmbeddedConfig {
        retain_log_bytes: 1 << 30,
        ..small(dir)
    };
    let engine = Embedded::open(config.clone()).unwrap();
    let mut rows = BTreeMap::new();
    for n in 0..1200 {
        let key = match n % 20 {
            0 => format!("stays {n}"),
            _ => format!("changes {}", n % 7),
        };
        let text = format!("value {n}");
        let batch = Batch::new()
            .put_with(key.clone(), text.clone(), text.repeat(50).into())
            .log(format!("entry {n}"));
        engine.commit(P, batch).await.unwrap();
        rows.insert(key, text);
    }
    engine.close().unwrap();
    (config, rows)
}

/// One flipped bit in the head of a frame.
fn hurt_a_head(dir: &Path, segment: usize, frame: usize) {
    let path = &journal(dir)[segment];
    let at = frames(path)[frame];
    crate::faults::flip_bit(path, (at + 30) * 8).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_a_head_stops_neither_compaction_nor_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (config, rows) = sparse(dir.path()).await;
    let before = journal(dir.path()).len();
    assert!(before > 10, "{before} segments");
    hurt_a_head(dir.path(), 2, 5);
    hurt_a_head(dir.path(), 4, 0);
    let config = EmbeddedConfig {
        retain_log_bytes: 0,
        ..config
    };
    let engine = Embedded::open(config).unwrap();
    // All that is live is moved, also what the damaged frames had: the index knows of it.
    let small_again = (0..300).any(|_| {
        engine.checkpoint();
        engine.stats().segments <= 4
    });
    assert!(small_again, "{:?}", engine.stats());
    for (key, text) in &rows {
        assert_eq!(value(&engine, key).await.unwrap().as_ref(), Some(text));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_a_head_is_reported_and_never_shortens_a_followers_log() {
    let dir = tempfile::tempdir().unwrap();
    let (config, rows) = sparse(dir.path()).await;
    let engine = Embedded::open(config.clone()).unwrap();
    let whole = Log::read(&*engine, P, Position(0), 10_000).await.unwrap();
    assert_eq!(whole.entries.len(), 1200);
    drop(engine);
    hurt_a_head(dir.path(), 3, 7);
    let engine = Embedded::open(config).unwrap();
    let report = engine
        .verify(|_| std::ops::ControlFlow::Continue(()))
        .unwrap();
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert!(report.damage[0].what.contains("frames from"), "{report:?}");
    assert_eq!(engine.stats().damaged, 1);
    // A follower that began before the damage gets the error, however small its pages are.
    let mut at = Position(0);
    let mut count = 0;
    let refused = loop {
        let page = Log::read(&*engine, P, at, 10).await;
        if engine.reach(P, at).await.unwrap() != Reach::Here {
            break page;
        }
        let page = page.unwrap();
        assert_ne!(page.next, at, "the log ended before the damage was met");
        count += page.entries.len();
        at = page.next;
    };
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
    assert!(count > 100 && count < 1199, "{count}");
    // One that begins anew, or was behind it before, misses nothing.
    let floor = engine.floor(P).await.unwrap();
    let rest = Log::read(&*engine, P, floor, 10_000).await.unwrap();
    let expected = whole.entries.iter().filter(|e| e.position > floor);
    assert!(expected.eq(rest.entries.iter()));
    assert!(rest.entries.len() + count + 5 > 1200, "little is lost");
    for (key, text) in &rows {
        assert_eq!(value(&engine, key).await.unwrap().as_ref(), Some(text));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_behind_the_marker_is_an_alarm_that_salvage_overrides() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        memtable_bytes: 8 << 20,
        ..small(dir.path())
    };
    let engine = Embedded::open(config.clone()).unwrap();
    for n in 0..60 {
        let batch = Batch::new()
            .put(format!("key {n:02}"), format!("{n}"))
            .log(format!("entry {n}"));
        engine.commit(P, batch).await.unwrap();
    }
    drop(engine);
    hurt_a_head(dir.path(), 0, 30);
    let refused = Embedded::open(config.clone());
    assert!(matches!(refused, Err(StoreError::Corrupt(_))));
    let salvage = EmbeddedConfig {
        salvage: true,
        ..config.clone()
    };
    let engine = Embedded::open(salvage).unwrap();
    let count = |engine: Arc<Embedded>| async move {
        let range = ScanRange::new(&b""[..], None);
        engine.scan(P, range, 100).await.unwrap().len()
    };
    assert_eq!(
        count(engine.clone()).await,
        59,
        "one commit is lost, and no other"
    );
    // Followers of before it begin anew.
    assert!(engine.reach(P, Position(0)).await.unwrap() != Reach::Here);
    put(&engine, "later", "x").await.unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = Embedded::open(config).unwrap();
    assert_eq!(count(engine.clone()).await, 60);
}
