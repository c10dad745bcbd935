//! ListObjects (version 1): current objects, paged by keys.

use objects::{ListRequest, ListedObject};

use crate::call::{Answer, Call};
use crate::s3::{
    listing::{Encoding, Times, non_empty, owner, page_size},
    xml::XmlWriter,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let encoding = Encoding::of(&call.query)?;
    let request = ListRequest {
        prefix: call.query.get("prefix").unwrap_or_default(),
        delimiter: call.query.get("delimiter").unwrap_or_default(),
        after: non_empty(&call.query, "marker"),
        limit: page_size(&call.query, "max-keys")?,
    };
    let objects = &call.gateway.objects;
    let page = objects.list_objects(&call.permit, &request).await?;
    let deed = call.deed()?;
    let owned_by = call.gateway.canonical_id(&deed.owner);

    let mut xml = XmlWriter::document("ListBucketResult", capacity(&page.objects));
    xml.element("Name", &deed.name);
    encoding.element(&mut xml, "Prefix", request.prefix);
    encoding.element(&mut xml, "Marker", request.after.unwrap_or_default());
    xml.display("MaxKeys", request.limit);
    encoding.optional(&mut xml, "Delimiter", non_empty(&call.query, "delimiter"));
    xml.display("IsTruncated", page.next.is_some());
    // Without a delimiter the last key is the next marker, and S3 does not repeat it.
    let next = page
        .next
        .as_deref()
        .filter(|_| !request.delimiter.is_empty());
    encoding.optional(&mut xml, "NextMarker", next);
    encoding.declare(&mut xml);
    let mut times = Times::default();
    for object in &page.objects {
        xml.open("Contents");
        contents(&mut xml, encoding, &mut times, object);
        owner(&mut xml, "Owner", &owned_by);
        xml.close("Contents");
    }
    encoding.prefixes(&mut xml, &page.prefixes);
    Ok(call.xml(xml.finish("ListBucketResult")))
}

/// Room for a page, so that it is written without moving.
pub(super) fn capacity(objects: &[ListedObject]) -> usize {
    let keys: usize = objects.iter().map(|o| o.key.len()).sum();
    1024 + keys + objects.len() * 420
}

/// What both versions of the listing say of an object.
pub(super) fn contents(
    xml: &mut XmlWriter,
    encoding: Encoding,
    times: &mut Times,
    object: &ListedObject,
) {
    encoding.element(xml, "Key", &object.key);
    times.element(xml, "LastModified", object.modified);
    xml.raw("<ETag>&quot;");
    xml.plain(object.etag).raw("&quot;</ETag>");
    if let Some((algorithm, kind)) = object.checksum {
        xml.element("ChecksumAlgorithm", algorithm.name());
        xml.element("ChecksumType", kind.name());
    }
    xml.display("Size", object.size);
    xml.raw("<StorageClass>STANDARD</StorageClass>");
}
