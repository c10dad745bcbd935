//! What proves a request that another region relays. Its head is the one that the customer signed,
//! and nothing else is acted on; whoever has the key verifies the signature; and a body that the
//! signature does not cover needs the owner's trust in that region ([`access::is_trusted`]).
//! Headers that S3 does not define may be unsigned, as from any client.

use std::sync::Arc;

use access::{
    Identity, PayloadMode, Proof, Refusal, Replayed, RequestFacts,
    signature::{ChunkLink, Claim},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use digest::Hasher;
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};
use hyper::body::Incoming;
use types::{
    AccountId, Body, BodyError, BucketName, ChecksumAlgorithm, ChecksumValue, Place, RegionId,
    Timestamp, body::NextChunk,
};

use crate::{
    chunked::Chain,
    elsewhere::unavailable,
    fault::{Fault, FaultKind},
    payload::{Pace, Payload, payload_of},
    regions::{Proven, Regions},
    relayed,
    request::{Received, Request, without_port},
    server::Gateway,
};

/// Signatures of chunks in one question.
const LINKS_MAX: usize = 512;

/// What of a body the signature of its head covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cover {
    /// All of it, by its SHA-256 or by the signatures of its chunks.
    Signed,
    /// All of it, by a digest in a header that is signed.
    Checksum(ChecksumValue),
    /// The same by `Content-MD5`.
    Md5([u8; 16]),
    /// Nothing.
    Nothing,
}

impl Cover {
    /// By a head. CRCs do not count: other bytes with the same CRC are easily made.
    pub(crate) fn of(claim: &Claim, headers: &HeaderMap) -> Self {
        match claim.payload {
            PayloadMode::Sha256(_) | PayloadMode::StreamingSigned { .. } => return Self::Signed,
            PayloadMode::Unsigned | PayloadMode::StreamingUnsigned => {}
        }
        let signed = |name: &str| {
            let value = headers.get(name).filter(|_| claim.covers(name))?;
            value.to_str().ok()
        };
        for algorithm in [ChecksumAlgorithm::Sha256, ChecksumAlgorithm::Sha1] {
            let checksum = signed(algorithm.header())
                .and_then(|text| ChecksumValue::parse(algorithm, text))
                .filter(|checksum| checksum.parts() == 0);
            if let Some(checksum) = checksum {
                return Self::Checksum(checksum);
            }
        }
        let md5 = signed("content-md5").and_then(|text| STANDARD.decode(text).ok());
        match md5.and_then(|bytes| bytes.try_into().ok()) {
            Some(md5) => Self::Md5(md5),
            None => Self::Nothing,
        }
    }
}

/// A head that was relayed, and what proves it.
pub(crate) struct Relayed {
    caller: Option<Identity>,
    /// Who can be asked about its body.
    regions: Arc<dyn Regions>,
    from: RegionId,
    /// Where it is remembered that the request came: beside others that this region relays or,
    /// where other regions may have the request too, beside others of the account.
    room: RegionId,
    bucket: BucketName,
    claim: Claim,
    cover: Cover,
    /// What was proven of the head and, once it is read, of the body.
    pub(crate) proof: Proof,
}

impl Relayed {
    pub(crate) fn take_caller(&mut self) -> Identity {
        self.caller.take().unwrap_or(Identity::Anonymous)
    }

    /// What the region that relays says, and what the head says of its signature.
    pub(crate) fn signed(&self, facts: RequestFacts) -> RequestFacts {
        facts.signed(self.claim.auth(), Some(self.claim.at))
    }
}

