//! Throws dice, does the same to the region and to the reference, and compares the answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use types::{Random, SeededRandom};

use crate::{
    reference::{Bucket, Condition, Content, Id, Item, Part, Refusal, Upload, Version, Versioning},
    system::{ListedVersion, System},
};

const BUCKETS: [&str; 2] = ["first", "second"];
const KEYS: [&str; 16] = [
    "a", "a/", "a/b", "a/b/c", "a/c", "a//", "a\0", "a\0b", "b", "b-", "b--x", "ü", "ü/x", "\u{1}",
    "..", "z/y/x",
];
const PREFIXES: [&str; 8] = ["", "", "", "a", "a/", "b", "ü", "nothing"];
const DELIMITERS: [&str; 6] = ["", "", "/", "/", "--", "\0"];
const SIZES: [usize; 6] = [0, 1, 100, 5_000, 65_536, 200_000];
const PART_MIN: usize = 5 << 20;

/// Dice that fall the same way for the same seed.
pub struct Dice(SeededRandom);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }
    pub fn below(&self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }
    pub fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }
    pub fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
    pub fn bytes(&self, len: usize) -> Bytes {
        let mut bytes = vec![self.below(256) as u8; len];
        let head = len.min(16);
        self.0.fill(&mut bytes[..head]);
        bytes.into()
    }
}

/// One run: the region, the reference, the dice, and what was done so far.
pub struct Run<S> {
    pub system: S,
    pub dice: Dice,
    pub trail: Vec<String>,
    model: BTreeMap<&'static str, Bucket>,
    big: Bytes,
}

macro_rules! same {
    ($run:expr, $got:expr, $expect:expr) => {{
        let (got, expect) = (&$got, &$expect);
        assert!(
            got == expect,
            "the region answers\n  {got:?}\nthe reference\n  {expect:?}\nafter\n  {}",
            $run.trail.join("\n  ")
        );
    }};
}

impl<S: System> Run<S> {
    pub fn new(system: S, seed: u64) -> Self {
        let dice = Dice::new(seed);
        let big = dice.bytes(PART_MIN);
        Self {
            system,
            dice,
            trail: vec![format!("seed {seed}")],
            model: BTreeMap::new(),
            big,
        }
    }

    fn note(&mut self, what: String) {
        self.trail.push(what);
    }

    /// Does one thing.
    pub async fn step(&mut self) {
        let bucket = self.dice.pick(&BUCKETS);
        if !self.model.contains_key(bucket) {
            self.note(format!("create bucket {bucket}"));
            self.system.create_bucket(bucket).await;
            self.model.insert(bucket, Bucket::new());
            return;
        }
        let key = self.dice.pick(&KEYS);
        match self.dice.below(100) {
            0..=1 => self.delete_bucket(bucket).await,
            2..=4 => self.set_versioning(bucket).await,
            5..=26 => self.put(bucket, key).await,
            27..=36 => self.get(bucket, key).await,
            37..=46 => self.delete(bucket, key).await,
            47..=50 => self.delete_many(bucket).await,
            51..=57 => self.copy(bucket, key).await,
            58..=63 => self.tags(bucket, key).await,
            64..=66 => self.create_upload(bucket, key).await,
            67..=72 => self.upload_part(bucket).await,
            73..=75 => self.complete(bucket).await,
            76 => self.abort(bucket).await,
            77..=79 => self.list_parts(bucket).await,
            80..=87 => self.list(bucket).await,
            88..=94 => self.list_versions(bucket).await,
            95..=97 => self.list_uploads(bucket).await,
            _ => self.system.reopen().await,
        }
    }

    /// Whether the change log says of each bucket how many bytes it has.
    pub async fn check_held(&mut self) {
        for bucket in self.model.keys() {
            let (by_log, counted) = self.system.held(bucket).await;
            same!(self, by_log, counted);
        }
    }

    fn bucket(&mut self, name: &str) -> &mut Bucket {
        self.model.get_mut(name).expect("the step looked")
    }

    async fn delete_bucket(&mut self, name: &'static str) {
        self.note(format!("delete bucket {name}"));
        let got = self.system.delete_bucket(name).await;
        if self.bucket(name).is_empty() {
            same!(self, got, Ok(()));
            self.model.remove(name);
        } else {
            same!(self, got, Err(Refusal::NotEmpty));
        }
    }

