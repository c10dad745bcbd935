//! Bodies, good and bad, cut into pieces of every size.

use std::convert::Infallible;

use access::sign::{Signer, Unsigned, payload_sha256};
use access::signature::ChunkVerifier;
use http::{HeaderName, HeaderValue};
use http_body_util::StreamBody;

use super::*;

type Outcome = (Vec<u8>, Result<Option<ChecksumValue>, BodyError>);

const SIGNED: PayloadMode = PayloadMode::StreamingSigned { trailer: false };
const SIGNED_TRAILER: PayloadMode = PayloadMode::StreamingSigned { trailer: true };

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(n, v)| {
            let value = HeaderValue::from_str(v).unwrap();
            (HeaderName::from_static(n), value)
        })
        .collect()
}

async fn read(
    wire: &[u8],
    cut: usize,
    headers: &HeaderMap,
    mode: PayloadMode,
    chunks: Option<ChunkVerifier>,
) -> Outcome {
    let pieces: Vec<_> = wire
        .chunks(cut)
        .map(|c| Ok::<_, Infallible>(http_body::Frame::data(Bytes::copy_from_slice(c))))
        .collect();
    let body = StreamBody::new(futures_util::stream::iter(pieces));
    let idle = Duration::from_secs(30);
    let mut body = payload(body, headers, mode, chunks.map(Box::new), idle).unwrap();
    let mut out = Vec::new();
    loop {
        match body.next().await {
            Some(Ok(piece)) => out.extend_from_slice(&piece),
            Some(Err(error)) => return (out, Err(error)),
            None => return (out, Ok(body.trailing_checksum())),
        }
    }
}

