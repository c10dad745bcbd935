//! Sessions and roles over regions: which region takes which token, and what each receives.

use std::{collections::BTreeMap, time::Duration};

use access::{
    Identity, SessionOf, SessionToken, SigningKeys, TokenFault, Who,
    signature::{Service, Statement},
};
use store::memory::Memory;
use types::{
    BucketName, Features, SeededRandom,
    features::{ROLES, SESSIONS, WEB_IDENTITY},
};

use super::{
    follow_tests::{Cloud, ROOT, follower, open, today},
    *,
};
use crate::{
    Ask, Grant, GrantOf, Introduced, KeyStatus, NewEntity, NewKey, NewProvider, NewRole,
    NewSession, RegistryAnswer, RoleInfo,
    keys::{derive, region_key},
    sessions::{
        keys::week,
        token::{self, Claims, Head, Held, Kind, TokenKey},
    },
};

const WITHIN: Duration = Duration::from_secs(30);

fn trusting(account: &str) -> String {
    let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
        "Principal": {"AWS": "ACCOUNT"}, "Action": "sts:AssumeRole"}}"#;
    text.replace("ACCOUNT", account)
}

fn named(name: &str, account: &str) -> NewRole {
    NewRole {
        name: name.into(),
        path: "/".into(),
        max_session_s: 3600,
        trust: trusting(account),
        ..NewRole::default()
    }
}

impl Cloud {
    pub(super) async fn role(&self, account: &AccountId, name: &str) -> RoleInfo {
        let new = named(name, account);
        let made = self.keeper.create_role(ROOT, account, new).await;
        made.unwrap()
    }

    /// A session of the role, begun with this key.
    pub(super) fn session(&self, role: &RoleInfo, key: &NewKey) -> NewSession {
        let made = self.keeper.issue_session(Grant {
            account: AccountId::new(&role.account),
            of: GrantOf::Role(role.id.clone()),
            ..self.grant(key)
        });
        made.unwrap()
    }

    pub(super) fn grant(&self, key: &NewKey) -> Grant {
        Grant {
            begun: self.keeper.log_length(),
            ..grant(key)
        }
    }

    async fn second_is(&self, is_so: impl Fn() -> bool) {
        follows_until(&self.second, is_so).await;
    }
}

pub(super) async fn follows_until(registry: &Arc<Registry>, is_so: impl Fn() -> bool) {
    let following = tokio::spawn(Arc::clone(registry).follow());
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, so).await.unwrap();
    following.abort();
}

fn grant(key: &NewKey) -> Grant {
    Grant {
        account: AccountId::new(&key.account),
        of: GrantOf::Root,
        name: "work".into(),
        tags: BTreeMap::new(),
        transitive: Vec::new(),
        source_identity: None,
        policies: Vec::new(),
        parent: key.access_key.clone(),
        parent_account: AccountId::new(&key.account),
        provider: None,
        begun: 0,
        chained: false,
        seconds: 3600,
    }
}

/// What verifies a request to `region` of the session, there.
pub(super) fn verifies(
    registry: &Registry,
    made: &NewSession,
    region: &str,
) -> Result<Option<Who>, TokenFault> {
    let token = SessionToken::new(&made.token);
    let (day, name) = (today(), RegionId::new(region));
    let found = registry.session_key(&token, &made.access_key, &day, &name, "s3")?;
    Ok(found.map(|found| {
        // It is the key that the client has.
        let expected = derive(&made.secret_key, &day, region, "s3");
        let expected = access::signature::HmacKey::from(expected);
        assert_eq!(found.key.sign(b"text"), expected.sign(b"text"), "{region}");
        found.who
    }))
}

fn is_role(who: &Who, role: &RoleInfo) -> bool {
    let Who::Session(session) = who else {
        return false;
    };
    matches!(&session.of, SessionOf::Role(own) if own.id == role.id)
}

