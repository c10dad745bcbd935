//! Why a signature is refused; each variant is one error code of S3.

use crate::{NoOldKey, SessionToken, SigningKeys, TokenFault};

/// What a client needs to find its own mistake; nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mismatch {
    /// The access key that was named.
    pub access_key: String,
    /// What we would have signed.
    pub string_to_sign: String,
    /// What the client sent.
    pub signature: String,
    /// The request as we understood it; empty for POST forms and chunks.
    pub canonical_request: String,
}

/// Why a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// `InvalidArgument`: header and query both carry a signature.
    #[error("more than one kind of authentication")]
    BothPresent,
    /// `InvalidRequest`: a signature with HMAC-SHA1 that is not taken.
    #[error("{0}")]
    OldSignature(NoOldKey),
    /// `InvalidArgument`: a header with such a signature that cannot be read.
    #[error("{0}")]
    OldMalformed(&'static str),
    /// `AccessDenied`: the same of a query.
    #[error("{0}")]
    OldQuery(String),
    /// `AccessDenied`: such a signature does not cover this header or parameter.
    #[error("a signature of version 2 does not cover {0}")]
    OldUnsigned(String),
    /// `AccessDenied`: a presigned URL with such a signature has run out.
    #[error("request has expired")]
    OldExpired {
        /// `Expires`, ISO 8601.
        at: String,
        /// Our time, ISO 8601.
        server: String,
    },
    /// `InvalidArgument`: a scheme that S3 does not know.
    #[error("unsupported authorization type")]
    UnknownScheme,
    /// `NotImplemented`: a scheme that S3 knows and we do not have yet.
    #[error("{0} is not implemented")]
    NotImplemented(&'static str),
    /// `InvalidArgument`: a value of `x-amz-content-sha256` that S3 does not know.
    #[error("x-amz-content-sha256 is not valid")]
    PayloadMode(String),
    /// `InvalidRequest`: a header that must be there.
    #[error("missing header {0}")]
    MissingHeader(&'static str),
    /// `AuthorizationHeaderMalformed`.
    #[error("the authorization header is malformed: {0}")]
    HeaderMalformed(&'static str),
    /// `AuthorizationQueryParametersError`.
    #[error("the query's authentication is malformed: {0}")]
    QueryMalformed(&'static str),
    /// `AuthorizationHeaderMalformed` or `AuthorizationQueryParametersError` with `<Region>`.
    #[error("the region '{got}' is wrong; expecting '{expected}'")]
    WrongRegion {
        /// The region that the client signed for.
        got: String,
        /// Ours.
        expected: String,
        /// Whether the signature came in the query.
        query: bool,
        /// Whether the access key is one that works here; the signature was not verified.
        known: bool,
    },
    /// `AuthorizationHeaderMalformed` or `AuthorizationQueryParametersError`.
    #[error("the region set '{got}' does not name '{expected}'")]
    RegionSet {
        /// The region set that the client signed for.
        got: String,
        /// Our region.
        expected: String,
        /// Whether the signature came in the query.
        query: bool,
    },
    /// `AccessDenied`: the account takes asymmetric signatures only.
    #[error("the account requires asymmetric signatures")]
    AsymmetricRequired,
    /// `AccessDenied`: neither `x-amz-date` nor `Date` says when the request was signed.
    #[error("no valid date")]
    NoDate,
    /// `RequestTimeTooSkewed`.
    #[error("the request's time is too far from ours")]
    Skewed {
        /// The request's time (`YYYYMMDDTHHMMSSZ`).
        request: String,
        /// Ours, ISO 8601.
        server: String,
    },
    /// `AccessDenied`: a presigned URL or a policy has run out.
    #[error("request has expired")]
    Expired {
        /// `X-Amz-Expires`, in seconds.
        after_s: u64,
        /// When, ISO 8601.
        at: String,
        /// Our time, ISO 8601.
        server: String,
    },
    /// `AccessDenied`: a presigned URL of the future.
    #[error("request is not valid yet")]
    NotYetValid,
    /// `AccessDenied` with `HeadersNotSigned`.
    #[error("there were headers present in the request which were not signed: {0}")]
    HeadersNotSigned(String),
    /// `InvalidToken`: a token that is none, that is another key's, or that is not taken here.
    #[error("the session token is malformed or otherwise invalid")]
    Token,
    /// `ExpiredToken`: the session is over.
    #[error("the session token has expired")]
    ExpiredToken,
    /// `TokenRefreshRequired`: the key under which the token was sealed is not here any more.
    #[error("the session token must be refreshed")]
    OutdatedToken,
    /// `InvalidAccessKeyId`.
    #[error("unknown access key")]
    UnknownKey(String),
    /// `AccountProblem`: the key is one of an account that is suspended.
    #[error("the account is suspended")]
    AccountProblem,
    /// `SignatureDoesNotMatch`.
    #[error("the signature does not match")]
    Mismatch(Box<Mismatch>),
}

impl SignatureError {
    /// Of a key that opens nothing here.
    pub(super) fn of_unknown(
        keys: &dyn SigningKeys,
        access_key: &str,
        token: Option<&str>,
    ) -> Self {
        let token = token.map(SessionToken::new);
        match keys.is_suspended(access_key, token.as_ref()) {
            true => Self::AccountProblem,
            false => Self::UnknownKey(access_key.to_owned()),
        }
    }
}

impl From<TokenFault> for SignatureError {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Invalid => Self::Token,
            TokenFault::Expired => Self::ExpiredToken,
            TokenFault::Outdated => Self::OutdatedToken,
        }
    }
}
