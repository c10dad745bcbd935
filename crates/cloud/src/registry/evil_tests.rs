//! What a hostile region gets of identities, and what it can make the registry accept of them:
//! nothing of accounts whose guard forbids it, no older document, and no session of its own make.

use std::collections::BTreeMap;

use access::{PublicAccessBlock, SessionToken, signature::Statement};
use serde_json::json;
use types::{
    BucketName, Deeds, Features, Forwarder, Jurisdiction, Random, SeededRandom, Timestamp,
    features::ROLES,
};

use super::{
    follow_tests::{Cloud, ROOT, bucket, today},
    introduce_tests::statement,
    sessions_tests::{follows_until, grant_of_user},
    warrant_tests::{creates, signed},
    *,
};
use crate::{
    AccessChange, AccountKind, Ask, Grant, Holder, Introduction, NewDeedRecord, NewEntity, NewKey,
    NewProvider, NewSession, RegistryAnswer, RoleChange, UserChange,
    sessions::{
        keys::week,
        token::{self, Claims, Head, Held, Kind, TokenKey},
    },
};

/// In every name, tag and document of the account.
const CANARY: &str = "canary";

fn entity(name: &str) -> NewEntity {
    NewEntity {
        name: name.into(),
        path: "/canary-path/".into(),
        description: "canary-text".into(),
        tags: canary_tags(),
    }
}

fn allowing(action: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [{"Sid": "canarySid", "Effect": "Allow",
        "Action": action, "Resource": "arn:aws:s3:::canary-bucket/*"}]})
    .to_string()
}

fn canary_tags() -> BTreeMap<String, String> {
    [("canary-key".to_owned(), "canary-value".to_owned())].into()
}

impl Cloud {
    /// An account whose guard is the EU: the second region is outside, the others are inside.
    async fn european(&self) -> AccountId {
        let guard = vec![Jurisdiction::parse("EU").unwrap()];
        let made = self
            .keeper
            .create_account(ROOT, "european", AccountKind::Tenant, guard)
            .await;
        made.unwrap().account_id()
    }

    /// A user with all that a user can have; the role is attached to the same.
    async fn with_everything(&self, account: &AccountId) -> (NewKey, crate::RoleInfo) {
        let keeper = &self.keeper;
        let (user, key) = self.user(account, "canary-user").await;
        let tag = UserChange::Tag(canary_tags());
        keeper.change_user(ROOT, &user.id, tag).await.unwrap();
        let text = allowing("s3:GetObject");
        let put = keeper.put_user_policy(ROOT, &user.id, "canary-inline", Some(&text));
        put.await.unwrap();
        let made = keeper.create_policy(ROOT, account, entity("canary-policy"), &text);
        let policy = made.await.unwrap().id;
        let group = keeper.create_group(ROOT, account, entity("canary-group"));
        let group = group.await.unwrap().id;
        let put = keeper.put_group_policy(ROOT, &group, "canary-of-group", Some(&text));
        put.await.unwrap();
        keeper
            .set_member(ROOT, &group, &user.id, true)
            .await
            .unwrap();
        let role = self.role(account, "canary-role").await;
        for to in [
            Holder::User(&user.id),
            Holder::Group(&group),
            Holder::Role(&role.id),
        ] {
            keeper.attach(ROOT, to, &policy, true).await.unwrap();
        }
        let bounds = keeper.set_boundary(ROOT, &user.id, Some(&policy));
        bounds.await.unwrap();
        for change in [
            RoleChange::Tag(canary_tags()),
            RoleChange::Policy {
                name: "canary-of-role".into(),
                document: Some(text.clone()),
            },
        ] {
            keeper.change_role(ROOT, &role.id, change).await.unwrap();
        }
        let provider = NewProvider {
            url: "https://canary.example.com".into(),
            clients: vec!["canary-client".into()],
            tags: canary_tags(),
            ..NewProvider::default()
        };
        let made = keeper.create_provider(ROOT, account, provider).await;
        made.unwrap();
        (key, role)
    }

