//! The examples of docs/policies.md, and the answers that its tables give.

use access::policy::{
    ActionName, Conditions, Document, DocumentKind, Documents, Principal, Request, Target, UserRef,
    decide,
};

use crate::common::{BUCKET, OTHER, OWN};

const PAGE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/policies.md"
));

/// The unique ids of who is named on the page.
const IDS: [(&str, &str); 2] = [
    ("arn:aws:iam::111122223333:user/ann", "AIDAANN"),
    ("arn:aws:iam::111122223333:role/reader", "AROAREADER"),
];

fn principal(name: &str) -> Principal<'_> {
    let user = |account, name, id| Principal::User {
        account,
        user: UserRef {
            path: "/",
            name,
            id,
        },
        tags: &[],
    };
    match name {
        "anybody" => Principal::Anonymous,
        "111122223333" => Principal::Root { account: OWN },
        "ann" => user(OWN, "ann", IDS[0].1),
        "bob" => user(OTHER, "bob", "AIDABOB"),
        "reader" => Principal::RoleSession {
            account: OWN,
            path: "/",
            role: "reader",
            id: IDS[1].1,
            session: "s",
            provider: None,
            tags: &[],
        },
        other => panic!("{other}"),
    }
}

/// The texts in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// One line of a table: whether the answer is what the documents say.
fn check(row: &str, bucket: Option<&Document>, identity: &[Document]) {
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [who, asks, with, answer] = cells[..] else {
        panic!("{row}");
    };
    let principal = principal(who);
    let [action, resource] = quoted(asks)[..] else {
        panic!("{row}");
    };
    let target = match resource.split_once('/') {
        Some((bucket, key)) => Target::Object { bucket, key },
        None => Target::Bucket(resource),
    };
    let mut conditions = Conditions {
        existing_object_tags: Some(&[]),
        ..Conditions::default()
    };
    let mut tags = Vec::new();
    for pair in quoted(with).chunks(2) {
        match (pair[0], pair[1]) {
            ("aws:SecureTransport", value) => {
                conditions.secure_transport = Some(value.parse().unwrap());
            }
            ("aws:SourceIp", value) => conditions.source_ip = Some(value.parse().unwrap()),
            ("s3:prefix", value) => conditions.prefix = Some(value),
            (key, value) => tags.push((key.strip_prefix("s3:ExistingObjectTag/").unwrap(), value)),
        }
    }
    conditions.existing_object_tags = Some(&tags);
    let documents = Documents {
        owner: OWN,
        resource: bucket,
        identity,
        ..Documents::default()
    };
    let request = Request {
        principal: &principal,
        action: ActionName::parse(action),
        target,
        conditions: &conditions,
    };
    let decision = decide(&request, &documents);
    let found = if decision.is_allowed() {
        "allowed"
    } else {
        "refused"
    };
    assert_eq!(found, answer, "{row} {decision:?}");
}

#[test]
fn the_examples_of_the_page_answer_as_it_says() {
    let all = Document::parse(
        r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#,
        DocumentKind::Identity,
    )
    .unwrap();
    let resolve = |arn: &str| {
        let found = IDS.iter().find(|(own, _)| *own == arn);
        found.map(|(_, id)| (*id).to_owned())
    };
    let (mut examples, mut rows) = (0, 0);
    for (n, part) in PAGE.split("```json\n").enumerate().skip(1) {
        let (text, rest) = part.split_once("```").unwrap();
        let before = PAGE.split("```json\n").nth(n - 1).unwrap().trim_end();
        let of_bucket = before.ends_with("Bucket policy:");
        assert!(
            of_bucket || before.ends_with("Identity policy:"),
            "{before}"
        );
        let kind = match of_bucket {
            true => DocumentKind::Bucket(BUCKET),
            false => DocumentKind::Identity,
        };
        let document = Document::parse_resolved(text, kind, &resolve).unwrap();
        let table = rest
            .split("\n\n")
            .find(|block| block.trim_start().starts_with("| who"));
        for row in table.unwrap().trim().lines().skip(2) {
            let bob = row.starts_with("| bob");
            let identity = match (bob, of_bucket) {
                (true, _) => std::slice::from_ref(&all),
                (false, true) => &[],
                (false, false) => std::slice::from_ref(&document),
            };
            check(row, Some(&document).filter(|_| of_bucket), identity);
            rows += 1;
        }
        examples += 1;
    }
    assert_eq!((examples, rows), (4, 23));
}
