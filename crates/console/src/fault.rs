//! Why a page cannot be shown.

use std::borrow::Cow;

use access::grants::Action;
use http::StatusCode;

/// Why not. Each kind has a page of its own, so that nothing missing looks like nothing there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no such page, bucket, object or version.
    Missing(Cow<'static, str>),
    /// The caller may not. What it needs is said where that is known.
    Refused(Cow<'static, str>),
    /// The caller lacks this grant of the admin API.
    NoGrant(Action),
    /// This region may not show the bucket; that of this id and endpoint may.
    Law {
        /// The bucket's home.
        home: String,
        /// Where the home's endpoint is.
        endpoint: String,
    },
    /// Only the region that keeps the registry can do it.
    Elsewhere {
        /// That region.
        keeper: String,
        /// Where its endpoint is.
        endpoint: String,
    },
    /// What was sent cannot be acted on.
    Bad(Cow<'static, str>),
    /// What was looked at has changed meanwhile.
    Changed,
    /// This version cannot do it.
    NotImplemented(String),
    /// It may work later: the API is busy, or a region does not answer.
    Busy(String),
    /// It should have worked.
    Failed(String),
    /// Nobody is signed in.
    SignedOut,
    /// Answered for another host name.
    Misdirected,
    /// The method is not for this page.
    Method(&'static str),
    /// The body is too large.
    TooLarge,
}

impl Fault {
    /// The status of its page.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) | Self::NoGrant(_) | Self::Law { .. } => StatusCode::FORBIDDEN,
            Self::Elsewhere { .. } | Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Changed => StatusCode::CONFLICT,
            Self::NotImplemented(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::SignedOut => StatusCode::SEE_OTHER,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}
