//! Wires one region: engine -> registry -> objects -> gateway, in the order in which each needs
//! the one before, and closes them in the opposite order.

use std::{sync::Arc, time::Duration};

use access::{Counting, authorize_counting};
use admin::{
    data_dir::{Credentials, DataDir, Lock},
    failure::Failure,
};
use cloud::{AccountKind, CloudError, IndexRows, Keeper, Opening, RegionPlan, Registry};
use objects::Objects;
use replication::{
    Far, FarLeases, RenewalShown, ReplicaStatus, Replication, RuleShown, Uploads, Usage, What,
};
use seal::SealingKey;
use store::{Engine, Local, StoreError, Upkeep, embedded::EmbeddedConfig, extents::ExtentsConfig};
use types::{
    AccountId, Actor, BucketDeed, Clock, Features, Jurisdiction, Place, Random, RegionId,
    ShiftedClock, SystemClock, SystemRandom,
};

use crate::{
    completeness::Completeness,
    config::{Config, Durability},
    engine_failure,
    folder_owner::{self, FolderOwner},
    folder_place,
    link::{self, Link, Membership, Neighbours, PeerUpstream, Starts, Unreported},
    load::OwnLoad,
    stored::Stored,
};

/// How long changes of the registry wait after its start for regions that are away.
const COMPARE_WITHIN: Duration = Duration::from_secs(10);
/// How often it is tried whether there is room for the region's own record.
const ROOM_EVERY: Duration = Duration::from_secs(10);

/// One region, open.
pub struct Region {
    /// Its folder.
    pub dir: DataDir,
    /// Looks after the engine.
    pub upkeep: Arc<dyn Upkeep>,
    /// Accounts, keys, deeds.
    pub registry: Arc<Registry>,
    /// Buckets and objects.
    pub objects: Arc<Objects>,
    /// The root key pair; in the registry's region only.
    pub credentials: Option<Credentials>,
    /// Who it is among other regions.
    pub link: Arc<Link>,
    /// The registry's region, where that is another.
    pub upstream: Option<Arc<PeerUpstream>>,
    /// The other regions.
    pub neighbours: Arc<Neighbours>,
    /// This start of the region among others.
    pub starts: Starts,
    /// Follows buckets elsewhere, and answers those that follow here.
    pub replication: Arc<Replication>,
    /// Its id.
    pub id: RegionId,
    /// What it looks at now and then.
    pub watched: Watched,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    _lock: Lock,
}

/// What a region looks at now and then, for whoever asks.
#[derive(Debug, Default)]
pub struct Watched {
    /// When the other regions last answered.
    pub others: link::Seen,
    /// How much the region held when that was last counted.
    pub stored: Stored,
    /// What homes reported last of their replicas.
    pub completeness: Completeness,
    /// What it says of itself.
    pub load: Arc<OwnLoad>,
}

/// The engine, and whoever looks after it.
pub fn open_engine(config: &Config, dir: &DataDir) -> Result<(Engine, Arc<dyn Upkeep>), Failure> {
    let durability = match config.durability {
        Durability::Strict => store::Durability::Strict,
        Durability::Relaxed => store::Durability::Relaxed,
    };
    let reserve_bytes = config.engine.reserve_mib << 20;
    let rows = EmbeddedConfig {
        durability,
        reserve_bytes,
        cache_bytes: config.engine.index_cache_mib << 20,
        row_cache_bytes: config.engine.row_cache_mib << 20,
        salvage: config.engine.salvage,
        // It is written once an engine is open.
        must_exist: FolderOwner::read(dir)?.is_some(),
        ..EmbeddedConfig::new(dir.join("journal"))
    };
    let extents = ExtentsConfig {
        reserve_bytes,
        ..ExtentsConfig::new(dir.join("extents"))
    };
    let local = Local::open(rows, extents).map_err(engine_failure::failure)?;
    Ok((local.engine(), local))
}