    /// Everything that a region can ask for, and what it is answered, as it goes over the wire.
    async fn all_told(&self, region: &str, shown: &[Statement]) -> String {
        let region = RegionId::new(region);
        let after = String::new;
        let mut asks = vec![
            Ask::Keys { after: after() },
            Ask::Roles { after: after() },
            Ask::TokenKeys,
        ];
        let length = self.keeper.log_length();
        asks.extend((0..length).step_by(100).map(|from| Ask::Changes {
            features: Some(Features::own().names()),
            from,
            wait_ms: 0,
            receipt: None,
        }));
        for deed in self.keeper.all() {
            let state = self.keeper.state.read();
            let names = state.users.keys().chain(state.roles.keys()).cloned();
            asks.push(Ask::Names {
                bucket: deed.name.to_string(),
                names: names.collect(),
            });
        }
        let introductions = shown.iter().map(Introduction::of).map(Box::new);
        asks.extend(introductions.map(Ask::Introduce));
        let mut all = String::new();
        for ask in asks {
            let told = self.keeper.answer(&region, ask).await;
            all += &serde_json::to_string(&told).unwrap();
        }
        all
    }
}

#[tokio::test]
async fn p8_no_region_outside_the_guard_is_told_of_users_roles_or_policies() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.european().await;
    let root = cloud.key_of(&account).await;
    let (key, role) = cloud.with_everything(&account).await;
    // A bucket whose owner trusts the region outside, and one with a home inside: for both it
    // receives the account's own keys, unasked or not.
    let mut trusting = bucket("trusting", &account, "first");
    trusting.placement.trust.reads = vec![Forwarder::Region(RegionId::new("second"))];
    trusting.placement.proxy = true;
    for new in [trusting, bucket("inside", &account, "third")] {
        cloud.keeper.create(Actor::System, new).await.unwrap();
    }
    let of_role = cloud.session(&role, &key);
    let of_user = cloud.keeper.issue_session(grant_of_user(&cloud, &key));
    let of_user = of_user.unwrap();
    let shown = |region: &str| {
        let session =
            |made: &NewSession| super::sessions_tests::signed(made, &made.secret_key, region);
        [
            statement(&key, region),
            session(&of_role),
            session(&of_user),
            statement(&root, region),
        ]
    };
    let outside = cloud.all_told("second", &shown("second")).await;
    assert!(
        outside.contains(&root.access_key),
        "its own keys may be told"
    );
    assert!(!outside.to_lowercase().contains(CANARY), "{outside}");
    let inside = cloud.all_told("third", &shown("third")).await;
    for there in [
        "user", "inline", "policy", "of-group", "role", "of-role", "value",
    ] {
        assert!(inside.contains(&format!("canary-{there}")), "{there}");
    }
    // Who may have a role, and who vouches for users, is the registry's alone.
    assert!(!inside.contains("canary.example.com") && !inside.contains("sts:AssumeRole"));
    // The log is the same everywhere. The name of the account itself is no secret of it.
    let log = cloud.keeper.audit(0, (1000, usize::MAX)).await.unwrap();
    assert!(!serde_json::to_string(&log).unwrap().contains(CANARY));
}

#[tokio::test]
async fn p8_a_region_outside_the_guard_cannot_ask_who_there_is() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.european().await;
    let (user, _) = cloud.user(&account, "canary-user").await;
    let role = cloud.role(&account, "canary-role").await;
    let other = cloud.tenant("other").await;
    let deed = cloud.held_by_second(&other).await;
    let at_third = bucket("at-third", &account, "third");
    let at_third = cloud.keeper.create(Actor::System, at_third).await.unwrap();
    let names = vec![
        user.arn.clone(),
        role.arn.clone(),
        format!("arn:aws:sts::{account}:assumed-role/canary-role/s"),
        user.id.clone(),
        role.id.clone(),
    ];
    let told = async |region: &str, bucket: &BucketName| {
        let ask = Ask::Names {
            bucket: bucket.to_string(),
            names: names.clone(),
        };
        match cloud.keeper.answer(&RegionId::new(region), ask).await {
            RegistryAnswer::Names { names } => names,
            told => panic!("{}", serde_json::to_string(&told).unwrap()),
        }
    };
    assert_eq!(told("second", &deed.name).await, vec![None; names.len()]);
    let inside = told("third", &at_third.name).await;
    assert!(inside.iter().all(Option::is_some), "{inside:?}");
}

