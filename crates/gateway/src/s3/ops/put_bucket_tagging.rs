//! PutBucketTagging: replaces a bucket's tags.

use crate::s3::{S3Call, S3Result, tagging};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let root = call.read_xml(&["Tagging"]).await?;
    let tags = tagging::read(&root)?;
    call.gateway
        .objects
        .set_bucket_tags(&call.permit, tags)
        .await?;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
