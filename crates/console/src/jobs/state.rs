//! The state of an object, which names one version of it with its tags and its access control list
//! (`x-dhow-state`). A tag names bytes: an object that was written again with the same ones has the
//! same tag, and other metadata.

use http::{Method, StatusCode};
use types::Timestamp;

use super::run::patiently;
use crate::{call::Call, fault::Fault, s3::S3Ask};

/// The state of the current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    text: String,
    /// When the version was written.
    pub written: Timestamp,
}

impl State {
    /// Of an object; `None` where there is none.
    pub async fn of(call: &Call<'_>, at: (&str, &str)) -> Result<Option<Self>, Fault> {
        let ask = || S3Ask::object(&Method::HEAD, at.0, at.1).or(StatusCode::NOT_FOUND);
        let head = patiently(|| call.s3(ask())).await?;
        if !head.0.status().is_success() {
            return Ok(None);
        }
        let text = head.header("x-dhow-state").unwrap_or_default();
        let read = Self::read(text);
        let unknown = || Fault::Failed("HeadObject does not say the state of the object".into());
        read.map(Some).ok_or_else(unknown)
    }

    /// Of a version, or of a delete marker, that is named; `None` where there is none.
    pub async fn of_version(
        call: &Call<'_>,
        at: (&str, &str),
        id: &str,
    ) -> Result<Option<Self>, Fault> {
        let ask = || {
            S3Ask::object(&Method::HEAD, at.0, at.1)
                .query("versionId", id)
                .or(StatusCode::NOT_FOUND)
                .or(StatusCode::METHOD_NOT_ALLOWED)
        };
        let head = patiently(|| call.s3(ask())).await?;
        if head.0.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let read = Self::read(head.header("x-dhow-state").unwrap_or_default());
        let unknown = || Fault::Failed("HeadObject does not say the state of the object".into());
        read.map(Some).ok_or_else(unknown)
    }

    /// Reads it. A version's id begins with the milliseconds of its write.
    pub fn read(text: String) -> Option<Self> {
        let ms = u64::from_str_radix(text.get(..12)?, 16).ok()?;
        let written = Timestamp::from_ms(ms);
        Some(Self { text, written })
    }

    /// What deletes the object while it is in this state.
    pub fn delete<'a>(&self, at: (&'a str, &'a str)) -> S3Ask<'a> {
        S3Ask::object(&Method::DELETE, at.0, at.1)
            .header("x-dhow-if-state", self.text.clone())
            .or(StatusCode::NOT_FOUND)
    }

    /// As text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_version_is_read_from_its_state() {
        let state = State::read("0000000003e800000000000000000000-0-0".to_owned()).unwrap();
        assert_eq!(state.written, Timestamp::from_ms(1000));
        for bad in [
            "",
            "0000000003e",
            "x000000003e8-0-0",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(State::read(bad.to_owned()), None, "{bad}");
        }
    }
}
