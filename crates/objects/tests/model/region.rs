//! The real thing behind the driver's interface: a region on an engine, called by its owner.

use std::sync::Arc;

use access::{Action, Ask, Context, Facts, Identity, Permit, Resource, Via, authorize};
use bytes::Bytes;
use cloud::{IndexRows, Keeper, MasterKey, Opening, Registry};
use objects::{
    CompleteUpload, CopyInput, CopySource, CreateUpload, DisplayVersion, ETagMatch, Error,
    GetRequest, ListRequest, ListedForCompletion, ObjectAttributes, ObjectContent, Objects,
    PartInput, PutInput, RangeSpec, ReadConditions, Versioning, WriteConditions,
};
use store::{
    Engine, Log, PartitionId,
    embedded::{Embedded, EmbeddedConfig},
    extents::{Extents, ExtentsConfig},
    memory::Memory,
};
use types::{
    AccessKeyId, AccountId, BucketName, Clock, Deeds, ETag, ObjectKey, Place, Placement, Random,
    RegionId, SeededRandom, TestClock, UploadId, body::MemoryBody,
};

use crate::{
    held,
    reference::{Condition, Content, Id, Refusal},
    system::{
        ListedVersion, ObjectPage, System, UploadMarker, UploadPage, VersionMarker, VersionPage,
        Written,
    },
};

/// Where the region keeps things between two openings.
enum Ground {
    Memory(Engine),
    Disk(tempfile::TempDir),
}

/// A region and its owner.
pub struct Region {
    ground: Ground,
    objects: Arc<Objects>,
    deeds: Arc<Registry>,
    embedded: Option<Arc<Embedded>>,
    clock: Arc<TestClock>,
    random: Arc<SeededRandom>,
}

type Wired = (Arc<Objects>, Arc<Registry>);

async fn wire(engine: &Engine, clock: &Arc<TestClock>, random: &Arc<SeededRandom>) -> Wired {
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (clock.clone(), random.clone());
    let home = RegionId::new("model-1");
    let master = MasterKey::generate(&*random);
    let opening = Opening {
        rows: Arc::new(IndexRows(engine.index.clone())),
        master,
        clock: clock.clone(),
        random: random.clone(),
        regions: vec![home.clone()],
        keeper: Keeper::Here,
    };
    let deeds = Registry::open(opening).await.unwrap();
    let objects = Objects::new(engine.clone(), deeds.clone(), clock, random, home);
    objects.recover_buckets().await.unwrap();
    (Arc::new(objects), deeds)
}

fn on_disk(dir: &std::path::Path) -> (Engine, Arc<Embedded>) {
    let embedded = Embedded::open(EmbeddedConfig::new(dir.join("journal"))).unwrap();
    let blobs = Extents::open(ExtentsConfig::new(dir.join("extents"))).unwrap();
    (
        Engine {
            index: embedded.clone(),
            log: embedded.clone(),
            blobs,
        },
        embedded,
    )
}

impl Region {
    /// In memory.
    pub async fn in_memory(seed: u64) -> Self {
        let engine = Memory::engine();
        Self::on(Ground::Memory(engine.clone()), engine, None, seed).await
    }

    /// On the embedded engine.
    pub async fn embedded(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (engine, embedded) = on_disk(dir.path());
        Self::on(Ground::Disk(dir), engine, Some(embedded), seed).await
    }

    async fn on(
        ground: Ground,
        engine: Engine,
        embedded: Option<Arc<Embedded>>,
        seed: u64,
    ) -> Self {
        let clock = Arc::new(TestClock::at_ms(1_800_000_000_000));
        let random = Arc::new(SeededRandom::new(seed));
        let (objects, deeds) = wire(&engine, &clock, &random).await;
        Self {
            ground,
            objects,
            deeds,
            embedded,
            clock,
            random,
        }
    }

    fn permit(&self, bucket: &str, action: Action) -> Permit {
        let bucket = name(bucket);
        self.asked(action, Resource::Bucket(&bucket))
    }

