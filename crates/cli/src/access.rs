//! `dhow access`.

use std::{path::PathBuf, process::ExitCode};

use admin::{bodies, failure::Failure};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    shown::{in_address, print_json, text},
    which::Which,
};

/// Exit statuses beside 0, which is allowed.
const REFUSED: u8 = 3;
const UNKNOWN: u8 = 4;

/// Why a request is allowed or refused.
#[derive(Subcommand)]
pub enum Access {
    /// Say what would be decided of a request, and which statement of which document decides.
    ///
    /// The region that holds the bucket decides, as it decides requests. Exits with 0 if the
    /// request would be allowed, with 3 if it would be refused, and with 4 if that depends on what
    /// could not be seen, such as a region that does not answer.
    #[command(after_help = "\
Examples:
  dhow access explain --account acme --user anna --action s3:GetObject \\
      --resource arn:aws:s3:::photos/anna/1.jpg
  dhow access explain --account acme --user anna --action s3:ListBucket \\
      --resource arn:aws:s3:::photos --context s3:prefix=anna/ --context aws:SourceIp=203.0.113.7
  dhow access explain --account acme --role reader --session-policy narrow.json \\
      --action s3:GetObject --resource arn:aws:s3:::photos/anna/1.jpg
  dhow access explain --account acme --anonymous --action s3:GetObject \\
      --resource arn:aws:s3:::photos/public/1.jpg")]
    Explain(Explain),
}

/// A request.
#[derive(Args)]
pub struct Explain {
    /// The account: its id, or its name (`dhow account list`).
    #[arg(long, value_name = "ACCOUNT")]
    account: String,
    /// The user who would ask; without one the account itself.
    #[arg(long, value_name = "USER", conflicts_with_all = ["access_key", "anonymous"])]
    user: Option<String>,
    /// In place of a user: a session of this role.
    #[arg(long, value_name = "ROLE", conflicts_with_all = ["user", "access_key", "anonymous"])]
    role: Option<String>,
    /// What bounds the session of the role: a file with a policy. May be repeated: the session may
    /// do what any of them allows.
    #[arg(long, value_name = "FILE", requires = "role")]
    session_policy: Vec<PathBuf>,
    /// In place of a user: whoever holds this key.
    #[arg(long, value_name = "KEY", conflicts_with = "anonymous")]
    access_key: Option<String>,
    /// In place of a user: nobody signs. The bucket is the account's.
    #[arg(long)]
    anonymous: bool,
    /// What for, such as s3:GetObject or iam:CreateUser (docs/actions.md).
    #[arg(long, value_name = "ACTION")]
    action: String,
    /// On what: arn:aws:s3:::BUCKET/KEY, arn:aws:s3:::BUCKET, or another ARN.
    #[arg(long, value_name = "ARN", default_value = "*")]
    resource: String,
    /// A value of a condition key, such as aws:SourceIp=203.0.113.7. The request is taken for one
    /// of now, over TLS, signed in its head.
    #[arg(long, value_name = "KEY=VALUE")]
    context: Vec<String>,
    /// JSON, for scripts.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
}

impl Access {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Explain(explain) => explain.run(),
        }
    }
}

impl Explain {
    fn run(self) -> Result<ExitCode, Failure> {
        let path = format!("accounts/{}/explain", in_address(&self.account)?);
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path);
            let wrong = |e| Failure::new(format!("cannot read {}: {e}", path.display()));
            text.map_err(wrong)
        };
        let session_policies: Result<_, Failure> = self.session_policy.iter().map(read).collect();
        let body = bodies::Explain {
            user: self.user,
            role: self.role,
            session_policies: session_policies?,
            access_key: self.access_key,
            anonymous: self.anonymous,
            action: self.action,
            resource: self.resource,
            context: self.context,
        };
        let told = self.which.client()?.post(&path, &body)?;
        match self.json {
            true => print_json(&told),
            false => show(&told),
        }
        Ok(match text(&told, "verdict").as_str() {
            "allowed" => ExitCode::SUCCESS,
            "refused" => ExitCode::from(REFUSED),
            _ => ExitCode::from(UNKNOWN),
        })
    }
}

/// A list in an answer.
fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    let list = value.get(name).and_then(Value::as_array);
    list.map_or(&[], |list| &list[..])
}

fn show(told: &Value) {
    let shown = |name: &str| types::text::shown(&text(told, name), 2000).into_owned();
    let who = match told.get("principal").and_then(Value::as_str) {
        Some(arn) => types::text::shown(arn, 2000).into_owned(),
        None => "anybody without a key".to_owned(),
    };
    let does = match text(told, "verdict").as_str() {
        "allowed" => "ALLOWED",
        "refused" => "REFUSED",
        _ => "NOT KNOWN",
    };
    println!("{does}  {} on {}", shown("action"), shown("resource"));
    println!("by       {who}");
    println!("because  {}", shown("reason"));
    println!();
    let mut rows: Vec<[String; 3]> = list(told, "checks").iter().map(|c| row("", c)).collect();
    let actions = list(told, "actions");
    for action in actions {
        if actions.len() > 1 {
            let verdict = text(action, "verdict");
            rows.push([text(action, "action"), verdict, "needed too".to_owned()]);
        }
        for document in list(action, "documents") {
            rows.push(row("", document));
            rows.extend(list(document, "statements").iter().map(statement));
        }
    }
    crate::table::print(["LOOKED AT", "SAYS", "WHY"], &rows);
    let missing = list(told, "missing").iter().filter_map(Value::as_str);
    let missing: Vec<String> = missing
        .map(|key| types::text::shown(key, 200).into_owned())
        .collect();
    if !missing.is_empty() {
        println!();
        println!(
            "Taken as absent, though policies ask about it: {}.",
            missing.join(", ")
        );
        println!("Give a value with --context KEY=VALUE.");
    }
}

fn row(before: &str, check: &Value) -> [String; 3] {
    let says = match text(check, "says").as_str() {
        "nothing" => "-".to_owned(),
        "unknown" => "not seen".to_owned(),
        says => says.to_owned(),
    };
    [
        format!("{before}{}", text(check, "what")),
        says,
        text(check, "why"),
    ]
}

fn statement(own: &Value) -> [String; 3] {
    let sid = own.get("sid").and_then(Value::as_str);
    let sid = sid.map_or_else(String::new, |sid| format!(" {sid}"));
    let number = own.get("number").and_then(Value::as_u64).unwrap_or(0);
    let says = match own.get("applies").and_then(Value::as_bool) {
        Some(true) => "applies",
        Some(false) => "-",
        None => "not seen",
    };
    let notes = list(own, "notes").iter().filter_map(Value::as_str);
    let why = [text(own, "why")]
        .into_iter()
        .chain(notes.map(str::to_owned));
    let why: Vec<String> = why.collect();
    [
        format!("  {number} {}{sid}", text(own, "effect")),
        says.to_owned(),
        why.join("; "),
    ]
}
