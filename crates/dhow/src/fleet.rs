//! `dhow up --regions N`: a cloud of several regions on one machine, each a process of its own with
//! its own data folder, keys, ports and certificate, under one supervisor.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use admin::{
    bodies::{NewOperator, NewRegion, RegionPlan},
    client::AdminClient,
    data_dir::{DataDir, FleetFile},
    failure::Failure,
};
use cli::topology::{FleetRegion, OPERATORS, WORLD};
use node::{config::Config, program, shown_secret};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
};

/// How long a region may take until it is ready.
const READY_WAIT: Duration = Duration::from_secs(60);
/// How long a region may take to stop.
const STOP_WAIT: Duration = Duration::from_secs(20);
/// How long a region may take from its start until the registry has it open.
const OPEN_WAIT: Duration = Duration::from_secs(30);
/// A region that ended is started again after this.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// How a fleet is started.
pub struct Fleet {
    /// Its folder; each region has one below.
    pub data: PathBuf,
    /// How many of [`WORLD`].
    pub count: usize,
    /// The first S3 port; the others follow. 0 takes free ones.
    pub first_port: u16,
    /// What each region is started with.
    pub args: Vec<String>,
    /// One line of JSON when all are ready.
    pub json: bool,
}

struct Running {
    region: FleetRegion,
    child: Child,
    ready: Value,
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

impl Fleet {
    /// Runs until Ctrl-C or SIGTERM.
    pub async fn run(self) -> Result<(), Failure> {
        let wrong = |e: std::io::Error| Failure::new(format!("cannot wait for signals: {e}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
        let mut running = Vec::new();
        let outcome = tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            ended = self.serve(&mut running) => ended,
        };
        if !running.is_empty() {
            eprintln!("stopping {} regions", running.len());
        }
        // The registry's region last: the others may still have something to send to it.
        for one in running.iter_mut().rev() {
            stop(&mut one.child).await;
        }
        outcome
    }

    /// Starts all regions and keeps them running.
    async fn serve(&self, running: &mut Vec<Running>) -> Result<(), Failure> {
        let regions = WORLD.get(..self.count).unwrap_or(&WORLD);
        let keys_at = regions
            .first()
            .map(|first| DataDir::new(&self.folder(first)));
        let new = keys_at.is_some_and(|dir| !dir.has_credentials());
        self.write_file(regions)?;
        for (at, region) in regions.iter().enumerate() {
            let token = match at {
                0 => None,
                _ => self.invite(region)?,
            };
            let one = self.start(at, region, token).await?;
            running.push(one);
            if at == 0 {
                self.add_operators()?;
            } else {
                self.wait_until_open(region).await?;
            }
            if !self.json {
                eprintln!("  {} of {}: {} is ready", at + 1, regions.len(), region.id);
            }
        }
        self.announce(running, new)?;
        loop {
            tokio::time::sleep(RESTART_PAUSE).await;
            for (at, one) in running.iter_mut().enumerate() {
                if let Ok(Some(status)) = one.child.try_wait() {
                    eprintln!("{} ended ({status}); it is started again", one.region.id);
                    match self.start(at, &one.region, None).await {
                        Ok(again) => *one = again,
                        Err(error) => eprintln!("{}: {error}", one.region.id),
                    }
                }
            }
        }
    }

    fn write_file(&self, regions: &[FleetRegion]) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.data)
            .map_err(|e| Failure::new(format!("cannot create {}: {e}", self.data.display())))?;
        if self.data.join("journal").exists() {
            return Err(Failure::new(format!(
                "{} holds a cloud of one region",
                self.data.display()
            ))
            .hint("choose another folder with --data for a cloud of several"));
        }
        let left_out = |fleet: &FleetFile| fleet.regions.len() > regions.len();
        if let Some(fleet) = FleetFile::read(&self.data).filter(left_out) {
            let (at, many) = (self.data.display(), fleet.regions.len());
            return Err(
                Failure::new(format!("{at} is the folder of a fleet of {many} regions")).hint(
                    format!(
                        "--regions {many} starts all of them; a region that is not started keeps \
                         replicas that are not up to date"
                    ),
                ),
            );
        }
        let file = FleetFile {
            keeper: regions.first().map_or("", |r| r.id).to_owned(),
            regions: regions.iter().map(|r| r.id.to_owned()).collect(),
        };
        DataDir::new(&self.data).write_private("fleet.json", &serde_json::to_vec_pretty(&file)?)
    }

    fn folder(&self, region: &FleetRegion) -> PathBuf {
        self.data.join(region.id)
    }

