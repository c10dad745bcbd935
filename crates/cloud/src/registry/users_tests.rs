//! Users, their keys, and which regions receive them.

use std::{collections::BTreeMap, time::Duration};

use access::{GuardPolicy, Identity, SigningKeys, Who};
use store::memory::Memory;
use types::{AccessKeyId, Deeds, Features, features::IDENTITIES};

use super::{
    follow_tests::{Cloud, ROOT, bucket, follower, open, today},
    *,
};
use crate::{
    Ask, Holder, KeyStatus, NewEntity, NewKey, NewUser, RegistryAnswer, Usage, UserChange, UserInfo,
};

const WITHIN: Duration = Duration::from_secs(30);

fn named(name: &str) -> NewUser {
    NewUser {
        name: name.into(),
        path: "/".into(),
        tags: BTreeMap::new(),
        boundary: None,
    }
}

impl Cloud {
    /// All regions say that they know users.
    pub(super) async fn knows_users(&self) {
        let own = Features::own().names();
        for region in ["second", "third"] {
            let region = RegionId::new(region);
            self.keeper.announced(&region, Some(&own)).await;
        }
        self.second.announce_features(Features::own());
    }

    pub(super) async fn user(&self, account: &AccountId, name: &str) -> (UserInfo, NewKey) {
        let made = self.keeper.create_user(ROOT, account, named(name)).await;
        let user = made.unwrap();
        let (key, _) = self.keeper.create_user_key(ROOT, &user.id).await.unwrap();
        (user, key)
    }

    /// Whether the second region receives the key of anything by now.
    async fn second_has(&self, key: &NewKey, has: bool) {
        let mut watch = self.second.watch();
        let there = watch.wait_for(|_| self.second.knows_key(&id(key)) == has);
        tokio::time::timeout(WITHIN, there).await.unwrap().unwrap();
    }
}

fn id(key: &NewKey) -> AccessKeyId {
    AccessKeyId::new(&key.access_key)
}

/// Who holds a key, as the region says.
fn holder(registry: &Registry, key: &NewKey) -> Option<Who> {
    match registry.caller(&id(key))? {
        Identity::Key { who, .. } => Some(who),
        Identity::Anonymous => None,
    }
}

fn signs(registry: &Registry, key: &NewKey, region: &str) -> Option<Who> {
    let region = RegionId::new(region);
    let found = registry.signing_key(&key.access_key, &today(), &region, "s3");
    found.map(|key| key.who)
}

/// Everything that a region receives, as it goes over the wire.
async fn told(cloud: &Cloud, region: &str) -> String {
    let region = RegionId::new(region);
    let changes = Ask::Changes {
        features: Some(Features::own().names()),
        from: 0,
        wait_ms: 0,
        receipt: None,
    };
    let keys = Ask::Keys {
        after: String::new(),
    };
    let mut all = String::new();
    for ask in [changes, keys] {
        all += &serde_json::to_string(&cloud.keeper.answer(&region, ask).await).unwrap();
    }
    all
}

#[tokio::test]
async fn a_users_key_is_the_users_wherever_it_is_known() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    let there = bucket("there", &account, "second");
    cloud.keeper.create(Actor::System, there).await.unwrap();
    let (alice, key) = cloud.user(&account, "alice").await;
    cloud.catch_up().await;
    for (registry, region) in [(&cloud.keeper, "first"), (&cloud.second, "second")] {
        for who in [holder(registry, &key), signs(registry, &key, region)] {
            let Some(Who::User(user)) = who else {
                panic!("{region}: {who:?}");
            };
            assert_eq!((&user.id, &user.name), (&alice.id, &alice.name), "{region}");
            assert_eq!(user.account, account);
        }
    }
    // It stays the user's when the region starts anew.
    let again = follower(&cloud.keeper, Arc::clone(&cloud.rows), "second").await;
    again.announce_features(Features::own());
    assert!(matches!(holder(&again, &key), Some(Who::User(user)) if user.id == alice.id));
    // A new name is known there too, and the id stays.
    let change = UserChange::Rename {
        name: Some("Alicia".into()),
        path: Some("/team/".into()),
    };
    let renamed = cloud.keeper.change_user(ROOT, &alice.id, change).await;
    assert_eq!(
        renamed.unwrap().arn,
        format!("arn:aws:iam::{account}:user/team/Alicia")
    );
    cloud.catch_up().await;
    let who = signs(&cloud.second, &key, "second");
    assert!(matches!(who, Some(Who::User(user)) if user.name == "Alicia" && user.id == alice.id));
}

