//! `dhow registry`.

use std::process::ExitCode;

use admin::{
    data_dir::{DataDir, FleetFile},
    failure::Failure,
};
use clap::Subcommand;
use cli::{Folder, agreed, asks, shown::print_json};
use node::{catch_up, config::Config};

/// Look after the registry itself, on the data folder of the region that keeps it.
#[derive(Subcommand)]
pub enum Registry {
    /// Bring a registry that was restored from a backup up to date from the other regions.
    ///
    /// The region that keeps the registry must be stopped; the others must run. Shows what is
    /// missing, asks, and takes it over from the region that has the most. What the others do not
    /// have is lost, and is named: secret keys, users, policies and the like that were made or
    /// changed since the backup. Nobody gets rights by that: docs/damage.md says what is disabled.
    CatchUp {
        /// Show what is missing, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        folder: Folder,
    },
}

impl Registry {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let Self::CatchUp {
            dry_run,
            yes,
            json,
            folder,
        } = self;
        let dir = folder.dir();
        let data = match FleetFile::read(dir.path()) {
            Some(fleet) => dir.join(&fleet.keeper),
            None => dir.path().to_path_buf(),
        };
        if DataDir::new(&data).is_locked() {
            return Err(Failure::new(format!(
                "a Dhow is running on {}: stop it first",
                data.display()
            )));
        }
        let config = Config {
            data,
            ..Config::default()
        };
        let mut unasked = false;
        let agrees = |missing: &str| {
            if !json {
                eprint!("{missing}");
            }
            unasked = !dry_run && !yes && !asks();
            !dry_run && (yes || (asks() && agreed("Take this over?")))
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| Failure::new(format!("cannot start the runtime: {e}")))?;
        let ended = runtime.block_on(catch_up(&config, agrees))?;
        if unasked {
            return Err(
                Failure::new("nothing was changed: nobody can be asked here")
                    .hint("say --yes, or --dry-run to see what would be taken over"),
            );
        }
        match json {
            true => print_json(&ended.to_json()),
            false => print!("{}", ended.text()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
