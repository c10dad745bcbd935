//! AbortMultipartUpload: ends an upload and frees its parts.

use http::StatusCode;

use crate::{
    call::{Answer, Call},
    s3::multipart,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let upload = multipart::upload_id(call)?;
    let objects = &call.gateway.objects;
    objects.abort_upload(&call.permit, &key, upload).await?;
    Ok(call.empty(StatusCode::NO_CONTENT))
}
