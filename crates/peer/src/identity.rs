//! A region's own key, and the key together with the certificate that the cloud gave for it.

use std::{fmt, sync::Arc};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use types::RegionId;

use crate::{PeerError, region_dns_name};

/// A region's Ed25519 key. It is made in the region and never leaves it; cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Keys>);

struct Keys {
    signing: Ed25519KeyPair,
    rcgen: KeyPair,
    public: [u8; 32],
}

impl Identity {
    /// A new key from the machine's entropy.
    pub fn create() -> Result<Self, PeerError> {
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(PeerError::credentials)?;
        Self::from_key(key)
    }

    /// Reads a PKCS#8 key in PEM.
    ///
    /// # Errors
    /// [`PeerError::Credentials`] when it is anything but one Ed25519 key.
    pub fn from_pem(pem: &str) -> Result<Self, PeerError> {
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ED25519)
            .map_err(|_| PeerError::credentials("not an Ed25519 key in PEM"))?;
        Self::from_key(key)
    }

    fn from_key(rcgen: KeyPair) -> Result<Self, PeerError> {
        let signing = Ed25519KeyPair::from_pkcs8_maybe_unchecked(rcgen.serialized_der())
            .map_err(|_| PeerError::credentials("not an Ed25519 key"))?;
        let public = signing.public_key().as_ref().try_into();
        let public = public.map_err(|_| PeerError::credentials("not an Ed25519 key"))?;
        Ok(Self(Arc::new(Keys {
            signing,
            rcgen,
            public,
        })))
    }

    /// The key in PEM, PKCS#8. **A secret.**
    pub fn to_pem(&self) -> String {
        self.0.rcgen.serialize_pem()
    }

    /// The key in DER, PKCS#8, for TLS. **A secret.**
    pub(crate) fn pkcs8(&self) -> &[u8] {
        self.0.rcgen.serialized_der()
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.public
    }

    /// Signs `message` (RFC 8032, pure Ed25519).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        let signature = self.0.signing.sign(message);
        for (to, from) in out.iter_mut().zip(signature.as_ref()) {
            *to = *from;
        }
        out
    }

    /// A request for a certificate (PKCS#10, DER) in the name of `region`, signed with this key.
    /// The authority takes the key from it and nothing else.
    ///
    /// # Errors
    /// [`PeerError::Credentials`] when the region's id is no DNS label.
    pub fn csr(&self, region: &RegionId) -> Result<Vec<u8>, PeerError> {
        let name = region_dns_name(region)
            .ok_or_else(|| PeerError::credentials("the region's id is no DNS label"))?;
        let mut params = CertificateParams::new([name]).map_err(PeerError::credentials)?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, region.to_string());
        let csr = params.serialize_request(&self.0.rcgen);
        Ok(csr.map_err(PeerError::credentials)?.der().to_vec())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", hex::encode(self.0.public))
    }
}

/// Whether `signature` is that of `message` by the holder of `public`.
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    verify_any(public, message, signature)
}

/// The same for a key of any length; none but 32 bytes verifies.
pub(crate) fn verify_any(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(message, signature)
        .is_ok()
}

/// What a region shows to its peers, and what it checks them with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The region's key.
    pub identity: Identity,
    /// The certificate that the cloud issued for the key, in PEM.
    pub certificate: String,
    /// The certificate of the cloud's authority, in PEM.
    pub authority: String,
    /// The region that the certificate identifies.
    pub region: RegionId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_one_key_and_one_message() {
        let (a, b) = (Identity::create().unwrap(), Identity::create().unwrap());
        let signature = a.sign(b"m");
        assert!(verify(&a.public_key(), b"m", &signature));
        assert!(!verify(&a.public_key(), b"n", &signature));
        assert!(!verify(&b.public_key(), b"m", &signature));
        assert!(!verify(&a.public_key(), b"m", &signature[..63]));
        let again = Identity::from_pem(&a.to_pem()).unwrap();
        assert_eq!(again.public_key(), a.public_key());
        assert_eq!(again.sign(b"m"), signature);
    }

    #[test]
    fn debug_shows_the_public_half_only() {
        let key = Identity::create().unwrap();
        let shown = format!("{key:?}");
        assert_eq!(
            shown,
            format!("Identity({})", hex::encode(key.public_key()))
        );
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused() {
        for bad in [
            "",
            "x",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(Identity::from_pem(bad).is_err());
        }
    }
}
