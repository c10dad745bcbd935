//! Requests as botocore signs them, and what becomes of them when anything is changed.

#![allow(clippy::unwrap_used)] // tests and examples may panic

use access::{
    AuthType, Identity, SignatureError as E, SigningKey, SigningKeys,
    sign::{Signer, Unsigned},
    signature::{EMPTY_SHA256, Facts, RegionNames, Request, signing_key, verify},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use types::{AccountId, RegionId, Timestamp};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "localhost:9000";

/// Written by `vectors/make.py`.
const BOTOCORE: &str = include_str!("vectors/botocore.txt");

/// Thirty headers that mean something to S3, or look as if they did.
const THIRTY: [&str; 30] = [
    "x-amz-acl",
    "x-amz-bypass-governance-retention",
    "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-range",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-if-match-size",
    "x-amz-meta-",
    "x-amz-meta-a",
    "x-amz-meta-a-",
    "x-amz-meta-aa",
    "x-amz-metadata-directive",
    "x-amz-mfa",
    "x-amz-object-lock-mode",
    "x-amz-request-payer",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-trailer",
    "x-amz-website-redirect-location",
];

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
}

fn now() -> Timestamp {
    Timestamp::parse_iso_basic("20260101T120000Z").unwrap()
}

fn name(name: &str) -> HeaderName {
    name.parse().unwrap()
}

fn value(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap()
}

#[derive(Clone)]
struct Head {
    method: String,
    target: String,
    headers: HeaderMap,
}

impl Head {
    fn new(method: &str, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut map = HeaderMap::new();
        for (n, v) in headers {
            map.append(name(n), value(v));
        }
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: map,
        }
    }

    /// Who sent it.
    fn judge(&self) -> Result<Identity, E> {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let auth = AuthType::of(&self.method.parse().unwrap(), &self.headers, query)?;
        let own = RegionId::new("us-east-1");
        let facts = Facts {
            keys: &Keys,
            regions: RegionNames {
                own: &own,
                aliases: &[],
            },
            now: now(),
        };
        let request = Request {
            method: &self.method,
            path,
            host_bucket: None,
            query,
            headers: &self.headers,
        };
        verify(auth, &request, &facts).map(|verified| verified.identity)
    }

    /// Whether it passes as sent by the holder of the key.
    fn passes(&self) -> bool {
        self.judge().is_ok_and(|who| who != Identity::Anonymous)
    }
}

fn heads(text: &str) -> Vec<(&str, Head)> {
    text.split("\n\n")
        .filter(|block| !block.trim().is_empty())
        .map(|block| {
            let mut lines = block.lines();
            let title = lines.next().unwrap().strip_prefix("# ").unwrap();
            let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
            let headers: Vec<_> = lines.map(|l| l.split_once(": ").unwrap()).collect();
            (title, Head::new(method, target, &headers))
        })
        .collect()
}

/// A header's signature over these headers, all of value `v`, and those that must be there.
fn signed(extra: &[&str]) -> Head {
    let extra: Vec<_> = extra.iter().map(|n| (*n, "v")).collect();
    let request = Unsigned {
        method: "PUT",
        host: HOST,
        path: "/b/k",
        query: "",
        headers: &extra,
        payload: EMPTY_SHA256,
    };
    let signed = Signer::new(KEY, SECRET, "us-east-1").sign(&request, now());
    let mut head = Head::new("PUT", "/b/k", &extra);
    for (n, v) in [
        ("host", HOST),
        ("x-amz-content-sha256", EMPTY_SHA256),
        ("x-amz-date", &signed.date),
        ("authorization", &signed.authorization),
    ] {
        head.headers.insert(name(n), value(v));
    }
    head
}

/// The same in the query.
fn presigned(query: &str, extra: &[&str]) -> Head {
    let mut extra: Vec<_> = extra.iter().map(|n| (*n, "v")).collect();
    let request = Unsigned {
        method: "PUT",
        host: HOST,
        path: "/b/a//b/../%C3%BC%20%2B%26",
        query,
        headers: &extra,
        payload: "UNSIGNED-PAYLOAD",
    };
    let query = Signer::new(KEY, SECRET, "us-east-1").presign(&request, now(), 3600);
    let target = [request.path, "?", &query].concat();
    extra.push(("host", HOST));
    Head::new("PUT", &target, &extra)
}

