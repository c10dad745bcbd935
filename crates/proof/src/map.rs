//! The map: every bucket's own chain of entries, and that of the regions, under one root, so that a
//! proof about one bucket needs neither the whole audit log nor anybody else's name.
//!
//! Each entry of the audit log that is about a bucket also continues that bucket's chain; each that
//! plans, opens, drains or closes a region, or changes its keys, continues the regions' chain. The
//! heads of all chains are the leaves of a sparse Merkle tree, and a checkpoint signs its root.
//!
//! ```text
//! place       = SHA-256("dhow map place v1"  kind  name), the first 16 bytes
//! first link  = SHA-256(key  2  place)                      before any entry, count 0
//! link        = SHA-256("dhow audit link v1"  count  link before  number  at_ms  actor  action
//!                       subject  detail)                    (the form of `crate::encoding`)
//! leaf        = SHA-256("dhow map leaf v1"  place  salt  count  link)         at depth 128
//! node        = SHA-256(0x01  left  right)
//! empty       = SHA-256(0x02  salt)                         a subtree in which there is no chain
//! leaf salt   = SHA-256(key  1  count  place)
//! empty salt  = SHA-256(key  0  depth  the place's first bits)
//! ```
//!
//! Leaf and empty subtree are salted with a key that the registry has, and every proof of a chain
//! has 128 siblings. So whoever sees one learns nothing of other chains: not their names, nor
//! whether a name that he guesses is there, nor how many there are. Those who have the whole log
//! are given the key: they know all names, and can compute the root themselves.
//!
//! Under one root, one place has one opening: a chain with its head, or nothing. So a chain cannot
//! be shown cut short, nor with an entry left out, nor as never begun.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    chain::Entry,
    encoding::{Encoder, Hash, Hex, sha256},
};

mod shards;

pub use shards::{Shards, shard_of};

/// Levels below the root: bits of a place.
pub const DEPTH: usize = 128;

/// What salts are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MapKey(pub [u8; 32]);

impl std::fmt::Debug for MapKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MapKey(…)")
    }
}

/// Where a chain is in the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(pub [u8; 16]);

impl LeafIndex {
    /// Of the chain of the bucket of that name.
    pub fn of_bucket(name: &str) -> Self {
        Self::of("bucket", name)
    }

    /// Of the chain of all regions.
    pub fn of_regions() -> Self {
        Self::of("regions", "")
    }

    fn of(kind: &str, name: &str) -> Self {
        let message = Encoder::new("dhow map place v1").text(kind).text(name);
        let hash = sha256(&message.finish()).0;
        Self(std::array::from_fn(|at| hash[at]))
    }

    /// In lower-case hex.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads the hex form.
    pub fn parse(text: &str) -> Option<Self> {
        Hex::<16>::parse(text).map(|hex| Self(hex.0))
    }

    /// Whether the path turns right below `depth`.
    fn right(&self, depth: usize) -> bool {
        let byte = self.0.get(depth / 8).copied().unwrap_or_default();
        byte >> (7 - depth % 8) & 1 == 1
    }

    /// The first `depth` bits, the others 0.
    fn first(&self, depth: usize) -> Self {
        let byte = |at: usize| match depth.saturating_sub(at * 8) {
            0 => 0,
            bits @ 1..=7 => self.0[at] & !(0xff >> bits),
            _ => self.0[at],
        };
        Self(std::array::from_fn(byte))
    }

    /// The first `depth` bits with the last of them turned round.
    fn sibling(&self, depth: usize) -> Self {
        let mut other = self.first(depth);
        if let Some(at) = depth.checked_sub(1)
            && let Some(byte) = other.0.get_mut(at / 8)
        {
            *byte ^= 1 << (7 - at % 8);
        }
        other
    }
}

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainHead {
    /// How many entries it has.
    pub count: u64,
    /// What the last one made.
    pub link: Hash,
}

impl ChainHead {
    /// Before the first entry.
    pub fn first(key: &MapKey, place: &LeafIndex) -> Self {
        Self {
            count: 0,
            link: salt(key, 2, &[], place),
        }
    }
}

