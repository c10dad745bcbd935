//! What a request asks of `access`, as its head says it.

use access::{Action, Ask, Context, Identity, RequestFacts, actions::Keys};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use types::{DisplayVersion, ObjectKey};

use super::{headers::names, object_headers};
use crate::{
    ask::{Details, action},
    operations::Operation,
    request::Request,
};

/// What the head says. What cannot be read here its handler refuses; a condition on it is not met
/// until then.
pub(super) fn details(operation: &Operation, request: &Request<'_>) -> Details {
    let headers = request.headers();
    let given = || object_headers::tags_of(text(headers, &names::TAGGING)).ok();
    let replaces = || text(headers, &names::TAGGING_DIRECTIVE) == Some("REPLACE");
    let source = text(headers, &names::COPY_SOURCE).map(object_headers::source);
    let copy_source = match source {
        Some(Ok((bucket, key, _))) => Some(format!("{bucket}/{key}")),
        _ => None,
    };
    Details {
        existing_tags: None,
        list: None,
        initiator: None,
        given_tags: match operation.name {
            "PutObject" | "CreateMultipartUpload" | "PostObject" => given(),
            "CopyObject" if replaces() => given(),
            // The body says it.
            "PutObjectTagging" | "PutBucketTagging" | "CreateBucket" => None,
            _ => Some(Vec::new()),
        },
        copy_source,
    }
}

/// What a request asks for, by its head. `form` is the key of a form, which its body names.
pub(super) fn ask<'a>(
    operation: &Operation,
    request: &'a Request<'_>,
    principal: &'a Identity,
    form: Option<&'a ObjectKey>,
    facts: RequestFacts,
) -> Ask<'a> {
    let action = action(operation, request.query().has("versionId"));
    let key = form.or(request.target().key.as_ref());
    let (expected, query) = (
        request.headers().get(names::EXPECTED_OWNER),
        request.query(),
    );
    Ask {
        principal,
        action,
        resource: resource(action, request, key),
        context: Context {
            facts,
            // Of a form they are its fields.
            headers: Some(request.headers()),
            prefix: listing(action).and_then(|()| query.get("prefix")),
            delimiter: listing(action).and_then(|()| query.get("delimiter")),
            max_keys: listing(action).map(|()| max_keys(query.get("max-keys"))),
            conditional: action.writes_objects() && is_conditional(request.headers()),
            creates: matches!(
                operation.name,
                "PutObject" | "CopyObject" | "CompleteMultipartUpload" | "PostObject"
            ),
            ownership: match operation.name {
                // The body says it.
                "PutBucketOwnershipControls" => None,
                _ => Some(None),
            },
            expected_owner: expected.map(HeaderValue::as_bytes),
            ..Context::default()
        },
    }
}

/// Whether an action lists keys.
fn listing(action: Action) -> Option<()> {
    (action.row().keys == Keys::Under).then_some(())
}

/// How many keys are asked for: one that cannot be is refused by the handler.
fn max_keys(asked: Option<&str>) -> i64 {
    asked.and_then(|text| text.parse().ok()).unwrap_or(1000)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

/// On what an action of a request is. One that names its keys in the body asks for each by itself.
fn resource<'a>(
    action: Action,
    request: &'a Request<'_>,
    key: Option<&'a ObjectKey>,
) -> access::Resource<'a> {
    use access::Resource as R;
    let Some(bucket) = &request.target().bucket else {
        return R::Service;
    };
    let query = request.query();
    match (action.row().keys, key) {
        (Keys::None, _) | (Keys::One | Keys::Version, None) => R::Bucket(bucket),
        (Keys::Under, _) => R::Keys {
            bucket,
            prefix: query.get("prefix").unwrap_or_default(),
        },
        (Keys::One, Some(key)) => R::Object {
            bucket,
            key,
            version: None,
        },
        (Keys::Version, Some(key)) => R::Object {
            bucket,
            key,
            // One that cannot be is refused by the handler.
            version: query.get("versionId").and_then(DisplayVersion::parse),
        },
    }
}

/// Whether a request depends on what is there.
pub(super) fn is_conditional(headers: &HeaderMap) -> bool {
    let all = [header::IF_MATCH, header::IF_NONE_MATCH];
    all.iter().any(|name| headers.contains_key(name)) || headers.contains_key(names::IF_STATE)
}
