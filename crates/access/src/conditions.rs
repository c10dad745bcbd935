//! What a request says to the conditions of policies: each value from what was understood of the
//! request, never by copying headers ("Actions, resources, and condition keys for Amazon S3").

use http::HeaderMap;
use types::TlsVersion;

use crate::{
    Action, Ask, AuthType, Facts, Resource, Transport, Via,
    actions::{Effect, Kind},
    header::first_header,
    policy::Conditions,
};

/// Headers that say who else has access.
pub(crate) const ACL: [&str; 6] = [
    "x-amz-acl",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
];

/// What the values of a request borrow.
#[derive(Default)]
pub(crate) struct Texts<'a> {
    version: String,
    existing: Vec<(&'a str, &'a str)>,
    given: Vec<(&'a str, &'a str)>,
}

impl<'a> Texts<'a> {
    /// Of a request.
    pub(crate) fn of(ask: &Ask<'a>) -> Self {
        let version = match ask.resource {
            Resource::Object {
                version: Some(version),
                ..
            } => version.to_string(),
            _ => String::new(),
        };
        Self {
            version,
            existing: pairs(ask.context.existing_tags),
            given: pairs(ask.context.given_tags),
        }
    }
}

fn pairs(tags: Option<&[(String, String)]>) -> Vec<(&str, &str)> {
    let tags = tags.unwrap_or_default();
    tags.iter()
        .map(|(name, value)| (&**name, &**value))
        .collect()
}

/// The conditions of a request.
pub(crate) fn of<'a>(ask: &Ask<'a>, facts: &Facts<'a>, texts: &'a Texts<'a>) -> Conditions<'a> {
    let context = &ask.context;
    let row = ask.action.row();
    let given = || context.given_tags.map(|_| &texts.given[..]);
    let mut conditions = Conditions {
        steps: context.steps,
        current_time: context.facts.read_at,
        requested_region: Some(called(facts)),
        source_ip: context.facts.source,
        secure_transport: Some(context.facts.transport == Some(Transport::Tls)),
        user_agent: context.user_agent(),
        referer: context.referer(),
        existing_object_tags: match reads_existing(ask.action) {
            true => context.existing_tags.map(|_| &texts.existing[..]),
            false => Some(&[]),
        },
        request_object_tags: match row.kind {
            Kind::NewBucket | Kind::Bucket => Some(&[]),
            Kind::Service | Kind::Object => given(),
        },
        // Tags of a bucket count only with attribute-based access control, which is not there.
        resource_tags: Some(&[]),
        request_tags: match ask.action {
            Action::CreateBucket | Action::PutBucketTagging => given(),
            _ => Some(&[]),
        },
        ..Conditions::default()
    };
    if !types::planted("tls-versions-unsaid") {
        conditions.tls_version = context.facts.tls.map(TlsVersion::number);
    }
    signature(&mut conditions, ask);
    conditions.prefix = context.prefix;
    conditions.delimiter = context.delimiter;
    conditions.max_keys = context.max_keys;
    if !texts.version.is_empty() && row.versioned.is_none() {
        conditions.version_id = Some(&texts.version);
    }
    if row.effect == Effect::Writes
        && let Some(headers) = context.headers
    {
        written(&mut conditions, headers);
    }
    if ask.action == Action::CreateBucket {
        conditions.location_constraint = context.location;
        conditions.location_unread =
            context.location.is_none() && !types::planted("locations-not-waited-for");
    }
    if ask.action == Action::PutBucketOwnershipControls {
        conditions.object_ownership = context.ownership.flatten();
        conditions.ownership_unread = context.ownership.is_none();
    }
    if ask.action == Action::PutObject {
        conditions.object_creation_operation = Some(context.creates);
        conditions.copy_source = context.copy_source;
    }
    conditions
}