impl Region {
    /// Opens the data folder, making it first if need be; joins a cloud first if that was asked.
    /// Without `at` the region stays unreachable, and says nothing to others.
    pub async fn open(config: &Config, at: Option<&Addresses>) -> Result<Self, Failure> {
        let dir = DataDir::new(&config.data);
        let lock = dir.lock()?;
        let owner = FolderOwner::read(&dir)?;
        let config = &as_region(config, &dir, owner.as_ref(), at)?;
        let clock = clock(config);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let master = dir.master_key(&*random)?;
        let link = Arc::new(open_link(config, &dir, at, &*clock).await?);
        let joined = link.authority.is_none();
        let upstream = joined.then(|| PeerUpstream::new(Arc::clone(&link)));
        let sealing = SealingKey::new(master.derive("dhow sealing key 1"));
        let (engine, upkeep) = open_engine(config, &dir)?;
        let region = link.tls.region();
        let registry = Registry::open(Opening {
            rows: Arc::new(IndexRows(Arc::clone(&engine.index))),
            master,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            regions: names(config, &region, joined),
            keeper: match &upstream {
                None => Keeper::Here,
                Some(upstream) => Keeper::There(upstream.clone()),
            },
        })
        .await?;
        registry.announce_features(Features::own().without(&config.cloud.withheld_features));
        know_owner(config, &dir, owner, &link, &registry, at)?;
        let credentials = match &upstream {
            None => Some(root_credentials(&dir, &registry).await?),
            Some(upstream) => {
                upstream.knows(Arc::clone(&registry));
                None
            }
        };
        if let (None, Some(at)) = (&upstream, at) {
            announce_own(config, &registry, &link, at).await?;
        }
        let objects = Arc::new(Objects::new(
            engine,
            registry.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
            region.clone(),
        ));
        let here = here(&link, &registry, &region);
        let unreported = Arc::new(Unreported::open(&dir)?);
        let others = (Arc::clone(&registry), Arc::clone(&link), unreported);
        let neighbours = Neighbours::new(here, others, Arc::clone(&clock), config.cloud.patience());
        neighbours.started(config.durability);
        let starts = Starts::open(&dir, &link.identity, &neighbours, clock.now())?;
        let replication = follow(&objects, &neighbours, &link, &clock, sealing, &config.cloud);
        Ok(Self {
            dir,
            upkeep,
            registry,
            objects,
            credentials,
            link,
            upstream,
            neighbours,
            starts,
            replication,
            watched: Watched::default(),
            id: region,
            clock,
            random,
            _lock: lock,
        })
    }

