//! `dhow role`.

use std::{path::PathBuf, process::ExitCode};

use admin::failure::Failure;
use clap::{Args, Subcommand};

use crate::{
    inline::{Owner, Policy},
    of_account::{Of, read},
};

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
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// List the roles of an account.
    List {
        /// Of which account.
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
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// Show the trust policy. Users and roles that are gone are shown by their unique ids.
    Show(One),
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
                of.created("Role", &name, &answer);
            }
            Self::List { of } => {
                let roles = of.list("ListRoles", &[], "Roles")?;
                let head = ["ROLE", "PATH", "ID", "LONGEST SESSION", "CREATED"];
                let fields = [
                    "RoleName",
                    "Path",
                    "RoleId",
                    "MaxSessionDuration",
                    "CreateDate",
                ];
                of.print(roles, head, fields);
            }
            Self::Delete(One { name, of }) => {
                of.done("DeleteRole", &[("RoleName", &name)], "Deleted.")?;
            }
            Self::Trust(trust) => trust.run()?,
            Self::Policy(policy) => policy.run(Owner::Role)?,
        }
        Ok(ExitCode::SUCCESS)
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
                of.show(&answer, "/Role/AssumeRolePolicyDocument");
                Ok(())
            }
        }
    }
}
