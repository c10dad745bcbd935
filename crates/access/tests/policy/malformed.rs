//! What is refused when it is written, and where.

use access::policy::{Document, DocumentKind, PolicyFault};

use crate::{common::BUCKET, generate::Random};

fn refused(
    text: &str,
    kind: DocumentKind<'_>,
    message: &str,
    place: (Option<usize>, usize, usize),
) {
    let error = match Document::parse(text, kind) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error,
    };
    assert_eq!(error.message(), message, "{text}");
    let (line, column) = (error.line().unwrap_or(0), error.column().unwrap_or(0));
    assert_eq!((error.statement(), line, column), place, "{text} {error}");
    assert_eq!(error.fault(), PolicyFault::Malformed);
}

/// In a bucket's policy, all on one line.
fn of_bucket(text: &str, message: &str, statement: impl Into<Option<usize>>, column: usize) {
    let place = (statement.into(), 1, column);
    refused(text, DocumentKind::Bucket(BUCKET), message, place);
}

const NOT_JSON: &str = "Policies must be valid JSON and the first byte must be '{'";

#[test]
fn documents_that_are_none_are_refused_where_they_are_wrong() {
    for (text, message, column) in [
        ("", NOT_JSON, 1),
        ("[]", NOT_JSON, 1),
        (" {}", NOT_JSON, 1),
        ("{\"Statement\": [}", NOT_JSON, 16),
        ("{}", "Missing required field Statement", 1),
        (
            "{\"Statement\": []}",
            "Missing required field Statement",
            15,
        ),
        (
            "{\"Version\": \"2012-10-17\", \"Version\": 1}",
            NOT_JSON,
            27,
        ),
        (
            "{\"Version\": \"2013-10-17\"}",
            "The policy must contain a valid version string",
            13,
        ),
        (
            "{\"Version\": 2012}",
            "The policy must contain a valid version string",
            13,
        ),
        ("{\"version\": \"2012-10-17\"}", "Unknown field version", 2),
        ("{\"Id\": 1}", "Unknown field Id", 2),
        ("{\"Statement\": {}} x", NOT_JSON, 19),
    ] {
        of_bucket(text, message, None, column);
    }
    of_bucket("{\"Statement\": [[]]}", NOT_JSON, 1, 16);
    let deep = format!("{{\"Statement\": {}", "[".repeat(9));
    of_bucket(&deep, NOT_JSON, None, 22);
}

#[test]
fn lines_and_statements_are_counted() {
    let text = "{\n  \"Statement\": [\n    {\"Effect\": \"Allow\", \"Principal\": \"*\",\n      \
                \"Action\": \"s3:GetObject\", \"Resource\": \"arn:aws:s3:::photos/*\"},\n    \
                {\"Sid\": \"é\", \"Effect\": \"allow\"}\n  ]\n}\n";
    let kind = DocumentKind::Bucket(BUCKET);
    refused(text, kind, "Invalid effect: allow", (Some(2), 5, 28));
}

/// A statement of a bucket's policy with one element changed.
fn with(name: &str, value: &str) -> String {
    let mut elements = vec![
        ("Effect", "\"Allow\""),
        ("Principal", "\"*\""),
        ("Action", "\"s3:GetObject\""),
        ("Resource", "\"arn:aws:s3:::photos/*\""),
    ];
    match elements.iter_mut().find(|(own, _)| *own == name) {
        Some(element) => element.1 = value,
        None => elements.push((name, value)),
    }
    elements.retain(|(_, value)| !value.is_empty());
    let elements: Vec<String> = elements
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!(
        "{{\"Version\":\"2012-10-17\",\"Statement\":[{{{}}}]}}",
        elements.join(",")
    )
}

/// Where an element's value begins.
fn place_of(text: &str, part: &str) -> usize {
    let at = text
        .rfind(part)
        .unwrap_or_else(|| panic!("{part} in {text}"));
    text[..at].chars().count() + 1
}

