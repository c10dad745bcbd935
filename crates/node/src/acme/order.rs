//! One order: the account, the proofs of the names, the certificate.

use std::{path::PathBuf, time::Duration};

use admin::data_dir::DataDir;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use listener::{Certificates, Good};
use serde::{Deserialize, Serialize};

use super::{AcmeConfig, AcmeError, client::Client};

/// How often the server is asked whether it has come further, and for how long.
const ASKING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));
/// The problem of a server that does not know the account (RFC 8555 section 6.7).
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
/// The file of the account.
const ACCOUNT: &str = "account.json";

/// What an order needs.
pub(super) struct Ordering<'a> {
    pub(super) config: &'a AcmeConfig,
    pub(super) dir: &'a DataDir,
    /// The folder of this server, in the data folder.
    pub(super) folder: &'a str,
    pub(super) certificates: &'a Certificates,
    pub(super) client: Client,
}

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    account: AccountCredentials,
}

/// Proofs are given as long as this lives.
struct Open<'a>(&'a Certificates);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.end_challenges();
    }
}

impl Ordering<'_> {
    /// Gets a certificate, and keeps it.
    pub(super) async fn run(&self) -> Result<Good, AcmeError> {
        let mut order = self.order().await?;
        let open = Open(self.certificates);
        self.prove(&mut order).await?;
        match order.poll_ready(&ASKING).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(self.why(&mut order, None).await),
            Err(error) => return Err(self.why(&mut order, Some(error)).await),
        }
        drop(open);
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&ASKING).await?;
        let kept = self
            .certificates
            .keep(&format!("{key}{chain}"), &self.config.names);
        kept.map_err(AcmeError::Unusable)
    }

    /// Begins an order with the account that is kept; with a new one where there is none, or where
    /// the server does not know it any more.
    async fn order(&self) -> Result<Order, AcmeError> {
        let names = self.config.names.iter().cloned();
        let names: Vec<Identifier> = names.map(Identifier::Dns).collect();
        let order = NewOrder::new(&names);
        if let Some(kept) = self.kept() {
            let builder = Account::builder_with_http(Box::new(self.client.clone()));
            let account = builder.from_credentials(kept.account).await?;
            match account.new_order(&order).await {
                Err(Error::Api(problem)) if is_unknown(&problem) => {
                    tracing::warn!("the ACME server does not know the account: a new one is made");
                }
                answer => return Ok(answer?),
            }
        }
        Ok(self.register().await?.new_order(&order).await?)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(self.folder).join(ACCOUNT)
    }

    fn kept(&self) -> Option<Kept> {
        let text = std::fs::read(self.path()).ok()?;
        match serde_json::from_slice::<Kept>(&text) {
            Ok(kept) => Some(kept).filter(|kept| kept.directory == self.config.directory),
            Err(error) => {
                let path = self.path();
                tracing::warn!(%error, path = %path.display(), "the ACME account cannot be read");
                None
            }
        }
    }

    async fn register(&self) -> Result<Account, AcmeError> {
        let contact: Vec<&str> = self.config.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            // Nothing is asked before the operator has agreed.
            terms_of_service_agreed: self.config.terms_agreed,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let directory = self.config.directory.clone();
        let (account, credentials) = builder.create(&new, directory.clone(), None).await?;
        let kept = Kept {
            directory,
            account: credentials,
        };
        let text = serde_json::to_vec(&kept).map_err(|e| AcmeError::Kept(e.to_string()))?;
        let name = format!("{}/{ACCOUNT}", self.folder);
        let written = self.dir.write_private(&name, &text);
        written.map_err(|e| AcmeError::Kept(e.to_string()))?;
        tracing::info!(id = account.id(), "an account was made at the ACME server");
        Ok(account)
    }

    /// Gives a proof for each name that needs one.
    async fn prove(&self, order: &mut Order) -> Result<(), AcmeError> {
        let mut all = order.authorizations();
        while let Some(next) = all.next().await {
            let mut next = next?;
            let name = match next.identifier().identifier {
                Identifier::Dns(name) if self.config.names.contains(name) => name.clone(),
                _ => return Err(AcmeError::Another),
            };
            match next.status {
                // The server remembers an earlier proof.
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => return Err(AcmeError::Name(name, "the order is no longer open".into())),
            }
            let mut challenge = next
                .challenge(ChallengeType::TlsAlpn01)
                .ok_or_else(|| AcmeError::NoProof(name.clone()))?;
            let digest = challenge.key_authorization().digest();
            let opened = self.certificates.open_challenge(&name, digest.as_ref());
            opened.map_err(AcmeError::Unusable)?;
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// Why an order failed: the first name whose proof the server did not get, and what it says of
    /// that.
    async fn why(&self, order: &mut Order, error: Option<Error>) -> AcmeError {
        let mut all = order.authorizations();
        while let Some(Ok(mut next)) = all.next().await {
            let Ok(state) = next.refresh().await else {
                break;
            };
            let problem = state.challenges.iter().find_map(|c| c.error.as_ref());
            if let (Some(problem), Identifier::Dns(name)) = (problem, state.identifier().identifier)
            {
                return AcmeError::Name(name.clone(), said(problem));
            }
        }
        error.map_or(AcmeError::Invalid, AcmeError::from)
    }
}

fn is_unknown(problem: &Problem) -> bool {
    problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT)
}

/// What a server says, in a length for a log.
pub(super) fn said(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("without a type");
    let kind = kind.rsplit(':').next().unwrap_or(kind);
    let detail = problem.detail.as_deref().unwrap_or_default();
    let more = problem.subproblems.iter().take(3).map(ToString::to_string);
    let all: Vec<String> = std::iter::once(detail.to_owned()).chain(more).collect();
    let text = format!("{} ({kind})", all.join("; "));
    types::text::shown(&text, 600).into_owned()
}
