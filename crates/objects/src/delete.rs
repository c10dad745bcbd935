//! DeleteObject: a version for good, or the current one from view.

use access::{Action, Permit};
use store::Batch;
use types::{BucketDeed, ETag, ObjectKey};

use crate::{
    DisplayVersion, Error, Objects, Result,
    bucket::deed_for,
    conditions::WriteConditions,
    records::{ObjectAttributes, ObjectBody, Versioning},
    versions::NewVersion,
};

/// What a delete did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The version that was removed, or the delete marker that was made; `None` while versioning
    /// was never on.
    pub version: Option<DisplayVersion>,
    /// Whether that is a delete marker.
    pub delete_marker: bool,
}

impl Objects {
    /// Deletes. What is not there is no error, unless a condition asks for it.
    ///
    /// # Errors
    /// `PreconditionFailed`, `NoSuchKey` or `NoSuchVersion` (a condition on nothing), `Contention`;
    /// `WrongPermit` unless the permit is for `DeleteObject`, or `DeleteObjectVersion` when a
    /// version is named;
    /// `WrongKey`.
    pub async fn delete(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        conditions: &WriteConditions,
    ) -> Result<Deleted> {
        let action = match version {
            None => Action::DeleteObject,
            Some(_) => Action::DeleteObjectVersion,
        };
        let deed = deed_for(permit, &[action], (key, version))?;
        let conditions = conditions.clone().within(permit);
        let deleting = self.delete_if(deed, key, version, &conditions);
        self.taken(deed, &conditions, deleting).await
    }

    async fn delete_if(
        &self,
        deed: &BucketDeed,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        conditions: &WriteConditions,
    ) -> Result<Deleted> {
        if let Some(version) = version {
            let removed = self
                .remove_version(deed, key, version, conditions, false)
                .await?;
            if removed.is_none() && conditions.state.is_some() {
                return Err(Error::NoSuchVersion);
            }
            return Ok(Deleted {
                version: Some(version),
                delete_marker: removed.is_some_and(|r| r.delete_marker),
            });
        }
        if self.bucket(deed).await?.versioning() == Versioning::Off {
            let null = DisplayVersion::Null;
            match self.remove_version(deed, key, null, conditions, true).await {
                // Versioning was turned on just now: leave a marker instead.
                Err(Error::BucketBusy) => {}
                Ok(None) if !conditions.is_empty() => {
                    return Err(Error::NoSuchKey {
                        delete_marker: None,
                    });
                }
                Err(error) => return Err(error),
                Ok(_) => return Ok(Deleted::default()),
            }
        }
        let marker = NewVersion {
            parts: 0,
            key,
            size: 0,
            etag: ETag::whole([0; 16]),
            checksum: None,
            body: ObjectBody::None,
            payload: None,
            fresh: None,
            attributes: ObjectAttributes::default(),
            conditions,
        };
        let written = self.commit_version(deed, marker, &Batch::new()).await?;
        Ok(Deleted {
            version: written.version,
            delete_marker: true,
        })
    }
}
