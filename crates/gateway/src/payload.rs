//! The body of a request: verified against what was signed while it streams, in constant memory.
//!
//! Plain bodies are checked against their length and, where one was signed, their SHA-256.
//! aws-chunked bodies are decoded by [`chunked`](crate::chunked).

use std::{
    error::Error,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use access::{PayloadMode, signature::ChunkLink};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body as HttpBody, Frame};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, Sleep};
use types::{Body, BodyError, ChecksumAlgorithm, ChecksumValue, body::NextChunk};

use crate::{
    admission::{Turn, Wait},
    chunked::{Chain, Decoder, Step},
    fault::{Fault, FaultKind},
    limits::{CLIENT_GRACE, GatewayConfig},
};

/// How a client may be waited for.
#[derive(Debug, Clone)]
pub struct Pace {
    /// How long it may send nothing.
    idle: Duration,
    /// Bytes a second that it must send while others wait for what it has, and over how long they
    /// are counted.
    rate: u64,
    window: Duration,
    turn: Option<Turn>,
    /// Who reads the body has a place at work.
    at_work: bool,
}

impl From<Duration> for Pace {
    fn from(idle: Duration) -> Self {
        Self {
            idle,
            rate: 0,
            window: Duration::MAX,
            turn: None,
            at_work: false,
        }
    }
}

impl Pace {
    /// As the limits say, for a request with this place at work, which has it while it reads the
    /// body, or not.
    pub(crate) fn new(config: &GatewayConfig, turn: Option<Turn>, at_work: bool) -> Self {
        Self {
            idle: config.body_idle,
            rate: config.body_rate,
            window: config.rate_window,
            at_work: at_work && turn.is_some(),
            turn,
        }
    }
}

type Polled<B> = Option<Result<Frame<Bytes>, <B as HttpBody>::Error>>;

/// The bytes as they come from the connection: counted, and not waited for without end, nor with
/// a place that others could work on.
struct Raw<B: HttpBody<Data = Bytes>> {
    body: B,
    expected: Option<u64>,
    got: u64,
    pace: Pace,
    /// Made when the client is waited for first; then used again.
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when the client is waited for.
    waiting: Option<Instant>,
    /// The place at work has been given back.
    out: bool,
    /// What came meanwhile, and the place that it waits for.
    entering: Option<(Polled<B>, Wait)>,
    /// When the client's rate was looked at last, and what had come by then.
    looked: Option<(Instant, u64)>,
}

impl<B> Raw<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn new(body: B, expected: Option<u64>, pace: Pace) -> Self {
        Self {
            body,
            expected,
            got: 0,
            pace,
            timer: None,
            waiting: None,
            out: false,
            entering: None,
            looked: None,
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            let frame = match ready!(self.poll_frame(cx)) {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Err(error)),
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(self.count(data)),
                    Ok(_) | Err(_) => {}
                },
                Some(Err(error)) => return Poll::Ready(Err(self.broken(error.into()))),
                None => return Poll::Ready(self.end()),
            }
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Polled<B>, BodyError>> {
        loop {
            if let Some((_, wait)) = &mut self.entering {
                let admitted = ready!(Pin::new(wait).poll(cx));
                let frame = self.entering.take().and_then(|(frame, _)| frame);
                return Poll::Ready(admitted.map(|()| frame).map_err(|_| BodyError::Crowded));
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return self.poll_timer(cx).map(|()| Err(BodyError::Timeout));
            };
            if self.waiting.take().is_some() && self.is_slow(Instant::now()) {
                return Poll::Ready(Err(BodyError::Timeout));
            }
            match &self.pace.turn {
                Some(turn) if self.out => {
                    self.entering = Some((frame, turn.step_in()));
                    self.out = false;
                }
                _ => return Poll::Ready(Ok(frame)),
            }
        }
    }

    fn count(&mut self, data: Bytes) -> Result<Option<Bytes>, BodyError> {
        self.got += data.len() as u64;
        match self.expected {
            Some(expected) if self.got > expected => Err(BodyError::Incomplete {
                expected,
                got: self.got,
            }),
            _ => Ok(Some(data)),
        }
    }

    fn end(&self) -> Result<Option<Bytes>, BodyError> {
        match self.expected {
            Some(expected) if self.got != expected => Err(BodyError::Incomplete {
                expected,
                got: self.got,
            }),
            _ => Ok(None),
        }
    }

    fn broken(&self, error: Box<dyn Error + Send + Sync>) -> BodyError {
        match (self.expected, error.downcast_ref::<hyper::Error>()) {
            (Some(expected), Some(e)) if ends_early(e) => BodyError::Incomplete {
                expected,
                got: self.got,
            },
            _ => BodyError::Connection(error.to_string()),
        }
    }

    /// Ready when nothing has come for too long, or too little while others wait.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let first = match self.pace.at_work && !self.out {
            true => CLIENT_GRACE.min(self.pace.idle),
            false => self.pace.idle.min(self.pace.window),
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(first)));
        let since = *self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            self.looked.get_or_insert((now, self.got));
            timer.as_mut().reset(now + first);
            now
        });
        loop {
            let Some(timer) = &mut self.timer else {
                return Poll::Pending;
            };
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            let last = since + self.pace.idle;
            if now >= last || self.is_slow(now) {
                return Poll::Ready(());
            }
            if self.pace.at_work
                && !self.out
                && let Some(turn) = &self.pace.turn
            {
                turn.step_out();
                self.out = true;
            }
            if let Some(timer) = &mut self.timer {
                timer
                    .as_mut()
                    .reset(now + (last - now).min(self.pace.window));
            }
        }
    }

    /// Whether others wait for what a client has who sends too little.
    fn is_slow(&mut self, now: Instant) -> bool {
        let (since, got) = *self.looked.get_or_insert((now, self.got));
        let passed = now.saturating_duration_since(since);
        if passed < self.pace.window {
            return false;
        }
        self.looked = Some((now, self.got));
        let wanted = bytes_in(self.pace.rate, passed);
        self.got - got < wanted && self.pace.turn.as_ref().is_some_and(Turn::presses)
    }
}

