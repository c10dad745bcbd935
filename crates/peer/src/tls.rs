//! The TLS state of a region: who it is, whom it trusts and whom no longer; swapped as a whole
//! while connections go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::sync::watch;
use types::{Clock, RegionId, SystemClock, Timestamp};

use crate::{
    Credentials, PeerError,
    verify::{self, Anchor, Callers, ClockTime, Facts, Servers},
};

/// The one protocol inside (RFC 7301, RFC 9113 section 3.2).
pub(crate) const ALPN: &[u8] = b"h2";

/// Who is no longer trusted, although its certificate has not expired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Regions that left the cloud: all their certificates.
    pub regions: BTreeSet<RegionId>,
    /// Single certificates by serial number, as [`crate::IssuedCertificate::serial`] writes it.
    pub serials: BTreeSet<String>,
    /// The Ed25519 keys that regions have: a certificate of a region listed here is accepted for
    /// this key only.
    pub keys: BTreeMap<RegionId, Vec<u8>>,
}

impl Revoked {
    /// Whether a certificate is in the set, by what it says.
    pub(crate) fn includes(&self, facts: &Facts) -> bool {
        let key = self.keys.get(&facts.region);
        self.regions.contains(&facts.region)
            || self.serials.contains(&facts.serial)
            || key.is_some_and(|key| *key != facts.public_key)
    }
}

/// The shared TLS state of a region's servers and clients.
pub struct Tls {
    pub(crate) clock: Arc<dyn Clock>,
    state: ArcSwap<State>,
    revoked: Arc<ArcSwap<Revoked>>,
    /// Wakes servers that hold connections when the set of the revoked changes.
    changes: watch::Sender<()>,
}

/// What one set of credentials amounts to.
pub(crate) struct State {
    /// Counts the sets of credentials since the start.
    pub generation: u64,
    pub region: RegionId,
    pub client: Arc<ClientConfig>,
    pub server: Arc<ServerConfig>,
    not_after: Timestamp,
    authority: [u8; 32],
}

/// Why a certificate that was once accepted is not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    Revoked,
    Expired,
}

impl Stale {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Revoked => "its certificate is revoked",
            Self::Expired => "its certificate has expired",
        }
    }
}

impl Tls {
    /// The state of a region with these credentials, on the machine's clock.
    ///
    /// # Errors
    /// [`PeerError::Credentials`] when key, certificate, region and authority do not belong
    /// together. An expired certificate is no error: the region must be able to start and renew.
    pub fn new(credentials: Credentials) -> Result<Arc<Self>, PeerError> {
        Self::with_clock(credentials, Arc::new(SystemClock))
    }

