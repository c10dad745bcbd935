//! DeleteObjectTagging: removes the tags of a version.

use http::StatusCode;

use crate::{
    call::{Answer, Call},
    s3::object_headers,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let version = object_headers::version(call)?;
    let objects = &call.gateway.objects;
    let version = objects
        .set_object_tags(&call.permit, &key, version, Vec::new())
        .await?;
    let mut answer = call.empty(StatusCode::NO_CONTENT);
    object_headers::write_version(answer.headers_mut(), version)?;
    Ok(answer)
}
