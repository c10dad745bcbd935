//! Signature version 2 ("Signing and authenticating REST requests (AWS signature version 2)"): an
//! HMAC-SHA1 over the method, three headers, all `x-amz-*` headers, the path as it was sent and
//! some parameters of the query.
//!
//! It names no region and no service, and covers neither the body nor most of the query. So what it
//! does not cover must decide no more than it does on S3: parameters that list pages of something.
//! A request with any other parameter is refused, and so is one whose text could be that of another
//! request too.
//!
//! Signatures of OSS, version 1, have the same shape with other names ([`Names`]).

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use types::{AccessKeyId, Timestamp, limits::CLOCK_SKEW_S_MAX, limits::PRESIGN_S_MAX};

use super::{
    AuthType, Claim, Mismatch, PayloadMode, Request, SignatureError as E, Statement,
    hash::{hex64, sha256, text},
    parse::decode,
    signature_headers::SignatureHeaders,
    verify::{Facts, Verified},
};
use crate::{Identity, NoOldKey, OldSigner, SessionToken};

/// What a kind of such signatures calls its parts.
struct Names {
    /// What the `Authorization` header begins with.
    scheme: &'static str,
    /// The query's parameters: access key, end, signature.
    query: [&'static str; 3],
    /// What headers begin with that are all signed.
    headers: &'static str,
    /// Parameters that are signed, with their values.
    signed: &'static [&'static str],
    /// Parameters that are not signed and that may be there: they say which page of a listing is
    /// wanted, or nothing.
    unsigned: &'static [&'static str],
}

const AWS: Names = Names {
    scheme: "AWS ",
    query: [ACCESS_KEY, EXPIRES, SIGNATURE],
    headers: "x-amz-",
    signed: &[
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    ],
    unsigned: &[
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "key-marker",
        "list-type",
        "marker",
        "max-keys",
        "max-parts",
        "max-uploads",
        "part-number-marker",
        "prefix",
        "start-after",
        "upload-id-marker",
        "version-id-marker",
        "x-id",
        // Presigners repeat these headers in the query, where they say nothing.
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
    ],
};

/// The parameters of a presigned URL.
const ACCESS_KEY: &str = "AWSAccessKeyId";
const EXPIRES: &str = "Expires";
const SIGNATURE: &str = "Signature";

/// The parameters of a presigned URL: they say nothing of what is asked for.
pub const QUERY: [&str; 3] = AWS.query;

/// What such a signature is called in conditions of policies.
pub const VERSION: &str = "AWS";

/// A signature as it stands in a request. Nobody with the key has seen it yet.
struct Signed<'a> {
    access_key: Cow<'a, str>,
    signature: Cow<'a, str>,
    /// `Expires`, of a presigned URL.
    expires: Option<Cow<'a, str>>,
    /// The query, decoded.
    query: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
}

/// The texts that are signed for one request. There are two where the path names a bucket and no
/// key: some clients sign a slash at its end that they do not send. Both are the same request, so
/// the same texts in the same order, however it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    text: Box<[u8]>,
    without_slash: Option<Box<[u8]>>,
}

