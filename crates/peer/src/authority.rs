//! The cloud's authority: one self-signed Ed25519 certificate, and what it signs.

use std::{fmt, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    PublicKeyData, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};
use types::{Random, RegionId, SystemRandom, Timestamp};

use crate::{PeerError, region_dns_name, verify};

/// How far the clock of a peer may be behind the authority's.
const SKEW: Duration = Duration::from_secs(5 * 60);
/// How long the authority's own certificate holds: 20 years.
const AUTHORITY_VALID: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Longest request for a certificate that is read, in bytes; a plain one has about 200.
const CSR_BYTES_MAX: usize = 4096;
/// Longest name of a cloud, in bytes (X.520, `ub-common-name` is 64, less "Dhow cloud ").
const CLOUD_NAME_BYTES_MAX: usize = 53;

/// The cloud's authority over who is a region. Its key lives in the registry's region only.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    not_after: Timestamp,
}

/// A certificate that the authority has just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// The certificate, PEM.
    pub pem: String,
    /// The serial number, lower-case hex without leading zero bytes; what [`crate::Revoked`]
    /// names.
    pub serial: String,
    /// When it stops being valid; a whole second.
    pub not_after: Timestamp,
    /// The Ed25519 key that it is for.
    pub public_key: Vec<u8>,
}

impl Authority {
    /// A new authority for the cloud called `cloud`, valid for 20 years from `now`.
    ///
    /// # Errors
    /// [`PeerError::Credentials`] when the name is empty or longer than 53 bytes.
    pub fn create(cloud: &str, now: Timestamp) -> Result<Self, PeerError> {
        if cloud.is_empty() || cloud.len() > CLOUD_NAME_BYTES_MAX {
            return Err(PeerError::credentials("a cloud's name has 1 to 53 bytes"));
        }
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(PeerError::credentials)?;
        let mut params = blank(&format!("Dhow cloud {cloud}"), now, AUTHORITY_VALID);
        params.serial_number = Some(SerialNumber::from_slice(&serial()));
        // Directly above the leaves: nothing that it signs may sign in turn.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(PeerError::credentials)?;
        Self::new(certificate.der().clone(), key)
    }

    /// Reads what [`Authority::to_pem`] wrote.
    ///
    /// # Errors
    /// [`PeerError::Credentials`] when the two are not the certificate and key of an authority.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PeerError> {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| PeerError::credentials("the authority's certificate is not PEM"))?;
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(key, &PKCS_ED25519)
            .map_err(|_| PeerError::credentials("the authority's key is not Ed25519 in PEM"))?;
        Self::new(certificate, key)
    }

    fn new(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Self, PeerError> {
        let facts = verify::authority(&certificate).map_err(PeerError::credentials)?;
        if facts.public_key != key.der_bytes() {
            return Err(PeerError::credentials(
                "the authority's key and certificate differ",
            ));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(PeerError::credentials)?;
        Ok(Self {
            certificate,
            issuer,
            not_after: facts.not_after,
        })
    }

    /// The certificate and the key, in PEM. **The second is the cloud's greatest secret.**
    pub fn to_pem(&self) -> (String, String) {
        (self.certificate_pem(), self.issuer.key().serialize_pem())
    }

    /// The certificate, in PEM. No secret: every region holds it.
    pub fn certificate_pem(&self) -> String {
        verify::to_pem(&self.certificate)
    }

    /// SHA-256 of the certificate's DER, by which a join token names the cloud.
    pub fn fingerprint(&self) -> [u8; 32] {
        verify::fingerprint(&self.certificate)
    }

    /// Signs a certificate for the key in `csr_der` (PKCS#10). The certificate is for `region` and
    /// nothing else: the names, usages and extensions that the request asks for are not looked at.
    /// It holds from five minutes before `now`, for clocks that are behind, until `valid` after
    /// it, but not beyond the authority's own certificate.
    ///
    /// # Errors
    /// [`PeerError::Credentials`] when the request is not one, is not signed by its own key, is
    /// for another kind of key than Ed25519, or the region's id is no DNS label.
    pub fn issue(
        &self,
        csr_der: &[u8],
        region: &RegionId,
        now: Timestamp,
        valid: Duration,
    ) -> Result<IssuedCertificate, PeerError> {
        if csr_der.len() > CSR_BYTES_MAX {
            return Err(PeerError::credentials(
                "the certificate request is too long",
            ));
        }
        let name = region_dns_name(region)
            .ok_or_else(|| PeerError::credentials("the region's id is no DNS label"))?;
        let csr = CertificateSigningRequestDer::from(csr_der);
        let csr = CertificateSigningRequestParams::from_der(&csr)
            .map_err(|e| PeerError::Credentials(format!("the certificate request: {e}")))?;
        if csr.public_key.algorithm() != &PKCS_ED25519 {
            return Err(PeerError::credentials("the key is not Ed25519"));
        }
        let left = Duration::from_millis(self.not_after.ms().saturating_sub(now.ms()));
        let mut params = blank(region, now, valid.min(left));
        let number = serial();
        params.serial_number = Some(SerialNumber::from_slice(&number));
        params.subject_alt_names = CertificateParams::new([name])
            .map_err(PeerError::credentials)?
            .subject_alt_names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let signed = params
            .signed_by(&csr.public_key, &self.issuer)
            .map_err(PeerError::credentials)?;
        let facts = verify::leaf(signed.der()).map_err(PeerError::credentials)?;
        Ok(IssuedCertificate {
            der: signed.der().to_vec(),
            pem: signed.pem(),
            serial: facts.serial,
            not_after: facts.not_after,
            public_key: facts.public_key,
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", hex::encode(self.fingerprint()))
    }
}

fn blank(common_name: &str, now: Timestamp, valid: Duration) -> CertificateParams {
    let epoch = date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(now.s());
    let mut params = CertificateParams::default();
    params.not_before = epoch + now.saturating_sub(SKEW);
    // A validity ends inclusively, so that a certificate for zero seconds holds for one.
    params.not_after = epoch + now + Duration::from_secs(valid.as_secs());
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

/// A serial number: 126 random bits; positive and of a fixed length (RFC 5280 section 4.1.2.2).
/// rcgen's own is a hash of the key, and so the same again when a certificate is renewed.
fn serial() -> [u8; 16] {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes);
    bytes[0] = bytes[0] & 0x7f | 0x40;
    bytes
}