#[tokio::test]
async fn a_region_is_told_of_users_where_it_is_told_their_accounts_keys() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let (here, elsewhere) = (cloud.tenant("here").await, cloud.tenant("elsewhere").await);
    let there = bucket("there", &here, "second");
    cloud.keeper.create(Actor::System, there).await.unwrap();
    let (_, key) = cloud.user(&here, "canary-here").await;
    let (_, other) = cloud.user(&elsewhere, "canary-elsewhere").await;
    let tags = [("Team".to_owned(), "canary-tag".to_owned())].into();
    let user = cloud
        .keeper
        .user_named(&elsewhere, "CANARY-elsewhere")
        .unwrap();
    let change = UserChange::Tag(tags);
    cloud
        .keeper
        .change_user(ROOT, &user.id, change)
        .await
        .unwrap();

    let second = told(&cloud, "second").await;
    assert!(second.contains("canary-here") && second.contains(&key.access_key));
    assert!(!second.contains("canary-elsewhere") && !second.contains("canary-tag"));
    // Not even that it is there, beyond its id and a digest, is sent where the account has nothing.
    let third = told(&cloud, "third").await;
    assert!(!third.contains("canary"), "{third}");
    // Nor does the log say what users are called, which is the same everywhere.
    let log = cloud.keeper.audit(0, (1000, usize::MAX)).await.unwrap();
    let log = serde_json::to_string(&log).unwrap();
    assert!(log.contains(&user.id) && !log.contains("canary"), "{log}");
    cloud.catch_up().await;
    assert!(cloud.second.knows_key(&id(&key)) && !cloud.second.knows_key(&id(&other)));
}

#[tokio::test]
async fn what_is_taken_from_a_user_holds_in_every_region() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    let there = bucket("there", &account, "second");
    cloud.keeper.create(Actor::System, there).await.unwrap();
    let (alice, key) = cloud.user(&account, "alice").await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    cloud.second_has(&key, true).await;
    let own = id(&key);
    let disabled = cloud.keeper.set_key_status(ROOT, &own, KeyStatus::Disabled);
    disabled.await.unwrap();
    assert!(holder(&cloud.keeper, &key).is_none());
    let length = *cloud.keeper.watch().borrow();
    let mut watch = cloud.second.watch();
    let heard = watch.wait_for(|known| *known >= length);
    tokio::time::timeout(WITHIN, heard).await.unwrap().unwrap();
    assert!(
        holder(&cloud.second, &key).is_none() && signs(&cloud.second, &key, "second").is_none()
    );
    // A user with keys stays; then key and user are gone.
    let refused = cloud.keeper.delete_user(ROOT, &alice.id).await;
    assert!(
        matches!(refused, Err(CloudError::Conflict(_))),
        "{refused:?}"
    );
    cloud.keeper.delete_key(ROOT, &id(&key)).await.unwrap();
    cloud.keeper.delete_user(ROOT, &alice.id).await.unwrap();
    cloud.second_has(&key, false).await;
    assert!(cloud.keeper.user(&alice.id).is_none() && cloud.keeper.users(&account).is_empty());
    // The name is free, and its next holder is somebody else.
    let (next, _) = cloud.user(&account, "alice").await;
    assert_ne!(next.id, alice.id);
    following.abort();
}

