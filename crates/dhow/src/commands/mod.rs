//! The command line: what there is, with help that teaches. Commands that only ask the admin API
//! are in the crate `cli`; each other has a file here.

mod acme_args;
mod config_file;
mod doctor;
mod env;
mod examples;
mod key;
mod registry;
mod scrub;
mod up;

use std::process::ExitCode;

use admin::failure::Failure;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use cli::shown::print_json;

/// A storage cloud: S3 over one binary.
#[derive(Parser)]
#[command(
    name = "dhow",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  dhow up                                  start a cloud in ./dhow-data
  dhow up --data /srv/dhow --listen 0.0.0.0:9000 --tls
  dhow up --regions 3 --data ./fleet       a cloud of three regions, each a process
  dhow bucket create b --home eu-central-1 --replica me-east-1
  eval \"$(dhow env)\"                       set the variables that tools need for it
  dhow account create acme                 an account of its own
  dhow key create --account acme           a key pair of that account
  dhow console login                       a link that opens the web console, signed in
  dhow doctor                              what is wrong, and what to do about it
  dhow bench put --size 4KiB               how fast it is

The other commands find the running cloud through --data or DHOW_DATA, and one on another machine
through --profile or --admin-url: docs/guide.md says who does what, and with which key.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(Box<up::Up>),
    Serve(up::Serve),
    Env(env::Env),
    #[command(subcommand)]
    Account(cli::Account),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    User(cli::User),
    #[command(subcommand)]
    Role(cli::Role),
    #[command(subcommand)]
    Session(cli::Session),
    #[command(subcommand)]
    Group(cli::Group),
    #[command(subcommand)]
    Policy(cli::Policy),
    #[command(subcommand)]
    Access(cli::Access),
    #[command(subcommand)]
    Region(cli::Region),
    #[command(subcommand)]
    Console(cli::ConsoleCommand),
    #[command(subcommand)]
    Operator(cli::Operator),
    #[command(subcommand)]
    Bucket(cli::Bucket),
    Doctor(doctor::Doctor),
    Scrub(scrub::Scrub),
    #[command(subcommand)]
    Audit(cli::Audit),
    #[command(subcommand)]
    Residency(cli::Residency),
    #[command(subcommand)]
    Registry(registry::Registry),
    /// Measure an S3 endpoint: puts, gets, heads, lists, deletes, or a mix of them.
    Bench(BenchCommand),
    #[command(subcommand)]
    Config(config_file::ConfigFile),
}

/// Measure an S3 endpoint: puts, gets, heads, lists, deletes, or a mix of them.
///
/// Without --endpoint the running cloud of --data is measured, with its root key.
#[derive(Args)]
struct BenchCommand {
    #[command(flatten)]
    args: bench::BenchArgs,
}

impl Cli {
    /// Reads the command line; `--help` and mistakes end the process.
    pub fn read() -> Self {
        let matches = examples::add(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// Does what was asked.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Up(up) => up.run(),
            Command::Serve(serve) => serve.run(),
            Command::Env(env) => env.run(),
            Command::Account(account) => account.run(),
            Command::Key(key) => key.run(),
            Command::User(user) => user.run(),
            Command::Role(role) => role.run(),
            Command::Session(session) => session.run(),
            Command::Group(group) => group.run(),
            Command::Policy(policy) => policy.run(),
            Command::Access(access) => access.run(),
            Command::Console(console) => console.run(),
            Command::Region(region) => region.run(),
            Command::Operator(operator) => operator.run(),
            Command::Bucket(bucket) => bucket.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Scrub(scrub) => scrub.run(),
            Command::Audit(audit) => audit.run(),
            Command::Residency(residency) => residency.run(),
            Command::Registry(registry) => registry.run(),
            Command::Bench(BenchCommand { args }) => {
                let report = bench::run(&args).map_err(|e| Failure::new(e.to_string()))?;
                if args.json {
                    print_json(&serde_json::to_value(&report)?);
                } else {
                    println!("{}", report.text());
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Config(config) => config.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    /// What clap checks only when a command is called.
    #[test]
    fn every_command_can_be_called() {
        super::Cli::command().debug_assert();
    }
}
