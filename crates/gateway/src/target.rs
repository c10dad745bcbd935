//! What a request addresses: bucket and key, path-style or virtual-host, decoded exactly once.

use types::{BucketName, ObjectKey};

use crate::{
    fault::{Fault, FaultKind},
    operations::Resource,
};

/// Bucket and key that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The bucket, unless the service itself is addressed.
    pub bucket: Option<BucketName>,
    /// The key, unless a bucket is addressed.
    pub key: Option<ObjectKey>,
    /// Whether the host names the bucket, and not the path.
    pub by_host: bool,
}

impl Target {
    /// The kind of what is addressed.
    pub fn resource(&self) -> Resource {
        match (&self.bucket, &self.key) {
            (None, _) => Resource::Service,
            (Some(_), None) => Resource::Bucket,
            (Some(_), Some(_)) => Resource::Object,
        }
    }

    /// Reads the path as it was sent, and the host without its port. `domains` are the names under
    /// which `bucket.domain` is a bucket.
    pub fn parse(path: &str, host: &str, domains: &[String]) -> Result<Self, Fault> {
        let path = path.strip_prefix('/').unwrap_or(path);
        if let Some(bucket) = bucket_of_host(host, domains) {
            return Ok(Self {
                bucket: Some(bucket_name(&bucket)?),
                key: key(path)?,
                by_host: true,
            });
        }
        if path.is_empty() {
            return Ok(Self {
                bucket: None,
                key: None,
                by_host: false,
            });
        }
        let (bucket, rest) = path.split_once('/').unwrap_or((path, ""));
        Ok(Self {
            bucket: Some(bucket_name(&decode(bucket, false)?)?),
            key: key(rest)?,
            by_host: false,
        })
    }
}

fn bucket_name(name: &str) -> Result<BucketName, Fault> {
    BucketName::new(name).map_err(|error| Fault::from(error).detail("BucketName", name))
}

fn key(raw: &str) -> Result<Option<ObjectKey>, Fault> {
    if raw.is_empty() {
        return Ok(None);
    }
    // S3 reads a plus as a space in paths too: a key's own plus is `%2B`.
    Ok(Some(ObjectKey::new(&decode(raw, true)?)?))
}

/// The bucket in front of one of our domains, in lower case as host names are.
pub(crate) fn bucket_of_host(host: &str, domains: &[String]) -> Option<String> {
    domains.iter().find_map(|domain| {
        let split = host.len().checked_sub(domain.len())?;
        let (front, back) = (host.get(..split)?, host.get(split..)?);
        let bucket = front.strip_suffix('.')?;
        (!bucket.is_empty() && back.eq_ignore_ascii_case(domain))
            .then(|| bucket.to_ascii_lowercase())
    })
}

/// Decodes percent-encoding once. Broken encoding and bytes that are not UTF-8 are `InvalidURI`.
pub(crate) fn decode(raw: &str, plus_is_space: bool) -> Result<std::borrow::Cow<'_, str>, Fault> {
    let bytes = raw.as_bytes();
    let coded = |b: &u8| *b == b'%' || (plus_is_space && *b == b'+');
    let Some(first) = bytes.iter().position(coded) else {
        return Ok(raw.into());
    };
    let invalid = || Fault::new(FaultKind::InvalidURI);
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let digit = |i: usize| char::from(*tail.get(i)?).to_digit(16);
                let (high, low) = digit(0).zip(digit(1)).ok_or_else(invalid)?;
                out.push((high << 4 | low) as u8);
                rest = &tail[2..];
            }
            b'+' if plus_is_space => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8(out)
        .map(Into::into)
        .map_err(|_| invalid())
}

/// Most pairs.
const PAIRS_MAX: usize = 128;

/// Decodes a text in the form of a query string, such as that of `x-amz-tagging`.
pub(crate) fn parse_pairs(raw: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut pairs = Vec::new();
    for pair in raw.split('&').filter(|p| !p.is_empty()) {
        if pairs.len() == PAIRS_MAX {
            return Err(FaultKind::InvalidURI.into());
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((
            decode(name, true)?.into_owned(),
            decode(value, true)?.into_owned(),
        ));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, host: &str) -> Result<(String, String), &'static str> {
        let domains = ["localhost".to_owned(), "s3.example.com".to_owned()];
        let target = Target::parse(path, host, &domains);
        let target = target.map_err(|e| e.kind.name())?;
        let text = |t: Option<&str>| t.unwrap_or("-").to_owned();
        Ok((text(target.bucket.as_deref()), text(target.key.as_deref())))
    }

    #[test]
    fn both_styles_name_the_same() {
        for (path, host, bucket, key) in [
            ("/", "127.0.0.1", "-", "-"),
            ("/", "localhost", "-", "-"),
            ("/bkt", "127.0.0.1", "bkt", "-"),
            ("/bkt/", "127.0.0.1", "bkt", "-"),
            ("/bkt/a/b", "localhost", "bkt", "a/b"),
            ("/a/b", "bkt.localhost", "bkt", "a/b"),
            ("/", "bkt.S3.Example.com", "bkt", "-"),
            ("/k", "a.b.c.s3.example.com", "a.b.c", "k"),
            ("/bkt/k", "other.example.com", "bkt", "k"),
            ("/bkt/k", "[::1]", "bkt", "k"),
        ] {
            assert_eq!(
                parse(path, host),
                Ok((bucket.into(), key.into())),
                "{path} {host}"
            );
        }
    }

    #[test]
    fn s10_keys_are_decoded_once_and_kept() {
        for (path, key) in [
            ("/bkt/%2e%2e/%2e%2e/etc/passwd", "../../etc/passwd"),
            ("/bkt/../x", "../x"),
            ("/bkt//a", "/a"),
            ("/bkt/a//b/", "a//b/"),
            ("/bkt/%252e", "%2e"),
            ("/bkt/a+b", "a b"),
            ("/bkt/a%2Bb", "a+b"),
            ("/bkt/%00", "\0"),
            ("/bkt/%c3%bc", "ü"),
        ] {
            assert_eq!(parse(path, "h").unwrap().1, key, "{path}");
        }
        for (path, code) in [
            ("/bkt/%c0%af", "InvalidURI"),
            ("/bkt/%zz", "InvalidURI"),
            ("/bkt/%4", "InvalidURI"),
            ("//key", "InvalidBucketName"),
            ("/..%2f/key", "InvalidBucketName"),
            ("/Upper/key", "InvalidBucketName"),
        ] {
            assert_eq!(parse(path, "h"), Err(code), "{path}");
        }
        let long = format!("/bkt/{}", "k".repeat(1025));
        assert_eq!(parse(&long, "h"), Err("KeyTooLongError"));
    }

    #[test]
    fn pairs_are_decoded() {
        let pairs = parse_pairs("a=1&b&c=x%20y+z&&d=%3D").unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(pairs, [("a", "1"), ("b", ""), ("c", "x y z"), ("d", "=")]);
        assert!(parse_pairs("a=%ff").is_err());
        assert!(parse_pairs(&"a&".repeat(129)).is_err());
    }
}
