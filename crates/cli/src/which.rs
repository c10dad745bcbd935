//! Which cloud a command is about.

use std::path::PathBuf;

use admin::{client::AdminClient, data_dir::DataDir, failure::Failure};
use clap::Args;

use crate::profile::Profile;

/// Where a cloud is that nothing names.
const DATA: &str = "./dhow-data";

/// Which data folder on this machine a command is about.
#[derive(Args, Clone)]
pub struct Folder {
    /// The data folder of the cloud, or of one region of it. Unless given, what DHOW_DATA names, or
    /// else ./dhow-data.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Folder {
    /// The folder.
    pub fn dir(&self) -> DataDir {
        let named = self
            .data
            .clone()
            .or_else(|| set("DHOW_DATA").map(PathBuf::from));
        DataDir::new(&named.unwrap_or_else(|| PathBuf::from(DATA)))
    }
}

/// A variable that says something.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Which cloud a command is about.
#[derive(Args, Clone)]
pub struct Which {
    #[command(flatten)]
    folder: Folder,
    /// The admin API of a cloud that runs elsewhere, such as http://127.0.0.1:9001. Signed with
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; --admin-region names the region. DHOW_ADMIN
    /// says the same where none of --data, --profile and this is given.
    #[arg(
        long,
        visible_alias = "endpoint",
        value_name = "URL",
        conflicts_with = "data"
    )]
    admin_url: Option<String>,
    /// With --admin-url: the region whose admin API it is. Without it AWS_REGION says so.
    #[arg(long, value_name = "REGION")]
    admin_region: Option<String>,
    /// A cloud that runs elsewhere and a key for it, by their name in ~/.config/dhow/profiles.toml
    /// (or the file that DHOW_PROFILES names). DHOW_PROFILE says the same where none of --data,
    /// --admin-url and this is given.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["admin_url", "data"])]
    profile: Option<String>,
}

/// A cloud that runs elsewhere.
enum Elsewhere {
    Url(String),
    Profile(String),
}

impl Which {
    /// The running cloud that the command is about.
    ///
    /// # Errors
    /// No cloud runs there, or there is no key to sign with; says what to do.
    pub fn client(&self) -> Result<AdminClient, Failure> {
        let region = self.admin_region.as_deref();
        match self.elsewhere()? {
            Some(Elsewhere::Url(url)) => AdminClient::remote(&url, region, None),
            Some(Elsewhere::Profile(name)) => {
                let profile = Profile::read(&name)?;
                let region = region.unwrap_or(&profile.region);
                AdminClient::remote(&profile.endpoint, Some(region), Some(profile.credentials()))
            }
            None if region.is_some() => Err(Failure::new(
                "--admin-region goes with --admin-url or --profile",
            )
            .hint("the region of a data folder is known: leave --admin-region out")),
            None => AdminClient::find(&self.folder.dir()),
        }
    }

    /// What the command line names comes before the environment: a command for one cloud must not
    /// be done in another one.
    fn elsewhere(&self) -> Result<Option<Elsewhere>, Failure> {
        let url = self.admin_url.clone().map(Elsewhere::Url);
        let named = url.or(self.profile.clone().map(Elsewhere::Profile));
        if named.is_some() || self.folder.data.is_some() {
            return Ok(named);
        }
        match (set("DHOW_ADMIN"), set("DHOW_PROFILE")) {
            (Some(_), Some(_)) => Err(Failure::new(
                "DHOW_ADMIN and DHOW_PROFILE are both set, and each names a cloud",
            )
            .hint("unset one of them, or name the cloud with --profile, --admin-url or --data")),
            (url, profile) => {
                let profile = profile.map(Elsewhere::Profile);
                Ok(url.map(Elsewhere::Url).or(profile))
            }
        }
    }
}