#[tokio::test]
async fn each_region_verifies_a_session_from_its_token_alone() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    let (_, key) = cloud.user(&account, "alice").await;
    let role = cloud.role(&account, "reader").await;
    let made = cloud.session(&role, &key);
    assert!(is_role(
        &verifies(&cloud.keeper, &made, "first").unwrap().unwrap(),
        &role
    ));
    // By an alias, too, where the registry is kept.
    assert!(
        verifies(&cloud.keeper, &made, "us-east-1")
            .unwrap()
            .is_some()
    );
    cloud.catch_up().await;
    cloud
        .second_is(|| matches!(verifies(&cloud.second, &made, "second"), Ok(Some(_))))
        .await;
    // Started anew it asks nobody: what it needs is on its disk, and the keeper is not asked.
    let alone = follower(&cloud.keeper, Arc::clone(&cloud.rows), "second").await;
    let who = verifies(&alone, &made, "second").unwrap().unwrap();
    assert!(is_role(&who, &role));
    let Who::Session(session) = &who else {
        panic!("{who:?}");
    };
    assert_eq!(
        (&*session.name, &*session.parent),
        ("work", &*key.access_key)
    );
    // Nobody's name but its own.
    for other in ["first", "third", "us-east-1"] {
        let region = RegionId::new(other);
        let token = SessionToken::new(&made.token);
        let found = alone.session_key(&token, &made.access_key, &today(), &region, "s3");
        assert!(matches!(found, Ok(None)), "{other}");
    }
}

#[tokio::test]
async fn no_region_makes_a_session_that_another_takes() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    let (_, key) = cloud.user(&account, "alice").await;
    let role = cloud.role(&account, "admin").await;
    let third = follower(&cloud.keeper, Memory::new(), "third").await;
    third.announce_features(Features::own());
    let now = cloud.keeper.clock.now().s();
    let keys_of = |region: &str, week| {
        let state = cloud.keeper.state.read();
        cloud.keeper.derived_key(&state, region, week)
    };
    let claims = Claims {
        account: account.to_string(),
        kind: Kind::Role,
        principal: role.id.clone(),
        name: "forged".into(),
        tags: BTreeMap::new(),
        transitive: Vec::new(),
        source_identity: None,
        policies: Vec::new(),
        parent: key.access_key.clone(),
        parent_account: account.to_string(),
        provider: None,
        begun: 0,
        chained: false,
    };
    let head = |issued: u64, expires: u64, week| Head {
        week,
        id: [7; 16],
        issued,
        expires,
    };
    let forged = |head: Head, key: TokenKey| {
        let bound = region_key("known", &today(), "second");
        let held = [
            Held::Days(vec![(today(), bound)]),
            Held::Secret("known".into()),
        ];
        held.map(|held| {
            let all = [(key.clone(), held)];
            let token = token::seal(&head, &claims, &all, &SeededRandom::new(1)).unwrap();
            (token, head.access_key())
        })
    };
    let open = |registry: &Registry, (token, key): &(String, String)| {
        registry
            .open_session(&SessionToken::new(token), key)
            .map(drop)
    };
    let this = week(now);
    let good = head(now, now + 3600, this);
    // The third region's own key is good there, and nowhere else, under whatever name.
    cloud
        .keeper
        .announced(&RegionId::new("third"), Some(&Features::own().names()))
        .await;
    follows_until(&third, || !third.state.read().token_keys.is_empty()).await;
    let own = keys_of("third", this);
    for forgery in forged(good, own.clone()) {
        assert_eq!(open(&third, &forgery), Ok(()));
        assert_eq!(open(&cloud.keeper, &forgery), Err(TokenFault::Invalid));
    }
    for name in ["first", "second"] {
        let renamed = TokenKey {
            region: name.into(),
            key: own.key,
        };
        for forgery in forged(good, renamed) {
            assert_eq!(
                open(&cloud.keeper, &forgery),
                Err(TokenFault::Invalid),
                "{name}"
            );
        }
    }
    // What is sealed under a secret of the account, or of a user.
    for secret in [&key.secret_key, &account.to_string()] {
        let key = TokenKey {
            region: "first".into(),
            key: crate::keys::mac(secret.as_bytes(), "envelope"),
        };
        for forgery in forged(good, key) {
            assert_eq!(open(&cloud.keeper, &forgery), Err(TokenFault::Invalid));
        }
    }
    // The right key, with times that no session has, or the key of another week.
    let keeper = keys_of("first", this);
    assert_eq!(
        open(&cloud.keeper, &forged(good, keeper.clone())[1]),
        Ok(())
    );
    for (head, fault) in [
        (head(now, now + 129_601, this), TokenFault::Invalid),
        (head(now, now, this), TokenFault::Invalid),
        (head(now, now - 1, this), TokenFault::Invalid),
        (head(now, u64::MAX, this), TokenFault::Invalid),
        (head(now - 60, now - 1, week(now - 60)), TokenFault::Expired),
        (
            head(now + 86_400 * 8, now + 86_400 * 8 + 60, this),
            TokenFault::Invalid,
        ),
    ] {
        let key = keys_of("first", head.week);
        assert_eq!(
            open(&cloud.keeper, &forged(head, key)[1]),
            Err(fault),
            "{head:?}"
        );
    }
    let old = now - 86_400 * 30;
    let key = keys_of("first", week(old));
    let forgery = &forged(head(old, old + 3600, week(old)), key.clone())[1];
    assert_eq!(open(&cloud.keeper, forgery), Err(TokenFault::Outdated));
    let forgery = &forged(head(now, now + 3600, week(old)), key)[1];
    assert_eq!(open(&cloud.keeper, forgery), Err(TokenFault::Invalid));
}