    /// Lets the other regions say what they have of the registry that is kept here, then puts on
    /// record where this region is reached now.
    pub async fn compare(self: Arc<Self>, config: Config, at: Addresses) {
        self.registry.compare(COMPARE_WITHIN).await;
        let announced = self.link.announcement(&at.endpoint, &at.peer);
        let plan = own_plan(&config);
        loop {
            match self.registry.open_own_region(&plan, &announced).await {
                Err(CloudError::Store(StoreError::Full(_))) => {
                    tokio::time::sleep(ROOM_EVERY).await;
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "the region's own record could not be brought up to date");
                }
                Ok(()) => {}
            }
            break;
        }
        // The first proof need not wait until the whole map is computed.
        if let Err(error) = self.registry.map().await {
            tracing::error!(%error, "the map of the audit log cannot be computed");
        }
    }

    /// When a region last answered this one; this one always does.
    pub fn seen(&self, region: &RegionId) -> Option<link::SeenAt> {
        match *region == self.id {
            true => Some(link::SeenAt {
                answers: true,
                last: Some(self.clock.now()),
                load: self.watched.load.get(),
                load_at: Some(self.clock.now()),
            }),
            false => self.watched.others.of(region),
        }
    }

    /// Whether another region answers now.
    pub async fn answers(&self, region: &RegionId) -> bool {
        let known = self.registry.region(region);
        let Some(peer) = known.as_ref().and_then(|r| r.peer_address()) else {
            return false;
        };
        self.link.answers(region, peer.to_owned()).await
    }

    /// The home of a bucket, to be asked about it.
    fn home_of(&self, deed: &Arc<BucketDeed>) -> Far {
        self.ask_at(&deed.home, deed)
    }

    /// A region, to be asked about a bucket.
    pub fn ask_at(&self, region: &RegionId, deed: &Arc<BucketDeed>) -> Far {
        Far {
            client: Arc::new(self.link.client.clone()),
            regions: self.neighbours.clone(),
            region: region.clone(),
            deed: Arc::clone(deed),
            sealed: false,
            said: Arc::default(),
        }
    }

    /// For a bucket whose home is here.
    fn counting(&self, deed: &Arc<BucketDeed>) -> Result<Counting, String> {
        let here = self.place();
        authorize_counting(deed, &here, &here, false).map_err(|e| e.to_string())
    }

    /// The state of the replicas of a bucket, as its home knows it.
    pub async fn replicas(&self, deed: &Arc<BucketDeed>) -> Result<Vec<ReplicaStatus>, String> {
        match deed.home == self.id {
            true => {
                if let Some(doubt) = replication::Regions::home_doubt(&*self.neighbours, deed) {
                    return Err(doubt);
                }
                let copies = self
                    .replication
                    .source()
                    .replicas(&self.counting(deed)?)
                    .await;
                copies.map_err(|e| e.to_string())
            }
            false => {
                let copies = self.home_of(deed).read(What::Replicas).await;
                let copies: Vec<ReplicaStatus> = copies.map_err(|e| e.to_string())?;
                self.watched.completeness.note(deed, &copies);
                Ok(copies)
            }
        }
    }

    /// How the replication rules of a bucket are doing, as its home knows it.
    pub async fn rules(&self, deed: &Arc<BucketDeed>) -> Result<Vec<RuleShown>, String> {
        match deed.home == self.id {
            true => {
                let rules = self.replication.source().rules(&self.counting(deed)?).await;
                rules.map_err(|e| e.to_string())
            }
            false => {
                let rules = self.home_of(deed).read(What::Rules).await;
                rules.map_err(|e| e.to_string())
            }
        }
    }

    /// How a bucket's home is renewed, as the home knows it.
    pub async fn renewal(&self, deed: &Arc<BucketDeed>) -> Result<RenewalShown, String> {
        match deed.home == self.id {
            true => Ok(self.replication.promises().shown(deed)),
            false => {
                let shown = self.home_of(deed).read(What::Renewal).await;
                shown.map_err(|e| e.to_string())
            }
        }
    }

    /// How much a bucket holds at its home.
    pub async fn usage(&self, deed: &Arc<BucketDeed>) -> Result<Usage, String> {
        match deed.home == self.id {
            true => {
                let usage = self.replication.source().usage(&self.counting(deed)?).await;
                usage.map_err(|e| e.to_string())
            }
            false => {
                let usage = self.home_of(deed).read(What::Usage).await;
                usage.map_err(|e| e.to_string())
            }
        }
    }

    /// How many uploads of a bucket are in progress at its home.
    pub async fn uploads(&self, deed: &Arc<BucketDeed>) -> Result<Uploads, String> {
        match deed.home == self.id {
            true => {
                if let Some(doubt) = replication::Regions::home_doubt(&*self.neighbours, deed) {
                    return Err(doubt);
                }
                let counting = self.counting(deed)?;
                let uploads = self.replication.source().uploads(&counting).await;
                uploads.map_err(|e| e.to_string())
            }
            false => {
                let uploads = self.home_of(deed).read(What::Uploads).await;
                uploads.map_err(|e| e.to_string())
            }
        }
    }

    /// What the admission of a new region looks at.
    pub fn readiness(&self) -> cloud::Readiness {
        let fenced = self.upkeep.health().fenced.is_some();
        cloud::Readiness {
            now_ms: self.clock.now().ms(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            writable: !fenced,
        }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        replication::Regions::here(&*self.neighbours)
    }
}

