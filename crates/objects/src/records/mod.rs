//! What rows hold: explicit, versioned bytes, written and read here alone.
//!
//! Every record begins with the version of its layout. Reading never panics; bytes that cannot
//! be read, or of a version that is not known, are `Error::Record`.

mod bounds;
mod bucket;
pub(crate) mod codec;
mod configuration;
mod documents;
mod fields;
mod follow;
mod list;
mod log;
mod object;
mod shipped;
mod upload;

pub use bucket::Versioning;
pub(crate) use bucket::{BucketRecord, BucketState};
pub(crate) use configuration::Part;
pub use configuration::{Configuration, SetAt};
pub use documents::{Document, DocumentKind, Documents, KindRow, StoredPolicy};
pub(crate) use documents::{Stored, block, kind_of, may_set, ownership};
pub use fields::Fields;
pub use follow::FollowCursor;
pub use list::{ObjectList, decode_bucket_list, encode_bucket_list};
pub use log::{Cause, Change, ChangeKind, Effect};
pub use object::{ContentHeaders, ObjectAttributes};
pub(crate) use object::{ManifestPart, ObjectBody, ObjectRecord, RecordView};
pub(crate) use object::{decode_manifest, encode_manifest};
pub use shipped::{Shipped, ShippedChange, ShippedPart};
pub(crate) use upload::{PartRecord, UploadRecord};

#[cfg(test)]
mod tests;