#[tokio::test]
async fn a_session_ends_in_every_region_with_what_it_is_of() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let (account, other) = (cloud.tenant("acme").await, cloud.tenant("other").await);
    cloud.held_by_second(&account).await;
    // Begun with a key of another account, of which the second region knows nothing but the log.
    let (user, key) = cloud.user(&other, "bob").await;
    let key_id = types::AccessKeyId::new(&key.access_key);
    let role = cloud.role(&account, "reader").await;
    let (keeper, second) = (&cloud.keeper, &cloud.second);
    let made = parking_lot::Mutex::new(cloud.session(&role, &key));
    cloud.catch_up().await;
    let lives = |there: bool| {
        let made = made.lock();
        [(keeper, "first"), (second, "second")].iter().all(
            |(at, name)| matches!(verifies(at, &made, name), Ok(found) if found.is_some() == there),
        )
    };
    cloud.second_is(|| lives(true)).await;
    assert!(!second.knows_key(&key_id));
    // What has ended is not back with the key or the account; a new session is another.
    let ends_for_good = async || {
        cloud.catch_up().await;
        assert!(lives(false));
        *made.lock() = cloud.session(&role, &key);
        cloud.second_is(|| lives(true)).await;
    };
    for status in [KeyStatus::Disabled, KeyStatus::Active] {
        keeper.set_key_status(ROOT, &key_id, status).await.unwrap();
        cloud.second_is(|| lives(false)).await;
    }
    ends_for_good().await;
    for whose in [&account, &other] {
        for suspended in [true, false] {
            keeper
                .suspend_account(ROOT, whose, suspended)
                .await
                .unwrap();
            cloud.second_is(|| lives(false)).await;
        }
        ends_for_good().await;
    }
    // What the log says of a key is known after a new start, too.
    for status in [KeyStatus::Disabled, KeyStatus::Active] {
        keeper.set_key_status(ROOT, &key_id, status).await.unwrap();
        cloud.second_is(|| lives(false)).await;
        cloud.catch_up().await;
        let again = follower(keeper, Arc::clone(&cloud.rows), "second").await;
        assert!(matches!(verifies(&again, &made.lock(), "second"), Ok(None)));
    }
    ends_for_good().await;
    // The role, whose name another gets then.
    keeper.delete_role(ROOT, &role.id).await.unwrap();
    let again = cloud.role(&account, "reader").await;
    cloud
        .second_is(|| lives(false) && second.state.read().told_roles.contains_key(&again.id))
        .await;
    let made = cloud.session(&again, &key);
    let lives = |there: bool| matches!(verifies(second, &made, "second"), Ok(found) if found.is_some() == there);
    cloud.second_is(|| lives(true)).await;
    keeper.delete_key(ROOT, &key_id).await.unwrap();
    cloud.second_is(|| lives(false)).await;
    keeper.delete_user(ROOT, &user.id).await.unwrap();
}

