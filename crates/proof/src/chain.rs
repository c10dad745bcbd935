//! The audit log as a hash chain: every entry holds the hash of the one before, so that nothing
//! can be dropped, changed, added or moved without changing the hash of the last one; and whoever
//! signed that last hash (a [`Checkpoint`]) has signed all of it.
//!
//! ```text
//! hash = SHA-256(message), message in the form of `crate::encoding`:
//!   "dhow audit entry v1"  number  at_ms  actor  action  subject  detail  previous (32 bytes)
//! ```
//!
//! `detail` is JSON, kept and hashed as text. Whoever checks a chain hashes the text that is there
//! and never writes JSON, so the rules of this or that JSON library play no part.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::Timestamp;

use crate::{
    encoding::{Encoder, Hash, PublicKey, Signature, sha256},
    signature::{Signer, verify_signature},
};

/// The version of entries that this code writes, and the only one it reads; and that of
/// checkpoints without a map.
pub const VERSION: u32 = 1;
/// The version of checkpoints that sign the map as well.
pub const CHECKPOINT_WITH_MAP: u32 = 2;
/// Longest actor, action or subject, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 << 10;
/// Longest detail, in bytes of its JSON text.
pub const DETAIL_BYTES_MAX: usize = 64 << 10;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The version of the form: [`VERSION`].
    pub v: u32,
    /// 0 for the first entry, one more for each that follows.
    pub number: u64,
    /// When, in milliseconds since 1970. Never before the previous entry.
    pub at_ms: u64,
    /// Who did it.
    pub actor: String,
    /// What was done, such as `bucket.place`.
    pub action: String,
    /// To what: the name of a bucket, the id of a region.
    pub subject: String,
    /// Everything else, as JSON text. The hash covers the text itself.
    pub detail: String,
    /// The hash of the entry before; zeros in the first.
    pub previous: Hash,
    /// The hash of all fields above. See the module's description.
    pub hash: Hash,
}

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number of the last entry.
    pub number: u64,
    /// The hash of the last entry.
    pub hash: Hash,
}

