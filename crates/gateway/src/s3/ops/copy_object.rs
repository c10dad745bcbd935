//! CopyObject: a new version made of another object's bytes.

use access::{Action, Permit};
use http::header;
use objects::{CopyInput, CopySource};
use types::{BucketName, ChecksumAlgorithm, DisplayVersion, ObjectKey, Timestamp};

use crate::s3::{
    headers::{self, names},
    lists, object_headers,
    xml::XmlWriter,
};
use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    call.check_signed("copy objects")?;
    let key = call.object_key()?.clone();
    let named = object_headers::copy_source(call)?;
    let of_source = |error| object_headers::about_source(error, &named);
    let (bucket, source_key, version) = (&named.0, &named.1, named.2);
    let permit = call
        .permit_source(Action::GetObject, bucket, (source_key, version))?
        .await
        .map_err(of_source)?;
    if let Some(deed) = permit.deed() {
        call.gateway.until_source(deed, source_key).await?;
    }
    let input = CopyInput {
        attributes: match replaces(call, names::METADATA_DIRECTIVE.as_str())? {
            true => Some(object_headers::attributes(call)?),
            false => None,
        },
        tags: match replaces(call, names::TAGGING_DIRECTIVE.as_str())? {
            true => Some(object_headers::tags(call)?),
            false => carried(call, &permit, (bucket, source_key, version))
                .await
                .map_err(of_source)?,
        },
        list: lists::of_new(call)?,
        class: call.header(names::STORAGE_CLASS.as_str())?.is_some(),
        algorithm: algorithm(call)?,
        conditions: object_headers::write_conditions(call)?,
    };
    let source = CopySource {
        permit: &permit,
        key: source_key,
        version,
        conditions: object_headers::source_conditions(call)?,
    };
    let objects = &call.gateway.objects;
    let copied = match objects.copy(&call.permit, &key, source, input).await {
        Ok(copied) => copied,
        Err(error) => {
            let error = call.copy_error(error, &permit).await;
            // With this condition the missing one may be the destination.
            return Err(match call.headers.contains_key(header::IF_MATCH) {
                true => error,
                false => of_source(error),
            });
        }
    };

    let mut xml = XmlWriter::document("CopyObjectResult", 512);
    xml.element(
        "LastModified",
        &Timestamp::from_s(copied.modified.s()).iso8601(),
    );
    xml.raw("<ETag>&quot;")
        .plain(copied.put.etag)
        .raw("&quot;</ETag>");
    if let Some(checksum) = copied.put.checksum {
        xml.display(checksum.algorithm().element(), checksum);
        xml.element("ChecksumType", checksum.kind().name());
    }
    let mut answer = call.xml(xml.finish("CopyObjectResult"));
    let out = answer.headers_mut();
    object_headers::write_version(out, copied.put.version)?;
    if let Some(version) = copied.source_version {
        headers::set(out, names::COPY_SOURCE_VERSION_ID, &version.to_string())?;
    }
    out.remove(header::ETAG);
    Ok(answer)
}

/// Whether a directive says REPLACE; COPY is the default.
fn replaces(call: &Call<'_>, name: &str) -> Result<bool, Fault> {
    match call.header(name)? {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => {
            let what = match name.contains("tagging") {
                true => "tagging",
                false => "metadata",
            };
            let text = format!("Unknown {what} directive.");
            Err(Fault::argument(name, other, text))
        }
    }
}

/// The tags that a copy carries along, where documents say who may: whoever reads them here needs
/// the right to, and so does whoever sets them there. `None` where nobody is asked.
async fn carried(
    call: &mut Call<'_>,
    permit: &Permit,
    (bucket, key, version): (&BucketName, &ObjectKey, Option<DisplayVersion>),
) -> Result<Option<Vec<(String, String)>>, Fault> {
    let (gateway, source) = (call.gateway, permit.deed().ok_or(FaultKind::NoSuchBucket)?);
    let documents = gateway.objects.documents(source).await?;
    let of_source = documents.is_none_or(|documents| documents.access.decides());
    if !of_source && !call.is_by_documents() {
        return Ok(None);
    }
    let tags = gateway.existing_tags(source, key, version).await?;
    if !tags.is_empty() {
        let reading = call.permit_source(Action::GetObjectTagging, bucket, (key, version))?;
        reading.await?;
        call.permit_tags(&format!("{bucket}/{key}"), &tags)?;
    }
    Ok(Some(tags))
}

fn algorithm(call: &Call<'_>) -> Result<Option<ChecksumAlgorithm>, Fault> {
    let Some(text) = call.header(names::CHECKSUM_ALGORITHM.as_str())? else {
        return Ok(None);
    };
    ChecksumAlgorithm::parse(text).map(Some).ok_or_else(|| {
        Fault::with(
            FaultKind::InvalidRequest,
            "Checksum algorithm provided is unsupported.",
        )
    })
}
