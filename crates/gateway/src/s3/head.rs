//! What the names of headers and parameters mean in a head of S3.

use access::signature::v2;

use crate::{
    dialect::{Lines, Meaning},
    target::decode,
};

/// Parameters that S3 signs over and does not act on. The checksums are those of the empty body
/// that a presigner had when it made the URL.
const IGNORED: [&str; 12] = [
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-md5",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-sha512",
    "x-amz-checksum-xxhash128",
    "x-amz-checksum-xxhash3",
    "x-amz-checksum-xxhash64",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-user-agent",
];

/// Headers that some presigners repeat in the query, as JavaScript's SDK v2 does: S3 signs over
/// them there, and acts on the header alone.
const REPEATED: [&str; 8] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "expires",
];

/// Headers that say how the body is framed: a parameter cannot say it for them.
const FRAMING: [&str; 2] = ["x-amz-decoded-content-length", "x-amz-trailer"];

/// Headers without `x-amz-` that something here reads, and that have one value.
pub(crate) const SINGLE: [&str; 20] = [
    "authorization",
    "content-disposition",
    "content-length",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "expect",
    "expires",
    "host",
    // Lists, but of conditions: one that was added must not pass for the one that was meant.
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "range",
    // Conditions of policies read these two.
    "referer",
    "user-agent",
    "x-dhow-if-state",
];

/// Headers that are lists: several lines mean what one line with commas means.
pub(crate) const LISTS: [&str; 5] = [
    "cache-control",
    "content-encoding",
    "content-language",
    "x-amz-object-attributes",
    "x-amz-optional-object-attributes",
];

const META: &str = "x-amz-meta-";

/// What a parameter is; `signs` says whether the query has a signature of version 2.
pub(super) fn meaning(name: &str, signs: bool) -> Meaning {
    let starts = |prefix: &str| {
        let front = name.as_bytes().get(..prefix.len());
        front.is_some_and(|front| front.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let among = |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n));
    if starts("x-dhow-") {
        return Meaning::Header;
    }
    if !starts("x-amz-") {
        return match of_version2(name).filter(|_| signs) {
            Some(known) => Meaning::Signature(known),
            None => Meaning::Parameter,
        };
    }
    match is_of_signature(name) {
        Some(known) => Meaning::Signature(known),
        None if among(&IGNORED) => Meaning::Ignored,
        None if among(&FRAMING) => Meaning::Refused,
        None => Meaning::Header,
    }
}

/// Whether a parameter of a signed query only repeats a header.
pub(super) fn repeats_header(name: &str) -> bool {
    REPEATED.iter().any(|r| name.eq_ignore_ascii_case(r))
}

/// What several lines of a header mean.
pub(super) fn lines(name: &str) -> Lines {
    if name.starts_with(META) || LISTS.contains(&name) {
        Lines::List
    } else if name.starts_with("x-amz-") || name.starts_with("x-dhow-") || SINGLE.contains(&name) {
        Lines::One
    } else {
        Lines::Unread
    }
}

/// Whether a query carries a signature of version 2, whose parameters have common names.
pub(super) fn is_version2(query: &str) -> bool {
    let has = |name: &str| {
        let mut names = query.split('&').map(|pair| pair.split('=').next());
        names.any(|found| {
            found
                .and_then(|n| decode(n, true).ok())
                .is_some_and(|n| n == name)
        })
    };
    has("AWSAccessKeyId") || has("Signature")
}

/// Which parameter of such a signature this is, if it is one.
fn of_version2(name: &str) -> Option<&'static str> {
    v2::QUERY.into_iter().find(|known| *known == name)
}

/// Which header or parameter of a signature this is, if it is one. Those say nothing of the
/// request.
fn is_of_signature(name: &str) -> Option<&'static str> {
    const OF_SIGNATURES: [&str; 9] = [
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-region-set",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    ];
    let mut known = OF_SIGNATURES.into_iter();
    known.find(|s| name.eq_ignore_ascii_case(s))
}