    fn admin(&self) -> Result<AdminClient, Failure> {
        AdminClient::find(&DataDir::new(&self.data))
    }

    /// A join token for a region that has not joined before.
    fn invite(&self, region: &FleetRegion) -> Result<Option<String>, Failure> {
        if self.folder(region).join("membership.json").exists() {
            return Ok(None);
        }
        let body = NewRegion {
            plan: RegionPlan {
                id: region.id.to_owned(),
                city: region.city.to_owned(),
                latitude: region.latitude,
                longitude: region.longitude,
                jurisdiction: region.jurisdiction.to_owned(),
                operator: region.operator.to_owned(),
                addresses: Vec::new(),
            },
            dry_run: false,
            valid_s: None,
        };
        let planned = self.admin()?.post("regions", &body)?;
        Ok(Some(text(&planned, "token").to_owned()))
    }

    fn add_operators(&self) -> Result<(), Failure> {
        let admin = self.admin()?;
        let known = admin.call("GET", "operators", None)?;
        let known: Vec<&str> = known
            .as_array()
            .into_iter()
            .flatten()
            .map(|o| text(o, "id"))
            .collect();
        for (id, name) in OPERATORS {
            if !known.contains(&id) {
                let body = NewOperator {
                    id: id.to_owned(),
                    name: name.to_owned(),
                };
                admin.post("operators", &body)?;
            }
        }
        Ok(())
    }

