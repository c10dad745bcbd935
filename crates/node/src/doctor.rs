//! What can be wrong with a machine before Dhow is.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Instant,
};

use admin::data_dir::{DataDir, FleetFile};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use types::{Clock, SystemClock, Timestamp};

use crate::{
    config::Config,
    doctor_cloud::{self, Samples},
    folder_owner::OWNER_FILE,
    link::behind_in,
};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but will hurt.
    Warn,
    /// It must be repaired.
    Fail,
}

impl Level {
    /// For people and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the doctor's.
#[derive(Debug)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do.
    pub advice: Option<String>,
}

impl Finding {
    /// Nothing is wrong.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Ok,
            found: found.into(),
            advice: None,
        }
    }
    /// Something is, and this is to be done about it.
    pub fn bad(
        check: &'static str,
        level: Level,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    /// For scripts.
    pub fn to_json(&self) -> Value {
        json!({
            "check": self.check,
            "level": self.level.name(),
            "found": self.found,
            "do": self.advice,
        })
    }
}

/// A date before which no build of Dhow existed: 2026-01-01.
const FIRST_BUILD: Timestamp = Timestamp::from_s(1_767_225_600);
/// The oldest kernel that Dhow is meant for, as major and minor version.
const KERNEL_MIN: (u32, u32) = (5, 4);
/// A copy of the registry that is older is worth a warning.
const HEARD_OLD_MINUTES: u64 = 10;
/// Below this, connections and open extents run out under load.
const FILES_WANTED: u64 = 12_288;
/// A sync slower than this makes every strict write slow.
const SYNC_SLOW_MS: u128 = 20;
const SYNCS: u32 = 20;
/// Free space above the reserve below which a warning is due, in MiB.
const SPACE_LOW_MIB: u64 = 1024;

/// Looks at everything. Buckets that are `hidden` are not named.
pub fn examine(config: &Config, hidden: &HashSet<String>) -> Vec<Finding> {
    let dir = DataDir::new(&config.data);
    let running = dir.is_locked();
    let mut findings = vec![match config.check() {
        Ok(()) => Finding::ok("config", "valid"),
        Err(e) => Finding::bad(
            "config",
            Level::Fail,
            e.to_string(),
            "correct the configuration",
        ),
    }];
    findings.push(kernel(
        rustix::system::uname()
            .release()
            .to_str()
            .unwrap_or_default(),
    ));
    // The folder of a fleet holds one for each region.
    let folders = match FleetFile::read(dir.path()) {
        Some(fleet) => fleet.regions.iter().map(|r| dir.join(r)).collect(),
        None => vec![dir.path().to_path_buf()],
    };
    // What runs may have been started with another than this configuration has.
    let mut reserve_mib = config.engine.reserve_mib;
    for one in folders.iter().map(|path| DataDir::new(path)) {
        let running = one.is_locked();
        findings.push(folder(&one, running));
        findings.extend(process(&one, running));
        let now = SystemClock.now();
        match (running, one.running()) {
            (true, Some(at)) => match Samples::read(&at.metrics, hidden) {
                Ok(samples) => {
                    let bytes = samples.one("dhow_disk_reserve_bytes");
                    reserve_mib = bytes.map_or(reserve_mib, |bytes| bytes >> 20);
                    findings.extend(doctor_cloud::running(&samples, now));
                    let heard = samples.one("dhow_registry_heard_timestamp_seconds");
                    if heard.is_none() {
                        // Not since its start; its folder knows of before.
                        findings.extend(registry(&one, running, now));
                    }
                }
                Err(why) => {
                    findings.push(Finding::bad(
                        "health",
                        Level::Fail,
                        format!("{} does not answer: {why}", at.metrics),
                        "see in its log what it does; `dhow up` and `dhow serve` write it to \
                         standard error",
                    ));
                    findings.extend(registry(&one, running, now));
                }
            },
            _ => {
                findings.extend(registry(&one, running, now));
                findings.extend(doctor_cloud::stopped(&one, now));
            }
        }
        findings.extend(older_state(&one));
    }
    findings.extend(disk(config, reserve_mib));
    // Where the clock is known to be wrong, nothing more is to be said of it.
    if !findings.iter().any(|found| found.check == "clock") {
        findings.push(clock(&dir));
    }
    findings.extend(ports(config, &dir, running));
    findings.push(files());
    findings
}

