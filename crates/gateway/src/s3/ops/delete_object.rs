//! DeleteObject: a version for good, or the current one from view.

use http::{HeaderValue, StatusCode};

use crate::s3::{S3Call, S3Result, headers::names, object_headers};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let key = call.object_key()?.clone();
    let version = object_headers::version(call)?;
    let conditions = object_headers::write_conditions(call)?;
    let objects = &call.gateway.objects;
    let deleted = objects
        .delete(&call.permit, &key, version, &conditions)
        .await?;
    let mut answer = call.empty(StatusCode::NO_CONTENT);
    let out = answer.headers_mut();
    if deleted.delete_marker {
        out.insert(names::DELETE_MARKER, HeaderValue::from_static("true"));
    }
    object_headers::write_version(out, deleted.version)?;
    Ok(answer)
}
