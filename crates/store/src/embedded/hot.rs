//! A bounded cache of whole rows, payloads included, so that a hot read needs neither the index
//! nor the journal.
//!
//! It never answers an older row than the view would, because of three rules:
//!
//! 1. A commit removes its keys, and moves on the generation of their shards, while it holds the
//!    view for writing: no reader can have seen the new row yet, and nobody was answered yet.
//! 2. A reader that misses takes the shard's generation before it looks into the view.
//! 3. It puts the row that it read into the cache only if the generation is still that one,
//!    decided under the shard's lock.
//!
//! So a row that is put here was read after the last commit of its shard had become visible: had
//! it been read before, the generation would have moved since. And once a commit is visible, its
//! keys' older rows are gone from here. A payload's move counts as a commit.
//!
//! Payloads get here from reads only, which have compared their checksums.
//!
//! What a hit costs is mostly what it touches that is not in the processor's caches, above all
//! where one has to be there before the next is known. So a key is hashed once, for the shard and
//! for the map in it; the map holds the entries themselves, and the key is compared in place: it is
//! beside the row's value and payload, in one buffer.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState},
};

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{PartitionId, Row, RowVersion, Want};

/// Shards; each has a lock and a generation.
const SHARDS: usize = 64;
/// What a row costs beside its bytes; a guess.
const ROW_OVERHEAD_BYTES: usize = 256;
/// A row may take this part of a shard at most, so that a few big ones do not drive out the rest.
const SHARE: usize = 4;

/// What a shard was when a read began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    hash: u64,
    generation: u64,
}

/// Hashes of keys are hashes already. They have a seed of this process, so nobody can choose keys
/// that crowd one place.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|b| self.0 = self.0 << 8 | u64::from(*b));
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The answer of a look into the cache.
pub(super) enum Found {
    Hit(Row),
    /// With what [`Hot::keep`] needs.
    Miss(Began),
}

struct Entry {
    version: RowVersion,
    /// Key with partition, value and payload.
    all: Bytes,
    key_end: u32,
    value_end: u32,
    /// Its place on the clock.
    place: u32,
    has_payload: bool,
    /// Read since the hand last passed.
    used: bool,
}

impl Entry {
    fn new(key: &[u8], row: &Row) -> Self {
        let payload = row.payload.as_ref().map_or(&[][..], |payload| payload);
        let value_end = key.len() + row.value.len();
        Self {
            version: row.version,
            all: [key, &row.value, payload].concat().into(),
            // Rows are far smaller than 4 GiB: see `Batch::check`.
            key_end: key.len() as u32,
            value_end: value_end as u32,
            place: 0,
            has_payload: row.payload.is_some(),
            used: false,
        }
    }

    fn is_of(&self, partition: PartitionId, key: &[u8]) -> bool {
        let split = self.all[..self.key_end as usize].split_first_chunk();
        split.is_some_and(|(p, k)| u64::from_be_bytes(*p) == partition.0 && k == key)
    }

    fn row(&self, want: Want) -> Row {
        let (key_end, value_end) = (self.key_end as usize, self.value_end as usize);
        let payload = self.has_payload && want == Want::Payload;
        Row {
            version: self.version,
            value: self.all.slice(key_end..value_end),
            payload: payload.then(|| self.all.slice(value_end..)),
        }
    }

    fn cost(&self) -> usize {
        ROW_OVERHEAD_BYTES + self.all.len()
    }
}

#[derive(Default)]
struct Shard {
    generation: u64,
    /// By the hash of the key; of two keys with one hash, the last is kept.
    entries: HashMap<u64, Entry, BuildHasherDefault<AsItIs>>,
    /// The hashes in the order in which the clock's hand reaches them.
    clock: Vec<Option<u64>>,
    free: Vec<u32>,
    hand: usize,
    bytes: usize,
}

/// The cache.
pub(super) struct Hot {
    shards: Vec<Mutex<Shard>>,
    shard_bytes: usize,
    seed: u64,
}

impl Shard {
    fn remove(&mut self, hash: u64) {
        if let Some(entry) = self.entries.remove(&hash) {
            self.bytes -= entry.cost();
            self.clock[entry.place as usize] = None;
            self.free.push(entry.place);
        }
    }

    fn insert(&mut self, hash: u64, mut entry: Entry) {
        entry.place = self.free.pop().unwrap_or_else(|| {
            self.clock.push(None);
            // Entries cost far more than a byte each, and a shard is smaller than 4 GiB of them.
            (self.clock.len() - 1) as u32
        });
        self.clock[entry.place as usize] = Some(hash);
        self.bytes += entry.cost();
        self.entries.insert(hash, entry);
    }

    /// Drives out the first row after the hand that was not read since the hand last passed.
    fn evict(&mut self) {
        while !self.entries.is_empty() {
            let place = self.hand % self.clock.len();
            self.hand = place + 1;
            let Some(hash) = self.clock[place] else {
                continue;
            };
            match self.entries.get_mut(&hash) {
                Some(entry) if entry.used => entry.used = false,
                _ => return self.remove(hash),
            }
        }
    }
}

