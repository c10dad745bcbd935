//! Ends without a word: of the process, and of the last write.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::*;

const TASKS: usize = 4;
const DIR: &str = "DHOW_TEST_KILLED_DIR";
const MEMTABLE: &str = "DHOW_TEST_KILLED_MEMTABLE";

fn config(dir: &Path, memtable_bytes: usize) -> EmbeddedConfig {
    EmbeddedConfig {
        segment_bytes: 256 << 10,
        memtable_bytes,
        reserve_bytes: 0,
        ..EmbeddedConfig::new(dir)
    }
}

/// Not a test of its own: the process that is killed, run by the one below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writer() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let memtable = std::env::var(MEMTABLE).unwrap().parse().unwrap();
    let engine = Embedded::open(config(Path::new(&dir), memtable)).unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let from = value(&engine, &format!("last {task}")).await.unwrap();
                let from: u64 = from.map_or(0, |n| n.parse().unwrap());
                // A parent that is gone reads nothing any more: then this must end too.
                for n in from + 1..from + 50_000 {
                    let text = n.to_string();
                    put(&engine, &format!("{task} {}", n % 500), &text)
                        .await
                        .unwrap();
                    put(&engine, &format!("last {task}"), &text).await.unwrap();
                    println!("\nacknowledged {task} {n}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn kill_after(dir: &Path, memtable_bytes: usize, commits: usize) -> [u64; TASKS] {
    let name = "embedded::tests::killed::writer";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(MEMTABLE, memtable_bytes.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut acknowledged = [0; TASKS];
    let mut seen = 0;
    // After the kill, what it had said before is still to be read.
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        let Some(said) = line.strip_prefix("acknowledged ") else {
            continue;
        };
        // A line that the kill cut short says nothing.
        let Some((task, n)) = said.split_once(' ') else {
            continue;
        };
        let (task, n): (usize, u64) = (task.parse().unwrap(), n.parse().unwrap_or(0));
        acknowledged[task] = acknowledged[task].max(n);
        seen += 1;
        if seen == commits {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= commits, "it ended by itself after {seen}");
    acknowledged
}

async fn nothing_is_lost_by_kills(memtable_bytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut commits = 7;
    for round in 0..15 {
        commits = commits * 37 % 611;
        let acknowledged = kill_after(dir.path(), memtable_bytes, commits + 1);
        let engine = Embedded::open(config(dir.path(), memtable_bytes)).unwrap();
        for (task, n) in acknowledged.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            let last = value(&engine, &format!("last {task}")).await.unwrap();
            let last: u64 = last.unwrap().parse().unwrap();
            assert!(last >= n, "round {round}: {n} of {task} was acknowledged");
            // Each slot has the last number of the task that falls into it, but for the one under
            // way.
            for slot in last.saturating_sub(499).max(1)..=last {
                let found = value(&engine, &format!("{task} {}", slot % 500)).await;
                let found: u64 = found.unwrap().unwrap().parse().unwrap();
                assert!(
                    found == slot || found == last + 1,
                    "round {round} {task} {slot}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_killed_process_keeps_what_it_acknowledged_in_the_journal() {
    nothing_is_lost_by_kills(64 << 20).await;
}

#[tokio::test]
async fn a_killed_process_keeps_what_it_acknowledged_amid_checkpoints() {
    nothing_is_lost_by_kills(8 << 10).await;
}

#[tokio::test]
async fn every_byte_of_the_last_frame_may_be_its_end() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let base = dir.path().join("base");
    let engine = Embedded::open(small(&base)).unwrap();
    for n in 0..3 {
        put(&engine, &format!("key {n}"), &format!("value {n}"))
            .await
            .unwrap();
    }
    drop(engine);
    let ends = frames(&journal(&base)[0]);
    let (start, end) = (ends[2], ends[3]);
    for cut in start..end {
        let torn = dir.path().join("torn");
        copy(&base, &torn);
        let path = &journal(&torn)[0];
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        // What follows is either nothing, or of an earlier life.
        let rest = vec![if cut % 2 == 0 { 0 } else { 0xA5 }; (end - cut) as usize];
        file.write_all_at(&rest, cut).unwrap();
        let engine = Embedded::open(small(&torn)).unwrap();
        for n in 0..2 {
            let expected = Some(format!("value {n}"));
            assert_eq!(value(&engine, &format!("key {n}")).await.unwrap(), expected);
        }
        // Up to 63 bytes of padding are nobody's.
        match value(&engine, "key 2").await.unwrap() {
            None => {}
            Some(found) => assert!(found == "value 2" && cut > end - 64, "cut at {cut}"),
        }
        drop(engine);
        fs::remove_dir_all(&torn).unwrap();
    }
}

#[tokio::test]
async fn recycled_segments_never_resurrect() {
    let dir = tempfile::tempdir().unwrap();
    let mut recycled = 0;
    for round in 0..6 {
        let engine = Embedded::open(small(dir.path())).unwrap();
        for n in 0..300 {
            put(&engine, &format!("{round} {n}"), "once alive")
                .await
                .unwrap();
        }
        for n in 0..300 {
            let delete = Batch::new().delete(format!("{round} {n}"));
            engine.commit(P, delete).await.unwrap();
        }
        // The segments of this round go out of service and come back for what is written next.
        for n in 0..40 {
            engine.checkpoint();
            put(&engine, "kept", &format!("{round} {n}")).await.unwrap();
        }
        for n in 0..90 {
            let key = format!("kept {n}");
            put(&engine, &key, &format!("{round}")).await.unwrap();
        }
        // Sometimes frames of an earlier use of the file follow the end of the journal.
        let last = fs::read(journal(dir.path()).last().unwrap()).unwrap();
        let end = engine.shared.progress.lock().applied.place.offset;
        recycled += usize::from(last[end as usize..].windows(4).any(|w| w == b"DHJ2"));
        drop(engine);
        let engine = Embedded::open(small(dir.path())).unwrap();
        let range = ScanRange::new(&b""[..], None);
        let found = engine.scan(P, range, 1000).await.unwrap();
        assert_eq!(found.len(), 91, "round {round}");
        assert_eq!(
            value(&engine, "kept").await.unwrap().unwrap(),
            format!("{round} 39")
        );
        for n in 0..90 {
            let found = value(&engine, &format!("kept {n}")).await.unwrap();
            assert_eq!(found.unwrap(), format!("{round}"));
        }
    }
    assert!(recycled > 0, "no segment was used again");
}
