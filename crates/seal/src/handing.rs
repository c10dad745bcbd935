//! A data key on its way from its home: encrypted for whoever asked, under a key that both sides
//! make from key pairs of this one question. Nobody can open afterwards what was sent, or what is
//! left in buffers along the way.

use ring::{
    aead::{Aad, Nonce},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    rand::SystemRandom,
};
use zeroize::Zeroizing;

use crate::{Broken, DataKey, TAG_BYTES, cipher, derive};

const PUBLIC_BYTES: usize = 32;
/// Bytes of a data key as it travels.
pub const HANDED_BYTES: usize = PUBLIC_BYTES + 32 + TAG_BYTES;

/// One question for a data key, by whoever will open the answer.
pub struct Asking {
    secret: EphemeralPrivateKey,
    public: [u8; PUBLIC_BYTES],
}

fn pair() -> Result<Asking, Broken> {
    let secret = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
    let secret = secret.map_err(|_| Broken)?;
    let public = secret.compute_public_key().map_err(|_| Broken)?;
    let public = public.as_ref().try_into().map_err(|_| Broken)?;
    Ok(Asking { secret, public })
}

/// The key under which one data key travels. Both public halves go into it.
fn shared(
    secret: EphemeralPrivateKey,
    theirs: &[u8],
    asker: &[u8],
    answerer: &[u8],
) -> Result<Zeroizing<[u8; 32]>, Broken> {
    let theirs = UnparsedPublicKey::new(&X25519, theirs);
    agree_ephemeral(secret, &theirs, |shared| {
        derive(shared, &[b"handing", asker, answerer])
    })
    .map_err(|_| Broken)
}

/// The key encrypts once, so its nonce need not change.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

impl Asking {
    /// A new question.
    pub fn new() -> Result<Self, Broken> {
        pair()
    }

    /// What goes along with it.
    pub fn public(&self) -> [u8; PUBLIC_BYTES] {
        self.public
    }

    /// Opens the answer.
    pub fn open(self, handed: &[u8]) -> Result<DataKey, Broken> {
        let (theirs, sealed) = handed.split_first_chunk::<PUBLIC_BYTES>().ok_or(Broken)?;
        let key = shared(self.secret, theirs, &self.public, theirs)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let cipher = cipher(&key).ok_or(Broken)?;
        let opened = cipher.open_in_place(nonce(), Aad::empty(), &mut text);
        DataKey::from_bytes(opened.map_err(|_| Broken)?)
    }
}

impl DataKey {
    /// The key for whoever asked with `asker`.
    pub fn hand_to(&self, asker: &[u8]) -> Result<Vec<u8>, Broken> {
        let own = pair()?;
        let key = shared(own.secret, asker, asker, &own.public)?;
        let mut sealed = Vec::with_capacity(HANDED_BYTES);
        sealed.extend(&self.to_bytes()[..]);
        cipher(&key)
            .ok_or(Broken)?
            .seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed)
            .map_err(|_| Broken)?;
        sealed.splice(0..0, own.public);
        Ok(sealed)
    }
}