/// The configuration with the region that the folder is to be opened as: the one that it belongs
/// to, or nothing is opened. A folder that is only looked at (without `at`) is opened as what it
/// is.
fn as_region(
    config: &Config,
    dir: &DataDir,
    owner: Option<&FolderOwner>,
    at: Option<&Addresses>,
) -> Result<Config, Failure> {
    let mut config = config.clone();
    let membership = Membership::read(dir)?;
    let token = config.cloud.join.as_deref().filter(|_| at.is_some());
    let token = token.and_then(|token| token.parse::<peer::JoinToken>().ok());
    let joins = token.map(|token| token.joins);
    if let Some(joins) = &joins {
        folder_owner::must_be_named(&config, joins)?;
    }
    let asked = folder_owner::asked(&config, membership.as_ref(), joins.as_ref());
    let Some(owner) = owner else {
        if !dir.join("identity.pem").exists() {
            RegionId::parse(&asked).map_err(|e| Failure::new(e.to_string()))?;
        }
        return Ok(config);
    };
    // A keeper that is to join another cloud gets that error where it would join.
    let keeper = membership.is_none() && dir.has_credentials();
    match (at, keeper && joins.is_some()) {
        (Some(_), false) => owner.must_be_region(dir, &asked)?,
        _ => config.region.clone_from(&owner.region),
    }
    Ok(config)
}

/// Makes sure that the folder belongs to this region of this cloud, and writes that down where it
/// is not written yet.
fn know_owner(
    config: &Config,
    dir: &DataDir,
    owner: Option<FolderOwner>,
    link: &Link,
    registry: &Registry,
    at: Option<&Addresses>,
) -> Result<(), Failure> {
    let own = FolderOwner::of(link, &link.tls.region());
    if let Some(owner) = owner {
        return owner.must_be_cloud(dir, &own);
    }
    if at.is_none() {
        return Ok(());
    }
    let adopted = FolderOwner::of(link, &folder_owner::adopted(link, registry));
    let asked = match link.authority.is_some() {
        true => own.region,
        // It joined before folders knew their region, or just now.
        false if config.cloud.join.is_some() => own.region,
        false => folder_owner::asked(config, Some(&link.membership), None),
    };
    adopted.must_be_region(dir, &asked)?;
    let (region, cloud) = (&adopted.region, &adopted.cloud);
    match link.authority.is_some() {
        true => tracing::info!(
            region,
            cloud,
            "the data folder is this region's, which keeps the registry of this cloud (to join \
             another cloud, start in an empty folder with a token of `dhow region open`)"
        ),
        false => tracing::info!(region, cloud, "the data folder is this region's"),
    }
    adopted.write(dir)
}

/// The names that signatures may carry: the region's own, and in the registry's region its aliases.
/// The others have keys for their own name only.
fn names(config: &Config, region: &RegionId, joined: bool) -> Vec<RegionId> {
    let aliases = config.region_aliases.iter().filter(|_| !joined);
    std::iter::once(region.clone())
        .chain(aliases.map(|alias| RegionId::new(alias)))
        .collect()
}

pub(crate) fn clock(config: &Config) -> Arc<dyn Clock> {
    match config.cloud.clock_ahead_ms {
        0 => Arc::new(SystemClock),
        ahead_ms => Arc::new(ShiftedClock { ahead_ms }),
    }
}

fn follow(
    objects: &Arc<Objects>,
    neighbours: &Arc<Neighbours>,
    link: &Link,
    clock: &Arc<dyn Clock>,
    sealing: SealingKey,
    cloud: &crate::config::Cloud,
) -> Arc<Replication> {
    let leases = FarLeases::new(link.client.clone(), neighbours.clone());
    objects.lease_from(Arc::new(leases));
    let replication = Replication::new(
        Arc::clone(objects),
        neighbours.clone(),
        link.client.clone(),
        Arc::clone(clock),
    );
    let keeper = RegionId::new(&link.membership.keeper);
    let promise = Duration::from_millis(cloud.promise_ms);
    let replication = replication.promising(Some(keeper), promise);
    let replication = Arc::new(replication.sealing(sealing));
    objects.judged_by(replication.promises().clone());
    neighbours.knows(replication.status());
    replication
}

