//! Wires one region: engine -> registry -> objects -> front door, in the order in which each needs
//! the one before, and closes them in the opposite order.

use std::sync::Arc;

use cloud::Registry;
use objects::Objects;
use store::{
    Engine,
    embedded::{Embedded, EmbeddedConfig},
    extents::{Extents, ExtentsConfig},
};
use types::{AccountId, Clock, Random, RegionId, SystemClock, SystemRandom};

use crate::{
    config::{Config, Durability},
    data_dir::{Credentials, DataDir, Lock},
    failure::Failure,
};

/// One region, open.
pub struct Region {
    /// Its folder.
    pub dir: DataDir,
    /// Rows and changes.
    pub embedded: Arc<Embedded>,
    /// Large objects' bytes.
    pub extents: Arc<Extents>,
    /// Accounts, keys, deeds.
    pub registry: Arc<Registry>,
    /// Buckets and objects.
    pub objects: Arc<Objects>,
    /// The root key pair.
    pub credentials: Credentials,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    _lock: Lock,
}

/// Both parts of the embedded engine.
pub fn open_engine(
    config: &Config,
    dir: &DataDir,
) -> Result<(Arc<Embedded>, Arc<Extents>), Failure> {
    let durability = match config.durability {
        Durability::Strict => store::Durability::Strict,
        Durability::Relaxed => store::Durability::Relaxed,
    };
    let reserve_bytes = config.engine.reserve_mib << 20;
    let embedded = Embedded::open(EmbeddedConfig {
        durability,
        reserve_bytes,
        cache_bytes: config.engine.index_cache_mib << 20,
        row_cache_bytes: config.engine.row_cache_mib << 20,
        ..EmbeddedConfig::new(dir.join("journal"))
    })?;
    let extents = Extents::open(ExtentsConfig {
        durability,
        reserve_bytes,
        ..ExtentsConfig::new(dir.join("extents"))
    })?;
    Ok((embedded, extents))
}

impl Region {
    /// Opens the data folder, making it first if need be.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        let dir = DataDir::new(&config.data);
        let lock = dir.lock()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let master = dir.master_key(&*random)?;
        let (embedded, extents) = open_engine(config, &dir)?;
        let region = RegionId::new(&config.region);
        let mut names = vec![region.clone()];
        names.extend(config.region_aliases.iter().map(|a| RegionId::new(a)));
        let registry = Registry::open(
            embedded.clone(),
            master,
            Arc::clone(&clock),
            Arc::clone(&random),
            names,
        )
        .await?;
        let credentials = root_credentials(&dir, &registry).await?;
        let engine = Engine {
            index: embedded.clone(),
            log: embedded.clone(),
            blobs: extents.clone(),
        };
        let objects = Arc::new(Objects::new(
            engine,
            registry.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
            region,
        ));
        Ok(Self {
            dir,
            embedded,
            extents,
            registry,
            objects,
            credentials,
            clock,
            random,
            _lock: lock,
        })
    }
}

/// The root account and its key: made at the first start, found again later. A crash between the
/// registry and the file leaves a root account without a file; then a new key is made for it.
async fn root_credentials(dir: &DataDir, registry: &Registry) -> Result<Credentials, Failure> {
    if let Some(found) = dir.credentials() {
        let known = registry
            .keys(None)
            .into_iter()
            .any(|k| k.access_key == found.access_key);
        if known {
            return Ok(found);
        }
        if !registry.accounts().is_empty() {
            return Err(Failure::new(format!(
                "{} names a key that the registry does not know",
                dir.join("credentials.json").display()
            ))
            .hint("restore the file, or remove it: a new root key is made at the next start"));
        }
    }
    let root = registry.accounts().into_iter().find(|a| a.root);
    let account = match root {
        Some(account) => account,
        None => registry.create_account("root", true).await?,
    };
    let key = registry
        .create_key(
            &AccountId::new(&account.id),
            None,
            "made at the first start",
        )
        .await?;
    let credentials = Credentials {
        access_key: key.access_key,
        secret_key: key.secret_key,
        account: account.id,
    };
    dir.write_private(
        "credentials.json",
        &serde_json::to_vec_pretty(&credentials)?,
    )?;
    Ok(credentials)
}
