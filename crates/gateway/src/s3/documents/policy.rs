//! Bucket policies: read, checked when they are set, and whether one is public.

use access::{
    Action, BucketAccess,
    policy::{PolicyError, PolicyFault},
};

use objects::StoredPolicy;

use super::{ErrorCode, S3Error, S3Result};
use crate::s3::{S3Call, xml::XmlWriter};

/// The operation that says whether a policy is public.
pub(super) const STATUS: &str = "GetBucketPolicyStatus";

/// Reads the policy that a client sends. It is kept as it was sent, with the ids of those whom it
/// names.
pub(super) async fn read(call: &mut S3Call<'_>) -> Result<Vec<u8>, S3Error> {
    let body = call.read_body().await?;
    let deed = call.deed()?;
    let text = String::from_utf8(body.to_vec()).map_err(|_| ErrorCode::MalformedPolicy)?;
    let resolve = |arn: &str| call.gateway.keys.principal_id(arn);
    let policy = BucketAccess::read_policy(deed, &text, &resolve).map_err(refused)?;
    let resolved = policy.resolutions();
    Ok(StoredPolicy { text, resolved }.encode())
}

/// Says what is wrong with a policy, and where.
fn refused(error: PolicyError) -> S3Error {
    let code = match error.fault() {
        PolicyFault::Malformed => ErrorCode::MalformedPolicy,
        PolicyFault::TooLarge => ErrorCode::PolicyTooLarge,
    };
    S3Error::with(code, error.to_string())
}

/// Whether the bucket's policy is public.
pub(super) async fn status(call: &mut S3Call<'_>) -> S3Result {
    if call.permit.action() != Action::GetBucketPolicyStatus {
        return Err(ErrorCode::AccessDenied.into());
    }
    let here = call
        .documents
        .as_ref()
        .ok_or(ErrorCode::ServiceUnavailable)?;
    let Some(public) = here.access.is_public() else {
        return Err(ErrorCode::NoSuchBucketPolicy.into());
    };
    let mut xml = XmlWriter::document("PolicyStatus", 160);
    xml.display("IsPublic", public);
    Ok(call.xml(xml.finish("PolicyStatus")))
}