/// Where the region is: as the registry has it on record, or, before the registry has answered, as
/// the region was planned.
fn here(link: &Link, registry: &Registry, id: &RegionId) -> Place {
    registry.place(id).unwrap_or_else(|| Place {
        region: id.clone(),
        jurisdiction: Jurisdiction::parse(&link.membership.jurisdiction)
            .unwrap_or_else(Jurisdiction::unknown),
        operator: "".into(),
    })
}

/// Where a node is reached by others.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// By customers: a URL.
    pub endpoint: String,
    /// By other regions: host:port. Empty when it has no listener for them.
    pub peer: String,
}

/// Who the region is: the keeper of a cloud's registry, or a member of one, which it joins now if
/// it has a token and has not joined before.
async fn open_link(
    config: &Config,
    dir: &DataDir,
    at: Option<&Addresses>,
    clock: &dyn Clock,
) -> Result<Link, Failure> {
    let life = Duration::from_secs(config.cloud.certificate_life_s);
    if let Some(membership) = Membership::read(dir)? {
        let membership = match (&config.cloud.rekey, at) {
            (Some(token), Some(at)) => {
                let token = parse_token(token)?;
                link::rekey(dir, membership, &token, &at.endpoint, &at.peer).await?
            }
            _ => membership,
        };
        return Link::member(dir, membership, life);
    }
    if config.cloud.rekey.is_some() && at.is_some() {
        return Err(Failure::new(
            "a region gets a new key that has joined a cloud, with its data folder",
        )
        .hint("a region whose folder is lost is closed, and another opened in its place"));
    }
    let (Some(token), Some(at)) = (&config.cloud.join, at) else {
        let region = RegionId::new(&config.region);
        let country = config.cloud.jurisdiction.to_ascii_uppercase();
        return Link::keeper(dir, &region, &country, life, clock);
    };
    if dir.has_credentials() {
        return Err(Failure::new(format!(
            "{} holds a cloud of its own, which cannot join another",
            dir.path().display()
        ))
        .hint(
            "it was started without a token before, and so became a cloud: if nothing was stored \
             in it, remove it and start again; else join with another data folder (--data)",
        ));
    }
    let token = parse_token(token)?;
    let membership = link::join(dir, &token, &at.endpoint, &at.peer).await?;
    tracing::info!(
        region = membership.region,
        keeper = membership.keeper,
        "joined the cloud"
    );
    Link::member(dir, membership, life)
}

fn parse_token(text: &str) -> Result<peer::JoinToken, Failure> {
    text.parse().map_err(|e: peer::JoinTokenError| {
        Failure::new(e.to_string()).hint(
            "copy the whole token that `dhow region open` (or `dhow region rekey`) printed, or ask \
             the cloud's owner for another one",
        )
    })
}

/// The registry's region puts itself on record. One that has done so before first lets the others
/// say what they have of the registry, once they can reach it ([`Region::compare`]).
async fn announce_own(
    config: &Config,
    registry: &Registry,
    link: &Link,
    at: &Addresses,
) -> Result<(), Failure> {
    let others = registry.all_regions().len() > 1;
    let is_copy = folder_place::is_copy(&DataDir::new(&config.data));
    let is_copy = is_copy && !config.cloud.registry_is_newest;
    // Without a listener for them the others reach it never.
    let compared = is_copy || !at.peer.is_empty();
    let known = registry.region(&config.region).is_some();
    if others && known && compared {
        registry.compare_first(is_copy);
        return Ok(());
    }
    let announced = link.announcement(&at.endpoint, &at.peer);
    let plan = own_plan(config);
    match registry.open_own_region(&plan, &announced).await {
        // It serves all the same, and tries again until there is room ([`Region::compare`]).
        Err(error @ CloudError::Store(StoreError::Full(_))) if known => {
            tracing::error!(%error, "where this region is reached now is not on record");
            Ok(())
        }
        opened => Ok(opened?),
    }
}

fn own_plan(config: &Config) -> RegionPlan {
    RegionPlan {
        id: config.region.clone(),
        city: config.cloud.city.clone(),
        latitude: config.cloud.latitude,
        longitude: config.cloud.longitude,
        jurisdiction: config.cloud.jurisdiction.clone(),
        operator: config.cloud.operator.clone(),
        addresses: Vec::new(),
    }
}

