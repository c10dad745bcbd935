//! The check itself.

use std::{borrow::Cow, sync::LazyLock};

use http::HeaderMap;
use subtle::ConstantTimeEq;
use types::{AccessKeyId, AccountId, RegionId, Timestamp, limits::CLOCK_SKEW_S_MAX};

use super::{
    Algorithm, AuthType, ChunkVerifier, Claim, Mismatch, PayloadMode, SignatureError as E,
    Statement,
    asymmetric::{names_only, names_region, once},
    canonical,
    hash::{EMPTY_SHA256, HmacKey, hex64, sha256},
    parse::{Credential, Presigned, Service, SignedHeader, split},
    signature_headers::SignatureHeaders,
    v2,
};
use crate::{Identity, SessionToken, SigningKeys};

/// Verifies for an access key that is not known.
static NO_KEY: LazyLock<HmacKey> = LazyLock::new(|| HmacKey::from([0; 32]));

/// The part of a request that a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET` and so on.
    pub method: &'a str,
    /// The path as it was sent.
    pub path: &'a str,
    /// The bucket, where the host names it. Version 2 covers it, and no host.
    pub host_bucket: Option<&'a str>,
    /// The query as it was sent.
    pub query: Option<&'a str>,
    /// All headers, `Host` among them: the authority of a request in absolute form is not signed,
    /// so the caller sees to it that it is the same.
    pub headers: &'a HeaderMap,
}

/// The names under which signatures may address this region.
#[derive(Debug, Clone, Copy)]
pub struct RegionNames<'a> {
    /// The region's id.
    pub own: &'a RegionId,
    /// Other names that are taken, such as `us-east-1` and `auto`.
    pub aliases: &'a [String],
}

impl<'a> RegionNames<'a> {
    fn find(&self, region: &str) -> Option<Cow<'a, RegionId>> {
        if **self.own == *region {
            return Some(Cow::Borrowed(self.own));
        }
        let known = self.aliases.iter().any(|alias| alias == region);
        known.then(|| Cow::Owned(RegionId::new(region)))
    }
}

/// What a signature is judged by.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Derived keys.
    pub keys: &'a dyn SigningKeys,
    /// Names of this region.
    pub regions: RegionNames<'a>,
    /// The time at which the request's head was there.
    pub now: Timestamp,
}

/// A request whose sender is known.
#[derive(Debug)]
pub struct Verified {
    /// Who.
    pub identity: Identity,
    /// How their body is to be verified.
    pub payload: PayloadMode,
    /// The time that was signed.
    pub at: Option<Timestamp>,
    /// Verifies the chunks of a body whose mode is [`PayloadMode::StreamingSigned`].
    pub chunks: Option<Box<ChunkVerifier>>,
    /// What the request is remembered by where it counts once: its signature may be valid in
    /// other regions, where somebody may have it.
    pub once: Option<String>,
}

/// Verifies a request whose kind of authentication is `auth`. A form's sender is anonymous until
/// the form has been read.
pub fn verify(auth: AuthType, request: &Request<'_>, facts: &Facts<'_>) -> Result<Verified, E> {
    match auth {
        AuthType::Anonymous => Ok(Verified {
            identity: Identity::Anonymous,
            payload: anonymous_payload(request.headers)?,
            at: None,
            chunks: None,
            once: None,
        }),
        AuthType::PostPolicy | AuthType::PostPolicyV2 => Ok(Verified {
            identity: Identity::Anonymous,
            payload: PayloadMode::Unsigned,
            at: None,
            chunks: None,
            once: None,
        }),
        AuthType::HeaderV4 => verify_header(request, facts, Algorithm::Hmac),
        AuthType::HeaderV4a => verify_header(request, facts, Algorithm::Ecdsa),
        AuthType::PresignedV4 | AuthType::PresignedV4a => verify_presigned(request, facts),
        AuthType::HeaderV2 | AuthType::PresignedV2 => v2::verify(auth, request, facts),
    }
}

/// Verifies a request to the admin API, which takes headers only, and signatures for itself only.
pub fn verify_admin(request: &Request<'_>, facts: &Facts<'_>) -> Result<Verified, E> {
    read_header(request, facts.now, ADMIN, |read| {
        refuse_token(read.token)?;
        prove(request, facts, &read)
    })
}