/// Whether the client closed the connection, or its half of it, before the body was whole: hyper
/// says so in one way within a head and in another within a body.
fn ends_early(error: &hyper::Error) -> bool {
    let cause = error
        .source()
        .and_then(|e| e.downcast_ref::<std::io::Error>());
    error.is_incomplete_message()
        || cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::UnexpectedEof)
}

/// How many bytes a rate brings in a time.
pub(crate) fn bytes_in(rate: u64, time: Duration) -> u64 {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    rate.saturating_mul(ms) / 1000
}

/// What is checked while the bytes pass.
enum Check {
    Nothing,
    Sha256 { hasher: Sha256, expected: [u8; 32] },
    Chunked { decoder: Box<Decoder>, input: Bytes },
}

/// A verified body.
pub(crate) struct Payload<B: HttpBody<Data = Bytes>> {
    raw: Raw<B>,
    check: Check,
    len: Option<u64>,
}

impl<B> Payload<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Check::Chunked { decoder, input } = &mut self.check {
                match decoder.step(input) {
                    Ok(Step::Data(data)) => return Poll::Ready(Some(Ok(data))),
                    Ok(Step::More) => {}
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            let piece = match ready!(self.raw.poll_piece(cx)) {
                Ok(piece) => piece,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            match (&mut self.check, piece) {
                (Check::Nothing, piece) => return Poll::Ready(piece.map(Ok)),
                (Check::Sha256 { hasher, .. }, Some(piece)) => {
                    hasher.update(&piece);
                    return Poll::Ready(Some(Ok(piece)));
                }
                (Check::Sha256 { hasher, expected }, None) => {
                    let computed: [u8; 32] = std::mem::take(hasher).finalize().into();
                    return Poll::Ready((computed != *expected).then(|| {
                        Err(BodyError::Sha256Mismatch {
                            client: hex::encode(*expected),
                            computed: hex::encode(computed),
                        })
                    }));
                }
                (Check::Chunked { input, .. }, Some(piece)) => *input = piece,
                (Check::Chunked { decoder, .. }, None) => {
                    return Poll::Ready(decoder.end().err().map(Err));
                }
            }
        }
    }
}

impl<B> Body for Payload<B>
where
    B: HttpBody<Data = Bytes> + Unpin + Send,
    B::Error: Send + Into<Box<dyn Error + Send + Sync>>,
{
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(poll_fn(move |cx| self.poll_next(cx)))
    }

    fn len_hint(&self) -> Option<u64> {
        self.len
    }

    fn trailing_checksum(&self) -> Option<ChecksumValue> {
        match &self.check {
            Check::Chunked { decoder, .. } => decoder.checksum(),
            Check::Nothing | Check::Sha256 { .. } => None,
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Fault> {
    let Some(value) = access::first_header(headers, name) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Some(number)),
        _ => Err(Fault::argument(name, text, "The length is not a number.")),
    }
}

impl<B: HttpBody<Data = Bytes>> Payload<B> {
    /// Signatures of chunks that somebody else is to verify, since this was asked last.
    pub(crate) fn take_links(&mut self) -> Vec<ChunkLink> {
        match &mut self.check {
            Check::Chunked { decoder, .. } => decoder.take_links(),
            Check::Nothing | Check::Sha256 { .. } => Vec::new(),
        }
    }
}