/// The first thing that is wrong with a chain, and at which entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// There are no entries.
    #[error("the chain has no entries")]
    Empty,
    /// An entry has a form that this code does not know.
    #[error("entry {number} has version {v}, only {VERSION} is known")]
    Version {
        /// The entry.
        number: u64,
        /// Its version.
        v: u32,
    },
    /// An entry is not there.
    #[error("entry {number} is missing: {found} stands in its place")]
    Missing {
        /// The entry that should come here.
        number: u64,
        /// The one that comes.
        found: u64,
    },
    /// An entry is there twice.
    #[error("entry {number} is there again")]
    Repeated {
        /// The entry.
        number: u64,
    },
    /// An entry comes too late.
    #[error("entry {number} is out of order: {found} stands before it")]
    Reordered {
        /// The entry that should come here.
        number: u64,
        /// The one that comes first.
        found: u64,
    },
    /// An entry's hash is not that of its fields.
    #[error("entry {number} was changed: its hash is not that of what it says")]
    Changed {
        /// The entry.
        number: u64,
    },
    /// An entry follows on something other than the entry before it.
    #[error("entry {number} does not follow on the entry before it: the chain was forked there")]
    Forked {
        /// The entry.
        number: u64,
    },
    /// An entry is dated before the one it follows.
    #[error("entry {number} is back-dated: {at_ms} ms, the entry before it {previous_ms} ms")]
    BackDated {
        /// The entry.
        number: u64,
        /// Its time.
        at_ms: u64,
        /// The time of the entry before.
        previous_ms: u64,
    },
    /// An entry is larger than any may be, or its detail is not JSON, or the numbers have run out.
    #[error("entry {number}: {what}")]
    Malformed {
        /// The entry.
        number: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl Entry {
    /// The entry that follows `previous` (the first of a chain, if there is none). A clock that
    /// has gone back is put right: an entry is never dated before the one it follows.
    ///
    /// # Errors
    /// [`ChainError::Malformed`] when a text is too long or the numbers have run out.
    pub fn next(
        previous: Option<&Entry>,
        at: Timestamp,
        actor: &str,
        action: &str,
        subject: &str,
        detail: &Value,
    ) -> Result<Self, ChainError> {
        let (number, at_ms, hash) = match previous {
            None => (0, at.ms(), Hash::ZERO),
            Some(p) => {
                let number = p.number.checked_add(1).ok_or(ChainError::Malformed {
                    number: p.number,
                    what: "no number is left after it",
                })?;
                (number, at.ms().max(p.at_ms), p.hash)
            }
        };
        let mut detail = detail.clone();
        detail.sort_all_objects();
        let mut entry = Self {
            v: VERSION,
            number,
            at_ms,
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail: detail.to_string(),
            previous: hash,
            hash: Hash::ZERO,
        };
        entry.check_form()?;
        entry.hash = entry.computed_hash();
        Ok(entry)
    }

    /// The hash that the entry should have.
    pub fn computed_hash(&self) -> Hash {
        let message = Encoder::new("dhow audit entry v1")
            .number(self.number)
            .number(self.at_ms)
            .text(&self.actor)
            .text(&self.action)
            .text(&self.subject)
            .text(&self.detail)
            .bytes(&self.previous.0)
            .finish();
        sha256(&message)
    }

    /// The chain's head, if it ends here.
    pub fn head(&self) -> Head {
        Head {
            number: self.number,
            hash: self.hash,
        }
    }

    pub(crate) fn check_form(&self) -> Result<(), ChainError> {
        let number = self.number;
        if self.v != VERSION {
            return Err(ChainError::Version { number, v: self.v });
        }
        let texts = [&self.actor, &self.action, &self.subject];
        let what = if texts.iter().any(|t| t.len() > TEXT_BYTES_MAX) {
            "its actor, action or subject is too long"
        } else if self.detail.len() > DETAIL_BYTES_MAX {
            "its detail is too long"
        } else if serde_json::from_str::<serde::de::IgnoredAny>(&self.detail).is_err() {
            "its detail is not JSON"
        } else {
            return Ok(());
        };
        Err(ChainError::Malformed { number, what })
    }
}

/// Checks a chain entry by entry, in constant memory.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    head: Option<Head>,
    at_ms: u64,
}

impl Verifier {
    /// For a chain from its first entry on.
    pub fn new() -> Self {
        Self::default()
    }