#[test]
fn each_element_is_checked_where_it_stands() {
    for (name, value, message, at) in [
        (
            "Effect",
            "",
            "Missing required field Effect",
            "{\"Principal",
        ),
        ("Effect", "\"ALLOW\"", "Invalid effect: ALLOW", "\"ALLOW\""),
        (
            "Effect",
            "[\"Allow\"]",
            "Invalid effect: no text",
            "[\"Allow\"]",
        ),
        (
            "Principal",
            "",
            "Missing required field Principal",
            "{\"Effect",
        ),
        ("Action", "", "Missing required field Action", "{\"Effect"),
        (
            "Resource",
            "",
            "Missing required field Resource",
            "{\"Effect",
        ),
        ("Action", "[]", "Policy has invalid action", "[],"),
        (
            "Action",
            "\"GetObject\"",
            "Policy has invalid action",
            "\"GetObject\"",
        ),
        ("Action", "\"s3:\"", "Policy has invalid action", "\"s3:\""),
        (
            "Action",
            "\"s3:GetObjekt\"",
            "Policy has invalid action",
            "\"s3:GetObjekt\"",
        ),
        (
            "Action",
            "[\"s3:GetObject\",\"s3:Nothing*\"]",
            "Policy has invalid action",
            "\"s3:Noth",
        ),
        (
            "Action",
            "\"iam:*\"",
            "Policy has invalid action",
            "\"iam:*\"",
        ),
        (
            "Action",
            "\"s*:GetObject\"",
            "Policy has invalid action",
            "\"s*:",
        ),
        (
            "Action",
            "\"s3:ReplicateFrom\"",
            "Policy has invalid action",
            "\"s3:Repl",
        ),
        ("Action", "1", "Policy has invalid action", "1,\"Resource"),
        (
            "NotAction",
            "\"s3:GetObject\"",
            "Unknown field NotAction",
            "\"NotAction",
        ),
        (
            "NotResource",
            "\"*\"",
            "Unknown field NotResource",
            "\"NotResource",
        ),
        (
            "NotPrincipal",
            "\"*\"",
            "Unknown field NotPrincipal",
            "\"NotPrincipal",
        ),
        ("effect", "\"Allow\"", "Unknown field effect", "\"effect"),
        (
            "Conditions",
            "{}",
            "Unknown field Conditions",
            "\"Conditions",
        ),
        ("Sid", "1", "Invalid Sid: no text", "1}"),
        (
            "Condition",
            "[]",
            "Policy has an invalid condition key",
            "[]}",
        ),
    ] {
        let text = with(name, value);
        of_bucket(&text, message, 1, place_of(&text, at));
    }
}

