//! What an answer occupies while it is sent.

use prometheus_client::metrics::counter::Counter;

use crate::admission::Admittance;

/// What an answer holds until its last byte has been sent.
pub(crate) struct Held {
    /// Counts the bytes.
    pub(crate) sent: Counter,
    /// Its places.
    pub(crate) _places: Admittances,
}

/// The places of a request.
#[derive(Debug, Default)]
pub(crate) struct Admittances {
    /// At work.
    pub(crate) work: Option<Admittance>,
    /// Among those that move much.
    pub(crate) large: Option<Admittance>,
}