/// The id of a key is no name for what was begun with it: another key may have it later.
#[tokio::test]
async fn a_key_that_is_made_anew_has_no_sessions_of_the_one_before() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let (account, other) = (cloud.tenant("acme").await, cloud.tenant("other").await);
    cloud.held_by_second(&account).await;
    let (keeper, second) = (&cloud.keeper, &cloud.second);
    let own = keeper.create_key(ROOT, &account, None, "", false).await;
    let far = keeper.create_key(ROOT, &other, None, "", false).await;
    let (_, of_user) = cloud.user(&account, "alice").await;
    let role = cloud.role(&account, "reader").await;
    // Of a key that the second region has, of one of which it has the log alone, of a user's.
    for key in [own.unwrap(), far.unwrap(), of_user] {
        let owner = AccountId::new(&key.account);
        let id = types::AccessKeyId::new(&key.access_key);
        let (direct, of_role) = (cloud.grant(&key), cloud.session(&role, &key));
        let direct = keeper.issue_session(direct).unwrap();
        let are = |made: &NewSession, there: bool| {
            let found = [
                verifies(keeper, made, "first"),
                verifies(second, made, "second"),
            ];
            found.map(|found| found.unwrap().is_some()) == [there; 2]
        };
        cloud.catch_up().await;
        cloud.second_is(|| are(&of_role, true)).await;
        keeper.delete_key(ROOT, &id).await.unwrap();
        let secret = "another-secret-0123456789-abcdef";
        let pair = Some((&*key.access_key, secret));
        let anew = keeper.create_key(ROOT, &owner, pair, "", false).await;
        let anew = anew.unwrap();
        assert_eq!(anew.access_key, key.access_key);
        cloud.catch_up().await;
        for made in [&direct, &of_role] {
            cloud.second_is(|| are(made, false)).await;
        }
        let again = follower(keeper, Arc::clone(&cloud.rows), "second").await;
        for made in [&direct, &of_role] {
            assert!(matches!(verifies(&again, made, "second"), Ok(None)));
        }
        let of_role = cloud.session(&role, &anew);
        cloud.second_is(|| are(&of_role, true)).await;
    }
}

#[tokio::test]
async fn what_a_role_may_do_changes_in_every_region() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    let (_, key) = cloud.user(&account, "alice").await;
    let role = cloud.role(&account, "reader").await;
    let made = cloud.session(&role, &key);
    let everything = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
        "Action": "*", "Resource": "*"}}"#;
    let nothing = everything.replace("Allow", "Deny");
    let (keeper, second) = (&cloud.keeper, &cloud.second);
    let may = || {
        let Ok(Some(who)) = verifies(second, &made, "second") else {
            return false;
        };
        let target = access::policy::Target::Bucket("any");
        let action = access::Action::GetBucketLocation.into();
        let of = (&account, access::GuardPolicy::NONE);
        who.decide(of, action, target, &Default::default()).is_ok()
    };
    let policy = NewEntity {
        name: "all".into(),
        path: "/".into(),
        ..NewEntity::default()
    };
    let policy = keeper
        .create_policy(ROOT, &account, policy, everything)
        .await
        .unwrap();
    cloud.catch_up().await;
    assert!(!may());
    let holder = crate::Holder::Role(&role.id);
    keeper.attach(ROOT, holder, &policy.id, true).await.unwrap();
    cloud.second_is(may).await;
    keeper
        .create_policy_version(ROOT, &policy.id, &nothing, true)
        .await
        .unwrap();
    cloud.second_is(|| !may()).await;
    keeper
        .set_default_version(ROOT, &policy.id, 1)
        .await
        .unwrap();
    cloud.second_is(may).await;
    keeper
        .attach(ROOT, holder, &policy.id, false)
        .await
        .unwrap();
    cloud.second_is(|| !may()).await;
}

#[tokio::test]
async fn a_region_that_does_not_know_sessions_is_given_none() {
    let cloud = Cloud::new().await;
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    let of_users = Features::own().without(&[ROLES, SESSIONS].map(str::to_owned));
    for region in ["second", "third"] {
        let region = RegionId::new(region);
        cloud
            .keeper
            .announced(&region, Some(&of_users.names()))
            .await;
    }
    let (_, key) = cloud.user(&account, "alice").await;
    let own = Features::own().names();
    let second = RegionId::new("second");
    cloud.keeper.announced(&second, Some(&own)).await;
    let made = cloud.keeper.issue_session(cloud.grant(&key)).unwrap();
    let envelopes = |made: &NewSession| token::read(&made.token).unwrap().envelopes();
    assert_eq!(envelopes(&made), 2);
    let third = RegionId::new("third");
    let told = cloud.keeper.answer(&third, Ask::TokenKeys).await;
    assert!(matches!(told, RegistryAnswer::TokenKeys { keys } if keys.is_empty()));
    cloud.keeper.announced(&third, Some(&own)).await;
    assert_eq!(
        envelopes(&cloud.keeper.issue_session(cloud.grant(&key)).unwrap()),
        3
    );
    // One that goes back to a release before them is given neither keys nor roles.
    cloud.role(&account, "reader").await;
    let changes = Ask::Changes {
        from: 0,
        wait_ms: 0,
        receipt: None,
        features: Some(of_users.names()),
    };
    let roles = Ask::Roles {
        after: String::new(),
    };
    for ask in [changes, roles, Ask::TokenKeys] {
        let told = cloud.keeper.answer(&second, ask).await;
        assert!(matches!(told, RegistryAnswer::Refused(_)));
    }
    assert_eq!(
        envelopes(&cloud.keeper.issue_session(cloud.grant(&key)).unwrap()),
        2
    );
}