#[test]
fn a_buckets_resources_are_its_own() {
    const WRONG: &str = "Policy has invalid resource";
    for resource in [
        "*",
        "arn:aws:s3:::*",
        "arn:aws:s3:::photo/*",
        "arn:aws:s3:::photos2/*",
        "arn:aws:s3:::photos?/*",
        "arn:aws:s3:::ph*/*",
        "arn:aws:s3:::Photos/*",
        "arn:aws:s3:::",
        "arn:aws-cn:s3:::photos/*",
        "arn:aws:s3:eu-west-1::photos/*",
        "arn:aws:s3::111122223333:photos/*",
        "arn:aws:s3:*:*:photos/*",
        "arn:aws:iam::111122223333:user/ann",
        "arn:aws:s3:::photos/${aws:username",
        "arn:aws:s3:::photos/${aws:username, 'a}",
        "arn:aws:s3:::photos/${aws:username, a}",
        "arn:aws:s3:::photos/${nothing}",
        "arn:aws:s3:::photos/${}",
        "arn:aws:s3:::photos/${aws:TagKeys}",
        "photos/*",
        "",
    ] {
        let text = with("Resource", &format!("{resource:?}"));
        of_bucket(&text, WRONG, 1, place_of(&text, &format!("{resource:?}")));
    }
    let apply = "Action does not apply to any resource(s) in statement";
    for (action, resource) in [
        ("s3:ListBucket", "arn:aws:s3:::photos/*"),
        ("s3:GetObject", "arn:aws:s3:::photos"),
        ("s3:ListAllMyBuckets", "arn:aws:s3:::photos*"),
        ("s3:CreateJob", "arn:aws:s3:::photos*"),
    ] {
        let text = format!(
            "{{\"Statement\":{{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":[\"s3:*\",\
             {action:?}],\"Resource\":{resource:?}}}}}"
        );
        of_bucket(&text, apply, 1, place_of(&text, action) - 1);
    }
    for resource in [
        "arn:aws:s3:::photos*",
        "arn:aws:s3:::photos/${aws:username, 'x y'}/*",
    ] {
        let text = with("Resource", &format!("{resource:?}"));
        assert!(
            Document::parse(&text, DocumentKind::Bucket(BUCKET)).is_ok(),
            "{text}"
        );
    }
}

#[test]
fn principals_are_whole_names() {
    const WRONG: &str = "Invalid principal in policy";
    for (kind, name) in [
        ("AWS", "arn:aws:iam::111122223333:user/*"),
        ("AWS", "arn:aws:iam::111122223333:user/an?"),
        ("AWS", "arn:aws:iam::*:root"),
        ("AWS", "arn:aws:iam::111122223333:group/staff"),
        ("AWS", "arn:aws:iam::111122223333:root/ann"),
        ("AWS", "arn:aws:iam::111122223333:Root"),
        ("AWS", "arn:aws:iam::111122223333:user"),
        ("AWS", "arn:aws:iam::111122223333:user/"),
        ("AWS", "arn:aws:iam::111122223333:user//ann"),
        ("AWS", "arn:aws:iam::11112222333:user/ann"),
        ("AWS", "arn:aws:iam:eu-west-1:111122223333:user/ann"),
        ("AWS", "arn:aws:iam::111122223333:user/${aws:username}"),
        ("AWS", "arn:aws:sts::111122223333:assumed-role/reader"),
        (
            "AWS",
            "arn:aws:sts::111122223333:assumed-role/jobs/reader/today",
        ),
        ("AWS", "arn:aws:sts::111122223333:federated-user/a/b"),
        ("AWS", "arn:aws:iam::111122223333:assumed-role/reader/today"),
        ("AWS", "11112222333"),
        ("AWS", "1111222233334"),
        ("AWS", "ann"),
        ("AWS", "AIDA"),
        ("AWS", ""),
        ("CanonicalUser", "65a011a29cdf8ec533ec3d1ccaae921"),
        ("Service", "*"),
        ("Service", "logging"),
        ("Service", "Logging.s3.amazonaws.com"),
        ("Federated", "*"),
        ("Federated", ""),
        ("aws", "111122223333"),
        ("Group", "staff"),
    ] {
        let text = with("Principal", &format!("{{{kind:?}:{name:?}}}"));
        of_bucket(&text, WRONG, 1, place_of(&text, &format!("{name:?}}}")));
    }
    for value in ["\"111122223333\"", "{}", "[\"*\"]", "null", "1"] {
        let text = with("Principal", value);
        of_bucket(
            &text,
            WRONG,
            1,
            place_of(&text, &format!("{value},\"Action")),
        );
    }
    let text = with("Principal", "{\"AWS\":[]}");
    of_bucket(&text, WRONG, 1, place_of(&text, "[]"));
}

#[test]
fn conditions_are_checked_when_they_are_written() {
    const KEY: &str = "Policy has an invalid condition key";
    for (operator, key, value, message, at) in [
        (
            "StringEqual",
            "s3:prefix",
            "\"a\"",
            "Invalid Condition type : StringEqual",
            "\"StringEqual\"",
        ),
        (
            "NullIfExists",
            "s3:prefix",
            "true",
            "Invalid Condition type : NullIfExists",
            "\"NullIf",
        ),
        (
            "ForAllValues:Null",
            "s3:prefix",
            "true",
            "Invalid Condition type : ForAllValues:Null",
            "\"ForAll",
        ),
        ("StringEquals", "s3:nothing", "\"a\"", KEY, "\"s3:nothing\""),
        (
            "StringEquals",
            "aws:PrincipalTag",
            "\"a\"",
            KEY,
            "\"aws:PrincipalTag\"",
        ),
        ("StringEquals", "prefix", "\"a\"", KEY, "\"prefix\""),
        (
            "StringEquals",
            "accounts.example.com:aud",
            "\"a\"",
            KEY,
            "\"accounts",
        ),
        ("StringEquals", "s3:prefix", "[]", KEY, "\"s3:prefix\""),
        (
            "StringEquals",
            "s3:prefix",
            "null",
            "Invalid Condition value : no text, number or boolean",
            "null",
        ),
        (
            "StringEquals",
            "s3:prefix",
            "[[\"a\"]]",
            "Invalid Condition value : no text, number or boolean",
            "[\"a\"]",
        ),
        (
            "StringEquals",
            "s3:prefix",
            "\"${aws:nothing}\"",
            "Invalid Condition value : ${aws:nothing}",
            "\"${",
        ),
        (
            "NumericLessThan",
            "s3:max-keys",
            "\"ten\"",
            "Invalid Condition value : ten",
            "\"ten\"",
        ),
        (
            "NumericLessThan",
            "s3:max-keys",
            "1e2",
            "Invalid Condition value : 1e2",
            "1e2",
        ),
        (
            "NumericLessThan",
            "s3:max-keys",
            "\"${s3:max-keys}\"",
            "Invalid Condition value : ${s3:max-keys}",
            "\"${",
        ),
        (
            "DateLessThan",
            "aws:CurrentTime",
            "\"soon\"",
            "Invalid Condition value : soon",
            "\"soon\"",
        ),
        (
            "Bool",
            "aws:SecureTransport",
            "\"yes\"",
            "Invalid Condition value : yes",
            "\"yes\"",
        ),
        (
            "Null",
            "s3:prefix",
            "\"\"",
            "Invalid Condition value : ",
            "\"\"}",
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            "\"203.0.113.0/33\"",
            "Invalid Condition value : 203.0.113.0/33",
            "\"203",
        ),
        (
            "IpAddress",
            "aws:SourceIp",
            "\"203.0.113.*\"",
            "Invalid Condition value : 203.0.113.*",
            "\"203",
        ),
        (
            "BinaryEquals",
            "s3:prefix",
            "\"a\"",
            "Invalid Condition value : a",
            "\"a\"}",
        ),
        (
            "ArnLike",
            "aws:PrincipalArn",
            "\"arn:aws:iam\"",
            "Invalid Condition value : arn:aws:iam",
            "\"arn:aws:iam\"",
        ),
    ] {
        let text = with(
            "Condition",
            &format!("{{{operator:?}:{{{key:?}:{value}}}}}"),
        );
        of_bucket(&text, message, 1, place_of(&text, at));
    }
}

#[test]
fn other_documents_have_rules_of_their_own() {
    let statement = |rest: &str| {
        format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",{rest}}}]}}")
    };
    let plain = statement("\"Action\":\"s3:*\",\"Resource\":\"*\"");
    let identity = [
        DocumentKind::Identity,
        DocumentKind::Session,
        DocumentKind::Boundary,
        DocumentKind::Guard,
    ];
    for kind in identity {
        assert!(Document::parse(&plain, kind).is_ok());
        assert!(Document::parse(&format!(" {plain}"), kind).is_ok());
        let principal = statement("\"Principal\":\"*\",\"Action\":\"s3:*\",\"Resource\":\"*\"");
        let sentence = "Policy document should not specify a principal.";
        refused(
            &principal,
            kind,
            sentence,
            (Some(1), 1, place_of(&principal, "\"Principal")),
        );
        let id = plain.replace("{\"Version", "{\"Id\":\"a\",\"Version");
        refused(&id, kind, "Unknown field Id", (None, 1, 2));
        let sid = statement("\"Sid\":\"a b\",\"Action\":\"s3:*\",\"Resource\":\"*\"");
        let sentence = "Statement IDs (SID) must be alpha-numeric";
        refused(
            &sid,
            kind,
            sentence,
            (Some(1), 1, place_of(&sid, "\"a b\"")),
        );
        let wide = statement("\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::ż/*\"");
        refused(&wide, kind, NOT_JSON, (None, 1, place_of(&wide, "ż")));
        // What does not exist may be named: it is about nothing.
        let dead =
            statement("\"Action\":[\"s3:Nothing\",\"ec2:*\"],\"Resource\":\"arn:a:b:c:d:e\"");
        assert!(Document::parse(&dead, kind).is_ok());
        let two = "{\"Statement\":[{\"Sid\":\"a\",\"Effect\":\"Deny\",\"Action\":\"*\",\
                   \"Resource\":\"*\"},{\"Sid\":\"a\",\"Effect\":\"Deny\",\"Action\":\"*\",\
                   \"Resource\":\"*\"}]}";
        let sentence = "Statement IDs (SID) in a single policy must be unique";
        refused(two, kind, sentence, (Some(2), 1, place_of(two, "\"a\"")));
    }
    let trust = statement("\"Principal\":{\"AWS\":\"111122223333\"},\"Action\":\"sts:AssumeRole\"");
    assert!(Document::parse(&trust, DocumentKind::Trust).is_ok());
    let resource = trust.replace("\"Action\"", "\"Resource\":\"*\",\"Action\"");
    let place = (Some(1), 1, place_of(&resource, "\"Resource"));
    refused(
        &resource,
        DocumentKind::Trust,
        "Unknown field Resource",
        place,
    );
    let other = trust.replace("sts:AssumeRole", "s3:GetObject");
    let place = (Some(1), 1, place_of(&other, "\"s3:"));
    refused(
        &other,
        DocumentKind::Trust,
        "Policy has invalid action",
        place,
    );
}

