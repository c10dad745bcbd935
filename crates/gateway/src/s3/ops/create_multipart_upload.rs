//! CreateMultipartUpload: begins an object that arrives in parts.

use objects::{ContentHeaders, CreateUpload, ObjectAttributes};
use types::{ChecksumAlgorithm, ChecksumKind, limits::USER_METADATA_BYTES_MAX};

use crate::s3::{
    ErrorCode, S3Call, S3Error, S3Result,
    headers::{self, names},
    multipart,
    xml::XmlWriter,
};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let key = call.object_key()?.clone();
    let chosen = chosen_checksum(call)?;
    let request = CreateUpload {
        attributes: attributes(call)?,
        checksum: chosen,
    };
    let objects = &call.gateway.objects;
    let created = objects.create_upload(&call.permit, &key, request).await?;
    let deed = call.deed()?;

    let mut xml = XmlWriter::document("InitiateMultipartUploadResult", 512 + key.len());
    xml.element("Bucket", &deed.name).element("Key", &key);
    xml.display("UploadId", created.upload);
    let mut answer = call.xml(xml.finish("InitiateMultipartUploadResult"));
    if chosen.is_some() {
        let (algorithm, kind) = created.checksum;
        let headers = answer.headers_mut();
        headers::set(headers, names::CHECKSUM_ALGORITHM, algorithm.name())?;
        headers::set(headers, names::CHECKSUM_TYPE, kind.name())?;
    }
    Ok(answer)
}

fn chosen_checksum(
    call: &S3Call<'_>,
) -> Result<Option<(ChecksumAlgorithm, Option<ChecksumKind>)>, S3Error> {
    let kind = multipart::checksum_kind(call)?;
    let Some(name) = call.header(names::CHECKSUM_ALGORITHM.as_str())? else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(S3Error::with(
                ErrorCode::InvalidRequest,
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header.",
            )),
        };
    };
    let algorithm = ChecksumAlgorithm::parse(name).ok_or_else(|| {
        S3Error::with(
            ErrorCode::InvalidRequest,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid \
             types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )
    })?;
    Ok(Some((algorithm, kind)))
}

/// Headers, metadata and tags that the object will have.
fn attributes(call: &S3Call<'_>) -> Result<ObjectAttributes, S3Error> {
    let text = |name| Ok::<_, S3Error>(call.header(name)?.map(str::to_owned));
    let mut metadata = Vec::new();
    for name in call.headers.keys() {
        let Some(short) = name.as_str().strip_prefix("x-amz-meta-") else {
            continue;
        };
        let values: Result<Vec<&str>, _> = call
            .headers
            .get_all(name)
            .iter()
            .map(|value| std::str::from_utf8(value.as_bytes()))
            .collect();
        let values = values
            .map_err(|_| S3Error::argument(name.as_str(), "", "Header value is not valid UTF-8"))?;
        metadata.push((short.to_owned(), values.join(",")));
    }
    let bytes: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > USER_METADATA_BYTES_MAX {
        return Err(ErrorCode::MetadataTooLarge.into());
    }
    let tags = match call.header(names::TAGGING.as_str())? {
        Some(tags) => crate::target::parse_query(Some(tags))?.0,
        None => Vec::new(),
    };
    Ok(ObjectAttributes {
        headers: ContentHeaders {
            content_type: text("content-type")?,
            cache_control: text("cache-control")?,
            content_disposition: text("content-disposition")?,
            // The framing of the transfer is not the encoding of the content.
            content_encoding: text("content-encoding")?
                .filter(|encoding| encoding != "aws-chunked"),
            content_language: text("content-language")?,
            expires: text("expires")?,
        },
        metadata,
        tags,
    })
}
