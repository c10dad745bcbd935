//! The kind of authentication, decided once.

use http::{HeaderMap, Method, header};

use super::{SignatureError, asymmetric::ECDSA};

/// How a request says who sends it. Whatever is not one of these is refused before routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    /// It does not say.
    Anonymous,
    /// `Authorization: AWS4-HMAC-SHA256 …`.
    HeaderV4,
    /// `X-Amz-Algorithm=AWS4-HMAC-SHA256&…` in the query.
    PresignedV4,
    /// `Authorization: AWS4-ECDSA-P256-SHA256 …`.
    HeaderV4a,
    /// `X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&…` in the query.
    PresignedV4a,
    /// `Authorization: AWS …`: signature version 2.
    HeaderV2,
    /// `AWSAccessKeyId=…&Expires=…&Signature=…` in the query.
    PresignedV2,
    /// A form: who sends it is in the body.
    PostPolicy,
    /// A form whose body has a signature of version 2.
    PostPolicyV2,
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `AWS4-HMAC-SHA256`: whoever verifies can sign.
    Hmac,
    /// `AWS4-ECDSA-P256-SHA256`: whoever verifies has a public key.
    Ecdsa,
}

impl Algorithm {
    /// As it is written in requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hmac => "AWS4-HMAC-SHA256",
            Self::Ecdsa => ECDSA,
        }
    }
}

/// The query's parameters that carry a signature of version 4, and of version 2.
const QUERY_V4: [&str; 3] = [ALGORITHM, "X-Amz-Credential", "X-Amz-Signature"];
const QUERY_V2: [&str; 2] = ["AWSAccessKeyId", "Signature"];
const ALGORITHM: &str = "X-Amz-Algorithm";

/// What a query has of signatures.
#[derive(Default)]
struct InQuery {
    v4: bool,
    v4a: bool,
    v2: bool,
}

impl AuthType {
    /// Decides. `query` is the query as it was sent.
    pub fn of(
        method: &Method,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Self, SignatureError> {
        let found = query.map(in_query).unwrap_or_default();
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return match (found.v4, found.v2) {
                (true, true) => Err(SignatureError::BothPresent),
                (true, false) if found.v4a => Ok(Self::PresignedV4a),
                (true, false) => Ok(Self::PresignedV4),
                (false, true) => Ok(Self::PresignedV2),
                (false, false) if method == Method::POST && is_form(headers) => {
                    Ok(Self::PostPolicy)
                }
                (false, false) => Ok(Self::Anonymous),
            };
        };
        if found.v4 || found.v2 || values.next().is_some() {
            return Err(SignatureError::BothPresent);
        }
        let value = value.as_bytes();
        let scheme = value.split(|b| *b == b' ').next().unwrap_or_default();
        match scheme {
            b"AWS4-HMAC-SHA256" => Ok(Self::HeaderV4),
            b"AWS4-ECDSA-P256-SHA256" => Ok(Self::HeaderV4a),
            b"AWS" => Ok(Self::HeaderV2),
            _ => Err(SignatureError::UnknownScheme),
        }
    }

    /// What its signature is called; `None` where there is none.
    pub const fn signature_version(self) -> Option<&'static str> {
        match self {
            Self::Anonymous => None,
            // The policy of a form is signed as other requests are.
            Self::HeaderV4 | Self::PresignedV4 | Self::PostPolicy => Some(Algorithm::Hmac.name()),
            Self::HeaderV4a | Self::PresignedV4a => Some(Algorithm::Ecdsa.name()),
            Self::HeaderV2 | Self::PresignedV2 | Self::PostPolicyV2 => Some(super::v2::VERSION),
        }
    }

    /// Whether it is signed with HMAC-SHA1.
    pub const fn is_old(self) -> bool {
        matches!(
            self,
            Self::HeaderV2 | Self::PresignedV2 | Self::PostPolicyV2
        )
    }

    /// Whether the signature is in the query.
    pub const fn is_presigned(self) -> bool {
        match self {
            Self::PresignedV4 | Self::PresignedV4a | Self::PresignedV2 => true,
            Self::Anonymous
            | Self::HeaderV4
            | Self::HeaderV4a
            | Self::HeaderV2
            | Self::PostPolicy
            | Self::PostPolicyV2 => false,
        }
    }
}

fn in_query(query: &str) -> InQuery {
    // A name may be percent-encoded; it is decoded only where that is so.
    let mut found = InQuery::default();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let mut plain = Vec::new();
        let name = if name.contains(['%', '+']) {
            super::parse::decode(&mut plain, name);
            String::from_utf8_lossy(&plain)
        } else {
            name.into()
        };
        if name.eq_ignore_ascii_case(ALGORITHM) {
            // One that comes twice is refused where it is read.
            let mut plain = Vec::new();
            super::parse::decode(&mut plain, value);
            found.v4a |= plain == ECDSA.as_bytes();
        }
        found.v4 |= QUERY_V4.iter().any(|n| name.eq_ignore_ascii_case(n));
        found.v2 |= QUERY_V2.iter().any(|n| *n == name);
    }
    found
}

fn is_form(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let form = b"multipart/form-data";
        value
            .as_bytes()
            .get(..form.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(form))
    })
}
