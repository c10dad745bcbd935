//! `dhow region revoke`, and how the certificates of a region are shown.

use std::process::ExitCode;

use admin::{bodies, failure::Failure};
use clap::Args;
use serde_json::Value;

use crate::{
    promoting,
    shown::{print_json, text},
    which::Which,
};

/// Which certificates of which region.
#[derive(Args)]
pub struct Revoke {
    /// The region's id.
    id: String,
    /// The serial number of one certificate, as `dhow region show` has it: hex, also with colons.
    #[arg(long, value_name = "SERIAL", required_unless_present = "all")]
    serial: Option<String>,
    /// All certificates that the region has. It is cut off then, until its operator starts it with
    /// the token of `dhow region rekey`.
    #[arg(long, conflicts_with = "serial")]
    all: bool,
    /// Do it without asking. Only a terminal is asked, and only for --all.
    #[arg(long)]
    yes: bool,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    /// Which cloud.
    #[command(flatten)]
    which: Which,
}

impl Revoke {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let client = self.which.client()?;
        let question = format!(
            "Revoke all certificates of region {}? It is cut off until it gets a new key.",
            self.id
        );
        if self.all && !self.yes && promoting::asks() && !promoting::agreed(&question) {
            return Ok(ExitCode::FAILURE);
        }
        let body = bodies::Revoke {
            serial: self.serial,
        };
        let answer = client.post(&format!("regions/{}/revoke", self.id), &body)?;
        if self.json {
            print_json(&answer);
            return Ok(ExitCode::SUCCESS);
        }
        let revoked = answer.get("revoked").and_then(Value::as_array);
        for serial in revoked.into_iter().flatten().filter_map(Value::as_str) {
            let serial = types::text::shown(serial, 100);
            println!("Certificate {serial} of region {} is revoked.", self.id);
        }
        if self.all {
            println!(
                "Region {id} is cut off. `dhow region rekey {id}` makes the token with which its \
                 operator\nstarts it again.",
                id = self.id
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The certificates of a region in words: each with its serial number, and until when it is valid.
pub fn lines(region: &Value) -> Vec<String> {
    let all = region.get("certificates").and_then(Value::as_array);
    let line = |one: &Value| {
        let (serial, expires) = (text(one, "serial"), text(one, "expires"));
        match one.get("revoked").and_then(Value::as_bool) {
            Some(true) => format!("{serial} revoked"),
            _ => format!("{serial} until {expires}"),
        }
    };
    all.into_iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::lines;

    #[test]
    fn a_certificate_that_is_revoked_does_not_look_like_one_that_is_not() {
        let region = json!({ "certificates": [
            { "serial": "4a01", "expires": "2026-12-30T10:00:00.000Z", "revoked": false },
            { "serial": "4a\u{1b}[2J", "expires": "2026-12-30T10:00:00.000Z", "revoked": true },
        ] });
        let shown = lines(&region);
        assert_eq!(shown[0], "4a01 until 2026-12-30T10:00:00.000Z");
        assert!(
            shown[1].ends_with(" revoked") && !shown[1].contains('\u{1b}'),
            "{shown:?}"
        );
        assert!(lines(&json!({})).is_empty());
    }
}
