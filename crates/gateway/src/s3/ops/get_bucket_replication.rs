//! GetBucketReplication: a bucket's replication rules.

use crate::s3::{ErrorCode, S3Call, S3Result, replication};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    match call.gateway.objects.rules(&call.permit).await? {
        Some(rules) => Ok(call.xml(replication::write(&rules))),
        None => Err(ErrorCode::ReplicationConfigurationNotFoundError.into()),
    }
}
