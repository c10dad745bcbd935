//! Which cloud a command is about.

use std::path::PathBuf;

use admin::{client::AdminClient, data_dir::DataDir, failure::Failure};
use clap::Args;

use crate::profile::Profile;

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
