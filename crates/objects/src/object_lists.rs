//! The access control list of one version of an object.

use access::{AccessList, Action, Grant, Permit};
use store::Batch;
use types::{BucketDeed, ObjectKey};

use crate::{
    DisplayVersion, Error, Objects, Result,
    bucket::{TRIES_MAX, deed_for},
    conditions::WriteConditions,
    get::{check_marker, version_of},
    records::{Cause, ChangeKind, Effect, ObjectList, ObjectRecord},
    versions::{Landed, log},
};

impl Objects {
    /// The list of a version, or of the current one; `None` where the bucket's owner owns it, and
    /// nobody else has access.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, `DeleteMarker`.
    pub async fn object_list(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
    ) -> Result<Option<AccessList>> {
        Ok(self.object_list_of(permit, key, version).await?.0)
    }

    /// The same, with the version that has it (`None` while versioning was never on).
    ///
    /// # Errors
    /// As [`Self::object_list`].
    pub async fn object_list_of(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
    ) -> Result<(Option<AccessList>, Option<DisplayVersion>)> {
        let actions = [Action::GetObjectAcl, Action::GetObjectVersionAcl];
        let deed = deed_for(permit, &actions, (key, version))?;
        let bucket = self.readable_bucket(deed).await?;
        let want = store::Want::Value;
        let stored = self.read_version_as(&bucket, key, version, want).await?;
        check_marker(&bucket, &stored.record, version)?;
        let list = stored.record.attributes.list()?;
        let version = version_of(&bucket, &stored.record);
        Ok((list.map(|own| own.list), version))
    }

    /// Replaces the grants of a version, or of the current one, by what `grants` makes of the list
    /// that is there. Who owns it stays. Answers which version that was.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, `DeleteMarker`, `Contention`; those of `grants`.
    pub async fn set_object_list(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        grants: impl Fn(&AccessList) -> Result<Vec<Grant>>,
    ) -> Result<Option<DisplayVersion>> {
        let actions = [Action::PutObjectAcl, Action::PutObjectVersionAcl];
        let deed = deed_for(permit, &actions, (key, version))?;
        let none = WriteConditions::default();
        let setting = self.replace_list(deed, key, version, grants);
        self.taken(deed, &none, setting).await
    }

    async fn replace_list(
        &self,
        deed: &BucketDeed,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        grants: impl Fn(&AccessList) -> Result<Vec<Grant>>,
    ) -> Result<Option<DisplayVersion>> {
        for _ in 0..TRIES_MAX {
            let bucket = self.bucket(deed).await?;
            let _lock = self.locks.lock(bucket.partition, key.as_bytes()).await;
            self.may_take(deed, &WriteConditions::default())?;
            let mut stored = self.read_version(&bucket, key, version).await?;
            check_marker(&bucket, &stored.record, version)?;
            let batch = Batch::new().guard(bucket.guard()).guard(stored.guard());
            let attributes = &mut stored.record.attributes;
            let before = attributes.list()?;
            let floor = before.as_ref().map(|own| own.set);
            let floor = floor.max(Some(stored.record.version));
            let mut list = list_of(before, deed);
            list.grants = grants(&list)?;
            let set = self.next_version(deed, floor)?;
            attributes.set_list(Some(&ObjectList { list, set }));
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

fn list_of(stored: Option<ObjectList>, deed: &BucketDeed) -> AccessList {
    match stored {
        Some(own) => own.list,
        None => AccessList::of_owner(&deed.owner),
    }
}

/// Refuses a write that only the bucket's list permits over what its writer does not own.
pub(crate) fn check_owner(
    conditions: &WriteConditions,
    deed: &BucketDeed,
    record: &ObjectRecord,
) -> Result<()> {
    let Some(only_over) = &conditions.only_over else {
        return Ok(());
    };
    if record.delete_marker {
        return Ok(());
    }
    let list = list_of(record.attributes.list()?, deed);
    match access::may_replace(only_over.as_ref(), &list.owner) {
        true => Ok(()),
        false => Err(Error::NotOwned),
    }
}
