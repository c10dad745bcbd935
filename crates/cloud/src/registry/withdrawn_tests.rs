//! What takes rights away holds at once, whatever becomes of the disk.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use store::{
    StoreError,
    faults::{Call, Fault, Script, faulty},
    memory::Memory,
};
use types::{AccessKeyId, BucketName, Deeds, Forwarder, Holding, Jurisdiction, Replica};

use super::{
    follow_tests::{Cloud, ROOT, announcement, bucket, follower, issued, open, opened, plan},
    *,
};
use crate::{
    AccountKind, IndexRows, KeyStatus, NewKey, NewProvider, NewRole, PlacementChange, ProviderInfo,
    RegionStatus, RoleInfo, token_hash,
};

const WITHIN: Duration = Duration::from_secs(30);

fn full() -> Fault {
    Fault::Fail(StoreError::Full("a planned fault".to_owned()))
}

fn revoked(registry: &Registry, region: &str) -> usize {
    let known = registry.region(region);
    known.map_or(0, |region| region.revoked_serials.len())
}

#[tokio::test]
async fn p5_a_follower_with_a_full_disk_hears_of_revocations_and_removals() {
    let cloud = Cloud::new().await;
    let owner = cloud.tenant("acme").await;
    let mut new = bucket("photos", &owner, "first");
    let second = RegionId::new("second");
    new.placement.replicas = vec![Replica {
        region: second.clone(),
        sealed_by: None,
    }];
    let deed = cloud.keeper.create(Actor::System, new).await.unwrap();
    let script = Script::new();
    let engine = faulty(Memory::engine(), &script);
    let copy = follower(&cloud.keeper, engine.index, "second").await;
    let following = tokio::spawn(Arc::clone(&copy).follow());
    let mut watch = copy.watch();
    let held = |registry: &Registry| {
        let deed = Deeds::get(registry, &deed.name);
        deed.map(|deed| deed.holding(&second))
    };
    let has = watch.wait_for(|_| held(&copy) == Some(Holding::Replica));
    tokio::time::timeout(WITHIN, has).await.unwrap().unwrap();

    script.always(Call::Commit, full());
    let length = *copy.watch().borrow();
    let revoking = cloud.keeper.revoke_certificates(ROOT, "third", None);
    revoking.await.unwrap();
    // A change that waits until the other region has received it, which it cannot say.
    let (keeper, name) = (Arc::clone(&cloud.keeper), deed.name.clone());
    let gone = second.clone();
    let placing = tokio::spawn(async move {
        let change = PlacementChange {
            remove: vec![gone],
            ..PlacementChange::default()
        };
        keeper.place_bucket(ROOT, &name, &change).await
    });
    let withdrawn =
        watch.wait_for(|_| revoked(&copy, "third") == 1 && held(&copy) == Some(Holding::Nothing));
    tokio::time::timeout(WITHIN, withdrawn)
        .await
        .unwrap()
        .unwrap();
    // Nothing of it is on the disk, and it does not count as received.
    assert_eq!(*copy.watch().borrow(), length);

    script.clear();
    let landed = watch.wait_for(|now| *now >= length + 2);
    tokio::time::timeout(WITHIN, landed).await.unwrap().unwrap();
    assert_eq!(revoked(&copy, "third"), 1);
    assert_eq!(copy.all_regions(), cloud.keeper.all_regions());
    placing.abort();
    following.abort();
}

