//! The token of a session, which is all that there is of it: nothing is stored.
//!
//! ```text
//! token    = base64url(head | envelopes | claims)
//! head     = version, kind, week of the keys, id (16), issued, expires, count of envelopes
//! envelope = first 4 bytes of a MAC under K[r], length, AES-256-GCM under K[r] of: CK, and either
//!            the keys that are bound to region r and to each day of the session, or the secret
//! claims   = AES-256-GCM under CK of the claims, as JSON
//! ```
//!
//! K[r] is a region's own, and CK is fresh. An envelope is bound to the head, to its region and to
//! the claims: nothing of one token fits into another, and who has one region's key makes nothing
//! that another region takes. Only the keeper's own envelope has the secret.

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use types::Random;

use crate::keys::FEW;

const VERSION: u8 = 1;
/// A token that each region of a cloud opens by itself.
const KIND: u8 = 1;
const HEAD_BYTES: usize = 40;
const DAY_BYTES: usize = 8;
const KEY_BYTES: usize = 32;
/// Longest token, as text.
pub(super) const TEXT_MAX: usize = 9_000;
/// Regions that have an envelope.
pub(super) const REGIONS_MAX: usize = 24;
/// Bytes of the claims.
pub(super) const CLAIMS_MAX: usize = 2_600;

/// What the access keys of sessions begin with.
pub(crate) const PREFIX: &str = "DHST";

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Role,
    /// By `GetSessionToken`.
    User,
    /// The same of the account itself.
    Root,
    /// By `GetFederationToken`.
    Federated,
}

/// What a session is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    pub account: String,
    pub kind: Kind,
    /// The unique id of the role or user; empty for the account itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub principal: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Session tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Keys of those that go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitive: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// Session policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The long-term key with which it began, or the identity provider, and its account.
    pub parent: String,
    pub parent_account: String,
    /// The ARN of the identity provider whose token was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// How many entries the audit log had when it began. Without it none counts as there then.
    #[serde(default)]
    pub begun: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chained: bool,
}

/// What an envelope has beside the key of the claims.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// By day (`YYYYMMDD`), the key bound to day and region.
    Days(Vec<(String, [u8; KEY_BYTES])>),
    /// The secret itself.
    Secret(String),
}

/// The key of a region for one week.
#[derive(Clone)]
pub(crate) struct TokenKey {
    pub region: String,
    pub key: [u8; KEY_BYTES],
}

/// What a token says in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub week: u32,
    pub id: [u8; 16],
    /// Seconds since the epoch.
    pub issued: u64,
    pub expires: u64,
}

/// A token that was opened.
pub(crate) struct Opened {
    pub head: Head,
    pub claims: Claims,
    pub held: Held,
}

impl Head {
    fn bytes(&self, count: u16) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        let mut at = 0;
        for piece in [
            &[VERSION, KIND][..],
            &self.week.to_be_bytes(),
            &self.id,
            &self.issued.to_be_bytes(),
            &self.expires.to_be_bytes(),
            &count.to_be_bytes(),
        ] {
            out[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        out
    }

    /// The access key that belongs to the token.
    pub(crate) fn access_key(&self) -> String {
        let mut out = String::from(PREFIX);
        let (mut bits, mut have) = (0_u32, 0);
        for byte in self.id {
            bits = bits << 8 | u32::from(byte);
            have += 8;
            while have >= 5 {
                have -= 5;
                out.push(char::from(FEW[(bits >> have & 31) as usize]));
            }
            bits &= 0xff;
        }
        if have > 0 {
            out.push(char::from(FEW[(bits << (5 - have) & 31) as usize]));
        }
        out
    }
}

impl TokenKey {
    /// Distinguishes the envelopes of this key from others.
    fn tag(&self) -> [u8; 4] {
        let mac = crate::keys::mac(&self.key, "envelope of");
        [mac[0], mac[1], mac[2], mac[3]]
    }

