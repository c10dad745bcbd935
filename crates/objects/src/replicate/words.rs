//! What a home removed because another region reported that it was removed there. This region
//! cannot see whether that is true, so each one that goes is on record before it goes: which key
//! and version, who said so, under which epoch, and when. The record of a region counts and digests
//! them all and keeps the last ones by name; the registry's audit log gets count and digest, later
//! where the registry is unreachable.

use std::collections::BTreeMap;

use access::{Action, Permit};
use bytes::Bytes;
use digest::Hasher;
use parking_lot::Mutex;
use store::{Batch, Guard, ScanRange, StoreError, Want};
use types::{
    BucketDeed, BucketId, BucketName, ChecksumAlgorithm, ObjectKey, RegionId, Timestamp, VersionId,
};

use super::Removed;
use crate::{
    Error, Objects, Result,
    bucket::{TRIES_MAX, deed, partition_of},
    listing::after,
    records::codec::{Reader, Writer},
    rows,
};

const VERSION: u8 = 1;
/// Removals of one region that are kept by name.
const KEPT_MAX: u64 = 100_000;
/// How long a replica may report what it knows to be removed, from its first question on.
const TELLS_MS: u64 = 24 * 3_600_000;

/// Why a home accepts what another region reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It held the bucket when another region was its home.
    Former,
    /// The bucket takes writes there, and its clients removed it.
    Clients,
}

/// What a replica reports of earlier epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// What it knows to be removed.
    Removals,
    /// What clients changed there.
    Changes,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reported {
    /// The epoch in which it reported last; 0 when it never did.
    epoch: u64,
    /// Whether it has reported all.
    all: bool,
    /// When it began to.
    began: Timestamp,
}

/// What was removed here because one region reported it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// What it reported of earlier epochs.
    told: [Reported; 2],
    /// The epoch of the last removal.
    pub epoch: u64,
    /// Removals in all.
    pub count: u64,
    /// SHA-256 over the digest before and the record of each removal.
    pub digest: [u8; 32],
    /// How many the audit log knows of.
    pub reported: u64,
}

impl Words {
    fn encode(&self) -> Bytes {
        let mut out = Writer::new(VERSION);
        for told in &self.told {
            out.u64(told.epoch).u8(u8::from(told.all));
            out.u64(told.began.ms());
        }
        out.u64(self.epoch).u64(self.count);
        out.raw(&self.digest).u64(self.reported);
        out.finish().into()
    }
    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, "a record of removals")?;
        let mut words = Self::default();
        for told in &mut words.told {
            told.epoch = r.u64()?;
            told.all = r.u8()? != 0;
            told.began = r.time()?;
        }
        (words.epoch, words.count) = (r.u64()?, r.u64()?);
        words.digest.copy_from_slice(r.raw(32)?);
        words.reported = r.u64()?;
        r.end()?;
        Ok(words)
    }
}

/// One version that was removed because a region reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnWord {
    /// The key.
    pub key: ObjectKey,
    /// The version's own id.
    pub version: VersionId,
    /// Whether older null versions of the key went with it.
    pub null: bool,
    /// Why the region's report was accepted.
    pub why: Word,
    /// The epoch of the deed.
    pub epoch: u64,
    /// When.
    pub at: Timestamp,
}

impl OnWord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(VERSION);
        out.text(&self.key).raw(self.version.bytes());
        out.u8(u8::from(self.null));
        out.u8(match self.why {
            Word::Former => 0,
            Word::Clients => 1,
        });
        out.u64(self.epoch).u64(self.at.ms());
        out.finish()
    }
    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes, VERSION, "a removal on a region's word")?;
        let one = Self {
            key: ObjectKey::new(&r.text()?)?,
            version: VersionId::from_bytes(r.sixteen()?),
            null: r.u8()? != 0,
            why: match r.u8()? {
                0 => Word::Former,
                1 => Word::Clients,
                _ => return Err(r.damaged()),
            },
            epoch: r.u64()?,
            at: r.time()?,
        };
        r.end()?;
        Ok(one)
    }
}

