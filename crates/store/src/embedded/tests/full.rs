//! An engine and its extents on a disk that runs full.

use super::*;
use crate::{Blobs, extents::tests::SmallDisk};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_without_room_is_made_when_there_is_room_again() {
    let disk = SmallDisk::new(48);
    let config = EmbeddedConfig {
        segment_bytes: 1 << 20,
        memtable_bytes: 16 << 20,
        reserve_bytes: 0,
        ..EmbeddedConfig::new(disk.mount().join("engine"))
    };
    let engine = Embedded::open(config.clone()).unwrap();
    let value_of = |n: u32| format!("{n} ").repeat(100);
    let mut rows = 0;
    for _ in 0..8 {
        let mut batch = Batch::new();
        for _ in 0..500 {
            batch = batch.put(format!("row {rows:06}"), value_of(rows));
            rows += 1;
        }
        engine.commit(P, batch).await.unwrap();
    }
    // Another takes all the rest of the disk.
    let hog = disk.mount().join("hog");
    let stat = rustix::fs::statvfs(disk.mount()).unwrap();
    let mut left = stat.f_bavail * stat.f_frsize;
    let file = fs::File::create(&hog).unwrap();
    let (mut at, flags) = (0, rustix::fs::FallocateFlags::empty());
    while left >= 4096 {
        match rustix::fs::fallocate(&file, flags, at, left) {
            Ok(()) => at += left,
            Err(_) => left /= 2,
        }
    }
    let checkpoints = engine.stats().checkpoints;
    engine.checkpoint();
    assert_eq!(engine.stats().checkpoints, checkpoints, "no room for one");
    assert_eq!(engine.stats().fenced, None);
    for n in [0, rows / 2, rows - 1] {
        let key = format!("row {n:06}");
        let row = engine.get(P, key.as_bytes(), Want::Value).await;
        assert_eq!(row.unwrap().unwrap().value, value_of(n));
    }
    drop(file);
    fs::remove_file(&hog).unwrap();
    engine.checkpoint();
    assert_eq!(engine.stats().checkpoints, checkpoints + 1);
    engine
        .commit(P, Batch::new().put("later", "x"))
        .await
        .unwrap();
    engine.close().unwrap();
    drop(engine);
    let engine = Embedded::open(config).unwrap();
    let range = ScanRange::new(&b"row"[..], None);
    let found = engine.scan(P, range, 10_000).await.unwrap();
    assert_eq!(found.len(), rows as usize);
    for (n, (_, row)) in found.iter().enumerate() {
        assert_eq!(row.value, value_of(n as u32));
    }
    assert_eq!(
        engine.stats().memtable_bytes,
        0,
        "all of it was in the index"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_and_extents_fill_a_disk_and_deletes_free_it() {
    let disk = SmallDisk::new(48);
    let config = EmbeddedConfig {
        segment_bytes: 2 << 20,
        memtable_bytes: 64 << 10,
        reserve_bytes: 6 << 20,
        ..EmbeddedConfig::new(disk.mount().join("engine"))
    };
    let engine = Embedded::open(config).unwrap();
    let extents = Extents::open(ExtentsConfig {
        reserve_bytes: 8 << 20,
        ..ExtentsConfig::new(disk.mount().join("extents"))
    })
    .unwrap();
    for round in 0..3 {
        let content = Bytes::from(vec![round; 1 << 20]);
        let mut kept = Vec::new();
        let full = loop {
            let put = async {
                let mut writer = extents.create(Some(content.len() as u64)).await?;
                writer.write(content.clone()).await?;
                let blob = writer.finish().await?;
                let key = format!("{round} {}", kept.len());
                let batch =
                    Batch::new().put_with(key.clone(), "extent", vec![round; 50_000].into());
                engine.commit(P, batch).await?;
                Ok::<_, StoreError>((key, blob))
            };
            match put.await {
                Ok(written) => kept.push(written),
                Err(error) => break error,
            }
            assert!(kept.len() < 48);
        };
        assert!(matches!(full, StoreError::Full(_)), "{full:?}");
        // Small writes go on until the journal's own reserve.
        for n in 0..2000 {
            let key = format!("small {n}");
            match engine
                .commit(P, Batch::new().put_with(key, "", vec![1; 20_000].into()))
                .await
            {
                Ok(_) => {}
                Err(StoreError::Full(_)) => break,
                Err(other) => panic!("{other}"),
            }
        }
        engine.checkpoint();
        assert_eq!((engine.stats().fenced, extents.fenced()), (None, None));
        for (key, blob) in kept {
            engine
                .commit(P, Batch::new().delete(key).frees())
                .await
                .unwrap();
            extents.delete(blob.id).await.unwrap();
        }
        for first in (0..2000).step_by(500) {
            let batch = (first..first + 500)
                .fold(Batch::new(), |batch, n| batch.delete(format!("small {n}")));
            engine.commit(P, batch.frees()).await.unwrap();
        }
        engine.checkpoint();
        engine
            .commit(P, Batch::new().put("again", "x"))
            .await
            .unwrap();
    }
}

/// With no room at all left by others, at every size of what is left: the engine opens, takes
/// deletes, and takes writes again when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_never_fences_and_never_keeps_an_engine_from_opening() {
    use crate::embedded::disk::sim::SimDisk;
    let config = EmbeddedConfig {
        reserve_bytes: 1 << 20,
        cache_bytes: 1 << 20,
        ..small(Path::new("/engine"))
    };
    for left in (0..48).chain([64, 100, 200, 300]) {
        let at = format!("{left} KiB left");
        let disk = SimDisk::new(left as u64, 16 << 20);
        let engine = Embedded::open_on(disk.disk(None), config.clone()).unwrap();
        for n in 0..400 {
            put(&engine, &format!("key {n:03}"), &format!("value {n}"))
                .await
                .unwrap();
        }
        engine.checkpoint();
        let unclean = left % 2 == 0;
        for restarts in 0..2 {
            disk.leave_room(left << 10);
            let full = put(&engine, "more", "x").await;
            if restarts == 0 {
                assert!(
                    matches!(full, Err(StoreError::Full(_)) | Ok(_)),
                    "{at}: {full:?}"
                );
            }
        }
        match unclean {
            true => disk.end_process(),
            false => {
                let _ = engine.close();
            }
        }
        drop(engine);
        disk.end_process();
        disk.leave_room(left << 10);
        let engine = Embedded::open_on(disk.disk(None), config.clone());
        let engine = engine.unwrap_or_else(|error| panic!("{at}: {error}"));
        // Others take what was given up of the reserve, too.
        disk.leave_room(left << 10);
        for n in 0..400 {
            if n % 4 != 0 {
                let delete = Batch::new().delete(format!("key {n:03}")).frees();
                let deleted = engine.commit(P, delete).await;
                deleted.unwrap_or_else(|error| panic!("{at}: {n}: {error}"));
            }
        }
        assert_eq!(engine.stats().fenced, None, "{at}");
        engine.checkpoint();
        assert_eq!(engine.stats().fenced, None, "{at}");
        disk.leave_room(4 << 20);
        for n in 0..400 {
            put(&engine, &format!("again {n}"), "room").await.unwrap();
        }
        for n in 0..400 {
            let found = value(&engine, &format!("key {n:03}")).await.unwrap();
            let expected = (n % 4 == 0).then(|| format!("value {n}"));
            assert_eq!(found, expected, "{at}: {n}");
        }
        engine.close().unwrap();
    }
}

/// A last segment that lost its room, on a disk that has none for another one: what is written to
/// it later is read, by followers of the log too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_segment_without_room_is_written_to_again_when_there_is_room() {
    use crate::{Log, Reach, embedded::disk::sim::SimDisk};
    let config = EmbeddedConfig {
        cache_bytes: 1 << 20,
        ..small(Path::new("/engine"))
    };
    let disk = SimDisk::new(1, 16 << 20);
    let engine = Embedded::open_on(disk.disk(None), config.clone()).unwrap();
    let entry = |n: usize| {
        Batch::new()
            .put(format!("key {n}"), "x")
            .log(format!("{n}"))
    };
    for n in 0..5 {
        engine.commit(P, entry(n)).await.unwrap();
    }
    engine.close().unwrap();
    drop(engine);
    // An earlier version cut the end of a segment off, and with it the room behind it.
    let folder = disk.disk(None).folder;
    let journal = Path::new("/engine/journal");
    for name in folder.list(journal).unwrap() {
        let path = journal.join(&name);
        match name.ends_with(".seg") {
            true => {
                let file = folder.open(&path).unwrap();
                file.set_len(4096).unwrap();
                file.set_len(64 << 10).unwrap();
            }
            false => folder.remove(&path).unwrap(),
        }
    }
    disk.leave_room(40 << 10);
    let engine = Embedded::open_on(disk.disk(None), config).unwrap();
    disk.leave_room(4 << 20);
    let before = engine.floor(P).await.unwrap();
    for n in 5..25 {
        engine.commit(P, entry(n)).await.unwrap();
    }
    let page = Log::read(&*engine, P, before, 100).await.unwrap();
    assert_eq!(engine.reach(P, before).await.unwrap(), Reach::Here);
    let found: Vec<_> = page.entries.iter().map(|e| e.entry.clone()).collect();
    let expected: Vec<_> = (0..25).map(|n| Bytes::from(format!("{n}"))).collect();
    assert_eq!(found, expected);
}
