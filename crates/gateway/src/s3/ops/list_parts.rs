//! ListParts: the parts of an upload under way.

use types::limits::PART_NUMBER_MAX;

use crate::s3::{
    listing::{Encoding, Times, non_empty, owner, page_size},
    multipart,
    xml::XmlWriter,
};
use crate::{
    call::{Answer, Call},
    fault::Fault,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let encoding = Encoding::of(&call.query)?;
    let limit = page_size(&call.query, "max-parts")?;
    let after = match non_empty(&call.query, "part-number-marker") {
        None => 0,
        Some(text) => text.parse::<u32>().map_err(|_| {
            Fault::argument(
                "part-number-marker",
                text,
                "Argument part-number-marker must be an integer between 0 and 2147483647",
            )
        })?,
    };
    // Behind the highest number there is nothing, whatever the marker says.
    let after = u16::try_from(after)
        .unwrap_or(u16::MAX)
        .min(PART_NUMBER_MAX);
    let upload = multipart::upload_id(call)?;
    let objects = &call.gateway.objects;
    let page = objects
        .list_parts(&call.permit, &key, upload, after, limit)
        .await?;
    let deed = call.deed()?;
    let owned_by = call.gateway.canonical_id(&deed.owner);

    let mut xml = XmlWriter::document("ListPartsResult", 1024 + page.parts.len() * 260);
    xml.element("Bucket", &deed.name);
    encoding.element(&mut xml, "Key", &key);
    xml.display("UploadId", upload);
    owner(&mut xml, "Initiator", &owned_by);
    owner(&mut xml, "Owner", &owned_by);
    xml.raw("<StorageClass>STANDARD</StorageClass>");
    xml.display("PartNumberMarker", after);
    let last = page.parts.last().map_or(0, |part| part.number);
    xml.display("NextPartNumberMarker", last);
    xml.display("MaxParts", limit);
    xml.display("IsTruncated", page.truncated);
    encoding.declare(&mut xml);
    xml.element("ChecksumAlgorithm", page.checksum.0.name());
    xml.element("ChecksumType", page.checksum.1.name());
    let mut times = Times::default();
    for part in &page.parts {
        xml.open("Part").display("PartNumber", part.number);
        times.element(&mut xml, "LastModified", part.modified);
        xml.raw("<ETag>&quot;")
            .plain(part.etag)
            .raw("&quot;</ETag>");
        xml.display("Size", part.size);
        if let Some(checksum) = part.checksum {
            xml.display(checksum.algorithm().element(), checksum);
        }
        xml.close("Part");
    }
    Ok(call.xml(xml.finish("ListPartsResult")))
}
