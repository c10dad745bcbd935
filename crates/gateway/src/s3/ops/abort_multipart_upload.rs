//! AbortMultipartUpload: ends an upload and frees its parts.

use http::StatusCode;

use crate::s3::{S3Call, S3Result, multipart};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let key = call.object_key()?.clone();
    let upload = multipart::upload_id(call)?;
    let objects = &call.gateway.objects;
    objects.abort_upload(&call.permit, &key, upload).await?;
    Ok(call.empty(StatusCode::NO_CONTENT))
}