/// SHA-256 of a digest and what follows it.
fn chained(before: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    let mut hasher = Hasher::new(&[ChecksumAlgorithm::Sha256], false);
    hasher.update(before);
    hasher.update(bytes);
    let digests = hasher.finish_now();
    let sum = digests.checksum(ChecksumAlgorithm::Sha256);
    let sum = sum.and_then(|sum| sum.bytes().try_into().ok());
    sum.unwrap_or_default()
}

/// Regions on whose word something was removed that the audit log does not know of.
#[derive(Default)]
pub(crate) struct Unreported(Mutex<BTreeMap<(BucketId, RegionId), BucketName>>);

impl Objects {
    /// What was removed here because a region reported it.
    pub async fn words(&self, deed: &BucketDeed, region: &RegionId) -> Result<Words> {
        Ok(self.stored_words(deed, region).await?.1)
    }

    async fn stored_words(&self, deed: &BucketDeed, region: &RegionId) -> Result<(Guard, Words)> {
        let row_key = rows::words(region);
        let index = &self.engine.index;
        let row = index.get(partition_of(deed), &row_key, Want::Value).await?;
        match row {
            None => Ok((Guard::Absent(row_key), Words::default())),
            Some(row) => Ok((
                Guard::Version(row_key, row.version),
                Words::decode(&row.value)?,
            )),
        }
    }

