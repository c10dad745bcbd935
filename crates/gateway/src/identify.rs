//! Who sends a request: the signature is verified here, before anything is looked up or routed.

use std::{fmt::Write, net::IpAddr};

use access::{
    AuthType, Identity, NoOldKey, PayloadMode, RequestFacts, SignatureError,
    signature::{ChunkVerifier, Facts, Mismatch, RegionNames, Verified},
};
use http::{HeaderValue, Method, header};
use hyper::body::Incoming;
use types::{RegionId, Timestamp};

use crate::{
    fault::{Fault, FaultKind},
    passing::{PassedBody, Tee},
    payload::{Pace, payload},
    proof::{Relayed, body_of},
    regions::Introduced,
    request::{Received, Request},
    server::Gateway,
};

/// A caller, and how their body is to be verified.
pub struct Identified {
    identity: Identity,
    auth: AuthType,
    /// How the request came.
    facts: RequestFacts,
    bytes: Bytes,
}

enum Bytes {
    /// As the client's signature says.
    Signed(PayloadMode, Option<Box<ChunkVerifier>>, Option<Once>),
    /// As the head says that another region relays.
    Relayed(Box<Relayed>),
}

/// What is remembered of a request that others may have who could send it again.
struct Once {
    account: RegionId,
    text: String,
    at: Timestamp,
}

impl Identified {
    /// Takes the caller out; nobody is left.
    pub fn take_identity(&mut self) -> Identity {
        std::mem::replace(&mut self.identity, Identity::Anonymous)
    }

    /// How the caller said who they are. [`AuthType::PostPolicy`] is anonymous until the form has
    /// been read.
    pub fn auth(&self) -> AuthType {
        self.auth
    }

    /// How the request came.
    pub(crate) fn facts(&self) -> RequestFacts {
        self.facts
    }

    /// What its body said of how it is signed.
    pub(crate) fn found(&mut self, auth: AuthType) {
        self.facts.auth = Some(auth);
    }

    /// The body, verified as it is read.
    pub(crate) fn into_body(
        self,
        request: &Request<'_>,
        incoming: Incoming,
        pace: Pace,
    ) -> Result<Box<dyn types::Body>, Fault> {
        match self.bytes {
            Bytes::Signed(mode, chunks, _) => {
                payload(incoming, request.headers(), mode, chunks, pace)
            }
            Bytes::Relayed(relayed) => body_of(*relayed, request.headers(), incoming, pace),
        }
    }

    /// Whether another region relays it.
    pub(crate) fn is_relayed(&self) -> bool {
        matches!(self.bytes, Bytes::Relayed(_))
    }

    /// Refuses a change that comes for the second time, where another region relays it or may have
    /// it.
    pub(crate) fn check_replay(
        &self,
        gateway: &Gateway,
        request: &Request<'_>,
    ) -> Result<(), Fault> {
        match &self.bytes {
            Bytes::Signed(_, _, None) => Ok(()),
            Bytes::Signed(_, _, Some(once)) => {
                match matches!(*request.method(), Method::GET | Method::HEAD) {
                    true => Ok(()),
                    false => gateway.count_once(&once.account, &once.text, once.at),
                }
            }
            Bytes::Relayed(relayed) => gateway.check_replay(request, relayed),
        }
    }

    /// The body for another region: verified here as it is read, and as it was sent.
    pub(crate) fn into_passing(
        self,
        request: &Request<'_>,
        incoming: Incoming,
        pace: Pace,
    ) -> Result<PassedBody, Fault> {
        let Bytes::Signed(mode, chunks, _) = self.bytes else {
            // What was relayed is never passed on again.
            return Err(FaultKind::AccessDenied.into());
        };
        let (tee, sent) = Tee::of(incoming);
        let body = payload(tee, request.headers(), mode, chunks, pace)?;
        Ok(PassedBody::new(body, sent))
    }

    /// A caller of whom another region relays what they signed; `facts` is what that region says
    /// beside it.
    pub(crate) fn relayed(mut relayed: Relayed, facts: RequestFacts) -> Self {
        Self {
            identity: relayed.take_caller(),
            auth: AuthType::HeaderV4,
            facts: relayed.signed(facts),
            bytes: Bytes::Relayed(Box::new(relayed)),
        }
    }
}

