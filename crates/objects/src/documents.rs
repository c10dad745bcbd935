//! The documents of a bucket: read through a cache, since every request is decided by them, and
//! changed here alone, so that the cache is what the rows say.

use std::{collections::HashMap, sync::Arc};

use access::{Action, BucketAccess, Permit, PublicAccessBlock};
use parking_lot::RwLock;
use store::{Batch, Guard, PartitionId, ScanRange, StoreError};
use types::{BucketDeed, BucketId, Holding, VersionId};

use crate::{
    Change, ChangeKind, Error, Objects, Result,
    bucket::{TRIES_MAX, deed, partition_of},
    cors::Cors,
    owned::owned,
    records::{
        Cause, Document, DocumentKind, Documents, Effect, Stored, StoredPolicy, block,
        decode_bucket_list, kind_of, may_set, ownership,
    },
    rows,
};

/// A bucket's documents, and what requests are decided by.
#[derive(Debug, Default)]
pub struct BucketDocuments {
    /// As they were set.
    pub documents: Documents,
    /// Those that say who has access, compiled.
    pub access: BucketAccess,
    /// What pages of other origins may do; `None` where that was never set.
    pub cors: Option<Cors>,
}

/// Documents in memory, of buckets that were asked for.
pub(crate) type DocumentsCache = RwLock<HashMap<BucketId, Arc<BucketDocuments>>>;

impl BucketDocuments {
    /// What cannot be read grants nothing, and refuses everybody but the owner's root.
    fn compiled(deed: &BucketDeed, documents: Documents) -> Self {
        let policy = documents.bytes(DocumentKind::Policy);
        let block = block(documents.get(DocumentKind::PublicAccessBlock));
        let payer = documents.bytes(DocumentKind::RequestPayment);
        let requester_pays = payer.is_some_and(|bytes| bytes[..] == *REQUESTER);
        let policy = policy.map(|bytes| StoredPolicy::decode(bytes).unwrap_or_default());
        let text = policy.as_ref().map(|p| (&*p.text, &p.resolved[..]));
        let ownership = ownership(documents.get(DocumentKind::Ownership));
        let list = documents.bytes(DocumentKind::List);
        // One that cannot be read grants nothing.
        let list = list.and_then(|bytes| decode_bucket_list(&deed.owner, bytes).ok());
        let access = BucketAccess::compiled(deed, text, block, requester_pays);
        let access = access.with_lists(ownership, list);
        if let Some(error) = access.unreadable() {
            tracing::error!(
                bucket = %deed.name,
                %error,
                "the bucket's policy cannot be read: requests are refused until it is set again"
            );
        }
        let cors = documents.bytes(DocumentKind::Cors);
        let cors = cors.map(|bytes| {
            Cors::decode(bytes).unwrap_or_else(|error| {
                tracing::error!(bucket = %deed.name, %error, "a CORS configuration is damaged");
                Cors::default()
            })
        });
        Self {
            documents,
            access,
            cors,
        }
    }
}

/// The document of request payment where whoever asks pays.
pub const REQUESTER: &[u8] = &[1];

impl Objects {
    /// The bucket's documents as this region has them; `None` in a region that holds nothing of the
    /// bucket that it could read, or has not received them from the home yet: it must not act as
    /// if there were none.
    ///
    /// # Errors
    /// Failures of the engine.
    pub async fn documents(&self, deed: &BucketDeed) -> Result<Option<Arc<BucketDocuments>>> {
        let holding = deed.holding(&self.region);
        if matches!(holding, Holding::Sealed | Holding::Nothing) {
            return Ok(None);
        }
        if let Some(known) = self.known_documents(deed) {
            return Ok(Some(known));
        }
        let partition = partition_of(deed);
        let _lock = self.bucket_locks.lock(partition, rows::DOCUMENT).await;
        // One that is there since the bucket was made lacks nothing but what is on its way.
        if holding == Holding::Replica && deed.placement.copy_since(&self.region) != 0 {
            let index = &self.engine.index;
            let mut received = false;
            // Its place in the home's log is noted after the configuration has come.
            for kind in [rows::FOLLOW, rows::DOCUMENT] {
                let found = index.scan(partition, ScanRange::prefix(kind), 1).await?;
                received |= !found.is_empty();
            }
            if !received {
                return Ok(None);
            }
        }
        self.load_documents(deed).await.map(Some)
    }

