//! Another API on the listener of S3: forms that are sent to a path that names no bucket, or to a
//! host of their own. What they mean is somebody else's matter.

use std::{sync::Arc, time::Duration};

use access::RequestFacts;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
    request::Parts,
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::SemaphorePermit;
use types::deed::BoxFuture;

use crate::{
    body::ResponseBody, request::without_port, serve::Unread, server::Gateway,
    target::bucket_of_host,
};

/// Which of the other APIs a form is for: each has a path that is no bucket's, and a host below a
/// domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BesideApi {
    /// `/-/iam`: users and policies.
    Iam,
    /// `/-/sts`: sessions.
    Sts,
    /// The public access block of an account, as S3's control API has it. Of that API's other
    /// paths none is implemented.
    AccountBlock,
}

/// Why a form is not answered: status, code, and words for people, none of which XML escapes.
type Unanswered = (StatusCode, &'static str, &'static str);

impl BesideApi {
    /// An error as the clients of such an API read it.
    fn error(self, (status, code, message): Unanswered, id: &str) -> String {
        let namespace = match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
            Self::AccountBlock => "http://awss3control.amazonaws.com/doc/2018-08-20/",
        };
        let fault = match status.is_server_error() {
            true => "Receiver",
            false => "Sender",
        };
        format!(
            "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{fault}</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>{id}</RequestId></ErrorResponse>\n"
        )
    }
}

/// Paths, and what stands before the domain in the host.
const APIS: [(BesideApi, [&str; 2], &str); 2] = [
    (BesideApi::Iam, ["/-/iam", "/-/iam/"], "iam."),
    (BesideApi::Sts, ["/-/sts", "/-/sts/"], "sts."),
];
/// The path of an account's public access block, which an object could have, and the header that no
/// request for an object has.
const ACCOUNT_BLOCK: &str = "/v20180820/configuration/publicAccessBlock";
const CONTROL: &str = "/v20180820/";
const ACCOUNT: &str = "x-amz-account-id";
/// In answers: the id of the request, as clients of such APIs look for it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The largest form, percent-encoded.
const FORM_BYTES_MAX: usize = 128 << 10;
/// How long it may take to come.
const FORM_WAIT: Duration = Duration::from_secs(10);
/// Forms at once, of those that are signed and of those that are not: what nobody signs waits for
/// identity providers, and takes no place from others.
pub(crate) const SIGNED_AT_ONCE: usize = 32;
pub(crate) const UNSIGNED_AT_ONCE: usize = 16;
/// Forms that wait for their turn.
pub(crate) const WAITING_MAX: usize = 256;

/// How forms are encoded; those of browsers that go to a bucket are not encoded so.
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Whether the query names an action of a query API.
fn names_action(request: &Request<Incoming>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| pair.starts_with("Action="))
}

/// Answers forms.
pub trait Beside: Send + Sync + 'static {
    /// Answers one, whose head says nothing that was verified.
    fn answer<'a>(
        &'a self,
        api: BesideApi,
        head: &'a Parts,
        body: Bytes,
        facts: RequestFacts,
        request_id: &'a str,
    ) -> BoxFuture<'a, Response<String>>;
}

impl Gateway {
    /// Sets who answers what is not S3. A second call changes nothing.
    pub fn answers_beside(&self, beside: Arc<dyn Beside>) {
        let _ = self.beside.set(beside);
    }

    /// What a request is for that is none of S3.
    pub(crate) fn is_beside(&self, request: &Request<Incoming>) -> Option<BesideApi> {
        let path = request.uri().path();
        // Most paths differ in their second byte.
        if path.starts_with("/-/") {
            let mut apis = APIS.iter();
            return apis
                .find(|(_, paths, _)| paths.contains(&path))
                .map(|(api, ..)| *api);
        }
        if path.starts_with(CONTROL) && request.headers().contains_key(ACCOUNT) {
            return Some(BesideApi::AccountBlock);
        }
        if path != "/" {
            return None;
        }
        let host = request.headers().get(header::HOST);
        let host = without_port(host.and_then(|host| host.to_str().ok()).unwrap_or_default());
        let host = &*host.to_ascii_lowercase();
        let mut apis = APIS.iter();
        let by_host = apis.find(|(_, _, front)| {
            let domain = host.strip_prefix(front).unwrap_or_default();
            self.config.domains.iter().any(|own| own == domain)
        });
        match *request.method() {
            Method::POST => match by_host {
                Some((api, ..)) => Some(*api),
                None => self.at_root(request, host),
            },
            // A bucket may have such a name. No request of S3 has an action in its query.
            Method::GET => by_host
                .filter(|_| names_action(request))
                .map(|(api, ..)| *api),
            _ => None,
        }
    }

