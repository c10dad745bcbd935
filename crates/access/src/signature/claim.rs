//! A signature that one region has and only another can verify.

use std::borrow::Cow;

use types::Timestamp;

use crate::{OldSigner, SessionToken};

use super::{
    Algorithm, AuthType, ChunkLink, ChunkVerifier, HmacKey, PayloadMode, PublicKey, Service,
    asymmetric::{names_region, once},
    v2,
    verify::{signature_matches, string_to_sign_of},
};

/// What was signed, and by whom it is said to be. It shows nothing of the request but a digest, so
/// that it may go where names of objects may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Whose signature it is said to be.
    pub access_key: String,
    /// `YYYYMMDD`, as in the scope.
    pub day: String,
    /// The region for which it was made, as in the scope; empty where a region set says it.
    pub region: String,
    /// The region set of an asymmetric signature; `None` for all others.
    pub region_set: Option<String>,
    /// The time that was signed.
    pub stamp: String,
    /// SHA-256 of the canonical request.
    pub canonical: [u8; 32],
    /// The signature, in hex digits.
    pub signature: String,
    /// The token that came with a session's key. The signature covers it.
    pub token: Option<SessionToken>,
    /// What a signature with HMAC-SHA1 covers, which names objects: it stays in the region that
    /// verifies. `None` for all others.
    pub old: Option<v2::Texts>,
}

/// What the signature of a request claims, with what it says of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// For whoever has the key.
    pub statement: Statement,
    /// The headers that it covers, `a;b;c`.
    pub signed_headers: String,
    /// What it says of the body.
    pub payload: PayloadMode,
    /// The time that was signed.
    pub at: Timestamp,
    /// Whether it is that of a presigned URL, which may be used again.
    pub presigned: bool,
}

impl Statement {
    /// The scope that was signed.
    pub fn scope(&self) -> String {
        self.scope_for(Service::S3)
    }

    fn scope_for(&self, service: Service) -> String {
        let (day, region) = (&self.day, &self.region);
        match self.algorithm() {
            Algorithm::Hmac => [day, "/", region, "/", service.name(), "/aws4_request"].concat(),
            Algorithm::Ecdsa => [day, "/", service.name(), "/aws4_request"].concat(),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self.region_set {
            None => Algorithm::Hmac,
            Some(_) => Algorithm::Ecdsa,
        }
    }

    /// Whether it is asymmetric: whoever verifies it cannot make it.
    pub fn is_asymmetric(&self) -> bool {
        self.algorithm() == Algorithm::Ecdsa
    }

    /// Whether it is one with HMAC-SHA1.
    pub fn is_old(&self) -> bool {
        self.old.is_some()
    }

    /// Whether several regions may take it.
    pub fn is_of_all_regions(&self) -> bool {
        self.is_asymmetric() || self.is_old()
    }

    /// Whether it is a signature with HMAC-SHA1 by the holder of this key.
    #[must_use]
    pub fn is_proven_by_old(&self, signer: &OldSigner) -> bool {
        let covered = self.old.as_ref();
        covered.is_some_and(|covered| v2::matches(signer, covered, &self.signature))
    }

    /// Whether it was made for this region: its scope or its region set says so. One with
    /// HMAC-SHA1 says nothing of regions.
    pub fn is_for(&self, region: &str) -> bool {
        match &self.region_set {
            None => self.region == region,
            Some(set) => names_region(set, region),
        }
    }

    /// What is remembered of it where a request counts once, in hex digits.
    pub fn once(&self) -> Cow<'_, str> {
        if let Some(covered) = &self.old {
            return Cow::Owned(v2::once(&self.access_key, covered));
        }
        match self.algorithm() {
            Algorithm::Hmac => Cow::Borrowed(&self.signature),
            Algorithm::Ecdsa => Cow::Owned(once(&self.access_key, &self.text(Service::S3))),
        }
    }

    fn text(&self, service: Service) -> Vec<u8> {
        let scope = self.scope_for(service);
        string_to_sign_of(self.algorithm(), &self.stamp, &scope, &self.canonical)
    }

    /// Whether the signature was made with this key, which must be that of the scope.
    #[must_use]
    pub fn is_proven_by(&self, key: &HmacKey) -> bool {
        self.is_proven_for(Service::S3, key)
    }

    /// The same for a request to that service, which its scope names.
    #[must_use]
    pub fn is_proven_for(&self, service: Service, key: &HmacKey) -> bool {
        let is_other = self.is_asymmetric() || self.is_old();
        !is_other && signature_matches(key, &self.text(service), &self.signature)
    }

    /// Whether it is an asymmetric signature over a request for buckets or objects, by the holder
    /// of this key.
    #[must_use]
    pub fn is_proven_by_public(&self, key: &PublicKey) -> bool {
        self.is_asymmetric() && key.verifies(&self.text(Service::S3), &self.signature)
    }

    /// Whether these chunks follow `previous`, a signature of the same body; the head's is the
    /// first.
    #[must_use]
    pub fn chunks_are_proven_by(&self, key: HmacKey, previous: &str, links: &[ChunkLink]) -> bool {
        !self.is_asymmetric()
            && ChunkVerifier::new(key, &self.stamp, &self.scope(), previous).verify_links(links)
    }
}

impl Claim {
    /// The kind of authentication.
    pub fn auth(&self) -> AuthType {
        let statement = &self.statement;
        match (
            self.presigned,
            statement.is_asymmetric(),
            statement.is_old(),
        ) {
            (true, _, true) => AuthType::PresignedV2,
            (false, _, true) => AuthType::HeaderV2,
            (true, false, false) => AuthType::PresignedV4,
            (false, false, false) => AuthType::HeaderV4,
            (true, true, false) => AuthType::PresignedV4a,
            (false, true, false) => AuthType::HeaderV4a,
        }
    }

    /// Whether the signature covers this header.
    pub fn covers(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name)
    }
}
