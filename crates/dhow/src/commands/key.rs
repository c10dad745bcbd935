//! `dhow key`.

use std::process::ExitCode;

use admin::failure::Failure;
use clap::Subcommand;
use cli::{Folder, shown::print_json};
use node::{config::Config, recover_root_key};

/// Create, list, disable and delete access keys. Changes take effect at once.
#[derive(Subcommand)]
pub enum Key {
    #[command(flatten)]
    Asked(cli::Key),
    /// Make a new root key on a data folder that is stopped, when nobody can administer any more.
    ///
    /// Works on the data folder of the region that keeps the registry, as the user who owns it.
    /// Other keys stay as they are; `credentials.json` names the new one from then on.
    Recover {
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        folder: Folder,
    },
}

impl Key {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Asked(key) => key.run(),
            Self::Recover { json, folder } => recover(json, &folder),
        }
    }
}

fn recover(json: bool, folder: &Folder) -> Result<ExitCode, Failure> {
    let config = Config {
        data: folder.dir().path().to_path_buf(),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start the runtime: {e}")))?;
    let made = runtime.block_on(recover_root_key(&config))?;
    if json {
        print_json(&serde_json::to_value(&made)?);
    } else {
        println!("Access key  {}", made.access_key);
        println!("Secret key  {}", made.secret_key);
        println!("It is in credentials.json too; start the region again to use it.");
    }
    Ok(ExitCode::SUCCESS)
}
