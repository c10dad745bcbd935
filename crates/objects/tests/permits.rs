//! A permit is for one key, and one version of it: with one for another key nothing happens,
//! whatever the operation.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, path::Path, sync::Arc};

use access::{
    Action, Ask, CallerKind, Context, Facts, Identity, Permit, Resource, SystemReason, Via,
    authorize, authorize_system,
};
use bytes::Bytes;
use objects::{
    CompleteUpload, CopyInput, CopySource, CreateUpload, DisplayVersion, Error, GetRequest,
    ListRequest, ObjectAttributes, Objects, PartInput, PartSource, PutInput, ReadConditions,
    Replicas, Result, Versioning, WriteConditions,
};
use store::{Engine, Index, PartitionId, ScanRange, memory::Memory};
use types::{
    AccessKeyId, AccountId, BucketDeed, BucketId, BucketName, ObjectKey, OneDeed, Place, Placement,
    RegionId, SeededRandom, TestClock, Timestamp, UploadId, body::MemoryBody,
};

struct NoReplicas;

impl Replicas for NoReplicas {
    fn replicated(&self, _: &BucketDeed, _: u64) -> bool {
        false
    }
    fn read_by_home(&self, _: &BucketDeed, _: u64) -> bool {
        false
    }
}

/// A bucket that keeps versions, with the objects `a` and `b` of two versions each and an upload
/// of each.
struct Bench {
    objects: Objects,
    engine: Engine,
    deed: Arc<BucketDeed>,
    versions: [DisplayVersion; 4],
    uploads: [UploadId; 2],
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(name).unwrap()
}

fn input(bytes: &'static str) -> PutInput {
    PutInput {
        body: Box::new(MemoryBody::new(Bytes::from_static(bytes.as_bytes()))),
        attributes: ObjectAttributes::default(),
        md5: None,
        checksum: None,
        trailer: None,
        conditions: WriteConditions::default(),
    }
}

fn upload() -> CreateUpload {
    CreateUpload {
        attributes: ObjectAttributes::default(),
        checksum: None,
    }
}

impl Bench {
    async fn new() -> Self {
        let deed = Arc::new(BucketDeed {
            id: BucketId(7),
            name: BucketName::new("bench").unwrap(),
            owner: AccountId::new("1"),
            home: RegionId::new("home"),
            created: Timestamp::default(),
            epoch: 1,
            placement: Placement::default(),
        });
        let engine = Memory::engine();
        let objects = Objects::new(
            engine.clone(),
            Arc::new(OneDeed(Arc::clone(&deed))),
            Arc::new(TestClock::at_ms(1_800_000_000_000)),
            Arc::new(SeededRandom::new(1)),
            RegionId::new("home"),
        );
        let system = |action| authorize_system(SystemReason::Recovery, action, &deed);
        let permit = system(Action::PutBucketVersioning);
        let on = objects.set_versioning(&permit, Versioning::Enabled);
        on.await.unwrap();
        let permit = system(Action::PutObject);
        let (mut versions, mut uploads) = (Vec::new(), Vec::new());
        for name in ["a", "a", "b", "b"] {
            let put = objects.put(&permit, &key(name), input("bytes")).await;
            versions.push(put.unwrap().version.unwrap());
        }
        for name in ["a", "b"] {
            let made = objects.create_upload(&permit, &key(name), upload()).await;
            uploads.push(made.unwrap().upload);
        }
        Self {
            objects,
            engine,
            versions: versions.try_into().unwrap(),
            uploads: uploads.try_into().unwrap(),
            deed,
        }
    }

    fn permit(&self, action: Action, resource: Resource<'_>) -> Permit {
        let who = Identity::Key {
            access_key: AccessKeyId::new("KEY"),
            account: AccountId::new("1"),
            kind: CallerKind::Customer,
            guard: Default::default(),
            who: access::Who::Root,
        };
        let ask = Ask {
            principal: &who,
            action,
            resource,
            context: Context::default(),
        };
        let facts = Facts {
            access: Some(&access::BucketAccess::default()),
            account_block: access::PublicAccessBlock::NONE,
            deed: Some(&self.deed),
            here: &Place::unknown(RegionId::new("home")),
            via: &Via::Client,
        };
        authorize(&ask, &facts).unwrap()
    }

    fn for_key(&self, action: Action, name: &str, version: Option<DisplayVersion>) -> Permit {
        let resource = Resource::Object {
            bucket: &self.deed.name,
            key: &key(name),
            version,
        };
        self.permit(action, resource)
    }

    /// All that the bucket's partition has.
    async fn rows(&self) -> String {
        let all = ScanRange::prefix(b"");
        let index: &dyn Index = &*self.engine.index;
        let rows = index.scan(PartitionId(7), all, 10_000).await.unwrap();
        format!("{rows:?}")
    }

