//! DeleteObject: a version for good, or the current one from view.

use http::{HeaderValue, StatusCode};

use crate::{
    call::{Answer, Call},
    s3::{headers::names, object_headers},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
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