#[test]
fn documents_are_no_larger_than_their_kind_allows() {
    let of = |count: usize, filler: usize| {
        let mut text = String::from("{\"Statement\":[");
        for n in 0..count {
            let comma = if n > 0 { "," } else { "" };
            text.push_str(&format!(
                "{comma}{{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}}"
            ));
        }
        text.push_str("]}");
        let sid = format!("{{\"Sid\":\"{}\",\"Effect\"", "a".repeat(filler));
        text.replacen("{\"Effect\"", &sid, 1)
    };
    let kind = DocumentKind::Session;
    let most = kind.bytes_max();
    let fits = of(1, most - of(1, 0).len());
    assert_eq!(fits.len(), most);
    let document = Document::parse(&fits, kind).unwrap();
    assert_eq!(document.bytes(), most);
    // White space does not count.
    assert!(Document::parse(&fits.replace(',', " ,\n\t "), kind).is_ok());
    let error = Document::parse(&of(1, most - of(1, 0).len() + 1), kind).unwrap_err();
    assert_eq!(error.fault(), PolicyFault::TooLarge);
    assert_eq!(
        error.message(),
        "Normalized policy document exceeds the maximum allowed size of 2048 bytes"
    );
    assert!(Document::parse(&of(200, 0), DocumentKind::Identity).is_ok());
    let error = Document::parse(&of(201, 0), DocumentKind::Identity).unwrap_err();
    assert_eq!(error.fault(), PolicyFault::TooLarge);
    let blank = format!("{{{}}}", " ".repeat(300_000));
    let error = Document::parse(&blank, DocumentKind::Identity).unwrap_err();
    assert_eq!(error.fault(), PolicyFault::TooLarge);
    let many = |pattern: &str, count: usize| {
        let resources = vec![format!("\"arn:aws:s3:::{pattern}\""); count].join(",");
        let text = format!(
            "{{\"Statement\":{{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":[{resources}]}}}}"
        );
        Document::parse(&text, DocumentKind::Identity)
    };
    assert!(many("a*", 400).is_ok());
    assert!(many("a", 500).is_ok());
    assert_eq!(many("a", 501).unwrap_err().fault(), PolicyFault::TooLarge);
    assert!(many("*a", 64).is_ok());
    assert_eq!(
        many("*a", 65).unwrap_err().message(),
        "Policy has invalid resource"
    );
}

