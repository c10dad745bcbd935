//! Secrets at rest: AES-256-GCM under the master key, bound to the access key's id so that sealed
//! secrets cannot be swapped between keys.

use std::fmt;

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use types::Random;

use crate::CloudError;

const NONCE_BYTES: usize = 12;

/// The key under which a region's registry seals secrets: 32 bytes from a file of mode 0600.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// A new one.
    pub fn generate(random: &dyn Random) -> Self {
        let mut key = [0; 32];
        random.fill(&mut key);
        Self(key)
    }
    /// From its hex form, as the file holds it; `None` for anything but 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = hex::decode(text.trim()).ok()?;
        bytes.try_into().ok().map(Self)
    }
    /// For the file.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// A key for another purpose, which reveals nothing of this one.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        crate::keys::mac(&self.0, purpose)
    }

    pub(crate) fn seal(
        &self,
        id: &str,
        secret: &str,
        random: &dyn Random,
    ) -> Result<String, CloudError> {
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        let sealed = self
            .cipher()
            .encrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: secret.as_bytes(),
                    aad: id.as_bytes(),
                },
            )
            .map_err(|_| CloudError::Record("sealing failed".into()))?;
        Ok(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    pub(crate) fn open(&self, id: &str, sealed: &str) -> Result<String, CloudError> {
        let wrong = || CloudError::Record(format!("key {id} was not sealed under this master key"));
        let bytes = STANDARD.decode(sealed).map_err(|_| wrong())?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or_else(wrong)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| wrong())?;
        let secret = self
            .cipher()
            .decrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: sealed,
                    aad: id.as_bytes(),
                },
            )
            .map_err(|_| wrong())?;
        String::from_utf8(secret).map_err(|_| wrong())
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use types::SeededRandom;

    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_under_its_key_and_id() {
        let random = SeededRandom::new(1);
        let (ours, theirs) = (MasterKey::generate(&random), MasterKey::generate(&random));
        let sealed = ours.seal("AKIA1", "secret", &random).unwrap();
        assert_eq!(ours.open("AKIA1", &sealed).unwrap(), "secret");
        assert!(ours.open("AKIA2", &sealed).is_err());
        assert!(theirs.open("AKIA1", &sealed).is_err());
        assert!(ours.open("AKIA1", "AAAA").is_err());
        assert!(!sealed.contains("secret"));
    }
}
