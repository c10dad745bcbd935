//! The operations, in the words of no dialect: metric names, permissions and what is forwarded
//! follow from this list. Each dialect has a table of the requests that mean them
//! (`s3/operations.rs`).

use access::Action;

/// What an operation addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The service: `GET /`.
    Service,
    /// A bucket.
    Bucket,
    /// An object.
    Object,
}

impl Resource {
    /// As in `<ResourceType>`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "SERVICE",
            Self::Bucket => "BUCKET",
            Self::Object => "OBJECT",
        }
    }
}

/// Whether an operation works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It works.
    Works,
    /// Its document cannot be set yet: it answers what S3 answers where none is set, and takes a
    /// document that says what holds anyway.
    Unset,
    /// It answers 501 NotImplemented with its name.
    NotYet,
}

impl Status {
    /// Whether it answers anything but 501.
    pub const fn answers(self) -> bool {
        !matches!(self, Self::NotYet)
    }

    /// As in docs/operations.md.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Works => "yes",
            Self::Unset => "as unset",
            Self::NotYet => "not yet",
        }
    }
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its place in [`OPERATIONS`].
    pub id: usize,
    /// Its name, as in the S3 API reference.
    pub name: &'static str,
    /// What it addresses.
    pub resource: Resource,
    /// The permission that it needs where no version is named; `None` if the operation is not
    /// implemented.
    pub action: Option<Action>,
    /// Whether it works.
    pub status: Status,
    writes: bool,
}

impl Operation {
    /// Whether it changes something.
    pub const fn writes(&self) -> bool {
        self.writes
    }

    /// Whether a body says anything to it.
    pub(crate) fn reads_body(&self) -> bool {
        !matches!(
            self.name,
            "CreateMultipartUpload" | "CopyObject" | "UploadPartCopy"
        )
    }

    /// The permission that the operation needs.
    pub fn action_for(&self, with_version: bool) -> Option<Action> {
        let named = with_version && self.resource == Resource::Object;
        self.action.map(|action| action.for_version(named))
    }
}

macro_rules! action {
    (-) => {
        None
    };
    (($action:ident)) => {
        Some(Action::$action)
    };
    ($action:ident) => {
        Some(Action::$action)
    };
}

macro_rules! status {
    (-) => {
        Status::NotYet
    };
    (($action:ident)) => {
        Status::Unset
    };
    ($action:ident) => {
        Status::Works
    };
}

macro_rules! writes {
    (reads) => {
        false
    };
    (writes) => {
        true
    };
}

macro_rules! operations {
    ($($name:ident $resource:ident $kind:ident $action:tt;)*) => {
        /// Every operation that some dialect has.
        pub static OPERATIONS: &[Operation] = &number([$(Operation {
            id: 0,
            name: stringify!($name),
            resource: Resource::$resource,
            action: action!($action),
            status: status!($action),
            writes: writes!($kind),
        },)*]);
    };
}

const fn number<const N: usize>(mut operations: [Operation; N]) -> [Operation; N] {
    let mut id = 0;
    while id < N {
        operations[id].id = id;
        id += 1;
    }
    operations
}

