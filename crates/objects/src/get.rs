//! GetObject and HeadObject: one version, or a range or part of it.

use std::{collections::VecDeque, sync::Arc};

use access::{Action, Permit};
use bytes::Bytes;
use store::{BlobId, BlobReader, BlobRef, Blobs, PartitionId, RowVersion, StoreError, Want};
use types::{BucketDeed, ChecksumValue, ETag, ObjectKey, Timestamp, VersionId};

use crate::{
    DisplayVersion, Error, Objects, Result,
    bucket::{Bucket, deed_for, partition_of},
    conditions::{ReadConditions, Verdict, state_of},
    error::Freshness,
    pins::Pinned,
    readers::Reading,
    records::{ObjectAttributes, ObjectBody, ObjectRecord, Versioning, decode_manifest},
    repair::Suspects,
    rows,
    sealed::Chunks,
    versions::{Stored, missing_payload},
};

/// Bytes that are read from an extent at a time.
const PIECE_BYTES: usize = 512 << 10;
/// Extents that a reader holds open: files are few, parts may be ten thousand.
const OPEN_MAX: usize = 16;
/// How often a read begins anew because its extents were deleted under it.
const TRIES_MAX: usize = 16;

/// A range of bytes as a client asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSpec {
    /// From the first offset to the last one, both included.
    Between(u64, u64),
    /// From this offset to the end.
    From(u64),
    /// The last so many bytes.
    Last(u64),
}

impl RangeSpec {
    /// Reads a `Range` header. `None` for what is no range, or more than one: the whole object is
    /// the answer then (RFC 9110, 14.2; S3 does not support several ranges).
    pub fn parse(text: &str) -> Option<Self> {
        let number = |t: &str| match t.bytes().all(|b| b.is_ascii_digit()) {
            // Digits beyond 64 bits mean "as far as there is".
            true if !t.is_empty() => Some(t.parse().unwrap_or(u64::MAX)),
            _ => None,
        };
        let (unit, range) = text.trim().split_once('=')?;
        let (first, last) = match unit.trim_end().eq_ignore_ascii_case("bytes") {
            true => range.split_once('-')?,
            false => return None,
        };
        match (first, last) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// Start and end (excluded) within `size` bytes. `None` for the last bytes of nothing: that is
    /// there (RFC 9110, 14.1.2), and no `Content-Range` can name it.
    pub(crate) fn within(self, size: u64) -> Result<Option<(u64, u64)>> {
        let (start, end) = match self {
            Self::Between(first, last) => (first, last.saturating_add(1).min(size)),
            Self::From(first) => (first, size),
            Self::Last(1..) if size == 0 => return Ok(None),
            Self::Last(0) => (size, size),
            Self::Last(n) => (size.saturating_sub(n), size),
        };
        if start < end {
            Ok(Some((start, end)))
        } else {
            Err(Error::InvalidRange { size })
        }
    }
}

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct GetRequest {
    /// Which version; the current one when `None`.
    pub version: Option<DisplayVersion>,
    /// On that version.
    pub conditions: ReadConditions,
    /// Only these bytes.
    pub range: Option<RangeSpec>,
    /// Only this part.
    pub part: Option<u32>,
}

/// What is known of a version beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// `None` while versioning was never on.
    pub version: Option<DisplayVersion>,
    /// When it was written.
    pub modified: Timestamp,
    /// Bytes of the whole object.
    pub size: u64,
    /// The entity tag.
    pub etag: ETag,
    /// Of the whole object.
    pub checksum: Option<ChecksumValue>,
    /// Headers, metadata and tags.
    pub attributes: ObjectAttributes,
    /// How many parts it was put together from; 0 for none.
    pub parts: u16,
    /// The version's own id, also where clients see `null` or nothing.
    pub id: VersionId,
    /// Whether its bucket has replication rules here.
    pub ruled: bool,
    /// Where in the region's order of commits the version was written: the row's version.
    pub position: u64,
}

/// The bytes of a version, or some of them.
pub enum ObjectContent {
    /// In memory.
    Bytes(Bytes),
    /// To be read piece by piece.
    Reader(ObjectReader),
}

