//! What the handlers of objects read from a request's head and write into an answer's: metadata,
//! conditions, versions, sources of copies.

use access::Transport;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use objects::{
    ContentHeaders, DisplayVersion, ETagMatch, IfRange, ObjectAttributes, ObjectInfo,
    ReadConditions, WriteConditions,
};
use types::{BucketName, ChecksumValue, ObjectKey, Timestamp, limits::USER_METADATA_BYTES_MAX};

use super::headers::{self, names};
use crate::{
    call::Call,
    fault::{Fault, FaultKind},
    payload::stored_content_encoding,
};

/// The prefix of user metadata.
const META: &str = "x-amz-meta-";

/// Headers, metadata and tags that an object will have.
pub(crate) fn attributes(call: &Call<'_>) -> Result<ObjectAttributes, Fault> {
    let text = |name| Ok::<_, Fault>(call.header(name)?.map(str::to_owned));
    Ok(ObjectAttributes {
        headers: ContentHeaders {
            content_type: text("content-type")?,
            cache_control: text("cache-control")?,
            content_disposition: text("content-disposition")?,
            // The framing of the transfer is not the encoding of the content.
            content_encoding: call
                .header("content-encoding")?
                .and_then(stored_content_encoding),
            content_language: text("content-language")?,
            expires: text("expires")?,
        },
        metadata: metadata(call)?,
        tags: tags(call)?,
        ..ObjectAttributes::default()
    })
}

fn metadata(call: &Call<'_>) -> Result<Vec<(String, String)>, Fault> {
    let mut metadata = Vec::new();
    let mut bytes = 0;
    for name in call.headers.keys() {
        let Some(short) = name.as_str().strip_prefix(META) else {
            continue;
        };
        let mut value = String::new();
        for (n, part) in call.headers.get_all(name).iter().enumerate() {
            let part = std::str::from_utf8(part.as_bytes()).map_err(|_| {
                Fault::argument(name.as_str(), "", "Header value is not valid UTF-8")
            })?;
            if n > 0 {
                value.push(',');
            }
            value.push_str(part);
        }
        bytes += short.len() + value.len();
        metadata.push((short.to_owned(), value));
    }
    if bytes > USER_METADATA_BYTES_MAX {
        return Err(Fault::new(FaultKind::MetadataTooLarge)
            .detail("Size", bytes.to_string())
            .detail("MaxSizeAllowed", USER_METADATA_BYTES_MAX.to_string()));
    }
    Ok(metadata)
}

/// `x-amz-tagging`: tags as a query string.
pub(crate) fn tags(call: &Call<'_>) -> Result<Vec<(String, String)>, Fault> {
    tags_of(call.header(names::TAGGING.as_str())?)
}

/// The tags that such a header says.
pub(crate) fn tags_of(header: Option<&str>) -> Result<Vec<(String, String)>, Fault> {
    match header {
        Some(text) if !text.is_empty() => {
            let pairs = crate::target::parse_pairs(text).ok();
            // A signature covers runs of blanks as one: with more of them the tags would be others.
            let pairs = pairs.filter(|_| !text.contains("  "));
            pairs.filter(|pairs| are_tags(pairs)).ok_or_else(|| {
                Fault::argument(
                    "x-amz-tagging",
                    text,
                    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL \
                     query parameters without tag name duplicates.",
                )
            })
        }
        _ => Ok(Vec::new()),
    }
}

/// Whether each pair has a name, and no other one has it. The rest is for `objects` to say.
fn are_tags(pairs: &[(String, String)]) -> bool {
    let is_new = |(n, (name, _)): (usize, &(String, String))| {
        !name.is_empty() && pairs[..n].iter().all(|(other, _)| other != name)
    };
    pairs.iter().enumerate().all(is_new)
}

/// What is said of a text that cannot be a version.
const INVALID_VERSION: &str = "Invalid version id specified";

/// `versionId` in the query. A text that cannot be a version is `InvalidArgument`.
pub(crate) fn version(call: &Call<'_>) -> Result<Option<DisplayVersion>, Fault> {
    match call.query.get("versionId") {
        None => Ok(None),
        Some(text) => DisplayVersion::parse(text).map(Some).ok_or_else(|| {
            let why = match text.is_empty() {
                true => "Version id cannot be the empty string",
                false => INVALID_VERSION,
            };
            Fault::argument("versionId", text, why)
        }),
    }
}

