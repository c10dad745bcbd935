//! What a request is about: the operation, the bucket with its documents, and what these ask for.
//! And what an answer does not tell to those who may not know it.

use std::sync::Arc;

use access::{BucketAccess, Identity, Via};
use http::{HeaderValue, header};
use objects::{BucketDocuments, DisplayVersion};
use types::{BucketDeed, ObjectKey};

use super::Trail;
use crate::{
    ask::Details,
    operations::Operation,
    request::Request,
    route::route,
    s3::{ErrorCode, S3Call, S3Error, S3Result, headers::names},
    server::Gateway,
};

/// What a request is about, and what it is decided by.
pub(super) struct About {
    pub(super) operation: &'static Operation,
    pub(super) deed: Option<Arc<BucketDeed>>,
    /// The bucket's documents, in a region that can read them.
    pub(super) documents: Option<Arc<BucketDocuments>>,
    /// What a policy may ask for, where there is one.
    pub(super) details: Details,
}

impl About {
    pub(super) fn access(&self) -> Option<&BucketAccess> {
        self.documents.as_ref().map(|documents| &documents.access)
    }

    /// Whether the bucket has a policy, which may let anybody in.
    pub(super) fn has_policy(&self) -> bool {
        self.access().is_some_and(BucketAccess::has_policy)
    }
}

impl Gateway {
    /// What a request is about.
    pub(super) async fn about(
        &self,
        request: &Request<'_>,
        via: &Via,
        (identity, form): (&Identity, Option<&ObjectKey>),
        trail: &mut Trail,
    ) -> Result<About, S3Error> {
        let operation = route(request)?;
        trail.operation = Some(operation);
        let deed = self.deed(operation, request, via)?;
        let mut about = About {
            operation,
            deed,
            documents: None,
            details: Details::default(),
        };
        let user = identity.user();
        let by_policies = user.is_some();
        if by_policies {
            about.details = Details::of(operation, request);
        }
        let Some(deed) = &about.deed else {
            return Ok(about);
        };
        about.documents = match self.objects.known_documents(deed) {
            Some(known) => Some(known),
            None => Box::pin(self.objects.documents(deed)).await?,
        };
        if let (Some(origin), Some(documents)) =
            (request.headers().get(header::ORIGIN), &about.documents)
        {
            trail.page = Some((origin.clone(), Arc::clone(documents)));
        }
        if about.has_policy() && !by_policies {
            about.details = Details::of(operation, request);
        }
        let wants_tags = user.is_some_and(|user| user.policies.wants_existing_tags())
            || about
                .access()
                .is_some_and(BucketAccess::wants_existing_tags);
        if wants_tags
            && about.documents.is_some()
            && let Some(key) = form.or(request.target().key.as_ref())
        {
            let version = request.query().get("versionId");
            let version = version.and_then(DisplayVersion::parse);
            let tags = Box::pin(self.existing_tags(deed, key, version)).await;
            about.details.existing_tags = Some(tags?);
        }
        Ok(about)
    }
}

/// What the client is told: that a key is missing is for those who may list the bucket, and who
/// pays for the request learns that.
pub(super) fn told(call: &S3Call<'_>, mut result: S3Result) -> S3Result {
    match &mut result {
        Err(error) => {
            let may_know = match error.code {
                _ if call.operation.writes() => true,
                ErrorCode::NoSuchKey => call.may_know_what_is_missing(false),
                ErrorCode::NoSuchVersion => call.may_know_what_is_missing(true),
                _ => true,
            };
            if !may_know {
                return Err(ErrorCode::AccessDenied.into());
            }
        }
        Ok(answer) if call.is_charged() => {
            let requester = HeaderValue::from_static("requester");
            answer
                .headers_mut()
                .insert(names::REQUEST_CHARGED, requester);
        }
        Ok(_) => {}
    }
    result
}