/// The list of signed headers without one of them.
fn unlisted(text: &str, gone: &str) -> String {
    let (before, rest) = text.split_once("SignedHeaders=").unwrap();
    let end = rest.find([',', '&']).unwrap();
    let (list, after) = rest.split_at(end);
    let separator = if list.contains("%3B") { "%3B" } else { ";" };
    let kept: Vec<_> = list.split(separator).filter(|n| *n != gone).collect();
    [before, "SignedHeaders=", &kept.join(separator), after].concat()
}

/// Percent-decoded; `+` is a space in a query.
fn decoded(text: &str, query: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let digits = tail.get(..2).and_then(|t| std::str::from_utf8(t).ok());
        let digits = digits.filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
        match (byte, digits) {
            (b'%', Some(digits)) => {
                out.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &tail[2..];
            }
            (b'+', _) if query => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    out
}

/// A parameter's name and value.
type Pair = (Vec<u8>, Vec<u8>);

/// What a target means: its path, and its parameters in any order.
fn meaning(target: &str) -> (Vec<u8>, Vec<Pair>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decoded(n, true), decoded(v, true)))
        .collect();
    pairs.sort();
    (decoded(path, true), pairs)
}

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    /// Changes, adds or removes one visible byte of `text`, from `first` on.
    fn mutate(&mut self, text: &str, first: usize) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let at = first + self.below(bytes.len() - first);
        let to = match self.below(4) {
            0 => b"%&=+/;?,"[self.below(8)],
            _ => 0x21 + self.below(0x5E) as u8,
        };
        match self.below(4) {
            0 => bytes.insert(at, to),
            1 => drop(bytes.remove(at)),
            _ => bytes[at] = to,
        }
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn s04_requests_of_botocore_pass_and_any_other_target_does_not() {
    let all = heads(BOTOCORE);
    assert_eq!(all.len(), 24);
    for (title, head) in &all {
        assert!(head.passes(), "{title}: {:?}", head.judge());
        let (path, rest) = match head.target.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (head.target.as_str(), String::new()),
        };
        let changed = |path: String| Head {
            target: path + &rest,
            ..head.clone()
        };
        // What a proxy or a careless server might make of a path, and where it may lead.
        for other in [
            path.replace("//", "/"),
            path.replace("/../", "/"),
            path.replace("b/../", ""),
            path.replace("/./", "/"),
            path.replace("%20", "+"),
            path.replace("%2B", "%20"),
            path.replace("%25", "%"),
            path.replace("%25", "%2525"),
            path.replace("%09", "%0A"),
            path.to_ascii_uppercase(),
            format!("{path}/"),
            path.trim_end_matches('/').to_owned(),
        ] {
            // A plus in a path is a space, as on S3.
            if decoded(&other, true) != decoded(path, true) {
                let other = changed(other);
                assert!(!other.passes(), "{title}: {}", other.target);
            }
        }
        let delete = Head {
            method: "DELETE".to_owned(),
            ..head.clone()
        };
        assert!(!delete.passes(), "{title}");
    }
}

#[test]
fn s05_each_of_thirty_amz_headers_must_be_signed() {
    for fine in [signed(&[]), presigned("", &[])] {
        assert!(fine.passes());
        for added in THIRTY {
            for v in ["v", ""] {
                let mut head = fine.clone();
                head.headers.insert(name(added), value(v));
                assert_eq!(head.judge(), Err(E::HeadersNotSigned(added.to_owned())));
            }
        }
        // All at once: each is named, so that a client can correct its signature in one go.
        let mut head = fine.clone();
        for added in THIRTY {
            head.headers.insert(name(added), value("v"));
        }
        let Err(E::HeadersNotSigned(named)) = head.judge() else {
            panic!("thirty headers that nobody signed passed");
        };
        let mut named: Vec<_> = named.split(", ").collect();
        named.sort_unstable();
        assert_eq!(named, THIRTY);
    }
}

