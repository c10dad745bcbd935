//! `dhow account`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Which, print_json, table};
use crate::{admin_client::AdminClient, failure::Failure};

/// Create and list tenant accounts. Buckets and keys belong to accounts.
#[derive(Subcommand)]
pub enum Account {
    /// Create an account. It sees nothing of any other.
    Create {
        /// A name for people, such as a company's.
        name: String,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: Which,
    },
    /// List the accounts: id, name and when each was created, the operator's own marked as root.
    List {
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        which: Which,
    },
}

/// A field as text.
pub fn text(value: &Value, field: &str) -> String {
    value
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

impl Account {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create { name, json, which } => {
                let client = AdminClient::find(&which.dir())?;
                let made = client.call("POST", "accounts", Some(&json!({ "name": name })))?;
                if json {
                    print_json(&made);
                } else {
                    let id = text(&made, "id");
                    println!("Account {id} ({name}) created.");
                    println!("Give it a key pair: dhow key create --account {id}");
                }
            }
            Self::List { json, which } => {
                let all = AdminClient::find(&which.dir())?.call("GET", "accounts", None)?;
                if json {
                    print_json(&all);
                    return Ok(ExitCode::SUCCESS);
                }
                let rows: Vec<_> = all
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|a| {
                        let root = a.get("root").and_then(Value::as_bool) == Some(true);
                        let role = if root { "root" } else { "tenant" };
                        [
                            text(a, "id"),
                            text(a, "name"),
                            role.to_owned(),
                            text(a, "created"),
                        ]
                    })
                    .collect();
                table::print(["ACCOUNT", "NAME", "ROLE", "CREATED"], &rows);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
