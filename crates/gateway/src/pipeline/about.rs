//! What a request is about: the operation, the bucket with its documents, and what these ask for.
//! And what an answer does not tell to those who may not know it.

use std::sync::Arc;

use access::{BucketAccess, Identity, Via};
use http::{HeaderValue, header, request::Parts};
use objects::{BucketDocuments, DisplayVersion};
use types::{BucketDeed, ObjectKey};

use super::{Trail, slow_down};
use crate::{
    ask::Details,
    operations::Operation,
    request::{Received, Request},
    route::route,
    s3::{ErrorCode, S3Call, S3Error, S3Result, documents, headers::names},
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
        identity: &Identity,
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
        let by_policies = identity.has_policies();
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
        Ok(about)
    }

    /// Answers the preflight of a browser.
    pub(super) async fn preflight(&self, parts: &mut Parts, trail: &mut Trail) -> S3Result {
        let entered = self.enter(&self.anybody, Some(0), true, trail);
        entered.await.map_err(|_| slow_down())?;
        self.check_region()?;
        let headers = parts.headers.clone();
        let console = self.console.as_ref();
        if let Some(rules) = console.and_then(|pages| pages.rules_for(&headers)) {
            return documents::preflight(Some(rules), &headers);
        }
        let received = Received::read(parts, &self.config.domains)?;
        let Some(bucket) = received.bucket() else {
            return documents::preflight(None, &headers);
        };
        let deed = self.deeds.get(bucket).ok_or(ErrorCode::NoSuchBucket)?;
        let found = self.objects.documents(&deed).await?;
        let cors = found.as_ref().and_then(|found| found.cors.as_ref());
        documents::preflight(cors, &headers)
    }

    /// The tags of the object, where policies ask for them: not before the request has its turn,
    /// since they may change while it waits.
    pub(super) async fn add_tags(
        &self,
        about: &mut About,
        request: &Request<'_>,
        (identity, form): (&Identity, Option<&ObjectKey>),
    ) -> Result<(), S3Error> {
        let Some(deed) = &about.deed else {
            return Ok(());
        };
        let wants_tags = identity.wants_existing_tags()
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
        Ok(())
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
