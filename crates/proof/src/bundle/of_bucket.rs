//! The bundle of one bucket: its own chain and that of the regions, each with the proof that the
//! map which a checkpoint signs has exactly this chain.

use serde::{Deserialize, Serialize};

use super::{
    Bundle, FileError, Finding, REGIONS_MAX, TrustAnchor,
    deeds::{BUCKET_CREATE, BUCKET_DELETE, Ledger},
    judge::{self, Case, Report, Stands},
    opened, sealed,
};
use crate::{
    chain::{Checkpoint, Entry, Head, VERSION},
    encoding::Hash,
    map::{ChainHead, LeafIndex, MapProof, OwnEntry},
    residency::Digest,
};

/// The version of bundles of one bucket.
pub const BUCKET_VERSION: u32 = 2;

const BUCKET: &str = "the bucket";
const REGIONS: &str = "the regions";

/// A chain of the map, from some entry on to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainPart {
    /// The chain before the first entry that is shown.
    pub before: ChainHead,
    /// All entries after that.
    pub entries: Vec<OwnEntry>,
    /// That the map has this chain.
    pub proof: MapProof,
}

/// Proof of where a bucket is held, or that there is none of its name. See the module's
/// description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketBundle {
    /// The version of the form: [`BUCKET_VERSION`].
    pub v: u32,
    /// The cloud's name.
    pub cloud: String,
    /// The bucket's name.
    pub bucket: String,
    /// When the bundle was put together, in milliseconds since 1970. Nobody signs this.
    pub made_at_ms: u64,
    /// The signature on the log's head and the map.
    pub checkpoint: Checkpoint,
    /// The bucket's chain since it was created: an earlier bucket of that name is somebody else's.
    /// Of a bucket that was deleted, its deletion.
    pub history: ChainPart,
    /// The regions' chain, all of it.
    pub regions: ChainPart,
    /// What regions have signed about the bucket.
    pub digests: Vec<Digest>,
}

/// What an auditor has seen earlier: a log, or a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its head.
    pub head: Head,
    /// The entry from which on everything about the bucket is in `entries`.
    pub from: u64,
    /// Entries about the bucket, and all of the regions' chain.
    pub entries: Vec<OwnEntry>,
}

/// A bundle of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyBundle {
    /// With the whole audit log.
    Whole(Box<Bundle>),
    /// Of one bucket.
    Bucket(Box<BucketBundle>),
}

impl ChainPart {
    /// The head of the whole chain.
    pub fn head(&self) -> ChainHead {
        let entries = self.entries.iter();
        entries.fold(self.before, |head, told| told.after(&head))
    }

    fn check(&self, at: &LeafIndex, of: &'static str, signed: &Checkpoint) -> Option<Finding> {
        let mut last: Option<&OwnEntry> = None;
        for told in &self.entries {
            let after = last.is_none_or(|l| told.number > l.number && told.at_ms >= l.at_ms);
            let signed = told.number <= signed.head.number && told.at_ms <= signed.at_ms;
            let good = after && signed && told.place() == Some(*at);
            if !good || entry(told).check_form().is_err() {
                let number = told.number;
                return Some(Finding::NotOfChain { of, number });
            }
            last = Some(told);
        }
        let Some(root) = &signed.map else {
            return Some(Finding::NoMap);
        };
        let head = self.head();
        let head = (head.count > 0).then_some(&head);
        (!self.proof.shows(root, at, head)).then_some(Finding::NotInMap { of })
    }
}

/// As the ledger reads it.
fn entry(told: &OwnEntry) -> Entry {
    Entry {
        v: VERSION,
        number: told.number,
        at_ms: told.at_ms,
        actor: told.actor.clone(),
        action: told.action.clone(),
        subject: told.subject.clone(),
        detail: told.detail.clone(),
        previous: Hash::ZERO,
        hash: Hash::ZERO,
    }
}

