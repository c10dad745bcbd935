use super::*;
use crate::s3::head::{LISTS, SINGLE};

const DOMAINS: [&str; 2] = ["localhost", "s3.example.com"];

/// Bucket, key, parameters and headers of what a head means, or the code of its refusal.
fn read(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<(String, String, Vec<String>), &'static str> {
    let mut head = http::Request::builder().method(method).uri(target);
    for (name, value) in headers {
        head = head.header(*name, *value);
    }
    let (mut head, ()) = head.body(()).unwrap().into_parts();
    let domains = DOMAINS.map(str::to_owned);
    let request = Received::read(&mut head, &domains).and_then(Received::unverified);
    let request = request.map_err(|error| error.kind.name())?;
    let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let (target, query, headers) = request.into_parts();
    let mut rest: Vec<_> = query.0.iter().map(|(n, v)| format!("?{n}={v}")).collect();
    let named = headers.iter().filter(|(n, _)| *n != header::HOST);
    rest.extend(named.map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())));
    rest.sort_unstable();
    Ok((
        text(target.bucket.as_deref()),
        text(target.key.as_deref()),
        rest,
    ))
}

fn bucket(target: &str, hosts: &[&str]) -> Result<String, &'static str> {
    let hosts: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
    read("GET", target, &hosts).map(|(bucket, key, _)| format!("{bucket} {key}"))
}

#[test]
fn there_is_one_authority() {
    for (target, hosts, found) in [
        ("/bkt/k", &["h"][..], Ok("bkt k")),
        ("/bkt/k", &["h:9000"], Ok("bkt k")),
        ("/bkt/k", &[""], Ok("bkt k")),
        ("/k", &["bkt.localhost:9000"], Ok("bkt k")),
        ("/k", &["BKT.LocalHost."], Ok("bkt k")),
        ("/k", &["bkt.s3.example.com.:443"], Ok("bkt k")),
        ("/bkt/k", &["localhost."], Ok("bkt k")),
        ("/bkt/k", &["[::1]:9000"], Ok("bkt k")),
        ("http://bkt.localhost/k", &["bkt.localhost"], Ok("bkt k")),
        ("http://BKT.localhost/k", &["bkt.Localhost"], Ok("bkt k")),
        ("http://h/bkt/k", &["h"], Ok("bkt k")),
        ("http://bkt.localhost", &["bkt.localhost"], Ok("bkt -")),
        ("/bkt//k", &["h"], Ok("bkt /k")),
        ("/bkt/%2Fk", &["h"], Ok("bkt /k")),
        ("/bkt%2Fk", &["h"], Err("InvalidBucketName")),
        ("//bkt/k", &["h"], Err("InvalidBucketName")),
        // Two authorities, or none.
        (
            "http://other.localhost/k",
            &["bkt.localhost"],
            Err("InvalidRequest"),
        ),
        (
            "http://other.localhost/bkt/k",
            &["h"],
            Err("InvalidRequest"),
        ),
        ("http://h:1/bkt/k", &["h"], Err("InvalidRequest")),
        ("http://h./bkt/k", &["h"], Err("InvalidRequest")),
        (
            "http://bkt.localhost@other.localhost/k",
            &["bkt.localhost"],
            Err("InvalidRequest"),
        ),
        ("http://a@h/bkt/k", &["a@h"], Err("InvalidRequest")),
        ("http://h/bkt/k", &[""], Err("InvalidRequest")),
        ("http://h/bkt/k", &[], Err("InvalidRequest")),
        ("/bkt/k", &[], Err("InvalidRequest")),
        ("/bkt/k", &["h", "h"], Err("InvalidRequest")),
        (
            "/k",
            &["bkt.localhost", "other.localhost"],
            Err("InvalidRequest"),
        ),
        // No hosts.
        (
            "/k",
            &["bkt.localhost, other.localhost"],
            Err("InvalidRequest"),
        ),
        (
            "/k",
            &["other.localhost/bkt.localhost"],
            Err("InvalidRequest"),
        ),
        ("/k", &["bkt%2Elocalhost"], Err("InvalidRequest")),
        (
            "/k",
            &["bkt.localhost other.localhost"],
            Err("InvalidRequest"),
        ),
        ("/k", &["bkt.localhost#"], Err("InvalidRequest")),
        ("*", &["bkt.localhost"], Err("InvalidURI")),
        ("bkt.localhost", &["bkt.localhost"], Err("InvalidURI")),
    ] {
        let found = found.map(str::to_owned);
        assert_eq!(bucket(target, hosts), found, "{target} {hosts:?}");
    }
}

#[test]
fn parameters_are_decoded_once_and_come_once() {
    let (.., rest) = read(
        "GET",
        "/b12?a=1&b&c=x%20y+z&&d=%3D&E=1&e=2",
        &[("host", "h")],
    )
    .unwrap();
    assert_eq!(rest, ["?E=1", "?a=1", "?b=", "?c=x y z", "?d==", "?e=2"]);
    let many = format!("/b12?{}", "a&".repeat(129));
    for (target, code) in [
        ("/b12?a=%ff", "InvalidURI"),
        ("/b12?a=%zz", "InvalidURI"),
        ("/b12?%4=1", "InvalidURI"),
        ("/b12?X-Amz-Signature=%zz", "InvalidURI"),
        ("/b12?a=1&a=1", "InvalidRequest"),
        ("/b12?prefix=1&pre%66ix=2", "InvalidRequest"),
        ("/b12/k?versionId=a&versionId=b", "InvalidRequest"),
        (&many, "InvalidRequest"),
    ] {
        assert_eq!(read("GET", target, &[("host", "h")]), Err(code), "{target}");
    }
    let many: String = (0..129).map(|n| format!("a{n}&")).collect();
    let found = read("GET", &format!("/b12?{many}"), &[("host", "h")]);
    assert_eq!(found, Err("InvalidURI"));
}

