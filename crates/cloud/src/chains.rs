//! The chains by bucket and of the regions (`proof::map`), kept beside the audit log where the
//! registry is kept: a row with the head of each, and one for each of its entries. They are written
//! with the entry itself, and follow from the log alone: a registry that has none yet makes them at
//! its start.
//!
//! | key | value |
//! |---|---|
//! | `m/<place, 32 hex digits>` | the chain's head, and where the bucket's present life begins |
//! | `l/<place>/<20 digits>` | the number in the audit log of the chain's entry of that number |
//! | `c/chains` | how many entries of the log are in the chains |
//!
//! In memory are the hashes of the map's 4096 parts. Those whose chains have changed are computed
//! when somebody wants a proof, from the rows of the part.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use proof::{
    Entry, Hash,
    bundle::ChainPart,
    map::{ChainHead, Leaf, LeafIndex, MapKey, MapProof, OwnEntry, Shards, place_of, shard_of},
};
use serde::{Deserialize, Serialize};

use crate::{
    CloudError, MasterKey, Registry,
    kinds::{FORMAT, Record},
    registry::Turn,
    state::State,
};

const PAGE_ROWS: usize = 1000;
/// Entries that are taken over at once at a start.
const FOLD_PAGE: usize = 500;
const SAY_EVERY: u64 = 50_000;
/// So many parts are computed while changes wait; before, as many as have changed.
const HELD_MAX: usize = 8;
/// Whoever changes buckets all the time does not keep a proof from being made.
const ROUNDS_MAX: usize = 50;
/// Entries of one chain in one bundle.
const SHOWN_MAX: u64 = 50_000;

/// Rows to be written with a change.
pub(crate) type Linked = Vec<(String, Vec<u8>)>;

/// How many entries of the log are in the chains.
#[derive(Serialize, Deserialize)]
pub(crate) struct Folded {
    #[serde(rename = "v")]
    format: u32,
    pub(crate) length: u64,
}

/// The head of a chain at rest.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct HeadRow {
    #[serde(rename = "v")]
    format: u32,
    count: u64,
    link: Hash,
    /// The link before the last entry.
    before: Hash,
    /// Where the present life of the bucket begins: so many entries are before it, and this is the
    /// link after them.
    born_after: u64,
    born_link: Hash,
}

/// An entry of a chain at rest.
#[derive(Serialize, Deserialize)]
pub(crate) struct LinkRow {
    #[serde(rename = "v")]
    format: u32,
    number: u64,
}

impl Record for Folded {
    const PREFIX: &'static str = "c/chains";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] =
        &[("c/chains", r#"{"v":1,"length":5}"#)];
    type Table = u64;

    fn put(state: &mut State, _: &MasterKey, _: &str, value: &[u8]) -> Result<(), CloudError> {
        state.chained = Self::read(value)?.length;
        Ok(())
    }
}

// The chains themselves stay on disk.
impl Record for HeadRow {
    const PREFIX: &'static str = "m/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "m/00112233445566778899aabbccddeeff",
        concat!(
            r#"{"v":1,"count":3,"#,
            r#""link":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff","#,
            r#""before":"ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100","#,
            r#""born_after":1,"#,
            r#""born_link":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}"#,
        ),
    )];
    type Table = ();

    fn put(_: &mut State, _: &MasterKey, _: &str, _: &[u8]) -> Result<(), CloudError> {
        Ok(())
    }
}

impl Record for LinkRow {
    const PREFIX: &'static str = "l/";
    #[cfg(test)]
    const GOLDEN: &'static [(&'static str, &'static str)] = &[(
        "l/00112233445566778899aabbccddeeff/00000000000000000003",
        r#"{"v":1,"number":4}"#,
    )];
    type Table = ();

    fn put(_: &mut State, _: &MasterKey, _: &str, _: &[u8]) -> Result<(), CloudError> {
        Ok(())
    }
}

impl HeadRow {
    fn first(key: &MapKey, place: &LeafIndex) -> Self {
        let ChainHead { count, link } = ChainHead::first(key, place);
        Self {
            format: FORMAT,
            count,
            link,
            before: link,
            born_after: count,
            born_link: link,
        }
    }

