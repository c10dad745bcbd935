//! Signatures: the examples that Amazon publishes, and requests that must be refused.

#![allow(clippy::unwrap_used)] // tests and examples may panic

use access::{
    AuthType, Identity, PayloadMode, SessionToken, SignatureError as E, SigningKey, SigningKeys,
    TokenFault,
    sign::{Signer, Unsigned, payload_sha256},
    signature::{
        EMPTY_SHA256, Facts, RegionNames, Request, Verified, claim, signing_key, verify,
        verify_admin, verify_form,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use types::{AccountId, RegionId, Timestamp};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const STAMP: &str = "20130524T000000Z";
const HOST: &str = "examplebucket.s3.amazonaws.com";

struct Keys;

impl SigningKeys for Keys {
    fn signing_key(&self, key: &str, day: &str, region: &RegionId, s: &str) -> Option<SigningKey> {
        (key == KEY).then(|| SigningKey {
            account: AccountId::new("000000000001"),
            kind: access::CallerKind::Customer,
            guard: Default::default(),
            who: access::Who::Root,
            key: signing_key(SECRET, day, region, s).into(),
        })
    }

    fn session_key(
        &self,
        token: &SessionToken,
        key: &str,
        day: &str,
        region: &RegionId,
        service: &str,
    ) -> Result<Option<SigningKey>, TokenFault> {
        match token.as_str() {
            "good" => Ok(self.signing_key(key, day, region, service)),
            "gone" => Ok(None),
            "expired" => Err(TokenFault::Expired),
            "outdated" => Err(TokenFault::Outdated),
            _ => Err(TokenFault::Invalid),
        }
    }
}

fn at(stamp: &str) -> Timestamp {
    Timestamp::parse_iso_basic(stamp).unwrap()
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    map
}

fn judge_at(
    method: &str,
    target: &str,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Verified, E> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let auth = AuthType::of(&method.parse().unwrap(), headers, query)?;
    let own = RegionId::new("eu-central-1");
    let facts = Facts {
        keys: &Keys,
        regions: RegionNames {
            own: &own,
            aliases: &["us-east-1".to_owned(), "auto".to_owned()],
        },
        now,
    };
    let request = Request {
        method,
        path,
        host_bucket: None,
        query,
        headers,
    };
    verify(auth, &request, &facts)
}

fn judge(method: &str, target: &str, headers: &HeaderMap) -> Result<Verified, E> {
    judge_at(method, target, headers, at(STAMP))
}

fn authorization(signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed},Signature={signature}"
    )
}

fn example(method: &str, target: &str, headers: &[(&str, &str)], signature: &str) {
    let mut names: Vec<&str> = headers.iter().map(|(n, _)| *n).collect();
    names.sort_unstable();
    let auth = authorization(&names.join(";"), signature);
    let mut all = map(headers);
    all.insert("authorization", HeaderValue::from_str(&auth).unwrap());
    let verified = judge(method, target, &all).unwrap();
    assert!(matches!(verified.identity, Identity::Key { .. }));
}