/// Judges a release as `uname -r` prints it.
fn kernel(release: &str) -> Finding {
    let number = |text: &str| -> Option<u32> {
        let end = text.find(|c: char| !c.is_ascii_digit());
        text.get(..end.unwrap_or(text.len()))?.parse().ok()
    };
    let mut parts = release.splitn(3, '.');
    let version = parts
        .next()
        .and_then(number)
        .zip(parts.next().and_then(number));
    let (major, minor) = KERNEL_MIN;
    match version {
        Some(version) if version >= KERNEL_MIN => Finding::ok("kernel", format!("Linux {release}")),
        Some(_) => Finding::bad(
            "kernel",
            Level::Warn,
            format!("Linux {release} is older than {major}.{minor}, the oldest that is supported"),
            format!(
                "update it to {major}.{minor} or newer: older ones may not report \
                 every error of writeback, which strict durability needs"
            ),
        ),
        None => Finding::bad(
            "kernel",
            Level::Warn,
            format!("the version of the kernel cannot be read from {release:?}"),
            format!("make sure that it is Linux {major}.{minor} or newer"),
        ),
    }
}

fn folder(dir: &DataDir, running: bool) -> Finding {
    let at = dir.path().display().to_string();
    if running {
        return Finding::ok("data folder", format!("{at} is in use by a running Dhow"));
    }
    if !dir.path().exists() {
        return Finding::ok(
            "data folder",
            format!("{at} does not exist yet; `dhow up` makes it"),
        );
    }
    if !dir.path().is_dir() {
        return Finding::bad(
            "data folder",
            Level::Fail,
            format!("{at} is not a folder"),
            "choose another one with --data",
        );
    }
    let keys = dir.join("credentials.json");
    if dir.join("master.key").exists() && keys.exists() && dir.credentials().is_none() {
        return Finding::bad(
            "data folder",
            Level::Fail,
            format!("{} cannot be read", keys.display()),
            "restore it from a backup, run this as the user that owns it, or make a new root key \
             with `dhow key recover`",
        );
    }
    Finding::ok("data folder", format!("{at} is free to use"))
}

/// Whether a Dhow runs on a folder that belongs to a region.
fn process(dir: &DataDir, running: bool) -> Option<Finding> {
    let at = dir.path().display();
    (!running && dir.join(OWNER_FILE).exists()).then(|| {
        Finding::bad(
            "process",
            Level::Warn,
            format!("no Dhow is running on {at}, which has the data of a region"),
            format!(
                "if it is to run, start it as before: `dhow serve --config FILE` or its service, \
                 or `dhow up --data {at}`"
            ),
        )
    })
}

/// How old the copy of the registry is, where that is kept in another region.
fn registry(dir: &DataDir, running: bool, now: Timestamp) -> Option<Finding> {
    if !dir.join("membership.json").exists() {
        return None;
    }
    let Some(heard) = dir.registry_heard() else {
        return Some(Finding::ok(
            "registry",
            "it has not answered this region yet",
        ));
    };
    let seconds = now.s().saturating_sub(heard.s());
    let minutes = seconds / 60;
    let found = format!(
        "it last answered {} ({})",
        heard.iso8601(),
        types::text::ago(seconds)
    );
    Some(match running && minutes >= HEARD_OLD_MINUTES {
        false => Finding::ok("registry", found),
        true => Finding::bad(
            "registry",
            Level::Warn,
            found,
            "see that the registry's region can be reached: keys that were disabled and buckets \
             that were placed since are not known here, and in three days no request is verified",
        ),
    })
}

/// A folder that lacks what an earlier start of its region had.
fn older_state(dir: &DataDir) -> Option<Finding> {
    let since = behind_in(dir).into_iter().max()?;
    Some(Finding::bad(
        "folder state",
        Level::Fail,
        format!("put back to an older state: a start of {since} had written more"),
        "let the region run until the replicas of its buckets have handed over what they have; \
         docs/damage.md says what to do when one cannot be reached",
    ))
}

/// The nearest folder that exists already.
fn existing(path: &Path) -> PathBuf {
    let mut at = path.to_path_buf();
    while !at.exists() {
        if !at.pop() || at.as_os_str().is_empty() {
            return PathBuf::from(".");
        }
    }
    at
}

fn disk(config: &Config, reserve: u64) -> Vec<Finding> {
    let at = existing(&config.data);
    let mut findings = Vec::new();
    match rustix::fs::statvfs(&at) {
        Ok(stat) => {
            let free_mib = (stat.f_bavail * stat.f_frsize) >> 20;
            let found = format!("{free_mib} MiB free at {}", at.display());
            let advice = || format!("free some: writes are refused below {reserve} MiB");
            findings.push(match free_mib {
                free if free < reserve => Finding::bad("disk space", Level::Fail, found, advice()),
                free if free < reserve + SPACE_LOW_MIB => {
                    Finding::bad("disk space", Level::Warn, found, advice())
                }
                _ => Finding::ok("disk space", found),
            });
        }
        Err(e) => findings.push(Finding::bad(
            "disk space",
            Level::Fail,
            format!("cannot look at {}: {e}", at.display()),
            "choose another data folder",
        )),
    }
    let probe = at.join(format!(".dhow-doctor-{}", std::process::id()));
    let measured = sync_ms(&probe);
    // The probe is ours; that it cannot be removed shows in the next line of advice anyway.
    let _ = fs::remove_file(&probe);
    findings.push(match measured {
        Ok(ms) if ms > SYNC_SLOW_MS => Finding::bad(
            "disk sync",
            Level::Warn,
            format!("{ms} ms for one sync"),
            "every strict write waits for one: use a faster disk, or one with a protected cache",
        ),
        Ok(ms) => Finding::ok("disk sync", format!("{ms} ms for one sync of 4 KiB")),
        Err(e) if e.kind() == std::io::ErrorKind::StorageFull => Finding::bad(
            "disk sync",
            Level::Fail,
            format!("there is no room at {}", at.display()),
            "make room, or delete objects: that is taken without any",
        ),
        Err(e) => Finding::bad(
            "disk sync",
            Level::Fail,
            format!("cannot write to {}: {e}", at.display()),
            "give this user the right to write there, or choose another folder with --data",
        ),
    });
    findings
}

