//! Bodies of answers.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{held::Held, limits::SMALL_BYTES_MAX, passing::ForwardedAnswer};

/// What reading one piece gives back: the stream itself, and the piece (`None` at the end).
pub type NextPiece =
    Pin<Box<dyn Future<Output = (Box<dyn ObjectStream>, Option<io::Result<Bytes>>)> + Send>>;

/// The content of an object as it is read from the engine, piece by piece (256 KiB - 1 MiB each).
/// Dropping the stream, or the future of a piece, ends the reading.
pub trait ObjectStream: Send + 'static {
    /// Reads the next piece. Typically
    /// `Box::pin(async move { let piece = self.reader.next().await; (self as _, piece) })`.
    fn next(self: Box<Self>) -> NextPiece;

    /// Is ready once the content must not be sent any more, not even what was read already: then
    /// the connection is cut. `None` where that does not happen.
    fn ended(&self) -> Option<WhenEnded> {
        None
    }
}

/// See [`ObjectStream::ended`].
pub type WhenEnded = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body of an answer: nothing, bytes in memory (sent with the head in one segment), or an
/// object that is read as the client takes it.
pub enum ResponseBody {
    /// No bytes.
    Empty,
    /// All of it, in memory.
    Full(Option<Bytes>),
    /// Read as the client takes it.
    Stream(StreamBody),
    /// As it comes from another region.
    Forwarded(ForwardedAnswer),
    /// No bytes, but the head says how many a GET would bring: the answer to a HEAD.
    Head(u64),
}

impl ResponseBody {
    /// Of these bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }

    /// Of exactly `len` bytes read from `stream`. The connection breaks off when the stream
    /// fails, or brings fewer bytes or more: a client never takes a short body for a whole one.
    pub fn stream(len: u64, stream: Box<dyn ObjectStream>) -> Self {
        if len == 0 {
            return Self::Empty;
        }
        Self::Stream(StreamBody {
            ended: stream.ended(),
            remaining: len,
            state: StreamState::Idle(stream),
            held: None,
        })
    }

    /// Bytes that the body will bring, as `Content-Length` says; 0 where another region has not
    /// said how many.
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Full(bytes) => bytes.as_ref().map_or(0, |b| b.len() as u64),
            Self::Stream(stream) => stream.remaining,
            Self::Forwarded(answer) => answer.size_hint().exact().unwrap_or(0),
            Self::Head(len) => *len,
        }
    }

    /// Whether it is sent as the client takes it, and is more than a connection keeps.
    pub(crate) fn is_large(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.remaining > SMALL_BYTES_MAX,
            Self::Forwarded(answer) => {
                let exact = answer.size_hint().exact();
                exact.is_none_or(|len| len > SMALL_BYTES_MAX) && !answer.is_end_stream()
            }
            Self::Empty | Self::Full(_) | Self::Head(_) => false,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same head without the bytes, for the answer to a HEAD.
    pub fn into_head(self) -> Self {
        Self::Head(self.len())
    }
}

/// A body that is read while it is sent, one piece ahead of the client.
pub struct StreamBody {
    remaining: u64,
    ended: Option<WhenEnded>,
    state: StreamState,
    held: Option<Held>,
}

enum StreamState {
    Idle(Box<dyn ObjectStream>),
    Reading(NextPiece),
    Ready(Box<dyn ObjectStream>, Option<io::Result<Bytes>>),
    Done,
}

impl StreamBody {
    /// Keeps this until the stream is dropped.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = Some(held);
    }

    /// What the connection is to wait for beside.
    pub(crate) fn take_ended(&mut self) -> Option<WhenEnded> {
        self.ended.take()
    }

    /// Drives the reading of the next piece; afterwards the state is `Ready` unless pending.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.state = match std::mem::replace(&mut self.state, StreamState::Done) {
                StreamState::Idle(stream) => StreamState::Reading(stream.next()),
                StreamState::Reading(mut reading) => match reading.as_mut().poll(cx) {
                    Poll::Ready((stream, piece)) => StreamState::Ready(stream, piece),
                    Poll::Pending => {
                        self.state = StreamState::Reading(reading);
                        return Poll::Pending;
                    }
                },
                done => {
                    self.state = done;
                    return Poll::Ready(());
                }
            };
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.remaining == 0 {
            self.state = StreamState::Done;
            return Poll::Ready(None);
        }
        std::task::ready!(self.advance(cx));
        let StreamState::Ready(stream, piece) =
            std::mem::replace(&mut self.state, StreamState::Done)
        else {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        };
        let piece = match piece {
            Some(Ok(piece)) if piece.len() as u64 <= self.remaining => piece,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(_)) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
            None => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
        };
        self.remaining -= piece.len() as u64;
        if let Some(held) = &self.held {
            held.sent.inc_by(piece.len() as u64);
        }
        if self.remaining > 0 {
            // Begin the next piece now, so that it is read while this one is on its way out.
            self.state = StreamState::Idle(stream);
            let _ = self.advance(cx);
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Empty | Self::Head(_) => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Stream(stream) => stream.poll_piece(cx).map_ok(Frame::data),
            Self::Forwarded(answer) => answer.poll_piece(cx).map_ok(Frame::data),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Head(_) => true,
            Self::Full(b) => b.as_ref().is_none_or(Bytes::is_empty),
            Self::Stream(stream) => stream.remaining == 0,
            Self::Forwarded(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Forwarded(answer) => answer.size_hint(),
            other => SizeHint::with_exact(other.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    struct Pieces(Vec<io::Result<Bytes>>);

    impl ObjectStream for Pieces {
        fn next(mut self: Box<Self>) -> NextPiece {
            let piece = (!self.0.is_empty()).then(|| self.0.remove(0));
            Box::pin(async move {
                tokio::task::yield_now().await;
                (self as Box<dyn ObjectStream>, piece)
            })
        }
    }

    async fn read(len: u64, pieces: Vec<io::Result<Bytes>>) -> io::Result<Bytes> {
        let body = ResponseBody::stream(len, Box::new(Pieces(pieces)));
        body.collect().await.map(|b| b.to_bytes())
    }

    #[tokio::test]
    async fn a_stream_brings_its_pieces_in_order() {
        let pieces = vec![Ok(Bytes::from("abc")), Ok(Bytes::from("de"))];
        assert_eq!(read(5, pieces).await.unwrap(), "abcde");
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_is_an_error() {
        assert!(read(5, vec![Ok(Bytes::from("abc"))]).await.is_err());
        let broken = vec![Ok(Bytes::from("abc")), Err(io::Error::other("damaged"))];
        assert!(read(5, broken).await.is_err());
        assert!(read(2, vec![Ok(Bytes::from("abc"))]).await.is_err());
    }
}
