//! What a certificate says, and the verifiers that TLS asks.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
    time_provider::TimeProvider,
};
use types::{Clock, RegionId, Timestamp};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use crate::{Revoked, names};

/// What the leaf certificate of a region says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub region: RegionId,
    /// Lower-case hex without leading zero bytes.
    pub serial: String,
    pub not_after: Timestamp,
    pub public_key: Vec<u8>,
}

/// What the certificate of an authority says.
pub(crate) struct AuthorityFacts {
    pub not_after: Timestamp,
    pub public_key: Vec<u8>,
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, &'static str> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("bytes after the certificate"),
        Err(_) => Err("not a certificate"),
    }
}

fn not_after(certificate: &X509Certificate<'_>) -> Timestamp {
    let s = certificate.validity().not_after.timestamp();
    Timestamp::from_s(u64::try_from(s).unwrap_or(0))
}

/// Reads a region's certificate. Its names must be exactly one, a region's; it must be no
/// authority. Signature and validity are for others to check.
pub(crate) fn leaf(der: &CertificateDer<'_>) -> Result<Facts, &'static str> {
    let certificate = parse(der)?;
    if certificate.is_ca() {
        return Err("an authority, not a region");
    }
    let names = match certificate.subject_alternative_name() {
        Ok(Some(names)) => names,
        Ok(None) => return Err("no name"),
        Err(_) => return Err("malformed names"),
    };
    let region = match names.value.general_names.as_slice() {
        [GeneralName::DNSName(name)] => names::region_of(name).ok_or("not the name of a region")?,
        _ => return Err("not exactly one name"),
    };
    let serial = certificate.raw_serial();
    let zeros = serial.iter().take_while(|b| **b == 0).count();
    Ok(Facts {
        region,
        serial: hex::encode(serial.get(zeros..).unwrap_or_default()),
        not_after: not_after(&certificate),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
    })
}

/// Reads the certificate of an authority.
pub(crate) fn authority(der: &CertificateDer<'_>) -> Result<AuthorityFacts, &'static str> {
    let certificate = parse(der)?;
    if !certificate.is_ca() {
        return Err("not an authority");
    }
    Ok(AuthorityFacts {
        not_after: not_after(&certificate),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
    })
}

/// Whether `authority` signed `der`.
pub(crate) fn signed_by(der: &CertificateDer<'_>, authority: &AuthorityFacts) -> bool {
    let Ok(certificate) = parse(der) else {
        return false;
    };
    crate::identity::verify_any(
        &authority.public_key,
        certificate.tbs_certificate.as_ref(),
        &certificate.signature_value.data,
    )
}

/// SHA-256 of a certificate.
pub(crate) fn fingerprint(der: &[u8]) -> [u8; 32] {
    sha256(der)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}

/// A certificate in PEM (RFC 7468): lines of 64 characters.
pub(crate) fn to_pem(der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (n, c) in STANDARD.encode(der).chars().enumerate() {
        if n > 0 && n % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

/// The time for TLS, from the clock that everything else asks.
pub(crate) struct ClockTime(pub Arc<dyn Clock>);

impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClockTime")
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = Duration::from_millis(self.0.now().ms());
        Some(UnixTime::since_unix_epoch(since))
    }
}

/// Reads the leaf once its chain is good, and refuses what is malformed or revoked.
fn accepted(der: &CertificateDer<'_>, revoked: &Revoked) -> Result<Facts, Error> {
    let facts = leaf(der)
        .map_err(|_| Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))?;
    if revoked.includes(&facts) {
        return Err(Error::InvalidCertificate(CertificateError::Revoked));
    }
    Ok(facts)
}

/// A server's view of who connects: nobody in particular, or a region of this cloud.
#[derive(Debug)]
pub(crate) struct Callers {
    pub chain: Arc<dyn ClientCertVerifier>,
    pub revoked: Arc<ArcSwap<Revoked>>,
}

impl ClientCertVerifier for Callers {
    fn offer_client_auth(&self) -> bool {
        true
    }
    fn client_auth_mandatory(&self) -> bool {
        false // a region that joins has no certificate yet; the handler decides
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        accepted(end_entity, &self.revoked.load())?;
        Ok(verified)
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Which authority a client trusts.
#[derive(Debug)]
pub(crate) enum Anchor {
    /// The cloud's, whose certificate is known.
    Known(Arc<WebPkiServerVerifier>),
    /// The one with this fingerprint, whose certificate the server sends along.
    Fingerprint([u8; 32]),
}

/// A client's view of the server: exactly the region that was asked for.
#[derive(Debug)]
pub(crate) struct Servers {
    pub anchor: Anchor,
    pub revoked: Arc<ArcSwap<Revoked>>,
    pub provider: Arc<CryptoProvider>,
}

impl Servers {
    fn chain(
        &self,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let wanted = match &self.anchor {
            Anchor::Known(chain) => return Ok(Arc::clone(chain)),
            Anchor::Fingerprint(wanted) => wanted,
        };
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let root = intermediates
            .iter()
            .find(|der| fingerprint(der) == *wanted)
            .ok_or_else(unknown)?;
        authority(root).map_err(|_| unknown())?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|_| unknown())
    }
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = self.chain(intermediates)?;
        let verified =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let facts = accepted(end_entity, &self.revoked.load())?;
        let asked = match server_name {
            ServerName::DnsName(name) => names::region_of(name.as_ref()),
            _ => None,
        };
        if asked != Some(facts.region) {
            let wrong = CertificateError::ApplicationVerificationFailure;
            return Err(Error::InvalidCertificate(wrong));
        }
        Ok(verified)
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls12())
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn tls12() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}
