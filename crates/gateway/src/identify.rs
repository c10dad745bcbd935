//! Who sends a request: the signature is verified here, before anything is looked up or routed.

use std::{fmt::Write, net::IpAddr};

use access::{
    AuthType, Identity, PayloadMode, RequestFacts,
    signature::{ChunkVerifier, Facts, RegionNames, Verified},
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
            // What was relayed is never forwarded again.
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

/// A caller whose key is not known here: the registry may know it, and sends it to the region to
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

/// The region that the signature names, in the error for a wrong one, for holders of a key.
pub(crate) const SIGNED_REGION: &str = "RegionInSignature";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_may_be_learned_and_no_token_becomes_another_one() {
        assert!(may_be_new(FaultKind::InvalidAccessKeyId));
        assert!(may_be_new(FaultKind::TokenRefreshRequired));
        assert!(!may_be_new(FaultKind::InvalidToken) && !may_be_new(FaultKind::ExpiredToken));
    }
}
