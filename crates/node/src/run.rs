//! One running node: listeners, the ready line, and the way down.

use std::{
    io::Write,
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use admin::{
    data_dir::{DataDir, Running},
    failure::{Failure, SECOND},
};
use gateway::{Gateway, Hosts, Parts, health};
use prometheus_client::registry::Registry as Metrics;
use serde_json::json;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

use crate::{
    acme::Issuing,
    admin_api::{Admin, Drains, Reads, Seen},
    cloud_tasks as cloud,
    config::{Config, Durability},
    console_listener::{self, Within},
    engine_failure, figures,
    iam_forms::IamForms,
    issuers::Fetched,
    metrics,
    proxies::warn_of_clear_text,
    region::{Addresses, Region},
    scrub::ScrubJob,
    sockets::Sockets,
    sso::Clients,
    sweeps,
    tls::{Tls, listener},
};

/// How long a region waits for the registry before it serves without.
const ASK_BEFORE_SERVING: Duration = Duration::from_secs(3);

/// How long a region waits for the others to say what they remember of it before it serves.
const ASK_FIRST: Duration = Duration::from_secs(3);
/// How long a region waits for a certificate before it says that it is ready.
const ORDER_FIRST: Duration = Duration::from_secs(60);
/// How long requests under way may take when another process runs as this region.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How the ready message looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// For people, with commands to try.
    Human,
    /// One line of JSON on standard output.
    Json,
    /// Only in the log.
    Log,
}

