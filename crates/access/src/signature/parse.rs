//! Reading what a signed request says of its signature.

use std::borrow::Cow;

use types::limits::PRESIGN_S_MAX;

use super::{Algorithm, SignatureError as E};

/// Longest `Authorization` header that is read.
const HEADER_BYTES_MAX: usize = 8192;

/// The pieces of a text between single bytes of ASCII; for the short texts of a signature quicker
/// than `str::split`.
pub(crate) fn split(text: &str, at: u8) -> impl Iterator<Item = &str> {
    let mut ends = memchr::memchr_iter(at, text.as_bytes());
    let mut begin = Some(0);
    std::iter::from_fn(move || {
        let from = begin?;
        let end = ends.next();
        begin = end.map(|end| end + 1);
        text.get(from..end.unwrap_or(text.len()))
    })
}

/// What is before and behind the first of these bytes of ASCII.
fn split_once(text: &str, at: u8) -> Option<(&str, &str)> {
    let end = memchr::memchr(at, text.as_bytes())?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// `key/day/region/service/aws4_request`; in asymmetric signatures without the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The access key.
    pub access_key: &'a str,
    /// `YYYYMMDD`.
    pub day: &'a str,
    /// The region that was signed for; empty where a region set says it.
    pub region: &'a str,
    /// `s3`.
    pub service: &'a str,
    /// All behind the access key.
    pub scope: &'a str,
}

impl<'a> Credential<'a> {
    /// Reads it; the text says what is wrong.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        Self::parse_for(text, Service::S3)
    }

    /// The same for another of Dhow's services.
    pub fn parse_for(text: &'a str, of: Service) -> Result<Self, &'static str> {
        Self::parse_with(text, of, Algorithm::Hmac)
    }

    /// The same of a signature that is made in this way.
    pub(super) fn parse_with(
        text: &'a str,
        of: Service,
        algorithm: Algorithm,
    ) -> Result<Self, &'static str> {
        let shape = match algorithm {
            Algorithm::Hmac => {
                "the Credential is mal-formed; expecting \
                \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
            }
            Algorithm::Ecdsa => {
                "the Credential is mal-formed; expecting \
                \"<YOUR-AKID>/YYYYMMDD/SERVICE/aws4_request\"."
            }
        };
        // An access key may hold slashes, so the scope is read from its end.
        let mut rest = text;
        let mut next = || {
            let at = memchr::memrchr(b'/', rest.as_bytes()).ok_or(shape)?;
            let piece = &rest[at + 1..];
            rest = &rest[..at];
            Ok(piece)
        };
        let (end, service) = (next()?, next()?);
        let region = match algorithm {
            Algorithm::Hmac => next()?,
            Algorithm::Ecdsa => "",
        };
        let day = next()?;
        let access_key = rest;
        // Whether the region is one, and not empty, is for whoever knows the right one to say.
        if access_key.is_empty() {
            return Err(shape);
        }
        if end != "aws4_request" {
            return Err("incorrect terminal. This endpoint belongs to \"aws4_request\".");
        }
        if service != of.name() {
            return Err(of.wrong());
        }
        if day.len() != 8 || !day.bytes().all(|b| b.is_ascii_digit()) {
            return Err(
                "incorrect date format. This date in the credential must be in the \
                format \"yyyyMMdd\".",
            );
        }
        Ok(Self {
            access_key,
            day,
            region,
            service,
            scope: &text[access_key.len() + 1..],
        })
    }
}

/// What a signature is for. Keys differ by service, so that one made for the one opens nothing at
/// the other, whatever the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Buckets and objects.
    S3,
    /// The admin API.
    Admin,
    /// Users and their policies.
    Iam,
    /// Sessions.
    Sts,
}

impl Service {
    /// As it stands in the scope of a signature.
    pub const fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Admin => "dhow-admin",
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// The one with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        let all = [Self::S3, Self::Admin, Self::Iam, Self::Sts];
        all.into_iter().find(|one| one.name() == name)
    }

    const fn wrong(self) -> &'static str {
        match self {
            Self::S3 => "incorrect service. This endpoint belongs to \"s3\".",
            Self::Admin => "incorrect service. The admin API belongs to \"dhow-admin\".",
            Self::Iam => "incorrect service. This endpoint belongs to \"iam\".",
            Self::Sts => "incorrect service. This endpoint belongs to \"sts\".",
        }
    }
}

/// The `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedHeader<'a> {
    /// Who, when, where.
    pub credential: Credential<'a>,
    /// `a;b;c`, in lower case.
    pub signed_headers: &'a str,
    /// Hex digits: 64, or more where it is asymmetric.
    pub signature: &'a str,
}

impl<'a> SignedHeader<'a> {
    /// Reads the header's value; the parts may come in any order.
    pub fn parse(value: &'a str) -> Result<Self, E> {
        Self::parse_for(value, Service::S3)
    }

    /// The same for another of Dhow's services.
    pub fn parse_for(value: &'a str, of: Service) -> Result<Self, E> {
        Self::parse_with(value, of, Algorithm::Hmac)
    }

