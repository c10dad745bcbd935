//! Every public operation is dropped at every await, over an engine on which its commits land
//! after that; and the process ends at every await too. Whatever happens, a bucket is usable or
//! gone, each version is whole, and nothing is left behind.

mod world;

use std::{collections::BTreeMap, sync::Arc};

use access::Action;
use store::Position;
use types::{BucketName, Placement, Replica, Timestamp, deed::BoxFuture};

use self::world::{Bodies, LARGE, World, body, conditions, input, key, part};
use crate::{
    CompleteUpload, CopyInput, CopySource, CreateUpload, FollowCursor, GetRequest, ListRequest,
    ListedForCompletion, PartSource, ReadConditions, Rule, Rules, ShippedChange, Versioning,
};

type Operation = fn(World) -> BoxFuture<'static, ()>;

/// Boxes an operation's future; what it answers does not matter here.
macro_rules! operations {
    ($($name:literal => |$world:ident| $body:expr),* $(,)?) => {
        [$(($name, (|$world: World| -> BoxFuture<'static, ()> {
            Box::pin(async move { let _ = $body; })
        }) as Operation)),*]
    };
}

/// What clients do at a bucket's home.
#[tokio::test]
async fn what_clients_do_survives_that_they_go_away() {
    let operations = operations! {
        "put a small object" => |w| w.objects.put(&w.may(Action::PutObject), &key("s"), input(body(10))).await,
        "put a large object" => |w| w.objects.put(&w.may(Action::PutObject), &key("a"), input(body(LARGE))).await,
        "put under conditions" => |w| w.objects.put(&w.may(Action::PutObject), &key("a"), conditions(body(LARGE))).await,
        "copy" => |w| {
            let from = w.may(Action::GetObject);
            let source = CopySource { permit: &from, key: &key("a"), version: None, conditions: ReadConditions::default() };
            w.objects.copy(&w.may(Action::PutObject), &key("b"), source, CopyInput::default()).await
        },
        "delete" => |w| w.objects.delete(&w.may(Action::DeleteObject), &key("a"), None, &Default::default()).await,
        "delete the current version" => |w| w.objects.delete(&w.may(Action::DeleteObjectVersion), &key("a"), w.newest, &Default::default()).await,
        "delete an older version" => |w| w.objects.delete(&w.may(Action::DeleteObjectVersion), &key("a"), w.oldest, &Default::default()).await,
        "begin an upload" => |w| w.objects.create_upload(&w.may(Action::PutObject), &key("n"), CreateUpload::default()).await,
        "upload a part" => |w| w.objects.upload_part(&w.may(Action::PutObject), &key("m"), w.upload, 3, part(body(LARGE))).await,
        "replace a part" => |w| w.objects.upload_part(&w.may(Action::PutObject), &key("m"), w.upload, 1, part(body(LARGE))).await,
        "copy a part" => |w| {
            let from = w.may(Action::GetObject);
            let source = PartSource { permit: &from, key: &key("a"), version: None, conditions: ReadConditions::default(), range: None };
            w.objects.upload_part_copy(&w.may(Action::PutObject), &key("m"), w.upload, 4, source).await
        },
        "complete" => |w| {
            let listed = ListedForCompletion { number: 1, etag: Some(w.etag), checksum: None };
            let request = CompleteUpload { parts: vec![listed], ..CompleteUpload::default() };
            w.objects.complete_upload(&w.may(Action::PutObject), &key("m"), w.upload, request).await
        },
        "abort" => |w| w.objects.abort_upload(&w.may(Action::AbortMultipartUpload), &key("m"), w.upload).await,
        "list parts" => |w| w.objects.list_parts(&w.may(Action::ListMultipartUploadParts), &key("m"), w.upload, 0, 10).await,
        "tag a version" => |w| w.objects.set_object_tags(&w.may(Action::PutObjectTagging), &key("a"), None, vec![("k".into(), "v".into())]).await,
        "read tags" => |w| w.objects.object_tags(&w.may(Action::GetObjectTagging), &key("a"), None).await,
        "suspend versions" => |w| w.objects.set_versioning(&w.may(Action::PutBucketVersioning), Versioning::Suspended).await,
        "read versioning" => |w| w.objects.versioning(&w.may(Action::GetBucketVersioning)).await,
        "tag the bucket" => |w| w.objects.set_bucket_tags(&w.may(Action::PutBucketTagging), vec![("k".into(), "v".into())]).await,
        "read the bucket's tags" => |w| w.objects.bucket_tags(&w.may(Action::GetBucketTagging)).await,
        "set rules" => |w| w.objects.set_rules(&w.may(Action::PutReplicationConfiguration), Some(rules())).await,
        "read rules" => |w| w.objects.rules(&w.may(Action::GetReplicationConfiguration)).await,
        "list" => |w| w.objects.list_objects(&w.may(Action::ListBucket), &ListRequest::default()).await,
        "list versions" => |w| w.objects.list_versions(&w.may(Action::ListBucketVersions), &ListRequest::default(), None).await,
        "list uploads" => |w| w.objects.list_uploads(&w.may(Action::ListBucketMultipartUploads), &ListRequest::default(), None).await,
        "read an object" => |w| w.read("a").await,
        "read a head" => |w| w.objects.head(&w.may(Action::GetObject), &key("a"), &GetRequest::default()).await,
        "delete a bucket that is not empty" => |w| w.objects.delete_bucket(&w.may(Action::DeleteBucket)).await,
        "make another bucket" => |w| w.make_another().await,
        "sweep" => |w| w.objects.sweep().await,
        "sweep orphans" => |w| w.objects.sweep_orphans().await,
        "recover" => |w| w.objects.recover_buckets().await,
        "count" => |w| w.objects.usage(&w.deed).await,
    };
    let world = World::home().await;
    for (name, operation) in operations {
        world.drop_at_every_await(name, operation).await;
    }
}

