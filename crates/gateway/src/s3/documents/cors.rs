//! CORS: the document, the preflight of a browser, and what an answer says to a page of another
//! origin ("Using cross-origin resource sharing (CORS)" in the S3 user guide).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use objects::{Allowed, BucketDocuments, Cors, CorsRule};

use super::malformed;
use crate::{
    body::ResponseBody,
    call::Answer,
    fault::{Fault, FaultKind},
    s3::xml::{Element, XmlWriter},
};

/// What may be different in the answer to another origin, or to another preflight.
const VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Headers, Access-Control-Request-Method",
);
/// Names of request headers in one preflight, at most.
const NAMES_MAX: usize = 64;

pub(super) fn read(root: &Element) -> Result<Vec<u8>, Fault> {
    root.only(&["CORSRule"])?;
    let rules = root.all("CORSRule").map(read_rule);
    let cors = Cors {
        rules: rules.collect::<Result<_, _>>()?,
    };
    if cors.rules.is_empty()
        || cors
            .rules
            .iter()
            .any(|r| r.origins.is_empty() || r.methods.is_empty())
    {
        return Err(malformed());
    }
    cors.check()?;
    Ok(cors.encode())
}

fn read_rule(element: &Element) -> Result<CorsRule, Fault> {
    element.only(&[
        "ID",
        "AllowedOrigin",
        "AllowedMethod",
        "AllowedHeader",
        "ExposeHeader",
        "MaxAgeSeconds",
    ])?;
    let all = |name: &'static str| {
        let found = element.all(name);
        found.map(|e| e.text.trim().to_owned()).collect::<Vec<_>>()
    };
    let max_age = match element.text_of("MaxAgeSeconds")? {
        None => None,
        Some(text) => Some(text.trim().parse().map_err(|_| malformed())?),
    };
    Ok(CorsRule {
        id: element.text_of("ID")?.unwrap_or_default().to_owned(),
        origins: all("AllowedOrigin"),
        methods: all("AllowedMethod"),
        headers: all("AllowedHeader"),
        expose: all("ExposeHeader"),
        max_age,
    })
}

pub(super) fn write(bytes: &[u8], xml: &mut XmlWriter) -> Result<(), Fault> {
    for rule in &Cors::decode(bytes)?.rules {
        xml.open("CORSRule");
        if !rule.id.is_empty() {
            xml.element("ID", &rule.id);
        }
        for (name, list) in [
            ("AllowedHeader", &rule.headers),
            ("AllowedMethod", &rule.methods),
            ("AllowedOrigin", &rule.origins),
            ("ExposeHeader", &rule.expose),
        ] {
            for text in list {
                xml.element(name, text);
            }
        }
        if let Some(seconds) = rule.max_age {
            xml.display("MaxAgeSeconds", seconds);
        }
        xml.close("CORSRule");
    }
    Ok(())
}

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
