//! What a request is about: the operation, the bucket with its documents, and what these ask for.
//! And what an answer leaves out for those who may not know it.

use std::sync::Arc;

use access::{BucketAccess, Facts, Identity, Via};
use http::{header, request::Parts};
use objects::{BucketDocuments, DisplayVersion};
use types::{BucketDeed, ObjectKey, UploadId};

use super::{Trail, slow_down, verify_head::VerifiedHead};
use crate::{
    acknowledged::Touched,
    ask::Details,
    call::{Answer, Call},
    cors,
    fault::{Fault, FaultKind},
    operations::Operation,
    request::{Received, Request},
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

    /// Whether access control lists count in the bucket.
    fn heeds_lists(&self) -> bool {
        let access = self.access();
        access.is_some_and(|access| access.ownership.heeds_lists())
    }

    /// Whether the bucket has documents that may let anybody in.
    pub(super) fn is_decided(&self) -> bool {
        self.access().is_some_and(BucketAccess::decides)
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
    ) -> Result<About, Fault> {
        let dialect = request.dialect();
        let operation = dialect.route(request)?;
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
            about.details = dialect.details(operation, request);
        }
        let Some(deed) = &about.deed else {
            return Ok(about);
        };
        if *via == Via::Client && self.acknowledged.any() {
            let touched = Touched::by(operation, request.target().key.as_ref());
            Box::pin(self.until_configured(deed, &touched)).await?;
        }
        about.documents = match self.objects.known_documents(deed) {
            Some(known) => Some(known),
            None => Box::pin(self.objects.documents(deed)).await?,
        };
        if let (Some(origin), Some(documents)) =
            (request.headers().get(header::ORIGIN), &about.documents)
        {
            trail.page = Some((origin.clone(), Arc::clone(documents)));
        }
        if about.is_decided() && !by_policies {
            about.details = dialect.details(operation, request);
        }
        Ok(about)
    }

    /// Answers the preflight of a browser.
    pub(super) async fn preflight(&self, parts: &mut Parts, trail: &mut Trail) -> Answer {
        let entered = self.enter(&self.anybody, Some(0), true, trail);
        entered.await.map_err(|_| slow_down())?;
        self.check_region()?;
        let headers = parts.headers.clone();
        let console = self.console.as_ref();
        if let Some(rules) = console.and_then(|pages| pages.rules_for(&headers)) {
            return cors::preflight(Some(rules), &headers);
        }
        let received = Received::read(parts, &self.config.domains)?;
        let Some(bucket) = received.bucket() else {
            return cors::preflight(None, &headers);
        };
        let deed = self.deeds.get(bucket).ok_or(FaultKind::NoSuchBucket)?;
        self.until_configured(&deed, &Touched::Nothing).await?;
        let found = self.objects.documents(&deed).await?;
        let cors = found.as_ref().and_then(|found| found.cors.as_ref());
        cors::preflight(cors, &headers)
    }

    /// What the decision depends on of the object: not before the request has its turn, since that
    /// may change while it waits.
    pub(super) async fn add_details(
        &self,
        about: &mut About,
        known: &VerifiedHead<'_>,
        (identity, via, form): (&Identity, &Via, Option<&ObjectKey>),
    ) -> Result<(), Fault> {
        self.add_tags(about, &known.request, (identity, form))
            .await?;
        let of_upload = is_of_upload(about.operation).then(|| upload(&known.request));
        match about.heeds_lists() || of_upload.is_some() {
            true => {
                let whose = (identity, via, form);
                Box::pin(self.add_of_object(about, known, whose, of_upload.flatten())).await
            }
            false => Ok(()),
        }
    }

    /// The tags of the object, where policies ask for them.
    async fn add_tags(
        &self,
        about: &mut About,
        request: &Request<'_>,
        (identity, form): (&Identity, Option<&ObjectKey>),
    ) -> Result<(), Fault> {
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
            let version = request.dialect().version(request);
            let version = version.and_then(DisplayVersion::parse);
            let tags = Box::pin(self.existing_tags(deed, key, version)).await;
            about.details.existing_tags = Some(tags?);
        }
        Ok(())
    }

    /// The access control list of the object, and who began the upload of one, where the decision
    /// depends on it.
    async fn add_of_object(
        &self,
        about: &mut About,
        known: &VerifiedHead<'_>,
        (identity, via, form): (&Identity, &Via, Option<&ObjectKey>),
        upload: Option<UploadId>,
    ) -> Result<(), Fault> {
        let Some(deed) = &about.deed else {
            return Ok(());
        };
        let came = known.identified.facts();
        let request = &known.request;
        let dialect = request.dialect();
        let mut ask = dialect.ask(about.operation, request, identity, form, came);
        about.details.add_to(&mut ask);
        let facts = Facts {
            deed: Some(deed),
            access: about.access(),
            account_block: self.account_block(Some(deed), about.access()),
            here: &self.place_for(via),
            via,
        };
        let list = self.list_of(&ask, &facts).await?;
        ask.context.list = list.as_ref().map(Option::as_ref);
        let initiator = self.initiator_of(&ask, &facts, upload).await?;
        (about.details.list, about.details.initiator) = (list, initiator);
        Ok(())
    }
}

/// Whether an operation is open to who began the upload that it names.
fn is_of_upload(operation: &Operation) -> bool {
    matches!(operation.name, "AbortMultipartUpload" | "ListParts")
}

/// The upload that a request names; one that cannot be is refused by the handler.
fn upload(request: &Request<'_>) -> Option<UploadId> {
    UploadId::parse(request.dialect().upload(request)?)
}

/// What the client gets: that a key is missing is for those who may list the bucket, and who pays
/// for the request learns that.
pub(super) fn told(call: &Call<'_>, mut result: Answer) -> Answer {
    match &mut result {
        Err(error) => {
            let may_know = match error.kind {
                // The handler of a copy asks about the source, with the source's documents.
                _ if call.copies() && !call.dialect.is_conditional(&call.headers) => true,
                FaultKind::NoSuchKey => call.may_know_what_is_missing(false),
                FaultKind::NoSuchVersion => call.may_know_what_is_missing(true),
                _ => true,
            };
            if !may_know {
                return Err(FaultKind::AccessDenied.into());
            }
            call.dialect.name_in(error, call);
        }
        Ok(answer) if call.is_charged() => {
            call.dialect.add_charged(answer.headers_mut());
        }
        Ok(_) => {}
    }
    result
}
