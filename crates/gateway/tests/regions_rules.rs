//! A cloud of several regions: what a region refuses of another, and what the owner of a bucket
//! says of where it may be stored.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use access::Action;
use bytes::Bytes;
use common::{
    client::{Answer, exchange},
    cloud::{ALICE, ALICE_ACCOUNT, Cloud, Customer, place_of, relaying},
};
use gateway::{
    operations::{Resource, Status},
    s3::operations::{ROWS, Row},
};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use types::{BucketName, Deeds, Jurisdiction, Place, RegionId};

/// The target of an operation on `papers`.
fn target(operation: &Row) -> String {
    let path = match operation.resource {
        Resource::Service => "/",
        Resource::Bucket if operation.name == "CreateBucket" => "/new-bucket",
        Resource::Bucket => "/papers",
        Resource::Object => "/papers/key",
    };
    let query = operation.query.iter().map(|q| match *q {
        "partNumber" => "partNumber=1".to_owned(),
        "uploadId" => format!("uploadId={}", "0".repeat(32)),
        "id" => "id=x".to_owned(),
        flag => flag.to_owned(),
    });
    let query = query.collect::<Vec<_>>().join("&");
    format!("{path}?{query}")
}

async fn ask(cloud: &Cloud, from: &Place, to: &str, operation: &Row) -> (u16, String) {
    let to = RegionId::new(to);
    let target = target(operation);
    let headers = operation.headers.iter().map(|h| (*h, "/papers/source"));
    let headers: Vec<_> = headers.chain([("content-length", "0")]).collect();
    let head = Customer {
        scope: &from.region,
        host: &format!("s3.{}.example.com", from.region),
        method: operation.method,
        target: &target,
        headers: &headers,
        ..Customer::default()
    };
    let request = relaying(&head.head(), "");
    let answer = cloud.network.pass(from, &to, request).await;
    let (head, body) = answer.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status.as_u16(),
        String::from_utf8_lossy(&body).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_every_operation_refuses_regions_that_may_not_pass() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| {
        deed.placement.jurisdictions = vec![Jurisdiction::parse("EU").unwrap()];
    });
    cloud.plant("home-1", &deed, "key", "secret bytes").await;
    let unlawful = Place {
        region: RegionId::new("copy-1"),
        jurisdiction: Jurisdiction::parse("US").unwrap(),
        operator: "own".into(),
    };
    for from in [
        place_of("seal-1"),
        place_of("away-1"),
        place_of("far-1"),
        unlawful,
    ] {
        for operation in ROWS {
            let (status, body) = ask(&cloud, &from, "home-1", operation).await;
            assert_eq!(status, 403, "{} from {from:?}: {body}", operation.name);
            assert!(!body.contains("secret"), "{body}");
            let head = operation.method == "HEAD";
            assert!(head || body.contains("AccessDenied"), "{body}");
        }
    }
    let head = cloud
        .at("home-1", ALICE)
        .send("HEAD", "/papers/key", &[], "")
        .await;
    assert_eq!(head.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_what_is_not_held_is_not_acted_on_for_others() {
    let cloud = Cloud::open().await;
    let deed = cloud.bucket("papers", |deed| deed.placement.proxy = true);
    for region in ["copy-1", "seal-1", "away-1"] {
        cloud.plant(region, &deed, "key", "secret bytes").await;
    }
    let home = place_of("home-1");
    for operation in ROWS {
        for to in ["seal-1", "away-1"] {
            let (status, body) = ask(&cloud, &home, to, operation).await;
            assert!(
                matches!(status, 403 | 503),
                "{} at {to}: {status} {body}",
                operation.name
            );
            assert!(!body.contains("secret"), "{body}");
        }
        let writes = operation.action.is_some_and(Action::is_for_writers);
        let service =
            matches!(operation.name, "CreateBucket") || operation.resource == Resource::Service;
        if writes || service {
            let (status, body) = ask(&cloud, &home, "copy-1", operation).await;
            let expected = if service { 403 } else { 503 };
            assert_eq!(status, expected, "{}: {body}", operation.name);
        }
    }
    // The last one passed is a replica's: what it did not hold, it did not send on.
    assert!(
        cloud
            .passes()
            .iter()
            .all(|pass| pass.starts_with("home-1>"))
    );
    for (_, region) in [(0, "home-1"), (1, "copy-1")] {
        let name = BucketName::new("new-bucket").unwrap();
        assert!(cloud.deeds(region).get(&name).is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_on_a_bucket_elsewhere_is_redirected() {
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |_| {});
    let away = cloud.at("away-1", ALICE);
    for operation in ROWS {
        if operation.resource == Resource::Service || operation.name == "CreateBucket" {
            continue;
        }
        let target = target(operation);
        let headers: Vec<_> = operation
            .headers
            .iter()
            .map(|h| (*h, "/papers/source"))
            .collect();
        let body = if matches!(operation.method, "PUT" | "POST") {
            "x"
        } else {
            ""
        };
        let answer = away.send(operation.method, &target, &headers, body).await;
        let expected = match (operation.name, operation.status) {
            ("GetBucketLocation", _) => 200,
            (_, Status::NotYet) => 501,
            _ => 301,
        };
        assert_eq!(answer.status, expected, "{}: {answer:?}", operation.name);
    }
    assert_eq!(cloud.passes(), [""; 0]);
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.element("Code").unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_says_where_a_new_bucket_lies() {
    let cloud = Cloud::open().await;
    let home = cloud.at("home-1", ALICE);
    let constraint = |region: &str| {
        format!(
            "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint>\
             </CreateBucketConfiguration>"
        )
    };
    let deed = |name: &str| cloud.deeds("home-1").get(&BucketName::new(name).unwrap());
    let made = home
        .send("PUT", "/at-away", &[], constraint("away-1"))
        .await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(&*deed("at-away").unwrap().home, "away-1");
    let made = home
        .send("PUT", "/at-alias", &[], constraint("us-east-1"))
        .await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(&*deed("at-alias").unwrap().home, "home-1");
    let none = home
        .send("PUT", "/nowhere", &[], constraint("nowhere-1"))
        .await;
    assert_eq!(code(&none), (400, "InvalidLocationConstraint".to_owned()));
    let away = cloud.at("away-1", ALICE);
    let refused = away
        .send("PUT", "/not-here", &[], constraint("home-1"))
        .await;
    assert_eq!(
        code(&refused),
        (400, "IllegalLocationConstraintException".to_owned())
    );
    let headers = [
        ("x-dhow-placement-home", "copy-1"),
        ("x-dhow-placement-jurisdictions", "EU"),
        ("x-dhow-placement-proxy", "true"),
        ("x-dhow-placement-replicas", "home-1,away-1"),
    ];
    let made = home.send("PUT", "/placed", &headers, "").await;
    assert_eq!(made.status, 200, "{made:?}");
    let placed = deed("placed").unwrap();
    let holders: Vec<&str> = placed.holders().map(|r| &**r).collect();
    assert_eq!(holders, ["copy-1", "away-1", "home-1"]);
    assert!(placed.placement.proxy && placed.placement.jurisdictions.len() == 1);
    for (name, value, expected) in [
        (
            "x-dhow-placement-replicas",
            "far-2",
            "InvalidLocationConstraint",
        ),
        ("x-dhow-placement-replicas", "home-1", "InvalidArgument"),
        (
            "x-dhow-placement-replicas",
            "copy-1;colour=blue",
            "InvalidArgument",
        ),
        ("x-dhow-placement-jurisdictions", "FR", "InvalidArgument"),
        ("x-dhow-placement-writes", "all", "InvalidArgument"),
        ("x-dhow-placement-colour", "blue", "InvalidArgument"),
    ] {
        let refused = home.send("PUT", "/refused", &[(name, value)], "").await;
        assert_eq!(code(&refused).1, expected, "{name}: {value}: {refused:?}");
    }
    assert!(deed("refused").is_none());
    let misplaced = [("x-dhow-placement-proxy", "true")];
    let refused = home.send("PUT", "/placed/k", &misplaced, "x").await;
    assert_eq!(code(&refused).1, "InvalidArgument");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_placement_must_be_signed() {
    let cloud = Cloud::open().await;
    let copy = cloud.at("home-1", ALICE);
    let address = cloud.server("home-1").address;
    let host = address.to_string();
    let url = copy.presign("PUT", "/new-bucket", &host);
    let request = Request::put(url)
        .header("host", &host)
        .header("x-dhow-placement-proxy", "true")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let refused = exchange(address, request).await;
    assert_eq!(
        refused.element("HeadersNotSigned").as_deref(),
        Some("x-dhow-placement-proxy")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_are_told_truthfully() {
    let cloud = Cloud::open().await;
    cloud.bucket("here", |_| {});
    cloud.bucket("there", |deed| {
        deed.home = RegionId::new("copy-1");
        deed.placement.replicas.clear();
        deed.placement.proxy = true;
    });
    let home = cloud.at("home-1", ALICE);
    for (bucket, region) in [("here", "home-1"), ("there", "copy-1")] {
        let head = home.send("HEAD", &format!("/{bucket}"), &[], "").await;
        assert_eq!(
            (head.status, head.header("x-amz-bucket-region")),
            (200, Some(region))
        );
        let asked = home
            .send("GET", &format!("/{bucket}?location="), &[], "")
            .await;
        assert!(
            asked
                .text()
                .ends_with(&format!(">{region}</LocationConstraint>")),
            "{asked:?}"
        );
        let listed = home
            .send("GET", &format!("/?bucket-region={region}"), &[], "")
            .await;
        assert_eq!(listed.element("Name").as_deref(), Some(bucket));
        assert_eq!(listed.element("BucketRegion").as_deref(), Some(region));
        assert_eq!(listed.text().matches("<Bucket>").count(), 1);
    }
    let listed = home.send("GET", "/?bucket-region=us-east-1", &[], "").await;
    assert_eq!(listed.element("Name").as_deref(), Some("here"));
    let away = cloud.at("away-1", ALICE);
    let listed = away.send("GET", "/?bucket-region=us-east-1", &[], "").await;
    assert_eq!(listed.element("Name"), None);
    let all = away.send("GET", "/", &[], "").await;
    assert_eq!(all.text().matches("<Bucket>").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn p8_copies_keep_to_the_placement_of_their_source() {
    let cloud = Cloud::open().await;
    let eu = || vec![Jurisdiction::parse("EU").unwrap()];
    let source = cloud.bucket("source", |deed| deed.placement.jurisdictions = eu());
    cloud.bucket("wide", |_| {});
    cloud.bucket("narrow", |deed| deed.placement.jurisdictions = eu());
    cloud.bucket("distant", |deed| deed.home = RegionId::new("far-1"));
    cloud.plant("home-1", &source, "k", "bytes").await;
    let home = cloud.at("home-1", ALICE);
    let copied = home
        .send(
            "PUT",
            "/narrow/k",
            &[("x-amz-copy-source", "/source/k")],
            "",
        )
        .await;
    assert_eq!(copied.status, 200, "{copied:?}");
    let begun = home.send("POST", "/wide/m?uploads=", &[], "").await;
    let upload = begun.element("UploadId").unwrap();
    let part = format!("/wide/m?partNumber=1&uploadId={upload}");
    for target in ["/wide/k", &*part] {
        let from = [("x-amz-copy-source", "/source/k")];
        let refused = home.send("PUT", target, &from, "").await;
        assert_eq!(code(&refused), (403, "AccessDenied".to_owned()));
        assert!(
            refused
                .element("Message")
                .unwrap()
                .contains("jurisdictions")
        );
        let from = [("x-amz-copy-source", "/distant/k")];
        let refused = home.send("PUT", target, &from, "").await;
        assert_eq!(code(&refused), (400, "InvalidRequest".to_owned()));
        assert_eq!(
            refused.element("Region").as_deref(),
            Some("far-1"),
            "{refused:?}"
        );
    }
    let head = home.send("HEAD", "/wide/k", &[], "").await;
    assert_eq!(head.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_another_owner_than_expected_is_not_acted_on() {
    const EXPECTED: &str = "x-amz-expected-bucket-owner";
    const SOURCE_EXPECTED: &str = "x-amz-source-expected-bucket-owner";
    let cloud = Cloud::open().await;
    let source = cloud.bucket("source", |_| {});
    cloud.bucket("target", |_| {});
    cloud.plant("home-1", &source, "k", "bytes").await;
    let home = cloud.at("home-1", ALICE);
    let begun = home.send("POST", "/target/m?uploads=", &[], "").await;
    let upload = begun.element("UploadId").unwrap();
    let part = format!("/target/m?partNumber=1&uploadId={upload}");
    for (owner, status) in [(ALICE_ACCOUNT, 200), ("000000000099", 403), ("", 403)] {
        let got = home
            .send("GET", "/source/k", &[(EXPECTED, owner)], "")
            .await;
        assert_eq!(got.status, status, "{got:?}");
        // At a replica, and through one.
        let copy = cloud.at("copy-1", ALICE);
        let put = copy
            .send("PUT", "/target/n", &[(EXPECTED, owner)], "x")
            .await;
        assert_eq!(put.status, status, "{put:?}");
        for target in ["/target/k", &*part] {
            for expected in [EXPECTED, SOURCE_EXPECTED] {
                let from = [("x-amz-copy-source", "/source/k"), (expected, owner)];
                let copied = home.send("PUT", target, &from, "").await;
                assert_eq!(copied.status, status, "{target} {expected}: {copied:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_sent_to_the_home_by_their_client() {
    use access::sign::Signer;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use types::{Clock, SystemClock, Timestamp};
    let cloud = Cloud::open().await;
    cloud.bucket("papers", |deed| deed.placement.proxy = true);
    let now = SystemClock.now();
    let date = now.iso_basic();
    let credential = format!("{ALICE}/{}/copy-1/s3/aws4_request", &date[..8]);
    let until = Timestamp::from_s(now.s() + 60).iso8601();
    let policy = STANDARD.encode(format!(
        r#"{{"expiration":"{until}","conditions":[{{"bucket":"papers"}},{{"key":"k"}},
        {{"x-amz-algorithm":"AWS4-HMAC-SHA256"}},{{"x-amz-credential":"{credential}"}},
        {{"x-amz-date":"{date}"}}]}}"#
    ));
    let secret: String = ALICE.chars().rev().collect();
    let signature = Signer::new(ALICE, &secret, "copy-1").sign_text(&policy, now);
    let mut body = String::new();
    for (name, value) in [
        ("key", "k"),
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &credential),
        ("x-amz-date", &date),
        ("policy", &policy),
        ("x-amz-signature", &signature),
        ("file", "bytes"),
    ] {
        body.push_str(&format!(
            "--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    body.push_str("--edge--\r\n");
    let address = cloud.server("copy-1").address;
    let request = Request::post("/papers")
        .header("host", address.to_string())
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let moved = exchange(address, request).await;
    assert_eq!(
        code(&moved),
        (301, "PermanentRedirect".to_owned()),
        "{moved:?}"
    );
    assert_eq!(moved.element("Region").as_deref(), Some("home-1"));
    assert_eq!(cloud.passes(), [""; 0]);
}