    fn head(&self) -> ChainHead {
        ChainHead {
            count: self.count,
            link: self.link,
        }
    }

    fn after(&self, told: &OwnEntry) -> Self {
        let ChainHead { count, link } = told.after(&self.head());
        let born = told.action == "bucket.create";
        Self {
            format: FORMAT,
            count,
            link,
            before: self.link,
            born_after: if born { self.count } else { self.born_after },
            born_link: if born { self.link } else { self.born_link },
        }
    }
}

/// A part that is being computed. It counts as changed again unless that ended, also where nobody
/// waits for it any more.
struct Computing<'c> {
    chains: &'c Chains,
    shard: usize,
    done: bool,
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.chains.parts.lock().stale.insert(self.shard);
        }
    }
}

/// What is in memory of the map.
pub(crate) struct Chains {
    key: MapKey,
    parts: Mutex<Parts>,
    /// One computes parts at a time, so that no older hash replaces a newer one.
    computing: tokio::sync::Mutex<()>,
}

struct Parts {
    shards: Shards,
    /// Those that have changed since they were computed.
    stale: BTreeSet<usize>,
}

impl Chains {
    pub(crate) fn new(key: MapKey) -> Self {
        let shards = Shards::new(key);
        let stale = (0..shards.count()).collect();
        Self {
            key,
            parts: Mutex::new(Parts { shards, stale }),
            computing: tokio::sync::Mutex::default(),
        }
    }

    /// An entry is written. To be called before the turn ends.
    pub(crate) fn touched(&self, entry: &Entry) {
        if let Some(place) = place_of(&entry.action, &entry.subject) {
            self.parts.lock().stale.insert(shard_of(&place));
        }
    }
}

/// The log's end with the map after it.
#[derive(Debug, Clone)]
pub struct MapAfter {
    /// The last entry.
    pub last: Entry,
    /// The root of the map.
    pub root: Hash,
}

/// What a bundle shows of the log.
#[derive(Debug, Clone)]
pub struct BucketChains {
    /// What is to be signed.
    pub after: MapAfter,
    /// The bucket's chain since it was created; of one that is gone, its deletion.
    pub bucket: ChainPart,
    /// The regions' chain.
    pub regions: ChainPart,
}

/// A chain that is to be shown.
struct Wanted {
    place: LeafIndex,
    head: ChainHead,
    before: ChainHead,
    proof: MapProof,
}

impl Registry {
    /// What the salts of the map are made with: for those who read the whole log.
    pub fn map_key(&self) -> MapKey {
        self.chains.key
    }

    /// The rows that continue the chains of these entries, which follow on what is in the chains.
    pub(crate) async fn linked(&self, entries: &[Entry]) -> Result<Linked, CloudError> {
        let mut heads: BTreeMap<LeafIndex, HeadRow> = BTreeMap::new();
        let mut rows = Vec::new();
        for entry in entries {
            let told = OwnEntry::from(entry.clone());
            let Some(place) = told.place() else {
                continue;
            };
            let head = match heads.get(&place) {
                Some(head) => *head,
                None => self.head_row(&place).await?,
            };
            let head = head.after(&told);
            heads.insert(place, head);
            let link = LinkRow {
                format: FORMAT,
                number: told.number,
            };
            rows.push((link_key(&place, head.count), link.write()?.into_bytes()));
        }
        for (place, head) in &heads {
            rows.push((head_key(place), head.write()?.into_bytes()));
        }
        if let Some(last) = entries.last() {
            let folded = Folded {
                format: FORMAT,
                length: last.number + 1,
            };
            rows.push((Folded::key(""), folded.write()?.into_bytes()));
        }
        Ok(rows)
    }

    async fn head_row(&self, place: &LeafIndex) -> Result<HeadRow, CloudError> {
        let key = head_key(place);
        let found = self.rows.page(&key, "", 1).await?;
        match found.first() {
            Some((_, value)) => HeadRow::read(value),
            None => Ok(HeadRow::first(&self.chains.key, place)),
        }
    }

