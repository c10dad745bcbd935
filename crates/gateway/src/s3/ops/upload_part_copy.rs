//! UploadPartCopy: a part made of an object's bytes.

use access::Action;
use objects::{Error, PartSource};
use types::Timestamp;

use crate::s3::{
    headers::{self, names},
    multipart, object_headers,
    xml::XmlWriter,
};
use crate::{
    call::{Answer, Call},
    fault::Fault,
};

/// Which bytes of the source.
const RANGE: &str = "x-amz-copy-source-range";

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    call.check_signed("copy objects")?;
    let key = call.object_key()?.clone();
    let upload = multipart::upload_id(call)?;
    let number = multipart::part_number(call)?;
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
    let source = PartSource {
        permit: &permit,
        key: source_key,
        version,
        conditions: object_headers::source_conditions(call)?,
        range: range(call)?,
    };
    let objects = &call.gateway.objects;
    let copied = objects
        .upload_part_copy(&call.permit, &key, upload, number, source)
        .await;
    let copied = match copied {
        Ok(copied) => copied,
        Err(Error::InvalidArgument(text)) => {
            let range = call.header(RANGE)?.unwrap_or_default();
            return Err(Fault::argument(RANGE, range, text));
        }
        Err(error) => return Err(of_source(call.copy_error(error, &permit).await)),
    };

    let mut xml = XmlWriter::document("CopyPartResult", 512);
    xml.element(
        "LastModified",
        &Timestamp::from_s(copied.part.modified.s()).iso8601(),
    );
    xml.raw("<ETag>&quot;")
        .plain(copied.part.etag)
        .raw("&quot;</ETag>");
    if let Some(checksum) = copied.part.checksum {
        xml.display(checksum.algorithm().element(), checksum);
    }
    let mut answer = call.xml(xml.finish("CopyPartResult"));
    if let Some(version) = copied.source_version {
        let out = answer.headers_mut();
        headers::set(out, names::COPY_SOURCE_VERSION_ID, &version.to_string())?;
    }
    Ok(answer)
}

/// Reads `bytes=first-last`; no other form is allowed here.
fn range(call: &Call<'_>) -> Result<Option<(u64, u64)>, Fault> {
    let Some(text) = call.header(RANGE)? else {
        return Ok(None);
    };
    let read = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last))
    };
    read().map(Some).ok_or_else(|| {
        Fault::argument(
            RANGE,
            text,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
        )
    })
}
