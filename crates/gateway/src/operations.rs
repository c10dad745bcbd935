//! The table of operations, from which routing, metric names, the refusal tests and
//! docs/operations.md follow.

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
    const fn name(self) -> &'static str {
        match self {
            Self::Works => "yes",
            Self::Unset => "as unset",
            Self::NotYet => "not yet",
        }
    }
}

/// One operation of the S3 API.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its place in [`OPERATIONS`].
    pub id: usize,
    /// Its name in the S3 API reference.
    pub name: &'static str,
    /// HTTP method.
    pub method: &'static str,
    /// What it addresses.
    pub resource: Resource,
    /// Query parameters that must all be there; an entry `k=v` fixes the value.
    pub query: &'static [&'static str],
    /// Headers that must be there (such as `x-amz-copy-source`).
    pub headers: &'static [&'static str],
    /// More query parameters that it honours. A write refuses all others by name.
    pub takes: &'static [&'static str],
    /// Groups of headers that it honours, of those that change what a write means (`x-amz-*` and
    /// conditions); beside [`EVERYWHERE`]. A write refuses all others by name.
    pub heeds: &'static [&'static [&'static str]],
    /// The permission that it needs where no version is named; `None` while not there yet.
    pub action: Option<Action>,
    /// Whether it works.
    pub status: Status,
}

