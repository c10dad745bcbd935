//! GetObjectAttributes: what is known of an object without its bytes.

use objects::{ObjectInfo, ObjectPart};
use types::{ChecksumKind, ChecksumValue, limits::PAGE_KEYS_MAX};

use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    s3::{headers, object_headers, xml::XmlWriter},
};

const WANTED: &str = "x-amz-object-attributes";
const NAMES: [&str; 5] = [
    "ETag",
    "Checksum",
    "ObjectParts",
    "StorageClass",
    "ObjectSize",
];

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let wanted = wanted(call)?;
    let wants = |name: &str| wanted.iter().any(|w| w == name);
    let page = page(call)?;
    let version = object_headers::version(call)?;
    let objects = &call.gateway.objects;
    let conditions = object_headers::read_conditions(call)?;
    let found = objects.attributes(&call.permit, &key, version, conditions);
    let (info, parts) = found.await?;

    let mut xml = XmlWriter::document("GetObjectAttributesResponse", 1024);
    if wants("ETag") {
        xml.display("ETag", info.etag);
    }
    if wants("Checksum")
        && let Some(checksum) = info.checksum
    {
        xml.open("Checksum")
            // The number of parts is in PartsCount: here S3 does not add it to the value.
            .element(checksum.algorithm().element(), &checksum.base64());
        xml.element("ChecksumType", checksum.kind().name())
            .close("Checksum");
    }
    if wants("ObjectParts") && info.parts > 0 {
        write_parts(&mut xml, &info, &parts, page);
    }
    if wants("StorageClass") {
        xml.element("StorageClass", "STANDARD");
    }
    if wants("ObjectSize") {
        xml.display("ObjectSize", info.size);
    }
    let mut answer = call.xml(xml.finish("GetObjectAttributesResponse"));
    let out = answer.headers_mut();
    headers::set_last_modified(out, info.modified)?;
    object_headers::write_version(out, info.version)?;
    Ok(answer)
}

fn wanted(call: &Call<'_>) -> Result<Vec<String>, Fault> {
    let mut wanted = Vec::new();
    for value in call.headers.get_all(WANTED) {
        let text = value.to_str().unwrap_or_default();
        wanted.extend(text.split(',').map(|name| name.trim().to_owned()));
    }
    if wanted.iter().all(String::is_empty) {
        return Err(Fault::with(
            FaultKind::InvalidRequest,
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either \
             missing or empty",
        ));
    }
    let known = !wanted.is_empty() && wanted.iter().all(|w| NAMES.contains(&w.as_str()));
    if known {
        return Ok(wanted);
    }
    Err(Fault::argument(
        WANTED,
        &wanted.join(","),
        "Invalid attribute name specified.",
    ))
}

/// After which part, and how many at most.
fn page(call: &Call<'_>) -> Result<(u16, usize), Fault> {
    let number = |name: &str, default: usize| match call.header(name)? {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| Fault::argument(name, text, "The value must be a non-negative integer")),
    };
    let marker = number("x-amz-part-number-marker", 0)?;
    let max = number("x-amz-max-parts", PAGE_KEYS_MAX)?;
    Ok((
        u16::try_from(marker).unwrap_or(u16::MAX),
        max.min(PAGE_KEYS_MAX),
    ))
}

fn write_parts(
    xml: &mut XmlWriter,
    info: &ObjectInfo,
    parts: &[ObjectPart],
    (marker, max): (u16, usize),
) {
    xml.open("ObjectParts").display("PartsCount", info.parts);
    // Only objects whose checksum is made of those of their parts have them listed
    // ("GetObjectAttributesParts").
    let is_composite = |checksum: &ChecksumValue| checksum.kind() == ChecksumKind::Composite;
    if !info.checksum.as_ref().is_some_and(is_composite) {
        xml.close("ObjectParts");
        return;
    }
    let rest: Vec<&ObjectPart> = parts.iter().filter(|p| p.number > marker).collect();
    let shown = &rest[..max.min(rest.len())];
    xml.display("PartNumberMarker", marker);
    if let Some(last) = shown.last() {
        xml.display("NextPartNumberMarker", last.number);
    }
    xml.display("MaxParts", max);
    xml.display("IsTruncated", max > 0 && shown.len() < rest.len());
    for part in shown {
        xml.open("Part")
            .display("PartNumber", part.number)
            .display("Size", part.size);
        if let Some(checksum) = part.checksum {
            xml.display(checksum.algorithm().element(), checksum);
        }
        xml.close("Part");
    }
    xml.close("ObjectParts");
}
