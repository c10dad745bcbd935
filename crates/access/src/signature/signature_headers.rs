//! The headers from which a signature is read.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};
use types::Timestamp;

use super::SignatureError as E;

/// An HTTP date; old clients write `+0000` for `GMT`, as mail does (RFC 5322, section 3.3).
fn http_date(text: &str) -> Option<Timestamp> {
    match text.strip_suffix("+0000") {
        None => Timestamp::parse_http_date(text),
        Some(front) => Timestamp::parse_http_date(&[front, "GMT"].concat()),
    }
}

/// The values of a header that may come once.
#[derive(Default, Clone, Copy)]
pub(super) enum Single<'a> {
    #[default]
    Missing,
    One(&'a HeaderValue),
    Several,
}

impl<'a> Single<'a> {
    fn add(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::Missing => Self::One(value),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    /// As text; `Err` where there are several, or one that is not visible ASCII.
    pub(super) fn text(self) -> Result<Option<&'a str>, ()> {
        match self {
            Self::Missing => Ok(None),
            Self::One(value) => value.to_str().map(|t| Some(t.trim_ascii())).map_err(|_| ()),
            Self::Several => Err(()),
        }
    }
}

/// The headers from which a signature is read. All are found in one pass: most requests have few
/// headers, and looking each of these up costs more.
#[derive(Default)]
pub(super) struct SignatureHeaders<'a> {
    pub(super) authorization: Single<'a>,
    content_sha256: Single<'a>,
    amz_date: Single<'a>,
    date: Single<'a>,
    pub(super) token: Single<'a>,
    /// Read where the signature is asymmetric.
    pub(super) region_set: Single<'a>,
}

impl<'a> SignatureHeaders<'a> {
    pub(super) fn by(headers: &'a HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "authorization" => said.authorization.add(value),
                "x-amz-content-sha256" => said.content_sha256.add(value),
                "x-amz-date" => said.amz_date.add(value),
                "date" => said.date.add(value),
                "x-amz-region-set" => said.region_set.add(value),
                // Some tools send an empty one with every request that has none.
                "x-amz-security-token" if !value.is_empty() => said.token.add(value),
                _ => {}
            }
        }
        said
    }

    pub(super) fn payload(&self) -> Result<Option<&'a str>, E> {
        let text = self.content_sha256.text();
        text.map_err(|()| E::PayloadMode(String::new()))
    }

    /// `x-amz-date` first, then `Date`; either in ISO 8601's basic form or as an HTTP date. Also
    /// in that basic form, as it is signed.
    pub(super) fn request_date(&self) -> Result<(Timestamp, Cow<'a, str>), E> {
        let text = match self.amz_date.text().map_err(|()| E::NoDate)? {
            Some(text) => text,
            None => self.date.text().ok().flatten().ok_or(E::NoDate)?,
        };
        if let Some(date) = Timestamp::parse_iso_basic(text) {
            return Ok((date, Cow::Borrowed(text)));
        }
        let date = http_date(text).ok_or(E::NoDate)?;
        Ok((date, Cow::Owned(date.iso_basic())))
    }
}
