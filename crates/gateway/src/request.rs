//! One request, read once.
//!
//! [`Received::read`] takes a head apart before anything else looks at it: authority, path, query
//! and headers. What could be read in two ways is refused there. Then the signature is verified
//! over what came ([`Received::verify`]), and what remains is a [`Request`]: the only thing that is
//! routed, permitted, handled and forwarded. The raw parts stay inside.
//!
//! A parameter of the query that is named like a header (`x-amz-*`, `x-dhow-*`) is one of these,
//! and nothing else:
//! - part of a signature: it counts for the signature alone;
//! - signed over and not acted on ([`IGNORED`]): presigners compute it without the bytes;
//! - the framing of a body ([`FRAMING`]): refused;
//! - everything else: the header of that name, from before routing on.

use access::{
    AuthType,
    signature::{self, Claim, Verified},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use types::Timestamp;

use crate::{
    dialect::{self, Dialect, Lines, Meaning},
    fault::{Fault, FaultKind},
    limits::HEAD_BYTES_MAX,
    query::Query,
    relayed,
    target::{Target, decode},
};

/// Most parameters of a query.
const PARAMETERS_MAX: usize = 128;

/// A head that has been taken apart, and whose sender is not known yet.
pub(crate) struct Received<'a> {
    dialect: &'static dyn Dialect,
    method: &'a Method,
    /// For the signature alone.
    uri: &'a Uri,
    /// As they came: of a signature they are what it covers.
    headers: HeaderMap,
    target: Target,
    query: Query,
    /// Headers that the query carries.
    carried: Vec<(HeaderName, HeaderValue)>,
    /// A parameter of a signature that the query has.
    signs: Option<&'static str>,
}

/// A request whose every part has one meaning.
pub(crate) struct Request<'a> {
    dialect: &'static dyn Dialect,
    method: &'a Method,
    /// As it came, and the headers that it carries: only to relay the head.
    uri: &'a Uri,
    carried: Vec<HeaderName>,
    target: Target,
    query: Query,
    headers: HeaderMap,
    /// There is nothing behind a question mark, not even a signature.
    bare: bool,
    length: u64,
}

impl<'a> Received<'a> {
    /// Takes the head apart. `domains` are the names under which `bucket.domain` is a bucket. The
    /// headers are taken out of `parts`.
    ///
    /// # Errors
    /// `InvalidRequest`, `InvalidURI`, `InvalidArgument`, `RequestHeaderSectionTooLarge` and the
    /// errors of names: all before the sender is known.
    pub(crate) fn read(
        parts: &'a mut http::request::Parts,
        domains: &[String],
    ) -> Result<Self, Fault> {
        let mut headers = std::mem::take(&mut parts.headers);
        let (method, uri) = (&parts.method, &parts.uri);
        let dialect = dialect::of(&headers);
        check_head(&headers, uri.path().len(), dialect)?;
        settle_repeats(&mut headers, dialect)?;
        let host = authority(uri, &headers)?;
        let target = Target::parse(uri.path(), host, domains)?;
        Self::with_query(dialect, (method, uri), headers, target)
    }

    fn with_query(
        dialect: &'static dyn Dialect,
        (method, uri): (&'a Method, &'a Uri),
        headers: HeaderMap,
        target: Target,
    ) -> Result<Self, Fault> {
        let mut read = Self {
            dialect,
            method,
            uri,
            headers,
            target,
            query: Query::default(),
            carried: Vec::new(),
            signs: None,
        };
        read.read_query()?;
        Ok(read)
    }

