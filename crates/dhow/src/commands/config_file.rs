//! `dhow config`.

use std::{path::PathBuf, process::ExitCode};

use admin::failure::Failure;
use clap::Subcommand;
use node::config::{Config, DEFAULT_FILE};

/// Print or check a node's configuration.
#[derive(Subcommand)]
pub enum ConfigFile {
    /// Print a configuration file with every key, its default and what it means.
    PrintDefault,
    /// Check a file: unknown keys, impossible values, and certificates that cannot be read.
    Check {
        /// The file.
        file: PathBuf,
    },
}

impl ConfigFile {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::PrintDefault => print!("{DEFAULT_FILE}"),
            Self::Check { file } => {
                node::check_files(&Config::read(&file)?)?;
                println!("{} is valid.", file.display());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
