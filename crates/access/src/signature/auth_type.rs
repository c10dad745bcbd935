//! The kind of authentication, decided once.

use http::{HeaderMap, Method, header};

use super::SignatureError;

/// How a request says who sends it. Whatever is not one of these is refused before routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    /// It does not say.
    Anonymous,
    /// `Authorization: AWS4-HMAC-SHA256 …`.
    HeaderV4,
    /// `X-Amz-Algorithm=AWS4-HMAC-SHA256&…` in the query.
    PresignedV4,
    /// A form: who sends it stands in the body.
    PostPolicy,
}

/// The query's parameters that carry a signature of version 4, and of version 2.
const QUERY_V4: [&str; 3] = ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"];
const QUERY_V2: [&str; 2] = ["AWSAccessKeyId", "Signature"];

impl AuthType {
    /// Decides. `query` is the query as it was sent.
    pub fn of(
        method: &Method,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Self, SignatureError> {
        let (v4, v2) = query.map_or((false, false), in_query);
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else {
            return match (v4, v2) {
                (true, true) => Err(SignatureError::BothPresent),
                (true, false) => Ok(Self::PresignedV4),
                (false, true) => Err(SignatureError::Version2),
                (false, false) if method == Method::POST && is_form(headers) => {
                    Ok(Self::PostPolicy)
                }
                (false, false) => Ok(Self::Anonymous),
            };
        };
        if v4 || v2 || values.next().is_some() {
            return Err(SignatureError::BothPresent);
        }
        let value = value.as_bytes();
        let scheme = value.split(|b| *b == b' ').next().unwrap_or_default();
        match scheme {
            b"AWS4-HMAC-SHA256" => Ok(Self::HeaderV4),
            b"AWS4-ECDSA-P256-SHA256" => {
                Err(SignatureError::NotImplemented("AWS4-ECDSA-P256-SHA256"))
            }
            b"AWS" => Err(SignatureError::Version2),
            _ => Err(SignatureError::UnknownScheme),
        }
    }
}

fn in_query(query: &str) -> (bool, bool) {
    // A name may be percent-encoded; it is decoded only where that is so.
    let (mut v4, mut v2) = (false, false);
    for pair in query.split('&') {
        let name = pair.split('=').next().unwrap_or_default();
        let mut plain = Vec::new();
        let name = if name.contains(['%', '+']) {
            super::parse::decode(&mut plain, name);
            String::from_utf8_lossy(&plain)
        } else {
            name.into()
        };
        v4 |= QUERY_V4.iter().any(|n| name.eq_ignore_ascii_case(n));
        v2 |= QUERY_V2.iter().any(|n| *n == name);
    }
    (v4, v2)
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
