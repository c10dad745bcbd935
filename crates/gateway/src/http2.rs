//! HTTP/2 on a connection of a client: several requests at once, each read as one of HTTP/1.1.
//!
//! What a client may make the server keep has limits: the head of a request, requests at once, what
//! was received and not read, what was made and not taken. `marks.rs` ends connections on which
//! nothing happens.

mod marks;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use access::RequestFacts;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::rt::TokioExecutor;
use listener::Proxies;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinError,
};

use self::marks::OnStream;
pub(crate) use self::marks::{Marks, StreamsWatchdog};
use crate::{
    body::ResponseBody,
    dialect,
    fault::{Fault, FaultKind},
    forwarded,
    limits::{HEAD_BYTES_MAX, HEADERS_MAX},
    pipeline::{Taking, has_body},
    serve::Unread,
    server::Gateway,
};

/// Requests at once on one connection.
const STREAMS_MAX: u32 = 64;
/// Bytes that a client may have sent of one body, and of all of a connection, and nobody has read:
/// 10 MB/s for each and 40 MB/s for all at 50 ms.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// A head as HTTP/2 counts it, with 32 bytes for each header: more than [`HEAD_BYTES_MAX`] in
/// [`HEADERS_MAX`] of them, so that what is only a little too long is refused as ever.
const HEADER_LIST_BYTES_MAX: u32 = 48 << 10;
/// Requests that a client has taken back and that nobody has looked at yet; with more the
/// connection ends.
const PENDING_RESETS_MAX: usize = 20;
/// Errors of a client in single requests, after which the connection ends.
const LOCAL_RESETS_MAX: usize = 128;
/// What is handed over at once of an answer: so much of it may wait for the client after it was
/// read to its end and holds no place any more.
const SLICE_BYTES: usize = 32 << 10;

/// How requests are read from a connection.
pub(crate) fn builder() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .max_send_buf_size(SLICE_BYTES);
    http
}

/// What the requests of one connection share.
pub(crate) struct Streams {
    gateway: Arc<Gateway>,
    /// Bounds changes that outlive their connection as it bounds connections.
    place: Arc<OwnedSemaphorePermit>,
    /// Bounds the requests at once, also those that their client has taken back.
    room: Arc<Semaphore>,
    facts: RequestFacts,
    proxies: Option<Arc<Proxies>>,
    marks: Arc<Marks>,
}

impl Streams {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        place: Arc<OwnedSemaphorePermit>,
        (facts, proxies): (RequestFacts, Option<Arc<Proxies>>),
        marks: Arc<Marks>,
    ) -> Self {
        Self {
            gateway,
            place,
            room: Arc::new(Semaphore::new(STREAMS_MAX as usize)),
            facts,
            proxies,
            marks,
        }
    }

    /// Answers one request. A client that takes it back drops this future; a change goes on, and
    /// counts among the connection's requests to its end.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Sent>, JoinError> {
        let mut stream = self.marks.begin();
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let (mut parts, body) = request.into_parts();
        let read = canonical(&mut parts, body.is_end_stream());
        let request = Request::from_parts(parts, body);
        let mut answer = match read {
            Err(error) => self.gateway.refuse_head(&request, error),
            Ok(()) => self.respond(request, room).await?,
        };
        stream.answered();
        // These say something of a connection of HTTP/1.1.
        answer.headers_mut().remove(header::CONNECTION);
        answer.extensions_mut().remove::<Unread>();
        state_length(&mut answer);
        if let Some(Taking(turn)) = answer.extensions_mut().remove() {
            stream.taken_by(turn);
        }
        if let ResponseBody::Stream(body) = answer.body_mut()
            && let Some(ended) = body.take_ended()
        {
            stream.cut_when(ended);
        }
        Ok(answer.map(|body| Sent {
            body,
            piece: Bytes::new(),
            is_cut: false,
            stream,
        }))
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Response<ResponseBody>, JoinError> {
        let facts = match &self.proxies {
            None => self.facts,
            Some(proxies) => forwarded::facts(request.headers(), self.facts, proxies),
        };
        let console = self.gateway.console.as_ref();
        if let Some(led) = console.and_then(|console| console.lead(&request)) {
            return Ok(led);
        }
        if let Some(api) = self.gateway.is_beside(&request) {
            return Ok(Box::pin(self.gateway.respond_beside(request, api, facts)).await);
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(self.gateway.respond(request, facts).await);
        }
        let (gateway, place) = (Arc::clone(&self.gateway), Arc::clone(&self.place));
        let changing = tokio::spawn(async move {
            let answer = gateway.respond(request, facts).await;
            drop((place, room));
            answer
        });
        changing.await
    }
}

