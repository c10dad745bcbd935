//! The canonical form of a request, as S3 has it: the path is decoded once and encoded once and
//! never normalised.

use http::{HeaderMap, HeaderValue};

use super::parse::split;

/// Headers of a request that are rather gone through than looked up.
const FEW_HEADERS: usize = 24;
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

const fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn push_encoded(out: &mut Vec<u8>, byte: u8) {
    let digit = |n: u8| HEX_UPPER[usize::from(n)];
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    let [high, low, ..] = bytes else { return None };
    Some((digit(*high)? * 16 + digit(*low)?) as u8)
}

/// Percent-encodes bytes that were never encoded; `/` stays where `slash` says so.
pub fn encode(out: &mut Vec<u8>, text: &[u8], slash: bool) {
    for &byte in text {
        if unreserved(byte) || (slash && byte == b'/') {
            out.push(byte);
        } else {
            push_encoded(out, byte);
        }
    }
}

/// Bytes that are kept as they are in a canonical query; in a path also `/`.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = unreserved(byte as u8);
        byte += 1;
    }
    plain
};

/// Decodes once and encodes once. A `%` that begins no pair of hex digits is kept as it is.
fn recode(out: &mut Vec<u8>, raw: &[u8], path: bool) {
    let mut at = 0;
    while at < raw.len() {
        // Most of most texts stays as it is.
        let run = raw[at..]
            .iter()
            .position(|b| !(PLAIN[usize::from(*b)] || path && *b == b'/'));
        let end = run.map_or(raw.len(), |run| at + run);
        out.extend_from_slice(&raw[at..end]);
        at = end;
        if at == raw.len() {
            break;
        }
        let mut byte = raw[at];
        at += 1;
        if byte == b'%' {
            if let Some(decoded) = hex_pair(&raw[at..]) {
                byte = decoded;
                at += 2;
            }
        } else if byte == b'+' {
            // S3 reads a plus as a space in paths too: a key's own plus is `%2B`.
            byte = b' ';
        }
        if unreserved(byte) || (path && byte == b'/') {
            out.push(byte);
        } else {
            push_encoded(out, byte);
        }
    }
}

/// The canonical path of the path as it was sent.
pub fn path(out: &mut Vec<u8>, raw: &str) {
    if raw.is_empty() {
        out.push(b'/');
    } else {
        recode(out, raw.as_bytes(), true);
    }
}

/// The canonical query of the query as it was sent, without the parameter `without`.
pub fn query(out: &mut Vec<u8>, raw: &str, without: &str) {
    let mut encoded = Vec::with_capacity(raw.len() + raw.len() / 4);
    let mut pairs = Vec::with_capacity(16);
    for pair in raw.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let start = encoded.len();
        recode(&mut encoded, name.as_bytes(), false);
        let middle = encoded.len();
        if !without.is_empty() && &encoded[start..] == without.as_bytes() {
            encoded.truncate(start);
            continue;
        }
        recode(&mut encoded, value.as_bytes(), false);
        pairs.push((start, middle, encoded.len()));
    }
    pairs.sort_by(|a, b| {
        let key = |p: &(usize, usize, usize)| (p.0..p.1, p.1..p.2);
        let ((an, av), (bn, bv)) = (key(a), key(b));
        (&encoded[an], &encoded[av]).cmp(&(&encoded[bn], &encoded[bv]))
    });
    for (i, (start, middle, end)) in pairs.into_iter().enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(&encoded[start..middle]);
        out.push(b'=');
        out.extend_from_slice(&encoded[middle..end]);
    }
}

/// Trims, and makes one space of several.
pub(crate) fn collapse(out: &mut Vec<u8>, value: &[u8]) {
    if memchr::memchr2(b' ', b'\t', value).is_none() {
        return out.extend_from_slice(value);
    }
    let mut words = value
        .split(|b| matches!(b, b' ' | b'\t'))
        .filter(|w| !w.is_empty());
    if let Some(first) = words.next() {
        out.extend_from_slice(first);
    }
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}

/// The canonical headers that `signed` (`a;b;c`) names, in that order, each with its line feed.
pub fn headers(out: &mut Vec<u8>, map: &HeaderMap, signed: &str) {
    let few = map.len() <= FEW_HEADERS;
    for name in split(signed, b';') {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        let mut first = true;
        let mut add = |value: &HeaderValue| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            collapse(out, value.as_bytes());
        };
        // Looking a name up costs more than to go through a few.
        match few {
            true => map
                .iter()
                .filter(|(n, _)| n.as_str() == name || n.as_str().eq_ignore_ascii_case(name))
                .for_each(|(_, v)| add(v)),
            false => map.get_all(name).iter().for_each(add),
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn text(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn s04_paths_are_encoded_once_and_never_normalised() {
        for (raw, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/a//b", "/a//b"),
            ("//", "//"),
            ("/a/./b", "/a/./b"),
            ("/a/../b", "/a/../b"),
            ("/%2e%2e/x", "/../x"),
            ("/a%2Fb", "/a/b"),
            ("/a%2fb", "/a/b"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%20b"),
            ("/a+b", "/a%20b"),
            ("/a%2Bb", "/a%2Bb"),
            ("/%C3%BC", "/%C3%BC"),
            ("/%c3%bc", "/%C3%BC"),
            ("/~._-", "/~._-"),
            ("/%7E", "/~"),
            ("/a%25b", "/a%25b"),
            ("/a%2520b", "/a%2520b"),
            ("/100%", "/100%25"),
            ("/a%zz", "/a%25zz"),
            ("/a=b&c", "/a%3Db%26c"),
            ("/a:b@c,d;e", "/a%3Ab%40c%2Cd%3Be"),
            ("/!*'()$", "/%21%2A%27%28%29%24"),
        ] {
            assert_eq!(text(|o| path(o, raw)), canonical, "{raw}");
        }
    }

    #[test]
    fn s04_queries_are_sorted_by_their_encoded_form() {
        for (raw, canonical) in [
            ("", ""),
            ("acl", "acl="),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1", "a=1&a=2"),
            ("a=1&a=1", "a=1&a=1"),
            ("a=x%20y", "a=x%20y"),
            ("a=x+y", "a=x%20y"),
            ("a=x%2By", "a=x%2By"),
            ("prefix=a/b", "prefix=a%2Fb"),
            ("A=1&a=2", "A=1&a=2"),
            ("a=1&&b=2&", "a=1&b=2"),
            ("a==", "a=%3D"),
            ("ab=1&a=2", "a=2&ab=1"),
            ("a%2Db=1", "a-b=1"),
            ("k=%E2%82%AC", "k=%E2%82%AC"),
            ("b=1&X-Amz-Signature=00", "b=1"),
        ] {
            assert_eq!(
                text(|o| query(o, raw, "X-Amz-Signature")),
                canonical,
                "{raw}"
            );
        }
    }

    #[test]
    fn s04_headers_are_trimmed_collapsed_and_joined() {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("host", "example.com:9000"),
            ("x-amz-meta-a", "  one   two "),
            ("x-amz-meta-b", "1"),
            ("x-amz-meta-b", " 2"),
            ("x-amz-meta-c", ""),
        ] {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        assert_eq!(
            text(|o| headers(
                o,
                &map,
                "host;x-amz-meta-a;x-amz-meta-b;x-amz-meta-c;x-gone",
            )),
            "host:example.com:9000\nx-amz-meta-a:one two\n\
             x-amz-meta-b:1,2\nx-amz-meta-c:\nx-gone:\n"
        );
    }
}
