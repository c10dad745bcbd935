//! What a request asks of `access`, and about which bucket.

use std::sync::Arc;

use access::{Action, Ask, Context, Identity, RequestFacts, Via, actions::Keys};
use http::{HeaderMap, HeaderValue, header};
use types::{BucketDeed, DisplayVersion, ObjectKey};

use crate::{
    elsewhere::unavailable,
    operations::{Operation, Resource},
    request::Request,
    s3::{ErrorCode, S3Error, headers::names},
    server::Gateway,
};

impl Gateway {
    /// The deed of the bucket that is addressed.
    pub(crate) fn deed(
        &self,
        operation: &Operation,
        request: &Request<'_>,
        via: &Via,
    ) -> Result<Option<Arc<BucketDeed>>, S3Error> {
        let Some(name) = &request.target().bucket else {
            return Ok(None);
        };
        if operation.name == "CreateBucket" {
            return Ok(None);
        }
        match self.deeds.get(name) {
            Some(deed) => Ok(Some(deed)),
            None => Err(match via {
                Via::Door => S3Error::new(ErrorCode::NoSuchBucket).detail("BucketName", &**name),
                // The region that passed it on knows the bucket; so will this one in a moment.
                Via::Region(..) => unavailable(&self.region, "does not know the bucket yet"),
            }),
        }
    }
}

/// What a request asks for, by its head. `form` is the key of a form, which its body names.
pub(crate) fn of<'a>(
    operation: &Operation,
    request: &'a Request<'_>,
    principal: &'a Identity,
    form: Option<&'a ObjectKey>,
    facts: RequestFacts,
) -> Ask<'a> {
    let action = action(operation, request.query().has("versionId"));
    let (key, headers) = match form {
        // The fields of a form are no headers.
        Some(key) => (Some(key), None),
        None => (request.target().key.as_ref(), Some(request.headers())),
    };
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
            headers,
            prefix: listing(action).and_then(|()| query.get("prefix")),
            delimiter: listing(action).and_then(|()| query.get("delimiter")),
            max_keys: listing(action).map(|()| max_keys(query.get("max-keys"))),
            conditional: action.writes_objects() && is_conditional(request.headers()),
            expected_owner: expected.map(HeaderValue::as_bytes),
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

/// The permission that a request needs.
fn action(operation: &Operation, with_version: bool) -> Action {
    // Strangers do not learn which operations are there: they are refused first.
    match (operation.action_for(with_version), operation.resource) {
        (Some(action), _) => action,
        (None, Resource::Service) => Action::ListAllMyBuckets,
        (None, Resource::Bucket | Resource::Object) => Action::ListBucket,
    }
}

/// Whether a request depends on what is there.
fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH)
}