/// Verifies a form that is sent to `service`, whose clients do not say the body's digest in a
/// header: `sha256` is that of the body as it came, in hex.
pub fn verify_form(
    service: Service,
    request: &Request<'_>,
    sha256: &str,
    facts: &Facts<'_>,
) -> Result<Verified, E> {
    let said = SignatureHeaders::by(request.headers);
    let payload = said.payload()?;
    if payload.is_some_and(|payload| payload != sha256) {
        return Err(E::PayloadMode(payload.unwrap_or_default().to_owned()));
    }
    read_told(
        (request.headers, &said),
        sha256,
        facts.now,
        (service, Algorithm::Hmac),
        |read| prove(request, facts, &read),
    )
}

/// Verifies a request without a body that is sent to `service`, with its signature in the query.
/// As at AWS, such a signature is good for as long as one in a header. `X-Amz-Expires` gives it no
/// more time; where less counts, whoever asks compares it.
pub fn verify_presigned_form(
    service: Service,
    request: &Request<'_>,
    facts: &Facts<'_>,
) -> Result<Verified, E> {
    read_query(request, facts.now, service, |read| {
        prove(request, facts, &read)
    })
}

fn anonymous_payload(headers: &HeaderMap) -> Result<PayloadMode, E> {
    match SignatureHeaders::by(headers).payload()? {
        None => Ok(PayloadMode::Unsigned),
        Some(text) => match PayloadMode::parse(text)? {
            // There is no signature that the chunks could continue.
            PayloadMode::StreamingSigned { .. } => Err(E::PayloadMode(text.to_owned())),
            mode => Ok(mode),
        },
    }
}

/// What the admin API takes.
const ADMIN: (Service, Algorithm) = (Service::Admin, Algorithm::Hmac);

/// A signature as it stands in a request, whose date and covered headers were looked at, and that
/// nobody with the key has seen yet.
struct Read<'a> {
    signed: Signed<'a>,
    payload: PayloadMode,
    at: Timestamp,
    /// Of a session. The signature covers it: it is a header of S3, or in the query.
    token: Option<&'a str>,
}

fn verify_header(
    request: &Request<'_>,
    facts: &Facts<'_>,
    algorithm: Algorithm,
) -> Result<Verified, E> {
    read_header(request, facts.now, (Service::S3, algorithm), |read| {
        prove(request, facts, &read)
    })
}

fn prove(request: &Request<'_>, facts: &Facts<'_>, read: &Read<'_>) -> Result<Verified, E> {
    let signed = &read.signed;
    if let Some(set) = signed.region_set {
        let (identity, once) = check_asymmetric(request, facts, (signed, set), read.token)?;
        return Ok(Verified {
            identity,
            payload: read.payload,
            at: Some(read.at),
            chunks: None,
            once,
        });
    }
    let (identity, key) = check(request, facts, signed, read.token)?;
    let scope = signed.credential.scope;
    let chunks = matches!(read.payload, PayloadMode::StreamingSigned { .. })
        .then(|| ChunkVerifier::new(key, signed.stamp, scope, signed.signature))
        .map(Box::new);
    Ok(Verified {
        identity,
        payload: read.payload,
        at: Some(read.at),
        chunks,
        once: None,
    })
}

/// What the signature of a request claims, for whoever has the key. Everything that needs no key
/// is checked here: the form, the date against `now`, that the host and all headers of S3 are
/// covered. The region of the scope is not.
pub fn claim(auth: AuthType, request: &Request<'_>, now: Timestamp) -> Result<Claim, E> {
    let claimed = |read: Read<'_>| claimed(request, &read);
    match auth {
        AuthType::HeaderV4 => read_header(request, now, (Service::S3, Algorithm::Hmac), claimed),
        AuthType::HeaderV4a => read_header(request, now, (Service::S3, Algorithm::Ecdsa), claimed),
        AuthType::PresignedV4 | AuthType::PresignedV4a => read_presigned(request, now, claimed),
        AuthType::HeaderV2 | AuthType::PresignedV2 => v2::claim(auth, request, now),
        AuthType::Anonymous | AuthType::PostPolicy | AuthType::PostPolicyV2 => {
            Err(E::HeaderMalformed("the request carries no signature"))
        }
    }
}