    /// Does the operation with the permit, on this key and version.
    async fn act(
        &self,
        operation: &str,
        permit: &Permit,
        name: &str,
        version: Option<DisplayVersion>,
    ) -> Result<()> {
        let (objects, at) = (&self.objects, key(name));
        let upload_id = self.uploads[usize::from(name == "b")];
        let request = GetRequest {
            version,
            ..GetRequest::default()
        };
        let none = WriteConditions::default();
        let own = self.for_key(Action::GetObject, "a", None);
        match operation {
            "put" => objects.put(permit, &at, input("other")).await.map(drop),
            "get" => objects.get(permit, &at, &request).await.map(drop),
            "head" => objects.head(permit, &at, &request).await.map(drop),
            "delete" => objects.delete(permit, &at, version, &none).await.map(drop),
            "object_list" => objects.object_list(permit, &at, version).await.map(drop),
            "object_list_of" => {
                let list = objects.object_list_of(permit, &at, version).await;
                list.map(drop)
            }
            "set_object_list" => {
                let same = |list: &access::AccessList| Ok(list.grants.clone());
                let set = objects.set_object_list(permit, &at, version, same).await;
                set.map(drop)
            }
            "object_tags" => objects.object_tags(permit, &at, version).await.map(drop),
            "set_object_tags" => {
                let tags = vec![("k".to_owned(), "v".to_owned())];
                let set = objects.set_object_tags(permit, &at, version, tags).await;
                set.map(drop)
            }
            "attributes" => {
                let any = ReadConditions::default();
                let found = objects.attributes(permit, &at, version, any);
                found.await.map(drop)
            }
            "create_upload" => objects.create_upload(permit, &at, upload()).await.map(drop),
            "abort_upload" => objects.abort_upload(permit, &at, upload_id).await,
            "initiator_of" => {
                let initiator = objects.initiator_of(permit, &at, upload_id).await;
                initiator.map(drop)
            }
            "list_parts" => {
                let parts = objects.list_parts(permit, &at, upload_id, 0, 10).await;
                parts.map(drop)
            }
            "upload_part" => {
                let part = PartInput {
                    body: Box::new(MemoryBody::new(Bytes::from_static(b"part"))),
                    md5: None,
                    checksum: None,
                    trailer: None,
                };
                let part = objects.upload_part(permit, &at, upload_id, 1, part).await;
                part.map(drop)
            }
            "complete_upload" => {
                let request = CompleteUpload {
                    parts: Vec::new(),
                    checksum: None,
                    kind: None,
                    size: None,
                    conditions: none,
                };
                let completed = objects.complete_upload(permit, &at, upload_id, request);
                completed.await.map(drop)
            }
            "copy" => {
                let source = CopySource {
                    permit: &own,
                    key: &key("a"),
                    version: None,
                    conditions: ReadConditions::default(),
                };
                let input = CopyInput {
                    class: true,
                    ..CopyInput::default()
                };
                objects.copy(permit, &at, source, input).await.map(drop)
            }
            "copy from" => {
                let into = self.for_key(Action::PutObject, "c", None);
                let source = CopySource {
                    permit,
                    key: &at,
                    version,
                    conditions: ReadConditions::default(),
                };
                let to = key("c");
                let copied = objects.copy(&into, &to, source, CopyInput::default());
                copied.await.map(drop)
            }
            "upload_part_copy" => {
                let source = PartSource {
                    permit: &own,
                    key: &key("a"),
                    version: None,
                    conditions: ReadConditions::default(),
                    range: None,
                };
                let copied = objects.upload_part_copy(permit, &at, upload_id, 1, source);
                copied.await.map(drop)
            }
            "upload_part_copy from" => {
                let into = self.for_key(Action::PutObject, "a", None);
                let source = PartSource {
                    permit,
                    key: &at,
                    version,
                    conditions: ReadConditions::default(),
                    range: None,
                };
                let (to, upload) = (key("a"), self.uploads[0]);
                let copied = objects.upload_part_copy(&into, &to, upload, 1, source);
                copied.await.map(drop)
            }
            "replication_status" => {
                let reading =
                    authorize_system(SystemReason::Recovery, Action::GetObjectVersion, &self.deed);
                let request = GetRequest {
                    version: Some(self.versions[if name == "b" { 3 } else { 1 }]),
                    ..GetRequest::default()
                };
                let view = objects.head(&reading, &at, &request).await?;
                let status = objects.replication_status(permit, &at, &view.info, &NoReplicas);
                status.await.map(drop)
            }
            other => panic!("{other}"),
        }
    }
}

/// Each operation on a key, and what it needs without a version.
const OPERATIONS: [(&str, Action); 21] = [
    ("put", Action::PutObject),
    ("get", Action::GetObject),
    ("head", Action::GetObject),
    ("delete", Action::DeleteObject),
    ("object_list", Action::GetObjectAcl),
    ("object_list_of", Action::GetObjectAcl),
    ("set_object_list", Action::PutObjectAcl),
    ("object_tags", Action::GetObjectTagging),
    ("set_object_tags", Action::PutObjectTagging),
    ("attributes", Action::GetObjectAttributes),
    ("create_upload", Action::PutObject),
    ("abort_upload", Action::AbortMultipartUpload),
    ("initiator_of", Action::ListMultipartUploadParts),
    ("list_parts", Action::ListMultipartUploadParts),
    ("upload_part", Action::PutObject),
    ("complete_upload", Action::PutObject),
    ("copy", Action::PutObject),
    ("copy from", Action::GetObject),
    ("upload_part_copy", Action::PutObject),
    ("upload_part_copy from", Action::GetObject),
    ("replication_status", Action::GetObject),
];

