//! One file per operation; each exposes `pub async fn handle(call: &mut Call<'_>) -> Answer`.

pub(crate) mod abort_multipart_upload;
pub(crate) mod complete_multipart_upload;
pub(crate) mod copy_object;
pub(crate) mod create_bucket;
pub(crate) mod create_multipart_upload;
pub(crate) mod delete_bucket;
pub(crate) mod delete_bucket_replication;
pub(crate) mod delete_bucket_tagging;
pub(crate) mod delete_object;
pub(crate) mod delete_object_tagging;
pub(crate) mod delete_objects;
pub(crate) mod get_bucket_location;
pub(crate) mod get_bucket_replication;
pub(crate) mod get_bucket_tagging;
pub(crate) mod get_bucket_versioning;
pub(crate) mod get_object;
pub(crate) mod get_object_attributes;
pub(crate) mod get_object_tagging;
pub(crate) mod head_bucket;
pub(crate) mod head_object;
pub(crate) mod list_buckets;
pub(crate) mod list_multipart_uploads;
pub(crate) mod list_object_versions;
pub(crate) mod list_objects;
pub(crate) mod list_objects_v2;
pub(crate) mod list_parts;
pub(crate) mod post_object;
pub(crate) mod put_bucket_replication;
pub(crate) mod put_bucket_tagging;
pub(crate) mod put_bucket_versioning;
pub(crate) mod put_object;
pub(crate) mod put_object_tagging;
pub(crate) mod upload_part;
pub(crate) mod upload_part_copy;

use crate::call::{Answer, Call};

/// Wires operations to their files. Those under `hot` are polled in place; the others in a box,
/// so that their size does not add to every request's.
macro_rules! handlers {
    (hot { $($hot:ident => $hot_file:ident,)* } cold { $($cold:ident => $cold_file:ident,)* }) => {
        /// Hands the call to its operation's handler.
        pub(crate) async fn dispatch(call: &mut Call<'_>) -> Answer {
            match call.operation.name {
                $(stringify!($hot) => $hot_file::handle(call).await,)*
                $(stringify!($cold) => Box::pin($cold_file::handle(call)).await,)*
                name if super::lists::has(name) => Box::pin(super::lists::handle(call)).await,
                name if super::documents::has(name) => {
                    Box::pin(super::documents::handle(call)).await
                }
                _ => Box::pin(super::unset::handle(call)).await,
            }
        }

        /// The names of all operations that have a handler.
        #[cfg(test)]
        pub(crate) const HANDLED: &[&str] =
            &[$(stringify!($hot),)* $(stringify!($cold),)*];
    };
}

handlers! {
    hot {
        GetObject => get_object,
        HeadObject => head_object,
    }
    cold {
        PutObject => put_object,
        DeleteObject => delete_object,
        ListObjectsV2 => list_objects_v2,
        UploadPart => upload_part,
        CopyObject => copy_object,
        DeleteObjects => delete_objects,
        GetObjectAttributes => get_object_attributes,
        GetObjectTagging => get_object_tagging,
        PutObjectTagging => put_object_tagging,
        DeleteObjectTagging => delete_object_tagging,
        PostObject => post_object,
        PutBucketVersioning => put_bucket_versioning,
        PutBucketTagging => put_bucket_tagging,
        GetBucketVersioning => get_bucket_versioning,
        GetBucketTagging => get_bucket_tagging,
        DeleteBucketTagging => delete_bucket_tagging,
        DeleteBucket => delete_bucket,
        GetBucketReplication => get_bucket_replication,
        PutBucketReplication => put_bucket_replication,
        DeleteBucketReplication => delete_bucket_replication,
        CreateBucket => create_bucket,
        GetBucketLocation => get_bucket_location,
        HeadBucket => head_bucket,
        ListBuckets => list_buckets,
        AbortMultipartUpload => abort_multipart_upload,
        CompleteMultipartUpload => complete_multipart_upload,
        CreateMultipartUpload => create_multipart_upload,
        ListMultipartUploads => list_multipart_uploads,
        ListObjectVersions => list_object_versions,
        ListObjects => list_objects,
        ListParts => list_parts,
        UploadPartCopy => upload_part_copy,
    }
}

#[cfg(test)]
mod tests {
    use crate::operations::{OPERATIONS, Status};

    #[test]
    fn handlers_are_of_operations_that_work() {
        for name in super::HANDLED {
            let operation = OPERATIONS.iter().find(|o| o.name == *name);
            let works = operation.is_some_and(|o| o.status == Status::Works);
            assert!(works, "{name} is not in the table as one that works");
        }
    }
}
