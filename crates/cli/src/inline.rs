//! `dhow user policy`, `dhow group policy` and `dhow role policy`: policies that are part of one.

use std::path::PathBuf;

use admin::failure::Failure;
use clap::{Args, Subcommand};

use crate::of_account::{Of, print_names, read};

/// Whose policies.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    /// Of a user.
    User,
    /// Of a group.
    Group,
    /// Of a role.
    Role,
}

impl Owner {
    /// As the names of IAM's actions have it: `PutUserPolicy`, `UserName`.
    const fn word(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
        }
    }
}

/// Policies that are part of a user, group or role.
#[derive(Subcommand)]
pub enum Policy {
    /// Put a policy, in place of one of that name.
    Put {
        #[command(flatten)]
        one: One,
        /// A file with the policy in the language of IAM, or `-` for standard input.
        file: PathBuf,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// List the names of the policies.
    List {
        /// Whose policies: the name.
        name: String,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// Show a policy.
    Show {
        #[command(flatten)]
        one: One,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
    /// Delete a policy.
    Delete {
        #[command(flatten)]
        one: One,
        /// Of which account.
        #[command(flatten)]
        of: Of,
    },
}

/// A policy, and whose it is.
#[derive(Args)]
pub struct One {
    /// Whose policy: the name.
    name: String,
    /// What the policy is called.
    policy: String,
}

impl Policy {
    /// Does it.
    pub fn run(self, owner: Owner) -> Result<(), Failure> {
        let word = owner.word();
        let by = format!("{word}Name");
        match self {
            Self::Put { one, file, of } => {
                let document = read(&file)?;
                let fields = [
                    (&*by, &*one.name),
                    ("PolicyName", &*one.policy),
                    ("PolicyDocument", &*document),
                ];
                of.done(
                    &format!("Put{word}Policy"),
                    &fields,
                    "It holds from now on.",
                )
            }
            Self::List { name, of } => {
                let action = format!("List{word}Policies");
                let names = of.list(&action, &[(&by, &name)], "PolicyNames")?;
                print_names(&of, names);
                Ok(())
            }
            Self::Show { one, of } => {
                let fields = [(&*by, &*one.name), ("PolicyName", &*one.policy)];
                let answer = of.call(&format!("Get{word}Policy"), &fields)?;
                of.show(&answer, "/PolicyDocument");
                Ok(())
            }
            Self::Delete { one, of } => {
                let fields = [(&*by, &*one.name), ("PolicyName", &*one.policy)];
                of.done(&format!("Delete{word}Policy"), &fields, "Deleted.")
            }
        }
    }
}
