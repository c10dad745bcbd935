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
    CompleteUpload, Configuration, CopyInput, CopySource, CreateUpload, FollowCursor, GetRequest,
    ListRequest, ListedForCompletion, PartSource, ReadConditions, Rule, Rules, ShippedChange,
    Versioning,
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
        "put a small object" => |w| {
            let may = w.may(Action::PutObject);
            w.objects.put(&may, &key("s"), input(body(10))).await
        },
        "put a large object" => |w| {
            let may = w.may(Action::PutObject);
            w.objects.put(&may, &key("a"), input(body(LARGE))).await
        },
        "put under conditions" => |w| {
            let may = w.may(Action::PutObject);
            w.objects.put(&may, &key("a"), conditions(body(LARGE))).await
        },
        "copy" => |w| {
            let from = w.may(Action::GetObject);
            let a = key("a");
            let conditions = ReadConditions::default();
            let source = CopySource { permit: &from, key: &a, version: None, conditions };
            let may = w.may(Action::PutObject);
            w.objects.copy(&may, &key("b"), source, CopyInput::default()).await
        },
        "delete" => |w| {
            let may = w.may(Action::DeleteObject);
            w.objects.delete(&may, &key("a"), None, &Default::default()).await
        },
        "delete the current version" => |w| {
            let may = w.may(Action::DeleteObjectVersion);
            w.objects.delete(&may, &key("a"), w.newest, &Default::default()).await
        },
        "delete an older version" => |w| {
            let may = w.may(Action::DeleteObjectVersion);
            w.objects.delete(&may, &key("a"), w.oldest, &Default::default()).await
        },
        "begin an upload" => |w| {
            let may = w.may(Action::PutObject);
            w.objects.create_upload(&may, &key("n"), CreateUpload::default()).await
        },
        "upload a part" => |w| {
            let may = w.may(Action::PutObject);
            w.objects.upload_part(&may, &key("m"), w.upload, 3, part(body(LARGE))).await
        },
        "replace a part" => |w| {
            let may = w.may(Action::PutObject);
            w.objects.upload_part(&may, &key("m"), w.upload, 1, part(body(LARGE))).await
        },
        "copy a part" => |w| {
            let from = w.may(Action::GetObject);
            let source = PartSource {
                permit: &from,
                key: &key("a"),
                version: None,
                conditions: ReadConditions::default(),
                range: None,
            };
            let may = w.may(Action::PutObject);
            w.objects.upload_part_copy(&may, &key("m"), w.upload, 4, source).await
        },
        "complete" => |w| {
            let listed = ListedForCompletion { number: 1, etag: Some(w.etag), checksum: None };
            let request = CompleteUpload { parts: vec![listed], ..CompleteUpload::default() };
            let may = w.may(Action::PutObject);
            w.objects.complete_upload(&may, &key("m"), w.upload, request).await
        },
        "abort" => |w| {
            let may = w.may(Action::AbortMultipartUpload);
            w.objects.abort_upload(&may, &key("m"), w.upload).await
        },
        "list parts" => |w| {
            let may = w.may(Action::ListMultipartUploadParts);
            w.objects.list_parts(&may, &key("m"), w.upload, 0, 10).await
        },
        "tag a version" => |w| {
            let may = w.may(Action::PutObjectTagging);
            w.objects.set_object_tags(&may, &key("a"), None, vec![("k".into(), "v".into())]).await
        },
        "read tags" => |w| {
            let may = w.may(Action::GetObjectTagging);
            w.objects.object_tags(&may, &key("a"), None).await
        },
        "suspend versions" => |w| {
            let may = w.may(Action::PutBucketVersioning);
            w.objects.set_versioning(&may, Versioning::Suspended).await
        },
        "read versioning" => |w| w.objects.versioning(&w.may(Action::GetBucketVersioning)).await,
        "tag the bucket" => |w| {
            let may = w.may(Action::PutBucketTagging);
            w.objects.set_bucket_tags(&may, vec![("k".into(), "v".into())]).await
        },
        "read the bucket's tags" => |w| {
            let may = w.may(Action::GetBucketTagging);
            w.objects.bucket_tags(&may).await
        },
        "set rules" => |w| {
            let may = w.may(Action::PutReplicationConfiguration);
            w.objects.set_rules(&may, Some(rules())).await
        },
        "read rules" => |w| w.objects.rules(&w.may(Action::GetReplicationConfiguration)).await,
        "list" => |w| {
            let may = w.may(Action::ListBucket);
            w.objects.list_objects(&may, &ListRequest::default()).await
        },
        "list versions" => |w| {
            let may = w.may(Action::ListBucketVersions);
            w.objects.list_versions(&may, &ListRequest::default(), None).await
        },
        "list uploads" => |w| {
            let may = w.may(Action::ListBucketMultipartUploads);
            w.objects.list_uploads(&may, &ListRequest::default(), None).await
        },
        "read an object" => |w| w.read("a").await,
        "read a head" => |w| {
            let may = w.may(Action::GetObject);
            w.objects.head(&may, &key("a"), &GetRequest::default()).await
        },
        "delete a bucket that is not empty" => |w| {
            let may = w.may(Action::DeleteBucket);
            w.objects.delete_bucket(&may).await
        },
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
            let change = ShippedChange::Config(Box::new(Configuration {
                versioning: Versioning::Suspended,
                ..Configuration::default()
            }));
            w.objects.apply(&w.may(Action::ReplicateInto), change, &Bodies::default()).await
        },
        "take a removal" => |w| {
            let (at, version) = w.known_version();
            let change = ShippedChange::Removed { key: at, version, null: false };
            w.objects.apply(&w.may(Action::ReplicateInto), change, &Bodies::default()).await
        },
        "prune" => |w| w.objects.prune(&w.may(Action::ReplicateInto), &w.known_version()).await,
        "note a cursor" => |w| {
            let may = w.may(Action::ReplicateInto);
            w.objects.set_follow_cursor(&may, &w.other(), &FollowCursor::default()).await
        },
        "note what was gathered" => |w| {
            let may = w.may(Action::ReplicateInto);
            w.objects.set_gather_cursor(&may, &w.other(), &FollowCursor::default()).await
        },
        "note a rule's cursor" => |w| {
            let may = w.may(Action::ReplicateFrom);
            let last = FollowCursor::default();
            w.objects.set_rule_cursor(&may, &BucketName::new("to-there").unwrap(), &last).await
        },
        "fence" => |w| w.objects.fence(&w.raised()).await,
        "end uploads" => |w| w.objects.end_uploads(&w.raised()).await,
        "forget removals" => |w| {
            let may = w.may(Action::ReplicateInto);
            w.objects.forget_removals(&may, Position(u64::MAX)).await
        },
        "hold as placed" => |w| w.objects.hold_as_placed(&w.may(Action::ReplicateInto)).await,
        "ship changes" => |w| {
            let may = w.may(Action::ReplicateFrom);
            w.objects.changes(&may, Position(0), 100, 1 << 20).await
        },
        "ship a snapshot" => |w| {
            let may = w.may(Action::ReplicateFrom);
            w.objects.snapshot(&may, None, 100, 1 << 20).await
        },
        "count versions" => |w| {
            let may = w.may(Action::CountVersions);
            w.objects.versions_by_key(&may, None, 10).await
        },
        "discard" => |w| w.objects.discard_bucket(&w.deed).await,
    };
    let world = World::home().await;
    for (name, operation) in operations {
        world.drop_at_every_await(name, operation).await;
    }
}
