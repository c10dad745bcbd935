//! Another API on the listener of S3: forms that are sent to a path that names no bucket, or to a
//! host of their own. What they mean is somebody else's matter.

use std::{sync::Arc, time::Duration};

use access::RequestFacts;
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts,
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use types::deed::BoxFuture;

use crate::{body::ResponseBody, request::without_port, serve::Unread, server::Gateway};

/// Which of the other APIs a form is for: each has a path that is no bucket's, and a host below a
/// domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BesideApi {
    /// `/-/iam`: users and policies.
    Iam,
    /// `/-/sts`: sessions.
    Sts,
    /// The public access block of an account, as S3's control API has it.
    AccountBlock,
}

/// Paths, and what stands before the domain in the host.
const APIS: [(BesideApi, [&str; 2], &str); 2] = [
    (BesideApi::Iam, ["/-/iam", "/-/iam/"], "iam."),
    (BesideApi::Sts, ["/-/sts", "/-/sts/"], "sts."),
];
/// The path of an account's public access block, which an object could have, and the header that no
/// request for an object has.
const ACCOUNT_BLOCK: &str = "/v20180820/configuration/publicAccessBlock";
const ACCOUNT: &str = "x-amz-account-id";
/// In answers: the id of the request, as clients of such APIs look for it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The largest form, percent-encoded.
const FORM_BYTES_MAX: usize = 128 << 10;
/// How long it may take to come.
const FORM_WAIT: Duration = Duration::from_secs(10);
/// Forms at once.
pub(crate) const AT_ONCE: usize = 32;

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
        if path == ACCOUNT_BLOCK && request.headers().contains_key(ACCOUNT) {
            return Some(BesideApi::AccountBlock);
        }
        if path != "/" || request.method() != Method::POST {
            return None;
        }
        let host = request.headers().get(header::HOST);
        let host = without_port(host.and_then(|host| host.to_str().ok()).unwrap_or_default());
        let mut apis = APIS.iter();
        let found = apis.find(|(_, _, front)| {
            let domain = host.strip_prefix(front).unwrap_or_default();
            self.config.domains.iter().any(|own| own == domain)
        });
        found.map(|(api, ..)| *api)
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
            Err((status, why)) => {
                let mut parts = Response::new(()).into_parts().0;
                parts.status = status;
                (parts, why.to_owned(), true)
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

    async fn answer_beside(
        &self,
        api: BesideApi,
        head: &Parts,
        body: Incoming,
        facts: RequestFacts,
        id: &str,
    ) -> Result<Response<String>, (StatusCode, &'static str)> {
        let beside = self.beside.get();
        let beside = beside.ok_or((StatusCode::NOT_FOUND, "there is nothing here\n"))?;
        let read = Limited::new(body, FORM_BYTES_MAX).collect();
        let read = tokio::time::timeout(FORM_WAIT, read).await;
        let late = (
            StatusCode::REQUEST_TIMEOUT,
            "the form did not come in time\n",
        );
        let large = (StatusCode::PAYLOAD_TOO_LARGE, "the form is too large\n");
        let body = read.map_err(|_| late)?.map_err(|_| large)?.to_bytes();
        // Not before the form is there: who sends nothing takes no place from others.
        let busy = (StatusCode::SERVICE_UNAVAILABLE, "too many forms at once\n");
        let _place = self.forms.try_acquire().map_err(|_| busy)?;
        Ok(beside.answer(api, head, body, facts, id).await)
    }
}