#[tokio::test]
async fn no_region_that_does_not_know_users_is_told_of_one() {
    let cloud = Cloud::new().await;
    let account = cloud.tenant("acme").await;
    let there = bucket("there", &account, "second");
    cloud.keeper.create(Actor::System, there).await.unwrap();
    let (_, key) = cloud.user(&account, "alice").await;
    let region = RegionId::new("second");
    let keys = async || {
        let after = String::new();
        match cloud.keeper.answer(&region, Ask::Keys { after }).await {
            RegistryAnswer::Keys { keys, .. } => {
                keys.into_iter().map(|keys| keys.id).collect::<Vec<_>>()
            }
            RegistryAnswer::Refused(_) => Vec::new(),
            _ => panic!("no keys"),
        }
    };
    // It has announced nothing: no change that it could not read, and no key.
    let asks = async |features: Option<Vec<String>>| {
        let ask = Ask::Changes {
            from: 0,
            wait_ms: 0,
            receipt: None,
            features,
        };
        match cloud.keeper.answer(&region, ask).await {
            RegistryAnswer::Changes { changes, .. } => changes.len() as u64,
            _ => 0,
        }
    };
    let read = asks(None).await;
    assert!(read < cloud.keeper.log_length());
    assert_eq!(keys().await, Vec::<String>::new());
    assert_eq!(
        asks(Some(Features::own().names())).await,
        cloud.keeper.log_length()
    );
    assert_eq!(keys().await, std::slice::from_ref(&key.access_key));
    // It steps back to a build that would take the key for the account's.
    let older = Features::own().without(&[IDENTITIES.to_owned()]).names();
    assert_eq!(asks(Some(older)).await, 0);
    assert_eq!(keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn names_are_unique_in_an_account_and_have_a_form() {
    let keeper = open(Memory::new(), "first", 1, Keeper::Here).await;
    let account = |name: &'static str| {
        let keeper = Arc::clone(&keeper);
        async move {
            let made = keeper.create_account(ROOT, name, crate::AccountKind::Tenant, Vec::new());
            made.await.unwrap().account_id()
        }
    };
    let (acme, other) = (account("acme").await, account("other").await);
    let create = async |account: &AccountId, name: &str, path: &str| {
        let mut new = named(name);
        new.path = path.into();
        keeper.create_user(ROOT, account, new).await
    };
    let alice = create(&acme, "alice", "/a/b/").await.unwrap();
    assert!(
        alice.id.starts_with("AIDA") && alice.id.len() == 21,
        "{}",
        alice.id
    );
    assert_eq!(alice.arn, format!("arn:aws:iam::{acme}:user/a/b/alice"));
    for name in ["alice", "ALICE"] {
        let taken = create(&acme, name, "/").await;
        assert!(matches!(taken, Err(CloudError::Exists(_))), "{name}");
    }
    create(&other, "alice", "/").await.unwrap();
    let long = "a".repeat(65);
    for name in ["", "a b", "a/b", "a:b", "a*", "\u{e9}", &long] {
        let refused = create(&acme, name, "/").await;
        assert!(matches!(refused, Err(CloudError::Invalid(_))), "{name}");
    }
    let long = format!("/{}/", "a".repeat(511));
    for path in ["", "a", "/a", "a/", "//", "/a b/", &long] {
        let refused = create(&acme, "bob", path).await;
        assert!(matches!(refused, Err(CloudError::Invalid(_))), "{path}");
    }
    let bob = create(&acme, "bob", "/").await.unwrap();
    let rename = |name: &str| UserChange::Rename {
        name: Some(name.into()),
        path: None,
    };
    let taken = keeper.change_user(ROOT, &bob.id, rename("Alice")).await;
    assert!(matches!(taken, Err(CloudError::Exists(_))));
    // The case of one's own name may change.
    let renamed = keeper
        .change_user(ROOT, &bob.id, rename("Bob"))
        .await
        .unwrap();
    assert_eq!((renamed.id, &*renamed.name), (bob.id.clone(), "Bob"));
    assert_eq!(keeper.users(&acme).len(), 2);
    // Two keys, and no third.
    for _ in 0..2 {
        keeper.create_user_key(ROOT, &bob.id).await.unwrap();
    }
    let third = keeper.create_user_key(ROOT, &bob.id).await;
    assert!(matches!(third, Err(CloudError::Limit(_))));
}

fn allowing(action: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"{action}","Resource":"*"}}}}"#
    )
}

/// Whether a region lets the holder of a key read objects.
fn reads(registry: &Registry, key: &NewKey) -> Option<bool> {
    let Some(Who::User(user)) = holder(registry, key) else {
        return None;
    };
    let target = access::policy::Target::Bucket("any");
    let action = access::Action::GetBucketLocation.into();
    let decided = Who::User(Arc::clone(&user)).decide(
        (&user.account, GuardPolicy::NONE),
        action,
        target,
        &Default::default(),
    );
    Some(decided.is_ok())
}

