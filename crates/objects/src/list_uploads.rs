//! The listing of multipart uploads under way, behind ListMultipartUploads.

use access::{Action, Permit};
use bytes::Bytes;
use store::{ScanRange, prefix_end};
use types::{ChecksumAlgorithm, ChecksumKind, Timestamp, UploadId};

use crate::{
    Objects, Result,
    list::{text, texts},
    listing::{self, Cursor, ListRequest, Page},
    records::UploadRecord,
    rows,
};

/// An upload in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// The key that it will become.
    pub key: String,
    /// Its id.
    pub upload: UploadId,
    /// When it began.
    pub initiated: Timestamp,
    /// Which checksum it will have.
    pub checksum: (ChecksumAlgorithm, ChecksumKind),
}

/// A page of uploads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadPage {
    /// Uploads in order of their keys, the oldest of a key first.
    pub uploads: Vec<ListedUpload>,
    /// Common prefixes in order.
    pub prefixes: Vec<String>,
    /// Exactly when there are more: the last item of the page, a key and its upload, or a common
    /// prefix.
    pub next: Option<(String, Option<UploadId>)>,
}

impl Objects {
    /// Lists uploads under way. With `after_upload`, `request.after` is a key of which the
    /// uploads behind that one still come.
    ///
    /// # Errors
    /// `WrongPermit` unless the permit is for `ListBucketMultipartUploads`; failures of the
    /// engine.
    pub async fn list_uploads(
        &self,
        permit: &Permit,
        request: &ListRequest<'_>,
        after_upload: Option<UploadId>,
    ) -> Result<UploadPage> {
        let action = Action::ListBucketMultipartUploads;
        let partition = listing::partition(permit, action, request.prefix)?;
        let mut out = UploadPage::default();
        let grouping = request.grouping();
        let after = request.after.map(str::as_bytes);
        let (Some(start), 1..) = (grouping.start(after), request.page()) else {
            return Ok(out);
        };
        let prefix = request.prefix.as_bytes();
        let mut start = [rows::UPLOAD, &rows::escape(&start)].concat();
        if let Some((key, upload)) = after.zip(after_upload)
            && key.starts_with(prefix)
            && !grouping.is_common_prefix(key)
        {
            start = listing::after(&rows::upload(key, upload)).to_vec();
        }
        let end = prefix_end(&[rows::UPLOAD, &rows::escape(prefix)].concat());
        let range = ScanRange::new(start, end);
        let mut cursor = Cursor::new(&*self.engine.index, partition, range, request.page() + 1);
        let mut page = Page::new(request.page());
        let mut last: (Bytes, Option<UploadId>) = (Bytes::new(), None);
        while let Some((row_key, row)) = cursor.next().await? {
            if page.is_full() {
                out.next = Some((text(&last.0)?, last.1));
                break;
            }
            let (key, upload) = rows::split_upload(&row_key)?;
            if let Some(len) = grouping.common_prefix(&key) {
                let prefix = key.slice(..len);
                let behind = prefix_end(&[rows::UPLOAD, &rows::escape(&prefix)].concat());
                cursor.seek(behind);
                page.prefixes.push(prefix.clone());
                last = (prefix, None);
                continue;
            }
            let record = UploadRecord::decode(&row.value)?;
            page.items.push(ListedUpload {
                key: text(&key)?,
                upload,
                initiated: record.initiated,
                checksum: (record.algorithm, record.kind),
            });
            last = (key, Some(upload));
        }
        out.uploads = page.items;
        out.prefixes = texts(&page.prefixes)?;
        Ok(out)
    }
}
