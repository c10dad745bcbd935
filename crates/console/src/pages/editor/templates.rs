//! Policies to start from.

use crate::{call::Call, pages::editor::subject::Subject, pages::people::Kind};

/// A policy to start from: its name in links, its name for people, its text.
pub type Template = (&'static str, &'static str, String);

/// The account of examples that are about another one.
const OTHER: &str = "123456789012";

/// Those for what is edited.
pub fn of(call: &Call<'_>, subject: &Subject<'_>) -> Vec<Template> {
    let own = call.caller.map_or("", |caller| &*caller.account.id);
    match subject {
        Subject::Bucket(bucket) => of_bucket(bucket, own),
        Subject::Trust(_) | Subject::NewRole(_) => of_trust(own),
        Subject::Inline { of: Kind::User, .. } => of_principal(own, true),
        _ => of_principal(own, false),
    }
}

fn document(statements: &[String]) -> String {
    let statements = statements.join(",\n");
    format!("{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n{statements}\n  ]\n}}")
}

/// A statement of these members, each a JSON value.
fn statement(members: &[(&str, &str)]) -> String {
    let lines: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("      \"{name}\": {value}"))
        .collect();
    format!("    {{\n{}\n    }}", lines.join(",\n"))
}

fn of_bucket(bucket: &str, own: &str) -> Vec<Template> {
    let all = format!("[\"arn:aws:s3:::{bucket}\", \"arn:aws:s3:::{bucket}/*\"]");
    let account = format!("{{ \"AWS\": \"arn:aws:iam::{OTHER}:root\" }}");
    let user = format!("{{ \"AWS\": \"arn:aws:iam::{own}:user/USER\" }}");
    vec![
        (
            "public",
            "Everybody reads what is below public/",
            document(&[statement(&[
                ("Sid", "\"PublicRead\""),
                ("Effect", "\"Allow\""),
                ("Principal", "\"*\""),
                ("Action", "\"s3:GetObject\""),
                ("Resource", &format!("\"arn:aws:s3:::{bucket}/public/*\"")),
            ])]),
        ),
        (
            "account",
            "Another account reads",
            document(&[statement(&[
                ("Sid", "\"AnotherAccountReads\""),
                ("Effect", "\"Allow\""),
                ("Principal", &account),
                ("Action", "[\"s3:GetObject\", \"s3:ListBucket\"]"),
                ("Resource", &all),
            ])]),
        ),
        (
            "tls",
            "Only encrypted connections",
            document(&[statement(&[
                ("Sid", "\"OnlyEncrypted\""),
                ("Effect", "\"Deny\""),
                ("Principal", "\"*\""),
                ("Action", "\"s3:*\""),
                ("Resource", &all),
                (
                    "Condition",
                    "{ \"Bool\": { \"aws:SecureTransport\": \"false\" } }",
                ),
            ])]),
        ),
        (
            "writer",
            "One user writes below a prefix",
            document(&[statement(&[
                ("Sid", "\"OneUserWrites\""),
                ("Effect", "\"Allow\""),
                ("Principal", &user),
                ("Action", "[\"s3:PutObject\", \"s3:AbortMultipartUpload\"]"),
                ("Resource", &format!("\"arn:aws:s3:::{bucket}/PREFIX/*\"")),
            ])]),
        ),
    ]
}

fn of_principal(own: &str, is_user: bool) -> Vec<Template> {
    let mut all = vec![
        (
            "read",
            "Read a bucket",
            document(&[
                statement(&[
                    ("Effect", "\"Allow\""),
                    ("Action", "\"s3:ListBucket\""),
                    ("Resource", "\"arn:aws:s3:::BUCKET\""),
                ]),
                statement(&[
                    ("Effect", "\"Allow\""),
                    ("Action", "\"s3:GetObject\""),
                    ("Resource", "\"arn:aws:s3:::BUCKET/*\""),
                ]),
            ]),
        ),
        (
            "write",
            "Read and write below a prefix",
            document(&[
                statement(&[
                    ("Effect", "\"Allow\""),
                    ("Action", "\"s3:ListBucket\""),
                    ("Resource", "\"arn:aws:s3:::BUCKET\""),
                    (
                        "Condition",
                        "{ \"StringLike\": { \"s3:prefix\": \"PREFIX/*\" } }",
                    ),
                ]),
                statement(&[
                    ("Effect", "\"Allow\""),
                    (
                        "Action",
                        "[\"s3:GetObject\", \"s3:PutObject\", \"s3:DeleteObject\"]",
                    ),
                    ("Resource", "\"arn:aws:s3:::BUCKET/PREFIX/*\""),
                ]),
            ]),
        ),
        (
            "s3",
            "Everything with buckets and objects",
            document(&[statement(&[
                ("Effect", "\"Allow\""),
                ("Action", "\"s3:*\""),
                ("Resource", "\"*\""),
            ])]),
        ),
    ];
    if is_user {
        let resource = format!("\"arn:aws:iam::{own}:user/${{aws:username}}\"");
        all.push((
            "keys",
            "Change the own access keys",
            document(&[statement(&[
                ("Effect", "\"Allow\""),
                (
                    "Action",
                    "[\"iam:CreateAccessKey\", \"iam:ListAccessKeys\", \"iam:UpdateAccessKey\", \
                     \"iam:DeleteAccessKey\"]",
                ),
                ("Resource", &resource),
            ])]),
        ));
    }
    all
}

fn of_trust(own: &str) -> Vec<Template> {
    let trusted = |who: &str| {
        let who = format!("{{ \"AWS\": \"{who}\" }}");
        vec![
            ("Effect", "\"Allow\"".to_owned()),
            ("Principal", who),
            ("Action", "\"sts:AssumeRole\"".to_owned()),
        ]
    };
    let shown = |members: &[(&str, String)]| {
        let members: Vec<(&str, &str)> = members.iter().map(|(n, v)| (*n, &**v)).collect();
        document(&[statement(&members)])
    };
    let mut other = trusted(&format!("arn:aws:iam::{OTHER}:root"));
    let condition = "{ \"StringEquals\": { \"sts:ExternalId\": \"SECRET\" } }";
    other.push(("Condition", condition.to_owned()));
    vec![
        (
            "own",
            "Users of this account whose own policies allow it",
            shown(&trusted(&format!("arn:aws:iam::{own}:root"))),
        ),
        (
            "user",
            "One user of this account",
            shown(&trusted(&format!("arn:aws:iam::{own}:user/USER"))),
        ),
        (
            "other",
            "Another account, with an external id",
            shown(&other),
        ),
    ]
}