#[tokio::test]
async fn what_is_attached_to_a_user_or_a_group_counts_wherever_the_key_is_known() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    let there = bucket("there", &account, "second");
    cloud.keeper.create(Actor::System, there).await.unwrap();
    let (anna, key) = cloud.user(&account, "anna").await;
    let named = |name: &str| NewEntity {
        name: name.into(),
        path: "/".into(),
        ..NewEntity::default()
    };
    let keeper = &cloud.keeper;
    let get = allowing("s3:GetBucketLocation");
    let made = keeper
        .create_policy(ROOT, &account, named("get"), &get)
        .await;
    let policy = made.unwrap().id;
    let group = keeper.create_group(ROOT, &account, named("staff")).await;
    let group = group.unwrap().id;
    let both = async |may: bool| {
        cloud.catch_up().await;
        assert_eq!(reads(keeper, &key), Some(may));
        assert_eq!(reads(&cloud.second, &key), Some(may));
    };
    both(false).await;
    let user = Holder::User(&anna.id);
    keeper.attach(ROOT, user, &policy, true).await.unwrap();
    both(true).await;
    // Another version counts for everybody to whom the policy is attached.
    let put = allowing("s3:PutObject");
    let two = keeper
        .create_policy_version(ROOT, &policy, &put, true)
        .await;
    assert_eq!(two.unwrap(), 2);
    both(false).await;
    keeper.set_default_version(ROOT, &policy, 1).await.unwrap();
    both(true).await;
    keeper.attach(ROOT, user, &policy, false).await.unwrap();
    both(false).await;
    // By a group, with a policy of its own, and with one that is attached to it.
    keeper
        .set_member(ROOT, &group, &anna.id, true)
        .await
        .unwrap();
    both(false).await;
    keeper
        .put_group_policy(ROOT, &group, "own", Some(&get))
        .await
        .unwrap();
    both(true).await;
    keeper
        .put_group_policy(ROOT, &group, "own", None)
        .await
        .unwrap();
    both(false).await;
    keeper
        .attach(ROOT, Holder::Group(&group), &policy, true)
        .await
        .unwrap();
    both(true).await;
    keeper.set_default_version(ROOT, &policy, 2).await.unwrap();
    both(false).await;
    keeper.set_default_version(ROOT, &policy, 1).await.unwrap();
    // A boundary takes away, and gives nothing.
    let bound = keeper
        .create_policy(ROOT, &account, named("bound"), &put)
        .await;
    let bound = bound.unwrap().id;
    keeper
        .set_boundary(ROOT, &anna.id, Some(&bound))
        .await
        .unwrap();
    both(false).await;
    keeper.set_boundary(ROOT, &anna.id, None).await.unwrap();
    both(true).await;
    // What is in use stays.
    for refused in [
        keeper.delete_policy(ROOT, &policy).await,
        keeper.delete_group(ROOT, &group).await,
        keeper.delete_policy_version(ROOT, &policy, 1).await,
    ] {
        assert!(
            matches!(refused, Err(CloudError::Conflict(_))),
            "{refused:?}"
        );
    }
    keeper
        .set_member(ROOT, &group, &anna.id, false)
        .await
        .unwrap();
    both(false).await;
    // The same is there after opening again, in the region that follows too.
    let again = follower(keeper, Arc::clone(&cloud.rows), "second").await;
    assert_eq!(reads(&again, &key), Some(false));
    // Nothing of another account is attached.
    let other = cloud.tenant("other").await;
    let theirs = keeper
        .create_policy(ROOT, &other, named("theirs"), &get)
        .await;
    let theirs = theirs.unwrap().id;
    assert!(keeper.attach(ROOT, user, &theirs, true).await.is_err());
    assert!(
        keeper
            .set_boundary(ROOT, &anna.id, Some(&theirs))
            .await
            .is_err()
    );
    let theirs = keeper
        .create_group(ROOT, &other, named("staff"))
        .await
        .unwrap()
        .id;
    assert!(
        keeper
            .set_member(ROOT, &theirs, &anna.id, true)
            .await
            .is_err()
    );
}

