//! The other end: connections with TLS to listeners like these, for commands.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use tokio_rustls::TlsConnector;

use crate::{Stream, TlsError, certificates::read};

/// Authorities that the system trusts (Debian).
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Which servers a client trusts.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The server shows this very certificate: the first one in a file. For a server on the same
    /// machine, whose certificate may be for other names.
    Certificate(PathBuf),
    /// Authorities in a file, or a certificate that is in the file itself; the name that was asked
    /// for must be right.
    Authorities(PathBuf),
}

impl Trust {
    /// The authorities that AWS_CA_BUNDLE or SSL_CERT_FILE names, or else the system's.
    pub fn configured() -> Self {
        let named = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"].map(std::env::var_os);
        let mut named = named.into_iter().flatten().filter(|path| !path.is_empty());
        Self::Authorities(
            named
                .next()
                .map_or_else(|| SYSTEM_AUTHORITIES.into(), Into::into),
        )
    }
}

/// Opens TLS connections to one server.
#[derive(Debug, Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// To `host`, a DNS name or an IP address.
    ///
    /// # Errors
    /// The file cannot be read or has no certificate; `host` is no name.
    pub fn new(host: &str, trust: &Trust) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| rustls::Error::General(format!("`{host}` is no name of a host")))?;
        Ok(Self {
            config: config(trust)?,
            name,
        })
    }

    /// Begins TLS on a blocking connection. The handshake happens with the first bytes that are
    /// written, and its failure is theirs.
    ///
    /// # Errors
    /// TLS cannot begin.
    pub fn connect(&self, stream: TcpStream) -> Result<Box<dyn Duplex>, TlsError> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        Ok(Box::new(Closing(StreamOwned::new(connection, stream))))
    }

    /// The handshake on a connection.
    ///
    /// # Errors
    /// The server is not trusted, or the connection breaks.
    pub async fn handshake(&self, stream: tokio::net::TcpStream) -> io::Result<Stream> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(self.name.clone(), stream).await?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

/// Both ways of a connection.
pub trait Duplex: Read + Write {}
impl<S: Read + Write> Duplex for S {}

pub(crate) fn config(trust: &Trust) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let verifier = match trust {
        Trust::Certificate(path) => Believing {
            known: certificates(path)?.into_iter().take(1).collect(),
            authorities: None,
            provider,
        },
        Trust::Authorities(path) => {
            let known = certificates(path)?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(known.clone());
            let roots = Arc::new(roots);
            let authorities =
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
            Believing {
                known,
                authorities: Some(authorities),
                provider,
            }
        }
    };
    let config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = || TlsError::Content(path.into(), "it has no certificate in PEM".to_owned());
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(wrong)
}

/// An answer says how long it is: a server that ends without a farewell of TLS ends it all the
/// same.
struct Closing(StreamOwned<ClientConnection, TcpStream>);

impl Read for Closing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}

impl Write for Closing {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Accepts certificates that it knows, and those of authorities.
#[derive(Debug)]
struct Believing {
    known: Vec<CertificateDer<'static>>,
    /// Without them names do not count.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match (self.known.contains(end_entity), &self.authorities) {
            (true, None) => Ok(ServerCertVerified::assertion()),
            (false, None) => Err(CertificateError::UnknownIssuer.into()),
            // A certificate that signs itself is no authority over itself for webpki.
            (true, Some(_)) => {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            (false, Some(authorities)) => authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
