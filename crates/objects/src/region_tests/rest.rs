//! What background work costs does not depend on how much was done before.

use std::time::Duration;

use store::{Position, faults};

use super::*;
use crate::{FollowCursor, Removed};

const HOUR_MS: u64 = 3_600_000;

/// A bucket over an engine that counts, with what happens to it again and again.
struct Counted {
    bench: Bench,
    engine: Arc<faults::Counted>,
    clock: Arc<TestClock>,
}

/// What is done many times; the number differs each time.
type Done = for<'a> fn(&'a Bench, u64) -> BoxFuture<'a, ()>;

impl Counted {
    async fn new() -> Self {
        let clock = Arc::new(TestClock::at_ms(1_800_000_000_000));
        let engine = faults::Counted::new(Memory::engine());
        let bench = Bench::over(engine.engine(), Arc::clone(&clock)).await;
        bench.objects.sweep().await.unwrap();
        Self {
            bench,
            engine,
            clock,
        }
    }

    fn reads(&self) -> u64 {
        self.engine.reads()
    }

    /// What a region at rest reads while it sweeps `times`, in order: each second, then after an
    /// hour, then each second again; and what followers that wait, and the count of what is held,
    /// read.
    async fn at_rest(&self) -> [u64; 4] {
        let objects = &self.bench.objects;
        let mut counts = [0; 4];
        // What was done last is swept.
        objects.sweep().await.unwrap();
        objects.sweep().await.unwrap();
        for count in counts.iter_mut().take(3) {
            let before = self.reads();
            for _ in 0..10 {
                objects.sweep().await.unwrap();
            }
            *count = self.reads() - before;
            self.clock.advance_ms(HOUR_MS);
        }
        let counting = self.bench.permit(Action::CountVersions);
        let end = objects.position_held(&counting).await.unwrap();
        let before = self.reads();
        let end = end.max(objects.position_held(&counting).await.unwrap());
        let sending = self.bench.permit(Action::ReplicateFrom);
        let end = end.unwrap_or_default();
        let page = objects.changes(&sending, end, 100, 1 << 20).await.unwrap();
        assert!(page.changes.is_empty());
        let waited = objects.changed(&sending, end, Duration::ZERO).await;
        waited.unwrap();
        counts[3] = self.reads() - before;
        counts
    }

    /// What the next time costs, with the sweep after it, which has an extent to delete too.
    async fn once_more(&self, done: Done, n: u64) -> u64 {
        let before = self.reads();
        done(&self.bench, n).await;
        for _ in 0..2 {
            let put = self.bench.put("beside", vec![1; 70_000].into()).await;
            put.unwrap();
        }
        self.bench.objects.sweep().await.unwrap();
        self.reads() - before
    }
}

async fn multipart(bench: &Bench, n: u64, complete: bool) {
    let at = format!("m{n}");
    let upload = bench.upload(&at).await;
    let etag = bench.part(&at, upload, 1, Bytes::from_static(b"p")).await;
    if !complete {
        let permit = bench.permit(Action::AbortMultipartUpload);
        let aborted = bench.objects.abort_upload(&permit, &key(&at), upload).await;
        return aborted.unwrap();
    }
    let listed = ListedForCompletion {
        number: 1,
        etag: Some(etag),
        checksum: None,
    };
    let request = CompleteUpload {
        parts: vec![listed],
        ..CompleteUpload::default()
    };
    let permit = bench.permit(Action::PutObject);
    let key = key(&at);
    let done = bench
        .objects
        .complete_upload(&permit, &key, upload, request);
    done.await.unwrap();
}

const KINDS: [(&str, Done); 11] = [
    ("puts", |b, n| {
        Box::pin(async move {
            b.put(&format!("k{n}"), Bytes::from_static(b"x"))
                .await
                .unwrap();
        })
    }),
    ("overwrites", |b, _| {
        Box::pin(async move {
            b.put("k", vec![1; 70_000].into()).await.unwrap();
        })
    }),
    ("deletes", |b, _| {
        Box::pin(async move {
            b.put("k", Bytes::from_static(b"x")).await.unwrap();
            b.delete("k", None).await;
        })
    }),
    ("completions", |b, n| Box::pin(multipart(b, n, true))),
    ("aborts", |b, n| Box::pin(multipart(b, n, false))),
    ("tags", |b, n| {
        Box::pin(async move {
            if n == 0 {
                b.put("k", Bytes::from_static(b"x")).await.unwrap();
            }
            let permit = b.permit(Action::PutObjectTagging);
            let tags = vec![("n".to_owned(), n.to_string())];
            let at = key("k");
            let tagged = b.objects.set_object_tags(&permit, &at, None, tags);
            tagged.await.unwrap();
        })
    }),
    ("configurations", |b, n| {
        Box::pin(async move {
            let permit = b.permit(Action::PutBucketTagging);
            let tags = vec![("n".to_owned(), n.to_string())];
            b.objects.set_bucket_tags(&permit, tags).await.unwrap();
        })
    }),
    ("cursors", |b, n| {
        Box::pin(async move {
            let permit = b.permit(Action::ReplicateInto);
            let cursor = FollowCursor {
                position: Position(n),
                ..FollowCursor::default()
            };
            let from = RegionId::new("elsewhere");
            let noted = b.objects.set_follow_cursor(&permit, &from, &cursor);
            noted.await.unwrap();
        })
    }),
    ("removals elsewhere", |b, n| {
        Box::pin(async move {
            let permit = b.permit(Action::ReplicateInto);
            let at = Timestamp::from_ms(n);
            let change = crate::ShippedChange::from(Removed {
                name: (key("k"), VersionId::new(at, 0, 0, 0)),
                null: false,
            });
            let applied = b.objects.apply(&permit, change, &NoBodies).await;
            applied.unwrap();
        })
    }),
    ("refused writes", |b, _| {
        Box::pin(async move {
            b.put("k", Bytes::from_static(b"x")).await.unwrap();
            let refused = b.put_if("k", vec![1; 70_000].into(), if_absent()).await;
            assert!(matches!(refused, Err(Error::PreconditionFailed(_))));
        })
    }),
    ("reads", |b, n| {
        Box::pin(async move {
            if n == 0 {
                b.put("k", vec![1; 70_000].into()).await.unwrap();
            }
            b.get("k", &GetRequest::default()).await.unwrap();
        })
    }),
];