#[tokio::test]
async fn p5_the_keeper_revokes_before_it_writes_and_says_when_it_could_not() {
    let script = Script::new();
    let engine = faulty(Memory::engine(), &script);
    let keeper = open(Arc::clone(&engine.index), "first", 1, Keeper::Here).await;
    let own = plan("first", "DE");
    keeper
        .open_own_region(&own, &announcement(1))
        .await
        .unwrap();
    let valid = Duration::from_secs(60);
    keeper
        .plan_region(ROOT, &plan("second", "AE"), &token_hash(b"second"), valid)
        .await
        .unwrap();
    keeper
        .join(b"second", "second", &announcement(2), &issued(1))
        .await
        .unwrap();
    let opened = keeper.set_region_status(ROOT, "second", RegionStatus::Open);
    opened.await.unwrap();

    script.always(Call::Commit, full());
    let mut watch = keeper.watch();
    watch.borrow_and_update();
    let refused = keeper.revoke_certificates(ROOT, "second", None).await;
    assert!(
        matches!(refused, Err(CloudError::Unwritten(_))),
        "{refused:?}"
    );
    // Whoever follows revocations is woken.
    assert!(watch.has_changed().unwrap());
    assert_eq!(revoked(&keeper, "second"), 1);

    script.clear();
    let gone = keeper.revoke_certificates(ROOT, "second", None).await;
    assert_eq!(gone.unwrap().len(), 1);
    drop(keeper);
    let index = engine.index;
    let again = open(Arc::clone(&index), "first", 1, Keeper::Here).await;
    assert_eq!(revoked(&again, "second"), 1);
    // A region that is closed, too: asked again, it is closed on the disk.
    let draining = again.set_region_status(ROOT, "second", RegionStatus::Draining);
    draining.await.unwrap();
    script.always(Call::Commit, full());
    let close = || again.set_region_status(ROOT, "second", RegionStatus::Closed);
    let refused = close().await;
    assert!(
        matches!(refused, Err(CloudError::Unwritten(_))),
        "{refused:?}"
    );
    script.clear();
    close().await.unwrap();
    // What is closed on the disk is closed: no entry says it again.
    let length = *again.watch().borrow();
    close().await.unwrap();
    assert_eq!(*again.watch().borrow(), length);
    drop(again);
    let later = open(index, "first", 1, Keeper::Here).await;
    assert_eq!(later.region("second").unwrap().status, RegionStatus::Closed);
}

/// Rows on a disk that is full: whole, or up to what is kept back.
struct FullDisk {
    rows: IndexRows,
    full: AtomicBool,
    reserve: AtomicBool,
}

#[async_trait::async_trait]
impl Rows for FullDisk {
    async fn page(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.rows.page(prefix, after, limit).await
    }

    async fn write(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(StoreError::Full("the reserve is kept".to_owned())),
            false => self.rows.write(once, puts, removes).await,
        }
    }

    async fn write_from_reserve(
        &self,
        once: Option<&str>,
        puts: Vec<(String, Vec<u8>)>,
        removes: Vec<String>,
    ) -> Result<(), StoreError> {
        match self.reserve.load(Ordering::SeqCst) {
            true => self.rows.write(once, puts, removes).await,
            false => Err(StoreError::Full("the reserve is used up".to_owned())),
        }
    }
}

impl FullDisk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rows: IndexRows(Memory::new()),
            full: AtomicBool::new(false),
            reserve: AtomicBool::new(true),
        })
    }

    fn is(&self, full: bool, reserve: bool) {
        self.full.store(full, Ordering::SeqCst);
        self.reserve.store(reserve, Ordering::SeqCst);
    }
}

/// A keeper with an account, and what can be taken from it.
struct Given {
    disk: Arc<FullDisk>,
    keeper: Arc<Registry>,
    account: AccountId,
    disabled: NewKey,
    deleted: NewKey,
    role: RoleInfo,
    provider: ProviderInfo,
    bucket: BucketName,
}

