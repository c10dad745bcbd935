//! Damage to stored bytes: which versions it concerns, and how they get their bytes back from
//! another region.
//!
//! The row of a version and its bytes are damaged apart from each other. As long as the row can be
//! read, everything but the bytes is known here: size, ETag, checksums. Another region that has the
//! same version hands its bytes over as it does to a replica, and they are compared with what the
//! row says before they take the place of the damaged ones. Nothing else of the version changes,
//! and the change log gets no entry: to followers nothing has happened.

mod find;
mod rewrite;
mod suspects;

pub use find::{DamagePage, Known};
pub use rewrite::Repaired;
pub use suspects::Suspect;

pub(crate) use suspects::{Suspects, is_damage};

use std::{collections::BTreeSet, sync::Arc};

use store::BlobId;
use types::{BucketDeed, ObjectKey, VersionId};

use crate::{DisplayVersion, records::ObjectRecord, sealed::sealed_name};

/// A version whose bytes cannot be read here, wholly or in part.
#[derive(Debug, Clone)]
pub struct DamagedVersion {
    /// Of which bucket.
    pub deed: Arc<BucketDeed>,
    /// Of which key; where the replica is sealed, its sealed name.
    pub key: ObjectKey,
    /// The version's own id.
    pub version: VersionId,
    /// As clients name it.
    pub display: DisplayVersion,
    /// What the home calls it, where the replica is sealed.
    pub sealed: Option<String>,
    /// What is stored beside the row is damaged: a small object's bytes, or the table of parts.
    payload: Option<Beside>,
    /// Extents that are damaged or not there.
    extents: BTreeSet<BlobId>,
}

/// What is stored beside the row of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Bytes,
    Parts,
}

impl DamagedVersion {
    fn new(
        deed: &Arc<BucketDeed>,
        key: ObjectKey,
        record: &ObjectRecord,
        payload: Option<Beside>,
        extents: BTreeSet<BlobId>,
    ) -> Self {
        Self {
            deed: Arc::clone(deed),
            key,
            version: record.version,
            display: record.display(),
            sealed: sealed_name(&record.attributes).map(str::to_owned),
            payload,
            extents,
        }
    }

    /// Whether nobody can say, without its table of parts, which extents it refers to.
    pub fn hides_extents(&self) -> bool {
        self.payload == Some(Beside::Parts)
    }

    /// What is damaged, in words.
    pub fn what(&self) -> String {
        let beside = self.payload.map(|beside| match beside {
            Beside::Bytes => "its bytes in the journal".to_owned(),
            Beside::Parts => "its table of parts in the journal".to_owned(),
        });
        let extents = self.extents.first().map(|first| match self.extents.len() {
            1 => format!("extent {first}"),
            n => format!("{n} extents, the first is {first}"),
        });
        let all: Vec<String> = beside.into_iter().chain(extents).collect();
        all.join(" and ")
    }
}
