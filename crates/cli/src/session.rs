//! `dhow session`.

use std::process::ExitCode;

use admin::{bodies::EndSession, failure::Failure};
use clap::Subcommand;

use crate::{
    of_account::Of,
    shown::{in_address, print_json, text},
};

/// End sessions of STS before their time.
#[derive(Subcommand)]
pub enum Session {
    /// End one session, in every region: its requests are refused from now on. Sessions that it
    /// began go on.
    End {
        /// The session's access key (DHST…).
        #[arg(value_name = "KEY")]
        access_key: String,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
}

impl Session {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let Self::End { access_key, of } = self;
        let path = format!("accounts/{}/end-session", in_address(&of.account)?);
        let ended = of.which.client()?.post(&path, &EndSession { access_key })?;
        match of.json {
            true => print_json(&ended),
            false => println!(
                "Session {} is over. It could have lasted until {} at most.",
                text(&ended, "access_key"),
                text(&ended, "until")
            ),
        }
        Ok(ExitCode::SUCCESS)
    }
}
