//! What can go wrong between two regions, by what the caller can do about it.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError};

/// A failure between peers. Texts name peers and causes, never a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No connection, or it broke. Try again later.
    #[error("{peer} cannot be reached: {reason}")]
    Unreachable {
        /// The region or address that was asked for.
        peer: String,
        /// What failed.
        reason: String,
    },
    /// Something answered that does not speak TLS 1.3 and HTTP/2 as a peer does.
    #[error("handshake with {peer} failed: {reason}")]
    Handshake {
        /// The region or address that was asked for.
        peer: String,
        /// What failed.
        reason: String,
    },
    /// One side does not accept the other's certificate: wrong region, wrong cloud, expired or
    /// revoked. Trying again does not help before a certificate changes.
    #[error("refused, {peer}: {reason}")]
    Refused {
        /// The region or address that was asked for.
        peer: String,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("deadline passed while waiting for {0}")]
    Deadline(&'static str),
    /// The connection is open, but the exchange broke: a reset stream, a body over its limit.
    #[error("exchange with {peer} broke: {reason}")]
    Protocol {
        /// The region or address that was asked for.
        peer: String,
        /// What broke.
        reason: String,
    },
    /// A key, certificate or request for one that cannot be used.
    #[error("unusable credentials: {0}")]
    Credentials(String),
}

impl PeerError {
    /// Whether a body was longer than it may be: the same request would bring the same.
    pub fn is_too_long(&self) -> bool {
        matches!(self, Self::Protocol { peer, .. } if peer == crate::body::LONG_SENDER)
    }

    /// Whether the same request may succeed later although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Deadline(_) | Self::Protocol { .. } => true,
            Self::Handshake { .. } | Self::Refused { .. } | Self::Credentials(_) => false,
        }
    }

    pub(crate) fn credentials(what: impl ToString) -> Self {
        Self::Credentials(what.to_string())
    }

    /// The kind of an error while a connection was made.
    pub(crate) fn from_connect(peer: &str, error: &(dyn Error + 'static)) -> Self {
        let (peer, reason) = (peer.to_owned(), chain(error));
        match find::<rustls::Error>(error) {
            Some(tls) if refuses(tls) => Self::Refused { peer, reason },
            Some(_) => Self::Handshake { peer, reason },
            None => Self::Unreachable { peer, reason },
        }
    }

    /// The kind of an error on a connection that was made.
    pub(crate) fn from_exchange(peer: &str, error: &(dyn Error + 'static)) -> Self {
        let (peer, reason) = (peer.to_owned(), chain(error));
        if find::<rustls::Error>(error).is_some_and(refuses) {
            return Self::Refused { peer, reason };
        }
        let stream = find::<h2::Error>(error);
        match stream.and_then(h2::Error::reason) {
            Some(h2::Reason::INADEQUATE_SECURITY) => Self::Refused { peer, reason },
            // The other side goes away in order: a new connection will do.
            Some(h2::Reason::NO_ERROR | h2::Reason::REFUSED_STREAM) => {
                Self::Unreachable { peer, reason }
            }
            Some(_) => Self::Protocol { peer, reason },
            None => Self::Unreachable { peer, reason },
        }
    }
}

/// Whether this failure of TLS says that a certificate was looked at and not accepted.
fn refuses(error: &rustls::Error) -> bool {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(CertificateError::BadEncoding) => false,
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => true,
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            Alert::AccessDenied
                | Alert::BadCertificate
                | Alert::CertificateExpired
                | Alert::CertificateRequired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::DecryptError
                | Alert::UnknownCA
                | Alert::UnsupportedCertificate
        ),
        _ => false,
    }
}

/// The first error of type `T` among an error and its sources, inside of `io::Error` too.
pub(crate) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(h2) = error.downcast_ref::<h2::Error>()
            && let Some(io) = h2.get_io()
            && let Some(found) = find::<T>(io)
        {
            return Some(found);
        }
        // `io::Error` names the source of what it wraps, not what it wraps.
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}
