//! Bodies between regions, in both directions.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use objects::ObjectReader;
use peer::{BoxBody, BoxError, next_data};
use types::{BodyError, body::NextChunk};

/// How long a body may make no progress.
const STILL: Duration = Duration::from_secs(15);

type Step = Pin<Box<dyn Future<Output = (ObjectReader, objects::Result<Option<Bytes>>)> + Send>>;

/// What a reader reads, as the body of an answer.
pub struct ReaderBody {
    step: Option<Step>,
    /// Whether the next piece may still go.
    may: Box<dyn Fn() -> bool + Send>,
}

fn step(mut reader: ObjectReader) -> Step {
    Box::pin(async move {
        let next = reader.next().await;
        (reader, next)
    })
}

impl ReaderBody {
    /// Reads ahead by one piece; breaks off when `may` says no.
    pub fn new(reader: ObjectReader, may: Box<dyn Fn() -> bool + Send>) -> Self {
        Self {
            step: Some(step(reader)),
            may,
        }
    }
}

impl Body for ReaderBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(reading) = &mut self.step else {
            return Poll::Ready(None);
        };
        let (reader, next) = ready!(reading.as_mut().poll(context));
        if !(self.may)() {
            self.step = None;
            let why = "the placement does not allow it any more";
            return Poll::Ready(Some(Err(why.into())));
        }
        self.step = match &next {
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
pub struct PeerBody(pub BoxBody);

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
