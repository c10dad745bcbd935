//! What the policies of a user say about a request of S3.

use http::HeaderMap;

use crate::{
    Action, Ask, AuthType, Facts, Refusal, Resource, Transport, Via,
    actions::{Effect, Kind},
    policy::{Conditions, Decision, Target},
    signature::parse::decode,
    user::User,
};

/// Asks the policies of whoever is a user. The account itself has none.
pub(crate) fn check(ask: &Ask<'_>, facts: &Facts<'_>) -> Result<(), Refusal> {
    let Some(user) = ask.principal.user() else {
        return Ok(());
    };
    if types::planted("policies-unasked") {
        return Ok(());
    }
    let Some(target) = target(ask) else {
        // Each key of the body is asked for by itself, and this permit is for none.
        return Ok(());
    };
    let owner = facts.deed.map_or(&*user.account, |deed| &*deed.owner);
    let texts = Texts::of(ask);
    let conditions = texts.conditions(ask, facts);
    let decide = |action: Action| user.decide(owner, action.into(), target, &conditions);
    decide(ask.action).map_err(Refusal::Policy)?;
    for action in also(ask).into_iter().flatten() {
        decide(action).map_err(Refusal::Policy)?;
    }
    Ok(())
}

/// Why a user was refused, in the words of S3.
pub(crate) fn sentence(user: &User, ask: &Ask<'_>, decision: &Decision) -> Option<String> {
    // Which of the actions it was is not kept: the first tells most.
    Some(user.sentence(ask.action.into(), target(ask)?, decision))
}

/// What the request is on; `None` where its body names keys.
fn target<'a>(ask: &Ask<'a>) -> Option<Target<'a>> {
    Some(match ask.resource {
        Resource::Service => Target::Service,
        Resource::Bucket(_) if ask.action.row().kind == Kind::Object => return None,
        Resource::Bucket(bucket) | Resource::Keys { bucket, .. } => Target::Bucket(bucket),
        Resource::Object { bucket, key, .. } => Target::Object { bucket, key },
    })
}

/// What else a request needs.
fn also(ask: &Ask<'_>) -> [Option<Action>; 2] {
    let has = |name: &str| {
        let value = ask.context.headers.and_then(|headers| headers.get(name));
        value.is_some_and(|value| !value.is_empty())
    };
    match ask.action {
        Action::GetObjectAttributes => [Some(Action::GetObject), None],
        Action::GetObjectVersionAttributes => [Some(Action::GetObjectVersion), None],
        Action::PutObject => [
            has("x-amz-tagging").then_some(Action::PutObjectTagging),
            ACL.iter()
                .any(|name| has(name))
                .then_some(Action::PutObjectAcl),
        ],
        _ => [None, None],
    }
}

const ACL: [&str; 6] = [
    "x-amz-acl",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
];

/// Values that have to be made of what a request says.
struct Texts {
    version: Option<String>,
    copy_source: Option<String>,
}

impl Texts {
    fn of(ask: &Ask<'_>) -> Self {
        let version = match ask.resource {
            Resource::Object { version, .. } => version.map(|version| version.to_string()),
            _ => None,
        };
        let copies = ask.action == Action::PutObject;
        let source = ask.context.headers.filter(|_| copies);
        let source = source.and_then(|headers| text(headers, "x-amz-copy-source"));
        let copy_source = source.map(|source| {
            let source = source.strip_prefix('/').unwrap_or(source);
            let source = source.split("?versionId=").next().unwrap_or_default();
            let mut decoded = Vec::with_capacity(source.len());
            decode(&mut decoded, source);
            String::from_utf8_lossy(&decoded).into_owned()
        });
        Self {
            version,
            copy_source,
        }
    }

    /// What conditions of policies may ask about.
    fn conditions<'a>(&'a self, ask: &Ask<'a>, facts: &Facts<'a>) -> Conditions<'a> {
        let (context, action) = (&ask.context, ask.action);
        let came = &context.facts;
        let (signature_version, auth_type) = match came.auth {
            Some(AuthType::HeaderV4) => (Some("AWS4-HMAC-SHA256"), Some("REST-HEADER")),
            Some(AuthType::PresignedV4) => (Some("AWS4-HMAC-SHA256"), Some("REST-QUERY-STRING")),
            Some(AuthType::PostPolicy) => (Some("AWS4-HMAC-SHA256"), Some("POST")),
            Some(AuthType::Anonymous) | None => (None, None),
        };
        let age = |at: types::Timestamp| {
            let now = came.read_at?;
            i64::try_from(now.ms().saturating_sub(at.ms())).ok()
        };
        let dated = came.auth != Some(AuthType::HeaderV4);
        let makes = action == Action::PutObject;
        let on_existing = action.row().kind == Kind::Object && !makes;
        let writes = action.row().effect == Effect::Writes;
        let header = |counts: bool, name: &str| {
            let headers = context.headers.filter(|_| counts)?;
            text(headers, name)
        };
        let acl = |name| header(makes || is_acl(action), name);
        let tagged = header(makes, "x-amz-tagging").is_some();
        let none: &[(&str, &str)] = &[];
        Conditions {
            current_time: came.read_at,
            requested_region: Some(match facts.via {
                Via::Door => &facts.here.region,
                Via::Region(from, _) => &from.region,
            }),
            source_ip: came.source,
            secure_transport: Some(came.transport == Some(Transport::Tls)),
            user_agent: context.user_agent(),
            referer: context.referer(),
            prefix: context.prefix,
            delimiter: context.delimiter,
            max_keys: context.max_keys,
            acl: acl(ACL[0]),
            grant_read: acl(ACL[1]),
            grant_write: acl(ACL[2]),
            grant_read_acp: acl(ACL[3]),
            grant_write_acp: acl(ACL[4]),
            grant_full_control: acl(ACL[5]),
            server_side_encryption: header(makes, "x-amz-server-side-encryption"),
            kms_key_id: header(makes, "x-amz-server-side-encryption-aws-kms-key-id"),
            customer_algorithm: header(true, "x-amz-server-side-encryption-customer-algorithm"),
            storage_class: header(makes, "x-amz-storage-class"),
            website_redirect_location: header(makes, "x-amz-website-redirect-location"),
            copy_source: self.copy_source.as_deref(),
            metadata_directive: header(makes, "x-amz-metadata-directive"),
            version_id: self.version.as_deref(),
            object_ownership: header(writes, "x-amz-object-ownership"),
            if_match: header(writes, "if-match"),
            if_none_match: header(writes, "if-none-match"),
            signature_version,
            auth_type,
            signature_age: came.signed_at.filter(|_| dated).and_then(age),
            content_sha256: header(true, "x-amz-content-sha256"),
            // Of an object that is there they are not loaded: what depends on them is refused.
            existing_object_tags: (!on_existing).then_some(none),
            request_object_tags: (!tagged && !is_tagging(action)).then_some(none),
            resource_tags: Some(none),
            request_tags: (!matches!(action, Action::CreateBucket | Action::PutBucketTagging))
                .then_some(none),
            ..Conditions::default()
        }
    }
}

const fn is_acl(action: Action) -> bool {
    matches!(
        action,
        Action::PutObjectAcl
            | Action::PutObjectVersionAcl
            | Action::CreateBucket
            | Action::PutBucketAcl
    )
}

const fn is_tagging(action: Action) -> bool {
    matches!(
        action,
        Action::PutObjectTagging | Action::PutObjectVersionTagging
    )
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