#[tokio::test]
async fn a_guard_gives_no_envelope_to_regions_outside() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let guard = vec![types::Jurisdiction::parse("FR").unwrap()];
    let made = cloud
        .keeper
        .create_account(ROOT, "french", crate::AccountKind::Tenant, guard)
        .await;
    let account = made.unwrap().account_id();
    let key = cloud
        .keeper
        .create_key(ROOT, &account, None, "", false)
        .await
        .unwrap();
    let made = cloud.keeper.issue_session(cloud.grant(&key)).unwrap();
    // The keeper, and the third region, which is there.
    let token = token::read(&made.token).unwrap();
    assert_eq!(token.envelopes(), 2);
    let week = week(cloud.keeper.clock.now().s());
    let opens = |region: &str| {
        let state = cloud.keeper.state.read();
        token
            .open(&cloud.keeper.derived_key(&state, region, week))
            .is_some()
    };
    assert_eq!(["first", "second", "third"].map(opens), [true, false, true]);
    // Nor is anything of the account sent to such a region for a request that was signed for it.
    let told = |region: &str| {
        let shown = crate::Introduction::of(&signed(&made, &made.secret_key, region));
        let told = cloud
            .keeper
            .answer_introduced(&RegionId::new(region), &shown);
        matches!(told, RegistryAnswer::Introduced { keys: Some(_), .. })
    };
    assert_eq!(["second", "third"].map(told), [false, true]);
}

#[tokio::test]
async fn roles_are_told_where_their_accounts_keys_are() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let (here, elsewhere) = (cloud.tenant("here").await, cloud.tenant("elsewhere").await);
    cloud.held_by_second(&here).await;
    cloud.role(&here, "canary-here").await;
    let other = cloud.role(&elsewhere, "canary-elsewhere").await;
    let told = async |region: &str| {
        let region = RegionId::new(region);
        let changes = Ask::Changes {
            features: Some(Features::own().names()),
            from: 0,
            wait_ms: 0,
            receipt: None,
        };
        let mut all = String::new();
        for ask in [
            changes,
            Ask::Roles {
                after: String::new(),
            },
        ] {
            let told = cloud.keeper.answer(&region, ask).await;
            all += &serde_json::to_string(&told).unwrap();
        }
        all
    };
    let second = told("second").await;
    assert!(second.contains("canary-here") && !second.contains("canary-elsewhere"));
    // Nobody but the keeper learns who may have a role.
    assert!(!second.contains("sts:AssumeRole"), "{second}");
    assert!(!told("third").await.contains("canary"));
    let log = cloud.keeper.audit(0, (1000, usize::MAX)).await.unwrap();
    let log = serde_json::to_string(&log).unwrap();
    assert!(log.contains(&other.id) && !log.contains("canary"));
}

#[tokio::test]
async fn a_region_learns_of_a_role_by_a_session_that_comes_to_it() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    let (_, key) = cloud.user(&account, "alice").await;
    let role = cloud.role(&account, "reader").await;
    let second = &cloud.second;
    let made = cloud.session(&role, &key);
    let plain = cloud
        .keeper
        .issue_session(grant_of_user(&cloud, &key))
        .unwrap();
    cloud.catch_up().await;
    cloud
        .second_is(|| !second.state.read().token_keys.is_empty())
        .await;
    for made in [&made, &plain] {
        assert!(matches!(verifies(second, made, "second"), Ok(None)));
        // A signature that is not the session's shows nothing.
        let forged = signed(made, &"x".repeat(40), "second");
        let told = second.introduce(&forged, Service::S3, None).await.unwrap();
        assert_eq!(told, Introduced::Nobody);
        assert!(matches!(verifies(second, made, "second"), Ok(None)));
        let good = signed(made, &made.secret_key, "second");
        let told = second.introduce(&good, Service::S3, None).await.unwrap();
        assert_eq!(told, Introduced::Known);
        assert!(matches!(verifies(second, made, "second"), Ok(Some(_))));
    }
    // Of the user's own key nothing that verifies is sent for that.
    let name = RegionId::new("second");
    assert!(
        second
            .signing_key(&key.access_key, &today(), &name, "s3")
            .is_none()
    );
    let state = second.state.read();
    let told = &state.verifiers[&key.access_key];
    assert!(!told.has_day(&today()));
}