    /// The same from memory, if they are there.
    pub fn known_documents(&self, deed: &BucketDeed) -> Option<Arc<BucketDocuments>> {
        self.documents.read().get(&deed.id).cloned()
    }

    /// Reads them anew, with the lock held.
    async fn load_documents(&self, deed: &BucketDeed) -> Result<Arc<BucketDocuments>> {
        let stored = self.stored_documents(partition_of(deed)).await?;
        let documents = stored.into_iter().map(|(kind, (_, d))| (kind, d));
        let found = BucketDocuments::compiled(deed, Documents(documents.collect()));
        let found = Arc::new(found);
        self.documents.write().insert(deed.id, Arc::clone(&found));
        Ok(found)
    }

    /// Drops what is in memory, once the rows are gone.
    pub(crate) async fn forget_documents(&self, deed: &BucketDeed) {
        let _lock = self
            .bucket_locks
            .lock(partition_of(deed), rows::DOCUMENT)
            .await;
        self.documents.write().remove(&deed.id);
    }

    /// The documents as they are stored, with the versions of their rows.
    async fn stored_documents(&self, partition: PartitionId) -> Result<Stored> {
        let range = ScanRange::prefix(rows::DOCUMENT);
        let index = &self.engine.index;
        let found = index.scan(partition, range, DocumentKind::rows().len() + 1);
        let mut documents = HashMap::new();
        for (key, row) in found.await? {
            let kind = key.strip_prefix(rows::DOCUMENT).and_then(kind_of);
            let kind = kind.ok_or_else(|| {
                let text = "the bucket has a document of a kind that this release of Dhow does not \
                            know: upgrade it";
                Error::Record(text.to_owned())
            })?;
            let document = Document::decode(kind, &row.value)?;
            documents.insert(kind, (row.version, document));
        }
        Ok(documents)
    }

    /// A document of the bucket; `None` where none was ever set.
    ///
    /// # Errors
    /// `WrongPermit`; failures of the engine.
    pub async fn document(
        &self,
        permit: &Permit,
        action: Action,
        kind: DocumentKind,
    ) -> Result<Option<Document>> {
        let deed = deed(permit, &[action])?;
        let found = self.documents(deed).await?.ok_or(Error::NotHere)?;
        Ok(found.documents.get(kind).cloned())
    }

    /// Sets a document, or with `None` deletes it.
    ///
    /// # Errors
    /// As of other changes of a bucket's configuration; `InvalidRequest` where it is too long.
    pub async fn set_document(
        &self,
        permit: &Permit,
        action: Action,
        (kind, bytes): (DocumentKind, Option<Arc<[u8]>>),
        account_block: PublicAccessBlock,
    ) -> Result<()> {
        let deed = deed(permit, &[action])?;
        let row = kind.row();
        if bytes.as_ref().is_some_and(|b| b.len() > row.limit) {
            return Err(Error::InvalidRequest(format!(
                "The {} has more than {} bytes",
                row.name, row.limit
            )));
        }
        let new = (kind, bytes.as_ref());
        let public = bytes.as_ref().is_some_and(|b| (row.checks.public)(deed, b));
        let changed = self.change_documents(deed, |before| {
            self.may_decide(deed)?;
            may_set(deed, before, new, (public, account_block))?;
            let floor = before.values().map(|(_, document)| document.set).max();
            let set = self.set_after(deed, floor)?;
            Ok(vec![(
                kind,
                Document {
                    bytes: bytes.clone(),
                    set,
                },
            )])
        });
        let changed = changed.await;
        self.may_acknowledge(deed)?;
        changed.map(drop)
    }