    async fn set_versioning(&mut self, name: &str) {
        let on = self.dice.below(3) > 0;
        self.note(format!("versioning of {name}: {on}"));
        self.system.set_versioning(name, on).await;
        self.bucket(name).versioning = if on {
            Versioning::On
        } else {
            Versioning::Suspended
        };
    }

    fn condition(&mut self, name: &str, key: &str) -> Condition {
        match self.dice.below(8) {
            0 => Condition::IfAbsent,
            1 => {
                let current = self.bucket(name).current(key).map(|(_, c)| c.etag.clone());
                let wrong = "0".repeat(32);
                Condition::IfMatch(current.filter(|_| self.dice.one_in(2)).unwrap_or(wrong))
            }
            _ => Condition::None,
        }
    }

    fn content(&mut self) -> Content {
        let size = self.dice.pick(&SIZES);
        let bytes = self.dice.bytes(size);
        Content {
            etag: hex::encode(digest::md5(&bytes)),
            bytes,
            content_type: self.dice.one_in(2).then(|| "text/x".to_owned()),
            tags: self.some_tags(),
            parts: Vec::new(),
        }
    }

    fn some_tags(&self) -> Vec<(String, String)> {
        let tag = |n: usize| (format!("t{n}"), format!("v{}", self.dice.below(9)));
        (0..self.dice.below(3)).map(tag).collect()
    }

    /// An id of a version of the key, mostly one that is there.
    fn some_version(&mut self, name: &str, key: &str) -> Option<Id> {
        let versions = self.bucket(name).keys.get(key).cloned().unwrap_or_default();
        match self.dice.below(6) {
            0 => Some(Id::Null),
            1..=3 if !versions.is_empty() => {
                Some(versions[self.dice.below(versions.len())].id.clone())
            }
            _ => None,
        }
    }

    async fn put(&mut self, name: &str, key: &str) {
        let (content, condition) = (self.content(), self.condition(name, key));
        let size = content.bytes.len();
        self.note(format!("put {name} {key:?} {size} {condition:?}"));
        let expect = self.bucket(name).check(key, &condition);
        let got = self.system.put(name, key, &content, &condition).await;
        same!(self, got.as_ref().err(), expect.as_ref().err());
        if let Ok((etag, version)) = got {
            same!(self, etag, content.etag);
            self.added(name, key, Some(content), version);
        }
    }

    /// Adds to the reference what the region answered it has added.
    fn added(&mut self, name: &str, key: &str, content: Option<Content>, version: Option<Id>) {
        let versioning = self.bucket(name).versioning;
        let fits = match (versioning, &version) {
            (Versioning::Off, version) => version.is_none(),
            (Versioning::Suspended, version) => *version == Some(Id::Null),
            (Versioning::On, version) => matches!(version, Some(Id::Named(_))),
        };
        same!(
            self,
            (fits, versioning, &version),
            (true, versioning, &version)
        );
        let named = match version {
            Some(Id::Named(named)) => Some(named),
            _ => None,
        };
        self.bucket(name).add(key, content, named);
    }

    async fn get(&mut self, name: &str, key: &str) {
        let id = self.some_version(name, key);
        let range = self.dice.one_in(3).then(|| {
            let from = self.dice.below(6_000) as u64;
            (from, from + self.dice.below(70_000) as u64)
        });
        self.note(format!("get {name} {key:?} {id:?} {range:?}"));
        let got = self.system.get(name, key, id.as_ref(), range).await;
        let found = self.bucket(name).find(key, id.as_ref());
        let expect = found.and_then(|version| {
            let content = version.content.clone().ok_or(Refusal::NoSuchKey)?;
            let len = content.bytes.len() as u64;
            let bytes = match range {
                None => content.bytes.clone(),
                Some((from, _)) if from >= len => return Err(Refusal::InvalidRange),
                Some((from, to)) => content
                    .bytes
                    .slice(from as usize..(to + 1).min(len) as usize),
            };
            Ok((content.etag, bytes, content.content_type))
        });
        let digest = |answer: &Result<(String, Bytes, Option<String>), Refusal>| {
            answer
                .as_ref()
                .map(|(etag, bytes, kind)| {
                    (etag.clone(), bytes.len(), digest::md5(bytes), kind.clone())
                })
                .map_err(|refusal| *refusal)
        };
        same!(self, digest(&got), digest(&expect));
        if range.is_none() {
            let head = self.system.head(name, key, id.as_ref()).await;
            let expect = expect.map(|(etag, bytes, _)| (etag, bytes.len() as u64));
            same!(self, head, expect);
        }
    }