#[tokio::test]
async fn p8_a_region_that_knew_users_before_their_guard_counted_forgets_them() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.european().await;
    let (key, role) = cloud.with_everything(&account).await;
    // As a build before this one received them.
    let told = {
        let state = cloud.keeper.state.read();
        let third = RegionId::new("third");
        let mut keys = cloud
            .keeper
            .derive_for(&state, &key.access_key, &third)
            .unwrap();
        // Even with days that verify something.
        keys.active = true;
        (keys, state.role_for(&role.id, &third).unwrap())
    };
    cloud.catch_up().await;
    cloud.second.keep_keys(&[told.0], true).await.unwrap();
    cloud.second.keep_roles(&[told.1], true).await.unwrap();
    cloud.second.sessions.use_them();
    let is_known = || {
        let state = cloud.second.state.read();
        state.verifiers.contains_key(&key.access_key) || state.told_roles.contains_key(&role.id)
    };
    assert!(is_known() && cloud.second.state.read().knows("first", ROLES));
    follows_until(&cloud.second, || !is_known()).await;
}

#[tokio::test]
async fn p5_no_older_document_of_a_user_or_role_is_told_again() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    let (key, role) = cloud.with_everything(&account).await;
    let keeper = &cloud.keeper;
    let before = cloud.all_told("second", &[]).await;
    assert!(before.contains("canary-inline") && before.contains("s3:GetObject"));
    // All that allowed something is narrower now.
    let narrow = allowing("s3:GetBucketLocation");
    let user = keeper.user_named(&account, "canary-user").unwrap().id;
    let put = keeper.put_user_policy(ROOT, &user, "canary-inline", Some(&narrow));
    put.await.unwrap();
    let group = keeper.group_named(&account, "canary-group").unwrap().id;
    let put = keeper.put_group_policy(ROOT, &group, "canary-of-group", Some(&narrow));
    put.await.unwrap();
    let policy = keeper.policies(&account).remove(0).id;
    let two = keeper.create_policy_version(ROOT, &policy, &narrow, true);
    two.await.unwrap();
    let change = RoleChange::Policy {
        name: "canary-of-role".into(),
        document: Some(narrow),
    };
    keeper.change_role(ROOT, &role.id, change).await.unwrap();
    // From whichever entry of the log it asks, it receives today's, also when it shows a session
    // that began before.
    let session = cloud.session(&role, &key);
    let shown = super::sessions_tests::signed(&session, &session.secret_key, "second");
    let now = cloud
        .all_told("second", &[shown, statement(&key, "second")])
        .await;
    assert!(now.contains("s3:GetBucketLocation"));
    assert!(!now.contains("s3:GetObject"), "{now}");
    // A key that is disabled is sent as such from every entry, without what verifies.
    let id = types::AccessKeyId::new(&key.access_key);
    let disabled = keeper.set_key_status(ROOT, &id, crate::KeyStatus::Disabled);
    disabled.await.unwrap();
    let day = keeper.state.read().keys.get(&key.access_key).map(|found| {
        let day = crate::keys::region_key(&found.secret, &today(), "second");
        hex::encode(day)
    });
    let now = cloud.all_told("second", &[statement(&key, "second")]).await;
    assert!(now.contains(&key.access_key) && !now.contains(&day.unwrap()));
}

