//! The bucket's documents on the way of a request: fetched before it is decided, and the answer to
//! a client whose request they refuse.

use std::sync::Arc;

use access::{
    AccessList, Action, Ask, BucketAccess, Facts, Initiator, PublicAccessBlock, Refusal, Resource,
    SystemReason,
};
use types::{BucketDeed, DisplayVersion, ObjectKey, UploadId};

use crate::{
    fault::{Fault, FaultKind},
    server::Gateway,
};

impl Gateway {
    /// The tags of an object as it is, for a policy that asks for them; none where there is no
    /// such object.
    pub(crate) async fn existing_tags(
        &self,
        deed: &Arc<BucketDeed>,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
    ) -> Result<Vec<(String, String)>, Fault> {
        use objects::Error as E;
        let action = Action::GetObjectTagging;
        let permit = access::authorize_system(SystemReason::Policy, action, deed);
        match self.objects.object_tags(&permit, key, version).await {
            Ok((tags, _)) => Ok(tags),
            Err(E::NoSuchKey { .. } | E::NoSuchVersion | E::DeleteMarker { .. } | E::NoTags) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the account refuses that owns a bucket, where that can matter: nobody else pays for the
    /// look-up.
    pub(crate) fn account_block(
        &self,
        deed: Option<&Arc<BucketDeed>>,
        access: Option<&BucketAccess>,
    ) -> PublicAccessBlock {
        match (deed, access) {
            (Some(deed), Some(access)) if access.decides() => self.keys.account_block(&deed.owner),
            _ => PublicAccessBlock::NONE,
        }
    }

    /// The access control list of the object that is asked for, if the decision depends on it.
    pub(crate) async fn list_of(
        &self,
        ask: &Ask<'_>,
        facts: &Facts<'_>,
    ) -> Result<Option<Option<AccessList>>, Fault> {
        use objects::Error as E;
        let (Some(deed), Resource::Object { key, version, .. }) = (facts.deed, ask.resource) else {
            return Ok(None);
        };
        if !access::needs_list(ask, facts) {
            return Ok(None);
        }
        let permit = access::authorize_system(SystemReason::Policy, Action::GetObjectAcl, deed);
        match self.objects.object_list(&permit, key, version).await {
            Ok(list) => Ok(Some(list)),
            Err(E::NoSuchKey { .. } | E::NoSuchVersion | E::DeleteMarker { .. }) => Ok(Some(None)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Gateway {
    /// Who began the upload that is asked for, if the decision depends on it.
    pub(crate) async fn initiator_of(
        &self,
        ask: &Ask<'_>,
        facts: &Facts<'_>,
        upload: Option<UploadId>,
    ) -> Result<Option<Option<Initiator>>, Fault> {
        let (Some(deed), Resource::Object { key, .. }) = (facts.deed, ask.resource) else {
            return Ok(None);
        };
        if !access::needs_initiator(ask, facts) {
            return Ok(None);
        }
        let Some(upload) = upload else {
            return Ok(Some(None));
        };
        let action = Action::ListMultipartUploadParts;
        let permit = access::authorize_system(SystemReason::Policy, action, deed);
        match self.objects.initiator_of(&permit, key, upload).await {
            Ok(initiator) => Ok(Some(initiator)),
            Err(objects::Error::NoSuchUpload) => Ok(Some(None)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether all documents of a request are of the caller's account: what is on no bucket is a matter
/// of it.
pub(crate) fn is_own(ask: &Ask<'_>, deed: Option<&Arc<BucketDeed>>) -> bool {
    ask.principal.may_learn_why(deed.map(|deed| &**deed))
}

/// The answer to a client whose request documents refuse. Only callers of the bucket's own account
/// learn which kind of document it was.
pub(crate) fn refused(ask: &Ask<'_>, deed: Option<&Arc<BucketDeed>>, refusal: Refusal) -> Fault {
    let own = is_own(ask, deed);
    match refusal {
        Refusal::PolicyOfOthers => FaultKind::MethodNotAllowed.into(),
        Refusal::RequesterPays if ask.principal.is_signed() => Fault::with(
            FaultKind::AccessDenied,
            "Access Denied: whoever asks pays for requests to this bucket. Send the header \
             x-amz-request-payer: requester.",
        ),
        Refusal::ListAmongMany => Fault::with(
            FaultKind::AccessDenied,
            format!("Access Denied: {refusal}."),
        ),
        Refusal::Policy(_) if own => match access::refusal_sentence(ask, refusal) {
            Some(text) => Fault::with(FaultKind::AccessDenied, text),
            None => FaultKind::AccessDenied.into(),
        },
        Refusal::RootOnly if own => Fault::with(
            FaultKind::AccessDenied,
            format!("Access Denied: {refusal}."),
        ),
        Refusal::UnreadablePolicy if own => Fault::with(
            FaultKind::AccessDenied,
            format!("Access Denied: {refusal} (PutBucketPolicy, DeleteBucketPolicy)."),
        ),
        _ => FaultKind::AccessDenied.into(),
    }
}