impl Gateway {
    /// Reads a head that `from` relays, and finds out who signed it. `stated` is the bucket that
    /// region read.
    pub(crate) async fn verify_relayed_head<'r>(
        &self,
        parts: &'r mut Parts,
        from: &Place,
        stated: Option<&HeaderValue>,
    ) -> Result<(Request<'r>, Relayed), Fault> {
        let regions = self.regions.as_ref().ok_or(FaultKind::AccessDenied)?;
        let endpoint = regions
            .endpoint(&from.region)
            .map(|host| without_port(&host).to_owned());
        let mut domains = self.config.domains.clone();
        domains.extend(endpoint.clone());
        let received = Received::read(parts, &domains)?;
        let (request, claim) = received.claim(self.clock.now())?;
        let bucket = request.target().bucket.clone();
        let bucket = bucket.ok_or(FaultKind::AccessDenied)?;
        if request
            .dialect()
            .route(&request)
            .is_ok_and(|operation| operation.name == "CreateBucket")
        {
            // Every region makes its own.
            return Err(FaultKind::AccessDenied.into());
        }
        if stated.is_some_and(|stated| stated.as_bytes() != bucket.as_bytes()) {
            return Err(unproven(format!(
                "region {} reads another bucket in this host and path than region {}",
                from.region, self.region
            )));
        }
        self.check_sender(&bucket, from)?;
        let proven = regions.prove(&from.region, &bucket, &claim.statement).await;
        let (caller, proof) = judged(proven, &claim, from)?;
        if let Some(account) = caller.account() {
            self.check_host(&request, endpoint.as_deref(), account)?;
        }
        let room = match caller.account() {
            Some(account) if claim.statement.is_of_all_regions() => RegionId::new(account),
            _ => from.region.clone(),
        };
        let cover = Cover::of(&claim, request.headers());
        let proof = match (proof, cover) {
            (Proof::Whole, Cover::Nothing) => Proof::Head,
            (proof, _) => proof,
        };
        let relayed = Relayed {
            caller: Some(caller),
            regions: Arc::clone(regions),
            from: from.region.clone(),
            room,
            bucket,
            claim,
            cover,
            proof,
        };
        Ok((request, relayed))
    }

    /// Whether that region may forward anything of the bucket at all: before anybody is asked.
    fn check_sender(&self, bucket: &BucketName, from: &Place) -> Result<(), Fault> {
        // The region that forwarded it knows the bucket; so will this one in a moment.
        let deed = self.deeds.get(bucket);
        let deed = deed.ok_or_else(|| unavailable(&self.region, "does not know the bucket yet"))?;
        let Err(refusal) = access::may_pass(&deed, from, &self.place) else {
            return Ok(());
        };
        if matches!(refusal, Refusal::Sealed | Refusal::Elsewhere) {
            return Err(unavailable(
                &self.region,
                "does not hold the bucket for this request",
            ));
        }
        Err(Fault::with(
            FaultKind::AccessDenied,
            format!(
                "Access Denied: region {} does not take requests from region {}: {refusal}.",
                self.region, from.region
            ),
        ))
    }

    /// A host that this region does not know could name a bucket at the region that relays. The
    /// path is taken for the bucket only where the customer has no bucket of that name.
    fn check_host(
        &self,
        request: &Request<'_>,
        endpoint: Option<&str>,
        account: &AccountId,
    ) -> Result<(), Fault> {
        let host = request.headers().get(header::HOST);
        let host = without_port(host.and_then(|h| h.to_str().ok()).unwrap_or_default());
        let known = |name: &str| name.eq_ignore_ascii_case(host);
        let by_host = request.target().by_host;
        if by_host || endpoint.is_some_and(known) || self.config.domains.iter().any(|d| known(d)) {
            return Ok(());
        }
        let owned = |name: &str| {
            let name = BucketName::new(&name.to_ascii_lowercase()).ok();
            let deed = name.and_then(|name| self.deeds.get(&name));
            deed.is_some_and(|deed| access::is_owner(account, &deed))
        };
        let mut fronts = host.match_indices('.').map(|(at, _)| host.get(..at));
        match fronts.any(|front| front.is_some_and(owned)) {
            false => Ok(()),
            true => Err(unproven(format!(
                "region {} cannot decide whether the host {host} or the path names the bucket",
                self.region
            ))),
        }
    }

    /// A signed head counts once where it changes something. A presigned URL is made to be used
    /// again, until it ends.
    pub(crate) fn check_replay(
        &self,
        request: &Request<'_>,
        relayed: &Relayed,
    ) -> Result<(), Fault> {
        let claim = &relayed.claim;
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
        // A signature that nobody verified is no use to remember: any region can make one up.
        if !changes || claim.presigned || relayed.proof == Proof::Word {
            return Ok(());
        }
        self.count_once(&relayed.room, &claim.statement.once(), claim.at)
    }

    /// Refuses what was there before, by what is remembered of it.
    pub(crate) fn count_once(
        &self,
        room: &RegionId,
        once: &str,
        signed_at: Timestamp,
    ) -> Result<(), Fault> {
        let now = self.clock.now();
        let taken = self.replays.lock().admit(room, once, signed_at, now);
        taken.map_err(|why: Replayed| {
            let text = format!("Please sign the request again: {why}.");
            Fault::with(FaultKind::SlowDown, text)
                .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        })
    }
}

/// Who asks, and how far that is proven.
fn judged(proven: Proven, claim: &Claim, from: &Place) -> Result<(Identity, Proof), Fault> {
    match proven {
        Proven::Caller(caller) => Ok((caller, Proof::Whole)),
        Proven::Unknown {
            caller: Some(caller),
            why,
        } => {
            tracing::info!(from = %from.region, why, "a relayed signature cannot be verified");
            Ok((caller, Proof::Word))
        }
        Proven::Nobody | Proven::Unknown { caller: None, .. } => {
            let key = claim.statement.access_key.clone();
            Err(Fault::new(FaultKind::InvalidAccessKeyId).detail("AWSAccessKeyId", key))
        }
        Proven::Forged => Err(Fault::with(
            FaultKind::SignatureDoesNotMatch,
            format!(
                "The signature of a request that region {} relayed does not match.",
                from.region
            ),
        )),
    }
}