    /// Sets what a bucket that was made just now begins with.
    ///
    /// # Errors
    /// As of [`Self::set_document`].
    pub async fn begin_with(
        &self,
        permit: &Permit,
        action: Action,
        begin: &[(DocumentKind, Arc<[u8]>)],
    ) -> Result<()> {
        let deed = deed(permit, &[action])?;
        let changed = self.change_documents(deed, |before| {
            self.may_decide(deed)?;
            let floor = before.values().map(|(_, document)| document.set).max();
            let set = self.set_after(deed, floor)?;
            let document = |(kind, bytes): &(DocumentKind, Arc<[u8]>)| {
                let bytes = Some(Arc::clone(bytes));
                (*kind, Document { bytes, set })
            };
            Ok(begin.iter().map(document).collect())
        });
        let changed = changed.await;
        self.may_acknowledge(deed)?;
        changed.map(drop)
    }

    /// Writes what `change` makes of the documents that are there, anew when they, or whether the
    /// bucket takes writes, have changed meanwhile. Answers whether anything was written.
    pub(crate) async fn change_documents(
        &self,
        deed: &BucketDeed,
        change: impl Fn(&Stored) -> Result<Vec<(DocumentKind, Document)>>,
    ) -> Result<bool> {
        let partition = partition_of(deed);
        for _ in 0..TRIES_MAX {
            let bucket = self.bucket(deed).await?;
            let before = self.stored_documents(partition).await?;
            let changes = change(&before)?;
            if changes.is_empty() {
                return Ok(false);
            }
            let mut batch = Batch::new().guard(bucket.guard());
            // What is changed may depend on any of them.
            for row in DocumentKind::rows() {
                let key = rows::document(row.kind as u8);
                batch = batch.guard(match before.get(&row.kind) {
                    Some((version, _)) => Guard::Version(key, *version),
                    None => Guard::Absent(key),
                });
            }
            for (kind, document) in changes {
                batch = batch.put(rows::document(kind as u8), document.encode());
            }
            let effect = Effect::nothing(self.clock.now(), Cause::Client);
            let batch = batch.log(Change::of_bucket(ChangeKind::Config, "", effect).encode());
            // The commit lands also when the caller goes away, and what is in memory with it.
            let (this, of) = (self.handle(), deed.clone());
            let landed = owned(async move { this.land_documents(&of, batch).await });
            match landed.await {
                Ok(()) => return Ok(true),
                Err(StoreError::Conflict { .. }) => self.forget_bucket(deed),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contention)
    }

    async fn land_documents(
        &self,
        deed: &BucketDeed,
        batch: Batch,
    ) -> std::result::Result<(), StoreError> {
        let partition = partition_of(deed);
        let _lock = self.bucket_locks.lock(partition, rows::DOCUMENT).await;
        let committed = self.commit(partition, batch).await;
        // What fails here the next request reads. A commit that failed may have landed.
        if self.load_documents(deed).await.is_err() {
            self.documents.write().remove(&deed.id);
        }
        committed.map(drop)
    }

    /// The documents as they travel to another region.
    pub(crate) async fn shipped_documents(&self, partition: PartitionId) -> Result<Documents> {
        let stored = self.stored_documents(partition).await?;
        let documents = stored.into_iter().map(|(kind, (_, d))| (kind, d));
        Ok(Documents(documents.collect()))
    }

    /// A time after all of `floor`, but for one that is ahead of the clock.
    fn set_after(&self, deed: &BucketDeed, floor: Option<VersionId>) -> Result<VersionId> {
        let believed = floor.filter(|at| at.at().ms() <= self.latest_believed_ms());
        self.next_version(deed, believed)
    }
}
