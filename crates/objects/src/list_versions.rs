//! The listing of all versions and delete markers, behind ListObjectVersions.

use access::{Action, Permit};
use bytes::Bytes;
use store::{PartitionId, ScanRange, prefix_end};
use types::{ChecksumAlgorithm, ChecksumKind, ETag, Timestamp, VersionId};

use crate::{
    DisplayVersion, Error, Objects, Result,
    list::{text, texts},
    listing::{Cursor, ListRequest, Page, partition},
    records::RecordView,
    rows,
};

/// What a version has that a delete marker has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedContent {
    /// Bytes of content.
    pub size: u64,
    /// The entity tag.
    pub etag: ETag,
    /// Which checksum is stored, and over what.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A version or a delete marker in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// The key.
    pub key: String,
    /// Its id.
    pub version: DisplayVersion,
    /// Whether it is the current one.
    pub latest: bool,
    /// When it was written.
    pub modified: Timestamp,
    /// `None` for a delete marker.
    pub content: Option<ListedContent>,
}

/// A page of versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionPage {
    /// Versions and delete markers in order of their keys, the newest of a key first.
    pub versions: Vec<ListedVersion>,
    /// Common prefixes in order.
    pub prefixes: Vec<String>,
    /// Exactly when there are more: the last item of the page, a key and its version, or a
    /// common prefix.
    pub next: Option<(String, Option<DisplayVersion>)>,
}

/// Current and older versions as one sequence: by key, then newest first.
struct Versions<'a> {
    current: Cursor<'a>,
    older: Cursor<'a>,
}

/// One step of [`Versions`].
struct Step {
    key: Bytes,
    latest: bool,
    value: Bytes,
}

impl Versions<'_> {
    async fn next(&mut self) -> Result<Option<Step>> {
        // A write moves a version from the current to the older ones. Read in this order it is
        // seen twice at worst, and dropped by the caller; in the other order it would be missed.
        if self.current.is_drained() {
            self.older.refresh();
        }
        let current = self.current.peek().await?;
        let current = current.map(|(key, _)| key.slice(rows::CURRENT.len()..));
        let older = match self.older.peek().await? {
            Some((key, _)) => Some(rows::older_key(key)?),
            None => None,
        };
        let latest = match (&current, &older) {
            (None, None) => return Ok(None),
            // The current version of a key is newer than all others.
            (Some(current), Some(older)) => **current <= **older,
            (current, _) => current.is_some(),
        };
        let row = if latest {
            self.current.next().await?
        } else {
            self.older.next().await?
        };
        let key = if latest { current } else { older };
        Ok(key.zip(row).map(|(key, (_, row))| Step {
            key,
            latest,
            value: row.value,
        }))
    }

    /// Steps behind all keys that begin with `prefix`.
    fn skip_prefix(&mut self, prefix: &[u8]) {
        let behind = |kind: &[u8], name: &[u8]| prefix_end(&[kind, name].concat());
        self.current.seek(behind(rows::CURRENT, prefix));
        self.older.seek(behind(rows::OLDER, &rows::escape(prefix)));
    }
}

impl Objects {
    /// Lists versions and delete markers. With `after_version`, `request.after` is a key of which
    /// the versions older than that one still come.
    ///
    /// # Errors
    /// `WrongPermit` unless the permit is for `ListBucketVersions`; `InvalidArgument` for a
    /// version without a key; failures of the engine.
    pub async fn list_versions(
        &self,
        permit: &Permit,
        request: &ListRequest<'_>,
        after_version: Option<DisplayVersion>,
    ) -> Result<VersionPage> {
        let partition = partition(permit, Action::ListBucketVersions, request.prefix)?;
        let mut out = VersionPage::default();
        let Some(mut versions) = self.begin(partition, request, after_version).await? else {
            return Ok(out);
        };
        let grouping = request.grouping();
        let mut page = Page::new(request.page());
        let mut last: (Bytes, Option<DisplayVersion>) = (Bytes::new(), None);
        while let Some(step) = versions.next().await? {
            let common = grouping.common_prefix(&step.key);
            let listed = match common {
                Some(_) => None,
                None => Some(listed(&step)?),
            };
            let seen = listed.as_ref().is_some_and(|l| last.1 == Some(l.version));
            if seen && last.0 == step.key {
                continue;
            }
            if page.is_full() {
                out.next = Some((text(&last.0)?, last.1));
                break;
            }
            if let Some(len) = common {
                let prefix = step.key.slice(..len);
                versions.skip_prefix(&prefix);
                page.prefixes.push(prefix.clone());
                last = (prefix, None);
                continue;
            }
            last = (step.key, listed.as_ref().map(|l| l.version));
            page.items.extend(listed);
        }
        out.versions = page.items;
        out.prefixes = texts(&page.prefixes)?;
        Ok(out)
    }

