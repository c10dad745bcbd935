//! A region that follows the registry, with the keeper in the same process.

use std::time::Duration;

use access::SigningKeys;
use store::{Index, memory::Memory};
use types::{
    AccessKeyId, BucketName, DeedError, Deeds, Jurisdiction, NewDeed, Placement, Replica,
    SeededRandom, SystemClock, deed::BoxFuture,
};

use super::{
    warrant_tests::{InJson, creates, deletes},
    *,
};
use crate::introduce::Served;
use crate::{
    AccountKind, Announcement, Ask, IndexRows, IssuedRecord, KeyStatus, NewKey, PlacementChange,
    RegionPlan, RegionStatus, RegistryAnswer, token_hash,
};

pub(super) const ROOT: &Actor = &Actor::System;

/// The keeper, as `from` reaches it.
pub(super) struct Direct {
    keeper: Arc<Registry>,
    id: RegionId,
    from: RegionId,
}

impl Direct {
    pub(super) fn to(keeper: &Arc<Registry>, from: &str) -> Self {
        Self {
            keeper: Arc::clone(keeper),
            id: RegionId::new("first"),
            from: RegionId::new(from),
        }
    }
}

impl Upstream for Direct {
    fn keeper(&self) -> &RegionId {
        &self.id
    }
    fn ask(&self, ask: Ask) -> BoxFuture<'_, Result<RegistryAnswer, CloudError>> {
        // Through JSON, as over the wire.
        Box::pin(async move {
            let ask = serde_json::from_slice(&serde_json::to_vec(&ask).unwrap()).unwrap();
            let told = self.keeper.answer(&self.from, ask).await;
            Ok(serde_json::from_slice(&serde_json::to_vec(&told).unwrap()).unwrap())
        })
    }
}

pub(super) async fn open(
    index: Arc<dyn Index>,
    region: &str,
    seed: u8,
    keeper: Keeper,
) -> Arc<Registry> {
    let rows = Arc::new(IndexRows(index));
    opened(rows, region, seed, keeper).await
}

pub(super) async fn opened(
    rows: Arc<dyn Rows>,
    region: &str,
    seed: u8,
    keeper: Keeper,
) -> Arc<Registry> {
    let opening = Opening {
        rows,
        master: MasterKey::generate(&SeededRandom::new(seed.into())),
        clock: Arc::new(SystemClock),
        random: Arc::new(SeededRandom::new(seed.into())),
        regions: vec![RegionId::new(region), RegionId::new("us-east-1")],
        keeper,
    };
    Registry::open(opening).await.unwrap()
}

pub(super) fn plan(id: &str, country: &str) -> RegionPlan {
    RegionPlan {
        id: id.into(),
        city: "Somewhere".into(),
        latitude: 1.0,
        longitude: 2.0,
        jurisdiction: country.into(),
        operator: "own".into(),
        addresses: Vec::new(),
    }
}

pub(super) fn announcement(n: u8) -> Announcement {
    Announcement {
        endpoint: format!("http://127.0.0.1:{n}"),
        peer: format!("127.0.0.1:1{n}"),
        public_key: hex::encode([n; 32]),
    }
}

pub(super) fn issued(n: u8) -> IssuedRecord {
    IssuedRecord {
        serial: format!("4a{n:02x}"),
        not_after_ms: u64::MAX,
    }
}

/// A cloud of three regions; `first` keeps the registry.
pub(super) struct Cloud {
    pub keeper: Arc<Registry>,
    pub rows: Arc<dyn Index>,
    pub second: Arc<Registry>,
}

pub(super) async fn follower(
    keeper: &Arc<Registry>,
    rows: Arc<dyn Index>,
    id: &str,
) -> Arc<Registry> {
    let upstream = Direct {
        keeper: Arc::clone(keeper),
        id: RegionId::new("first"),
        from: RegionId::new(id),
    };
    let opened = open(rows, id, 2, Keeper::There(Arc::new(upstream))).await;
    // Which is on record already, so that what it asks first changes nothing.
    let on_record = keeper.region(id).map(|record| record.features());
    opened.announce_features(on_record.unwrap_or_else(types::Features::base));
    opened
}

