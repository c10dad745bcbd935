//! Bytes that clients send, made to look like frames, and damage among frames.

use super::*;
use crate::{
    Log, Position,
    embedded::frame::{FrameKey, Header, KEY_BYTES, Kind, Place},
};

/// A payload full of frames for the places where it comes to be: as good as one can make them who
/// knows everything but the store's secret.
fn forged(segment: u64, start: u64, kind: &Kind) -> Bytes {
    let mut payload = Vec::new();
    // A whole page of the segment, with a frame at each place where one may begin.
    for offset in (start..start + 8192).step_by(64).skip(1) {
        let meta = frame_meta();
        let mut head = vec![0; frame::HEADER_BYTES];
        head.extend_from_slice(&meta);
        let mut header = Header {
            checksum: 0,
            meta_len: meta.len() as u32,
            payload_len: 0,
            place: Place { segment, offset },
            first: u64::MAX - 1,
            last: u64::MAX - 1,
            synced: Place {
                segment: segment + 1,
                offset: 1 << 30,
            },
            before: 0,
        };
        header.seal(&mut head, kind);
        head[8..12].copy_from_slice(b"DHJ2");
        let at = (offset - start) as usize;
        payload.resize(at.max(payload.len()), 0);
        payload.truncate(at);
        payload.extend_from_slice(&head);
    }
    payload.into()
}

fn frame_meta() -> Vec<u8> {
    let mut meta = Vec::new();
    frame::begin_commit(&mut meta, u64::MAX - 1, P.0, 1);
    frame::push_log(&mut meta, b"forged");
    meta
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
        // Payloads with frames for every place of the first segments, aligned as frames are.
        for n in 0..40_u64 {
            let place = engine.shared.progress.lock().applied.place;
            // The payload begins behind header and meta; its own frames name the true places.
            let shift = 64 - (place.offset + 300) % 64;
            for segment in [place.segment, place.segment + 3, place.segment + 5] {
                let mut payload = vec![0; shift as usize];
                payload.extend_from_slice(&forged(segment, (place.offset + 320) / 64 * 64, &kind));
                let batch = Batch::new()
                    .put_with(format!("key {n}"), "value", payload.into())
                    .log("true");
                engine.commit(P, batch).await.unwrap();
            }
            engine.checkpoint();
        }
        for n in 0..40 {
            let delete = Batch::new().delete(format!("key {n}"));
            engine.commit(P, delete).await.unwrap();
        }
        // Their segments are used again, with the payloads still behind the end of what is new.
        for _ in 0..20 {
            engine.checkpoint();
            put(&engine, "kept", "kept").await.unwrap();
        }
        engine.close().unwrap();
        drop(engine);
        let engine = Embedded::open(small(dir.path())).unwrap();
        assert_eq!(value(&engine, "kept").await.unwrap().unwrap(), "kept");
        let floor = engine.floor(P).await.unwrap();
        let page = Log::read(&*engine, P, floor, 1000).await.unwrap();
        assert!(page.entries.iter().all(|e| e.entry == "true"));
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
    // A follower of before the damage is told, however small its pages are.
    let mut at = Position(0);
    let mut count = 0;
    let refused = loop {
        let page = Log::read(&*engine, P, at, 10).await;
        if !engine.reaches(P, at).await.unwrap() {
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
    assert!(!engine.reaches(P, Position(0)).await.unwrap());
    put(&engine, "later", "x").await.unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = Embedded::open(config).unwrap();
    assert_eq!(count(engine.clone()).await, 60);
}
