//! `dhow scrub`.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use admin::{
    bodies::StartScrub,
    client::AdminClient,
    data_dir::{DataDir, FleetFile},
    failure::Failure,
};
use clap::Args;
use cli::{Folder, shown::print_json, table};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use node::{
    config::Config,
    scrub::{self, ScrubJob},
};
use serde_json::Value;

const POLL: Duration = Duration::from_millis(200);

/// Read every stored byte and compare it with its checksum.
///
/// While the cloud runs it is asked to do it; otherwise this command does it itself. Exits with 1
/// when something stays damaged, and lists what.
#[derive(Args)]
pub struct Scrub {
    /// Also bring the bytes of damaged versions back from other regions that have them, and remove
    /// extents that nothing refers to (what crashes left of uploads). While the cloud runs it
    /// removes those by itself once a day.
    #[arg(long)]
    repair: bool,
    /// With the cloud stopped, where it does not start because the journal is damaged: open it
    /// without the writes that were in the damaged part. They are lost. Other regions that have
    /// the buckets are the better source, where there are any.
    #[arg(long)]
    salvage: bool,
    /// With the cloud stopped: use this configuration.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: Folder,
}

impl Scrub {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let dir = self.folder.dir();
        dir.must_be_readable()?;
        let bar = if self.json {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner()),
        );
        bar.enable_steady_tick(POLL);
        if self.salvage && dir.is_locked() {
            return Err(Failure::new("the cloud runs: there is nothing to salvage")
                .hint("--salvage is for a data folder that does not open"));
        }
        let state = if dir.is_locked() {
            self.online(&AdminClient::find(&dir)?, &bar)?
        } else if has_data(&dir) || self.config.is_some() {
            self.offline(&bar)?
        } else if let Some(fleet) = FleetFile::read(dir.path()) {
            let first = dir.join(&fleet.keeper);
            return Err(Failure::new(format!(
                "{} is the folder of a fleet: each region has a folder of its own below",
                dir.path().display()
            ))
            .hint(format!(
                "name one of {} with --data, such as --data {}",
                fleet.regions.join(", "),
                first.display()
            )));
        } else {
            return Err(
                Failure::new(format!("there is no data in {}", dir.path().display()))
                    .hint("name the data folder with --data or DHOW_DATA"),
            );
        };
        bar.finish_and_clear();
        self.report(&state)
    }

    fn online(&self, client: &AdminClient, bar: &ProgressBar) -> Result<Value, Failure> {
        let repair = self.repair;
        client.post("scrub", &StartScrub { repair })?;
        loop {
            let state = client.call("GET", "scrub", None)?;
            if state.get("running").and_then(Value::as_bool) != Some(true) {
                return Ok(state);
            }
            show(bar, &state);
            std::thread::sleep(POLL);
        }
    }

    fn offline(&self, bar: &ProgressBar) -> Result<Value, Failure> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config {
                data: self.folder.dir().path().to_path_buf(),
                ..Config::default()
            },
        };
        config.engine.salvage = self.salvage;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::new(format!("cannot start the runtime: {e}")))?;
        let job = Arc::new(ScrubJob::begun());
        let ended = runtime.block_on(async {
            let look = || {
                show(bar, &serde_json::to_value(job.state())?);
                Ok(())
            };
            scrub::offline(&config, &job, self.repair, (POLL, look)).await
        });
        let mut state = job.state();
        state.running = false;
        state.error = ended.err().map(|e| e.to_string());
        Ok(serde_json::to_value(state)?)
    }

    fn report(&self, state: &Value) -> Result<ExitCode, Failure> {
        let damaged = state
            .get("damaged")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let error = state.get("error").and_then(Value::as_str);
        let repaired = number(state, "repaired");
        let is_damaged = !damaged.is_empty() || number(state, "damaged_versions") > 0;
        if self.json {
            print_json(state);
        } else {
            println!("{}", summary(state));
            if self.repair {
                println!(
                    "{} orphaned extents removed ({}).",
                    number(state, "orphans_removed"),
                    HumanBytes(number(state, "orphan_bytes"))
                );
            }
            print_versions(state);
            for damage in &damaged {
                println!("damaged: {}", damage.as_str().unwrap_or_default());
            }
            if !is_damaged && error.is_none() {
                println!(
                    "Nothing is damaged{}.",
                    if repaired > 0 { " any more" } else { "" }
                );
            }
        }
        if let Some(error) = error {
            return Err(Failure::new(format!("the scrub ended early: {error}")));
        }
        Ok(ExitCode::from(u8::from(is_damaged)))
    }
}

/// Whether a region has run on the folder: the registry's, or one that joined.
fn has_data(dir: &DataDir) -> bool {
    let files = ["credentials.json", "membership.json"];
    files.iter().any(|file| dir.join(file).exists())
}

/// One line for each version that is or was damaged.
fn print_versions(state: &Value) {
    let versions = state.get("versions").and_then(Value::as_array);
    let rows: Vec<[String; 5]> = versions.into_iter().flatten().map(row).collect();
    if !rows.is_empty() {
        table::print(["BUCKET", "KEY", "VERSION", "DAMAGED", "REPAIRED"], &rows);
    }
}

fn row(version: &Value) -> [String; 5] {
    // Keys are whatever a customer chose, also what would move a terminal's cursor.
    let shown = |field: &str| {
        let text = version.get(field).and_then(Value::as_str);
        text.map(|text| text.escape_debug().to_string())
    };
    let repaired = match (shown("from"), shown("why")) {
        (Some(from), _) => format!("from {from}"),
        (None, Some(why)) => format!("no: {why}"),
        (None, None) => "no".to_owned(),
    };
    let [bucket, key, version, what] =
        ["bucket", "key", "version", "what"].map(|field| shown(field).unwrap_or_default());
    [bucket, key, version, what, repaired]
}

fn number(state: &Value, field: &str) -> u64 {
    state.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn summary(state: &Value) -> String {
    let (bytes, took_ms) = (number(state, "bytes"), number(state, "took_ms").max(1));
    format!(
        "{} in {} items verified, {}/s",
        HumanBytes(bytes),
        number(state, "items"),
        HumanBytes(bytes.saturating_mul(1000) / took_ms)
    )
}

fn show(bar: &ProgressBar, state: &Value) {
    let phase = state
        .get("phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let left = time_left(
        number(state, "bytes"),
        number(state, "bytes_total"),
        number(state, "took_ms"),
    );
    let left = left.map_or_else(String::new, |s| format!(", about {s} s left"));
    bar.set_message(format!("{phase}: {}{left}", summary(state)));
}

/// Seconds until all is read at the pace so far; `None` before there is one, and at the end.
fn time_left(bytes: u64, total: u64, took_ms: u64) -> Option<u64> {
    let left = total.checked_sub(bytes).filter(|left| *left > 0)?;
    let ms = (u128::from(left) * u128::from(took_ms)).checked_div(u128::from(bytes))?;
    u64::try_from(ms / 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_the_pace_so_far() {
        assert_eq!(time_left(100, 400, 2000), Some(6));
        assert_eq!(time_left(0, 400, 2000), None);
        assert_eq!(time_left(400, 400, 2000), None);
        assert_eq!(time_left(500, 400, 2000), None);
    }
}