    /// For the entries that follow `head`, which was checked before. A head has no time, so the
    /// first entry after it may be of any.
    pub fn after(head: Head) -> Self {
        Self {
            head: Some(head),
            at_ms: 0,
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// What is wrong with it. The state is then as it was.
    pub fn push(&mut self, entry: &Entry) -> Result<(), ChainError> {
        let (number, previous) = match self.head {
            None => (0, Hash::ZERO),
            Some(head) if entry.number <= head.number => {
                let number = entry.number;
                return Err(ChainError::Repeated { number });
            }
            Some(head) => (head.number + 1, head.hash),
        };
        if entry.number != number {
            let found = entry.number;
            return Err(ChainError::Missing { number, found });
        }
        entry.check_form()?;
        if entry.computed_hash() != entry.hash {
            return Err(ChainError::Changed { number });
        }
        if entry.previous != previous {
            return Err(ChainError::Forked { number });
        }
        if entry.at_ms < self.at_ms {
            return Err(ChainError::BackDated {
                number,
                at_ms: entry.at_ms,
                previous_ms: self.at_ms,
            });
        }
        self.head = Some(entry.head());
        self.at_ms = entry.at_ms;
        Ok(())
    }

    /// The last entry that was taken.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Takes all `entries`. Where one is not where it should be, looks ahead whether it comes
    /// later, to distinguish entries that were moved from entries that are gone.
    fn all(mut self, entries: impl IntoIterator<Item = Entry>) -> Result<Option<Head>, ChainError> {
        let mut entries = entries.into_iter();
        while let Some(entry) = entries.next() {
            match self.push(&entry) {
                Ok(()) => {}
                Err(ChainError::Missing { number, found }) => {
                    let later = entries.any(|e| e.number == number);
                    return Err(if later {
                        ChainError::Reordered { number, found }
                    } else {
                        ChainError::Missing { number, found }
                    });
                }
                Err(other) => return Err(other),
            }
        }
        Ok(self.head)
    }
}

/// Checks a whole chain from its first entry on, in constant memory.
///
/// This finds whatever does not fit together. A chain that was rewritten from some entry to the end
/// fits together too: only a [`Checkpoint`], or a [`Head`] seen before, distinguishes it from the
/// real one.
///
/// # Errors
/// The first entry that is wrong, and why.
pub fn verify(entries: impl IntoIterator<Item = Entry>) -> Result<Head, ChainError> {
    Verifier::new().all(entries)?.ok_or(ChainError::Empty)
}

/// Checks that `entries`, which are those after `old`, continue the chain that ended with `old`.
/// Returns the new head: `old` itself, if there are none.
///
/// # Errors
/// The first entry that is wrong, and why.
pub fn extends(old: &Head, entries: impl IntoIterator<Item = Entry>) -> Result<Head, ChainError> {
    Ok(Verifier::after(*old).all(entries)?.unwrap_or(*old))
}

/// A head that somebody has signed: everything up to it, they vouch for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The version of the form: [`CHECKPOINT_WITH_MAP`], or [`VERSION`] without a map.
    pub v: u32,
    /// The name of the cloud.
    pub cloud: String,
    /// The head of the audit chain.
    pub head: Head,
    /// The root of the map of all chains after the head ([`crate::map`]). Not there in those that
    /// were signed before there was a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<Hash>,
    /// When it was signed, in milliseconds since 1970.
    pub at_ms: u64,
    /// The region that signed.
    pub region: String,
    /// The key that it signed with.
    pub public_key: PublicKey,
    /// The signature over all fields above, led by `dhow audit checkpoint v2` (v1 without a map).
    pub signature: Signature,
}

impl Checkpoint {
    /// Signs `head` alone.
    pub fn make(signer: &dyn Signer, cloud: &str, region: &str, head: Head, at: Timestamp) -> Self {
        Self::sign(signer, cloud, region, (head, None), at)
    }

    /// Signs `head`, and the root of the map after it.
    pub fn with_map(
        signer: &dyn Signer,
        cloud: &str,
        region: &str,
        (head, map): (Head, Hash),
        at: Timestamp,
    ) -> Self {
        Self::sign(signer, cloud, region, (head, Some(map)), at)
    }

    fn sign(
        signer: &dyn Signer,
        cloud: &str,
        region: &str,
        (head, map): (Head, Option<Hash>),
        at: Timestamp,
    ) -> Self {
        let mut checkpoint = Self {
            v: map.map_or(VERSION, |_| CHECKPOINT_WITH_MAP),
            cloud: cloud.to_owned(),
            head,
            map,
            at_ms: at.ms(),
            region: region.to_owned(),
            public_key: crate::Hex(signer.public_key()),
            signature: Signature::ZERO,
        };
        checkpoint.signature = crate::Hex(signer.sign(&checkpoint.message()));
        checkpoint
    }

    /// Whether the signature is that of the key which the checkpoint names. Whose key that is,
    /// the caller has to know.
    pub fn verify(&self) -> bool {
        let message = self.message();
        let version = self.map.map_or(VERSION, |_| CHECKPOINT_WITH_MAP);
        self.v == version && verify_signature(&self.public_key.0, &message, &self.signature.0)
    }

    fn message(&self) -> Vec<u8> {
        let domain = match self.map {
            Some(_) => "dhow audit checkpoint v2",
            None => "dhow audit checkpoint v1",
        };
        let head = Encoder::new(domain)
            .text(&self.cloud)
            .number(self.head.number)
            .bytes(&self.head.hash.0);
        let head = match &self.map {
            Some(root) => head.bytes(&root.0),
            None => head,
        };
        head.number(self.at_ms)
            .text(&self.region)
            .bytes(&self.public_key.0)
            .finish()
    }
}

#[cfg(test)]
mod tests;
