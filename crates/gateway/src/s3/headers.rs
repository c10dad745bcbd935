//! Headers that many operations read or write.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use types::Timestamp;

use super::{ErrorCode, S3Error};

/// Names beyond those of the `http` crate.
#[allow(missing_docs)] // each is the header of the same name
pub mod names {
    use http::HeaderName;
    macro_rules! names {
        ($($id:ident $text:literal;)*) => {
            $(pub const $id: HeaderName = HeaderName::from_static($text);)*
        };
    }
    names! {
        REQUEST_ID "x-amz-request-id";
        ID_2 "x-amz-id-2";
        BUCKET_REGION "x-amz-bucket-region";
        VERSION_ID "x-amz-version-id";
        DELETE_MARKER "x-amz-delete-marker";
        COPY_SOURCE "x-amz-copy-source";
        COPY_SOURCE_VERSION_ID "x-amz-copy-source-version-id";
        EXPECTED_OWNER "x-amz-expected-bucket-owner";
        SOURCE_EXPECTED_OWNER "x-amz-source-expected-bucket-owner";
        ACL "x-amz-acl";
        STORAGE_CLASS "x-amz-storage-class";
        CHECKSUM_TYPE "x-amz-checksum-type";
        CHECKSUM_ALGORITHM "x-amz-checksum-algorithm";
        SDK_CHECKSUM_ALGORITHM "x-amz-sdk-checksum-algorithm";
        CHECKSUM_MODE "x-amz-checksum-mode";
        CONTENT_MD5 "content-md5";
        TAGGING "x-amz-tagging";
        TAGGING_COUNT "x-amz-tagging-count";
        TAGGING_DIRECTIVE "x-amz-tagging-directive";
        METADATA_DIRECTIVE "x-amz-metadata-directive";
        MISSING_META "x-amz-missing-meta";
        PARTS_COUNT "x-amz-mp-parts-count";
        OBJECT_SIZE "x-amz-object-size";
        REPLICATION_STATUS "x-amz-replication-status";
    }
}

/// Sets a header to text that may hold characters outside ASCII; control characters, which no
/// header can carry, make it an internal error instead of a split answer.
pub fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), S3Error> {
    let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| ErrorCode::InternalError)?;
    headers.insert(name, value);
    Ok(())
}

/// Sets a header to a number.
pub fn set_number(headers: &mut HeaderMap, name: HeaderName, number: u64) {
    headers.insert(name, HeaderValue::from(number));
}

/// Sets `Last-Modified`.
pub fn set_last_modified(headers: &mut HeaderMap, at: Timestamp) -> Result<(), S3Error> {
    set_owned(headers, header::LAST_MODIFIED, at.http_date())
}

/// As [`set`], of a text that need not be copied.
pub fn set_owned(headers: &mut HeaderMap, name: HeaderName, text: String) -> Result<(), S3Error> {
    let value = HeaderValue::from_maybe_shared(Bytes::from(text));
    headers.insert(name, value.map_err(|_| ErrorCode::InternalError)?);
    Ok(())
}

/// Sets `Content-Type: application/xml`.
pub fn set_xml(headers: &mut HeaderMap) {
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
}