#[tokio::test]
async fn p5_a_change_is_told_once_the_registry_knows_what_it_makes_of_users() {
    let rows: Arc<dyn store::Index> = store::memory::Memory::new();
    let cloud = Cloud::kept_in(Arc::clone(&rows)).await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    cloud.held_by_second(&account).await;
    let (user, _) = cloud.user(&account, "alice").await;
    let length = cloud.keeper.log_length();
    // Written to the log, and not in the keeper's state: as for a moment with each change.
    let other = super::follow_tests::open(rows, "first", 1, Keeper::Here).await;
    let text = allowing("s3:GetObject");
    let put = other.put_user_policy(ROOT, &user.id, "own", Some(&text));
    put.await.unwrap();
    assert_eq!(other.log_length(), length + 1);
    for from in [0, length - 1, length] {
        let ask = Ask::Changes {
            features: Some(Features::own().names()),
            from,
            wait_ms: 0,
            receipt: None,
        };
        let told = cloud.keeper.answer(&RegionId::new("second"), ask).await;
        let RegistryAnswer::Changes {
            length: all,
            changes,
            ..
        } = told
        else {
            panic!("no changes");
        };
        assert_eq!(all, length);
        assert_eq!(changes.len() as u64, length - from, "{from}");
    }
}

/// A session that a region seals with its own key: of the account itself, without bounds.
fn forged(cloud: &Cloud, region: &str, account: &AccountId, parent: &NewKey) -> NewSession {
    let now = cloud.keeper.clock.now().s();
    let secret = "k".repeat(40);
    let mut id = [0; 16];
    SeededRandom::new(now).fill(&mut id);
    let head = Head {
        week: week(now),
        id,
        issued: now,
        expires: now + 3600,
    };
    let claims = Claims {
        account: account.to_string(),
        kind: Kind::Root,
        principal: String::new(),
        name: "forged".into(),
        tags: BTreeMap::new(),
        transitive: Vec::new(),
        source_identity: None,
        policies: Vec::new(),
        parent: parent.access_key.clone(),
        parent_account: account.to_string(),
        provider: None,
        begun: cloud.keeper.log_length(),
        chained: false,
    };
    let own = {
        let state = cloud.keeper.state.read();
        cloud.keeper.derived_key(&state, region, head.week)
    };
    // Under its own name and under those of others: it has no key but its own.
    let all = ["first", "second", "third"].map(|name| {
        let key = TokenKey {
            region: name.into(),
            key: own.key,
        };
        (key, Held::Secret(secret.clone()))
    });
    let token = token::seal(&head, &claims, &all, &SeededRandom::new(3)).unwrap();
    NewSession {
        access_key: head.access_key(),
        secret_key: secret,
        token,
        expires: Timestamp::from_s(head.expires),
        packed: 0,
    }
}

#[tokio::test]
async fn p5_sessions_that_a_region_makes_prove_nothing_to_the_registry() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    let root = cloud.key_of(&account).await;
    let deed = cloud.held_by_second(&account).await;
    cloud.catch_up().await;
    let second = RegionId::new("second");
    let create = async |name: &str, made: &NewSession| {
        let pair = NewKey {
            access_key: made.access_key.clone(),
            secret_key: made.secret_key.clone(),
            account: account.to_string(),
        };
        let request = json!({"bucket": name, "homes": [], "token": made.token});
        let mut record = NewDeedRecord::from(bucket(name, &account, "second"));
        record.request = Some((&signed(&pair, "second", request)).into());
        cloud.keeper.answer(&second, Ask::CreateDeed(record)).await
    };
    let real = cloud.keeper.issue_session(Grant {
        begun: cloud.keeper.log_length(),
        ..cloud.grant(&root)
    });
    assert!(matches!(
        create("real", &real.unwrap()).await,
        RegistryAnswer::Deed(_)
    ));
    for region in ["second", "third"] {
        let made = forged(&cloud, region, &account, &root);
        let token = SessionToken::new(&made.token);
        assert!(cloud.keeper.open_session(&token, &made.access_key).is_err());
        for scope in ["second", "third", "first", "us-east-1"] {
            let shown = super::sessions_tests::signed(&made, &made.secret_key, scope);
            let told = cloud
                .keeper
                .answer_introduced(&RegionId::new(region), &Introduction::of(&shown));
            let nothing = matches!(
                told,
                RegistryAnswer::Introduced {
                    keys: None,
                    role: None,
                    ..
                }
            );
            assert!(nothing, "{region} {scope}");
            let via = RegionId::new(scope);
            let proven = cloud.second.prove(&via, &deed.name, &shown).await;
            assert_eq!(proven.unwrap(), None, "{region} {scope}");
        }
        assert!(matches!(
            create("forged", &made).await,
            RegistryAnswer::Refused(_)
        ));
        assert!(Deeds::get(&*cloud.keeper, &BucketName::new("forged").unwrap()).is_none());
    }
    // Each region receives the keys with which tokens are opened there, and those of no other.
    let of = async |region: &str| {
        let region = RegionId::new(region);
        let told = cloud.keeper.answer(&region, Ask::TokenKeys).await;
        serde_json::to_value(told).unwrap()["token_keys"]["keys"].clone()
    };
    let (second, third) = (of("second").await, of("third").await);
    assert!(second.as_array().is_some_and(|keys| !keys.is_empty()));
    assert_ne!(second, third);
}

