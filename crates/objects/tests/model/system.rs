//! What the driver needs of the thing that it judges, in plain values.

use bytes::Bytes;

use crate::reference::{Condition, Content, Id, Refusal};

/// A page of current objects: key, ETag and size of each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ObjectPage {
    pub objects: Vec<(String, String, u64)>,
    pub prefixes: Vec<String>,
    pub next: Option<String>,
}

/// A version in a listing.
#[derive(Debug, PartialEq, Eq)]
pub struct ListedVersion {
    pub key: String,
    pub id: Id,
    pub latest: bool,
    /// `None` for a delete marker.
    pub etag: Option<String>,
}

/// The last item of a page: a key and its version, or a common prefix.
pub type VersionMarker = (String, Option<Id>);

/// A page of versions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct VersionPage {
    pub versions: Vec<ListedVersion>,
    pub prefixes: Vec<String>,
    pub next: Option<VersionMarker>,
}

/// The last item of a page: a key and its upload, or a common prefix.
pub type UploadMarker = (String, Option<String>);

/// A page of uploads: key and id of each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UploadPage {
    pub uploads: Vec<(String, String)>,
    pub prefixes: Vec<String>,
    pub next: Option<UploadMarker>,
}

/// An ETag and the version that was made.
pub type Written = (String, Option<Id>);

/// The thing that is judged.
#[allow(async_fn_in_trait)] // only called from one test, on one thread
pub trait System {
    async fn reopen(&mut self);
    /// Bytes of all versions and parts in a bucket: by the sum of its change log, and counted.
    async fn held(&self, bucket: &str) -> (i128, i128);
    async fn create_bucket(&self, name: &str);
    async fn delete_bucket(&self, name: &str) -> Result<(), Refusal>;
    async fn set_versioning(&self, name: &str, on: bool);
    async fn put(
        &self,
        bucket: &str,
        key: &str,
        content: &Content,
        condition: &Condition,
    ) -> Result<Written, Refusal>;
    async fn get(
        &self,
        bucket: &str,
        key: &str,
        id: Option<&Id>,
        range: Option<(u64, u64)>,
    ) -> Result<(String, Bytes, Option<String>), Refusal>;
    async fn head(
        &self,
        bucket: &str,
        key: &str,
        id: Option<&Id>,
    ) -> Result<(String, u64), Refusal>;
    async fn delete(&self, bucket: &str, key: &str, id: Option<&Id>) -> (bool, Option<Id>);
    async fn delete_many(
        &self,
        bucket: &str,
        which: &[(&str, Option<Id>)],
    ) -> Vec<(bool, Option<Id>)>;
    async fn copy(
        &self,
        from: (&str, &str, Option<&Id>),
        to: (&str, &str),
        tags: Option<&[(String, String)]>,
    ) -> Result<Written, Refusal>;
    async fn put_tags(
        &self,
        bucket: &str,
        key: &str,
        id: Option<&Id>,
        tags: &[(String, String)],
    ) -> Result<(), Refusal>;
    async fn get_tags(
        &self,
        bucket: &str,
        key: &str,
        id: Option<&Id>,
    ) -> Result<Vec<(String, String)>, Refusal>;
    async fn create_upload(&self, bucket: &str, key: &str, content_type: Option<&str>) -> String;
    async fn upload_part(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: u16,
        bytes: Bytes,
    ) -> Result<String, Refusal>;
    async fn complete(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        parts: &[(u16, String)],
    ) -> Result<Written, Refusal>;
    async fn abort(&self, bucket: &str, key: &str, upload: &str) -> Result<(), Refusal>;
    async fn list_parts(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        after: u16,
        limit: usize,
    ) -> (Vec<(u16, u64)>, bool);
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        after: &str,
        limit: usize,
    ) -> ObjectPage;
    async fn list_versions(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        marker: Option<&VersionMarker>,
        limit: usize,
    ) -> VersionPage;
    async fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: &str,
        marker: Option<&UploadMarker>,
        limit: usize,
    ) -> UploadPage;
}