/// A request that was not acted on, for want of proof.
pub(crate) fn unproven(why: String) -> Fault {
    Fault::with(FaultKind::AccessDenied, format!("Access Denied: {why}."))
        .header(relayed::UNPROVEN, HeaderValue::from_static("true"))
}

/// A region that forwards requests as versions before this one did.
pub(crate) fn of_older_version(from: &RegionId) -> Fault {
    unproven(format!(
        "region {from} does not relay what the customer signed; upgrade Dhow in that region, until \
         then it reads its own replicas and replicates, and its other requests go to the bucket's \
         home directly"
    ))
}

/// The body of a relayed request, with all that its head's signature covers verified here.
pub(crate) fn body_of(
    relayed: Relayed,
    headers: &HeaderMap,
    incoming: Incoming,
    pace: Pace,
) -> Result<Box<dyn Body>, Fault> {
    let mode = relayed.claim.payload;
    let chain =
        matches!(mode, PayloadMode::StreamingSigned { .. }).then(|| Chain::Gathered(Vec::new()));
    let payload = payload_of(incoming, headers, mode, chain, pace)?;
    let hasher = match relayed.cover {
        Cover::Signed | Cover::Nothing => None,
        Cover::Checksum(checksum) => Some(Hasher::new(&[checksum.algorithm()], false)),
        Cover::Md5(_) => Some(Hasher::new(&[], true)),
    };
    Ok(Box::new(RelayedBody {
        payload,
        hasher,
        previous: relayed.claim.statement.signature.clone(),
        // Where nobody can verify it, the region's word counts, which has verified it.
        asks: relayed.proof != Proof::Word,
        relayed,
        links: Vec::new(),
        held: None,
    }))
}

struct RelayedBody {
    payload: Payload<Incoming>,
    relayed: Relayed,
    asks: bool,
    hasher: Option<Hasher>,
    /// The signature before those in `links`.
    previous: String,
    links: Vec<ChunkLink>,
    /// The next piece, while what it came with is verified.
    #[allow(clippy::option_option)] // the end is a piece too
    held: Option<Option<Result<bytes::Bytes, BodyError>>>,
}

impl RelayedBody {
    async fn piece(&mut self) -> Option<Result<bytes::Bytes, BodyError>> {
        if self.held.is_none() {
            let piece = self.payload.next().await;
            self.links.extend(self.payload.take_links());
            if let (Some(Ok(bytes)), Some(hasher)) = (&piece, &mut self.hasher) {
                hasher.update(bytes);
            }
            self.held = Some(piece);
        }
        let ended = matches!(self.held, Some(None));
        if self.asks && (self.links.len() >= LINKS_MAX || (ended && !self.links.is_empty())) {
            let asked = self.relayed.regions.prove_chunks(
                &self.relayed.from,
                &self.relayed.bucket,
                &self.relayed.claim.statement,
                &self.previous,
                &self.links,
            );
            let fault = match asked.await {
                Ok(true) => None,
                Ok(false) => Some(BodyError::SignatureMismatch),
                Err(why) => Some(BodyError::Unproven(why)),
            };
            if let Some(fault) = fault {
                self.held = None;
                return Some(Err(fault));
            }
            if let Some(last) = self.links.last() {
                self.previous = String::from_utf8_lossy(&last.signature).into_owned();
            }
        }
        if self.links.len() >= LINKS_MAX || ended {
            self.links.clear();
        }
        let piece = self.held.take().flatten();
        match piece {
            None => self.check_digest().map(Err),
            piece => piece,
        }
    }

    fn check_digest(&mut self) -> Option<BodyError> {
        let digests = self.hasher.take()?.finish_now();
        match self.relayed.cover {
            Cover::Checksum(expected)
                if digests.checksum(expected.algorithm()) != Some(expected) =>
            {
                Some(BodyError::SignedDigest(expected.algorithm().header()))
            }
            Cover::Md5(expected) if digests.md5 != Some(expected) => {
                Some(BodyError::SignedDigest("Content-MD5"))
            }
            _ => None,
        }
    }
}

impl Body for RelayedBody {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(self.piece())
    }
    fn len_hint(&self) -> Option<u64> {
        self.payload.len_hint()
    }
    fn trailing_checksum(&self) -> Option<ChecksumValue> {
        self.payload.trailing_checksum()
    }
}
