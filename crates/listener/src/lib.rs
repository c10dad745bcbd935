//! TLS for customers: certificates that are read again when their files change, chosen by the name
//! that a client asks for, proofs of names for ACME servers, connections with TLS or without, and
//! the proxies that are trusted to say for whom they speak.
//!
//! Connections between regions are not here: crate `peer` has them, with certificates of the cloud.

mod authority;
mod certificates;
mod challenges;
mod client;
mod preamble;
mod proxies;
mod stream;

pub use self::{
    authority::Authority,
    certificates::{Certificates, Files, Good, TlsError},
    client::{Connector, Duplex, Trust},
    preamble::{Encryption, PreambleError},
    proxies::{Network, NoNetwork, Origin, Proxies, Refused},
    stream::{Handshake, Listener, Stream, refuse_direct},
};