impl Hot {
    /// Holds at most `bytes`, about; 0 holds nothing.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_bytes: bytes / SHARDS,
            seed: RandomState::new().hash_one(0),
        }
    }

    fn hash(&self, partition: PartitionId, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed ^ partition.0)
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // Other bits than those by which a map finds its places.
        &self.shards[(hash >> 32) as usize % self.shards.len()]
    }

    /// The row of a key. To be asked before the view is.
    pub(super) fn get(&self, partition: PartitionId, key: &[u8], want: Want) -> Found {
        let hash = self.hash(partition, key);
        let mut shard = self.shard(hash).lock();
        let shard = &mut *shard;
        let entry = shard.entries.get_mut(&hash);
        let Some(entry) = entry.filter(|entry| entry.is_of(partition, key)) else {
            let generation = shard.generation;
            return Found::Miss(Began { hash, generation });
        };
        // Written only where it changes: another thread may have the cache line.
        if !entry.used {
            entry.used = true;
        }
        Found::Hit(entry.row(want))
    }

    /// Keeps a row that was read from the view after [`Hot::get`] missed it, unless a commit
    /// changed its shard since. `key` is with partition.
    pub(super) fn keep(&self, began: Began, key: &[u8], row: &Row) {
        let payload = row.payload.as_ref().map_or(0, Bytes::len);
        let bytes = ROW_OVERHEAD_BYTES + key.len() + row.value.len() + payload;
        if bytes > self.shard_bytes / SHARE {
            return;
        }
        let entry = Entry::new(key, row);
        let mut shard = self.shard(began.hash).lock();
        if shard.generation != began.generation {
            return;
        }
        shard.remove(began.hash);
        while shard.bytes + bytes > self.shard_bytes {
            shard.evict();
        }
        shard.insert(began.hash, entry);
    }

    /// Drops a key, with partition, that a commit writes. The caller holds the view for writing.
    pub(super) fn forget(&self, key: &[u8]) {
        let Some((partition, key)) = key.split_first_chunk() else {
            return;
        };
        let hash = self.hash(PartitionId(u64::from_be_bytes(*partition)), key);
        let mut shard = self.shard(hash).lock();
        shard.generation += 1;
        shard.remove(hash);
    }

    /// Bytes held, about.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::memtable::full_key;

    fn row(version: u64, payload: usize) -> Row {
        Row {
            version: RowVersion(version),
            value: Bytes::from_static(b"value"),
            payload: Some(vec![7; payload].into()),
        }
    }

    const PARTITION: PartitionId = PartitionId(7);

    fn full(key: &[u8]) -> Vec<u8> {
        full_key(PARTITION, key)
    }

    fn missed(hot: &Hot, key: &[u8]) -> Began {
        match hot.get(PARTITION, key, Want::Payload) {
            Found::Miss(began) => began,
            Found::Hit(row) => panic!("holds {row:?}"),
        }
    }

    #[test]
    fn a_row_read_before_a_commit_is_not_kept_after_it() {
        let hot = Hot::new(1 << 20);
        let began = missed(&hot, b"key");
        hot.forget(&full(b"key"));
        hot.keep(began, &full(b"key"), &row(1, 10));
        let began = missed(&hot, b"key");
        hot.keep(began, &full(b"key"), &row(2, 10));
        assert!(
            matches!(hot.get(PARTITION, b"key", Want::Payload), Found::Hit(r) if r == row(2, 10))
        );
        assert!(
            matches!(hot.get(PARTITION, b"key", Want::Value), Found::Hit(r) if r.payload.is_none())
        );
        hot.forget(&full(b"key"));
        missed(&hot, b"key");
        assert_eq!(hot.bytes(), 0);
    }

    #[test]
    fn holds_no_more_than_its_bytes_and_keeps_what_is_read() {
        let max = 1 << 20;
        let hot = Hot::new(max);
        let began = missed(&hot, b"often");
        hot.keep(began, &full(b"often"), &row(1, 1000));
        for n in 0..10_000_u32 {
            assert!(
                matches!(hot.get(PARTITION, b"often", Want::Payload), Found::Hit(_)),
                "{n}"
            );
            let key = n.to_le_bytes();
            let began = missed(&hot, &key);
            hot.keep(began, &full(&key), &row(1, 1000));
            assert!(hot.bytes() <= max);
        }
        assert!(hot.bytes() > max / 2);
        let began = missed(&hot, b"big");
        hot.keep(began, &full(b"big"), &row(1, max / SHARDS));
        missed(&hot, b"big");
    }

    #[test]
    fn partitions_and_sizes_of_payloads_are_kept_apart() {
        let hot = Hot::new(64 << 20);
        for payload in [0, 1, 4096, 100_000] {
            let began = missed(&hot, b"key");
            hot.keep(began, &full(b"key"), &row(1, payload));
            let other = hot.get(PartitionId(8), b"key", Want::Payload);
            assert!(matches!(other, Found::Miss(_)));
            let found = hot.get(PARTITION, b"key", Want::Payload);
            assert!(matches!(found, Found::Hit(r) if r == row(1, payload)));
            hot.forget(&full(b"key"));
        }
        let began = missed(&hot, b"none");
        let none = Row {
            payload: None,
            ..row(1, 0)
        };
        hot.keep(began, &full(b"none"), &none);
        let found = hot.get(PARTITION, b"none", Want::Payload);
        assert!(matches!(found, Found::Hit(r) if r == none));
    }
}
