//! Uploads in progress where their bucket gets another home.

use types::{Placement, Replica};

use super::*;
use crate::{CopiedPart, PartSource, ReadConditions, Uploads};

/// The bucket with its home elsewhere; this region keeps a replica.
fn moved(bench: &Bench) -> Permit {
    let deed = Arc::new(BucketDeed {
        epoch: bench.deed.epoch + 1,
        home: RegionId::new("elsewhere"),
        placement: Placement {
            replicas: vec![Replica {
                region: RegionId::new("r"),
                sealed_by: None,
            }],
            ..Placement::default()
        },
        ..(*bench.deed).clone()
    });
    authorize_system(SystemReason::Recovery, Action::ReplicateInto, &deed)
}

/// A body that ends only once the bucket has another home.
struct Slow {
    bytes: Option<Bytes>,
    bench: Bench,
    ends: bool,
}

impl Body for Slow {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(async move {
            if let Some(bytes) = self.bytes.take() {
                return Some(Ok(bytes));
            }
            let permit = moved(&self.bench);
            self.bench.objects.fence(&permit).await.unwrap();
            if self.ends {
                self.bench.objects.end_uploads(&permit).await.unwrap();
            }
            None
        })
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

async fn copy_part(bench: &Bench, upload: UploadId) -> Result<CopiedPart> {
    let from = bench.permit(Action::GetObject);
    let source = PartSource {
        permit: &from,
        key: &key("a"),
        version: None,
        conditions: ReadConditions::default(),
        range: None,
    };
    let (permit, at) = (bench.permit(Action::PutObject), key("k"));
    let copied = bench
        .objects
        .upload_part_copy(&permit, &at, upload, 2, source);
    copied.await
}

async fn complete(bench: &Bench, upload: UploadId, etag: ETag) -> Result<crate::CompletedObject> {
    let listed = ListedForCompletion {
        number: 1,
        etag: Some(etag),
        checksum: None,
    };
    let request = CompleteUpload {
        parts: vec![listed],
        ..CompleteUpload::default()
    };
    let (permit, at) = (bench.permit(Action::PutObject), key("k"));
    let done = bench.objects.complete_upload(&permit, &at, upload, request);
    done.await
}

#[tokio::test]
async fn a_part_that_ends_after_its_bucket_got_another_home_is_refused() {
    for ends in [false, true] {
        let bench = Bench::new().await;
        let upload = bench.upload("k").await;
        bench
            .part("k", upload, 1, Bytes::from_static(b"before"))
            .await;
        let slow = Slow {
            bytes: Some(Bytes::from_static(b"slow")),
            bench: bench.clone(),
            ends,
        };
        let permit = bench.permit(Action::PutObject);
        let at = key("k");
        let stored = bench
            .objects
            .upload_part(&permit, &at, upload, 2, part(slow));
        assert!(matches!(stored.await, Err(Error::Fenced)));
        bench.objects.end_uploads(&moved(&bench)).await.unwrap();
        bench.objects.sweep().await.unwrap();
        assert_eq!(bench.blobs().await, 0);
    }
}

#[tokio::test]
async fn nothing_is_done_to_uploads_after_their_bucket_got_another_home() {
    for ends in [false, true] {
        let bench = Bench::new().await;
        bench.put("a", Bytes::from_static(b"source")).await.unwrap();
        let upload = bench.upload("k").await;
        let etag = bench
            .part("k", upload, 1, Bytes::from_static(b"part"))
            .await;
        let permit = moved(&bench);
        bench.objects.fence(&permit).await.unwrap();
        if ends {
            assert_eq!(bench.objects.end_uploads(&permit).await.unwrap(), 1);
        }
        let writing = bench.permit(Action::PutObject);
        let at = key("k");
        let request = CreateUpload::default();
        let begun = bench.objects.create_upload(&writing, &at, request).await;
        assert!(matches!(begun, Err(Error::Fenced)));
        let body = part(MemoryBody::new(vec![1; LARGE]));
        let stored = bench.objects.upload_part(&writing, &at, upload, 2, body);
        assert!(matches!(stored.await, Err(Error::Fenced)));
        assert!(matches!(
            copy_part(&bench, upload).await,
            Err(Error::Fenced)
        ));
        let done = complete(&bench, upload, etag).await;
        assert!(matches!(done, Err(Error::Fenced)));
        let aborting = bench.permit(Action::AbortMultipartUpload);
        let aborted = bench.objects.abort_upload(&aborting, &at, upload).await;
        assert!(matches!(aborted, Err(Error::Fenced)));
    }
}

#[tokio::test]
async fn uploads_are_counted_and_end_with_their_parts_where_the_home_goes() {
    let bench = Bench::new().await;
    let counted = bench.objects.uploads_in_progress(&bench.deed).await;
    assert_eq!(counted.unwrap(), Uploads::default());
    let done = bench.upload("k").await;
    let etag = bench.part("k", done, 1, Bytes::from_static(b"done")).await;
    complete(&bench, done, etag).await.unwrap();
    for name in ["k", "k", "other"] {
        let upload = bench.upload(name).await;
        bench.part(name, upload, 1, vec![1; LARGE].into()).await;
        bench.part(name, upload, 7, vec![2; LARGE].into()).await;
    }
    let counted = bench.objects.uploads_in_progress(&bench.deed).await;
    let all = Uploads {
        uploads: 3,
        parts: 6,
        bytes: 6 * LARGE as u64,
        more: false,
    };
    assert_eq!(counted.unwrap(), all);
    // At the home nothing ends.
    let here = bench.permit(Action::ReplicateInto);
    assert_eq!(bench.objects.end_uploads(&here).await.unwrap(), 0);
    let permit = moved(&bench);
    bench.objects.fence(&permit).await.unwrap();
    assert_eq!(bench.objects.end_uploads(&permit).await.unwrap(), 3);
    assert_eq!(bench.objects.end_uploads(&permit).await.unwrap(), 0);
    let counted = bench.objects.uploads_in_progress(&bench.deed).await;
    assert_eq!(counted.unwrap(), Uploads::default());
    // The parts are gone, and what was completed is there.
    bench.objects.sweep().await.unwrap();
    assert_eq!(bench.blobs().await, 1);
}

#[tokio::test]
async fn uploads_are_counted_up_to_a_bound() {
    let bench = Bench::new().await;
    for _ in 0..1001 {
        bench.upload("k").await;
    }
    let counted = bench.objects.uploads_in_progress(&bench.deed).await;
    let counted = counted.unwrap();
    assert_eq!((counted.uploads, counted.more), (1000, true));
}

/// A body that ends only once its bucket is placed elsewhere and all that was here is removed.
struct Left {
    bytes: Option<Bytes>,
    bench: Bench,
    /// The bucket is placed here again then.
    returns: bool,
}

impl Body for Left {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(async move {
            if let Some(bytes) = self.bytes.take() {
                return Some(Ok(bytes));
            }
            let (bench, permit) = (&self.bench, moved(&self.bench));
            let again = Arc::clone(permit.deed().unwrap());
            let gone = Arc::new(BucketDeed {
                placement: Placement::default(),
                ..(*again).clone()
            });
            let name = &bench.deed.name;
            bench.objects.fence(&permit).await.unwrap();
            bench
                .deeds
                .all
                .lock()
                .insert(name.clone(), Arc::clone(&gone));
            bench.objects.discard_bucket(&gone).await.unwrap();
            if self.returns {
                bench.deeds.all.lock().insert(name.clone(), again);
                bench
                    .objects
                    .load_bucket(permit.deed().unwrap())
                    .await
                    .unwrap();
            }
            None
        })
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

#[tokio::test]
async fn p5_a_write_that_ends_after_its_bucket_left_is_refused_and_leaves_nothing() {
    for (returns, len) in [(false, 4), (false, LARGE), (true, 4), (true, LARGE)] {
        for as_part in [false, true] {
            let bench = Bench::new().await;
            bench.put("before", Bytes::from_static(b"b")).await.unwrap();
            let upload = bench.upload("k").await;
            let body = Left {
                bytes: Some(vec![7; len].into()),
                bench: bench.clone(),
                returns,
            };
            let (permit, at) = (bench.permit(Action::PutObject), key("k"));
            let objects = &bench.objects;
            let refused = match as_part {
                true => {
                    let stored = objects.upload_part(&permit, &at, upload, 1, part(body));
                    stored.await.map(drop)
                }
                false => objects.put(&permit, &at, input(body)).await.map(drop),
            };
            assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
            let rows = usize::from(returns);
            assert_eq!(
                bench.rows().await,
                rows,
                "but for the row of its configuration"
            );
            bench.objects.sweep().await.unwrap();
            assert_eq!(bench.blobs().await, 0);
        }
    }
}
