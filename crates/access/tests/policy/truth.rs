//! The tables of who gets what, by hand.

use access::{
    Action,
    policy::{
        Acl, AclGrants, ActionName, Basis, Conditions, Decision, Document, DocumentKind, Documents,
        Lacks, Principal, Request, Source, Target, decide, is_for_owner_only, sentence, shown,
    },
};

use crate::common::{
    ANN, BUCKET, OTHER, OWN, PROVIDER, ROLE_ID, USER_ID, bucket, denies, federated, identity, one,
    read, reads, role, root, silent, user,
};

/// What a grant is, by its principal; `{}` is the account of who asks.
const GRANTS: [(&str, &str); 11] = [
    ("none", ""),
    ("everybody", r#""*""#),
    ("everybody-aws", r#"{"AWS": "*"}"#),
    ("account", r#"{"AWS": "{}"}"#),
    ("account-root", r#"{"AWS": "arn:aws:iam::{}:root"}"#),
    ("user", r#"{"AWS": "arn:aws:iam::{}:user/staff/ann"}"#),
    ("role", r#"{"AWS": "arn:aws:iam::{}:role/jobs/reader"}"#),
    (
        "session",
        r#"{"AWS": "arn:aws:sts::{}:assumed-role/reader/today"}"#,
    ),
    (
        "guest",
        r#"{"AWS": "arn:aws:sts::{}:federated-user/guest"}"#,
    ),
    (
        "provider",
        r#"{"Federated": "arn:aws:iam::111122223333:oidc-provider/accounts.example.com"}"#,
    ),
    ("service", r#"{"Service": "logging.s3.amazonaws.com"}"#),
];

/// Combinations of identity policies (`I` allow, `-` do not), boundary (`.` none, `b` allows, `x`
/// does not) and session policies (`.` none, `s` allow, `x` do not).
const NONE: &str = "";
/// What is bounded, and needs an identity policy.
const IDENTITY: &str = "I.. Ib. I.s Ibs";
/// What is bounded, and needs none.
const BOUNDED: &str = "I.. Ib. I.s Ibs -.. -b. -.s -bs";
/// What is bounded and needs a session policy, and an identity policy.
const SESSION_IDENTITY: &str = "I.s Ibs";
/// What is bounded and needs a session policy.
const SESSION: &str = "I.s Ibs -.s -bs";
const ALL: &str = "I.. Ib. Ix. I.s Ibs Ixs I.x Ibx Ixx -.. -b. -x. -.s -bs -xs -.x -bx -xx";

fn combinations() -> impl Iterator<Item = (char, char, char)> {
    "I-".chars().flat_map(|i| {
        ".bx"
            .chars()
            .flat_map(move |b| ".sx".chars().map(move |s| (i, b, s)))
    })
}

fn table(account: &str, rows: &[(&str, Principal<'_>, &str)]) {
    for (grant, principal, allowed) in rows {
        let (_, text) = GRANTS.iter().find(|(name, _)| name == grant).unwrap();
        let policy = (!text.is_empty()).then(|| one("Allow", &text.replace("{}", account), ""));
        let (reads, silent) = (reads(), silent());
        for (i, b, s) in combinations() {
            let bound = |c| match c {
                '.' => None,
                'x' => Some(&silent),
                _ => Some(&reads),
            };
            let documents = Documents {
                owner: OWN,
                resource: policy.as_ref(),
                identity: if i == 'I' {
                    std::slice::from_ref(&reads)
                } else {
                    &[]
                },
                boundary: bound(b),
                sessions: bound(s).map(std::slice::from_ref).unwrap_or_default(),
                ..Documents::default()
            };
            let combination = String::from_iter([i, b, s]);
            let expected = allowed.split(' ').any(|own| own == combination);
            let decision = read(principal, &documents);
            assert_eq!(
                decision.is_allowed(),
                expected,
                "{grant} {principal:?} {combination} {decision:?}"
            );
        }
    }
}

#[test]
fn in_the_owners_account_each_grant_is_worth_what_it_names() {
    let rows = [
        ("none", root(OWN), ALL),
        ("none", user(OWN), IDENTITY),
        ("none", role(OWN), IDENTITY),
        ("none", federated(OWN), SESSION_IDENTITY),
        ("everybody", user(OWN), ALL),
        ("everybody", role(OWN), ALL),
        ("everybody", federated(OWN), ALL),
        ("everybody-aws", user(OWN), ALL),
        ("account", root(OWN), ALL),
        ("account", user(OWN), IDENTITY),
        ("account", role(OWN), IDENTITY),
        ("account", federated(OWN), SESSION_IDENTITY),
        ("account-root", user(OWN), IDENTITY),
        ("account-root", role(OWN), IDENTITY),
        ("user", user(OWN), ALL),
        ("user", role(OWN), IDENTITY),
        ("user", federated(OWN), SESSION),
        ("role", user(OWN), IDENTITY),
        ("role", role(OWN), BOUNDED),
        ("role", federated(OWN), SESSION_IDENTITY),
        ("session", user(OWN), IDENTITY),
        ("session", role(OWN), ALL),
        ("session", federated(OWN), SESSION_IDENTITY),
        ("guest", federated(OWN), ALL),
        ("guest", user(OWN), IDENTITY),
        ("provider", role(OWN), BOUNDED),
        ("provider", user(OWN), IDENTITY),
        ("service", user(OWN), IDENTITY),
    ];
    table(OWN, &rows);
}

#[test]
fn from_another_account_both_sides_have_to_allow() {
    let rows = [
        ("none", root(OTHER), NONE),
        ("none", user(OTHER), NONE),
        ("everybody", root(OTHER), ALL),
        ("everybody", user(OTHER), IDENTITY),
        ("everybody", role(OTHER), IDENTITY),
        ("everybody", federated(OTHER), SESSION_IDENTITY),
        ("account", root(OTHER), ALL),
        ("account", user(OTHER), IDENTITY),
        ("account", role(OTHER), IDENTITY),
        ("account-root", user(OTHER), IDENTITY),
        ("user", root(OTHER), NONE),
        ("user", user(OTHER), IDENTITY),
        ("user", role(OTHER), NONE),
        ("user", federated(OTHER), SESSION_IDENTITY),
        ("role", role(OTHER), IDENTITY),
        ("role", user(OTHER), NONE),
        ("session", role(OTHER), IDENTITY),
        ("session", user(OTHER), NONE),
        ("guest", federated(OTHER), SESSION_IDENTITY),
        ("provider", role(OTHER), IDENTITY),
        ("service", user(OTHER), NONE),
    ];
    table(OTHER, &rows);
    // A grant to one account is none to another.
    table(
        OWN,
        &[
            ("account", user(OTHER), NONE),
            ("account", root(OTHER), NONE),
        ],
    );
}

#[test]
fn strangers_need_a_grant_to_everybody_and_services_one_to_them() {
    let logging = Principal::Service {
        name: "logging.s3.amazonaws.com",
    };
    let other = Principal::Service {
        name: "logging.s3.amazonaws.com.example.com",
    };
    for (name, text) in GRANTS {
        let policy = (!text.is_empty()).then(|| one("Allow", &text.replace("{}", OWN), ""));
        let documents = Documents {
            owner: OWN,
            resource: policy.as_ref(),
            ..Documents::default()
        };
        let allowed = |principal| read(&principal, &documents).is_allowed();
        let everybody = name.starts_with("everybody");
        assert_eq!(allowed(Principal::Anonymous), everybody, "{name}");
        assert_eq!(allowed(logging), name == "service", "{name}");
        assert!(!allowed(other), "{name}");
        // Nobody's token is good for a bucket.
        let token = Principal::WebIdentity {
            provider: "accounts.example.com",
        };
        assert!(!allowed(token), "{name}");
    }
}

#[test]
fn a_deny_anywhere_is_final() {
    let policy = one("Allow", r#""*""#, "");
    let (reads, denies) = (reads(), denies());
    let bucket_denies = bucket(
        r#"{"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::photos/*"},
            {"Sid": "No", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::photos/a/*"}]}"#,
    );
    let both = [reads.clone(), denies.clone()];
    let open = Documents {
        owner: OWN,
        guard: Some(&reads),
        resource: Some(&policy),
        identity: std::slice::from_ref(&reads),
        boundary: Some(&reads),
        sessions: std::slice::from_ref(&reads),
        ..Documents::default()
    };
    let with = |source| match source {
        Source::Guard => Documents {
            guard: Some(&denies),
            ..open
        },
        Source::Resource => Documents {
            resource: Some(&bucket_denies),
            ..open
        },
        Source::Identity(_) => Documents {
            identity: &both,
            ..open
        },
        Source::Boundary => Documents {
            boundary: Some(&denies),
            ..open
        },
        Source::Session(_) => Documents {
            sessions: &both,
            ..open
        },
    };
    for principal in [user(OWN), role(OWN), federated(OWN), user(OTHER)] {
        assert!(read(&principal, &open).is_allowed());
        for (source, kind) in [
            (Source::Guard, "a service control policy"),
            (Source::Resource, "a resource-based policy"),
            (Source::Identity(1), "an identity-based policy"),
            (Source::Boundary, "a permissions boundary"),
            (Source::Session(1), "a session policy"),
        ] {
            let decision = read(&principal, &with(source));
            let Decision::ExplicitDeny(found) = decision else {
                panic!("{source:?} {decision:?}");
            };
            assert_eq!(found.document, source);
            let reason = decision.reason(&Action::GetObject.into()).unwrap();
            assert_eq!(reason, format!("with an explicit deny in {kind}"));
            if source == Source::Resource {
                assert_eq!((found.statement, bucket_denies.sid(1)), (1, Some("No")));
            }
        }
    }
}

#[test]
fn what_lacks_is_named_and_is_no_permission() {
    let (reads, silent) = (reads(), silent());
    let none = Documents {
        owner: OWN,
        ..Documents::default()
    };
    let identity = Documents {
        identity: std::slice::from_ref(&reads),
        ..none
    };
    for (principal, documents, lacks, kind) in [
        (user(OWN), none, Lacks::Identity, "identity-based policy"),
        (
            user(OWN),
            Documents {
                guard: Some(&silent),
                ..identity
            },
            Lacks::Guard,
            "service control policy",
        ),
        (
            user(OWN),
            Documents {
                boundary: Some(&silent),
                sessions: std::slice::from_ref(&silent),
                ..identity
            },
            Lacks::Boundary,
            "permissions boundary",
        ),
        (
            user(OWN),
            Documents {
                sessions: std::slice::from_ref(&silent),
                ..identity
            },
            Lacks::Session,
            "session policy",
        ),
        (federated(OWN), identity, Lacks::Session, "session policy"),
        (
            user(OTHER),
            identity,
            Lacks::Resource,
            "resource-based policy",
        ),
        (user(OTHER), none, Lacks::Identity, "identity-based policy"),
    ] {
        let decision = read(&principal, &documents);
        assert_eq!(decision, Decision::ImplicitDeny(lacks));
        assert!(!decision.is_allowed());
        assert_eq!(
            decision.reason(&Action::GetObject.into()).unwrap(),
            format!("because no {kind} allows the s3:GetObject action")
        );
    }
    let conditions = Conditions::default();
    let request = Request {
        principal: &role(OWN),
        action: Action::GetObject.into(),
        target: Target::Object {
            bucket: BUCKET,
            key: "a b",
        },
        conditions: &conditions,
    };
    assert_eq!(
        sentence(&request, &decide(&request, &none)).unwrap(),
        "User: arn:aws:sts::111122223333:assumed-role/reader/today is not authorized to perform: \
         s3:GetObject on resource: \"arn:aws:s3:::photos/a b\" because no identity-based policy \
         allows the s3:GetObject action"
    );
}

#[test]
fn the_guard_binds_the_account_itself_but_no_service() {
    let (reads, silent) = (reads(), silent());
    let documents = Documents {
        owner: OWN,
        guard: Some(&silent),
        identity: std::slice::from_ref(&reads),
        ..Documents::default()
    };
    assert_eq!(
        read(&root(OWN), &documents),
        Decision::ImplicitDeny(Lacks::Guard)
    );
    let policy = one("Allow", r#"{"Service": "logging.s3.amazonaws.com"}"#, "");
    let documents = Documents {
        resource: Some(&policy),
        ..documents
    };
    let logging = Principal::Service {
        name: "logging.s3.amazonaws.com",
    };
    assert!(read(&logging, &documents).is_allowed());
}

#[test]
fn the_owner_itself_always_gets_at_the_buckets_policy() {
    let all = bucket(
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Principal": "*",
            "Action": "s3:*", "Resource": ["arn:aws:s3:::photos", "arn:aws:s3:::photos/*"]}}"#,
    );
    let identity = identity(
        r#"{"Version": "2012-10-17", "Statement":
            {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#,
    );
    let documents = Documents {
        owner: OWN,
        resource: Some(&all),
        identity: std::slice::from_ref(&identity),
        ..Documents::default()
    };
    let conditions = Conditions::default();
    let may = |principal: Principal<'_>, name| {
        let request = Request {
            principal: &principal,
            action: ActionName::parse(name),
            target: Target::Bucket(BUCKET),
            conditions: &conditions,
        };
        decide(&request, &documents).is_allowed()
    };
    for name in [
        "s3:GetBucketPolicy",
        "s3:PutBucketPolicy",
        "s3:DeleteBucketPolicy",
    ] {
        assert!(may(root(OWN), name), "{name}");
        assert!(!may(user(OWN), name) && !may(root(OTHER), name), "{name}");
        assert!(is_for_owner_only(&ActionName::parse(name)));
    }
    assert!(!may(root(OWN), "s3:GetBucketPolicyStatus"));
    assert!(!may(root(OWN), "s3:ListBucket"));
    let denied = Documents {
        guard: Some(&all_denied()),
        ..documents
    };
    let request = Request {
        principal: &root(OWN),
        action: ActionName::parse("s3:PutBucketPolicy"),
        target: Target::Bucket(BUCKET),
        conditions: &conditions,
    };
    assert!(!decide(&request, &denied).is_allowed());
}

fn all_denied() -> Document {
    let text = r#"{"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}"#;
    Document::parse(text, DocumentKind::Guard).unwrap()
}

#[test]
fn a_new_user_or_role_of_an_old_name_is_somebody_else() {
    let text = r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::111122223333:user/staff/ann",
            "arn:aws:iam::111122223333:role/jobs/reader"]}, "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::photos/*"}]}"#;
    let saved = bucket(text);
    assert_eq!(saved.principals().count(), 2);
    let kept = saved.resolutions();
    assert_eq!(kept.len(), 2);
    let loaded = Document::parse(text, DocumentKind::Bucket(BUCKET)).unwrap();
    let resolved = loaded.with_resolved(&|arn| {
        let found = kept.iter().find(|(own, _)| own == arn);
        found.map(|(_, id)| id.clone())
    });
    assert_eq!(resolved.resolutions(), kept);
    let gone = loaded.with_resolved(&|_| None);
    let renewed = saved.with_resolved(&|_| Some("AIDABBBBBBBBBBBBBBBBB".into()));
    for principal in [user(OWN), role(OWN)] {
        let with = |document| {
            let documents = Documents {
                owner: OWN,
                resource: Some(document),
                ..Documents::default()
            };
            read(&principal, &documents).is_allowed()
        };
        assert!(with(&saved) && with(&resolved));
        assert!(!with(&loaded) && !with(&gone) && !with(&renewed));
    }
    let unknown = Document::parse_resolved(text, DocumentKind::Bucket(BUCKET), &|_| None);
    let error = unknown.unwrap_err();
    assert_eq!(error.message(), "Invalid principal in policy");
    assert_eq!((error.statement(), error.line()), (Some(1), Some(2)));
    // A bare id is nobody, also not who has that id.
    for id in [USER_ID, ROLE_ID] {
        let policy = one("Allow", &format!(r#"{{"AWS": "{id}"}}"#), "");
        let documents = Documents {
            owner: OWN,
            resource: Some(&policy),
            ..Documents::default()
        };
        assert!(!read(&user(OWN), &documents).is_allowed());
        assert!(!read(&role(OWN), &documents).is_allowed());
    }
}

#[test]
fn a_deny_for_the_account_is_one_for_all_of_it() {
    let identity = [reads()];
    for principal in [
        r#"{"AWS": "111122223333"}"#,
        r#"{"AWS": "arn:aws:iam::111122223333:root"}"#,
    ] {
        let policy = one("Deny", principal, "");
        let documents = Documents {
            owner: OWN,
            resource: Some(&policy),
            identity: &identity,
            sessions: &identity,
            ..Documents::default()
        };
        for own in [root(OWN), user(OWN), role(OWN), federated(OWN)] {
            let decision = read(&own, &documents);
            assert!(matches!(decision, Decision::ExplicitDeny(_)), "{own:?}");
        }
    }
}

#[test]
fn not_principal_spares_only_whose_whole_chain_it_names() {
    let account = "arn:aws:iam::111122223333:root";
    let user_arn = "arn:aws:iam::111122223333:user/staff/ann";
    let role_arn = "arn:aws:iam::111122223333:role/jobs/reader";
    let session = "arn:aws:sts::111122223333:assumed-role/reader/today";
    let guest = "arn:aws:sts::111122223333:federated-user/guest";
    let identity = [reads()];
    for (named, spared) in [
        (&[account][..], "root"),
        (&[user_arn], ""),
        (&[user_arn, account], "root user"),
        (&[role_arn, account], "root"),
        (&[role_arn, session], ""),
        (&[role_arn, session, account], "root role"),
        (&[guest, account], "root"),
        (&[guest, user_arn, account], "root user federated"),
    ] {
        let policy = bucket(&format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Deny",
                "NotPrincipal": {{"AWS": {named:?}}}, "Action": "s3:*",
                "Resource": "arn:aws:s3:::photos/*"}}]}}"#
        ));
        let documents = Documents {
            owner: OWN,
            resource: Some(&policy),
            identity: &identity,
            sessions: &identity,
            ..Documents::default()
        };
        for (name, principal) in [
            ("root", root(OWN)),
            ("user", user(OWN)),
            ("role", role(OWN)),
            ("federated", federated(OWN)),
        ] {
            let expected = spared.split(' ').any(|own| own == name);
            let allowed = read(&principal, &documents).is_allowed();
            assert_eq!(allowed, expected, "{name} {named:?}");
        }
        let stranger = read(&Principal::Anonymous, &documents);
        assert!(matches!(stranger, Decision::ExplicitDeny(_)));
    }
}

#[test]
fn an_allow_with_not_principal_is_one_for_the_public() {
    let policy = bucket(
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:user/staff/ann"},
            "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}]}"#,
    );
    assert!(policy.is_public());
    let documents = Documents {
        owner: OWN,
        resource: Some(&policy),
        ..Documents::default()
    };
    assert!(read(&Principal::Anonymous, &documents).is_allowed());
    assert!(read(&role(OWN), &documents).is_allowed());
    assert!(!read(&user(OWN), &documents).is_allowed());
}

#[test]
fn lists_grant_to_accounts_and_groups() {
    let identity = [reads()];
    let grants = |account, authenticated_users, all_users| AclGrants {
        account,
        authenticated_users,
        all_users,
    };
    // What the list grants; whether the public lists are ignored; who then may: strangers, the
    // owner's user without and with a policy, another account's without and with one.
    for (grants, ignored, expected) in [
        (
            grants(false, false, false),
            false,
            [false, false, true, false, false],
        ),
        (
            grants(true, false, false),
            false,
            [false, false, true, false, true],
        ),
        (
            grants(false, true, false),
            false,
            [false, true, true, false, true],
        ),
        (
            grants(false, false, true),
            false,
            [true, true, true, false, true],
        ),
        (
            grants(false, true, true),
            true,
            [false, false, true, false, false],
        ),
        (
            grants(true, true, true),
            true,
            [false, false, true, false, true],
        ),
    ] {
        let documents = Documents {
            owner: OWN,
            acl: Acl::Loaded {
                grants,
                object_owner: None,
            },
            ignore_public_acls: ignored,
            ..Documents::default()
        };
        let with = Documents {
            identity: &identity,
            ..documents
        };
        let found = [
            read(&Principal::Anonymous, &documents),
            read(&user(OWN), &documents),
            read(&user(OWN), &with),
            read(&user(OTHER), &documents),
            read(&user(OTHER), &with),
        ];
        let found = found.map(|decision| decision.is_allowed());
        assert_eq!(found, expected, "{grants:?} {ignored}");
    }
}

#[test]
fn the_bucket_does_not_open_what_another_account_owns() {
    let policy = one("Allow", r#""*""#, "");
    let identity = [reads()];
    let documents = |object_owner, account| Documents {
        owner: OWN,
        resource: Some(&policy),
        identity: &identity,
        acl: Acl::Loaded {
            grants: AclGrants {
                account,
                ..AclGrants::default()
            },
            object_owner: Some(object_owner),
        },
        ..Documents::default()
    };
    assert!(read(&user(OWN), &documents(OWN, false)).is_allowed());
    assert!(!read(&user(OWN), &documents(OTHER, false)).is_allowed());
    assert!(!read(&Principal::Anonymous, &documents(OTHER, false)).is_allowed());
    assert!(!read(&root(OWN), &documents(OTHER, false)).is_allowed());
    assert!(read(&root(OWN), &documents(OTHER, true)).is_allowed());
    assert!(read(&user(OTHER), &documents(OTHER, false)).is_allowed());
    let conditions = Conditions::default();
    let request = Request {
        principal: &root(OWN),
        action: Action::DeleteObject.into(),
        target: Target::Object {
            bucket: BUCKET,
            key: "a",
        },
        conditions: &conditions,
    };
    let decision = decide(&request, &documents(OTHER, false));
    assert_eq!(decision, Decision::Allow(Basis::Root));
}

#[test]
fn a_public_policy_is_restricted_to_the_owner_and_services() {
    let policy = bucket(
        r#"{"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObjectTagging",
                "Resource": "arn:aws:s3:::photos/*"},
            {"Effect": "Allow", "Principal": {"AWS": ["444455556666",
                "arn:aws:iam::111122223333:user/staff/ann"],
                "Service": "logging.s3.amazonaws.com"},
                "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}]}"#,
    );
    assert!(policy.is_public());
    let identity = [reads()];
    for restricted in [false, true] {
        let documents = Documents {
            owner: OWN,
            resource: Some(&policy),
            restrict_public_buckets: restricted,
            ..Documents::default()
        };
        let with = Documents {
            identity: &identity,
            ..documents
        };
        let logging = Principal::Service {
            name: "logging.s3.amazonaws.com",
        };
        assert!(read(&user(OWN), &documents).is_allowed());
        assert!(read(&logging, &documents).is_allowed());
        // Also what names the other account is off.
        assert_eq!(read(&user(OTHER), &with).is_allowed(), !restricted);
        assert_eq!(read(&root(OTHER), &documents).is_allowed(), !restricted);
    }
}

#[test]
fn only_the_roles_own_document_gives_the_role() {
    let admin = [identity(
        r#"{"Version": "2012-10-17", "Statement":
            {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#,
    )];
    let conditions = Conditions::default();
    let assume = |principal: Principal<'_>, trust: Option<&str>, identity: &[Document]| {
        let text = |principal: &str| {
            format!(
                r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow",
                    "Principal": {principal}, "Action": "sts:AssumeRole*"}}}}"#
            )
        };
        let trust = trust.map(|trust| {
            let text = text(trust);
            Document::parse_resolved(&text, DocumentKind::Trust, &crate::common::resolve).unwrap()
        });
        let request = Request {
            principal: &principal,
            action: ActionName::Named("sts:AssumeRole"),
            target: Target::Arn("arn:aws:iam::111122223333:role/jobs/reader"),
            conditions: &conditions,
        };
        let documents = Documents {
            owner: OWN,
            resource: trust.as_ref(),
            identity,
            ..Documents::default()
        };
        decide(&request, &documents).is_allowed()
    };
    let account = r#"{"AWS": "111122223333"}"#;
    let other = r#"{"AWS": "444455556666"}"#;
    let named = r#"{"AWS": "arn:aws:iam::111122223333:user/staff/ann"}"#;
    let federated = format!(r#"{{"Federated": "{PROVIDER}"}}"#);
    assert!(!assume(user(OWN), None, &admin));
    assert!(!assume(root(OWN), None, &[]));
    assert!(!assume(user(OWN), Some(other), &admin));
    assert!(!assume(user(OWN), Some(account), &[]));
    assert!(assume(user(OWN), Some(account), &admin));
    assert!(assume(user(OWN), Some(named), &[]));
    assert!(!assume(user(OTHER), Some(other), &[]));
    assert!(assume(user(OTHER), Some(other), &admin));
    let web = Principal::WebIdentity { provider: PROVIDER };
    assert!(assume(web, Some(&federated), &[]));
    assert!(!assume(web, Some(r#""*""#), &[]));
    assert!(!assume(web, Some(account), &[]));
    assert!(!assume(Principal::Anonymous, Some(&federated), &[]));
}

#[test]
fn a_session_of_the_account_itself_does_what_its_policies_say() {
    let guest = Principal::Federated {
        account: OWN,
        name: "guest",
        user: None,
        tags: &[],
    };
    let reads = [reads()];
    let documents = Documents {
        owner: OWN,
        ..Documents::default()
    };
    assert!(!read(&guest, &documents).is_allowed());
    let documents = Documents {
        sessions: &reads,
        ..documents
    };
    assert!(read(&guest, &documents).is_allowed());
    let ann = Principal::Federated {
        account: OWN,
        name: "guest",
        user: Some(ANN),
        tags: &[],
    };
    assert!(!read(&ann, &documents).is_allowed());
}

#[test]
fn a_document_that_cannot_be_read_denies_all() {
    let identity = [reads()];
    let conditions = Conditions::default();
    for principal in [
        root(OWN),
        user(OWN),
        role(OWN),
        user(OTHER),
        Principal::Anonymous,
    ] {
        let bucket = Document::unreadable(DocumentKind::Bucket(BUCKET));
        let other = Document::unreadable(DocumentKind::Identity);
        let documents = Documents {
            owner: OWN,
            identity: &identity,
            ..Documents::default()
        };
        let broken = [
            Documents {
                resource: Some(&bucket),
                ..documents
            },
            Documents {
                identity: std::slice::from_ref(&other),
                ..documents
            },
            Documents {
                boundary: Some(&other),
                ..documents
            },
        ];
        for (action, target) in [
            (
                Action::GetObject,
                Target::Object {
                    bucket: BUCKET,
                    key: "a",
                },
            ),
            (Action::ListBucket, Target::Bucket(BUCKET)),
            (Action::ListAllMyBuckets, Target::Service),
        ] {
            for documents in broken {
                let request = Request {
                    principal: &principal,
                    action: action.into(),
                    target,
                    conditions: &conditions,
                };
                let decision = decide(&request, &documents);
                assert!(
                    matches!(decision, Decision::ExplicitDeny(_)),
                    "{principal:?}"
                );
            }
        }
    }
}

#[test]
fn a_policy_is_shown_with_the_names_of_today() {
    let text = r#"{ "Statement" : [ {"Effect": "Allow",
        "Principal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:user/staff/ann" ],
            "Service": "arn:aws:iam::111122223333:user/staff/ann"},
        "NotPrincipal": {"AWS": "arn:aws:iam::111122223333:role\u002fjobs/reader"},
        "Resource": "arn:aws:iam::111122223333:user/staff/ann"} ] }"#;
    let name = |arn: &str| match arn {
        "111122223333" => panic!("an account is no user"),
        arn if arn.ends_with("ann") => Some("arn:aws:iam::111122223333:user/ann2".to_owned()),
        _ => Some(ROLE_ID.to_owned()),
    };
    let expected = r#"{ "Statement" : [ {"Effect": "Allow",
        "Principal": {"AWS": ["111122223333", "arn:aws:iam::111122223333:user/ann2" ],
            "Service": "arn:aws:iam::111122223333:user/staff/ann"},
        "NotPrincipal": {"AWS": "AROAAAAAAAAAAAAAAAAAA"},
        "Resource": "arn:aws:iam::111122223333:user/staff/ann"} ] }"#;
    assert_eq!(shown(text, &name), expected);
    assert_eq!(shown(text, &|_| None), text);
    assert_eq!(shown("no policy", &name), "no policy");
    let one = r#"{"Statement": {"Principal": "*", "Action": ["*"]}}"#;
    assert_eq!(shown(one, &name), one);
}

/// Until the unique ids are known, a name counts where it permits less.
#[test]
fn names_that_are_not_resolved_only_deny() {
    let identity = [reads()];
    let ann = r#"{"AWS": ["arn:aws:iam::111122223333:user/staff/ann", "111122223333"]}"#;
    for (effect, element, allowed) in [
        // The account alone grants nothing, and the name does not yet.
        ("Allow", "Principal", false),
        ("Allow", "NotPrincipal", false),
        ("Deny", "Principal", false),
        // The name does not spare yet.
        ("Deny", "NotPrincipal", false),
    ] {
        let text = format!(
            r#"{{"Statement": {{"Effect": "{effect}", "{element}": {ann},
                "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}}}}"#
        );
        let unresolved = Document::parse(&text, DocumentKind::Bucket(BUCKET)).unwrap();
        let documents = Documents {
            owner: OWN,
            resource: Some(&unresolved),
            identity: if effect == "Deny" { &identity } else { &[] },
            ..Documents::default()
        };
        let decision = read(&user(OWN), &documents);
        assert_eq!(decision.is_allowed(), allowed, "{effect} {element}");
        let resolved = unresolved.with_resolved(&crate::common::resolve);
        let documents = Documents {
            resource: Some(&resolved),
            ..documents
        };
        let expected = (effect == "Allow") == (element == "Principal");
        let decision = read(&user(OWN), &documents);
        assert_eq!(decision.is_allowed(), expected, "{effect} {element}");
    }
}

#[test]
fn a_canonical_user_is_the_account_that_has_the_id() {
    let id = "9f".repeat(32);
    let text = format!(
        r#"{{"Statement": {{"Effect": "Allow", "Principal": {{"CanonicalUser": "{id}"}},
            "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos/*"}}}}"#
    );
    let kind = DocumentKind::Bucket(BUCKET);
    let resolve = |own: &str| (own == id).then(|| OTHER.to_owned());
    let policy = Document::parse_resolved(&text, kind, &resolve).unwrap();
    let identity = [reads()];
    let may = |policy, principal, identity| {
        let documents = Documents {
            owner: OWN,
            resource: Some(policy),
            identity,
            ..Documents::default()
        };
        read(&principal, &documents).is_allowed()
    };
    assert!(may(&policy, root(OTHER), &[]) && may(&policy, user(OTHER), &identity));
    assert!(!may(&policy, user(OTHER), &[]) && !may(&policy, Principal::Anonymous, &[]));
    let unresolved = Document::parse(&text, kind).unwrap();
    assert!(!may(&unresolved, root(OTHER), &[]));
    assert!(!policy.is_public());
}

#[test]
fn a_token_is_good_for_a_role_whose_document_says_so() {
    let text = format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow",
            "Principal": {{"Federated": "{PROVIDER}"}},
            "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {{
                "StringEquals": {{"accounts.example.com:aud": "photos"}},
                "StringLike": {{"accounts.example.com:sub": "repo/*"}},
                "ForAnyValue:StringEquals": {{"accounts.example.com:amr": "mfa"}}}}}}}}"#
    );
    let trust = Document::parse(&text, DocumentKind::Trust).unwrap();
    let documents = Documents {
        owner: OWN,
        resource: Some(&trust),
        ..Documents::default()
    };
    let may = |claims: &[(&str, &[&str])], provider| {
        let conditions = Conditions {
            claims,
            ..Conditions::default()
        };
        let request = Request {
            principal: &Principal::WebIdentity { provider },
            action: ActionName::Named("sts:AssumeRoleWithWebIdentity"),
            target: Target::Arn("arn:aws:iam::111122223333:role/jobs/reader"),
            conditions: &conditions,
        };
        decide(&request, &documents).is_allowed()
    };
    let aud: (&str, &[&str]) = ("accounts.example.com:aud", &["photos"]);
    let sub: (&str, &[&str]) = ("accounts.example.com:sub", &["repo/a"]);
    let amr: (&str, &[&str]) = ("accounts.example.com:amr", &["pwd", "mfa"]);
    assert!(may(&[aud, sub, amr], PROVIDER));
    assert!(!may(
        &[aud, sub, amr],
        "arn:aws:iam::111122223333:oidc-provider/accounts.example.co"
    ));
    assert!(!may(&[aud, sub], PROVIDER) && !may(&[aud, amr], PROVIDER) && !may(&[], PROVIDER));
    let other: (&str, &[&str]) = ("accounts.example.com:aud", &["photos2"]);
    let both: (&str, &[&str]) = ("accounts.example.com:aud", &["photos2", "Photos"]);
    assert!(!may(&[other, sub, amr], PROVIDER) && !may(&[both, sub, amr], PROVIDER));
}

#[test]
fn a_user_may_have_power_over_itself_alone() {
    let own = [identity(
        r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
            "Action": ["iam:*AccessKey*", "iam:GetUser"],
            "Resource": "arn:aws:iam::111122223333:user/staff/${aws:username}"}}"#,
    )];
    let documents = Documents {
        owner: OWN,
        identity: &own,
        ..Documents::default()
    };
    let conditions = Conditions::default();
    let may = |action, target| {
        let request = Request {
            principal: &user(OWN),
            action: ActionName::Named(action),
            target: Target::of_arn(target),
            conditions: &conditions,
        };
        decide(&request, &documents).is_allowed()
    };
    let ann = "arn:aws:iam::111122223333:user/staff/ann";
    for action in ["iam:CreateAccessKey", "iam:listaccesskeys", "IAM:GetUser"] {
        assert!(may(action, ann), "{action}");
        for other in [
            "arn:aws:iam::111122223333:user/staff/anna",
            "arn:aws:iam::111122223333:user/ann",
            "arn:aws:iam::111122223333:user/staff/staff/ann",
            "arn:aws:iam::111122223333:role/staff/ann",
            "arn:aws:iam::444455556666:user/staff/ann",
            "arn:aws:iam:eu:111122223333:user/staff/ann",
            "arn:aws:iam::111122223333:root",
            "*",
        ] {
            assert!(!may(action, other), "{action} {other}");
        }
    }
    for action in [
        "iam:PutUserPolicy",
        "iam:GetUserPolicy",
        "sts:GetUser",
        "s3:GetObject",
        "iam",
    ] {
        assert!(!may(action, ann), "{action}");
    }
}

#[test]
fn a_session_is_of_the_role_that_had_the_name() {
    let arn = "arn:aws:sts::111122223333:assumed-role/reader/today";
    let text = one_text("Allow", &format!(r#"{{"AWS": "{arn}"}}"#));
    let kind = DocumentKind::Bucket(BUCKET);
    let loaded = Document::parse(&text, kind).unwrap();
    assert_eq!(loaded.principals().collect::<Vec<_>>(), [arn]);
    let of = |id: &str| {
        let id = id.to_owned();
        Document::parse_resolved(&text, kind, &move |_| Some(id.clone())).unwrap()
    };
    let may = |document: &Document, principal: &Principal<'_>| {
        let documents = Documents {
            owner: OWN,
            resource: Some(document),
            ..Documents::default()
        };
        read(principal, &documents).is_allowed()
    };
    let (own, other) = (of(ROLE_ID), of("AROABBBBBBBBBBBBBBBBB"));
    assert!(may(&own, &role(OWN)) && !may(&other, &role(OWN)));
    assert_eq!(own.resolutions(), [(arn.to_owned(), ROLE_ID.to_owned())]);
    let again = loaded.with_resolved(&|_| Some(ROLE_ID.to_owned()));
    assert!(may(&again, &role(OWN)));
    assert!(!may(
        &loaded.with_resolved(&|_| Some("AROABBBBBBBBBBBBBBBBB".into())),
        &role(OWN)
    ));
    // Of a role that was not there, and of documents from before ids were kept: by name.
    let unknown = Document::parse_resolved(&text, kind, &|_| None).unwrap();
    assert!(may(&unknown, &role(OWN)) && unknown.resolutions().is_empty());
    assert!(may(&loaded.with_resolved(&|_| None), &role(OWN)));
    // Others of that role, and users, are not meant by its id.
    let Principal::RoleSession { tags, .. } = role(OWN) else {
        panic!("no session");
    };
    let tomorrow = Principal::RoleSession {
        account: OWN,
        path: "/jobs/",
        role: "reader",
        id: ROLE_ID,
        session: "tomorrow",
        provider: None,
        tags,
    };
    assert!(!may(&own, &tomorrow) && !may(&own, &user(OWN)));
}

fn one_text(effect: &str, principal: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}",
            "Principal": {principal}, "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::photos/*"}}}}"#
    )
}
