//! The bytes of a request as `objects` sees them: decoded, verified against the signature, and
//! handed over piece by piece.

use std::{future::Future, pin::Pin};

use bytes::Bytes;

use crate::ChecksumValue;

/// Why a body could not be read to its end. Nothing of such a body may become visible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Fewer bytes came than were announced, or more.
    #[error("the body has {got} bytes, and not {expected}")]
    Incomplete {
        /// Bytes that were announced.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// More bytes than the operation allows.
    #[error("the body is larger than {max} bytes")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// A chunk's or the trailer's signature is wrong.
    #[error("a chunk signature does not match")]
    SignatureMismatch,
    /// The bytes do not have the SHA-256 that `x-amz-content-sha256` names.
    #[error("the body does not match x-amz-content-sha256")]
    Sha256Mismatch {
        /// What the client said, in hex.
        client: String,
        /// What came, in hex.
        computed: String,
    },
    /// The bytes do not have the digest that this header names, which the signature covers.
    #[error("the body does not match {0}")]
    SignedDigest(&'static str),
    /// Nobody could be asked who could verify the signatures of its chunks.
    #[error("the signatures of the body cannot be verified now: {0}")]
    Unproven(String),
    /// The aws-chunked framing is malformed, or ends too early.
    #[error("malformed aws-chunked body: {0}")]
    Malformed(&'static str),
    /// A signed chunk that is not the last one is too small.
    #[error("chunk {number} has only {bytes} bytes")]
    SmallChunk {
        /// Which one comes after it, from 1.
        number: u64,
        /// Its size.
        bytes: u64,
    },
    /// The trailer is not what was declared.
    #[error("the trailer is not as declared: {0}")]
    Trailer(&'static str),
    /// The trailer names this header, and its value is no checksum of that kind.
    #[error("the value of the trailer {0} is no checksum")]
    TrailerValue(&'static str),
    /// No byte came for too long.
    #[error("the client sent nothing for too long")]
    Timeout,
    /// There was no room to go on with it.
    #[error("the server has too much to do")]
    Crowded,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Connection(String),
}

/// What `Body::next` returns.
pub type NextChunk<'a> =
    Pin<Box<dyn Future<Output = Option<Result<Bytes, BodyError>>> + Send + 'a>>;

/// A body, in pieces. After the first error, or `None`, it must not be polled again.
pub trait Body: Send {
    /// The next piece; `None` at the verified end: every signature and length that was announced
    /// has been checked by then.
    fn next(&mut self) -> NextChunk<'_>;

    /// How many bytes will come, where that is known beforehand.
    fn len_hint(&self) -> Option<u64>;

    /// The checksum that came in a trailer; to be asked after the end. It is the receiver's duty
    /// to compare it with what it computed.
    fn trailing_checksum(&self) -> Option<ChecksumValue> {
        None
    }
}

/// A body that is in memory as a whole.
#[derive(Debug, Clone)]
pub struct MemoryBody {
    bytes: Option<Bytes>,
    len: u64,
}

impl MemoryBody {
    /// Of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            len: bytes.len() as u64,
            bytes: Some(bytes).filter(|b| !b.is_empty()),
        }
    }
}

impl Body for MemoryBody {
    fn next(&mut self) -> NextChunk<'_> {
        let bytes = self.bytes.take();
        Box::pin(std::future::ready(bytes.map(Ok)))
    }
    fn len_hint(&self) -> Option<u64> {
        Some(self.len)
    }
}
