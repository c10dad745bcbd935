//! Listings over rows as writes leave them.

use std::sync::Arc;

use access::{Action, Permit, SystemReason, authorize_system};
use store::{Batch, Engine, PartitionId, memory::Memory};
use types::{
    AccountId, BucketDeed, BucketId, BucketName, ETag, OneDeed, Placement, RegionId, SeededRandom,
    TestClock, Timestamp, VersionId, body::MemoryBody,
};

use crate::{
    CompleteUpload, CreateUpload, DisplayVersion, Error, ListRequest, ListedForCompletion, Objects,
    PartInput,
    records::{ObjectAttributes, ObjectBody, ObjectRecord},
    rows,
};

const PARTITION: PartitionId = PartitionId(5);

struct Bench {
    objects: Objects,
    engine: Engine,
    deed: Arc<BucketDeed>,
}

impl Bench {
    fn new() -> Self {
        let deed = Arc::new(BucketDeed {
            id: BucketId(PARTITION.0),
            name: BucketName::new("bench").unwrap(),
            owner: AccountId::new("1"),
            home: RegionId::new("r"),
            created: Timestamp::default(),
            epoch: 0,
            placement: Placement::default(),
        });
        let engine = Memory::engine();
        let objects = Objects::new(
            engine.clone(),
            Arc::new(OneDeed(deed.clone())),
            Arc::new(TestClock::at_ms(1_000)),
            Arc::new(SeededRandom::new(1)),
            RegionId::new("r"),
        );
        Self {
            objects,
            engine,
            deed,
        }
    }

    fn permit(&self, action: Action) -> Permit {
        authorize_system(SystemReason::Recovery, action, &self.deed)
    }

    async fn current(&self, key: &str, record: &ObjectRecord) {
        let batch = Batch::new().put(rows::current(key.as_bytes()), record.encode());
        self.engine.index.commit(PARTITION, batch).await.unwrap();
    }

    async fn older(&self, key: &str, record: &ObjectRecord) {
        let row = rows::older(key.as_bytes(), record.version);
        let batch = Batch::new().put(row, record.encode());
        self.engine.index.commit(PARTITION, batch).await.unwrap();
    }

    async fn keys(&self, request: ListRequest<'_>) -> (Vec<String>, Vec<String>, Option<String>) {
        let permit = self.permit(Action::ListBucket);
        let page = self.objects.list_objects(&permit, &request).await.unwrap();
        let keys = page.objects.into_iter().map(|o| o.key).collect();
        (keys, page.prefixes, page.next)
    }
}

fn record(at: u64) -> ObjectRecord {
    ObjectRecord {
        version: version(at),
        null: false,
        delete_marker: false,
        modified: Timestamp::from_ms(at),
        size: at,
        etag: ETag::whole([at as u8; 16]),
        checksum: None,
        body: ObjectBody::Inline,
        attributes: ObjectAttributes::default(),
    }
}

fn marker(at: u64) -> ObjectRecord {
    ObjectRecord {
        delete_marker: true,
        body: ObjectBody::None,
        ..record(at)
    }
}

fn version(at: u64) -> VersionId {
    VersionId::new(Timestamp::from_ms(at), 0, 0, 0)
}

fn request(prefix: &'static str, delimiter: &'static str, limit: usize) -> ListRequest<'static> {
    ListRequest {
        prefix,
        delimiter,
        after: None,
        limit,
    }
}

#[tokio::test]
async fn truncation_is_exact_and_markers_are_not_shown() {
    let bench = Bench::new();
    for key in ["a", "b", "c"] {
        bench.current(key, &record(1)).await;
    }
    for key in ["d", "x/1", "x/2"] {
        bench.current(key, &marker(1)).await;
    }
    let (keys, _, next) = bench.keys(request("", "", 3)).await;
    assert_eq!((keys.join(" "), next), ("a b c".to_owned(), None));
    let (keys, _, next) = bench.keys(request("", "", 2)).await;
    assert_eq!(
        (keys.join(" "), next.as_deref()),
        ("a b".to_owned(), Some("b"))
    );
    // A common prefix of markers alone is not shown.
    let (keys, prefixes, next) = bench.keys(request("", "/", 3)).await;
    assert_eq!((keys.len(), prefixes.len(), next), (3, 0, None));
    let (keys, _, next) = bench.keys(request("", "", 0)).await;
    assert_eq!((keys.len(), next), (0, None));
}

