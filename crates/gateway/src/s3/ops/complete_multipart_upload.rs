//! CompleteMultipartUpload: the listed parts become an object.

use objects::{CompleteUpload, Error, ListedForCompletion};
use types::{ChecksumAlgorithm, ChecksumValue, ETag, UploadId, limits::PART_NUMBER_MAX};

use crate::s3::{
    headers, multipart, object_headers,
    xml::{Element, XmlWriter},
};
use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let upload = multipart::upload_id(call)?;
    let mut request = CompleteUpload {
        parts: Vec::new(),
        checksum: multipart::checksum(call)?,
        kind: multipart::checksum_kind(call)?,
        size: expected_size(call)?,
        conditions: object_headers::write_conditions(call)?,
    };
    // The checksum headers are of the object, not of this document.
    for algorithm in ChecksumAlgorithm::ALL {
        call.headers.remove(algorithm.header());
    }
    call.headers.remove(headers::names::SDK_CHECKSUM_ALGORITHM);
    let read = call.read_large_xml(&["CompleteMultipartUpload"]).await;
    let (document, _place) = read.map_err(|error| match error.kind {
        // As S3 has it for this document, and for no other.
        FaultKind::MissingRequestBodyError => FaultKind::MalformedXML.into(),
        _ => error,
    })?;
    request.parts = document.all("Part").map(part).collect::<Result<_, _>>()?;
    if request.parts.is_empty() || request.parts.len() > usize::from(PART_NUMBER_MAX) {
        return Err(FaultKind::MalformedXML.into());
    }
    let objects = &call.gateway.objects;
    let done = objects
        .complete_upload(&call.permit, &key, upload, request)
        .await
        .map_err(|error| match error {
            Error::InvalidPart(number) => invalid_part(&document, upload, number),
            other => other.into(),
        })?;
    let deed = call.deed()?;

    let mut xml = XmlWriter::document("CompleteMultipartUploadResult", 640 + key.len());
    xml.element("Location", &object_headers::location(call, &key)?);
    xml.element("Bucket", &deed.name).element("Key", &key);
    xml.raw("<ETag>&quot;")
        .plain(done.etag)
        .raw("&quot;</ETag>");
    if let Some(checksum) = done.checksum {
        xml.display(checksum.algorithm().element(), checksum);
        xml.element("ChecksumType", checksum.kind().name());
    }
    let mut answer = call.xml(xml.finish("CompleteMultipartUploadResult"));
    if let Some(version) = done.version {
        let headers = answer.headers_mut();
        headers::set(headers, headers::names::VERSION_ID, &version.to_string())?;
    }
    Ok(answer)
}

/// Says which part it is, as the client listed it.
fn invalid_part(document: &Element, upload: UploadId, number: u32) -> Fault {
    let is = |part: &&Element| {
        let text = part.text_of("PartNumber").ok().flatten();
        text.is_some_and(|text| text.trim().parse() == Ok(number))
    };
    let error = Fault::new(FaultKind::InvalidPart)
        .detail("UploadId", upload.to_string())
        .detail("PartNumber", number.to_string());
    let listed = document.all("Part").find(is);
    match listed.and_then(|part| part.text_of("ETag").ok().flatten()) {
        Some(etag) => error.detail("ETag", etag.trim().trim_matches('"')),
        None => error,
    }
}

fn part(element: &Element) -> Result<ListedForCompletion, Fault> {
    let number = element.required("PartNumber")?.trim();
    let number: i64 = number.parse().map_err(|_| FaultKind::MalformedXML)?;
    if number < 1 {
        return Err(Fault::argument(
            "PartNumber",
            &number.to_string(),
            "PartNumber must be >= 1",
        ));
    }
    let number = u32::try_from(number).map_err(|_| FaultKind::MalformedXML)?;
    let known = |name: &str| {
        let mut all = ChecksumAlgorithm::ALL.iter();
        all.any(|algorithm| algorithm.element() == name)
    };
    let mut names = element.children.iter().map(|child| &*child.name);
    if let Some(unknown) = names.find(|name| name.starts_with("Checksum") && !known(name)) {
        return Err(Fault::not_implemented(unknown));
    }
    let mut checksum = None;
    for algorithm in ChecksumAlgorithm::ALL {
        if let Some(text) = element.text_of(algorithm.element())? {
            let value = ChecksumValue::parse(algorithm, text.trim());
            let value = value.ok_or(FaultKind::InvalidPart)?;
            if checksum.replace(value).is_some() {
                return Err(Fault::with(
                    FaultKind::InvalidRequest,
                    "Expecting a single checksum of each part. Multiple checksum Types are not \
                     allowed.",
                ));
            }
        }
    }
    Ok(ListedForCompletion {
        number,
        etag: ETag::parse(element.required("ETag")?.trim()),
        checksum,
    })
}

fn expected_size(call: &Call<'_>) -> Result<Option<u64>, Fault> {
    const NAME: &str = "x-amz-mp-object-size";
    let Some(text) = call.header(NAME)? else {
        return Ok(None);
    };
    match text.parse() {
        Ok(size) => Ok(Some(size)),
        Err(_) => Err(Fault::argument(NAME, text, "The value is not a size.")),
    }
}