/// What a region can show of a request to it.
pub(super) fn signed(made: &NewSession, secret: &str, region: &str) -> Statement {
    let mut statement = Statement {
        access_key: made.access_key.clone(),
        day: today(),
        region: region.into(),
        region_set: None,
        stamp: format!("{}T000000Z", today()),
        canonical: [7; 32],
        signature: String::new(),
        token: Some(SessionToken::new(&made.token)),
        old: None,
    };
    let text = format!(
        "AWS4-HMAC-SHA256\n{}\n{}/{region}/s3/aws4_request\n{}",
        statement.stamp,
        statement.day,
        hex::encode(statement.canonical)
    );
    let key = derive(secret, &today(), region, "s3");
    statement.signature = hex::encode(access::signature::hmac(&key, text.as_bytes()));
    statement
}

pub(super) fn grant_of_user(cloud: &Cloud, key: &NewKey) -> Grant {
    let caller = cloud
        .keeper
        .caller(&types::AccessKeyId::new(&key.access_key));
    let Some(Identity::Key {
        who: Who::User(user),
        ..
    }) = caller
    else {
        panic!("{caller:?}");
    };
    Grant {
        of: GrantOf::User(user.id.clone()),
        ..cloud.grant(key)
    }
}

#[tokio::test]
async fn names_are_told_to_who_holds_a_bucket_and_not_many() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let (account, other) = (cloud.tenant("acme").await, cloud.tenant("other").await);
    let deed = cloud.held_by_second(&account).await;
    let (user, _) = cloud.user(&other, "bob").await;
    let role = cloud.role(&other, "reader").await;
    let arns = vec![
        user.arn.clone(),
        role.arn.clone(),
        "arn:aws:iam::1:user/none".into(),
    ];
    let ids = vec![user.id.clone(), role.id.clone(), "AIDANOBODY".into()];
    cloud.catch_up().await;
    let ask = async |names: &[String]| {
        let told = cloud.second.other_names(&deed.name, names.to_vec()).await;
        told.map_err(|error| error.to_string())
    };
    let both = |names: &[String]| names[..2].iter().cloned().map(Some).chain([None]).collect();
    assert_eq!(ask(&arns).await, Ok(both(&ids)));
    // Names for ids only of accounts that it knows anyway: the log has the ids of all.
    assert_eq!(ask(&ids).await, Ok(vec![None; 3]));
    let (own, own_role) = (
        cloud.user(&account, "alice").await.0,
        cloud.role(&account, "own").await,
    );
    let of_owner = [own.id, own_role.id, "AROANOBODY".into()];
    assert_eq!(
        ask(&of_owner).await,
        Ok(both(&[own.arn, own_role.arn, String::new()]))
    );
    assert_eq!(
        cloud.keeper.other_names(&deed.name, ids.clone()).await.ok(),
        Some(both(&arns))
    );
    let second_deed = cloud.held_by_second(&other).await;
    assert_ne!(second_deed.name, deed.name);
    assert_eq!(ask(&ids).await, Ok(both(&arns)));
    // Who holds no bucket, and who asks for more than a policy could name.
    let asked = async |region: &str, bucket: &BucketName, count: usize| {
        let names = vec![user.arn.clone(); count];
        let ask = Ask::Names {
            bucket: bucket.to_string(),
            names,
        };
        let told = cloud.keeper.answer(&RegionId::new(region), ask).await;
        matches!(told, RegistryAnswer::Names { .. })
    };
    assert!(!asked("third", &deed.name, 1).await);
    assert!(!asked("second", &BucketName::new("no-such-bucket").unwrap(), 1).await);
    assert!(!asked("second", &deed.name, 513).await);
    let mut told = 0;
    while asked("second", &deed.name, 512).await {
        told += 1;
        assert!(told < 6, "a region is told as many names as it likes");
    }
    assert!(told >= 3);
    // While nobody answers, nothing is known of anybody.
    let away = open(
        Memory::new(),
        "fourth",
        4,
        crate::Keeper::There(Arc::new(Away)),
    )
    .await;
    assert!(away.other_names(&deed.name, arns).await.is_err());
}

