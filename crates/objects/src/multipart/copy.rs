//! UploadPartCopy: a part made of an object's bytes, or of a range of them. The bytes are read,
//! verified, and written anew: nothing is shared with the source.

use access::{Action, Permit};
use bytes::Bytes;
use types::{Body, BodyError, ObjectKey, UploadId, body::NextChunk, limits::PUT_BYTES_MAX};

use super::part::{PartInput, UploadedPart};
use crate::{
    DisplayVersion, Error, GetRequest, ObjectContent, ObjectReader, Objects, RangeSpec,
    ReadConditions, Result, bucket::deed_for,
};

/// Where the bytes of a copied part come from.
pub struct PartSource<'a> {
    /// To read the source: `GetObject`, or `GetObjectVersion` with a version.
    pub permit: &'a Permit,
    /// The source's key.
    pub key: &'a ObjectKey,
    /// The source's version.
    pub version: Option<DisplayVersion>,
    /// On the source.
    pub conditions: ReadConditions,
    /// First and last byte; all bytes when `None`.
    pub range: Option<(u64, u64)>,
}

/// A part that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopiedPart {
    /// As of an uploaded one.
    pub part: UploadedPart,
    /// The version that was copied, when the source's bucket is or was versioned.
    pub source_version: Option<DisplayVersion>,
}

impl Objects {
    /// Makes a part of an object's bytes; one of the same number is replaced.
    ///
    /// # Errors
    /// As of [`Objects::upload_part`] and [`Objects::get`]; a condition that says "not modified"
    /// is `PreconditionFailed` here; `InvalidArgument` for a range that is not inside the source.
    pub async fn upload_part_copy(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        upload: UploadId,
        number: u32,
        source: PartSource<'_>,
    ) -> Result<CopiedPart> {
        let deed = deed_for(permit, &[Action::PutObject], (key, None))?;
        let target = self.part_target(deed, key, upload, number).await?;
        let request = GetRequest {
            version: source.version,
            conditions: source.conditions,
            range: source
                .range
                .map(|(first, last)| RangeSpec::Between(first, last)),
            part: None,
        };
        let view = self.get(source.permit, source.key, &request).await;
        let view = view.map_err(|error| crate::copy::of_source(error, &request.conditions))?;
        let len = view.len();
        // Unlike a read, a copy does not make do with fewer bytes than the range names.
        if source.range.is_some_and(|(_, last)| last >= view.info.size) {
            return Err(Error::InvalidArgument(format!(
                "Range specified is not valid for source object of size: {}",
                view.info.size
            )));
        }
        if len > PUT_BYTES_MAX {
            return Err(Error::InvalidRequest(format!(
                "The specified copy source is larger than the maximum allowable size for a copy \
                 source: {PUT_BYTES_MAX}"
            )));
        }
        let input = PartInput {
            body: Box::new(SourceBody {
                content: view.content,
                len,
            }),
            md5: None,
            checksum: None,
            trailer: None,
        };
        let stored = match self.store_part(&target.record, None, input).await {
            // It is our source that broke off, not the client.
            Err(Error::Body(error)) => return Err(Error::Record(error.to_string())),
            other => other?,
        };
        if stored.size != len {
            return Err(Error::Record("an object of another size".to_owned()));
        }
        Ok(CopiedPart {
            part: self.commit_part(&target, stored).await?,
            source_version: view.info.version,
        })
    }
}

/// The bytes of a stored object as a body.
pub(crate) struct SourceBody {
    content: Option<ObjectContent>,
    len: u64,
}

impl SourceBody {
    pub(crate) fn new(content: Option<ObjectContent>, len: u64) -> Self {
        Self { content, len }
    }

    async fn piece(&mut self) -> Option<std::result::Result<Bytes, BodyError>> {
        match self.content.take()? {
            ObjectContent::Bytes(bytes) => Some(Ok(bytes)).filter(|_| self.len > 0),
            ObjectContent::Reader(reader) => self.read(reader).await,
        }
    }

    async fn read(
        &mut self,
        mut reader: ObjectReader,
    ) -> Option<std::result::Result<Bytes, BodyError>> {
        match reader.next().await {
            Ok(piece) => {
                self.content = Some(ObjectContent::Reader(reader));
                piece.map(Ok)
            }
            Err(error) => Some(Err(BodyError::Connection(format!(
                "the copy's source cannot be read: {error}"
            )))),
        }
    }
}

impl Body for SourceBody {
    fn next(&mut self) -> NextChunk<'_> {
        Box::pin(self.piece())
    }
    fn len_hint(&self) -> Option<u64> {
        Some(self.len)
    }
}