    /// How many entries the chain of a bucket's name has, and how many of them are from before its
    /// present life.
    pub(crate) async fn chain_of(&self, name: &str) -> Result<(u64, u64), CloudError> {
        let head = self.head_row(&LeafIndex::of_bucket(name)).await?;
        Ok((head.count, head.born_after))
    }

    /// The numbers in the log of a page of that chain, behind its first `after` entries.
    pub(crate) async fn chain_page(&self, name: &str, after: u64) -> Result<Vec<u64>, CloudError> {
        let place = LeafIndex::of_bucket(name);
        let from = link_key(&place, after);
        let page = self.rows.page(&links(&place), &from, PAGE_ROWS).await?;
        let number = |(_, value): &(String, Vec<u8>)| Ok(LinkRow::read(value)?.number);
        page.iter().map(number).collect()
    }

    /// Takes over entries that are not in the chains: all of a log that has none yet.
    pub(crate) async fn fold(&self) -> Result<(), CloudError> {
        loop {
            let (from, length) = {
                let state = self.state.read();
                (state.chained, state.length())
            };
            if from >= length {
                return Ok(());
            }
            if from.is_multiple_of(SAY_EVERY) {
                tracing::info!(from, length, "chains by bucket are made of the audit log");
            }
            let entries = self.entries(from, FOLD_PAGE).await?;
            let expected = entries.first().is_some_and(|entry| entry.number == from);
            if !expected {
                return Err(CloudError::History(from, "it is missing".into()));
            }
            let rows = self.linked(&entries).await?;
            self.rows.write(None, rows, Vec::new()).await?;
            for entry in &entries {
                self.chains.touched(entry);
            }
            self.state.write().chained = from + entries.len() as u64;
        }
    }

    /// The log's end, and the map after it; `None` while the log is empty.
    ///
    /// # Errors
    /// Where the registry is not kept; failures of the engine.
    pub async fn map(&self) -> Result<Option<MapAfter>, CloudError> {
        let _turn = self.computed().await?;
        Ok(self.map_now())
    }

    fn map_now(&self) -> Option<MapAfter> {
        let last = self.state.read().last.clone()?;
        let root = self.chains.parts.lock().shards.root();
        Some(MapAfter { last, root })
    }

    /// The chains that a bundle about this name shows, whether there is a bucket or not; `None`
    /// while the log is empty.
    ///
    /// # Errors
    /// `Refused` for a bucket with more entries than a bundle holds; as [`Registry::map`].
    pub async fn bucket_chains(&self, name: &str) -> Result<Option<BucketChains>, CloudError> {
        let turn = self.computed().await?;
        let Some(after) = self.map_now() else {
            return Ok(None);
        };
        let place = LeafIndex::of_bucket(name);
        let head = self.head_row(&place).await?;
        let lives = self.state.read().deeds.contains_key(name);
        let before = match (lives, head.count) {
            (false, 1..) => ChainHead {
                count: head.count - 1,
                link: head.before,
            },
            _ => ChainHead {
                count: head.born_after,
                link: head.born_link,
            },
        };
        let bucket = self.wanted(place, head.head(), before).await?;
        let place = LeafIndex::of_regions();
        let head = self.head_row(&place).await?.head();
        let first = ChainHead::first(&self.chains.key, &place);
        let regions = self.wanted(place, head, first).await?;
        // What is in a chain stays there: the rest is read while changes go on.
        drop(turn);
        Ok(Some(BucketChains {
            after,
            bucket: self.shown(bucket).await?,
            regions: self.shown(regions).await?,
        }))
    }

    async fn wanted(
        &self,
        place: LeafIndex,
        head: ChainHead,
        before: ChainHead,
    ) -> Result<Wanted, CloudError> {
        let leaves = self.leaves(shard_of(&place)).await?;
        let proof = self.chains.parts.lock().shards.prove(&place, &leaves);
        Ok(Wanted {
            place,
            head,
            before,
            proof,
        })
    }

