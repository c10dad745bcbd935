//! How the regions of one cloud know and reach each other: the cloud's authority and the
//! certificates that it issues, a region's own key, HTTP/2 over mutual TLS 1.3, and the token with
//! which a new region joins.
//!
//! Invariants: a certificate identifies exactly one region; a connection may do only what its
//! certificate allows, at the handshake and again at every request; nothing here knows what peers
//! say to each other; every wait has a deadline; no secret appears in `Debug` or in a log.

mod authority;
mod body;
mod client;
mod connection;
mod error;
mod identity;
mod join;
mod names;
mod pool;
mod room;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod verify;

pub use authority::{Authority, IssuedCertificate};
pub use body::{BoxBody, BoxError, collect, empty, full, next_data};
pub use client::{Client, Peer};
pub use connection::Timing;
pub use error::PeerError;
pub use identity::{Credentials, Identity, verify as verify_signature};
pub use join::{JoinToken, JoinTokenError, secret_matches};
pub use names::{is_region_label, region_dns_name};
pub use room::{Held, Kind, NoRoom, Room, RoomLimits, SMALL_BYTES, STREAM_BYTES};
pub use server::{Caller, Handler, Limits, Shown, serve, serve_within};
pub use tls::{Revoked, Tls};
