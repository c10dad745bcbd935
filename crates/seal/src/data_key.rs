//! Data keys: one for each version. The region that holds a sealed replica keeps them wrapped.

use ring::{
    aead::{Aad, LessSafeKey, NONCE_LEN, Nonce},
    hmac,
};
use zeroize::Zeroizing;

use crate::{Broken, BucketSeal, Siv, TAG_BYTES, Version, cipher, derive, joined, tag};

/// Bytes of a wrapped data key.
pub const WRAPPED_BYTES: usize = NONCE_LEN + 32 + TAG_BYTES;

/// Seals one version. Whoever has it can read that version.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl BucketSeal {
    /// The key of a version with this content: `content` distinguishes its bytes from any others,
    /// so that even a version id that was given to other bytes would not use its nonces again.
    pub fn data_key(&self, version: Version<'_>, content: &[u8]) -> DataKey {
        let text = joined(&[version.key.as_bytes(), &version.id, content]);
        DataKey(tag(&self.data, &text))
    }

    /// The key as the other region keeps it: bound to the bucket, the region and the version.
    pub fn wrap(&self, version: Version<'_>, key: &DataKey) -> Result<Vec<u8>, Broken> {
        self.wrapping.seal(&self.aad(version), &key.0[..])
    }

    /// The key again, if it was wrapped for this version.
    pub fn unwrap(&self, version: Version<'_>, wrapped: &[u8]) -> Result<DataKey, Broken> {
        let opened = self.wrapping.open(&self.aad(version), wrapped)?;
        DataKey::from_bytes(&opened)
    }
}

impl DataKey {
    /// From its bytes, as a lease brings them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Broken> {
        let mut key = Zeroizing::new([0; 32]);
        match bytes.len() == key.len() {
            true => key.copy_from_slice(bytes),
            false => return Err(Broken),
        }
        Ok(Self(key))
    }

    /// Its bytes, for a lease.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// Seals what is known of the version beside its bytes.
    pub fn seal_head(&self, place: &[u8], head: &[u8]) -> Result<Vec<u8>, Broken> {
        Siv::new(&self.0[..], "head").seal(place, head)
    }

    /// That again, if it belongs to this place.
    pub fn open_head(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Broken> {
        Siv::new(&self.0[..], "head").open(place, sealed)
    }

    /// A value that is used in place of a secret of the version and does not reveal it.
    pub fn mask(&self, secret: &[u8]) -> [u8; 16] {
        let key = derive(&self.0[..], &[b"mask"]);
        let hash = tag(&hmac::Key::new(hmac::HMAC_SHA256, &key[..]), secret);
        let mut out = [0; 16];
        out.copy_from_slice(&hash[..16]);
        out
    }

    pub(crate) fn body_cipher(&self) -> Option<LessSafeKey> {
        cipher(&derive(&self.0[..], &[b"body"]))
    }
}

pub(crate) fn seal_chunk(
    cipher: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    chunk: &mut Vec<u8>,
) -> Result<(), Broken> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    cipher
        .seal_in_place_append_tag(nonce, Aad::from(aad), chunk)
        .map_err(|_| Broken)
}

pub(crate) fn open_chunk(
    cipher: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    aad: &[u8],
    chunk: &mut Vec<u8>,
) -> Result<(), Broken> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = cipher.open_in_place(nonce, Aad::from(aad), chunk);
    let len = opened.map_err(|_| Broken)?.len();
    chunk.truncate(len);
    Ok(())
}
