//! `dhow role`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    account::text,
    of_account::{Of, decoded, read},
    print_json, table,
};
use crate::failure::Failure;

/// Create roles of an account, and say who may have them and what they may do.
///
/// Who assumes a role gets a session of it: `aws sts assume-role` and boto3, at the endpoint
/// followed by `/-/sts` (docs/access.md).
#[derive(Subcommand)]
pub enum Role {
    /// Create a role, which may do nothing yet.
    #[command(after_help = "\
Examples:
  dhow role create reader trust.json --account acme
  dhow role policy put reader read policy.json --account acme")]
    Create {
        /// 1 to 64 letters, digits, or one of _ + = , . @ -
        name: String,
        /// A file with the trust policy, which says who may have it, or `-` for standard input.
        trust: PathBuf,
        /// Groups roles, as in ARNs: begins and ends with a slash.
        #[arg(long, default_value = "/", value_name = "PATH")]
        path: String,
        /// For people.
        #[arg(long, default_value = "", value_name = "TEXT")]
        description: String,
        /// The longest session, in seconds: 3600 to 43200.
        #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
        max_session: u64,
        #[command(flatten)]
        of: Of,
    },
    /// List the roles of an account.
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Delete a role, which has no policies any more. Its sessions end.
    Delete(One),
    /// Who may have a role.
    #[command(subcommand)]
    Trust(Trust),
    /// Policies that are part of a role.
    #[command(subcommand)]
    Policy(Policy),
}

/// A role.
#[derive(Args)]
pub struct One {
    /// The role's name.
    name: String,
    #[command(flatten)]
    of: Of,
}

/// Who may have a role.
#[derive(Subcommand)]
pub enum Trust {
    /// Put another trust policy in place of the one that is there.
    Put {
        /// The role's name.
        name: String,
        /// A file with the trust policy, or `-` for standard input.
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// Show the trust policy. Users and roles that are gone are shown by their unique ids.
    Show(One),
}

/// Policies of a role.
#[derive(Subcommand)]
pub enum Policy {
    /// Put a policy, in place of one of that name.
    Put {
        /// The role's name.
        name: String,
        /// What the policy is called.
        policy: String,
        /// A file with the policy in the language of IAM, or `-` for standard input.
        file: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// List the names of a role's policies.
    List(One),
    /// Show a policy.
    Show(OnePolicy),
    /// Delete a policy.
    Delete(OnePolicy),
}

/// A policy of a role.
#[derive(Args)]
pub struct OnePolicy {
    /// The role's name.
    name: String,
    /// What the policy is called.
    policy: String,
    #[command(flatten)]
    of: Of,
}

impl Role {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create {
                name,
                trust,
                path,
                description,
                max_session,
                of,
            } => {
                let (document, seconds) = (read(&trust)?, max_session.to_string());
                let fields = [
                    ("RoleName", &*name),
                    ("Path", &*path),
                    ("Description", &*description),
                    ("MaxSessionDuration", &*seconds),
                    ("AssumeRolePolicyDocument", &*document),
                ];
                let answer = of.call("CreateRole", &fields)?;
                match of.json {
                    true => print_json(&answer),
                    false => {
                        let arn = answer.pointer("/Role/Arn").and_then(Value::as_str);
                        println!("Role {} created.", arn.unwrap_or(&name));
                        println!(
                            "It may do nothing yet: dhow role policy put {name} POLICY FILE \
                             --account {}",
                            of.account
                        );
                    }
                }
            }
            Self::List { of } => list(&of)?,
            Self::Delete(One { name, of }) => {
                of.done("DeleteRole", &[("RoleName", &name)], "Deleted.")?;
            }
            Self::Trust(trust) => trust.run()?,
            Self::Policy(policy) => policy.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(of: &Of) -> Result<(), Failure> {
    let roles = of.list("ListRoles", &[], "Roles")?;
    if of.json {
        print_json(&Value::Array(roles));
        return Ok(());
    }
    let fields = [
        "RoleName",
        "Path",
        "RoleId",
        "MaxSessionDuration",
        "CreateDate",
    ];
    let rows: Vec<_> = roles
        .iter()
        .map(|role| fields.map(|field| text(role, field)))
        .collect();
    table::print(["ROLE", "PATH", "ID", "LONGEST SESSION", "CREATED"], &rows);
    Ok(())
}

/// Prints a document that an answer has.
fn show(of: &Of, answer: &Value, at: &str) {
    let encoded = answer.pointer(at).and_then(Value::as_str);
    let document = decoded(encoded.unwrap_or_default());
    match of.json {
        true => print_json(&json!({ "PolicyDocument": document })),
        false => println!("{document}"),
    }
}

impl Trust {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Put { name, file, of } => {
                let document = read(&file)?;
                let fields = [("RoleName", &*name), ("PolicyDocument", &*document)];
                of.done("UpdateAssumeRolePolicy", &fields, "It holds from now on.")
            }
            Self::Show(One { name, of }) => {
                let answer = of.call("GetRole", &[("RoleName", &name)])?;
                show(&of, &answer, "/Role/AssumeRolePolicyDocument");
                Ok(())
            }
        }
    }
}

impl Policy {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Put {
                name,
                policy,
                file,
                of,
            } => {
                let document = read(&file)?;
                let fields = [
                    ("RoleName", &*name),
                    ("PolicyName", &*policy),
                    ("PolicyDocument", &*document),
                ];
                of.done("PutRolePolicy", &fields, "It holds from now on.")
            }
            Self::List(One { name, of }) => {
                let names = of.list("ListRolePolicies", &[("RoleName", &name)], "PolicyNames")?;
                match of.json {
                    true => print_json(&Value::Array(names)),
                    false => names
                        .iter()
                        .filter_map(Value::as_str)
                        .for_each(|name| println!("{name}")),
                }
                Ok(())
            }
            Self::Show(OnePolicy { name, policy, of }) => {
                let fields = [("RoleName", &*name), ("PolicyName", &*policy)];
                let answer = of.call("GetRolePolicy", &fields)?;
                show(&of, &answer, "/PolicyDocument");
                Ok(())
            }
            Self::Delete(OnePolicy { name, policy, of }) => {
                let fields = [("RoleName", &*name), ("PolicyName", &*policy)];
                of.done("DeleteRolePolicy", &fields, "Deleted.")
            }
        }
    }
}
