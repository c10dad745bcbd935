//! Flipped bits in the files of an engine that was closed in good order.

use super::*;

const ROWS: usize = 3000;

fn config(dir: &Path) -> EmbeddedConfig {
    EmbeddedConfig {
        segment_bytes: 256 << 10,
        memtable_bytes: 64 << 10,
        reserve_bytes: 0,
        ..EmbeddedConfig::new(dir)
    }
}

/// Memory if there is some, for these tests open a thousand engines.
fn workplace() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Pages are read from the file, again and again.
fn without_cache(dir: &Path) -> EmbeddedConfig {
    EmbeddedConfig {
        cache_bytes: 64 << 10,
        row_cache_bytes: 0,
        ..config(dir)
    }
}

fn key(n: usize) -> String {
    format!("key {:08x}", (n as u32).wrapping_mul(0x9E37_79B1))
}

fn expected_value(n: usize) -> String {
    format!("the value of {n} ").repeat(1 + n % 5)
}

fn payload(n: usize) -> Option<Bytes> {
    (n.is_multiple_of(3)).then(|| Bytes::from(format!("payload {n} ").repeat(40)))
}

async fn fill(dir: &Path) {
    let engine = Embedded::open(config(dir)).unwrap();
    for first in (0..ROWS).step_by(100) {
        let mut batch = Batch::new();
        for n in first..first + 100 {
            batch = match payload(n) {
                Some(payload) => batch.put_with(key(n), expected_value(n), payload),
                None => batch.put(key(n), expected_value(n)),
            };
        }
        engine.commit(P, batch).await.unwrap();
    }
    engine.close().unwrap();
}

/// A generator of places.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed ^ mixed >> 27) % end
    }
}

fn flip(path: &Path, bit: u64) {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8)
        .unwrap();
}

