//! CORS: the preflight of a browser, and what an answer says to a page of another origin ("Using
//! cross-origin resource sharing (CORS)" in the S3 user guide).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use objects::{Allowed, BucketDocuments, Cors};

use crate::{
    body::ResponseBody,
    call::Answer,
    fault::{Fault, FaultKind},
};

/// What may be different in the answer to another origin, or to another preflight.
const VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
);
/// Names of request headers in one preflight, at most.
const NAMES_MAX: usize = 64;

/// The answer to a preflight: what a page of that origin may send. No signature is asked for, as
/// browsers send none.
pub(crate) fn preflight(cors: Option<&Cors>, headers: &HeaderMap) -> Answer {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else {
        return Err(Fault::with(
            FaultKind::BadRequest,
            "Insufficient information. Origin request header needed.",
        ));
    };
    let Some(method) = text(header::ACCESS_CONTROL_REQUEST_METHOD) else {
        return Err(Fault::with(
            FaultKind::BadRequest,
            "Invalid Access-Control-Request-Method: null",
        ));
    };
    let names = text(header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
    let names = names.split(',').map(str::trim).filter(|n| !n.is_empty());
    let names: Vec<&str> = names.take(NAMES_MAX).collect();
    let Some(cors) = cors else {
        return Err(FaultKind::AccessForbidden.into());
    };
    let Some(allowed) = cors.allowed(origin, method, &names) else {
        return Err(Fault::with(
            FaultKind::AccessForbidden,
            "CORSResponse: This CORS request is not allowed. This is usually because the \
             evaluation of Origin, request method / Access-Control-Request-Method or \
             Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
        ));
    };
    let mut answer = Response::new(ResponseBody::Empty);
    *answer.status_mut() = StatusCode::OK;
    let out = answer.headers_mut();
    say(out, &allowed, origin);
    if !names.is_empty() {
        set(out, header::ACCESS_CONTROL_ALLOW_HEADERS, &names.join(", "));
    }
    if let Some(seconds) = allowed.rule.max_age {
        out.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
    }
    Ok(answer)
}

/// Says in an answer, also in a refusal, what a page of the request's origin may read of it.
pub(crate) fn add_cors(
    page: Option<&(HeaderValue, Arc<BucketDocuments>)>,
    method: &Method,
    out: &mut HeaderMap,
) {
    let Some((origin, documents)) = page else {
        return;
    };
    if let Some(cors) = &documents.cors {
        add_rules(cors, origin, method, out);
    }
}

/// The same by rules that are no bucket's.
pub(crate) fn add_rules(cors: &Cors, origin: &HeaderValue, method: &Method, out: &mut HeaderMap) {
    let Ok(origin) = origin.to_str() else {
        return;
    };
    if let Some(allowed) = cors.allowed(origin, method.as_str(), &[]) {
        say(out, &allowed, origin);
    }
}

fn say(out: &mut HeaderMap, allowed: &Allowed<'_>, origin: &str) {
    match allowed.any_origin {
        true => set(out, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        false => {
            set(out, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            set(out, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
    }
    let rule = allowed.rule;
    set(
        out,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        &rule.methods.join(", "),
    );
    if !rule.expose.is_empty() {
        set(
            out,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            &rule.expose.join(", "),
        );
    }
    out.append(header::VARY, VARY);
}

/// What no header can carry is left out: the page is refused then.
fn set(out: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
        out.insert(name, value);
    }
}
