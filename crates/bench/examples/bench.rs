//! The load generator alone, without the rest of `dhow`.

use clap::Parser;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: bench::BenchArgs,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Command::parse().args;
    let report = bench::run(&args)?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{}", report.text());
    }
    Ok(())
}
