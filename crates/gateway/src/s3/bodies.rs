//! What S3 reads of a request beside its operation: documents in XML, digests of bodies, the source
//! of a copy.

use access::{
    Action, Ask, Context, Identity, Permit, Resource, SessionToken, Via, signature::Service,
};
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use tokio::sync::SemaphorePermit;
use types::{
    BucketName, ChecksumAlgorithm, ChecksumValue, DisplayVersion, ObjectKey,
    limits::{LARGE_XML_BYTES_MAX, XML_BYTES_MAX},
};

use super::{
    headers, multipart,
    xml::{self, Element},
};
use crate::{
    body::ResponseBody,
    call::Call,
    fault::{Fault, FaultKind},
    limits::{DOCUMENT_TIME, LARGE_DOCUMENT_TIME},
};

/// A session's token, in a header or in the query.
const TOKEN: &str = "x-amz-security-token";

impl<'g> Call<'g> {
    /// Reads the whole body into memory, at most 1 MiB (`MaxMessageLengthExceeded`), to its
    /// verified end, and compares `Content-MD5` and additional checksums where the client sent
    /// them (`InvalidDigest`, `BadDigest`).
    pub async fn read_body(&mut self) -> Result<Bytes, Fault> {
        let mut body = self.take_body();
        let mut pieces = BytesMut::new();
        let reading = read_up_to(&mut body, &mut pieces, XML_BYTES_MAX + 1, XML_BYTES_MAX);
        let read = tokio::time::timeout(DOCUMENT_TIME, reading).await;
        read.map_err(|_| FaultKind::RequestTimeout)??;
        let bytes = pieces.freeze();
        self.check_digests(&bytes, body.trailing_checksum())?;
        self.caller_now()?;
        Ok(bytes)
    }

    /// The caller, looked up again after a body that may have taken its time: a key or session that
    /// ended meanwhile does nothing more. A caller whom another region relays was looked up by what
    /// that region sent, and stays.
    pub(crate) fn caller_now(&self) -> Result<Identity, Fault> {
        let known = self.permit.identity();
        let Identity::Key {
            access_key, who, ..
        } = known
        else {
            return Ok(known.clone());
        };
        if self.via != Via::Client {
            return Ok(known.clone());
        }
        let (keys, region) = (&self.gateway.keys, &self.gateway.region);
        let today = self.gateway.clock.now().iso_basic();
        let (day, service) = (today.get(..8).unwrap_or_default(), Service::S3.name());
        let found = match who.session() {
            None => keys.signing_key(access_key, day, region, service),
            Some(_) => {
                let Some(token) = self.session_token()? else {
                    return Ok(known.clone());
                };
                let token = SessionToken::new(token);
                let found = keys.session_key(&token, access_key, day, region, service);
                found.unwrap_or_default()
            }
        };
        let Some(found) = found else {
            // A region that verifies asymmetric signatures alone has no other key.
            let public = who.session().is_none() && keys.public_key(access_key).is_some();
            return match public || keys.old_signer(access_key).is_ok() {
                true => Ok(known.clone()),
                false => Err(Fault::with(
                    FaultKind::AccessDenied,
                    "Access Denied: the access key or the session ended while the body was sent.",
                )),
            };
        };
        Ok(Identity::Key {
            access_key: access_key.clone(),
            account: found.account,
            kind: found.kind,
            guard: found.guard,
            who: found.who,
        })
    }

    fn session_token(&self) -> Result<Option<&str>, Fault> {
        let in_query = self.query.0.iter();
        let mut in_query = in_query.filter(|(name, _)| name.eq_ignore_ascii_case(TOKEN));
        match self.header(TOKEN)? {
            Some(token) if !token.is_empty() => Ok(Some(token)),
            _ => Ok(in_query.next().map(|(_, token)| &**token)),
        }
    }

    /// Reads an XML body; its root must be one of `roots`. An empty one is
    /// `MissingRequestBodyError`.
    pub async fn read_xml(&mut self, roots: &[&str]) -> Result<Element, Fault> {
        let bytes = self.read_body().await?;
        if bytes.is_empty() {
            return Err(FaultKind::MissingRequestBodyError.into());
        }
        xml::parse(&bytes, roots)
    }