/// A follower that opens its rows as `id`, and whom the keeper knows as `from`.
pub(super) async fn misnamed(
    keeper: &Arc<Registry>,
    rows: Arc<dyn Index>,
    from: &str,
    id: &str,
) -> Arc<Registry> {
    let upstream = Direct {
        keeper: Arc::clone(keeper),
        id: RegionId::new("first"),
        from: RegionId::new(from),
    };
    open(rows, id, 2, Keeper::There(Arc::new(upstream))).await
}

impl Cloud {
    pub async fn new() -> Self {
        Self::kept_in(Memory::new()).await
    }

    /// The registry is kept in these rows.
    pub async fn kept_in(rows: Arc<dyn Index>) -> Self {
        let keeper = open(rows, "first", 1, Keeper::Here).await;
        let own = plan("first", "DE");
        keeper
            .open_own_region(&own, &announcement(1))
            .await
            .unwrap();
        keeper.reads_requests(Arc::new(InJson));
        for (n, (id, country)) in [("second", "AE"), ("third", "FR")].into_iter().enumerate() {
            let valid = Duration::from_secs(60);
            let plan = plan(id, country);
            keeper
                .plan_region(ROOT, &plan, &token_hash(id.as_bytes()), valid)
                .await
                .unwrap();
            keeper
                .join(id.as_bytes(), id, &announcement(n as u8 + 2), &issued(1))
                .await
                .unwrap();
            let opened = keeper.set_region_status(ROOT, id, RegionStatus::Open).await;
            opened.unwrap();
        }
        let rows: Arc<dyn Index> = Memory::new();
        let second = follower(&keeper, Arc::clone(&rows), "second").await;
        Self {
            keeper,
            rows,
            second,
        }
    }

    pub async fn tenant(&self, name: &str) -> AccountId {
        let made = self
            .keeper
            .create_account(ROOT, name, AccountKind::Tenant, Vec::new())
            .await;
        made.unwrap().account_id()
    }

    /// Follows until `second` knows all that the keeper knows.
    pub async fn catch_up(&self) {
        let length = *self.keeper.watch().borrow();
        let mut watch = self.second.watch();
        let following = tokio::spawn(Arc::clone(&self.second).follow());
        watch.wait_for(|l| *l >= length).await.unwrap();
        // The answer to the next question comes after the keys.
        let id = self.keys_of_second().pop();
        if let Some(id) = id {
            while !self.second.state.read().verifiers.contains_key(&id) {
                tokio::task::yield_now().await;
            }
        }
        following.abort();
    }

    /// A change of a placement that nobody but the keeper need learn: those that held the bucket do
    /// not follow here, and it is on record before they do.
    pub async fn placed(&self, name: &BucketName, change: PlacementChange) {
        let mut watch = self.keeper.watch();
        let before = *watch.borrow_and_update();
        let (keeper, name) = (Arc::clone(&self.keeper), name.clone());
        let placing =
            tokio::spawn(async move { keeper.place_bucket(ROOT, &name, &change).await.map(drop) });
        let made = watch.wait_for(|length| *length > before);
        let made = tokio::time::timeout(Duration::from_secs(30), made).await;
        assert_eq!(*made.unwrap().unwrap(), before + 1);
        placing.abort();
    }

