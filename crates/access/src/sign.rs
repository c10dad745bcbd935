//! The client's side: signing requests, presigning URLs and signing chunks; for the load
//! generator, the command line and tests.

use types::Timestamp;

use crate::{
    SigningKey,
    signature::{ChunkVerifier, HmacKey, Service, canonical, sha256_hex, signing_key},
};

/// Signs for one key pair and one region. Keeps the key of the day, so a signature costs one
/// digest and one HMAC.
#[derive(Clone)]
pub struct Signer {
    access_key: String,
    secret: String,
    region: String,
    service: Service,
    day: String,
    key: HmacKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({}, …)", self.access_key)
    }
}

/// The headers that a signed request must carry beside those that were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headers {
    /// `Authorization`.
    pub authorization: String,
    /// `x-amz-date`.
    pub date: String,
    /// The signature alone, from which chunks continue.
    pub signature: String,
}

/// What is signed. The path and the query are as they will be sent, percent-encoded.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a> {
    /// `GET` and so on.
    pub method: &'a str,
    /// The host, with its port.
    pub host: &'a str,
    /// Percent-encoded.
    pub path: &'a str,
    /// Percent-encoded, without `?`; may be empty.
    pub query: &'a str,
    /// More headers to sign: lower-case names in any order, not `host`, `x-amz-date` or
    /// `x-amz-content-sha256`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The value of `x-amz-content-sha256`.
    pub payload: &'a str,
}

impl Signer {
    /// For a key pair and the region's name.
    pub fn new(access_key: &str, secret: &str, region: &str) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret: secret.to_owned(),
            region: region.to_owned(),
            service: Service::S3,
            day: String::new(),
            key: HmacKey::from([0; 32]),
        }
    }

    /// For whoever has the key of one day, region and service, and not the secret. What it signs on
    /// another day is refused.
    pub fn of_key(
        access_key: &str,
        key: &SigningKey,
        (day, region, service): (&str, &str, Service),
    ) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret: String::new(),
            region: region.to_owned(),
            service,
            day: day.to_owned(),
            key: key.key.clone(),
        }
    }

    /// The same for the admin API.
    #[must_use]
    pub fn admin(self) -> Self {
        Self {
            service: Service::Admin,
            day: String::new(),
            ..self
        }
    }

    fn scope(&mut self, stamp: &str) -> String {
        let day = stamp.get(..8).unwrap_or_default();
        if self.day != day && !self.secret.is_empty() {
            self.day = day.to_owned();
            self.key = signing_key(&self.secret, day, &self.region, self.service.name()).into();
        }
        let service = self.service.name();
        [day, "/", &self.region, "/", service, "/aws4_request"].concat()
    }

    /// Signs a request with the `Authorization` header.
    pub fn sign(&mut self, request: &Unsigned<'_>, now: Timestamp) -> Headers {
        let date = now.iso_basic();
        let scope = self.scope(&date);
        let mut all = vec![
            ("host", request.host),
            ("x-amz-content-sha256", request.payload),
            ("x-amz-date", &date),
        ];
        all.extend_from_slice(request.headers);
        all.sort_unstable();
        let names: Vec<&str> = all.iter().map(|(n, _)| *n).collect();
        let names = names.join(";");
        let canonical = canonical_request(request, request.query, &all, &names);
        let signature = self.signature(&date, &scope, &canonical);
        let authorization = [
            "AWS4-HMAC-SHA256 Credential=",
            &self.access_key,
            "/",
            &scope,
            ",SignedHeaders=",
            &names,
            ",Signature=",
            &signature,
        ]
        .concat();
        Headers {
            authorization,
            date,
            signature,
        }
    }

    fn signature(&self, date: &str, scope: &str, canonical: &[u8]) -> String {
        let to_sign = crate::signature::string_to_sign(date, scope, canonical);
        hex::encode(self.key.sign(&to_sign))
    }

    /// The query of a presigned URL; `request.query` is part of it.
    pub fn presign(&mut self, request: &Unsigned<'_>, now: Timestamp, expires_s: u64) -> String {
        let date = now.iso_basic();
        let scope = self.scope(&date);
        let mut all = vec![("host", request.host)];
        all.extend_from_slice(request.headers);
        all.sort_unstable();
        let names: Vec<&str> = all.iter().map(|(n, _)| *n).collect();
        let names = names.join(";");
        let mut query = request.query.to_owned();
        let credential = [&self.access_key, "/", &scope].concat();
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &date),
            ("X-Amz-Expires", &expires_s.to_string()),
            ("X-Amz-SignedHeaders", &names),
        ] {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
            query.push_str(&encode(value));
        }
        let canonical = canonical_request(request, &query, &all, &names);
        let signature = self.signature(&date, &scope, &canonical);
        query + "&X-Amz-Signature=" + &signature
    }

    /// Signs the chunks of a body that follows the head with this signature.
    pub fn chunks(&mut self, head: &Headers) -> ChunkVerifier {
        let scope = self.scope(&head.date);
        ChunkVerifier::new(self.key.clone(), &head.date, &scope, &head.signature)
    }

    /// Signs a text as it is: the policy of a POST form of this day.
    pub fn sign_text(&mut self, text: &str, now: Timestamp) -> String {
        self.scope(&now.iso_basic());
        hex::encode(self.key.sign(text.as_bytes()))
    }
}

/// The value of `x-amz-content-sha256` for these bytes.
pub fn payload_sha256(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&sha256_hex(bytes)).into_owned()
}

/// Percent-encodes a value for a query.
pub fn encode(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    canonical::encode(&mut out, value.as_bytes(), false);
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encodes a path, keeping its slashes.
pub fn encode_path(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    canonical::encode(&mut out, path.as_bytes(), true);
    String::from_utf8_lossy(&out).into_owned()
}

fn canonical_request(
    request: &Unsigned<'_>,
    query: &str,
    headers: &[(&str, &str)],
    names: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    canonical::path(&mut out, request.path);
    out.push(b'\n');
    canonical::query(&mut out, query, "");
    out.push(b'\n');
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        canonical::collapse(&mut out, value.as_bytes());
        out.push(b'\n');
    }
    for piece in ["\n", names, "\n", request.payload] {
        out.extend_from_slice(piece.as_bytes());
    }
    out
}
