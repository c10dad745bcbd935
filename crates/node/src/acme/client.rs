//! The requests to an ACME server: to the host of its directory alone, each within a time, with
//! answers of a bounded size.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use listener::{Connector, Trust};
use parking_lot::Mutex;

use super::{AcmeConfig, AcmeError};
use crate::origin::{BoxError, Origin};

/// Bytes of an answer: a chain of certificates has a few thousand.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// How long one answer may take.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest time that the server may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Sends requests to one server.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    origin: Origin,
    connector: Option<Connector>,
    /// How long the server last asked to be left alone.
    retry_after: Mutex<Option<Duration>>,
}

impl Client {
    /// For the server of the configuration.
    ///
    /// # Errors
    /// The file of its authorities cannot be used.
    pub(super) fn new(config: &AcmeConfig) -> Result<Self, AcmeError> {
        let (origin, _) = Origin::of(&config.directory).ok_or(AcmeError::Directory)?;
        let trust = config.ca.clone().map(Trust::Authorities);
        let trust = trust.unwrap_or_else(Trust::configured);
        let connector = origin.connector(&trust).map_err(AcmeError::Trust)?;
        Ok(Self(Arc::new(Inner {
            origin,
            connector,
            retry_after: Mutex::default(),
        })))
    }

    /// How long the server asked to be left alone, since it refused a request for coming too early.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        *self.0.retry_after.lock()
    }
}

impl Inner {
    async fn send(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, BoxError> {
        let url = request.uri().to_string();
        let (_, path) = Origin::of(&url)
            .filter(|(origin, _)| *origin == self.origin)
            .ok_or_else(|| {
                let shown = types::text::shown(&url, 300);
                format!("it refers to another host than that of its directory: {shown}")
            })?;
        *request.uri_mut() = if path.is_empty() { "/" } else { path }.parse::<Uri>()?;
        let asking = self
            .origin
            .ask(self.connector.as_ref(), request, ANSWER_BYTES_MAX);
        let answer = tokio::time::timeout(WITHIN, asking).await;
        let answer = answer.map_err(|_| "it does not answer in time")??;
        if matches!(
            answer.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            let said = answer.headers().get(header::RETRY_AFTER);
            let seconds = said.and_then(|said| said.to_str().ok()?.trim().parse().ok());
            let wait = seconds.map(|s| Duration::from_secs(s).min(RETRY_AFTER_MAX));
            *self.retry_after.lock() = wait;
        }
        Ok(answer.map(Full::new).into())
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.send(request).await.map_err(Error::Other) })
    }
}