/// An entry of the audit log without the entry before it there, which is about somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnEntry {
    /// Its number in the audit log.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Everything else, as JSON text.
    pub detail: String,
}

impl From<Entry> for OwnEntry {
    fn from(entry: Entry) -> Self {
        Self {
            number: entry.number,
            at_ms: entry.at_ms,
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
        }
    }
}

impl OwnEntry {
    /// The chain's head after this entry.
    pub fn after(&self, before: &ChainHead) -> ChainHead {
        let count = before.count.saturating_add(1);
        let mut link = Encoder::new("dhow audit link v1").number(count);
        if !types::planted("links-without-the-one-before") {
            link = link.bytes(&before.link.0);
        }
        let message = link
            .number(self.number)
            .number(self.at_ms)
            .text(&self.actor)
            .text(&self.action)
            .text(&self.subject)
            .text(&self.detail)
            .finish();
        ChainHead {
            count,
            link: sha256(&message),
        }
    }

    /// The chain that it continues.
    pub fn place(&self) -> Option<LeafIndex> {
        place_of(&self.action, &self.subject)
    }
}

/// Which chain an entry continues; `None` when it is of none.
pub fn place_of(action: &str, subject: &str) -> Option<LeafIndex> {
    match action {
        // They change where a region is reached and its certificates, but not what it is.
        "region.announce" | "region.renew" => None,
        _ if action.starts_with("region.") => Some(LeafIndex::of_regions()),
        _ if action.starts_with("bucket.") => Some(LeafIndex::of_bucket(subject)),
        _ => None,
    }
}

fn salt(key: &MapKey, kind: u8, number: &[u8], place: &LeafIndex) -> Hash {
    let hash = Sha256::new()
        .chain_update(key.0)
        .chain_update([kind])
        .chain_update(number)
        .chain_update(place.0);
    Hex(hash.finalize().into())
}

fn empty_salt(key: &MapKey, depth: usize, prefix: &LeafIndex) -> Hash {
    // 128 at most.
    salt(key, 0, &[depth as u8], prefix)
}

fn leaf_salt(key: &MapKey, place: &LeafIndex, count: u64) -> Hash {
    salt(key, 1, &count.to_be_bytes(), place)
}

fn empty_hash(salt: &Hash) -> Hash {
    let hash = Sha256::new().chain_update([2]).chain_update(salt.0);
    Hex(hash.finalize().into())
}

fn leaf_hash(place: &LeafIndex, salt: &Hash, head: &ChainHead) -> Hash {
    let message = Encoder::new("dhow map leaf v1")
        .bytes(&place.0)
        .bytes(&salt.0)
        .number(head.count)
        .bytes(&head.link.0)
        .finish();
    sha256(&message)
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let hash = Sha256::new()
        .chain_update([1])
        .chain_update(left.0)
        .chain_update(right.0);
    Hex(hash.finalize().into())
}

/// One level up: `hash` is below `depth` on the path to `place`.
fn up(place: &LeafIndex, depth: usize, hash: &Hash, sibling: &Hash) -> Hash {
    match place.right(depth) {
        true => node_hash(sibling, hash),
        false => node_hash(hash, sibling),
    }
}

/// A chain in the map.
pub type Leaf = (LeafIndex, ChainHead);

/// The hash of the subtree at `depth` whose leaves are `leaves`, in order of place, all of them
/// below `prefix`.
fn subtree(key: &MapKey, depth: usize, prefix: &LeafIndex, leaves: &[Leaf]) -> Hash {
    match leaves {
        [] => empty_hash(&empty_salt(key, depth, prefix)),
        [(place, head)] => {
            let leaf = leaf_hash(place, &leaf_salt(key, place, head.count), head);
            (depth..DEPTH).rev().fold(leaf, |hash, level| {
                let beside = empty_salt(key, level + 1, &place.sibling(level + 1));
                up(place, level, &hash, &empty_hash(&beside))
            })
        }
        // Places differ, so this ends at the last level.
        [first, ..] => {
            let (left, right) = split(leaves, depth);
            let (below, other) = (depth + 1, first.0.first(depth));
            let on_the_right = other.flipped(depth);
            let left = subtree(key, below, &other, left);
            node_hash(&left, &subtree(key, below, &on_the_right, right))
        }
    }
}

