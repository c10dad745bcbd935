//! The map in parts, for whoever keeps its leaves on disk: the hashes of 4096 subtrees in memory,
//! whatever the number of chains. A change touches the leaves of one part.

use super::{DEPTH, Ending, Leaf, LeafIndex, MapKey, MapProof, descend, empty_hash, empty_salt};
use crate::encoding::Hash;

/// A part has the places that begin with the same so many hex digits.
const SHARD_HEX_DIGITS: usize = 3;
const SHARD_DEPTH: usize = SHARD_HEX_DIGITS * 4;
const SHARDS: usize = 1 << SHARD_DEPTH;

/// The part that a place is in.
pub fn shard_of(place: &LeafIndex) -> usize {
    usize::from(u16::from_be_bytes([place.0[0], place.0[1]]) >> (16 - SHARD_DEPTH))
}

/// The upper levels of the map.
#[derive(Debug, Clone)]
pub struct Shards {
    key: MapKey,
    /// The hash of each part; `None` when it is empty.
    roots: Vec<Option<Hash>>,
}

impl Shards {
    /// An empty map.
    pub fn new(key: MapKey) -> Self {
        let roots = vec![None; SHARDS];
        Self { key, roots }
    }

    /// How many parts there are.
    pub fn count(&self) -> usize {
        self.roots.len()
    }

    /// What the names of all places of a part begin with, in hex.
    pub fn prefix(shard: usize) -> String {
        format!("{shard:0width$x}", width = SHARD_HEX_DIGITS)
    }

    /// The hash of a part with these leaves, which are all that it has, in order of place. Takes
    /// long where there are many, so it changes nothing yet: see [`Shards::set`].
    pub fn hash(key: &MapKey, shard: usize, leaves: &[Leaf]) -> Option<Hash> {
        let prefix = first_place(shard);
        (!leaves.is_empty()).then(|| super::subtree(key, SHARD_DEPTH, &prefix, leaves))
    }

    /// A part has this hash now.
    pub fn set(&mut self, shard: usize, hash: Option<Hash>) {
        if let Some(root) = self.roots.get_mut(shard) {
            *root = hash;
        }
    }

    /// The root of the map.
    pub fn root(&self) -> Hash {
        self.filled(0, &LeafIndex([0; 16]), &self.roots)
    }

    /// The proof for a place; `leaves` are all that its part has, in order of place.
    pub fn prove(&self, place: &LeafIndex, leaves: &[Leaf]) -> MapProof {
        let mut siblings = Vec::with_capacity(DEPTH);
        let mut here = self.roots.as_slice();
        for depth in 0..SHARD_DEPTH {
            if here.iter().all(Option::is_none) {
                let ending = Ending::Empty(empty_salt(&self.key, depth, &place.first(depth)));
                return MapProof { siblings, ending };
            }
            let (left, right) = here.split_at(here.len() / 2);
            let other = match place.right(depth) {
                true => (here = right, left).1,
                false => (here = left, right).1,
            };
            siblings.push(self.filled(depth + 1, &place.sibling(depth + 1), other));
        }
        descend(&self.key, place, SHARD_DEPTH, leaves, siblings)
    }

    /// The hash at `depth` over parts, also when all are empty.
    fn filled(&self, depth: usize, prefix: &LeafIndex, roots: &[Option<Hash>]) -> Hash {
        if roots.iter().all(Option::is_none) {
            return empty_hash(&empty_salt(&self.key, depth, prefix));
        }
        if let [Some(root)] = roots {
            return *root;
        }
        let (left, right) = roots.split_at(roots.len() / 2);
        let left = self.filled(depth + 1, prefix, left);
        let right = self.filled(depth + 1, &prefix.flipped(depth), right);
        super::node_hash(&left, &right)
    }
}

/// The first place of a part.
fn first_place(shard: usize) -> LeafIndex {
    let mut place = LeafIndex([0; 16]);
    // 12 bits.
    let bits = ((shard as u16) << (16 - SHARD_DEPTH)).to_be_bytes();
    place.0[0] = bits[0];
    place.0[1] = bits[1];
    place
}
