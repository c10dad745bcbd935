//! The check itself.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};
use subtle::ConstantTimeEq;
use types::{AccessKeyId, RegionId, Timestamp, limits::CLOCK_SKEW_S_MAX};

use super::{
    AuthType, ChunkVerifier, Mismatch, PayloadMode, SignatureError as E, canonical,
    hash::{hex64, hmac, sha256_hex, text},
    parse::{Credential, Presigned, SignedHeader, split},
    payload::only,
};
use crate::{Identity, SigningKeys};

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The part of a request that a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET` and so on.
    pub method: &'a str,
    /// The path as it was sent.
    pub path: &'a str,
    /// The query as it was sent.
    pub query: Option<&'a str>,
    /// HTTP/2's `:authority`, or that of a request in absolute form.
    pub authority: Option<&'a str>,
    /// All headers.
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
    /// Verifies the chunks of a body whose mode is [`PayloadMode::StreamingSigned`].
    pub chunks: Option<ChunkVerifier>,
}

/// Verifies a request whose kind of authentication is `auth`. A form's sender is anonymous until
/// the form has been read.
pub fn verify(auth: AuthType, request: &Request<'_>, facts: &Facts<'_>) -> Result<Verified, E> {
    match auth {
        AuthType::Anonymous => Ok(Verified {
            identity: Identity::Anonymous,
            payload: anonymous_payload(request.headers)?,
            chunks: None,
        }),
        AuthType::PostPolicy => Ok(Verified {
            identity: Identity::Anonymous,
            payload: PayloadMode::Unsigned,
            chunks: None,
        }),
        AuthType::HeaderV4 => verify_header(request, facts),
        AuthType::PresignedV4 => verify_presigned(request, facts),
    }
}

fn anonymous_payload(headers: &HeaderMap) -> Result<PayloadMode, E> {
    match payload_header(headers)? {
        None => Ok(PayloadMode::Unsigned),
        Some(text) => match PayloadMode::parse(text)? {
            // There is no signature that the chunks could continue.
            PayloadMode::StreamingSigned { .. } => Err(E::PayloadMode(text.to_owned())),
            mode => Ok(mode),
        },
    }
}

fn payload_header(headers: &HeaderMap) -> Result<Option<&str>, E> {
    only(headers, CONTENT_SHA256).map_err(|()| E::PayloadMode(String::new()))
}

fn verify_header(request: &Request<'_>, facts: &Facts<'_>) -> Result<Verified, E> {
    let headers = request.headers;
    let value = only(headers, header::AUTHORIZATION)
        .ok()
        .flatten()
        .ok_or(E::HeaderMalformed("the header is not ASCII"))?;
    let auth = SignedHeader::parse(value)?;
    let payload_text = payload_header(headers)?.ok_or(E::MissingHeader("x-amz-content-sha256"))?;
    let payload = PayloadMode::parse(payload_text)?;
    let (date, stamp) = request_date(headers)?;
    if !stamp.starts_with(auth.credential.day) {
        return Err(E::HeaderMalformed(
            "Invalid credential date. This date is not the same as X-Amz-Date.",
        ));
    }
    let away = date.s().abs_diff(facts.now.s());
    if away > CLOCK_SKEW_S_MAX {
        return Err(E::Skewed {
            request: stamp.into_owned(),
            server: facts.now.iso8601(),
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
    };
    let (identity, key) = check(request, facts, &signed)?;
    refuse_token(headers.contains_key(SECURITY_TOKEN))?;
    let chunks = matches!(payload, PayloadMode::StreamingSigned { .. })
        .then(|| ChunkVerifier::new(key, &stamp, auth.credential.scope, auth.signature));
    Ok(Verified {
        identity,
        payload,
        chunks,
    })
}

fn verify_presigned(request: &Request<'_>, facts: &Facts<'_>) -> Result<Verified, E> {
    let presigned = Presigned::parse(request.query.unwrap_or_default())?;
    let credential = Credential::parse(&presigned.credential).map_err(E::QueryMalformed)?;
    let date = Timestamp::parse_iso_basic(&presigned.date).ok_or(E::QueryMalformed(
        "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
    ))?;
    if !presigned.date.starts_with(credential.day) {
        return Err(E::QueryMalformed(
            "Invalid credential date. This date is not the same as X-Amz-Date.",
        ));
    }
    let now = facts.now.s();
    if date.s() > now + CLOCK_SKEW_S_MAX {
        return Err(E::NotYetValid);
    }
    let ends = date.s() + presigned.expires_s;
    if now > ends {
        return Err(E::Expired {
            at: Timestamp::from_s(ends).iso8601(),
            server: facts.now.iso8601(),
        });
    }
    check_signed_headers(request.headers, &presigned.signed_headers)?;
    let in_header = payload_header(request.headers)?;
    let payload_text = match (in_header, presigned.payload.as_deref()) {
        (Some(header), Some(query)) if header != query => {
            return Err(E::PayloadMode(header.to_owned()));
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => "UNSIGNED-PAYLOAD",
    };
    let payload = PayloadMode::parse(payload_text)?;
    let signed = Signed {
        credential,
        stamp: &presigned.date,
        signed_headers: &presigned.signed_headers,
        signature: &presigned.signature,
        payload_text,
        in_query: true,
    };
    let (identity, key) = check(request, facts, &signed)?;
    refuse_token(presigned.token || request.headers.contains_key(SECURITY_TOKEN))?;
    let chunks = matches!(payload, PayloadMode::StreamingSigned { .. })
        .then(|| ChunkVerifier::new(key, &presigned.date, credential.scope, &presigned.signature));
    Ok(Verified {
        identity,
        payload,
        chunks,
    })
}

fn refuse_token(there: bool) -> Result<(), E> {
    if there { Err(E::Token) } else { Ok(()) }
}

/// `x-amz-date` first, then `Date`; either in ISO 8601's basic form or as an HTTP date. Also in
/// that basic form, as it is signed.
fn request_date(headers: &HeaderMap) -> Result<(Timestamp, Cow<'_, str>), E> {
    let text = match only(headers, AMZ_DATE).map_err(|()| E::NoDate)? {
        Some(text) => text,
        None => only(headers, header::DATE)
            .ok()
            .flatten()
            .ok_or(E::NoDate)?,
    };
    if let Some(date) = Timestamp::parse_iso_basic(text) {
        return Ok((date, Cow::Borrowed(text)));
    }
    let date = Timestamp::parse_http_date(text).ok_or(E::NoDate)?;
    Ok((date, Cow::Owned(date.iso_basic())))
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
}

fn check(
    request: &Request<'_>,
    facts: &Facts<'_>,
    signed: &Signed<'_>,
) -> Result<(Identity, [u8; 32]), E> {
    let credential = &signed.credential;
    let found = find_key(credential, facts, signed.in_query)?;
    let canonical = canonical_request(request, signed);
    let to_sign = string_to_sign(signed.stamp, credential.scope, &canonical);
    // An unknown key costs what a wrong signature costs.
    let key = found.as_ref().map_or([0; 32], |found| found.key);
    let good = signature_matches(&key, &to_sign, signed.signature);
    let Some(found) = found else {
        return Err(E::UnknownKey(credential.access_key.to_owned()));
    };
    if !good {
        return Err(E::Mismatch(Box::new(Mismatch {
            access_key: credential.access_key.to_owned(),
            string_to_sign: String::from_utf8_lossy(&to_sign).into_owned(),
            signature: signed.signature.to_owned(),
            canonical_request: String::from_utf8_lossy(&canonical).into_owned(),
        })));
    }
    let identity = Identity::Key {
        access_key: AccessKeyId::new(credential.access_key),
        account: found.account,
    };
    Ok((identity, found.key))
}

fn find_key(
    credential: &Credential<'_>,
    facts: &Facts<'_>,
    query: bool,
) -> Result<Option<crate::SigningKey>, E> {
    let region = facts
        .regions
        .find(credential.region)
        .ok_or_else(|| E::WrongRegion {
            got: credential.region.to_owned(),
            expected: facts.regions.own.to_string(),
            query,
        })?;
    Ok(facts.keys.signing_key(
        credential.access_key,
        credential.day,
        &region,
        credential.service,
    ))
}

fn signature_matches(key: &[u8; 32], to_sign: &[u8], given: &str) -> bool {
    let expected = hex64(&hmac(key, to_sign));
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

/// Verifies a signature over a text that is signed as it is: the policy of a POST form.
pub fn verify_text(
    text_to_sign: &str,
    credential: &Credential<'_>,
    signature: &str,
    facts: &Facts<'_>,
) -> Result<Identity, E> {
    let found = find_key(credential, facts, false)?;
    let key = found.as_ref().map_or([0; 32], |found| found.key);
    let good = signature_matches(&key, text_to_sign.as_bytes(), signature);
    match found {
        None => Err(E::UnknownKey(credential.access_key.to_owned())),
        Some(found) if good => Ok(Identity::Key {
            access_key: AccessKeyId::new(credential.access_key),
            account: found.account,
        }),
        Some(_) => Err(E::Mismatch(Box::new(Mismatch {
            access_key: credential.access_key.to_owned(),
            string_to_sign: text_to_sign.to_owned(),
            signature: signature.to_owned(),
            canonical_request: String::new(),
        }))),
    }
}

fn canonical_request(request: &Request<'_>, signed: &Signed<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
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
    canonical::headers(&mut out, request.headers, names, request.authority);
    for piece in ["\n", names, "\n", signed.payload_text] {
        out.extend_from_slice(piece.as_bytes());
    }
    out
}

/// `AWS4-HMAC-SHA256`, time, scope and the digest of the canonical request.
pub(crate) fn string_to_sign(stamp: &str, scope: &str, canonical: &[u8]) -> Vec<u8> {
    let digest = sha256_hex(canonical);
    let mut out = Vec::with_capacity(192);
    for piece in [
        "AWS4-HMAC-SHA256\n",
        stamp,
        "\n",
        scope,
        "\n",
        text(&digest),
    ] {
        out.extend_from_slice(piece.as_bytes());
    }
    out
}
