//! PutObject: stores an object.

use http::{StatusCode, header};
use objects::PutInput;

use crate::s3::{ErrorCode, S3Call, S3Error, S3Result, headers, multipart, object_headers};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let key = call.object_key()?.clone();
    let (checksum, trailer) = (multipart::checksum(call)?, multipart::trailer(call)?);
    check_sdk_algorithm(call, checksum.map(|c| c.algorithm()).or(trailer))?;
    let attributes = object_headers::attributes(call)?;
    let conditions = object_headers::write_conditions(call)?;
    let md5 = multipart::content_md5(call)?;
    let body = call.take_body();
    if body.len_hint().is_none() {
        return Err(ErrorCode::MissingContentLength.into());
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

/// The SDK says which checksum it sends; another one, or none, is a mistake that must not pass for
/// an upload that was checked.
pub(super) fn check_sdk_algorithm(
    call: &S3Call<'_>,
    sent: Option<types::ChecksumAlgorithm>,
) -> Result<(), S3Error> {
    const NAME: &str = "x-amz-sdk-checksum-algorithm";
    let Some(text) = call.header(NAME)? else {
        return Ok(());
    };
    let invalid = |message: &str| S3Error::with(ErrorCode::InvalidRequest, message);
    let named = types::ChecksumAlgorithm::parse(text)
        .ok_or_else(|| invalid("Value for x-amz-sdk-checksum-algorithm header is invalid."))?;
    match sent {
        Some(sent) if sent == named => Ok(()),
        // The page of PutObject names this code for it.
        Some(sent) => Err(S3Error::with(
            ErrorCode::BadDigest,
            format!(
                "x-amz-sdk-checksum-algorithm says {}, but the request carries a checksum of {}.",
                named.name(),
                sent.name()
            ),
        )),
        None => Err(invalid(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
             x-amz-trailer headers were found.",
        )),
    }
}