#[tokio::test]
async fn a_permit_for_one_key_does_nothing_to_another() {
    let bench = Bench::new().await;
    let before = bench.rows().await;
    for (operation, action) in OPERATIONS {
        let of_bucket = bench.permit(action, Resource::Bucket(&bench.deed.name));
        for permit in [bench.for_key(action, "a", None), of_bucket] {
            let done = bench.act(operation, &permit, "b", None).await;
            assert!(
                matches!(done, Err(Error::WrongKey)),
                "{operation}: {done:?}"
            );
        }
        assert_eq!(bench.rows().await, before, "{operation}");
    }
    // Of its own key it is no such error.
    for (operation, action) in OPERATIONS {
        let permit = bench.for_key(action, "b", None);
        let done = bench.act(operation, &permit, "b", None).await;
        let refused = matches!(done, Err(Error::WrongKey | Error::WrongPermit));
        assert!(!refused, "{operation}: {done:?}");
    }
}

#[tokio::test]
async fn a_permit_for_one_version_does_nothing_to_another() {
    let bench = Bench::new().await;
    let before = bench.rows().await;
    let [first, second, ..] = bench.versions;
    for (operation, action) in OPERATIONS {
        let versioned = action.for_version(true);
        if versioned == action || operation == "replication_status" {
            continue;
        }
        let permit = bench.for_key(versioned, "a", Some(first));
        for other in [second, DisplayVersion::Null] {
            let done = bench.act(operation, &permit, "a", Some(other)).await;
            assert!(
                matches!(done, Err(Error::WrongKey)),
                "{operation}: {done:?}"
            );
        }
        // A key without a version named is another thing to ask for.
        let done = bench.act(operation, &permit, "a", None).await;
        let refused = matches!(done, Err(Error::WrongKey | Error::WrongPermit));
        assert!(refused, "{operation}: {done:?}");
        assert_eq!(bench.rows().await, before, "{operation}");
    }
}

#[tokio::test]
async fn a_permit_for_one_prefix_lists_no_other() {
    let bench = Bench::new().await;
    let objects = &bench.objects;
    let list = async |permit: &Permit, prefix: &str| {
        let request = ListRequest {
            prefix,
            limit: 10,
            ..ListRequest::default()
        };
        match permit.action() {
            Action::ListBucket => objects.list_objects(permit, &request).await.map(drop),
            Action::ListBucketVersions => {
                let page = objects.list_versions(permit, &request, None).await;
                page.map(drop)
            }
            _ => objects.list_uploads(permit, &request, None).await.map(drop),
        }
    };
    let bucket = &bench.deed.name;
    for action in [
        Action::ListBucket,
        Action::ListBucketVersions,
        Action::ListBucketMultipartUploads,
    ] {
        let prefix = "p/";
        let permit = bench.permit(action, Resource::Keys { bucket, prefix });
        for (prefix, may) in [
            ("p/", true),
            ("p/q", true),
            ("p", false),
            ("", false),
            ("q/", false),
        ] {
            let listed = list(&permit, prefix).await;
            let refused = matches!(listed, Err(Error::WrongKey));
            assert_eq!(refused, !may, "{action:?} {prefix}: {listed:?}");
        }
        let all = bench.permit(action, Resource::Keys { bucket, prefix: "" });
        list(&all, "any").await.unwrap();
        let none = bench.permit(action, Resource::Bucket(bucket));
        assert!(matches!(list(&none, "").await, Err(Error::WrongKey)));
    }
}

/// Operations of regions among themselves: their permits are for whole buckets, and no caller is
/// given one.
const OF_REGIONS: [&str; 6] = [
    "version_position",
    "ship_sealed_body",
    "sealed_current",
    "unwrap_key",
    "ship_version",
    "ship_body",
];

/// The names of public functions of the crate that take a permit and a key.
fn of_source(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            of_source(&path, names);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for start in ["    pub async fn ", "    pub fn "] {
            for piece in text.split(start).skip(1) {
                let head = piece.split(" {\n").next().unwrap_or_default();
                if head.contains("permit: &Permit") && head.contains("key: &") {
                    let name = head.split(['(', '<']).next().unwrap_or_default();
                    names.insert(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn each_operation_on_a_key_is_tried() {
    let mut found = BTreeSet::new();
    of_source(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut found,
    );
    let tried = OPERATIONS.iter().map(|(name, _)| *name);
    let known: BTreeSet<_> = tried.chain(OF_REGIONS).collect();
    found.retain(|name| !known.contains(&**name));
    assert!(found.is_empty(), "{found:?}");
}
