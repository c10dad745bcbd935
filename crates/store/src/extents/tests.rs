//! How damaged, cut, exchanged and unfinished files, failing syncs and full disks are handled.

use std::{
    cell::RefCell,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use rustix::io::Errno;
use tempfile::TempDir;
use types::SeededRandom;

use super::*;
use crate::faults::flip_bit;

/// Writes and syncs that fail, for the tests.
#[derive(Default)]
pub(super) struct Faults {
    failing_syncs: AtomicU32,
    failing_writes: AtomicU32,
}

impl Faults {
    pub(super) fn on_sync(&self) -> Result<(), Errno> {
        take_one(&self.failing_syncs)
    }

    pub(super) fn on_write(&self) -> Result<(), Errno> {
        take_one(&self.failing_writes)
    }
}

fn take_one(failing: &AtomicU32) -> Result<(), Errno> {
    let one_less = |n: u32| n.checked_sub(1);
    match failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
        Ok(_) => Err(Errno::IO),
        Err(_) => Ok(()),
    }
}

thread_local! {
    /// Directories that this thread has synced.
    static DIR_SYNCS: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn note_dir_sync(path: &Path) {
    DIR_SYNCS.with_borrow_mut(|syncs| syncs.push(path.to_owned()));
}

fn take_dir_syncs() -> Vec<PathBuf> {
    DIR_SYNCS.take()
}

fn open(dir: &Path) -> Arc<Extents> {
    let mut config = ExtentsConfig::new(dir.join("extents"));
    config.reserve_bytes = 0;
    Extents::open(config).unwrap()
}

fn fixture() -> (TempDir, Arc<Extents>) {
    let dir = tempfile::tempdir().unwrap();
    let extents = open(dir.path());
    (dir, extents)
}

fn content(len: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; len];
    SeededRandom::new(seed).fill(&mut bytes);
    bytes.into()
}

async fn write(extents: &Extents, content: &Bytes) -> BlobRef {
    let mut writer = extents.create(Some(content.len() as u64)).await.unwrap();
    writer.write(content.clone()).await.unwrap();
    writer.finish().await.unwrap()
}

/// All of an extent, or the first error together with what came before it.
async fn read_all(extents: &Extents, blob: &BlobRef) -> Result<Bytes, (Bytes, StoreError)> {
    let mut all = BytesMut::new();
    let reader = match extents.open(blob).await {
        Ok(reader) => reader,
        Err(error) => return Err((Bytes::new(), error)),
    };
    loop {
        match reader.read(all.len() as u64, 256 << 10).await {
            Ok(piece) if piece.is_empty() => return Ok(all.freeze()),
            Ok(piece) => all.extend_from_slice(&piece),
            Err(error) => return Err((all.freeze(), error)),
        }
    }
}

