//! PutObjectTagging: replaces the tags of a version.

use http::StatusCode;

use crate::{
    call::{Answer, Call, Read},
    s3::{object_headers, tagging},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let version = object_headers::version(call)?;
    let root = call.read_xml(&["Tagging"]).await?;
    let tags = tagging::read(&root)?;
    call.permit_read(version, Read::Tags(&tags)).await?;
    let objects = &call.gateway.objects;
    let version = objects
        .set_object_tags(&call.permit, &key, version, tags)
        .await?;
    let mut answer = call.empty(StatusCode::OK);
    object_headers::write_version(answer.headers_mut(), version)?;
    Ok(answer)
}
