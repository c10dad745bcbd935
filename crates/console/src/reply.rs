//! What a page answers, and the headers of every answer.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use maud::Markup;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{fault::Fault, ui::href::Href};

/// What is sent.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A piece of what is made while it is sent; an error breaks the connection.
pub type Piece = Result<Bytes, io::Error>;

/// What is made while it is sent, as the extension of an answer that has no other body.
#[derive(Clone)]
pub struct Streamed(Arc<Mutex<Option<mpsc::Receiver<Piece>>>>);

impl Streamed {
    /// Of these pieces.
    pub fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self(Arc::new(Mutex::new(Some(pieces))))
    }

    fn body(&self) -> Option<Body> {
        let pieces = self.0.lock().take()?;
        let frames = stream::unfold(pieces, |mut pieces| async {
            let piece = pieces.recv().await?;
            Some((piece.map(Frame::data), pieces))
        });
        Some(BodyExt::boxed_unsync(StreamBody::new(frames)))
    }
}

/// A body that is there.
pub fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The answer of a page.
pub type Answer = Result<Reply, Fault>;

/// What to send.
pub enum Reply {
    /// A page in the shell.
    Page(Page),
    /// A page in the shell, with more headers.
    With(Page, Vec<(HeaderName, HeaderValue)>),
    /// 303 to a page that shows what is there now.
    See(Href),
    /// JSON for a script of ours.
    Json(serde_json::Value),
    /// A file to be saved.
    File {
        /// Its name, ASCII.
        name: Cow<'static, str>,
        /// Its type.
        kind: &'static str,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// An answer that is complete.
    Whole(Response<Bytes>),
}

/// A page.
pub struct Page {
    /// What stands in the title and as heading.
    pub title: String,
    /// Below the heading.
    pub body: Markup,
    /// Above the heading: where the page is.
    pub path: Option<Markup>,
    /// Beside the heading.
    pub actions: Option<Markup>,
    /// 200 unless it says otherwise.
    pub status: StatusCode,
}

impl Page {
    /// With a heading and what is below it.
    pub fn new(title: impl Into<String>, body: Markup) -> Self {
        Self {
            title: title.into(),
            body,
            path: None,
            actions: None,
            status: StatusCode::OK,
        }
    }

    /// The same with where it is.
    pub fn at(mut self, path: Markup) -> Self {
        self.path = Some(path);
        self
    }

    /// The same with what can be done.
    pub fn with(mut self, actions: Markup) -> Self {
        self.actions = Some(actions);
        self
    }
}

impl From<Page> for Answer {
    fn from(page: Page) -> Self {
        Ok(Reply::Page(page))
    }
}

/// Answers shorter than this are not compressed.
const COMPRESSED_MIN: usize = 1024;

/// Whether a browser reads gzip.
pub fn reads_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING);
    accepted.is_some_and(|value| value.as_bytes().windows(4).any(|text| text == b"gzip"))
}

/// Compresses; the same bytes if that does not work.
pub fn gzip(bytes: &[u8], level: Compression) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// What the browser may load for a page. `data` is the origin of the data endpoint, on pages that
/// use it.
pub fn policy(data: Option<&str>) -> String {
    let data = data.map(|data| format!(" {data}")).unwrap_or_default();
    let media = match data.is_empty() {
        true => " 'none'",
        false => &data,
    };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'{data}; \
         media-src{media}; connect-src 'self'{data}; form-action 'self'; frame-src 'none'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types dhow"
    )
}

/// Headers that every answer has.
const ALWAYS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    // Not `no-referrer`: with that browsers say `Origin: null` where a form is sent.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    (
        "permissions-policy",
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), \
         display-capture=(), fullscreen=()",
    ),
];

/// Adds what every answer has, and compresses it.
pub fn finish(mut answer: Response<Bytes>, (gzips, tls): (bool, bool)) -> Response<Body> {
    let compresses = gzips
        && answer.body().len() >= COMPRESSED_MIN
        && !answer.headers().contains_key(header::CONTENT_ENCODING);
    if compresses && let Some(packed) = gzip(answer.body(), Compression::new(4)) {
        *answer.body_mut() = packed.into();
        let gzip = HeaderValue::from_static("gzip");
        answer.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    let headers = answer.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers.insert(
        header::VARY,
        HeaderValue::from_static("Accept-Encoding, Accept-Language, Cookie"),
    );
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY)
        && let Ok(policy) = HeaderValue::try_from(policy(None))
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if tls {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    let streamed = answer.extensions_mut().remove::<Streamed>();
    match streamed.and_then(|streamed| streamed.body()) {
        Some(body) => answer.map(|_| body),
        None => answer.map(whole),
    }
}
