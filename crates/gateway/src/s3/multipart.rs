//! What the handlers of multipart uploads read from a request.

use base64::{Engine, engine::general_purpose::STANDARD};
use types::{ChecksumAlgorithm, ChecksumKind, ChecksumValue, UploadId, limits::PART_NUMBER_MAX};

use super::headers::names;
use crate::{
    call::Call,
    fault::{Fault, FaultKind},
};

/// Reads `uploadId`; a text that is no upload's id names no upload.
pub(crate) fn upload_id(call: &Call<'_>) -> Result<UploadId, Fault> {
    let text = call.query.get("uploadId").unwrap_or_default();
    UploadId::parse(text).ok_or_else(|| FaultKind::NoSuchUpload.into())
}

/// Reads `partNumber`.
pub(crate) fn part_number(call: &Call<'_>) -> Result<u32, Fault> {
    let text = call.query.get("partNumber").unwrap_or_default();
    let number = text.parse().ok();
    let number = number.filter(|n| (1..=u32::from(PART_NUMBER_MAX)).contains(n));
    number.ok_or_else(|| {
        Fault::argument(
            "partNumber",
            text,
            "Part number must be an integer between 1 and 10000, inclusive",
        )
    })
}

/// Reads `x-amz-checksum-type`.
pub(crate) fn checksum_kind(call: &Call<'_>) -> Result<Option<ChecksumKind>, Fault> {
    let Some(text) = call.header(names::CHECKSUM_TYPE.as_str())? else {
        return Ok(None);
    };
    let kind = ChecksumKind::parse(&text.to_ascii_uppercase());
    kind.map(Some).ok_or_else(|| {
        Fault::with(
            FaultKind::InvalidRequest,
            "Value for x-amz-checksum-type header is invalid.",
        )
    })
}

/// Reads the one `x-amz-checksum-*` header that a request may have.
pub(crate) fn checksum(call: &Call<'_>) -> Result<Option<ChecksumValue>, Fault> {
    let mut found = None;
    let names = call.headers.keys().map(http::HeaderName::as_str);
    for algorithm in names.filter_map(ChecksumAlgorithm::from_header) {
        let Some(text) = call.header(algorithm.header())? else {
            continue;
        };
        let invalid = |message: String| Fault::with(FaultKind::InvalidRequest, message);
        let value = ChecksumValue::parse(algorithm, text).ok_or_else(|| {
            invalid(format!(
                "Value for {} header is invalid.",
                algorithm.header()
            ))
        })?;
        if found.replace(value).is_some() {
            return Err(invalid(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not \
                 allowed."
                    .to_owned(),
            ));
        }
    }
    Ok(found)
}

/// Reads the algorithm of the checksum that the trailer will carry. What cannot be one was refused
/// with the body (`payload.rs`).
pub(crate) fn trailer(call: &Call<'_>) -> Result<Option<ChecksumAlgorithm>, Fault> {
    let Some(name) = call.header("x-amz-trailer")? else {
        return Ok(None);
    };
    let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
    Ok(ChecksumAlgorithm::from_header(&name))
}

/// The SDK says which checksum it sends; another one, or none, is a mistake that must not pass for
/// an upload that was checked.
pub(crate) fn check_sdk_algorithm(
    call: &Call<'_>,
    sent: Option<ChecksumAlgorithm>,
) -> Result<(), Fault> {
    const NAME: &str = "x-amz-sdk-checksum-algorithm";
    // It changes nothing here, but it must not name what no checksum can be.
    if let Some(text) = call.header(names::CHECKSUM_ALGORITHM.as_str())?
        && ChecksumAlgorithm::parse(text).is_none()
    {
        return Err(Fault::with(
            FaultKind::InvalidRequest,
            "Value for x-amz-checksum-algorithm header is invalid.",
        ));
    }
    checksum_kind(call)?;
    let Some(text) = call.header(NAME)? else {
        return Ok(());
    };
    let invalid = |message: &str| Fault::with(FaultKind::InvalidRequest, message);
    let named = ChecksumAlgorithm::parse(text)
        .ok_or_else(|| invalid("Value for x-amz-sdk-checksum-algorithm header is invalid."))?;
    let Some(sent) = sent else {
        return Err(invalid(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
             x-amz-trailer headers were found.",
        ));
    };
    // The pages of these two name this code for it; those of all others say that it is ignored.
    if sent != named && matches!(call.operation.name, "PutObject" | "DeleteObjects") {
        return Err(Fault::with(
            FaultKind::BadDigest,
            format!(
                "{NAME} says {}, but the request carries a checksum of {}.",
                named.name(),
                sent.name()
            ),
        ));
    }
    Ok(())
}

/// Reads `Content-MD5`.
pub(crate) fn content_md5(call: &Call<'_>) -> Result<Option<[u8; 16]>, Fault> {
    let Some(text) = call.header(names::CONTENT_MD5.as_str())? else {
        return Ok(None);
    };
    let decoded = STANDARD.decode(text).ok();
    let md5 = decoded.and_then(|bytes| bytes.try_into().ok());
    md5.map(Some).ok_or_else(|| {
        Fault::with(
            FaultKind::InvalidDigest,
            "The Content-MD5 you specified was invalid.",
        )
        .detail("Content-MD5", text)
    })
}