fn sync_ms(path: &Path) -> std::io::Result<u128> {
    let mut file = File::create(path)?;
    let begun = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
    }
    Ok(begun.elapsed().as_millis() / u128::from(SYNCS))
}

fn clock(dir: &DataDir) -> Finding {
    let now = SystemClock.now();
    let advice = "set the clock, and keep it set with NTP: clients more than 15 minutes away are \
                  refused";
    if now < FIRST_BUILD {
        return Finding::bad(
            "clock",
            Level::Fail,
            format!("{now} is before Dhow existed"),
            advice,
        );
    }
    // A data folder from the future means that the clock has stepped back.
    let newest = ["credentials.json", "running.json", "lock"]
        .iter()
        .filter_map(|name| fs::metadata(dir.join(name)).ok()?.modified().ok())
        .filter_map(|t| t.duration_since(std::time::UNIX_EPOCH).ok())
        .map(|since| since.as_secs())
        .max();
    match newest {
        Some(seen) if seen > now.s() + 60 => Finding::bad(
            "clock",
            Level::Fail,
            format!(
                "{now}, but the data folder was used {} s later",
                seen - now.s()
            ),
            advice,
        ),
        _ => Finding::ok("clock", now.to_string()),
    }
}

/// The addresses of the configuration, unless a Dhow runs on the folder: that has its own already.
/// A fleet that is stopped says with which ports it starts only when it starts.
fn ports(config: &Config, dir: &DataDir, running: bool) -> Vec<Finding> {
    // The file outlives a killed process; the lock does not.
    let ours = dir.running().filter(|_| running);
    if let Some(ours) = ours {
        let none = String::new();
        let urls = [
            ("S3", &ours.endpoint),
            ("admin", &ours.admin),
            ("metrics", &ours.metrics),
            ("other regions", &ours.peer),
            ("console", ours.console.as_ref().unwrap_or(&none)),
        ];
        let taken = |(name, url): (&str, &String)| {
            let found = format!("{url} ({name}) belongs to the Dhow that runs on this folder");
            Finding::ok("port", found)
        };
        let used = urls.into_iter().filter(|(_, url)| !url.is_empty());
        return used.map(taken).collect();
    }
    if FleetFile::read(dir.path()).is_some() {
        return Vec::new();
    }
    let addresses = [
        ("S3", Some(config.listen)),
        ("admin", Some(config.admin)),
        ("metrics", Some(config.metrics)),
        ("other regions", config.cloud.peer),
        ("the console", config.console.listen),
    ];
    let free = |(name, address): (&str, Option<SocketAddr>)| Some(port(name, address?));
    addresses.into_iter().filter_map(free).collect()
}

fn port(name: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} is free for {name}")),
        Err(e) => Finding::bad(
            "port",
            Level::Warn,
            format!("{address} cannot be used for {name}: {e}"),
            "stop what listens there, or choose another address",
        ),
    }
}

fn files() -> Finding {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if most < FILES_WANTED {
        return Finding::bad(
            "file limit",
            Level::Warn,
            format!("{most} files may be open at once"),
            format!("raise it to {FILES_WANTED} or more (ulimit -Hn, LimitNOFILE=)"),
        );
    }
    let shown = if most == u64::MAX {
        "unlimited".to_owned()
    } else {
        most.to_string()
    };
    Finding::ok("file limit", format!("{shown} (raised to it at start)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_older_than_the_oldest_supported_are_named() {
        for fine in ["5.4", "5.4.0-150-generic", "5.10.0", "6.1", "10.0-rc1"] {
            assert_eq!(kernel(fine).level, Level::Ok, "{fine}");
        }
        for old in ["5.3.18", "4.19.0-27-amd64", "3.10", "", "six.one"] {
            assert_eq!(kernel(old).level, Level::Warn, "{old}");
        }
    }

    #[test]
    fn a_port_that_another_program_has_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let found = port("S3", taken.local_addr().unwrap());
        assert_eq!(found.level, Level::Warn);
        drop(taken);
    }
}