#[tokio::test]
async fn common_prefixes_count_and_are_stepped_over() {
    let bench = Bench::new();
    for n in 0..2_500 {
        bench
            .current(&format!("p{}/{n:05}", n % 2), &record(1))
            .await;
    }
    bench.current("z", &record(1)).await;
    let (keys, prefixes, next) = bench.keys(request("", "/", 2)).await;
    assert_eq!((keys.len(), prefixes.join(" ")), (0, "p0/ p1/".to_owned()));
    let more = ListRequest {
        after: next.as_deref(),
        ..request("", "/", 2)
    };
    let (keys, prefixes, next) = bench.keys(more).await;
    assert_eq!(
        (keys.join(" "), prefixes.len(), next),
        ("z".to_owned(), 0, None)
    );
    let (keys, _, next) = bench.keys(request("p1/", "/", 5_000)).await;
    assert_eq!((keys.len(), next.as_deref()), (1000, Some("p1/01999")));
}

#[tokio::test]
async fn versions_come_newest_first_and_page_within_a_key() {
    let bench = Bench::new();
    bench.current("k", &record(9)).await;
    let null = ObjectRecord {
        null: true,
        ..record(5)
    };
    bench.older("k", &marker(7)).await;
    bench.older("k", &null).await;
    bench.older("k", &record(3)).await;
    bench.current("k\0", &record(1)).await;
    bench.current("a/b", &marker(2)).await;
    let permit = bench.permit(Action::ListBucketVersions);
    let mut seen = Vec::new();
    let mut after: Option<(String, Option<DisplayVersion>)> = None;
    loop {
        let request = ListRequest {
            after: after.as_ref().map(|a| a.0.as_str()),
            ..request("", "/", 1)
        };
        let marker = after.as_ref().and_then(|a| a.1);
        let page = bench.objects.list_versions(&permit, &request, marker);
        let page = page.await.unwrap();
        seen.extend(page.prefixes);
        let show = |v: crate::ListedVersion| {
            let at = match v.version {
                DisplayVersion::Null => "null".to_owned(),
                DisplayVersion::Id(id) => id.at().ms().to_string(),
            };
            format!("{:?} {at} {} {}", v.key, v.latest, v.content.is_some())
        };
        seen.extend(page.versions.into_iter().map(show));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(
        seen,
        [
            "a/",
            "\"k\" 9 true true",
            "\"k\" 7 false false",
            "\"k\" null false true",
            "\"k\" 3 false true",
            "\"k\\0\" 1 true true"
        ]
    );
}

#[tokio::test]
async fn an_upload_is_filled_listed_and_aborted_without_trace() {
    let bench = Bench::new();
    let key = types::ObjectKey::new("k").unwrap();
    let put = bench.permit(Action::PutObject);
    let created = bench
        .objects
        .create_upload(&put, &key, CreateUpload::default());
    let upload = created.await.unwrap().upload;
    let part = |bytes: &'static [u8], md5| PartInput {
        body: Box::new(MemoryBody::new(bytes)),
        md5,
        checksum: None,
        trailer: None,
    };
    let send = |number, input| bench.objects.upload_part(&put, &key, upload, number, input);
    send(1, part(b"one", None)).await.unwrap();
    send(2, part(b"", None)).await.unwrap();
    let again = send(1, part(b"two", Some(digest::md5(b"two"))))
        .await
        .unwrap();
    assert_eq!(again.etag, ETag::whole(digest::md5(b"two")));
    let bad = send(1, part(b"two", Some([0; 16]))).await;
    assert!(matches!(bad, Err(Error::BadMd5 { .. })));
    for number in [0, 10_001] {
        let bad = send(number, part(b"", None)).await;
        assert!(matches!(bad, Err(Error::InvalidArgument(_))));
    }
    let list = bench.permit(Action::ListMultipartUploadParts);
    let page = bench
        .objects
        .list_parts(&list, &key, upload, 0, 1)
        .await
        .unwrap();
    assert!(page.truncated && page.parts[0].number == 1 && page.parts[0].size == 3);
    let page = bench
        .objects
        .list_parts(&list, &key, upload, 1, 9)
        .await
        .unwrap();
    assert!(!page.truncated && page.parts[0].number == 2 && page.parts[0].size == 0);

    let abort = bench.permit(Action::AbortMultipartUpload);
    bench
        .objects
        .abort_upload(&abort, &key, upload)
        .await
        .unwrap();
    let gone = bench.objects.abort_upload(&abort, &key, upload).await;
    assert!(matches!(gone, Err(Error::NoSuchUpload)));
    let late = send(1, part(b"late", None)).await;
    assert!(matches!(late, Err(Error::NoSuchUpload)));
    let all = store::ScanRange::new(&b"c"[..], None);
    let left = bench.engine.index.scan(PARTITION, all, 99).await.unwrap();
    let dead = left.iter().filter(|(key, _)| key.starts_with(rows::DEAD));
    assert_eq!((dead.count(), left.len()), (2, 2), "{left:?}");
}