/// Texts that are almost documents: nothing panics, and what is accepted is accepted again.
#[test]
fn no_text_is_too_strange() {
    let seeds = [
        with(
            "Condition",
            "{\"ForAllValues:StringLikeIfExists\":{\"s3:prefix\":[\"${aws:username, 'a'}*\",1,true]}}",
        ),
        with(
            "Principal",
            "{\"AWS\":[\"arn:aws:iam::111122223333:user/é\",\"*\"],\"Service\":\"a.b\"}",
        ),
        with(
            "Resource",
            "[\"arn:aws:s3:::photos/${*}?*\",\"arn:aws:s3:::photos/\\u0061\\ud83d\\ude00\"]",
        ),
        with(
            "Condition",
            "{\"IpAddress\":{\"aws:SourceIp\":\"::ffff:1.2.3.4/120\"},\"DateLessThan\":{\"aws:CurrentTime\":\"2026-11-29T00:00:00+01:00\"}}",
        ),
    ];
    let kinds = [
        DocumentKind::Bucket(BUCKET),
        DocumentKind::Identity,
        DocumentKind::Trust,
    ];
    let mut random = Random(7);
    let parts: [&str; 14] = [
        "${",
        "}",
        "'",
        "\\u",
        "\\",
        "\"",
        "{",
        "[",
        ":",
        "*",
        "é",
        "\u{0}",
        "9999999999999999999",
        "-",
    ];
    for n in 0..20_000 {
        let mut text = seeds[n % seeds.len()].clone();
        for _ in 0..=random.below(3) {
            let mut at = random.below(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let mut end = (at + random.below(6)).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            let part = if random.one_in(2) {
                ""
            } else {
                random.pick(&parts)
            };
            text.replace_range(at..end, part);
        }
        for kind in kinds {
            match Document::parse(&text, kind) {
                Ok(document) => assert_eq!(Document::parse(&text, kind), Ok(document)),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
    for _ in 0..5_000 {
        let bytes: Vec<u8> = (0..random.below(60))
            .map(|_| random.below(256) as u8)
            .collect();
        let text = String::from_utf8_lossy(&bytes);
        for kind in kinds {
            assert!(Document::parse(&text, kind).is_err());
            assert!(Document::parse(&format!("{{{text}"), kind).is_err());
        }
    }
}

#[test]
fn a_key_that_no_action_of_the_statement_has_is_refused_when_it_is_saved() {
    let unfit = "Conditions do not apply to combination of actions and resources in statement";
    let statement = |action: &str, resource: &str, condition: &str| {
        format!(
            r#"{{"Statement": {{"Effect": "Deny", "Principal": "*", {action},
            "Resource": {resource}, "Condition": {{"StringEquals": {{"{condition}": "1"}}}}}}}}"#
        )
    };
    let save = |text: &str| {
        let kind = DocumentKind::Bucket(BUCKET);
        // One that was saved before stays readable.
        Document::parse(text, kind).unwrap();
        let saved = Document::parse_resolved(text, kind, &|_| None);
        saved.map_err(|error| {
            (
                error.message().to_owned(),
                error.statement(),
                error.column(),
            )
        })
    };
    let (bucket, objects) = (r#""arn:aws:s3:::photos""#, r#""arn:aws:s3:::photos/*""#);
    let both = r#"["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]"#;
    let get = r#""Action": "s3:GetObject""#;
    let get_or_list = r#""Action": ["s3:GetObject", "s3:ListBucket"]"#;
    let all = r#""Action": "s3:*""#;
    let put = r#""Action": "s3:PutObject""#;
    for (action, resource, key) in [
        (get, objects, "s3:prefix"),
        (get, objects, "S3:Max-Keys"),
        (get, objects, "s3:x-amz-acl"),
        (get, objects, "s3:RequestObjectTag/a"),
        (get, objects, "s3:if-none-match"),
        (put, objects, "s3:ExistingObjectTag/a"),
        (all, objects, "s3:prefix"),
        (all, bucket, "s3:x-amz-copy-source"),
        (all, bucket, "s3:VersionId"),
        (put, objects, "s3:x-amz-object-ownership"),
    ] {
        let text = statement(action, resource, key);
        let at = text
            .lines()
            .nth(1)
            .unwrap()
            .find(&format!("\"{key}\""))
            .unwrap()
            + 1;
        let refused = Err((unfit.to_owned(), Some(1), Some(at)));
        assert_eq!(save(&text).map(drop), refused, "{text}");
    }
    for (action, resource, key) in [
        (get_or_list, both, "s3:prefix"),
        (all, both, "s3:prefix"),
        (all, bucket, "s3:prefix"),
        (all, objects, "s3:x-amz-copy-source"),
        (put, objects, "s3:RequestObjectTagKeys"),
        (get, objects, "s3:ExistingObjectTag/a"),
        (get, objects, "s3:TlsVersion"),
        (get, objects, "aws:PrincipalTag/a"),
        (get, objects, "s3:DataAccessPointArn"),
        (r#""Action": "*""#, objects, "s3:prefix"),
        (r#""NotAction": "s3:PutObject""#, objects, "s3:prefix"),
    ] {
        let text = statement(action, resource, key);
        assert!(save(&text).is_ok(), "{text}: {:?}", save(&text).err());
    }
}
