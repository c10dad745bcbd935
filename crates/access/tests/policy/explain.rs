//! Why a decision is what it is.

use access::{
    Action,
    policy::{
        Conditions, Documents, Mismatch, Request, Source, Target, Verdict, Worth, decide, explain,
    },
};

use crate::common::{BUCKET, OWN, bucket, identity, silent, user};

#[test]
fn each_statement_says_why_it_is_not_about_the_request() {
    let policy = bucket(
        r#"{"Version": "2012-10-17", "Statement": [
            {"Sid": "Account", "Effect": "Allow", "Principal": {"AWS": "111122223333"},
                "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::photos/*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
                "Resource": "arn:aws:s3:::photos/*"},
            {"Effect": "Deny", "Principal": {"AWS": "444455556666"}, "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/b/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/${aws:PrincipalTag/team}/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/*",
                "Condition": {"NumericLessThan": {"s3:max-keys": 1}}},
            {"Effect": "Allow", "Principal": "*", "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/*",
                "Condition": {"ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": "a"}}}]}"#,
    );
    let identity = [silent()];
    let documents = Documents {
        owner: OWN,
        resource: Some(&policy),
        identity: &identity,
        ..Documents::default()
    };
    let conditions = Conditions {
        secure_transport: Some(true),
        request_object_tags: Some(&[]),
        ..Conditions::default()
    };
    let request = Request {
        principal: &user(OWN),
        action: Action::GetObject.into(),
        target: Target::Object {
            bucket: BUCKET,
            key: "a/b",
        },
        conditions: &conditions,
    };
    let explanation = explain(&request, &documents);
    assert_eq!(explanation.decision, decide(&request, &documents));
    let of_bucket = &explanation.documents[0];
    assert_eq!(
        (of_bucket.source, of_bucket.counts),
        (Source::Resource, true)
    );
    let verdicts: Vec<_> = of_bucket
        .statements
        .iter()
        .map(|own| own.verdict.clone())
        .collect();
    let condition = |operator: &str, key: &str, values: &[&str]| {
        Verdict::Differs(Mismatch::Condition {
            operator: operator.into(),
            key: key.into(),
            values: values.iter().map(|value| (*value).into()).collect(),
        })
    };
    assert_eq!(
        verdicts,
        [
            Verdict::Matches(Worth::Account),
            condition("Bool", "aws:SecureTransport", &["true"]),
            Verdict::Differs(Mismatch::Action),
            Verdict::Differs(Mismatch::Principal),
            Verdict::Differs(Mismatch::Resource),
            Verdict::Differs(Mismatch::Variable("aws:PrincipalTag/team".into())),
            condition("NumericLessThan", "s3:max-keys", &[]),
            Verdict::Matches(Worth::Direct),
        ]
    );
    assert_eq!(
        explanation.to_string(),
        "allowed: arn:aws:iam::111122223333:user/staff/ann asks for s3:GetObject on \
         arn:aws:s3:::photos/a/b\n\
         because statement 8 of the resource-based policy allows it\n\
         the resource-based policy\n\
         \x20 statement 1 (Account) allows the account: its users and roles need an \
         identity-based policy as well\n\
         \x20 statement 2 does not deny it: Bool aws:SecureTransport: the request has [\"true\"]\n\
         \x20 statement 3 does not deny it: it is about other actions\n\
         \x20 statement 4 does not deny it: it is about other principals\n\
         \x20 statement 5 does not deny it: it is about other resources\n\
         \x20 statement 6 does not deny it: ${aws:PrincipalTag/team} has no value and no default\n\
         \x20 statement 7 does not deny it: NumericLessThan s3:max-keys: the request has no value \
         there\n\
         \x20 statement 8 allows it\n\
         \x20   note: ForAllValues:StringEquals s3:RequestObjectTagKeys holds because the request \
         has no value there\n\
         identity-based policy 1\n\
         \x20 statement 1 does not allow it: it is about other actions\n"
    );
}

#[test]
fn a_refusal_says_what_lacks_or_what_denies() {
    let allows =
        identity(r#"{"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#);
    let denies = identity(
        r#"{"Statement": {"Sid": "Never", "Effect": "Deny", "Action": "s3:Get*",
            "Resource": "*"}}"#,
    );
    let silent = silent();
    let conditions = Conditions::default();
    let request = Request {
        principal: &user(OWN),
        action: Action::GetObject.into(),
        target: Target::Object {
            bucket: BUCKET,
            key: "a",
        },
        conditions: &conditions,
    };
    let second_line = |documents: &Documents<'_>| {
        let text = explain(&request, documents).to_string();
        text.lines().nth(1).unwrap_or_default().to_owned()
    };
    let none = Documents {
        owner: OWN,
        ..Documents::default()
    };
    let allowed = [allows.clone()];
    let with = Documents {
        identity: &allowed,
        ..none
    };
    let both = [allows, denies];
    assert_eq!(
        second_line(&none),
        "because no identity-based policy allows it"
    );
    assert_eq!(
        second_line(&with),
        "because statement 1 of identity-based policy 1 allows it"
    );
    assert_eq!(
        second_line(&Documents {
            boundary: Some(&silent),
            ..with
        }),
        "because the permissions boundary does not allow it"
    );
    assert_eq!(
        second_line(&Documents {
            identity: &both,
            ..none
        }),
        "because statement 1 of identity-based policy 2 denies it, which nothing can outweigh"
    );
}
