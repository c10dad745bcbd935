//! UploadPartCopy: a part made of an object's bytes.

use access::Action;
use objects::{DisplayVersion, ETagMatch, PartSource, ReadConditions};
use types::{BucketName, ObjectKey, Timestamp};

use crate::s3::{
    ErrorCode, S3Call, S3Error, S3Result,
    headers::{self, names},
    multipart,
    xml::XmlWriter,
};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let key = call.object_key()?.clone();
    let upload = multipart::upload_id(call)?;
    let number = multipart::part_number(call)?;
    let text = call
        .header(names::COPY_SOURCE.as_str())?
        .unwrap_or_default();
    let (bucket, source_key, version) = source(text)?;
    let action = match version {
        None => Action::GetObject,
        Some(_) => Action::GetObjectVersion,
    };
    let permit = call.permit_on(&bucket, action)?;
    let source = PartSource {
        permit: &permit,
        key: &source_key,
        version,
        conditions: conditions(call)?,
        range: range(call)?,
    };
    let objects = &call.gateway.objects;
    let copied = objects
        .upload_part_copy(&call.permit, &key, upload, number, source)
        .await?;

    let mut xml = XmlWriter::document("CopyPartResult", 512);
    xml.element("LastModified", &copied.part.modified.iso8601());
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

/// Reads `[/]bucket/key[?versionId=id]`, percent-encoded.
fn source(text: &str) -> Result<(BucketName, ObjectKey, Option<DisplayVersion>), S3Error> {
    let invalid = || S3Error::argument("x-amz-copy-source", text, "Invalid copy source object key");
    let (path, version) = match text.rsplit_once("?versionId=") {
        Some((path, id)) => (path, Some(DisplayVersion::parse(id).ok_or_else(invalid)?)),
        None => (text, None),
    };
    let decoded = percent_decode(path).ok_or_else(invalid)?;
    let decoded = decoded.strip_prefix('/').unwrap_or(&decoded);
    let (bucket, key) = decoded.split_once('/').ok_or_else(invalid)?;
    let bucket = BucketName::new(bucket).map_err(|_| invalid())?;
    let key = ObjectKey::new(key).map_err(|_| invalid())?;
    Ok((bucket, key, version))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let (pair, behind) = rest.split_first_chunk::<2>()?;
        let mut decoded = [0];
        hex::decode_to_slice(pair, &mut decoded).ok()?;
        out.push(decoded[0]);
        rest = behind;
    }
    String::from_utf8(out).ok()
}

fn conditions(call: &S3Call<'_>) -> Result<ReadConditions, S3Error> {
    let tags = |name| Ok::<_, S3Error>(call.header(name)?.map(ETagMatch::parse));
    let date = |name| Ok::<_, S3Error>(call.header(name)?.and_then(Timestamp::parse_http_date));
    Ok(ReadConditions {
        if_match: tags("x-amz-copy-source-if-match")?,
        if_none_match: tags("x-amz-copy-source-if-none-match")?,
        if_modified_since: date("x-amz-copy-source-if-modified-since")?,
        if_unmodified_since: date("x-amz-copy-source-if-unmodified-since")?,
    })
}

/// Reads `bytes=first-last`; no other form is allowed here.
fn range(call: &S3Call<'_>) -> Result<Option<(u64, u64)>, S3Error> {
    const NAME: &str = "x-amz-copy-source-range";
    let Some(text) = call.header(NAME)? else {
        return Ok(None);
    };
    let read = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some((first, last))
    };
    read().map(Some).ok_or_else(|| {
        S3Error::argument(
            NAME,
            text,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_in_every_form_that_clients_send() {
        for (text, bucket, key, version) in [
            ("/bench/a%20b", "bench", "a b", None),
            ("bench/a/b", "bench", "a/b", None),
            ("bench%2Fa+b", "bench", "a+b", None),
            ("/bench//x", "bench", "/x", None),
            (
                "bench/k?versionId=null",
                "bench",
                "k",
                Some(DisplayVersion::Null),
            ),
            (
                "bench/k%3FversionId=null",
                "bench",
                "k?versionId=null",
                None,
            ),
        ] {
            let got = source(text).unwrap();
            assert_eq!((&*got.0, &*got.1, got.2), (bucket, key, version), "{text}");
        }
        for bad in [
            "",
            "/",
            "bench",
            "bench/",
            "bench/%ZZ",
            "bench/%FF",
            "B!/k",
            "bench/k?versionId=x",
        ] {
            assert!(source(bad).is_err(), "{bad}");
        }
    }
}
