//! `dhow`: the one binary. Commands, and the fleet on one machine.

mod commands;
mod fleet;

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
