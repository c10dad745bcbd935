//! How questions reach another region: over mutual TLS, or as a simulation has it.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use peer::{BoxBody, Client, Peer, PeerError, Room};
use types::{RegionId, deed::BoxFuture};

/// Brings questions to other regions. Whoever implements it makes sure that the other end is the
/// region that is named.
pub trait Transport: Send + Sync + 'static {
    /// Sends a question; answers once the head of the answer is there, within `within`.
    ///
    /// # Errors
    /// The other region cannot be reached, does not answer in time, or is another one.
    fn ask<'a>(
        &'a self,
        within: Duration,
        to: &'a Peer,
        request: Request<BoxBody>,
    ) -> BoxFuture<'a, Result<Response<BoxBody>, PeerError>>;

    /// Room for answers of a region that are collected as a whole, where that is counted.
    fn room(&self, _region: &RegionId) -> Option<Room> {
        None
    }
}

impl Transport for Client {
    fn ask<'a>(
        &'a self,
        within: Duration,
        to: &'a Peer,
        request: Request<BoxBody>,
    ) -> BoxFuture<'a, Result<Response<BoxBody>, PeerError>> {
        Box::pin(async move {
            let answer = self.request_within(within, to, request).await?;
            Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }

    fn room(&self, region: &RegionId) -> Option<Room> {
        Some(Client::room(self, region))
    }
}
