//! `dhow doctor`.

use std::{collections::HashSet, path::PathBuf, process::ExitCode};

use admin::failure::Failure;
use clap::Args;
use cli::{Folder, shown::print_json};
use node::{config::Config, doctor};
use serde_json::json;

/// Check this machine, the data folder and the other regions: configuration, disk, clock, ports,
/// file limits; of a region that runs also which regions it reaches, its certificate, whether it
/// reaches the registry, and its replicas.
///
/// Says for each what is wrong and what to do about it. Exits with 1 when something must be
/// corrected. Changes nothing, whether the cloud runs or not.
#[derive(Args)]
pub struct Doctor {
    /// Check this configuration instead of the defaults.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: Folder,
}

impl Doctor {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config {
                data: self.folder.dir().path().to_path_buf(),
                ..Config::default()
            },
        };
        let findings = doctor::examine(&config, &HashSet::new());
        let failed = findings.iter().any(|f| f.level == doctor::Level::Fail);
        if self.json {
            let all: Vec<_> = findings.iter().map(doctor::Finding::to_json).collect();
            print_json(&json!({ "ok": !failed, "findings": all }));
        } else {
            for f in &findings {
                println!("{:<5} {:<12} {}", f.level.name(), f.check, f.found);
                if let Some(advice) = &f.advice {
                    println!("      {:<12} -> {advice}", "");
                }
            }
        }
        Ok(ExitCode::from(u8::from(failed)))
    }
}
