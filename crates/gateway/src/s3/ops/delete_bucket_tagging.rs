//! DeleteBucketTagging: removes a bucket's tags.

use crate::s3::{S3Call, S3Result};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    call.gateway
        .objects
        .set_bucket_tags(&call.permit, Vec::new())
        .await?;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
