//! The listing of current objects, behind ListObjects and ListObjectsV2.

use access::{Action, Permit};
use bytes::Bytes;
use store::{ScanRange, prefix_end};
use types::{ChecksumAlgorithm, ChecksumKind, ETag, Timestamp};

use crate::{
    Error, Objects, Result,
    listing::{Cursor, ListRequest, Page},
    records::RecordView,
    rows,
};

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The key.
    pub key: String,
    /// Bytes of content.
    pub size: u64,
    /// The entity tag.
    pub etag: ETag,
    /// When it was written.
    pub modified: Timestamp,
    /// Which checksum is stored, and over what.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
}

/// A page of current objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// Objects in order of their keys, by bytes.
    pub objects: Vec<ListedObject>,
    /// Common prefixes in order.
    pub prefixes: Vec<String>,
    /// The last key or common prefix of this page, exactly when there are more behind it.
    pub next: Option<String>,
}

impl Objects {
    /// Lists current objects, leaving out keys whose current version is a delete marker.
    ///
    /// # Errors
    /// `WrongPermit` unless the permit is for `ListBucket`; failures of the engine.
    pub async fn list_objects(
        &self,
        permit: &Permit,
        request: &ListRequest<'_>,
    ) -> Result<ObjectPage> {
        let partition = crate::listing::partition(permit, Action::ListBucket, request.prefix)?;
        let mut out = ObjectPage::default();
        let grouping = request.grouping();
        let start = grouping.start(request.after.map(str::as_bytes));
        let (Some(start), 1..) = (start, request.page()) else {
            return Ok(out);
        };
        let prefix = [rows::CURRENT, request.prefix.as_bytes()].concat();
        let range = ScanRange::new([rows::CURRENT, &start].concat(), prefix_end(&prefix));
        let mut cursor = Cursor::new(&*self.engine.index, partition, range, request.page() + 1);
        let mut page = Page::new(request.page());
        let mut last = Bytes::new();
        while let Some((row_key, row)) = cursor.next().await? {
            let record = RecordView::decode(&row.value)?;
            if record.delete_marker {
                continue;
            }
            if page.is_full() {
                out.next = Some(text(&last)?);
                break;
            }
            let key = row_key.slice(rows::CURRENT.len()..);
            if let Some(len) = grouping.common_prefix(&key) {
                last = key.slice(..len);
                cursor.seek(prefix_end(&row_key[..rows::CURRENT.len() + len]));
                page.prefixes.push(last.clone());
            } else {
                page.items.push(ListedObject {
                    key: text(&key)?,
                    size: record.size,
                    etag: record.etag,
                    modified: record.modified,
                    checksum: record.checksum,
                });
                last = key;
            }
        }
        out.objects = page.items;
        out.prefixes = texts(&page.prefixes)?;
        Ok(out)
    }
}

/// A stored name as text. Names are checked to be UTF-8 when they are stored, and a delimiter is
/// UTF-8 too, so a cut behind it is at a character's end.
pub(crate) fn text(name: &[u8]) -> Result<String> {
    match std::str::from_utf8(name) {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(Error::Record("a key that is not UTF-8".to_owned())),
    }
}

/// Stored names as text.
pub(crate) fn texts(names: &[Bytes]) -> Result<Vec<String>> {
    names.iter().map(|name| text(name)).collect()
}