/// Gives a head the form that it has in HTTP/1.1, where that differs.
fn canonical(parts: &mut Parts, ended: bool) -> Result<(), Fault> {
    let headers = &mut parts.headers;
    if headers.len() > HEADERS_MAX {
        return Err(Fault::new(FaultKind::RequestHeaderSectionTooLarge)
            .detail("MaxSizeAllowed", HEAD_BYTES_MAX.to_string()));
    }
    // The signature is over `Host`. Where both are there, the reader compares them.
    if let Some(authority) = parts.uri.authority()
        && !headers.contains_key(header::HOST)
    {
        let host = HeaderValue::from_str(authority.as_str());
        headers.insert(header::HOST, host.map_err(|_| FaultKind::InvalidRequest)?);
    }
    // A cookie may come in pieces (RFC 9113 section 8.2.3).
    if headers.get_all(header::COOKIE).iter().nth(1).is_some() {
        let pieces: Vec<&[u8]> = (headers.get_all(header::COOKIE).iter())
            .map(HeaderValue::as_bytes)
            .collect();
        let whole = HeaderValue::from_bytes(&pieces.join(&b"; "[..]));
        headers.insert(
            header::COOKIE,
            whole.map_err(|_| FaultKind::InvalidRequest)?,
        );
    }
    // As with `Transfer-Encoding: chunked`: only bodies that say otherwise how long they are.
    let told =
        headers.contains_key(header::CONTENT_LENGTH) || dialect::of(headers).says_length(headers);
    match has_body(&parts.method) && !ended && !told {
        true => Err(FaultKind::MissingContentLength.into()),
        false => Ok(()),
    }
}

/// Says how long an answer is also where there is nothing to send.
fn state_length(answer: &mut Response<ResponseBody>) {
    let none = matches!(
        answer.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if answer.body().size_hint().exact() == Some(0) && !none {
        let length = answer.headers_mut().entry(header::CONTENT_LENGTH);
        length.or_insert(HeaderValue::from_static("0"));
    }
}

/// The body of an answer, handed over in slices as the client takes it.
pub(crate) struct Sent {
    body: ResponseBody,
    /// What is left of the piece that was read last.
    piece: Bytes,
    /// The piece was longer.
    is_cut: bool,
    stream: OnStream,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.piece.is_empty() {
            let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(piece))) => this.piece = piece,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let last = this.piece.len() <= SLICE_BYTES;
        let mut slice = match last {
            true => std::mem::take(&mut this.piece),
            false => this.piece.split_to(SLICE_BYTES),
        };
        if last && this.is_cut {
            // It may wait for long, and would keep the whole piece.
            slice = Bytes::copy_from_slice(&slice);
        }
        this.is_cut = !last;
        this.stream.moved(slice.len());
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let left = self.piece.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + left);
        }
        hint.set_lower(hint.lower() + left);
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn read(method: &str, headers: &[(&'static str, &'static str)], ended: bool) -> Parts {
        let mut parts = Request::builder()
            .method(method)
            .uri("https://papers.localhost:9000/k");
        for (name, value) in headers {
            parts = parts.header(*name, *value);
        }
        let (mut parts, ()) = parts.body(()).unwrap().into_parts();
        canonical(&mut parts, ended).unwrap();
        parts
    }

    #[test]
    fn the_authority_is_the_host_that_is_signed() {
        let parts = read("GET", &[], true);
        assert_eq!(parts.headers["host"], "papers.localhost:9000");
        // Another host stays beside it, and is refused where hosts are compared.
        let parts = read("GET", &[("host", "other")], true);
        assert_eq!(parts.headers.get_all("host").iter().count(), 1);
        assert_eq!(parts.headers["host"], "other");
    }

    #[tokio::test]
    async fn an_answer_is_handed_over_in_slices_that_keep_nothing_else() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
        let piece = Bytes::from(bytes.clone());
        let marks = Marks::new();
        let mut stream = marks.begin();
        stream.answered();
        let mut sent = Sent {
            body: ResponseBody::full(piece.clone()),
            piece: Bytes::new(),
            is_cut: false,
            stream,
        };
        assert_eq!(sent.size_hint().exact(), Some(100_000));
        let mut got = Vec::new();
        let mut slice = Bytes::new();
        while let Some(frame) = sent.frame().await {
            slice = frame.unwrap().into_data().unwrap();
            assert!(slice.len() <= SLICE_BYTES);
            got.extend_from_slice(&slice);
            assert_eq!(sent.size_hint().exact(), Some(100_000 - got.len() as u64));
        }
        assert!(sent.is_end_stream());
        assert_eq!(got, bytes);
        let kept = piece.as_ptr_range();
        assert!(!kept.contains(&slice.as_ptr()), "the last is a copy");
    }

    #[test]
    fn pieces_of_a_cookie_are_one() {
        let parts = read("GET", &[("cookie", "a=b"), ("cookie", "c=d")], true);
        assert_eq!(parts.headers.get_all("cookie").iter().count(), 1);
        assert_eq!(parts.headers["cookie"], "a=b; c=d");
    }

    #[test]
    fn a_body_says_how_long_it_is() {
        for told in ["content-length", "x-amz-decoded-content-length"] {
            read("PUT", &[(told, "1")], false);
        }
        read("PUT", &[], true);
        read("GET", &[], false);
        let (mut parts, ()) = Request::put("/k").body(()).unwrap().into_parts();
        let error = canonical(&mut parts, false).err().unwrap();
        assert_eq!(error.kind, FaultKind::MissingContentLength);
    }
}
