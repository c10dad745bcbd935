//! Requests for buckets that are not here, or not here for this action: to whom they go. The rule
//! is `access`'s; this file only reads its answer.

use std::{fmt::Write, pin::pin, sync::Arc};

use access::{Action, Identity, Permit, Refusal, Via};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use types::{Body, BucketDeed, Holding, Place, RegionId, Writes};

use crate::{
    body::ResponseBody,
    operations::{Operation, Status},
    passing::{AnswerBody, PassedAnswer, PassedBody, Progress},
    payload::stored_content_encoding,
    regions::{PassError, Regions},
    request::Request as Canonical,
    s3::{ErrorCode, S3Error, S3Result, headers::names},
    server::Gateway,
    target::is_of_signature,
};

/// The host that the client addressed, on its way to the region that acts.
pub(crate) const CLIENT_HOST: HeaderName = HeaderName::from_static("x-dhow-client-host");
/// In answers: the region that acted, and its own id of the request.
const ACTED_IN: HeaderName = HeaderName::from_static("x-dhow-region");
const ACTED_ID: HeaderName = HeaderName::from_static("x-dhow-region-request-id");

/// Where a request is acted on.
pub(crate) enum Way {
    /// Here.
    Here(Permit),
    /// In one of these regions, the best one first; a write has one only.
    Pass(Vec<RegionId>),
}

/// A request that is about to be passed on.
pub(crate) struct Outgoing {
    pub(crate) holders: Vec<RegionId>,
    pub(crate) head: Head,
    /// Only a write has one, and a write goes to one region only.
    pub(crate) body: Option<Box<dyn Body>>,
}

/// All of it but the body, which only one region can be given.
pub(crate) struct Head {
    pub(crate) identity: Identity,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
}

impl Gateway {
    /// Decides where a request is acted on. Whoever does not own the bucket learns nothing.
    pub(crate) fn way(
        &self,
        operation: &Operation,
        (action, conditional): (Action, bool),
        identity: &Identity,
        deed: Option<&Arc<BucketDeed>>,
        via: &Via,
    ) -> Result<Way, S3Error> {
        let permitted = access::authorize(identity, action, deed, &self.place, via);
        // Whether a condition holds is decided where writes are ordered.
        let permitted = permitted.and_then(|permit| match deed {
            Some(deed) if conditional && action.writes_objects() => {
                access::may_decide(deed, &self.region).map(|()| permit)
            }
            _ => Ok(permit),
        });
        let refusal = match permitted {
            Ok(permit) if operation.status.answers() => {
                self.check_clock(action)?;
                return Ok(Way::Here(permit));
            }
            Ok(_) => return Err(S3Error::not_implemented(operation.name)),
            Err(refusal) => refusal,
        };
        let Some(deed) = deed else {
            return Err(ErrorCode::AccessDenied.into());
        };
        match (refusal, via) {
            (
                Refusal::Anonymous
                | Refusal::NotOwner
                | Refusal::Kind
                | Refusal::NotAccepted
                | Refusal::Mismatch,
                _,
            ) => Err(ErrorCode::AccessDenied.into()),
            (_, Via::Region(from)) => Err(self.not_from(refusal, action, deed, from)),
            (Refusal::Residency, Via::Door) => Err(self.not_lawful(deed)),
            (Refusal::Sealed, Via::Door) => self.opened(operation, action, identity, deed),
            (Refusal::NotHome | Refusal::Elsewhere, Via::Door) => {
                if operation.status == Status::NotYet {
                    return Err(S3Error::not_implemented(operation.name));
                }
                if conditional && operation.name == "CompleteMultipartUpload" {
                    self.began_here(deed)?;
                }
                let holders = self.holders(action, deed);
                match holders.is_empty() {
                    true => Err(self.redirect(deed)),
                    false => Ok(Way::Pass(holders)),
                }
            }
        }
    }

    /// An upload that was begun at a copy which takes writes is completed there, where a condition
    /// cannot be decided.
    fn began_here(&self, deed: &BucketDeed) -> Result<(), S3Error> {
        let here =
            deed.placement.writes == Writes::Any && deed.holding(&self.region) == Holding::Replica;
        match here {
            false => Ok(()),
            true => Err(S3Error::with(
                ErrorCode::NotImplemented,
                format!(
                    "An upload that was begun at a copy cannot be completed on a condition: begin \
                     it in the bucket's home, region {}.",
                    deed.home
                ),
            )),
        }
    }

