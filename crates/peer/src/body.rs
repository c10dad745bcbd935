//! Bodies of requests and responses, and reading them with a deadline.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use tokio::time::timeout;

use crate::PeerError;

/// Who is named where a body is longer than it may be.
pub(crate) const LONG_SENDER: &str = "the sender of a body that is too long";

/// What went wrong inside a body that somebody else makes.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// A body of any making.
pub type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body of no bytes.
pub fn empty() -> BoxBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> BoxBody {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The next piece of a body, `None` at its end; trailers are passed over. `deadline` is for this
/// piece: a body that goes on may take as long as it needs.
///
/// # Errors
/// [`PeerError::Deadline`] when no piece came in time; otherwise as the body failed.
pub async fn next_data<B>(body: &mut B, deadline: Duration) -> Result<Option<Bytes>, PeerError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let next = async {
        loop {
            match body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
                Some(Err(error)) => {
                    let error: BoxError = error.into();
                    return Err(PeerError::from_exchange("the sender of a body", &*error));
                }
            }
        }
    };
    timeout(deadline, next)
        .await
        .unwrap_or(Err(PeerError::Deadline("a piece of a body")))
}

/// The whole of a body of at most `limit` bytes; `deadline` is for all of it.
///
/// # Errors
/// [`PeerError::Protocol`] when it is longer, [`PeerError::Deadline`] when it takes longer,
/// otherwise as the body failed.
pub async fn collect<B>(mut body: B, limit: usize, deadline: Duration) -> Result<Bytes, PeerError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let all = async {
        let mut first: Option<Bytes> = None;
        let mut rest = BytesMut::new();
        let mut bytes = 0usize;
        while let Some(data) = next_data(&mut body, deadline).await? {
            bytes = bytes.saturating_add(data.len());
            if bytes > limit {
                return Err(PeerError::Protocol {
                    peer: LONG_SENDER.to_owned(),
                    reason: format!("more than {limit} bytes"),
                });
            }
            match &first {
                None => first = Some(data),
                Some(head) => {
                    if rest.is_empty() {
                        rest.extend_from_slice(head);
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
        Ok(match first {
            Some(only) if rest.is_empty() => only,
            _ => rest.freeze(),
        })
    };
    timeout(deadline, all)
        .await
        .unwrap_or(Err(PeerError::Deadline("the end of a body")))
}
