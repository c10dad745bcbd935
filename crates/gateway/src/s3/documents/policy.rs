//! Bucket policies: read, checked when they are set, and whether one is public.

use std::{collections::HashMap, sync::Arc};

use access::{
    Action, BucketAccess,
    policy::{PolicyError, PolicyFault},
};
use objects::StoredPolicy;
use types::BucketDeed;

use super::Waits;
use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    s3::xml::XmlWriter,
    server::Gateway,
};

/// The operation that says whether a policy is public.
pub(super) const STATUS: &str = "GetBucketPolicyStatus";

/// Reads the policy that a client sends. It is kept as it was sent, with the ids of those whom it
/// names.
pub(super) fn read<'c>(call: &'c mut Call<'_>) -> Waits<'c, Vec<u8>> {
    Box::pin(read_now(call))
}

/// The text of the policy, as [`shown`].
pub(super) fn write<'c>(call: &'c mut Call<'_>, bytes: Arc<[u8]>) -> Waits<'c, String> {
    Box::pin(async move {
        let stored = StoredPolicy::decode(&bytes)?;
        let (gateway, deed) = (call.gateway, Arc::clone(call.deed()?));
        Ok(shown(gateway, &deed, stored).await)
    })
}

async fn read_now(call: &mut Call<'_>) -> Result<Vec<u8>, Fault> {
    let body = call.read_body().await?;
    let deed = call.deed()?;
    let text = String::from_utf8(body.to_vec()).map_err(|_| FaultKind::MalformedPolicy)?;
    let named = BucketAccess::named_in_policy(deed, &text).map_err(refused)?;
    let known = known(call.gateway, deed, named).await?;
    let resolve = |arn: &str| known.get(arn).cloned();
    let policy = BucketAccess::read_policy(deed, &text, &resolve).map_err(refused)?;
    let resolved = policy.resolutions();
    Ok(StoredPolicy { text, resolved }.encode())
}

/// Whether a name is a canonical id of an account: all others are ARNs.
fn is_canonical(name: &str) -> bool {
    !name.starts_with("arn:")
}

/// The accounts of canonical ids, and the unique ids of users and roles by their ARNs. Only the
/// registry's region knows all of these.
async fn known(
    gateway: &Gateway,
    deed: &BucketDeed,
    named: Vec<String>,
) -> Result<HashMap<String, String>, Fault> {
    let (canonical, named): (Vec<_>, Vec<_>) = named.into_iter().partition(|n| is_canonical(n));
    let account = |id: String| {
        let account = gateway.keys.account_of(&id)?;
        Some((id, account.to_string()))
    };
    let accounts: HashMap<_, _> = canonical.into_iter().filter_map(account).collect();
    let Some(regions) = gateway.regions.as_ref().filter(|_| !named.is_empty()) else {
        return Ok(accounts);
    };
    let ids = regions.other_names(&deed.name, named.clone()).await;
    let ids = ids.map_err(|why| {
        Fault::with(
            FaultKind::ServiceUnavailable,
            format!(
                "The policy names users or roles, and region {} cannot find out now who they are: \
                 {why}. Nothing was changed.",
                gateway.region
            ),
        )
    })?;
    let ids = named.into_iter().zip(ids);
    let ids = ids.filter_map(|(arn, id)| Some((arn, id?)));
    Ok(accounts.into_iter().chain(ids).collect())
}

/// The text of a policy as it is shown: users and roles by their ARNs of today, and those that are
/// gone by their unique ids. While nobody answers who knows them, it is the text as it was saved.
async fn shown(gateway: &Gateway, deed: &BucketDeed, stored: StoredPolicy) -> String {
    let StoredPolicy { text, mut resolved } = stored;
    // Accounts do not change their canonical ids.
    resolved.retain(|(name, _)| !is_canonical(name));
    let Some(regions) = gateway.regions.as_ref().filter(|_| !resolved.is_empty()) else {
        return text;
    };
    let ids = resolved.iter().map(|(_, id)| id.clone()).collect();
    let asked = async {
        let mut now = regions.other_names(&deed.name, ids).await?;
        // Of some accounts this region gets no names. It can ask whether an ARN that it has is
        // still that of the same user or role.
        let left: Vec<usize> = (0..now.len()).filter(|at| now[*at].is_none()).collect();
        if left.is_empty() {
            return Ok(now);
        }
        let arns = left.iter().map(|at| resolved[*at].0.clone()).collect();
        let ids = regions.other_names(&deed.name, arns).await?;
        for (at, id) in left.into_iter().zip(ids) {
            let (arn, meant) = &resolved[at];
            now[at] = id.filter(|id| id == meant).map(|_| arn.clone());
        }
        Ok::<_, String>(now)
    };
    let now = match asked.await {
        Ok(now) => now,
        Err(why) => {
            tracing::info!(bucket = %deed.name, why, "a policy is shown as it was saved");
            return text;
        }
    };
    let now: HashMap<&str, String> = resolved
        .iter()
        .zip(now)
        .map(|((arn, id), now)| (&**arn, now.unwrap_or_else(|| id.clone())))
        .collect();
    access::policy::shown(&text, &|arn| now.get(arn).cloned())
}

/// Says what is wrong with a policy, and where.
fn refused(error: PolicyError) -> Fault {
    let code = match error.fault() {
        PolicyFault::Malformed => FaultKind::MalformedPolicy,
        PolicyFault::TooLarge => FaultKind::PolicyTooLarge,
    };
    Fault::with(code, error.to_string())
}

/// Whether the bucket's policy is public.
pub(super) async fn status(call: &mut Call<'_>) -> Answer {
    if call.permit.action() != Action::GetBucketPolicyStatus {
        return Err(FaultKind::AccessDenied.into());
    }
    let here = call
        .documents
        .as_ref()
        .ok_or(FaultKind::ServiceUnavailable)?;
    let account = call.gateway.keys.account_block(&call.deed()?.owner);
    let Some(public) = here.access.is_open(here.access.block.or(account)) else {
        return Err(FaultKind::NoSuchBucketPolicy.into());
    };
    let mut xml = XmlWriter::document("PolicyStatus", 160);
    xml.display("IsPublic", public);
    Ok(call.xml(xml.finish("PolicyStatus")))
}
