//! `dhow operator`.

use std::process::ExitCode;

use admin::{bodies::NewOperator, failure::Failure};
use clap::Subcommand;
use serde_json::Value;

use crate::{
    shown::{print_json, text},
    table,
    which::Which,
};

/// The legal parties that run regions: the cloud's owner, and partners.
#[derive(Subcommand)]
pub enum Operator {
    /// Put an operator on record.
    Add {
        /// Its id: lower-case letters, digits and hyphens.
        id: String,
        /// Its name, for people.
        #[arg(long)]
        name: Option<String>,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// List the operators.
    List {
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
    /// Show an operator and its regions.
    Show {
        /// Its id.
        id: String,
        /// JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Which cloud.
        #[command(flatten)]
        which: Which,
    },
}

impl Operator {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Add {
                id,
                name,
                json,
                which,
            } => {
                let name = name.unwrap_or_else(|| id.clone());
                let body = NewOperator { id, name };
                let made = which.client()?.post("operators", &body)?;
                match json {
                    true => print_json(&made),
                    false => println!("Operator {} ({}) is on record.", body.id, body.name),
                }
            }
            Self::List { json, which } => {
                let all = which.client()?.call("GET", "operators", None)?;
                if json {
                    print_json(&all);
                    return Ok(ExitCode::SUCCESS);
                }
                let all = all.as_array().cloned().unwrap_or_default();
                let rows: Vec<_> = all
                    .iter()
                    .map(|o| [text(o, "id"), text(o, "name")])
                    .collect();
                table::print(["OPERATOR", "NAME"], &rows);
            }
            Self::Show { id, json, which } => {
                let path = format!("operators/{id}");
                let shown = which.client()?.call("GET", &path, None)?;
                if json {
                    print_json(&shown);
                    return Ok(ExitCode::SUCCESS);
                }
                let operator = shown.get("operator").cloned().unwrap_or_default();
                println!("{} ({})\n", text(&operator, "id"), text(&operator, "name"));
                let regions = shown.get("regions").and_then(Value::as_array);
                crate::region_shown::print_table(regions.map_or(&[], Vec::as_slice));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
