//! `cargo xtask history FILE…`: judges recorded histories (JSON lines, see the `check` crate).

use std::{fs::File, io::BufReader, process::ExitCode};

use check::{Budget, Verdict};

/// Prints the verdict on each file. Fails on a violation, an undecided history, and a file that
/// cannot be read or holds no operation: a recorder that wrote nothing has proved nothing.
pub fn run(files: &[String]) -> ExitCode {
    let mut failed = files.is_empty();
    if files.is_empty() {
        eprintln!("usage: cargo xtask history FILE…");
    }
    for file in files {
        match judge(file) {
            Ok((0, _)) => {
                eprintln!("{file}: no operations");
                failed = true;
            }
            Ok((operations, verdict)) => {
                println!("{file}: {operations} operations: {verdict}");
                failed |= !verdict.is_ok();
            }
            Err(error) => {
                eprintln!("{file}: {error}");
                failed = true;
            }
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn judge(file: &str) -> Result<(usize, Verdict), String> {
    let source = File::open(file).map_err(|error| error.to_string())?;
    let history = check::read(BufReader::new(source)).map_err(|error| error.to_string())?;
    Ok((history.len(), check::check(&history, Budget::default())))
}
