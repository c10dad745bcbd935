//! A cloud of several regions: where a request is acted on, and what crosses between regions.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use std::time::Duration;

use common::{
    client::exchange,
    cloud::{ALICE, BOB, Cloud},
};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use types::{Jurisdiction, RegionId};

fn some_bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

/// No signature covers the body that is sent to a presigned URL.
fn trusting(deed: &mut types::BucketDeed) {
    deed.placement.trust.writes = vec![types::Forwarder::Operator];
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_answered_where_a_readable_copy_is() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |_| {});
    cloud.plant("home-1", &deed, "k", "at home").await;
    cloud.plant("copy-1", &deed, "k", "at the copy").await;
    for (region, body) in [("home-1", "at home"), ("copy-1", "at the copy")] {
        let got = cloud
            .at(region, ALICE)
            .send("GET", "/papers/k", &[], "")
            .await;
        assert_eq!((got.status, &*got.text()), (200, body), "{got:?}");
    }
    assert_eq!(cloud.passes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_at_a_replica_are_decided_at_home() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let copy = cloud.at("copy-1", ALICE);
    let only_new = [("if-none-match", "*"), ("x-amz-meta-a", "1")];
    let put = copy.send("PUT", "/papers/k", &only_new, "first").await;
    assert_eq!(put.status, 200, "{put:?}");
    assert_eq!(put.header("x-dhow-region"), Some("home-1"));
    let (here, there) = (
        put.header("x-amz-request-id").unwrap(),
        put.header("x-dhow-region-request-id").unwrap(),
    );
    assert!(here != there && there.len() == 16, "{put:?}");
    assert_eq!(cloud.passes(), ["copy-1>home-1"]);
    let again = copy.send("PUT", "/papers/k", &only_new, "second").await;
    assert_eq!(again.status, 412, "{again:?}");
    let got = cloud
        .at("home-1", ALICE)
        .send("GET", "/papers/k", &[], "")
        .await;
    assert_eq!(got.text(), "first");
    assert_eq!(got.header("x-amz-meta-a"), Some("1"));
    let begun = copy.send("POST", "/papers/m?uploads=", &[], "").await;
    let upload = begun.element("UploadId").unwrap();
    let part = format!("/papers/m?partNumber=1&uploadId={upload}");
    let part = copy.send("PUT", &part, &[], "part").await;
    let tag = part.header("etag").unwrap();
    let listed = copy
        .send("GET", &format!("/papers/m?uploadId={upload}"), &[], "")
        .await;
    assert_eq!(
        listed.element("PartNumber").as_deref(),
        Some("1"),
        "{listed:?}"
    );
    let done = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>\
         </CompleteMultipartUpload>"
    );
    let target = format!("/papers/m?uploadId={upload}");
    let done = copy.send("POST", &target, &[], done).await;
    assert_eq!(done.status, 200, "{done:?}");
    let deleted = copy.send("DELETE", "/papers/k", &[], "").await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    let gone = cloud
        .at("home-1", ALICE)
        .send("HEAD", "/papers/k", &[], "")
        .await;
    assert_eq!(gone.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_regions_pass_on_where_the_owner_allows_it_and_redirect_otherwise() {
    let cloud = Cloud::open().await;
    let open = cloud.bucket("open", |deed| deed.placement.proxy = true);
    cloud.bucket("papers", |_| {});
    cloud.plant("home-1", &open, "k", "at home").await;
    cloud.plant("copy-1", &open, "k", "at the copy").await;
    let away = cloud.at("away-1", ALICE);
    let got = away.send("GET", "/open/k", &[], "").await;
    assert_eq!((got.status, &*got.text()), (200, "at the copy"), "{got:?}");
    assert_eq!(got.header("content-length"), Some("11"));
    let head = away.send("HEAD", "/open/k", &[], "").await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("11"))
    );
    assert_eq!(away.send("PUT", "/open/new", &[], "x").await.status, 200);
    let expected = ["away-1>copy-1", "away-1>copy-1", "away-1>home-1"];
    assert_eq!(cloud.passes(), expected);
    for (region, bucket) in [
        ("away-1", "papers"),
        ("seal-1", "papers"),
        ("seal-1", "open"),
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let target = format!("/{bucket}/k");
            let moved = cloud.at(region, ALICE).send(method, &target, &[], "").await;
            if region == "seal-1" && method == "GET" {
                // It has the replica, and nobody here who could give it a lease.
                assert_eq!(moved.status, 503, "{moved:?}");
                assert_eq!(moved.element("Code").as_deref(), Some("ServiceUnavailable"));
                continue;
            }
            assert_eq!(
                moved.status, 301,
                "{method} {target} at {region}: {moved:?}"
            );
            assert_eq!(moved.element("Code").as_deref(), Some("PermanentRedirect"));
            assert_eq!(moved.element("Region").as_deref(), Some("home-1"));
            let endpoint = moved.element("Endpoint");
            assert_eq!(endpoint.as_deref(), Some("s3.home-1.example.com"));
            assert_eq!(moved.header("x-amz-bucket-region"), Some("home-1"));
        }
        let target = format!("/{bucket}");
        let head = cloud.at(region, ALICE).send("HEAD", &target, &[], "").await;
        assert_eq!(
            (head.status, head.header("x-amz-bucket-region")),
            (301, Some("home-1"))
        );
    }
    assert_eq!(cloud.passes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_law_is_named_to_the_owner_and_nothing_to_strangers() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |deed| {
        deed.placement.proxy = true;
        deed.placement.jurisdictions = vec![Jurisdiction::parse("EU").unwrap()];
    });
    let refused = cloud
        .at("far-1", ALICE)
        .send("GET", "/papers/k", &[], "")
        .await;
    assert_eq!(
        (refused.status, refused.element("Code").unwrap().as_str()),
        (403, "AccessDenied")
    );
    let message = refused.element("Message").unwrap();
    assert!(
        message.contains("far-1 (US)") && message.contains("home-1"),
        "{message}"
    );
    for region in ["home-1", "copy-1", "seal-1", "away-1", "far-1"] {
        for method in ["GET", "PUT"] {
            let bob = cloud
                .at(region, BOB)
                .send(method, "/papers/k", &[], "")
                .await;
            let found = (bob.status, bob.element("Message"), bob.element("Region"));
            assert_eq!(
                found,
                (403, Some("Access Denied".to_owned()), None),
                "{region}"
            );
            assert_eq!(bob.header("x-amz-bucket-region"), None);
        }
    }
    assert_eq!(cloud.passes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_stream_both_ways() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |deed| deed.placement.proxy = true);
    let away = cloud.at("away-1", ALICE);
    let large = some_bytes(9 << 20);
    let put = away.send("PUT", "/papers/large", &[], large.clone()).await;
    assert_eq!(put.status, 200, "{put:?}");
    cloud.network.down.lock().insert("copy-1".to_owned());
    let got = away.send("GET", "/papers/large", &[], "").await;
    assert!(got.status == 200 && got.body == large, "{}", got.status);
    assert_eq!(got.header("etag"), put.header("etag"));
    let range = [("range", "bytes=5000000-5000009")];
    let got = away.send("GET", "/papers/large", &range, "").await;
    assert_eq!(
        (got.status, &got.body[..]),
        (206, &large[5_000_000..5_000_010])
    );
    let chunks = [&large[..6 << 20], &large[6 << 20..]];
    let put = away
        .put_chunked("/papers/chunked", &chunks, None, |_| {})
        .await;
    assert_eq!(put.status, 200, "{put:?}");
    let got = away.send("GET", "/papers/chunked", &[], "").await;
    assert!(got.status == 200 && got.body == large, "{}", got.status);
    assert_eq!(got.header("content-encoding"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_fails_its_verification_here_makes_no_object_there() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let copy = cloud.at("copy-1", ALICE);
    let body = some_bytes(3 << 20);
    let chunks = [&body[..2 << 20], &body[2 << 20..]];
    let last = |wire: &mut Vec<u8>| {
        // The signature of the empty chunk, behind all the data.
        let at = wire.len() - 20;
        wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
    };
    let put = copy.put_chunked("/papers/k", &chunks, None, last).await;
    let code = put.element("Code");
    assert_eq!(code.as_deref(), Some("SignatureDoesNotMatch"), "{put:?}");
    let middle = |wire: &mut Vec<u8>| wire[1 << 20] ^= 1;
    let put = copy.put_chunked("/papers/k", &chunks, None, middle).await;
    assert_eq!(
        put.element("Code").as_deref(),
        Some("SignatureDoesNotMatch")
    );
    let claimed = access::sign::payload_sha256(b"another");
    let put = copy.send_claiming("PUT", "/papers/k", &[], body.clone(), &claimed);
    let code = put.await.element("Code");
    assert_eq!(code.as_deref(), Some("XAmzContentSHA256Mismatch"));
    let short = |wire: &mut Vec<u8>| wire.truncate(1 << 20);
    let put = copy.put_chunked("/papers/k", &chunks, None, short).await;
    assert_eq!(put.status, 400, "{put:?}");
    assert_eq!(cloud.passes().len(), 4);
    let head = cloud
        .at("home-1", ALICE)
        .send("HEAD", "/papers/k", &[], "")
        .await;
    assert_eq!(head.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_behind_the_body_is_compared_at_home() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let copy = cloud.at("copy-1", ALICE);
    let body = some_bytes(2 << 20);
    let right = digest_of(&body);
    let name = "x-amz-checksum-crc32";
    let put = copy
        .put_chunked("/papers/k", &[&body], Some((name, &right)), |_| {})
        .await;
    assert_eq!(
        (put.status, put.header(name)),
        (200, Some(&*right)),
        "{put:?}"
    );
    let wrong = digest_of(b"another");
    let put = copy
        .put_chunked("/papers/l", &[&body], Some((name, &wrong)), |_| {})
        .await;
    assert_eq!(put.element("Code").as_deref(), Some("BadDigest"), "{put:?}");
    let head = cloud
        .at("home-1", ALICE)
        .send("HEAD", "/papers/l", &[], "")
        .await;
    assert_eq!(head.status, 404);
    let md5 = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    let put = copy.send("PUT", "/papers/l", &md5, "x").await;
    assert_eq!(put.element("Code").as_deref(), Some("BadDigest"), "{put:?}");
}

fn digest_of(bytes: &[u8]) -> String {
    digest::checksum(types::ChecksumAlgorithm::Crc32, bytes).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_does_not_answer_is_named_and_reads_go_to_the_next() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| deed.placement.proxy = true);
    cloud.plant("home-1", &deed, "k", "at home").await;
    cloud.network.down.lock().insert("copy-1".to_owned());
    let away = cloud.at("away-1", ALICE);
    let got = away.send("GET", "/papers/k", &[], "").await;
    assert_eq!((got.status, &*got.text()), (200, "at home"));
    assert_eq!(cloud.passes(), ["away-1>copy-1", "away-1>home-1"]);
    cloud.network.down.lock().insert("home-1".to_owned());
    for method in ["GET", "PUT"] {
        let lost = away.send(method, "/papers/k", &[], "x").await;
        let code = lost.element("Code");
        assert_eq!(
            (lost.status, code.as_deref()),
            (503, Some("ServiceUnavailable"))
        );
        assert!(
            lost.element("Message").unwrap().contains("home-1"),
            "{lost:?}"
        );
        assert_eq!(lost.header("retry-after"), Some("1"));
    }
    let expected = ["away-1>copy-1", "away-1>home-1", "away-1>home-1"];
    assert_eq!(cloud.passes(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_never_passed_twice() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| deed.placement.proxy = true);
    let mut moved = deed.clone();
    moved.home = RegionId::new("far-1");
    moved.placement.replicas.truncate(1);
    cloud.deeds("home-1").learn(&moved);
    let put = cloud
        .at("copy-1", ALICE)
        .send("PUT", "/papers/k", &[], "x")
        .await;
    assert_eq!(
        (put.status, put.header("retry-after")),
        (503, Some("1")),
        "{put:?}"
    );
    assert_eq!(cloud.passes(), ["copy-1>home-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn presigned_urls_and_bucket_hosts_pass_on() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", trusting);
    let copy = cloud.at("copy-1", ALICE);
    let address = cloud.server("copy-1").address;
    let host = format!("papers.localhost:{}", address.port());
    let url = copy.presign("PUT", "/a%2Fb%20c", &host);
    let request = Request::put(url)
        .header("host", &host)
        .body(Full::new("x".into()))
        .unwrap();
    let put = exchange(address, request).await;
    assert_eq!(put.status, 200, "{put:?}");
    let head = cloud
        .at("home-1", ALICE)
        .send("HEAD", "/papers/a/b%20c", &[], "")
        .await;
    assert_eq!(head.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn replication_is_told_truthfully() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |_| {});
    let alone = cloud.bucket("alone", |deed| deed.placement.replicas.clear());
    for (region, deed) in [("home-1", &deed), ("copy-1", &deed), ("home-1", &alone)] {
        cloud.plant(region, deed, "k", "x").await;
    }
    let status = async |region: &str, target: &str| {
        let head = cloud.at(region, ALICE).send("HEAD", target, &[], "").await;
        assert_eq!(head.status, 200, "{head:?}");
        head.header("x-amz-replication-status").map(str::to_owned)
    };
    assert_eq!(
        status("home-1", "/papers/k").await.as_deref(),
        Some("PENDING")
    );
    assert_eq!(
        status("copy-1", "/papers/k").await.as_deref(),
        Some("REPLICA")
    );
    assert_eq!(status("home-1", "/alone/k").await, None);
    cloud
        .network
        .applied
        .store(u64::MAX, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(
        status("home-1", "/papers/k").await.as_deref(),
        Some("COMPLETED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_silent_is_not_waited_for_without_end() {
    let cloud = Cloud::patient(Duration::from_millis(200)).await;
    cloud.bucket("papers", |deed| deed.placement.proxy = true);
    cloud.network.silent.lock().insert("home-1".to_owned());
    let put = cloud.at("copy-1", ALICE);
    let put = put.send("PUT", "/papers/k", &[], some_bytes(1 << 20)).await;
    assert_eq!(
        (put.status, put.header("retry-after")),
        (503, Some("1")),
        "{put:?}"
    );
    assert!(put.element("Message").unwrap().contains("home-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| deed.placement.proxy = true);
    let text = "x".repeat(1 << 20);
    cloud.plant("copy-1", &deed, "k", &text).await;
    *cloud.network.cut.lock() = Some(300_000);
    let address = cloud.server("away-1").address;
    let host = address.to_string();
    let url = cloud.at("away-1", ALICE).presign("GET", "/papers/k", &host);
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(url).header("host", host);
    let request = request.body(Full::<bytes::Bytes>::default()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_from_home_reaches_a_client_that_is_still_sending() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let copy = cloud.at("copy-1", ALICE);
    let md5 = [("content-md5", "no digest")];
    for _ in 0..10 {
        let put = copy
            .send("PUT", "/papers/k", &md5, some_bytes(2 << 20))
            .await;
        let code = put.element("Code");
        assert_eq!(code.as_deref(), Some("InvalidDigest"), "{put:?}");
    }
}

/// What a presigned URL carries in its query reaches the region that acts, as what it is.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_presigned_urls_act_at_home() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", trusting);
    let (copy, home) = (cloud.at("copy-1", ALICE), cloud.at("home-1", ALICE));
    let hoisted = "x-amz-meta-colour=dark%20blue&x-amz-tagging=a%3Db&x-amz-acl=bucket-owner-full-control\
                   &x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32\
                   &x-id=PutObject";
    let put = copy
        .send_presigned("PUT", "/papers/a%2Bb+c", hoisted, "bytes")
        .await;
    assert_eq!(put.status, 200, "{put:?}");
    let got = home.send("GET", "/papers/a%2Bb%20c", &[], "").await;
    assert_eq!((got.status, got.text().as_str()), (200, "bytes"));
    assert_eq!(got.header("x-amz-meta-colour"), Some("dark blue"));
    assert_eq!(got.header("x-amz-tagging-count"), Some("1"));
    let source = "x-amz-copy-source=papers%2Fa%252Bb%2520c&x-id=CopyObject";
    let copied = copy
        .send_presigned("PUT", "/papers/copied", source, "forged")
        .await;
    assert!(copied.text().contains("<CopyObjectResult"), "{copied:?}");
    assert_eq!(
        home.send("GET", "/papers/copied", &[], "").await.text(),
        "bytes"
    );
    assert_eq!(cloud.passes().len(), 2);
    for (query, status) in [
        ("x-amz-expected-bucket-owner=000000000002", 403),
        ("x-dhow-placement-home=copy-1", 400),
        ("x-amz-server-side-encryption=AES256", 501),
        ("x-id=CopyObject", 400),
        ("annotation", 501),
    ] {
        let put = copy
            .send_presigned("PUT", "/papers/copied", query, "forged")
            .await;
        assert_eq!(put.status, status, "{query}: {put:?}");
    }
    // What is refused is not forwarded.
    assert_eq!(cloud.passes().len(), 0);
    assert_eq!(
        home.send("GET", "/papers/copied", &[], "").await.text(),
        "bytes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_copied_from_a_bucket_whose_home_may_lack_something() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    cloud.bucket("drafts", |_| {});
    let home = cloud.at("home-1", ALICE);
    assert_eq!(home.send("PUT", "/papers/k", &[], "old").await.status, 200);
    let source = [("x-amz-copy-source", "/papers/k")];
    let copied = home.send("PUT", "/drafts/k", &source, "").await;
    assert_eq!(copied.status, 200, "{copied:?}");
    let doubted = &cloud.network.doubted;
    doubted.lock().insert("papers".to_owned());
    let refused = home.send("PUT", "/drafts/k", &source, "").await;
    assert_eq!(refused.status, 503, "{refused:?}");
}
