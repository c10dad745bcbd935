//! `dhow group`.

use std::process::ExitCode;

use admin::failure::Failure;
use clap::{Args, Subcommand};

use crate::{
    inline::{Owner, Policy},
    of_account::Of,
};

/// Groups of users: what a group may do, its users may do.
#[derive(Subcommand)]
pub enum Group {
    /// Create a group, which has no users yet.
    #[command(after_help = "\
Examples:
  dhow group create readers --account acme
  dhow group add readers anna --account acme
  dhow group policy put readers read policy.json --account acme")]
    Create {
        /// 1 to 128 letters, digits, or one of _ + = , . @ -
        name: String,
        /// Sorts groups, as in ARNs: begins and ends with a slash.
        #[arg(long, default_value = "/", value_name = "PATH")]
        path: String,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// List the groups of an account.
    List {
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// List the users of a group.
    Members(One),
    /// Take a user into a group.
    Add(Member),
    /// Take a user out of a group.
    Remove(Member),
    /// Delete a group, which has no users and no policies any more.
    Delete(One),
    /// Policies that are part of a group.
    #[command(subcommand)]
    Policy(Policy),
}

/// A group.
#[derive(Args)]
pub struct One {
    /// The group's name.
    name: String,
    #[command(flatten)]
    of: Of,
}

/// A user of a group.
#[derive(Args)]
pub struct Member {
    /// The group's name.
    name: String,
    /// The user's name.
    user: String,
    #[command(flatten)]
    of: Of,
}

impl Group {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Create { name, path, of } => {
                let fields = [("GroupName", &*name), ("Path", &*path)];
                let answer = of.call("CreateGroup", &fields)?;
                of.created("Group", &name, &answer);
            }
            Self::List { of } => {
                let groups = of.list("ListGroups", &[], "Groups")?;
                let fields = ["GroupName", "Path", "GroupId", "CreateDate"];
                of.print(groups, ["GROUP", "PATH", "ID", "CREATED"], fields);
            }
            Self::Members(One { name, of }) => {
                let users = of.list("GetGroup", &[("GroupName", &name)], "Users")?;
                let fields = ["UserName", "Path", "UserId", "CreateDate"];
                of.print(users, ["USER", "PATH", "ID", "CREATED"], fields);
            }
            Self::Add(member) => member.call("AddUserToGroup", "Added.")?,
            Self::Remove(member) => member.call("RemoveUserFromGroup", "Removed.")?,
            Self::Delete(One { name, of }) => {
                of.done("DeleteGroup", &[("GroupName", &name)], "Deleted.")?;
            }
            Self::Policy(policy) => policy.run(Owner::Group)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Member {
    fn call(&self, action: &str, done: &str) -> Result<(), Failure> {
        let fields = [("GroupName", &*self.name), ("UserName", &*self.user)];
        self.of.done(action, &fields, done)
    }
}
