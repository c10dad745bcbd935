//! What an object looks like, by its first bytes and never by its name or type: a user says these.
//!
//! Pictures, sound and film are loaded from the data endpoint, where no page of ours is. All else
//! that is text is shown as text, SVG and HTML too. Nothing of a user runs.

use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{call::Call, fault::Fault, s3::S3Ask};

/// Bytes of a text that are shown.
const TEXT_BYTES: usize = 64 << 10;
/// For how many seconds a picture can be loaded.
const LOADED_S: u64 = 600;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A picture of this type.
    Picture(&'static str),
    /// A film.
    Film(&'static str),
    /// Sound.
    Sound(&'static str),
    /// Text, in UTF-8.
    Text,
    /// Something else.
    Other,
}

/// Looks at the first bytes.
pub fn sort(bytes: &[u8]) -> Sort {
    let starts = |sign: &[u8]| bytes.starts_with(sign);
    let at = |from: usize, sign: &[u8]| bytes.get(from..from + sign.len()) == Some(sign);
    if starts(b"\x89PNG\r\n\x1a\n") {
        return Sort::Picture("image/png");
    }
    if starts(b"\xff\xd8\xff") {
        return Sort::Picture("image/jpeg");
    }
    if starts(b"GIF87a") || starts(b"GIF89a") {
        return Sort::Picture("image/gif");
    }
    if starts(b"RIFF") && at(8, b"WEBP") {
        return Sort::Picture("image/webp");
    }
    if at(4, b"ftypavif") {
        return Sort::Picture("image/avif");
    }
    if at(4, b"ftyp") {
        return Sort::Film("video/mp4");
    }
    if starts(b"\x1aE\xdf\xa3") {
        return Sort::Film("video/webm");
    }
    if starts(b"OggS") {
        return Sort::Sound("audio/ogg");
    }
    if starts(b"ID3") || starts(b"\xff\xfb") || starts(b"\xff\xf3") {
        return Sort::Sound("audio/mpeg");
    }
    match text_of(bytes) {
        Some(text) if !text.is_empty() => Sort::Text,
        _ => Sort::Other,
    }
}

/// The bytes as text, if they are; a character may be cut at the end.
fn text_of(bytes: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let binary = text
        .bytes()
        .any(|b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x1b));
    (!binary).then_some(text)
}

/// The preview of a version of an object of `size` bytes.
pub async fn show(
    call: &Call<'_>,
    (bucket, key, version): (&str, &str, Option<&str>),
    size: u64,
) -> Result<Markup, Fault> {
    if size == 0 {
        return Ok(html! { p.hint { (call.t("The object is empty.")) } });
    }
    let ask = S3Ask::object(&Method::GET, bucket, key)
        .maybe("versionId", version)
        .header("range", format!("bytes=0-{}", TEXT_BYTES - 1))
        .or(StatusCode::RANGE_NOT_SATISFIABLE);
    let answer = call.s3(ask).await?;
    let bytes = answer.0.body();
    let sort = sort(bytes);
    let kind = match sort {
        Sort::Picture(kind) | Sort::Film(kind) | Sort::Sound(kind) => kind,
        Sort::Text => {
            let text = text_of(bytes).unwrap_or_default();
            let cut = size > TEXT_BYTES as u64;
            return Ok(html! {
                pre.preview tabindex="0" aria-label=(call.t("Preview")) { (text) }
                @if cut { p.hint { (call.t("Only the first 64 KiB are shown.")) } }
            });
        }
        Sort::Other => {
            return Ok(html! { p.hint { (call.t("There is no preview of this kind of file.")) } });
        }
    };
    let mut query = vec![("response-content-type", kind)];
    query.extend(version.map(|version| ("versionId", version)));
    let from = call.presigned(&Method::GET, (bucket, key), &query, LOADED_S)?;
    Ok(match sort {
        Sort::Film(_) => html! { video.preview controls preload="metadata" src=(from) {} },
        Sort::Sound(_) => html! { audio.preview controls preload="metadata" src=(from) {} },
        _ => html! {
            img.preview src=(from) alt=(call.t("Preview")) loading="lazy" referrerpolicy="no-referrer";
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        assert_eq!(sort(b"\x89PNG\r\n\x1a\n...."), Sort::Picture("image/png"));
        assert_eq!(sort(b"RIFF....WEBPVP8 "), Sort::Picture("image/webp"));
        assert_eq!(sort(b"<svg onload=alert(1)>"), Sort::Text);
        assert_eq!(sort(b"<html><script>"), Sort::Text);
        assert_eq!(sort(b"GIF89a/*"), Sort::Picture("image/gif"));
        assert_eq!(sort(b"%PDF-1.7\n\xe2\xe3\xcf\xd3"), Sort::Other);
        assert_eq!(sort(b"a\0b"), Sort::Other);
        assert_eq!(sort(b""), Sort::Other);
        assert_eq!(sort("ü".as_bytes().get(..1).unwrap()), Sort::Other);
        assert_eq!(sort("aü".as_bytes().get(..2).unwrap()), Sort::Text);
    }
}