/// The place of the operation of that name, for the tables of dialects: a row of none does not
/// compile.
pub(crate) const fn find(name: &str) -> usize {
    let mut n = 0;
    while n < OPERATIONS.len() {
        if same(OPERATIONS[n].name.as_bytes(), name.as_bytes()) {
            return n;
        }
        n += 1;
    }
    panic!("no operation has this name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut n = 0;
    while n < a.len() && n < b.len() && a[n] == b[n] {
        n += 1;
    }
    n == a.len() && n == b.len()
}

// Name, what it addresses, whether it changes something, permission (access/src/actions.rs says
// which one is needed with a version); `-` is not implemented, and a permission in parentheses is
// of a document that cannot be set yet.
operations! {
    ListBuckets Service reads ListAllMyBuckets;
    CreateBucket Bucket writes CreateBucket;
    HeadBucket Bucket reads ListBucket;
    DeleteBucket Bucket writes DeleteBucket;
    GetBucketLocation Bucket reads GetBucketLocation;
    GetBucketVersioning Bucket reads GetBucketVersioning;
    PutBucketVersioning Bucket writes PutBucketVersioning;
    GetBucketTagging Bucket reads GetBucketTagging;
    PutBucketTagging Bucket writes PutBucketTagging;
    DeleteBucketTagging Bucket writes PutBucketTagging;
    ListObjects Bucket reads ListBucket;
    ListObjectsV2 Bucket reads ListBucket;
    ListObjectVersions Bucket reads ListBucketVersions;
    ListMultipartUploads Bucket reads ListBucketMultipartUploads;
    DeleteObjects Bucket writes DeleteObject;
    PostObject Bucket writes PutObject;
    PutObject Object writes PutObject;
    GetObject Object reads GetObject;
    HeadObject Object reads GetObject;
    DeleteObject Object writes DeleteObject;
    CopyObject Object writes PutObject;
    GetObjectAttributes Object reads GetObjectAttributes;
    GetObjectTagging Object reads GetObjectTagging;
    PutObjectTagging Object writes PutObjectTagging;
    DeleteObjectTagging Object writes DeleteObjectTagging;
    CreateMultipartUpload Object writes PutObject;
    UploadPart Object writes PutObject;
    UploadPartCopy Object writes PutObject;
    CompleteMultipartUpload Object writes PutObject;
    AbortMultipartUpload Object writes AbortMultipartUpload;
    ListParts Object reads ListMultipartUploadParts;
    GetBucketAcl Bucket reads GetBucketAcl;
    PutBucketAcl Bucket writes PutBucketAcl;
    GetBucketPolicy Bucket reads GetBucketPolicy;
    PutBucketPolicy Bucket writes PutBucketPolicy;
    DeleteBucketPolicy Bucket writes DeleteBucketPolicy;
    GetBucketPolicyStatus Bucket reads GetBucketPolicyStatus;
    GetPublicAccessBlock Bucket reads GetBucketPublicAccessBlock;
    PutPublicAccessBlock Bucket writes PutBucketPublicAccessBlock;
    DeletePublicAccessBlock Bucket writes PutBucketPublicAccessBlock;
    GetBucketOwnershipControls Bucket reads GetBucketOwnershipControls;
    PutBucketOwnershipControls Bucket writes PutBucketOwnershipControls;
    DeleteBucketOwnershipControls Bucket writes PutBucketOwnershipControls;
    GetBucketCors Bucket reads GetBucketCORS;
    PutBucketCors Bucket writes PutBucketCORS;
    DeleteBucketCors Bucket writes PutBucketCORS;
    GetBucketEncryption Bucket reads (GetEncryptionConfiguration);
    PutBucketEncryption Bucket writes -;
    DeleteBucketEncryption Bucket writes (PutEncryptionConfiguration);
    GetBucketLifecycleConfiguration Bucket reads (GetLifecycleConfiguration);
    PutBucketLifecycleConfiguration Bucket writes -;
    DeleteBucketLifecycle Bucket writes (PutLifecycleConfiguration);
    GetBucketReplication Bucket reads GetReplicationConfiguration;
    PutBucketReplication Bucket writes PutReplicationConfiguration;
    DeleteBucketReplication Bucket writes PutReplicationConfiguration;
    GetBucketWebsite Bucket reads (GetBucketWebsite);
    PutBucketWebsite Bucket writes -;
    DeleteBucketWebsite Bucket writes (DeleteBucketWebsite);
    GetBucketNotificationConfiguration Bucket reads (GetBucketNotification);
    PutBucketNotificationConfiguration Bucket writes (PutBucketNotification);
    GetBucketLogging Bucket reads (GetBucketLogging);
    PutBucketLogging Bucket writes (PutBucketLogging);
    GetBucketRequestPayment Bucket reads GetBucketRequestPayment;
    PutBucketRequestPayment Bucket writes PutBucketRequestPayment;
    GetBucketAccelerateConfiguration Bucket reads GetAccelerateConfiguration;
    PutBucketAccelerateConfiguration Bucket writes PutAccelerateConfiguration;
    GetBucketAbac Bucket reads (GetBucketAbac);
    PutBucketAbac Bucket writes (PutBucketAbac);
    GetObjectLockConfiguration Bucket reads (GetBucketObjectLockConfiguration);
    PutObjectLockConfiguration Bucket writes -;
    GetBucketAnalyticsConfiguration Bucket reads (GetAnalyticsConfiguration);
    ListBucketAnalyticsConfigurations Bucket reads (GetAnalyticsConfiguration);
    PutBucketAnalyticsConfiguration Bucket writes -;
    DeleteBucketAnalyticsConfiguration Bucket writes (PutAnalyticsConfiguration);
    GetBucketIntelligentTieringConfiguration Bucket reads (GetIntelligentTieringConfiguration);
    ListBucketIntelligentTieringConfigurations Bucket reads (GetIntelligentTieringConfiguration);
    PutBucketIntelligentTieringConfiguration Bucket writes -;
    DeleteBucketIntelligentTieringConfiguration Bucket writes (PutIntelligentTieringConfiguration);
    GetBucketInventoryConfiguration Bucket reads (GetInventoryConfiguration);
    ListBucketInventoryConfigurations Bucket reads (GetInventoryConfiguration);
    PutBucketInventoryConfiguration Bucket writes -;
    DeleteBucketInventoryConfiguration Bucket writes (PutInventoryConfiguration);
    GetBucketMetricsConfiguration Bucket reads (GetMetricsConfiguration);
    ListBucketMetricsConfigurations Bucket reads (GetMetricsConfiguration);
    PutBucketMetricsConfiguration Bucket writes -;
    DeleteBucketMetricsConfiguration Bucket writes (PutMetricsConfiguration);
    CreateBucketMetadataTableConfiguration Bucket writes -;
    GetBucketMetadataTableConfiguration Bucket reads -;
    DeleteBucketMetadataTableConfiguration Bucket writes -;
    CreateBucketMetadataConfiguration Bucket writes -;
    GetBucketMetadataConfiguration Bucket reads -;
    DeleteBucketMetadataConfiguration Bucket writes -;
    UpdateBucketMetadataAnnotationTableConfiguration Bucket writes -;
    UpdateBucketMetadataInventoryTableConfiguration Bucket writes -;
    UpdateBucketMetadataJournalTableConfiguration Bucket writes -;
    CreateSession Bucket reads -;
    GetObjectAcl Object reads GetObjectAcl;
    PutObjectAcl Object writes PutObjectAcl;
    GetObjectAnnotation Object reads -;
    ListObjectAnnotations Object reads -;
    PutObjectAnnotation Object writes -;
    DeleteObjectAnnotation Object writes -;
    GetObjectLegalHold Object reads (GetObjectLegalHold);
    PutObjectLegalHold Object writes -;
    GetObjectRetention Object reads (GetObjectRetention);
    PutObjectRetention Object writes -;
    GetObjectTorrent Object reads -;
    RestoreObject Object writes -;
    SelectObjectContent Object writes -;
    RenameObject Object writes -;
    UpdateObjectEncryption Object writes -;
}

#[cfg(test)]
mod actions_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_unique_names_and_know_their_place() {
        for (i, a) in OPERATIONS.iter().enumerate() {
            assert_eq!(a.id, i);
            assert_eq!(find(a.name), i);
            assert!(OPERATIONS[i + 1..].iter().all(|b| a.name != b.name));
        }
    }
}