/// Runs until Ctrl-C or SIGTERM. A second signal ends the process at once.
pub async fn run(config: Config, ready: Ready) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let new = !unused_folder(&config)?.has_credentials();
    // Listeners first: a port that is taken is said before the data folder is touched.
    let sockets = Sockets::bind(&config)?;
    let given = Tls::given(&config)?;
    let at = sockets.addresses(&config)?;
    let region = open(&config, &at).await?;
    let tls = Tls::given_or_made(given, &config, &region.dir, sockets.s3()?)?;
    let running = sockets.running((&region, &config), &at, tls.as_ref())?;
    let hosts = Hosts::new(sockets.admin()?, &config.own_names(), &config.admin_hosts);
    let Sockets {
        s3,
        admin,
        probes,
        console,
        peers,
    } = sockets;
    let s3 = listener(s3, tls.as_ref(), Some(&config));
    let admin_tls = tls.as_ref().filter(|_| config.admin_has_tls());
    let admin = listener(admin, admin_tls, None);
    note_running(&region, &running)?;

    let (stop, stopped) = watch::channel(false);
    let stopping = move || {
        let mut stopped = stopped.clone();
        async move {
            // An error means that the sender is gone, which is the same.
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    let mut registry = Metrics::default();
    metrics::register(&mut registry, &region);
    figures::register(&mut registry, &region, config.engine.reserve_mib << 20);
    tls.as_ref().inspect(|tls| tls.register(&mut registry));
    let parts = parts(&config, (&region, &running));
    let door = Arc::new(Gateway::new(parts, &mut registry));
    let draining = Arc::new(AtomicBool::new(false));
    let health = health(registry, &region, tls.as_ref(), &draining);
    let mut cloud = cloud::start(&config, &region, &door, at, peers, stopping())?;
    tokio::spawn(health::serve(health, probes, stopping()));
    let (forms, seen, sign_on) = forms_of(&config, &region)?;
    door.answers_beside(forms.clone());
    let admin_api = admin_of(&region, forms, seen, hosts);
    let socket = console.map(|socket| listener(socket, tls.as_ref(), None));
    let within = Within::new(&region, &door, &admin_api, sign_on);
    let console = console_listener::start((&config, &running), within, socket, stopping())?;
    cloud.also(Arc::clone(&admin_api).run_drains());
    let admin_task = tokio::spawn(admin_api.serve(admin));
    let issuing = tls.as_ref().and_then(|tls| tls.issuing.clone());
    let every = Duration::from_secs(config.engine.orphans_every_s);
    let sweeps = sweeps::start(&region.objects, every, &stopping);
    ask_before_serving(&region).await;
    let serving = tokio::spawn(door.serve(s3, stopping()));
    // An ACME server connects to the listener.
    let certificates = tls.map(|tls| tokio::spawn(keep_up(tls, &region)));
    let ready = || announce(&region, &running, ready, new);
    let ends = ready_until_end(&mut signals, &region, issuing, ready).await?;
    tracing::info!("stopping: requests under way may finish");
    draining.store(true, std::sync::atomic::Ordering::Relaxed);
    stop.send_replace(true);
    tokio::spawn(stop_at_once(signals, ends.is_some()));
    let listeners = [("the S3 listener", serving)].into_iter().chain(console);
    ended(sweeps.into_iter().chain(listeners)).await;
    admin_task.abort();
    certificates.inspect(JoinHandle::abort);
    cloud.abort();
    close(&region).await?;
    ends.map_or(Ok(()), |why| Err(is_second(why)))
}

/// The data folder, unless another process uses it: its ports are taken as well, and that would be
/// said first.
fn unused_folder(config: &Config) -> Result<DataDir, Failure> {
    let dir = DataDir::new(&config.data);
    if dir.is_locked() {
        drop(dir.lock()?);
    }
    Ok(dir)
}

fn keep_up(tls: Tls, region: &Region) -> impl Future<Output = ()> + use<> {
    tls.keep_up(Arc::clone(&region.clock), Arc::clone(&region.random))
}

/// Says that the region is ready, unless it is to end before that, and waits until it is to end.
async fn ready_until_end(
    signals: &mut Signals,
    region: &Region,
    issuing: Option<Arc<Issuing>>,
    ready: impl FnOnce() -> Result<(), Failure>,
) -> Result<Option<String>, Failure> {
    tokio::select! {
        () = first_order(issuing) => ready()?,
        ends = until_end(signals, region) => return Ok(ends),
    }
    Ok(until_end(signals, region).await)
}

/// Waits for the first certificate of an ACME server. Without it the region runs all the same: only
/// clients of the listeners that show it are sent away.
async fn first_order(issuing: Option<Arc<Issuing>>) {
    if let Some(issuing) = issuing {
        // What failed is in the log.
        let _ = tokio::time::timeout(ORDER_FIRST, issuing.tried_once()).await;
    }
}

/// Notes for commands where this process listens. A disk without room keeps no region from serving.
fn note_running(region: &Region, running: &Running) -> Result<(), Failure> {
    match region.dir.note_running(running) {
        Err(failure) if failure.is_full() => {
            tracing::error!(
                %failure,
                "commands that are given this data folder do not find this process"
            );
            Ok(())
        }
        noted => noted,
    }
}

/// Says that the disk has no room left, where that is so.
fn warn_of_full_disk(region: &Region, reserve_bytes: u64) {
    if !region.upkeep.health().full {
        return;
    }
    let room = region.upkeep.room().ok().flatten();
    tracing::error!(
        free_bytes = room.map(|room| room.free_bytes),
        reserve_bytes,
        "the disk has no room: objects are read and deleted and keys are disabled, and nothing \
         else is written until there is room (docs/damage.md)"
    );
}

async fn ended(tasks: impl Iterator<Item = (&'static str, JoinHandle<()>)>) {
    for (what, task) in tasks {
        if let Err(error) = task.await {
            tracing::error!(%error, "{what} broke");
        }
    }
}

fn is_second(why: String) -> Failure {
    let failure = Failure::new(why).exits_with(SECOND);
    failure.hint(
        "only one process may use a region's key: stop the other one, or give this one a folder \
         and a region of its own",
    )
}

/// Waits for a signal, or until another process runs as this region; says so then.
async fn until_end(signals: &mut Signals, region: &Region) -> Option<String> {
    tokio::select! {
        () = signals.next() => None,
        why = region.starts.must_end() => Some(why),
    }
}

/// Ends the process at a second signal, or when it takes too long beside another one.
async fn stop_at_once(mut signals: Signals, is_second: bool) {
    tokio::select! {
        () = signals.next() => {
            tracing::warn!("stopped at once, at the second signal");
            std::process::exit(130);
        }
        () = tokio::time::sleep(END_WITHIN), if is_second => {
            tracing::error!("stopped at once: another process runs as this region");
            std::process::exit(SECOND.into());
        }
    }
}

/// Who answers forms, what was seen of signatures, and who asks identity providers, as which
/// clients.
type Forms = (Arc<IamForms>, Arc<Seen>, (Arc<Fetched>, Clients));

/// What answers IAM's and STS's forms, and the signatures of changes.
fn forms_of(config: &Config, region: &Arc<Region>) -> Result<Forms, Failure> {
    let now = region.clock.now().s();
    let seen = Arc::new(Seen::of_changes(&region.dir, now)?);
    let of_sts = Arc::new(Seen::of_sessions(&region.dir, now)?);
    let aliases = gateway_config(config, region.upstream.is_some()).region_aliases;
    let issuers = Arc::new(Fetched::new(&config.sts));
    let asked = Arc::clone(&issuers);
    let forms = IamForms::new(region, aliases, asked, [Arc::clone(&seen), of_sts]);
    let clients = Clients::read(&config.console.oidc)?;
    Ok((Arc::new(forms), seen, (issuers, clients)))
}

fn admin_of(
    region: &Arc<Region>,
    forms: Arc<IamForms>,
    seen: Arc<Seen>,
    hosts: Hosts,
) -> Arc<Admin> {
    Arc::new(Admin {
        region: Arc::clone(region),
        region_id: region.id.clone(),
        scrub: Arc::new(ScrubJob::default()),
        forms,
        seen,
        reads: Reads::new(region.clock.now()),
        drains: Arc::new(Drains::open(&region.dir)),
        hosts,
        looking: Arc::default(),
    })
}

/// Before it serves, a region asks the others what they remember of it, and the registry, since its
/// buckets may have got another home while it was away. When nobody answers it goes on with what it
/// knows.
async fn ask_before_serving(region: &Region) {
    region.starts.asked_once(ASK_FIRST).await;
    if region.upstream.is_none() {
        return;
    }
    let mut followed = region.registry.followed();
    let waiting = async {
        let followed = followed.wait_for(|followed| *followed).await.map(drop);
        // So that it is renewed, where it can be, before the first request.
        region.replication.promises().asked_once().await;
        followed
    };
    if tokio::time::timeout(ASK_BEFORE_SERVING, waiting)
        .await
        .is_err()
    {
        let heard = region.dir.registry_heard().map(|at| at.iso8601());
        tracing::warn!(
            last_heard = heard.as_deref().unwrap_or("never"),
            "the registry does not answer; serving with what is known here: keys that were \
             disabled since it last answered are still accepted"
        );
    }
}

/// Opens the region and puts right what a crash interrupted.
async fn open(config: &Config, at: &Addresses) -> Result<Arc<Region>, Failure> {
    let region = Arc::new(Region::open(config, Some(at)).await?);
    region.registry.limit_changes(config.change_limits());
    warn_of_clear_text(config);
    if config.durability == Durability::Relaxed {
        tracing::warn!(
            "durability is relaxed: a power cut can lose what was acknowledged in the last second"
        );
    }
    warn_of_full_disk(&region, config.engine.reserve_mib << 20);
    let recovered = region.objects.recover_buckets().await;
    recovered.map_err(|e| Failure::new(format!("recovery failed: {e}")))?;
    Ok(region)
}

async fn close(region: &Arc<Region>) -> Result<(), Failure> {
    let upkeep = Arc::clone(&region.upkeep);
    let closed = tokio::task::spawn_blocking(move || upkeep.close()).await;
    let closed = closed.map_err(|e| Failure::new(format!("closing broke: {e}")))?;
    closed.map_err(engine_failure::failure)?;
    // Best effort: the lock already says whether a process runs.
    let _ = std::fs::remove_file(region.dir.join("running.json"));
    tracing::info!("stopped");
    Ok(())
}

fn parts(config: &Config, (region, running): (&Region, &Running)) -> Parts {
    Parts {
        objects: Arc::clone(&region.objects),
        deeds: region.registry.clone(),
        keys: region.registry.clone(),
        clock: Arc::clone(&region.clock),
        random: Arc::clone(&region.random),
        place: region.place(),
        regions: Some(region.neighbours.clone()),
        any_location: region.upstream.is_none(),
        config: gateway::GatewayConfig {
            console: running.console.clone(),
            ..gateway_config(config, region.upstream.is_some())
        },
    }
}

/// A region that joined has keys for its own name only: the answer to a client that signs for an
/// alias is the name, as clients understand it, and not that the key is unknown.
fn gateway_config(config: &Config, joined: bool) -> gateway::GatewayConfig {
    let mut gateway = config.gateway();
    if joined {
        gateway.region_aliases.clear();
    }
    gateway
}

fn health(
    registry: Metrics,
    region: &Arc<Region>,
    tls: Option<&Tls>,
    draining: &Arc<AtomicBool>,
) -> Arc<health::Health> {
    let shown = tls.map(|tls| Arc::clone(&tls.certificates));
    let (region, draining) = (Arc::clone(region), Arc::clone(draining));
    Arc::new(health::Health {
        registry: parking_lot::Mutex::new(registry),
        ready: Box::new(move || health::Readiness {
            why_not: why_not_ready(&region, &draining),
            certificate: shown.as_ref().map(|shown| !shown.is_empty()),
            is_full: region.upkeep.health().full,
        }),
    })
}

fn why_not_ready(region: &Region, draining: &AtomicBool) -> Option<String> {
    if draining.load(std::sync::atomic::Ordering::Relaxed) {
        return Some("stopping".to_owned());
    }
    if region.upkeep.health().fenced.is_some() {
        return Some("the engine is fenced after a failed sync".to_owned());
    }
    region.neighbours.doubt_of_registry()
}

/// Ctrl-C and SIGTERM. Made before the node says that it is ready: whoever stops it right then must
/// find it listening.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let wrong = |e: std::io::Error| Failure::new(format!("cannot wait for signals: {e}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(wrong)?,
            terminate: signal(SignalKind::terminate()).map_err(wrong)?,
        })
    }
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn announce(region: &Region, running: &Running, ready: Ready, new: bool) -> Result<(), Failure> {
    tracing::info!(
        endpoint = running.endpoint,
        region = running.region,
        admin = running.admin,
        metrics = running.metrics,
        "ready"
    );
    let keys = region.credentials.as_ref();
    let access_key = keys.map_or("", |k| &k.access_key);
    let secret_key = keys.map_or("", |k| &k.secret_key);
    match ready {
        Ready::Log => {}
        Ready::Json => {
            let line = json!({
                "endpoint": running.endpoint,
                "region": running.region,
                "access_key": access_key,
                "secret_key": secret_key,
                "admin": running.admin,
                "metrics": running.metrics,
                "console": running.console,
                "peer": running.peer,
                "authority": running.authority,
            });
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")
                .and_then(|()| out.flush())
                .map_err(|e| Failure::new(format!("cannot write to standard output: {e}")))?;
        }
        Ready::Human => welcome(region, running, new),
    }
    Ok(())
}

