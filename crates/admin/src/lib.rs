//! What both sides of the admin API share: the table of operations, the bodies of requests, the
//! description of all that (docs/admin-api.json), and the client. A client finds the process that
//! runs on this machine, and a key for it, through its data folder; so that folder is here too.

pub mod bodies;
pub mod client;
pub mod data_dir;
pub mod failure;
mod field;
mod fields;
mod of_access;
mod of_health;
mod of_regions;
mod of_replicas;
pub mod openapi;
pub mod operations;

/// Where all operations are.
pub const PREFIX: &str = "/-/admin/v1/";

/// In the answer to what takes rights away: the regions that may not know it yet.
pub const NOT_YET_IN: &str = "not_yet_in";
