//! S3's table of operations: which request means which operation, and what it may say. Routing, the
//! refusal tests and docs/operations.md follow from it.

use std::{ops::Deref, sync::LazyLock};

use crate::operations::{OPERATIONS, Operation, Resource, Status, find};

/// An operation in the form that the S3 API has for it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What it is.
    pub operation: &'static Operation,
    /// HTTP method.
    pub method: &'static str,
    /// Query parameters that must all be there; an entry `k=v` fixes the value.
    pub query: &'static [&'static str],
    /// Headers that must be there (such as `x-amz-copy-source`).
    pub headers: &'static [&'static str],
    /// More query parameters that it honours. A write refuses all others by name.
    pub takes: &'static [&'static str],
    /// Groups of headers that it honours, of those that change what a write means (`x-amz-*` and
    /// conditions); beside [`EVERYWHERE`]. A write refuses all others by name.
    pub heeds: &'static [&'static [&'static str]],
}

impl Deref for Row {
    type Target = Operation;

    fn deref(&self) -> &Operation {
        self.operation
    }
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

/// What describes the bytes of a body. What a header only announces is compared with what comes.
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

macro_rules! rows {
    ($($name:ident $method:ident [$($query:literal),*] [$($header:literal),*]
        $(, takes $($takes:literal)+)?
        $(, heeds $($heeds:ident)+)?
    ;)*) => {
        /// Every operation of the S3 API on general purpose buckets, and the POST form upload.
        pub static ROWS: &[Row] = &[$(Row {
            operation: &OPERATIONS[find(stringify!($name))],
            method: stringify!($method),
            query: &[$($query),*],
            headers: &[$($header),*],
            takes: &[$($($takes),*)?],
            heeds: &[$($($heeds),*)?],
        },)*];
    };
}

// Name, method, query, headers. Writes that work also name the query parameters that they take
// beside the first ones, and the headers that they heed.
rows! {
    ListBuckets GET [] [];
    CreateBucket PUT [] [],
        heeds ACL BUCKET BODY;
    HeadBucket HEAD [] [];
    DeleteBucket DELETE [] [];
    GetBucketLocation GET ["location"] [];
    GetBucketVersioning GET ["versioning"] [];
    PutBucketVersioning PUT ["versioning"] [],
        heeds BODY;
    GetBucketTagging GET ["tagging"] [];
    PutBucketTagging PUT ["tagging"] [],
        heeds BODY;
    DeleteBucketTagging DELETE ["tagging"] [];
    ListObjects GET [] [];
    ListObjectsV2 GET ["list-type=2"] [];
    ListObjectVersions GET ["versions"] [];
    ListMultipartUploads GET ["uploads"] [];
    DeleteObjects POST ["delete"] [],
        heeds BODY;
    PostObject POST [] [],
        heeds ACL NEW BODY;
    PutObject PUT [] [],
        heeds ACL BODY NEW IF_NONE_MATCH IF_MATCH;
    GetObject GET [] [];
    HeadObject HEAD [] [];
    DeleteObject DELETE [] [],
        takes "versionId", heeds IF_MATCH IF_STATE;
    CopyObject PUT [] ["x-amz-copy-source"],
        heeds ACL SOURCE COPY NEW IF_NONE_MATCH IF_MATCH;
    GetObjectAttributes GET ["attributes"] [];
    GetObjectTagging GET ["tagging"] [];
    PutObjectTagging PUT ["tagging"] [],
        takes "versionId", heeds BODY;
    DeleteObjectTagging DELETE ["tagging"] [],
        takes "versionId";
    CreateMultipartUpload POST ["uploads"] [],
        heeds ACL NEW UPLOAD;
    UploadPart PUT ["partNumber", "uploadId"] [],
        heeds BODY;
    UploadPartCopy PUT ["partNumber", "uploadId"] ["x-amz-copy-source"],
        heeds SOURCE RANGE;
    CompleteMultipartUpload POST ["uploadId"] [],
        heeds BODY COMPLETE IF_NONE_MATCH IF_MATCH;
    AbortMultipartUpload DELETE ["uploadId"] [];
    ListParts GET ["uploadId"] [];
    GetBucketAcl GET ["acl"] [];
    PutBucketAcl PUT ["acl"] [],
        heeds ACL BODY;
    GetBucketPolicy GET ["policy"] [];
    PutBucketPolicy PUT ["policy"] [],
        heeds POLICY BODY;
    DeleteBucketPolicy DELETE ["policy"] [];
    GetBucketPolicyStatus GET ["policyStatus"] [];
    GetPublicAccessBlock GET ["publicAccessBlock"] [];
    PutPublicAccessBlock PUT ["publicAccessBlock"] [],
        heeds BODY;
    DeletePublicAccessBlock DELETE ["publicAccessBlock"] [];
    GetBucketOwnershipControls GET ["ownershipControls"] [];
    PutBucketOwnershipControls PUT ["ownershipControls"] [],
        heeds BODY;
    DeleteBucketOwnershipControls DELETE ["ownershipControls"] [];
    GetBucketCors GET ["cors"] [];
    PutBucketCors PUT ["cors"] [],
        heeds BODY;
    DeleteBucketCors DELETE ["cors"] [];
    GetBucketEncryption GET ["encryption"] [];
    PutBucketEncryption PUT ["encryption"] [];
    DeleteBucketEncryption DELETE ["encryption"] [];
    GetBucketLifecycleConfiguration GET ["lifecycle"] [];
    PutBucketLifecycleConfiguration PUT ["lifecycle"] [];
    DeleteBucketLifecycle DELETE ["lifecycle"] [];
    GetBucketReplication GET ["replication"] [];
    PutBucketReplication PUT ["replication"] [],
        heeds BODY;
    DeleteBucketReplication DELETE ["replication"] [];
    GetBucketWebsite GET ["website"] [];
    PutBucketWebsite PUT ["website"] [];
    DeleteBucketWebsite DELETE ["website"] [];
    GetBucketNotificationConfiguration GET ["notification"] [];
    PutBucketNotificationConfiguration PUT ["notification"] [],
        heeds BODY;
    GetBucketLogging GET ["logging"] [];
    PutBucketLogging PUT ["logging"] [],
        heeds BODY;
    GetBucketRequestPayment GET ["requestPayment"] [];
    PutBucketRequestPayment PUT ["requestPayment"] [],
        heeds BODY;
    GetBucketAccelerateConfiguration GET ["accelerate"] [];
    PutBucketAccelerateConfiguration PUT ["accelerate"] [],
        heeds BODY;
    GetBucketAbac GET ["abac"] [];
    PutBucketAbac PUT ["abac"] [],
        heeds BODY;
    GetObjectLockConfiguration GET ["object-lock"] [];
    PutObjectLockConfiguration PUT ["object-lock"] [];
    GetBucketAnalyticsConfiguration GET ["analytics", "id"] [];
    ListBucketAnalyticsConfigurations GET ["analytics"] [];
    PutBucketAnalyticsConfiguration PUT ["analytics"] [];
    DeleteBucketAnalyticsConfiguration DELETE ["analytics"] [],
        takes "id";
    GetBucketIntelligentTieringConfiguration GET ["intelligent-tiering", "id"] [];
    ListBucketIntelligentTieringConfigurations GET ["intelligent-tiering"] [];
    PutBucketIntelligentTieringConfiguration PUT ["intelligent-tiering"] [];
    DeleteBucketIntelligentTieringConfiguration DELETE ["intelligent-tiering"] [],
        takes "id";
    GetBucketInventoryConfiguration GET ["inventory", "id"] [];
    ListBucketInventoryConfigurations GET ["inventory"] [];
    PutBucketInventoryConfiguration PUT ["inventory"] [];
    DeleteBucketInventoryConfiguration DELETE ["inventory"] [],
        takes "id";
    GetBucketMetricsConfiguration GET ["metrics", "id"] [];
    ListBucketMetricsConfigurations GET ["metrics"] [];
    PutBucketMetricsConfiguration PUT ["metrics"] [];
    DeleteBucketMetricsConfiguration DELETE ["metrics"] [],
        takes "id";
    CreateBucketMetadataTableConfiguration POST ["metadataTable"] [];
    GetBucketMetadataTableConfiguration GET ["metadataTable"] [];
    DeleteBucketMetadataTableConfiguration DELETE ["metadataTable"] [];
    CreateBucketMetadataConfiguration POST ["metadataConfiguration"] [];
    GetBucketMetadataConfiguration GET ["metadataConfiguration"] [];
    DeleteBucketMetadataConfiguration DELETE ["metadataConfiguration"] [];
    UpdateBucketMetadataAnnotationTableConfiguration PUT ["metadataAnnotationTable"] [];
    UpdateBucketMetadataInventoryTableConfiguration PUT ["metadataInventoryTable"] [];
    UpdateBucketMetadataJournalTableConfiguration PUT ["metadataJournalTable"] [];
    CreateSession GET ["session"] [];
    GetObjectAcl GET ["acl"] [];
    PutObjectAcl PUT ["acl"] [],
        takes "versionId", heeds ACL BODY;
    GetObjectAnnotation GET ["annotation", "annotationName"] [];
    ListObjectAnnotations GET ["annotation"] [];
    PutObjectAnnotation PUT ["annotation"] [];
    DeleteObjectAnnotation DELETE ["annotation"] [];
    GetObjectLegalHold GET ["legal-hold"] [];
    PutObjectLegalHold PUT ["legal-hold"] [];
    GetObjectRetention GET ["retention"] [];
    PutObjectRetention PUT ["retention"] [];
    GetObjectTorrent GET ["torrent"] [];
    RestoreObject POST ["restore"] [];
    SelectObjectContent POST ["select"] [];
    RenameObject PUT ["renameObject"] [];
    UpdateObjectEncryption PUT ["encryption"] [];
}

/// The rows by the place of their operation.
static BY_OPERATION: LazyLock<Vec<Option<&'static Row>>> = LazyLock::new(|| {
    let mut rows = vec![None; OPERATIONS.len()];
    for row in ROWS {
        rows[row.id] = Some(row);
    }
    rows
});

impl Row {
    /// Of an operation; none of what S3 does not have.
    pub(crate) fn of(operation: &Operation) -> Option<&'static Row> {
        BY_OPERATION.get(operation.id).copied().flatten()
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
}

/// docs/operations.md.
pub fn document() -> String {
    let mut text = String::from(
        "# S3 operations\n\nWritten from the table in `crates/gateway/src/s3/operations.rs`; do not \
         edit. To write it anew: `UPDATE=1 cargo test -p gateway --lib operations`.\n\n\
         An operation that does not work yet answers `501 NotImplemented` with its name, never a \
         success. `as unset`: its document cannot be set yet, and it answers what S3 answers for a \
         bucket where none is set. A Put of such a document succeeds where it says what holds \
         anyway; all else it could say is 501 with its name.\n",
    );
    let works = ROWS.iter().filter(|o| o.status == Status::Works).count();
    text.push_str(&format!("\n{works} of {} operations work.\n\n", ROWS.len()));
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
    let mut sorted: Vec<_> = ROWS.iter().collect();
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
        for (i, a) in ROWS.iter().enumerate() {
            for b in &ROWS[i + 1..] {
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
