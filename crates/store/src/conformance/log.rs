//! The rules of [`Log`](crate::Log).

use bytes::Bytes;

use super::Subject;
use crate::{Batch, Engine, Guard, LogEntry, PartitionId, Position, StoreError};

const P: PartitionId = PartitionId(3);

async fn write(engine: &Engine, entries: &[&str]) -> Position {
    let mut batch = Batch::new().put("row", "value");
    for entry in entries {
        batch = batch.log(entry.to_string());
    }
    let committed = engine.index.commit(P, batch).await.expect("a commit");
    Position(committed.version.0)
}

async fn read_all(engine: &Engine, mut after: Position, limit: usize) -> Vec<LogEntry> {
    let mut all = Vec::new();
    loop {
        let page = engine.log.read(P, after, limit).await.expect("a page");
        if page.entries.is_empty() {
            let last = all.last().map_or(after, |e: &LogEntry| e.position);
            let end = engine.log.end(P);
            assert!(end >= last, "the end is before the last entry");
            let after = engine.log.read(P, end, limit).await.expect("a page");
            assert_eq!(after.entries, [], "entries after the end");
            return all;
        }
        assert!(page.next > after, "a page moves on");
        all.extend(page.entries);
        after = page.next;
    }
}

fn texts(entries: &[LogEntry]) -> Vec<Bytes> {
    entries.iter().map(|e| e.entry.clone()).collect()
}

/// Entries come in the order of their commits, with the commit's version as position, each
/// partition's by itself.
pub async fn logs_in_commit_order(subject: &dyn Subject) {
    let engine = subject.open().await;
    assert_eq!(read_all(&engine, Position(0), 10).await, []);
    let mut expected = Vec::new();
    for n in 0..30 {
        let text = format!("entry {n}");
        let position = write(&engine, &[&text]).await;
        expected.push((position, Bytes::from(text)));
        let other = Batch::new().put("row", "").log("another partition's");
        engine
            .index
            .commit(PartitionId(4), other)
            .await
            .expect("a commit");
        // A commit without entries leaves no gap that a reader would notice.
        write(&engine, &[]).await;
    }
    for limit in [1, 7, 1000] {
        let found = read_all(&engine, Position(0), limit).await;
        let found: Vec<_> = found.into_iter().map(|e| (e.position, e.entry)).collect();
        assert_eq!(found, expected, "limit {limit}");
    }
    let tail = read_all(&engine, expected[20].0, 1000).await;
    assert_eq!(tail.len(), 9);
}

/// A page never ends within a commit, however small the limit.
pub async fn pages_whole_commits(subject: &dyn Subject) {
    let engine = subject.open().await;
    let first = write(&engine, &["a", "b", "c"]).await;
    let second = write(&engine, &["d", "e"]).await;
    let page = engine.log.read(P, Position(0), 1).await.expect("a page");
    assert_eq!(texts(&page.entries), ["a", "b", "c"]);
    assert!(page.next >= first && page.next < second);
    let page = engine.log.read(P, page.next, 1).await.expect("a page");
    assert_eq!(texts(&page.entries), ["d", "e"]);
    let page = engine.log.read(P, page.next, 1).await.expect("a page");
    assert_eq!((page.entries.len(), page.next >= second), (0, true));
    assert_eq!(texts(&read_all(&engine, first, 1).await), ["d", "e"]);
}

/// What was not trimmed stays; positions go on rising.
pub async fn goes_on_after_a_trim(subject: &dyn Subject) {
    let engine = subject.open().await;
    let first = write(&engine, &["a"]).await;
    let second = write(&engine, &["b"]).await;
    write(&engine, &["c"]).await;
    engine.log.trim(P, first).await.expect("a trim");
    assert_eq!(texts(&read_all(&engine, first, 10).await), ["b", "c"]);
    engine.log.trim(P, second).await.expect("a trim");
    engine
        .log
        .trim(P, first)
        .await
        .expect("an older trim is no error");
    engine
        .log
        .trim(PartitionId(99), second)
        .await
        .expect("nor is one of nothing");
    assert_eq!(texts(&read_all(&engine, second, 10).await), ["c"]);
    let fourth = write(&engine, &["d"]).await;
    assert!(fourth > second);
    assert_eq!(texts(&read_all(&engine, second, 10).await), ["c", "d"]);
}

/// A batch that did not land is not in the log.
pub async fn logs_nothing_of_refused_batches(subject: &dyn Subject) {
    let engine = subject.open().await;
    write(&engine, &["a"]).await;
    let batch = Batch::new()
        .guard(Guard::Absent("row".into()))
        .log("refused");
    let answer = engine.index.commit(P, batch).await;
    assert!(
        matches!(answer, Err(StoreError::Conflict { index: 0 })),
        "{answer:?}"
    );
    let batch = Batch::new().put("x", "").put("x", "").log("refused");
    let answer = engine.index.commit(P, batch).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    write(&engine, &["b"]).await;
    assert_eq!(texts(&read_all(&engine, Position(0), 10).await), ["a", "b"]);
}
