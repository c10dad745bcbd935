//! Bodies between regions, in both directions.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use objects::ObjectReader;
use peer::{BoxError, next_data};
use types::{BodyError, body::NextChunk};

/// How long a body may stand still.
const STILL: Duration = Duration::from_secs(15);

type Step = Pin<Box<dyn Future<Output = (ObjectReader, objects::Result<Option<Bytes>>)> + Send>>;

/// What a reader reads, as the body of an answer.
pub struct ReaderBody(Option<Step>);

fn step(mut reader: ObjectReader) -> Step {
    Box::pin(async move {
        let next = reader.next().await;
        (reader, next)
    })
}

impl ReaderBody {
    /// Reads ahead by one piece.
    pub fn new(reader: ObjectReader) -> Self {
        Self(Some(step(reader)))
    }
}

impl Body for ReaderBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(reading) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let (reader, next) = ready!(reading.as_mut().poll(context));
        self.0 = match &next {
            Ok(Some(_)) => Some(step(reader)),
            _ => None,
        };
        Poll::Ready(match next {
            Ok(Some(bytes)) => Some(Ok(Frame::data(bytes))),
            Ok(None) => None,
            Err(error) => Some(Err(error.into())),
        })
    }
}

/// An answer's body, as `objects` takes it. It ends well only when the sender ended it well.
pub struct PeerBody(pub Incoming);

impl types::Body for PeerBody {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(async {
            match next_data(&mut self.0, STILL).await {
                Ok(bytes) => bytes.map(Ok),
                Err(error) => Some(Err(BodyError::Connection(error.to_string()))),
            }
        })
    }
    fn len_hint(&self) -> Option<u64> {
        None
    }
}