/// As the S3 client of JavaScript 3.1175.0 writes them.
#[test]
fn parameters_named_like_headers_are_headers_or_nothing() {
    for (query, expected) in [
        (
            "X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-SignedHeaders=host%3Bif-none-match\
             &x-amz-acl=private&x-amz-checksum-crc32=AAAAAA%3D%3D\
             &x-amz-expected-bucket-owner=000000000001&x-amz-meta-colour=blue\
             &x-amz-sdk-checksum-algorithm=CRC32&x-amz-storage-class=STANDARD\
             &x-amz-tagging=a%3Db&x-id=PutObject",
            &[
                "?x-id=PutObject",
                "x-amz-acl: private",
                "x-amz-expected-bucket-owner: 000000000001",
                "x-amz-meta-colour: blue",
                "x-amz-storage-class: STANDARD",
                "x-amz-tagging: a=b",
            ][..],
        ),
        (
            "x-amz-copy-source=%2Fbkt%2Fs%252Bo&x-amz-copy-source-if-match=%22e%22\
             &x-amz-meta-a=b&x-amz-metadata-directive=REPLACE\
             &x-amz-source-expected-bucket-owner=000000000001&x-id=CopyObject",
            &[
                "?x-id=CopyObject",
                "x-amz-copy-source-if-match: \"e\"",
                "x-amz-copy-source: /bkt/s%2Bo",
                "x-amz-meta-a: b",
                "x-amz-metadata-directive: REPLACE",
                "x-amz-source-expected-bucket-owner: 000000000001",
            ],
        ),
        (
            "X-AMZ-ACL=private&x-amz-%6Deta-a=%20b%09&X-Dhow-Placement-Proxy=true",
            &[
                "x-amz-acl: private",
                "x-amz-meta-a: b",
                "x-dhow-placement-proxy: true",
            ],
        ),
    ] {
        let (.., rest) = read("PUT", &format!("/bkt/k?{query}"), &[("host", "h")]).unwrap();
        assert_eq!(rest, expected, "{query}");
    }
    // In both places with one value it is there once, as a header.
    let both = [("host", "h"), ("x-amz-acl", "private")];
    let (.., rest) = read("PUT", "/bkt/k?x-amz-acl=private", &both).unwrap();
    assert_eq!(rest, ["x-amz-acl: private"]);
    for (query, headers, code) in [
        (
            "x-amz-acl=private&X-Amz-Acl=private",
            &[][..],
            "InvalidRequest",
        ),
        (
            "x-amz-acl=private",
            &[("x-amz-acl", "public-read")],
            "InvalidRequest",
        ),
        (
            "x-amz-acl=private",
            &[("x-amz-acl", "private"), ("x-amz-acl", "private")],
            "InvalidRequest",
        ),
        (
            "x-amz-copy-source=/b/k&x-amz-copy-source=/c/k",
            &[],
            "InvalidRequest",
        ),
        ("x-amz-meta-a=1&x-amz-meta-a=2", &[], "InvalidRequest"),
        ("x-amz-meta-a=a%0D%0Ax-amz-acl:b", &[], "InvalidArgument"),
        ("x-amz-meta-a=a%0Ab", &[], "InvalidArgument"),
        ("x-amz-meta-a=a%00b", &[], "InvalidArgument"),
        ("x-amz-meta-%20a=b", &[], "InvalidArgument"),
        ("x-amz-meta-a%3A=b", &[], "InvalidArgument"),
        ("x-amz-meta-%C3%BC=b", &[], "InvalidArgument"),
        ("x-amz-decoded-content-length=1", &[], "InvalidArgument"),
        ("x-amz-trailer=x-amz-checksum-crc32", &[], "InvalidArgument"),
    ] {
        let mut all = vec![("host", "h")];
        all.extend_from_slice(headers);
        let found = read("PUT", &format!("/bkt/k?{query}"), &all);
        assert_eq!(found, Err(code), "{query} {headers:?}");
    }
}

#[test]
fn a_header_comes_once_unless_it_is_a_list() {
    let twice = |name| read("PUT", "/bkt/k", &[("host", "h"), (name, "a"), (name, "b")]);
    for name in SINGLE.into_iter().chain([
        "x-amz-copy-source",
        "X-Amz-Copy-Source-If-Match",
        "x-amz-date",
        "x-amz-tagging",
        "x-amz-unknown",
        "x-amz-trailer",
        "x-dhow-placement-home",
    ]) {
        assert_eq!(twice(name), Err("InvalidRequest"), "{name}");
    }
    for name in LISTS.into_iter().chain(["x-amz-meta-a"]) {
        let (.., rest) = twice(name).unwrap();
        assert_eq!(rest, [format!("{name}: a,b")]);
    }
    // Nothing here reads it.
    assert_eq!(twice("accept").unwrap().2.len(), 2);
}

#[test]
fn the_same_is_signed_and_read() {
    // What a signature covers of a query is its parameters by name and value, and this is what is
    // read, whatever the encoding.
    for raw in ["a=x%20y", "a=x+y", "%61=x%20y", "a=%78%20y&", "&&a=x+%79"] {
        let mut signed = Vec::new();
        signature::canonical::query(&mut signed, raw, "");
        assert_eq!(String::from_utf8(signed).unwrap(), "a=x%20y", "{raw}");
        let (.., rest) = read("GET", &format!("/bkt?{raw}"), &[("host", "h")]).unwrap();
        assert_eq!(rest, ["?a=x y"], "{raw}");
    }
}