/// A version as it is read.
pub struct ObjectView {
    /// All but the bytes.
    pub info: ObjectInfo,
    /// Start and end (excluded) of the bytes, when a range or a part was asked for.
    pub range: Option<(u64, u64)>,
    /// The bytes; `None` when they were not asked for.
    pub content: Option<ObjectContent>,
    /// The checksum of the part that was asked for.
    pub part_checksum: Option<ChecksumValue>,
}

impl ObjectView {
    /// How many bytes the answer has.
    pub fn len(&self) -> u64 {
        self.range
            .map_or(self.info.size, |(start, end)| end - start)
    }
    /// Whether the answer has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Objects {
    /// Reads a version with its bytes.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, `DeleteMarker`, `PreconditionFailed`, `NotModified`,
    /// `InvalidRange`, `NoSuchPartNumber`, failures of the engine.
    pub fn get(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        request: &GetRequest,
    ) -> impl Future<Output = Result<ObjectView>> + Send {
        self.read(permit, key, request, true)
    }

    /// Reads a version without its bytes; errors as of [`Objects::get`].
    pub fn head(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        request: &GetRequest,
    ) -> impl Future<Output = Result<ObjectView>> + Send {
        self.read(permit, key, request, false)
    }

    async fn read(
        &self,
        permit: &Permit,
        key: &ObjectKey,
        request: &GetRequest,
        content: bool,
    ) -> Result<ObjectView> {
        let action = match request.version {
            None => Action::GetObject,
            Some(_) => Action::GetObjectVersion,
        };
        let deed = deed_for(permit, &[action], (key, request.version))?;
        if self.sealed_here(deed) {
            let sealed = Box::pin(self.read_sealed(deed, key, request, content)).await;
            return sealed.map(|view| self.noted_view(deed, view));
        }
        // Only bytes and parts need more than the row's value.
        let want = match content || request.part.is_some() {
            true => Want::Payload,
            false => Want::Value,
        };
        for _ in 0..TRIES_MAX {
            let bucket = self.readable_bucket(deed).await?;
            if let Some(view) = self.cached_view(&bucket, key, request, want)? {
                return Ok(view);
            }
            let stored = self
                .read_version_as(&bucket, key, request.version, want)
                .await?;
            match self.view(&bucket, stored, request, content).await {
                // Replaced and swept between the read of the row and the opening.
                Err(Error::Store(StoreError::NoBlob(_))) => {}
                other => return other.map(|view| self.noted_view(deed, view)),
            }
        }
        self.suspect(deed, key, request.version);
        Err(Error::Record(
            "an object refers to an extent that is not there".to_owned(),
        ))
    }

    /// Has the version looked at in the background.
    fn suspect(&self, deed: &BucketDeed, key: &ObjectKey, version: Option<DisplayVersion>) {
        let current = rows::current(key.as_bytes());
        self.suspects.add(partition_of(deed), &current, None);
        if let Some(DisplayVersion::Id(id)) = version {
            let older = rows::older(key.as_bytes(), id);
            self.suspects.add(partition_of(deed), &older, None);
        }
    }

    /// What the row of the current version says, if it is in memory and has all that is asked for.
    /// The usual read of a small object; it waits for nothing.
    fn cached_view(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        request: &GetRequest,
        want: Want,
    ) -> Result<Option<ObjectView>> {
        if request.version.is_some() || request.part.is_some() {
            return Ok(None);
        }
        let row_key = rows::current(key.as_bytes());
        let Some(row) = self.engine.index.cached(bucket.partition, &row_key, want) else {
            return Ok(None);
        };
        let record = ObjectRecord::decode(&row.value)?;
        let content = want == Want::Payload;
        if content && record.body != ObjectBody::Inline {
            return Ok(None);
        }
        let frame = Frame::of(bucket, &record, None, request, content)?;
        let content = match content {
            true => Some(inline_content(&record, row.payload, frame.range)?),
            false => None,
        };
        Ok(Some(ObjectView {
            info: info(bucket, record, frame.version, row.version.0),
            range: frame.range,
            content,
            part_checksum: frame.part_checksum,
        }))
    }

