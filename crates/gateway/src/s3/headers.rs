//! Headers that many operations read or write.

use crate::fault::{Fault, FaultKind};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use types::Timestamp;

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
        STATE "x-dhow-state";
        IF_STATE "x-dhow-if-state";
        REQUEST_ID "x-amz-request-id";
        REQUEST_CHARGED "x-amz-request-charged";
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
pub fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) -> Result<(), Fault> {
    let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| FaultKind::InternalError)?;
    headers.insert(name, value);
    Ok(())
}

/// Most bytes of text in an encoded word: such a word has 75 characters at most (RFC 2047, 2).
const WORD_BYTES_MAX: usize = (75 - "=?UTF-8?B??=".len()) / 4 * 3;

/// A value of user metadata as a header: ASCII as it is, other text in encoded words of RFC 2047,
/// as S3 answers it ("Working with object metadata"). `None` for control characters, which came by
/// a form and which no header can carry.
pub fn metadata_value(text: &str) -> Option<HeaderValue> {
    match text.is_ascii() {
        true => HeaderValue::from_str(text).ok(),
        false if text.chars().any(char::is_control) => None,
        false => HeaderValue::try_from(encoded_words(text)).ok(),
    }
}

/// Whoever decodes the words drops the spaces between them (RFC 2047, 6.2).
fn encoded_words(mut text: &str) -> String {
    let mut words = String::with_capacity(text.len() * 2);
    while !text.is_empty() {
        let (word, rest) = text.split_at(text.floor_char_boundary(WORD_BYTES_MAX));
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str("=?UTF-8?B?");
        STANDARD.encode_string(word, &mut words);
        words.push_str("?=");
        text = rest;
    }
    words
}

/// A value that a client chose for a header of the answer: what ISO-8859-1 has, in its bytes, as S3
/// sends it. `None` for all else.
pub fn chosen_value(text: &str) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

/// Sets a header to a number.
pub fn set_number(headers: &mut HeaderMap, name: HeaderName, number: u64) {
    headers.insert(name, HeaderValue::from(number));
}

/// Sets `Last-Modified`.
pub fn set_last_modified(headers: &mut HeaderMap, at: Timestamp) -> Result<(), Fault> {
    set_owned(headers, header::LAST_MODIFIED, at.http_date())
}

/// As [`set`], of a text that need not be copied.
pub fn set_owned(headers: &mut HeaderMap, name: HeaderName, text: String) -> Result<(), Fault> {
    let value = HeaderValue::from_maybe_shared(Bytes::from(text));
    headers.insert(name, value.map_err(|_| FaultKind::InternalError)?);
    Ok(())
}

/// Sets `Content-Type: application/xml`.
pub fn set_xml(headers: &mut HeaderMap) {
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_outside_ascii_is_an_encoded_word() {
        let bytes = |text: &str| metadata_value(text).map(|v| v.as_bytes().to_vec());
        assert_eq!(bytes("plain text"), Some(b"plain text".to_vec()));
        assert_eq!(bytes("\u{e9}"), Some(b"=?UTF-8?B?w6k=?=".to_vec()));
        assert_eq!(bytes("\u{6587}"), Some(b"=?UTF-8?B?5paH?=".to_vec()));
        let long = "\u{6587}".repeat(20);
        let words = String::from_utf8(bytes(&long).unwrap()).unwrap();
        let decoded: Vec<u8> = words
            .split(' ')
            .inspect(|word| assert!(word.len() <= 75, "{word}"))
            .map(|word| &word["=?UTF-8?B?".len()..word.len() - "?=".len()])
            .flat_map(|word| STANDARD.decode(word).unwrap())
            .collect();
        assert_eq!((words.split(' ').count(), decoded), (2, long.into_bytes()));
        for control in ["a\nb", "\u{e9}\r\nx-injected: 1", "\u{7f}", "\u{e9}\u{85}"] {
            assert_eq!(bytes(control), None, "{control:?}");
        }
    }

    #[test]
    fn what_a_client_chooses_for_an_answer_is_latin_1() {
        let bytes = |text: &str| chosen_value(text).map(|v| v.as_bytes().to_vec());
        assert_eq!(bytes("text/plain"), Some(b"text/plain".to_vec()));
        assert_eq!(bytes("\u{e9}"), Some(vec![0xe9]));
        for refused in ["\u{6587}", "a\r\nb: c", "\u{0}"] {
            assert_eq!(bytes(refused), None, "{refused:?}");
        }
    }
}
