//! All meaning of buckets and objects, one verb per file: put, get, list, copy, multipart,
//! versions, tags; the record formats and their migrations; the clean-up of what is no longer
//! referred to.
//!
//! Invariants: no HTTP, no XML, no dialect; every public operation takes a [`access::Permit`].

mod attributes;
mod body_in;
mod bucket;
mod buckets;
mod conditions;
mod copy;
mod cors;
mod delete;
mod documents;
#[cfg(test)]
mod dropped_tests;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod get;
mod hlc;
mod judged;
mod list;
mod list_uploads;
mod list_versions;
mod listing;
#[cfg(test)]
mod listing_tests;
mod locks;
mod multipart;
mod object_lists;
mod object_tags;
mod orphans;
mod own;
mod owned;
mod pins;
mod put;
mod readers;
mod records;
#[cfg(test)]
mod region_tests;
mod repair;
mod replicate;
mod replication_status;
mod rows;
mod rules;
mod sealed;
mod sweep;
mod tags;
mod versions;

pub use attributes::ObjectPart;
pub use conditions::{ETagMatch, IfRange, ReadConditions, WriteConditions, state_of};
pub use copy::{Copied, CopyInput, CopySource};
pub use cors::{Allowed, Cors, CorsRule};
pub use delete::Deleted;
pub use documents::{BucketDocuments, REQUESTER};
pub use error::{Error, Freshness, Result};
pub use get::{GetRequest, ObjectContent, ObjectInfo, ObjectReader, ObjectView, RangeSpec};
pub use list::{ListedObject, ObjectPage};
pub use list_uploads::{ListedUpload, UploadPage};
pub use list_versions::{ListedContent, ListedVersion, VersionPage};
pub use listing::{ListRequest, continuation_token, read_continuation_token};
pub use multipart::{
    CompleteUpload, CompletedObject, CopiedPart, CreateUpload, CreatedUpload, ListedForCompletion,
    ListedPart, PartInput, PartPage, PartSource, UploadedPart, Uploads,
};
pub use object_tags::VersionTags;
pub use orphans::SweptOrphans;
pub use own::Own;
pub use put::{PutInput, PutOutcome};
pub use records::{
    Cause, Change, ChangeKind, Configuration, ContentHeaders, Document, DocumentKind, Documents,
    Effect, Fields, FollowCursor, KindRow, ObjectAttributes, ObjectList, SetAt, Shipped,
    ShippedChange, ShippedPart, StoredPolicy, Versioning, decode_bucket_list, encode_bucket_list,
};
pub use repair::{DamagePage, DamagedVersion, Known, Repaired, Suspect};
pub use replicate::{
    AHEAD_MAX_MS, Applied, BodySource, Census, ChangePage, CountedTo, Logged, OnWord, Removals,
    RemovalsPage, Removed, Report, SetAside, SnapshotPage, VersionName, Word, Words,
};
pub use replication_status::{Replicas, ReplicationStatus};
pub use rules::{Candidate, Rule, RuleProgress, RuleStates, RuleStatus, Rules, Sent, copy_by_rule};
pub use sealed::{Lease, Leases, Named, Sealer, sealed_name};
pub use store::StoreError;
pub use sweep::LastChange;
pub use tags::check_of_bucket as check_bucket_tags;
pub use types::DisplayVersion;

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use types::{Clock, Deeds, Judge, Random, RegionId};

/// Changes of several steps, and of several commits, that may be under way at once.
const CHANGES_MAX: usize = 256;

/// The region's buckets and objects.
pub struct Objects(Arc<Inner>);

/// What [`Objects`] is made of. Shared with work that outlives its caller.
#[doc(hidden)]
pub struct Inner {
    pub(crate) engine: store::Engine,
    pub(crate) deeds: Arc<dyn Deeds>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) region: RegionId,
    pub(crate) buckets: bucket::BucketCache,
    pub(crate) documents: documents::DocumentsCache,
    pub(crate) locks: locks::KeyLocks,
    /// Held while a bucket's configuration row is made where there is none, and while it goes; and
    /// while its documents are read from their rows or changed.
    pub(crate) bucket_locks: locks::KeyLocks,
    pub(crate) turns: Arc<locks::Turns>,
    pub(crate) changes: Arc<tokio::sync::Semaphore>,
    pub(crate) hlc: hlc::VersionClock,
    pub(crate) moves: orphans::Moves,
    pub(crate) pins: Arc<pins::Pins>,
    pub(crate) readers: Arc<readers::Readers>,
    pub(crate) dirty: sweep::Dirty,
    pub(crate) suspects: Arc<repair::Suspects>,
    pub(crate) leases: OnceLock<Arc<dyn Leases>>,
    pub(crate) judge: OnceLock<Arc<dyn Judge>>,
    pub(crate) rules_changed: tokio::sync::watch::Sender<u64>,
    pub(crate) rule_states: RuleStates,
    pub(crate) asides: replicate::Asides,
    pub(crate) unreported: replicate::Unreported,
}

impl Deref for Objects {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Objects {
    /// Wires the rules to an engine and to the directory of buckets.
    pub fn new(
        engine: store::Engine,
        deeds: Arc<dyn Deeds>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        region: RegionId,
    ) -> Self {
        Self(Arc::new(Inner {
            engine,
            deeds,
            clock,
            random,
            buckets: bucket::BucketCache::default(),
            documents: documents::DocumentsCache::default(),
            locks: locks::KeyLocks::new(),
            bucket_locks: locks::KeyLocks::new(),
            turns: Arc::default(),
            changes: Arc::new(tokio::sync::Semaphore::new(CHANGES_MAX)),
            hlc: hlc::VersionClock::new(&region),
            moves: orphans::Moves::default(),
            pins: Arc::default(),
            readers: Arc::default(),
            dirty: sweep::Dirty::default(),
            suspects: Arc::default(),
            leases: OnceLock::new(),
            judge: OnceLock::new(),
            rules_changed: tokio::sync::watch::Sender::new(0),
            rule_states: RuleStates::default(),
            asides: replicate::Asides::default(),
            unreported: replicate::Unreported::default(),
            region,
        }))
    }

    /// For work that outlives its caller.
    pub(crate) fn handle(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
