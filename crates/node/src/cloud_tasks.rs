//! What a node does all the time for the cloud that it is part of: answer other regions, follow
//! the registry, keep its certificate good.

use std::{sync::Arc, time::Duration};

use admin::failure::Failure;
use cloud::{Ask, RegionStatus, RegistryAnswer};
use gateway::Gateway;
use peer::Tls;
use replication::Shipping;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    task::{JoinHandle, JoinSet},
};

use crate::{
    completeness,
    config::Config,
    link::{self, Link, PeerHandler, Requests},
    load,
    region::{Addresses, Region},
    residency, stored,
};

/// How often a region looks whether the cloud has it on record as it is.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(2);

/// How often a region notes when the registry last answered.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// The tasks; they end when this is dropped.
pub struct CloudTasks(JoinSet<()>);

impl CloudTasks {
    /// Starts one more.
    pub fn also(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    /// Ends them.
    pub fn abort(mut self) {
        self.0.abort_all();
    }
}

/// Starts them.
pub fn start(
    config: &Config,
    region: &Arc<Region>,
    gateway: &Arc<Gateway>,
    at: Addresses,
    peers: Option<TcpListener>,
    stopping: impl Future<Output = ()> + Send + 'static,
) -> Result<CloudTasks, Failure> {
    let mut tasks = JoinSet::new();
    let tls = Arc::clone(&region.link.tls);
    if let Some(listener) = peers {
        let requests = Requests::of(gateway);
        region.registry.reads_requests(Arc::new(requests));
        let door = Arc::new(PeerHandler {
            region: Arc::clone(region),
            link: Arc::clone(&region.link),
            source: region.replication.source(),
            gateway: Arc::clone(gateway),
        });
        let serving = PeerThreads::start(listener, Arc::clone(&tls), door, stopping)?;
        tasks.spawn(serving.ended());
    }
    tasks.spawn(Link::follow_revocations(tls, Arc::clone(&region.registry)));
    tasks.spawn(link::renew(
        Arc::clone(&region.link),
        region.upstream.clone(),
        region.dir.clone(),
        Arc::clone(&region.clock),
    ));
    tasks.spawn(Arc::clone(&region.replication).run());
    tasks.spawn(Arc::clone(&region.replication).repair_as_met());
    tasks.spawn(Arc::clone(&region.replication).renew());
    tasks.spawn(Arc::clone(&region.replication).take_over());
    let shipping = Shipping::new(
        Arc::clone(&region.objects),
        region.neighbours.clone(),
        region.link.client.clone(),
        Arc::clone(&region.clock),
    );
    tasks.spawn(Arc::new(shipping).run());
    if region.upstream.is_none() {
        tasks.spawn(Arc::clone(region).compare(config.clone(), at.clone()));
        tasks.spawn(completeness::watch(Arc::clone(region)));
        tasks.spawn(note_key_uses(Arc::clone(region)));
    }
    let unreported = Arc::clone(&region.neighbours.unreported);
    tasks.spawn(unreported.run(Arc::clone(&region.registry)));
    tasks.spawn(link::watch_clock(Arc::clone(region)));
    tasks.spawn(link::say_start(Arc::clone(region), at.peer.clone()));
    tasks.spawn(link::watch_behind(Arc::clone(region)));
    tasks.spawn(residency::watch(Arc::clone(region)));
    tasks.spawn(stored::watch(Arc::clone(region)));
    let (own, replication) = (&region.watched.load, &region.replication);
    tasks.spawn(load::watch(
        Arc::clone(own),
        Arc::clone(replication),
        Arc::clone(gateway),
    ));
    if region.upstream.is_some() {
        tasks.spawn(Arc::clone(&region.registry).follow());
        tasks.spawn(announce(Arc::clone(region), at));
        tasks.spawn(note_heard(Arc::clone(region)));
        tasks.spawn(Arc::clone(&region.registry).report_uses());
    }
    Ok(CloudTasks(tasks))
}

/// Answers other regions on threads of their own, half as many as there are cores: however much
/// they ask, customers' requests have the others.
struct PeerThreads {
    runtime: Option<Runtime>,
    serving: JoinHandle<()>,
}

impl PeerThreads {
    fn start(
        listener: TcpListener,
        tls: Arc<Tls>,
        door: Arc<PeerHandler>,
        stopping: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("cannot answer other regions: {e}"));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.div_ceil(2))
            .thread_name("peers")
            .enable_all()
            .build()
            .map_err(failed)?;
        // Sockets belong to the runtime that made them.
        let listener = listener.into_std().map_err(failed)?;
        let entered = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        drop(entered);
        let serving = runtime.spawn(peer::serve(listener, tls, door, stopping));
        Ok(Self {
            runtime: Some(runtime),
            serving,
        })
    }

    /// Waits until it has ended.
    async fn ended(mut self) {
        if let Err(error) = (&mut self.serving).await {
            tracing::error!(%error, "answering other regions broke");
        }
    }
}

