//! Each operator decides a case by itself, both ways.

use access::policy::{Conditions, Decision, Document, Documents, Need, Principal, Steps, UserRef};
use types::Timestamp;

use crate::common::{OWN, identity, read_with, reads, user};

/// Whether a condition holds, asked with an `Allow` and with a `Deny`.
fn holds(condition: &str, principal: &Principal<'_>, conditions: &Conditions<'_>) -> bool {
    let with = |effect: &str| {
        identity(&format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}",
                "Action": "s3:GetObject", "Resource": "*", "Condition": {condition}}}}}"#
        ))
    };
    let decide = |documents: &[Document]| {
        let documents = Documents {
            owner: OWN,
            identity: documents,
            ..Documents::default()
        };
        read_with(principal, &documents, conditions)
    };
    let allowed = decide(&[with("Allow")]).is_allowed();
    let denied = decide(&[with("Deny"), reads()]);
    assert_eq!(
        matches!(denied, Decision::ExplicitDeny(_)),
        allowed,
        "{condition}"
    );
    assert_eq!(denied.is_allowed(), !allowed, "{condition}");
    allowed
}

#[test]
fn each_operator_decides_alone() {
    let conditions = Conditions {
        prefix: Some("a/É"),
        delimiter: Some(""),
        max_keys: Some(10),
        current_time: Some(Timestamp::from_s(1_795_947_630)), // 2026-11-29T10:20:30Z
        source_ip: Some("203.0.113.7".parse().unwrap()),
        secure_transport: Some(true),
        source_arn: Some("arn:aws:iam::111122223333:role/a/b:c"),
        user_agent: Some(b"agent"),
        ..Conditions::default()
    };
    for (operator, key, value, expected) in [
        ("StringEquals", "s3:prefix", r#""a/É""#, true),
        ("StringEquals", "s3:prefix", r#""a/é""#, false),
        ("StringEquals", "s3:prefix", r#""a/*""#, false),
        ("StringEquals", "s3:prefix", r#"["b", "a/É"]"#, true),
        ("StringEquals", "s3:delimiter", r#""""#, true),
        ("StringNotEquals", "s3:prefix", r#""a/É""#, false),
        ("StringNotEquals", "s3:prefix", r#"["b", "a/É"]"#, false),
        ("StringNotEquals", "s3:prefix", r#"["b", "c"]"#, true),
        ("StringEqualsIgnoreCase", "s3:prefix", r#""A/é""#, true),
        ("StringEqualsIgnoreCase", "s3:prefix", r#""A/e""#, false),
        ("StringNotEqualsIgnoreCase", "s3:prefix", r#""A/é""#, false),
        ("StringNotEqualsIgnoreCase", "s3:prefix", r#""b""#, true),
        ("StringLike", "s3:prefix", r#""a/?""#, true),
        ("StringLike", "s3:prefix", r#""A/*""#, false),
        ("StringLike", "s3:prefix", r#""a""#, false),
        ("StringNotLike", "s3:prefix", r#""a/*""#, false),
        ("StringNotLike", "s3:prefix", r#""b/*""#, true),
        ("NumericEquals", "s3:max-keys", r#""10.0""#, true),
        ("NumericEquals", "s3:max-keys", "11", false),
        ("NumericNotEquals", "s3:max-keys", "10", false),
        ("NumericNotEquals", "s3:max-keys", "11", true),
        ("NumericLessThan", "s3:max-keys", "10", false),
        ("NumericLessThan", "s3:max-keys", "10.1", true),
        ("NumericLessThanEquals", "s3:max-keys", "10", true),
        ("NumericLessThanEquals", "s3:max-keys", "9.9", false),
        ("NumericGreaterThan", "s3:max-keys", "10", false),
        ("NumericGreaterThan", "s3:max-keys", "-10", true),
        ("NumericGreaterThanEquals", "s3:max-keys", "10", true),
        ("NumericGreaterThanEquals", "s3:max-keys", "11", false),
        // What is no number never matches, negated or not.
        ("NumericEquals", "s3:prefix", "10", false),
        ("NumericNotEquals", "s3:prefix", "10", false),
        (
            "DateEquals",
            "aws:CurrentTime",
            r#""2026-11-29T11:20:30+01:00""#,
            true,
        ),
        ("DateEquals", "aws:EpochTime", r#""1795947630""#, true),
        ("DateEquals", "aws:CurrentTime", r#""2026-11-29""#, false),
        ("DateNotEquals", "aws:CurrentTime", r#""2026-11-29""#, true),
        (
            "DateNotEquals",
            "aws:CurrentTime",
            r#""2026-11-29T10:20:30Z""#,
            false,
        ),
        (
            "DateLessThan",
            "aws:CurrentTime",
            r#""2026-11-29T10:20:30Z""#,
            false,
        ),
        (
            "DateLessThan",
            "aws:CurrentTime",
            r#""2026-11-29T10:20:30.001Z""#,
            true,
        ),
        (
            "DateLessThanEquals",
            "aws:CurrentTime",
            r#""2026-11-29T10:20:30Z""#,
            true,
        ),
        (
            "DateLessThanEquals",
            "aws:CurrentTime",
            r#""2026-11-29""#,
            false,
        ),
        (
            "DateGreaterThan",
            "aws:CurrentTime",
            r#""2026-11-29""#,
            true,
        ),
        (
            "DateGreaterThan",
            "aws:CurrentTime",
            r#""2026-11-30""#,
            false,
        ),
        (
            "DateGreaterThanEquals",
            "aws:CurrentTime",
            r#""1795947630""#,
            true,
        ),
        (
            "DateGreaterThanEquals",
            "aws:CurrentTime",
            r#""1795947631""#,
            false,
        ),
        ("Bool", "aws:SecureTransport", r#""true""#, true),
        ("Bool", "aws:SecureTransport", "false", false),
        ("Bool", "s3:prefix", "false", false),
        ("BinaryEquals", "aws:UserAgent", r#""YWdlbnQ=""#, true),
        ("BinaryEquals", "aws:UserAgent", r#""YWdlbnR=""#, true),
        ("BinaryEquals", "aws:UserAgent", r#""YWdlbg==""#, false),
        ("IpAddress", "aws:SourceIp", r#""203.0.113.0/24""#, true),
        (
            "IpAddress",
            "aws:SourceIp",
            r#"["10.0.0.0/8", "203.0.113.7"]"#,
            true,
        ),
        ("IpAddress", "aws:SourceIp", r#""203.0.113.8""#, false),
        ("IpAddress", "aws:SourceIp", r#""::/0""#, false),
        ("NotIpAddress", "aws:SourceIp", r#""203.0.113.0/24""#, false),
        ("NotIpAddress", "aws:SourceIp", r#""10.0.0.0/8""#, true),
        (
            "ArnEquals",
            "aws:SourceArn",
            r#""arn:aws:iam::*:role/*""#,
            true,
        ),
        (
            "ArnLike",
            "aws:SourceArn",
            r#""arn:aws:iam::111122223333:role/a/b:c""#,
            true,
        ),
        (
            "ArnLike",
            "aws:SourceArn",
            r#""arn:aws:iam:*:role/a/b:c""#,
            false,
        ),
        (
            "ArnLike",
            "aws:SourceArn",
            r#""arn:aws:*:role/a/b:c:*""#,
            false,
        ),
        ("ArnLike", "aws:SourceArn", r#""*""#, true),
        ("ArnLike", "s3:prefix", r#""*""#, false),
        (
            "ArnNotEquals",
            "aws:SourceArn",
            r#""arn:aws:iam::*:role/*""#,
            false,
        ),
        (
            "ArnNotLike",
            "aws:SourceArn",
            r#""arn:aws:iam::*:user/*""#,
            true,
        ),
        ("Null", "s3:prefix", "false", true),
        ("Null", "s3:prefix", "true", false),
        ("Null", "s3:VersionId", r#""true""#, true),
        ("Null", "s3:VersionId", r#""false""#, false),
    ] {
        let condition = format!(r#"{{"{operator}": {{"{key}": {value}}}}}"#);
        assert_eq!(
            holds(&condition, &user(OWN), &conditions),
            expected,
            "{condition}"
        );
        if operator != "Null" {
            let condition = format!(r#"{{"{operator}IfExists": {{"{key}": {value}}}}}"#);
            assert_eq!(
                holds(&condition, &user(OWN), &conditions),
                expected,
                "{condition}"
            );
        }
    }
}

#[test]
fn what_is_absent_matches_only_what_is_negated_or_may_be_absent() {
    for (operator, value, negated) in [
        ("StringEquals", "a", false),
        ("StringNotEquals", "a", true),
        ("StringLike", "*", false),
        ("StringNotLike", "*", true),
        ("StringEqualsIgnoreCase", "a", false),
        ("StringNotEqualsIgnoreCase", "a", true),
        ("NumericEquals", "1", false),
        ("NumericNotEquals", "1", true),
        ("NumericLessThan", "1", false),
        ("DateEquals", "1", false),
        ("DateNotEquals", "1", true),
        ("DateGreaterThan", "1", false),
        ("Bool", "false", false),
        ("BinaryEquals", "YQ==", false),
        ("IpAddress", "0.0.0.0/0", false),
        ("NotIpAddress", "0.0.0.0/0", true),
        ("ArnLike", "*", false),
        ("ArnNotLike", "*", true),
    ] {
        let none = Conditions {
            request_object_tags: Some(&[]),
            ..Conditions::default()
        };
        for key in ["s3:prefix", "s3:RequestObjectTagKeys"] {
            let of = |operator: &str| {
                let condition = format!(r#"{{"{operator}": {{"{key}": "{value}"}}}}"#);
                holds(&condition, &user(OWN), &none)
            };
            assert_eq!(of(operator), negated, "{operator}");
            assert!(of(&format!("{operator}IfExists")), "{operator}");
            assert!(of(&format!("ForAllValues:{operator}")), "{operator}");
            assert!(!of(&format!("ForAnyValue:{operator}")), "{operator}");
            assert!(of(&format!("ForAnyValue:{operator}IfExists")), "{operator}");
        }
    }
}

/// A peer had these four the wrong way round.
#[test]
fn sets_are_compared_value_by_value() {
    const LIST: &str = r#"["a", "b"]"#;
    let keys =
        |names: &'static [&'static str]| names.iter().map(|name| (*name, "x")).collect::<Vec<_>>();
    // For all equal, any equals, for all not equal, any does not; then without a qualifier.
    for (names, expected) in [
        (&["a"][..], [true, true, false, false, true, false]),
        (&["a", "b"], [true, true, false, false, true, false]),
        (&["a", "c"], [false, true, false, true, true, false]),
        (&["c"], [false, false, true, true, false, true]),
        (&["c", "d"], [false, false, true, true, false, true]),
        (&[], [true, false, true, false, false, true]),
    ] {
        let tags = keys(names);
        let conditions = Conditions {
            request_object_tags: Some(&tags),
            ..Conditions::default()
        };
        let found = [
            "ForAllValues:StringEquals",
            "ForAnyValue:StringEquals",
            "ForAllValues:StringNotEquals",
            "ForAnyValue:StringNotEquals",
            "StringEquals",
            "StringNotEquals",
        ]
        .map(|operator| {
            let condition = format!(r#"{{"{operator}": {{"s3:RequestObjectTagKeys": {LIST}}}}}"#);
            holds(&condition, &user(OWN), &conditions)
        });
        assert_eq!(found, expected, "{names:?}");
    }
}

#[test]
fn all_operators_and_keys_have_to_hold() {
    let conditions = Conditions {
        prefix: Some("a"),
        max_keys: Some(1),
        ..Conditions::default()
    };
    for (condition, expected) in [
        (
            r#"{"StringEquals": {"s3:prefix": "a"}, "NumericEquals": {"s3:max-keys": 1}}"#,
            true,
        ),
        (
            r#"{"StringEquals": {"s3:prefix": "b"}, "NumericEquals": {"s3:max-keys": 1}}"#,
            false,
        ),
        (
            r#"{"StringEquals": {"s3:prefix": "a"}, "NumericEquals": {"s3:max-keys": 2}}"#,
            false,
        ),
        (
            r#"{"StringEquals": {"s3:prefix": "a", "s3:max-keys": "1"}}"#,
            true,
        ),
        (
            r#"{"StringEquals": {"s3:prefix": "a", "s3:max-keys": "2"}}"#,
            false,
        ),
        (r#"{}"#, true),
    ] {
        assert_eq!(
            holds(condition, &user(OWN), &conditions),
            expected,
            "{condition}"
        );
    }
}

#[test]
fn variables_bring_text_and_no_wildcards() {
    let tags = [("team", "a*")];
    let ann = Principal::User {
        account: OWN,
        user: UserRef {
            path: "/",
            name: "ann",
            id: "AIDA1",
        },
        tags: &tags,
    };
    let with = |prefix| Conditions {
        prefix: Some(prefix),
        source_ip: Some("::ffff:203.0.113.7".parse().unwrap()),
        current_time: Some(Timestamp::from_s(1_795_947_630)),
        ..Conditions::default()
    };
    for (value, prefix, expected) in [
        ("home/${aws:username}/*", "home/ann/x", true),
        ("home/${aws:username}/*", "home/anna/x", false),
        ("home/${AWS:UserName}", "home/ann", true),
        ("${aws:PrincipalTag/team}", "a*", true),
        ("${aws:PrincipalTag/team}", "ab", false),
        ("${aws:PrincipalTag/TEAM}*", "a*b", true),
        (
            "${aws:PrincipalTag/none, 'x'}/${aws:username}",
            "x/ann",
            true,
        ),
        ("${aws:PrincipalTag/none,'a}, b'}", "a}, b", true),
        ("${aws:PrincipalTag/none, '*'}", "ab", false),
        ("${aws:PrincipalTag/none, ''}", "", true),
        ("${aws:PrincipalTag/none}", "", false),
        ("${*}${?}${$}", "*?$", true),
        ("${*}", "a", false),
        ("$", "$", true),
        ("a$b${aws:username}", "a$bann", true),
        ("${aws:SourceIp}", "203.0.113.7", true),
        ("${aws:CurrentTime}", "2026-11-29T10:20:30Z", true),
        ("${aws:EpochTime}", "1795947630", true),
        (
            "${aws:PrincipalArn}",
            "arn:aws:iam::111122223333:user/ann",
            true,
        ),
        ("${aws:username}${aws:username}", "annann", true),
    ] {
        let condition = format!(r#"{{"StringLike": {{"s3:prefix": "{value}"}}}}"#);
        assert_eq!(
            holds(&condition, &ann, &with(prefix)),
            expected,
            "{condition} {prefix}"
        );
    }
    // Without a value the statement is none, also one that is negated.
    let negated = r#"{"StringNotLike": {"s3:prefix": "${aws:PrincipalTag/none}"}}"#;
    assert!(!holds(negated, &ann, &with("a")));
    let among = r#"{"StringLike": {"s3:prefix": ["a", "${aws:PrincipalTag/none}"]}}"#;
    assert!(!holds(among, &ann, &with("a")));
}

#[test]
fn the_older_language_has_no_variables() {
    let policy = |version: &str| {
        identity(&format!(
            r#"{{{version}"Statement": {{"Effect": "Allow", "Action": "s3:GetObject",
                "Resource": "*", "Condition": {{"StringEquals": {{"s3:prefix":
                "${{aws:username}}"}}}}}}}}"#
        ))
    };
    for (version, literal) in [
        (r#""Version": "2012-10-17","#, false),
        (r#""Version": "2008-10-17","#, true),
        ("", true),
    ] {
        let documents = [policy(version)];
        let documents = Documents {
            owner: OWN,
            identity: &documents,
            ..Documents::default()
        };
        for (prefix, expected) in [("ann", !literal), ("${aws:username}", literal)] {
            let conditions = Conditions {
                prefix: Some(prefix),
                ..Conditions::default()
            };
            let decision = read_with(&user(OWN), &documents, &conditions);
            assert_eq!(decision.is_allowed(), expected, "{version} {prefix}");
        }
    }
}

/// A peer decided before it had read the tags.
#[test]
fn tags_that_were_not_loaded_are_asked_for() {
    let condition = |effect: &str, condition: &str| {
        identity(&format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}",
                "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/a/*",
                "Condition": {condition}}}}}"#
        ))
    };
    let secret = r#"{"StringEquals": {"s3:ExistingObjectTag/Secret": "yes"}}"#;
    let absent = r#"{"Null": {"s3:ExistingObjectTag/Secret": "true"}}"#;
    let decide = |documents: &[Document], tags| {
        let documents = Documents {
            owner: OWN,
            identity: documents,
            ..Documents::default()
        };
        let conditions = Conditions {
            existing_object_tags: tags,
            secure_transport: Some(true),
            ..Conditions::default()
        };
        read_with(&user(OWN), &documents, &conditions)
    };
    let needs = Decision::Needs(Need::ExistingObjectTags);
    for own in [secret, absent] {
        let denied = [reads(), condition("Deny", own)];
        assert_eq!(decide(&denied, None), needs);
        let allowed = [condition("Allow", own)];
        assert_eq!(decide(&allowed, None), needs);
        // An Allow without tags is enough.
        assert!(decide(&[reads(), condition("Allow", own)], None).is_allowed());
    }
    let denied = [reads(), condition("Deny", secret)];
    let tagged: &[(&str, &str)] = &[("Secret", "yes")];
    let otherwise: &[(&str, &str)] = &[("secret", "yes"), ("Secret", "no")];
    assert!(matches!(
        decide(&denied, Some(tagged)),
        Decision::ExplicitDeny(_)
    ));
    assert!(decide(&denied, Some(otherwise)).is_allowed());
    assert!(decide(&denied, Some(&[])).is_allowed());
    // Nobody pays for a statement that does not match anyway.
    let clear = r#"{"StringEquals": {"s3:ExistingObjectTag/Secret": "yes"},
        "Bool": {"aws:SecureTransport": "false"}}"#;
    assert!(decide(&[reads(), condition("Deny", clear)], None).is_allowed());
    // A deny that is certain needs no tags.
    let certain = [
        condition("Deny", secret),
        condition("Deny", r#"{"Bool": {"aws:SecureTransport": true}}"#),
    ];
    assert!(matches!(decide(&certain, None), Decision::ExplicitDeny(_)));
}

/// What one request asks again and again costs no more than it may cost altogether.
#[test]
fn decisions_that_share_steps_are_refused_together() {
    let value = "*".to_owned() + &"a".repeat(400) + "b";
    let costly = identity(&format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*", "Condition":
                {{"StringLike": {{"aws:Referer": "{value}"}}}}}},
            {{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}]}}"#
    ));
    let documents = Documents {
        owner: OWN,
        identity: &[costly],
        ..Documents::default()
    };
    let long = vec![b'a'; 1000];
    let steps = Steps::new(1_000_000);
    let conditions = Conditions {
        referer: Some(&long),
        steps: Some(&steps),
        ..Conditions::default()
    };
    let allowed = (0..100).filter(|_| {
        let decided = read_with(&user(OWN), &documents, &conditions);
        decided.is_allowed()
    });
    let allowed = allowed.count();
    assert!((1..20).contains(&allowed), "{allowed}");
    assert_eq!(steps.left(), 0);
    // Others have their own.
    let alone = Conditions {
        steps: None,
        ..conditions
    };
    assert!(read_with(&user(OWN), &documents, &alone).is_allowed());
}

/// Patterns and texts that were made to cost time are refused, and soon.
#[test]
fn what_cannot_be_told_in_time_is_refused() {
    let values = ["*${aws:UserAgent}x"; 60];
    let document = |effect: &str| {
        identity(&format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}",
                "Action": "s3:GetObject", "Resource": "*", "Condition":
                {{"StringNotLike": {{"aws:Referer": {values:?}}}}}}}}}"#
        ))
    };
    let long = vec![b'a'; 8000];
    let conditions = |agent: usize, referer: usize| Conditions {
        user_agent: Some(&long[..agent]),
        referer: Some(&long[..referer]),
        ..Conditions::default()
    };
    for (documents, open) in [
        (vec![document("Allow")], true),
        (vec![reads(), document("Deny")], false),
    ] {
        let documents = Documents {
            owner: OWN,
            identity: &documents,
            ..Documents::default()
        };
        let decide =
            |agent, referer| read_with(&user(OWN), &documents, &conditions(agent, referer));
        assert!(matches!(decide(4000, 8000), Decision::ExplicitDeny(_)));
        // Short ones are decided.
        assert_eq!(decide(10, 200).is_allowed(), open);
    }
}
