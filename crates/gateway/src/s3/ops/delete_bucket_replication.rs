//! DeleteBucketReplication: removes a bucket's replication rules. What they brought stays.

use crate::s3::{S3Call, S3Result};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    call.gateway.objects.set_rules(&call.permit, None).await?;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