    fn permit_key(&self, bucket: &str, at: &str, action: Action) -> Permit {
        self.by_id(bucket, at, None, action)
    }

    fn by_id(&self, bucket: &str, at: &str, id: Option<&Id>, plain: Action) -> Permit {
        let object = Resource::Object {
            bucket: &name(bucket),
            key: &key(at),
            version: version(id),
        };
        self.asked(plain.for_version(id.is_some()), object)
    }

    fn permit_under(&self, bucket: &str, prefix: &str, action: Action) -> Permit {
        let bucket = &name(bucket);
        self.asked(action, Resource::Keys { bucket, prefix })
    }

    fn asked(&self, action: Action, resource: Resource<'_>) -> Permit {
        self.clock.advance_ms(1);
        let account = AccountId::new("000000000001");
        let who = Identity::Key {
            access_key: AccessKeyId::new("MODEL"),
            account,
            kind: access::CallerKind::Customer,
            guard: Default::default(),
            who: access::Who::Root,
        };
        let named = resource.bucket().filter(|_| action.has_deed());
        let deed = named.map(|bucket| self.deeds.get(bucket).unwrap());
        let ask = Ask {
            principal: &who,
            action,
            resource,
            context: Context::default(),
        };
        let facts = Facts {
            access: Some(&access::BucketAccess::default()),
            account_block: access::PublicAccessBlock::NONE,
            deed: deed.as_ref(),
            here: &Place::unknown(RegionId::new("model-1")),
            via: &Via::Client,
        };
        authorize(&ask, &facts).unwrap()
    }
}

fn name(bucket: &str) -> BucketName {
    BucketName::new(bucket).unwrap()
}

fn key(key: &str) -> ObjectKey {
    ObjectKey::new(key).unwrap()
}

fn version(id: Option<&Id>) -> Option<DisplayVersion> {
    id.map(|id| match id {
        Id::Null => DisplayVersion::Null,
        Id::Named(text) => DisplayVersion::parse(text).unwrap(),
    })
}

fn id(version: DisplayVersion) -> Id {
    match version {
        DisplayVersion::Null => Id::Null,
        DisplayVersion::Id(id) => Id::Named(id.to_string()),
    }
}

fn upload_id(text: &str) -> UploadId {
    UploadId::parse(text).unwrap()
}

fn conditions(condition: &Condition) -> WriteConditions {
    match condition {
        Condition::None => WriteConditions::default(),
        Condition::IfAbsent => WriteConditions {
            if_none_match: Some(ETagMatch::Any),
            ..WriteConditions::default()
        },
        Condition::IfMatch(etag) => WriteConditions {
            if_match: Some(ETagMatch::parse(etag)),
            ..WriteConditions::default()
        },
    }
}

fn attributes(content_type: Option<&str>, tags: &[(String, String)]) -> ObjectAttributes {
    let mut attributes = ObjectAttributes {
        tags: tags.to_vec(),
        ..Default::default()
    };
    attributes.headers.content_type = content_type.map(str::to_owned);
    attributes
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::NoSuchKey { .. } => Refusal::NoSuchKey,
        Error::NoSuchVersion => Refusal::NoSuchVersion,
        Error::DeleteMarker { .. } => Refusal::IsDeleteMarker,
        // As the source of a copy.
        Error::InvalidRequest(text) if text.contains("delete marker") => Refusal::IsDeleteMarker,
        Error::PreconditionFailed(_) => Refusal::Precondition,
        Error::NoSuchUpload => Refusal::NoSuchUpload,
        Error::InvalidPart(_) => Refusal::InvalidPart,
        Error::PartTooSmall { .. } => Refusal::TooSmall,
        Error::BucketNotEmpty => Refusal::NotEmpty,
        Error::InvalidRange { .. } => Refusal::InvalidRange,
        other => panic!("nothing in the reference refuses so: {other}"),
    }
}