struct NoBodies;

impl crate::BodySource for NoBodies {
    fn open<'a>(
        &'a self,
        _: &'a crate::Shipped,
        _: u64,
    ) -> BoxFuture<'a, std::result::Result<Box<dyn Body>, BodyError>> {
        Box::pin(async { Err(BodyError::Connection("no bytes".into())) })
    }
}

async fn costs_the_same(few: u64, many: u64) {
    for (kind, done) in KINDS {
        let mut costs = Vec::new();
        for times in [few, many] {
            let counted = Counted::new().await;
            for n in 0..times {
                done(&counted.bench, n).await;
                // As it goes on beside.
                if n % 100 == 99 {
                    counted.bench.objects.sweep().await.unwrap();
                }
            }
            counted.bench.objects.sweep().await.unwrap();
            let next = counted.once_more(done, times).await;
            let rest = counted.at_rest().await;
            assert_eq!(rest[0], 0, "{kind}: a second's sweep at rest reads nothing");
            costs.push((next, rest));
        }
        assert_eq!(costs[0], costs[1], "{kind}: after {few} and after {many}");
    }
}

/// `DHOW_DONE_TIMES` asks for more: a million takes some minutes.
#[tokio::test]
async fn work_at_rest_costs_the_same_whatever_was_done_before() {
    let times = std::env::var("DHOW_DONE_TIMES").ok();
    let times = times.map_or(1_000, |times| times.parse().unwrap());
    costs_the_same(10, times).await;
}

/// Whoever counts versions, or says up to where a write is, reads nothing to find out that nothing
/// has changed, and how long the log is plays no part.
#[tokio::test]
async fn what_changed_last_is_known_without_reading() {
    let counted = Counted::new().await;
    let (bench, objects) = (&counted.bench, &counted.bench.objects);
    let deed = bench.permit(Action::CountVersions);
    let deed = deed.deed().unwrap();
    let mut last = objects.last_change(deed);
    let mut changes = async |what: &str, changed: bool| {
        let before = counted.reads();
        let now = objects.last_change(deed);
        assert_eq!(now != last, changed, "{what}");
        let end = bench.engine.log.end(bench.partition());
        assert!(objects.written_up_to(deed) >= end, "{what}");
        assert_eq!(counted.reads(), before, "{what}");
        last = now;
    };
    changes("nothing", false).await;
    bench.put("k", "one".into()).await.unwrap();
    changes("an object", true).await;
    bench.put("k", "two".into()).await.unwrap();
    changes("a newer one", true).await;
    changes("nothing", false).await;
    let written = objects.written_up_to(deed);
    let (receiving, other) = (bench.permit(Action::ReplicateInto), RegionId::new("other"));
    let cursor = FollowCursor {
        epoch: 1,
        position: Position(7),
        seeded: 0,
        snapshot: None,
        reach: Position(0),
    };
    let noted = objects.set_follow_cursor(&receiving, &other, &cursor);
    noted.await.unwrap();
    changes("a cursor", false).await;
    assert!(objects.written_up_to(deed) > written);
    // What is written to another bucket.
    let written = objects.written_up_to(deed);
    let batch = Batch::new().put("row", "").log("entry");
    objects.commit(PartitionId(99), batch).await.unwrap();
    changes("another bucket", false).await;
    assert_eq!(objects.written_up_to(deed), written);
    bench.delete("k", None).await;
    changes("a removal", true).await;
}

/// Completions that are no longer answered are removed, by the hourly pass.
#[tokio::test]
async fn completions_are_forgotten_after_a_day() {
    let counted = Counted::new().await;
    let (bench, sweep) = (&counted.bench, || counted.bench.objects.sweep());
    for n in 0..3 {
        multipart(bench, n, true).await;
    }
    let ended = async || {
        let range = ScanRange::prefix(rows::FINISHED_UPLOAD);
        let found = bench.engine.index.scan(bench.partition(), range, 100).await;
        found.unwrap().len()
    };
    for _ in 0..23 {
        counted.clock.advance_ms(HOUR_MS);
        sweep().await.unwrap();
        assert_eq!(ended().await, 3);
    }
    for _ in 0..2 {
        counted.clock.advance_ms(HOUR_MS);
        sweep().await.unwrap();
    }
    assert_eq!(ended().await, 0);
}
