//! What users may do: what their policies allow, and nothing else.

#![allow(clippy::unwrap_used)] // tests

use std::sync::Arc;

use access::{
    Action, Ask, AuthType, CallerKind, Context, Facts, GuardPolicy, Identity, Initiator, Policies,
    Refusal, RequestFacts, Resource, Role, Session, SessionOf, SessionPolicies, Transport, User,
    Via, Who, actions::Kind, authorize, authorize_opening, refusal_sentence,
};
use http::HeaderMap;
use types::{
    AccessKeyId, AccountId, BucketDeed, BucketId, BucketName, Jurisdiction, ObjectKey, Place,
    Placement, RegionId, Timestamp, TlsVersion,
};

const OWNER: &str = "111122223333";

fn user(policies: &[&str], boundary: Option<&str>) -> Identity {
    let account = AccountId::new(OWNER);
    let user = User {
        id: "AIDAEXAMPLE".into(),
        account: account.clone(),
        name: "anna".into(),
        path: "/team/".into(),
        tags: vec![("Team".into(), "red".into())],
        policies: Policies::compile(policies.iter().copied(), boundary),
    };
    Identity::Key {
        access_key: AccessKeyId::new("DHOWEXAMPLE"),
        account,
        kind: CallerKind::Customer,
        guard: Default::default(),
        who: Who::User(Arc::new(user)),
    }
}

struct World {
    deed: Arc<BucketDeed>,
    here: Place,
    bucket: BucketName,
    key: ObjectKey,
}

impl World {
    fn new(owner: &str) -> Self {
        let bucket = BucketName::new("papers").unwrap();
        Self {
            deed: Arc::new(BucketDeed {
                id: BucketId(1),
                name: bucket.clone(),
                owner: AccountId::new(owner),
                home: RegionId::new("home"),
                created: Timestamp::from_ms(1),
                epoch: 1,
                placement: Placement::default(),
            }),
            here: Place {
                region: RegionId::new("home"),
                jurisdiction: Jurisdiction::parse("DE").unwrap(),
                operator: "own".into(),
            },
            bucket,
            key: ObjectKey::new("team/key").unwrap(),
        }
    }

    fn resource(&self, action: Action) -> Resource<'_> {
        use access::actions::Keys;
        let bucket = &self.bucket;
        match (action.row().kind, action.row().keys) {
            (Kind::Service, _) => Resource::Service,
            (_, Keys::None) => Resource::Bucket(bucket),
            (_, Keys::Under) => Resource::Keys { bucket, prefix: "" },
            (_, Keys::One | Keys::Version) => Resource::Object {
                bucket,
                key: &self.key,
                version: None,
            },
        }
    }

    fn decide(
        &self,
        principal: &Identity,
        action: Action,
        context: Context<'_>,
    ) -> Result<(), Refusal> {
        let ask = Ask {
            principal,
            action,
            resource: self.resource(action),
            context,
        };
        let facts = Facts {
            access: Some(&access::BucketAccess::default()),
            account_block: access::PublicAccessBlock::NONE,
            deed: action.has_deed().then_some(&self.deed),
            here: &self.here,
            via: &Via::Client,
        };
        authorize(&ask, &facts).map(drop)
    }
}

