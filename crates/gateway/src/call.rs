//! One request on its way through the pipeline, as an operation's handler sees it.

use std::sync::Arc;

use access::{
    Action, Ask, Context, Facts, Permit, Refusal, RequestFacts, Resource, Via, policy::Steps,
};
use bytes::Bytes;
use http::HeaderMap;
use objects::BucketDocuments;
use types::{
    BucketDeed, BucketName, DisplayVersion, ObjectKey, Place, RegionId, SignedRequest,
    body::MemoryBody,
};

use crate::{
    ask::Details,
    body::ResponseBody,
    dialect::Dialect,
    fault::{Fault, FaultKind},
    operations::Operation,
    query::Query,
    server::Gateway,
};

/// What a handler returns.
pub type Answer = Result<http::Response<ResponseBody>, Fault>;

/// A request that has been parsed, identified and permitted.
pub struct Call<'g> {
    /// The gateway and all that it reaches.
    pub gateway: &'g Gateway,
    /// The dialect of the request.
    pub(crate) dialect: &'static dyn Dialect,
    /// Which operation.
    pub operation: &'static Operation,
    /// How the request came here.
    pub via: Via,
    /// How its client sent it.
    pub facts: RequestFacts,
    /// For this operation on this bucket, with the bucket's deed (none on the service and for
    /// CreateBucket), and who asks.
    pub permit: Permit,
    /// The bucket's documents, in a region that can read them.
    pub documents: Option<Arc<BucketDocuments>>,
    /// The bucket that the request addresses.
    pub bucket: Option<BucketName>,
    /// The object that the request addresses.
    pub key: Option<ObjectKey>,
    /// The query, decoded.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, taken at most once; verified as it is read.
    pub body: Option<Box<dyn types::Body>>,
    /// The head as the customer signed it, where the registry may have to be shown it.
    pub head: Option<Box<[u8]>>,
    /// Steps of comparing that all decisions share which the handler asks for.
    pub steps: Steps,
    /// What a form upload says of its answer; `None` for every other request.
    pub form: Option<Box<crate::form::Reply>>,
    /// What else is known of the request, where its body decides whether it is permitted.
    pub(crate) unread: Option<Box<Details>>,
}