/// How the program is called: as it was, unless that is found by its name.
pub fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    match called.contains('/') {
        true => called,
        false => "dhow".to_owned(),
    }
}

/// The root key's secret for people: itself at the first start, then where it is.
pub fn shown_secret(secret: &str, new: bool, dir: &Path) -> String {
    let file = dir.join("credentials.json");
    match new {
        true => format!("{secret}   (shown this once; it is in {})", file.display()),
        false => format!("in {}", file.display()),
    }
}

/// Where a person finds the console.
fn console_line(running: &Running) -> String {
    let origin = running.console.as_ref();
    origin.map_or(String::new(), |origin| {
        format!("  Console     {origin}   (`dhow console login` prints a link that signs in)\n")
    })
}

/// What a person reads, with commands to try. The secret is shown at the first start only.
fn welcome(region: &Region, running: &Running, new: bool) {
    let dir = region.dir.path();
    let (data, metrics) = (dir.display(), &running.metrics);
    let (e, r) = (&running.endpoint, &running.region);
    let Some(keys) = &region.credentials else {
        eprintln!(
            "\n  Dhow is ready: region {r} of the cloud whose registry is in {}.\n\n\
                 \x20 Endpoint    {e}\n\
                 \x20 Peers       {}\n\
                 \x20 Data        {data}\n\
                 \x20 Metrics     {metrics}/metrics\n{}\n\
                 \x20 Accounts and keys are made in the registry's region and work here too.\n\
                 \x20 Ctrl-C stops it; the data stays.\n",
            region.link.membership.keeper,
            running.peer,
            console_line(running),
        );
        return;
    };
    let secret = shown_secret(&keys.secret_key, new, dir);
    let console = console_line(running);
    let trust = running
        .authority
        .as_ref()
        .map_or(String::new(), |authority| {
            format!(
                "  Authority   {}   (`dhow env` sets AWS_CA_BUNDLE; curl --cacert, \
             SSL_CERT_FILE)\n",
                authority.display()
            )
        });
    eprintln!(
        "\n  Dhow is ready.\n\n\
                 \x20 Endpoint    {e}\n\
                 \x20 Region      {r}\n\
                 \x20 Access key  {}\n\
                 \x20 Secret key  {secret}\n\
                 \x20 Data        {data}\n\
                 \x20 Metrics     {metrics}/metrics\n{console}{trust}\n\
                 \x20 To try, in another terminal (the first line sets DHOW_DATA, the keys,\n\
                 \x20 AWS_REGION and AWS_ENDPOINT_URL, which `dhow` and other tools read):\n\n\
                 \x20   eval \"$({} env --data {data})\"\n\
                 \x20   aws s3 mb s3://hello\n\
                 \x20   aws s3 sync . s3://hello/here\n\
                 \x20   aws s3 ls --recursive s3://hello\n\n\
                 \x20 Name the region where a program makes presigned URLs: boto3 makes them\n\
                 \x20 with Signature Version 2 without it, which is refused.\n\n\
                 \x20 The same with rclone, or from Python (both read those variables):\n\n\
                 \x20   rclone lsf ':s3,provider=Other,env_auth,region={r},endpoint=\"{e}\":hello'\n\
                 \x20   python3 -c 'import boto3; print(boto3.client(\"s3\").list_buckets())'\n\n\
                 \x20 Ctrl-C stops it; the data stays.\n",
        keys.access_key,
        program(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_secret_is_shown_at_the_first_start_only() {
        let dir = Path::new("/data");
        assert!(shown_secret("hidden", true, dir).starts_with("hidden "));
        let later = shown_secret("hidden", false, dir);
        assert_eq!(later, "in /data/credentials.json");
    }
}