    /// Where the copy is sealed objects are read, with leases from the home; all else is done
    /// there.
    fn opened(
        &self,
        operation: &Operation,
        action: Action,
        identity: &Identity,
        deed: &Arc<BucketDeed>,
    ) -> Result<Way, S3Error> {
        let reads = matches!(operation.name, "GetObject" | "HeadObject");
        match access::authorize_opening(identity, action, deed, &self.place) {
            Ok(permit) if reads => Ok(Way::Here(permit)),
            _ => Err(self.redirect(deed)),
        }
    }

    /// Versions are ordered by time: a region whose clock is wrong must not make any.
    fn check_clock(&self, action: Action) -> Result<(), S3Error> {
        let doubt = self.regions.as_ref().and_then(|r| r.clock_doubt());
        match doubt {
            Some(why) if action.writes() || action == Action::CreateBucket => {
                Err(S3Error::with(ErrorCode::ServiceUnavailable, why)
                    .header(header::RETRY_AFTER, HeaderValue::from_static("5")))
            }
            _ => Ok(()),
        }
    }

    /// The regions to which a request may be passed on, the best one first.
    fn holders(&self, action: Action, deed: &BucketDeed) -> Vec<RegionId> {
        let Some(regions) = &self.regions else {
            return Vec::new();
        };
        let may = |region: &RegionId| {
            let there = regions.place(region);
            *region != self.region
                && there.is_some_and(|there| access::may_pass(deed, &self.place, &there).is_ok())
        };
        if action.writes() {
            return Some(deed.home.clone()).into_iter().filter(may).collect();
        }
        let among: Vec<RegionId> = deed.holders().filter(|r| may(r)).cloned().collect();
        let mut nearest = regions.nearest(&among);
        // Whatever order it answers, it adds nobody.
        nearest.retain(|region| among.contains(region));
        nearest
    }

    /// A bucket that is addressed at the wrong region.
    pub(crate) fn redirect(&self, deed: &BucketDeed) -> S3Error {
        let regions = self.regions.as_ref();
        let endpoint = regions.and_then(|regions| regions.endpoint(&deed.home));
        let mut text = format!(
            "The bucket you are attempting to access must be addressed using the specified \
             endpoint. It is in region {}, and this endpoint is of region {}.",
            deed.home, self.region
        );
        if let Some(endpoint) = &endpoint {
            let _ = write!(
                text,
                " Send the request to {endpoint}, signed for region {}.",
                deed.home
            );
        }
        let error = S3Error::with(ErrorCode::PermanentRedirect, text)
            .detail("Bucket", &*deed.name)
            .detail("Region", &*deed.home)
            .text_header(names::BUCKET_REGION, &deed.home);
        match endpoint {
            Some(endpoint) => error.detail("Endpoint", endpoint),
            None => error,
        }
    }

    /// The owner asks where the law that they chose does not allow the bucket to be.
    pub(crate) fn not_lawful(&self, deed: &BucketDeed) -> S3Error {
        let (region, country) = (&self.region, &self.place.jurisdiction);
        S3Error::with(
            ErrorCode::AccessDenied,
            format!(
                "Access Denied: the jurisdictions of the bucket's placement do not include that \
                 of region {region} ({country}); its home is {}.",
                deed.home
            ),
        )
        .detail("Region", &*deed.home)
        .text_header(names::BUCKET_REGION, &deed.home)
    }

    /// A request that another region passed on is refused here.
    fn not_from(
        &self,
        refusal: Refusal,
        action: Action,
        deed: &BucketDeed,
        from: &Place,
    ) -> S3Error {
        let held = match deed.holding(&self.region) {
            Holding::Home => true,
            Holding::Replica if deed.placement.writes == Writes::Any => {
                !action.writes() || action.is_taken_everywhere()
            }
            Holding::Replica => !action.writes(),
            Holding::Sealed | Holding::Nothing => false,
        };
        if refusal != Refusal::Residency && !held {
            // Regions learn of a new deed one after the other: soon both know the same.
            return unavailable(&self.region, "does not hold the bucket for this request");
        }
        let text = format!(
            "Access Denied: region {} does not take this request from region {}: {refusal}.",
            self.region, from.region
        );
        S3Error::with(ErrorCode::AccessDenied, text)
    }

