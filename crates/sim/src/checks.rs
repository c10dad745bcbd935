//! What must be true in the end, whatever went wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use access::{Action, Permit, SystemReason, authorize_system};
use objects::{
    Configuration, DisplayVersion, GetRequest, Objects, Shipped, ShippedChange, Versioning,
};
use store::{PartitionId, ScanRange, memory::Memory};
use tokio::time::Instant;
use types::{BucketDeed, BucketName, Holding, ObjectKey, SeededRandom, Writes};

use crate::{
    clients::{Did, Set, Write, content, tag_of},
    world::{Node, World},
};

/// Clocks are off by less than half of this: of two writes that are further apart the later one
/// has the later time.
const APART: Duration = Duration::from_secs(5);

pub(crate) type Versions = BTreeMap<(String, String), Shipped>;

fn system(deed: &Arc<BucketDeed>, action: Action) -> Permit {
    authorize_system(SystemReason::Recovery, action, deed)
}

/// All versions that a region holds.
pub(crate) async fn versions(node: &Node, deed: &Arc<BucketDeed>) -> Option<Versions> {
    versions_of(&*node.objects()?, deed).await
}

/// All versions of a bucket in a region's folder, whether it is in use or not.
async fn on_disk(node: &Node, disk: &Arc<Memory>, deed: &Arc<BucketDeed>) -> Versions {
    let objects = opened(node, disk);
    versions_of(&objects, deed).await.unwrap_or_default()
}

fn opened(node: &Node, disk: &Arc<Memory>) -> Objects {
    Objects::new(
        Arc::clone(disk).into_engine(),
        Arc::clone(&node.view) as Arc<dyn types::Deeds>,
        Arc::clone(&node.clock) as Arc<dyn types::Clock>,
        Arc::new(SeededRandom::new(1)),
        node.id.clone(),
    )
}

/// The configuration of a bucket that a region holds.
async fn configuration(objects: &Objects, deed: &Arc<BucketDeed>) -> Option<Configuration> {
    let permit = system(deed, Action::ReplicateFrom);
    match objects.head_position(&permit).await.ok()?.1 {
        ShippedChange::Config(config) => Some(*config),
        _ => None,
    }
}

