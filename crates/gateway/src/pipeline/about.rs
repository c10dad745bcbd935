//! What a request is about: the operation, the bucket with its documents, and what these ask for.
//! And what an answer does not tell to those who may not know it.

use std::sync::Arc;

use access::{BucketAccess, Facts, Identity, Via};
use http::{HeaderValue, header, request::Parts};
use objects::{BucketDocuments, DisplayVersion};
use types::{BucketDeed, ObjectKey};

use super::{Met, Trail, slow_down};
use crate::{
    ask::{self, Details},
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    operations::Operation,
    request::{Received, Request},
    s3::{documents, headers::names, route::route},
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
        if about.is_decided() && !by_policies {
            about.details = Details::of(operation, request);
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
            return documents::preflight(Some(rules), &headers);
        }
        let received = Received::read(parts, &self.config.domains)?;
        let Some(bucket) = received.bucket() else {
            return documents::preflight(None, &headers);
        };
        let deed = self.deeds.get(bucket).ok_or(FaultKind::NoSuchBucket)?;
        let found = self.objects.documents(&deed).await?;
        let cors = found.as_ref().and_then(|found| found.cors.as_ref());
        documents::preflight(cors, &headers)
    }

    /// What the decision depends on of the object: not before the request has its turn, since that
    /// may change while it waits.
    pub(super) async fn add_details(
        &self,
        about: &mut About,
        met: &Met<'_>,
        (identity, via, form): (&Identity, &Via, Option<&ObjectKey>),
    ) -> Result<(), Fault> {
        self.add_tags(about, &met.request, (identity, form)).await?;
        match about.heeds_lists() {
            true => Box::pin(self.add_list(about, met, (identity, via, form))).await,
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
            let version = request.query().get("versionId");
            let version = version.and_then(DisplayVersion::parse);
            let tags = Box::pin(self.existing_tags(deed, key, version)).await;
            about.details.existing_tags = Some(tags?);
        }
        Ok(())
    }

    /// The access control list of the object, where the decision depends on it.
    async fn add_list(
        &self,
        about: &mut About,
        met: &Met<'_>,
        (identity, via, form): (&Identity, &Via, Option<&ObjectKey>),
    ) -> Result<(), Fault> {
        let Some(deed) = &about.deed else {
            return Ok(());
        };
        let came = met.identified.facts();
        let mut ask = ask::of(about.operation, &met.request, identity, form, came);
        about.details.add_to(&mut ask);
        let facts = Facts {
            deed: Some(deed),
            access: about.access(),
            account_block: self.account_block(Some(deed), about.access()),
            here: &self.place_for(via),
            via,
        };
        let list = self.list_of(&ask, &facts).await?;
        about.details.list = list;
        Ok(())
    }
}

/// Names what the error is about, in the elements that S3 has for it and that SDKs show. A copy has
/// two objects: its errors may be about the other one.
fn name_in(error: &mut Fault, call: &Call<'_>) {
    use FaultKind as C;
    let mut add = |element: &'static str, text: Option<&str>| {
        // There are characters that keys may have and no XML.
        let fits = |text: &&str| {
            !text
                .chars()
                .any(|c| c.is_control() || matches!(c, '\u{fffe}'..='\u{ffff}'))
        };
        let there = error.details.iter().any(|(name, _)| *name == element);
        if let Some(text) = text.filter(fits).filter(|_| !there) {
            error.details.push((element, text.to_owned()));
        }
    };
    if copies(call) {
        return;
    }
    match error.kind {
        C::NoSuchKey => add("Key", call.key.as_deref()),
        C::NoSuchVersion => {
            add("Key", call.key.as_deref());
            add("VersionId", call.query.get("versionId"));
        }
        C::NoSuchUpload => add("UploadId", call.query.get("uploadId")),
        C::BucketAlreadyExists
        | C::BucketAlreadyOwnedByYou
        | C::BucketNotEmpty
        | C::NoSuchBucket
        | C::NoSuchBucketPolicy
        | C::NoSuchCORSConfiguration
        | C::NoSuchLifecycleConfiguration
        | C::NoSuchTagSet
        | C::NoSuchWebsiteConfiguration
        | C::ObjectLockConfigurationNotFoundError
        | C::OwnershipControlsNotFoundError
        | C::ReplicationConfigurationNotFoundError
        | C::ServerSideEncryptionConfigurationNotFoundError => {
            add("BucketName", call.bucket.as_deref());
        }
        _ => {}
    }
}

/// Whether the operation is a copy, and not whether a header says so: any request could have that.
fn copies(call: &Call<'_>) -> bool {
    matches!(call.operation.name, "CopyObject" | "UploadPartCopy")
}

/// What the client is told: that a key is missing is for those who may list the bucket, and who
/// pays for the request learns that.
pub(super) fn told(call: &Call<'_>, mut result: Answer) -> Answer {
    match &mut result {
        Err(error) => {
            let may_know = match error.kind {
                // The handler of a copy asks about the source, with the source's documents.
                _ if copies(call) && !ask::is_conditional(&call.headers) => true,
                FaultKind::NoSuchKey => call.may_know_what_is_missing(false),
                FaultKind::NoSuchVersion => call.may_know_what_is_missing(true),
                _ => true,
            };
            if !may_know {
                return Err(FaultKind::AccessDenied.into());
            }
            name_in(error, call);
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
