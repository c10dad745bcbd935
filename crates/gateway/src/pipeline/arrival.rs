//! How a request came to the pipeline.

use access::{RequestFacts, UnreadableFacts};
use http::HeaderValue;

use super::Trail;
use crate::acknowledged::Mark;

/// How a request came.
pub(super) enum Arrival {
    /// From a client, whose signature is still to be verified.
    Client(RequestFacts),
    /// From another region, which relays what its customer signed, with the bucket that it read.
    Region {
        from: types::Place,
        stated: Option<HeaderValue>,
        /// How it came there, as that region says.
        facts: Result<RequestFacts, UnreadableFacts>,
        /// What a replica must have applied to answer a read.
        at_least: Option<Mark>,
    },
    /// From another region that relays nothing which could be read.
    Unreadable(types::Place),
}

impl Trail {
    /// Of a request that came so.
    pub(super) fn of(arrival: &Arrival) -> Self {
        let source = match arrival {
            Arrival::Client(facts) => facts.source,
            Arrival::Region { facts, .. } => facts.as_ref().ok().and_then(|facts| facts.source),
            Arrival::Unreadable(_) => None,
        };
        Self {
            source,
            ..Self::default()
        }
    }
}
