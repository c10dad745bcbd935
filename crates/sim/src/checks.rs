//! What must be true in the end, whatever went wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use access::{Action, Permit, SystemReason, authorize_system};
use objects::{DisplayVersion, GetRequest, Shipped};
use store::{PartitionId, ScanRange};
use tokio::time::Instant;
use types::{BucketDeed, BucketName, Holding, ObjectKey};

use crate::{
    clients::{Did, History, Write, content},
    world::{Node, World},
};

/// Clocks are off by less than half of this: of two writes that are further apart the later one
/// has the later time.
const APART: Duration = Duration::from_secs(5);

type Versions = BTreeMap<(String, String), Shipped>;

fn system(deed: &Arc<BucketDeed>, action: Action) -> Permit {
    authorize_system(SystemReason::Recovery, action, deed)
}

/// All versions that a region holds.
async fn versions(node: &Node, deed: &Arc<BucketDeed>) -> Option<Versions> {
    let objects = node.objects()?;
    let permit = system(deed, Action::ReplicateFrom);
    let (mut all, mut from) = (Versions::new(), None);
    loop {
        let page = objects.snapshot(&permit, from, 100, 1 << 20).await.ok()?;
        for shipped in page.versions {
            let name = (shipped.key.to_string(), shipped.version.to_string());
            all.insert(name, shipped);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Some(all),
        }
    }
}

