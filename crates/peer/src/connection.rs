//! What both ends of a connection agree on, and what a client shows for one: windows, waits,
//! credentials.

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;

use crate::{Tls, tls, verify::Facts};

/// Bytes of one body that may be under way unread. With 300 ms to the peer and back, a stream
/// carries 16 MiB / 0.3 s = 53 MiB/s; two fill the connection's window, three a link of 1 Gbit/s.
pub(crate) const STREAM_WINDOW: u32 = 16 << 20;
/// Bytes of all bodies of a connection that may be under way unread: 107 MiB/s at 300 ms.
pub(crate) const CONNECTION_WINDOW: u32 = 32 << 20;
/// Largest frame: fewer headers and wake-ups for bulk than the usual 16 KiB.
pub(crate) const FRAME_BYTES_MAX: u32 = 1 << 20;
/// Largest head of a request or response.
pub(crate) const HEADER_BYTES_MAX: u32 = 32 * 1024;
/// Bytes of a response that one stream keeps ready to send, beside one piece.
pub(crate) const SEND_BUFFER: usize = 512 << 10;

/// The waits of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Longest wait for a connection: TCP, TLS and HTTP/2 together.
    pub connect: Duration,
    /// Longest wait for the head of a response.
    pub response: Duration,
    /// Silence after which a connection is pinged.
    pub ping: Duration,
    /// Longest wait for the answer to a ping, after which a connection counts as dead.
    pub ping_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            // A long poll of 30 s, and a slow link.
            response: Duration::from_secs(35),
            ping: Duration::from_secs(5),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

/// What a client shows and what it trusts.
#[derive(Clone)]
pub(crate) enum Source {
    Region(Arc<Tls>),
    Stranger(Arc<ClientConfig>),
}

impl Source {
    /// The configuration for a handshake now, and which generation it is.
    pub(crate) fn config(&self) -> (Arc<ClientConfig>, u64) {
        match self {
            Self::Region(tls) => {
                let state = tls.state();
                (Arc::clone(&state.client), state.generation)
            }
            Self::Stranger(config) => (Arc::clone(config), 0),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        match self {
            Self::Region(tls) => tls.state().generation,
            Self::Stranger(_) => 0,
        }
    }

    /// Whether the server of an open connection still counts as the region.
    pub(crate) fn check(&self, server: &Facts) -> Result<(), tls::Stale> {
        match self {
            Self::Region(tls) => tls.check(server),
            Self::Stranger(_) => Ok(()),
        }
    }
}