impl LeafIndex {
    /// With the bit below `depth` turned round.
    fn flipped(&self, depth: usize) -> Self {
        let mut other = *self;
        if let Some(byte) = other.0.get_mut(depth / 8) {
            *byte ^= 1 << (7 - depth % 8);
        }
        other
    }
}

fn split(leaves: &[Leaf], depth: usize) -> (&[Leaf], &[Leaf]) {
    leaves.split_at(leaves.partition_point(|(place, _)| !place.right(depth)))
}

/// The root of the map with these chains, which are in order of place, each place once.
pub fn root(key: &MapKey, leaves: &[Leaf]) -> Hash {
    subtree(key, 0, &LeafIndex([0; 16]), leaves)
}

/// What is at a place of the map, shown by the hashes beside the path to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapProof {
    /// From the root downwards.
    pub siblings: Vec<Hash>,
    /// What the path ends with.
    pub ending: Ending,
}

/// What a path through the map ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ending {
    /// A chain, with the salt of its leaf.
    Chain(Hash),
    /// Nothing, with the salt of the empty subtree.
    Empty(Hash),
}

impl MapProof {
    /// Whether it shows that the chain at `place` ends with `head` (`None`: that there is no chain)
    /// in the map with this root.
    pub fn shows(&self, root: &Hash, place: &LeafIndex, head: Option<&ChainHead>) -> bool {
        let depth = self.siblings.len();
        let end = match (&self.ending, head) {
            (Ending::Chain(salt), Some(head)) if depth == DEPTH => leaf_hash(place, salt, head),
            (Ending::Empty(salt), None) if depth <= DEPTH => empty_hash(salt),
            _ => return false,
        };
        let levels = self.siblings.iter().enumerate().rev();
        let found = levels.fold(end, |hash, (level, sibling)| {
            up(place, level, &hash, sibling)
        });
        found == *root
    }
}

/// Goes on with a proof from `depth` to the end of the path; `leaves` are all below it, in order.
fn descend(
    key: &MapKey,
    place: &LeafIndex,
    from: usize,
    leaves: &[Leaf],
    mut siblings: Vec<Hash>,
) -> MapProof {
    let mut here = leaves;
    for depth in from..DEPTH {
        if here.is_empty() {
            let ending = Ending::Empty(empty_salt(key, depth, &place.first(depth)));
            return MapProof { siblings, ending };
        }
        let (left, right) = split(here, depth);
        let other = match place.right(depth) {
            true => (here = right, left).1,
            false => (here = left, right).1,
        };
        siblings.push(subtree(key, depth + 1, &place.sibling(depth + 1), other));
    }
    let ending = match here.first() {
        Some((_, head)) => Ending::Chain(leaf_salt(key, place, head.count)),
        None => Ending::Empty(empty_salt(key, DEPTH, place)),
    };
    MapProof { siblings, ending }
}

/// All chains, entry by entry: for whoever reads the whole log. Memory: one head for each name.
#[derive(Debug)]
pub struct Chains {
    key: MapKey,
    heads: std::collections::BTreeMap<LeafIndex, ChainHead>,
}

impl Chains {
    /// Before the first entry of the log.
    pub fn new(key: MapKey) -> Self {
        Self {
            key,
            heads: std::collections::BTreeMap::new(),
        }
    }

    /// Takes the next entry of the log.
    pub fn push(&mut self, entry: &Entry) {
        let Some(place) = place_of(&entry.action, &entry.subject) else {
            return;
        };
        let first = || ChainHead::first(&self.key, &place);
        let head = self.heads.entry(place).or_insert_with(first);
        *head = OwnEntry::from(entry.clone()).after(head);
    }

    /// The root of the map with all of them.
    pub fn root(&self) -> Hash {
        let leaves: Vec<Leaf> = self.heads.iter().map(|(p, h)| (*p, *h)).collect();
        root(&self.key, &leaves)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.heads.len()
    }
}

#[cfg(test)]
mod tests;
