//! Buckets, through the gateway.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use common::{TestServer, client::Client};
use gateway::GatewayConfig;

const ALICE: &str = "ALICEALICEALICEALICE";

#[tokio::test(flavor = "multi_thread")]
async fn an_account_lists_its_own_buckets_by_pages() {
    let server = TestServer::open(GatewayConfig::default()).await;
    for name in ["logs-a", "logs-b", "other"] {
        server.grant_bucket(name, "000000000001").await;
    }
    server.grant_bucket("logs-bob", "000000000002").await;
    let alice = Client::new(server.address, ALICE);
    let all = alice.send("GET", "/", &[], "").await;
    assert_eq!(all.status, 200, "{all:?}");
    assert_eq!(all.text().matches("<Bucket>").count(), 3, "{all:?}");
    assert!(!all.text().contains("logs-bob"), "{all:?}");
    let first = alice
        .send("GET", "/?max-buckets=1&prefix=logs", &[], "")
        .await;
    assert_eq!(first.element("Name").as_deref(), Some("logs-a"));
    let token = first.element("ContinuationToken").unwrap();
    let next = format!("/?continuation-token={token}&max-buckets=1&prefix=logs");
    let second = alice.send("GET", &next, &[], "").await;
    assert_eq!(second.element("Name").as_deref(), Some("logs-b"));
    assert_eq!(second.element("ContinuationToken"), None);
    for bad in [
        "/?max-buckets=0",
        "/?max-buckets=x",
        "/?continuation-token=%21",
    ] {
        let refused = alice.send("GET", bad, &[], "").await;
        assert_eq!(
            refused.element("Code").as_deref(),
            Some("InvalidArgument"),
            "{bad}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_location_tell_the_region() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    let alice = Client::new(server.address, ALICE);
    let head = alice.send("HEAD", "/alice-bucket", &[], "").await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("x-amz-bucket-region"), Some(common::REGION));
    let location = alice.send("GET", "/alice-bucket?location=", &[], "").await;
    assert!(
        location.text().ends_with(">me-east-1</LocationConstraint>"),
        "{location:?}"
    );
    let missing = alice.send("HEAD", "/no-such-bucket", &[], "").await;
    assert_eq!((missing.status, missing.body.len()), (404, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn s20_the_expected_owner_must_be_the_owner() {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("alice-bucket", "000000000001").await;
    let alice = Client::new(server.address, ALICE);
    for (owner, status) in [("000000000001", 200), ("000000000002", 403)] {
        let headers = [("x-amz-expected-bucket-owner", owner)];
        let head = alice.send("HEAD", "/alice-bucket", &headers, "").await;
        assert_eq!(head.status, status, "{owner}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_lives_from_create_to_delete() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let alice = Client::new(server.address, ALICE);
    let bob = Client::new(server.address, "BOBBOBBOBBOBBOBBOBBO");
    let created = alice.send("PUT", "/my-bucket", &[], "").await;
    assert_eq!(created.status, 200, "{created:?}");
    assert_eq!(created.header("location"), Some("/my-bucket"));
    let again = alice.send("PUT", "/my-bucket", &[], "").await;
    assert_eq!(
        again.element("Code").as_deref(),
        Some("BucketAlreadyOwnedByYou")
    );
    let taken = bob.send("PUT", "/my-bucket", &[], "").await;
    assert_eq!(
        taken.element("Code").as_deref(),
        Some("BucketAlreadyExists")
    );
    let elsewhere = "<CreateBucketConfiguration><LocationConstraint>eu-central-1\
        </LocationConstraint></CreateBucketConfiguration>";
    let refused = alice.send("PUT", "/other", &[], elsewhere).await;
    let code = "IllegalLocationConstraintException";
    assert_eq!(
        refused.element("Code").as_deref(),
        Some(code),
        "{refused:?}"
    );
    let public = [("x-amz-acl", "public-read")];
    let refused = alice.send("PUT", "/other", &public, "").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(bob.send("DELETE", "/my-bucket", &[], "").await.status, 403);
    assert_eq!(
        alice.send("DELETE", "/my-bucket", &[], "").await.status,
        204
    );
    assert_eq!(alice.send("HEAD", "/my-bucket", &[], "").await.status, 404);
    assert_eq!(bob.send("PUT", "/my-bucket", &[], "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn versioning_and_tags_are_kept() {
    let server = TestServer::open(GatewayConfig::default()).await;
    let alice = Client::new(server.address, ALICE);
    alice.send("PUT", "/my-bucket", &[], "").await;
    let state = alice.send("GET", "/my-bucket?versioning=", &[], "").await;
    assert_eq!((state.status, state.element("Status")), (200, None));
    for status in ["Enabled", "Suspended"] {
        let xml =
            format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
        let put = alice.send("PUT", "/my-bucket?versioning=", &[], xml).await;
        assert_eq!(put.status, 200, "{put:?}");
        let state = alice.send("GET", "/my-bucket?versioning=", &[], "").await;
        assert_eq!(state.element("Status").as_deref(), Some(status));
    }
    let none = alice.send("GET", "/my-bucket?tagging=", &[], "").await;
    assert_eq!(none.element("Code").as_deref(), Some("NoSuchTagSet"));
    let xml = "<Tagging><TagSet><Tag><Key>a</Key><Value>1/x</Value></Tag></TagSet></Tagging>";
    let digest = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    let wrong = alice.send("PUT", "/my-bucket?tagging=", &digest, xml).await;
    assert_eq!(
        wrong.element("Code").as_deref(),
        Some("BadDigest"),
        "{wrong:?}"
    );
    let put = alice.send("PUT", "/my-bucket?tagging=", &[], xml).await;
    assert_eq!(put.status, 204, "{put:?}");
    let tags = alice.send("GET", "/my-bucket?tagging=", &[], "").await;
    assert_eq!(tags.element("Value").as_deref(), Some("1/x"), "{tags:?}");
    let bad = xml.replace("1/x", "&lt;");
    let wrong = alice.send("PUT", "/my-bucket?tagging=", &[], bad).await;
    assert_eq!(
        wrong.element("Code").as_deref(),
        Some("InvalidTag"),
        "{wrong:?}"
    );
    assert_eq!(
        alice
            .send("DELETE", "/my-bucket?tagging=", &[], "")
            .await
            .status,
        204
    );
    let none = alice.send("GET", "/my-bucket?tagging=", &[], "").await;
    assert_eq!(none.status, 404, "{none:?}");
}
