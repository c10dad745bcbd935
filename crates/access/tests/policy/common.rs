//! Principals, documents and requests to test with.

use access::{
    Action,
    policy::{
        Conditions, Decision, Document, DocumentKind, Documents, Principal, Request, Target,
        UserRef, decide,
    },
};

/// The account that owns the bucket.
pub const OWN: &str = "111122223333";
/// Another account.
pub const OTHER: &str = "444455556666";
/// The bucket.
pub const BUCKET: &str = "photos";

pub const USER_ID: &str = "AIDAAAAAAAAAAAAAAAAAA";
pub const ROLE_ID: &str = "AROAAAAAAAAAAAAAAAAAA";
pub const PROVIDER: &str = "arn:aws:iam::111122223333:oidc-provider/accounts.example.com";

pub const ANN: UserRef<'_> = UserRef {
    path: "/staff/",
    name: "ann",
    id: USER_ID,
};

pub fn root(account: &str) -> Principal<'_> {
    Principal::Root { account }
}

pub fn user(account: &str) -> Principal<'_> {
    Principal::User {
        account,
        user: ANN,
        tags: &[],
    }
}

pub fn role(account: &str) -> Principal<'_> {
    Principal::RoleSession {
        account,
        path: "/jobs/",
        role: "reader",
        id: ROLE_ID,
        session: "today",
        provider: Some(PROVIDER),
        tags: &[],
    }
}

pub fn federated(account: &str) -> Principal<'_> {
    Principal::Federated {
        account,
        name: "guest",
        user: Some(ANN),
        tags: &[],
    }
}

/// Who has which unique id.
pub fn resolve(arn: &str) -> Option<String> {
    let id = if arn.contains(":user/staff/ann") {
        USER_ID
    } else if arn.contains(":role/jobs/reader") {
        ROLE_ID
    } else {
        return None;
    };
    Some(id.to_owned())
}

/// The policy of the bucket, its principals resolved.
pub fn bucket(text: &str) -> Document {
    // As one that was saved before: what is refused when one is saved is tried by itself.
    let document = Document::parse(text, DocumentKind::Bucket(BUCKET));
    let document = document.unwrap_or_else(|error| panic!("{error}: {text}"));
    document.with_resolved(&resolve)
}

/// A policy of a user or role.
pub fn identity(text: &str) -> Document {
    Document::parse(text, DocumentKind::Identity).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A policy of a bucket with one statement.
pub fn one(effect: &str, principal: &str, rest: &str) -> Document {
    let rest = match rest {
        "" => r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*""#,
        rest => rest,
    };
    bucket(&format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Effect": "{effect}", "Principal": {principal}, {rest}}}]}}"#
    ))
}

/// A policy without principals that allows to read all.
pub fn reads() -> Document {
    identity(
        r#"{"Version": "2012-10-17", "Statement":
            {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}"#,
    )
}

/// One that says nothing about reads.
pub fn silent() -> Document {
    identity(
        r#"{"Version": "2012-10-17", "Statement":
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}}"#,
    )
}

/// One that denies reads.
pub fn denies() -> Document {
    identity(
        r#"{"Version": "2012-10-17", "Statement":
            {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}}"#,
    )
}

/// May the principal read `photos/a/b.jpg`?
pub fn read(principal: &Principal<'_>, documents: &Documents<'_>) -> Decision {
    read_with(principal, documents, &Conditions::default())
}

pub fn read_with(
    principal: &Principal<'_>,
    documents: &Documents<'_>,
    conditions: &Conditions<'_>,
) -> Decision {
    let request = Request {
        principal,
        action: Action::GetObject.into(),
        target: Target::Object {
            bucket: BUCKET,
            key: "a/b.jpg",
        },
        conditions,
    };
    decide(&request, documents)
}