    /// Changes the record of a region, together with what `batch` adds to the commit.
    async fn change_words(
        &self,
        deed: &BucketDeed,
        region: &RegionId,
        mut change: impl FnMut(&mut Words, Batch) -> Option<Batch>,
    ) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let bucket = self.receiving(deed).await?;
            let (guard, mut words) = self.stored_words(deed, region).await?;
            let batch = Batch::new().guard(bucket.guard()).guard(guard);
            let Some(batch) = change(&mut words, batch) else {
                return Ok(());
            };
            let batch = batch.put(rows::words(region), words.encode());
            match self.commit(bucket.partition, batch).await {
                Ok(_) => {
                    self.note_unreported(deed, region, &words);
                    return Ok(());
                }
                Err(StoreError::Conflict { index: 0 }) => self.forget_bucket(deed),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contention)
    }

    /// Whether a replica may now report on earlier epochs: once since `since`, and within a day.
    pub async fn may_tell(
        &self,
        permit: &Permit,
        region: &RegionId,
        since: u64,
        what: Report,
    ) -> Result<bool> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        if types::planted("removals-without-an-epoch") {
            return Ok(true);
        }
        // Before the first epoch there was none.
        if since <= 1 {
            return Ok(false);
        }
        let (now, epoch) = (self.clock.now(), deed.epoch);
        let told = self.words(deed, region).await?.told[what as usize];
        if told.epoch >= since {
            let over = now.ms().saturating_sub(told.began.ms()) > TELLS_MS;
            if over && !told.all {
                let bucket = &deed.name;
                tracing::warn!(%bucket, %region, "a replica sends changes of earlier epochs for too long");
            }
            return Ok(!told.all && !over);
        }
        self.change_words(deed, region, |words, batch| {
            words.told[what as usize] = Reported {
                epoch,
                all: false,
                began: now,
            };
            Some(batch)
        })
        .await?;
        Ok(true)
    }

    /// When a replica first reported on epochs before `since`, or now if it has not yet: what it
    /// alone has of these epochs was made before that. `None` where there was no epoch before
    /// `since`, and once the day is over in which it may report.
    pub async fn reports_since(
        &self,
        permit: &Permit,
        region: &RegionId,
        since: u64,
    ) -> Result<Option<Timestamp>> {
        if since <= 1 {
            return Ok(None);
        }
        // Begins the day, if that has not begun. A replica that has reported all that it knows to
        // be removed may still hand versions over.
        self.may_tell(permit, region, since, Report::Removals)
            .await?;
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let told = self.words(deed, region).await?.told[Report::Removals as usize];
        let is_over = self.clock.now().ms().saturating_sub(told.began.ms()) > TELLS_MS;
        Ok((!is_over).then_some(told.began))
    }

    /// A replica has reported all.
    pub async fn has_told(&self, permit: &Permit, region: &RegionId, what: Report) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        self.change_words(deed, region, |words, batch| {
            words.told[what as usize].all = true;
            Some(batch)
        })
        .await
    }

    /// Puts on record what is about to be removed because a region reported it.
    pub async fn note_on_word(
        &self,
        permit: &Permit,
        region: &RegionId,
        why: Word,
        removed: &[Removed],
    ) -> Result<()> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        if removed.is_empty() || types::planted("removals-off-the-record") {
            return Ok(());
        }
        let (at, epoch) = (self.clock.now(), deed.epoch);
        self.change_words(deed, region, |words, mut batch| {
            for removed in removed {
                let one = OnWord {
                    key: removed.name.0.clone(),
                    version: removed.name.1,
                    null: removed.null,
                    why,
                    epoch,
                    at,
                };
                let bytes = one.encode();
                words.digest = chained(&words.digest, &bytes);
                words.count = words.count.saturating_add(1);
                batch = batch.put(rows::on_word(region, words.count), bytes);
                if let Some(old) = words.count.checked_sub(KEPT_MAX).filter(|old| *old > 0) {
                    batch = batch.delete(rows::on_word(region, old)).frees();
                }
            }
            words.epoch = epoch;
            Some(batch)
        })
        .await
    }

    /// The audit log knows of the first `count` removals.
    pub async fn words_reported(
        &self,
        deed: &BucketDeed,
        region: &RegionId,
        count: u64,
    ) -> Result<()> {
        self.change_words(deed, region, |words, batch| {
            words.reported = words.reported.max(count);
            Some(batch)
        })
        .await
    }

    /// The removals that are kept by name, from the row `from` on, each with the region that said
    /// so, and where to go on. No command shows them yet.
    pub async fn on_word(
        &self,
        deed: &BucketDeed,
        from: Option<Bytes>,
        limit: usize,
    ) -> Result<(Vec<(RegionId, OnWord)>, Option<Bytes>)> {
        let mut range = ScanRange::prefix(rows::ON_WORD);
        range.start = from.unwrap_or(range.start);
        let index = &self.engine.index;
        let found = index.scan(partition_of(deed), range, limit).await?;
        let next = match found.last() {
            Some((last, _)) if found.len() == limit => Some(after(last)),
            _ => None,
        };
        let one = |(row_key, row): (Bytes, store::Row)| {
            Ok((rows::on_word_region(&row_key)?, OnWord::decode(&row.value)?))
        };
        let all: Result<Vec<_>> = found.into_iter().map(one).collect();
        Ok((all?, next))
    }

    fn note_unreported(&self, deed: &BucketDeed, region: &RegionId, words: &Words) {
        let mut all = self.unreported.0.lock();
        let line = (deed.id, region.clone());
        match words.count > words.reported {
            true => drop(all.insert(line, deed.name.clone())),
            false => drop(all.remove(&line)),
        }
    }

    /// Reads which records the audit log does not know of, once after a start.
    pub async fn load_words(&self, deed: &BucketDeed) -> Result<()> {
        let index = &self.engine.index;
        let range = ScanRange::prefix(rows::WORDS);
        let found = index.scan(partition_of(deed), range, usize::MAX).await?;
        for (row_key, row) in found {
            let region = rows::words_region(&row_key)?;
            self.note_unreported(deed, &region, &Words::decode(&row.value)?);
        }
        Ok(())
    }

    /// Of which buckets, and which regions, the audit log does not know all.
    pub fn unreported_words(&self) -> Vec<(BucketId, BucketName, RegionId)> {
        let all = self.unreported.0.lock();
        let one = |((id, region), name): (&(BucketId, RegionId), &BucketName)| {
            (*id, name.clone(), region.clone())
        };
        all.iter().map(one).collect()
    }
}
