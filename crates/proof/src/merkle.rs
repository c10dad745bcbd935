//! The Merkle tree hash of RFC 6962 section 2.1 (RFC 9162 section 2.1.1) over SHA-256, computed in
//! a stream, and its inclusion proofs (RFC 9162 section 2.1.3).
//!
//! A leaf hashes as `SHA-256(0x00 || leaf)`, a node as `SHA-256(0x01 || left || right)`, no leaves
//! at all as `SHA-256("")`: the prefixes keep a node from passing for a leaf.

use sha2::{Digest as _, Sha256};

use crate::encoding::{Hash, Hex};

/// The hash of one leaf.
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let hash = Sha256::new().chain_update([0]).chain_update(leaf);
    Hex(hash.finalize().into())
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let hash = Sha256::new()
        .chain_update([1])
        .chain_update(left.0)
        .chain_update(right.0);
    Hex(hash.finalize().into())
}

/// A tree that is built leaf by leaf. Memory: one hash per bit of the number of leaves, so 64 at
/// most.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Roots of the complete subtrees so far, largest first: one for each bit of `count`.
    peaks: Vec<Hash>,
    count: u64,
}

impl Tree {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a leaf at the end.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hash = leaf_hash(leaf);
        // As a binary counter carries: every subtree of the same size is completed.
        let mut carry = self.count;
        while carry & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                hash = node_hash(&left, &hash);
            }
            carry >>= 1;
        }
        self.peaks.push(hash);
        self.count += 1;
    }

    /// Leaves so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The root over the leaves so far.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Hex(Sha256::digest([]).into()),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

/// The root over `leaves`.
pub fn root<L: AsRef<[u8]>>(leaves: &[L]) -> Hash {
    let mut tree = Tree::new();
    leaves.iter().for_each(|leaf| tree.push(leaf.as_ref()));
    tree.root()
}

/// The inclusion proof of leaf `index`: the sibling hashes from the leaf to the root. `None` when
/// there is no such leaf.
pub fn prove<L: AsRef<[u8]>>(leaves: &[L], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut leaves, mut index) = (leaves, index);
    while leaves.len() > 1 {
        // The largest power of two below the number of leaves.
        let split = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(split);
        if index < split {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            leaves = right;
            index -= split;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Whether `proof` shows that `leaf` is leaf `index` of the `count` leaves under `root`.
/// The algorithm of RFC 9162 section 2.1.3.2.
pub fn verify(root: &Hash, count: u64, index: u64, leaf: &[u8], proof: &[Hash]) -> bool {
    if index >= count {
        return false;
    }
    let (mut node, mut last) = (index, count - 1);
    let mut hash = leaf_hash(leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Leaves and roots of the test data of the certificate-transparency reference code
    /// (`merkletree/merkle_tree_test.cc`): the roots of the first 1, 2, ... 8 leaves.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_roots_are_those_of_certificate_transparency() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Tree::new().root().to_string(), empty);
        let mut tree = Tree::new();
        for (leaf, root) in LEAVES.iter().zip(ROOTS) {
            tree.push(&hex::decode(leaf).unwrap());
            assert_eq!(tree.root().to_string(), root);
        }
        assert_eq!(tree.count(), 8);
    }

    #[test]
    fn a_leaf_that_looks_like_a_node_does_not_hash_like_one() {
        let two = [b"a", b"b"];
        let forged = [leaf_hash(b"a").0, leaf_hash(b"b").0].concat();
        assert_ne!(root(&two), root(&[forged]));
    }

    /// The definition, word for word (RFC 6962 section 2.1), to compare the stream with.
    fn by_definition(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Hex(Sha256::digest([]).into()),
            [leaf] => leaf_hash(leaf),
            more => {
                let k = more.len().next_power_of_two() / 2;
                node_hash(&by_definition(&more[..k]), &by_definition(&more[k..]))
            }
        }
    }

    fn leaves() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..70)
    }

    proptest! {
        #[test]
        fn the_stream_gives_the_root_of_the_definition(leaves in leaves()) {
            prop_assert_eq!(root(&leaves), by_definition(&leaves));
            let mut tree = Tree::new();
            leaves.iter().for_each(|leaf| tree.push(leaf));
            prop_assert_eq!(tree.peaks.len() as u32, tree.count().count_ones(), "memory");
        }

        #[test]
        fn inclusion_proofs_hold_and_changed_ones_do_not(
            leaves in leaves(), pick in any::<usize>(), bit in any::<usize>(),
        ) {
            let index = pick % leaves.len();
            let (count, at) = (leaves.len() as u64, index as u64);
            let root = root(&leaves);
            let leaf = &leaves[index];
            let proof = prove(&leaves, index).unwrap();
            prop_assert!(verify(&root, count, at, leaf, &proof));

            let longer = [leaf.as_slice(), &[0]].concat();
            prop_assert!(!verify(&root, count, at, &longer, &proof));
            prop_assert!(!verify(&root, count, count, leaf, &proof));
            let mut extra = proof.clone();
            extra.push(root);
            prop_assert!(!verify(&root, count, at, leaf, &extra));
            let mut other_root = root;
            other_root.0[bit / 8 % 32] ^= 1 << (bit % 8);
            prop_assert!(!verify(&other_root, count, at, leaf, &proof));
            if !proof.is_empty() {
                let mut changed = proof.clone();
                let n = bit % proof.len();
                changed[n].0[bit / 8 % 32] ^= 1 << (bit % 8);
                prop_assert!(!verify(&root, count, at, leaf, &changed));
                prop_assert!(!verify(&root, count, at, leaf, &proof[1..]));
                prop_assert!(!verify(&root, count, at, leaf, &proof[..proof.len() - 1]));
            }
            for other in 0..count {
                let same = leaves[other as usize] == *leaf;
                prop_assert!(other == at || same || !verify(&root, count, other, leaf, &proof));
            }
        }
    }

    #[test]
    fn there_is_no_proof_of_a_leaf_that_is_not_there() {
        assert_eq!(prove(&[b"a"], 1), None);
        assert!(!verify(&root::<[u8; 1]>(&[]), 0, 0, b"", &[]));
    }
}
