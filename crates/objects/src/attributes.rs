//! GetObjectAttributes: what is known of an object without its bytes, its parts included.

use access::{Action, Permit};
use types::{ChecksumValue, ObjectKey};

use crate::{
    DisplayVersion, GetRequest, ObjectInfo, Objects, ReadConditions, Result,
    bucket::deed_for,
    get::check_marker,
    records::{ObjectBody, decode_manifest},
    versions::missing_payload,
};

/// A part of an object that was put together from parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectPart {
    /// Its number.
    pub number: u16,
    /// Bytes.
    pub size: u64,
    /// Its checksum, when the upload had an algorithm.
    pub checksum: Option<ChecksumValue>,
}

impl Objects {
    /// What is known of a version, or of the current one, and its parts in order of number.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, `DeleteMarker`; `PreconditionFailed` and `NotModified` by the
    /// conditions.
    pub async fn attributes(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        version: Option<DisplayVersion>,
        conditions: ReadConditions,
    ) -> Result<(ObjectInfo, Vec<ObjectPart>)> {
        let actions = [
            Action::GetObjectAttributes,
            Action::GetObjectVersionAttributes,
            Action::GetObjectAcl,
            Action::GetObjectVersionAcl,
            Action::PutObjectAcl,
            Action::PutObjectVersionAcl,
            Action::GetObjectLegalHold,
            Action::GetObjectRetention,
        ];
        let deed = deed_for(permit, &actions, (key, version))?;
        let bucket = self.readable_bucket(deed).await?;
        let stored = self.read_version(&bucket, key, version).await?;
        check_marker(&bucket, &stored.record, version)?;
        let parts = match &stored.record.body {
            ObjectBody::Parts(_) => {
                let payload = stored.row.payload.as_ref().ok_or_else(missing_payload)?;
                let part = |p: &crate::records::ManifestPart| ObjectPart {
                    number: p.number,
                    size: p.size,
                    checksum: p.checksum,
                };
                decode_manifest(payload)?.iter().map(part).collect()
            }
            _ => Vec::new(),
        };
        let request = GetRequest {
            version,
            conditions,
            ..GetRequest::default()
        };
        let view = self.view(&bucket, stored, &request, false).await?;
        Ok((view.info, parts))
    }
}
