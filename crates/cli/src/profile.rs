//! Profiles of the command line: clouds that run elsewhere, and whose key is used there.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use admin::{data_dir::Credentials, failure::Failure};
use serde::Deserialize;

/// One cloud, as somebody with a key of his own reaches it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The admin API, `http://host:port`.
    pub endpoint: String,
    /// The region whose admin API it is.
    pub region: String,
    /// The public half of the key.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
    /// The console, `https://host` or `https://host:port`, for `dhow console login`.
    #[serde(default)]
    pub console: Option<String>,
}

/// Where profiles are: DHOW_PROFILES, or else `dhow/profiles.toml` in the user's configuration.
fn file() -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let at = set("DHOW_PROFILES").map(PathBuf::from).or_else(|| {
        let home = || set("HOME").map(|home| Path::new(&home).join(".config"));
        let config = set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home);
        config.map(|config| config.join("dhow").join("profiles.toml"))
    });
    at.ok_or_else(|| {
        Failure::new("no home folder is known, in which profiles would be")
            .hint("name the file in DHOW_PROFILES")
    })
}

impl Profile {
    /// The profile of that name.
    ///
    /// # Errors
    /// There is no such profile, its file cannot be read, or others may read it.
    pub fn read(name: &str) -> Result<Self, Failure> {
        Self::read_from(&file()?, name)
    }

    fn read_from(path: &Path, name: &str) -> Result<Self, Failure> {
        let at = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Failure::new(format!("cannot read the profiles in {at}: {e}"))
                .hint("docs/guide.md shows such a file")
        })?;
        let mode = std::fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
        if mode & 0o077 != 0 {
            return Err(
                Failure::new(format!("{at} holds secret keys, and others may read it"))
                    .hint(format!("chmod 600 {at}")),
            );
        }
        let mut all: BTreeMap<String, Self> =
            toml::from_str(&text).map_err(|e| Failure::new(format!("{at}: {}", e.message())))?;
        all.remove(name).ok_or_else(|| {
            let names: Vec<String> = all.into_keys().collect();
            Failure::new(format!("{at} has no profile {name}"))
                .hint(format!("it has: {}", names.join(", ")))
        })
    }

    /// Its key pair.
    pub fn credentials(&self) -> Credentials {
        Credentials {
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            account: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_by_its_name_from_a_private_file() {
        let path = std::env::temp_dir().join(format!("dhow-profiles-{}", std::process::id()));
        let text = "[acme]\nendpoint = \"http://127.0.0.1:9001\"\nregion = \"local-1\"\n\
                    access_key = \"K\"\nsecret_key = \"S\"\n";
        std::fs::write(&path, text).unwrap();
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let told = |name| match Profile::read_from(&path, name) {
            Ok(profile) => profile.access_key,
            Err(failure) => failure.to_string(),
        };
        mode(0o640);
        assert!(told("acme").contains("chmod 600"));
        mode(0o600);
        assert_eq!(told("acme"), "K");
        assert!(told("other").contains("it has: acme"), "{}", told("other"));
        std::fs::write(&path, text.replace("region", "regoin")).unwrap();
        assert!(told("acme").contains("regoin"), "{}", told("acme"));
        std::fs::remove_file(&path).unwrap();
        assert!(told("acme").contains("docs/guide.md"));
    }
}
