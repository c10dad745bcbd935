//! Which keys of S3 requests for which of its actions can have ("Actions, resources, and condition
//! keys for Amazon S3" in the Service Authorization Reference, and what Dhow adds to it). A statement
//! whose condition is on a key that none of its actions has would never match, or always: that is
//! said when a bucket policy is saved.

use super::keys::Key;
use crate::actions::Kind;

const LISTS: &[&str] = &[
    "ListBucket",
    "ListBucketMultipartUploads",
    "ListBucketVersions",
];
const LISTS_OF_ACCESS: &[&str] = &[
    "CreateBucket",
    "PutBucketAcl",
    "PutObject",
    "PutObjectAcl",
    "PutObjectVersionAcl",
];
const GIVES_TAGS: &[&str] = &[
    "PutObject",
    "PutObjectTagging",
    "PutObjectVersionTagging",
    "ReplicateTags",
];
/// What is on no object that is there, or asks for no tags of it.
const WITHOUT_TAGS: &[&str] = &[
    "AbortMultipartUpload",
    "DeleteObject",
    "DeleteObjectVersion",
    "ListMultipartUploadParts",
    "PutObject",
];
const CONDITIONAL: &[&str] = &["DeleteObject", "DeleteObjectVersion", "PutObject"];
const WRITES: &[&str] = &["PutObject", "ReplicateObject"];
const OWNERSHIP: &[&str] = &["CreateBucket", "PutBucketOwnershipControls"];

/// Whether requests for an action can have a key.
pub(super) fn has(key: Key, action: &str, kind: Kind) -> bool {
    let among = |names: &[&str]| names.contains(&action);
    let of_object = kind == Kind::Object;
    match key {
        Key::Prefix | Key::Delimiter | Key::MaxKeys => among(LISTS),
        Key::Acl
        | Key::GrantRead
        | Key::GrantWrite
        | Key::GrantReadAcp
        | Key::GrantWriteAcp
        | Key::GrantFullControl => among(LISTS_OF_ACCESS),
        Key::RequestObjectTag | Key::RequestObjectTagKeys => among(GIVES_TAGS),
        Key::ExistingObjectTag => of_object && !among(WITHOUT_TAGS),
        Key::CopySource | Key::MetadataDirective | Key::Creation => among(&["PutObject"]),
        Key::Encryption | Key::KmsKeyId | Key::StorageClass | Key::WebsiteRedirect => among(WRITES),
        Key::IfMatch | Key::IfNoneMatch => among(CONDITIONAL),
        Key::CustomerAlgorithm | Key::VersionId => of_object,
        Key::LockMode | Key::LockUntil | Key::LegalHold | Key::LockDays => of_object,
        Key::LocationConstraint => among(&["CreateBucket"]),
        Key::ObjectOwnership => among(OWNERSHIP),
        Key::InventoryFields => among(&["PutInventoryConfiguration"]),
        _ => true,
    }
}
