//! What `dhow up` is given about ACME.

use std::path::PathBuf;

use clap::Args;
use node::AcmeConfig;

/// Options of `dhow up`.
#[derive(Args)]
pub struct AcmeArgs {
    /// Serve S3 over TLS with a certificate for this DNS name, which an ACME server such as Let's
    /// Encrypt issues and renews: port 443 of the name must reach --listen. May be repeated.
    #[arg(long = "acme-name", value_name = "NAME", requires = "agree",
          conflicts_with_all = ["tls", "regions", "world"])]
    names: Vec<String>,
    /// Agree to the terms of service of the ACME server.
    #[arg(id = "agree", long = "acme-agree", requires = "names")]
    agree: bool,
    /// Where the ACME server may write to, such as mailto:ops@example.org. May be repeated.
    #[arg(long = "acme-contact", value_name = "URL", requires = "names")]
    contact: Vec<String>,
    /// The directory of the ACME server.
    #[arg(long = "acme-directory", value_name = "URL", requires = "names",
          default_value_t = AcmeConfig::default().directory)]
    directory: String,
    /// The authority of that server's own certificate (PEM), if the system does not trust it.
    #[arg(long = "acme-ca", value_name = "FILE", requires = "names")]
    ca: Option<PathBuf>,
}

impl AcmeArgs {
    /// What the options say; `None` without a name.
    pub fn config(self) -> Option<AcmeConfig> {
        (!self.names.is_empty()).then_some(AcmeConfig {
            names: self.names,
            directory: self.directory,
            contact: self.contact,
            terms_agreed: self.agree,
            ca: self.ca,
        })
    }
}
