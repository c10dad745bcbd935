//! The rules of S3 once more, as plainly as they can be written: everything in maps, nothing
//! fast, nothing lasting. It shares no code with what it judges.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Whether a bucket keeps old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    Off,
    On,
    Suspended,
}

/// A version's name as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    Null,
    Named(String),
}

/// What a version holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub bytes: Bytes,
    pub etag: String,
    pub content_type: Option<String>,
    pub tags: Vec<(String, String)>,
    /// Sizes of the parts; empty for an object put whole.
    pub parts: Vec<u64>,
}

/// A version or, without content, a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub id: Id,
    pub content: Option<Content>,
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub bytes: Bytes,
    pub md5: [u8; 16],
}

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub key: String,
    pub content_type: Option<String>,
    pub parts: BTreeMap<u16, Part>,
}

/// A bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub versioning: Versioning,
    /// Per key the newest version first; never an empty list.
    pub keys: BTreeMap<String, Vec<Version>>,
    /// By upload id.
    pub uploads: BTreeMap<String, Upload>,
}

/// A condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    None,
    IfAbsent,
    IfMatch(String),
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    NoSuchKey,
    NoSuchVersion,
    IsDeleteMarker,
    Precondition,
    NoSuchUpload,
    InvalidPart,
    TooSmall,
    NotEmpty,
    InvalidRange,
}

/// An item of a listing by keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<T> {
    One(String, T),
    Prefix(String),
}

impl<T> Item<T> {
    pub fn name(&self) -> &str {
        match self {
            Self::One(name, _) | Self::Prefix(name) => name,
        }
    }
}

impl Bucket {
    pub fn new() -> Self {
        Self {
            versioning: Versioning::Off,
            keys: BTreeMap::new(),
            uploads: BTreeMap::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The current version, unless it is a delete marker.
    pub fn current(&self, key: &str) -> Option<(&Id, &Content)> {
        let newest = self.keys.get(key)?.first()?;
        Some((&newest.id, newest.content.as_ref()?))
    }

    pub fn check(&self, key: &str, condition: &Condition) -> Result<(), Refusal> {
        match (condition, self.current(key)) {
            (Condition::None, _) | (Condition::IfAbsent, None) => Ok(()),
            (Condition::IfAbsent, Some(_)) => Err(Refusal::Precondition),
            (Condition::IfMatch(_), None) => Err(Refusal::NoSuchKey),
            (Condition::IfMatch(etag), Some((_, content))) if *etag == content.etag => Ok(()),
            (Condition::IfMatch(_), Some(_)) => Err(Refusal::Precondition),
        }
    }

    /// Makes `content` the newest version. `named` is the id that the bucket gave, used where
    /// versioning is on.
    pub fn add(&mut self, key: &str, content: Option<Content>, named: Option<String>) {
        let versions = self.keys.entry(key.to_owned()).or_default();
        let id = match (self.versioning, named) {
            (Versioning::On, Some(named)) => Id::Named(named),
            _ => {
                versions.retain(|v| v.id != Id::Null);
                Id::Null
            }
        };
        versions.insert(0, Version { id, content });
    }

    /// A version by its id, or the current one.
    pub fn find(&self, key: &str, id: Option<&Id>) -> Result<&Version, Refusal> {
        let versions = self.keys.get(key).map_or(&[][..], Vec::as_slice);
        match id {
            None => match versions.first() {
                Some(newest) if newest.content.is_some() => Ok(newest),
                _ => Err(Refusal::NoSuchKey),
            },
            Some(id) => match versions.iter().find(|v| v.id == *id) {
                None => Err(Refusal::NoSuchVersion),
                Some(found) if found.content.is_none() => Err(Refusal::IsDeleteMarker),
                Some(found) => Ok(found),
            },
        }
    }

    pub fn find_mut(&mut self, key: &str, id: Option<&Id>) -> Result<&mut Content, Refusal> {
        let id = self.find(key, id)?.id.clone();
        let versions = self.keys.get_mut(key).into_iter().flatten();
        let found = versions.into_iter().find(|v| v.id == id);
        found
            .and_then(|v| v.content.as_mut())
            .ok_or(Refusal::NoSuchKey)
    }

    /// Deletes without naming a version: leaves a marker where versions are kept.
    pub fn delete(&mut self, key: &str, named: Option<String>) {
        if self.versioning == Versioning::Off {
            self.keys.remove(key);
        } else {
            self.add(key, None, named);
        }
    }

    /// Deletes one version for good.
    pub fn delete_version(&mut self, key: &str, id: &Id) {
        if let Some(versions) = self.keys.get_mut(key) {
            versions.retain(|v| v.id != *id);
            if versions.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    pub fn list(&self, prefix: &str, delimiter: &str, after: &str) -> Vec<Item<Content>> {
        let current = self.keys.iter().filter_map(|(key, versions)| {
            let content = versions.first()?.content.clone()?;
            Some((key.clone(), content))
        });
        group(current, prefix, delimiter, after)
    }

    /// All versions, each with whether it is the latest; to be cut into pages by the caller.
    pub fn list_versions(&self, prefix: &str, delimiter: &str) -> Vec<Item<(Version, bool)>> {
        let all = self.keys.iter().flat_map(|(key, versions)| {
            let each = versions.iter().enumerate();
            each.map(|(n, version)| (key.clone(), (version.clone(), n == 0)))
        });
        group(all, prefix, delimiter, "")
    }

    /// All uploads: by key, then by id.
    pub fn list_uploads(&self, prefix: &str, delimiter: &str) -> Vec<Item<String>> {
        let mut all: Vec<(String, String)> = self
            .uploads
            .iter()
            .map(|(id, upload)| (upload.key.clone(), id.clone()))
            .collect();
        all.sort();
        group(all.into_iter(), prefix, delimiter, "")
    }
}

/// Keeps what begins with `prefix` and comes after `after`; rolls up what has the delimiter.
fn group<T>(
    all: impl Iterator<Item = (String, T)>,
    prefix: &str,
    delimiter: &str,
    after: &str,
) -> Vec<Item<T>> {
    let mut out: Vec<Item<T>> = Vec::new();
    for (key, value) in all {
        let Some(rest) = key.strip_prefix(prefix) else {
            continue;
        };
        if !after.is_empty() && key.as_str() <= after {
            continue;
        }
        let cut = rest.find(delimiter).filter(|_| !delimiter.is_empty());
        let Some(at) = cut else {
            out.push(Item::One(key, value));
            continue;
        };
        let common = &key[..prefix.len() + at + delimiter.len()];
        let shown = matches!(out.last(), Some(Item::Prefix(last)) if last == common);
        if common != after && !shown {
            out.push(Item::Prefix(common.to_owned()));
        }
    }
    out
}
