//! Bodies on their way between regions: a request's that was verified here, and an answer's that
//! streams back.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use types::{Body, BodyError};

use crate::held::Held;

/// The body of an answer as it comes from another region.
pub type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// A body, and its next piece.
type Reading =
    Pin<Box<dyn Future<Output = (Box<dyn Body>, Option<Result<Bytes, BodyError>>)> + Send>>;

enum State {
    Idle(Box<dyn Body>),
    Reading(Reading),
    /// At its verified end.
    Ended,
    Failed,
}

/// What becomes of a passed body, seen by the one who waits for the answer.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    fault: OnceLock<BodyError>,
    ended: AtomicBool,
    polls: AtomicU64,
}

impl Progress {
    /// Why the body failed, if it did.
    pub(crate) fn fault(&self) -> Option<&BodyError> {
        self.fault.get()
    }
    /// Whether the client's bytes were read to their end.
    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
    /// Rises whenever the body is asked for more.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }
}

/// The bytes of a body as they came, for whoever verifies the same once more.
pub(crate) type Sent = Arc<Mutex<VecDeque<Bytes>>>;

/// A body that keeps what it brings in [`Sent`], for another region.
pub(crate) struct Tee<B> {
    body: B,
    sent: Sent,
}

impl<B> Tee<B> {
    pub(crate) fn of(body: B) -> (Self, Sent) {
        let sent = Sent::default();
        let tee = Self {
            body,
            sent: Arc::clone(&sent),
        };
        (tee, sent)
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Tee<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let data = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref());
        if let Some(data) = data {
            self.sent.lock().push_back(data.clone());
        }
        Poll::Ready(frame)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request on its way to another region: the client's bytes as they were sent, and
/// verified while they pass. It is read only as fast as the other region takes it. Its end is sent
/// only once all of it has been verified; a body that fails verification ends in an error, whatever
/// has been sent before.
pub struct PassedBody {
    state: State,
    /// What was read and not yet sent.
    sent: Sent,
    /// What [`HttpBody::is_end_stream`] answers where there never were any bytes.
    empty: bool,
    progress: Arc<Progress>,
}

impl PassedBody {
    /// No bytes.
    pub fn empty() -> Self {
        Self {
            state: State::Ended,
            sent: Sent::default(),
            empty: true,
            progress: Arc::new(Progress {
                ended: AtomicBool::new(true),
                ..Progress::default()
            }),
        }
    }

