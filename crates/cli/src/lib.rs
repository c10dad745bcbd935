//! The command line of the admin API: commands that ask a cloud that runs, here or elsewhere. One
//! file for each command.

mod access;
mod account;
mod anchor;
mod audit;
mod bucket;
mod certificates;
mod console;
mod drain_shown;
mod draining;
mod group;
mod inline;
mod key;
mod moving;
mod of_account;
mod operator;
mod placing;
mod policy;
mod profile;
mod promoting;
mod region;
mod region_shown;
mod residency;
mod role;
mod session;
pub mod shown;
pub mod table;
pub mod topology;
mod uploads;
mod user;
mod which;

pub use crate::{
    access::Access,
    account::Account,
    audit::Audit,
    bucket::Bucket,
    console::ConsoleCommand,
    group::Group,
    key::Key,
    operator::Operator,
    policy::Policy,
    promoting::{agreed, asks},
    region::Region,
    residency::Residency,
    role::Role,
    session::Session,
    user::User,
    which::{Folder, Which},
};
