//! ListObjectVersions: all versions and delete markers.

use objects::{DisplayVersion, ListRequest, ListedVersion};

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
        limit: page_size(&call.query, "max-keys")?,
    };
    let marker = non_empty(&call.query, "version-id-marker");
    let after_version = match marker {
        None => None,
        Some(text) => Some(DisplayVersion::parse(text).ok_or_else(|| {
            Fault::argument("version-id-marker", text, "Invalid version id specified")
        })?),
    };
    if let Some(text) = marker.filter(|_| request.after.is_none()) {
        return Err(Fault::argument(
            "version-id-marker",
            text,
            "A version-id marker cannot be specified without a key marker.",
        ));
    }
    let objects = &call.gateway.objects;
    let page = objects
        .list_versions(&call.permit, &request, after_version)
        .await?;
    let deed = call.deed()?;
    let owned_by = call.gateway.canonical_id(&deed.owner);

    let mut xml = XmlWriter::document("ListVersionsResult", 1024 + page.versions.len() * 600);
    xml.element("Name", &deed.name);
    encoding.element(&mut xml, "Prefix", request.prefix);
    encoding.element(&mut xml, "KeyMarker", request.after.unwrap_or_default());
    xml.element("VersionIdMarker", marker.unwrap_or_default());
    if let Some((key, version)) = &page.next {
        encoding.element(&mut xml, "NextKeyMarker", key);
        if let Some(version) = version {
            xml.display("NextVersionIdMarker", version);
        }
    }
    xml.display("MaxKeys", request.limit);
    encoding.optional(&mut xml, "Delimiter", non_empty(&call.query, "delimiter"));
    xml.display("IsTruncated", page.next.is_some());
    encoding.declare(&mut xml);
    let mut times = Times::default();
    for version in &page.versions {
        let element = match version.content {
            Some(_) => "Version",
            None => "DeleteMarker",
        };
        xml.open(element);
        entry(&mut xml, encoding, &mut times, version);
        owner(&mut xml, "Owner", &owned_by);
        xml.close(element);
    }
    encoding.prefixes(&mut xml, &page.prefixes);
    Ok(call.xml(xml.finish("ListVersionsResult")))
}

fn entry(xml: &mut XmlWriter, encoding: Encoding, times: &mut Times, version: &ListedVersion) {
    encoding.element(xml, "Key", &version.key);
    xml.display("VersionId", version.version);
    xml.display("IsLatest", version.latest);
    times.element(xml, "LastModified", version.modified);
    let Some(content) = &version.content else {
        return;
    };
    xml.raw("<ETag>&quot;");
    xml.plain(content.etag).raw("&quot;</ETag>");
    if let Some((algorithm, kind)) = content.checksum {
        xml.element("ChecksumAlgorithm", algorithm.name());
        xml.element("ChecksumType", kind.name());
    }
    xml.display("Size", content.size);
    xml.raw("<StorageClass>STANDARD</StorageClass>");
}