    pub(crate) async fn view(
        &self,
        bucket: &Bucket,
        stored: Stored,
        request: &GetRequest,
        content: bool,
    ) -> Result<ObjectView> {
        let position = stored.row.version.0;
        let record = stored.record;
        let payload = stored.row.payload;
        let frame = Frame::of(bucket, &record, payload.as_ref(), request, content)?;
        let (start, end) = frame.range.unwrap_or((0, record.size));
        let content = match (content, &record.body) {
            (false, _) => None,
            (true, ObjectBody::Inline) => Some(inline_content(&record, payload, frame.range)?),
            (true, _) => Some(ObjectContent::Reader(
                Box::pin(self.open(
                    bucket,
                    (&stored.row_key, stored.row.version),
                    &frame.extents,
                    start,
                    end,
                ))
                .await?,
            )),
        };
        Ok(ObjectView {
            info: info(bucket, record, frame.version, position),
            range: frame.range,
            content,
            part_checksum: frame.part_checksum,
        })
    }

    /// Opens the first of the extents that `start..end` of the object in `row` touches; the others
    /// when their turn comes near. Answers `NoBlob` when the row has changed meanwhile.
    pub(crate) async fn open(
        &self,
        bucket: &Bucket,
        row: (&Bytes, RowVersion),
        extents: &[BlobRef],
        start: u64,
        end: u64,
    ) -> Result<ObjectReader> {
        let mut reader = ExtentReader {
            blobs: Arc::clone(&self.engine.blobs),
            open: VecDeque::new(),
            waiting: VecDeque::new(),
            memory: None,
            row: Some((Arc::clone(&self.suspects), bucket.partition, row.0.clone())),
            _pinned: None,
        };
        let mut at = 0;
        for blob in extents {
            let (from, to) = (start.max(at), end.min(at + blob.len));
            if from < to {
                reader.waiting.push_back((*blob, from - at, to - at));
            }
            at += blob.len;
        }
        if at < end {
            return Err(Error::Record(
                "an object larger than its extents".to_owned(),
            ));
        }
        if let Some((later, ..)) = reader.waiting.get(OPEN_MAX) {
            let later = *later;
            let ids = reader.waiting.iter().skip(OPEN_MAX).map(|w| w.0.id);
            reader._pinned = Some(self.pins.pin(ids.collect()));
            // A row that is there now had its extents when they were pinned.
            let index = &self.engine.index;
            let now = index.get(bucket.partition, row.0, Want::Value).await?;
            if now.is_none_or(|now| now.version != row.1) {
                return Err(StoreError::NoBlob(later.id.to_string()).into());
            }
        }
        reader.open_ahead().await?;
        Ok(reader.into())
    }
}

/// The bytes of an object that are in its row's payload, or a range of them.
fn inline_content(
    record: &ObjectRecord,
    payload: Option<Bytes>,
    range: Option<(u64, u64)>,
) -> Result<ObjectContent> {
    let bytes = payload.ok_or_else(missing_payload)?;
    if bytes.len() as u64 != record.size {
        return Err(Error::Record("an object of another size".to_owned()));
    }
    Ok(ObjectContent::Bytes(match range {
        Some((start, end)) => bytes.slice(start as usize..end as usize),
        None => bytes,
    }))
}

/// What of a version a request is about.
pub(crate) struct Frame {
    pub version: Option<DisplayVersion>,
    /// Start and end (excluded), when a range or a part was asked for.
    pub range: Option<(u64, u64)>,
    pub extents: Vec<BlobRef>,
    pub part_checksum: Option<ChecksumValue>,
}

impl Frame {
    /// Checks the conditions of a request, and finds the bytes that it asks for. `payload` is the
    /// table of parts, if the version has any.
    pub(crate) fn of(
        bucket: &Bucket,
        record: &ObjectRecord,
        payload: Option<&Bytes>,
        request: &GetRequest,
        content: bool,
    ) -> Result<Self> {
        check_marker(bucket, record, request.version)?;
        let version = version_of(bucket, record);
        match request.conditions.check(&record.etag, record.modified) {
            Verdict::Go => {}
            Verdict::Failed(header) => return Err(Error::PreconditionFailed(header)),
            Verdict::NotModified(_) => {
                return Err(Error::NotModified {
                    etag: record.etag,
                    modified: record.modified,
                    version,
                    fresh: Freshness::of(&record.attributes.headers),
                });
            }
        }
        let (extents, part) = match content || request.part.is_some() {
            true => locate(record, payload, request.part)?,
            false => (Vec::new(), None),
        };
        let conditions = &request.conditions;
        let holds = |_: &RangeSpec| conditions.range_holds(&record.etag, record.modified);
        let range = match (part, request.range.filter(holds)) {
            (Some(part), _) => Some((part.start, part.end)),
            (None, Some(range)) => range.within(record.size)?,
            (None, None) => None,
        };
        Ok(Self {
            version,
            range,
            extents,
            part_checksum: part.and_then(|p| p.checksum),
        })
    }
}

