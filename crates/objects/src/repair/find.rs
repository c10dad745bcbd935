//! From damaged payloads and extents to the versions that they belong to.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use access::{Action, Permit};
use bytes::Bytes;
use store::{BlobId, BlobRef, PartitionId, Row, ScanRange, StoreError, Want};
use types::BucketDeed;

use super::{Beside, DamagedVersion, Suspect, suspects::is_damage};
use crate::{
    Error, Objects, Result,
    bucket::{deed, partition_of},
    listing::after,
    records::{ManifestPart, ObjectBody, ObjectRecord, PartRecord, decode_manifest},
    replicate::key_of,
    rows,
};

/// Rows of which kinds refer to bytes, in the order in which they are read: see `orphans.rs`.
const KINDS: [&[u8]; 3] = [rows::CURRENT, rows::OLDER, rows::PART];

/// What is known to be damaged.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Rows whose payload is damaged, by partition and key.
    pub payloads: HashSet<(u64, Bytes)>,
    /// Extents.
    pub extents: HashSet<BlobId>,
}

/// What some rows of a bucket show of damage.
#[derive(Debug, Default)]
pub struct DamagePage {
    /// Versions without all of their bytes.
    pub versions: Vec<DamagedVersion>,
    /// What else is damaged, in words.
    pub others: Vec<String>,
    /// There is a row that does not say which extents it refers to.
    pub unread: bool,
    /// Of the extents that are known to be damaged, those that these rows refer to.
    pub referred: Vec<BlobId>,
    /// Where to go on; `None` at the end.
    pub next: Option<Bytes>,
}

