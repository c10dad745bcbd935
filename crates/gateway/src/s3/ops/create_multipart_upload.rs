//! CreateMultipartUpload: begins an object that arrives in parts.

use objects::CreateUpload;
use types::{ChecksumAlgorithm, ChecksumKind};

use crate::s3::{
    headers::{self, names},
    lists, multipart, object_headers,
    xml::XmlWriter,
};
use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    call.check_signed("initiate multipart uploads")?;
    let key = call.object_key()?.clone();
    let chosen = chosen_checksum(call)?;
    let mut attributes = object_headers::attributes(call)?;
    attributes.set_list(lists::of_new(call)?.as_ref());
    let request = CreateUpload {
        attributes,
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
    call: &Call<'_>,
) -> Result<Option<(ChecksumAlgorithm, Option<ChecksumKind>)>, Fault> {
    let kind = multipart::checksum_kind(call)?;
    let Some(name) = call.header(names::CHECKSUM_ALGORITHM.as_str())? else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(Fault::with(
                FaultKind::InvalidRequest,
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header.",
            )),
        };
    };
    let algorithm = ChecksumAlgorithm::parse(name).ok_or_else(|| {
        Fault::with(
            FaultKind::InvalidRequest,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid \
             types: [CRC32, CRC32C, CRC64NVME, MD5, SHA1, SHA256, SHA512, XXHASH64, XXHASH3, \
             XXHASH128]",
        )
    })?;
    Ok(Some((algorithm, kind)))
}
