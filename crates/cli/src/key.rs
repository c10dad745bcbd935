//! `dhow key`.

use std::process::ExitCode;

use admin::{NOT_YET_IN, bodies::NewKey, failure::Failure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use types::Timestamp;

use crate::{
    shown::{in_address, print_json, print_pair, text},
    table,
    which::Which,
};

/// Create, list, disable and delete access keys. Changes take effect at once.
#[derive(Subcommand)]
pub enum Key {
    /// Create a key pair; the secret is shown once. An existing pair can be brought along.
    #[command(after_help = "\
Examples:
  dhow key create --account acme
  dhow key create --account 123456789012 --access-key AKIA… --secret-key …   (when moving in)")]
    Create {
        /// The account: its id, or its name (`dhow account list`).
        #[arg(long, value_name = "ACCOUNT")]
        account: String,
        /// Bring this access key along.
        #[arg(long, requires = "secret_key", value_name = "KEY")]
        access_key: Option<String>,
        /// The secret of that access key; may also come from DHOW_SECRET_KEY.
        #[arg(
            long,
            requires = "access_key",
            env = "DHOW_SECRET_KEY",
            allow_hyphen_values = true,
            hide_env_values = true,
            value_name = "SECRET"
        )]
        secret_key: Option<String>,
        /// What it is for.
        #[arg(long, default_value = "")]
        description: String,
        /// Let it administer its account: keys and the placement of buckets.
        #[arg(long)]
        admin: bool,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// List keys, never secrets.
    List {
        /// Only this account's, by its id or its name.
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Disable a key: requests signed with it are refused from now on.
    Disable(OneKey),
    /// Enable a disabled key again.
    Enable(OneKey),
    /// Delete a key for good. The last active key of the root account stays.
    Delete(OneKey),
}

/// One key.
#[derive(Args)]
pub struct OneKey {
    /// The access key.
    access_key: String,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl OneKey {
    /// Asks for it, and says what the key is then.
    fn change(&self, method: &str, verb: &str, becomes: &str) -> Result<(), Failure> {
        let path = format!("keys/{}{verb}", self.access_key);
        let answer = self.which.client()?.call(method, &path, None)?;
        let mut shown = json!({ "access_key": self.access_key, "status": becomes });
        if let Some(late) = answer.get(NOT_YET_IN) {
            shown[NOT_YET_IN] = late.clone();
        }
        match self.json {
            true => print_json(&shown),
            false => println!("{} is {becomes}.", self.access_key),
        }
        Ok(())
    }
}

impl Key {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create {
                account,
                access_key,
                secret_key,
                description,
                admin,
                json,
                which,
            } => {
                let (access_key, secret_key) = access_key.zip(secret_key).unzip();
                let body = NewKey {
                    account,
                    access_key,
                    secret_key,
                    description,
                    admin,
                };
                let made = which.client()?.post("keys", &body)?;
                if json {
                    print_json(&made);
                } else {
                    print_pair(&text(&made, "access_key"), &text(&made, "secret_key"));
                }
            }
            Self::List {
                account,
                json,
                which,
            } => list(account, json, &which)?,
            Self::Disable(key) => key.change("POST", "/disable", "disabled")?,
            Self::Enable(key) => key.change("POST", "/enable", "active")?,
            Self::Delete(key) => key.change("DELETE", "", "deleted")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(account: Option<String>, json: bool, which: &Which) -> Result<(), Failure> {
    let path = match &account {
        Some(account) => format!("keys?account={}", in_address(account)?),
        None => "keys".to_owned(),
    };
    let all = which.client()?.call("GET", &path, None)?;
    if json {
        print_json(&all);
        return Ok(());
    }
    let rows: Vec<_> = all
        .as_array()
        .into_iter()
        .flatten()
        .map(|k| {
            let created = k
                .get("created_ms")
                .and_then(Value::as_u64)
                .unwrap_or_default();
            [
                text(k, "access_key"),
                text(k, "account"),
                text(k, "account_name"),
                text(k, "role"),
                text(k, "status"),
                Timestamp::from_ms(created).iso8601(),
                text(k, "description"),
            ]
        })
        .collect();
    let head = [
        "ACCESS KEY",
        "ACCOUNT",
        "NAME",
        "ROLE",
        "STATUS",
        "CREATED",
        "DESCRIPTION",
    ];
    table::print(head, &rows);
    Ok(())
}