    /// What a form is for that is sent to the endpoint itself, where S3 has none: clients that know
    /// one endpoint for all APIs send it there. The scope of the signature says which; without one
    /// only STS answers.
    fn at_root(&self, request: &Request<Incoming>, host: &str) -> Option<BesideApi> {
        let is_bucket = bucket_of_host(host, &self.config.domains).is_some();
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.map_or(&b""[..], HeaderValue::as_bytes);
        let is_form = kind.starts_with(FORM) && request.uri().query().is_none();
        if is_bucket || !(is_form || names_action(request)) {
            return None;
        }
        let signed = request.headers().get(header::AUTHORIZATION);
        let Some(signed) = signed else {
            return Some(BesideApi::Sts);
        };
        let scope = |service: &str| {
            let end = [service, "/aws4_request"].concat();
            memchr::memmem::find(signed.as_bytes(), end.as_bytes()).is_some()
        };
        match (scope("/iam"), scope("/sts")) {
            (true, false) => Some(BesideApi::Iam),
            (false, true) => Some(BesideApi::Sts),
            _ => None,
        }
    }

    pub(crate) async fn respond_beside(
        &self,
        request: Request<Incoming>,
        api: BesideApi,
        facts: RequestFacts,
    ) -> Response<ResponseBody> {
        let id = self.ids.next();
        let (head, body) = request.into_parts();
        let answer = self.answer_beside(api, &head, body, facts, &id).await;
        let (mut parts, body, unread) = match answer {
            Ok(answer) => {
                let (parts, body) = answer.into_parts();
                (parts, body, false)
            }
            Err((status, code, why)) => {
                let mut parts = Response::new(()).into_parts().0;
                parts.status = status;
                let kind = HeaderValue::from_static("text/xml");
                parts.headers.insert(header::CONTENT_TYPE, kind);
                (parts, api.error((status, code, why), &id), true)
            }
        };
        if unread {
            parts.extensions.insert(Unread);
            let close = HeaderValue::from_static("close");
            parts.headers.insert(header::CONNECTION, close);
        }
        if parts.status != StatusCode::NO_CONTENT {
            let length = HeaderValue::from(body.len());
            parts.headers.insert(header::CONTENT_LENGTH, length);
        }
        parts
            .headers
            .insert(header::SERVER, HeaderValue::from_static("Dhow"));
        if let Ok(id) = HeaderValue::from_maybe_shared(Bytes::from(id)) {
            parts.headers.insert(REQUEST_ID, id);
        }
        match head.method == Method::HEAD {
            true => Response::from_parts(parts, ResponseBody::Head(body.len() as u64)),
            false => Response::from_parts(parts, ResponseBody::full(body)),
        }
    }

    /// The turn of a signed form, in the order in which they came: who sends many does not keep
    /// others away, but waits behind them.
    async fn turn_of_signed(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = self.waiting_forms.try_acquire().ok()?;
        let turn = tokio::time::timeout(FORM_WAIT, self.signed_forms.acquire());
        turn.await.ok()?.ok()
    }