/// Whether all holders of a bucket hold the same now; `Err` says how they differ.
async fn same(world: &World, name: &BucketName) -> Result<(), String> {
    let deed = world.registry.deed(name);
    let mut first: Option<(&Node, Versions)> = None;
    for node in &world.nodes {
        let held = versions(node, &deed).await;
        let held = held.ok_or_else(|| format!("{name} cannot be read at {}", node.id))?;
        if deed.holding(&node.id) == Holding::Nothing {
            let left = node
                .disk
                .index
                .scan(PartitionId(deed.id.0), ScanRange::prefix(b"c"), 1);
            match left.await {
                Ok(rows) if rows.is_empty() => continue,
                _ => return Err(format!("{} still holds objects of {name}", node.id)),
            }
        }
        match &first {
            None => first = Some((node, held)),
            Some((other, want)) if *want != held => {
                let names = |v: &Versions| v.keys().cloned().collect::<BTreeSet<_>>();
                let (a, b) = (names(want), names(&held));
                let differ: Vec<_> = a.symmetric_difference(&b).collect();
                for (name, one) in want {
                    if let Some(two) = held.get(name).filter(|two| *two != one) {
                        return Err(format!("{name:?}: {one:?} is not {two:?}"));
                    }
                }
                return Err(format!(
                    "{name}: {} and {} differ: {differ:?}",
                    other.id, node.id
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Waits until all regions hold the same, and stay so.
pub async fn settled(world: &World, until: Instant) -> Vec<String> {
    let mut calm = 0;
    loop {
        let mut findings = Vec::new();
        for name in &world.buckets {
            if let Err(why) = same(world, name).await {
                findings.push(why);
            }
        }
        calm = if findings.is_empty() { calm + 1 } else { 0 };
        if calm == 10 {
            return Vec::new();
        }
        if Instant::now() > until {
            return findings;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The other checks.
pub async fn all(world: &World, history: &History) -> Vec<String> {
    let mut findings = world.net.leaks.lock().clone();
    findings.extend(history.wrong.lock().iter().cloned());
    let writes = history.writes.lock().clone();
    for name in &world.buckets {
        let deed = world.registry.deed(name);
        let Some(home) = world.nodes.iter().find(|n| n.id == deed.home) else {
            continue;
        };
        let Some(held) = versions(home, &deed).await else {
            findings.push(format!("{name} cannot be read at its home"));
            continue;
        };
        for node in world
            .nodes
            .iter()
            .filter(|n| deed.holding(&n.id) != Holding::Nothing)
        {
            findings.extend(readable(node, &deed, &held).await);
        }
        let of: Vec<&Write> = writes.iter().filter(|w| w.bucket == *name).collect();
        match **name == *"kept" {
            true => findings.extend(kept(&of, &held)),
            false => findings.extend(last(&of, home, &deed).await),
        }
    }
    findings
}

/// Every version's bytes are there, and are what its ETag says.
async fn readable(node: &Node, deed: &Arc<BucketDeed>, held: &Versions) -> Vec<String> {
    let mut findings = Vec::new();
    let Some(objects) = node.objects() else {
        return findings;
    };
    let permit = system(deed, Action::ReplicateFrom);
    for shipped in held.values().filter(|s| !s.delete_marker) {
        let reader = objects
            .ship_body(&permit, &shipped.key, shipped.version, 0)
            .await;
        let mut bytes = Vec::new();
        if let Ok(mut reader) = reader {
            while let Ok(Some(piece)) = reader.next().await {
                bytes.extend_from_slice(&piece);
            }
        }
        let right = bytes.len() as u64 == shipped.size
            && (shipped.etag.parts > 0 || digest_of(&bytes) == shipped.etag.md5);
        if !right {
            let (id, key, version) = (&node.id, &shipped.key, shipped.version);
            findings.push(format!("{id} cannot read {key} {version}"));
        }
    }
    findings
}

fn digest_of(bytes: &[u8]) -> [u8; 16] {
    digest::md5(bytes)
}

/// Where versions are kept, each that was acknowledged is there, unless somebody tried to remove
/// it; and what was removed is not.
fn kept(writes: &[&Write], held: &Versions) -> Vec<String> {
    let mut findings = Vec::new();
    let removed = |key: &str, version: DisplayVersion| {
        writes
            .iter()
            .find(|w| w.key == key && w.did == Did::DeleteVersion { version })
    };
    for write in writes.iter().filter(|w| w.acknowledged) {
        let (key, did) = (&write.key, &write.did);
        match (did, write.version) {
            (Did::Put { .. } | Did::Delete, Some(version @ DisplayVersion::Id(id))) => {
                let there = held.contains_key(&(key.clone(), id.to_string()));
                if !there && removed(key, version).is_none() {
                    findings.push(format!("lost: kept/{key} {id}, which was acknowledged"));
                }
            }
            (
                Did::DeleteVersion {
                    version: DisplayVersion::Id(id),
                },
                _,
            ) if held.contains_key(&(key.clone(), id.to_string())) => {
                findings.push(format!("back: kept/{key} {id}, which was removed"));
            }
            _ => {}
        }
    }
    findings
}

/// Without versions: a write that none was near is what is there in the end, and what is there was
/// written by somebody.
async fn last(writes: &[&Write], home: &Node, deed: &Arc<BucketDeed>) -> Vec<String> {
    let mut findings = Vec::new();
    let keys: BTreeSet<&String> = writes.iter().map(|w| &w.key).collect();
    for key in keys {
        let of: Vec<&&Write> = writes.iter().filter(|w| w.key == *key).collect();
        let name = ObjectKey::new(key).expect("a key by the rules");
        let permit = system(deed, Action::GetObject);
        let found = match home.objects() {
            Some(objects) => objects
                .get(&permit, &name, &GetRequest::default())
                .await
                .ok(),
            None => None,
        };
        let found = match found {
            Some(view) => content(view.content).await,
            None => None,
        };
        let wrote =
            |w: &&&Write| matches!(&w.did, Did::Put { content } if Some(content) == found.as_ref());
        if found.is_some() && !of.iter().any(wrote) {
            findings.push(format!("plain/{key} holds what nobody wrote"));
        }
        let Some(latest) = of.iter().max_by_key(|w| w.began) else {
            continue;
        };
        let alone = of
            .iter()
            .all(|w| std::ptr::eq(**w, **latest) || w.ended + APART < latest.began);
        if alone && latest.acknowledged {
            // A delete removes what its region sees: what that had not heard of stays.
            let right = match &latest.did {
                Did::Put { content } => found.as_ref() == Some(content),
                Did::Delete | Did::DeleteVersion { .. } => true,
            };
            if !right {
                findings.push(format!(
                    "plain/{key}: the last write, {:?}, is not there",
                    latest.began
                ));
            }
        }
    }
    findings
}
