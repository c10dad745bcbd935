use std::collections::VecDeque;

use access::{SigningKey, SigningKeys, sign::Signer, signature::RegionNames};
use bytes::{Bytes, BytesMut};
use types::{AccountId, BodyError, RegionId, body::NextChunk};

use super::*;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: &str = "2015-12-29T12:00:00Z";
const EDGE: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

struct OneKey;

impl SigningKeys for OneKey {
    fn signing_key(
        &self,
        access_key: &str,
        day: &str,
        region: &RegionId,
        service: &str,
    ) -> Option<SigningKey> {
        (access_key == KEY).then(|| SigningKey {
            account: AccountId::new("000000000001"),
            kind: access::CallerKind::Customer,
            guard: Default::default(),
            who: access::Who::Root,
            key: access::signature::signing_key(SECRET, day, region, service).into(),
        })
    }
}

/// A body that comes in these pieces.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(std::future::ready(self.0.pop_front().map(Ok)))
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}

fn pieces(all: &[&[u8]]) -> Box<dyn Body> {
    let all = all.iter().map(|p| Bytes::copy_from_slice(p));
    Box::new(Pieces(all.collect()))
}

/// Fields as a browser sends them, and the file unless `None`.
fn multipart(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        let part = format!(
            "--{EDGE}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        out.extend_from_slice(part.as_bytes());
    }
    if let Some((name, bytes)) = file {
        let head = format!(
            "--{EDGE}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: text/plain\r\n\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{EDGE}--\r\n").as_bytes());
    out
}

const CREDENTIAL: &str = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request";

/// A form that is signed; `change` may spoil it first.
fn signed(
    conditions: &str,
    more: &[(&str, &str)],
    change: impl FnOnce(&mut Vec<(String, String)>),
) -> Vec<(String, String)> {
    let json = format!(
        r#"{{"expiration":"2015-12-30T12:00:00.000Z","conditions":[{{"bucket":"bkt"}},
        ["starts-with","$key",""],{{"x-amz-credential":"{CREDENTIAL}"}},
        {{"x-amz-algorithm":"AWS4-HMAC-SHA256"}},{{"x-amz-date":"20151229T000000Z"}}{conditions}]}}"#
    );
    let policy = STANDARD.encode(json);
    let now = Timestamp::parse_iso8601(NOW).unwrap();
    let signature = Signer::new(KEY, SECRET, "us-east-1").sign_text(&policy, now);
    let mut fields: Vec<(String, String)> = [
        ("key", "a/${filename}"),
        ("x-amz-credential", CREDENTIAL),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Date", "20151229T000000Z"),
        ("Policy", &policy),
        ("X-Amz-Signature", &signature),
    ]
    .iter()
    .chain(more)
    .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
    .collect();
    change(&mut fields);
    fields
}

async fn read_pieces(pieces: Box<dyn Body>) -> Result<Form, Fault> {
    read_under(HeaderMap::new(), pieces).await
}

async fn read_under(mut head: HeaderMap, pieces: Box<dyn Body>) -> Result<Form, Fault> {
    let content_type = format!("multipart/form-data; boundary={EDGE}");
    head.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
    let own = RegionId::new("us-east-1");
    let facts = Facts {
        keys: &OneKey,
        regions: RegionNames {
            own: &own,
            aliases: &[],
        },
        now: Timestamp::parse_iso8601(NOW).unwrap(),
    };
    read(pieces, &head, &BucketName::new("bkt").unwrap(), &facts).await
}

/// The file's bytes, or why they are refused.
async fn drink(form: &mut Form) -> Result<Bytes, (BodyError, Option<&'static str>)> {
    let mut all = BytesMut::new();
    while let Some(piece) = form.body.next().await {
        let fault = || form.reply.fault.get().map(|e| e.kind.name());
        all.extend_from_slice(&piece.map_err(|e| (e, fault()))?);
    }
    Ok(all.freeze())
}

fn borrowed(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect()
}