fn all() -> String {
    statement(r#""Effect": "Allow", "Action": "*", "Resource": "*""#)
}

fn statement(text: &str) -> String {
    [r#"{"Version": "2012-10-17", "Statement": {"#, text, "}}"].concat()
}

#[test]
fn a_user_may_do_nothing_without_a_policy() {
    let world = World::new(OWNER);
    let deny = statement(r#""Effect": "Deny", "Action": "*", "Resource": "*""#);
    let unreadable = statement(r#""Effect": "Allow", "Action": "*", "Resource": "*", "New": 1"#);
    let everything = all();
    for row in Action::rows() {
        for policies in [
            &[][..],
            &[&*everything, &*deny],
            // What a later release wrote takes all rights away.
            &[&*everything, &*unreadable],
        ] {
            let refused = world.decide(&user(policies, None), row.action, Context::default());
            assert!(refused.is_err(), "{} with {policies:?}", row.name);
        }
        // With a policy, the user may do what the account may.
        let mut root = user(&[], None);
        if let Identity::Key { who, .. } = &mut root {
            *who = Who::Root;
        }
        let by_root = world.decide(&root, row.action, Context::default());
        let by_user = world.decide(&user(&[&everything], None), row.action, Context::default());
        // Rules write with the rights of the account.
        if row.name == "PutReplicationConfiguration" {
            assert_eq!((by_root, by_user), (Ok(()), Err(Refusal::RootOnly)));
            continue;
        }
        let tags = matches!(row.name, "CreateBucket" | "PutBucketTagging");
        assert!(
            by_root == by_user || tags,
            "{}: {by_root:?} {by_user:?}",
            row.name
        );
    }
}

#[test]
fn a_user_may_do_what_the_policy_says_and_the_boundary_allows() {
    let world = World::new(OWNER);
    let reads = statement(
        r#""Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::papers/team/*""#,
    );
    let everything = all();
    let may = |policies: &[&str], boundary: Option<&str>, action| {
        let decided = world.decide(&user(policies, boundary), action, Context::default());
        decided.is_ok()
    };
    assert!(may(&[&reads], None, Action::GetObject));
    assert!(!may(&[&reads], None, Action::PutObject));
    assert!(!may(&[&reads], None, Action::GetObjectTagging));
    assert!(may(&[&everything], Some(&reads), Action::GetObject));
    assert!(!may(&[&everything], Some(&reads), Action::PutObject));
    assert!(!may(&[], Some(&everything), Action::GetObject));
    // Another account's bucket stays another account's.
    let other = World::new("999999999999");
    let refused = other.decide(
        &user(&[&everything], None),
        Action::GetObject,
        Context::default(),
    );
    assert_eq!(refused, Err(Refusal::NotOwner));
}

#[test]
fn a_request_that_does_more_needs_more() {
    let world = World::new(OWNER);
    let writes = statement(r#""Effect": "Allow", "Action": "s3:PutObject", "Resource": "*""#);
    let attributes =
        statement(r#""Effect": "Allow", "Action": "s3:GetObjectAttributes", "Resource": "*""#);
    let with = |name: &'static str, value: &'static str| {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    };
    let put = |headers: &HeaderMap| {
        let context = Context {
            headers: Some(headers),
            ..Context::default()
        };
        world.decide(&user(&[&writes], None), Action::PutObject, context)
    };
    assert!(put(&HeaderMap::new()).is_ok());
    // The refusal names the action that is not allowed.
    let denies = |decided, action: Action| match decided {
        Err(Refusal::Policy(denied)) => assert_eq!(denied.action, action),
        other => panic!("{action:?}: {other:?}"),
    };
    for (name, value, action) in [
        ("x-amz-tagging", "a=b", Action::PutObjectTagging),
        ("x-amz-acl", "private", Action::PutObjectAcl),
        ("x-amz-grant-read", "id=1", Action::PutObjectAcl),
        ("if-match", "\"etag\"", Action::GetObject),
    ] {
        denies(put(&with(name, value)), action);
    }
    let refused = world.decide(
        &user(&[&attributes], None),
        Action::GetObjectAttributes,
        Context::default(),
    );
    denies(refused, Action::GetObject);
}

#[test]
fn conditions_ask_about_the_request() {
    let world = World::new(OWNER);
    let came = RequestFacts {
        source: Some("192.0.2.7".parse().unwrap()),
        transport: Some(Transport::Tls),
        tls: Some(TlsVersion::V1_2),
        auth: Some(AuthType::PresignedV4),
        signed_at: Timestamp::parse_iso_basic("20261129T100000Z"),
        read_at: Timestamp::parse_iso_basic("20261129T101000Z"),
    };
    let headers = HeaderMap::from_iter([
        (http::header::USER_AGENT, "tool/1".parse().unwrap()),
        (
            http::header::REFERER,
            "https://example.com/".parse().unwrap(),
        ),
    ]);
    let context = || Context {
        facts: came,
        headers: Some(&headers),
        prefix: Some("team/"),
        delimiter: Some("/"),
        max_keys: Some(10),
        ..Context::default()
    };
    for (condition, holds) in [
        (r#""IpAddress": {"aws:SourceIp": "192.0.2.0/24"}"#, true),
        (r#""IpAddress": {"aws:SourceIp": "198.51.100.0/24"}"#, false),
        (r#""Bool": {"aws:SecureTransport": "true"}"#, true),
        (r#""Bool": {"aws:SecureTransport": "false"}"#, false),
        (r#""NumericLessThan": {"s3:TlsVersion": "1.2"}"#, false),
        (r#""NumericLessThan": {"s3:TlsVersion": "1.3"}"#, true),
        (r#""StringEquals": {"s3:TlsVersion": "1.2"}"#, true),
        (r#""Null": {"s3:TlsVersion": "true"}"#, false),
        (r#""StringLike": {"aws:UserAgent": "tool/*"}"#, true),
        (
            r#""StringEquals": {"aws:Referer": "https://example.com/"}"#,
            true,
        ),
        (r#""StringEquals": {"s3:prefix": "team/"}"#, true),
        (r#""StringEquals": {"s3:prefix": ""}"#, false),
        (r#""StringEquals": {"s3:delimiter": "/"}"#, true),
        (r#""NumericLessThanEquals": {"s3:max-keys": "10"}"#, true),
        (r#""NumericLessThanEquals": {"s3:max-keys": "9"}"#, false),
        (
            r#""StringEquals": {"s3:authType": "REST-QUERY-STRING"}"#,
            true,
        ),
        (r#""NumericLessThan": {"s3:signatureAge": "600001"}"#, true),
        (r#""NumericLessThan": {"s3:signatureAge": "600000"}"#, false),
        (
            r#""DateLessThan": {"aws:CurrentTime": "2026-11-29T10:11:00Z"}"#,
            true,
        ),
        (
            r#""DateLessThan": {"aws:CurrentTime": "2026-11-29T10:09:00Z"}"#,
            false,
        ),
        (r#""StringEquals": {"aws:username": "anna"}"#, true),
        (r#""StringEquals": {"aws:PrincipalTag/Team": "red"}"#, true),
        (
            r#""StringEquals": {"aws:PrincipalTag/Team": "blue"}"#,
            false,
        ),
        (r#""StringEquals": {"aws:RequestedRegion": "home"}"#, true),
        (
            r#""StringEquals": {"aws:ResourceAccount": "111122223333"}"#,
            true,
        ),
    ] {
        let text = [
            r#""Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": {"#,
            condition,
            "}",
        ];
        let policy = statement(&text.concat());
        let decided = world.decide(&user(&[&policy], None), Action::ListBucket, context());
        assert_eq!(decided.is_ok(), holds, "{condition}");
    }
}

#[test]
fn what_depends_on_tags_that_are_not_loaded_is_refused() {
    let world = World::new(OWNER);
    for effect in ["Allow", "Deny"] {
        let text = [
            r#""Effect": ""#,
            effect,
            r#"", "Action": "s3:GetObject", "Resource": "*", "#,
            r#""Condition": {"StringEquals": {"s3:ExistingObjectTag/a": "b"}}"#,
        ];
        let policy = statement(&text.concat());
        let everything = all();
        let policies: &[&str] = match effect {
            "Allow" => &[&policy],
            _ => &[&everything, &policy],
        };
        let decided = world.decide(&user(policies, None), Action::GetObject, Context::default());
        assert!(
            matches!(decided, Err(Refusal::Policy(_))),
            "{effect}: {decided:?}"
        );
    }
}

#[test]
fn a_refusal_names_user_action_and_object() {
    let world = World::new(OWNER);
    let principal = user(&[], None);
    let refusal = world
        .decide(&principal, Action::GetObject, Context::default())
        .unwrap_err();
    let ask = Ask {
        principal: &principal,
        action: Action::GetObject,
        resource: world.resource(Action::GetObject),
        context: Context::default(),
    };
    assert_eq!(
        refusal_sentence(&ask, refusal).unwrap(),
        "User: arn:aws:iam::111122223333:user/team/anna is not authorized to perform: s3:GetObject \
         on resource: \"arn:aws:s3:::papers/team/key\" because no identity-based policy allows the \
         s3:GetObject action"
    );
    // Nor is a sealed replica opened for a user without a policy.
    let facts = Facts {
        access: Some(&access::BucketAccess::default()),
        account_block: access::PublicAccessBlock::NONE,
        deed: Some(&world.deed),
        here: &world.here,
        via: &Via::Client,
    };
    let refused = authorize_opening(&ask, &facts);
    assert!(matches!(refused, Err(Refusal::Policy(_))));
}

/// What somebody is given sessions of.
fn of(kind: &str, policies: &[&str], boundary: Option<&str>) -> SessionOf {
    let account = AccountId::new(OWNER);
    let compiled = || Policies::compile(policies.iter().copied(), boundary);
    let user = || {
        Arc::new(User {
            id: "AIDAEXAMPLE".into(),
            account: account.clone(),
            name: "anna".into(),
            path: "/team/".into(),
            tags: Vec::new(),
            policies: compiled(),
        })
    };
    match kind {
        "root" => SessionOf::Root,
        "user" => SessionOf::User(user()),
        "federated" => SessionOf::Federated(Some(user())),
        "federated by root" => SessionOf::Federated(None),
        _ => SessionOf::Role(Arc::new(Role {
            id: "AROAEXAMPLE".into(),
            account: account.clone(),
            name: "worker".into(),
            path: "/".into(),
            tags: Vec::new(),
            policies: compiled(),
        })),
    }
}

fn session(of: SessionOf, policies: &[&str]) -> Identity {
    bounded(of, &SessionPolicies::compile(policies.iter().copied()))
}

fn bounded(of: SessionOf, policies: &SessionPolicies) -> Identity {
    let account = AccountId::new(OWNER);
    let session = Session {
        id: "DHSTEXAMPLE".into(),
        of,
        name: "work".into(),
        tags: Vec::new(),
        given: Vec::new(),
        transitive: Vec::new(),
        source_identity: Some("anna".into()),
        issued: Timestamp::from_s(1_000_000_000),
        parent: "DHOWEXAMPLE".into(),
        parent_account: account.clone(),
        provider: None,
        chained: false,
        policies: policies.clone(),
    };
    Identity::Key {
        access_key: AccessKeyId::new("DHSTEXAMPLE"),
        account,
        kind: CallerKind::Customer,
        guard: Default::default(),
        who: Who::Session(Arc::new(session)),
    }
}

const KINDS: [&str; 5] = ["role", "user", "root", "federated", "federated by root"];

#[test]
fn a_session_policy_bounds_every_action() {
    let world = World::new(OWNER);
    let everything = all();
    let one = statement(
        r#""Effect": "Allow", "Action": "s3:GetBucketLocation", "Resource": "arn:aws:s3:::papers""#,
    );
    let unreadable = statement(r#""Effect": "Allow", "Action": "*", "Resource": "*", "New": 1"#);
    for row in Action::rows() {
        let root = world.decide(
            &Identity::Key {
                access_key: AccessKeyId::new("DHOWEXAMPLE"),
                account: AccountId::new(OWNER),
                kind: CallerKind::Customer,
                guard: Default::default(),
                who: Who::Root,
            },
            row.action,
            Context::default(),
        );
        for kind in KINDS {
            // Those of the account itself get no policies, and are not asked for any.
            let whole = session(of(kind, &[&everything], None), &[&everything]);
            let allowed = world.decide(&whole, row.action, Context::default());
            let only_root = allowed == Err(Refusal::RootOnly);
            assert!(
                allowed == root || only_root,
                "{} by {kind}: {allowed:?}",
                row.name
            );
            if kind == "root" {
                continue;
            }
            for (policies, may) in [
                (&[&*one][..], row.action == Action::GetBucketLocation),
                (&[&*unreadable], false),
                (&[&*everything, &*unreadable], false),
            ] {
                let narrow = session(of(kind, &[&everything], None), policies);
                let decided = world.decide(&narrow, row.action, Context::default());
                // What only regions do is refused as that to anybody of the account.
                let region = decided == Err(Refusal::ForRegions);
                assert!(
                    decided.is_ok() == may || region,
                    "{} by {kind}: {decided:?}",
                    row.name
                );
            }
            let bare = session(of(kind, &[&everything], None), &[]);
            let decided = world.decide(&bare, row.action, Context::default());
            if kind.starts_with("federated") && decided != Err(Refusal::ForRegions) {
                assert!(decided.is_err(), "{} by {kind}", row.name);
            }
        }
    }
}

#[test]
fn conditions_are_asked_of_the_session() {
    let world = World::new(OWNER);
    let condition = |text: &str| {
        let head = r#""Effect": "Allow", "Action": "*", "Resource": "*", "Condition": "#;
        statement(&[head, text].concat())
    };
    for (text, may) in [
        (
            r#"{"DateLessThan": {"aws:TokenIssueTime": "2001-09-09T01:46:41Z"}}"#,
            true,
        ),
        (
            r#"{"DateLessThan": {"aws:TokenIssueTime": "2001-09-09T01:46:40Z"}}"#,
            false,
        ),
        (r#"{"StringEquals": {"aws:SourceIdentity": "anna"}}"#, true),
        (
            r#"{"StringEquals": {"aws:SourceIdentity": "berta"}}"#,
            false,
        ),
        (r#"{"Bool": {"aws:MultiFactorAuthPresent": "false"}}"#, true),
        (r#"{"Bool": {"aws:MultiFactorAuthPresent": "true"}}"#, false),
        (
            r#"{"StringEquals": {"aws:userid": "AROAEXAMPLE:work"}}"#,
            true,
        ),
        (r#"{"StringLike": {"aws:userid": "AROAOTHER:*"}}"#, false),
    ] {
        let policy = condition(text);
        let asked = session(of("role", &[&policy], None), &[]);
        let decided = world.decide(&asked, Action::GetObject, Context::default());
        assert_eq!(decided.is_ok(), may, "{text}: {decided:?}");
    }
    // A user who signs with a key of their own has no such keys.
    let issued = condition(r#"{"Null": {"aws:TokenIssueTime": "false"}}"#);
    assert!(
        world
            .decide(
                &user(&[&issued], None),
                Action::GetObject,
                Context::default()
            )
            .is_err()
    );
}

/// A policy that allows and denies a few actions at random.
fn random_policy(random: &mut u64) -> String {
    let mut next = |below: usize| {
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((*random >> 33) as usize) % below
    };
    let names = [
        "s3:*",
        "s3:Get*",
        "s3:Put*",
        "s3:*Object*",
        "s3:List*",
        "*",
        "s3:DeleteBucket",
    ];
    let resources = [
        "*",
        "arn:aws:s3:::papers",
        "arn:aws:s3:::papers/*",
        "arn:aws:s3:::pa*",
    ];
    let statements: Vec<String> = (0..=next(3))
        .map(|_| {
            let effect = if next(4) == 0 { "Deny" } else { "Allow" };
            let element = if next(5) == 0 { "NotAction" } else { "Action" };
            let (name, resource) = (names[next(names.len())], resources[next(resources.len())]);
            format!(r#"{{"Effect": "{effect}", "{element}": "{name}", "Resource": "{resource}"}}"#)
        })
        .collect();
    let statements = statements.join(", ");
    [
        r#"{"Version": "2012-10-17", "Statement": ["#,
        &statements,
        "]}",
    ]
    .concat()
}

/// Not the evaluator alone, but with all that decides around it.
#[test]
fn no_session_may_what_whom_it_is_of_may_not() {
    let world = World::new(OWNER);
    let actions: Vec<Action> = Action::rows().iter().map(|row| row.action).collect();
    let mut random = 20_261_129;
    let (mut both, mut narrower) = (0, 0);
    // Each of the documents is asked for five actions.
    for case in 0..2_000 {
        let own = [(); 2].map(|()| random_policy(&mut random));
        let own: Vec<&str> = own.iter().map(String::as_str).take(1 + case % 2).collect();
        let bound = (case % 3 == 0).then(|| random_policy(&mut random));
        let narrow = random_policy(&mut random);
        let narrow = SessionPolicies::compile([&*narrow].into_iter());
        let parent = user(&own, bound.as_deref());
        let role = of("role", &own, bound.as_deref());
        let whom = of("user", &own, bound.as_deref());
        let SessionOf::User(person) = &whom else {
            panic!("{whom:?}");
        };
        let guest = SessionOf::Federated(Some(Arc::clone(person)));
        let children: Vec<Identity> = [role, whom.clone(), guest]
            .iter()
            .flat_map(|kind| {
                let policies = [&SessionPolicies::default(), &narrow];
                policies.map(|policies| bounded(kind.clone(), policies))
            })
            .collect();
        for n in 0..5 {
            let action = actions[((random >> 33) as usize + n * 7) % actions.len()];
            let decide = |who: &Identity| world.decide(who, action, Context::default());
            let may = decide(&parent).is_ok();
            for child in &children {
                let decided = decide(child);
                assert!(may || decided.is_err(), "{action:?}: {own:?} {child:?}");
                both += usize::from(decided.is_ok());
                narrower += usize::from(may && decided.is_err());
            }
        }
    }
    assert!(both > 5_000 && narrower > 5_000, "{both} {narrower}");
}

/// Only the body of a request says where a bucket will be, and with which tags.
#[test]
fn a_new_bucket_is_permitted_once_it_is_known_where_it_will_be() {
    let world = World::new(OWNER);
    let with = |effect: &str, home: &str| {
        statement(&format!(
            r#""Effect": "{effect}", "Action": "s3:CreateBucket", "Resource": "*",
            "Condition": {{"StringEquals": {{"s3:LocationConstraint": "{home}"}}}}"#
        ))
    };
    let (everything, deny, allow) = (all(), with("Deny", "home"), with("Allow", "home"));
    let cases = [
        (vec![&*everything, &*deny], "home", false),
        (vec![&*everything, &*deny], "elsewhere", true),
        (vec![&*allow], "home", true),
        (vec![&*allow], "elsewhere", false),
        (vec![&*everything], "home", true),
    ];
    for (policies, home, may) in cases {
        let user = user(&policies, None);
        let covers = |location: Option<&'static str>| {
            let ask = Ask {
                principal: &user,
                action: Action::CreateBucket,
                resource: Resource::Bucket(&world.bucket),
                context: Context {
                    location,
                    ..Context::default()
                },
            };
            let facts = Facts {
                access: None,
                account_block: access::PublicAccessBlock::NONE,
                deed: None,
                here: &world.here,
                via: &Via::Client,
            };
            authorize(&ask, &facts).map(|permit| permit.covers_new(&world.bucket))
        };
        let home: &'static str = if home == "home" { "home" } else { "elsewhere" };
        assert_eq!(
            covers(Some(home)).unwrap_or(false),
            may,
            "{policies:?} {home}"
        );
        // Before the body is read nothing is permitted that it may forbid, nor refused for good.
        let unconditional = policies == [&*everything];
        assert_eq!(covers(None), Ok(unconditional), "{policies:?}");
    }
}

#[test]
fn what_a_body_says_is_decided_once_it_was_read() {
    let world = World::new(OWNER);
    let tags = |team: &str| vec![("team".to_owned(), team.to_owned())];
    let (red, blue) = (tags("red"), tags("blue"));
    let tagging = [
        (Action::PutObjectTagging, "s3:RequestObjectTag/team"),
        (Action::PutObjectVersionTagging, "s3:RequestObjectTag/team"),
        (Action::PutBucketTagging, "aws:RequestTag/team"),
    ];
    let unread = || Context::default();
    let mut cases: Vec<(Action, &str, &str, Context<'_>, Context<'_>)> = Vec::new();
    for (action, key) in tagging {
        let with = |given| Context {
            given_tags: Some(given),
            ..unread()
        };
        cases.push((action, key, "red", with(&red), with(&blue)));
    }
    let owned = |mode| Context {
        ownership: Some(mode),
        ..unread()
    };
    let mode = "BucketOwnerEnforced";
    let (as_named, other) = (owned(Some(mode)), owned(Some("ObjectWriter")));
    let key = "s3:x-amz-object-ownership";
    let action = Action::PutBucketOwnershipControls;
    cases.push((action, key, mode, as_named, other));
    cases.push((action, key, mode, as_named, owned(None)));
    for (action, key, value, as_named, other) in cases {
        for (effect, named_may) in [("Allow", true), ("Deny", false)] {
            let text = statement(&format!(
                r#""Effect": "{effect}", "Action": "*", "Resource": "*",
                "Condition": {{"StringEquals": {{"{key}": "{value}"}}}}"#
            ));
            let everything = all();
            let user = match effect {
                "Allow" => user(&[&text], None),
                _ => user(&[&everything, &text], None),
            };
            let facts = Facts {
                access: Some(&access::BucketAccess::default()),
                account_block: access::PublicAccessBlock::NONE,
                deed: Some(&world.deed),
                here: &world.here,
                via: &Via::Client,
            };
            let permit = |context| {
                let resource = world.resource(action);
                let ask = Ask {
                    principal: &user,
                    action,
                    resource,
                    context,
                };
                authorize(&ask, &facts)
            };
            // Until then the permit is on no bucket and no key.
            let before = permit(unread()).unwrap();
            assert!(before.is_unread() && before.deed().is_none(), "{action:?}");
            assert!(!before.covers(&world.key, None), "{action:?}");
            assert_eq!(before.addressed().map(|deed| deed.id), Some(BucketId(1)));
            let may = |context| match permit(context) {
                Ok(permit) => {
                    assert!(!permit.is_unread() && permit.deed().is_some(), "{action:?}");
                    true
                }
                Err(_) => false,
            };
            assert_eq!(may(as_named), named_may, "{effect} {action:?}");
            assert_eq!(may(other), !named_may, "{effect} {action:?}");
        }
    }
}

#[test]
fn an_upload_is_open_to_who_began_it_unless_a_document_denies_it() {
    let world = World::new(OWNER);
    let began = |account: &str, user_id: &str| Initiator {
        account: AccountId::new(account),
        user_id: user_id.to_owned(),
    };
    let (own, other) = (began(OWNER, "AIDAEXAMPLE"), began(OWNER, "AIDAOTHER"));
    let stranger = began("444455556666", "AIDAEXAMPLE");
    let put = statement(r#""Effect": "Allow", "Action": "s3:PutObject", "Resource": "*""#);
    let deny = statement(r#""Effect": "Deny", "Action": "s3:*Multipart*", "Resource": "*""#);
    let (may, denied) = (user(&[&put], None), user(&[&put, &deny], None));
    let bounded = user(&[&put], Some(&put));
    let guard = |policy: &str| {
        let mut guarded = user(&[&put], None);
        if let Identity::Key { guard, .. } = &mut guarded {
            *guard = GuardPolicy::compile(Some(policy));
        }
        guarded
    };
    let guarded = guard(&put);
    for action in [
        Action::AbortMultipartUpload,
        Action::ListMultipartUploadParts,
    ] {
        let decide = |who: &Identity, initiator: Option<Option<&Initiator>>| {
            let context = Context {
                initiator,
                ..Context::default()
            };
            world.decide(who, action, context)
        };
        assert_eq!(decide(&may, None), Err(Refusal::NeedsInitiator));
        for who in [&may, &bounded] {
            assert_eq!(decide(who, Some(Some(&own))), Ok(()), "{action:?}");
        }
        for initiator in [None, Some(&other), Some(&stranger)] {
            let decided = decide(&may, Some(initiator));
            assert!(matches!(decided, Err(Refusal::Policy(_))), "{initiator:?}");
        }
        // What denies it, or bounds the whole account, is asked first.
        for who in [&denied, &guarded] {
            for initiator in [None, Some(Some(&own))] {
                let decided = decide(who, initiator);
                assert!(matches!(decided, Err(Refusal::Policy(_))), "{action:?}");
            }
        }
    }
    // Nothing else is open to them.
    let decided = world.decide(
        &may,
        Action::GetObject,
        Context {
            initiator: Some(Some(&own)),
            ..Context::default()
        },
    );
    assert!(matches!(decided, Err(Refusal::Policy(_))));
    // In a bucket of another account: the initiator and its account's root, and nobody else.
    let theirs = World::new("444455556666");
    let account = AccountId::new(OWNER);
    let root = Identity::Key {
        access_key: AccessKeyId::new("DHOWROOT"),
        account,
        kind: CallerKind::Customer,
        guard: Default::default(),
        who: Who::Root,
    };
    for (who, initiator, holds) in [
        (&may, &own, true),
        (&may, &other, false),
        (&root, &own, true),
        (&root, &other, true),
        (&root, &stranger, false),
        (&Identity::Anonymous, &own, false),
    ] {
        let context = Context {
            initiator: Some(Some(initiator)),
            ..Context::default()
        };
        let decided = theirs.decide(who, Action::AbortMultipartUpload, context);
        assert_eq!(decided.is_ok(), holds, "{who:?} {initiator:?}");
    }
}

#[test]
fn who_signs_nothing_removes_no_bucket_whatever_a_policy_says() {
    let world = World::new(OWNER);
    let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*",
        "Action": "s3:*", "Resource": ["arn:aws:s3:::papers", "arn:aws:s3:::papers/*"]}}"#;
    let open = access::BucketAccess::compiled(
        &world.deed,
        Some((text, &[])),
        access::PublicAccessBlock::NONE,
        false,
    );
    let decide = |action, access: Option<&access::BucketAccess>| {
        let ask = Ask {
            principal: &Identity::Anonymous,
            action,
            resource: world.resource(action),
            context: Context::default(),
        };
        let facts = Facts {
            access,
            account_block: access::PublicAccessBlock::NONE,
            deed: action.has_deed().then_some(&world.deed),
            here: &world.here,
            via: &Via::Client,
        };
        authorize(&ask, &facts).map(drop)
    };
    assert_eq!(decide(Action::PutObject, Some(&open)), Ok(()));
    assert_eq!(decide(Action::PutBucketTagging, Some(&open)), Ok(()));
    for action in [Action::DeleteBucket, Action::CreateBucket] {
        assert_eq!(decide(action, Some(&open)), Err(Refusal::Anonymous));
    }
}

#[test]
fn who_may_only_write_compares_no_etags() {
    let world = World::new(OWNER);
    let text = statement(
        r#""Effect": "Allow", "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": "*""#,
    );
    let (writer, everything) = (user(&[&text], None), all());
    let both = user(&[&everything], None);
    for action in [Action::PutObject, Action::DeleteObject] {
        for (etag, may) in [(None, true), (Some("*"), true), (Some("\"e\""), false)] {
            let mut headers = HeaderMap::new();
            if let Some(etag) = etag {
                headers.insert("if-match", etag.parse().unwrap());
            }
            let context = Context {
                headers: Some(&headers),
                given_tags: Some(&[]),
                ..Context::default()
            };
            let decided = world.decide(&writer, action, context);
            assert_eq!(decided.is_ok(), may, "{action:?} {etag:?}");
            assert_eq!(
                world.decide(&both, action, context),
                Ok(()),
                "{action:?} {etag:?}"
            );
        }
        let named = Context {
            compares: true,
            given_tags: Some(&[]),
            ..Context::default()
        };
        assert!(world.decide(&writer, action, named).is_err());
    }
}

/// A caller whose account has this guard policy.
fn guarded(mut identity: Identity, text: &str) -> Identity {
    if let Identity::Key { guard, .. } = &mut identity {
        *guard = GuardPolicy::compile(Some(text));
    }
    identity
}

#[test]
fn a_guard_policy_bounds_the_account_itself_and_its_users() {
    let world = World::new(OWNER);
    let root = || {
        let mut root = user(&[], None);
        if let Identity::Key { who, .. } = &mut root {
            *who = Who::Root;
        }
        root
    };
    let everything = all();
    let deny = statement(r#""Effect": "Deny", "Action": "*", "Resource": "*""#);
    let other = statement(r#""Effect": "Allow", "Action": "sqs:*", "Resource": "*""#);
    let mut refused = 0;
    for row in Action::rows() {
        let decide = |who: &Identity| world.decide(who, row.action, Context::default());
        for who in [root(), user(&[&everything], None)] {
            // It takes nothing away that it allows, and grants nothing.
            let within = guarded(who.clone(), &everything);
            assert_eq!(decide(&within), decide(&who), "{}", row.name);
            for guard in [&*deny, &*other, "{}"] {
                let bound = guarded(who.clone(), guard);
                assert!(decide(&bound).is_err(), "{} with {guard}", row.name);
                refused += 1;
            }
        }
        let none = guarded(user(&[], None), &everything);
        assert!(decide(&none).is_err(), "{}", row.name);
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn a_guard_policy_bounds_who_is_let_into_the_bucket_of_another_account() {
    let world = World::new("000000000002");
    let open = statement(
        r#""Effect": "Allow", "Principal": "*", "Action": "s3:*",
           "Resource": ["arn:aws:s3:::papers", "arn:aws:s3:::papers/*"]"#,
    );
    let access = access::BucketAccess::compiled(
        &world.deed,
        Some((&open, &[])),
        access::PublicAccessBlock::NONE,
        false,
    );
    let decide = |principal: &Identity| {
        let ask = Ask {
            principal,
            action: Action::GetObject,
            resource: world.resource(Action::GetObject),
            context: Context::default(),
        };
        let facts = Facts {
            access: Some(&access),
            account_block: access::PublicAccessBlock::NONE,
            deed: Some(&world.deed),
            here: &world.here,
            via: &Via::Client,
        };
        authorize(&ask, &facts).map(drop)
    };
    let anna = user(&[&all()], None);
    assert_eq!(decide(&anna), Ok(()));
    let deny = statement(r#""Effect": "Deny", "Action": "s3:GetObject", "Resource": "*""#);
    assert_eq!(decide(&guarded(anna, &deny)), Err(Refusal::NotOwner));
    // Whoever signs nothing is of no account.
    assert_eq!(decide(&Identity::Anonymous), Ok(()));
}
