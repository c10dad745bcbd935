//! `dhow`: the one binary, and the only place that wires the crates together.

mod acme;
mod admin;
mod admin_client;
mod cloud_tasks;
mod commands;
mod completeness;
mod config;
mod console_config;
mod console_listener;
mod data_dir;
mod doctor;
mod doctor_cloud;
mod failure;
mod figures;
mod fleet;
mod folder_owner;
mod folder_place;
mod iam_forms;
mod issuers;
mod link;
mod logging;
mod metrics;
mod new_buckets;
mod node;
mod origin;
mod profile;
mod proxies;
mod region;
mod residency;
mod scrub;
mod sockets;
mod sso;
mod stored;
mod sweeps;
mod tls;
mod topology;
#[cfg(feature = "otel")]
mod traces;
mod why;

use std::process::ExitCode;

// Many small, short-lived buffers from two threads: measured against the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = commands::Cli::read();
    match command.run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("dhow: {failure}");
            ExitCode::from(failure.status)
        }
    }
}