/// Verifies the signature.
pub(crate) async fn identify<'r>(
    gateway: &Gateway,
    received: Received<'r>,
    facts: RequestFacts,
) -> Result<(Request<'r>, Identified), Fault> {
    let verified = match received.verify(&judged_by(gateway)) {
        Err(error) if may_be_new(error.kind) => {
            Box::pin(newcomer(gateway, &received, facts.source, error)).await
        }
        verified => verified,
    };
    let (auth, verified) = verified.map_err(|error| name_endpoint(gateway, error))?;
    let request = received.verified()?;
    let Verified {
        identity,
        payload,
        at,
        chunks,
        once,
    } = verified;
    let remembered = identity.account().zip(once).zip(at);
    let once = remembered.map(|((account, text), at)| Once {
        account: RegionId::new(account),
        text,
        at,
    });
    let identified = Identified {
        identity,
        auth,
        facts: facts.signed(auth, at).read_at(gateway.clock.now()),
        bytes: Bytes::Signed(payload, chunks, once),
    };
    Ok((request, identified))
}

/// Whether a signature was refused since its key, or what opens its token, is not known here.
fn may_be_new(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::InvalidAccessKeyId | FaultKind::TokenRefreshRequired
    )
}

/// A caller whose key is not known here: the registry may know it, and tells it to the region to
/// which its holder has signed a request.
async fn newcomer(
    gateway: &Gateway,
    received: &Received<'_>,
    from: Option<IpAddr>,
    unknown: Fault,
) -> Result<(AuthType, Verified), Fault> {
    let claim = received.claimed(gateway.clock.now()).ok();
    let (Some(regions), Some(claim)) = (&gateway.regions, claim) else {
        return Err(unknown);
    };
    match regions.introduce(&claim.statement, from).await {
        Introduced::Known => received.verify(&judged_by(gateway)),
        Introduced::Nobody => Err(unknown),
        Introduced::Unknown(why) => Err(Fault::with(
            FaultKind::SlowDown,
            format!(
                "Region {} cannot find out now whose key this is: {why}.",
                gateway.region
            ),
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))),
    }
}

/// What signatures are judged by, now.
pub(crate) fn judged_by(gateway: &Gateway) -> Facts<'_> {
    Facts {
        keys: &*gateway.keys,
        regions: RegionNames {
            own: &gateway.region,
            aliases: &gateway.config.region_aliases,
        },
        now: gateway.clock.now(),
    }
}

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
    Fault::new(FaultKind::SignatureDoesNotMatch)
        .detail("AWSAccessKeyId", m.access_key)
        .detail("StringToSign", m.string_to_sign)
        .detail("SignatureProvided", m.signature)
        .detail("CanonicalRequest", m.canonical_request)
}

/// The region that the signature names, in the error for a wrong one, for holders of a key.
const SIGNED_REGION: &str = "RegionInSignature";

/// SDKs that follow a bucket to its region sign for that region, and send the request to the same
/// endpoint where a custom one is set. So the error says which endpoint the region has. Whoever has
/// no key learns nothing of other regions.
fn name_endpoint(gateway: &Gateway, mut error: Fault) -> Fault {
    let signed = error
        .details
        .iter()
        .find(|(name, _)| *name == SIGNED_REGION);
    let (Some((_, region)), Some(regions)) = (signed, &gateway.regions) else {
        return error;
    };
    let Some(endpoint) = regions.endpoint(&RegionId::new(region)) else {
        return error;
    };
    if let Some(message) = &mut error.message {
        let _ = write!(
            message,
            ". This endpoint is of region {}: for region {region}, send the request to {endpoint}",
            gateway.region
        );
    }
    error.detail("Endpoint", endpoint)
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

    #[test]
    fn what_is_wrong_with_a_token_is_told_apart() {
        for (error, code, status) in [
            (SignatureError::Token, "InvalidToken", 400),
            (SignatureError::ExpiredToken, "ExpiredToken", 400),
            (SignatureError::OutdatedToken, "TokenRefreshRequired", 400),
        ] {
            let told = Fault::from(error);
            assert_eq!(
                (
                    told.kind.name(),
                    crate::s3::error::code(told.kind).status().as_u16()
                ),
                (code, status)
            );
        }
        // Another key may be learned, and a key of tokens; nothing makes a token another one.
        assert!(may_be_new(FaultKind::TokenRefreshRequired));
        assert!(!may_be_new(FaultKind::InvalidToken) && !may_be_new(FaultKind::ExpiredToken));
    }
}