impl Drop for PeerThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // It is dropped in a task, where nobody may wait.
            runtime.shutdown_background();
        }
    }
}

/// Notes when the registry last answered, for a start without it and for the doctor.
async fn note_heard(region: Arc<Region>) {
    let mut noted = None;
    let mut followed = region.registry.followed();
    // An error means that the registry is closed.
    let _ = followed.wait_for(|followed| *followed).await;
    loop {
        let heard = region.registry.answered_at();
        if let Some(at) = heard.filter(|_| heard != noted) {
            let dir = region.dir.clone();
            let written = tokio::task::spawn_blocking(move || dir.note_registry_heard(at)).await;
            match written {
                Ok(Ok(())) => noted = heard,
                Ok(Err(error)) => tracing::warn!(%error, "when the registry last answered"),
                Err(error) => tracing::warn!(%error, "when the registry last answered"),
            }
        }
        tokio::time::sleep(NOTE_EVERY).await;
    }
}

/// Keeps over a restart when access keys were last used.
async fn note_key_uses(region: Arc<Region>) {
    let dir = region.dir.clone();
    let kept = tokio::task::spawn_blocking(move || dir.key_uses()).await;
    if let Ok(Some(text)) = kept {
        region.registry.take_kept_uses(&text);
    }
    loop {
        if let Some(text) = region.registry.uses_to_keep() {
            let dir = region.dir.clone();
            let noted = tokio::task::spawn_blocking(move || dir.note_key_uses(&text)).await;
            match noted {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "when access keys were last used"),
                Err(error) => tracing::warn!(%error, "when access keys were last used"),
            }
        }
        tokio::time::sleep(NOTE_EVERY).await;
    }
}

/// Reports to the registry's region again and again where this one can be reached, until that is on
/// record, and that it is ready while it is joining.
async fn announce(region: Arc<Region>, at: Addresses) {
    use cloud::Upstream;
    let Some(upstream) = &region.upstream else {
        return;
    };
    let announced = region.link.announcement(&at.endpoint, &at.peer);
    let mut refused = None;
    loop {
        let known = region.registry.region(&region.id);
        let told = known.as_ref().is_some_and(|r| {
            r.endpoint == announced.endpoint
                && r.peer == announced.peer
                && r.status != RegionStatus::Joining
        });
        if !told {
            let ask = Ask::Announce {
                announced: announced.clone(),
                ready: region.readiness(),
            };
            match upstream.ask(ask).await {
                Ok(RegistryAnswer::Done) => refused = None,
                // Asked again and again; said once.
                Ok(RegistryAnswer::Refused(why)) if refused.as_ref() == Some(&why) => {}
                Ok(RegistryAnswer::Refused(why)) => {
                    tracing::warn!(why, "the registry does not take what this region announces");
                    refused = Some(why);
                }
                Ok(_) => tracing::warn!("the registry answered another question"),
                Err(error) => tracing::debug!(%error, "the registry cannot be reached"),
            }
        }
        tokio::time::sleep(ANNOUNCE_EVERY).await;
    }
}