    fn read_query(&mut self) -> Result<(), Fault> {
        let Some(raw) = self.uri.query().filter(|raw| !raw.is_empty()) else {
            return Ok(());
        };
        let dialect = self.dialect;
        let signs = dialect.signs_by_common_names(raw);
        for (n, pair) in raw.split('&').filter(|p| !p.is_empty()).enumerate() {
            if n == PARAMETERS_MAX {
                return Err(FaultKind::InvalidURI.into());
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name, true)?, decode(value, true)?);
            match dialect.meaning(&name, signs) {
                Meaning::Signature(known) => self.signs = Some(known),
                Meaning::Ignored => {}
                Meaning::Refused => {
                    return Err(Fault::argument(
                        &name,
                        &value,
                        "This parameter is a header that a query cannot carry.",
                    ));
                }
                Meaning::Header => self.carry(&name, &value)?,
                Meaning::Parameter if self.query.has(&name) => {
                    return Err(twice("parameter", &name));
                }
                Meaning::Parameter => {
                    self.query.0.push((name.into_owned(), value.into_owned()));
                }
            }
        }
        Ok(())
    }

    /// Takes a header out of the query.
    fn carry(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let bad = || Fault::argument(name, "", "No header can carry this parameter.");
        // What stands around a header's value is not part of it.
        let text = value.trim_matches([' ', '\t']);
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let text = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| bad())?;
        if self.carried.iter().any(|(n, _)| *n == header) {
            return Err(twice("header", header.as_str()));
        }
        // Some presigners sign a header and repeat it in the query: one value is one reading.
        let mut there = self.headers.get_all(&header).iter();
        match (there.next(), there.next()) {
            (None, _) => {}
            (Some(own), None) if own.as_bytes() == text.as_bytes() => return Ok(()),
            _ => return Err(twice("header", header.as_str())),
        }
        self.carried.push((header, text));
        Ok(())
    }

    /// The method.
    pub(crate) fn bucket(&self) -> Option<&types::BucketName> {
        self.target.bucket.as_ref()
    }

    /// Verifies the signature over what came.
    pub(crate) fn verify(
        &self,
        facts: &signature::Facts<'_>,
    ) -> Result<(AuthType, Verified), Fault> {
        let auth = self.auth()?;
        let verified = signature::verify(auth, &self.signed(), facts)?;
        Ok((auth, verified))
    }

    /// The request, once it is verified.
    pub(crate) fn verified(self) -> Result<Request<'a>, Fault> {
        self.merge()
    }

    /// What the signature claims, for whoever knows the key that is not known here.
    pub(crate) fn claimed(&self, now: Timestamp) -> Result<Claim, Fault> {
        Ok(signature::claim(self.auth()?, &self.signed(), now)?)
    }

    /// What the signature claims, for whoever can verify it: of a head that another region relays.
    pub(crate) fn claim(self, now: Timestamp) -> Result<(Request<'a>, Claim), Fault> {
        let claim = self.claimed(now)?;
        Ok((self.merge()?, claim))
    }

    fn auth(&self) -> Result<AuthType, Fault> {
        let auth = AuthType::of(self.method, &self.headers, self.uri.query())?;
        if !auth.is_presigned()
            && let Some(name) = self.signs
        {
            return Err(Fault::argument(
                name,
                "",
                "A parameter of a signature without a signature in the query.",
            ));
        }
        Ok(auth)
    }

    fn signed(&self) -> signature::Request<'_> {
        signature::Request {
            method: self.method.as_str(),
            path: self.uri.path(),
            host_bucket: self
                .target
                .bucket
                .as_deref()
                .filter(|_| self.target.by_host),
            query: self.uri.query(),
            headers: &self.headers,
        }
    }

    /// What a signature would have to cover.
    #[cfg(test)]
    pub(crate) fn unverified(self) -> Result<Request<'a>, Fault> {
        self.merge()
    }

    fn merge(mut self) -> Result<Request<'a>, Fault> {
        if self.signs.is_some() {
            let dialect = self.dialect;
            self.query
                .0
                .retain(|(name, _)| !dialect.repeats_header(name));
        }
        let mut headers = self.headers;
        let mut carried = Vec::new();
        for (name, value) in self.carried {
            carried.push(name.clone());
            headers.insert(name, value);
        }
        Ok(Request {
            dialect: self.dialect,
            method: self.method,
            uri: self.uri,
            carried,
            target: self.target,
            query: self.query,
            length: content_length(&headers),
            headers,
            bare: self.uri.query().is_none_or(str::is_empty),
        })
    }
}