/// The same of a request to the admin API, which takes no sessions.
pub fn claim_admin(request: &Request<'_>, now: Timestamp) -> Result<Claim, E> {
    read_header(request, now, ADMIN, |read| {
        refuse_token(read.token)?;
        claimed(request, &read)
    })
}

fn claimed(request: &Request<'_>, read: &Read<'_>) -> Result<Claim, E> {
    let signed = &read.signed;
    if signed.region_set.is_none() && signed.credential.region.is_empty() {
        return Err(E::HeaderMalformed("the Credential names no region."));
    }
    let canonical = canonical_request(request, signed);
    Ok(Claim {
        statement: Statement {
            access_key: signed.credential.access_key.to_owned(),
            day: signed.credential.day.to_owned(),
            region: signed.credential.region.to_owned(),
            region_set: signed.region_set.map(str::to_owned),
            stamp: signed.stamp.to_owned(),
            canonical: sha256(&canonical),
            signature: signed.signature.to_owned(),
            token: read.token.map(SessionToken::new),
            old: None,
        },
        signed_headers: signed.signed_headers.to_owned(),
        payload: read.payload,
        at: read.at,
        presigned: signed.in_query,
    })
}

fn read_header<T>(
    request: &Request<'_>,
    now: Timestamp,
    of: (Service, Algorithm),
    then: impl FnOnce(Read<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let said = SignatureHeaders::by(request.headers);
    let payload_text = said.payload()?;
    let payload_text = payload_text.ok_or(E::MissingHeader("x-amz-content-sha256"))?;
    read_told((request.headers, &said), payload_text, now, of, then)
}

/// The same with what is signed of the body.
fn read_told<T>(
    (headers, said): (&HeaderMap, &SignatureHeaders<'_>),
    payload_text: &str,
    now: Timestamp,
    (service, algorithm): (Service, Algorithm),
    then: impl FnOnce(Read<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let value = said.authorization.text().ok().flatten();
    let value = value.ok_or(E::HeaderMalformed("the header is not ASCII"))?;
    let auth = SignedHeader::parse_with(value, service, algorithm)?;
    let payload = payload_mode(payload_text, algorithm)?;
    let region_set = match algorithm {
        Algorithm::Hmac => None,
        Algorithm::Ecdsa => {
            let set = said.region_set.text().ok().flatten();
            Some(set.ok_or(E::MissingHeader("x-amz-region-set"))?)
        }
    };
    let (date, stamp) = said.request_date()?;
    if !stamp.starts_with(auth.credential.day) {
        return Err(E::HeaderMalformed(
            "Invalid credential date. This date is not the same as X-Amz-Date.",
        ));
    }
    let away = date.s().abs_diff(now.s());
    if away > CLOCK_SKEW_S_MAX {
        return Err(E::Skewed {
            request: stamp.into_owned(),
            server: now.iso8601_seconds(),
        });
    }
    check_signed_headers(headers, auth.signed_headers)?;
    let signed = Signed {
        credential: auth.credential,
        stamp: &stamp,
        signed_headers: auth.signed_headers,
        signature: auth.signature,
        payload_text,
        in_query: false,
        region_set,
    };
    then(Read {
        signed,
        payload,
        at: date,
        token: said.token.text().map_err(|()| E::Token)?,
    })
}

fn verify_presigned(request: &Request<'_>, facts: &Facts<'_>) -> Result<Verified, E> {
    read_presigned(request, facts.now, |read| prove(request, facts, &read))
}

fn read_presigned<T>(
    request: &Request<'_>,
    at: Timestamp,
    then: impl FnOnce(Read<'_>) -> Result<T, E>,
) -> Result<T, E> {
    read_query(request, at, Service::S3, then)
}

fn read_query<T>(
    request: &Request<'_>,
    at: Timestamp,
    service: Service,
    then: impl FnOnce(Read<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let presigned = Presigned::parse(request.query.unwrap_or_default())?;
    let algorithm = presigned.algorithm;
    // Only S3 takes asymmetric signatures, and bodies that are not signed.
    let (valid_s, unsaid) = match (service, algorithm) {
        (Service::S3, _) => (presigned.expires_s, "UNSIGNED-PAYLOAD"),
        (_, Algorithm::Hmac) => (CLOCK_SKEW_S_MAX, EMPTY_SHA256),
        (_, Algorithm::Ecdsa) => return Err(E::UnknownScheme),
    };
    let credential = Credential::parse_with(&presigned.credential, service, algorithm);
    let credential = credential.map_err(E::QueryMalformed)?;
    let region_set = match algorithm {
        Algorithm::Hmac => None,
        Algorithm::Ecdsa => Some(presigned.region_set.as_deref().ok_or(E::QueryMalformed(
            "AWS4-ECDSA-P256-SHA256 requires the X-Amz-Region-Set parameter.",
        ))?),
    };
    let date = Timestamp::parse_iso_basic(&presigned.date).ok_or(E::QueryMalformed(
        "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
    ))?;
    if !presigned.date.starts_with(credential.day) {
        return Err(E::QueryMalformed(
            "Invalid credential date. This date is not the same as X-Amz-Date.",
        ));
    }
    let now = at.s();
    if date.s() > now + CLOCK_SKEW_S_MAX {
        return Err(E::NotYetValid);
    }
    let ends = date.s() + valid_s;
    if now > ends {
        return Err(E::Expired {
            at: Timestamp::from_s(ends).iso8601_seconds(),
            after_s: valid_s,
            server: at.iso8601_seconds(),
        });
    }
    check_signed_headers(request.headers, &presigned.signed_headers)?;
    let said = SignatureHeaders::by(request.headers);
    let payload_text = payload_of_query(service, &said, presigned.payload.as_deref())?;
    let payload_text = payload_text.unwrap_or(unsaid);
    let payload = payload_mode(payload_text, algorithm)?;
    let signed = Signed {
        credential,
        stamp: &presigned.date,
        signed_headers: &presigned.signed_headers,
        signature: &presigned.signature,
        payload_text,
        in_query: true,
        region_set,
    };
    let token = match (said.token.text(), presigned.token.as_deref()) {
        (Ok(header), None) => header,
        (Ok(None), query) => query,
        // Which of two counts is nobody's guess.
        (Ok(Some(_)), Some(_)) | (Err(()), _) => return Err(E::Token),
    };
    then(Read {
        signed,
        payload,
        at: date,
        token,
    })
}

/// What a request whose signature is in the query says of its body: in a header, in the query, or
/// in both the same.
fn payload_of_query<'a>(
    service: Service,
    said: &SignatureHeaders<'a>,
    in_query: Option<&'a str>,
) -> Result<Option<&'a str>, E> {
    let text = match (said.payload()?, in_query) {
        (Some(header), Some(query)) if header != query => {
            return Err(E::PayloadMode(header.to_owned()));
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Ok(None),
    };
    match service == Service::S3 || text == EMPTY_SHA256 {
        true => Ok(Some(text)),
        false => Err(E::PayloadMode(text.to_owned())),
    }
}

fn refuse_token(token: Option<&str>) -> Result<(), E> {
    token.map_or(Ok(()), |_| Err(E::Token))
}

/// The host and every `x-amz-*` or `x-dhow-*` header must be signed: otherwise whoever sees a
/// signed request could change what it means.
fn check_signed_headers(headers: &HeaderMap, signed: &str) -> Result<(), E> {
    let is_signed = |name: &str| split(signed, b';').any(|s| s == name);
    if !is_signed("host") {
        return Err(E::HeadersNotSigned("host".to_owned()));
    }
    let mut missing = headers
        .keys()
        .map(|name| name.as_str())
        .filter(|name| name.starts_with("x-amz-") || name.starts_with("x-dhow-"))
        .filter(|name| !is_signed(name))
        .peekable();
    if missing.peek().is_none() {
        return Ok(());
    }
    let names: Vec<&str> = missing.collect();
    Err(E::HeadersNotSigned(names.join(", ")))
}

struct Signed<'a> {
    credential: Credential<'a>,
    stamp: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    payload_text: &'a str,
    in_query: bool,
    /// Of an asymmetric signature.
    region_set: Option<&'a str>,
}

/// How the body is signed. Chunks are signed as the head is.
fn payload_mode(text: &str, algorithm: Algorithm) -> Result<PayloadMode, E> {
    match (PayloadMode::parse(text)?, algorithm) {
        (PayloadMode::StreamingSigned { .. }, Algorithm::Ecdsa) => {
            Err(E::PayloadMode(text.to_owned()))
        }
        (mode, _) => Ok(mode),
    }
}

/// Who made an asymmetric signature; and what it is remembered by where other regions would take
/// it too, and it is not that of a URL, which may be used again.
fn check_asymmetric(
    request: &Request<'_>,
    facts: &Facts<'_>,
    (signed, set): (&Signed<'_>, &str),
    token: Option<&str>,
) -> Result<(Identity, Option<String>), E> {
    // Each region that opens the token has the session's secret: the signature would prove nothing
    // more than the other kind.
    if token.is_some() {
        return Err(E::NotImplemented(
            "AWS4-ECDSA-P256-SHA256 with temporary credentials",
        ));
    }
    let own = facts.regions.own;
    if !names_region(set, own) {
        return Err(E::RegionSet {
            got: set.to_owned(),
            expected: own.to_string(),
            query: signed.in_query,
        });
    }
    let access_key = signed.credential.access_key;
    let found = facts.keys.public_key(access_key);
    let found = found.ok_or_else(|| E::of_unknown(facts.keys, access_key, None))?;
    let canonical = canonical_request(request, signed);
    let scope = signed.credential.scope;
    let digest = sha256(&canonical);
    let to_sign = string_to_sign_of(Algorithm::Ecdsa, signed.stamp, scope, &digest);
    if !found.key.verifies(&to_sign, signed.signature) {
        return Err(mismatch(signed, &to_sign, &canonical));
    }
    let identity = Identity::Key {
        access_key: AccessKeyId::new(access_key),
        account: found.account,
        kind: found.kind,
        guard: found.guard,
        who: found.who,
    };
    let may_be_used_elsewhere = !signed.in_query && !names_only(set, own);
    Ok((
        identity,
        may_be_used_elsewhere.then(|| once(access_key, &to_sign)),
    ))
}

/// Where an account takes asymmetric signatures only, no other kind asks for its buckets, and no
/// session acts for it at all: the regions that open a session's token could act as the session.
fn check_kind(
    facts: &Facts<'_>,
    account: &AccountId,
    credential: &Credential<'_>,
    token: Option<&str>,
) -> Result<(), E> {
    let concerns = credential.service == Service::S3.name() || token.is_some();
    let refused = concerns && facts.keys.requires_asymmetric(account);
    match refused && !types::planted("hmac-where-v4a-is-required") {
        true => Err(E::AsymmetricRequired),
        false => Ok(()),
    }
}

fn mismatch(signed: &Signed<'_>, to_sign: &[u8], canonical: &[u8]) -> E {
    E::Mismatch(Box::new(Mismatch {
        access_key: signed.credential.access_key.to_owned(),
        string_to_sign: String::from_utf8_lossy(to_sign).into_owned(),
        signature: signed.signature.to_owned(),
        canonical_request: String::from_utf8_lossy(canonical).into_owned(),
    }))
}

fn check(
    request: &Request<'_>,
    facts: &Facts<'_>,
    signed: &Signed<'_>,
    token: Option<&str>,
) -> Result<(Identity, HmacKey), E> {
    let credential = &signed.credential;
    let found = find_key(credential, facts, signed.in_query, token)?;
    let canonical = canonical_request(request, signed);
    let to_sign = string_to_sign(signed.stamp, credential.scope, &canonical);
    // An unknown key costs what a wrong signature costs.
    let key = found.as_ref().map_or(&*NO_KEY, |found| &found.key);
    let good = signature_matches(key, &to_sign, signed.signature);
    let Some(found) = found else {
        return Err(E::of_unknown(facts.keys, credential.access_key, token));
    };
    if !good {
        return Err(mismatch(signed, &to_sign, &canonical));
    }
    check_kind(facts, &found.account, credential, token)?;
    let identity = Identity::Key {
        access_key: AccessKeyId::new(credential.access_key),
        account: found.account,
        kind: found.kind,
        guard: found.guard,
        who: found.who,
    };
    Ok((identity, found.key))
}

fn find_key(
    credential: &Credential<'_>,
    facts: &Facts<'_>,
    query: bool,
    token: Option<&str>,
) -> Result<Option<crate::SigningKey>, E> {
    let key = |region: &RegionId| {
        let Credential {
            access_key,
            day,
            service,
            ..
        } = credential;
        match token {
            None => Ok(facts.keys.signing_key(access_key, day, region, service)),
            Some(token) => {
                let token = SessionToken::new(token);
                let keys = facts.keys;
                keys.session_key(&token, access_key, day, region, service)
            }
        }
    };
    match facts.regions.find(credential.region) {
        Some(region) => Ok(key(&region)?),
        None => Err(E::WrongRegion {
            got: credential.region.to_owned(),
            expected: facts.regions.own.to_string(),
            query,
            known: matches!(key(facts.regions.own), Ok(Some(_))),
        }),
    }
}

pub(super) fn signature_matches(key: &HmacKey, to_sign: &[u8], given: &str) -> bool {
    let expected = hex64(&key.sign(to_sign));
    let Ok(given) = <&[u8; 64]>::try_from(given.as_bytes()) else {
        return false;
    };
    // By words, which is as constant as by bytes, and eight times less of it.
    let words = |hex: &[u8; 64]| -> [u64; 8] {
        std::array::from_fn(|n| {
            let word = hex[n * 8..].first_chunk::<8>();
            u64::from_ne_bytes(*word.unwrap_or(&[0; 8]))
        })
    };
    words(&expected).ct_eq(&words(given)).into()
}

/// Verifies a signature over a text that is signed as it is: the policy of a POST form. `token` is
/// that of a session, which the text has to name.
pub fn verify_text(
    text_to_sign: &str,
    credential: &Credential<'_>,
    signature: &str,
    token: Option<&str>,
    facts: &Facts<'_>,
) -> Result<Identity, E> {
    let found = find_key(credential, facts, false, token)?;
    let key = found.as_ref().map_or(&*NO_KEY, |found| &found.key);
    let good = signature_matches(key, text_to_sign.as_bytes(), signature);
    match found {
        None => Err(E::of_unknown(facts.keys, credential.access_key, token)),
        Some(found) if good => {
            check_kind(facts, &found.account, credential, token)?;
            Ok(Identity::Key {
                access_key: AccessKeyId::new(credential.access_key),
                account: found.account,
                kind: found.kind,
                guard: found.guard,
                who: found.who,
            })
        }
        Some(_) => Err(E::Mismatch(Box::new(Mismatch {
            access_key: credential.access_key.to_owned(),
            string_to_sign: text_to_sign.to_owned(),
            signature: signature.to_owned(),
            canonical_request: String::new(),
        }))),
    }
}

fn canonical_request(request: &Request<'_>, signed: &Signed<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    canonical::path(&mut out, request.path);
    out.push(b'\n');
    if let Some(query) = request.query {
        let without = if signed.in_query {
            "X-Amz-Signature"
        } else {
            ""
        };
        canonical::query(&mut out, query, without);
    }
    out.push(b'\n');
    let names = signed.signed_headers;
    canonical::headers(&mut out, request.headers, names);
    for piece in ["\n", names, "\n", signed.payload_text] {
        out.extend_from_slice(piece.as_bytes());
    }
    out
}

/// `AWS4-HMAC-SHA256`, time, scope and the digest of the canonical request.
pub(crate) fn string_to_sign(stamp: &str, scope: &str, canonical: &[u8]) -> Vec<u8> {
    string_to_sign_of(Algorithm::Hmac, stamp, scope, &sha256(canonical))
}

/// The same of a digest, for any algorithm.
pub(super) fn string_to_sign_of(
    algorithm: Algorithm,
    stamp: &str,
    scope: &str,
    canonical: &[u8; 32],
) -> Vec<u8> {
    let digest = hex64(canonical);
    let mut out = Vec::with_capacity(192);
    for piece in [algorithm.name(), "\n", stamp, "\n", scope, "\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    out.extend_from_slice(&digest);
    out
}