async fn read(content: Option<ObjectContent>) -> Bytes {
    match content {
        None => Bytes::new(),
        Some(ObjectContent::Bytes(bytes)) => bytes,
        Some(ObjectContent::Reader(mut reader)) => {
            let mut all = Vec::new();
            while let Some(piece) = reader.next().await.unwrap() {
                all.extend_from_slice(&piece);
            }
            all.into()
        }
    }
}

fn request<'a>(
    prefix: &'a str,
    delimiter: &'a str,
    after: Option<&'a str>,
    n: usize,
) -> ListRequest<'a> {
    ListRequest {
        prefix,
        delimiter,
        after,
        limit: n,
    }
}

impl System for Region {
    async fn reopen(&mut self) {
        let engine = match &self.ground {
            Ground::Memory(engine) => engine.clone(),
            Ground::Disk(dir) => {
                // Whatever holds the old engine must go first: its files are locked.
                let nothing = Memory::engine();
                (self.objects, self.deeds) = wire(&nothing, &self.clock, &self.random).await;
                if let Some(embedded) = self.embedded.take() {
                    embedded.close().unwrap();
                }
                let (engine, embedded) = on_disk(dir.path());
                self.embedded = Some(embedded);
                engine
            }
        };
        (self.objects, self.deeds) = wire(&engine, &self.clock, &self.random).await;
    }

    async fn held(&self, bucket: &str) -> (i128, i128) {
        let deed = self.deeds.get(&name(bucket)).unwrap();
        let log: Arc<dyn Log> = match (&self.ground, &self.embedded) {
            (Ground::Memory(engine), _) => engine.log.clone(),
            (Ground::Disk(_), Some(embedded)) => embedded.clone(),
            (Ground::Disk(_), None) => panic!("the engine is open"),
        };
        let by_log = held::by_log(&*log, PartitionId(deed.id.0)).await;
        let (_, versions) = self.objects.usage(&deed).await.unwrap();
        let counted = i128::from(versions) + held::parts(self, bucket).await;
        (by_log, counted)
    }