    fn seal(&self, id: &[u8; 16], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        crypt(&self.key, id, aad, plain, true)
    }
}

/// AES-256-GCM. A key and an id come together once: the id is random and of one token, each
/// region's key seals one envelope of it, and CK is of one token.
fn crypt(
    key: &[u8; KEY_BYTES],
    id: &[u8; 16],
    aad: &[u8],
    message: &[u8],
    seals: bool,
) -> Option<Vec<u8>> {
    let cipher = Aes256Gcm::new(key.into());
    let nonce: [u8; 12] = id.first_chunk().copied()?;
    let payload = Payload { msg: message, aad };
    match seals {
        true => cipher.encrypt(&Nonce::from(nonce), payload).ok(),
        false => cipher.decrypt(&Nonce::from(nonce), payload).ok(),
    }
}

/// What an envelope is bound to.
fn bound(head: &[u8], region: &str, claims: &[u8]) -> Vec<u8> {
    let region_len = (region.len() as u64).to_be_bytes();
    let claims = Sha256::digest(claims);
    [
        b"dhow session envelope 1",
        head,
        &region_len,
        region.as_bytes(),
        &claims,
    ]
    .concat()
}

/// Makes a token: one envelope for each key. `None` where the claims, or all of it, are too large.
pub(crate) fn seal(
    head: &Head,
    claims: &Claims,
    envelopes: &[(TokenKey, Held)],
    random: &dyn Random,
) -> Option<String> {
    let claims = serde_json::to_vec(claims).ok()?;
    if claims.len() > CLAIMS_MAX || envelopes.len() > REGIONS_MAX {
        return None;
    }
    let mut content = [0; KEY_BYTES];
    random.fill(&mut content);
    let clear = head.bytes(u16::try_from(envelopes.len()).ok()?);
    let claims = crypt(&content, &head.id, &clear, &claims, true)?;
    let mut out = clear.to_vec();
    for (key, held) in envelopes {
        let mut plain = content.to_vec();
        match held {
            Held::Days(days) => {
                plain.push(0);
                for (day, key) in days {
                    plain.extend_from_slice(day.as_bytes());
                    plain.extend_from_slice(key);
                }
            }
            Held::Secret(secret) => {
                plain.push(1);
                plain.extend_from_slice(secret.as_bytes());
            }
        }
        let aad = bound(&clear, &key.region, &claims);
        let sealed = key.seal(&head.id, &aad, &plain)?;
        out.extend_from_slice(&key.tag());
        out.extend_from_slice(&u16::try_from(sealed.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&sealed);
    }
    out.extend_from_slice(&claims);
    Some(URL_SAFE_NO_PAD.encode(out)).filter(|text| text.len() <= TEXT_MAX)
}

/// A token as it arrived, of which nothing is accepted yet.
pub(crate) struct Read {
    pub head: Head,
    clear: [u8; HEAD_BYTES],
    envelopes: Vec<([u8; 4], Vec<u8>)>,
    claims: Vec<u8>,
}

/// Takes a token apart.
pub(crate) fn read(text: &str) -> Option<Read> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (clear, mut rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let mut fields = &clear[..];
    let [VERSION, KIND] = take::<2>(&mut fields)? else {
        return None;
    };
    let head = Head {
        week: u32::from_be_bytes(take(&mut fields)?),
        id: take(&mut fields)?,
        issued: u64::from_be_bytes(take(&mut fields)?),
        expires: u64::from_be_bytes(take(&mut fields)?),
    };
    let count = usize::from(u16::from_be_bytes(take(&mut fields)?));
    if count > REGIONS_MAX {
        return None;
    }
    let mut envelopes = Vec::with_capacity(count);
    for _ in 0..count {
        let tag = take(&mut rest)?;
        let len = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let (sealed, after) = rest.split_at_checked(len)?;
        rest = after;
        envelopes.push((tag, sealed.to_vec()));
    }
    Some(Read {
        head,
        clear: *clear,
        envelopes,
        claims: rest.to_vec(),
    })
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (piece, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*piece)
}

impl Read {
    /// How many regions have an envelope.
    #[cfg(test)]
    pub(crate) fn envelopes(&self) -> usize {
        self.envelopes.len()
    }

    /// Opens it with the key of one region. `None` where it has no envelope for that, or anything
    /// of it was changed.
    pub(crate) fn open(&self, key: &TokenKey) -> Option<Opened> {
        let (tag, id) = (key.tag(), &self.head.id);
        let mut own = self.envelopes.iter().filter(|(of, _)| *of == tag);
        let aad = bound(&self.clear, &key.region, &self.claims);
        let plain = own.find_map(|(_, sealed)| crypt(&key.key, id, &aad, sealed, false))?;
        let (content, plain) = plain.split_first_chunk::<KEY_BYTES>()?;
        let claims = crypt(content, id, &self.clear, &self.claims, false)?;
        Some(Opened {
            head: self.head,
            claims: serde_json::from_slice(&claims).ok()?,
            held: held(plain)?,
        })
    }
}

fn held(plain: &[u8]) -> Option<Held> {
    match plain.split_first()? {
        (0, days) => {
            let (days, []) = days.as_chunks::<{ DAY_BYTES + KEY_BYTES }>() else {
                return None;
            };
            let day = |entry: &[u8; DAY_BYTES + KEY_BYTES]| {
                let (day, key) = entry.split_first_chunk::<DAY_BYTES>()?;
                let day = std::str::from_utf8(day).ok()?.to_owned();
                Some((day, key.try_into().ok()?))
            };
            let days: Option<Vec<_>> = days.iter().map(day).collect();
            Some(Held::Days(days?))
        }
        (1, secret) => Some(Held::Secret(String::from_utf8(secret.to_vec()).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use types::SeededRandom;

    use super::*;

    fn key(region: &str, seed: u8) -> TokenKey {
        TokenKey {
            region: region.into(),
            key: [seed; 32],
        }
    }

    fn head() -> Head {
        Head {
            week: 7,
            id: *b"0123456789abcdef",
            issued: 1000,
            expires: 4600,
        }
    }

    fn claims(name: &str) -> Claims {
        Claims {
            account: "000000000001".into(),
            kind: Kind::Role,
            principal: "AROAONE".into(),
            name: name.into(),
            tags: BTreeMap::new(),
            transitive: Vec::new(),
            source_identity: None,
            policies: vec!["{}".into()],
            parent: "DHOWONE".into(),
            parent_account: "000000000001".into(),
            provider: None,
            begun: 7,
            chained: false,
        }
    }

    fn days(seed: u8) -> Held {
        Held::Days(vec![("20261129".into(), [seed; 32])])
    }

    fn made(name: &str) -> String {
        let envelopes = [
            (key("first", 1), Held::Secret("the secret".into())),
            (key("second", 2), days(20)),
            (key("third", 3), days(30)),
        ];
        seal(&head(), &claims(name), &envelopes, &SeededRandom::new(5)).unwrap()
    }

    #[test]
    fn each_region_opens_its_own_envelope_and_the_same_claims() {
        let token = read(&made("s")).unwrap();
        assert_eq!(token.head, head());
        for (key, expected) in [
            (key("first", 1), Held::Secret("the secret".into())),
            (key("second", 2), days(20)),
            (key("third", 3), days(30)),
        ] {
            let opened = token.open(&key).unwrap();
            assert_eq!(opened.claims, claims("s"));
            assert!(opened.held == expected);
        }
        // Of another region's name, another key, or no envelope at all.
        for key in [key("third", 2), key("second", 9), key("fourth", 4)] {
            assert!(token.open(&key).is_none(), "{}", key.region);
        }
    }

    #[test]
    fn a_changed_byte_anywhere_that_a_region_reads_makes_it_no_token() {
        let text = made("s");
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        let second = key("second", 2);
        let first_envelope = HEAD_BYTES..HEAD_BYTES + 6 + 32 + 1 + 10 + 16;
        let third = first_envelope.end + 6 + 32 + 1 + 40 + 16;
        let third = third..third + 6 + 32 + 1 + 40 + 16;
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let opened = read(&URL_SAFE_NO_PAD.encode(&changed)).and_then(|t| t.open(&second));
            // What is another region's is nothing that this one reads, but for its length.
            let others = first_envelope.contains(&at) || third.contains(&at);
            assert!(others || opened.is_none(), "byte {at}");
        }
        for cut in 0..bytes.len() {
            let opened = read(&URL_SAFE_NO_PAD.encode(&bytes[..cut]));
            assert!(opened.and_then(|t| t.open(&second)).is_none(), "{cut}");
        }
    }

    #[test]
    fn nothing_of_one_token_fits_into_another() {
        let (one, other) = (made("one"), made("two"));
        let [one, other] = [one, other].map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
        // Both have the same head: claims and envelopes are exchanged.
        let claims_at = one.len() - (one.len() - HEAD_BYTES - 3 * 6 - (32 + 1 + 10 + 16) - 2 * 89);
        let spliced = [&one[..claims_at], &other[claims_at..]].concat();
        let spliced = read(&URL_SAFE_NO_PAD.encode(spliced)).unwrap();
        for key in [key("first", 1), key("second", 2), key("third", 3)] {
            assert!(spliced.open(&key).is_none(), "{}", key.region);
        }
        // A region that opened a token knows CK, and seals other claims with it: others refuse.
        let token = read(&URL_SAFE_NO_PAD.encode(&one)).unwrap();
        let second = key("second", 2);
        let aad = bound(&token.clear, "second", &token.claims);
        let sealed = &token.envelopes[1].1;
        let plain = crypt(&second.key, &token.head.id, &aad, sealed, false).unwrap();
        let content = plain.first_chunk::<32>().unwrap();
        let forged = serde_json::to_vec(&claims("admin")).unwrap();
        let forged = crypt(content, &token.head.id, &token.clear, &forged, true).unwrap();
        let forged = [&one[..claims_at], &forged].concat();
        let forged = read(&URL_SAFE_NO_PAD.encode(forged)).unwrap();
        assert!(forged.open(&key("third", 3)).is_none());
        assert!(forged.open(&key("first", 1)).is_none());
    }

    #[test]
    fn an_access_key_is_of_one_token() {
        let token = read(&made("s")).unwrap();
        let own = token.head.access_key();
        assert_eq!((own.len(), own.starts_with(PREFIX)), (30, true));
        let mut other = head();
        other.id[15] ^= 1;
        assert_ne!(other.access_key(), own);
    }

    #[test]
    fn what_is_too_large_is_no_token() {
        let mut large = claims("s");
        large.policies = vec!["x".repeat(CLAIMS_MAX)];
        assert!(seal(&head(), &large, &[], &SeededRandom::new(5)).is_none());
        let many: Vec<_> = (0..=REGIONS_MAX)
            .map(|n| (key(&format!("r{n}"), 1), days(1)))
            .collect();
        assert!(seal(&head(), &claims("s"), &many, &SeededRandom::new(5)).is_none());
        assert!(read(&"A".repeat(TEXT_MAX + 1)).is_none());
        for bad in ["", "=", "AAAA", "not base64!"] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
