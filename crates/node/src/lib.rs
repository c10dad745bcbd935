//! One region as a process: its configuration, how its parts are wired, the order of start and
//! stop, the listeners, the admin API, and what is said of its state.

mod acme;
mod admin_api;
mod catch_up;
mod cloud_tasks;
mod completeness;
pub mod config;
mod config_check;
mod console_config;
mod console_listener;
pub mod doctor;
mod doctor_cloud;
mod engine_failure;
mod figures;
mod folder_owner;
mod folder_place;
mod iam_forms;
mod issuers;
mod link;
mod load;
pub mod logging;
mod metrics;
mod new_buckets;
mod origin;
mod proxies;
mod region;
mod residency;
mod run;
pub mod scrub;
mod sockets;
mod sso;
mod stopped;
mod stored;
mod sweeps;
mod tls;
#[cfg(feature = "otel")]
mod traces;
mod why;

pub use acme::AcmeConfig;
pub use catch_up::{CatchUp, catch_up};
pub use config_check::check_files;
pub use proxies::Range;
pub use run::{Ready, program, run, shown_secret};
pub use stopped::recover_root_key;
pub use tls::{Certificate, folder_of as folder_of_tls};