/// The extent is found damaged, and nothing wrong is handed out before that.
async fn assert_damaged(extents: &Extents, blob: &BlobRef, content: &Bytes, what: &str) {
    match read_all(extents, blob).await {
        Err((before, StoreError::Corrupt(_))) => {
            assert!(
                content.starts_with(&before),
                "{what}: wrong bytes were served"
            );
        }
        Err((_, other)) => panic!("{what}: {other:?}"),
        Ok(_) => panic!("{what}: not found"),
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Waits until no file is left; what is dropped is removed behind the scenes.
async fn assert_emptied(extents: &Extents) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !files(extents.dir()).is_empty() {
        assert!(
            Instant::now() < deadline,
            "files stay: {:?}",
            files(extents.dir())
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_flipped_bit_is_found_wherever_it_is() {
    let (_dir, extents) = fixture();
    let content = content(3 * BLOCK_BYTES + 777, 1);
    let blob = write(&extents, &content).await;
    let path = extents.path_of(blob.id);
    let bits = std::fs::metadata(&path).unwrap().len() * 8;
    let lots = SeededRandom::new(2);
    // 1000 anywhere, and 200 in table and footer, which are a small part of the file.
    for n in 0..1200 {
        let bit = match n < 1000 {
            true => lots.next_u64() % bits,
            false => blob.len * 8 + lots.next_u64() % (bits - blob.len * 8),
        };
        flip_bit(&path, bit).unwrap();
        assert_damaged(&extents, &blob, &content, &format!("bit {bit}")).await;
        flip_bit(&path, bit).unwrap();
    }
    assert_eq!(read_all(&extents, &blob).await.unwrap(), content);
}

#[tokio::test]
async fn a_cut_or_lengthened_file_is_found() {
    let (_dir, extents) = fixture();
    for len in [0, 100, BLOCK_BYTES + 5] {
        let content = content(len, 3);
        let blob = write(&extents, &content).await;
        let path = extents.path_of(blob.id);
        let whole = std::fs::read(&path).unwrap();
        let step = whole.len() / 400 + 1;
        let tail = whole.len() - 80.min(whole.len())..whole.len();
        for cut in (0..whole.len()).step_by(step).chain(tail) {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_damaged(&extents, &blob, &content, &format!("cut at {cut}")).await;
            // What a crash leaves of an allocated file: the right length, zeros at the end.
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(whole.len() as u64)
                .unwrap();
            // Its last bytes are a checksum, which differs from run to run: where they are zeros,
            // the file is whole again.
            match whole[cut..].iter().all(|byte| *byte == 0) {
                true => assert_eq!(read_all(&extents, &blob).await.unwrap(), content),
                false => {
                    assert_damaged(&extents, &blob, &content, &format!("zeros from {cut}")).await;
                }
            }
        }
        std::fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        assert_damaged(&extents, &blob, &content, "a byte more").await;
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(read_all(&extents, &blob).await.unwrap(), content);
    }
}

#[tokio::test]
async fn exchanged_blocks_are_found_even_with_their_checksums() {
    let (_dir, extents) = fixture();
    let content = content(4 * BLOCK_BYTES, 4);
    let blob = write(&extents, &content).await;
    let path = extents.path_of(blob.id);
    let whole = std::fs::read(&path).unwrap();
    let swap = |bytes: &mut Vec<u8>, at: usize, unit: usize| {
        let (a, b) = bytes.split_at_mut(at + 2 * unit);
        a[at..at + unit].swap_with_slice(&mut b[..unit]);
    };
    let mut blocks_only = whole.clone();
    swap(&mut blocks_only, 0, BLOCK_BYTES);
    std::fs::write(&path, &blocks_only).unwrap();
    assert_damaged(&extents, &blob, &content, "blocks 0 and 2").await;
    let mut with_sums = blocks_only;
    swap(&mut with_sums, content.len(), 8);
    std::fs::write(&path, &with_sums).unwrap();
    assert_damaged(
        &extents,
        &blob,
        &content,
        "blocks 0 and 2 with their checksums",
    )
    .await;
    // A checksum is worth nothing in another place, nor in another extent.
    let block = &content[..BLOCK_BYTES];
    let sum = format::block_checksum(blob.id, 0, block);
    assert_ne!(sum, format::block_checksum(blob.id, 2, block));
    assert_ne!(sum, format::block_checksum(BlobId([1; 16]), 0, block));
}

#[tokio::test]
async fn a_file_under_anothers_name_is_found() {
    let (_dir, extents) = fixture();
    let (a, b) = (content(200_000, 5), content(200_000, 6));
    let (blob_a, blob_b) = (write(&extents, &a).await, write(&extents, &b).await);
    std::fs::copy(extents.path_of(blob_a.id), extents.path_of(blob_b.id)).unwrap();
    assert_damaged(&extents, &blob_b, &b, "another extent's file").await;
    assert_eq!(read_all(&extents, &blob_a).await.unwrap(), a);
    let report = extents.verify(&mut |_| true).unwrap();
    let expected = Damage {
        id: blob_b.id,
        kind: DamageKind::Trailer,
    };
    assert_eq!((report.complete, report.damaged), (true, vec![expected]));
}

#[tokio::test]
async fn verify_reads_all_and_finds_what_is_planted() {
    let (_dir, extents) = fixture();
    let mut blobs = Vec::new();
    for n in 0..20 {
        blobs.push(write(&extents, &content(50_000 * n as usize, n)).await);
    }
    let clean = extents.verify(&mut |_| true).unwrap();
    assert_eq!((clean.progress.extents, clean.progress.damaged), (20, 0));
    flip_bit(&extents.path_of(blobs[7].id), 8 * BLOCK_BYTES as u64 + 3).unwrap();
    flip_bit(&extents.path_of(blobs[8].id), blobs[8].len * 8).unwrap();
    std::fs::write(extents.path_of(blobs[9].id), "cut").unwrap();
    std::fs::write(extents.dir().join("00/README"), "somebody else's file").unwrap();
    // One that is being written is not looked at.
    let mut writer = extents.create(Some(8 << 20)).await.unwrap();
    writer.write(content(2 << 20, 99)).await.unwrap();
    let mut report = extents.verify(&mut |_| true).unwrap();
    drop(writer);
    let mut expected = [
        (blobs[7].id, DamageKind::Block { number: 1 }),
        (blobs[8].id, DamageKind::Trailer),
        (blobs[9].id, DamageKind::Unfinished),
    ]
    .map(|(id, kind)| Damage { id, kind });
    expected.sort_by_key(|d| d.id);
    report.damaged.sort_by_key(|d| d.id);
    assert_eq!(
        (report.progress.extents, report.damaged),
        (20, expected.to_vec())
    );
    let stopped = extents.verify(&mut |p| p.extents < 5).unwrap();
    assert_eq!((stopped.complete, stopped.progress.extents), (false, 5));
}

#[tokio::test]
async fn a_failed_sync_fences_writes_and_leaves_reads() {
    let (dir, extents) = fixture();
    let content = content(300_000, 7);
    let before = write(&extents, &content).await;
    let mut open_writer = extents.create(None).await.unwrap();
    open_writer.write(content.clone()).await.unwrap();
    let mut writer = extents.create(None).await.unwrap();
    writer.write(content.clone()).await.unwrap();
    extents
        .files
        .faults
        .failing_syncs
        .store(1, Ordering::SeqCst);
    assert!(matches!(writer.finish().await, Err(StoreError::Io { .. })));
    assert!(extents.fenced().is_some());
    let answer = open_writer.finish().await;
    assert!(matches!(answer, Err(StoreError::Fenced(_))), "{answer:?}");
    let answer = extents.create(None).await.map(|_| ());
    assert!(matches!(answer, Err(StoreError::Fenced(_))), "{answer:?}");
    assert_eq!(read_all(&extents, &before).await.unwrap(), content);
    let listed = extents.list(None, 9).await.unwrap();
    assert_eq!(listed.iter().map(|i| i.id).collect::<Vec<_>>(), [before.id]);
    extents.delete(before.id).await.unwrap();
    assert_emptied(&extents).await;
    let again = open(dir.path());
    write(&again, &content).await;
}

#[tokio::test]
async fn a_failed_write_fences_too_and_fails_the_extent() {
    let (_dir, extents) = fixture();
    let mut writer = extents.create(None).await.unwrap();
    extents
        .files
        .faults
        .failing_writes
        .store(1, Ordering::SeqCst);
    let piece = content(1 << 20, 17);
    let mut answer = Ok(());
    for _ in 0..4 {
        answer = writer.write(piece.clone()).await;
        if answer.is_err() {
            break;
        }
    }
    assert!(matches!(answer, Err(StoreError::Io { .. })), "{answer:?}");
    assert!(writer.write(piece).await.is_err(), "nothing more is taken");
    assert!(
        writer.finish().await.is_err(),
        "and it never becomes an extent"
    );
    assert!(extents.fenced().is_some());
    assert_emptied(&extents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_dropped_at_any_moment_leaves_no_file() {
    let (_dir, extents) = fixture();
    for bytes in [0, 1000, 1 << 20, 3 << 20] {
        let mut writer = extents.create(Some(4 << 20)).await.unwrap();
        for piece in content(bytes, 8).chunks(100_000) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        drop(writer);
    }
    assert_emptied(&extents).await;
    let (mut dropped, deadline) = (0, Instant::now() + Duration::from_secs(30));
    while dropped < 50 {
        assert!(Instant::now() < deadline, "only {dropped} were under way");
        let mut writer = extents.create(None).await.unwrap();
        writer.write(content(200_000, 9)).await.unwrap();
        // The job of `finish` is under way when its future goes.
        let mut finish = writer.finish();
        match polled(&mut finish).await {
            Poll::Pending => dropped += 1,
            // The job was faster than this look at it: an extent like any other.
            Poll::Ready(blob) => extents.delete(blob.unwrap().id).await.unwrap(),
        }
        drop(finish);
    }
    assert_emptied(&extents).await;
    assert_eq!(extents.list(None, 9).await.unwrap(), []);
    let deadline = Instant::now() + Duration::from_secs(30);
    while extents.stats().unwrap().unfinished > 0 {
        assert!(
            Instant::now() < deadline,
            "a dropped writer is still counted"
        );
        tokio::task::yield_now().await;
    }
}

/// Polls once.
async fn polled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|context| {
        let poll = std::pin::Pin::new(&mut *future).poll(context);
        Poll::Ready(poll)
    })
    .await
}

#[tokio::test]
async fn what_is_not_in_memory_is_read_from_the_disk() {
    let (_dir, extents) = fixture();
    let content = content(5_000_000, 16);
    let blob = write(&extents, &content).await;
    let evict = || {
        let file = File::open(extents.path_of(blob.id)).unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    };
    for piece in [1, 100_000, BLOCK_BYTES, 1 << 20] {
        for at in [0, 77, BLOCK_BYTES as u64 * 3 - 1, blob.len - 1] {
            evict();
            let reader = extents.open(&blob).await.unwrap();
            let bytes = reader.read(at, piece).await.unwrap();
            assert!(!bytes.is_empty() && bytes.len() <= piece);
            assert!(
                content[at as usize..].starts_with(&bytes),
                "{piece} at {at}"
            );
            assert!(read_all(&extents, &blob).await.unwrap() == content);
        }
    }
    flip_bit(&extents.path_of(blob.id), 8 * 2_000_000).unwrap();
    File::open(extents.path_of(blob.id))
        .unwrap()
        .sync_all()
        .unwrap();
    evict();
    assert_damaged(&extents, &blob, &content, "a flip on the disk").await;
}

#[tokio::test]
async fn the_announced_length_is_only_a_hint() {
    let (_dir, extents) = fixture();
    let content = content(3_000_000, 10);
    for hint in [
        None,
        Some(0),
        Some(1 << 20),
        Some(3_000_000),
        Some(500 << 20),
    ] {
        let mut writer = extents.create(hint).await.unwrap();
        writer.write(content.slice(..1_500_000)).await.unwrap();
        writer.write(Bytes::new()).await.unwrap();
        writer.write(content.slice(1_500_000..)).await.unwrap();
        let blob = writer.finish().await.unwrap();
        assert_eq!(read_all(&extents, &blob).await.unwrap(), content);
        let info = extents.list(None, 9).await.unwrap();
        assert_eq!(
            info[0].bytes,
            blob.len + format::trailer_bytes(blob.len),
            "{hint:?}"
        );
        extents.delete(blob.id).await.unwrap();
    }
}

/// Every open syncs the directories: an earlier one may have made them and lost power before it
/// had synced them.
#[test]
fn directories_that_are_there_are_synced_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("extents");
    std::fs::create_dir(&root).unwrap();
    for n in 0..=255u8 {
        std::fs::create_dir(root.join(format!("{n:02x}"))).unwrap();
    }
    take_dir_syncs();
    open(dir.path());
    assert_eq!(take_dir_syncs(), [root, dir.path().to_owned()]);
}

#[test]
fn names_are_made_of_the_id_alone() {
    let name = super::files::Name::new(BlobId(*b"\x00\x01/..\xFF\xABdefghijkl"));
    let name = name.as_c_str().to_str().unwrap();
    assert_eq!(name, "00/00012f2e2effab6465666768696a6b6c");
}

/// A small ext4 file system in a file. These tests need a loop device and the right to mount, and
/// fail without: a full disk is not to be taken on trust.
pub(crate) struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    pub(crate) fn new(mib: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        run(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0"])
            .arg(&image));
        let disk = Self { dir };
        std::fs::create_dir(disk.mount()).unwrap();
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(disk.mount()));
        disk
    }

    pub(crate) fn mount(&self) -> PathBuf {
        self.dir.path().join("mount")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.mount()).status();
    }
}

