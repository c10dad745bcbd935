//! What a request asks of `access`, and about which bucket.

use std::sync::Arc;

use access::{AccessList, Action, Ask, Initiator, Via};
use types::BucketDeed;

use crate::{
    elsewhere::unavailable,
    fault::{Fault, FaultKind},
    operations::{Operation, Resource},
    request::Request,
    server::Gateway,
};

impl Gateway {
    /// The deed of the bucket that is addressed.
    pub(crate) fn deed(
        &self,
        operation: &Operation,
        request: &Request<'_>,
        via: &Via,
    ) -> Result<Option<Arc<BucketDeed>>, Fault> {
        let Some(name) = &request.target().bucket else {
            return Ok(None);
        };
        if operation.name == "CreateBucket" {
            return Ok(None);
        }
        match self.deeds.get(name) {
            Some(deed) => Ok(Some(deed)),
            None => Err(match via {
                Via::Client => Fault::new(FaultKind::NoSuchBucket).detail("BucketName", &**name),
                // The region that forwarded it knows the bucket; so will this one in a moment.
                Via::Region(..) => unavailable(&self.region, "does not know the bucket yet"),
            }),
        }
    }
}

/// What conditions of policies ask for, beyond the words of the head.
#[derive(Default)]
pub(crate) struct Details {
    /// The tags of the object as it is.
    pub(crate) existing_tags: Option<Vec<(String, String)>>,
    /// The access control list of the object as it is.
    pub(crate) list: Option<Option<AccessList>>,
    /// Who began the upload.
    pub(crate) initiator: Option<Option<Initiator>>,
    /// The tags that the request gives an object.
    pub(crate) given_tags: Option<Vec<(String, String)>>,
    /// What it copies.
    pub(crate) copy_source: Option<String>,
}

impl Details {
    /// Adds them to a question.
    pub(crate) fn add_to<'a>(&'a self, ask: &mut Ask<'a>) {
        ask.context.existing_tags = self.existing_tags.as_deref();
        ask.context.list = self.list.as_ref().map(Option::as_ref);
        ask.context.initiator = self.initiator.as_ref().map(Option::as_ref);
        ask.context.given_tags = self.given_tags.as_deref();
        ask.context.copy_source = self.copy_source.as_deref();
    }
}

/// The permission that a request needs.
pub(crate) fn action(operation: &Operation, with_version: bool) -> Action {
    // Strangers do not learn which operations are there: they are refused first.
    match (operation.action_for(with_version), operation.resource) {
        (Some(action), _) => action,
        (None, Resource::Service) => Action::ListAllMyBuckets,
        (None, Resource::Bucket | Resource::Object) => Action::ListBucket,
    }
}