/// What every account has reaches regions as a text. Where a registry does not know a policy's id,
/// such as that of a later release, nothing is allowed to those who have it.
#[tokio::test]
async fn policies_that_all_accounts_have_count_everywhere_and_unknown_ones_deny() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    let there = bucket("there", &account, "second");
    cloud.keeper.create(Actor::System, there).await.unwrap();
    let (anna, key) = cloud.user(&account, "anna").await;
    let keeper = &cloud.keeper;
    let both = async |may: bool| {
        cloud.catch_up().await;
        assert_eq!(reads(keeper, &key), Some(may));
        assert_eq!(reads(&cloud.second, &key), Some(may));
    };
    let arn = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess";
    let policy = keeper.policy_of_arn(&account, arn).unwrap().id;
    let user = Holder::User(&anna.id);
    both(false).await;
    keeper.attach(ROOT, user, &policy, true).await.unwrap();
    both(true).await;
    let told = keeper.told_of_user(&anna.id).unwrap().policies;
    assert_eq!(told[0].name, arn);
    assert!(told[0].text.contains("s3:Get*"));
    // Other accounts do not learn who has it.
    let other = cloud.tenant("other").await;
    let attached = |account| keeper.policy_of_arn(account, arn).unwrap().attached;
    assert_eq!((attached(&account), attached(&other)), (1, 0));
    let theirs = keeper.holders_of_policy(&other, &policy, Usage::Any);
    assert!(theirs.users.is_empty());
    // Nobody changes it, and it is no row.
    let all = allowing("s3:*");
    let change = keeper.create_policy_version(ROOT, &policy, &all, true);
    assert!(matches!(change.await, Err(CloudError::NoEntity(_))));
    assert!(keeper.delete_policy(ROOT, &policy).await.is_err());
    for bounds in [false, true] {
        let turn = keeper.turn().await;
        let mut record = keeper.user_record(&anna.id).unwrap();
        let later = "ANPAOFALATERRELEASE00".to_owned();
        match bounds {
            false => drop(record.attached.insert(later)),
            true => {
                record.attached.remove(&later);
                record.boundary = Some(later);
            }
        }
        keeper
            .put_user(turn, ROOT, "policy.attach", record)
            .await
            .unwrap();
        both(false).await;
    }
    keeper.set_boundary(ROOT, &anna.id, None).await.unwrap();
    both(true).await;
}

/// Who has a policy is known without a look at every user of the account.
#[tokio::test]
async fn who_has_a_policy_follows_each_change() {
    let cloud = Cloud::new().await;
    cloud.knows_users().await;
    let account = cloud.tenant("acme").await;
    let keeper = &cloud.keeper;
    let text =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let new = |name: &str| NewEntity {
        name: name.into(),
        path: "/".into(),
        ..NewEntity::default()
    };
    let policy = keeper
        .create_policy(ROOT, &account, new("p"), text)
        .await
        .unwrap();
    let group = keeper.create_group(ROOT, &account, new("g")).await.unwrap();
    let (user, _) = cloud.user(&account, "Bob").await;
    let (other, _) = cloud.user(&account, "anna").await;
    let names =
        |users: Vec<UserInfo>| -> Vec<String> { users.into_iter().map(|user| user.name).collect() };
    let counts = || {
        let found = keeper.policy_of_arn(&account, &policy.arn).unwrap();
        let held = keeper.holders_of_policy(&account, &policy.id, Usage::Attached);
        let (users, groups) = (names(held.users), held.groups.len());
        (found.attached, found.bounds, users, groups)
    };
    assert_eq!(counts(), (0, 0, vec![], 0));
    for id in [&user.id, &other.id] {
        keeper
            .attach(ROOT, Holder::User(id), &policy.id, true)
            .await
            .unwrap();
        keeper.set_member(ROOT, &group.id, id, true).await.unwrap();
    }
    keeper
        .attach(ROOT, Holder::Group(&group.id), &policy.id, true)
        .await
        .unwrap();
    keeper
        .set_boundary(ROOT, &user.id, Some(&policy.id))
        .await
        .unwrap();
    let both = vec!["anna".to_owned(), "Bob".to_owned()];
    assert_eq!(counts(), (3, 1, both.clone(), 1));
    assert_eq!(names(keeper.users_of_group(&group.id)), both);
    // What is written anew for another reason is counted once.
    let rename = UserChange::Rename {
        name: Some("Zed".into()),
        path: None,
    };
    keeper.change_user(ROOT, &user.id, rename).await.unwrap();
    let both = vec!["anna".to_owned(), "Zed".to_owned()];
    assert_eq!(counts(), (3, 1, both, 1));
    keeper
        .attach(ROOT, Holder::User(&user.id), &policy.id, false)
        .await
        .unwrap();
    keeper
        .attach(ROOT, Holder::Group(&group.id), &policy.id, false)
        .await
        .unwrap();
    keeper.set_boundary(ROOT, &user.id, None).await.unwrap();
    keeper
        .set_member(ROOT, &group.id, &user.id, false)
        .await
        .unwrap();
    assert_eq!(counts(), (1, 0, vec!["anna".to_owned()], 0));
    assert_eq!(names(keeper.users_of_group(&group.id)), ["anna"]);
}
