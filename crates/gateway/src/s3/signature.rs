//! What a client reads where its signature is refused.

use access::{NoOldKey, SignatureError, signature::Mismatch};

use crate::{
    fault::{Fault, FaultKind},
    identify::SIGNED_REGION,
};

/// What to do where an account takes no other signatures.
const ASYMMETRIC_ONLY: &str = "Access Denied: the account requires signatures of \
    AWS4-ECDSA-P256-SHA256 by its access keys, and takes no temporary credentials. With boto3 set \
    signature_version='s3v4a' in Config and install awscrt.";
/// What else `x-amz-content-sha256` may be.
const PAYLOAD_MODES: &str = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, \
    STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
    STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.";

impl From<SignatureError> for Fault {
    fn from(error: SignatureError) -> Self {
        use FaultKind as C;
        use SignatureError as E;
        match error {
            E::BothPresent => Fault::with(
                C::InvalidArgument,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, \
                 Signature query string parameter or the Authorization header should be specified",
            ),
            E::OldSignature(why) => Fault::with(C::InvalidRequest, old_signature(why)),
            E::OldMalformed(what) => old_malformed(what),
            E::OldQuery(what) => Fault::with(C::AccessDenied, what),
            E::OldUnsigned(what) => old_unsigned(what),
            E::OldExpired { at, server } => old_expired(at, server),
            E::UnknownScheme => Fault::with(C::InvalidArgument, "Unsupported Authorization Type")
                .detail("ArgumentName", "Authorization"),
            E::NotImplemented(what) => Fault::not_implemented(what),
            E::PayloadMode(value) => Fault::argument("x-amz-content-sha256", &value, PAYLOAD_MODES),
            E::MissingHeader(name) => Fault::with(
                C::InvalidRequest,
                format!("Missing required header for this request: {name}"),
            ),
            E::HeaderMalformed(what) => Fault::with(
                C::AuthorizationHeaderMalformed,
                format!("The authorization header is malformed; {what}"),
            ),
            E::QueryMalformed(what) => Fault::with(C::AuthorizationQueryParametersError, what),
            E::WrongRegion {
                got,
                expected,
                query,
                known,
            } => wrong_region(got, expected, (query, known)),
            E::RegionSet {
                got,
                expected,
                query,
            } => region_set(&got, expected, query),
            E::AsymmetricRequired => Fault::with(C::AccessDenied, ASYMMETRIC_ONLY),
            E::NoDate => Fault::with(
                C::AccessDenied,
                "AWS authentication requires a valid Date or x-amz-date header",
            ),
            E::Skewed { request, server } => Fault::new(C::RequestTimeTooSkewed)
                .detail("RequestTime", request)
                .detail("ServerTime", server)
                .detail("MaxAllowedSkewMilliseconds", "900000"),
            E::Expired {
                at,
                after_s,
                server,
            } => Fault::with(C::AccessDenied, "Request has expired")
                .detail("X-Amz-Expires", after_s.to_string())
                .detail("Expires", at)
                .detail("ServerTime", server),
            E::NotYetValid => Fault::with(C::AccessDenied, "Request is not valid yet"),
            E::HeadersNotSigned(names) => Fault::with(
                C::AccessDenied,
                "There were headers present in the request which were not signed",
            )
            .detail("HeadersNotSigned", names),
            E::Token => C::InvalidToken.into(),
            E::ExpiredToken => C::ExpiredToken.into(),
            E::OutdatedToken => C::TokenRefreshRequired.into(),
            E::UnknownKey(key) => Fault::new(C::InvalidAccessKeyId).detail("AWSAccessKeyId", key),
            E::AccountProblem => C::AccountProblem.into(),
            E::Mismatch(mismatch) => mismatched(*mismatch),
        }
    }
}

fn old_malformed(what: &'static str) -> Fault {
    Fault::with(FaultKind::InvalidArgument, what).detail("ArgumentName", "Authorization")
}

fn old_unsigned(what: String) -> Fault {
    let text = "There were headers or parameters present in the request which signatures of \
                version 2 do not cover. Please use AWS4-HMAC-SHA256.";
    Fault::with(FaultKind::AccessDenied, text).detail("NotSigned", what)
}

fn old_expired(at: String, server: String) -> Fault {
    Fault::with(FaultKind::AccessDenied, "Request has expired")
        .detail("Expires", at)
        .detail("ServerTime", server)
}

/// The first two sentences are those of S3.
fn old_signature(why: NoOldKey) -> String {
    let what = match why {
        NoOldKey::Region => {
            "This region is not run by the owner of the cloud, so it takes no signatures of \
             version 2, of whatever account."
        }
        NoOldKey::Off | NoOldKey::Unknown => {
            "The account takes no signatures of version 2; whoever administers it can turn them on \
             with `dhow account access ACCOUNT --old-signatures on`."
        }
    };
    [
        "The authorization mechanism you have provided is not supported. Please use \
         AWS4-HMAC-SHA256. ",
        what,
    ]
    .concat()
}

fn mismatched(m: Mismatch) -> Fault {
    let error = Fault::new(FaultKind::SignatureDoesNotMatch)
        .detail("AWSAccessKeyId", m.access_key)
        .detail("SignatureProvided", m.signature)
        .detail("StringToSignBytes", bytes(&m.string_to_sign))
        .detail("StringToSign", m.string_to_sign);
    match m.canonical_request.is_empty() {
        true => error,
        false => error
            .detail("CanonicalRequestBytes", bytes(&m.canonical_request))
            .detail("CanonicalRequest", m.canonical_request),
    }
}

/// Each byte in hex: a client compares them with its own, and sees what no text shows.
fn bytes(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

fn region_set(got: &str, expected: String, query: bool) -> Fault {
    let (kind, start) = match query {
        true => (
            FaultKind::AuthorizationQueryParametersError,
            "Error parsing the X-Amz-Region-Set parameter",
        ),
        false => (
            FaultKind::AuthorizationHeaderMalformed,
            "The x-amz-region-set header does not fit",
        ),
    };
    let text = format!("{start}; the region set '{got}' does not name region '{expected}'");
    Fault::with(kind, text).bucket_region(&expected)
}

fn wrong_region(got: String, expected: String, (query, known): (bool, bool)) -> Fault {
    let (kind, start) = if query {
        (
            FaultKind::AuthorizationQueryParametersError,
            "Error parsing the X-Amz-Credential parameter",
        )
    } else {
        (
            FaultKind::AuthorizationHeaderMalformed,
            "The authorization header is malformed",
        )
    };
    let text = match got.is_empty() {
        // What some SDKs send where no region is set.
        true => format!(
            "{start}; a non-empty region must be provided in the credential; expecting '{expected}'"
        ),
        false => format!("{start}; the region '{got}' is wrong; expecting '{expected}'"),
    };
    // An answer to HEAD has no body: SDKs read the right region from the header then.
    let error = Fault::with(kind, text)
        .bucket_region(&expected)
        .detail("Region", expected);
    match known {
        true => error.detail(SIGNED_REGION, got),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::error::code;

    #[test]
    fn what_is_wrong_with_a_token_is_told_apart() {
        for (error, name) in [
            (SignatureError::Token, "InvalidToken"),
            (SignatureError::ExpiredToken, "ExpiredToken"),
            (SignatureError::OutdatedToken, "TokenRefreshRequired"),
        ] {
            let code = code(Fault::from(error).kind);
            assert_eq!((code.name, code.status().as_u16()), (name, 400));
        }
    }
}