    /// The same on a clock of one's own.
    ///
    /// # Errors
    /// As [`Tls::new`].
    pub fn with_clock(
        credentials: Credentials,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, PeerError> {
        let revoked = Arc::new(ArcSwap::from_pointee(Revoked::default()));
        let state = State::new(&credentials, &clock, &revoked, 0)?;
        Ok(Arc::new(Self {
            clock,
            state: ArcSwap::from_pointee(state),
            revoked,
            changes: watch::Sender::new(()),
        }))
    }

    /// Takes new credentials of the same region into use. New handshakes show the new certificate
    /// from here on; connections that are open go on, and clients open new ones for new requests.
    ///
    /// # Errors
    /// As [`Tls::new`], and when the credentials are another region's; the old ones stay.
    pub fn replace(&self, credentials: Credentials) -> Result<(), PeerError> {
        if credentials.region != self.region() {
            return Err(PeerError::credentials("credentials of another region"));
        }
        let state = State::new(&credentials, &self.clock, &self.revoked, 0)?;
        self.state.rcu(|old| State {
            generation: old.generation + 1,
            region: state.region.clone(),
            client: Arc::clone(&state.client),
            server: Arc::clone(&state.server),
            not_after: state.not_after,
            authority: state.authority,
        });
        Ok(())
    }

    /// Replaces the set of the revoked. Once this returns, no handshake with one of them succeeds
    /// and no request of theirs begins; their open connections are being closed.
    pub fn revoke(&self, set: Revoked) {
        self.revoked.store(Arc::new(set));
        self.changes.send_replace(());
    }

    /// The region that this is.
    pub fn region(&self) -> RegionId {
        self.state.load().region.clone()
    }

    /// SHA-256 of the certificate of the cloud's authority: which cloud this is.
    pub fn authority_fingerprint(&self) -> [u8; 32] {
        self.state.load().authority
    }

    /// When the certificate in use stops being valid; renew well before.
    pub fn not_after(&self) -> Timestamp {
        self.state.load().not_after
    }

    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether the certificate of an open connection still counts.
    pub(crate) fn check(&self, facts: &Facts) -> Result<(), Stale> {
        if self.revoked.load().includes(facts) {
            return Err(Stale::Revoked);
        }
        if self.clock.now() > facts.not_after {
            return Err(Stale::Expired);
        }
        Ok(())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load();
        f.debug_struct("Tls")
            .field("region", &state.region)
            .field("generation", &state.generation)
            .finish_non_exhaustive()
    }
}

/// Ring's algorithms; nothing process-wide is installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client without a certificate, for a server whose authority has this fingerprint.
pub(crate) fn stranger(
    fingerprint: [u8; 32],
    clock: Arc<dyn Clock>,
) -> Result<ClientConfig, PeerError> {
    let provider = provider();
    let servers = Servers {
        anchor: Anchor::Fingerprint(fingerprint),
        revoked: Arc::default(),
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_details(provider, Arc::new(ClockTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .map_err(PeerError::credentials)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_no_client_auth();
    Ok(finish_client(config))
}

/// A resumed session would not show its certificate again, so a revoked peer could come back with
/// a ticket: there are none.
fn finish_client(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

impl State {
    fn new(
        credentials: &Credentials,
        clock: &Arc<dyn Clock>,
        revoked: &Arc<ArcSwap<Revoked>>,
        generation: u64,
    ) -> Result<Self, PeerError> {
        let read = |pem: &str, what: &str| {
            CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|_| PeerError::Credentials(format!("{what} is not PEM")))
        };
        let leaf = read(&credentials.certificate, "the certificate")?;
        let root = read(&credentials.authority, "the authority's certificate")?;
        let facts = belongs(credentials, &leaf, &root)?;
        let authority = verify::fingerprint(&root);
        let provider = provider();
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).map_err(PeerError::credentials)?;
        let roots = Arc::new(roots);
        // The authority's certificate goes along, for strangers who know its fingerprint only.
        let chain = vec![leaf, root];
        let key = PrivatePkcs8KeyDer::from(credentials.identity.pkcs8().to_vec());
        let key = PrivateKeyDer::Pkcs8(key);
        let server = server(&provider, clock, revoked, &roots)?
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(PeerError::credentials)?;
        let anchor =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(PeerError::credentials)?;
        let servers = Servers {
            anchor: Anchor::Known(anchor),
            revoked: Arc::clone(revoked),
            provider: Arc::clone(&provider),
        };
        let time = Arc::new(ClockTime(Arc::clone(clock)));
        let client = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&TLS13])
            .map_err(PeerError::credentials)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(servers))
            .with_client_auth_cert(chain, key)
            .map_err(PeerError::credentials)?;
        Ok(Self {
            generation,
            region: credentials.region.clone(),
            client: Arc::new(finish_client(client)),
            server: Arc::new(finish_server(server)),
            not_after: facts.not_after,
            authority,
        })
    }
}

/// Checks that key, certificate, region and authority belong together.
fn belongs(
    credentials: &Credentials,
    leaf: &CertificateDer<'_>,
    root: &CertificateDer<'_>,
) -> Result<Facts, PeerError> {
    let facts = verify::leaf(leaf).map_err(PeerError::credentials)?;
    let authority = verify::authority(root).map_err(PeerError::credentials)?;
    if facts.region != credentials.region {
        return Err(PeerError::credentials(
            "the certificate is another region's",
        ));
    }
    if facts.public_key != credentials.identity.public_key() {
        return Err(PeerError::credentials("the certificate is another key's"));
    }
    if !verify::signed_by(leaf, &authority) {
        return Err(PeerError::credentials(
            "the certificate is not signed by the authority",
        ));
    }
    Ok(facts)
}

type WantsCertificate = rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>;

fn server(
    provider: &Arc<CryptoProvider>,
    clock: &Arc<dyn Clock>,
    revoked: &Arc<ArcSwap<Revoked>>,
    roots: &Arc<RootCertStore>,
) -> Result<WantsCertificate, PeerError> {
    let chain =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .allow_unauthenticated()
            .build()
            .map_err(PeerError::credentials)?;
    let callers = Callers {
        chain,
        revoked: Arc::clone(revoked),
    };
    let time = Arc::new(ClockTime(Arc::clone(clock)));
    Ok(
        ServerConfig::builder_with_details(Arc::clone(provider), time)
            .with_protocol_versions(&[&TLS13])
            .map_err(PeerError::credentials)?
            .with_client_cert_verifier(Arc::new(callers)),
    )
}

/// No tickets and no stored sessions, as for clients.
fn finish_server(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}
