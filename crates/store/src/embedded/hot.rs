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

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::{Row, Want};

/// Shards; each has a lock and a generation.
const SHARDS: usize = 64;
/// What a row costs beside its bytes; a guess.
const ROW_OVERHEAD_BYTES: usize = 256;
/// A row may take this part of a shard at most, so that a few big ones do not drive out the rest.
const SHARE: usize = 4;

/// What a shard was when a read began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    shard: usize,
    generation: u64,
}

/// The answer of a look into the cache.
pub(super) enum Found {
    Hit(Row),
    /// With what [`Hot::keep`] needs.
    Miss(Began),
}

struct Entry {
    key: Bytes,
    /// Its payload is `None` only if the row has none.
    row: Row,
    /// Read since the hand last passed.
    used: bool,
}

#[derive(Default)]
struct Shard {
    generation: u64,
    places: HashMap<Bytes, usize>,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    hand: usize,
    bytes: usize,
}

/// The cache. Keys are with partition.
pub(super) struct Hot {
    shards: Vec<Mutex<Shard>>,
    shard_bytes: usize,
}

fn cost(key: &[u8], row: &Row) -> usize {
    ROW_OVERHEAD_BYTES + key.len() + row.value.len() + row.payload.as_ref().map_or(0, Bytes::len)
}

impl Shard {
    fn remove(&mut self, key: &[u8]) {
        if let Some(place) = self.places.remove(key) {
            self.clear(place);
        }
    }

    /// Empties a place whose key is no longer in `places`.
    fn clear(&mut self, place: usize) {
        if let Some(entry) = self.entries.get_mut(place).and_then(Option::take) {
            self.bytes -= cost(&entry.key, &entry.row);
            self.free.push(place);
        }
    }

    /// Drives out the first row after the hand that was not read since the hand last passed.
    fn evict(&mut self) {
        while !self.places.is_empty() {
            let place = self.hand % self.entries.len();
            self.hand = place + 1;
            match &mut self.entries[place] {
                Some(entry) if entry.used => entry.used = false,
                Some(entry) => {
                    self.places.remove(&entry.key);
                    return self.clear(place);
                }
                None => {}
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
        }
    }

    fn shard(&self, key: &[u8]) -> usize {
        xxh3_64(key) as usize % self.shards.len()
    }

    /// The row of a key. To be asked before the view is.
    pub(super) fn get(&self, key: &[u8], want: Want) -> Found {
        let at = self.shard(key);
        let mut shard = self.shards[at].lock();
        let shard = &mut *shard;
        let place = shard.places.get(key).copied();
        let entry = place.and_then(|place| shard.entries[place].as_mut());
        let Some(entry) = entry else {
            let generation = shard.generation;
            return Found::Miss(Began {
                shard: at,
                generation,
            });
        };
        entry.used = true;
        Found::Hit(Row {
            version: entry.row.version,
            value: entry.row.value.clone(),
            payload: entry.row.payload.clone().filter(|_| want == Want::Payload),
        })
    }

    /// Keeps a row that was read from the view after [`Hot::get`] missed it, unless a commit came
    /// to its shard since.
    pub(super) fn keep(&self, began: Began, key: Vec<u8>, row: &Row) {
        let bytes = cost(&key, row);
        if bytes > self.shard_bytes / SHARE {
            return;
        }
        let mut shard = self.shards[began.shard].lock();
        if shard.generation != began.generation {
            return;
        }
        shard.remove(&key);
        while shard.bytes + bytes > self.shard_bytes {
            shard.evict();
        }
        let key = Bytes::from(key);
        let entry = Some(Entry {
            key: key.clone(),
            row: row.clone(),
            used: false,
        });
        let place = match shard.free.pop() {
            Some(place) => {
                shard.entries[place] = entry;
                place
            }
            None => {
                shard.entries.push(entry);
                shard.entries.len() - 1
            }
        };
        shard.places.insert(key, place);
        shard.bytes += bytes;
    }

    /// Forgets a key that a commit writes. The caller holds the view for writing.
    pub(super) fn forget(&self, key: &[u8]) {
        let mut shard = self.shards[self.shard(key)].lock();
        shard.generation += 1;
        shard.remove(key);
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
    use crate::RowVersion;

    fn row(version: u64, payload: usize) -> Row {
        Row {
            version: RowVersion(version),
            value: Bytes::from_static(b"value"),
            payload: Some(vec![7; payload].into()),
        }
    }

    fn missed(hot: &Hot, key: &[u8]) -> Began {
        match hot.get(key, Want::Payload) {
            Found::Miss(began) => began,
            Found::Hit(row) => panic!("holds {row:?}"),
        }
    }

    #[test]
    fn a_row_read_before_a_commit_is_not_kept_after_it() {
        let hot = Hot::new(1 << 20);
        let began = missed(&hot, b"key");
        hot.forget(b"key");
        hot.keep(began, b"key".to_vec(), &row(1, 10));
        let began = missed(&hot, b"key");
        hot.keep(began, b"key".to_vec(), &row(2, 10));
        assert!(matches!(hot.get(b"key", Want::Payload), Found::Hit(r) if r == row(2, 10)));
        assert!(matches!(hot.get(b"key", Want::Value), Found::Hit(r) if r.payload.is_none()));
        hot.forget(b"key");
        missed(&hot, b"key");
        assert_eq!(hot.bytes(), 0);
    }

    #[test]
    fn holds_no_more_than_its_bytes_and_keeps_what_is_read() {
        let max = 1 << 20;
        let hot = Hot::new(max);
        let began = missed(&hot, b"often");
        hot.keep(began, b"often".to_vec(), &row(1, 1000));
        for n in 0..10_000_u32 {
            assert!(
                matches!(hot.get(b"often", Want::Payload), Found::Hit(_)),
                "{n}"
            );
            let key = n.to_le_bytes();
            let began = missed(&hot, &key);
            hot.keep(began, key.to_vec(), &row(1, 1000));
            assert!(hot.bytes() <= max);
        }
        assert!(hot.bytes() > max / 2);
        let began = missed(&hot, b"big");
        hot.keep(began, b"big".to_vec(), &row(1, max / SHARDS));
        missed(&hot, b"big");
    }
}