impl Objects {
    /// Reads `limit` rows of the bucket from `from` on, and answers which versions refer to what is
    /// damaged, or to extents that are not there or are cut short.
    ///
    /// # Errors
    /// Rows that cannot be read: `Store(Corrupt)`.
    pub async fn damage_page(
        &self,
        permit: &Permit,
        from: Option<Bytes>,
        known: &Known,
        limit: usize,
    ) -> Result<DamagePage> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let start = from.unwrap_or_else(|| Bytes::from_static(rows::CURRENT));
        let place = KINDS.iter().position(|kind| start.starts_with(kind));
        let place =
            place.ok_or_else(|| Error::InvalidArgument("not the place of a version".into()))?;
        let range = ScanRange::new(start, ScanRange::prefix(KINDS[place]).end);
        let index = &self.engine.index;
        let found = index.scan(partition_of(deed), range, limit).await?;
        let next = match found.last() {
            Some((last, _)) if found.len() == limit => Some(after(last)),
            _ => KINDS.get(place + 1).map(|kind| Bytes::from_static(kind)),
        };
        let mut page = DamagePage {
            next,
            ..DamagePage::default()
        };
        for (row_key, row) in found {
            match self.look_at(deed, &row_key, row, known, &mut page).await {
                // A record or a key that cannot be read concerns this row alone.
                Err(Error::Record(why)) => {
                    page.unread = true;
                    let name = &deed.name;
                    page.others
                        .push(format!("row {row_key:?} of bucket {name}: {why}"));
                }
                other => other?,
            }
        }
        Ok(page)
    }

    /// The damaged version in a row that a read complained of; `None` when nothing is amiss with it
    /// any more, or when its bucket is gone.
    ///
    /// # Errors
    /// Rows that cannot be read: `Store(Corrupt)`, `Record`.
    pub async fn examine(&self, suspect: &Suspect) -> Result<Option<DamagedVersion>> {
        let deeds = self.deeds.all();
        let found = deeds.iter().find(|d| partition_of(d) == suspect.partition);
        let Some(deed) = found else {
            return Ok(None);
        };
        let is_version = |kind: &&&[u8]| **kind != rows::PART && suspect.row_key.starts_with(kind);
        if KINDS.iter().find(is_version).is_none() {
            return Ok(None);
        }
        let index = &self.engine.index;
        let row = index.get(suspect.partition, &suspect.row_key, Want::Value);
        let Some(row) = row.await? else {
            return Ok(None);
        };
        let mut known = Known {
            payloads: HashSet::new(),
            extents: suspect.extents.iter().copied().collect(),
        };
        let (partition, row_key) = (suspect.partition, &suspect.row_key);
        if self.payload(partition, row_key).await? == Payload::Damaged {
            known.payloads.insert((partition.0, row_key.clone()));
        }
        let mut page = DamagePage::default();
        self.look_at(deed, &suspect.row_key, row, &known, &mut page)
            .await?;
        Ok(page.versions.pop())
    }

    async fn look_at(
        &self,
        deed: &Arc<BucketDeed>,
        row_key: &Bytes,
        row: Row,
        known: &Known,
        page: &mut DamagePage,
    ) -> Result<()> {
        let partition = partition_of(deed);
        if row_key.starts_with(rows::PART) {
            let number = rows::part_number(row_key)?;
            let extents = PartRecord::decode(&row.value)?.extents;
            let bad = self.bad_extents(extents, known, page).await?;
            if !bad.is_empty() && self.is_there(partition, row_key, &row).await? {
                let name = &deed.name;
                page.others.push(format!(
                    "part {number} of an upload under way in bucket {name}: its bytes are nowhere \
                     else, it has to be uploaded again"
                ));
            }
            return Ok(());
        }
        let record = ObjectRecord::decode(&row.value)?;
        let mut damaged = known.payloads.contains(&(partition.0, row_key.clone()));
        let (beside, extents) = match &record.body {
            ObjectBody::None => return Ok(()),
            // Payloads were read by whoever knows of the damage: they are not read again here.
            ObjectBody::Inline => (Beside::Bytes, Vec::new()),
            ObjectBody::Extents(extents) => {
                damaged = false;
                (Beside::Bytes, extents.clone())
            }
            ObjectBody::Parts(_) => match self.payload(partition, row_key).await? {
                Payload::Gone => return Ok(()),
                Payload::Damaged => {
                    damaged = true;
                    (Beside::Parts, Vec::new())
                }
                Payload::Whole(bytes) => {
                    let parts = decode_manifest(&bytes);
                    damaged |= parts.is_err();
                    (Beside::Parts, all_extents(parts.unwrap_or_default()))
                }
            },
        };
        let bad = self.bad_extents(extents, known, page).await?;
        if (damaged || !bad.is_empty()) && self.is_there(partition, row_key, &row).await? {
            let key = key_of(row_key)?;
            let payload = damaged.then_some(beside);
            let version = DamagedVersion::new(deed, key, &record, payload, bad);
            page.versions.push(version);
        }
        Ok(())
    }

    /// Which of these extents are damaged, not there, or not whole.
    async fn bad_extents(
        &self,
        extents: Vec<BlobRef>,
        known: &Known,
        page: &mut DamagePage,
    ) -> Result<BTreeSet<BlobId>> {
        let mut bad = BTreeSet::new();
        for blob in extents {
            if known.extents.contains(&blob.id) {
                page.referred.push(blob.id);
                bad.insert(blob.id);
                continue;
            }
            match self.engine.blobs.open(&blob).await {
                Ok(_) => {}
                Err(StoreError::NoBlob(_)) => drop(bad.insert(blob.id)),
                Err(error) if is_damage(&error) => drop(bad.insert(blob.id)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(bad)
    }

    /// Whether the row is as it was read: one that was replaced meanwhile may have lost its
    /// extents.
    async fn is_there(&self, partition: PartitionId, row_key: &Bytes, row: &Row) -> Result<bool> {
        let now = self
            .engine
            .index
            .get(partition, row_key, Want::Value)
            .await?;
        Ok(now.is_some_and(|now| now.version == row.version))
    }

    pub(super) async fn payload(&self, partition: PartitionId, row_key: &[u8]) -> Result<Payload> {
        match self
            .engine
            .index
            .get(partition, row_key, Want::Payload)
            .await
        {
            Ok(None) => Ok(Payload::Gone),
            Ok(Some(row)) => Ok(match row.payload {
                Some(bytes) => Payload::Whole(bytes),
                None => Payload::Damaged,
            }),
            Err(error) if is_damage(&error) => Ok(Payload::Damaged),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a read of a row's payload gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// The row is not there.
    Gone,
    Damaged,
    Whole(Bytes),
}

fn all_extents(parts: Vec<ManifestPart>) -> Vec<BlobRef> {
    parts.into_iter().flat_map(|part| part.extents).collect()
}