fn run(command: &mut Command) {
    let status = command
        .status()
        .expect("the tests of full disks need this command");
    assert!(status.success(), "{command:?}: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers_when_room_returns() {
    let disk = SmallDisk::new(48);
    let extents = open(&disk.mount());
    let content = content(5 << 20, 12);
    let mut kept = Vec::new();
    for round in 0..3 {
        // Until it is full: with and without an announced length, which fail in different places.
        let full = loop {
            let hint = (kept.len() % 2 == 0).then_some(content.len() as u64);
            let written = async {
                let mut writer = extents.create(hint).await?;
                for at in (0..content.len()).step_by(1 << 18) {
                    writer.write(content.slice(at..at + (1 << 18))).await?;
                }
                writer.finish().await
            };
            match written.await {
                Ok(blob) => kept.push(blob),
                Err(error) => break error,
            }
            assert!(kept.len() < 20, "48 MiB cannot hold this much");
        };
        assert!(
            matches!(full, StoreError::Full(_)),
            "round {round}: {full:?}"
        );
        assert_eq!(extents.fenced(), None, "a full disk is no failed disk");
        let answer = extents.create(Some(1 << 40)).await.map(|_| ());
        assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
        for blob in &kept {
            assert!(read_all(&extents, blob).await.unwrap() == content);
        }
        assert_eq!(extents.list(None, 99).await.unwrap().len(), kept.len());
        for blob in kept.drain(..2) {
            extents.delete(blob.id).await.unwrap();
        }
        let blob = write(&extents, &content).await;
        kept.push(blob);
    }
}

#[tokio::test]
async fn the_reserve_is_left_alone() {
    let disk = SmallDisk::new(48);
    let mut config = ExtentsConfig::new(disk.mount().join("extents"));
    config.reserve_bytes = 20 << 20;
    let extents = Extents::open(config).unwrap();
    let answer = extents.create(Some(40 << 20)).await.map(|_| ());
    assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
    write(&extents, &content(10 << 20, 13)).await;
    // Without an announced length it shows during the write.
    let mut writer = extents.create(None).await.unwrap();
    let mut answer = Ok(());
    for _ in 0..30 {
        answer = writer.write(content(1 << 20, 14)).await;
        if answer.is_err() {
            break;
        }
    }
    assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
    let room = rustix::fs::statvfs(disk.mount()).unwrap();
    assert!(room.f_bavail * room.f_frsize >= 18 << 20);
}

#[test]
fn the_file_is_laid_out_as_drawn() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (_dir, extents) = fixture();
    let content = content(BLOCK_BYTES + 1, 15);
    let blob = runtime.block_on(write(&extents, &content));
    let file = File::open(extents.path_of(blob.id)).unwrap();
    let mut bytes = vec![0; BLOCK_BYTES + 1 + 16 + 64];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes[..content.len()], content);
    let footer = &bytes[content.len() + 16..];
    assert_eq!(&footer[..8], b"DHOWEXT1");
    assert_eq!(footer[8..24], blob.id.0);
    assert_eq!(footer[24..32], blob.len.to_le_bytes());
    assert_eq!(footer[32..40], (BLOCK_BYTES as u64).to_le_bytes());
    assert_eq!(footer[40..48], blob.checksum.to_le_bytes());
    assert_eq!(footer[48..56], [0; 8]);
}