#[test]
fn published_examples_with_a_header_are_accepted() {
    let base = [
        ("host", HOST),
        ("x-amz-content-sha256", EMPTY_SHA256),
        ("x-amz-date", STAMP),
    ];
    let mut range = base.to_vec();
    range.push(("range", "bytes=0-9"));
    example(
        "GET",
        "/test.txt",
        &range,
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    example(
        "GET",
        "/?lifecycle",
        &base,
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    );
    example(
        "GET",
        "/?max-keys=2&prefix=J",
        &base,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    );
    example(
        "PUT",
        "/test%24file.text",
        &[
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("host", HOST),
            (
                "x-amz-content-sha256",
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
            ("x-amz-date", STAMP),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ],
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
}

const PRESIGNED: &str = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=\
    AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z\
    &X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=\
    aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

#[test]
fn the_published_presigned_url_is_accepted_until_it_expires() {
    let headers = map(&[("host", HOST)]);
    let verified = judge("GET", PRESIGNED, &headers).unwrap();
    assert_eq!(verified.payload, PayloadMode::Unsigned);
    let end = at(STAMP).s() + 86_400;
    let when = |s| judge_at("GET", PRESIGNED, &headers, Timestamp::from_s(s)).map(|_| ());
    assert_eq!(when(end), Ok(()));
    assert!(matches!(when(end + 1), Err(E::Expired { .. })));
    assert_eq!(when(at(STAMP).s() - 900), Ok(()));
    assert_eq!(when(at(STAMP).s() - 901), Err(E::NotYetValid));
    assert!(matches!(
        judge("PUT", PRESIGNED, &headers),
        Err(E::Mismatch(_))
    ));
}

#[test]
fn the_published_chunks_and_trailer_are_accepted() {
    let headers = map(&[
        ("content-encoding", "aws-chunked"),
        ("content-length", "66824"),
        ("host", "s3.amazonaws.com"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-date", STAMP),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        (
            "authorization",
            &authorization(
                "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
                 x-amz-decoded-content-length;x-amz-storage-class",
                "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
            ),
        ),
    ]);
    let verified = judge("PUT", "/examplebucket/chunkObject.txt", &headers).unwrap();
    let mut chunks = verified.chunks.unwrap();
    for (bytes, signature) in [
        (
            65_536,
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        ),
        (
            1_024,
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        ),
        (
            0,
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ),
    ] {
        let mut digest = [0; 32];
        hex::decode_to_slice(payload_sha256(&vec![b'a'; bytes]), &mut digest).unwrap();
        assert!(chunks.verify_chunk(&digest, signature.as_bytes()));
    }
    assert!(!chunks.verify_trailer(b"x-amz-checksum-crc32c:sOO8/Q==\n", &[b'0'; 64]));
}

fn now() -> Timestamp {
    at("20260101T120000Z")
}

fn signed(
    method: &str,
    path: &str,
    query: &str,
    extra: &[(&str, &str)],
    region: &str,
) -> HeaderMap {
    let request = Unsigned {
        method,
        host: "localhost:9000",
        path,
        query,
        headers: extra,
        payload: EMPTY_SHA256,
    };
    let head = Signer::new(KEY, SECRET, region).sign(&request, now());
    let mut headers = map(extra);
    for (name, value) in [
        ("host", "localhost:9000"),
        ("x-amz-content-sha256", EMPTY_SHA256),
        ("x-amz-date", &head.date),
        ("authorization", &head.authorization),
    ] {
        headers.insert(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    headers
}

fn ask(headers: &HeaderMap) -> Result<(), E> {
    judge_at("PUT", "/b/k?tagging", headers, now()).map(|_| ())
}

fn good() -> HeaderMap {
    signed(
        "PUT",
        "/b/k",
        "tagging",
        &[("x-amz-meta-a", "1")],
        "eu-central-1",
    )
}

#[test]
fn s05_unsigned_amz_header_is_refused() {
    assert_eq!(ask(&good()), Ok(()));
    for name in [
        "x-amz-acl",
        "x-amz-copy-source",
        "x-amz-tagging",
        "x-amz-meta-b",
        "x-amz-storage-class",
        "x-amz-metadata-directive",
        "x-amz-checksum-crc32",
        "x-amz-security-token",
        "x-amz-trailer",
        "x-amz-decoded-content-length",
        "x-amz-expected-bucket-owner",
    ] {
        let mut headers = good();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        assert_eq!(ask(&headers), Err(E::HeadersNotSigned(name.to_owned())));
        let mut url = map(&[("host", HOST)]);
        url.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        let answer = judge("GET", PRESIGNED, &url).map(|_| ());
        assert_eq!(answer, Err(E::HeadersNotSigned(name.to_owned())));
    }
}

#[test]
fn s05_a_second_value_of_a_signed_header_is_refused() {
    let mut headers = good();
    headers.append("x-amz-meta-a", HeaderValue::from_static("2"));
    assert!(matches!(ask(&headers), Err(E::Mismatch(_))));
}

#[test]
fn s02_two_kinds_of_authentication_and_unknown_ones_are_refused() {
    let of = |headers: &[(&str, &str)], query| AuthType::of(&Method::GET, &map(headers), query);
    let v4 = ("authorization", "AWS4-HMAC-SHA256 Credential=x");
    for (headers, query, expected) in [
        (&[][..], None, Ok(AuthType::Anonymous)),
        (&[v4], None, Ok(AuthType::HeaderV4)),
        (&[], Some("X-Amz-Signature=0"), Ok(AuthType::PresignedV4)),
        (&[], Some("x-amz-credential=0"), Ok(AuthType::PresignedV4)),
        (&[], Some("X%2DAmz-Algorithm=0"), Ok(AuthType::PresignedV4)),
        (&[v4], Some("X-Amz-Signature=0"), Err(E::BothPresent)),
        (&[v4], Some("Signature=0"), Err(E::BothPresent)),
        (&[v4, v4], None, Err(E::BothPresent)),
        (
            &[],
            Some("AWSAccessKeyId=0&Signature=1"),
            Ok(AuthType::PresignedV2),
        ),
        (
            &[],
            Some("X-Amz-Algorithm=0&Signature=1"),
            Err(E::BothPresent),
        ),
        (
            &[("authorization", "AWS a:b")],
            None,
            Ok(AuthType::HeaderV2),
        ),
        (&[("authorization", "Basic x")], None, Err(E::UnknownScheme)),
        (&[("authorization", "")], None, Err(E::UnknownScheme)),
        (
            &[("authorization", "AWS4-HMAC-SHA512 x")],
            None,
            Err(E::UnknownScheme),
        ),
    ] {
        assert_eq!(of(headers, query), expected, "{headers:?} {query:?}");
    }
}

#[test]
fn s08_wrong_region_key_time_and_token_are_told_apart() {
    for region in ["eu-central-1", "us-east-1", "auto"] {
        assert_eq!(
            ask(&signed("PUT", "/b/k", "tagging", &[], region)),
            Ok(()),
            "{region}"
        );
    }
    let elsewhere = ask(&signed("PUT", "/b/k", "tagging", &[], "me-east-1"));
    assert!(
        matches!(elsewhere, Err(E::WrongRegion { expected, .. }) if expected == "eu-central-1")
    );
    let edit = |from: &str, to: &str| {
        let mut headers = good();
        let text = headers["authorization"].to_str().unwrap().replace(from, to);
        headers.insert("authorization", HeaderValue::from_str(&text).unwrap());
        ask(&headers)
    };
    assert!(matches!(edit(KEY, "AKIAOTHER"), Err(E::UnknownKey(k)) if k == "AKIAOTHER"));
    assert!(matches!(edit("/s3/", "/sts/"), Err(E::HeaderMalformed(_))));
    assert!(matches!(
        edit("20260101", "20260102"),
        Err(E::HeaderMalformed(_))
    ));
    assert!(matches!(
        edit("aws4_request", "aws4"),
        Err(E::HeaderMalformed(_))
    ));
    assert!(matches!(
        edit(",Signature=", ",Nonsense="),
        Err(E::HeaderMalformed(_))
    ));
    assert!(matches!(edit("host;", ""), Err(E::HeadersNotSigned(_))));
    for (away, fine) in [(900, true), (901, false)] {
        for time in [now().s() + away, now().s() - away] {
            let answer = judge_at("PUT", "/b/k?tagging", &good(), Timestamp::from_s(time));
            assert_eq!(answer.is_ok(), fine, "{away}");
        }
    }
    let token = [("x-amz-security-token", "t")];
    let with_token = signed("PUT", "/b/k", "tagging", &token, "auto");
    assert_eq!(ask(&with_token), Err(E::Token));
    let empty = signed(
        "PUT",
        "/b/k",
        "tagging",
        &[("x-amz-security-token", "")],
        "auto",
    );
    assert!(ask(&empty).is_ok());
}

#[test]
fn s06_presigned_lifetimes_have_limits() {
    let request = Unsigned {
        method: "GET",
        host: "localhost",
        path: "/b/k",
        query: "versionId=1",
        headers: &[],
        payload: "UNSIGNED-PAYLOAD",
    };
    let headers = map(&[("host", "localhost")]);
    let mut signer = Signer::new(KEY, SECRET, "auto");
    for (expires, fine) in [
        (0, false),
        (1, true),
        (604_800, true),
        (604_801, false),
        (u64::MAX, false),
    ] {
        let target = format!("/b/k?{}", signer.presign(&request, now(), expires));
        let answer = judge_at("GET", &target, &headers, now()).map(|_| ());
        assert_eq!(answer.is_ok(), fine, "{expires}: {answer:?}");
    }
    for bad in ["-1", "", "1.5", "+1", "1e3", "%201"] {
        let target = PRESIGNED.replace("86400", bad);
        let answer = judge("GET", &target, &map(&[("host", HOST)]));
        assert!(matches!(answer, Err(E::QueryMalformed(_))), "{bad}");
    }
    for gone in ["X-Amz-Expires=86400", "X-Amz-SignedHeaders=host"] {
        let target = PRESIGNED.replace(gone, "z=1");
        let answer = judge("GET", &target, &map(&[("host", HOST)]));
        assert!(matches!(answer, Err(E::QueryMalformed(_))), "{gone}");
    }
    let twice = format!("{PRESIGNED}&X-Amz-Expires=99");
    let answer = judge("GET", &twice, &map(&[("host", HOST)]));
    assert!(matches!(answer, Err(E::QueryMalformed(_))));
}

#[test]
fn s01_unknown_payload_modes_are_refused() {
    for (text, good) in [
        ("UNSIGNED-PAYLOAD", true),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", true),
        (EMPTY_SHA256, true),
        ("STREAMING-UNSIGNED-PAYLOAD", false),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", false),
        ("unsigned-payload", false),
        ("", false),
        (&EMPTY_SHA256[1..], false),
        (&EMPTY_SHA256.replace('e', "g"), false),
    ] {
        assert_eq!(PayloadMode::parse(text).is_ok(), good, "{text}");
    }
}

/// Any one byte of what was signed, changed to any other, is refused.
#[test]
fn s04_ten_thousand_mutations_are_refused() {
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let fine = good();
    let names = [
        "host",
        "x-amz-date",
        "x-amz-meta-a",
        "x-amz-content-sha256",
        "authorization",
    ];
    for _ in 0..10_000 {
        let mut method = b"PUT".to_vec();
        let mut target = b"/b/k?tagging".to_vec();
        let mut headers = fine.clone();
        let part = next(names.len() + 2);
        let flip = |bytes: &mut Vec<u8>, at: usize, to: u8| bytes[at] = to;
        let to = 0x21 + next(0x5E) as u8;
        match part {
            0 => flip(&mut method, next(3), b'A' + next(26) as u8),
            1 => flip(&mut target, 1 + next(11), to),
            _ => {
                let name = names[part - 2];
                let mut value = headers[name].as_bytes().to_vec();
                let at = next(value.len());
                flip(&mut value, at, to);
                headers.insert(name, HeaderValue::from_bytes(&value).unwrap());
            }
        }
        let same = method == b"PUT" && target == b"/b/k?tagging" && headers == fine;
        let (Ok(method), Ok(target)) = (String::from_utf8(method), String::from_utf8(target))
        else {
            continue;
        };
        let answer = judge_at(&method, &target, &headers, now());
        let accepted = answer.is_ok_and(|v| v.identity != Identity::Anonymous);
        assert_eq!(accepted, same, "{method} {target} {headers:?}");
    }
}

#[test]
fn a_token_is_asked_for_its_key_and_signed() {
    let with = |token: &str| {
        let token = [("x-amz-security-token", token)];
        signed("PUT", "/b/k", "tagging", &token, "auto")
    };
    assert_eq!(ask(&with("good")), Ok(()));
    assert_eq!(ask(&with("expired")), Err(E::ExpiredToken));
    assert_eq!(ask(&with("outdated")), Err(E::OutdatedToken));
    assert_eq!(ask(&with("anything")), Err(E::Token));
    assert!(matches!(ask(&with("gone")), Err(E::UnknownKey(key)) if key == KEY));
    // Another token than the one that was signed, one beside it, and one that nobody signed.
    let mut other = with("expired");
    other.insert("x-amz-security-token", HeaderValue::from_static("good"));
    assert!(matches!(ask(&other), Err(E::Mismatch(_))));
    let mut two = with("good");
    two.append("x-amz-security-token", HeaderValue::from_static("good"));
    assert_eq!(ask(&two), Err(E::Token));
    let mut unsigned = good();
    unsigned.insert("x-amz-security-token", HeaderValue::from_static("good"));
    assert!(matches!(ask(&unsigned), Err(E::HeadersNotSigned(_))));
    // A region that forwards it sends it in a field of its own, and logs nothing of it.
    let headers = with("good");
    let request = Request {
        method: "PUT",
        path: "/b/k",
        host_bucket: None,
        query: Some("tagging"),
        headers: &headers,
    };
    let claimed = claim(AuthType::HeaderV4, &request, now()).unwrap();
    let token = claimed.statement.token.clone().unwrap();
    assert_eq!(token.as_str(), "good");
    assert!(!format!("{claimed:?}").contains("good"));
    assert!(!format!("{:?}", ask(&with("a-secret-token"))).contains("a-secret-token"));
}

/// One service's signature opens no other, and the admin API takes no session at all.
#[test]
fn services_take_their_own_signatures_and_the_admin_api_no_token() {
    use access::signature::Service;
    let services = [Service::S3, Service::Iam, Service::Sts, Service::Admin];
    let sign = |service: Service, token: &str| {
        let digest = payload_sha256(b"form");
        let scope = format!("20260101/eu-central-1/{}/aws4_request", service.name());
        let names = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
        let canonical = format!(
            "POST\n/\n\nhost:h\nx-amz-content-sha256:{digest}\nx-amz-date:{STAMP_2026}\n\
             x-amz-security-token:{token}\n\n{names}\n{digest}"
        );
        let hash = payload_sha256(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{STAMP_2026}\n{scope}\n{hash}");
        let key = signing_key(SECRET, "20260101", "eu-central-1", service.name());
        let signature = hex::encode(access::signature::hmac(&key, text.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, \
             Signature={signature}"
        );
        map(&[
            ("host", "h"),
            ("x-amz-content-sha256", &digest),
            ("x-amz-date", STAMP_2026),
            ("x-amz-security-token", token),
            ("authorization", &authorization),
        ])
    };
    let own = RegionId::new("eu-central-1");
    let facts = Facts {
        keys: &Keys,
        regions: RegionNames {
            own: &own,
            aliases: &[],
        },
        now: at(STAMP_2026),
    };
    for signed_for in services {
        for (token, live) in [("good", true), ("expired", false), ("", true)] {
            let headers = sign(signed_for, token);
            let request = Request {
                method: "POST",
                path: "/",
                host_bucket: None,
                query: None,
                headers: &headers,
            };
            for asked in [Service::Iam, Service::Sts] {
                let digest = payload_sha256(b"form");
                let met = verify_form(asked, &request, &digest, &facts);
                let may = asked == signed_for && live;
                assert_eq!(met.is_ok(), may, "{signed_for:?} at {asked:?} with {token}");
            }
            let may = signed_for == Service::Admin && token.is_empty();
            let met = verify_admin(&request, &facts);
            assert_eq!(
                met.is_ok(),
                may,
                "{signed_for:?} at the admin API with {token}"
            );
        }
    }
}

const STAMP_2026: &str = "20260101T120000Z";