    async fn delete(&mut self, name: &str, key: &str) {
        let id = self.some_version(name, key);
        self.note(format!("delete {name} {key:?} {id:?}"));
        let got = self.system.delete(name, key, id.as_ref()).await;
        self.deleted(name, key, id.as_ref(), got);
    }

    /// Deletes in the reference; `got` is the region's answer: whether a marker was made or
    /// deleted, and the id of what was.
    fn deleted(&mut self, name: &str, key: &str, id: Option<&Id>, got: (bool, Option<Id>)) {
        let (marker, version) = got;
        if let Some(id) = id {
            let versions = self.bucket(name).keys.get(key).cloned().unwrap_or_default();
            let was = versions.iter().find(|v| v.id == *id);
            same!(self, marker, was.is_some_and(|v| v.content.is_none()));
            self.bucket(name).delete_version(key, id);
            return;
        }
        let versioning = self.bucket(name).versioning;
        same!(self, marker, versioning != Versioning::Off);
        if versioning == Versioning::Off {
            self.bucket(name).delete(key, None);
        } else {
            self.added(name, key, None, version);
        }
    }

    async fn delete_many(&mut self, name: &str) {
        let mut which: Vec<(&str, Option<Id>)> = Vec::new();
        for _ in 0..self.dice.below(5) + 1 {
            let key = self.dice.pick(&KEYS);
            if which.iter().all(|(k, _)| *k != key) {
                which.push((key, self.some_version(name, key)));
            }
        }
        self.note(format!("delete many {name} {which:?}"));
        let got = self.system.delete_many(name, &which).await;
        same!(self, got.len(), which.len());
        for ((key, id), got) in which.iter().zip(got) {
            self.deleted(name, key, id.as_ref(), got);
        }
    }

    async fn copy(&mut self, name: &'static str, key: &str) {
        let from = self.dice.pick(&BUCKETS);
        if !self.model.contains_key(from) {
            return;
        }
        let source = self.dice.pick(&KEYS);
        let id = self.some_version(from, source);
        let tags = self.dice.one_in(2).then(|| self.some_tags());
        let itself = from == name && source == key && id.is_none() && tags.is_none();
        if itself {
            return;
        }
        self.note(format!(
            "copy {from} {source:?} {id:?} to {name} {key:?} {tags:?}"
        ));
        let found = self.bucket(from).find(source, id.as_ref()).cloned();
        let got = self
            .system
            .copy((from, source, id.as_ref()), (name, key), tags.as_deref())
            .await;
        match found {
            Err(refusal) => same!(self, got.map(|_| ()), Err(refusal)),
            Ok(Version { content, .. }) => {
                let mut content = content.expect("markers are not found");
                content.etag = hex::encode(digest::md5(&content.bytes));
                content.parts = Vec::new();
                content.tags = tags.unwrap_or(content.tags);
                let got = got.unwrap_or_else(|refusal| {
                    panic!("the copy is refused: {refusal:?} after {:#?}", self.trail)
                });
                same!(self, got.0, content.etag);
                self.added(name, key, Some(content), got.1);
            }
        }
    }

    async fn tags(&mut self, name: &str, key: &str) {
        let id = self.some_version(name, key);
        let new = self.dice.one_in(2).then(|| self.some_tags());
        self.note(format!("tags of {name} {key:?} {id:?}: {new:?}"));
        if let Some(new) = new {
            let got = self.system.put_tags(name, key, id.as_ref(), &new).await;
            let found = self.bucket(name).find_mut(key, id.as_ref());
            let expect = found.map(|content| content.tags = new);
            same!(self, got, expect);
        }
        let got = self.system.get_tags(name, key, id.as_ref()).await;
        let found = self.bucket(name).find(key, id.as_ref());
        let expect = found.map(|v| v.content.clone().map(|c| c.tags).unwrap_or_default());
        same!(self, got, expect);
    }

    async fn create_upload(&mut self, name: &str, key: &str) {
        let content_type = self.dice.one_in(2).then(|| "text/y".to_owned());
        let id = self
            .system
            .create_upload(name, key, content_type.as_deref())
            .await;
        self.note(format!("create upload {name} {key:?} {id}"));
        let upload = Upload {
            key: key.to_owned(),
            content_type,
            parts: BTreeMap::new(),
        };
        self.bucket(name).uploads.insert(id, upload);
    }

