//! TLS for customers: certificates that are read again when their files change, chosen by the name
//! that a client asks for, and connections with TLS or without.
//!
//! Connections between regions are not here: crate `peer` has them, with certificates of the cloud.

mod authority;
mod certificates;
mod client;
mod stream;

pub use self::{
    authority::Authority,
    certificates::{Certificates, Files, TlsError},
    client::{Connector, Duplex, Trust},
    stream::{Handshake, Listener, Stream},
};