impl Texts {
    pub(super) fn new(text: Vec<u8>, without_slash: Option<Vec<u8>>) -> Self {
        Self {
            text: text.into(),
            without_slash: without_slash.map(Into::into),
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

impl From<&[u8]> for Texts {
    fn from(text: &[u8]) -> Self {
        Self::new(text.to_vec(), None)
    }
}

/// What such a signature covers, and when it counts.
struct Covered {
    texts: Texts,
    at: Timestamp,
    payload: PayloadMode,
    /// The headers that it covers, `a;b;c`.
    headers: String,
}

/// Verifies a request with such a signature.
pub(super) fn verify(
    auth: AuthType,
    request: &Request<'_>,
    facts: &Facts<'_>,
) -> Result<Verified, E> {
    let signed = Signed::read(auth, request)?;
    let signer = signer(&signed.access_key, facts)?;
    let covered = signed.covered(request, facts.now)?;
    let (key, given) = (&signed.access_key, &signed.signature);
    let identity = prove(signer, &covered.texts, (key, given))?;
    // Other regions take the same signature, and one of them may have the request.
    let once = match auth.is_presigned() {
        true => None,
        false => Some(once(key, &covered.texts)),
    };
    Ok(Verified {
        identity,
        payload: covered.payload,
        at: Some(covered.at),
        chunks: None,
        once,
    })
}

/// Verifies a text that is signed as it is: the policy of a POST form, in base64.
///
/// # Errors
/// The key is not known, takes no such signatures, or did not make this one.
pub fn verify_old_text(
    text_to_sign: &str,
    access_key: &str,
    signature: &str,
    facts: &Facts<'_>,
) -> Result<Identity, E> {
    let signer = signer(access_key, facts)?;
    prove(
        signer,
        &text_to_sign.as_bytes().into(),
        (access_key, signature),
    )
}

/// What the signature of a request claims.
pub(super) fn claim(auth: AuthType, request: &Request<'_>, now: Timestamp) -> Result<Claim, E> {
    let signed = Signed::read(auth, request)?;
    let covered = signed.covered(request, now)?;
    Ok(Claim {
        statement: Statement {
            access_key: signed.access_key.into_owned(),
            day: String::new(),
            region: String::new(),
            region_set: None,
            stamp: String::new(),
            canonical: sha256(&covered.texts.text),
            signature: signed.signature.into_owned(),
            token: None::<SessionToken>,
            old: Some(covered.texts),
        },
        signed_headers: covered.headers,
        payload: covered.payload,
        at: covered.at,
        presigned: auth.is_presigned(),
    })
}

/// What is remembered of such a signature where it counts once.
pub(super) fn once(access_key: &str, covered: &Texts) -> String {
    let all = [access_key.as_bytes(), b"\n", &covered.text].concat();
    text(&hex64(&sha256(&all))).to_owned()
}

/// Whether a signature in base64 is that of one of the texts.
pub(super) fn matches(signer: &OldSigner, covered: &Texts, given: &str) -> bool {
    let code = STANDARD.decode(given).ok().and_then(|c| c.try_into().ok());
    let texts = [Some(&covered.text), covered.without_slash.as_ref()];
    code.is_some_and(|code| {
        let mut texts = texts.into_iter().flatten();
        texts.any(|text| signer.key.verifies(text, &code))
    })
}

fn signer(access_key: &str, facts: &Facts<'_>) -> Result<OldSigner, E> {
    facts.keys.old_signer(access_key).map_err(|why| match why {
        NoOldKey::Unknown => E::of_unknown(facts.keys, access_key, None),
        why => E::OldSignature(why),
    })
}

fn prove(
    signer: OldSigner,
    covered: &Texts,
    (access_key, given): (&str, &str),
) -> Result<Identity, E> {
    if !matches(&signer, covered, given) {
        return Err(E::Mismatch(Box::new(Mismatch {
            access_key: access_key.to_owned(),
            string_to_sign: covered.shown(),
            signature: given.to_owned(),
            canonical_request: String::new(),
        })));
    }
    Ok(Identity::Key {
        access_key: AccessKeyId::new(access_key),
        account: signer.account,
        kind: signer.kind,
        guard: signer.guard,
        who: signer.who,
    })
}

impl<'a> Signed<'a> {
    fn read(auth: AuthType, request: &Request<'a>) -> Result<Self, E> {
        let query = parameters(request.query.unwrap_or_default())?;
        if auth.is_presigned() {
            return Self::of_query(query);
        }
        let said = SignatureHeaders::by(request.headers).authorization.text();
        let value = said.ok().flatten();
        let pair = value.and_then(|value| value.strip_prefix(AWS.scheme)?.trim().split_once(':'));
        let (access_key, signature) = pair
            .filter(|(key, signature)| !key.is_empty() && !signature.is_empty())
            .ok_or(E::OldMalformed(
                "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
            ))?;
        Ok(Self {
            access_key: access_key.into(),
            signature: signature.into(),
            expires: None,
            query,
        })
    }

    fn of_query(query: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>) -> Result<Self, E> {
        let value = |name: &str| {
            let mut found = query.iter().filter(|(n, _)| n == name);
            match (found.next(), found.next()) {
                (Some((_, Some(value))), None) if !value.is_empty() => Some(value.clone()),
                _ => None,
            }
        };
        let [access_key, expires, signature] = AWS.query.map(value);
        match (access_key, expires, signature) {
            (Some(access_key), Some(expires), Some(signature)) => Ok(Self {
                access_key,
                signature,
                expires: Some(expires),
                query,
            }),
            _ => Err(E::OldQuery(
                "Query-string authentication requires the Signature, Expires and AWSAccessKeyId \
                 parameters"
                    .to_owned(),
            )),
        }
    }

    /// The text that was signed, with what else the request says of its signature.
    fn covered(&self, request: &Request<'_>, now: Timestamp) -> Result<Covered, E> {
        let said = SignatureHeaders::by(request.headers);
        let (date, at) = self.date(&said, request, now)?;
        let amz = self.signed_headers(request)?;
        if amz.contains_key("x-amz-security-token") {
            return Err(E::NotImplemented(
                "Signature version 2 with temporary credentials",
            ));
        }
        let payload = match said.payload()?.map(PayloadMode::parse).transpose()? {
            None => PayloadMode::Unsigned,
            // There is no signature that the chunks could continue.
            Some(PayloadMode::StreamingSigned { .. }) => {
                return Err(E::PayloadMode(
                    said.payload()?.unwrap_or_default().to_owned(),
                ));
            }
            Some(mode) => mode,
        };
        let header = |name| request.headers.get(name).map_or(&b""[..], |v| v.as_bytes());
        let mut text = Vec::with_capacity(256);
        for line in [
            request.method.as_bytes(),
            header("content-md5"),
            header("content-type"),
            date.as_bytes(),
        ] {
            text.extend_from_slice(line.trim_ascii());
            text.push(b'\n');
        }
        let mut headers = String::from("content-md5;content-type;date");
        for (name, value) in &amz {
            for piece in [name.as_bytes(), b":", value, b"\n"] {
                text.extend_from_slice(piece);
            }
            headers.push(';');
            headers.push_str(name);
        }
        let rest = self.parameters()?;
        let (path, bare) = resource(request);
        let with = |path: &str| [&text, path.as_bytes(), rest.as_bytes()].concat();
        Ok(Covered {
            texts: Texts::new(with(&path), bare.map(with)),
            at,
            payload,
            headers,
        })
    }

    /// The line of the date, and when the request was signed.
    fn date(
        &self,
        said: &SignatureHeaders<'a>,
        request: &Request<'_>,
        now: Timestamp,
    ) -> Result<(String, Timestamp), E> {
        if let Some(expires) = &self.expires {
            return expiry(expires, now).map(|at| (expires.to_string(), at));
        }
        let (at, stamp) = said.request_date()?;
        if at.s().abs_diff(now.s()) > CLOCK_SKEW_S_MAX {
            return Err(E::Skewed {
                request: stamp.into_owned(),
                server: now.iso8601_seconds(),
            });
        }
        let date = request.headers.get("date").and_then(|v| v.to_str().ok());
        let line = match request.headers.contains_key("x-amz-date") {
            true => "",
            false => date.unwrap_or_default(),
        };
        Ok((line.to_owned(), at))
    }

    /// All headers of S3, also those that the query carries, by name.
    fn signed_headers(&self, request: &Request<'_>) -> Result<BTreeMap<String, Vec<u8>>, E> {
        let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (name, value) in request.headers {
            let name = name.as_str();
            check_dhow(name)?;
            if !name.starts_with(AWS.headers) {
                continue;
            }
            let value = value.as_bytes().trim_ascii();
            match found.get_mut(name) {
                Some(before) => {
                    before.push(b',');
                    before.extend_from_slice(value);
                }
                None => drop(found.insert(name.to_owned(), value.to_vec())),
            }
        }
        for (name, value) in &self.query {
            let name = name.to_ascii_lowercase();
            check_dhow(&name)?;
            if !name.starts_with(AWS.headers) {
                continue;
            }
            let value = value.as_deref().unwrap_or_default();
            let value = value.trim_matches([' ', '\t']).as_bytes();
            let plain = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            // Of a header that is there with another value nobody could say which was signed.
            let one = found.get(&name).is_none_or(|header| header == value);
            let moved = !found.contains_key(&name) && self.may_not_move(&name, value);
            if !plain || !one || moved || has_line_end(value) {
                return Err(E::OldUnsigned(name));
            }
            found.insert(name, value.to_vec());
        }
        Ok(found)
    }

    /// Whether a header of S3 may not be in the query alone: it has the same line in the text, and
    /// nobody reads it there. So whoever has a request could take away what bounds its body.
    /// Clients
    /// move headers for URLs only, and know no body then.
    fn may_not_move(&self, name: &str, value: &[u8]) -> bool {
        if self.expires.is_none() {
            return true;
        }
        match name {
            "x-amz-content-sha256" => value != b"UNSIGNED-PAYLOAD",
            "x-amz-trailer" => true,
            // Of a body that is not known yet clients say what the empty one has.
            _ => name.starts_with("x-amz-checksum-") && !OF_NOTHING.contains(&value),
        }
    }

    /// The parameters that are signed, as they stand in the text.
    fn parameters(&self) -> Result<String, E> {
        let mut signed: Vec<(&str, Option<&str>)> = Vec::new();
        for (name, value) in &self.query {
            let carries = name.len() >= AWS.headers.len()
                && name.as_bytes()[..AWS.headers.len()].eq_ignore_ascii_case(b"x-amz-");
            let of_signature = self.expires.is_some() && AWS.query.contains(&&**name);
            if AWS.signed.contains(&&**name) {
                let value = value.as_deref();
                if value.is_some_and(|v| reads_twice(v) || has_line_end(v.as_bytes())) {
                    return Err(E::OldUnsigned(name.clone().into_owned()));
                }
                signed.push((name, value));
            } else if !carries && !of_signature && !is_harmless(name) {
                return Err(E::OldUnsigned(name.clone().into_owned()));
            }
        }
        signed.sort_unstable();
        if signed.windows(2).any(|two| two[0].0 == two[1].0) {
            return Err(E::OldUnsigned(signed[0].0.to_owned()));
        }
        let mut text = String::new();
        for (n, (name, value)) in signed.into_iter().enumerate() {
            text.push(if n == 0 { '?' } else { '&' });
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        Ok(text)
    }
}

/// The bucket if the host names it, and the path as it was sent. Of a path that names a bucket
/// alone: with a slash at its end, and without one.
fn resource<'r>(request: &Request<'r>) -> (String, Option<&'r str>) {
    let path = if request.path.is_empty() {
        "/"
    } else {
        request.path
    };
    if let Some(bucket) = request.host_bucket {
        return (["/", bucket, path].concat(), None);
    }
    let bare = path.strip_suffix('/').unwrap_or(path);
    let bucket = bare.strip_prefix('/').unwrap_or_default();
    match bucket.is_empty() || bucket.contains('/') {
        true => (path.to_owned(), None),
        false => ([bare, "/"].concat(), Some(bare)),
    }
}

/// Checksums of an empty body: CRC-32 and CRC-32C, CRC-64/NVME, SHA-1, SHA-256.
const OF_NOTHING: [&[u8]; 4] = [
    b"AAAAAA==",
    b"AAAAAAAAAAA=",
    b"2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
    b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
];

/// A name and a value, decoded; without `=` there is no value.
type Parameter<'q> = (Cow<'q, str>, Option<Cow<'q, str>>);

/// The parameters of a query.
fn parameters(query: &str) -> Result<Vec<Parameter<'_>>, E> {
    let plain = |text| decoded(text).ok_or(E::QueryMalformed("The query is not UTF-8."));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => Ok((plain(name)?, Some(plain(value)?))),
            None => Ok((plain(pair)?, None)),
        })
        .collect()
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(text.into());
    }
    let mut out = Vec::with_capacity(text.len());
    decode(&mut out, text);
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// When a URL ends, if it is neither over nor ends too late. It does not say when it was made: the
/// answer is the earliest time that it may have been.
fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, E> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let ends: u64 = text.parse().ok().filter(|_| digits).ok_or_else(|| {
        E::OldQuery(format!(
            "Invalid date (should be seconds since epoch): {text}"
        ))
    })?;
    if ends < now.s() {
        return Err(E::OldExpired {
            at: Timestamp::from_s(ends).iso8601_seconds(),
            server: now.iso8601_seconds(),
        });
    }
    if ends > now.s() + PRESIGN_S_MAX + CLOCK_SKEW_S_MAX {
        return Err(E::OldQuery(
            "Expires is more than seven days ahead; no presigned URL counts longer".to_owned(),
        ));
    }
    Ok(Timestamp::from_s(ends.saturating_sub(PRESIGN_S_MAX)))
}

/// Headers of Dhow are not covered, wherever they are.
fn check_dhow(name: &str) -> Result<(), E> {
    // Of an answer, and repeated by clients: it asks for nothing.
    match name.starts_with("x-dhow-") && name != "x-dhow-state" {
        true => Err(E::OldUnsigned(name.to_owned())),
        false => Ok(()),
    }
}

fn is_harmless(name: &str) -> bool {
    AWS.unsigned.contains(&name)
        || name.eq_ignore_ascii_case(EXPIRES)
        || types::planted("v2-unsigned-parameters")
}

fn has_line_end(value: &[u8]) -> bool {
    memchr::memchr2(b'\n', b'\r', value).is_some()
}

/// Whether a value, as it stands in the text, may be a value and other parameters behind it: the
/// text has no escapes.
fn reads_twice(value: &str) -> bool {
    let rest = value.split('&').skip(1);
    rest.map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
        .any(|name| AWS.signed.contains(&name))
}
