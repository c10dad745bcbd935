//! What is asked before a document of a bucket is set, for each kind that asks something. A row of
//! the table of kinds names its checks.

use std::{collections::HashMap, sync::Arc};

use access::{BucketAccess, Ownership, PublicAccessBlock};
use store::RowVersion;
use types::BucketDeed;

use super::{Document, DocumentKind, StoredPolicy};
use crate::{Error, Result, records::decode_bucket_list};

/// Documents with the versions of their rows.
pub(crate) type Stored = HashMap<DocumentKind, (RowVersion, Document)>;

/// The checks of a kind.
#[derive(Debug)]
pub(crate) struct Checks {
    /// Whether a document as it is to be stored grants public access. Asked once.
    pub public: fn(&BucketDeed, &[u8]) -> bool,
    /// Whether it may be set, or deleted, beside those that are there. Asked again whenever these
    /// have changed meanwhile.
    pub may_set: fn(&Setting<'_>) -> Result<()>,
}

/// A document that is to be set.
pub(crate) struct Setting<'a> {
    pub deed: &'a BucketDeed,
    /// The documents that are there.
    pub before: &'a Stored,
    /// The new one; `None` deletes it.
    pub bytes: Option<&'a [u8]>,
    /// Whether it grants public access.
    pub public: bool,
    /// The public access block of the bucket and its account.
    pub block: PublicAccessBlock,
}

/// Nothing is asked.
pub(super) const NONE: Checks = Checks {
    public: |_, _| false,
    may_set: |_| Ok(()),
};

/// A public policy is refused where public policies are blocked.
pub(super) const POLICY: Checks = Checks {
    public: |deed, bytes| {
        StoredPolicy::decode(bytes).is_ok_and(|stored| {
            let text = Some((&*stored.text, &stored.resolved[..]));
            let access = BucketAccess::compiled(deed, text, PublicAccessBlock::ALL, false);
            access.is_public() == Some(true)
        })
    },
    may_set: |new| match new.public && new.block.block_policy {
        true => Err(Error::PublicPolicy),
        false => Ok(()),
    },
};

/// A list is refused where lists play no part, and a public one where these are blocked.
pub(super) const LIST: Checks = Checks {
    public: |deed, bytes| decode_bucket_list(&deed.owner, bytes).is_ok_and(|list| list.is_public()),
    may_set: |new| {
        if !ownership(new.document(DocumentKind::Ownership)).heeds_lists() {
            return Err(Error::NoLists);
        }
        match new.public && new.block.block_acls {
            true => Err(Error::PublicList),
            false => Ok(()),
        }
    },
};

/// Lists are turned off only while the bucket's own grants nothing to others.
pub(super) const OWNERSHIP: Checks = Checks {
    public: |_, _| false,
    may_set: |new| {
        let mode = |bytes: &[u8]| Ownership::of_byte(bytes.first().copied());
        let on = new.bytes.is_none_or(|bytes| mode(bytes).heeds_lists());
        let list = new.document(DocumentKind::List);
        let list = list.and_then(|document| document.bytes.as_ref());
        let of_owner = list.is_none_or(|bytes| {
            decode_bucket_list(&new.deed.owner, bytes).is_ok_and(|list| list.is_of_owner_alone())
        });
        match on || of_owner {
            true => Ok(()),
            false => Err(Error::HasList),
        }
    },
};

impl Setting<'_> {
    /// A document that is there.
    fn document(&self, kind: DocumentKind) -> Option<&Document> {
        self.before.get(&kind).map(|(_, document)| document)
    }
}

/// Whether a document may be set beside those that are there. `public` says that it grants public
/// access, `account_block` what the bucket's account refuses.
///
/// # Errors
/// Those of the kind's checks.
pub(crate) fn may_set(
    deed: &BucketDeed,
    before: &Stored,
    (kind, bytes): (DocumentKind, Option<&Arc<[u8]>>),
    (public, account_block): (bool, PublicAccessBlock),
) -> Result<()> {
    let set = before.get(&DocumentKind::PublicAccessBlock);
    let new = Setting {
        deed,
        before,
        bytes: bytes.map(|bytes| &bytes[..]),
        public,
        block: block(set.map(|(_, document)| document)).or(account_block),
    };
    (kind.row().checks.may_set)(&new)
}

/// The public access block: all of it where it was never set, none where it was deleted.
pub(crate) fn block(document: Option<&Document>) -> PublicAccessBlock {
    match document.map(|document| &document.bytes) {
        None => PublicAccessBlock::ALL,
        Some(None) => PublicAccessBlock::NONE,
        Some(Some(bytes)) => PublicAccessBlock::of_byte(bytes.first().copied()),
    }
}

/// Who owns what is written: the bucket's owner where it was never set, whoever writes where it was
/// deleted.
pub(crate) fn ownership(document: Option<&Document>) -> Ownership {
    match document.map(|document| &document.bytes) {
        None => Ownership::BucketOwnerEnforced,
        Some(None) => Ownership::ObjectWriter,
        Some(Some(bytes)) => Ownership::of_byte(bytes.first().copied()),
    }
}
