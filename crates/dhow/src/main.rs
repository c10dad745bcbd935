//! `dhow`: the one binary. Commands, and the fleet on one machine.

mod commands;
mod fleet;

use std::{
    panic,
    process::{self, ExitCode},
};

// Many small, short-lived buffers from two threads: measured against the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a shell reports of a program that SIGPIPE ended.
const BROKEN_PIPE: i32 = 128 + 13;

/// Ends without a word when whoever reads the output has ended, as `head` does: the standard
/// library panics there.
fn end_with_the_reader() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let said = info.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to") && said.contains("Broken pipe") {
            process::exit(BROKEN_PIPE);
        }
        before(info);
    }));
}

fn main() -> ExitCode {
    end_with_the_reader();
    let command = commands::Cli::read();
    match command.run() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("dhow: {failure}");
            ExitCode::from(failure.status)
        }
    }
}