/// Conditions of a read.
pub(crate) fn read_conditions(call: &Call<'_>) -> Result<ReadConditions, Fault> {
    // Most requests have none, and going through their headers costs less than four look-ups.
    if !call
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("if-"))
    {
        return Ok(ReadConditions::default());
    }
    let read = conditions(
        call,
        &[
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_UNMODIFIED_SINCE,
        ],
    )?;
    Ok(ReadConditions {
        if_range: call.header(&header::IF_RANGE)?.map(IfRange::parse),
        ..read
    })
}

/// Conditions on the source of a copy.
pub(crate) fn source_conditions(call: &Call<'_>) -> Result<ReadConditions, Fault> {
    conditions(
        call,
        &[
            HeaderName::from_static("x-amz-copy-source-if-match"),
            HeaderName::from_static("x-amz-copy-source-if-none-match"),
            HeaderName::from_static("x-amz-copy-source-if-modified-since"),
            HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
        ],
    )
}

fn conditions(call: &Call<'_>, names: &[HeaderName; 4]) -> Result<ReadConditions, Fault> {
    // A date that cannot be read is ignored (RFC 9110, 13.1.3).
    let date = |name| Ok::<_, Fault>(call.header(name)?.and_then(Timestamp::parse_http_date));
    Ok(ReadConditions {
        if_match: call.header(&names[0])?.map(ETagMatch::parse_strong),
        if_none_match: call.header(&names[1])?.map(ETagMatch::parse),
        if_modified_since: date(&names[2])?,
        if_unmodified_since: date(&names[3])?,
        if_range: None,
    })
}

/// Conditions of a write.
pub(crate) fn write_conditions(call: &Call<'_>) -> Result<WriteConditions, Fault> {
    Ok(WriteConditions {
        if_match: call.header("if-match")?.map(ETagMatch::parse_strong),
        if_none_match: call.header("if-none-match")?.map(ETagMatch::parse),
        state: call.header(names::IF_STATE.as_str())?.map(str::to_owned),
        ..WriteConditions::default()
    })
}

/// An object that is to be copied: its bucket, its key, its version.
pub(crate) type Source = (BucketName, ObjectKey, Option<DisplayVersion>);

/// Reads `x-amz-copy-source`.
pub(crate) fn copy_source(call: &Call<'_>) -> Result<Source, Fault> {
    source(
        call.header(names::COPY_SOURCE.as_str())?
            .unwrap_or_default(),
    )
}

/// Reads `[/]bucket/key[?versionId=id]`, encoded as in a query: `+` is a space, `%2B` a plus.
pub(crate) fn source(text: &str) -> Result<Source, Fault> {
    let wrong = |what: &str| {
        let said = format!("Invalid copy source {what}");
        Fault::argument("x-amz-copy-source", text, said)
    };
    let invalid = || wrong("object key");
    // One space is signed for any number of them.
    if text.contains("  ") || text.contains('\t') {
        return Err(invalid());
    }
    let (path, version) = match text.rsplit_once("?versionId=") {
        Some((path, id)) => {
            let id = DisplayVersion::parse(id);
            let no_version = || Fault::argument("x-amz-copy-source", text, INVALID_VERSION);
            (path, Some(id.ok_or_else(no_version)?))
        }
        None => (text, None),
    };
    let decoded = crate::target::decode(path, true).map_err(|_| wrong("encoding"))?;
    let decoded = decoded.strip_prefix('/').unwrap_or(&decoded);
    let (bucket, key) = decoded.split_once('/').ok_or_else(invalid)?;
    let bucket = BucketName::new(bucket).map_err(|_| wrong("bucket name"))?;
    let key = ObjectKey::new(key).map_err(|_| invalid())?;
    Ok((bucket, key, version))
}

/// Names the source of a copy in an error that is about it.
pub(crate) fn about_source(error: Fault, (bucket, key, version): &Source) -> Fault {
    match (error.kind, version) {
        (FaultKind::NoSuchBucket, _) => error.detail("BucketName", &**bucket),
        (FaultKind::NoSuchKey, _) => error.detail("Key", &**key),
        (FaultKind::NoSuchVersion, Some(version)) => error
            .detail("Key", &**key)
            .detail("VersionId", version.to_string()),
        _ => error,
    }
}

