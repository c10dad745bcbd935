//! The command line: what there is, with help that teaches. One file per command.

mod access;
mod account;
mod acme_args;
mod anchor;
mod audit;
mod bucket;
mod config_file;
mod console;
mod doctor;
mod draining;
mod env;
mod examples;
mod group;
mod inline;
mod key;
mod moving;
mod of_account;
mod operator;
mod placing;
mod policy;
mod promoting;
mod region;
mod residency;
mod role;
mod scrub;
mod table;
mod up;
mod uploads;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use node::{data_dir::DataDir, failure::Failure};

use crate::{admin_client::AdminClient, profile::Profile};

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
  dhow up --data /srv/dhow --listen 0.0.0.0:9000
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
    Account(account::Account),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    User(user::User),
    #[command(subcommand)]
    Role(role::Role),
    #[command(subcommand)]
    Group(group::Group),
    #[command(subcommand)]
    Policy(policy::Policy),
    #[command(subcommand)]
    Access(access::Access),
    #[command(subcommand)]
    Region(region::Region),
    #[command(subcommand)]
    Console(console::ConsoleCommand),
    #[command(subcommand)]
    Operator(operator::Operator),
    #[command(subcommand)]
    Bucket(bucket::Bucket),
    Doctor(doctor::Doctor),
    Scrub(scrub::Scrub),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Residency(residency::Residency),
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

/// Which data folder on this machine a command is about.
#[derive(Args, Clone)]
pub struct Folder {
    /// The data folder of the cloud, or of one region of it.
    #[arg(
        long,
        env = "DHOW_DATA",
        default_value = "./dhow-data",
        value_name = "DIR"
    )]
    data: PathBuf,
}

impl Folder {
    /// The folder.
    pub fn dir(&self) -> DataDir {
        DataDir::new(&self.data)
    }
}

/// Which cloud a command is about.
#[derive(Args, Clone)]
pub struct Which {
    #[command(flatten)]
    folder: Folder,
    /// The admin API of a cloud that runs elsewhere, such as http://127.0.0.1:9001, instead of the
    /// one of --data. Signed with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --admin-region names
    /// the region.
    #[arg(
        long,
        visible_alias = "endpoint",
        env = "DHOW_ADMIN",
        value_name = "URL"
    )]
    admin_url: Option<String>,
    /// With --admin-url: the region whose admin API it is. Without it AWS_REGION says so.
    #[arg(long, value_name = "REGION")]
    admin_region: Option<String>,
    /// A cloud that runs elsewhere and a key for it, by their name in ~/.config/dhow/profiles.toml
    /// (or the file that DHOW_PROFILES names).
    #[arg(
        long,
        env = "DHOW_PROFILE",
        value_name = "NAME",
        conflicts_with = "admin_url"
    )]
    profile: Option<String>,
}

impl Which {
    /// The running cloud that the command is about.
    ///
    /// # Errors
    /// No cloud runs there, or there is no key to sign with; says what to do.
    pub fn client(&self) -> Result<AdminClient, Failure> {
        match (&self.admin_url, &self.profile) {
            (Some(url), _) => AdminClient::remote(url, self.admin_region.as_deref(), None),
            (None, Some(name)) => {
                let profile = Profile::read(name)?;
                let region = self.admin_region.as_deref().unwrap_or(&profile.region);
                AdminClient::remote(&profile.endpoint, Some(region), Some(profile.credentials()))
            }
            (None, None) => AdminClient::find(&self.folder.dir()),
        }
    }
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

/// Prints JSON for scripts.
pub fn print_json(value: &serde_json::Value) {
    println!("{}", plain_json(value));
}

/// JSON that a terminal obeys nothing of. Outside its strings there is nothing to spell out.
fn plain_json(value: &serde_json::Value) -> String {
    let mut out = String::new();
    for c in format!("{value:#}").chars() {
        match c == '\n' || types::text::is_plain(c) {
            true => out.push(c),
            false => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn json_for_a_terminal_is_the_same_json_and_has_nothing_that_it_obeys() {
        let value = serde_json::json!({"name": "a\u{9b}2J\u{202e}\u{e0001}\u{1b}]0;x\n", "é": [1]});
        let text = super::plain_json(&value);
        let is_plain = |c| c == '\n' || types::text::is_plain(c);
        assert!(text.chars().all(is_plain), "{text}");
        let again: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(again, value);
        assert!(text.contains('é'));
    }

    /// What clap checks only when a command is called.
    #[test]
    fn every_command_can_be_called() {
        super::Cli::command().debug_assert();
    }
}