/// Makes a verified body of what the connection brings. `chunks` goes on from the head's
/// signature; it must be there where `mode` is streaming and signed. `pace` is how the client may
/// be waited for: a time is how long it may send nothing.
pub fn payload<B>(
    body: B,
    headers: &HeaderMap,
    mode: PayloadMode,
    chunks: Option<Box<access::signature::ChunkVerifier>>,
    pace: impl Into<Pace>,
) -> Result<Box<dyn Body>, Fault>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Send + Into<Box<dyn Error + Send + Sync>>,
{
    let chain = chunks.map(|verifier| Chain::Here(*verifier));
    Ok(Box::new(payload_of(
        body,
        headers,
        mode,
        chain,
        pace.into(),
    )?))
}

/// The same with a chain that may be verified elsewhere.
pub(crate) fn payload_of<B>(
    body: B,
    headers: &HeaderMap,
    mode: PayloadMode,
    chain: Option<Chain>,
    pace: Pace,
) -> Result<Payload<B>, Fault>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Send + Into<Box<dyn Error + Send + Sync>>,
{
    let sent = number(headers, header::CONTENT_LENGTH.as_str())?;
    if !mode.is_chunked() && sent.is_some_and(|bytes| bytes > 0) {
        refuse_frames(headers)?;
    }
    let declared = declared(headers)?;
    if !mode.has_trailer() && !declared.is_empty() {
        return Err(Fault::with(
            FaultKind::MalformedTrailerError,
            "x-amz-trailer needs an x-amz-content-sha256 that ends in -TRAILER.",
        ));
    }
    let (check, len) = match mode {
        PayloadMode::Unsigned => (Check::Nothing, sent),
        PayloadMode::Sha256(expected) => {
            let hasher = Sha256::new();
            (Check::Sha256 { hasher, expected }, sent)
        }
        PayloadMode::StreamingSigned { .. } | PayloadMode::StreamingUnsigned => {
            // What is no number is taken for no length.
            let len = number(headers, "x-amz-decoded-content-length").unwrap_or_default();
            let len = len.ok_or(FaultKind::MissingContentLength)?;
            let signed = mode != PayloadMode::StreamingUnsigned;
            if signed != chain.is_some() {
                return Err(FaultKind::AccessDenied.into());
            }
            let declared = mode.has_trailer().then_some(declared);
            let decoder = Box::new(Decoder::new(len, chain, declared));
            let input = Bytes::new();
            (Check::Chunked { decoder, input }, Some(len))
        }
    };
    let raw = Raw::new(body, sent, pace);
    Ok(Payload { raw, check, len })
}

/// Refuses a body that says it is framed where the hash of the payload does not say so: the frames
/// would be stored as bytes of the object.
fn refuse_frames(headers: &HeaderMap) -> Result<(), Fault> {
    const CODING: &str = "aws-chunked";
    let codings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let mut codings = codings.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    if !codings.any(|coding| coding.trim().eq_ignore_ascii_case(CODING)) {
        return Ok(());
    }
    Err(Fault::argument(
        "Content-Encoding",
        CODING,
        "aws-chunked encoding needs a payload hash that begins with STREAMING-.",
    ))
}

/// The name of the trailer that `x-amz-trailer` declares: it is a checksum, and no header may have
/// one too.
fn declared(headers: &HeaderMap) -> Result<Vec<String>, Fault> {
    let refuse = |text: &str| Err(Fault::with(FaultKind::InvalidRequest, text));
    let Some(value) = access::first_header(headers, "x-amz-trailer") else {
        return Ok(Vec::new());
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let names = text.split(',').map(str::trim).filter(|n| !n.is_empty());
    let names: Vec<String> = names.map(str::to_owned).collect();
    let known = |name: &String| ChecksumAlgorithm::from_header(name).is_some();
    if !names.iter().all(known) {
        return refuse("The value specified in the x-amz-trailer header is not supported");
    }
    let mut others = ChecksumAlgorithm::ALL.into_iter().map(|a| a.header());
    let other = !names.is_empty() && others.any(|header| headers.contains_key(header));
    if names.len() > 1 || other {
        return refuse(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        );
    }
    Ok(names)
}

/// `Content-Encoding` as it is stored: without `aws-chunked`; `None` where nothing is left.
pub fn stored_content_encoding(value: &str) -> Option<String> {
    let left: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    (!left.is_empty()).then(|| left.join(","))
}

#[cfg(test)]
mod tests;
