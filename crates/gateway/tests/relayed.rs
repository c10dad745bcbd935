//! What a region may make another do: what its customer signed, and nothing else.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use access::{Action, sign::payload_sha256};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use common::{
    client::{Answer, Client},
    cloud::{ALICE, BOB, Cloud, Customer, place_of, relaying},
};
use http_body_util::BodyExt;
use hyper::Request;
use listener::{Listener, Proxies};
use types::{Forwarder, RegionId};

/// What `from` gets of home-1 for this head and body.
async fn relay(cloud: &Cloud, from: &str, head: &str, body: impl Into<Bytes>) -> Answer {
    let body = body.into();
    let length = match body.len() {
        0 => String::new(),
        length => format!("\ncontent-length:{length}"),
    };
    send(cloud, from, relaying(&(head.to_owned() + &length), body)).await
}

async fn send(cloud: &Cloud, from: &str, request: Request<gateway::AnswerBody>) -> Answer {
    let home = RegionId::new("home-1");
    let answer = cloud.network.pass(&place_of(from), &home, request).await;
    let (head, body) = answer.unwrap().into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

/// What Alice's bucket has at home: the bytes of its one object, or none.
async fn object(cloud: &Cloud, key: &str) -> Option<String> {
    let home = cloud.at("home-1", ALICE);
    let got = home.send("GET", &format!("/papers/{key}"), &[], "").await;
    (got.status == 200).then(|| got.text())
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.element("Code").unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_region_makes_nobody_ask_for_what_they_did_not_sign() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| deed.placement.proxy = true);
    cloud.bucket("other", |deed| deed.placement.proxy = true);
    cloud.plant("home-1", &deed, "k", "secret bytes").await;
    let good = Customer::default();
    let got = relay(&cloud, "copy-1", &good.head(), "").await;
    assert_eq!((got.status, got.text().as_str()), (200, "secret bytes"));
    assert_eq!(*cloud.network.asked.lock(), ["papers"]);
    let with = |change: &dyn Fn(&mut Customer<'_>)| {
        let mut customer = Customer::default();
        change(&mut customer);
        customer.head()
    };
    let edited = |from: &str, to: &str| good.head().replacen(from, to, 1);
    let other_date = edited("x-amz-date:2", "x-amz-date:3");
    let delete = with(&|c| c.method = "DELETE");
    let heads = [
        (
            "an invented key",
            with(&|c| c.access_key = "INVENTEDINVENTED"),
        ),
        ("another's key", with(&|c| c.access_key = BOB)),
        ("for another region", with(&|c| c.scope = "home-1")),
        ("for an alias", with(&|c| c.scope = "us-east-1")),
        ("too old", with(&|c| c.at = -901)),
        ("of the future", with(&|c| c.at = 1800)),
        ("another date", other_date),
        ("another method", edited("GET", "DELETE")),
        ("another key", edited("/papers/k", "/papers/l")),
        ("another bucket", edited("/papers/k", "/other/k")),
        (
            "another query",
            edited("/papers/k", "/papers/k?versionId=null"),
        ),
        ("another host", edited("host:s3.", "host:papers.s3.")),
        (
            "one more header",
            good.head() + "\nx-amz-expected-bucket-owner:000000000001",
        ),
        (
            "an S3 header that is not signed",
            good.head() + "\nx-amz-acl:private",
        ),
        (
            "a header twice",
            good.head() + "\nhost:s3.copy-1.example.com",
        ),
        (
            "a signature less",
            delete.replace("Signature=", "Signature=0"),
        ),
        (
            "no signature",
            "GET /papers/k\nhost:s3.copy-1.example.com".to_owned(),
        ),
        ("not a head", "GET".to_owned()),
        (
            "an absolute target",
            edited("/papers/k", "http://papers.localhost/k"),
        ),
    ];
    for (what, head) in heads {
        let got = relay(&cloud, "copy-1", &head, "").await;
        assert!(matches!(got.status, 400 | 403), "{what}: {got:?}");
        assert!(!got.text().contains("secret"), "{what}: {got:?}");
    }
    // From where it was not signed for, and while the key is disabled.
    let got = relay(&cloud, "away-1", &good.head(), "").await;
    assert_eq!(code(&got), (403, "SignatureDoesNotMatch".to_owned()));
    cloud.network.disabled.lock().insert(ALICE.to_owned());
    let got = relay(&cloud, "copy-1", &good.head(), "").await;
    assert_eq!(code(&got), (403, "InvalidAccessKeyId".to_owned()));
    cloud.network.disabled.lock().clear();
    assert_eq!(object(&cloud, "k").await.as_deref(), Some("secret bytes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_regions_own_words_count_for_nothing() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| deed.placement.proxy = true);
    cloud.plant("home-1", &deed, "k", "secret bytes").await;
    // As regions of older versions forwarded requests.
    let old = Request::get("/dhow/v1/pass/papers/k")
        .header("x-dhow-caller-account", "000000000001")
        .header("x-dhow-caller-key", ALICE)
        .header("x-dhow-client-host", "s3.copy-1.example.com");
    let empty = http_body_util::Empty::new().map_err(|e| match e {});
    let got = send(&cloud, "copy-1", old.body(empty.boxed_unsync()).unwrap()).await;
    assert_eq!(code(&got), (403, "AccessDenied".to_owned()));
    assert_eq!(got.header("x-dhow-unproven"), Some("true"));
    assert!(
        got.text().contains("upgrade Dhow in that region"),
        "{got:?}"
    );
    // What stands beside the head is not read.
    let mut request = relaying(&Customer::default().head(), "");
    for (name, value) in [
        ("x-dhow-caller-account", "000000000002"),
        ("range", "bytes=0-1"),
        ("if-match", "\"none\""),
    ] {
        let value = hyper::header::HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
    }
    let got = send(&cloud, "copy-1", request).await;
    assert_eq!((got.status, got.text().as_str()), (200, "secret bytes"));
    // A region that reads another bucket in the same head.
    let mut request = relaying(&Customer::default().head(), "");
    let other = hyper::header::HeaderValue::from_static("other");
    request.headers_mut().insert("x-dhow-bucket", other);
    let got = send(&cloud, "copy-1", request).await;
    assert_eq!(got.header("x-dhow-unproven"), Some("true"), "{got:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_request_came_is_said_once_and_plainly() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| deed.placement.proxy = true);
    cloud.plant("home-1", &deed, "k", "secret bytes").await;
    let copy = cloud.at("copy-1", ALICE);
    let got = copy.send("PUT", "/papers/new", &[], "x").await;
    assert_eq!(got.status, 200);
    let said = cloud.network.facts.lock().take();
    assert_eq!(said.as_deref(), Some("1;source=127.0.0.1;transport=clear"));
    // A client's own header says nothing between regions.
    let forged = [("x-dhow-facts", "1;source=203.0.113.7")];
    copy.send("PUT", "/papers/new", &forged, "x").await;
    let said = cloud.network.facts.lock().take();
    assert!(said.is_none_or(|said| said == "1;source=127.0.0.1;transport=clear"));
    let facts = async |all: &[&'static str]| {
        let mut request = relaying(&Customer::default().head(), "");
        for facts in all {
            let facts = hyper::header::HeaderValue::from_static(facts);
            request.headers_mut().append("x-dhow-facts", facts);
        }
        send(&cloud, "copy-1", request).await
    };
    // Of an older release, of this one, and of a later one.
    for good in [
        &[][..],
        &["1"],
        &["1;source=2001:db8::1;transport=tls"],
        &["2;x"],
    ] {
        let got = facts(good).await;
        assert_eq!(
            (got.status, got.text().as_str()),
            (200, "secret bytes"),
            "{good:?}"
        );
    }
    for bad in [&["1;source=nowhere"][..], &["1", "1"], &[""]] {
        let got = facts(bad).await;
        assert_eq!(code(&got), (403, "AccessDenied".to_owned()), "{bad:?}");
        assert_eq!(got.header("x-dhow-unproven"), Some("true"), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn for_whom_a_proxy_speaks_is_said_by_trusted_ones_alone() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |deed| deed.placement.proxy = true);
    let said = [
        ("x-forwarded-for", "198.51.100.1, 203.0.113.9, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
    ];
    for (trusted, expected) in [
        ("127.0.0.1", "1;source=203.0.113.9;transport=tls"),
        ("127.0.0.2", "1;source=127.0.0.1;transport=clear"),
    ] {
        let tcp = gateway::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = tcp.local_addr().unwrap();
        let proxies = Proxies {
            trusted: vec![trusted.parse().unwrap()],
            protocol: false,
        };
        let listener = Listener {
            proxies: proxies.into(),
            ..tcp.into()
        };
        let gateway = cloud.server("copy-1").gateway.clone();
        let serving = tokio::spawn(gateway.serve(listener, std::future::pending()));
        let copy = Client::in_region(address, ALICE, "copy-1");
        let got = copy.send("PUT", "/papers/new", &said, "x").await;
        assert_eq!(got.status, 200, "{got:?}");
        let facts = cloud.network.facts.lock().take();
        assert_eq!(facts.as_deref(), Some(expected), "trusted: {trusted}");
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_host_that_may_name_another_bucket_is_not_taken_for_the_path() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |_| {});
    cloud.bucket("site", |_| {});
    cloud.plant("home-1", &deed, "k", "secret bytes").await;
    for (host, target, status) in [
        // The region's own, with the bucket in it or not.
        ("papers.s3.copy-1.example.com", "/k", 200),
        ("s3.copy-1.example.com:9000", "/papers/k", 200),
        ("papers.localhost", "/k", 200),
        ("10.1.2.3:9000", "/papers/k", 200),
        ("balancer.example.net", "/papers/k", 200),
        // `site` is Alice's: at a host that nobody here knows it may be what she meant.
        ("site.example.net", "/papers/k", 403),
        ("SITE.example.net.", "/papers/k", 403),
    ] {
        let customer = Customer {
            host,
            target,
            ..Customer::default()
        };
        let got = relay(&cloud, "copy-1", &customer.head(), "").await;
        assert_eq!(got.status, status, "{host} {target}: {got:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_change_counts_once() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let put = |key: &'static str, body: &str, at| {
        let payload = payload_sha256(body.as_bytes());
        let customer = Customer {
            method: "PUT",
            target: key,
            payload: &payload,
            at,
            ..Customer::default()
        };
        customer.head()
    };
    // Signed before this region started: it cannot know whether it came before.
    let got = relay(&cloud, "copy-1", &put("/papers/k", "v1", -600), "v1").await;
    assert_eq!(code(&got), (503, "SlowDown".to_owned()), "{got:?}");
    let first = put("/papers/k", "v1", 1);
    assert_eq!(relay(&cloud, "copy-1", &first, "v1").await.status, 200);
    let second = put("/papers/k", "v2", 1);
    assert_eq!(relay(&cloud, "copy-1", &second, "v2").await.status, 200);
    for _ in 0..2 {
        let again = relay(&cloud, "copy-1", &first, "v1").await;
        assert_eq!(code(&again), (503, "SlowDown".to_owned()), "{again:?}");
        assert_eq!(again.header("retry-after"), Some("1"));
    }
    assert_eq!(object(&cloud, "k").await.as_deref(), Some("v2"));
    // Signed once: a second later it would be another signature.
    let delete = Customer {
        method: "DELETE",
        at: 1,
        ..Customer::default()
    };
    let delete = delete.head();
    assert_eq!(relay(&cloud, "copy-1", &delete, "").await.status, 204);
    let home = cloud.at("home-1", ALICE);
    assert_eq!(home.send("PUT", "/papers/k", &[], "v3").await.status, 200);
    assert_eq!(relay(&cloud, "copy-1", &delete, "").await.status, 503);
    assert_eq!(object(&cloud, "k").await.as_deref(), Some("v3"));
    // Reads may come again, as every holder is asked for them.
    let get = Customer::default().head();
    for _ in 0..2 {
        assert_eq!(relay(&cloud, "copy-1", &get, "").await.status, 200);
    }
}

/// A PUT whose signature covers its body by these means, with one body or another.
async fn covered(
    cloud: &Cloud,
    payload: &str,
    headers: &[(&str, &str)],
    (body, at): (&str, i64),
) -> Answer {
    let customer = Customer {
        method: "PUT",
        target: "/papers/covered",
        payload,
        headers,
        at,
        ..Customer::default()
    };
    relay(cloud, "copy-1", &customer.head(), body.to_owned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_body_is_the_one_that_was_signed() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let unsigned = "UNSIGNED-PAYLOAD";
    let sha256 = payload_sha256(b"right");
    let checksum = digest::checksum(types::ChecksumAlgorithm::Sha256, b"right").to_string();
    let sha1 = digest::checksum(types::ChecksumAlgorithm::Sha1, b"right").to_string();
    let crc32 = digest::checksum(types::ChecksumAlgorithm::Crc32, b"wrong").to_string();
    let md5 = STANDARD.encode(digest::md5(b"right"));
    for (payload, headers) in [
        (&*sha256, &[][..]),
        (unsigned, &[("content-md5", &*md5)][..]),
        (unsigned, &[("x-amz-checksum-sha256", &*checksum)]),
        (unsigned, &[("x-amz-checksum-sha1", &*sha1)]),
    ] {
        let refused = covered(&cloud, payload, headers, ("wrong", 0)).await;
        assert_eq!(refused.status, 400, "{headers:?}: {refused:?}");
        assert_eq!(object(&cloud, "covered").await, None, "{headers:?}");
    }
    // Signed a second later: the same signature would be a replay.
    for (payload, headers) in [
        (&*sha256, &[][..]),
        (unsigned, &[("content-md5", &*md5)][..]),
        (unsigned, &[("x-amz-checksum-sha256", &*checksum)]),
        (unsigned, &[("x-amz-checksum-sha1", &*sha1)]),
    ] {
        let stored = covered(&cloud, payload, headers, ("right", 1)).await;
        assert_eq!(stored.status, 200, "{headers:?}: {stored:?}");
        assert_eq!(object(&cloud, "covered").await.as_deref(), Some("right"));
    }
    // A CRC is easily met by other bytes, and a digest beside the signature by any.
    let home = cloud.at("home-1", ALICE);
    home.send("DELETE", "/papers/covered", &[], "").await;
    let crc = [("x-amz-checksum-crc32", &*crc32)];
    let head = Customer {
        method: "PUT",
        target: "/papers/covered",
        payload: unsigned,
        ..Customer::default()
    };
    let beside = head.head() + "\ncontent-md5:" + &STANDARD.encode(digest::md5(b"wrong"));
    for refused in [
        covered(&cloud, unsigned, &crc, ("wrong", 2)).await,
        covered(&cloud, unsigned, &[], ("wrong", 2)).await,
        relay(&cloud, "copy-1", &beside, "wrong").await,
    ] {
        assert_eq!(
            refused.header("x-dhow-unproven"),
            Some("true"),
            "{refused:?}"
        );
        assert_eq!(refused.status, 403);
    }
    assert_eq!(object(&cloud, "covered").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_signed_chunks_are_verified_by_whoever_has_the_key() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let streaming = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let body: Vec<u8> = (0..700 * 8192u32).map(|n| (n % 251) as u8).collect();
    let length = body.len().to_string();
    let headers = [("x-amz-decoded-content-length", &*length)];
    let chunked = |target: &'static str, at, tamper: &dyn Fn(&mut Vec<u8>)| {
        let customer = Customer {
            method: "PUT",
            target,
            payload: streaming,
            headers: &headers,
            at,
            ..Customer::default()
        };
        let (mut signer, signed) = customer.signed();
        let mut chain = signer.chunks(&signed);
        let mut wire = Vec::new();
        for chunk in body.chunks(8192).chain([&[][..]]) {
            let sha256 = <sha2::Sha256 as sha2::Digest>::digest(chunk).into();
            let signature = chain.sign_chunk(&sha256);
            wire.extend(format!("{:x};chunk-signature={signature}\r\n", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        tamper(&mut wire);
        // The chunks are signed with this head: another second has another one.
        (customer.head_of(&signed), wire)
    };
    // More chunks than one question has, one of them changed, or with another's signature.
    let middle = |wire: &mut Vec<u8>| wire[4_000_000] ^= 1;
    let last = |wire: &mut Vec<u8>| {
        let at = wire.len() - 20;
        wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
    };
    for (n, tamper) in [&middle as &dyn Fn(&mut Vec<u8>), &last].iter().enumerate() {
        let (head, wire) = chunked("/papers/big", n as i64, *tamper);
        let refused = relay(&cloud, "copy-1", &head, wire).await;
        assert_eq!(code(&refused).1, "SignatureDoesNotMatch", "{refused:?}");
        assert_eq!(object(&cloud, "big").await, None);
    }
    let (head, wire) = chunked("/papers/big", 2, &|_| {});
    let stored = relay(&cloud, "copy-1", &head, wire).await;
    assert_eq!(stored.status, 200, "{stored:?}");
    let home = cloud.at("home-1", ALICE);
    let got = home.send("GET", "/papers/big", &[], "").await;
    assert!(got.status == 200 && got.body == body, "{}", got.status);
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_without_a_proof_the_deed_decides_and_its_default_is_no() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |_| {});
    cloud.plant("home-1", &deed, "k", "at home").await;
    *cloud.network.registry_away.lock() = true;
    let trust = |reads: &[&str], writes: &[&str]| {
        let named = |names: &[&str]| names.iter().map(|n| Forwarder::parse(n)).collect();
        let mut deed = deed.clone();
        deed.placement.trust.reads = named(reads);
        deed.placement.trust.writes = named(writes);
        for region in ["home-1", "copy-1"] {
            cloud.deeds(region).learn(&deed);
        }
    };
    let get = Customer::default().head();
    let put = Customer {
        method: "PUT",
        payload: "UNSIGNED-PAYLOAD",
        ..Customer::default()
    };
    let put = put.head();
    for (reads, writes, read, write) in [
        (&[][..], &[][..], 403, 403),
        (&["away-1"], &["away-1"], 403, 403),
        (&["copy-1"], &[], 200, 403),
        (&[], &["copy-1"], 403, 200),
        (&["@operator"], &["@operator"], 200, 200),
    ] {
        trust(reads, writes);
        let got = relay(&cloud, "copy-1", &get, "").await;
        assert_eq!(got.status, read, "{reads:?} {writes:?}: {got:?}");
        let put = relay(&cloud, "copy-1", &put, "word").await;
        assert_eq!(put.status, write, "{reads:?} {writes:?}: {put:?}");
        if read == 403 {
            assert_eq!(got.header("x-dhow-unproven"), Some("true"));
        }
    }
    // From a region that is trusted nothing is accepted for keys that are not live, nor heads that
    // are old.
    cloud.network.disabled.lock().insert(ALICE.to_owned());
    assert_eq!(relay(&cloud, "copy-1", &get, "").await.status, 403);
    cloud.network.disabled.lock().clear();
    let invented = Customer {
        access_key: "INVENTEDINVENTED",
        ..Customer::default()
    };
    assert_eq!(
        relay(&cloud, "copy-1", &invented.head(), "").await.status,
        403
    );
    let old = Customer {
        at: -901,
        ..Customer::default()
    };
    assert_eq!(relay(&cloud, "copy-1", &old.head(), "").await.status, 403);
    // Where the signature can be verified it counts, whoever is trusted.
    *cloud.network.registry_away.lock() = false;
    let forged = get.replace("/papers/k", "/papers/l");
    let got = relay(&cloud, "copy-1", &forged, "").await;
    assert_eq!(code(&got), (403, "SignatureDoesNotMatch".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_proven_is_redirected_before_anything_is_sent() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| deed.placement.proxy = true);
    cloud.plant("home-1", &deed, "k", "at home").await;
    let away = cloud.at("away-1", ALICE);
    let presigned = away.send_presigned("PUT", "/papers/new", "", "bytes").await;
    assert_eq!(code(&presigned), (307, "TemporaryRedirect".to_owned()));
    assert_eq!(presigned.header("x-amz-bucket-region"), Some("home-1"));
    let endpoint = presigned.element("Endpoint");
    assert_eq!(endpoint.as_deref(), Some("s3.home-1.example.com"));
    assert_eq!(cloud.passes(), [""; 0]);
    let read = away.send_presigned("HEAD", "/papers/k", "", "").await;
    assert_eq!(read.status, 404, "at the copy, whose proof it is too");
    // What has no body has nothing that is not covered.
    for (method, query, status) in [("GET", "uploads", 200), ("DELETE", "", 204)] {
        let target = if query.is_empty() {
            "/papers/gone"
        } else {
            "/papers"
        };
        let done = away.send_presigned(method, target, query, "").await;
        assert_eq!(done.status, status, "{method} {target}: {done:?}");
    }
    cloud.passes();
    *cloud.network.registry_away.lock() = true;
    let got = away.send("GET", "/papers/k", &[], "").await;
    assert_eq!(code(&got), (307, "TemporaryRedirect".to_owned()), "{got:?}");
    assert_eq!(cloud.passes(), ["away-1>copy-1", "away-1>home-1"]);
    let long = vec![b'a'; 1 << 20];
    let put = away.send("PUT", "/papers/k", &[], long).await;
    assert!(matches!(put.status, 307 | 503), "{put:?}");
    assert_eq!(put.header("x-amz-request-id").map(str::len), Some(16));
}

/// Rules that send all of a bucket to `private`, and other documents that could name that one.
fn documents() -> [String; 2] {
    let rule = "<Rule><ID>x</ID><Priority>1</Priority><Status>Enabled</Status>\
                <Filter><Prefix></Prefix></Filter><DeleteMarkerReplication><Status>Enabled</Status>\
                </DeleteMarkerReplication><Destination><Bucket>arn:aws:s3:::private</Bucket>\
                </Destination></Rule>";
    [
        format!("<ReplicationConfiguration><Role>r</Role>{rule}</ReplicationConfiguration>"),
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>private</TargetBucket>\
         <TargetPrefix></TargetPrefix></LoggingEnabled></BucketLoggingStatus>"
            .to_owned(),
    ]
}

/// Whatever can name a second bucket: a region with a replica of the first alone relays none of it.
#[tokio::test(flavor = "multi_thread")]
async fn p5_a_region_acts_on_no_second_bucket_of_its_customer() {
    use gateway::{operations::Resource, s3::operations::ROWS};
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let private = |deed: &mut types::BucketDeed| deed.placement.replicas.clear();
    let deed = cloud.bucket("private", private);
    cloud.plant("home-1", &deed, "k", "secret bytes").await;
    let home = cloud.at("home-1", ALICE);
    let on = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    for bucket in ["papers", "private"] {
        let target = format!("/{bucket}?versioning=");
        assert_eq!(home.send("PUT", &target, &[], on).await.status, 200);
    }
    let count = std::cell::Cell::new(0);
    let relayed = async |operation: &gateway::s3::operations::Row, document: &str| {
        let path = match operation.resource {
            Resource::Object => "/papers/copied",
            _ => "/papers",
        };
        let query = operation.query.iter().map(|q| match *q {
            "partNumber" => "partNumber=1".to_owned(),
            "uploadId" => format!("uploadId={}", "0".repeat(32)),
            flag => format!("{flag}{}", if flag.contains('=') { "" } else { "=" }),
        });
        let target = format!("{path}?{}", query.collect::<Vec<_>>().join("&"));
        let headers: Vec<_> = operation
            .headers
            .iter()
            .map(|h| (*h, "/private/k"))
            .collect();
        let head = Customer {
            method: operation.method,
            target: &target,
            headers: &headers,
            payload: &payload_sha256(document.as_bytes()),
            // No two are the same.
            at: count.replace(count.get() + 1),
            ..Customer::default()
        };
        relay(&cloud, "copy-1", &head.head(), document.to_owned()).await
    };
    let rules = async || {
        home.send("GET", "/papers?replication=", &[], "")
            .await
            .status
    };
    let named = |name: &str| ROWS.iter().find(|o| o.name == name).unwrap();
    let mut met = 0;
    for operation in ROWS {
        let writes = operation.action.is_some_and(Action::is_for_writers);
        // Those that end the bucket, or what is under way in it, name no other one.
        if !writes || operation.method == "DELETE" {
            continue;
        }
        for document in documents() {
            let got = relayed(operation, &document).await;
            let second = !operation.headers.is_empty() || operation.name == "PutBucketReplication";
            let refused = matches!(got.status, 400..500);
            assert!(!second || refused, "{}: {got:?}", operation.name);
            met += usize::from(second);
        }
        assert_eq!(rules().await, 404, "{}", operation.name);
    }
    assert_eq!(
        met, 6,
        "CopyObject, UploadPartCopy and PutBucketReplication"
    );
    let [rule, _] = &documents();
    let refused = relayed(named("PutBucketReplication"), rule).await;
    assert_eq!(code(&refused), (403, "AccessDenied".to_owned()));
    let text = refused.element("Message").unwrap();
    assert!(
        text.contains("copy-1") && text.contains("private"),
        "{text}"
    );
    // Signed at the home it works, and where that region could write to the second one itself.
    let put = home
        .send("PUT", "/papers?replication=", &[], rule.clone())
        .await;
    assert_eq!((put.status, rules().await), (200, 200), "{put:?}");
    cloud.bucket("private", |_| {});
    let put = relayed(named("PutBucketReplication"), rule).await;
    assert_eq!(put.status, 200, "{put:?}");
}
