//! The configuration of a bucket in two regions: of each part the value counts that was set last.
//!
//! A replica takes what its home says, unless a later value is here: then the home has been
//! replaced, or its folder put back, and is given that value ([`Objects::configured_later`]). A
//! home takes from a replica only what is later than its own. A time that is ahead of the clock is
//! not accepted: a home does not take the value, and a replica takes it from its home as one
//! without a time.

use access::{Action, Permit};
use types::{BucketDeed, Holding, VersionId};

use super::{AHEAD_MAX_MS, Applied};
use crate::{
    Configuration, Objects, Result, Versioning,
    bucket::{Bucket, deed},
    records::{BucketRecord, Document, DocumentKind, Documents, Part, SetAt, Stored},
};

/// What this region is to the bucket when it takes a configuration over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Home,
    Copy,
    /// It knows only what its home sends.
    Sealed,
}

/// The value of one part and when it was set.
#[derive(Clone, Copy)]
struct Set<T> {
    /// Of two that were set at the same time the higher one counts.
    rank: T,
    at: Option<VersionId>,
}

/// The time of a document whose time is not accepted.
const NEVER: VersionId = VersionId::from_bytes([0; 16]);

/// Which times count.
#[derive(Clone, Copy)]
struct Times {
    /// The latest time that is accepted of a value that is here, and of one that comes, in
    /// milliseconds.
    here_ms: u64,
    there_ms: u64,
}

impl Times {
    fn here<T>(self, of: &Set<T>) -> Option<VersionId> {
        of.at.filter(|at| at.at().ms() <= self.here_ms)
    }
    fn there<T>(self, of: &Set<T>) -> Option<VersionId> {
        let planted = types::planted("stamps-unbounded");
        of.at.filter(|at| at.at().ms() <= self.there_ms || planted)
    }

    /// Whether the value that comes takes the place of the one that is here, and with which time.
    fn takes<T: Ord>(self, as_: As, here: &Set<T>, there: &Set<T>) -> Option<Option<VersionId>> {
        if types::planted("configuration-of-the-home") {
            return (as_ != As::Home).then_some(there.at);
        }
        let (old, new) = (self.here(here), self.there(there));
        let later = new.is_some() && (new, &there.rank) > (old, &here.rank);
        let takes = match as_ {
            As::Sealed => true,
            As::Home => later,
            As::Copy => later || (new.is_none() && (old.is_none() || there.at.is_some())),
        };
        takes.then_some(new)
    }
}

/// Of two times that are the same, what keeps more.
fn rank(versioning: Versioning) -> u8 {
    match versioning {
        Versioning::Off => 0,
        Versioning::Suspended => 1,
        Versioning::Enabled => 2,
    }
}

/// The value of a part, to compare it with one of the same part that was set at the same time.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Value<'c> {
    Versioning(u8),
    Tags(&'c [(String, String)]),
    Rules(Option<Vec<u8>>),
}

impl Configuration {
    /// The value of a part and when it was set.
    fn part(&self, part: Part) -> Set<Value<'_>> {
        let at = self.set.of(part);
        let (rank, at) = match part {
            // It cannot be turned off again: nobody has set that.
            Part::Versioning => (
                Value::Versioning(rank(self.versioning)),
                at.filter(|_| self.versioning != Versioning::Off),
            ),
            Part::Tags => (Value::Tags(&self.tags), at),
            Part::Rules => (
                Value::Rules(self.rules.as_ref().map(|rules| rules.encode())),
                at,
            ),
        };
        Set { rank, at }
    }

    /// Takes the value of a part from `there`, as one of this time.
    fn take(&mut self, part: Part, there: &Self, at: Option<VersionId>) {
        match part {
            Part::Versioning => self.versioning = there.versioning,
            Part::Tags => self.tags.clone_from(&there.tags),
            Part::Rules => self.rules.clone_from(&there.rules),
        }
        self.set.note(part, at);
    }

    fn document_set(&self, kind: DocumentKind) -> Set<Option<&[u8]>> {
        let document = self.documents.get(kind);
        let at = document.map(|d| d.set);
        Set {
            rank: document.and_then(|d| d.bytes.as_deref()),
            at: at.filter(|at| *at != NEVER),
        }
    }

    /// The documents of `there` that take the place of these.
    fn newer_documents(
        &self,
        there: &Self,
        as_: As,
        times: Times,
    ) -> Vec<(DocumentKind, Document)> {
        let mut newer = Vec::new();
        for row in DocumentKind::rows() {
            let kind = row.kind;
            let takes = times.takes(as_, &self.document_set(kind), &there.document_set(kind));
            if let (Some(at), Some(document)) = (takes, there.documents.get(kind)) {
                let document = Document {
                    bytes: document.bytes.clone(),
                    set: at.unwrap_or(NEVER),
                };
                if self.documents.get(kind) != Some(&document) {
                    newer.push((kind, document));
                }
            }
        }
        newer
    }

    /// This one, with what of `there` takes its place; and the names of these parts.
    fn with(&self, there: &Self, as_: As, times: Times) -> (Self, Vec<&'static str>) {
        let (mut new, mut taken) = (self.clone(), Vec::new());
        for part in Part::ALL {
            let takes = times.takes(as_, &self.part(part), &there.part(part));
            if let Some(at) = takes {
                new.take(part, there, at);
                taken.push(part.name());
            }
        }
        for (kind, document) in self.newer_documents(there, as_, times) {
            new.documents.0.insert(kind, document);
            taken.push(kind.row().name);
        }
        new.fit();
        (new, taken)
    }

    fn without_documents(&self) -> Self {
        Self {
            documents: Documents::default(),
            ..self.clone()
        }
    }

    /// Rules need versions. Where one region set rules and another suspended the keeping of
    /// versions, the later of the two counts.
    fn fit(&mut self) {
        if self.rules.is_none() || self.versioning == Versioning::Enabled {
            return;
        }
        let SetAt {
            versioning, rules, ..
        } = self.set;
        if versioning > rules {
            (self.rules, self.set.rules) = (None, versioning);
        } else if rules > versioning {
            (self.versioning, self.set.versioning) = (Versioning::Enabled, rules);
        }
    }
}