impl Given {
    async fn new() -> Self {
        let disk = FullDisk::new();
        let rows = Arc::clone(&disk);
        let keeper = opened(rows, "first", 1, Keeper::Here).await;
        let own = plan("first", "DE");
        keeper
            .open_own_region(&own, &announcement(1))
            .await
            .unwrap();
        let made = keeper.create_account(ROOT, "acme", AccountKind::Tenant, Vec::new());
        let account = made.await.unwrap().account_id();
        let key = || keeper.create_key(ROOT, &account, None, "", false);
        let (disabled, deleted) = (key().await.unwrap(), key().await.unwrap());
        let role = NewRole {
            name: "reader".into(),
            path: "/".into(),
            max_session_s: 3600,
            trust: r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
                "Principal": {"AWS": "ACCOUNT"}, "Action": "sts:AssumeRole"}}"#
                .replace("ACCOUNT", &account),
            ..NewRole::default()
        };
        let role = keeper.create_role(ROOT, &account, role).await.unwrap();
        let provider = NewProvider {
            url: "https://id.example.com".into(),
            clients: vec!["dhow".into()],
            ..NewProvider::default()
        };
        let provider = keeper.create_provider(ROOT, &account, provider);
        let provider = provider.await.unwrap();
        let mut new = bucket("papers", &account, "first");
        new.placement.trust.writes = vec![Forwarder::Operator];
        new.placement.proxy = true;
        let deed = keeper.create(Actor::System, new).await.unwrap();
        Self {
            bucket: deed.name.clone(),
            disk,
            account,
            disabled,
            deleted,
            role,
            provider,
            keeper,
        }
    }

    /// Takes it all. Answers what came of each.
    async fn take(&self) -> Vec<Result<(), CloudError>> {
        let (keeper, account) = (&self.keeper, &self.account);
        let [disabled, deleted] =
            [&self.disabled, &self.deleted].map(|key| AccessKeyId::new(&key.access_key));
        let status = KeyStatus::Disabled;
        let placement = PlacementChange {
            trust_writes: Some(Vec::new()),
            proxy: Some(false),
            jurisdictions: Some(vec![Jurisdiction::parse("DE").unwrap()]),
            ..PlacementChange::default()
        };
        let guard = r#"{"Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}"#;
        let status = keeper.set_key_status(ROOT, &disabled, status).await;
        let placed = keeper.place_bucket(ROOT, &self.bucket, &placement).await;
        vec![
            status.map(drop),
            keeper.delete_key(ROOT, &deleted).await,
            keeper.delete_role(ROOT, &self.role.id).await,
            keeper.delete_provider(ROOT, &self.provider.id).await,
            placed.map(drop),
            keeper.set_guard_policy(ROOT, account, Some(guard)).await,
            keeper.suspend_account(ROOT, account, true).await.map(drop),
        ]
    }

    fn assert_taken(registry: &Registry, of: &Self, taken: bool) {
        for key in [&of.disabled, &of.deleted] {
            let key = AccessKeyId::new(&key.access_key);
            assert_eq!(registry.caller(&key).is_none(), taken, "{key}");
            let state = registry.state.read();
            let found = state.keys.get(&*key);
            let active = found.is_some_and(|key| key.record.status == KeyStatus::Active);
            assert_eq!(!active, taken, "{key}");
        }
        let state = registry.state.read();
        assert_eq!(state.role(&of.role.id).is_none(), taken, "the role");
        let provider = state.providers.since(&of.provider.id);
        assert_eq!(provider.is_none(), taken, "the provider");
        let guard = state.guard_policies.contains_key(&*of.account);
        assert_eq!(guard, taken, "the guard policy");
        let suspended = state.accounts.get(&*of.account).unwrap().suspended;
        assert_eq!(suspended, taken, "the account");
        let placement = &state.deeds.get(&*of.bucket).unwrap().placement;
        let is_narrow = !placement.proxy
            && placement.trust.writes.is_empty()
            && placement.jurisdictions.len() == 1;
        assert_eq!(is_narrow, taken, "{placement:?}");
    }
}

#[tokio::test]
async fn p5_what_takes_rights_away_is_written_with_the_room_that_is_kept_back() {
    let given = Given::new().await;
    Given::assert_taken(&given.keeper, &given, false);
    given.disk.is(true, true);
    let refused = given
        .keeper
        .create_key(ROOT, &given.account, None, "", false);
    assert!(matches!(refused.await, Err(CloudError::Store(_))));
    for taken in given.take().await {
        taken.unwrap();
    }
    // To give it back needs room.
    let again = given.keeper.suspend_account(ROOT, &given.account, false);
    assert!(matches!(again.await, Err(CloudError::Store(_))));
    let rows = Arc::clone(&given.disk);
    let later = opened(rows, "first", 1, Keeper::Here).await;
    Given::assert_taken(&later, &given, true);
}

