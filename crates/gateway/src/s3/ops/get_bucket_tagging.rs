//! GetBucketTagging: a bucket's tags; none is `NoSuchTagSet`.

use crate::s3::{ErrorCode, S3Call, S3Result, tagging};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let tags = call.gateway.objects.bucket_tags(&call.permit).await?;
    if tags.is_empty() {
        return Err(ErrorCode::NoSuchTagSet.into());
    }
    let pairs = tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Ok(call.xml(tagging::write(pairs)))
}
