//! Checksums wherever a request or a document can carry one: each is verified or refused.

#![allow(clippy::unwrap_used)] // a helper of tests may panic as they do

mod common;

use common::{
    TestServer,
    client::{Answer, Client},
};
use gateway::{GatewayConfig, operations::Status, s3::operations::ROWS};
use types::{ChecksumAlgorithm, ChecksumValue};

const ALICE: &str = "ALICEALICEALICEALICE";

async fn open() -> (TestServer, Client) {
    let server = TestServer::open(GatewayConfig::default()).await;
    server.grant_bucket("bkt", "000000000001").await;
    let alice = Client::new(server.address, ALICE);
    (server, alice)
}

async fn begin(alice: &Client, headers: &[(&str, &str)]) -> String {
    let begun = alice.send("POST", "/bkt/parts?uploads", headers, "").await;
    begun.element("UploadId").unwrap()
}

fn code(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, answer.element("Code"))
}

fn refused(code: &str) -> (u16, Option<String>) {
    let status = if code == "NotImplemented" { 501 } else { 400 };
    (status, Some(code.to_owned()))
}

/// What the trailer of a signed body ends in, as minio-go sends it.
fn end_in_lf(body: &mut Vec<u8>, trailer: &str) {
    let text = String::from_utf8(std::mem::take(body)).unwrap();
    let changed = text.replace(&format!("{trailer}\r\n"), &format!("{trailer}\n\r\n"));
    assert_ne!(changed, text);
    *body = changed.into_bytes();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trailer_of_any_algorithm_is_verified_in_every_form() {
    let (_door, alice) = open().await;
    let id = begin(&alice, &[]).await;
    let part = format!("/bkt/parts?partNumber=1&uploadId={id}");
    let block = vec![b'a'; 8192];
    let bodies: [&[&[u8]]; 3] = [&[b"one"], &[&block, &block, b"end"], &[]];
    for algorithm in ChecksumAlgorithm::ALL {
        let header = algorithm.header();
        for chunks in bodies {
            let whole = chunks.concat();
            let right = digest::checksum(algorithm, &whole).to_string();
            let wrong = digest::checksum(algorithm, b"other bytes").to_string();
            for (value, fine) in [(&right, true), (&wrong, false)] {
                let line = format!("{header}:{value}");
                for target in ["/bkt/k", &part] {
                    let trailer = (header, &**value);
                    let mut answers = Vec::new();
                    for end in ["\r\n", "\n", "\n\r\n", "\n\n"] {
                        answers.push(
                            alice
                                .put_unsigned_chunks(target, chunks, trailer, end)
                                .await,
                        );
                    }
                    let signed = alice.put_chunked(target, chunks, Some(trailer), |_| {});
                    answers.push(signed.await);
                    let lf = |body: &mut Vec<u8>| end_in_lf(body, &line);
                    answers.push(alice.put_chunked(target, chunks, Some(trailer), lf).await);
                    for (n, answer) in answers.iter().enumerate() {
                        let what = format!("{target} {line} form {n}: {}", answer.text());
                        match fine {
                            true => {
                                assert_eq!(answer.status, 200, "{what}");
                                assert_eq!(answer.header(header), Some(&*right), "{what}");
                            }
                            false => assert_eq!(code(answer), refused("BadDigest"), "{what}"),
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_that_names_an_algorithm_must_send_its_checksum() {
    let (_door, alice) = open().await;
    let id = begin(&alice, &[]).await;
    let named = "x-amz-sdk-checksum-algorithm";
    for operation in ROWS {
        let unread = ["CompleteMultipartUpload", "PostObject"].contains(&operation.name);
        if !operation.heeds.concat().contains(&named) || operation.status != Status::Works || unread
        {
            continue;
        }
        let query: Vec<String> = operation
            .query
            .iter()
            .map(|name| match *name {
                "partNumber" => "partNumber=1".to_owned(),
                "uploadId" => format!("uploadId={id}"),
                other => other.to_owned(),
            })
            .collect();
        let path = match (operation.name, operation.resource) {
            ("CreateBucket", _) => "/new-bucket",
            ("UploadPart", _) => "/bkt/parts",
            (_, gateway::operations::Resource::Object) => "/bkt/k",
            _ => "/bkt",
        };
        let target = format!("{path}?{}", query.join("&"));
        let body = "<Any/>";
        let md5 = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            digest::md5(body.as_bytes()),
        );
        for value in ["CRC32", "SHA3"] {
            let headers = [(named, value), ("content-md5", &*md5)];
            let answer = alice.send(operation.method, &target, &headers, body).await;
            let what = format!("{} {value}: {}", operation.name, answer.text());
            assert_eq!(code(&answer), refused("InvalidRequest"), "{what}");
            assert!(answer.text().contains(named), "{what}");
        }
        // Another algorithm than was named: what these two do is on their pages.
        let crc32 = digest::checksum(ChecksumAlgorithm::Crc32, body.as_bytes()).to_string();
        let headers = [(named, "SHA1"), ("x-amz-checksum-crc32", &*crc32)];
        let answer = alice.send(operation.method, &target, &headers, body).await;
        let strict = ["PutObject", "DeleteObjects"].contains(&operation.name);
        let bad = answer.element("Code").as_deref() == Some("BadDigest");
        assert_eq!(bad, strict, "{}: {}", operation.name, answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_no_checksum_is_named() {
    let (_door, alice) = open().await;
    for algorithm in ChecksumAlgorithm::ALL {
        let header = algorithm.header();
        for value in ["!!", "AAA=", ""] {
            let message = format!("Value for {header} trailing header is invalid.");
            let (body, trailer) = ([&b"one"[..]], (header, value));
            for answer in [
                alice
                    .put_unsigned_chunks("/bkt/k", &body, trailer, "\n")
                    .await,
                alice
                    .put_chunked("/bkt/k", &body, Some(trailer), |_| {})
                    .await,
            ] {
                assert_eq!(
                    code(&answer),
                    refused("InvalidRequest"),
                    "{header}: {value}"
                );
                assert_eq!(answer.element("Message").as_deref(), Some(&*message));
            }
        }
    }
    for (name, value) in [
        ("x-amz-checksum-sha3", "AAAA"),
        ("x-amz-checksum-algorithm", "SHA3"),
        ("x-amz-checksum-type", "NONE"),
    ] {
        let answer = alice.send("PUT", "/bkt/k", &[(name, value)], "one").await;
        assert_eq!(code(&answer), refused("InvalidRequest"), "{name}");
        assert!(answer.text().contains(name), "{}", answer.text());
    }
    assert_eq!(alice.send("GET", "/bkt/k", &[], "").await.status, 404);
}

fn one_part(etag: &str, more: &str) -> String {
    format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag>{more}</Part>\
         </CompleteMultipartUpload>"
    )
}

fn element(value: ChecksumValue) -> String {
    let name = value.algorithm().element();
    format!("<{name}>{value}</{name}>")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_completes_an_upload_is_verified_or_refused() {
    let (_door, alice) = open().await;
    let kinds = ["COMPOSITE", "FULL_OBJECT"];
    for algorithm in ChecksumAlgorithm::ALL {
        for kind in kinds {
            let chosen = [
                ("x-amz-checksum-algorithm", algorithm.name()),
                ("x-amz-checksum-type", kind),
            ];
            let begun = alice.send("POST", "/bkt/parts?uploads", &chosen, "").await;
            // CRC64NVME is over the whole only, and what is no CRC over the parts only.
            let crc = algorithm.name().starts_with("CRC");
            let fits = match kind {
                "COMPOSITE" => algorithm.name() != "CRC64NVME",
                _ => crc,
            };
            assert_eq!(begun.status == 200, fits, "{algorithm:?} {kind}");
            let Some(id) = begun.element("UploadId") else {
                continue;
            };
            let right = digest::checksum(algorithm, b"part");
            let wrong = digest::checksum(algorithm, b"other");
            let sent = (algorithm.header(), &*right.to_string());
            let target = format!("/bkt/parts?partNumber=1&uploadId={id}");
            let part = alice.send("PUT", &target, &[sent], "part").await;
            let etag = part.header("etag").unwrap().to_owned();
            let others = ChecksumAlgorithm::ALL
                .into_iter()
                .filter(|a| *a != algorithm);
            let target = format!("/bkt/parts?uploadId={id}");
            for other in others {
                let other = digest::checksum(other, b"part");
                for more in [element(other), element(right) + &element(other)] {
                    let document = one_part(&etag, &more);
                    let answer = alice.send("POST", &target, &[], document).await;
                    let what = format!("{algorithm:?} {kind} {more}: {}", answer.text());
                    assert_eq!(code(&answer), refused("InvalidRequest"), "{what}");
                }
            }
            let other_kind = kinds.into_iter().find(|k| *k != kind).unwrap();
            let listed = element(right);
            let wrong_text = wrong.to_string();
            for (more, headers, name) in [
                (element(wrong), vec![], "InvalidPart"),
                (
                    listed.clone() + "<ChecksumSHA3>AAAA</ChecksumSHA3>",
                    vec![],
                    "NotImplemented",
                ),
                (
                    listed.clone(),
                    vec![("x-amz-checksum-type", other_kind)],
                    "BadDigest",
                ),
                (
                    listed.clone(),
                    vec![(algorithm.header(), &*wrong_text)],
                    "BadDigest",
                ),
                (
                    listed.clone(),
                    vec![("x-amz-mp-object-size", "5")],
                    "InvalidRequest",
                ),
            ] {
                let document = one_part(&etag, &more);
                let answer = alice.send("POST", &target, &headers, document).await;
                let what = format!("{algorithm:?} {kind} {more}: {}", answer.text());
                assert_eq!(code(&answer), refused(name), "{what}");
            }
            let headers = [("x-amz-checksum-type", kind), ("x-amz-mp-object-size", "4")];
            let done = alice.send("POST", &target, &headers, one_part(&etag, &listed));
            let done = done.await;
            assert_eq!(done.element("ChecksumType").as_deref(), Some(kind));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_answers_with_the_checksum_that_it_brought() {
    let (_door, alice) = open().await;
    let id = begin(&alice, &[]).await;
    let target = format!("/bkt/parts?partNumber=1&uploadId={id}");
    for algorithm in ChecksumAlgorithm::ALL {
        let value = digest::checksum(algorithm, b"part").to_string();
        let sent = [(algorithm.header(), &*value)];
        let answer = alice.send("PUT", &target, &sent, "part").await;
        assert_eq!(answer.header(algorithm.header()), Some(&*value));
        let names = answer.headers.keys().map(http::HeaderName::as_str);
        let count = names.filter(|n| n.starts_with("x-amz-checksum-")).count();
        assert_eq!(count, 1, "{:?}", answer.headers);
    }
}
