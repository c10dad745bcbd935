//! What an operator says about ACME.

use std::{net::IpAddr, path::PathBuf};

use admin::failure::Failure;
use serde::Deserialize;

use crate::origin::Origin;

/// The names of one certificate: authorities take no more than a hundred, and advise few.
pub const NAMES_MAX: usize = 25;
/// Addresses to which an ACME server may write.
const CONTACTS_MAX: usize = 5;
/// Characters of one, and of a URL.
const TEXT_MAX: usize = 300;

/// Certificates of an ACME server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AcmeConfig {
    /// The DNS names that the certificate is for.
    pub names: Vec<String>,
    /// The server's directory, a URL.
    pub directory: String,
    /// Where it may write to, such as `mailto:ops@example.org`.
    pub contact: Vec<String>,
    /// Whether the operator agrees to its terms of service.
    pub terms_agreed: bool,
    /// The authorities that the server's own certificate is of, in a file; the system's when
    /// absent.
    pub ca: Option<PathBuf>,
}

impl Default for AcmeConfig {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            directory: instant_acme::LetsEncrypt::Production.url().to_owned(),
            contact: Vec::new(),
            terms_agreed: false,
            ca: None,
        }
    }
}

impl AcmeConfig {
    /// What the types cannot say.
    ///
    /// # Errors
    /// No server would issue such a certificate, or not in the way in which it is asked for here.
    pub fn check(&self) -> Result<(), Failure> {
        if self.names.is_empty() || self.names.len() > NAMES_MAX {
            return Err(Failure::new(format!(
                "ACME needs 1 to {NAMES_MAX} names for the certificate"
            ))
            .hint("list them in `names` under [tls.acme] (--acme-name)"));
        }
        for name in &self.names {
            check_name(name)?;
        }
        let origin = Origin::of(&self.directory).filter(|(origin, _)| origin.tls);
        if origin.is_none() || self.directory.len() > TEXT_MAX {
            return Err(Failure::new(format!(
                "`{}` is no directory of an ACME server",
                types::text::shown(&self.directory, TEXT_MAX)
            ))
            .hint("it is a URL that begins with https://, its host in lower case"));
        }
        let fine = |contact: &String| {
            let rest = contact.strip_prefix("mailto:").unwrap_or_default();
            rest.contains('@') && types::text::is_plain_text(contact, TEXT_MAX)
        };
        if self.contact.len() > CONTACTS_MAX || !self.contact.iter().all(fine) {
            return Err(Failure::new(format!(
                "`contact` under [tls.acme] has at most {CONTACTS_MAX} addresses, each like \
                 mailto:ops@example.org"
            )));
        }
        if !self.terms_agreed {
            return Err(Failure::new(format!(
                "nobody has agreed to the terms of service of the ACME server {}",
                self.directory
            ))
            .hint(
                "its directory says where they are (`termsOfService`); agree with `terms_agreed = \
                 true` under [tls.acme] (--acme-agree)",
            ));
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    let wrong = |why: &str| {
        let shown = types::text::shown(name, TEXT_MAX);
        Failure::new(format!("no certificate by ACME for `{shown}`: {why}"))
    };
    if name.starts_with("*.") {
        return Err(wrong(
            "a server proves names with a wildcard in DNS only (DNS-01), which Dhow cannot change",
        )
        .hint(
            "let another ACME client get that certificate, and name its files in \
             `tls.certificates`; both may be used together",
        ));
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err(wrong("it is an address, and Dhow asks for DNS names only"));
    }
    let letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.contains('.') || !name.split('.').all(label) {
        return Err(wrong(
            "it is no full DNS name in lower case, such as s3.example.org",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_would_issue_is_refused_with_what_to_do() {
        let check = |change: fn(&mut AcmeConfig)| {
            let mut config = AcmeConfig {
                names: vec!["s3.example.org".to_owned()],
                terms_agreed: true,
                ..AcmeConfig::default()
            };
            change(&mut config);
            config.check().map_err(|e| e.to_string())
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(check(|c| c.contact = vec!["mailto:a@b.org".into()]), Ok(()));
        let refused = |change, part: &str| {
            let why = check(change).unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        refused(|c| c.names.clear(), "1 to 25 names");
        refused(|c| c.names = vec!["a.example".into(); 26], "1 to 25 names");
        refused(|c| c.names.push("*.example.org".into()), "DNS-01");
        refused(|c| c.names.push("192.0.2.1".into()), "an address");
        refused(|c| c.names.push("2001:db8::1".into()), "an address");
        refused(|c| c.names.push("localhost".into()), "no full DNS name");
        refused(|c| c.names.push("S3.example.org".into()), "lower case");
        refused(|c| c.names.push("a..example".into()), "no full DNS name");
        refused(|c| c.names.push("-a.example".into()), "no full DNS name");
        refused(|c| c.terms_agreed = false, "termsOfService");
        refused(|c| c.directory = "http://127.0.0.1/".into(), "https://");
        refused(|c| c.directory = "acme".into(), "https://");
        refused(|c| c.contact = vec!["ops@example.org".into()], "mailto:");
    }
}
