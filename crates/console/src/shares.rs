//! Links to share that were made here: who made them, of what, and until when they work. The links
//! themselves are not kept. All of it is in memory, so nothing of it is known after a restart; the
//! links work on.

use std::collections::VecDeque;

use parking_lot::Mutex;
use types::{AccessKeyId, AccountId};

use crate::session::KeyProofs;

/// Links of an account that are known, and of all.
const OF_ACCOUNT_MAX: usize = 500;
const ALL_MAX: usize = 10_000;

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The key that signed it.
    pub key: AccessKeyId,
    /// The account of the key.
    pub account: AccountId,
    /// What the key signs: another key of the same id did not make it.
    pub proofs: KeyProofs,
    /// Whose it is by single sign-on; else the key.
    pub whose: String,
    /// The bucket.
    pub bucket: String,
    /// The key of the object.
    pub object: String,
    /// Its version, if the link names one.
    pub version: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: u64,
    /// Until when it works.
    pub until_ms: u64,
}

/// Those that are known, the oldest first.
#[derive(Default)]
pub struct Shares(Mutex<VecDeque<Share>>);

impl Shares {
    /// Keeps one. The oldest of its account, or of all, makes room.
    pub fn add(&self, share: Share, now_ms: u64) {
        let mut all = self.0.lock();
        all.retain(|one| one.until_ms > now_ms);
        let own = all.iter().filter(|one| one.account == share.account);
        let full = own.count() >= OF_ACCOUNT_MAX;
        let oldest = match full {
            true => all.iter().position(|one| one.account == share.account),
            false => (all.len() >= ALL_MAX).then_some(0),
        };
        if let Some(oldest) = oldest {
            all.remove(oldest);
        }
        all.push_back(share);
    }

    /// Those that work yet and fit, the newest first.
    pub fn of(&self, fits: impl Fn(&Share) -> bool, now_ms: u64) -> Vec<Share> {
        let all = self.0.lock();
        let own = all.iter().rev();
        own.filter(|one| one.until_ms > now_ms && fits(one))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(account: &str, object: usize, until_ms: u64) -> Share {
        Share {
            key: AccessKeyId::new("K"),
            account: AccountId::new(account),
            proofs: Vec::new(),
            whose: "K".to_owned(),
            bucket: "b".to_owned(),
            object: object.to_string(),
            version: None,
            made_ms: 0,
            until_ms,
        }
    }

    #[test]
    fn an_account_pushes_out_its_own_and_what_is_over_is_gone() {
        let shares = Shares::default();
        shares.add(share("a", 0, 50), 0);
        for object in 1..=OF_ACCOUNT_MAX {
            shares.add(share("b", object, 100), 0);
        }
        shares.add(share("b", 0, 100), 0);
        let of = |account: &str, now_ms| {
            let found = shares
                .of(|one| *one.account == *account, now_ms)
                .into_iter();
            found.map(|one| one.object).collect::<Vec<_>>()
        };
        let own = of("b", 0);
        assert_eq!(own.len(), OF_ACCOUNT_MAX);
        assert_eq!((&*own[0], &*own[OF_ACCOUNT_MAX - 1]), ("0", "2"));
        assert_eq!(of("a", 49), ["0"]);
        assert!(of("a", 50).is_empty());
    }
}