    /// The keys that the second region is given unasked.
    fn keys_of_second(&self) -> Vec<String> {
        let (state, second) = (self.keeper.state.read(), RegionId::new("second"));
        let mut served = Served::by(&state, &second, "first");
        let keys = state.keys.iter();
        keys.filter(|(_, key)| served.has(&key.record.account))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// A bucket of the account in the second region, which is given its keys then.
    pub async fn held_by_second(&self, owner: &AccountId) -> Arc<types::BucketDeed> {
        let new = bucket(&format!("held-{owner}"), owner, "second");
        self.keeper.create(Actor::System, new).await.unwrap()
    }
}

pub(super) fn bucket(name: &str, owner: &str, home: &str) -> NewDeed {
    NewDeed {
        name: BucketName::new(name).unwrap(),
        owner: AccountId::new(owner),
        home: RegionId::new(home),
        placement: Placement::default(),
    }
}

pub(super) fn today() -> String {
    SystemClock.now().iso_basic()[..8].to_owned()
}

#[tokio::test]
async fn a_follower_knows_all_but_secrets_and_goes_on_alone() {
    let cloud = Cloud::new().await;
    let account = cloud
        .keeper
        .create_account(ROOT, "acme", AccountKind::Tenant, Vec::new())
        .await;
    let id = account.unwrap().account_id();
    let pair = cloud
        .keeper
        .create_key(ROOT, &id, None, "", false)
        .await
        .unwrap();
    let deed = cloud
        .keeper
        .create(Actor::System, bucket("photos", &id, "second"))
        .await
        .unwrap();
    cloud.catch_up().await;

    // The keeper is gone: a copy that is opened again from its rows knows the same.
    let alone = open(Arc::clone(&cloud.rows), "second", 2, Keeper::Here).await;
    for registry in [&cloud.second, &alone] {
        assert_eq!(registry.accounts(), cloud.keeper.accounts());
        assert_eq!(registry.all_regions(), cloud.keeper.all_regions());
        assert_eq!(registry.operators(), cloud.keeper.operators());
        assert_eq!(Deeds::get(&**registry, &deed.name), Some(Arc::clone(&deed)));
        let key = |region: &str| {
            let region = RegionId::new(region);
            registry.signing_key(&pair.access_key, &today(), &region, "s3")
        };
        let own = key("second").map(|k| k.key.sign(b"text"));
        let told = crate::keys::derive(&pair.secret_key, &today(), "second", "s3");
        assert_eq!(own, Some(access::signature::hmac(&told, b"text")));
        assert!(key("us-east-1").is_none(), "an alias has other keys");
        assert!(key("first").is_none());
    }
    // Nothing on the follower's disk holds the secret, or a key for another region.
    let rows = IndexRows(Arc::clone(&cloud.rows))
        .page("", "", 10_000)
        .await
        .unwrap();
    let all: String = rows
        .iter()
        .map(|(k, v)| format!("{k} {}\n", String::from_utf8_lossy(v)))
        .collect();
    assert!(!all.contains(&pair.secret_key));
    assert!(
        !rows
            .iter()
            .any(|(key, _)| key.starts_with("k/") || key.starts_with("t/"))
    );
    let master = MasterKey::generate(&SeededRandom::new(1));
    for (key, value) in rows.iter().filter(|(key, _)| key.starts_with("v/")) {
        let record: crate::verifiers::VerifierRecord = serde_json::from_slice(value).unwrap();
        assert!(
            record.open(&master).is_err(),
            "{key} opens with another region's key"
        );
    }
}

#[tokio::test]
async fn keys_and_accounts_that_are_stopped_stop_at_followers() {
    let cloud = Cloud::new().await;
    let account = cloud
        .keeper
        .create_account(ROOT, "acme", AccountKind::Tenant, Vec::new())
        .await;
    let id = account.unwrap().account_id();
    let pair = cloud
        .keeper
        .create_key(ROOT, &id, None, "", false)
        .await
        .unwrap();
    cloud.held_by_second(&id).await;
    let access = AccessKeyId::new(&pair.access_key);
    let opens = || {
        let region = RegionId::new("second");
        let key = cloud.second.signing_key(&access, &today(), &region, "s3");
        key.is_some()
    };
    cloud.catch_up().await;
    assert!(opens());
    let disabled = KeyStatus::Disabled;
    cloud
        .keeper
        .set_key_status(ROOT, &access, disabled)
        .await
        .unwrap();
    cloud.catch_up().await;
    assert!(!opens());
    let active = KeyStatus::Active;
    cloud
        .keeper
        .set_key_status(ROOT, &access, active)
        .await
        .unwrap();
    cloud.catch_up().await;
    assert!(opens());
    cloud.keeper.suspend_account(ROOT, &id, true).await.unwrap();
    cloud.catch_up().await;
    assert!(!opens());
    cloud
        .keeper
        .suspend_account(ROOT, &id, false)
        .await
        .unwrap();
    cloud.catch_up().await;
    assert!(opens());
    cloud.keeper.delete_key(ROOT, &access).await.unwrap();
    let length = *cloud.keeper.watch().borrow();
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    cloud
        .second
        .watch()
        .wait_for(|l| *l >= length)
        .await
        .unwrap();
    following.abort();
    assert!(!opens());
}

#[tokio::test]
async fn p5_a_region_makes_and_removes_buckets_of_its_own_only() {
    let cloud = Cloud::new().await;
    let (one, two) = (cloud.tenant("one").await, cloud.tenant("two").await);
    let (key, other) = (cloud.key_of(&one).await, cloud.key_of(&two).await);
    cloud.catch_up().await;
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    let new = bucket("own", &one, "second");
    let request = Some(creates(&key, "second", "own"));
    let own = cloud.second.create_for(Actor::System, new, request);
    let own = own.await.unwrap();
    // What was acknowledged is known at once, here and at the keeper.
    assert_eq!(
        Deeds::get(&*cloud.second, &own.name),
        Some(Arc::clone(&own))
    );
    assert_eq!(
        Deeds::get(&*cloud.keeper, &own.name),
        Some(Arc::clone(&own))
    );
    let new = bucket("own", &two, "second");
    let request = Some(creates(&other, "second", "own"));
    let taken = cloud.second.create_for(Actor::System, new, request).await;
    assert!(matches!(taken, Err(DeedError::Exists(..))), "{taken:?}");
    for elsewhere in ["first", "third", "nowhere"] {
        let made = cloud
            .second
            .create(Actor::System, bucket("other", &one, elsewhere))
            .await;
        assert!(matches!(made, Err(DeedError::Placement(_))), "{made:?}");
    }
    let theirs = cloud
        .keeper
        .create(Actor::System, bucket("theirs", &one, "first"))
        .await
        .unwrap();
    let removed = cloud
        .second
        .remove(Actor::System, theirs.name.clone(), theirs.id)
        .await;
    assert!(removed.is_err());
    assert!(Deeds::get(&*cloud.keeper, &theirs.name).is_some());
    // Everything else is the keeper's to change.
    let tried = cloud
        .second
        .create_account(ROOT, "mine", AccountKind::Root, Vec::new())
        .await;
    assert!(matches!(tried, Err(CloudError::Elsewhere(_))));
    let request = Some(deletes(&key, "second", "own"));
    cloud
        .second
        .remove_for(Actor::System, &own, request)
        .await
        .unwrap();
    assert!(Deeds::get(&*cloud.keeper, &own.name).is_none());
    following.abort();
    // A region that was never let in learns nothing.
    let stranger = RegionId::new("stranger");
    let told = cloud
        .keeper
        .answer(
            &stranger,
            Ask::Keys {
                after: String::new(),
            },
        )
        .await;
    assert!(matches!(told, RegistryAnswer::Refused(_)));
}

#[tokio::test]
async fn p5_a_region_makes_no_bucket_for_an_account_that_may_have_none() {
    let cloud = Cloud::new().await;
    let id = cloud.tenant("stopped").await;
    let suspended = cloud.keeper.suspend_account(ROOT, &id, true).await;
    suspended.unwrap();
    let second = RegionId::new("second");
    for owner in ["", "000000000000", "nobody", &*id] {
        let ask = Ask::CreateDeed(bucket("planted", owner, "second").into());
        let told = cloud.keeper.answer(&second, ask).await;
        assert!(
            matches!(told, RegistryAnswer::Refused(_)),
            "for account {owner:?}"
        );
    }
    let name = BucketName::new("planted").unwrap();
    assert!(Deeds::get(&*cloud.keeper, &name).is_none());
    // An account's guard holds against a region's word too.
    let eu = vec![Jurisdiction::parse("EU").unwrap()];
    let guarded = cloud
        .keeper
        .create_account(ROOT, "guarded", AccountKind::Tenant, eu);
    let guarded = guarded.await.unwrap().account_id();
    let ask = async |owner: &AccountId, key: &NewKey| {
        let mut record = crate::NewDeedRecord::from(bucket("planted", owner, "second"));
        record.request = Some((&creates(key, "second", "planted")).into());
        cloud.keeper.answer(&second, Ask::CreateDeed(record)).await
    };
    let told = ask(&guarded, &cloud.key_of(&guarded).await).await;
    assert!(matches!(told, RegistryAnswer::Placement(_)));
    assert!(Deeds::get(&*cloud.keeper, &name).is_none());
    // Once the account may have buckets again, the same question is answered.
    let resumed = cloud.keeper.suspend_account(ROOT, &id, false).await;
    resumed.unwrap();
    let told = ask(&id, &cloud.key_of(&id).await).await;
    assert!(matches!(told, RegistryAnswer::Deed(_)));
}

#[tokio::test]
async fn a_token_opens_for_one_region_and_one_key_and_expires() {
    let keeper = open(Memory::new(), "first", 1, Keeper::Here).await;
    let own = plan("first", "DE");
    let alone = Announcement {
        peer: String::new(),
        ..announcement(1)
    };
    // Started, and started again, without a listener for others; then with one.
    for announced in [&alone, &alone, &announcement(1)] {
        keeper.open_own_region(&own, announced).await.unwrap();
    }
    let new = plan("new", "JP");
    keeper
        .plan_region(ROOT, &new, &token_hash(b"hash"), Duration::from_secs(60))
        .await
        .unwrap();
    let here = announcement(2);
    assert!(
        keeper
            .join(b"hash", "other", &here, &issued(1))
            .await
            .is_err()
    );
    assert!(
        keeper
            .join(b"wrong", "new", &here, &issued(1))
            .await
            .is_err()
    );
    let other = Announcement {
        public_key: hex::encode([9; 32]),
        ..here.clone()
    };
    keeper
        .join(b"hash", "new", &here, &issued(1))
        .await
        .unwrap();
    // A region that was cut off before it wrote down what it got joins again, at another address
    // perhaps; nobody else does. Neither does a further token let another key in.
    let moved = Announcement {
        peer: "127.0.0.1:77".into(),
        ..here.clone()
    };
    keeper
        .join(b"hash", "new", &here, &issued(1))
        .await
        .unwrap();
    let record = keeper
        .join(b"hash", "new", &moved, &issued(1))
        .await
        .unwrap();
    assert_eq!(record.peer, moved.peer);
    assert!(
        keeper
            .join(b"hash", "new", &other, &issued(1))
            .await
            .is_err()
    );
    let elsewhere = plan("new", "FR");
    keeper
        .plan_region(
            ROOT,
            &elsewhere,
            &token_hash(b"again"),
            Duration::from_secs(60),
        )
        .await
        .unwrap();
    assert!(
        keeper
            .join(b"hash", "new", &here, &issued(1))
            .await
            .is_err(),
        "old"
    );
    assert!(
        keeper
            .join(b"again", "new", &other, &issued(1))
            .await
            .is_err()
    );
    let record = keeper
        .join(b"again", "new", &here, &issued(1))
        .await
        .unwrap();
    assert_eq!(
        record.jurisdiction, "JP",
        "as it was planned when it joined"
    );
    let opened = keeper.set_region_status(ROOT, "new", RegionStatus::Open);
    opened.await.unwrap();
    assert!(
        keeper
            .join(b"again", "new", &here, &issued(1))
            .await
            .is_err(),
        "opened"
    );
    let late = plan("late", "JP");
    keeper
        .plan_region(ROOT, &late, &token_hash(b"late"), Duration::ZERO)
        .await
        .unwrap();
    assert!(
        keeper
            .join(b"late", "late", &here, &issued(1))
            .await
            .is_err(),
        "expired"
    );
    for (bad, why) in [("Upper", "JP"), ("new", "JP"), ("x", "EU"), ("x", "Japan")] {
        let planned = keeper
            .plan_region(ROOT, &plan(bad, why), "h", Duration::ZERO)
            .await;
        assert!(planned.is_err(), "{bad} {why}");
    }
    // Its key is the one it joined with.
    assert!(keeper.announce("new", &other).await.is_err());
}

#[tokio::test]
async fn placements_keep_to_regions_laws_and_guards() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let eu = Jurisdiction::parse("EU").unwrap();
    let account = keeper
        .create_account(ROOT, "guarded", AccountKind::Tenant, vec![eu.clone()])
        .await;
    let id = account.unwrap().account_id();
    let deed = keeper
        .create(Actor::System, bucket("papers", &id, "first"))
        .await
        .unwrap();
    assert_eq!(deed.placement.jurisdictions, vec![eu]);
    let copy = |region: &str| PlacementChange {
        add: vec![Replica {
            region: RegionId::new(region),
            sealed_by: None,
        }],
        ..PlacementChange::default()
    };
    for (region, why) in [
        ("second", "AE"),
        ("nowhere", "no region"),
        ("first", "is the bucket's home"),
    ] {
        let error = keeper
            .place_bucket(ROOT, &deed.name, &copy(region))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let wide = PlacementChange {
        jurisdictions: Some(vec![Jurisdiction::parse("US").unwrap()]),
        ..PlacementChange::default()
    };
    assert!(keeper.place_bucket(ROOT, &deed.name, &wide).await.is_err());
    let change = PlacementChange {
        successors: Some(vec![RegionId::new("third")]),
        ..copy("third")
    };
    let placed = keeper.place_bucket(ROOT, &deed.name, &change).await;
    let placed = placed.unwrap();
    assert_eq!(placed.epoch, 1);
    assert_eq!(&*placed.placement.successors[0], "third");
    let follow = |regions: &[&str]| PlacementChange {
        successors: Some(regions.iter().map(|r| RegionId::new(r)).collect()),
        ..PlacementChange::default()
    };
    for (named, why) in [
        (&["first"][..], "no replica"),
        (&["second"], "no replica"),
        (&["third", "third"], "twice"),
    ] {
        let error = keeper.placed(&deed.name, &follow(named)).unwrap_err();
        assert!(error.to_string().contains(why), "{named:?} {error}");
    }
    let third = RegionId::new("third");
    // Whoever waited for the end of another epoch waited for nothing.
    let stale = keeper.move_home(ROOT, (&deed.name, 2), &third, false);
    let stale = stale.await.unwrap_err().to_string();
    assert!(stale.contains("changed meanwhile"), "{stale}");
    let moved = keeper
        .move_home(ROOT, (&deed.name, 1), &third, false)
        .await
        .unwrap();
    assert_eq!((moved.epoch, &*moved.home), (2, "third"));
    assert!(moved.placement.successors.is_empty());
    assert_eq!(&*moved.placement.replicas[0].region, "first");
    let second = RegionId::new("second");
    assert!(
        keeper
            .move_home(ROOT, (&deed.name, 2), &second, true)
            .await
            .is_err()
    );
    let elsewhere = keeper
        .create(Actor::System, bucket("far", &id, "second"))
        .await;
    assert!(matches!(elsewhere, Err(DeedError::Placement(_))));
    // A region that is still in a placement is not closed.
    keeper
        .set_region_status(ROOT, "third", RegionStatus::Draining)
        .await
        .unwrap();
    assert!(
        keeper
            .set_region_status(ROOT, "third", RegionStatus::Closed)
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn p8_a_placement_is_changed_once_those_who_held_the_bucket_have_heard() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let deed = keeper
        .create(Actor::System, bucket("papers", "1", "second"))
        .await
        .unwrap();
    let change = PlacementChange {
        proxy: Some(true),
        ..PlacementChange::default()
    };
    // The home does not listen.
    let deaf = keeper.place_bucket(ROOT, &deed.name, &change).await;
    assert!(matches!(deaf, Err(CloudError::NotApplied(who)) if who == "second"));
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    keeper
        .place_bucket(ROOT, &deed.name, &change)
        .await
        .unwrap();
    let known = Deeds::get(&*cloud.second, &deed.name).unwrap();
    assert!(known.placement.proxy);
    following.abort();
}

#[tokio::test(start_paused = true)]
async fn p8_it_is_known_whether_a_home_has_heard_of_a_replica() {
    let cloud = Cloud::new().await;
    let (keeper, replica) = (&cloud.keeper, RegionId::new("third"));
    let deed = keeper
        .create(Actor::System, bucket("papers", "1", "second"))
        .await
        .unwrap();
    cloud.catch_up().await;
    let change = PlacementChange {
        add: vec![Replica {
            region: replica.clone(),
            sealed_by: None,
        }],
        ..PlacementChange::default()
    };
    let deaf = keeper.place_bucket(ROOT, &deed.name, &change).await;
    assert!(matches!(deaf, Err(CloudError::NotApplied(_))), "{deaf:?}");
    let placed = Deeds::get(&**keeper, &deed.name).unwrap();
    assert!(!keeper.home_knows(&placed, &replica).await.unwrap());
    // A home by the same entry that made the other one a replica knows both or neither.
    let from = (&placed.name, placed.epoch);
    let moved = keeper.move_home(ROOT, from, &replica, true).await.unwrap();
    let before = RegionId::new("second");
    assert!(keeper.home_knows(&moved, &before).await.unwrap());
    let following = tokio::spawn(Arc::clone(&cloud.second).follow());
    let second = [before.clone()];
    keeper.wait_until_applied(&second).await.unwrap();
    assert!(keeper.home_knows(&placed, &replica).await.unwrap());
    following.abort();
}

#[tokio::test]
async fn p8_divergent_keys_are_on_record_by_their_hashes_where_the_law_is_limited() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let other = RegionId::new("first");
    let with = |name: &str, countries: &[&str]| NewDeed {
        placement: Placement {
            replicas: vec![Replica {
                region: other.clone(),
                sealed_by: None,
            }],
            jurisdictions: countries
                .iter()
                .map(|c| Jurisdiction::parse(c).unwrap())
                .collect(),
            ..Placement::default()
        },
        ..bucket(name, "1", "second")
    };
    let (limited, open) = (with("limited", &["AE", "DE"]), with("anywhere", &[]));
    let keys = ["canary", "hmac-sha256:canary"].map(String::from);
    for new in [limited, open] {
        let name = keeper
            .create(Actor::System, new)
            .await
            .unwrap()
            .name
            .clone();
        cloud.catch_up().await;
        let from = *keeper.watch().borrow();
        let reported = cloud.second.report_divergence(&name, &other, 1, &keys);
        reported.await.unwrap();
        let changes = keeper.changes(from, 10).await.unwrap();
        let text = format!("{:?}", changes.last().unwrap().entry);
        assert_eq!(text.contains("canary"), &*name == "anywhere", "{text}");
        // Nor can whoever reads the log try a guess.
        assert!(!text.contains(&crate::token_hash(b"canary")), "{text}");
        // A home that does not hash them is refused, and nothing is on record.
        let length = *keeper.watch().borrow();
        let mut keys = keys.to_vec();
        keys.push(format!("sha256:{}", crate::token_hash(b"canary")));
        let ask = Ask::Divergence {
            name: name.to_string(),
            from: other.to_string(),
            epoch: 1,
            keys,
        };
        let told = keeper.answer(&RegionId::new("second"), ask).await;
        let refused = matches!(told, RegistryAnswer::Refused(_));
        assert_eq!(refused, &*name == "limited");
        assert_eq!(refused, *keeper.watch().borrow() == length);
    }
}

#[tokio::test]
async fn p7_a_changed_history_is_not_taken_over() {
    let cloud = Cloud::new().await;
    cloud.catch_up().await;
    let length = *cloud.keeper.watch().borrow();
    cloud
        .keeper
        .create(Actor::System, bucket("photos", "1", "first"))
        .await
        .unwrap();
    let changes = cloud.keeper.changes(length, 10).await.unwrap();
    let good = changes.last().unwrap().clone();
    let last = cloud.second.state.read().last.clone();
    good.check(last.as_ref()).unwrap();
    let mut rows = good.clone();
    rows.rows[0].key = "n/videos".into();
    let mut actor = good.clone();
    actor.entry.actor = "somebody else".into();
    for (what, bad) in [("rows", rows), ("actor", actor)] {
        assert!(bad.check(last.as_ref()).is_err(), "{what}");
    }
    assert!(good.check(None).is_err(), "out of its place");
}

#[tokio::test]
async fn a_registry_from_before_the_audit_log_is_taken_over() {
    let index: Arc<dyn Index> = Memory::new();
    let old = |key: &str, value: &str| (key.to_owned(), value.as_bytes().to_vec());
    let account = r#"{"v":1,"id":"000000000001","name":"old","created_ms":1,"root":false}"#;
    let deed = r#"{"v":1,"id":7,"name":"photos","owner":"000000000001","home":"first","created_ms":1,"epoch":1}"#;
    let rows = vec![old("a/000000000001", account), old("n/photos", deed)];
    IndexRows(Arc::clone(&index))
        .write(None, rows, Vec::new())
        .await
        .unwrap();
    for _ in 0..2 {
        let registry = open(Arc::clone(&index), "first", 1, Keeper::Here).await;
        assert_eq!(*registry.watch().borrow(), 1);
        assert_eq!(registry.all().len(), 1);
        let told = registry.audit(0, (10, usize::MAX)).await.unwrap();
        assert_eq!(told[0]["entry"]["action"], "registry.adopt");
        assert_eq!(told[0]["rows"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn p1_copies_are_sealed_by_the_home_and_follow_it() {
    let cloud = Cloud::new().await;
    let keeper = &cloud.keeper;
    let account = keeper
        .create_account(ROOT, "owner", AccountKind::Tenant, Vec::new())
        .await;
    let id = account.unwrap().account_id();
    let deed = keeper
        .create(Actor::System, bucket("papers", &id, "first"))
        .await
        .unwrap();
    let add = |region: &str, sealed_by: Option<&str>| PlacementChange {
        add: vec![Replica {
            region: RegionId::new(region),
            sealed_by: sealed_by.map(RegionId::new),
        }],
        ..PlacementChange::default()
    };
    let name = &deed.name;
    for holder in ["second", "third", "nowhere"] {
        let change = add("second", Some(holder));
        let error = keeper.place_bucket(ROOT, name, &change).await.unwrap_err();
        assert!(error.to_string().contains("home only"), "{error}");
    }
    keeper.placed(name, &add("second", Some("first"))).unwrap();
    let mut both = add("second", Some("first"));
    both.add.extend(add("third", None).add);
    keeper.place_bucket(ROOT, name, &both).await.unwrap();
    let (second, third) = (RegionId::new("second"), RegionId::new("third"));
    let refused = keeper.move_home(ROOT, (name, 1), &second, true).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("sealed replica"), "{error}");
    let moved = keeper
        .move_home(ROOT, (name, 1), &third, false)
        .await
        .unwrap();
    let of = |region: &str| {
        let replicas = &moved.placement.replicas;
        let found = replicas.iter().find(|r| *r.region == *region);
        found.and_then(|r| r.sealed_by.clone())
    };
    assert_eq!((of("second"), of("first")), (Some(third), None));
    // Names of objects are no business of a region that may not read them.
    let keys = ["secret name".to_owned()];
    let report = |from: &str| Ask::Divergence {
        name: name.to_string(),
        from: from.to_owned(),
        epoch: 2,
        keys: keys.to_vec(),
    };
    for (by, of) in [("first", "third"), ("third", "first"), ("third", "second")] {
        let told = keeper.answer(&RegionId::new(by), report(of)).await;
        assert!(matches!(told, RegistryAnswer::Refused(_)), "{by} of {of}");
    }
    let first = RegionId::new("first");
    let keys = [keeper.hashed(&moved, 2, &keys[0])];
    let third = RegionId::new("third");
    let told = keeper.record_divergence(&third, name, &first, 2, &keys);
    told.await.unwrap();
    let told = keeper.last_entry().unwrap();
    assert!(!format!("{told:?}").contains("secret name"), "{told:?}");
}