#[tokio::test]
async fn a_completion_is_one_commit_and_answers_again() {
    let bench = Bench::new();
    let key = types::ObjectKey::new("k").unwrap();
    let put = bench.permit(Action::PutObject);
    let created = bench
        .objects
        .create_upload(&put, &key, CreateUpload::default());
    let upload = created.await.unwrap().upload;
    let big: bytes::Bytes = vec![7u8; 5 << 20].into();
    let send = async |number, bytes: bytes::Bytes| {
        let input = PartInput {
            body: Box::new(MemoryBody::new(bytes)),
            md5: None,
            checksum: None,
            trailer: None,
        };
        let part = bench.objects.upload_part(&put, &key, upload, number, input);
        part.await.unwrap().etag
    };
    let (one, two) = (send(1, big.clone()).await, send(2, "tail".into()).await);
    send(3, "not listed".into()).await;
    let ask = |parts: &[(u32, ETag)]| {
        let part = |(number, etag): &(u32, ETag)| ListedForCompletion {
            number: *number,
            etag: Some(*etag),
            checksum: None,
        };
        let request = CompleteUpload {
            parts: parts.iter().map(part).collect(),
            ..CompleteUpload::default()
        };
        bench.objects.complete_upload(&put, &key, upload, request)
    };
    let refused = ask(&[(2, two), (1, one)]).await;
    assert!(matches!(refused, Err(Error::InvalidPartOrder)));
    let refused = ask(&[(1, one), (4, two)]).await;
    assert!(matches!(refused, Err(Error::InvalidPart(4))));
    let refused = ask(&[(1, two)]).await;
    assert!(matches!(refused, Err(Error::InvalidPart(1))));
    let refused = ask(&[(2, two), (3, ETag::whole(digest::md5(b"not listed")))]).await;
    assert!(matches!(
        refused,
        Err(Error::PartTooSmall {
            number: 2,
            bytes: 4,
            ..
        })
    ));

    let done = ask(&[(1, one), (2, two)]).await.unwrap();
    let whole = [&big[..], b"tail"].concat();
    let md5s = [digest::md5(&big), digest::md5(b"tail")].concat();
    assert_eq!((done.etag.md5, done.etag.parts), (digest::md5(&md5s), 2));
    let crc = digest::checksum(types::ChecksumAlgorithm::Crc64Nvme, &whole);
    assert_eq!(done.checksum, Some(crc));
    assert_eq!(ask(&[(1, one), (2, two)]).await.unwrap(), done);
    let other = ask(&[(1, one)]).await;
    assert!(matches!(other, Err(Error::NoSuchUpload)));

    let (keys, _, _) = bench.keys(request("", "", 9)).await;
    assert_eq!(keys, ["k"]);
    let scan = async |kind| {
        let range = store::ScanRange::prefix(kind);
        bench
            .engine
            .index
            .scan(PARTITION, range, 9)
            .await
            .unwrap()
            .len()
    };
    let left = (
        scan(rows::UPLOAD).await,
        scan(rows::PART).await,
        scan(rows::DEAD).await,
    );
    assert_eq!(left, (0, 0, 1), "only the part that was not listed is dead");
}