/// Writes what GET and HEAD say of an object beside its bytes.
pub(crate) fn write_info(out: &mut HeaderMap, info: &ObjectInfo) -> Result<(), Fault> {
    headers::set_last_modified(out, info.modified)?;
    headers::set_owned(out, header::ETAG, info.etag.quoted())?;
    out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let content = &info.attributes.headers;
    let kept = content
        .content_type
        .as_deref()
        .unwrap_or("binary/octet-stream");
    headers::set(out, header::CONTENT_TYPE, kept)?;
    for (name, value) in [
        (header::CACHE_CONTROL, &content.cache_control),
        (header::CONTENT_DISPOSITION, &content.content_disposition),
        (header::CONTENT_ENCODING, &content.content_encoding),
        (header::CONTENT_LANGUAGE, &content.content_language),
        (header::EXPIRES, &content.expires),
    ] {
        if let Some(value) = value {
            headers::set(out, name, value)?;
        }
    }
    let mut missing = 0;
    for (name, value) in &info.attributes.metadata {
        // What no header can carry (it came by a form, say) is counted instead.
        let name = HeaderName::from_bytes(format!("{META}{name}").as_bytes());
        match (name, headers::metadata_value(value)) {
            (Ok(name), Some(value)) => {
                out.insert(name, value);
            }
            _ => missing += 1,
        }
    }
    if missing > 0 {
        headers::set_number(out, names::MISSING_META, missing);
    }
    if !info.attributes.tags.is_empty() {
        headers::set_number(out, names::TAGGING_COUNT, info.attributes.tags.len() as u64);
    }
    write_version(out, info.version)
}

/// Writes `x-amz-version-id` where there are versions.
pub(crate) fn write_version(
    out: &mut HeaderMap,
    version: Option<DisplayVersion>,
) -> Result<(), Fault> {
    match version {
        Some(version) => headers::set(out, names::VERSION_ID, &version.to_string()),
        None => Ok(()),
    }
}

/// Writes a checksum and its type.
pub(crate) fn write_checksum(
    out: &mut HeaderMap,
    checksum: Option<ChecksumValue>,
) -> Result<(), Fault> {
    write_checksum_of(out, checksum, checksum)
}

/// Writes the checksum of a part. Its type is the one that the upload was begun with, which the
/// checksum of the `whole` object says.
pub(crate) fn write_checksum_of(
    out: &mut HeaderMap,
    part: Option<ChecksumValue>,
    whole: Option<ChecksumValue>,
) -> Result<(), Fault> {
    let Some(checksum) = part else {
        return Ok(());
    };
    let name = HeaderName::from_static(checksum.algorithm().header());
    headers::set(out, name, &checksum.to_string())?;
    let kind = whole.unwrap_or(checksum).kind();
    headers::set(out, names::CHECKSUM_TYPE, kind.name())
}

/// Where the object is now, in the style in which the request addressed the bucket.
pub(crate) fn location(call: &Call<'_>, key: &str) -> Result<String, Fault> {
    let host = call.header("host")?.unwrap_or_default();
    let bucket: &str = &call.deed()?.name;
    let by_host = host.len() > bucket.len()
        && host.is_char_boundary(bucket.len())
        && host[..bucket.len()].eq_ignore_ascii_case(bucket)
        && host.as_bytes()[bucket.len()] == b'.';
    let path = access::sign::encode_path(key);
    let scheme = match call.facts.transport {
        Some(Transport::Tls) => "https",
        Some(Transport::Clear) | None => "http",
    };
    Ok(match by_host {
        true => format!("{scheme}://{host}/{path}"),
        false => format!("{scheme}://{host}/{bucket}/{path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_with_several_blanks_in_a_row_are_refused() {
        let value = |text| tags_of(Some(text)).map(|tags| tags[0].1.clone());
        for text in ["level=top secret", "level=top+secret", "level=top%20secret"] {
            assert_eq!(value(text).unwrap(), "top secret", "{text}");
        }
        assert_eq!(value("level=top%20%20secret").unwrap(), "top  secret");
        let refused = value("level=top  secret").unwrap_err();
        assert_eq!(refused.kind.name(), "InvalidArgument");
    }

    #[test]
    fn sources_are_read_in_every_form_that_clients_send() {
        for (text, bucket, key, version) in [
            ("/bench/a%20b", "bench", "a b", None),
            ("bench/a/b", "bench", "a/b", None),
            ("bench%2Fa+b", "bench", "a b", None),
            ("bench/a%2Bb", "bench", "a+b", None),
            ("bench/a b", "bench", "a b", None),
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
            "bench/a  b",
            "bench/a\tb",
        ] {
            assert!(source(bad).is_err(), "{bad}");
        }
    }
}
