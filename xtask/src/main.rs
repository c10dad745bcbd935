//! Project chores. `cargo xtask tidy` is the project's own lint: crate edges, file and function
//! length, leftovers, docs. It is also run as a test. `cargo xtask history` judges what clients
//! recorded while a test was running.

mod history;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, [])) if command == "tidy" => tidy(),
        Some((command, files)) if command == "history" => history::run(files),
        _ => {
            eprintln!("usage: cargo xtask tidy | history FILE…");
            ExitCode::from(2)
        }
    }
}

fn tidy() -> ExitCode {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let findings = tidy::check(&root);
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: nothing to correct");
        return ExitCode::SUCCESS;
    }
    eprintln!("tidy: {} to correct", findings.len());
    ExitCode::FAILURE
}