impl BucketBundle {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`FileError::TooLarge`] when nobody would read the file back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        sealed(serde_json::to_vec(self)?)
    }

    /// What it shows, for the check of a later one.
    pub fn seen(&self) -> Seen {
        let entries = self.history.entries.iter().chain(&self.regions.entries);
        Seen {
            head: self.checkpoint.head,
            from: self.history.entries.first().map_or(0, |e| e.number),
            entries: entries.cloned().collect(),
        }
    }

    /// Checks everything, offline.
    ///
    /// # Errors
    /// Everything that is wrong. When a chain is not the signed one, what would have to be read
    /// from it is not judged.
    pub fn verify(&self, trusted: &TrustAnchor) -> Result<Report, Vec<Finding>> {
        if self.v != BUCKET_VERSION {
            return Err(vec![Finding::Version(self.v)]);
        }
        if self.digests.len() > REGIONS_MAX {
            return Err(vec![Finding::TooMany(self.digests.len())]);
        }
        let case = Case {
            cloud: &self.cloud,
            bucket: &self.bucket,
            made_at_ms: self.made_at_ms,
            checkpoint: &self.checkpoint,
            digests: &self.digests,
        };
        let mut findings = Vec::new();
        judge::statements(&case, trusted, &mut findings);
        let at = LeafIndex::of_bucket(&self.bucket);
        let (history, regions) = (&self.history, &self.regions);
        let broken = history.check(&at, BUCKET, &self.checkpoint);
        let also = regions.check(&LeafIndex::of_regions(), REGIONS, &self.checkpoint);
        findings.extend(broken.into_iter().chain(also));
        if regions.before.count > 0 {
            findings.push(Finding::BeginsElsewhere { of: REGIONS });
        }
        findings.extend(trusted.seen.iter().flat_map(|seen| self.differs(seen)));
        if !findings.is_empty() {
            return Err(findings);
        }
        let standing = self.standing()?;
        let mut entries: Vec<Entry> = regions.entries.iter().map(entry).collect();
        if standing == Stands::Placed {
            entries.extend(history.entries.iter().map(entry));
        }
        entries.sort_by_key(|entry| entry.number);
        let ledger = Ledger::read(&entries, &self.bucket);
        if ledger.regions.len() > REGIONS_MAX {
            return Err(vec![Finding::TooMany(ledger.regions.len())]);
        }
        match standing {
            Stands::Placed => judge::judge(&case, ledger, findings),
            gone => self.absent(gone, ledger),
        }
    }

    /// How the bucket's chain begins says what it can show. What `Placed` begins with may end with
    /// a deletion.
    fn standing(&self) -> Result<Stands, Vec<Finding>> {
        let history = &self.history;
        let first = history.entries.first().map(|e| e.action.as_str());
        match (first, history.before.count, history.entries.len()) {
            (None, 0, _) => Ok(Stands::Never),
            (Some(BUCKET_CREATE), ..) => Ok(Stands::Placed),
            (Some(BUCKET_DELETE), 1.., 1) => Ok(Stands::Deleted),
            _ => Err(vec![Finding::BeginsElsewhere { of: BUCKET }]),
        }
    }

    fn absent(&self, stands: Stands, mut ledger: Ledger) -> Result<Report, Vec<Finding>> {
        let mut findings = std::mem::take(&mut ledger.findings);
        if !self.digests.is_empty() {
            findings.push(Finding::DigestsOfNothing);
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let deleted = self.history.entries.first();
        Ok(Report {
            said: Vec::new(),
            cloud: self.cloud.clone(),
            bucket: self.bucket.clone(),
            stands,
            deed: None,
            since_ms: deleted.map_or(0, |told| told.at_ms),
            history: deleted.iter().map(|told| told.number).collect(),
            head: self.checkpoint.head,
            signed_at_ms: self.checkpoint.at_ms,
            held: Vec::new(),
            silent: ledger.regions.into_keys().collect(),
        })
    }

    /// Whatever both show must be the same.
    fn differs(&self, seen: &Seen) -> Vec<Finding> {
        let head = self.checkpoint.head;
        if head.number < seen.head.number {
            let (ends, known) = (head.number, seen.head.number);
            return vec![Finding::RolledBack { ends, known }];
        }
        if head.number == seen.head.number && head.hash != seen.head.hash {
            let number = head.number;
            return vec![Finding::ForkedFromKnown { number }];
        }
        // A bucket that was made anew, or is gone, begins later.
        let first = self.history.entries.first().map_or(0, |e| e.number);
        let bucket = LeafIndex::of_bucket(&self.bucket);
        let mine = self.history.entries.iter().chain(&self.regions.entries);
        let shown_by_both = |told: &&OwnEntry| {
            let regions = told.place() == Some(LeafIndex::of_regions());
            let ours = told.place() == Some(bucket) && told.number >= first.max(seen.from);
            told.number <= seen.head.number && (regions || ours)
        };
        let mut mine: Vec<&OwnEntry> = mine.filter(shown_by_both).collect();
        let mut theirs: Vec<&OwnEntry> = seen.entries.iter().filter(shown_by_both).collect();
        mine.sort_by_key(|told| told.number);
        theirs.sort_by_key(|told| told.number);
        let pairs = mine.iter().zip(&theirs);
        let other = pairs
            .filter(|(a, b)| a != b)
            .map(|(a, b)| a.number.min(b.number));
        let longer = match mine.len() > theirs.len() {
            true => mine.get(theirs.len()),
            false => theirs.get(mine.len()),
        };
        let number = other.min().or(longer.map(|told| told.number));
        let finding = |number| Finding::NotAsSeen { number };
        number.map(finding).into_iter().collect()
    }
}

impl AnyBundle {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`FileError::Changed`] when any byte is not as it was written; the others for what is no
    /// bundle at all.
    pub fn from_bytes(file: &[u8]) -> Result<Self, FileError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let body = opened(file)?;
        match serde_json::from_slice::<Version>(body)?.v {
            BUCKET_VERSION => Ok(Self::Bucket(serde_json::from_slice(body)?)),
            _ => Ok(Self::Whole(serde_json::from_slice(body)?)),
        }
    }

    /// Checks everything, offline.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn verify(&self, trusted: &TrustAnchor) -> Result<Report, Vec<Finding>> {
        match self {
            Self::Whole(bundle) => bundle.verify(trusted),
            Self::Bucket(bundle) => bundle.verify(trusted),
        }
    }

    /// What it shows, for the check of a later one.
    pub fn seen(&self) -> Seen {
        match self {
            Self::Bucket(bundle) => bundle.seen(),
            Self::Whole(bundle) => Seen {
                head: bundle.checkpoint.head,
                from: 0,
                entries: bundle.chain.iter().cloned().map(OwnEntry::from).collect(),
            },
        }
    }

    /// The signature.
    pub fn checkpoint(&self) -> &Checkpoint {
        match self {
            Self::Whole(bundle) => &bundle.checkpoint,
            Self::Bucket(bundle) => &bundle.checkpoint,
        }
    }

    /// The bucket's name, and the cloud's.
    pub fn about(&self) -> (&str, &str) {
        match self {
            Self::Whole(bundle) => (&bundle.bucket, &bundle.cloud),
            Self::Bucket(bundle) => (&bundle.bucket, &bundle.cloud),
        }
    }
}

#[cfg(test)]
mod tests;
