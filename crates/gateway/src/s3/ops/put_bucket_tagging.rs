//! PutBucketTagging: replaces a bucket's tags.

use crate::{
    call::{Answer, Call, Read},
    s3::tagging,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let root = call.read_xml(&["Tagging"]).await?;
    let tags = tagging::read(&root)?;
    call.permit_read(None, Read::Tags(&tags)).await?;
    call.gateway
        .objects
        .set_bucket_tags(&call.permit, tags)
        .await?;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
