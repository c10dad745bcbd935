//! `dhow env`.

use std::{path::Path, process::ExitCode};

use admin::{
    data_dir::{DataDir, FleetFile},
    failure::Failure,
};
use clap::Args;
use cli::Folder;

/// Print the variables that tools need for the running cloud, for `eval "$(dhow env)"`.
///
/// DHOW_DATA for this command line; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION,
/// AWS_DEFAULT_REGION and AWS_ENDPOINT_URL for the aws CLI, boto3, rclone and others; PATH with the
/// folder of this program where it is not in it; AWS_CA_BUNDLE where the cloud made an authority of
/// its own for TLS. The keys are the root account's: whoever sees them
/// has the whole cloud.
#[derive(Args)]
pub struct Env {
    #[command(flatten)]
    folder: Folder,
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn export(name: &str, value: &str) {
    println!("export {name}={}", quoted(value));
}

/// The folder of this program, unless the shell looks there already.
fn unfound() -> Option<String> {
    let own = std::env::current_exe().ok()?;
    let folder = own.parent()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|one| one == folder);
    (!found).then(|| folder.to_string_lossy().into_owned())
}

impl Env {
    /// Does it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let asked = self.folder.dir();
        asked.must_be_readable()?;
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let keeper = FleetFile::read(asked.path());
        let keeper = keeper.map(|fleet| DataDir::new(&asked.join(&fleet.keeper)));
        let dir = keeper.as_ref().unwrap_or(&asked);
        let at = dir.path().display();
        let running = dir.running().filter(|_| dir.is_locked()).ok_or_else(|| {
            Failure::new(format!("no Dhow is running on {at}")).hint(format!(
                "start it with `dhow up --data {}`, or name the data folder of the one that runs \
                 with --data or DHOW_DATA",
                asked.path().display()
            ))
        })?;
        export("DHOW_DATA", &whole(asked.path()).to_string_lossy());
        if let Some(folder) = unfound() {
            println!("export PATH={}:\"$PATH\"", quoted(&folder));
        }
        if let Some(keys) = dir.credentials() {
            export("AWS_ACCESS_KEY_ID", &keys.access_key);
            export("AWS_SECRET_ACCESS_KEY", &keys.secret_key);
        } else {
            eprintln!("{at} has no root key (it is in the registry's region): set your own key");
        }
        export("AWS_REGION", &running.region);
        export("AWS_DEFAULT_REGION", &running.region);
        export("AWS_ENDPOINT_URL", &running.endpoint);
        if let Some(authority) = &running.authority {
            export("AWS_CA_BUNDLE", &authority.to_string_lossy());
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_shell_takes_each_value_as_one_word() {
        assert_eq!(quoted("/srv/dhow"), "/srv/dhow");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
        assert_eq!(quoted(""), "''");
    }
}
