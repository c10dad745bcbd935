//! `dhow policy`.

use std::{path::PathBuf, process::ExitCode};

use admin::failure::Failure;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    of_account::{Of, decoded, read},
    shown::{print_json, text},
};

/// Managed policies: each has versions, and is attached to users, groups and roles.
#[derive(Subcommand)]
pub enum Policy {
    /// Create a policy with its first version, attached to nobody yet.
    #[command(after_help = "\
Examples:
  dhow policy create readers policy.json --account acme
  dhow policy attach readers --user anna --account acme
  dhow policy update readers policy.json --account acme")]
    Create {
        /// 1 to 128 letters, digits, or one of _ + = , . @ -
        name: String,
        /// A file with the policy in the language of IAM, or `-` for standard input.
        file: PathBuf,
        /// Sorts policies, as in ARNs: begins and ends with a slash.
        #[arg(long, default_value = "/", value_name = "PATH")]
        path: String,
        /// For people.
        #[arg(long, default_value = "", value_name = "TEXT")]
        description: String,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// List the managed policies of an account.
    List {
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// Show the text of a policy.
    Show {
        /// Which policy.
        #[command(flatten)]
        one: One,
        /// Of another version than the one that counts, such as v2.
        #[arg(long, value_name = "VERSION")]
        policy_version: Option<String>,
    },
    /// Add a version to a policy, which counts from now on. A policy has at most five.
    Update {
        /// Which policy.
        #[command(flatten)]
        one: One,
        /// A file with the policy in the language of IAM, or `-` for standard input.
        file: PathBuf,
        /// The version that counts stays the same.
        #[arg(long)]
        keep_default: bool,
    },
    /// List the versions of a policy.
    Versions(One),
    /// Let another version of a policy count.
    Default(Version),
    /// Delete a version of a policy that does not count.
    DeleteVersion(Version),
    /// Attach a policy to a user, group or role.
    Attach(To),
    /// Detach a policy from a user, group or role.
    Detach(To),
    /// List the policies that are attached to a user, group or role.
    Attached {
        /// Of whom.
        #[command(flatten)]
        holder: Holder,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// Delete a policy, which has one version and is attached to nobody.
    Delete(One),
}

/// A policy.
#[derive(Args)]
pub struct One {
    /// The policy's name, or its ARN.
    name: String,
    #[command(flatten)]
    of: Of,
}

/// A version of a policy.
#[derive(Args)]
pub struct Version {
    #[command(flatten)]
    one: One,
    /// Such as v2.
    #[arg(value_name = "VERSION")]
    number: String,
}

/// To whom a policy is attached.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Holder {
    /// A user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// A group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// A role.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
}

/// A policy, and to whom it is attached.
#[derive(Args)]
pub struct To {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    holder: Holder,
}

impl Holder {
    /// `User`, `Group` or `Role`, the field that names it, and its name.
    fn named(&self) -> (&'static str, &'static str, &str) {
        match (&self.user, &self.group, &self.role) {
            (Some(user), ..) => ("User", "UserName", user),
            (None, Some(group), _) => ("Group", "GroupName", group),
            (None, None, role) => ("Role", "RoleName", role.as_deref().unwrap_or_default()),
        }
    }
}

impl One {
    /// The policy's ARN. A name has no path, so that is looked up.
    fn arn(&self) -> Result<String, Failure> {
        if self.name.starts_with("arn:") {
            return Ok(self.name.clone());
        }
        let all = self.of.list("ListPolicies", &[], "Policies")?;
        let named = |policy: &&Value| text(policy, "PolicyName") == self.name;
        let found = all.iter().find(named).map(|policy| text(policy, "Arn"));
        found.ok_or_else(|| {
            Failure::new(format!("there is no policy {}", self.name))
                .hint(format!("dhow policy list --account {}", self.of.account))
        })
    }
}

impl To {
    fn call(&self, verb: &str, done: &str) -> Result<(), Failure> {
        let (kind, field, name) = self.holder.named();
        let arn = self.one.arn()?;
        let action = format!("{verb}{kind}Policy");
        self.one
            .of
            .done(&action, &[(field, name), ("PolicyArn", &arn)], done)
    }
}

impl Version {
    fn call(&self, action: &str, done: &str) -> Result<(), Failure> {
        let arn = self.one.arn()?;
        let fields = [("PolicyArn", &*arn), ("VersionId", &*self.number)];
        self.one.of.done(action, &fields, done)
    }
}

impl Policy {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create {
                name,
                file,
                path,
                description,
                of,
            } => create(&of, [&name, &path, &description], &read(&file)?)?,
            Self::List { of } => list(&of)?,
            Self::Show {
                one,
                policy_version,
            } => show(&one, policy_version)?,
            Self::Update {
                one,
                file,
                keep_default,
            } => update(&one, &read(&file)?, keep_default)?,
            Self::Versions(one) => versions(&one)?,
            Self::Default(one) => one.call("SetDefaultPolicyVersion", "It counts from now on.")?,
            Self::DeleteVersion(one) => one.call("DeletePolicyVersion", "Deleted.")?,
            Self::Attach(to) => to.call("Attach", "It holds from now on.")?,
            Self::Detach(to) => to.call("Detach", "Detached.")?,
            Self::Attached { holder, of } => {
                let (kind, field, name) = holder.named();
                let action = format!("ListAttached{kind}Policies");
                let found = of.list(&action, &[(field, name)], "AttachedPolicies")?;
                of.print(found, ["POLICY", "ARN"], ["PolicyName", "PolicyArn"]);
            }
            Self::Delete(one) => {
                let arn = one.arn()?;
                one.of
                    .done("DeletePolicy", &[("PolicyArn", &arn)], "Deleted.")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn create(of: &Of, [name, path, description]: [&str; 3], text: &str) -> Result<(), Failure> {
    let mut fields = vec![
        ("PolicyName", name),
        ("Path", path),
        ("PolicyDocument", text),
    ];
    if !description.is_empty() {
        fields.push(("Description", description));
    }
    let answer = of.call("CreatePolicy", &fields)?;
    match of.json {
        true => print_json(&answer),
        false => {
            let arn = answer.pointer("/Policy/Arn").and_then(Value::as_str);
            println!("Policy {} created.", arn.unwrap_or(name));
            println!(
                "Attach it: dhow policy attach {name} --user USER --account {}",
                of.account
            );
        }
    }
    Ok(())
}

fn list(of: &Of) -> Result<(), Failure> {
    let found = of.list("ListPolicies", &[], "Policies")?;
    let head = ["POLICY", "PATH", "VERSION", "ATTACHED", "UPDATED"];
    let fields = [
        "PolicyName",
        "Path",
        "DefaultVersionId",
        "AttachmentCount",
        "UpdateDate",
    ];
    of.print(found, head, fields);
    Ok(())
}

fn show(one: &One, version: Option<String>) -> Result<(), Failure> {
    let arn = one.arn()?;
    let version = match version {
        Some(version) => version,
        None => {
            let policy = one.of.call("GetPolicy", &[("PolicyArn", &arn)])?;
            let counts = policy.pointer("/Policy/DefaultVersionId");
            counts.and_then(Value::as_str).unwrap_or("v1").to_owned()
        }
    };
    let fields = [("PolicyArn", &*arn), ("VersionId", &*version)];
    let answer = one.of.call("GetPolicyVersion", &fields)?;
    let encoded = answer.pointer("/PolicyVersion/Document");
    let document = decoded(encoded.and_then(Value::as_str).unwrap_or_default());
    match one.of.json {
        true => print_json(&json!({ "VersionId": version, "PolicyDocument": document })),
        false => println!("{document}"),
    }
    Ok(())
}

fn update(one: &One, document: &str, keep_default: bool) -> Result<(), Failure> {
    let arn = one.arn()?;
    let fields = [
        ("PolicyArn", &*arn),
        ("PolicyDocument", document),
        ("SetAsDefault", if keep_default { "false" } else { "true" }),
    ];
    let answer = one.of.call("CreatePolicyVersion", &fields)?;
    if one.of.json {
        print_json(&answer);
        return Ok(());
    }
    let version = answer.pointer("/PolicyVersion/VersionId");
    let version = version.and_then(Value::as_str).unwrap_or_default();
    match keep_default {
        true => println!("Version {version} added. It does not count yet."),
        false => println!("Version {version} counts from now on."),
    }
    Ok(())
}

fn versions(one: &One) -> Result<(), Failure> {
    let arn = one.arn()?;
    let found = one
        .of
        .list("ListPolicyVersions", &[("PolicyArn", &arn)], "Versions")?;
    if one.of.json {
        print_json(&Value::Array(found));
        return Ok(());
    }
    let rows: Vec<[String; 3]> = found
        .iter()
        .map(|version| {
            let counts = version.get("IsDefaultVersion").and_then(Value::as_bool);
            let counts = if counts == Some(true) { "yes" } else { "" };
            let text = |field| text(version, field);
            [text("VersionId"), counts.to_owned(), text("CreateDate")]
        })
        .collect();
    crate::table::print(["VERSION", "COUNTS", "CREATED"], &rows);
    Ok(())
}
