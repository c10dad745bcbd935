//! Why a request was refused, in a form that only the registry's region reads: a client gets it
//! with the refusal, and STS decodes it for those who may know.
//!
//! ```text
//! message = base64url(head | nonce | AES-256-GCM of the text)
//! head    = version, week, length of the region's name, the region's name
//! ```
//!
//! The key is derived from that which the region has for the tokens of sessions in that week, and
//! that only the registry's region has beside it. So no region reads what another one said, none
//! speaks for another, and what a region says in its own name counts as just that.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use types::RegionId;

use crate::{
    Registry,
    keys::mac,
    sessions::{keys::week, token::TokenKey},
};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
/// Bytes of a text that is sealed.
pub const REASON_MAX: usize = 2_048;
/// Characters of a message.
const MESSAGE_MAX: usize = 4_096;
/// Messages of so many weeks are read.
const WEEKS: u32 = 5;

fn key_of(key: &TokenKey) -> [u8; 32] {
    mac(&key.key, "dhow reason of a refusal 1")
}

fn head(region: &str, week: u32) -> Option<Vec<u8>> {
    let length = u8::try_from(region.len()).ok()?;
    let mut head = vec![VERSION];
    head.extend_from_slice(&week.to_be_bytes());
    head.push(length);
    head.extend_from_slice(region.as_bytes());
    Some(head)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (piece, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*piece)
}

impl Registry {
    /// Seals why this region refused a request. `None` where it is too long, or where this region
    /// has no key: it has one once there are sessions in the cloud.
    pub fn seal_reason(&self, text: &str) -> Option<String> {
        if text.len() > REASON_MAX {
            return None;
        }
        let week = week(self.clock.now().s());
        let key = self.own_key(&self.state.read(), week)?;
        let mut out = head(self.own(), week)?;
        let mut nonce = [0; NONCE_BYTES];
        self.random.fill(&mut nonce);
        let payload = Payload {
            msg: text.as_bytes(),
            aad: &out,
        };
        let cipher = Aes256Gcm::new(&key_of(&key).into());
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Some(URL_SAFE_NO_PAD.encode(out))
    }

    /// Reads what a region sealed, and says which one: where the registry is kept. `None` for what
    /// is none, was changed, is older than five weeks, or was sealed with a key that the region has
    /// no more.
    pub fn open_reason(&self, message: &str) -> Option<(RegionId, String)> {
        if !self.keeps() || message.len() > MESSAGE_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(message).ok()?;
        let mut rest = &bytes[..];
        let [version] = take::<1>(&mut rest)?;
        let then = u32::from_be_bytes(take(&mut rest)?);
        let [length] = take::<1>(&mut rest)?;
        let (region, mut rest) = rest.split_at_checked(length.into())?;
        let region = std::str::from_utf8(region).ok()?;
        let now = week(self.clock.now().s());
        let is_late = !(now.saturating_sub(WEEKS)..=now).contains(&then);
        if version != VERSION || is_late {
            return None;
        }
        let key = {
            let state = self.state.read();
            if region != self.own() && !state.regions.contains_key(region) {
                return None;
            }
            self.derived_key(&state, region, then)
        };
        let nonce: [u8; NONCE_BYTES] = take(&mut rest)?;
        let aad = head(region, then)?;
        let payload = Payload {
            msg: rest,
            aad: &aad,
        };
        let cipher = Aes256Gcm::new(&key_of(&key).into());
        let text = cipher.decrypt(&Nonce::from(nonce), payload).ok()?;
        Some((RegionId::new(region), String::from_utf8(text).ok()?))
    }
}
