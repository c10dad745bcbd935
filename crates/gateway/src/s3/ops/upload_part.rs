//! UploadPart: one part of an object that arrives in parts.

use http::{HeaderName, StatusCode, header};
use objects::PartInput;

use crate::{
    call::{Answer, Call},
    fault::FaultKind,
    s3::{headers, multipart},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let upload = multipart::upload_id(call)?;
    let number = multipart::part_number(call)?;
    let (md5, checksum) = (multipart::content_md5(call)?, multipart::checksum(call)?);
    let trailer = multipart::trailer(call)?;
    multipart::check_sdk_algorithm(call, checksum.map(|c| c.algorithm()).or(trailer))?;
    let body = call.take_body();
    if body.len_hint().is_none() {
        return Err(FaultKind::MissingContentLength.into());
    }
    let input = PartInput {
        body,
        md5,
        checksum,
        trailer,
    };
    let objects = &call.gateway.objects;
    let part = objects
        .upload_part(&call.permit, &key, upload, number, input)
        .await?;
    let mut answer = call.empty(StatusCode::OK);
    let out = answer.headers_mut();
    headers::set(out, header::ETAG, &part.etag.quoted())?;
    if let Some(checksum) = part.checksum {
        let name = HeaderName::from_static(checksum.algorithm().header());
        headers::set(out, name, &checksum.to_string())?;
    }
    Ok(answer)
}
