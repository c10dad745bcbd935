//! Tags of one version of an object.

use access::{Action, Permit};
use store::Batch;
use types::{BucketDeed, ObjectKey, limits::OBJECT_TAGS_MAX};

use crate::{
    DisplayVersion, Error, Objects, Result,
    bucket::{TRIES_MAX, deed_for},
    conditions::WriteConditions,
    get::{check_marker, version_of},
    records::{Cause, ChangeKind, Effect},
    tags,
    versions::{Landed, log},
};

/// Tags, and the version that has them (`None` while versioning was never on).
pub type VersionTags = (Vec<(String, String)>, Option<DisplayVersion>);

impl Objects {
    /// The tags of a version, or of the current one.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, `DeleteMarker`.
    pub async fn object_tags(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
    ) -> Result<VersionTags> {
        let actions = [Action::GetObjectTagging, Action::GetObjectVersionTagging];
        let deed = deed_for(permit, &actions, (key, version))?;
        let bucket = self.readable_bucket(deed).await?;
        let record = self.read_version(&bucket, key, version).await?.record;
        check_marker(&bucket, &record, version)?;
        let version = version_of(&bucket, &record);
        Ok((record.attributes.tags, version))
    }

    /// Replaces the tags of a version, or of the current one; none at all removes them. Answers
    /// which version that was.
    ///
    /// # Errors
    /// `InvalidTag`, `NoSuchKey`, `NoSuchVersion`, `DeleteMarker`, `Contention`.
    pub async fn set_object_tags(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        new: Vec<(String, String)>,
    ) -> Result<Option<DisplayVersion>> {
        let actions = [
            Action::PutObjectTagging,
            Action::PutObjectVersionTagging,
            Action::DeleteObjectTagging,
            Action::DeleteObjectVersionTagging,
        ];
        let deed = deed_for(permit, &actions, (key, version))?;
        tags::check(&new, OBJECT_TAGS_MAX)?;
        let none = WriteConditions::default();
        let tagging = self.tag(deed, key, version, &new);
        self.taken(deed, &none, tagging).await
    }

    async fn tag(
        &self,
        deed: &BucketDeed,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        new: &[(String, String)],
    ) -> Result<Option<DisplayVersion>> {
        for _ in 0..TRIES_MAX {
            let bucket = self.bucket(deed).await?;
            let _lock = self.locks.lock(bucket.partition, key.as_bytes()).await;
            self.may_take(deed, &WriteConditions::default())?;
            let mut stored = self.read_version(&bucket, key, version).await?;
            check_marker(&bucket, &stored.record, version)?;
            let batch = Batch::new().guard(bucket.guard()).guard(stored.guard());
            let attributes = &mut stored.record.attributes;
            new.clone_into(&mut attributes.tags);
            let floor = attributes.tagged.or(Some(stored.record.version));
            attributes.tagged = Some(self.next_version(deed, floor)?);
            let (row_key, value) = (stored.row_key, stored.record.encode());
            let batch = match stored.row.payload {
                Some(payload) => batch.put_with(row_key, value, payload),
                None => batch.put(row_key, value),
            };
            let effect = Effect::nothing(self.clock.now(), Cause::Client);
            let named = (key, &stored.record);
            let batch = log(batch, ChangeKind::Tags, named, Some(deed.epoch), effect);
            if let Landed::Yes = self.land(deed, &bucket, batch).await? {
                return Ok(version_of(&bucket, &stored.record));
            }
        }
        Err(Error::Contention)
    }
}