impl Operation {
    /// Whether a body says anything to it.
    pub(crate) fn reads_body(&self) -> bool {
        !matches!(
            self.name,
            "CreateMultipartUpload" | "CopyObject" | "UploadPartCopy"
        )
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

/// `x-amz-*` headers that may come with every request, without that prefix. Those of a signature
/// say nothing of the request.
pub(crate) const EVERYWHERE: &[&str] = &[
    // The C++ SDK, which pyarrow has inside, names the version of the API.
    "api-version",
    "content-sha256",
    "date",
    "decoded-content-length",
    "expected-bucket-owner",
    "region-set",
    "request-payer",
    "security-token",
    "user-agent",
];

/// What tells of the bytes of a body. What a header only announces is compared with what comes.
const BODY: &[&str] = &[
    "x-amz-checksum-algorithm",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-md5",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-sha512",
    "x-amz-checksum-type",
    "x-amz-checksum-xxhash128",
    "x-amz-checksum-xxhash3",
    "x-amz-checksum-xxhash64",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-trailer",
];
/// Conditions on what is there.
const IF_MATCH: &[&str] = &["if-match"];
const IF_NONE_MATCH: &[&str] = &["if-none-match"];
/// Dhow's own: `x-dhow-state` of HeadObject must still be the object's.
const IF_STATE: &[&str] = &["x-dhow-if-state"];
/// Who has access.
const ACL: &[&str] = &[
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
];
/// That who sets a policy may lose the right to change it. The root of the account never does.
const POLICY: &[&str] = &["x-amz-confirm-remove-self-bucket-access"];
/// What becomes part of an object beside its bytes.
const NEW: &[&str] = &["x-amz-storage-class", "x-amz-tagging"];
/// What an upload in parts is begun with.
const UPLOAD: &[&str] = &["x-amz-checksum-algorithm", "x-amz-checksum-type"];
/// The end of an upload in parts.
const COMPLETE: &[&str] = &["x-amz-mp-object-size"];
/// Where a copy comes from.
const SOURCE: &[&str] = &[
    "x-amz-copy-source",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-source-expected-bucket-owner",
];
/// What a copy takes over.
const COPY: &[&str] = &[
    "x-amz-checksum-algorithm",
    "x-amz-metadata-directive",
    "x-amz-object-annotation-directive",
    "x-amz-tagging-directive",
];
/// A piece of the source.
const RANGE: &[&str] = &["x-amz-copy-source-range"];
/// A new bucket.
const BUCKET: &[&str] = &["x-amz-bucket-namespace", "x-amz-object-ownership"];

macro_rules! operations {
    ($($name:ident $method:ident $resource:ident [$($query:literal),*] [$($header:literal),*]
        $action:tt
        $(, takes $($takes:literal)+)?
        $(, heeds $($heeds:ident)+)?
    ;)*) => {
        /// Every operation of the S3 API on general purpose buckets, and the POST form upload.
        pub static OPERATIONS: &[Operation] = &number([$(Operation {
            id: 0,
            name: stringify!($name),
            method: stringify!($method),
            resource: Resource::$resource,
            query: &[$($query),*],
            headers: &[$($header),*],
            takes: &[$($($takes),*)?],
            heeds: &[$($($heeds),*)?],
            action: action!($action),
            status: status!($action),
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

// Name, method, resource, query, headers, permission (access/src/actions.rs says which one is
// needed with a `versionId`);
// `-` is not there yet, and a permission in parentheses is of a document that cannot be set yet.
// Writes that work also name the query parameters that they take beside the
// first ones, and the headers that they heed.
operations! {
    ListBuckets GET Service [] [] ListAllMyBuckets;
    CreateBucket PUT Bucket [] [] CreateBucket,
        heeds ACL BUCKET BODY;
    HeadBucket HEAD Bucket [] [] ListBucket;
    DeleteBucket DELETE Bucket [] [] DeleteBucket;
    GetBucketLocation GET Bucket ["location"] [] GetBucketLocation;
    GetBucketVersioning GET Bucket ["versioning"] [] GetBucketVersioning;
    PutBucketVersioning PUT Bucket ["versioning"] [] PutBucketVersioning,
        heeds BODY;
    GetBucketTagging GET Bucket ["tagging"] [] GetBucketTagging;
    PutBucketTagging PUT Bucket ["tagging"] [] PutBucketTagging,
        heeds BODY;
    DeleteBucketTagging DELETE Bucket ["tagging"] [] PutBucketTagging;
    ListObjects GET Bucket [] [] ListBucket;
    ListObjectsV2 GET Bucket ["list-type=2"] [] ListBucket;
    ListObjectVersions GET Bucket ["versions"] [] ListBucketVersions;
    ListMultipartUploads GET Bucket ["uploads"] [] ListBucketMultipartUploads;
    DeleteObjects POST Bucket ["delete"] [] DeleteObject,
        heeds BODY;
    PostObject POST Bucket [] [] PutObject,
        heeds ACL NEW BODY;
    PutObject PUT Object [] [] PutObject,
        heeds ACL BODY NEW IF_NONE_MATCH IF_MATCH;
    GetObject GET Object [] [] GetObject;
    HeadObject HEAD Object [] [] GetObject;
    DeleteObject DELETE Object [] [] DeleteObject,
        takes "versionId", heeds IF_MATCH IF_STATE;
    CopyObject PUT Object [] ["x-amz-copy-source"] PutObject,
        heeds ACL SOURCE COPY NEW IF_NONE_MATCH IF_MATCH;
    GetObjectAttributes GET Object ["attributes"] [] GetObjectAttributes;
    GetObjectTagging GET Object ["tagging"] [] GetObjectTagging;
    PutObjectTagging PUT Object ["tagging"] [] PutObjectTagging,
        takes "versionId", heeds BODY;
    DeleteObjectTagging DELETE Object ["tagging"] [] DeleteObjectTagging,
        takes "versionId";
    CreateMultipartUpload POST Object ["uploads"] [] PutObject,
        heeds ACL NEW UPLOAD;
    UploadPart PUT Object ["partNumber", "uploadId"] [] PutObject,
        heeds BODY;
    UploadPartCopy PUT Object ["partNumber", "uploadId"] ["x-amz-copy-source"] PutObject,
        heeds SOURCE RANGE;
    CompleteMultipartUpload POST Object ["uploadId"] [] PutObject,
        heeds BODY COMPLETE IF_NONE_MATCH IF_MATCH;
    AbortMultipartUpload DELETE Object ["uploadId"] [] AbortMultipartUpload;
    ListParts GET Object ["uploadId"] [] ListMultipartUploadParts;
    GetBucketAcl GET Bucket ["acl"] [] GetBucketAcl;
    PutBucketAcl PUT Bucket ["acl"] [] PutBucketAcl,
        heeds ACL BODY;
    GetBucketPolicy GET Bucket ["policy"] [] GetBucketPolicy;
    PutBucketPolicy PUT Bucket ["policy"] [] PutBucketPolicy,
        heeds POLICY BODY;
    DeleteBucketPolicy DELETE Bucket ["policy"] [] DeleteBucketPolicy;
    GetBucketPolicyStatus GET Bucket ["policyStatus"] [] GetBucketPolicyStatus;
    GetPublicAccessBlock GET Bucket ["publicAccessBlock"] [] GetBucketPublicAccessBlock;
    PutPublicAccessBlock PUT Bucket ["publicAccessBlock"] [] PutBucketPublicAccessBlock,
        heeds BODY;
    DeletePublicAccessBlock DELETE Bucket ["publicAccessBlock"] [] PutBucketPublicAccessBlock;
    GetBucketOwnershipControls GET Bucket ["ownershipControls"] [] GetBucketOwnershipControls;
    PutBucketOwnershipControls PUT Bucket ["ownershipControls"] [] PutBucketOwnershipControls,
        heeds BODY;
    DeleteBucketOwnershipControls DELETE Bucket ["ownershipControls"] [] PutBucketOwnershipControls;
    GetBucketCors GET Bucket ["cors"] [] GetBucketCORS;
    PutBucketCors PUT Bucket ["cors"] [] PutBucketCORS,
        heeds BODY;
    DeleteBucketCors DELETE Bucket ["cors"] [] PutBucketCORS;
    GetBucketEncryption GET Bucket ["encryption"] [] (GetEncryptionConfiguration);
    PutBucketEncryption PUT Bucket ["encryption"] [] -;
    DeleteBucketEncryption DELETE Bucket ["encryption"] [] (PutEncryptionConfiguration);
    GetBucketLifecycleConfiguration GET Bucket ["lifecycle"] [] (GetLifecycleConfiguration);
    PutBucketLifecycleConfiguration PUT Bucket ["lifecycle"] [] -;
    DeleteBucketLifecycle DELETE Bucket ["lifecycle"] [] (PutLifecycleConfiguration);
    GetBucketReplication GET Bucket ["replication"] [] GetReplicationConfiguration;
    PutBucketReplication PUT Bucket ["replication"] [] PutReplicationConfiguration,
        heeds BODY;
    DeleteBucketReplication DELETE Bucket ["replication"] [] PutReplicationConfiguration;
    GetBucketWebsite GET Bucket ["website"] [] (GetBucketWebsite);
    PutBucketWebsite PUT Bucket ["website"] [] -;
    DeleteBucketWebsite DELETE Bucket ["website"] [] (DeleteBucketWebsite);
    GetBucketNotificationConfiguration GET Bucket ["notification"] [] (GetBucketNotification);
    PutBucketNotificationConfiguration PUT Bucket ["notification"] [] (PutBucketNotification),
        heeds BODY;
    GetBucketLogging GET Bucket ["logging"] [] (GetBucketLogging);
    PutBucketLogging PUT Bucket ["logging"] [] (PutBucketLogging),
        heeds BODY;
    GetBucketRequestPayment GET Bucket ["requestPayment"] [] GetBucketRequestPayment;
    PutBucketRequestPayment PUT Bucket ["requestPayment"] [] PutBucketRequestPayment,
        heeds BODY;
    GetBucketAccelerateConfiguration GET Bucket ["accelerate"] [] GetAccelerateConfiguration;
    PutBucketAccelerateConfiguration PUT Bucket ["accelerate"] [] PutAccelerateConfiguration,
        heeds BODY;
    GetBucketAbac GET Bucket ["abac"] [] (GetBucketAbac);
    PutBucketAbac PUT Bucket ["abac"] [] (PutBucketAbac),
        heeds BODY;
    GetObjectLockConfiguration GET Bucket ["object-lock"] [] (GetBucketObjectLockConfiguration);
    PutObjectLockConfiguration PUT Bucket ["object-lock"] [] -;
    GetBucketAnalyticsConfiguration GET Bucket ["analytics", "id"] [] (GetAnalyticsConfiguration);
    ListBucketAnalyticsConfigurations GET Bucket ["analytics"] [] (GetAnalyticsConfiguration);
    PutBucketAnalyticsConfiguration PUT Bucket ["analytics"] [] -;
    DeleteBucketAnalyticsConfiguration DELETE Bucket ["analytics"] [] (PutAnalyticsConfiguration),
        takes "id";
    GetBucketIntelligentTieringConfiguration GET Bucket ["intelligent-tiering", "id"] [] (GetIntelligentTieringConfiguration);
    ListBucketIntelligentTieringConfigurations GET Bucket ["intelligent-tiering"] [] (GetIntelligentTieringConfiguration);
    PutBucketIntelligentTieringConfiguration PUT Bucket ["intelligent-tiering"] [] -;
    DeleteBucketIntelligentTieringConfiguration DELETE Bucket ["intelligent-tiering"] [] (PutIntelligentTieringConfiguration),
        takes "id";
    GetBucketInventoryConfiguration GET Bucket ["inventory", "id"] [] (GetInventoryConfiguration);
    ListBucketInventoryConfigurations GET Bucket ["inventory"] [] (GetInventoryConfiguration);
    PutBucketInventoryConfiguration PUT Bucket ["inventory"] [] -;
    DeleteBucketInventoryConfiguration DELETE Bucket ["inventory"] [] (PutInventoryConfiguration),
        takes "id";
    GetBucketMetricsConfiguration GET Bucket ["metrics", "id"] [] (GetMetricsConfiguration);
    ListBucketMetricsConfigurations GET Bucket ["metrics"] [] (GetMetricsConfiguration);
    PutBucketMetricsConfiguration PUT Bucket ["metrics"] [] -;
    DeleteBucketMetricsConfiguration DELETE Bucket ["metrics"] [] (PutMetricsConfiguration),
        takes "id";
    CreateBucketMetadataTableConfiguration POST Bucket ["metadataTable"] [] -;
    GetBucketMetadataTableConfiguration GET Bucket ["metadataTable"] [] -;
    DeleteBucketMetadataTableConfiguration DELETE Bucket ["metadataTable"] [] -;
    CreateBucketMetadataConfiguration POST Bucket ["metadataConfiguration"] [] -;
    GetBucketMetadataConfiguration GET Bucket ["metadataConfiguration"] [] -;
    DeleteBucketMetadataConfiguration DELETE Bucket ["metadataConfiguration"] [] -;
    UpdateBucketMetadataAnnotationTableConfiguration PUT Bucket ["metadataAnnotationTable"] [] -;
    UpdateBucketMetadataInventoryTableConfiguration PUT Bucket ["metadataInventoryTable"] [] -;
    UpdateBucketMetadataJournalTableConfiguration PUT Bucket ["metadataJournalTable"] [] -;
    CreateSession GET Bucket ["session"] [] -;
    GetObjectAcl GET Object ["acl"] [] GetObjectAcl;
    PutObjectAcl PUT Object ["acl"] [] PutObjectAcl,
        takes "versionId", heeds ACL BODY;
    GetObjectAnnotation GET Object ["annotation", "annotationName"] [] -;
    ListObjectAnnotations GET Object ["annotation"] [] -;
    PutObjectAnnotation PUT Object ["annotation"] [] -;
    DeleteObjectAnnotation DELETE Object ["annotation"] [] -;
    GetObjectLegalHold GET Object ["legal-hold"] [] (GetObjectLegalHold);
    PutObjectLegalHold PUT Object ["legal-hold"] [] -;
    GetObjectRetention GET Object ["retention"] [] (GetObjectRetention);
    PutObjectRetention PUT Object ["retention"] [] -;
    GetObjectTorrent GET Object ["torrent"] [] -;
    RestoreObject POST Object ["restore"] [] -;
    SelectObjectContent POST Object ["select"] [] -;
    RenameObject PUT Object ["renameObject"] [] -;
    UpdateObjectEncryption PUT Object ["encryption"] [] -;
}

impl Operation {
    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        !matches!(self.method, "GET" | "HEAD")
    }

    /// Whether it honours this parameter of a query.
    pub(crate) fn takes(&self, name: &str) -> bool {
        let chosen = |q: &&str| q.split_once('=').map_or(**q == *name, |(q, _)| q == name);
        self.query.iter().any(chosen) || self.takes.contains(&name)
    }

    /// Whether it honours this header.
    pub(crate) fn heeds(&self, name: &str) -> bool {
        self.heeds.iter().any(|group| group.contains(&name))
    }

    /// The permission that the operation needs.
    pub fn action_for(&self, with_version: bool) -> Option<Action> {
        let named = with_version && self.resource == Resource::Object;
        self.action.map(|action| action.for_version(named))
    }
}

/// docs/operations.md.
pub fn document() -> String {
    let mut text = String::from(
        "# S3 operations\n\nWritten from the table in `crates/gateway/src/operations.rs`; do not \
         edit. To write it anew: `UPDATE=1 cargo test -p gateway --lib operations`.\n\n\
         An operation that does not work yet answers `501 NotImplemented` with its name, never a \
         success. `as unset`: its document cannot be set yet, and it answers what S3 answers for a \
         bucket where none is set. A Put of such a document succeeds where it says what holds \
         anyway; all else it could say is 501 with its name.\n",
    );
    let works = OPERATIONS
        .iter()
        .filter(|o| o.status == Status::Works)
        .count();
    text.push_str(&format!(
        "\n{works} of {} operations work.\n\n",
        OPERATIONS.len()
    ));
    text.push_str(
        "A write refuses by name every query parameter and every `x-amz-*` or `If-*` header that \
         its line does not name. Every request may carry the parameters of a signature, `x-id` \
         (its own name), `response-*`, parameters that begin with `x-` and mean nothing to S3, \
         `x-amz-meta-*`",
    );
    for name in EVERYWHERE {
        text.push_str(&format!(", `x-amz-{name}`"));
    }
    text.push_str(
        ".\n\n| operation | request | works | permission | also honours |\n|---|---|---|---|---|\n",
    );
    let mut sorted: Vec<_> = OPERATIONS.iter().collect();
    sorted.sort_by_key(|o| (o.status, o.name));
    for o in sorted {
        let path = match o.resource {
            Resource::Service => "/",
            Resource::Bucket => "/bucket",
            Resource::Object => "/bucket/key",
        };
        let query = match o.query {
            [] => String::new(),
            names => format!("?{}", names.join("&")),
        };
        let headers: String = o.headers.iter().map(|h| format!(" with `{h}`")).collect();
        let permission = match (o.action_for(false), o.action_for(true)) {
            (Some(plain), Some(versioned)) if plain != versioned => {
                format!("`{}` or `{}`", plain.name(), versioned.name())
            }
            (Some(plain), _) => format!("`{}`", plain.name()),
            (None, _) => String::new(),
        };
        let works = o.status.name();
        let honours = o.takes.iter().map(|t| format!("`?{t}`"));
        let honours = honours.chain(
            o.heeds
                .iter()
                .flat_map(|g| g.iter())
                .map(|h| format!("`{h}`")),
        );
        let honours = honours.collect::<Vec<_>>().join(", ");
        text.push_str(&format!(
            "| {} | `{} {path}{query}`{headers} | {works} | {permission} | {honours} |\n",
            o.name, o.method
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_unique_names_and_requests() {
        for (i, a) in OPERATIONS.iter().enumerate() {
            assert_eq!(a.id, i);
            for b in &OPERATIONS[i + 1..] {
                assert_ne!(a.name, b.name);
                let same = a.method == b.method
                    && a.resource == b.resource
                    && a.query == b.query
                    && a.headers == b.headers;
                assert!(!same, "{} and {}", a.name, b.name);
            }
        }
    }

    #[test]
    fn operations_document_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap_or_default(),
            document()
        );
    }
}
