//! `dhow user`.

use std::process::ExitCode;

use admin::failure::Failure;
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::{
    inline::{Owner, Policy},
    of_account::Of,
    shown::{print_json, print_pair, text},
    table,
};

/// Create users of an account, give them keys, and say what they may do.
///
/// A user may do only what policies allow. `aws iam` and boto3 do the same and more, with the keys
/// of the account, at the endpoint followed by `/-/iam` (docs/access.md).
#[derive(Subcommand)]
pub enum User {
    /// Create a user, who may do nothing yet.
    #[command(after_help = "\
Examples:
  dhow user create anna --account acme
  dhow user key create anna --account acme
  dhow user policy put anna read policy.json --account acme")]
    Create {
        /// 1 to 64 letters, digits, or one of _ + = , . @ -
        name: String,
        /// Groups users, as in ARNs: begins and ends with a slash.
        #[arg(long, default_value = "/", value_name = "PATH")]
        path: String,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// List the users of an account.
    List {
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// Delete a user, who has no keys and no policies any more.
    Delete {
        /// Whom.
        name: String,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// Keys of a user: at most two.
    #[command(subcommand)]
    Key(Key),
    /// Policies that are part of a user.
    #[command(subcommand)]
    Policy(Policy),
}

/// Keys of a user.
#[derive(Subcommand)]
pub enum Key {
    /// Create a key pair; the secret is shown once.
    Create(One),
    /// List keys, never secrets.
    List(One),
    /// Disable a key: requests signed with it are refused from now on.
    Disable(OneKey),
    /// Enable a disabled key again.
    Enable(OneKey),
    /// Delete a key for good.
    Delete(OneKey),
}

/// A user.
#[derive(Args)]
pub struct One {
    /// The user's name.
    name: String,
    #[command(flatten)]
    of: Of,
}

/// A key of a user.
#[derive(Args)]
pub struct OneKey {
    /// The user's name.
    name: String,
    /// The access key.
    access_key: String,
    #[command(flatten)]
    of: Of,
}

impl User {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create { name, path, of } => {
                let fields = [("UserName", &*name), ("Path", &*path)];
                let answer = of.call("CreateUser", &fields)?;
                of.created("User", &name, &answer);
            }
            Self::List { of } => {
                let users = of.list("ListUsers", &[], "Users")?;
                let fields = ["UserName", "Path", "UserId", "CreateDate"];
                of.print(users, ["USER", "PATH", "ID", "CREATED"], fields);
            }
            Self::Delete { name, of } => {
                of.done("DeleteUser", &[("UserName", &name)], "Deleted.")?;
            }
            Self::Key(key) => key.run()?,
            Self::Policy(policy) => policy.run(Owner::User)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// When, for what and where, of an answer about the last use.
fn last_use(answer: &Value) -> String {
    let used = answer.get("AccessKeyLastUsed").cloned().unwrap_or_default();
    match text(&used, "LastUsedDate") {
        when if when.is_empty() => "never".to_owned(),
        when => format!(
            "{when} ({} in {})",
            text(&used, "ServiceName"),
            text(&used, "Region")
        ),
    }
}

impl Key {
    fn run(self) -> Result<(), Failure> {
        let status = |key: &OneKey, status: &str, done: &str| {
            let fields = [
                ("UserName", &*key.name),
                ("AccessKeyId", &*key.access_key),
                ("Status", status),
            ];
            key.of.done("UpdateAccessKey", &fields, done)
        };
        match self {
            Self::Create(one) => {
                let answer = one.of.call("CreateAccessKey", &[("UserName", &one.name)])?;
                let key = answer.get("AccessKey").cloned().unwrap_or_default();
                if one.of.json {
                    print_json(&key);
                } else {
                    print_pair(&text(&key, "AccessKeyId"), &text(&key, "SecretAccessKey"));
                }
                Ok(())
            }
            Self::List(one) => {
                let fields = [("UserName", &*one.name)];
                let keys = one
                    .of
                    .list("ListAccessKeys", &fields, "AccessKeyMetadata")?;
                if one.of.json {
                    print_json(&Value::Array(keys));
                    return Ok(());
                }
                let mut rows = Vec::new();
                for key in &keys {
                    let [id, status, created] =
                        ["AccessKeyId", "Status", "CreateDate"].map(|f| text(key, f));
                    let used = one
                        .of
                        .call("GetAccessKeyLastUsed", &[("AccessKeyId", &id)])?;
                    rows.push([id, status, created, last_use(&used)]);
                }
                table::print(["ACCESS KEY", "STATUS", "CREATED", "LAST USED"], &rows);
                Ok(())
            }
            Self::Disable(key) => status(&key, "Inactive", "Disabled."),
            Self::Enable(key) => status(&key, "Active", "Enabled."),
            Self::Delete(key) => {
                let fields = [("UserName", &*key.name), ("AccessKeyId", &*key.access_key)];
                key.of.done("DeleteAccessKey", &fields, "Deleted.")
            }
        }
    }
}