/// Reads everything; answers how many reads failed. What is read must be right.
async fn read_all(engine: &Embedded, at: &str, with_payloads: bool) -> (usize, usize) {
    let (mut rows, mut payloads) = (0, 0);
    for n in 0..ROWS {
        match engine.get(P, key(n).as_bytes(), Want::Value).await {
            Ok(row) => {
                let row = row.unwrap_or_else(|| panic!("{at}: row {n} is missing"));
                assert_eq!(row.value, expected_value(n), "{at}");
            }
            Err(_) => rows += 1,
        }
        if let Some(expected) = payload(n).filter(|_| with_payloads) {
            match engine.get(P, key(n).as_bytes(), Want::Payload).await {
                Ok(row) => assert_eq!(row.unwrap().payload.unwrap(), expected, "{at}"),
                Err(_) => payloads += 1,
            }
        }
    }
    match engine
        .scan(P, ScanRange::new(&b""[..], None), ROWS + 1)
        .await
    {
        Ok(found) => {
            assert_eq!(found.len(), ROWS, "{at}: a scan misses rows");
            for (key, row) in found {
                let n = u32::from_str_radix(str::from_utf8(&key[4..]).unwrap(), 16).unwrap();
                let n = n.wrapping_mul(0x9E37_79B1_u32.wrapping_pow((1 << 30) - 1));
                assert_eq!(row.value, expected_value(n as usize), "{at}");
            }
        }
        Err(_) => rows += 1,
    }
    (rows, payloads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_the_index_never_changes_or_hides_a_row() {
    flip_the_index(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_flipped_bit_of_the_index_never_changes_or_hides_a_row() {
    flip_the_index(3).await;
}

async fn flip_the_index(seed: u64) {
    let dir = workplace();
    let base = dir.path().join("base");
    fill(&base).await;
    let len = fs::metadata(base.join("index.redb")).unwrap().len();
    let mut random = Random(seed);
    let (mut refused, mut hurt, mut unharmed) = (0, 0, 0);
    for round in 0..500 {
        // The header and the first checksums are a small part of the file, and matter most.
        let range = if round % 10 == 0 { 16 << 10 } else { len };
        let bit = random.below(range * 8);
        let at = format!("bit {bit}");
        let copied = dir.path().join("copied");
        copy(&base, &copied);
        if round % 2 == 0 {
            flip(&copied.join("index.redb"), bit);
        }
        match Embedded::open(without_cache(&copied)) {
            Err(StoreError::Corrupt(_)) => refused += 1,
            Err(other) => panic!("{at}: {other}"),
            Ok(engine) => {
                // After the opening: redb's builds for tests read every page then.
                if round % 2 == 1 {
                    flip(&copied.join("index.redb"), bit);
                }
                match read_all(&engine, &at, false).await {
                    (0, 0) => unharmed += 1,
                    _ => hurt += 1,
                }
            }
        }
        fs::remove_dir_all(&copied).unwrap();
    }
    println!("{len} bytes: {refused} refused, {hurt} with errors, {unharmed} in free pages");
    assert!(refused > 0 && hurt > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_the_journal_hurts_at_most_one_payload() {
    let dir = workplace();
    let base = dir.path().join("base");
    fill(&base).await;
    let mut random = Random(2);
    let mut hurt = 0;
    for _ in 0..1000 {
        let copied = dir.path().join("copied");
        copy(&base, &copied);
        let segments = journal(&copied);
        let path = &segments[random.below(segments.len() as u64) as usize];
        let bit = random.below(fs::metadata(path).unwrap().len() * 8);
        flip(path, bit);
        let engine = Embedded::open(config(&copied)).unwrap();
        let (rows, payloads) = read_all(&engine, &format!("{path:?} bit {bit}"), true).await;
        assert!(rows == 0 && payloads <= 1, "{path:?} bit {bit}");
        hurt += payloads;
        drop(engine);
        fs::remove_dir_all(&copied).unwrap();
    }
    assert!(hurt > 100, "{hurt}");
}

#[tokio::test]
#[cfg_attr(
    debug_assertions,
    ignore = "with debug assertions redb reads every page at each opening, and stops at damage"
)]
async fn verification_goes_on_behind_damage_in_the_index() {
    let dir = workplace();
    fill(dir.path()).await;
    let path = dir.path().join("index.redb");
    // Every place of one row's value: the live one is among them.
    let wanted = expected_value(1504);
    let bytes = fs::read(&path).unwrap();
    let places: Vec<_> = bytes
        .windows(wanted.len())
        .enumerate()
        .filter(|(_, w)| *w == wanted.as_bytes())
        .map(|(at, _)| at as u64)
        .collect();
    assert!(!places.is_empty());
    // After the opening: redb's builds for tests read every page then.
    let engine = Embedded::open(without_cache(dir.path())).unwrap();
    for at in places {
        flip(&path, at * 8);
    }
    let report = engine
        .verify(|_| std::ops::ControlFlow::Continue(()))
        .unwrap();
    assert!((1..=2).contains(&report.damage.len()), "{report:?}");
    let rows = report.rows as usize;
    assert!((ROWS - 100..ROWS).contains(&rows), "{report:?}");
    // One damaged page does not take the others away.
    let mut read = 0;
    for n in 0..ROWS {
        for _ in 0..20 {
            match engine.get(P, key(n).as_bytes(), Want::Value).await {
                Ok(row) => {
                    assert_eq!(row.unwrap().value, expected_value(n));
                    read += 1;
                    break;
                }
                Err(StoreError::Busy) => tokio::task::yield_now().await,
                Err(StoreError::Corrupt(_)) => break,
                Err(other) => panic!("{other}"),
            }
            engine.shared.reopen_index().unwrap();
        }
    }
    assert_eq!(read, rows);
}

#[test]
fn the_index_file_has_the_length_that_redb_gave_it() {
    use redb::StorageBackend;

    use super::super::pages::{Pages, State};
    let dir = workplace();
    let file = Disk::real(None)
        .folder
        .create(&dir.path().join("file"))
        .unwrap();
    let pages = Pages::new(file.clone(), Arc::new(State::default()));
    assert_eq!(pages.len().unwrap(), 0);
    let lengths = (1..600)
        .chain((1..600).rev())
        .chain([1025, 1026, 513, 514, 512]);
    for n in lengths {
        pages.set_len(n * 4096).unwrap();
        assert_eq!(pages.len().unwrap(), n * 4096);
    }
    // Over a block of checksums, and again after the file shrank and grew.
    pages.set_len(1100 * 4096).unwrap();
    let written: Vec<u8> = (0..600 * 4096).map(|n| (n % 251) as u8).collect();
    pages.write(400 * 4096, &written).unwrap();
    pages.set_len(700 * 4096).unwrap();
    pages.set_len(1100 * 4096).unwrap();
    pages.sync_data().unwrap();
    let again = Pages::new(file, Arc::new(State::default()));
    for pages in [pages, again] {
        let mut read = vec![1; 700 * 4096];
        pages.read(400 * 4096, &mut read).unwrap();
        assert!(read[..300 * 4096] == written[..300 * 4096]);
        assert!(read[300 * 4096..].iter().all(|b| *b == 0));
    }
}

/// Files that are gone, empty or cut short are no new engine and no end of the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_and_shortened_files_are_an_alarm() {
    let dir = workplace();
    let base = dir.path().join("base");
    let engine = Embedded::open(config(&base)).unwrap();
    for n in 0..20 {
        put(&engine, &format!("key {n}"), "value").await.unwrap();
    }
    drop(engine);
    let segment = Path::new("journal").join(journal(&base)[0].file_name().unwrap());
    type Hurt<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Hurt); 7] = [
        ("half an index", &|d| {
            let file = fs::OpenOptions::new()
                .write(true)
                .open(d.join("index.redb"));
            let file = file.unwrap();
            let len = file.metadata().unwrap().len();
            file.set_len(len / 2 / 4096 * 4096).unwrap();
        }),
        ("an empty index", &|d| {
            fs::write(d.join("index.redb"), b"").unwrap()
        }),
        ("no index", &|d| {
            fs::remove_file(d.join("index.redb")).unwrap()
        }),
        ("an empty segment", &|d| {
            fs::write(d.join(&segment), b"").unwrap()
        }),
        ("half a segment", &|d| {
            let file = fs::OpenOptions::new().write(true).open(d.join(&segment));
            file.unwrap().set_len(128 << 10).unwrap();
        }),
        ("no segment", &|d| {
            fs::remove_file(d.join(&segment)).unwrap()
        }),
        ("no journal", &|d| {
            fs::remove_dir_all(d.join("journal")).unwrap()
        }),
    ];
    for (what, hurt) in cases {
        let copied = dir.path().join("copied");
        copy(&base, &copied);
        hurt(&copied);
        let opened = Embedded::open(EmbeddedConfig {
            must_exist: true,
            ..config(&copied)
        });
        let refused = matches!(opened, Err(StoreError::Corrupt(_)));
        assert!(refused, "{what}: {:?}", opened.err());
        fs::remove_dir_all(&copied).unwrap();
    }
    let engine = Embedded::open(EmbeddedConfig {
        must_exist: true,
        ..config(&base)
    });
    let engine = engine.unwrap();
    assert_eq!(value(&engine, "key 19").await.unwrap().unwrap(), "value");
}