    /// The same of a signature that is made in this way.
    pub(super) fn parse_with(value: &'a str, of: Service, algorithm: Algorithm) -> Result<Self, E> {
        let rest = value
            .strip_prefix(algorithm.name())
            .filter(|_| value.len() <= HEADER_BYTES_MAX)
            .ok_or(E::HeaderMalformed("the header is too long"))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        let parts = split(rest, b',').map(str::trim_ascii);
        for part in parts.filter(|p| !p.is_empty()) {
            let (name, value) = split_once(part, b'=').ok_or(E::HeaderMalformed(
                "a part of the header is not a name and a value",
            ))?;
            let slot = match name.trim_ascii() {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(E::HeaderMalformed("a part of the header is not known")),
            };
            if slot.replace(value.trim_ascii()).is_some() {
                return Err(E::HeaderMalformed("a part of the header comes twice"));
            }
        }
        let credential = credential.ok_or(E::HeaderMalformed("missing Credential."))?;
        Ok(Self {
            signed_headers: signed_headers
                .filter(|s| !s.is_empty())
                .ok_or(E::HeaderMalformed("missing SignedHeaders."))?,
            signature: signature
                .filter(|s| !s.is_empty())
                .ok_or(E::HeaderMalformed("missing Signature."))?,
            credential: Credential::parse_with(credential, of, algorithm)
                .map_err(E::HeaderMalformed)?,
        })
    }
}

/// The parameters of a presigned URL, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presigned<'a> {
    /// `X-Amz-Algorithm`.
    pub algorithm: Algorithm,
    /// `X-Amz-Credential`.
    pub credential: Cow<'a, str>,
    /// `X-Amz-Date`.
    pub date: Cow<'a, str>,
    /// `X-Amz-Expires`, in seconds, 1-604,800.
    pub expires_s: u64,
    /// `X-Amz-SignedHeaders`.
    pub signed_headers: Cow<'a, str>,
    /// `X-Amz-Signature`.
    pub signature: Cow<'a, str>,
    /// `X-Amz-Content-Sha256`.
    pub payload: Option<Cow<'a, str>>,
    /// `X-Amz-Security-Token`, unless it is empty.
    pub token: Option<Cow<'a, str>>,
    /// `X-Amz-Region-Set`.
    pub region_set: Option<Cow<'a, str>>,
}

impl<'a> Presigned<'a> {
    /// The parameters, whatever the case of their letters.
    pub const NAMES: [&'static str; 9] = [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Content-Sha256",
        "X-Amz-Security-Token",
        "X-Amz-Region-Set",
    ];

    /// Reads the query as it was sent.
    pub fn parse(query: &'a str) -> Result<Self, E> {
        let mut found: [Option<Cow<'a, str>>; 9] = Default::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if let Some(at) = Self::NAMES
                .iter()
                .position(|n| name.eq_ignore_ascii_case(n))
                && found[at].replace(decoded(value)?).is_some()
            {
                return Err(E::QueryMalformed(
                    "A parameter of the signature comes twice.",
                ));
            }
        }
        let [
            algorithm,
            credential,
            date,
            expires,
            signed,
            signature,
            payload,
            token,
            region_set,
        ] = found;
        let (
            Some(algorithm),
            Some(credential),
            Some(date),
            Some(expires),
            Some(signed_headers),
            Some(signature),
        ) = (algorithm, credential, date, expires, signed, signature)
        else {
            return Err(E::QueryMalformed(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, \
                 X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and \
                 X-Amz-Expires parameters.",
            ));
        };
        let algorithm = [Algorithm::Hmac, Algorithm::Ecdsa]
            .into_iter()
            .find(|known| known.name() == algorithm)
            .ok_or(E::QueryMalformed(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\" and \"AWS4-ECDSA-P256-SHA256\"",
            ))?;
        Ok(Self {
            algorithm,
            expires_s: expires_s(&expires)?,
            region_set,
            credential,
            date,
            signed_headers,
            signature,
            payload,
            token: token.filter(|token| !token.is_empty()),
        })
    }
}

fn expires_s(text: &str) -> Result<u64, E> {
    if text.starts_with('-') {
        return Err(E::QueryMalformed("X-Amz-Expires must be non-negative"));
    }
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(E::QueryMalformed("X-Amz-Expires should be a number"));
    }
    match text.parse() {
        Ok(0) => Err(E::QueryMalformed("X-Amz-Expires must be greater than zero")),
        Ok(s) if s <= PRESIGN_S_MAX => Ok(s),
        _ => Err(E::QueryMalformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given \
             X-Amz-Expires must be less than 604800 seconds",
        )),
    }
}

/// Percent-decodes, `+` as a space.
pub(crate) fn decode(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| (*b as char).to_digit(16));
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
}

fn decoded(text: &str) -> Result<Cow<'_, str>, E> {
    if !text.contains(['%', '+']) {
        return Ok(text.into());
    }
    let mut out = Vec::with_capacity(text.len());
    decode(&mut out, text);
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| E::QueryMalformed("The query is not UTF-8."))
}