pub(crate) fn info(
    bucket: &Bucket,
    record: ObjectRecord,
    version: Option<DisplayVersion>,
    position: u64,
) -> ObjectInfo {
    ObjectInfo {
        version,
        modified: record.modified,
        size: record.size,
        etag: record.etag,
        checksum: record.checksum,
        attributes: record.attributes,
        parts: match record.body {
            ObjectBody::Parts(parts) => parts,
            _ => 0,
        },
        id: record.version,
        ruled: bucket.record.rules.is_some(),
        position,
    }
}

/// As clients see it.
pub(crate) fn version_of(bucket: &Bucket, record: &ObjectRecord) -> Option<DisplayVersion> {
    (bucket.versioning() != Versioning::Off).then(|| record.display())
}

/// A delete marker is no object: not found as the current version, refused when it is named.
pub(crate) fn check_marker(
    bucket: &Bucket,
    record: &ObjectRecord,
    asked: Option<DisplayVersion>,
) -> Result<()> {
    match (record.delete_marker, asked) {
        (false, _) => Ok(()),
        (true, None) => Err(Error::NoSuchKey {
            delete_marker: version_of(bucket, record),
        }),
        (true, Some(version)) => Err(Error::DeleteMarker {
            modified: record.modified,
            version,
            state: state_of(record.version, &record.attributes)?,
        }),
    }
}

/// One part's place in its object.
#[derive(Clone, Copy)]
struct PartSpan {
    start: u64,
    end: u64,
    checksum: Option<ChecksumValue>,
}

/// The extents of an object, and the place of the part that was asked for. An object that was put
/// whole is its own part 1.
fn locate(
    record: &ObjectRecord,
    payload: Option<&Bytes>,
    part: Option<u32>,
) -> Result<(Vec<BlobRef>, Option<PartSpan>)> {
    let whole = PartSpan {
        start: 0,
        end: record.size,
        checksum: record.checksum,
    };
    let place = match part {
        None => None,
        Some(1) => Some(whole),
        Some(_) => return locate_part(record, payload, part),
    };
    match &record.body {
        ObjectBody::None | ObjectBody::Inline => Ok((Vec::new(), place)),
        ObjectBody::Extents(extents) => Ok((extents.clone(), place)),
        ObjectBody::Parts(_) => locate_part(record, payload, part),
    }
}

fn locate_part(
    record: &ObjectRecord,
    payload: Option<&Bytes>,
    part: Option<u32>,
) -> Result<(Vec<BlobRef>, Option<PartSpan>)> {
    if !matches!(record.body, ObjectBody::Parts(_)) {
        // What was uploaded in one piece has one part.
        return Err(Error::NoSuchPartNumber {
            asked: part.unwrap_or_default(),
            parts: 1,
        });
    }
    let manifest = decode_manifest(payload.ok_or_else(missing_payload)?)?;
    let mut start = 0;
    let mut place = None;
    for found in &manifest {
        let end = start + found.size;
        if part == Some(u32::from(found.number)) {
            place = Some(PartSpan {
                start,
                end,
                checksum: found.checksum,
            });
        }
        start = end;
    }
    if let Some(asked) = part.filter(|_| place.is_none()) {
        return Err(Error::NoSuchPartNumber {
            asked,
            parts: manifest.len() as u32, // at most 10,000
        });
    }
    Ok((
        manifest.into_iter().flat_map(|p| p.extents).collect(),
        place,
    ))
}

/// Reads an object's bytes in order, as they are stored here or, between a home and a sealed
/// replica, sealed or opened on the way.
pub struct ObjectReader {
    /// In a box, so that answers from memory are not moved about with room for it.
    extents: Box<ExtentReader>,
    chunks: Option<Box<Chunks>>,
    /// Asked before each piece is given.
    reading: Option<Box<Reading>>,
}