async fn versions_of(objects: &Objects, deed: &Arc<BucketDeed>) -> Option<Versions> {
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
    let mut set: Option<(&Node, Configuration)> = None;
    for node in &world.nodes {
        let held = versions(node, &deed).await;
        let held = held.ok_or_else(|| format!("{name} cannot be read at {}", node.id))?;
        if deed.holding(&node.id) == Holding::Nothing {
            let engine = node.engine();
            let left = engine
                .index
                .scan(PartitionId(deed.id.0), ScanRange::prefix(b"c"), 1);
            match left.await {
                Ok(rows) if rows.is_empty() => continue,
                _ => return Err(format!("{} still holds objects of {name}", node.id)),
            }
        }
        let objects = node.objects();
        let config = configuration(&*objects.ok_or("a region is down")?, &deed).await;
        let config = config.ok_or_else(|| format!("{name}: no configuration at {}", node.id))?;
        match &set {
            None => set = Some((node, config)),
            Some((other, want)) if *want != config => {
                let (one, two) = (&other.id, &node.id);
                return Err(format!("{name}: {one} has {want:?}, {two} {config:?}"));
            }
            Some(_) => {}
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
pub async fn all(world: &World) -> Vec<String> {
    let mut findings = world.net.leaks.lock().clone();
    let history = &world.history;
    findings.extend(history.wrong.lock().iter().cloned());
    let writes = history.writes.lock().clone();
    let went = history.went.lock().clone();
    for name in &world.buckets {
        let deed = world.registry.deed(name);
        let Some(home) = world.nodes.iter().find(|n| n.id == deed.home) else {
            continue;
        };
        let Some(held) = versions(home, &deed).await else {
            findings.push(format!("{name} cannot be read at its home"));
            continue;
        };
        findings.extend(configured(world, home, &deed).await);
        for node in world
            .nodes
            .iter()
            .filter(|n| deed.holding(&n.id) != Holding::Nothing)
        {
            findings.extend(readable(node, &deed, &held).await);
        }
        let of: Vec<&Write> = writes.iter().filter(|w| w.bucket == *name).collect();
        let gone: Vec<&Write> = went.iter().map(|n| &writes[*n]).collect();
        match **name == *"kept" {
            true => findings.extend(kept(&of, &gone, world, &held)),
            false => findings.extend(last(&of, &gone, home, &deed).await),
        }
    }
    findings
}

/// The configuration is not older than one that was acknowledged.
async fn configured(world: &World, home: &Node, deed: &Arc<BucketDeed>) -> Option<String> {
    let config = configuration(&*home.objects()?, deed).await?;
    let name = &deed.name;
    if **name == *"kept" && config.versioning != Versioning::Enabled {
        return Some(format!("{name} does not keep versions any more"));
    }
    let all = world.history.set.lock();
    let of = || all.iter().filter(|one| one.bucket == *name);
    let found = of().find(|one| Some(one.value.as_str()) == tag_of(&config.tags));
    let then = found.map(|found| found.ended + APART);
    let mut lost = of().filter(|one| one.acknowledged && !one.went);
    let lost = lost.find(|one| then.is_none_or(|then| then < one.began))?;
    Some(format!("{name}: {lost:?} is lost, there is {found:?}"))
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
fn kept(writes: &[&Write], gone: &[&Write], world: &World, held: &Versions) -> Vec<String> {
    let mut findings = Vec::new();
    let removed = |key: &str, version: DisplayVersion| {
        writes
            .iter()
            .find(|w| w.key == key && w.did == Did::DeleteVersion { version })
    };
    let went = |write: &Write| gone.iter().any(|one| std::ptr::eq(*one, write));
    for write in writes.iter().filter(|w| w.acknowledged && !went(w)) {
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
            ) if held.contains_key(&(key.clone(), id.to_string()))
                && !world.history.put_back_since(write.began) =>
            {
                findings.push(format!("back: kept/{key} {id}, which was removed"));
            }
            _ => {}
        }
    }
    findings
}

/// Without versions: a write that none was near is what is there in the end, and what is there was
/// written by somebody.
async fn last(
    writes: &[&Write],
    gone: &[&Write],
    home: &Node,
    deed: &Arc<BucketDeed>,
) -> Vec<String> {
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
        let went = gone.iter().any(|one| std::ptr::eq(*one, **latest));
        if alone && latest.acknowledged && !went {
            // A delete removes what its region sees: what had not reached that region stays.
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

/// How often it is looked whether a status is true.
const LOOK_EVERY: Duration = Duration::from_millis(700);
/// Of so many versions, the newest.
const LOOKED_AT: usize = 6;

/// Checks again and again until then whether what homes say of their replicas is true.
pub async fn watch_status(world: Arc<World>, until: Instant) {
    while Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
        let deed = world.registry.deed(&world.buckets[1]);
        for node in &world.nodes {
            if let Some(wrong) = said_too_much(&world, node, &deed.name).await {
                world.trace.note(&wrong);
                world.history.wrong.lock().push(wrong);
            }
        }
    }
}

/// A version of which the home says that every replica has it, and which one has not. What a region
/// has said is true of the start that has said it. Where clients remove at a replica, the home
/// receives that later.
async fn said_too_much(world: &World, node: &Node, name: &BucketName) -> Option<String> {
    let deed = node.view.deed_of(name)?;
    let is_home = deed.home == node.id && deed.placement.writes == Writes::Home;
    if !is_home || node.view.doubt(&deed).is_some() {
        return None;
    }
    let (objects, status) = (node.objects()?, node.status()?);
    let permit = system(&deed, Action::ReplicateFrom);
    let newest: Vec<_> = {
        let writes = world.history.writes.lock();
        let made = writes.iter().rev().filter(|w| w.bucket == *name);
        let named = made.filter_map(|w| match w.version {
            Some(DisplayVersion::Id(id)) => Some((w.key.clone(), id)),
            _ => None,
        });
        named.take(LOOKED_AT).collect()
    };
    for (key, id) in newest {
        let key = ObjectKey::new(&key).ok()?;
        let at = objects.version_position(&permit, &key, id).await;
        let Ok(Some(at)) = at else { continue };
        if !status.replicated(&deed, at.0) {
            continue;
        }
        for copy in &deed.placement.replicas {
            let other = world.nodes.iter().find(|n| n.id == copy.region)?;
            let told = world.net.heard_last(&node.id, &copy.region)?;
            let disk = world.disks.of(&copy.region, told)?;
            let held = on_disk(other, &disk, &deed).await;
            if !held.contains_key(&(key.to_string(), id.to_string())) {
                let (home, copy) = (&node.id, &copy.region);
                return Some(format!("{home} says that {copy} has {name}/{key} {id}"));
            }
        }
    }
    None
}

impl World {
    /// A folder was put back: notes which acknowledged writes nobody has any more.
    pub async fn went_with_a_folder(&self) {
        self.history.put_back();
        let mut there: BTreeMap<&BucketName, Vec<Versions>> = BTreeMap::new();
        let mut tags: BTreeMap<&BucketName, Vec<Configuration>> = BTreeMap::new();
        for name in &self.buckets {
            let deed = self.registry.deed(name);
            for node in &self.nodes {
                let before = node.view.deed_of(name);
                let holds = |deed: &BucketDeed| deed.holding(&node.id) != Holding::Nothing;
                if holds(&deed) && before.is_some_and(|before| holds(&before)) {
                    let disk = node.folder().disk;
                    let held = on_disk(node, &disk, &deed).await;
                    there.entry(name).or_default().push(held);
                    let config = configuration(&opened(node, &disk), &deed).await;
                    tags.entry(name).or_default().extend(config);
                }
            }
        }
        let writes = self.history.writes.lock().clone();
        let mut went = self.history.went.lock();
        for (n, write) in writes.iter().enumerate().filter(|(_, w)| w.acknowledged) {
            let disks = there.get(&write.bucket).into_iter().flatten();
            if !disks.into_iter().any(|held| is_in(write, held)) {
                went.insert(n);
            }
        }
        drop(went);
        let mut set = self.history.set.lock();
        for (name, tags) in tags {
            let has = |one: &Set| tags.iter().any(|t| tag_of(&t.tags) == Some(&one.value));
            let of = set.iter().filter(|one| one.bucket == *name && has(one));
            // Of what was set before the newest one that is left none is looked for.
            let newest = of.map(|one| one.began).max();
            for one in set.iter_mut().filter(|one| one.bucket == *name) {
                one.went |= newest.is_none_or(|newest| one.began > newest);
            }
        }
    }
}

/// Whether a folder has what a write made.
fn is_in(write: &Write, held: &Versions) -> bool {
    match (&write.did, write.version) {
        (_, Some(DisplayVersion::Id(id))) => {
            held.contains_key(&(write.key.clone(), id.to_string()))
        }
        (Did::Put { content }, _) => {
            let md5 = digest_of(content);
            let mut of = held.values().filter(|s| *s.key == *write.key);
            of.any(|s| s.etag.md5 == md5 && s.etag.parts == 0)
        }
        // Nothing is made that could be lost.
        _ => true,
    }
}