    /// Passes a request on, once: what the other region answers is the answer. A read goes to the
    /// next region when one does not answer; nothing of an answer has been sent by then.
    pub(crate) async fn pass_on(&self, outgoing: Outgoing, ended: &mut bool) -> S3Result {
        let regions = self.regions.clone().ok_or(ErrorCode::InternalError)?;
        let Outgoing {
            holders,
            head,
            mut body,
        } = outgoing;
        let mut tried = None;
        for (n, holder) in holders.iter().enumerate() {
            let body = match body.take() {
                Some(body) => PassedBody::new(body),
                None => PassedBody::empty(),
            };
            let progress = body.progress();
            let answer = self
                .pass_to(&*regions, holder, &head, body, &progress)
                .await;
            *ended = progress.ended();
            if let Some(fault) = progress.fault() {
                return Err(fault.clone().into());
            }
            match answer {
                Ok(answer) => {
                    let busy = answer.status() == http::StatusCode::SERVICE_UNAVAILABLE;
                    if !busy || n + 1 == holders.len() {
                        self.metrics.passed.inc();
                        return Ok(self.bring_back(answer, holder));
                    }
                }
                Err(error) => {
                    self.metrics.unanswered.inc();
                    tracing::warn!(%holder, %error, "a request could not be passed on");
                }
            }
            tried = Some(holder);
        }
        let region = tried.unwrap_or(&self.region);
        Err(unavailable(region, "does not answer"))
    }

    async fn pass_to(
        &self,
        regions: &dyn Regions,
        holder: &RegionId,
        head: &Head,
        body: PassedBody,
        progress: &Progress,
    ) -> Result<Response<AnswerBody>, PassError> {
        let mut request = Request::new(body);
        request.method_mut().clone_from(&head.method);
        request.uri_mut().clone_from(&head.uri);
        request.headers_mut().clone_from(&head.headers);
        let mut passing = pin!(regions.pass(holder, request, &head.identity));
        loop {
            let seen = progress.polls();
            match tokio::time::timeout(self.config.pass_idle, &mut passing).await {
                Ok(answer) => return answer,
                // It takes what the client sends; a slow client has a limit of its own.
                Err(_) if progress.polls() != seen => {}
                Err(_) => return Err(PassError::Broken("silent for too long".to_owned())),
            }
        }
    }

    fn bring_back(
        &self,
        answer: Response<AnswerBody>,
        holder: &RegionId,
    ) -> Response<ResponseBody> {
        let (head, body) = answer.into_parts();
        let body = PassedAnswer::new(body, self.config.pass_idle);
        let mut out = Response::new(ResponseBody::Passed(body));
        *out.status_mut() = head.status;
        for (name, value) in &head.headers {
            if !of_the_connection(name) && *name != names::REQUEST_ID {
                out.headers_mut().append(name, value.clone());
            }
        }
        if let Some(id) = head.headers.get(names::REQUEST_ID) {
            out.headers_mut().insert(ACTED_ID, id.clone());
        }
        if let Ok(region) = HeaderValue::from_str(holder) {
            out.headers_mut().insert(ACTED_IN, region);
        }
        out
    }
}

pub(crate) fn unavailable(region: &RegionId, what: &str) -> S3Error {
    let text = format!("Service is unable to handle request: region {region} {what}.");
    S3Error::with(ErrorCode::ServiceUnavailable, text)
        .detail("Region", &**region)
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

/// What an answer says of its own connection, not of itself.
fn of_the_connection(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::SERVER,
        header::DATE,
    ]
    .contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Headers of a request that mean the same at the other end. The signature stays here, and so
/// does the framing that was taken off the body; what is not known is dropped.
fn passes(name: &HeaderName) -> bool {
    const SIMPLE: [HeaderName; 13] = [
        header::CACHE_CONTROL,
        header::CONTENT_DISPOSITION,
        header::CONTENT_LANGUAGE,
        header::CONTENT_TYPE,
        header::EXPIRES,
        header::IF_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_NONE_MATCH,
        header::IF_UNMODIFIED_SINCE,
        header::RANGE,
        header::IF_RANGE,
        header::ORIGIN,
        names::CONTENT_MD5,
    ];
    let text = name.as_str();
    let ours = text.starts_with("x-amz-") && is_of_signature(text).is_none();
    (ours && text != "x-amz-decoded-content-length") || SIMPLE.contains(name)
}

/// The head of a request as it is passed on.
pub(crate) fn head(
    request: &Canonical<'_>,
    length: Option<u64>,
) -> Result<(Uri, HeaderMap), S3Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers() {
        if passes(name) {
            headers.append(name, value.clone());
        }
    }
    let coding = request.headers().get(header::CONTENT_ENCODING);
    if let Some(coding) = coding.and_then(|v| std::str::from_utf8(v.as_bytes()).ok())
        && let Some(kept) = stored_content_encoding(coding)
        && let Ok(kept) = HeaderValue::from_bytes(kept.as_bytes())
    {
        headers.insert(header::CONTENT_ENCODING, kept);
    }
    if let Some(host) = request.headers().get(header::HOST) {
        headers.insert(CLIENT_HOST, host.clone());
    }
    if let Some(length) = length {
        headers.insert("x-amz-decoded-content-length", HeaderValue::from(length));
    }
    let uri = path_and_query(request).parse();
    Ok((uri.map_err(|_| ErrorCode::InvalidURI)?, headers))
}