    /// `body` verifies, and `sent` has what it reads.
    pub(crate) fn new(body: Box<dyn Body>, sent: Sent) -> Self {
        Self {
            state: State::Idle(body),
            sent,
            empty: false,
            progress: Arc::default(),
        }
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn fail(&mut self, error: BodyError) -> io::Error {
        self.state = State::Failed;
        let text = error.to_string();
        let _ = self.progress.fault.set(error);
        io::Error::other(text)
    }
}

impl HttpBody for PassedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        loop {
            // Not that of a body that failed: nothing would come of it.
            if !matches!(this.state, State::Failed)
                && let Some(piece) = this.sent.lock().pop_front()
            {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match std::mem::replace(&mut this.state, State::Failed) {
                State::Idle(mut body) => {
                    this.progress.polls.fetch_add(1, Ordering::Relaxed);
                    this.state = State::Reading(Box::pin(async move {
                        let piece = body.next().await;
                        (body, piece)
                    }));
                }
                State::Reading(mut reading) => {
                    let Poll::Ready((body, piece)) = reading.as_mut().poll(cx) else {
                        this.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    this.progress.polls.fetch_add(1, Ordering::Relaxed);
                    match piece {
                        Some(Ok(_)) => this.state = State::Idle(body),
                        Some(Err(error)) => return Poll::Ready(Some(Err(this.fail(error)))),
                        None => {
                            this.state = State::Ended;
                            this.progress.ended.store(true, Ordering::Release);
                        }
                    }
                }
                State::Ended => {
                    this.state = State::Ended;
                    return Poll::Ready(None);
                }
                State::Failed => {
                    let again = "the body failed before";
                    return Poll::Ready(Some(Err(io::Error::other(again))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.empty
    }

    /// Without a length on purpose: a receiver that counts bytes would take the last one for the
    /// end, before it was verified.
    fn size_hint(&self) -> SizeHint {
        match self.empty {
            true => SizeHint::with_exact(0),
            false => SizeHint::default(),
        }
    }
}

/// An answer that streams back from another region, with a limit to how long it may say nothing.
pub struct ForwardedAnswer {
    body: AnswerBody,
    idle: Duration,
    /// Made when the other region is waited for first; then used again.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    held: Option<Held>,
}

impl ForwardedAnswer {
    pub(crate) fn new(body: AnswerBody, idle: Duration) -> Self {
        Self {
            body,
            idle,
            timer: None,
            waiting: false,
            held: None,
        }
    }

    /// Keeps this until the answer is dropped.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held = Some(held);
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, io::Error>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                ready!(self.poll_timer(cx));
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            };
            self.waiting = false;
            let data = match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => frame.into_data(),
            };
            // Answers of ours have no trailers.
            if let Ok(data) = data {
                if let Some(held) = &self.held {
                    held.sent.inc_by(data.len() as u64);
                }
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + idle);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use types::body::NextChunk;

    use super::*;
    use crate::body::ResponseBody;

    /// Pieces, and how many of them were asked for.
    struct Pieces {
        left: Vec<Result<Bytes, BodyError>>,
        asked: Arc<AtomicU64>,
        sent: Sent,
    }

    impl Body for Pieces {
        fn next(&mut self) -> NextChunk<'_> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let piece = (!self.left.is_empty()).then(|| self.left.remove(0));
            if let Some(Ok(raw)) = &piece {
                self.sent.lock().push_back(raw.clone());
            }
            Box::pin(std::future::ready(piece))
        }
        fn len_hint(&self) -> Option<u64> {
            None
        }
    }

    fn pieces(left: Vec<Result<Bytes, BodyError>>) -> (Pieces, Arc<AtomicU64>) {
        let asked = Arc::<AtomicU64>::default();
        let pieces = Pieces {
            left,
            asked: Arc::clone(&asked),
            sent: Sent::default(),
        };
        (pieces, asked)
    }

    /// A body whose raw bytes are kept as they are read.
    fn passing(left: Vec<Result<Bytes, BodyError>>) -> (PassedBody, Arc<AtomicU64>) {
        let (mut source, asked) = pieces(left);
        let sent = Sent::default();
        source.sent = Arc::clone(&sent);
        (PassedBody::new(Box::new(source), sent), asked)
    }

    #[tokio::test]
    async fn the_client_is_read_only_as_the_other_region_takes() {
        let (mut body, asked) = passing(vec![Ok(Bytes::from("a")), Ok(Bytes::from("b"))]);
        let progress = body.progress();
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "a");
        assert!(asked.load(Ordering::Relaxed) == 1 && !progress.ended());
        let rest = body.collect().await.unwrap();
        assert!(rest.trailers().is_none() && progress.ended());
        assert_eq!(rest.to_bytes(), "b");
    }

    #[tokio::test]
    async fn a_fault_is_an_error_and_never_an_end() {
        let fault = BodyError::SignatureMismatch;
        let (mut body, _) = passing(vec![Ok(Bytes::from("all of it")), Err(fault.clone())]);
        let progress = body.progress();
        assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.unwrap().is_err());
        assert!(progress.fault() == Some(&fault) && !progress.ended());
    }

    #[tokio::test]
    async fn an_answer_that_stands_still_is_broken_off() {
        let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from("a")))]);
        let forever = futures_util::stream::pending();
        let body = StreamBody::new(futures_util::StreamExt::chain(first, forever));
        let answer = ForwardedAnswer::new(body.boxed_unsync(), Duration::from_millis(20));
        let error = ResponseBody::Forwarded(answer)
            .collect()
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