impl From<ExtentReader> for ObjectReader {
    fn from(extents: ExtentReader) -> Self {
        Self {
            extents: Box::new(extents),
            chunks: None,
            reading: None,
        }
    }
}

impl ObjectReader {
    /// Of bytes that are in memory.
    pub(crate) fn of_bytes(blobs: &Arc<dyn Blobs>, bytes: Bytes) -> Self {
        let extents = ExtentReader {
            blobs: Arc::clone(blobs),
            memory: Some(bytes).filter(|b| !b.is_empty()),
            open: VecDeque::new(),
            waiting: VecDeque::new(),
            row: None,
            _pinned: None,
        };
        extents.into()
    }

    /// The same bytes, sealed or opened.
    pub(crate) fn through(self, chunks: Chunks) -> Self {
        Self {
            chunks: Some(Box::new(chunks)),
            ..self
        }
    }

    /// The same, as long as the bucket may be read here.
    pub(crate) fn while_stands(self, reading: Reading) -> Self {
        Self {
            reading: Some(Box::new(reading)),
            ..self
        }
    }

    /// The next piece; `None` at the end. After an error the read is over: it must not be taken
    /// for the end of the object.
    ///
    /// # Errors
    /// `NotHere` once the bucket may not be read here any more; failures of the engine.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let next = match &mut self.chunks {
            None => self.extents.next().await,
            Some(chunks) => chunks.next(&mut self.extents).await,
        };
        // Asked last: reading may have taken its time.
        match &self.reading {
            Some(reading) if !reading.stands() => {
                self.extents.give_up();
                Err(Error::NotHere)
            }
            _ => next,
        }
    }

    /// Is ready once the read must not go on, whether or not anybody asks for more.
    pub fn ended(&self) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.reading.as_ref().map(|reading| reading.ended())
    }
}

/// Reads extents in order; each piece is verified by the engine.
///
/// Up to 16 extents are open at a time, and what is open stays readable though the object be
/// replaced meanwhile; the others are pinned, so that the sweep waits for this read. Extents are
/// written once and never named again, so a read never mixes versions.
pub(crate) struct ExtentReader {
    blobs: Arc<dyn Blobs>,
    /// Open extents, each with its id, and start and end of what is still to be read.
    open: VecDeque<(Arc<dyn BlobReader>, BlobId, u64, u64)>,
    /// Those that come after them.
    waiting: VecDeque<(BlobRef, u64, u64)>,
    /// Bytes of a small object, in place of extents.
    memory: Option<Bytes>,
    /// The row that refers to the extents, and where it is noted if they are damaged.
    row: Option<(Arc<Suspects>, PartitionId, Bytes)>,
    /// Keeps those from the sweep.
    _pinned: Option<Pinned>,
}

impl ExtentReader {
    /// An extent leaves `waiting` only once it is open: a read that is given up here loses none.
    async fn open_ahead(&mut self) -> Result<()> {
        while self.open.len() < OPEN_MAX
            && let Some((blob, from, to)) = self.waiting.front().copied()
        {
            let opened = self.blobs.open(&blob).await;
            let reader = opened.inspect_err(|error| self.met(blob.id, error))?;
            self.waiting.pop_front();
            self.open.push_back((reader, blob.id, from, to));
        }
        Ok(())
    }

    /// There is nothing more to read.
    fn give_up(&mut self) {
        self.open.clear();
        self.waiting.clear();
        self.memory = None;
    }

    fn met(&self, extent: BlobId, error: &StoreError) {
        if let Some((suspects, partition, row_key)) = &self.row {
            suspects.met(*partition, row_key, Some(extent), error);
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(bytes) = self.memory.take() {
            return Ok(Some(bytes));
        }
        self.open_ahead().await?;
        let Some((reader, id, at, end)) = self.open.front() else {
            return Ok(None);
        };
        let want = (end - at).min(PIECE_BYTES as u64) as usize;
        let read = reader.read(*at, want).await;
        let bytes = read.inspect_err(|error| self.met(*id, error))?;
        if bytes.is_empty() || bytes.len() > want {
            return Err(Error::Record("an extent of another size".to_owned()));
        }
        if let Some((_, _, at, end)) = self.open.front_mut() {
            *at += bytes.len() as u64;
            if at == end {
                self.open.pop_front();
            }
        }
        Ok(Some(bytes))
    }
}