/// The same for reading the object that a write replaces or removes.
pub(crate) fn of_reading<'a>(
    of_write: &Conditions<'a>,
    ask: &Ask<'a>,
    texts: &'a Texts<'a>,
) -> Conditions<'a> {
    Conditions {
        existing_object_tags: ask.context.existing_tags.map(|_| &texts.existing[..]),
        object_creation_operation: None,
        ..*of_write
    }
}

/// The region that the client called.
fn called<'a>(facts: &Facts<'a>) -> &'a str {
    match facts.via {
        Via::Client => &facts.here.region,
        Via::Region(from, _) => &from.region,
    }
}

/// Whether the tags of an object that is there are about the action.
fn reads_existing(action: Action) -> bool {
    let row = action.row();
    let plain = matches!(
        action,
        Action::PutObject
            | Action::DeleteObject
            | Action::DeleteObjectVersion
            | Action::AbortMultipartUpload
            | Action::ListMultipartUploadParts
    );
    row.kind == Kind::Object && !plain
}

fn signature<'a>(conditions: &mut Conditions<'a>, ask: &Ask<'a>) {
    let facts = &ask.context.facts;
    let kind = match facts.auth {
        Some(AuthType::HeaderV4 | AuthType::HeaderV4a | AuthType::HeaderV2) => "REST-HEADER",
        Some(AuthType::PresignedV4 | AuthType::PresignedV4a | AuthType::PresignedV2) => {
            "REST-QUERY-STRING"
        }
        Some(AuthType::PostPolicy | AuthType::PostPolicyV2) => "POST",
        Some(AuthType::Anonymous) | None => return,
    };
    conditions.auth_type = Some(kind);
    conditions.signature_version = facts.auth.and_then(AuthType::signature_version);
    let dated = kind != "REST-HEADER";
    if dated && facts.auth.is_some_and(AuthType::is_old) {
        // It does not say when it was made.
        conditions.signature_age = Some(0);
    } else if let (true, Some(at), Some(now)) = (dated, facts.signed_at, facts.read_at) {
        let age = now.ms().saturating_sub(at.ms());
        conditions.signature_age = i64::try_from(age).ok();
    }
    if !dated {
        let headers = ask.context.headers;
        conditions.content_sha256 = headers.and_then(|h| text(h, "x-amz-content-sha256"));
    }
}

/// What comes with a write in headers, all read in one pass: a search by name for each would take
/// longer than all else that is decided of a small write.
fn written<'a>(conditions: &mut Conditions<'a>, headers: &'a HeaderMap) {
    for (name, value) in headers {
        let field = match name.as_str() {
            "x-amz-acl" => &mut conditions.acl,
            "x-amz-grant-read" => &mut conditions.grant_read,
            "x-amz-grant-write" => &mut conditions.grant_write,
            "x-amz-grant-read-acp" => &mut conditions.grant_read_acp,
            "x-amz-grant-write-acp" => &mut conditions.grant_write_acp,
            "x-amz-grant-full-control" => &mut conditions.grant_full_control,
            "x-amz-server-side-encryption" => &mut conditions.server_side_encryption,
            "x-amz-server-side-encryption-aws-kms-key-id" => &mut conditions.kms_key_id,
            "x-amz-server-side-encryption-customer-algorithm" => &mut conditions.customer_algorithm,
            "x-amz-storage-class" => &mut conditions.storage_class,
            "x-amz-website-redirect-location" => &mut conditions.website_redirect_location,
            "x-amz-metadata-directive" => &mut conditions.metadata_directive,
            "x-amz-object-ownership" => &mut conditions.object_ownership,
            "if-match" => &mut conditions.if_match,
            "if-none-match" => &mut conditions.if_none_match,
            _ => continue,
        };
        // The first value of a name, as a search by name answers it.
        if field.is_none() {
            *field = std::str::from_utf8(value.as_bytes()).ok();
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    std::str::from_utf8(first_header(headers, name)?.as_bytes()).ok()
}
