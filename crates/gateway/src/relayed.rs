//! A head as it goes from region to region: what its customer sent, byte for byte, so that the
//! signature still fits and the other region reads it anew. There is no second description.
//!
//! The method, a space, the target, and for each header its name, a colon and its value, with a
//! line feed between; no part can have a line feed. In a header between regions it is base64.

use access::{RequestFacts, UnreadableFacts};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, request::Parts};

/// The head, in a request between regions.
pub(crate) const HEAD: HeaderName = HeaderName::from_static("x-dhow-head");
/// What the relaying region knows of the request that no head says ([`RequestFacts`]).
pub(crate) const FACTS: HeaderName = HeaderName::from_static("x-dhow-facts");
/// The bucket that the relaying region read, to find where the two read differently.
pub(crate) const BUCKET: HeaderName = HeaderName::from_static("x-dhow-bucket");
/// In an answer: the request was not acted on, for want of proof.
pub(crate) const UNPROVEN: HeaderName = HeaderName::from_static("x-dhow-unproven");

/// Longest head that is relayed; in base64 it fits between regions.
pub(crate) const RELAYED_BYTES_MAX: usize = 21 << 10;
/// Headers that hyper takes of a client, at most.
const HEADERS_MAX: usize = 256;

/// Writes a head.
pub(crate) fn write<'h>(
    method: &Method,
    uri: &Uri,
    headers: impl Iterator<Item = (&'h HeaderName, &'h HeaderValue)>,
) -> Vec<u8> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut out = Vec::with_capacity(1024);
    for piece in [method.as_str(), " ", target] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in headers {
        out.push(b'\n');
        out.extend_from_slice(name.as_str().as_bytes());
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
    out
}

/// Reads one; `None` where it is none.
pub(crate) fn read(bytes: &[u8]) -> Option<Parts> {
    if bytes.len() > RELAYED_BYTES_MAX {
        return None;
    }
    let mut lines = bytes.split(|b| *b == b'\n');
    let (method, target) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    // In origin form: an authority could name another host than the one that was signed.
    let uri: Uri = Some(target).filter(|t| t.starts_with('/'))?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let at = line.iter().position(|b| *b == b':')?;
        let name = HeaderName::from_bytes(line.get(..at)?).ok()?;
        let value = HeaderValue::from_bytes(line.get(at + 1..)?).ok()?;
        if headers.len() == HEADERS_MAX {
            return None;
        }
        headers.append(name, value);
    }
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = method.parse().ok()?;
    parts.uri = uri;
    parts.headers = headers;
    Some(parts)
}

/// As a header between regions.
pub(crate) fn to_header(head: &[u8]) -> Option<HeaderValue> {
    if head.len() > RELAYED_BYTES_MAX {
        return None;
    }
    HeaderValue::try_from(STANDARD.encode(head)).ok()
}

/// How the customer's request came, as the relaying region says; nothing is known where it says
/// nothing, as older releases.
///
/// # Errors
/// It says it twice, or in a way that cannot be read.
pub(crate) fn facts(headers: &HeaderMap) -> Result<RequestFacts, UnreadableFacts> {
    let mut facts = headers.get_all(FACTS).iter();
    match (facts.next(), facts.next()) {
        (None, _) => Ok(RequestFacts::default()),
        (Some(facts), None) => RequestFacts::parse(facts.as_bytes()),
        (Some(_), Some(_)) => Err(UnreadableFacts),
    }
}

/// The head in a request between regions; `None` where there is none, or more than one.
pub(crate) fn of_headers(headers: &HeaderMap) -> Option<Parts> {
    let mut heads = headers.get_all(HEAD).iter();
    match (heads.next(), heads.next()) {
        (Some(head), None) => read(&STANDARD.decode(head).ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Received;

    fn parts(target: &str, headers: &[(&'static str, &[u8])]) -> Parts {
        let mut parts = http::Request::builder().method("PUT").uri(target);
        for (name, value) in headers {
            parts = parts.header(*name, *value);
        }
        parts.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_head_arrives_as_it_was_signed() {
        let sent: [(&str, &[u8]); 7] = [
            ("host", b"papers.localhost:9000"),
            ("authorization", b"AWS4-HMAC-SHA256 Credential=a/b"),
            ("content-length", b"99"),
            ("x-amz-meta-a", b"one:  two, \xc3\xbc\xff"),
            ("x-amz-content-sha256", b"UNSIGNED-PAYLOAD"),
            ("if-none-match", b"*"),
            ("x-dhow-head", b"forged"),
        ];
        let target = "/a%2Fb+c%20d//?versionId=1+2%26&tagging&x-amz-acl=private";
        let mut before = parts(target, &sent);
        let copy = before.headers.clone();
        let domains = ["localhost".to_owned()];
        let received = Received::read(&mut before, &domains).unwrap();
        let request = received.unverified().unwrap();
        assert_eq!(request.headers()["x-amz-acl"], "private");
        let after = read(&request.relayed()).unwrap();
        assert_eq!(after.method, "PUT");
        assert_eq!(after.uri, target);
        assert_eq!(
            after.headers, copy,
            "what the query carries is no header yet"
        );
        assert!(of_headers(&copy).is_none());
        let mut wire = HeaderMap::new();
        wire.insert(HEAD, to_header(&request.relayed()).unwrap());
        assert_eq!(of_headers(&wire).unwrap().headers, copy);
        wire.append(HEAD, to_header(&request.relayed()).unwrap());
        assert!(of_headers(&wire).is_none(), "which of two would it be?");
    }

    #[test]
    fn what_is_no_head_is_none() {
        for bad in [
            &b""[..],
            b"GET",
            b"GET http://other/papers",
            b"GET //other@host/\nno colon",
            b"G ET /",
            b"GET /\n:value",
            b"GET /\nname:a\r",
            b"GET /\nna me:a",
            b"GET /\n\n",
        ] {
            assert!(read(bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
        assert!(read(b"GET /a?b\nhost:x").is_some());
        let long = [&b"GET /"[..], &vec![b'a'; RELAYED_BYTES_MAX]].concat();
        assert!(read(&long).is_none() && to_header(&long).is_none());
        let many = [b"GET /".to_vec(), b"\na:b".repeat(300)].concat();
        assert!(read(&many).is_none());
    }
}