impl Objects {
    /// The time of a part of the configuration that is set now: above those of all parts, but for
    /// such as were ahead of the clock.
    pub(crate) fn set_now(&self, deed: &BucketDeed, before: SetAt) -> Result<Option<VersionId>> {
        let latest = self.times(0).here_ms;
        let believed = before.times().filter(|at| at.at().ms() <= latest);
        let floor = believed.max();
        self.next_version(deed, floor).map(Some)
    }

    /// The latest time that is accepted of what was set here, in milliseconds.
    pub(crate) fn latest_believed_ms(&self) -> u64 {
        self.times(0).here_ms
    }

    /// The bucket's configuration as it is here.
    async fn configuration_here(&self, bucket: &Bucket) -> Result<Configuration> {
        let mut config = bucket.record.configuration();
        config.documents = self.shipped_documents(bucket.partition).await?;
        Ok(config)
    }

    /// What is set here may be as far ahead as a bucket's clock.
    fn times(&self, ahead_ms: u64) -> Times {
        let now = self.clock.now().ms();
        Times {
            here_ms: now.saturating_add(2 * AHEAD_MAX_MS),
            there_ms: now.saturating_add(ahead_ms),
        }
    }

    /// Takes over what counts of a configuration that another region has.
    pub(super) async fn apply_configuration(
        &self,
        deed: &BucketDeed,
        there: &Configuration,
    ) -> Result<Applied> {
        let as_ = match deed.holding(&self.region) {
            Holding::Home => As::Home,
            Holding::Sealed => As::Sealed,
            // The permit says that it may be taken over.
            Holding::Replica | Holding::Nothing => As::Copy,
        };
        let times = self.times(match as_ {
            As::Home => AHEAD_MAX_MS,
            As::Copy | As::Sealed => 2 * AHEAD_MAX_MS,
        });
        let bucket = self.receiving(deed).await?;
        let here = self.configuration_here(&bucket).await?;
        let (new, taken) = here.with(there, as_, times);
        if new == here {
            return Ok(Applied::Known);
        }
        let change = |record: &mut BucketRecord| {
            let (new, _) = record.configuration().with(there, as_, times);
            record.versioning = new.versioning;
            record.tags = new.tags;
            record.rules = new.rules;
            record.set = new.set;
            Ok(())
        };
        if new.documents != here.documents {
            let newer = |stored: &Stored| {
                let documents = stored.iter().map(|(kind, (_, d))| (*kind, d.clone()));
                let here = Configuration {
                    documents: Documents(documents.collect()),
                    ..Configuration::default()
                };
                Ok(here.newer_documents(there, as_, times))
            };
            self.change_documents(deed, newer).await?;
        }
        if bucket.record.configuration() != new.without_documents() {
            self.change_bucket(deed, change).await?;
        }
        let documents = there.documents.0.values().map(|document| document.set);
        for at in there.set.times().chain(documents) {
            self.hlc.observe(deed.id, &*self.clock, at);
        }
        if as_ == As::Home {
            tracing::warn!(
                bucket = %deed.name,
                ?taken,
                "parts of the configuration that another region has from later than this home were \
                 taken over from it"
            );
        }
        self.rules_changed.send_modify(|n| *n += 1);
        Ok(Applied::Done)
    }

    /// Whether a part of the configuration was set later here than in the bucket's home, which has
    /// `there`.
    pub async fn configured_later(&self, permit: &Permit, there: &Configuration) -> Result<bool> {
        let deed = deed(permit, &[Action::ReplicateInto])?;
        let bucket = self.receiving(deed).await?;
        let here = self.configuration_here(&bucket).await?;
        // As the home will look at it.
        let times = self.times(AHEAD_MAX_MS);
        Ok(!there.with(&here, As::Home, times).1.is_empty())
    }
}
