//! Signatures of version 2: the examples that AWS published, what is covered, and what is refused
//! since it is not. tests/test_old_signatures.py has the same with clients that make them.

#![allow(clippy::unwrap_used)] // tests may panic

use access::{
    AuthType, CallerKind, NoOldKey, OldSigner, SignatureError as E, SigningKey, SigningKeys, Who,
    signature::{Facts, OldKey, RegionNames, Request, Verified, claim, verify},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use types::{AccountId, RegionId, Timestamp};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

struct Keys;

impl SigningKeys for Keys {
    fn signing_key(&self, _: &str, _: &str, _: &RegionId, _: &str) -> Option<SigningKey> {
        None
    }

    fn old_signer(&self, access_key: &str) -> Result<OldSigner, NoOldKey> {
        match access_key {
            KEY => Ok(signer(SECRET)),
            "off" => Err(NoOldKey::Off),
            _ => Err(NoOldKey::Unknown),
        }
    }
}

fn signer(secret: &str) -> OldSigner {
    OldSigner {
        account: AccountId::new("000000000001"),
        kind: CallerKind::Customer,
        guard: Default::default(),
        who: Who::Root,
        key: OldKey::of_secret(secret),
    }
}

fn sign(text: &str) -> String {
    STANDARD.encode(OldKey::of_secret(SECRET).sign(text.as_bytes()))
}

struct Sent<'a> {
    method: &'a str,
    target: &'a str,
    bucket: Option<&'a str>,
    headers: HeaderMap,
    now: Timestamp,
}

