//! The rules of [`Blobs`](crate::Blobs).

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Lots, Subject};
use crate::{BlobId, BlobReader, BlobRef, Blobs, StoreError, extents::BLOCK_BYTES};

/// Bytes that show their place: no two windows of 16 bytes are equal within a content.
fn content(len: usize, salt: u64) -> Bytes {
    let mut lots = Lots(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&lots.below(u64::MAX).to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

async fn write(blobs: &Arc<dyn Blobs>, content: &Bytes, piece: usize) -> BlobRef {
    let hint = content
        .len()
        .is_multiple_of(2)
        .then_some(content.len() as u64);
    let mut writer = blobs.create(hint).await.expect("a writer");
    let mut rest = content.clone();
    while !rest.is_empty() {
        let now = rest.split_to(piece.min(rest.len()));
        writer.write(now).await.expect("a write");
    }
    let blob = writer.finish().await.expect("a finish");
    assert_eq!(blob.len, content.len() as u64);
    blob
}

async fn read(reader: &Arc<dyn BlobReader>, mut offset: u64, max: usize) -> Bytes {
    let mut all = BytesMut::new();
    loop {
        let piece = reader.read(offset, max).await.expect("a read");
        assert!(piece.len() <= max);
        if piece.is_empty() {
            return all.freeze();
        }
        offset += piece.len() as u64;
        all.extend_from_slice(&piece);
    }
}

/// Content of any length, written in pieces of any length, comes back as it was.
pub async fn returns_what_was_written(subject: &dyn Subject) {
    let blobs = subject.open().await.blobs;
    let lens = [
        0,
        1,
        4095,
        BLOCK_BYTES - 1,
        BLOCK_BYTES,
        BLOCK_BYTES + 1,
        3 * BLOCK_BYTES,
    ];
    for (len, piece) in lens
        .into_iter()
        .flat_map(|len| [(len, 1 << 20), (len, 10_007)])
        .chain([
            (10 << 20, 256 << 10),
            (5_000_000, 300_001),
            ((2 << 20) + 1, 1000),
        ])
    {
        let content = content(len, piece as u64);
        let blob = write(&blobs, &content, piece).await;
        let reader = blobs.open(&blob).await.expect("an open");
        assert!(
            read(&reader, 0, 1 << 20).await == content,
            "{len} in pieces of {piece}"
        );
    }
}

/// A read from any offset returns the bytes of that place; past the end it returns none.
pub async fn reads_at_any_offset(subject: &dyn Subject) {
    let blobs = subject.open().await.blobs;
    let content = content(1_300_000, 5);
    let blob = write(&blobs, &content, 100_000).await;
    let reader = blobs.open(&blob).await.expect("an open");
    let mut lots = Lots(99);
    for _ in 0..500 {
        let offset = lots.below(content.len() as u64 + 10);
        let max = 1 + lots.below(400_000) as usize;
        let piece = reader.read(offset, max).await.expect("a read");
        assert_eq!(piece.is_empty(), offset >= blob.len, "at {offset}");
        assert!(piece.len() <= max);
        let at = (offset as usize).min(content.len());
        assert!(content[at..].starts_with(&piece), "{max} at {offset}");
    }
    for offset in [blob.len, blob.len + 1, u64::MAX] {
        assert!(reader.read(offset, 10).await.expect("a read").is_empty());
    }
    assert!(reader.read(0, 0).await.expect("a read").is_empty());
    for at in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, content.len() - 1] {
        assert!(
            read(&reader, at as u64, 77_777).await == content[at..],
            "from {at}"
        );
    }
    assert_eq!(
        reader.read(7, usize::MAX).await.expect("a read")[..8],
        content[7..15]
    );
}

/// What is open stays readable to its end after the extent was deleted.
pub async fn reads_after_delete(subject: &dyn Subject) {
    let blobs = subject.open().await.blobs;
    let content = content(2_000_000, 6);
    let blob = write(&blobs, &content, 1 << 20).await;
    let reader = blobs.open(&blob).await.expect("an open");
    blobs.delete(blob.id).await.expect("a delete");
    assert!(read(&reader, 0, 1 << 20).await == content);
}

/// A deleted extent cannot be opened and is not listed; deleting it again is no error.
pub async fn knows_no_blob_that_was_deleted(subject: &dyn Subject) {
    let blobs = subject.open().await.blobs;
    let blob = write(&blobs, &content(1000, 7), 1000).await;
    let never = BlobRef {
        id: BlobId([0xEE; 16]),
        ..blob
    };
    for _ in 0..2 {
        blobs.delete(blob.id).await.expect("a delete");
        blobs.delete(never.id).await.expect("a delete");
        for gone in [&blob, &never] {
            let answer = blobs.open(gone).await.map(|_| ());
            assert!(matches!(answer, Err(StoreError::NoBlob(_))), "{answer:?}");
        }
    }
    assert_eq!(blobs.list(None, 10).await.expect("a list"), []);
}

/// A writer that is dropped leaves nothing that a listing shows.
pub async fn leaves_nothing_when_dropped(subject: &dyn Subject) {
    let blobs = subject.open().await.blobs;
    for len in [0, 10, 1 << 20, 5 << 20] {
        let mut writer = blobs.create(Some(8 << 20)).await.expect("a writer");
        writer.write(content(len, 8)).await.expect("a write");
        drop(writer);
        assert_eq!(
            blobs.list(None, 10).await.expect("a list"),
            [],
            "{len} bytes"
        );
    }
    let kept = write(&blobs, &content(10, 9), 10).await;
    let listed = blobs.list(None, 10).await.expect("a list");
    assert_eq!(listed.iter().map(|i| i.id).collect::<Vec<_>>(), [kept.id]);
}

/// Listings go by id and page without gap or repeat.
pub async fn lists_in_order(subject: &dyn Subject) {
    let blobs = subject.open().await.blobs;
    let mut ids = Vec::new();
    for n in 0..60u64 {
        ids.push(write(&blobs, &content(100 + n as usize, n), 1000).await.id);
    }
    ids.sort_unstable();
    for limit in [1, 7, 59, 60, 61] {
        let mut found = Vec::new();
        loop {
            let page = blobs
                .list(found.last().copied(), limit)
                .await
                .expect("a list");
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            assert!(page.iter().all(|info| info.bytes >= 100));
            found.extend(page.iter().map(|info| info.id));
        }
        assert_eq!(found, ids, "limit {limit}");
    }
    let mut kept = Vec::new();
    for (n, id) in ids.into_iter().enumerate() {
        if n % 3 == 0 {
            blobs.delete(id).await.expect("a delete");
        } else {
            kept.push(id);
        }
    }
    let found = blobs.list(None, 100).await.expect("a list");
    assert_eq!(found.iter().map(|i| i.id).collect::<Vec<_>>(), kept);
}

/// Writers, readers and deletes at the same time do not mix their bytes.
pub async fn writes_many_at_once(subject: &dyn Subject) {
    let blobs = subject.open().await.blobs;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..24u64 {
        let blobs = blobs.clone();
        tasks.spawn(async move {
            let content = content(100_000 * (n as usize % 6 + 1) + n as usize, n);
            let blob = write(&blobs, &content, 64 << 10).await;
            let reader = blobs.open(&blob).await.expect("an open");
            if n % 4 == 0 {
                blobs.delete(blob.id).await.expect("a delete");
            }
            assert!(read(&reader, 0, 256 << 10).await == content, "blob {n}");
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("no panic");
    }
    assert_eq!(blobs.list(None, 100).await.expect("a list").len(), 18);
}

/// A finished extent is there after reopening.
pub async fn keeps_blobs_over_reopening(subject: &dyn Subject) {
    let engine = subject.open().await;
    let content = content(777_777, 11);
    let blob = write(&engine.blobs, &content, 50_000).await;
    if let Some(engine) = subject.reopen(engine).await {
        let reader = engine.blobs.open(&blob).await.expect("an open");
        assert!(read(&reader, 0, 1 << 20).await == content);
        assert_eq!(engine.blobs.list(None, 10).await.expect("a list").len(), 1);
    }
}

/// A reference with another length or checksum than the extent's opens nothing.
pub async fn refuses_a_false_reference(subject: &dyn Subject) {
    let blobs = subject.open().await.blobs;
    let blob = write(&blobs, &content(200_000, 12), 50_000).await;
    for len in [0, 1, blob.len - 1, blob.len + 1, blob.len * 2, u64::MAX] {
        let answer = blobs.open(&BlobRef { len, ..blob }).await.map(|_| ());
        assert!(
            matches!(answer, Err(StoreError::Corrupt(_))),
            "{len}: {answer:?}"
        );
    }
    let checksum = blob.checksum ^ 1;
    let answer = blobs.open(&BlobRef { checksum, ..blob }).await.map(|_| ());
    assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
}
