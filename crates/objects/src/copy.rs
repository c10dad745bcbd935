//! CopyObject: a new version made of another version's bytes. The bytes are read, verified and
//! written anew: nothing is shared with the source.

use access::{Action, Permit};
use types::{ChecksumAlgorithm, ChecksumKind, ObjectKey, Timestamp, limits::PUT_BYTES_MAX};

use crate::{
    DisplayVersion, Error, Fields, GetRequest, ObjectAttributes, ObjectList, Objects, PutInput,
    PutOutcome, ReadConditions, Result, WriteConditions, bucket::deed_for, multipart::SourceBody,
};

/// Where the bytes come from.
pub struct CopySource<'a> {
    /// To read the source: `GetObject`, or `GetObjectVersion` with a version.
    pub permit: &'a Permit,
    /// The source's key.
    pub key: &'a ObjectKey,
    /// The source's version.
    pub version: Option<DisplayVersion>,
    /// On the source.
    pub conditions: ReadConditions,
}

/// What becomes of the copy.
#[derive(Debug, Clone, Default)]
pub struct CopyInput {
    /// Replaces the source's headers and metadata (`x-amz-metadata-directive: REPLACE`). Its tags
    /// are not looked at.
    pub attributes: Option<ObjectAttributes>,
    /// Replaces the source's tags (`x-amz-tagging-directive: REPLACE`).
    pub tags: Option<Vec<(String, String)>>,
    /// The access control list of the copy, where it is not that of the bucket's owner alone: that
    /// of the source is not copied.
    pub list: Option<ObjectList>,
    /// Whether a storage class is named: with one S3 rewrites an object in its place.
    pub class: bool,
    /// Computes this checksum instead of the source's.
    pub algorithm: Option<ChecksumAlgorithm>,
    /// On the destination.
    pub conditions: WriteConditions,
}

/// An object that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// As of an object that was put.
    pub put: PutOutcome,
    /// When the copy was made.
    pub modified: Timestamp,
    /// The version that was copied; `None` while versioning was never on there.
    pub source_version: Option<DisplayVersion>,
}

/// What a failure to read under these conditions means of a copy's source.
pub(crate) fn of_source(error: Error, conditions: &ReadConditions) -> Error {
    match error {
        Error::NotModified { .. } if conditions.if_none_match.is_some() => {
            Error::PreconditionFailed("x-amz-copy-source-If-None-Match")
        }
        Error::NotModified { .. } => {
            Error::PreconditionFailed("x-amz-copy-source-If-Modified-Since")
        }
        Error::PreconditionFailed("If-Match") => {
            Error::PreconditionFailed("x-amz-copy-source-If-Match")
        }
        Error::PreconditionFailed(_) => {
            Error::PreconditionFailed("x-amz-copy-source-If-Unmodified-Since")
        }
        Error::DeleteMarker { .. } => Error::InvalidRequest(
            "The source of a copy request may not specifically refer to a delete marker by \
             version id."
                .to_owned(),
        ),
        other => other,
    }
}

impl Objects {
    /// Copies. `permit` is for `PutObject` on the destination's bucket.
    ///
    /// # Errors
    /// As of [`Objects::get`] for the source, where "not modified" is `PreconditionFailed`;
    /// `InvalidRequest` for a copy onto itself that changes nothing, and for more than 5 GiB; as
    /// of [`Objects::put`] for the destination.
    pub async fn copy(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        source: CopySource<'_>,
        input: CopyInput,
    ) -> Result<Copied> {
        deed_for(permit, &[Action::PutObject], (key, None))?;
        let same = source.key == key
            && source.version.is_none()
            && source.permit.deed().map(|d| d.id) == permit.deed().map(|d| d.id);
        let kept = input.attributes.is_none() && input.tags.is_none();
        if same && kept && input.algorithm.is_none() && !input.class {
            return Err(changes_nothing());
        }
        let request = GetRequest {
            version: source.version,
            conditions: source.conditions,
            range: None,
            part: None,
        };
        let view = self.get(source.permit, source.key, &request).await;
        let view = view.map_err(|error| of_source(error, &request.conditions))?;
        let len = view.len();
        if len > PUT_BYTES_MAX {
            return Err(too_large());
        }
        let tags = input
            .tags
            .unwrap_or_else(|| view.info.attributes.tags.clone());
        let mut attributes = input.attributes.unwrap_or(view.info.attributes);
        attributes.tags = tags;
        attributes.fields = Fields::default();
        attributes.set_list(input.list.as_ref());
        attributes.replica = false; // Whoever copies writes an object of their own.
        // A composite checksum is of parts that the copy does not have.
        let kept = view
            .info
            .checksum
            .filter(|c| c.kind() == ChecksumKind::FullObject);
        let put = PutInput {
            body: Box::new(SourceBody::new(view.content, len)),
            attributes,
            md5: None,
            checksum: kept.filter(|c| input.algorithm.is_none_or(|a| a == c.algorithm())),
            trailer: None,
            conditions: input.conditions,
        };
        let algorithm = input
            .algorithm
            .or(view.info.checksum.map(|c| c.algorithm()));
        let (put, modified) = match self.put_with(permit, key, put, algorithm).await {
            // It is our source that broke off, not the client.
            Err(Error::Body(error)) => return Err(Error::Record(error.to_string())),
            Err(Error::BadDigest(what)) => {
                return Err(Error::Record(format!(
                    "the source does not have its {what}"
                )));
            }
            other => other?,
        };
        if put.size != len {
            return Err(Error::Record("an object of another size".to_owned()));
        }
        Ok(Copied {
            put,
            modified,
            source_version: view.info.version,
        })
    }
}

fn changes_nothing() -> Error {
    Error::InvalidRequest(
        "This copy request is illegal because it is trying to copy an object to itself without \
         changing the object's metadata, storage class, website redirect location or encryption \
         attributes."
            .to_owned(),
    )
}

/// A source of more than 5 GiB has to be copied by parts.
pub(crate) fn too_large() -> Error {
    Error::InvalidRequest(format!(
        "The specified copy source is larger than the maximum allowable size for a copy source: \
         {PUT_BYTES_MAX}"
    ))
}