    async fn wait_until_open(&self, region: &FleetRegion) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + OPEN_WAIT;
        loop {
            let shown = self
                .admin()?
                .call("GET", &format!("regions/{}", region.id), None)?;
            if text(&shown, "status") != "joining" {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Failure::new(format!("{} has not been opened", region.id))
                    .hint("its log, below its data folder, says which check it does not pass"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The names that signatures may carry beside the registry's region: those that no region of
    /// this fleet has, or has had.
    fn aliases(&self) -> Vec<String> {
        let mut names = Config::default().region_aliases;
        names.retain(|name| {
            let regions = WORLD.iter().enumerate();
            let mut called = regions.filter(|(_, region)| region.id == name);
            !called.any(|(at, region)| at < self.count || self.folder(region).exists())
        });
        if names.is_empty() {
            names.push("none".to_owned());
        }
        let flag = |name| ["--region-alias".to_owned(), name];
        names.into_iter().flat_map(flag).collect()
    }

    /// The program itself, as one region.
    fn command(
        &self,
        at: usize,
        region: &FleetRegion,
        token: Option<String>,
    ) -> Result<Command, Failure> {
        let own = std::env::current_exe()
            .map_err(|e| Failure::new(format!("cannot find the program itself: {e}")))?;
        let port = |step: u16| match self.first_port {
            0 => "127.0.0.1:0".to_owned(),
            first => format!("127.0.0.1:{}", first + 10 * at as u16 + step),
        };
        let mut command = Command::new(own);
        command
            .arg("up")
            .arg("--data")
            .arg(self.folder(region))
            .args(["--region", region.id, "--json"])
            .args(["--listen", &port(0), "--admin", &port(1)])
            .args(["--metrics", &port(2), "--peer", &port(3)])
            .args([
                "--jurisdiction",
                region.jurisdiction,
                "--operator",
                region.operator,
            ])
            .args(["--city", region.city])
            .args(self.aliases())
            .arg(format!("--latitude={}", region.latitude))
            .arg(format!("--longitude={}", region.longitude))
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C is the supervisor's to pass on.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(token) = token {
            command.env("DHOW_JOIN", token);
        }
        Ok(command)
    }

    /// Starts one region and waits until it says that it is ready.
    async fn start(
        &self,
        at: usize,
        region: &FleetRegion,
        token: Option<String>,
    ) -> Result<Running, Failure> {
        let folder = self.folder(region);
        std::fs::create_dir_all(&folder)
            .map_err(|e| Failure::new(format!("cannot create {}: {e}", folder.display())))?;
        let log_path = folder.join("dhow.log");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", log_path.display())))?;
        let before = log.metadata().map_or(0, |meta| meta.len());
        let mut command = self.command(at, region, token)?;
        command.stderr(log);
        let mut child = command
            .spawn()
            .map_err(|e| Failure::new(format!("cannot start {}: {e}", region.id)))?;
        let failed = |why: &str| {
            let said = said_last(&log_path, before);
            Failure::new(format!(
                "{} did not start: {}",
                region.id,
                said.as_deref().unwrap_or(why)
            ))
            .hint(format!("its log is {}", log_path.display()))
        };
        let out = child.stdout.take().ok_or_else(|| failed("no output"))?;
        let mut line = String::new();
        let mut reader = BufReader::new(out);
        let reading = tokio::time::timeout(READY_WAIT, reader.read_line(&mut line)).await;
        match reading {
            Ok(Ok(read)) if read > 0 => {}
            Ok(_) => return Err(failed("it ended")),
            Err(_) => return Err(failed("it took too long")),
        }
        let ready: Value = serde_json::from_str(&line)?;
        Ok(Running {
            region: *region,
            child,
            ready,
        })
    }

    /// Says where everything is. The secret of the root key is shown to people at the first start.
    fn announce(&self, running: &[Running], new: bool) -> Result<(), Failure> {
        let Some(first) = running.first() else {
            return Ok(());
        };
        let (access, secret) = (
            text(&first.ready, "access_key"),
            text(&first.ready, "secret_key"),
        );
        if self.json {
            let regions: Vec<Value> = running
                .iter()
                .map(|one| {
                    let mut shown = one.ready.clone();
                    if let Value::Object(fields) = &mut shown {
                        fields.remove("access_key");
                        fields.remove("secret_key");
                        fields.insert("pid".into(), one.child.id().into());
                        fields.insert(
                            "data".into(),
                            self.folder(&one.region).to_string_lossy().into(),
                        );
                    }
                    shown
                })
                .collect();
            let line = json!({
                "endpoint": first.ready.get("endpoint"),
                "region": first.region.id,
                "access_key": access,
                "secret_key": secret,
                "admin": first.ready.get("admin"),
                "regions": regions,
            });
            let mut out = std::io::stdout().lock();
            return writeln!(out, "{line}")
                .and_then(|()| out.flush())
                .map_err(|e| Failure::new(format!("cannot write to standard output: {e}")));
        }
        eprintln!(
            "\n  {:<16} {:<15} {:<7} {:<9} ENDPOINT",
            "REGION", "CITY", "COUNTRY", "OPERATOR"
        );
        for one in running {
            let region = &one.region;
            eprintln!(
                "  {:<16} {:<15} {:<7} {:<9} {}",
                region.id,
                region.city,
                region.jurisdiction,
                region.operator,
                text(&one.ready, "endpoint")
            );
        }
        let data = self.data.display();
        let secret = shown_secret(secret, new, &self.folder(&first.region));
        let program = program();
        eprintln!(
            "\n  Access key  {access}\n  Secret key  {secret}\n  Data        {data}\n\n\
             \x20 To try, in another terminal:\n\n\
             \x20   eval \"$({program} env --data {data})\"\n\
             \x20   dhow region list\n\
             \x20   dhow bucket create hello --home {} --replica {}\n\
             \x20   dhow bucket show hello\n\n\
             \x20 The first line sets AWS_REGION too: programs that presign URLs need it.\n\n\
             \x20 Ctrl-C stops all; the data stays.\n",
            first.region.id,
            running.last().map_or("", |one| one.region.id),
        );
        Ok(())
    }
}

/// What a region that ended said last, beyond what its log had before: its failure with the hint.
fn said_last(log: &Path, before: u64) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let new = bytes.get(usize::try_from(before).ok()?..)?;
    let text = String::from_utf8_lossy(new);
    let (_, failure) = text.rsplit_once("dhow: ")?;
    let lines: Vec<&str> = failure.lines().map(str::trim).collect();
    let said = lines.join("; ");
    (!said.is_empty()).then_some(said)
}

/// Asks a region to stop, and ends it when it does not.
async fn stop(child: &mut Child) {
    if let Some(pid) = child
        .id()
        .and_then(|id| rustix::process::Pid::from_raw(id as i32))
    {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(STOP_WAIT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A region's log grows from start to start: only what came after the last start counts.
    #[test]
    fn the_failure_of_a_region_is_what_its_log_has_since_the_start() {
        let log = std::env::temp_dir().join(format!("dhow-fleet-{}.log", std::process::id()));
        let before = "dhow: an old failure\n";
        std::fs::write(
            &log,
            format!("{before}INFO open\ndhow: no port\n  name another\n"),
        )
        .unwrap();
        let found = said_last(&log, before.len() as u64);
        assert_eq!(found.as_deref(), Some("no port; name another"));
        std::fs::write(&log, format!("{before}INFO open\n")).unwrap();
        assert_eq!(said_last(&log, before.len() as u64), None);
        assert_eq!(said_last(&log, 1 << 20), None);
        std::fs::remove_file(&log).unwrap();
        assert_eq!(said_last(&log, 0), None);
    }
}