    async fn create_bucket(&self, bucket: &str) {
        let permit = self.permit(bucket, Action::CreateBucket);
        self.objects
            .create_bucket(&permit, name(bucket), None, Placement::default())
            .await
            .unwrap();
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<(), Refusal> {
        let permit = self.permit(bucket, Action::DeleteBucket);
        self.objects.delete_bucket(&permit).await.map_err(refusal)
    }

    async fn set_versioning(&self, bucket: &str, on: bool) {
        let permit = self.permit(bucket, Action::PutBucketVersioning);
        let to = if on {
            Versioning::Enabled
        } else {
            Versioning::Suspended
        };
        self.objects.set_versioning(&permit, to).await.unwrap();
    }

    async fn put(
        &self,
        bucket: &str,
        at: &str,
        content: &Content,
        condition: &Condition,
    ) -> Result<Written, Refusal> {
        let permit = self.permit_key(bucket, at, Action::PutObject);
        let input = PutInput {
            body: Box::new(MemoryBody::new(content.bytes.clone())),
            attributes: attributes(content.content_type.as_deref(), &content.tags),
            md5: None,
            checksum: None,
            trailer: None,
            conditions: conditions(condition),
        };
        let put = self
            .objects
            .put(&permit, &key(at), input)
            .await
            .map_err(refusal)?;
        Ok((put.etag.to_string(), put.version.map(id)))
    }

    async fn get(
        &self,
        bucket: &str,
        at: &str,
        of: Option<&Id>,
        range: Option<(u64, u64)>,
    ) -> Result<(String, Bytes, Option<String>), Refusal> {
        let permit = self.by_id(bucket, at, of, Action::GetObject);
        let request = GetRequest {
            version: version(of),
            range: range.map(|(from, to)| RangeSpec::Between(from, to)),
            ..Default::default()
        };
        let view = self
            .objects
            .get(&permit, &key(at), &request)
            .await
            .map_err(refusal)?;
        let kind = view.info.attributes.headers.content_type.clone();
        Ok((view.info.etag.to_string(), read(view.content).await, kind))
    }

    async fn head(
        &self,
        bucket: &str,
        at: &str,
        of: Option<&Id>,
    ) -> Result<(String, u64), Refusal> {
        let permit = self.by_id(bucket, at, of, Action::GetObject);
        let request = GetRequest {
            version: version(of),
            ..Default::default()
        };
        let view = self
            .objects
            .head(&permit, &key(at), &request)
            .await
            .map_err(refusal)?;
        Ok((view.info.etag.to_string(), view.info.size))
    }

    async fn delete(&self, bucket: &str, at: &str, of: Option<&Id>) -> (bool, Option<Id>) {
        let permit = self.by_id(bucket, at, of, Action::DeleteObject);
        let none = WriteConditions::default();
        let done = self
            .objects
            .delete(&permit, &key(at), version(of), &none)
            .await
            .unwrap();
        (done.delete_marker, done.version.map(id))
    }

    async fn delete_many(
        &self,
        bucket: &str,
        which: &[(&str, Option<Id>)],
    ) -> Vec<(bool, Option<Id>)> {
        let mut done = Vec::new();
        for (at, of) in which {
            done.push(self.delete(bucket, at, of.as_ref()).await);
        }
        done
    }

    async fn copy(
        &self,
        (bucket, at, of): (&str, &str, Option<&Id>),
        (to_bucket, to): (&str, &str),
        tags: Option<&[(String, String)]>,
    ) -> Result<Written, Refusal> {
        let from = self.by_id(bucket, at, of, Action::GetObject);
        let permit = self.permit_key(to_bucket, to, Action::PutObject);
        let source = CopySource {
            permit: &from,
            key: &key(at),
            version: version(of),
            conditions: ReadConditions::default(),
        };
        let input = CopyInput {
            tags: tags.map(<[_]>::to_vec),
            ..Default::default()
        };
        let copied = self
            .objects
            .copy(&permit, &key(to), source, input)
            .await
            .map_err(refusal)?;
        Ok((copied.put.etag.to_string(), copied.put.version.map(id)))
    }

    async fn put_tags(
        &self,
        bucket: &str,
        at: &str,
        of: Option<&Id>,
        tags: &[(String, String)],
    ) -> Result<(), Refusal> {
        let permit = self.by_id(bucket, at, of, Action::PutObjectTagging);
        let (at, of) = (key(at), version(of));
        let set = self
            .objects
            .set_object_tags(&permit, &at, of, tags.to_vec())
            .await;
        set.map(drop).map_err(refusal)
    }

    async fn get_tags(
        &self,
        bucket: &str,
        at: &str,
        of: Option<&Id>,
    ) -> Result<Vec<(String, String)>, Refusal> {
        let permit = self.by_id(bucket, at, of, Action::GetObjectTagging);
        let tags = self
            .objects
            .object_tags(&permit, &key(at), version(of))
            .await;
        tags.map(|(tags, _)| tags).map_err(refusal)
    }

    async fn create_upload(&self, bucket: &str, at: &str, content_type: Option<&str>) -> String {
        let permit = self.permit_key(bucket, at, Action::PutObject);
        let request = CreateUpload {
            attributes: attributes(content_type, &[]),
            checksum: None,
        };
        let made = self
            .objects
            .create_upload(&permit, &key(at), request)
            .await
            .unwrap();
        made.upload.to_string()
    }

    async fn upload_part(
        &self,
        bucket: &str,
        at: &str,
        upload: &str,
        number: u16,
        bytes: Bytes,
    ) -> Result<String, Refusal> {
        let permit = self.permit_key(bucket, at, Action::PutObject);
        let input = PartInput {
            body: Box::new(MemoryBody::new(bytes)),
            md5: None,
            checksum: None,
            trailer: None,
        };
        let (at, upload) = (key(at), upload_id(upload));
        let part = self
            .objects
            .upload_part(&permit, &at, upload, number.into(), input)
            .await;
        Ok(part.map_err(refusal)?.etag.to_string())
    }

    async fn complete(
        &self,
        bucket: &str,
        at: &str,
        upload: &str,
        parts: &[(u16, String)],
    ) -> Result<Written, Refusal> {
        let permit = self.permit_key(bucket, at, Action::PutObject);
        let listed = |(number, etag): &(u16, String)| ListedForCompletion {
            number: (*number).into(),
            etag: ETag::parse(etag),
            checksum: None,
        };
        let request = CompleteUpload {
            parts: parts.iter().map(listed).collect(),
            checksum: None,
            kind: None,
            size: None,
            conditions: WriteConditions::default(),
        };
        let (at, upload) = (key(at), upload_id(upload));
        let done = self
            .objects
            .complete_upload(&permit, &at, upload, request)
            .await;
        let done = done.map_err(refusal)?;
        Ok((done.etag.to_string(), done.version.map(id)))
    }

    async fn abort(&self, bucket: &str, at: &str, upload: &str) -> Result<(), Refusal> {
        let permit = self.permit_key(bucket, at, Action::AbortMultipartUpload);
        let ended = self
            .objects
            .abort_upload(&permit, &key(at), upload_id(upload))
            .await;
        ended.map_err(refusal)
    }

    async fn list_parts(
        &self,
        bucket: &str,
        at: &str,
        upload: &str,
        after: u16,
        limit: usize,
    ) -> (Vec<(u16, u64)>, bool) {
        let permit = self.permit_key(bucket, at, Action::ListMultipartUploadParts);
        let (at, upload) = (key(at), upload_id(upload));
        let page = self
            .objects
            .list_parts(&permit, &at, upload, after, limit)
            .await
            .unwrap();
        (
            page.parts.iter().map(|p| (p.number, p.size)).collect(),
            page.truncated,
        )
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        after: &str,
        limit: usize,
    ) -> ObjectPage {
        let permit = self.permit_under(bucket, prefix, Action::ListBucket);
        let after = (!after.is_empty()).then_some(after);
        let asked = request(prefix, delimiter, after, limit);
        let page = self.objects.list_objects(&permit, &asked).await.unwrap();
        let one = |o: &objects::ListedObject| (o.key.clone(), o.etag.to_string(), o.size);
        ObjectPage {
            objects: page.objects.iter().map(one).collect(),
            prefixes: page.prefixes,
            next: page.next,
        }
    }

    async fn list_versions(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        marker: Option<&VersionMarker>,
        limit: usize,
    ) -> VersionPage {
        let permit = self.permit_under(bucket, prefix, Action::ListBucketVersions);
        let after = marker.map(|(at, _)| at.as_str());
        let after_version = marker.and_then(|(_, of)| version(of.as_ref()));
        let asked = request(prefix, delimiter, after, limit);
        let page = self
            .objects
            .list_versions(&permit, &asked, after_version)
            .await
            .unwrap();
        let one = |v: &objects::ListedVersion| ListedVersion {
            key: v.key.clone(),
            id: id(v.version),
            latest: v.latest,
            etag: v.content.as_ref().map(|c| c.etag.to_string()),
        };
        VersionPage {
            versions: page.versions.iter().map(one).collect(),
            prefixes: page.prefixes,
            next: page.next.map(|(at, of)| (at, of.map(id))),
        }
    }

    async fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        marker: Option<&UploadMarker>,
        limit: usize,
    ) -> UploadPage {
        let permit = self.permit_under(bucket, prefix, Action::ListBucketMultipartUploads);
        let after = marker.map(|(at, _)| at.as_str());
        let after_upload = marker.and_then(|(_, of)| of.as_deref().map(upload_id));
        let asked = request(prefix, delimiter, after, limit);
        let page = self
            .objects
            .list_uploads(&permit, &asked, after_upload)
            .await
            .unwrap();
        UploadPage {
            uploads: page
                .uploads
                .iter()
                .map(|u| (u.key.clone(), u.upload.to_string()))
                .collect(),
            prefixes: page.prefixes,
            next: page.next.map(|(at, of)| (at, of.map(|u| u.to_string()))),
        }
    }
}