impl<'a> Sent<'a> {
    fn new(method: &'a str, target: &'a str, headers: &[(&'static str, &str)]) -> Self {
        let pair = |(name, value): &(&'static str, &str)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        };
        Self {
            method,
            target,
            bucket: Some("awsexamplebucket1"),
            headers: headers.iter().map(pair).collect(),
            now: Timestamp::parse_iso_basic("20070327T194500Z").unwrap(),
        }
    }

    fn request(&self) -> Request<'_> {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target, None),
        };
        Request {
            method: self.method,
            path,
            host_bucket: self.bucket,
            query,
            headers: &self.headers,
        }
    }

    fn auth(&self) -> Result<AuthType, E> {
        let method: Method = self.method.parse().unwrap();
        AuthType::of(&method, &self.headers, self.request().query)
    }

    fn judge(&self) -> Result<Verified, E> {
        let own = RegionId::new("eu-central-1");
        let facts = Facts {
            keys: &Keys,
            regions: RegionNames {
                own: &own,
                aliases: &[],
            },
            now: self.now,
        };
        verify(self.auth()?, &self.request(), &facts)
    }
}

/// A URL of the bucket `b` by its path, signed for this resource.
fn url(resource: &str, sent: &str, ends: u64) -> String {
    let mac = sign(&format!("GET\n\n\n{ends}\n{resource}"));
    let mac = access::sign::encode(&mac);
    let joined = if sent.contains('?') { '&' } else { '?' };
    format!("{sent}{joined}AWSAccessKeyId={KEY}&Expires={ends}&Signature={mac}")
}

fn by_url(resource: &str, sent: &str) -> Result<Verified, E> {
    by_url_until(resource, sent, 60)
}

fn by_url_until(resource: &str, sent: &str, seconds: i64) -> Result<Verified, E> {
    let now = Timestamp::parse_iso_basic("20261129T120000Z").unwrap();
    let target = url(resource, sent, now.s().saturating_add_signed(seconds));
    let mut sent = Sent::new("GET", &target, &[("host", "localhost")]);
    (sent.bucket, sent.now) = (None, now);
    sent.judge()
}

// "Signing and authenticating REST requests (AWS signature version 2)", the examples of GET, PUT,
// list, fetch and upload.
#[test]
fn the_published_examples() {
    let host = "awsexamplebucket1.us-west-1.s3.amazonaws.com";
    for (method, target, headers, signature) in [
        (
            "GET",
            "/photos/puppy.jpg",
            &[("date", "Tue, 27 Mar 2007 19:36:42 +0000")][..],
            "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
        ),
        (
            "PUT",
            "/photos/puppy.jpg",
            &[
                ("date", "Tue, 27 Mar 2007 21:15:45 +0000"),
                ("content-type", "image/jpeg"),
                ("content-length", "94328"),
            ],
            "iqRzw+ileNPu1fhspnRs8nOjjIA=",
        ),
        (
            "GET",
            "/?prefix=photos&max-keys=50&marker=puppy",
            &[("date", "Tue, 27 Mar 2007 19:42:41 +0000")],
            "m0WP8eCtspQl5Ahe6L1SozdX9YA=",
        ),
        (
            "GET",
            "/?acl",
            &[("date", "Tue, 27 Mar 2007 19:44:46 +0000")],
            "82ZHiFIjc+WbcwFKGUVEQspPn+0=",
        ),
    ] {
        let authorization = format!("AWS {KEY}:{signature}");
        let all = [
            headers,
            &[("host", host), ("authorization", &authorization)],
        ]
        .concat();
        let mut sent = Sent::new(method, target, &all);
        sent.now = Timestamp::parse_http_date(&headers[0].1.replace("+0000", "GMT")).unwrap();
        match sent.judge() {
            Ok(verified) => assert!(verified.once.is_some()),
            Err(E::Mismatch(m)) => panic!("{}", m.string_to_sign),
            Err(error) => panic!("{target}: {error}"),
        }
        sent.bucket = Some("another");
        assert!(matches!(sent.judge(), Err(E::Mismatch(_))));
    }
}

#[test]
fn what_is_not_covered_decides_nothing() {
    let now = "/b/k";
    assert!(by_url(now, "/b/k").is_ok());
    assert!(by_url("/b", "/b?prefix=a&max-keys=1&list-type=2").is_ok());
    for added in [
        "attributes",
        "encryption",
        "retention",
        "x-dhow-home=a",
        "Acl",
        "anything=1",
    ] {
        let asked = by_url(now, &format!("/b/k?{added}"));
        assert!(
            matches!(asked, Err(E::OldUnsigned(_))),
            "{added}: {asked:?}"
        );
    }
    for added in [
        "acl",
        "%61cl",
        "versionId=1",
        "x-amz-acl=private",
        "X-Amz-Meta-A=1",
    ] {
        let asked = by_url(now, &format!("/b/k?{added}"));
        assert!(matches!(asked, Err(E::Mismatch(_))), "{added}: {asked:?}");
    }
}

#[test]
fn no_text_is_that_of_two_requests() {
    let both = "/b/k?response-content-type=a&versionId=1";
    assert!(by_url(both, both).is_ok());
    assert!(by_url(both, "/b/k?versionId=1&response-content-type=a").is_ok());
    for twice in [
        "/b/k?response-content-type=a%26versionId=1",
        "/b/k?response-content-type=a%26versionId%3D1",
        "/b/k?response-content-type=a%0A/b/other",
        "/b/k?versionId=1&response-content-type=a&versionId=1",
        "/b/k?x-amz-user-agent=a%0Ax-amz-acl:private",
    ] {
        let asked = by_url(both, twice);
        assert!(
            matches!(asked, Err(E::OldUnsigned(_))),
            "{twice}: {asked:?}"
        );
    }
    // What bounds a body counts in a header, and nothing reads it in the query.
    let checked = |value: &str| {
        let sent = access::sign::encode(value);
        by_url(
            &format!("x-amz-checksum-crc32:{value}\n/b/k"),
            &format!("/b/k?x-amz-checksum-crc32={sent}"),
        )
    };
    assert!(matches!(checked("NhCmhg=="), Err(E::OldUnsigned(_))));
    assert!(checked("AAAAAA==").is_ok());
    let of_body = by_url(
        "x-amz-content-sha256:STREAMING-UNSIGNED-PAYLOAD-TRAILER\n/b/k",
        "/b/k?x-amz-content-sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    );
    assert!(matches!(of_body, Err(E::OldUnsigned(_))));
    let moved = sign(
        "PUT\n\n\nTue, 27 Mar 2007 19:36:42 GMT\nx-amz-checksum-crc32:AAAAAA==\n/awsexamplebucket1/k",
    );
    let signed = format!("AWS {KEY}:{moved}");
    let date = ("date", "Tue, 27 Mar 2007 19:36:42 GMT");
    let target = "/k?x-amz-checksum-crc32=AAAAAA==";
    let asked = Sent::new("PUT", target, &[date, ("authorization", &signed)]).judge();
    assert!(matches!(asked, Err(E::OldUnsigned(_))), "{asked:?}");
    // A bucket is the same with a slash and without.
    for (signed, sent) in [("/b", "/b"), ("/b/", "/b"), ("/b", "/b/"), ("/b/", "/b/")] {
        assert!(by_url(signed, sent).is_ok(), "{signed} {sent}");
    }
    assert!(matches!(by_url("/b/k", "/b/k/"), Err(E::Mismatch(_))));
    // No parameter begins there.
    let plain = "/b/k?response-content-disposition=a & b; f=c";
    assert!(
        by_url(
            plain,
            "/b/k?response-content-disposition=a%20%26%20b%3B%20f%3Dc"
        )
        .is_ok()
    );
}

#[test]
fn urls_end_and_none_begins_long_before() {
    assert!(by_url_until("/b/k", "/b/k", 0).is_ok());
    assert!(by_url_until("/b/k", "/b/k", 604_800).is_ok());
    let expired = by_url_until("/b/k", "/b/k", -1);
    assert!(matches!(expired, Err(E::OldExpired { .. })));
    let long = by_url_until("/b/k", "/b/k", 8 * 86_400);
    assert!(matches!(long, Err(E::OldQuery(_))));
}

#[test]
fn keys_and_dates_are_asked_first() {
    let date = ("date", "Tue, 27 Mar 2007 19:36:42 GMT");
    let ask = |authorization: &str, more: &[(&'static str, &str)]| {
        let all = [&[date, ("authorization", authorization)], more].concat();
        Sent::new("GET", "/k", &all).judge().unwrap_err()
    };
    assert_eq!(ask("AWS off:AA==", &[]), E::OldSignature(NoOldKey::Off));
    assert_eq!(ask("AWS no:AA==", &[]), E::UnknownKey("no".into()));
    for bad in ["AWS x", "AWS :x", "AWS x:", "AWS"] {
        assert!(matches!(ask(bad, &[]), E::OldMalformed(_)), "{bad}");
    }
    let good = format!(
        "AWS {KEY}:{}",
        sign("GET\n\n\nTue, 27 Mar 2007 19:36:42 GMT\n/k")
    );
    assert!(matches!(ask(&good, &[]), E::Mismatch(_)));
    let token = ask(&good, &[("x-amz-security-token", "t")]);
    assert!(matches!(token, E::NotImplemented(_)));
    let home = ask(&good, &[("x-dhow-home", "t")]);
    assert!(matches!(home, E::OldUnsigned(_)));
    let late = ask(&good, &[("x-amz-date", "Tue, 27 Mar 2007 19:00:00 GMT")]);
    assert!(matches!(late, E::Skewed { .. }));
}

#[test]
fn a_claim_is_proven_by_the_key_alone_and_covers_what_it_says() {
    let date = "Tue, 27 Mar 2007 19:36:42 GMT";
    let text = format!("PUT\nmd5\n\n{date}\nx-amz-acl:private\n/awsexamplebucket1/k");
    let authorization = format!("AWS {KEY}:{}", sign(&text));
    let all = [
        ("date", date),
        ("content-md5", "md5"),
        ("x-amz-acl", "private"),
        ("cache-control", "none"),
        ("authorization", &authorization),
    ];
    let sent = Sent::new("PUT", "/k", &all);
    let claim = claim(sent.auth().unwrap(), &sent.request(), sent.now).unwrap();
    let statement = &claim.statement;
    assert!(statement.is_proven_by_old(&signer(SECRET)));
    assert!(!statement.is_proven_by_old(&signer("another secret of some length")));
    assert!(!statement.is_proven_by(&[0; 32].into()) && !statement.is_asymmetric());
    assert!(claim.covers("content-md5") && claim.covers("x-amz-acl"));
    assert!(!claim.covers("cache-control") && !claim.covers("host"));
    assert_eq!(claim.auth(), AuthType::HeaderV2);
    assert_eq!(
        sent.judge().unwrap().once.as_deref(),
        Some(&*statement.once())
    );
}