async fn outcome(fields: &[(String, String)], file: &[u8]) -> Result<Form, &'static str> {
    let body = multipart(&borrowed(fields), Some(("f", file)));
    read_pieces(pieces(&[&body]))
        .await
        .map_err(|e| e.kind.name())
}

#[tokio::test]
async fn s14_a_form_reads_the_same_wherever_it_is_cut() {
    let edge = format!("\r\n--{EDGE}");
    // Almost the boundary, again and again.
    let mut file = b"\r\r\n\r\n-\r\n--".to_vec();
    file.extend_from_slice(&edge.as_bytes()[..edge.len() - 1]);
    file.extend_from_slice(b"\r\n--\r");
    let fields = signed("", &[], |_| {});
    let mut body = multipart(&borrowed(&fields), Some(("C:\\dir\\f.txt", &file)));
    body.extend_from_slice(b"what follows is ignored");
    for cut in 0..=body.len() {
        let mut form = read_pieces(pieces(&[&body[..cut], &body[cut..]]))
            .await
            .unwrap();
        assert_eq!(&*form.key, "a/f.txt");
        assert_eq!(drink(&mut form).await.unwrap(), file, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    let mut form = read_pieces(pieces(&bytes)).await.unwrap();
    assert_eq!(drink(&mut form).await.unwrap(), file);
}

#[tokio::test]
async fn s14_a_form_that_breaks_off_is_refused_wherever_it_does() {
    let fields = signed("", &[], |_| {});
    let body = multipart(&borrowed(&fields), Some(("f", b"content")));
    // Only the line end behind the closing boundary may be missing.
    for cut in 0..body.len() - 4 {
        let refused = match read_pieces(pieces(&[&body[..cut]])).await {
            Err(error) => error.kind.name(),
            Ok(mut form) => drink(&mut form).await.unwrap_err().1.unwrap(),
        };
        assert_eq!(refused, "MalformedPOSTRequest", "cut at {cut}");
    }
}

#[tokio::test]
async fn s14_malformed_forms_are_refused() {
    let good = multipart(&[("key", "k")], Some(("f", b"x")));
    let good = String::from_utf8(good).unwrap();
    for (from, to, code) in [
        (
            "form-data; name=\"key\"",
            "form-data",
            "MalformedPOSTRequest",
        ),
        (
            "form-data; name=\"key\"",
            "attachment; name=\"key\"",
            "MalformedPOSTRequest",
        ),
        (
            "name=\"key\"",
            "name=\"key\"; name=\"k2\"",
            "MalformedPOSTRequest",
        ),
        ("name=\"key\"", "name=\"\"", "MalformedPOSTRequest"),
        ("name=\"key\"", "name=\"key", "MalformedPOSTRequest"),
        ("name=\"key\"", "name=\"other\"", "InvalidArgument"),
        ("name=\"file\"", "name=\"files\"", "InvalidArgument"),
        ("--\r\n", "", "MalformedPOSTRequest"),
        (
            "Content-Type: text/plain",
            "no colon",
            "MalformedPOSTRequest",
        ),
        (
            "Content-Type: text/plain",
            "Content-Transfer-Encoding: base64",
            "MalformedPOSTRequest",
        ),
        ("\r\n\r\nk\r\n", "\r\n\r\n\r\n", "InvalidArgument"),
    ] {
        let bad = good.replacen(from, to, if from == "--\r\n" { 9 } else { 1 });
        assert_ne!(bad, good, "{from}");
        let refused = match read_pieces(pieces(&[bad.as_bytes()])).await {
            Err(error) => error.kind.name(),
            Ok(mut form) => drink(&mut form).await.unwrap_err().1.unwrap(),
        };
        assert_eq!(refused, code, "{from:?} -> {to:?}");
    }
    let twice = multipart(&[("key", "k"), ("KEY", "l")], Some(("f", b"x")));
    let refused = read_pieces(pieces(&[&twice])).await.err().unwrap();
    assert_eq!(refused.kind, FaultKind::InvalidArgument);
    let none = multipart(&[("key", "k")], None);
    let refused = read_pieces(pieces(&[&none])).await.err().unwrap();
    let message = "POST requires exactly one file upload per request.";
    assert_eq!(refused.message.as_deref(), Some(message));
}

#[tokio::test]
async fn s14_fields_are_at_most_20_kib() {
    let with = |n: usize| {
        let long = "x".repeat(n);
        multipart(&[("key", "k"), ("x-ignore-long", &long)], Some(("f", b"y")))
    };
    let rest = with(0).windows(4).rposition(|w| w == b"\r\n\r\n").unwrap() + 4;
    let most = fields::FIELDS_BYTES_MAX - rest;
    assert!(read_pieces(pieces(&[&with(most)])).await.is_ok());
    for bytes in [most + 1, 1 << 20] {
        let body = with(bytes);
        for step in [body.len(), 1000] {
            let cut: Vec<&[u8]> = body.chunks(step).collect();
            let error = read_pieces(pieces(&cut)).await.err().unwrap();
            assert_eq!(error.kind, FaultKind::MaxPostPreDataLengthExceeded);
        }
    }
    // Nor does a name that is put in often make more of them.
    let often = "${filename}".repeat(1000);
    let name = "n".repeat(1000);
    let body = multipart(&[("key", "k"), ("x-ignore-a", &often)], Some((&name, b"y")));
    let error = read_pieces(pieces(&[&body])).await.err().unwrap();
    assert_eq!(error.kind, FaultKind::MaxPostPreDataLengthExceeded);
}

#[tokio::test]
async fn s14_who_sends_a_form_is_verified() {
    let good = outcome(&signed("", &[], |_| {}), b"x").await.unwrap();
    assert_eq!(&**good.identity.account().unwrap(), "000000000001");
    let set = |name: &'static str, value: &'static str| {
        signed("", &[], move |fields| {
            for field in fields.iter_mut().filter(|f| f.0.eq_ignore_ascii_case(name)) {
                field.1 = value.to_owned();
            }
        })
    };
    let strange = "AKIAIOSFODNN7EXAMPLF/20151229/us-east-1/s3/aws4_request";
    let elsewhere = "AKIAIOSFODNN7EXAMPLE/20151229/eu-west-9/s3/aws4_request";
    let service = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/ec2/aws4_request";
    let day = "AKIAIOSFODNN7EXAMPLE/20151228/us-east-1/s3/aws4_request";
    for (fields, code) in [
        (set("x-amz-credential", strange), "InvalidAccessKeyId"),
        (
            set("x-amz-credential", elsewhere),
            "AuthorizationHeaderMalformed",
        ),
        (set("x-amz-credential", service), "InvalidArgument"),
        (set("x-amz-credential", day), "InvalidArgument"),
        (set("x-amz-algorithm", "AWS4-HMAC-SHA1"), "InvalidArgument"),
        (set("x-amz-date", "20151229"), "InvalidArgument"),
        (set("x-amz-date", "20151229T000001Z"), "AccessDenied"),
        (set("x-amz-signature", "00"), "SignatureDoesNotMatch"),
        (set("policy", "e30="), "SignatureDoesNotMatch"),
        (set("key", ""), "InvalidArgument"),
    ] {
        let found = outcome(&fields, b"x").await.err();
        assert_eq!(found, Some(code), "{fields:?}");
    }
    for missing in [
        "policy",
        "x-amz-signature",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-algorithm",
    ] {
        let fields = signed("", &[], |f| {
            f.retain(|f| !f.0.eq_ignore_ascii_case(missing))
        });
        let found = outcome(&fields, b"x").await.err();
        assert_eq!(found, Some("InvalidArgument"), "{missing}");
    }
    let nobody = [("key".to_owned(), "k".to_owned())];
    let nobody = outcome(&nobody, b"x").await.unwrap();
    assert_eq!(nobody.identity, Identity::Anonymous);
}

#[tokio::test]
async fn s14_a_policy_for_another_bucket_opens_no_other() {
    // The form names the bucket that the policy wants; the URL decides.
    let other = signed("", &[("bucket", "other")], |_| {});
    assert_eq!(outcome(&other, b"x").await.err(), Some("InvalidArgument"));
    let for_other = r#",{"bucket":"other"}"#;
    let fields = signed(for_other, &[], |_| {});
    assert_eq!(outcome(&fields, b"x").await.err(), Some("AccessDenied"));
    let fields = signed("", &[("bucket", "bkt")], |_| {});
    assert!(outcome(&fields, b"x").await.is_ok());
}

#[tokio::test]
async fn s14_the_file_keeps_to_its_range() {
    let fields = signed(r#",["content-length-range",2,4]"#, &[], |_| {});
    for (file, code) in [
        (&b"1"[..], Some("EntityTooSmall")),
        (b"12", None),
        (b"1234", None),
        (b"12345", Some("EntityTooLarge")),
        (b"", Some("EntityTooSmall")),
    ] {
        let mut form = outcome(&fields, file).await.unwrap();
        let found = drink(&mut form).await.err().and_then(|e| e.1);
        assert_eq!(found, code, "{file:?}");
    }
}

#[tokio::test]
async fn fields_become_headers() {
    let xml = "<Tagging><TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag></TagSet></Tagging>";
    let covered = r#",["starts-with","$content-type",""],["starts-with","$x-amz-meta-n",""],
        ["starts-with","$tagging",""],["starts-with","$acl",""],
        ["starts-with","$success_action_status",""]"#;
    let more = [
        ("Content-Type", "text/html"),
        ("x-amz-meta-N", "${filename}"),
        ("tagging", xml),
        ("acl", "private"),
        ("success_action_status", "201"),
    ];
    let form = outcome(&signed(covered, &more, |_| {}), b"x")
        .await
        .unwrap();
    let header = |name: &str| form.headers.get(name).map(|v| v.to_str().unwrap());
    assert_eq!(header("content-type"), Some("text/html"));
    assert_eq!(header("x-amz-meta-n"), Some("f"));
    assert_eq!(header("x-amz-tagging"), Some("a%20b=1%262"));
    assert_eq!(header("x-amz-acl"), Some("private"));
    assert_eq!(form.headers.len(), 4, "{:?}", form.headers);
    assert_eq!(form.reply.status.as_deref(), Some("201"));
    let split = [("content-type", "a\r\nset-cookie: b")];
    let fields = signed(r#",["starts-with","$content-type",""]"#, &split, |_| {});
    assert_eq!(outcome(&fields, b"x").await.err(), Some("InvalidArgument"));
}

#[tokio::test]
async fn s14_what_a_form_cannot_ask_for_is_refused_by_name() {
    let fields = signed("", &[], |_| {});
    let body = multipart(&borrowed(&fields), Some(("f", b"x")));
    let under = async |name: &'static str, value: &'static str| {
        let mut head = HeaderMap::new();
        head.insert(name, HeaderValue::from_static(value));
        let read = read_under(head, pieces(&[&body])).await;
        read.map_err(|e| (e.kind.name(), e.message.unwrap_or_default()))
    };
    for name in [
        "if-none-match",
        "if-match",
        "content-md5",
        "x-amz-acl",
        "x-amz-checksum-sha256",
        "x-amz-server-side-encryption",
        "x-amz-object-lock-mode",
        "x-dhow-if-state",
    ] {
        let (code, text) = under(name, "*").await.err().unwrap();
        assert_eq!(code, "NotImplemented", "{name}");
        assert!(text.contains(name), "{text}");
    }
    for name in ["x-amz-date", "x-amz-user-agent", "accept"] {
        assert!(under(name, "a").await.is_ok(), "{name}");
    }
    let form = under("x-amz-expected-bucket-owner", "000000000009").await;
    let owner = form.unwrap().headers.remove("x-amz-expected-bucket-owner");
    assert_eq!(owner.unwrap(), "000000000009");
    // A field is no condition either, and says each thing once.
    let condition = |name: &str| format!(r#",["starts-with","${name}",""]"#);
    let fields = signed(
        &condition("if-none-match"),
        &[("If-None-Match", "*")],
        |_| {},
    );
    assert_eq!(outcome(&fields, b"x").await.err(), Some("NotImplemented"));
    let twice = [("acl", "private"), ("x-amz-acl", "public-read")];
    let both = [condition("acl"), condition("x-amz-acl")].concat();
    let fields = signed(&both, &twice, |_| {});
    assert_eq!(outcome(&fields, b"x").await.err(), Some("InvalidArgument"));
}

#[test]
fn boundaries_are_read_as_clients_write_them() {
    let read = |text: &str| fields::delimiter(text).map(|d| String::from_utf8(d).unwrap());
    for (text, boundary) in [
        ("multipart/form-data; boundary=abc", Some("abc")),
        (
            "multipart/form-data; charset=utf-8; Boundary=\"a b\"",
            Some("a b"),
        ),
        ("multipart/form-data;boundary=abc;x=y", Some("abc")),
        ("multipart/form-data", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=\"a", None),
        ("multipart/form-data; boundary=a; boundary=b", None),
        ("multipart/form-data; boundary=\u{fc}", None),
    ] {
        let expected = boundary.map(|b| format!("\r\n--{b}"));
        assert_eq!(read(text), expected, "{text}");
    }
    let long = |n| read(&format!("multipart/form-data; boundary={}", "b".repeat(n)));
    assert!(long(70).is_some() && long(71).is_none());
}

/// "Examples: Browser-based upload using HTTP POST (Using AWS Signature Version 4)", S3 API
/// reference: the document with the line ends that its base64 has.
#[test]
fn s14_the_published_example_verifies() {
    let json = concat!(
        "{ \"expiration\": \"2015-12-30T12:00:00.000Z\",\r\n",
        "  \"conditions\": [\r\n",
        "    {\"bucket\": \"sigv4examplebucket\"},\r\n",
        "    [\"starts-with\", \"$key\", \"user/user1/\"],\r\n",
        "    {\"acl\": \"public-read\"},\r\n",
        "    {\"success_action_redirect\": ",
        "\"http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html\"},\r\n",
        "    [\"starts-with\", \"$Content-Type\", \"image/\"],\r\n",
        "    {\"x-amz-meta-uuid\": \"14365123651274\"},\r\n",
        "    {\"x-amz-server-side-encryption\": \"AES256\"},\r\n",
        "    [\"starts-with\", \"$x-amz-meta-tag\", \"\"],\r\n",
        "\r\n",
        "    {\"x-amz-credential\": ",
        "\"AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request\"},\r\n",
        "    {\"x-amz-algorithm\": \"AWS4-HMAC-SHA256\"},\r\n",
        "    {\"x-amz-date\": \"20151229T000000Z\" }\r\n",
        "  ]\r\n}",
    );
    let mut fields = Fields::default();
    let policy = STANDARD.encode(json);
    for (name, value) in [
        ("bucket", "sigv4examplebucket"),
        ("key", "user/user1/me.png"),
        ("acl", "public-read"),
        (
            "success_action_redirect",
            "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
        ),
        ("Content-Type", "image/jpeg"),
        ("x-amz-meta-uuid", "14365123651274"),
        ("x-amz-server-side-encryption", "AES256"),
        ("X-Amz-Credential", CREDENTIAL),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Date", "20151229T000000Z"),
        ("x-amz-meta-tag", ""),
        ("Policy", &policy),
        (
            "X-Amz-Signature",
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
        ),
    ] {
        assert!(fields.add(name, value.to_owned()));
    }
    let own = RegionId::new("us-east-1");
    let facts = Facts {
        keys: &OneKey,
        regions: RegionNames {
            own: &own,
            aliases: &[],
        },
        now: Timestamp::parse_iso8601(NOW).unwrap(),
    };
    let (identity, length) = identify(&fields, AuthType::PostPolicy, &facts).unwrap();
    assert_eq!(&**identity.account().unwrap(), "000000000001");
    assert_eq!(length, None);
}