#[test]
fn s05_thirty_signed_amz_headers_stay_as_they_are() {
    for fine in [signed(&THIRTY), presigned("", &THIRTY)] {
        assert!(fine.passes(), "{:?}", fine.judge());
        for changed in THIRTY {
            let with = |edit: &dyn Fn(&mut HeaderMap)| {
                let mut head = fine.clone();
                edit(&mut head.headers);
                matches!(head.judge(), Err(E::Mismatch(_)))
            };
            let n = || name(changed);
            assert!(with(&|h| _ = h.insert(n(), value("w"))), "{changed}");
            assert!(with(&|h| _ = h.append(n(), value("v"))), "{changed}");
            assert!(with(&|h| _ = h.remove(n())), "{changed}");
            // Dropped from the list of what is signed, it is unsigned before it is wrong.
            let mut head = fine.clone();
            match fine.headers.get("authorization") {
                Some(auth) => {
                    let auth = unlisted(auth.to_str().unwrap(), changed);
                    head.headers.insert("authorization", value(&auth));
                }
                None => head.target = unlisted(&head.target, changed),
            }
            assert_eq!(head.judge(), Err(E::HeadersNotSigned(changed.to_owned())));
        }
    }
}

/// A presigned URL passes if and only if it means what was signed.
#[test]
fn s04_ten_thousand_mutations_of_presigned_urls_are_refused() {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let urls = [
        presigned("", &[]),
        presigned("versionId=null&response-content-type=a%2Fb%20c", &[]),
        presigned("tagging", &["x-amz-meta-a", "x-amz-tagging"]),
    ];
    let (mut refused, mut same) = (0, 0);
    for n in 0..10_000 {
        let fine = &urls[n % urls.len()];
        let mut head = fine.clone();
        let mut equal = false;
        match numbers.below(8) {
            0 => head.method = ["GET", "POST", "HEAD", "DELETE", "put", "PUTT"][n % 6].to_owned(),
            1 => {
                let names: Vec<_> = fine.headers.keys().collect();
                let changed = names[numbers.below(names.len())];
                let before = fine.headers[changed].to_str().unwrap();
                let after = numbers.mutate(before, 0);
                equal = before == after;
                head.headers.insert(changed, value(&after));
            }
            2 => {
                let added = THIRTY[numbers.below(THIRTY.len())];
                head.headers.append(name(added), value("1"));
            }
            _ => {
                head.target = numbers.mutate(&fine.target, 1);
                equal = meaning(&head.target) == meaning(&fine.target);
            }
        }
        assert_eq!(head.passes(), equal, "{} {:?}", head.target, head.headers);
        refused += usize::from(!equal);
        same += usize::from(equal);
    }
    // Such as `%2f` for `%2F`: the oracle is not empty, and nearly all mutations matter.
    assert!(refused > 9_500 && same > 10, "{refused} {same}");
}

/// The parameters that carry the signature cannot be moved, doubled or left out.
#[test]
fn s04_parameters_of_the_signature_come_once_each() {
    let fine = presigned("versionId=null", &[]);
    let (path, query) = fine.target.split_once('?').unwrap();
    let pairs: Vec<_> = query.split('&').collect();
    let with = |pairs: &[&str]| Head {
        target: [path, "?", &pairs.join("&")].concat(),
        ..fine.clone()
    };
    let mut turned = pairs.clone();
    turned.reverse();
    assert!(with(&turned).passes(), "the order means nothing");
    for at in 0..pairs.len() {
        let mut fewer = pairs.clone();
        fewer.remove(at);
        assert!(!with(&fewer).passes(), "without {}", pairs[at]);
        let mut more = pairs.clone();
        more.push(pairs[at]);
        assert!(!with(&more).passes(), "twice {}", pairs[at]);
        let mut empty = pairs.clone();
        empty[at] = pairs[at].split_once('=').unwrap().0;
        assert!(!with(&empty).passes(), "no value {}", pairs[at]);
    }
}