    /// Both cursors at the first version to show; `None` when there is nothing to show.
    async fn begin(
        &self,
        partition: PartitionId,
        request: &ListRequest<'_>,
        after_version: Option<DisplayVersion>,
    ) -> Result<Option<Versions<'_>>> {
        let after = request.after.map(str::as_bytes);
        if after_version.is_some() && after.is_none() {
            return Err(Error::InvalidArgument(
                "A version-id marker cannot be specified without a key marker.".to_owned(),
            ));
        }
        let grouping = request.grouping();
        let (Some(start), 1..) = (grouping.start(after), request.page()) else {
            return Ok(None);
        };
        let prefix = request.prefix.as_bytes();
        let escaped = rows::escape(prefix);
        let mut current = [rows::CURRENT, &start].concat();
        let mut older = [rows::OLDER, &rows::escape(&start)].concat();
        let within = after
            .zip(after_version)
            .filter(|(key, _)| key.starts_with(prefix) && !grouping.is_common_prefix(key));
        if let Some((key, marker)) = within {
            match self.position_of(partition, key, marker).await? {
                // Gone since the last page, and `null` does not say its time: the key comes again
                // as a whole, rather than in part or not at all.
                None => {
                    current = rows::current(key).to_vec();
                    older = rows::older_prefix(key).to_vec();
                }
                Some((version, was_current)) => {
                    let row = self
                        .engine
                        .index
                        .get(partition, &rows::current(key), store::Want::Value)
                        .await?;
                    let current_is_older = match row {
                        Some(row) => RecordView::decode(&row.value)?.version < version,
                        None => false,
                    };
                    if current_is_older && !was_current {
                        current = rows::current(key).to_vec();
                    }
                    older = crate::listing::after(&rows::older(key, version)).to_vec();
                }
            }
        }
        let cursor = |start: Vec<u8>, prefix: &[u8]| {
            let range = ScanRange::new(start, prefix_end(prefix));
            Cursor::new(&*self.engine.index, partition, range, request.page() + 1)
        };
        Ok(Some(Versions {
            current: cursor(current, &[rows::CURRENT, prefix].concat()),
            older: cursor(older, &[rows::OLDER, &escaped].concat()),
        }))
    }

    /// The internal version that a marker names, and whether it is the current one.
    async fn position_of(
        &self,
        partition: PartitionId,
        key: &[u8],
        marker: DisplayVersion,
    ) -> Result<Option<(VersionId, bool)>> {
        if let DisplayVersion::Id(version) = marker {
            return Ok(Some((version, false)));
        }
        let index = &*self.engine.index;
        let row_key = rows::current(key);
        if let Some(row) = index.get(partition, &row_key, store::Want::Value).await? {
            let record = RecordView::decode(&row.value)?;
            if record.null {
                return Ok(Some((record.version, true)));
            }
        }
        let range = ScanRange::prefix(&rows::older_prefix(key));
        let mut older = Cursor::new(index, partition, range, 16);
        while let Some((_, row)) = older.next().await? {
            let record = RecordView::decode(&row.value)?;
            if record.null {
                return Ok(Some((record.version, false)));
            }
        }
        Ok(None)
    }
}

fn listed(step: &Step) -> Result<ListedVersion> {
    let record = RecordView::decode(&step.value)?;
    let version = if record.null {
        DisplayVersion::Null
    } else {
        DisplayVersion::Id(record.version)
    };
    Ok(ListedVersion {
        key: text(&step.key)?,
        version,
        latest: step.latest,
        modified: record.modified,
        content: (!record.delete_marker).then_some(ListedContent {
            size: record.size,
            etag: record.etag,
            checksum: record.checksum,
        }),
    })
}
