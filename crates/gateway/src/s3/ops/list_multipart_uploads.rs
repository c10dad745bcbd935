//! ListMultipartUploads: uploads that were neither completed nor aborted.

use objects::ListRequest;
use types::UploadId;

use crate::s3::{
    listing::{Encoding, Times, non_empty, owner, page_size},
    xml::XmlWriter,
};
use crate::{
    call::{Answer, Call},
    fault::Fault,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let encoding = Encoding::of(&call.query)?;
    let request = ListRequest {
        prefix: call.query.get("prefix").unwrap_or_default(),
        delimiter: call.query.get("delimiter").unwrap_or_default(),
        after: non_empty(&call.query, "key-marker"),
        limit: page_size(&call.query, "max-uploads")?,
    };
    // Without a key marker S3 ignores the upload's.
    let marker = non_empty(&call.query, "upload-id-marker").filter(|_| request.after.is_some());
    let after_upload =
        match marker {
            None => None,
            Some(text) => Some(UploadId::parse(text).ok_or_else(|| {
                Fault::argument("upload-id-marker", text, "Invalid uploadId marker")
            })?),
        };
    let objects = &call.gateway.objects;
    let page = objects
        .list_uploads(&call.permit, &request, after_upload)
        .await?;
    let deed = call.deed()?;
    let owned_by = call.gateway.canonical_id(&deed.owner);

    let mut xml = XmlWriter::document(
        "ListMultipartUploadsResult",
        1024 + page.uploads.len() * 600,
    );
    xml.element("Bucket", &deed.name);
    encoding.element(&mut xml, "KeyMarker", request.after.unwrap_or_default());
    xml.element("UploadIdMarker", marker.unwrap_or_default());
    if let Some((key, upload)) = &page.next {
        encoding.element(&mut xml, "NextKeyMarker", key);
        if let Some(upload) = upload {
            xml.display("NextUploadIdMarker", upload);
        }
    }
    encoding.optional(&mut xml, "Delimiter", non_empty(&call.query, "delimiter"));
    encoding.element(&mut xml, "Prefix", request.prefix);
    encoding.declare(&mut xml);
    xml.display("MaxUploads", request.limit);
    xml.display("IsTruncated", page.next.is_some());
    let mut times = Times::default();
    for upload in &page.uploads {
        xml.open("Upload");
        encoding.element(&mut xml, "Key", &upload.key);
        xml.display("UploadId", upload.upload);
        owner(&mut xml, "Initiator", &owned_by);
        owner(&mut xml, "Owner", &owned_by);
        xml.raw("<StorageClass>STANDARD</StorageClass>");
        times.element(&mut xml, "Initiated", upload.initiated);
        xml.element("ChecksumAlgorithm", upload.checksum.0.name());
        xml.element("ChecksumType", upload.checksum.1.name());
        xml.close("Upload");
    }
    encoding.prefixes(&mut xml, &page.prefixes);
    Ok(call.xml(xml.finish("ListMultipartUploadsResult")))
}