    /// As [`Call::read_xml`], for the operations whose legal documents are larger than others'. A
    /// large one takes a place, which it holds as long as the answer to this.
    pub async fn read_large_xml(
        &mut self,
        roots: &'static [&'static str],
    ) -> Result<(Element, Option<SemaphorePermit<'g>>), Fault> {
        let mut body = self.take_body();
        let mut pieces = BytesMut::new();
        let reading = read_up_to(&mut body, &mut pieces, XML_BYTES_MAX, LARGE_XML_BYTES_MAX);
        let read = tokio::time::timeout(DOCUMENT_TIME, reading).await;
        if read.map_err(|_| FaultKind::RequestTimeout)?? {
            let bytes = pieces.freeze();
            self.check_digests(&bytes, body.trailing_checksum())?;
            if bytes.is_empty() {
                return Err(FaultKind::MissingRequestBodyError.into());
            }
            self.caller_now()?;
            return Ok((xml::parse(&bytes, roots)?, None));
        }
        let caller = self.permit.identity();
        let owner = self.permit.addressed();
        let owner = owner.is_some_and(|deed| caller.is_of_owner(deed));
        // The places for these are for the bucket's own account.
        if !owner
            || body
                .len_hint()
                .is_some_and(|len| len > LARGE_XML_BYTES_MAX as u64)
        {
            return Err(too_long(LARGE_XML_BYTES_MAX));
        }
        let waiting = self.gateway.large_documents.acquire();
        let place = tokio::time::timeout(LARGE_DOCUMENT_TIME, waiting).await;
        let Ok(Ok(place)) = place else {
            return Err(FaultKind::SlowDown.into());
        };
        let reading = async {
            while let Some(piece) = body.next().await {
                add(&mut pieces, &piece?, LARGE_XML_BYTES_MAX)?;
            }
            Ok::<_, Fault>(())
        };
        let read = tokio::time::timeout(LARGE_DOCUMENT_TIME, reading).await;
        read.map_err(|_| FaultKind::RequestTimeout)??;
        let bytes = pieces.freeze();
        self.check_digests(&bytes, body.trailing_checksum())?;
        self.caller_now()?;
        // Long enough to keep others waiting.
        let parsed = tokio::task::spawn_blocking(move || xml::parse(&bytes, roots)).await;
        let root = parsed.map_err(|_| FaultKind::InternalError)??;
        Ok((root, Some(place)))
    }

    fn check_digests(&self, bytes: &[u8], trailer: Option<ChecksumValue>) -> Result<(), Fault> {
        if let Some(expected) = multipart::content_md5(self)? {
            let computed = digest::md5(bytes);
            if expected != computed {
                return Err(objects::Error::BadMd5 { expected, computed }.into());
            }
        }
        let mut claims: Vec<ChecksumValue> = trailer.into_iter().collect();
        for algorithm in ChecksumAlgorithm::ALL {
            if let Some(text) = self.header(algorithm.header())? {
                let claim = ChecksumValue::parse(algorithm, text).ok_or_else(|| {
                    Fault::with(
                        FaultKind::InvalidRequest,
                        format!("Value for {} header is invalid.", algorithm.header()),
                    )
                })?;
                claims.push(claim);
            }
        }
        multipart::check_sdk_algorithm(self, claims.first().map(ChecksumValue::algorithm))?;
        for claim in claims {
            if digest::checksum(claim.algorithm(), bytes) != claim {
                return Err(objects::Error::BadDigest(claim.algorithm().name()).into());
            }
        }
        Ok(())
    }

    /// A 200 with an XML document.
    pub fn xml(&self, document: Vec<u8>) -> http::Response<ResponseBody> {
        let mut answer = http::Response::new(ResponseBody::full(document));
        headers::set_xml(answer.headers_mut());
        answer
    }

    /// Asks for a permit for the source of a copy into the bucket that the request addresses;
    /// errors as of [`Gateway::permit_copy`].
    pub fn permit_source<'a>(
        &'a self,
        action: Action,
        bucket: &'a BucketName,
        (key, version): (&'a ObjectKey, Option<DisplayVersion>),
    ) -> Result<impl Future<Output = Result<Permit, Fault>> + Send + 'a, Fault> {
        let expected = self.headers.get(headers::names::SOURCE_EXPECTED_OWNER);
        let ask = Ask {
            principal: self.permit.identity(),
            action: action.for_version(version.is_some()),
            resource: Resource::Object {
                bucket,
                key,
                version,
            },
            context: Context {
                expected_owner: expected.map(HeaderValue::as_bytes),
                ..self.context()
            },
        };
        let gateway = self.gateway;
        // The body, which only one may read, stays out of what is awaited.
        Ok(gateway.permit_copy(ask, self.deed()?, &self.via))
    }
}

/// Reads pieces of at most `max` bytes together until there are `until`. Answers whether the body
/// has ended.
async fn read_up_to(
    body: &mut Box<dyn types::Body>,
    pieces: &mut BytesMut,
    until: usize,
    max: usize,
) -> Result<bool, Fault> {
    while pieces.len() < until {
        match body.next().await {
            Some(piece) => add(pieces, &piece?, max)?,
            None => return Ok(true),
        }
    }
    Ok(false)
}

fn add(pieces: &mut BytesMut, piece: &Bytes, max: usize) -> Result<(), Fault> {
    if pieces.len() + piece.len() > max {
        return Err(too_long(max));
    }
    pieces.extend_from_slice(piece);
    Ok(())
}

fn too_long(max: usize) -> Fault {
    Fault::new(FaultKind::MaxMessageLengthExceeded).detail("MaxMessageLengthBytes", max.to_string())
}
