//! What other storages let through, and what it does here.

use access::{
    Action,
    actions::{By, Kind},
    policy::{
        Acl, ActionName, Conditions, Decision, Document, DocumentKind, Documents, Need, Principal,
        Request, Target, decide,
    },
};

use crate::common::{
    BUCKET, OTHER, OWN, bucket, denies, federated, identity, one, read, reads, role, root, silent,
    user,
};

fn may(
    principal: &Principal<'_>,
    action: &str,
    target: Target<'_>,
    documents: &Documents<'_>,
) -> bool {
    let conditions = Conditions {
        existing_object_tags: Some(&[]),
        ..Conditions::default()
    };
    let request = Request {
        principal,
        action: ActionName::parse(action),
        target,
        conditions: &conditions,
    };
    decide(&request, documents).is_allowed()
}

fn object(key: &str) -> Target<'_> {
    Target::Object {
        bucket: BUCKET,
        key,
    }
}

/// All actions that callers ask for, each with what it is on.
fn actions() -> impl Iterator<Item = (Action, Target<'static>)> {
    let rows = Action::rows().iter().filter(|row| row.by == By::Callers);
    rows.map(|row| {
        let target = match row.kind {
            Kind::Service => Target::Service,
            Kind::NewBucket | Kind::Bucket => Target::Bucket(BUCKET),
            Kind::Object => object("a"),
        };
        (row.action, target)
    })
}

/// SeaweedFS #10952, #7724, #8366: without documents, everything was allowed.
#[test]
fn without_documents_only_the_owner_itself_gets_in() {
    let documents = Documents {
        owner: OWN,
        ..Documents::default()
    };
    for (action, target) in actions() {
        let name = action.name();
        for principal in [
            Principal::Anonymous,
            user(OWN),
            role(OWN),
            federated(OWN),
            root(OTHER),
            user(OTHER),
            Principal::Service {
                name: "logging.s3.amazonaws.com",
            },
        ] {
            assert!(
                !may(&principal, &name, target, &documents),
                "{name} {principal:?}"
            );
        }
        assert!(may(&root(OWN), &name, target, &documents), "{name}");
    }
}

/// MinIO CVE-2024-55949, RustFS GHSA-3ppv, GHSA-x298: asked for one action, took another.
#[test]
fn an_action_is_granted_by_its_own_name_only() {
    for (granted, _) in actions() {
        let document = identity(&format!(
            r#"{{"Statement": {{"Effect": "Allow", "Action": "{}", "Resource": "*"}}}}"#,
            granted.name()
        ));
        let documents = Documents {
            owner: OWN,
            identity: std::slice::from_ref(&document),
            ..Documents::default()
        };
        for (asked, target) in actions() {
            let allowed = may(&user(OWN), &asked.name(), target, &documents);
            assert_eq!(
                allowed,
                asked == granted,
                "{} {}",
                granted.name(),
                asked.name()
            );
        }
    }
}

/// What only regions do is in nobody's documents.
#[test]
fn no_document_grants_what_only_regions_do() {
    let all = identity(r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#);
    let not = identity(
        r#"{"Statement": {"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"}}"#,
    );
    let documents = [all, not];
    let documents = Documents {
        owner: OWN,
        identity: &documents,
        ..Documents::default()
    };
    let conditions = Conditions::default();
    for row in Action::rows().iter().filter(|row| row.by == By::Regions) {
        let request = Request {
            principal: &user(OWN),
            action: ActionName::S3(row.action),
            target: Target::Bucket(BUCKET),
            conditions: &conditions,
        };
        assert!(!decide(&request, &documents).is_allowed());
    }
}

/// Ceph PR 41585, 42247, MinIO CVE-2025-62506: session policies were not asked, or not for all.
#[test]
fn session_policies_bound_each_action() {
    let all = identity(r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#);
    let narrow = identity(
        r#"{"Statement": {"Effect": "Allow", "Action": "s3:*",
            "Resource": ["arn:aws:s3:::photos/own/*"]}}"#,
    );
    let documents = Documents {
        owner: OWN,
        identity: std::slice::from_ref(&all),
        sessions: std::slice::from_ref(&narrow),
        ..Documents::default()
    };
    for principal in [user(OWN), role(OWN), federated(OWN)] {
        for (action, target) in actions() {
            assert!(
                !may(&principal, &action.name(), target, &documents),
                "{action:?}"
            );
        }
        assert!(may(&principal, "s3:GetObject", object("own/a"), &documents));
        for name in ["iam:CreateAccessKey", "iam:PutUserPolicy", "sts:AssumeRole"] {
            let target = Target::Arn("arn:aws:iam::111122223333:user/staff/ann");
            assert!(!may(&principal, name, target, &documents), "{name}");
        }
    }
}

