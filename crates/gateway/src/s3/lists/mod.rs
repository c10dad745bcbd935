//! Access control lists at the S3 API: of buckets, of objects, and of what is written.

mod read;
mod write;

use std::sync::Arc;

use access::{AccessList, Grant, Ownership, Permission, PublicAccessBlock, acl::is_anonymous};
use http::StatusCode;
use objects::{DocumentKind, Error, ObjectList, encode_bucket_list};
use types::AccountId;

use self::read::{Asked, Names};
use super::{documents, object_headers};
use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    server::Gateway,
};

pub(crate) use read::Canned;

/// The canonical id of the owner of what somebody wrote who signed nothing, as S3 has it.
const ANONYMOUS: &str = "65a011a29cdf8ec533ec3d1ccaae921c";

impl Gateway {
    /// The canonical id of an account, as clients see it. Where the registry has not given one yet,
    /// it is the account's number.
    pub(crate) fn canonical_id(&self, account: &AccountId) -> String {
        match is_anonymous(account) {
            true => ANONYMOUS.to_owned(),
            false => self
                .keys
                .canonical_id(account)
                .unwrap_or_else(|| account.to_string()),
        }
    }
}

/// Whether the operation reads or replaces a list.
pub(super) fn has(operation: &str) -> bool {
    matches!(
        operation,
        "GetBucketAcl" | "PutBucketAcl" | "GetObjectAcl" | "PutObjectAcl"
    )
}

/// Answers such an operation.
pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    match call.operation.name {
        "GetBucketAcl" => of_bucket(call),
        "GetObjectAcl" => of_object(call).await,
        "PutBucketAcl" => set_of_bucket(call).await,
        "PutObjectAcl" => set_of_object(call).await,
        other => Err(Fault::not_implemented(other)),
    }
}

/// What the bucket says of lists.
fn rules(call: &Call<'_>) -> Result<(Ownership, PublicAccessBlock), Fault> {
    let account = call.gateway.keys.account_block(&call.deed()?.owner);
    Ok(match &call.documents {
        Some(documents) => {
            let access = &documents.access;
            (access.ownership, access.block.or(account))
        }
        None => (Ownership::default(), PublicAccessBlock::ALL),
    })
}

fn of_bucket(call: &Call<'_>) -> Answer {
    let owner = &call.deed()?.owner;
    let list = call.documents.as_ref().and_then(|d| d.access.list.as_ref());
    shown(call, list.unwrap_or(&AccessList::of_owner(owner)))
}

async fn of_object(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let version = object_headers::version(call)?;
    let objects = &call.gateway.objects;
    let (list, version) = objects.object_list_of(&call.permit, &key, version).await?;
    let list = match list {
        Some(list) => list,
        None => AccessList::of_owner(&call.deed()?.owner),
    };
    let mut answer = shown(call, &list)?;
    object_headers::write_version(answer.headers_mut(), version)?;
    Ok(answer)
}

/// The list as it counts: the owner's alone where lists play no part, and without what the public
/// access block ignores.
fn shown(call: &Call<'_>, list: &AccessList) -> Answer {
    let (ownership, block) = rules(call)?;
    let owner = &call.deed()?.owner;
    let list = match (ownership.heeds_lists(), block.ignore_acls) {
        (false, _) => &AccessList::of_owner(owner),
        (true, true) => &list.without_public(),
        (true, false) => list,
    };
    Ok(call.xml(write::document(list, &|account| {
        call.gateway.canonical_id(account)
    })))
}

/// What a request to replace a list asks for: in headers or in the body, in exactly one way.
/// `owner` is whom the body may name as the owner; `None` where that is not known yet.
async fn asked(call: &mut Call<'_>) -> Result<(Asked, Option<String>), Fault> {
    let names = Names::of(call)?;
    let by_headers = read::headers(&call.headers, &names)?;
    let body = call.read_body().await?;
    match (by_headers, body.is_empty()) {
        (Asked::Nothing, true) => {
            let text = "Your request was missing a required header";
            let error = Fault::with(FaultKind::MissingSecurityHeader, text);
            Err(error.detail("MissingHeaderName", "x-amz-acl"))
        }
        (Asked::Nothing, false) => {
            let (owner, grants) = read::document(&body, &names)?;
            Ok((Asked::Grants(grants), owner))
        }
        (_, false) => Err(FaultKind::UnexpectedContent.into()),
        (by_headers, true) => Ok((by_headers, None)),
    }
}

