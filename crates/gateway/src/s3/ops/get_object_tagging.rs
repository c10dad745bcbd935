//! GetObjectTagging: the tags of a version.

use crate::{
    call::{Answer, Call},
    s3::{object_headers, tagging},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let version = object_headers::version(call)?;
    let objects = &call.gateway.objects;
    let (tags, version) = objects.object_tags(&call.permit, &key, version).await?;
    let pairs = tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let mut answer = call.xml(tagging::write(pairs));
    object_headers::write_version(answer.headers_mut(), version)?;
    Ok(answer)
}
