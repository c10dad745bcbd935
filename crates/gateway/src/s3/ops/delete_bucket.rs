//! DeleteBucket: an empty bucket goes, and its name is free again.

use crate::s3::{S3Call, S3Result};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let permit = call.for_registry(&[]);
    call.gateway.objects.delete_bucket(&permit).await?;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