/// Path-style and written anew from what was read, so that the other region reads the same.
fn path_and_query(request: &Canonical<'_>) -> String {
    let mut text = String::with_capacity(160);
    text.push('/');
    if let Some(bucket) = request.target().bucket.as_deref() {
        text.push_str(bucket);
    }
    if let Some(key) = request.target().key.as_deref() {
        text.push('/');
        text.push_str(&access::sign::encode_path(key));
    }
    for (n, (name, value)) in request.query().0.iter().enumerate() {
        text.push(if n == 0 { '?' } else { '&' });
        text.push_str(&access::sign::encode(name));
        if !value.is_empty() {
            text.push('=');
            text.push_str(&access::sign::encode(value));
        }
    }
    text
}

/// Puts back what [`head`] carried under other names, so that the request looks as it did at the
/// door that it came through. A header that only regions may set ends here.
pub(crate) fn arrive(headers: &mut HeaderMap) {
    let host = headers.remove(CLIENT_HOST);
    let length = headers.remove("x-amz-decoded-content-length");
    for name in [
        header::TRANSFER_ENCODING,
        header::AUTHORIZATION,
        header::EXPECT,
    ] {
        headers.remove(name);
    }
    for (name, value) in [(header::HOST, host), (header::CONTENT_LENGTH, length)] {
        headers.remove(&name);
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Received;

    fn parts(uri: &str, headers: &[(&'static str, &str)]) -> http::request::Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn signatures_and_framing_stay_here() {
        let mut parts = parts(
            "/a%2Fb+c%20d?versionId=1+2%26&tagging&x-amz-acl=p&x-amz-checksum-crc32=AAAAAA==",
            &[
                ("host", "papers.localhost:9000"),
                ("authorization", "AWS4-HMAC-SHA256 …"),
                ("content-encoding", "aws-chunked,gzip"),
                ("content-length", "99"),
                ("connection", "x-amz-meta-a"),
                ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
                ("x-amz-date", "20251021T072800Z"),
                ("x-amz-decoded-content-length", "1"),
                ("x-amz-meta-a", "1"),
                ("x-amz-meta-a", "2"),
                ("x-dhow-client-host", "forged"),
                ("x-forwarded-for", "1.2.3.4"),
                ("if-none-match", "*"),
            ],
        );
        let domains = ["localhost".to_owned()];
        let received = Received::read(&mut parts, &domains).unwrap();
        let request = received.unverified().unwrap();
        let (uri, mut headers) = head(&request, Some(7)).unwrap();
        assert_eq!(uri, "/papers/a/b%2Bc%20d?versionId=1%202%26&tagging");
        let mut all: Vec<_> = headers
            .iter()
            .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
            .collect();
        all.sort_unstable();
        let expected = [
            "content-encoding: gzip",
            "if-none-match: *",
            "x-amz-acl: p",
            "x-amz-decoded-content-length: 7",
            "x-amz-meta-a: 1,2",
            "x-dhow-client-host: papers.localhost:9000",
        ];
        assert_eq!(all, expected);
        arrive(&mut headers);
        assert_eq!(headers[header::HOST], "papers.localhost:9000");
        assert_eq!(headers[header::CONTENT_LENGTH], "7");
        assert!(!headers.contains_key(CLIENT_HOST));
    }
}