/// Scality CLDSRV-429, cloudserver #4821: no Allow was taken for a Deny, or for an Allow.
#[test]
fn each_document_allows_denies_or_says_nothing() {
    let values = [reads(), denies(), silent()];
    let (allow, deny) = (0, 1);
    let n = 3usize.pow(5);
    let public: Vec<Document> = [
        one("Allow", r#"{"AWS": "444455556666"}"#, ""),
        one("Deny", r#"{"AWS": "444455556666"}"#, ""),
        one("Allow", r#"{"AWS": "111122223333"}"#, ""),
    ]
    .into();
    for case in 0..n {
        let value = |at: u32| case / 3usize.pow(at) % 3;
        let documents = Documents {
            owner: OWN,
            guard: Some(&values[value(0)]),
            resource: Some(&public[value(1)]),
            identity: std::slice::from_ref(&values[value(2)]),
            boundary: Some(&values[value(3)]),
            sessions: std::slice::from_ref(&values[value(4)]),
            ..Documents::default()
        };
        let all = [0, 1, 2, 3, 4].map(value);
        let decision = read(&user(OTHER), &documents);
        match (all.contains(&deny), all == [allow; 5]) {
            (true, _) => assert!(matches!(decision, Decision::ExplicitDeny(_)), "{all:?}"),
            (false, true) => assert!(decision.is_allowed(), "{all:?}"),
            (false, false) => assert!(matches!(decision, Decision::ImplicitDeny(_)), "{all:?}"),
        }
    }
}

/// SeaweedFS CVE-2026-72921, an old matcher of MinIO: a prefix without its end.
#[test]
fn prefixes_end_where_they_are_written_to_end() {
    for (resource, inside, outside) in [
        (
            "photos/t1/*",
            &["t1/", "t1/x", "t1//x", "t1/*"][..],
            &["t1", "t12", "t12/x", "T1/x", "/t1/x"][..],
        ),
        ("photos/t1*", &["t1", "t12", "t1/x"], &["t", "xt1"]),
        ("photos/t1", &["t1"], &["t1/", "t1/x", "t12", ""]),
        ("photos//t1/*", &["/t1/x"], &["t1/x", "//t1/x"]),
        (
            "photos/*/x",
            &["a/x", "a/b/x", "/x"],
            &["x", "a/xx", "a/x/"],
        ),
    ] {
        let rest = format!(r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::{resource}""#);
        let policy = one("Allow", r#""*""#, &rest);
        let denied = bucket(&format!(
            r#"{{"Statement": [{{"Effect": "Deny", "Principal": "*", {rest}}},
                {{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::photos/*"}}]}}"#
        ));
        for principal in [Principal::Anonymous, user(OWN)] {
            let of = |policy, key| {
                let documents = Documents {
                    owner: OWN,
                    resource: Some(policy),
                    ..Documents::default()
                };
                may(&principal, "s3:GetObject", object(key), &documents)
            };
            for key in inside {
                assert!(of(&policy, *key) && !of(&denied, *key), "{resource} {key}");
            }
            for key in outside {
                assert!(!of(&policy, *key) && of(&denied, *key), "{resource} {key}");
            }
        }
    }
    // A bucket whose name begins so is another bucket.
    let reads = identity(
        r#"{"Statement": {"Effect": "Allow", "Action": "s3:GetObject",
            "Resource": ["arn:aws:s3:::photos/*", "arn:aws:s3:::b?/x"]}}"#,
    );
    let documents = Documents {
        owner: OWN,
        identity: std::slice::from_ref(&reads),
        ..Documents::default()
    };
    let of = |bucket, key| {
        let target = Target::Object { bucket, key };
        may(&user(OWN), "s3:GetObject", target, &documents)
    };
    assert!(of("photos", "a") && of("b1", "x"));
    assert!(!of("photos2", "a") && !of("photo", "s/a") && !of("b12", "x"));
    // The rest of an ARN is one text, in which a wildcard also matches a slash.
    assert!(of("b", "/x"));
    assert!(!may(
        &user(OWN),
        "s3:GetObject",
        Target::Bucket("photos"),
        &documents
    ));
}

/// VaultS3: an ARN was cut at the first slash, so that a narrow statement was about the bucket.
#[test]
fn nested_prefixes_are_not_the_bucket() {
    let policy = bucket(
        r#"{"Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::photos/public/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/public/not/this/*"}]}"#,
    );
    let identity = [reads()];
    for (key, stranger, own) in [
        ("public/a", true, true),
        ("public/not", true, true),
        ("public/not/", true, true),
        ("public/not/this", true, true),
        ("public/not/this/", false, false),
        ("public/not/this/a", false, false),
        ("public/not/thisa", true, true),
        ("public", false, true),
        ("public/", true, true),
        ("publi/c", false, true),
        ("a/public/a", false, true),
        ("", false, true),
    ] {
        let documents = Documents {
            owner: OWN,
            resource: Some(&policy),
            ..Documents::default()
        };
        let with = Documents {
            identity: &identity,
            ..documents
        };
        let target = object(key);
        assert_eq!(
            may(&Principal::Anonymous, "s3:GetObject", target, &documents),
            stranger,
            "{key}"
        );
        assert_eq!(may(&user(OWN), "s3:GetObject", target, &with), own, "{key}");
    }
    let documents = Documents {
        owner: OWN,
        resource: Some(&policy),
        ..Documents::default()
    };
    assert!(may(
        &root(OWN),
        "s3:ListBucket",
        Target::Bucket(BUCKET),
        &documents
    ));
}

/// SeaweedFS CVE-2026-55874, -54917: dots in a key left the bucket.
#[test]
fn keys_are_what_they_are() {
    let policy = one(
        "Allow",
        r#""*""#,
        r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/a/*""#,
    );
    let documents = Documents {
        owner: OWN,
        resource: Some(&policy),
        ..Documents::default()
    };
    for (key, allowed) in [
        ("a/../b", true),
        ("../photos/a/b", false),
        ("./a/b", false),
        ("a/%2e%2e/b", true),
        ("a%2fb", false),
        ("a\\b", false),
        ("/a/b", false),
        ("a/\u{0}", true),
        ("a/:arn:aws:s3:::", true),
    ] {
        let found = may(
            &Principal::Anonymous,
            "s3:GetObject",
            object(key),
            &documents,
        );
        assert_eq!(found, allowed, "{key:?}");
    }
}

/// RustFS GHSA-6r96: what a client sends under the name of a key became its value.
#[test]
fn nothing_but_its_own_field_fills_a_key() {
    let policy = identity(
        r#"{"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
            "Condition": {"StringEquals": {"aws:username": "root", "aws:SourceIp": "10.0.0.1",
            "s3:prefix": "a"}}}}"#,
    );
    let documents = Documents {
        owner: OWN,
        identity: std::slice::from_ref(&policy),
        ..Documents::default()
    };
    let names: [(&str, &[&str]); 3] = [
        ("aws:username", &["root"]),
        ("aws:SourceIp", &["10.0.0.1"]),
        ("s3:prefix", &["a"]),
    ];
    // Also one that is not known: a token says nothing of the cloud.
    let unknown = identity(
        r#"{"Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
            "Condition": {"StringEquals": {"AWS:Unknown": "a", "localhost:sub": "a"}}}}"#,
    );
    let tags = names.map(|(name, values)| (name, values[0]));
    let conditions = Conditions {
        claims: &names,
        existing_object_tags: Some(&tags),
        request_object_tags: Some(&tags),
        resource_tags: Some(&tags),
        request_tags: Some(&tags),
        user_agent: Some(b"aws:username=root"),
        ..Conditions::default()
    };
    let decision = crate::common::read_with(&user(OWN), &documents, &conditions);
    assert!(!decision.is_allowed());
    let documents = Documents {
        identity: std::slice::from_ref(&unknown),
        ..documents
    };
    let claims: [(&str, &[&str]); 2] = [("AWS:Unknown", &["a"]), ("localhost:sub", &["a"])];
    let conditions = Conditions {
        claims: &claims,
        ..conditions
    };
    let decision = crate::common::read_with(&user(OWN), &documents, &conditions);
    assert!(!decision.is_allowed());
}

/// S30: objects encrypted with a key of the thief's own.
#[test]
fn encryption_with_a_customers_key_can_be_denied() {
    let policy = bucket(
        r#"{"Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
                "Resource": "arn:aws:s3:::photos/*", "Condition":
                {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}}]}"#,
    );
    let documents = Documents {
        owner: OWN,
        resource: Some(&policy),
        ..Documents::default()
    };
    for (algorithm, allowed) in [(None, true), (Some("AES256"), false), (Some(""), false)] {
        let conditions = Conditions {
            customer_algorithm: algorithm,
            ..Conditions::default()
        };
        let request = Request {
            principal: &root(OWN),
            action: Action::PutObject.into(),
            target: object("a"),
            conditions: &conditions,
        };
        assert_eq!(decide(&request, &documents).is_allowed(), allowed);
    }
}

/// Services act for whom they say: a flow is bound to its bucket and account.
#[test]
fn a_service_is_bound_to_what_it_acts_for() {
    let policy = bucket(
        r#"{"Statement": {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": "s3:PutObject", "Resource": "arn:aws:s3:::photos/logs/*", "Condition":
            {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source"},
            "StringEquals": {"aws:SourceAccount": "111122223333"}}}}"#,
    );
    assert!(!policy.is_public());
    let documents = Documents {
        owner: OWN,
        resource: Some(&policy),
        ..Documents::default()
    };
    for (arn, account, allowed) in [
        (Some("arn:aws:s3:::source"), Some(OWN), true),
        (Some("arn:aws:s3:::source"), Some(OTHER), false),
        (Some("arn:aws:s3:::sources"), Some(OWN), false),
        (None, Some(OWN), false),
        (Some("arn:aws:s3:::source"), None, false),
    ] {
        let conditions = Conditions {
            source_arn: arn,
            source_account: account,
            ..Conditions::default()
        };
        let request = Request {
            principal: &Principal::Service {
                name: "logging.s3.amazonaws.com",
            },
            action: Action::PutObject.into(),
            target: object("logs/1"),
            conditions: &conditions,
        };
        assert_eq!(decide(&request, &documents).is_allowed(), allowed);
    }
}

/// A list that was not loaded is asked for, unless nothing in it could matter.
#[test]
fn lists_that_were_not_loaded_are_asked_for() {
    let identity = [reads()];
    let denied = [denies()];
    let documents = |identity| Documents {
        owner: OWN,
        identity,
        acl: Acl::NotLoaded,
        ..Documents::default()
    };
    let needs = Decision::Needs(Need::Acl);
    assert_eq!(read(&Principal::Anonymous, &documents(&[])), needs);
    assert_eq!(read(&user(OWN), &documents(&identity)), needs);
    assert_eq!(read(&user(OTHER), &documents(&identity)), needs);
    assert_eq!(read(&root(OWN), &documents(&[])), needs);
    // The object may be of that account, and public.
    assert_eq!(read(&user(OTHER), &documents(&[])), needs);
    let own = read(&user(OWN), &documents(&denied));
    assert!(matches!(own, Decision::ExplicitDeny(_)));
    let ignored = Documents {
        ignore_public_acls: true,
        ..documents(&[])
    };
    for principal in [Principal::Anonymous, user(OWN), user(OTHER)] {
        let decision = read(&principal, &ignored);
        assert!(
            matches!(decision, Decision::ImplicitDeny(_)),
            "{principal:?}"
        );
    }
}

/// Which documents let the public in.
#[test]
fn public_is_what_is_not_bound_to_fixed_values() {
    let with = |principal: &str, condition: &str| {
        one(
            "Allow",
            principal,
            &format!(
                r#""Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*",
                    "Condition": {condition}"#
            ),
        )
        .is_public()
    };
    for (principal, public) in [
        (r#""*""#, true),
        (r#"{"AWS": "*"}"#, true),
        (r#"{"AWS": ["111122223333", "*"]}"#, true),
        (r#"{"Federated": "accounts.example.com"}"#, true),
        (r#"{"AWS": "444455556666"}"#, false),
        (
            r#"{"AWS": "arn:aws:iam::444455556666:user/staff/ann"}"#,
            false,
        ),
        (
            r#"{"AWS": "arn:aws:sts::444455556666:assumed-role/a/b"}"#,
            false,
        ),
        (r#"{"Service": "logging.s3.amazonaws.com"}"#, false),
    ] {
        assert_eq!(with(principal, "{}"), public, "{principal}");
    }
    for (condition, public) in [
        (
            r#"{"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#,
            false,
        ),
        (r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#, false),
        (r#"{"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}"#, false),
        (r#"{"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}"#, true),
        (
            r#"{"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "0.0.0.0/7"]}}"#,
            true,
        ),
        (r#"{"IpAddress": {"aws:SourceIp": "2001::/31"}}"#, true),
        (
            r#"{"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#,
            true,
        ),
        (
            r#"{"IpAddressIfExists": {"aws:SourceIp": "203.0.113.0/24"}}"#,
            true,
        ),
        (
            r#"{"ForAllValues:IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}"#,
            true,
        ),
        (r#"{"StringEquals": {"aws:SourceIp": "203.0.113.7"}}"#, true),
        (r#"{"StringEquals": {"aws:PrincipalOrgID": "o-1"}}"#, false),
        (r#"{"StringEquals": {"aws:SourceVpce": "vpce-1"}}"#, false),
        (r#"{"StringLike": {"aws:SourceVpc": "vpc-*"}}"#, true),
        (r#"{"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}"#, true),
        (
            r#"{"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::111122223333:user/a"}}"#,
            false,
        ),
        (
            r#"{"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:user/*"}}"#,
            true,
        ),
        (r#"{"StringLike": {"aws:userid": "AROAEXAMPLE:*"}}"#, true),
        (r#"{"StringEquals": {"aws:userid": "AIDAEXAMPLE"}}"#, false),
        (r#"{"StringEquals": {"aws:username": "ann"}}"#, true),
        (
            r#"{"StringEquals": {"aws:Referer": "https://example.com/"}}"#,
            true,
        ),
        (r#"{"Bool": {"aws:SecureTransport": "true"}}"#, true),
        (r#"{"Null": {"aws:PrincipalArn": "false"}}"#, true),
        (
            r#"{"StringEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id":
                "arn:aws:kms:eu-1:111122223333:key/1"}}"#,
            false,
        ),
    ] {
        assert_eq!(with(r#""*""#, condition), public, "{condition}");
    }
    // One statement is enough, a deny takes nothing back.
    let policy = bucket(
        r#"{"Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "111122223333"}, "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/*"},
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::photos/a"}]}"#,
    );
    assert!(policy.is_public());
    assert!(!one("Deny", r#""*""#, "").is_public());
    assert!(!reads().is_public());
}

/// Documents are small: 10,000 users have one each.
#[test]
fn a_statement_takes_at_most_200_bytes() {
    let user = Document::parse(
        r#"{"Version": "2012-10-17", "Statement": [
            {"Sid": "List", "Effect": "Allow", "Action": "s3:ListBucket",
                "Resource": "arn:aws:s3:::photos", "Condition":
                {"StringLike": {"s3:prefix": ["home/${aws:username}/*", "shared/*"]}}},
            {"Sid": "Own", "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                "Resource": "arn:aws:s3:::photos/home/${aws:username}/*"},
            {"Effect": "Deny", "Action": "s3:*", "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}"#,
        DocumentKind::Identity,
    )
    .unwrap();
    assert!(
        user.memory() <= 200 * user.statements(),
        "{}",
        user.memory()
    );
    let ten: Vec<String> = (0..10)
        .map(|n| {
            format!(
                r#"{{"Sid": "Statement{n}", "Effect": "Allow", "Principal":
                    {{"AWS": "arn:aws:iam::111122223333:role/jobs/reader"}},
                    "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                    "Resource": "arn:aws:s3:::photos/department-{n}/*", "Condition":
                    {{"IpAddress": {{"aws:SourceIp": ["10.{n}.0.0/16", "203.0.113.{n}"]}}}}}}"#
            )
        })
        .collect();
    let ten = bucket(&format!(r#"{{"Statement": [{}]}}"#, ten.join(",")));
    assert!(ten.memory() <= 200 * ten.statements(), "{}", ten.memory());
}