#[tokio::test]
async fn p5_without_any_room_it_holds_in_memory_and_the_answer_says_that() {
    let given = Given::new().await;
    given.disk.is(true, false);
    for _ in 0..2 {
        for taken in given.take().await {
            let error = taken.unwrap_err();
            assert!(matches!(error, CloudError::Unwritten(_)), "{error}");
            assert!(error.to_string().contains("not on the disk"), "{error}");
        }
        Given::assert_taken(&given.keeper, &given, true);
    }
    // It is not on the disk, as the answer said.
    let rows = Arc::clone(&given.disk);
    let restarted = opened(rows, "first", 1, Keeper::Here).await;
    Given::assert_taken(&restarted, &given, false);
    // Asked again, it is written, whatever it looks like in memory.
    given.disk.is(false, true);
    for taken in given.take().await {
        taken.unwrap();
    }
    let length = *given.keeper.watch().borrow();
    given.disk.is(true, true);
    let same = given.keeper.suspend_account(ROOT, &given.account, true);
    same.await.unwrap();
    assert_eq!(
        *given.keeper.watch().borrow(),
        length,
        "it was written twice"
    );
    let rows = Arc::clone(&given.disk);
    let later = opened(rows, "first", 1, Keeper::Here).await;
    Given::assert_taken(&later, &given, true);
}

#[tokio::test]
async fn p5_a_follower_with_a_full_disk_takes_no_key_that_was_stopped() {
    let cloud = Cloud::new().await;
    let owner = cloud.tenant("acme").await;
    let key = |_| cloud.keeper.create_key(ROOT, &owner, None, "", false);
    let mut keys = Vec::new();
    for n in 0..3 {
        keys.push(AccessKeyId::new(&key(n).await.unwrap().access_key));
    }
    let mut new = bucket("photos", &owner, "first");
    new.placement.replicas = vec![Replica {
        region: RegionId::new("second"),
        sealed_by: None,
    }];
    cloud.keeper.create(Actor::System, new).await.unwrap();
    let script = Script::new();
    let engine = faulty(Memory::engine(), &script);
    let copy = follower(&cloud.keeper, engine.index, "second").await;
    let following = tokio::spawn(Arc::clone(&copy).follow());
    let mut watch = copy.watch();
    let good = || keys.iter().filter(|key| copy.caller(key).is_some()).count();
    let has = watch.wait_for(|_| good() == 3);
    tokio::time::timeout(WITHIN, has).await.unwrap().unwrap();

    script.always(Call::Commit, full());
    let length = *copy.watch().borrow();
    // One that cannot be written is before those that take something away.
    let (keeper, status) = (&cloud.keeper, KeyStatus::Disabled);
    key(3).await.unwrap();
    keeper.set_key_status(ROOT, &keys[0], status).await.unwrap();
    keeper.delete_key(ROOT, &keys[1]).await.unwrap();
    let gone = watch.wait_for(|_| good() == 1);
    tokio::time::timeout(WITHIN, gone).await.unwrap().unwrap();
    keeper.suspend_account(ROOT, &owner, true).await.unwrap();
    let gone = watch.wait_for(|_| good() == 0);
    tokio::time::timeout(WITHIN, gone).await.unwrap().unwrap();
    assert_eq!(*copy.watch().borrow(), length);

    script.clear();
    keeper.suspend_account(ROOT, &owner, false).await.unwrap();
    let landed = watch.wait_for(|now| *now >= length + 5);
    tokio::time::timeout(WITHIN, landed).await.unwrap().unwrap();
    assert_eq!(good(), 1);
    following.abort();
}