#[tokio::test]
async fn p5_a_users_request_that_a_region_relays_does_what_the_user_may_now() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    let (user, key) = cloud.user(&account, "alice").await;
    let keeper = &cloud.keeper;
    let second = RegionId::new("second");
    let create = async |name: &str, request| {
        let mut record = NewDeedRecord::from(bucket(name, &account, "second"));
        record.request = Some(request);
        keeper.answer(&second, Ask::CreateDeed(record)).await
    };
    let may = |resource: &str| {
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Action": "s3:CreateBucket", "Resource": format!("arn:aws:s3:::{resource}")}]})
        .to_string()
    };
    let put = async |text: &str| {
        let put = keeper.put_user_policy(ROOT, &user.id, "own", Some(text));
        put.await.unwrap();
    };
    put(&may("*")).await;
    assert!(matches!(
        create("alices-1", (&creates(&key, "second", "alices-1")).into()).await,
        RegistryAnswer::Deed(_)
    ));
    // Signed while it was allowed, and kept by the region until it is not.
    let kept = creates(&key, "second", "alices-2");
    put(&may("other")).await;
    assert!(matches!(
        create("alices-2", (&kept).into()).await,
        RegistryAnswer::Refused(_)
    ));
    let deleted = keeper.put_user_policy(ROOT, &user.id, "own", None);
    deleted.await.unwrap();
    assert!(matches!(
        create("alices-2", (&kept).into()).await,
        RegistryAnswer::Refused(_)
    ));
    assert!(Deeds::get(&**keeper, &BucketName::new("alices-2").unwrap()).is_none());
}

/// Identities change by requests that are signed for the registry's region, and there is no
/// question by which a region could change them or ask for what is another's.
#[test]
fn p5_no_question_of_a_region_changes_identities_or_is_about_others() {
    for made_up in [
        json!({"create_user": {"account": "000000000001", "name": "mallory"}}),
        json!({"put_user_policy": {"user": "AIDAONE", "name": "all", "text": "{}"}}),
        json!({"create_group": {"account": "000000000001", "name": "admins"}}),
        json!({"set_member": {"group": "AGPAONE", "user": "AIDAONE"}}),
        json!({"create_role": {"account": "000000000001", "name": "r", "trust": "{}"}}),
        json!({"trust": {"role": "AROAONE", "text": "{}"}}),
        json!({"create_provider": {"account": "000000000001", "url": "https://evil.example"}}),
        json!({"create_key": {"account": "000000000001"}}),
        json!({"create_key": {"account": "000000000001", "secret": "x"}}),
        json!({"suspend": {"account": "000000000001"}}),
        json!({"issue_session": {"account": "000000000001", "role": "AROAONE"}}),
        json!({"users": {"after": ""}}),
        json!({"providers": {"after": ""}}),
        json!({"secrets": {"after": ""}}),
        json!({"token_keys": {"region": "first"}}),
        json!({"keys": {"after": "", "region": "first"}, "roles": {"after": ""}}),
    ] {
        let text = made_up.to_string();
        assert!(serde_json::from_str::<Ask>(&text).is_err(), "{text}");
    }
    // Whose keys and roles it wants is not for the asker to say: a name beside is not read.
    let asked = json!({"roles": {"after": "", "region": "first", "account": "000000000001"}});
    let read: Ask = serde_json::from_value(asked).unwrap();
    let again = serde_json::to_value(&read).unwrap();
    assert_eq!(again, json!({"roles": {"after": ""}}));
}