fn verifier() -> ChunkVerifier {
    let mut signer = Signer::new("k", "s", "auto");
    let request = Unsigned {
        method: "PUT",
        host: "h",
        path: "/",
        query: "",
        headers: &[],
        payload: "",
    };
    let head = signer.sign(&request, types::Timestamp::from_s(1_000_000_000));
    signer.chunks(&head)
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

const TRAILER: &str = "x-amz-checksum-crc32:AAAAAA==";

fn signed_wire(data: &[u8], size: usize, trailer: bool) -> Vec<u8> {
    let mut chain = verifier();
    let mut wire = Vec::new();
    for chunk in data.chunks(size).chain([&[][..]]) {
        let signature = chain.sign_chunk(&digest(chunk)).to_owned();
        let line = format!("{:x};chunk-signature={signature}\r\n", chunk.len());
        wire.extend_from_slice(line.as_bytes());
        if !chunk.is_empty() {
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
    }
    if trailer {
        let signature = chain
            .sign_trailer(format!("{TRAILER}\n").as_bytes())
            .to_owned();
        wire.extend_from_slice(TRAILER.as_bytes());
        wire.extend_from_slice(format!("\r\nx-amz-trailer-signature:{signature}\r\n").as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

/// The smallest chunk that need not be the last.
const SMALL: usize = 8 << 10;

fn data() -> Vec<u8> {
    (0..20_000u32).map(|n| (n % 251) as u8).collect()
}

fn chunked_headers(len: usize, trailer: bool) -> HeaderMap {
    let mut all = headers(&[("x-amz-decoded-content-length", &len.to_string())]);
    if trailer {
        all.extend(headers(&[("x-amz-trailer", "x-amz-checksum-crc32")]));
    }
    all
}

#[tokio::test]
async fn s01_a_body_must_have_its_signed_sha256() {
    let data = data();
    for (bytes, good) in [(&data[..], true), (&data[1..], false)] {
        let (out, end) = read(
            bytes,
            7,
            &headers(&[]),
            PayloadMode::Sha256(digest(&data)),
            None,
        )
        .await;
        assert_eq!(out, bytes);
        match end {
            Ok(_) => assert!(good),
            Err(BodyError::Sha256Mismatch { client, .. }) => {
                assert!(!good);
                assert_eq!(client, payload_sha256(&data));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_body_of_another_length_is_incomplete() {
    let announced = headers(&[("content-length", "10")]);
    let (_, end) = read(b"123456789", 4, &announced, PayloadMode::Unsigned, None).await;
    assert_eq!(
        end,
        Err(BodyError::Incomplete {
            expected: 10,
            got: 9
        })
    );
    let (_, end) = read(b"12345678901", 4, &announced, PayloadMode::Unsigned, None).await;
    assert_eq!(
        end,
        Err(BodyError::Incomplete {
            expected: 10,
            got: 11
        })
    );
}

#[tokio::test]
async fn chunks_are_decoded_however_they_are_cut() {
    let data = data();
    for trailer in [false, true] {
        let mode = if trailer { SIGNED_TRAILER } else { SIGNED };
        for (size, cut) in [
            (SMALL, 1),
            (SMALL, 7),
            (9000, 4096),
            (10_000, 100_000),
            (20_000, 100_000),
        ] {
            let wire = signed_wire(&data, size, trailer);
            let all = chunked_headers(data.len(), trailer);
            let (out, end) = read(&wire, cut, &all, mode, Some(verifier())).await;
            assert_eq!(end.unwrap().is_some(), trailer);
            assert_eq!(out, data);
        }
    }
}

#[tokio::test]
async fn s03_nothing_of_a_corrupt_chunk_is_released() {
    let data = data();
    let wire = signed_wire(&data, SMALL, true);
    let all = chunked_headers(data.len(), true);
    // Some bytes of the wire, and all of the framing's end.
    for at in (0..wire.len()).filter(|at| at % 97 == 0 || *at + 200 > wire.len()) {
        let mut bad = wire.clone();
        bad[at] ^= 1;
        let (out, end) = read(&bad, 333, &all, SIGNED_TRAILER, Some(verifier())).await;
        // A chunk's head has 87 bytes, and its data a line end behind it.
        let last = 2 * (SMALL + 89) + 86 + data.len() % SMALL;
        let before = match at < last {
            true => SMALL * ((at + 2) / (SMALL + 89)),
            false => data.len(),
        };
        assert!(end.is_err(), "{at}");
        assert!(out.len() <= before, "{at} {}", out.len());
        assert_eq!(out, data[..out.len()]);
    }
}

#[tokio::test]
async fn s01_unsigned_chunks_need_their_declared_trailer() {
    let all = chunked_headers(5, true);
    let good = format!("5\r\nhello\r\n0\r\n{TRAILER}\r\n\r\n");
    let mode = PayloadMode::StreamingUnsigned;
    for cut in 1..good.len() {
        let (out, end) = read(good.as_bytes(), cut, &all, mode, None).await;
        assert_eq!(out, b"hello");
        assert!(end.unwrap().is_some());
    }
    for bad in [
        "5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n".to_owned(),
        "5\r\nhello\r\n0\r\nx-amz-checksum-sha1:AAAAAA==\r\n\r\n".to_owned(),
        format!("5\r\nhello\r\n0\r\n{TRAILER}\r\n{TRAILER}\r\n\r\n"),
        format!("4\r\nhell\r\n0\r\n{TRAILER}\r\n\r\n"),
        format!("6\r\nhello!\r\n0\r\n{TRAILER}\r\n\r\n"),
        format!("5\r\nhello!\r\n0\r\n{TRAILER}\r\n\r\n"),
        format!("5\nhello\n0\n{TRAILER}\n\n"),
        format!("+5\r\nhello\r\n0\r\n{TRAILER}\r\n\r\n"),
        format!(" 5\r\nhello\r\n0\r\n{TRAILER}\r\n\r\n"),
        format!("00000000000000005\r\nhello\r\n0\r\n{TRAILER}\r\n\r\n"),
        format!("ffffffffffffffff\r\nhello\r\n0\r\n{TRAILER}\r\n\r\n"),
        format!("\r\nhello\r\n0\r\n{TRAILER}\r\n\r\n"),
        format!("5\r\nhello\r\n0\r\n{TRAILER}\r\n\r\nx"),
        format!("5;{}\r\nhello\r\n0\r\n{TRAILER}\r\n\r\n", "x".repeat(2000)),
        "5\r\nhel".to_owned(),
        String::new(),
    ] {
        for cut in [1, 1000] {
            let (_, end) = read(bad.as_bytes(), cut, &all, mode, None).await;
            assert!(end.is_err(), "{bad:?}");
        }
    }
}

/// What minio-go writes behind the last chunk, and what may not stand there.
#[tokio::test]
async fn trailers_may_end_in_lf_as_minio_writes_them() {
    let data = data();
    let all = chunked_headers(data.len(), true);
    let signed = signed_wire(&data, SMALL, true);
    let good = String::from_utf8_lossy(&signed[signed.len() - 150..]).into_owned();
    let minio = |trailer: &str| {
        let end = format!("{TRAILER}\r\n");
        let at = good.find(&end).unwrap();
        let start = &signed[..signed.len() - 150 + at];
        let rest = &good[at + end.len()..];
        [start, trailer.as_bytes(), rest.as_bytes()].concat()
    };
    for (trailer, fine) in [
        (format!("{TRAILER}\n\r\n"), true),
        (format!("{TRAILER}\n"), true),
        (format!("{TRAILER}\r\n\r\n"), false),
        (format!("{TRAILER}\n\n"), true),
        (format!("{TRAILER}\n\r\n\r\n"), false),
        (format!("{TRAILER}\n\r\n{TRAILER}\n"), false),
        ("x-amz-checksum-crc32:AAAAAA=A\n\r\n".to_owned(), false),
    ] {
        let wire = minio(&trailer);
        for cut in [1, 333, wire.len()] {
            let (out, end) = read(&wire, cut, &all, SIGNED_TRAILER, Some(verifier())).await;
            assert_eq!(end.is_ok(), fine, "{trailer:?} {end:?}");
            assert!(out == data || !fine);
        }
    }
    let all = chunked_headers(5, true);
    let mode = PayloadMode::StreamingUnsigned;
    for (end, fine) in [
        (format!("{TRAILER}\n\r\n\r\n"), true),
        (format!("{TRAILER}\r\n\r\n"), true),
        (format!("{TRAILER}\n\r\n"), true),
        (format!("{TRAILER}\n\r\n\r\n\r\n"), false),
        (
            format!(
                "{TRAILER}\n\r\nx-amz-trailer-signature:{}\r\n\r\n",
                "0".repeat(64)
            ),
            false,
        ),
        (format!("{TRAILER}\r\n\r\n\r\n"), false),
        (format!("{TRAILER}\n\n"), true),
    ] {
        let wire = format!("5\r\nhello\r\n0\r\n{end}");
        for cut in [1, 1000] {
            let (_, found) = read(wire.as_bytes(), cut, &all, mode, None).await;
            assert_eq!(found.is_ok(), fine, "{end:?} {found:?}");
        }
    }
}

#[tokio::test]
async fn faults_of_chunks_have_codes_of_their_own() {
    let mode = PayloadMode::StreamingUnsigned;
    for (wire, code) in [
        (
            format!("4\r\nhell\r\n0\r\n{TRAILER}\r\n\r\n"),
            "IncompleteBody",
        ),
        (
            format!("6\r\nhello!\r\n0\r\n{TRAILER}\r\n\r\n"),
            "IncompleteBody",
        ),
        (
            format!("5\r\nhello!\r\n0\r\n{TRAILER}\r\n\r\n"),
            "IncompleteBody",
        ),
        ("5\r\nhel".to_owned(), "IncompleteBody"),
        (
            "5\r\nhello\r\n0\r\n\r\n".to_owned(),
            "MalformedTrailerError",
        ),
        (
            "5\r\nhello\r\n0\r\nx-amz-checksum-sha1:AAAAAA==\r\n\r\n".to_owned(),
            "MalformedTrailerError",
        ),
        (
            format!("5\r\nhello\r\n0\r\n{TRAILER}\r\n{TRAILER}\r\n\r\n"),
            "MalformedTrailerError",
        ),
        ("x\r\nhello\r\n".to_owned(), "IncompleteBody"),
        // Neither the last chunk nor what was announced came; the last empty line may be missing.
        ("5\r\nhello\r\n".to_owned(), "IncompleteBody"),
        ("5\r\nhello\r\n0\r\n".to_owned(), "MalformedTrailerError"),
        (format!("5\r\nhello\r\n0\r\n{TRAILER}"), "IncompleteBody"),
        (format!("5 ; a=b\r\nhello\r\n0\r\n{TRAILER}\r\n"), ""),
    ] {
        let all = chunked_headers(5, true);
        let (_, end) = read(wire.as_bytes(), 1000, &all, mode, None).await;
        let found = end.err().map_or("", |error| Fault::from(error).kind.name());
        assert_eq!(found, code, "{wire:?}");
    }
    let data = data();
    for (size, fine) in [(SMALL, true), (SMALL - 1, false), (1, false)] {
        let wire = signed_wire(&data, size, false);
        let all = chunked_headers(data.len(), false);
        let (_, end) = read(&wire, 4096, &all, SIGNED, Some(verifier())).await;
        let code = end.err().map(|error| Fault::from(error).kind.name());
        assert_eq!(code, (!fine).then_some("InvalidChunkSizeError"), "{size}");
    }
    // The trailer that a body without one announces never comes.
    let announced = chunked_headers(5, true);
    let body = http_body_util::Full::new(Bytes::from("hello"));
    let idle = Duration::from_secs(30);
    let refused = payload(body, &announced, PayloadMode::Unsigned, None, idle);
    assert_eq!(refused.err().unwrap().kind.name(), "MalformedTrailerError");
}

#[tokio::test]
async fn s29_a_client_that_stops_sending_is_not_waited_for_without_end() {
    let body = StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<Bytes>, Infallible>,
    >());
    let idle = Duration::from_millis(10);
    let mut body = payload(body, &headers(&[]), PayloadMode::Unsigned, None, idle).unwrap();
    assert_eq!(body.next().await, Some(Err(BodyError::Timeout)));
}

#[test]
fn frames_are_never_stored_as_bytes_of_an_object() {
    let body = || http_body_util::Full::new(Bytes::from("5\r\nhello\r\n0\r\n\r\n"));
    let idle = Duration::from_secs(30);
    for (coding, mode) in [
        ("aws-chunked", PayloadMode::Unsigned),
        ("gzip, AWS-Chunked", PayloadMode::Unsigned),
        ("aws-chunked", PayloadMode::Sha256([0; 32])),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 15.into());
        headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        let refused = payload(body(), &headers, mode, None, idle).err().unwrap();
        assert_eq!(refused.kind.name(), "InvalidArgument", "{coding}");
        // Without a body there is nothing that could be framed.
        headers.insert(header::CONTENT_LENGTH, 0.into());
        assert!(payload(body(), &headers, mode, None, idle).is_ok());
        headers.insert(header::CONTENT_LENGTH, 15.into());
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(payload(body(), &headers, mode, None, idle).is_ok());
    }
}

#[test]
fn aws_chunked_is_not_stored() {
    assert_eq!(stored_content_encoding("aws-chunked"), None);
    assert_eq!(
        stored_content_encoding("aws-chunked,gzip"),
        Some("gzip".to_owned())
    );
    assert_eq!(
        stored_content_encoding("gzip, AWS-chunked"),
        Some("gzip".to_owned())
    );
}