impl Request<'_> {
    /// How it is written.
    pub(crate) fn dialect(&self) -> &'static dyn Dialect {
        self.dialect
    }
    pub(crate) fn method(&self) -> &Method {
        self.method
    }
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
    pub(crate) fn query(&self) -> &Query {
        &self.query
    }
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }
    /// Whether there is nothing behind a question mark.
    pub(crate) fn is_bare(&self) -> bool {
        self.bare
    }
    /// What `Content-Length` said; 0 where it said nothing.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }
    /// The fields of a form take the place of the head, which nobody signed.
    pub(crate) fn become_form(&mut self, fields: HeaderMap) {
        self.headers = fields;
    }
    /// The head as its customer signed it, for a region that reads it anew.
    pub(crate) fn relayed(&self) -> Vec<u8> {
        let headers = self.headers.iter();
        let own = headers.filter(|(name, _)| !self.carried.contains(name));
        relayed::write(self.method, self.uri, own)
    }
    /// For the handler.
    pub(crate) fn into_parts(self) -> (Target, Query, HeaderMap) {
        (self.target, self.query, self.headers)
    }
}

fn twice(what: &str, name: &str) -> Fault {
    Fault::with(
        FaultKind::InvalidRequest,
        format!("The {what} {name} is there more than once."),
    )
}

/// The host that the request is for, without its port. Where the target names one too, it must be
/// the same: the signature covers `Host`, and the bucket may stand in either.
fn authority<'h>(uri: &Uri, headers: &'h HeaderMap) -> Result<&'h str, Fault> {
    let refuse = |what: &str| Err(Fault::with(FaultKind::InvalidRequest, what));
    let Some(host) = headers.get(header::HOST) else {
        return refuse("The request has no Host header.");
    };
    let plain =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    let Some(host) = host
        .to_str()
        .ok()
        .filter(|h| h.as_bytes().iter().all(plain))
    else {
        return refuse("The Host header is not a host.");
    };
    if let Some(named) = uri.authority()
        && !named.as_str().eq_ignore_ascii_case(host)
    {
        return refuse("The Host header and the target of the request name different hosts.");
    }
    if !uri.path().starts_with('/') {
        return Err(FaultKind::InvalidURI.into());
    }
    Ok(without_port(host))
}

/// A host without its port, and without the dot of a complete name: `example.com.` is the host
/// `example.com`.
pub(crate) fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Joins what is a list, and refuses every other header that comes more than once and that
/// anything here reads: it is signed joined, and would be read singly.
fn settle_repeats(headers: &mut HeaderMap, dialect: &dyn Dialect) -> Result<(), Fault> {
    if headers.len() == headers.keys_len() {
        return Ok(());
    }
    let several = |name: &&HeaderName| headers.get_all(*name).iter().nth(1).is_some();
    let repeated: Vec<HeaderName> = headers.keys().filter(several).cloned().collect();
    for name in repeated {
        let text = name.as_str();
        match dialect.lines(text) {
            Lines::List => {
                let values: Vec<&[u8]> = headers
                    .get_all(&name)
                    .iter()
                    .map(|v| v.as_bytes())
                    .collect();
                let joined = HeaderValue::from_bytes(&values.join(&b","[..]));
                let joined = joined.map_err(|_| FaultKind::InvalidRequest)?;
                headers.insert(name, joined);
            }
            Lines::One => return Err(twice("header", text)),
            Lines::Unread => {}
        }
    }
    Ok(())
}

fn check_head(headers: &HeaderMap, path_bytes: usize, dialect: &dyn Dialect) -> Result<(), Fault> {
    let bytes: usize = headers
        .iter()
        .map(|(n, v)| n.as_str().len() + v.len())
        .sum();
    if bytes + path_bytes > HEAD_BYTES_MAX {
        return Err(Fault::new(FaultKind::RequestHeaderSectionTooLarge)
            .detail("MaxSizeAllowed", HEAD_BYTES_MAX.to_string()));
    }
    // Two lengths are how requests are smuggled past a proxy that goes by the other one. Where
    // Transfer-Encoding comes first the parser has dropped Content-Length already, so it is only
    // let through where S3 takes it: aws-chunked bodies, which give their length in another header.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let error = if headers.contains_key(header::CONTENT_LENGTH) {
            Fault::with(
                FaultKind::InvalidRequest,
                "Content-Length and Transfer-Encoding exclude each other.",
            )
        } else if dialect.says_length(headers) {
            return Ok(());
        } else {
            FaultKind::MissingContentLength.into()
        };
        return Err(error.header(header::CONNECTION, HeaderValue::from_static("close")));
    }
    Ok(())
}

fn content_length(headers: &HeaderMap) -> u64 {
    let text = headers.get(header::CONTENT_LENGTH);
    let text = text.and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
