//! Where the bytes of a request come from, and what becomes of those that nobody wants.

use std::time::Duration;

use access::PayloadMode;
use http::{HeaderMap, HeaderValue, header};
use hyper::body::{Body as _, Incoming};
use types::ObjectKey;

use crate::{form::Form, limits::DRAIN_BYTES_MAX, payload::payload};

/// How long it may take to read what nobody wants.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Where the bytes of an object come from.
pub(super) enum Source {
    Wire(Incoming),
    Form(Box<Form>),
}

impl Source {
    /// The key that a form names.
    pub(super) fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Form(form) => Some(&form.key),
            Self::Wire(_) => None,
        }
    }

    /// How many bytes it brings, where that was said. Only forms do not say it.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Wire(incoming) => incoming.size_hint().exact(),
            Self::Form(form) => form.body.len_hint(),
        }
    }

    /// As [`drain`].
    pub(super) async fn drain(self) -> bool {
        match self {
            Self::Wire(incoming) if incoming.is_end_stream() => true,
            Self::Wire(incoming) => {
                let Some(length) = incoming.size_hint().exact() else {
                    return false;
                };
                let length = HeaderValue::from(length);
                let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, length)]);
                let mode = PayloadMode::Unsigned;
                match payload(incoming, &headers, mode, None, DRAIN_TIME) {
                    Ok(body) => drain(body).await,
                    Err(_) => false,
                }
            }
            Self::Form(form) => drain(form.body).await,
        }
    }
}

/// Reads what is left of a small body that nobody wanted, so that the connection can go on and
/// the client sees the answer instead of a broken pipe. Answers whether the end was reached.
pub(super) async fn drain(mut body: Box<dyn types::Body>) -> bool {
    if body.len_hint().is_none_or(|len| len > DRAIN_BYTES_MAX) {
        return false;
    }
    let reading = async {
        let mut read = 0;
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else { return false };
            read += piece.len() as u64;
            if read > DRAIN_BYTES_MAX {
                return false;
            }
        }
        true
    };
    let ended = tokio::time::timeout(DRAIN_TIME, reading).await;
    ended.unwrap_or(false)
}