    /// The entries of a chain.
    async fn shown(&self, wanted: Wanted) -> Result<ChainPart, CloudError> {
        let Wanted {
            place,
            head,
            before,
            proof,
        } = wanted;
        let count = head.count - before.count;
        if count > SHOWN_MAX {
            return Err(CloudError::Refused(format!(
                "it was changed {count} times since it was created; a bundle shows {SHOWN_MAX}"
            )));
        }
        let mut entries: Vec<OwnEntry> = Vec::new();
        while (entries.len() as u64) < count {
            let from = before.count + entries.len() as u64;
            let after = link_key(&place, from);
            let page = self.rows.page(&links(&place), &after, PAGE_ROWS).await?;
            let missing = || CloudError::Record(format!("an entry of the chain {}", place.hex()));
            if page.is_empty() {
                return Err(missing());
            }
            let left = (count as usize).saturating_sub(entries.len());
            for (_, value) in page.iter().take(left) {
                let number = LinkRow::read(value)?.number;
                let found = self.entries(number, 1).await?.pop();
                let entry = found.filter(|entry| entry.number == number);
                entries.push(entry.ok_or_else(missing)?.into());
            }
        }
        Ok(ChainPart {
            before,
            entries,
            proof,
        })
    }

    /// Computes the parts of the map that have changed. Nothing changes until the turn ends.
    async fn computed(&self) -> Result<Turn, CloudError> {
        if !self.keeps() {
            let keeper = match &self.keeper {
                crate::Keeper::There(upstream) => upstream.keeper().to_string(),
                crate::Keeper::Here => String::new(),
            };
            return Err(CloudError::Elsewhere(keeper));
        }
        for _ in 0..ROUNDS_MAX {
            if self.stale() <= HELD_MAX {
                break;
            }
            self.compute().await?;
        }
        let turn = self.turn().await;
        self.compute().await?;
        Ok(turn)
    }

    fn stale(&self) -> usize {
        self.chains.parts.lock().stale.len()
    }

    async fn compute(&self) -> Result<(), CloudError> {
        let _one = self.chains.computing.lock().await;
        let stale: Vec<usize> = self.chains.parts.lock().stale.iter().copied().collect();
        for shard in stale {
            // A change that comes now marks it again.
            self.chains.parts.lock().stale.remove(&shard);
            let mut computing = Computing {
                chains: &self.chains,
                shard,
                done: false,
            };
            let leaves = self.leaves(shard).await;
            let hashed = match leaves {
                Ok(leaves) if leaves.is_empty() => Ok(None),
                Ok(leaves) => {
                    let key = self.chains.key;
                    let hash = move || Shards::hash(&key, shard, &leaves);
                    let hashed = tokio::task::spawn_blocking(hash).await;
                    hashed.map_err(|e| CloudError::Record(format!("hashing broke: {e}")))
                }
                Err(error) => Err(error),
            };
            let hash = hashed?;
            self.chains.parts.lock().shards.set(shard, hash);
            computing.done = true;
        }
        Ok(())
    }

    /// The heads of all chains in a part of the map, in order of place.
    async fn leaves(&self, shard: usize) -> Result<Vec<Leaf>, CloudError> {
        let prefix = HeadRow::key(Shards::prefix(shard));
        let (mut leaves, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.rows.page(&prefix, &after, PAGE_ROWS).await?;
            for (key, value) in &page {
                let place = key.strip_prefix(HeadRow::PREFIX).and_then(LeafIndex::parse);
                let place = place.ok_or_else(|| CloudError::Record(format!("row {key}")))?;
                leaves.push((place, HeadRow::read(value)?.head()));
            }
            match page.last().filter(|_| page.len() == PAGE_ROWS) {
                Some((last, _)) => after.clone_from(last),
                None => return Ok(leaves),
            }
        }
    }
}

fn head_key(place: &LeafIndex) -> String {
    HeadRow::key(place.hex())
}

fn links(place: &LeafIndex) -> String {
    LinkRow::key(format_args!("{}/", place.hex()))
}

fn link_key(place: &LeafIndex, count: u64) -> String {
    format!("{}{count:020}", links(place))
}