/// A region says that it has more entries than there are: that is no word for those that come.
#[tokio::test]
async fn p5_nobody_has_heard_of_what_is_not_there_yet() {
    let cloud = Cloud::new().await;
    let (keeper, second) = (&cloud.keeper, RegionId::new("second"));
    let length = *keeper.watch().borrow();
    let said = keeper.answer(
        &second,
        Ask::Changes {
            features: None,
            from: u64::MAX,
            wait_ms: 0,
            receipt: None,
        },
    );
    assert!(matches!(said.await, RegistryAnswer::Changes { length: now, .. } if now == length));
    assert_eq!(keeper.heard.borrow().get(&second), Some(&length));
    cloud.tenant("later").await;
    let heard = *keeper.heard.borrow().get(&second).unwrap();
    assert!(
        heard < *keeper.watch().borrow(),
        "it has heard of what came later"
    );
}

/// What a region says of its build decides about that region: nobody else waits for it, and it is
/// given nothing that it would not guard.
#[tokio::test]
async fn p5_no_region_stops_the_cloud_by_what_it_says_that_it_knows() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    // The second region takes back what it said, the third one never said anything.
    let own = Features::own().names();
    cloud.asked_as("second", Some(own)).await.unwrap();
    let account = cloud.tenant("acme").await;
    let key = cloud.key_of(&account).await;
    for (name, home) in [("here", "second"), ("there", "third")] {
        let new = bucket(name, &account, home);
        keeper.create(Actor::System, new).await.unwrap();
    }
    cloud.asked_as("second", None).await.unwrap_err();
    cloud.asked_as("third", None).await.unwrap();
    let days = async |region: &str| {
        let after = String::new();
        match keeper
            .answer(&RegionId::new(region), Ask::Keys { after })
            .await
        {
            RegistryAnswer::Keys { keys, .. } => {
                let found = keys.into_iter().find(|keys| keys.id == key.access_key);
                found.map_or(0, |keys| keys.days.len())
            }
            _ => 0,
        }
    };
    assert_eq!(days("second").await, 0);
    assert!(days("third").await > 0);
    // Restrictions are set and taken back. The third region can read these, and would not act by
    // them: its keys of the account end at once.
    let access = async |requires: bool, block| {
        let change = AccessChange {
            block: Some(block),
            requires_asymmetric: Some(requires),
            ..AccessChange::default()
        };
        keeper
            .set_account_access(ROOT, &account, change)
            .await
            .unwrap();
    };
    access(true, Some(PublicAccessBlock::ALL)).await;
    assert_eq!(days("third").await, 0);
    let new = keeper.create(Actor::System, bucket("more", &account, "third"));
    let refused = new.await.unwrap_err().to_string();
    assert!(refused.contains("`access-lists`"), "{refused}");
    let elsewhere = keeper.create(Actor::System, bucket("more", &account, "first"));
    elsewhere.await.unwrap();
    access(false, None).await;
    assert!(days("third").await > 0);
    // Whatever it cannot read is made all the same, and withheld from it.
    let guard = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*",
        "Resource":"*"}]}"#;
    keeper
        .set_guard_policy(ROOT, &account, Some(guard))
        .await
        .unwrap();
    keeper
        .create_alias(ROOT, &account, "acme-alias")
        .await
        .unwrap();
    cloud.with_everything(&account).await;
    let last = keeper.log_length() - 1;
    let ask = Ask::Changes {
        from: last,
        wait_ms: 0,
        receipt: None,
        features: None,
    };
    let told = keeper.answer(&RegionId::new("third"), ask).await;
    assert!(matches!(told, RegistryAnswer::Refused(why) if why.contains("upgrade Dhow")));
    assert_eq!(days("third").await, 0);
    assert!(keeper.withheld("third").is_some());
}