fn rules() -> Rules {
    let rule = Rule {
        id: "all".into(),
        priority: 1,
        enabled: true,
        prefix: String::new(),
        tags: Vec::new(),
        filtered: true,
        delete_markers: true,
        existing: true,
        destination: BucketName::new("elsewhere").unwrap(),
        since: Timestamp::default(),
    };
    Rules {
        role: "role".into(),
        rules: vec![rule],
    }
}

/// Deleting a bucket that holds leftovers of objects and uploads, but nothing else.
#[tokio::test]
async fn a_bucket_whose_deletion_was_given_up_is_usable_or_gone() {
    let operations = operations! {
        "delete the bucket" => |w| w.objects.delete_bucket(&w.may(Action::DeleteBucket)).await,
        "delete it twice at once" => |w| {
            let permit = w.may(Action::DeleteBucket);
            tokio::join!(w.objects.delete_bucket(&permit), w.objects.delete_bucket(&permit))
        },
    };
    let world = World::emptied().await;
    for (name, operation) in operations {
        world.drop_at_every_await(name, operation).await;
    }
}

/// What a region does with what comes from others.
#[tokio::test]
async fn what_comes_from_other_regions_survives_that_the_task_ends() {
    let operations = operations! {
        "take a small version" => |w| w.take("small").await,
        "take a large version" => |w| w.take("large").await,
        "take an object of parts" => |w| w.take("parts").await,
        "take what is known" => |w| w.take("known").await,
        "take the configuration" => |w| {
            let change = ShippedChange::Config { versioning: Versioning::Suspended, tags: Vec::new(), rules: None };
            w.objects.apply(&w.may(Action::ReplicateInto), change, &Bodies::default()).await
        },
        "take a removal" => |w| {
            let (at, version) = w.known_version();
            let change = ShippedChange::Removed { key: at, version, null: false };
            w.objects.apply(&w.may(Action::ReplicateInto), change, &Bodies::default()).await
        },
        "prune" => |w| w.objects.prune(&w.may(Action::ReplicateInto), &w.known_version()).await,
        "note a cursor" => |w| w.objects.set_follow_cursor(&w.may(Action::ReplicateInto), &w.other(), &FollowCursor::default()).await,
        "note what was gathered" => |w| w.objects.set_gather_cursor(&w.may(Action::ReplicateInto), &w.other(), &FollowCursor::default()).await,
        "note a rule's cursor" => |w| w.objects.set_rule_cursor(&w.may(Action::ReplicateFrom), &BucketName::new("to-there").unwrap(), &FollowCursor::default()).await,
        "fence" => |w| w.objects.fence(&w.raised()).await,
        "forget removals" => |w| w.objects.forget_removals(&w.may(Action::ReplicateInto), Position(u64::MAX)).await,
        "hold as placed" => |w| w.objects.hold_as_placed(&w.may(Action::ReplicateInto)).await,
        "ship changes" => |w| w.objects.changes(&w.may(Action::ReplicateFrom), Position(0), 100, 1 << 20).await,
        "ship a snapshot" => |w| w.objects.snapshot(&w.may(Action::ReplicateFrom), None, 100, 1 << 20).await,
        "count versions" => |w| w.objects.versions_by_key(&w.may(Action::CountVersions), None, 10).await,
        "discard" => |w| w.objects.discard_bucket(&w.deed).await,
    };
    let world = World::home().await;
    for (name, operation) in operations {
        world.drop_at_every_await(name, operation).await;
    }
}