    async fn answer_beside(
        &self,
        api: BesideApi,
        head: &Parts,
        body: Incoming,
        facts: RequestFacts,
        id: &str,
    ) -> Result<Response<String>, Unanswered> {
        if !has_one_reading(&head.uri, &head.headers) {
            return Err((
                StatusCode::BAD_REQUEST,
                "InvalidRequest",
                "A request has one Host, one length and one account.",
            ));
        }
        if api == BesideApi::AccountBlock && head.uri.path() != ACCOUNT_BLOCK {
            // Terraform asks for a bucket's tags here first, and only after this code as S3 does.
            return Err((
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "This operation of the control API is not implemented.",
            ));
        }
        let beside = self.beside.get();
        let nothing = (
            StatusCode::NOT_FOUND,
            "InvalidAction",
            "There is nothing here.",
        );
        let beside = beside.ok_or(nothing)?;
        let read = Limited::new(body, FORM_BYTES_MAX).collect();
        let read = tokio::time::timeout(FORM_WAIT, read).await;
        let late = (
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeout",
            "The form did not come in time.",
        );
        let large = (
            StatusCode::PAYLOAD_TOO_LARGE,
            "ValidationError",
            "The form is too large.",
        );
        let body = read.map_err(|_| late)?.map_err(|_| large)?.to_bytes();
        // Not before the form is there: who sends nothing takes no place from others.
        let busy = (
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "There are too many requests at once. Try again.",
        );
        let query = head.uri.query().unwrap_or_default();
        let in_query = query.contains("X-Amz-Signature=");
        let place = match in_query || head.headers.contains_key(header::AUTHORIZATION) {
            true => self.turn_of_signed().await,
            false => self.unsigned_forms.try_acquire().ok(),
        };
        let _place = place.ok_or(busy)?;
        Ok(beside.answer(api, head, body, facts, id).await)
    }
}

/// Whether a head names one host, one length and at most one account: two programs must not read it
/// in two ways, as at S3 (docs/requests.md).
pub(crate) fn has_one_reading(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    let named = uri.authority().map(|named| named.as_str().as_bytes());
    let same = match (host, named) {
        (Some(host), Some(named)) => host.as_bytes().eq_ignore_ascii_case(named),
        (_, None) | (None, _) => true,
    };
    let lengths = headers.contains_key(header::TRANSFER_ENCODING)
        && headers.contains_key(header::CONTENT_LENGTH);
    let one = same && hosts.next().is_none() && !lengths && names_one_account(uri, headers);
    one || types::planted("beside-any-reading")
}

/// Whether the account of the control API is that of the header alone. SDKs also put it in front of
/// the host, and a query may name it, as it may name every such header.
fn names_one_account(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(ACCOUNT).iter();
    let Some(account) = all.next() else {
        return true;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let front = host
        .and_then(|host| host.split('.').next())
        .unwrap_or_default();
    let is_account = front.len() == 12 && front.bytes().all(|b| b.is_ascii_digit());
    let query = uri.query().unwrap_or_default().to_ascii_lowercase();
    let in_query = query.contains("account") || query.contains('%');
    let other = is_account && front.as_bytes() != account.as_bytes();
    all.next().is_none() && !in_query && !other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_that_can_be_read_in_two_ways_is_no_form() {
        let host = ("host", "a:1");
        let length = ("content-length", "1");
        let chunks = ("transfer-encoding", "chunked");
        let account = (ACCOUNT, "000000000001");
        for (target, lines, expected) in [
            ("/-/iam", vec![host], true),
            ("/-/iam", vec![host, length], true),
            ("http://A:1/-/iam", vec![host, chunks], true),
            ("http://b:1/-/iam", vec![host], false),
            ("/-/iam", vec![host, ("host", "b:1")], false),
            ("/-/iam", vec![host, host], false),
            ("/-/iam", vec![host, length, chunks], false),
            (ACCOUNT_BLOCK, vec![host, account], true),
            (
                ACCOUNT_BLOCK,
                vec![account, ("host", "000000000001.a")],
                true,
            ),
            (
                ACCOUNT_BLOCK,
                vec![account, ("host", "000000000002.a")],
                false,
            ),
            (ACCOUNT_BLOCK, vec![host, account, account], false),
            ("/v20180820/?x-amz-account-id=2", vec![host, account], false),
            (
                "/v20180820/?x-amz%2Daccount-id=2",
                vec![host, account],
                false,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let uri: Uri = target.parse().unwrap();
            assert_eq!(
                has_one_reading(&uri, &headers),
                expected,
                "{target} {lines:?}"
            );
        }
    }
}