/// The root account and its key: made at the first start, found again later. A crash between the
/// registry and the file leaves a root account without a file; then a new key is made for it. So it
/// is where the file reached the disk and the rows did not, as a relaxed engine permits.
async fn root_credentials(dir: &DataDir, registry: &Registry) -> Result<Credentials, Failure> {
    registry.give_canonical_ids().await?;
    let root = registry.accounts().into_iter().find(|a| a.root);
    if let Some(found) = dir.read_credentials()? {
        let keys = registry.keys(None);
        if let Some(key) = keys.iter().find(|k| k.access_key == found.access_key) {
            let path = dir.join("credentials.json");
            if !registry.is_pair(&found.access_key, &found.secret_key) {
                return Err(Failure::new(format!(
                    "{} does not hold the secret of key {}: nothing could be signed with it",
                    path.display(),
                    types::text::shown(&found.access_key, 128)
                ))
                .hint(
                    "restore it from a backup, or run `dhow key recover` on this data folder: it \
                     makes a new root key and writes the file anew",
                ));
            }
            if key.status != cloud::KeyStatus::Active {
                tracing::warn!(
                    path = %path.display(),
                    access_key = found.access_key,
                    "the key in the file of the root key is disabled: commands need another"
                );
            }
            return Ok(found);
        }
        // With a key of root's the file would be another cloud's, or an old one.
        if root
            .as_ref()
            .is_some_and(|root| keys.iter().any(|k| k.account == root.id))
        {
            return Err(Failure::new(format!(
                "{} names a key that the registry does not know",
                dir.join("credentials.json").display()
            ))
            .hint("restore the file, or remove it: a new root key is made at the next start"));
        }
    }
    let account = match root {
        Some(account) => account,
        None => {
            registry
                .create_account(&Actor::System, "root", AccountKind::Root, Vec::new())
                .await?
        }
    };
    new_root_key(dir, registry, &account.id, "made at the first start").await
}

pub(crate) async fn new_root_key(
    dir: &DataDir,
    registry: &Registry,
    account: &str,
    description: &str,
) -> Result<Credentials, Failure> {
    let key = registry
        .create_key(
            &Actor::System,
            &AccountId::new(account),
            None,
            description,
            true,
        )
        .await?;
    let credentials = Credentials {
        access_key: key.access_key,
        secret_key: key.secret_key,
        account: account.to_owned(),
    };
    dir.write_private(
        "credentials.json",
        &serde_json::to_vec_pretty(&credentials)?,
    )?;
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use store::memory::Memory;

    use super::*;

    /// The file of credentials had reached the disk, and the row of its key had not.
    #[tokio::test]
    async fn credentials_without_their_row_are_replaced_where_root_has_no_key() {
        let folder = std::env::temp_dir().join(format!("dhow-credentials-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let dir = DataDir::new(&folder);
        let registry = Registry::open(Opening {
            rows: Arc::new(IndexRows(Memory::new())),
            master: cloud::MasterKey::generate(&SystemRandom),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            regions: vec![RegionId::new("first")],
            keeper: Keeper::Here,
        });
        let registry = registry.await.unwrap();
        let root = registry
            .create_account(&types::Actor::System, "root", AccountKind::Root, Vec::new())
            .await
            .unwrap();
        let lost = Credentials {
            access_key: "DHOWLOST".into(),
            secret_key: "lost".into(),
            account: root.id.clone(),
        };
        let lost = serde_json::to_vec(&lost).unwrap();
        dir.write_private("credentials.json", &lost).unwrap();
        let made = root_credentials(&dir, &registry).await.unwrap();
        assert_eq!(made.account, root.id);
        assert_eq!(dir.credentials().unwrap().access_key, made.access_key);
        let again = root_credentials(&dir, &registry).await.unwrap();
        assert_eq!(again.access_key, made.access_key);
        // A file that is another cloud's stays, and is named: root has a key.
        dir.write_private("credentials.json", &lost).unwrap();
        let refused = root_credentials(&dir, &registry).await;
        assert!(refused.err().unwrap().to_string().contains("does not know"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