/// What a body says that policies ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Read<'r> {
    /// The tags that it gives.
    Tags(&'r [(String, String)]),
    /// Who is to own what is written.
    Ownership(&'r str),
}

impl<'g> Call<'g> {
    /// The permit with what the customer signed, for the registry.
    pub(crate) fn for_registry(&self, body: &[u8]) -> Permit {
        let permit = self.permit.clone();
        match &self.head {
            Some(head) => permit.for_request(SignedRequest {
                head: Arc::from(&head[..]),
                body: Arc::from(body),
            }),
            None => permit,
        }
    }

    /// The key, which routing guarantees for operations on objects.
    pub fn object_key(&self) -> Result<&ObjectKey, Fault> {
        self.key
            .as_ref()
            .ok_or_else(|| FaultKind::InvalidURI.into())
    }

    /// Whether the operation is a copy, and not whether a header says so: any request could have
    /// that.
    pub(crate) fn copies(&self) -> bool {
        matches!(self.operation.name, "CopyObject" | "UploadPartCopy")
    }

    /// A header as text; a value that is not UTF-8 is `InvalidArgument`.
    pub fn header(&self, name: impl AsRef<str>) -> Result<Option<&str>, Fault> {
        let name = name.as_ref();
        let Some(value) = access::first_header(&self.headers, name) else {
            return Ok(None);
        };
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Fault::argument(name, "", "Header value is not valid UTF-8")),
        }
    }

    /// The bucket's deed, which the pipeline guarantees for operations on buckets and objects.
    pub fn deed(&self) -> Result<&Arc<BucketDeed>, Fault> {
        self.permit
            .addressed()
            .ok_or_else(|| FaultKind::NoSuchBucket.into())
    }

    /// Takes the body; an empty one where the request has none, or it was taken before.
    pub fn take_body(&mut self) -> Box<dyn types::Body> {
        self.body
            .take()
            .unwrap_or_else(|| Box::new(MemoryBody::new(Bytes::new())))
    }

    /// An answer without a body.
    pub fn empty(&self, status: http::StatusCode) -> http::Response<ResponseBody> {
        let mut answer = http::Response::new(ResponseBody::Empty);
        *answer.status_mut() = status;
        answer
    }

    /// What the request says beside who asks for what.
    pub fn context(&self) -> Context<'_> {
        Context {
            facts: self.facts,
            given_tags: Some(&[]),
            steps: Some(&self.steps),
            // Of a form they are its fields.
            headers: Some(&self.headers),
            ..Context::default()
        }
    }

    /// What this region, which is `here`, knows of the bucket that the request addresses.
    fn known<'a>(&'a self, deed: &'a Arc<BucketDeed>, here: &'a Place) -> Facts<'a> {
        let access = self.documents.as_ref().map(|documents| &documents.access);
        Facts {
            deed: Some(deed),
            access,
            account_block: self.gateway.account_block(Some(deed), access),
            here,
            via: &self.via,
        }
    }

    /// Asks for a permit for a key (and version) of the same bucket that the body names.
    pub fn permit_key(
        &self,
        action: Action,
        (key, version): (&ObjectKey, Option<DisplayVersion>),
        (conditional, compares): (bool, bool),
    ) -> Result<Permit, Refusal> {
        let deed = self.permit.deed().ok_or(Refusal::Mismatch)?;
        let ask = Ask {
            principal: self.permit.identity(),
            action,
            resource: Resource::Object {
                bucket: &deed.name,
                key,
                version,
            },
            context: Context {
                conditional,
                compares,
                ..self.context()
            },
        };
        let here = self.gateway.place_for(&self.via);
        let facts = self.known(deed, &here);
        access::authorize(&ask, &facts)
    }

    /// Whether the caller pays for the request, and has agreed to that.
    pub fn is_charged(&self) -> bool {
        let (deed, documents) = (self.permit.addressed(), self.documents.as_ref());
        deed.zip(documents).is_some_and(|(deed, documents)| {
            let caller = self.permit.identity();
            caller.pays(deed, &documents.access)
        })
    }

    /// Whether the caller may learn that there is no such key, or no such version: who may list the
    /// bucket ("GetObject" in the S3 API reference, Permissions). Asked as for a listing without a
    /// prefix.
    pub fn may_know_what_is_missing(&self, versions: bool) -> bool {
        let Some(deed) = self.permit.addressed() else {
            return false;
        };
        let here = self.gateway.place_for(&self.via);
        let facts = self.known(deed, &here);
        access::may_by_documents(&self.listing_of(deed, versions), &facts)
    }

    /// Asks for a listing of a bucket, without a prefix.
    fn listing_of<'a>(&'a self, deed: &'a BucketDeed, versions: bool) -> Ask<'a> {
        Ask {
            principal: self.permit.identity(),
            action: match versions {
                true => Action::ListBucketVersions,
                false => Action::ListBucket,
            },
            resource: Resource::Keys {
                bucket: &deed.name,
                prefix: "",
            },
            context: self.context(),
        }
    }

    /// The error of a copy, whose source this permit is for. That the source is not there is for
    /// those who may list its bucket.
    pub async fn copy_error(&mut self, error: objects::Error, source: &Permit) -> Fault {
        let error = Fault::from(error);
        let versions = match error.kind {
            FaultKind::NoSuchKey => false,
            FaultKind::NoSuchVersion => true,
            _ => return error,
        };
        let Some(deed) = source.deed() else {
            return error;
        };
        let documents = match self.gateway.objects.documents(deed).await {
            Ok(documents) => documents,
            Err(error) => return error.into(),
        };
        let access = documents.as_ref().map(|found| &found.access);
        let facts = Facts {
            deed: Some(deed),
            access,
            account_block: self.gateway.account_block(Some(deed), access),
            here: &self.gateway.place_for(&self.via),
            via: &self.via,
        };
        match access::may_by_documents(&self.listing_of(deed, versions), &facts) {
            true => error,
            false => FaultKind::AccessDenied.into(),
        }
    }

    /// Refuses who signs nothing, as S3 does for what leaves something open or reads elsewhere.
    pub fn check_signed(&self, what: &str) -> Result<(), Fault> {
        match self.permit.identity().is_signed() {
            true => Ok(()),
            false => Err(Fault::with(
                FaultKind::AccessDenied,
                format!("Anonymous users cannot {what}. Sign the request."),
            )),
        }
    }

    /// Whether documents say what the caller may do with the bucket that the request addresses:
    /// the account's own keys are asked by none where there is no policy.
    pub fn is_by_documents(&self) -> bool {
        let decides = |documents: &Arc<BucketDocuments>| documents.access.decides();
        self.permit.identity().has_policies() || self.documents.as_ref().is_some_and(decides)
    }

    /// Asks for the permit to make a bucket with this home and these tags, which the body names.
    pub fn permit_new(
        &self,
        name: &BucketName,
        home: &RegionId,
        tags: &[(String, String)],
    ) -> Result<Permit, Fault> {
        let ask = Ask {
            principal: self.permit.identity(),
            action: Action::CreateBucket,
            resource: Resource::Bucket(name),
            context: Context {
                location: Some(home),
                given_tags: Some(tags),
                ..self.context()
            },
        };
        let facts = Facts {
            deed: None,
            access: None,
            account_block: access::PublicAccessBlock::NONE,
            here: &self.gateway.place_for(&self.via),
            via: &self.via,
        };
        access::authorize(&ask, &facts).map_err(|why| self.gateway.refused(&ask, None, why))
    }

    /// Asks again for the permit of a request whose body decides, now that it was read. Nothing is
    /// done before.
    pub(crate) async fn permit_read(
        &mut self,
        version: Option<DisplayVersion>,
        read: Read<'_>,
    ) -> Result<(), Fault> {
        let Some(mut details) = self.unread.take() else {
            return Ok(());
        };
        let (gateway, deed) = (self.gateway, Arc::clone(self.deed()?));
        // The body may have taken its time: what is set by now decides.
        let caller = self.caller_now()?;
        if self.documents.is_some() {
            self.documents = gateway.objects.documents(&deed).await?;
        }
        if let (Some(tags), Some(key)) = (&mut details.existing_tags, &self.key) {
            *tags = gateway.existing_tags(&deed, key, version).await?;
        }
        let deed = &deed;
        let mut ask = Ask {
            principal: &caller,
            action: self.permit.action(),
            resource: match &self.key {
                Some(key) => Resource::Object {
                    bucket: &deed.name,
                    key,
                    version,
                },
                None => Resource::Bucket(&deed.name),
            },
            context: Context {
                existing_tags: details.existing_tags.as_deref(),
                ownership: Some(None),
                ..self.context()
            },
        };
        match read {
            Read::Tags(tags) => ask.context.given_tags = Some(tags),
            Read::Ownership(mode) => ask.context.ownership = Some(Some(mode)),
        }
        let here = gateway.place_for(&self.via);
        let facts = self.known(deed, &here);
        details.list = gateway.list_of(&ask, &facts).await?;
        ask.context.list = details.list.as_ref().map(Option::as_ref);
        let decided = access::authorize(&ask, &facts);
        self.permit = decided.map_err(|why| gateway.refused(&ask, Some(deed), why))?;
        Ok(())
    }

    /// Asks for what it takes to give the new object, a copy of `source`, these tags.
    pub fn permit_tags(&self, source: &str, tags: &[(String, String)]) -> Result<(), Fault> {
        let (deed, key) = (self.deed()?, self.object_key()?);
        let here = self.gateway.place_for(&self.via);
        let facts = self.known(deed, &here);
        for action in [Action::PutObject, Action::PutObjectTagging] {
            let ask = Ask {
                principal: self.permit.identity(),
                action,
                resource: Resource::Object {
                    bucket: &deed.name,
                    key,
                    version: None,
                },
                context: Context {
                    creates: true,
                    copy_source: Some(source),
                    // There is no object yet.
                    list: Some(None),
                    given_tags: Some(tags),
                    ..self.context()
                },
            };
            access::authorize(&ask, &facts)
                .map_err(|why| self.gateway.refused(&ask, Some(deed), why))?;
        }
        Ok(())
    }
}