async fn set_of_bucket(call: &mut Call<'_>) -> Answer {
    let (asked, named) = asked(call).await?;
    let (ownership, _) = rules(call)?;
    let owner = call.deed()?.owner.clone();
    is_owner(call.gateway, named.as_deref(), &owner)?;
    if !ownership.heeds_lists() {
        asked.holds_anyway(&owner)?;
        return Ok(call.empty(StatusCode::OK));
    }
    let grants = asked.grants_of_bucket(&owner)?;
    let bytes = Arc::from(encode_bucket_list(&grants));
    let action = call.permit.action();
    documents::set(call, action, (DocumentKind::List, Some(bytes))).await?;
    Ok(call.empty(StatusCode::OK))
}

async fn set_of_object(call: &mut Call<'_>) -> Answer {
    let key = call.object_key()?.clone();
    let version = object_headers::version(call)?;
    let (asked, named) = asked(call).await?;
    let (ownership, block) = rules(call)?;
    let bucket_owner = call.deed()?.owner.clone();
    if !ownership.heeds_lists() {
        is_owner(call.gateway, named.as_deref(), &bucket_owner)?;
        asked.holds_anyway(&bucket_owner)?;
        // There is no list of what is not there.
        let permit = access::authorize_system(
            access::SystemReason::Policy,
            access::Action::GetObjectAcl,
            call.deed()?,
        );
        let objects = &call.gateway.objects;
        let (_, version) = objects.object_list_of(&permit, &key, version).await?;
        return set(call, version);
    }
    let is_public = asked.is_public();
    if is_public && block.block_acls {
        return Err(documents::public(call));
    }
    let gateway = call.gateway;
    let grants = |list: &AccessList| {
        let wrong = |_| Error::WrongPermit;
        is_owner(gateway, named.as_deref(), &list.owner).map_err(wrong)?;
        let grants = asked.grants_of_object(&list.owner, &bucket_owner);
        grants.map_err(|error| Error::InvalidArgument(error.message.unwrap_or_default()))
    };
    let setting = gateway
        .objects
        .set_object_list(&call.permit, &key, version, grants);
    let version = setting.await?;
    set(call, version)
}

fn set(call: &Call<'_>, version: Option<objects::DisplayVersion>) -> Answer {
    let mut answer = call.empty(StatusCode::OK);
    object_headers::write_version(answer.headers_mut(), version)?;
    Ok(answer)
}

/// The owner that a body names must be the real one.
fn is_owner(gateway: &Gateway, named: Option<&str>, owner: &AccountId) -> Result<(), Fault> {
    match named {
        Some(named) if !access::is_account(named, &gateway.canonical_id(owner)) => {
            Err(FaultKind::AccessDenied.into())
        }
        _ => Ok(()),
    }
}

/// The list that a new object of this request has; `None` for that of the bucket's owner alone.
pub(crate) fn of_new(call: &Call<'_>) -> Result<Option<ObjectList>, Fault> {
    let asked = match read::names_any(&call.headers) {
        true => read::headers(&call.headers, &Names::of(call)?)?,
        false => Asked::Nothing,
    };
    let bucket_owner = &call.deed()?.owner;
    let ownership = call.documents.as_ref().map(|d| d.access.ownership);
    let ownership = ownership.unwrap_or_default();
    if !ownership.heeds_lists() {
        asked.holds_anyway(bucket_owner)?;
        return Ok(None);
    }
    let (_, block) = rules(call)?;
    if asked.is_public() && block.block_acls {
        return Err(documents::public(call));
    }
    let handed = asked == Asked::Canned(Canned::BucketOwnerFullControl);
    let writer = call.permit.identity().account();
    let owner = ownership.owner_of_new(bucket_owner, writer, handed);
    let grants = match asked {
        Asked::Nothing => AccessList::of_owner(&owner).grants,
        asked => asked.grants_of_object(&owner, bucket_owner)?,
    };
    Ok(ObjectList::of_new(
        AccessList { owner, grants },
        bucket_owner,
    ))
}

/// The list that a new bucket has by the headers of the request; `None` for that of its owner.
pub(crate) fn of_new_bucket(
    call: &Call<'_>,
    owner: &AccountId,
) -> Result<Option<Vec<Grant>>, Fault> {
    let names = Names::with(call.gateway, owner);
    match read::headers(&call.headers, &names)? {
        Asked::Nothing => Ok(None),
        asked => {
            let grants = asked.grants_of_bucket(owner)?;
            Ok((grants != AccessList::of_owner(owner).grants).then_some(grants))
        }
    }
}

/// Whether a request names a list in its headers.
pub(crate) fn is_named(headers: &http::HeaderMap) -> bool {
    read::names_any(headers)
}

/// A permission by its name.
fn permission(name: &str) -> Option<Permission> {
    Permission::ALL.into_iter().find(|p| p.name() == name)
}
