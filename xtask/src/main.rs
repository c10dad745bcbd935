//! Project chores. `cargo xtask tidy` is the house's own lint: crate edges, file and function
//! length, leftovers, docs. It is also run as a test.

mod tidy;

use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => {}
        _ => {
            eprintln!("usage: cargo xtask tidy");
            return ExitCode::from(2);
        }
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let findings = tidy::check(&root);
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: nothing to mend");
        return ExitCode::SUCCESS;
    }
    eprintln!("tidy: {} to mend", findings.len());
    ExitCode::FAILURE
}