struct Away;

impl crate::Upstream for Away {
    fn keeper(&self) -> &RegionId {
        static ID: std::sync::LazyLock<RegionId> =
            std::sync::LazyLock::new(|| RegionId::new("first"));
        &ID
    }
    fn ask(&self, _: Ask) -> types::deed::BoxFuture<'_, Result<RegistryAnswer, CloudError>> {
        Box::pin(async { Err(CloudError::Unavailable("cut off".into())) })
    }
}

fn provider(url: &str) -> NewProvider {
    NewProvider {
        url: url.into(),
        clients: vec!["dhow".into()],
        ..NewProvider::default()
    }
}

#[tokio::test]
async fn a_session_by_a_provider_ends_with_it_in_every_region() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    let (_, key) = cloud.user(&account, "alice").await;
    let role = cloud.role(&account, "reader").await;
    let keeper = &cloud.keeper;
    let url = "https://id.example.com/team";
    let made = keeper.create_provider(ROOT, &account, provider(url)).await;
    let made = made.unwrap();
    let begin = |chained: bool| {
        let made = keeper.issue_session(Grant {
            account: account.clone(),
            of: GrantOf::Role(role.id.clone()),
            parent: made.id.clone(),
            provider: (!chained).then(|| made.arn.clone()),
            chained,
            ..cloud.grant(&key)
        });
        made.unwrap()
    };
    let (first, child) = (begin(false), begin(true));
    cloud.catch_up().await;
    for one in [&first, &child] {
        cloud
            .second_is(|| matches!(verifies(&cloud.second, one, "second"), Ok(Some(_))))
            .await;
        let who = verifies(&cloud.second, one, "second").unwrap().unwrap();
        assert!(is_role(&who, &role));
    }
    let Some(Who::Session(told)) = verifies(&cloud.second, &first, "second").unwrap() else {
        panic!("no session");
    };
    assert_eq!(told.provider.as_deref(), Some(&*made.arn));
    keeper.delete_provider(ROOT, &made.id).await.unwrap();
    let ended = |registry: &Registry, region: &str| {
        [&first, &child].map(|one| matches!(verifies(registry, one, region), Ok(None)))
    };
    assert_eq!(ended(keeper, "first"), [true; 2]);
    cloud
        .second_is(|| ended(&cloud.second, "second") == [true; 2])
        .await;
    // Another one at the same place begins anew; and so it is after a start.
    let again = keeper.create_provider(ROOT, &account, provider(url)).await;
    assert_ne!(again.unwrap().id, made.id);
    cloud.catch_up().await;
    assert_eq!(ended(keeper, "first"), [true; 2]);
    let alone = follower(keeper, Arc::clone(&cloud.rows), "second").await;
    assert_eq!(ended(&alone, "second"), [true; 2]);
}

#[tokio::test]
async fn a_provider_is_told_to_regions_that_know_what_it_is() {
    let cloud = Cloud::new().await;
    let account = cloud.tenant("acme").await;
    let second = RegionId::new("second");
    let from = cloud.keeper.log_length();
    let make = || {
        let new = provider("https://id.example.com");
        cloud.keeper.create_provider(ROOT, &account, new)
    };
    assert!(make().await.is_ok());
    assert!(matches!(make().await, Err(CloudError::Exists(_))));
    let told = async |features: Features| {
        let ask = Ask::Changes {
            from,
            wait_ms: 0,
            receipt: None,
            features: Some(features.names()),
        };
        cloud.keeper.answer(&second, ask).await
    };
    let old = Features::own().without(&[WEB_IDENTITY.to_owned()]);
    let refused = told(old).await;
    assert!(
        matches!(&refused, RegistryAnswer::Refused(why) if why.contains("`web-identity`")),
        "a refusal"
    );
    let told = told(Features::own()).await;
    assert!(matches!(told, RegistryAnswer::Changes { changes, .. } if !changes.is_empty()));
}
