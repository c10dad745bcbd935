//! What is done to the registry on a data folder while its region is stopped.

use std::sync::Arc;

use admin::{
    data_dir::{Credentials, DataDir, Lock},
    failure::Failure,
};
use cloud::{IndexRows, Keeper, Opening, Registry};
use store::Upkeep;
use types::{Random, RegionId, SystemRandom};

use crate::{
    config::Config,
    engine_failure,
    folder_owner::FolderOwner,
    link::Membership,
    region::{clock, new_root_key, open_engine},
};

/// A registry on a data folder that is stopped. Who can write the folder could do anything to it
/// already; the audit log has what is done here as done by `system`.
pub(crate) struct Stopped {
    pub(crate) dir: DataDir,
    pub(crate) registry: Arc<Registry>,
    pub(crate) region: RegionId,
    upkeep: Arc<dyn Upkeep>,
    _lock: Lock,
}

impl Stopped {
    /// Opens it. `instead` says what to do in a region that joined a cloud.
    pub(crate) async fn open(config: &Config, instead: &str) -> Result<Self, Failure> {
        let dir = DataDir::new(&config.data);
        dir.must_be_readable()?;
        dir.must_be_of_one_region(|fleet| {
            let keeper = dir.join(&fleet.keeper);
            format!(
                "name that of the registry's region: --data {}",
                keeper.display()
            )
        })?;
        if !dir.join("master.key").exists() {
            return Err(Failure::new(format!(
                "{} is no data folder of a region that has been started",
                dir.path().display()
            )));
        }
        let lock = dir.lock()?;
        if Membership::read(&dir)?.is_some() {
            return Err(Failure::new(format!(
                "{} is the folder of a region that joined a cloud",
                dir.path().display()
            ))
            .hint(instead));
        }
        let owner = FolderOwner::read(&dir)?;
        let region = owner.map_or_else(|| config.region.clone(), |owner| owner.region);
        let region = RegionId::new(&region);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let (engine, upkeep) = open_engine(config, &dir)?;
        let registry = Registry::open(Opening {
            rows: Arc::new(IndexRows(Arc::clone(&engine.index))),
            master: dir.master_key(&*random)?,
            clock: clock(config),
            random,
            regions: vec![region.clone()],
            keeper: Keeper::Here,
        })
        .await?;
        Ok(Self {
            dir,
            registry,
            region,
            upkeep,
            _lock: lock,
        })
    }

    /// Makes all that was done durable.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let Self {
            registry, upkeep, ..
        } = self;
        drop(registry);
        let closed = tokio::task::spawn_blocking(move || upkeep.close()).await;
        let closed = closed.map_err(|e| Failure::new(format!("closing broke: {e}")))?;
        closed.map_err(engine_failure::failure)
    }
}

/// Makes a new root key on a data folder that is stopped, for whoever can administer no more.
pub async fn recover_root_key(config: &Config) -> Result<Credentials, Failure> {
    let instead = "keys are made in the registry's region: run this on its data folder";
    let stopped = Stopped::open(config, instead).await?;
    let root = stopped.registry.root_account().ok_or_else(|| {
        Failure::new("the registry has no root account yet: start it with `dhow up`")
    })?;
    let (dir, registry) = (&stopped.dir, &stopped.registry);
    let made = new_root_key(dir, registry, &root.id, "made by dhow key recover").await;
    stopped.close().await?;
    made
}
