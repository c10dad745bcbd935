//! PutObject: stores an object.

use http::{StatusCode, header};
use objects::PutInput;

use crate::{
    call::{Answer, Call},
    fault::FaultKind,
    s3::{headers, lists, multipart, object_headers},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let (checksum, trailer) = (multipart::checksum(call)?, multipart::trailer(call)?);
    multipart::check_sdk_algorithm(call, checksum.map(|c| c.algorithm()).or(trailer))?;
    let mut attributes = object_headers::attributes(call)?;
    attributes.set_list(lists::of_new(call)?.as_ref());
    let conditions = object_headers::write_conditions(call)?;
    let md5 = multipart::content_md5(call)?;
    let body = call.take_body();
    if body.len_hint().is_none() {
        return Err(FaultKind::MissingContentLength.into());
    }
    let input = PutInput {
        body,
        attributes,
        md5,
        checksum,
        trailer,
        conditions,
    };
    let put = call.gateway.objects.put(&call.permit, &key, input).await?;
    let mut answer = call.empty(StatusCode::OK);
    let out = answer.headers_mut();
    headers::set(out, header::ETAG, &put.etag.quoted())?;
    object_headers::write_checksum(out, put.checksum)?;
    object_headers::write_version(out, put.version)?;
    Ok(answer)
}
