//! DeleteBucketTagging: removes a bucket's tags.

use crate::call::{Answer, Call};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    call.gateway
        .objects
        .set_bucket_tags(&call.permit, Vec::new())
        .await?;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