    fn some_upload(&mut self, name: &str) -> Option<(String, Upload)> {
        let all: Vec<_> = self.bucket(name).uploads.clone().into_iter().collect();
        (!all.is_empty()).then(|| all[self.dice.below(all.len())].clone())
    }

    async fn upload_part(&mut self, name: &str) {
        let Some((id, upload)) = self.some_upload(name) else {
            return;
        };
        let number = self.dice.below(4) as u16 + 1;
        let bytes = if self.dice.one_in(3) {
            self.big.clone()
        } else {
            let size = self.dice.pick(&SIZES);
            self.dice.bytes(size)
        };
        self.note(format!("part {number} of {name} {id}: {}", bytes.len()));
        let got = self
            .system
            .upload_part(name, &upload.key, &id, number, bytes.clone())
            .await;
        let md5 = digest::md5(&bytes);
        same!(self, got, Ok(hex::encode(md5)));
        let parts = self.bucket(name).uploads.get_mut(&id).map(|u| &mut u.parts);
        parts
            .expect("it was picked")
            .insert(number, Part { bytes, md5 });
    }

    async fn complete(&mut self, name: &str) {
        let Some((id, upload)) = self.some_upload(name) else {
            return;
        };
        let keep = |_: &u16| !self.dice.one_in(5);
        let mut numbers: Vec<u16> = upload.parts.keys().copied().filter(keep).collect();
        if numbers.is_empty() || self.dice.one_in(10) {
            numbers.push(9);
        }
        let etag = |n: &u16| upload.parts.get(n).map_or([0; 16], |part| part.md5);
        let listed: Vec<(u16, String)> =
            numbers.iter().map(|n| (*n, hex::encode(etag(n)))).collect();
        self.note(format!("complete {name} {id} {numbers:?}"));
        let got = self.system.complete(name, &upload.key, &id, &listed).await;
        let parts: Option<Vec<&Part>> = numbers.iter().map(|n| upload.parts.get(n)).collect();
        let Some(parts) = parts else {
            same!(self, got.map(|_| ()), Err(Refusal::InvalidPart));
            return;
        };
        let (_, but_last) = parts.split_last().expect("one at least");
        if but_last.iter().any(|part| part.bytes.len() < PART_MIN) {
            same!(self, got.map(|_| ()), Err(Refusal::TooSmall));
            return;
        }
        let md5s: Vec<u8> = parts.iter().flat_map(|part| part.md5).collect();
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes.to_vec()).collect();
        let content = Content {
            etag: format!("{}-{}", hex::encode(digest::md5(&md5s)), parts.len()),
            bytes: bytes.into(),
            content_type: upload.content_type.clone(),
            tags: Vec::new(),
            parts: parts.iter().map(|part| part.bytes.len() as u64).collect(),
        };
        let again = self.system.complete(name, &upload.key, &id, &listed).await;
        same!(self, again, got);
        match got {
            Ok((etag, version)) => {
                same!(self, etag, content.etag);
                self.added(name, &upload.key, Some(content), version);
                self.bucket(name).uploads.remove(&id);
            }
            Err(refusal) => panic!("not completed: {refusal:?} after {:#?}", self.trail),
        }
    }

    async fn abort(&mut self, name: &str) {
        let Some((id, upload)) = self.some_upload(name) else {
            return;
        };
        self.note(format!("abort {name} {id}"));
        same!(
            self,
            self.system.abort(name, &upload.key, &id).await,
            Ok(())
        );
        self.bucket(name).uploads.remove(&id);
        let gone = Err(Refusal::NoSuchUpload);
        same!(self, self.system.abort(name, &upload.key, &id).await, gone);
    }

    async fn list_parts(&mut self, name: &str) {
        let Some((id, upload)) = self.some_upload(name) else {
            return;
        };
        let limit = self.dice.below(3) + 1;
        self.note(format!("list parts {name} {id} {limit}"));
        let parts = upload.parts.iter();
        let all: Vec<(u16, u64)> = parts.map(|(n, p)| (*n, p.bytes.len() as u64)).collect();
        let mut after = 0;
        loop {
            let (got, more) = self
                .system
                .list_parts(name, &upload.key, &id, after, limit)
                .await;
            let rest: Vec<_> = all.iter().copied().filter(|(n, _)| *n > after).collect();
            let page = rest[..rest.len().min(limit)].to_vec();
            same!(self, (&got, more), (&page, rest.len() > limit));
            match got.last() {
                Some((last, _)) if more => after = *last,
                _ => break,
            }
        }
    }

    async fn list(&mut self, name: &str) {
        let prefix = self.dice.pick(&PREFIXES);
        let delimiter = self.dice.pick(&DELIMITERS);
        let limit = self.dice.below(5) + 1;
        let mut after = match self.dice.below(3) {
            0 => self.dice.pick(&KEYS).to_owned(),
            _ => String::new(),
        };
        self.note(format!(
            "list {name} {prefix:?} {delimiter:?} {after:?} {limit}"
        ));
        loop {
            let got = self
                .system
                .list(name, prefix, delimiter, &after, limit)
                .await;
            let all = self.bucket(name).list(prefix, delimiter, &after);
            let page: Vec<_> = all.iter().take(limit).collect();
            let one = |item: &&Item<Content>| match item {
                Item::One(key, c) => Some((key.clone(), c.etag.clone(), c.bytes.len() as u64)),
                Item::Prefix(_) => None,
            };
            let objects: Vec<_> = page.iter().filter_map(one).collect();
            same!(self, got.objects, objects);
            same!(self, got.prefixes, prefixes(&page));
            let next = page.last().filter(|_| all.len() > limit);
            same!(self, got.next, next.map(|item| item.name().to_owned()));
            match got.next {
                Some(next) => after = next,
                None => break,
            }
        }
    }

    async fn list_versions(&mut self, name: &str) {
        let prefix = self.dice.pick(&PREFIXES);
        let delimiter = self.dice.pick(&DELIMITERS);
        let limit = self.dice.below(5) + 1;
        self.note(format!(
            "list versions {name} {prefix:?} {delimiter:?} {limit}"
        ));
        let all = self.bucket(name).list_versions(prefix, delimiter);
        let mut marker = None;
        let mut from = 0;
        loop {
            let got = self
                .system
                .list_versions(name, prefix, delimiter, marker.as_ref(), limit)
                .await;
            let page: Vec<_> = all[from..].iter().take(limit).collect();
            let one = |item: &&Item<(Version, bool)>| match item {
                Item::One(key, (version, latest)) => Some(ListedVersion {
                    key: key.clone(),
                    id: version.id.clone(),
                    latest: *latest,
                    etag: version.content.as_ref().map(|c| c.etag.clone()),
                }),
                Item::Prefix(_) => None,
            };
            let versions: Vec<_> = page.iter().filter_map(one).collect();
            same!(self, got.versions, versions);
            same!(self, got.prefixes, prefixes(&page));
            from += page.len();
            let next = page
                .last()
                .filter(|_| from < all.len())
                .map(|item| match item {
                    Item::One(key, (version, _)) => (key.clone(), Some(version.id.clone())),
                    Item::Prefix(prefix) => (prefix.clone(), None),
                });
            same!(self, got.next, next);
            if next.is_none() {
                break;
            }
            marker = next;
        }
    }

    async fn list_uploads(&mut self, name: &str) {
        let prefix = self.dice.pick(&PREFIXES);
        let delimiter = self.dice.pick(&DELIMITERS);
        let limit = self.dice.below(3) + 1;
        self.note(format!(
            "list uploads {name} {prefix:?} {delimiter:?} {limit}"
        ));
        let all = self.bucket(name).list_uploads(prefix, delimiter);
        let mut marker = None;
        let mut from = 0;
        loop {
            let got = self
                .system
                .list_uploads(name, prefix, delimiter, marker.as_ref(), limit)
                .await;
            let page: Vec<_> = all[from..].iter().take(limit).collect();
            let one = |item: &&Item<String>| match item {
                Item::One(key, id) => Some((key.clone(), id.clone())),
                Item::Prefix(_) => None,
            };
            let uploads: Vec<_> = page.iter().filter_map(one).collect();
            same!(self, got.uploads, uploads);
            same!(self, got.prefixes, prefixes(&page));
            from += page.len();
            let next = page
                .last()
                .filter(|_| from < all.len())
                .map(|item| match item {
                    Item::One(key, id) => (key.clone(), Some(id.clone())),
                    Item::Prefix(prefix) => (prefix.clone(), None),
                });
            same!(self, got.next, next);
            if next.is_none() {
                break;
            }
            marker = next;
        }
    }
}

fn prefixes<T>(page: &[&Item<T>]) -> Vec<String> {
    let prefix = |item: &&Item<T>| match item {
        Item::Prefix(prefix) => Some(prefix.clone()),
        Item::One(..) => None,
    };
    page.iter().filter_map(prefix).collect()
}
