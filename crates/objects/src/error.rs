//! What an operation can refuse or fail with; the gateway maps each to exactly one S3 code.

use store::StoreError;
use types::{BodyError, DisplayVersion, ETag, NameError, Timestamp};

use crate::records::ContentHeaders;

/// The result of an operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What an object says of how long it may be kept: a 304 repeats it (RFC 9110, 15.4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`.
    pub expires: Option<String>,
}

impl Freshness {
    /// Of an object that says it.
    pub(crate) fn of(headers: &ContentHeaders) -> Option<Box<Self>> {
        let said = headers.cache_control.is_some() || headers.expires.is_some();
        said.then(|| {
            Box::new(Self {
                cache_control: headers.cache_control.clone(),
                expires: headers.expires.clone(),
            })
        })
    }
}

/// Why an operation did not happen. Nothing visible has changed, except after
/// `Store(Io | Fenced)`, whose outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The permit is for something else. A bug of the caller; answered as access denied.
    #[error("the permit does not cover this action")]
    WrongPermit,
    /// The permit is for another key, version or prefix. A bug of the caller; answered as access
    /// denied.
    #[error("the permit does not cover this key")]
    WrongKey,
    /// The bucket was deleted in the meantime.
    #[error("no such bucket")]
    NoSuchBucket,
    /// The bucket is being deleted, or another change of it is under way.
    #[error("another operation on the bucket is under way")]
    BucketBusy,
    /// The bucket's home or way of taking writes changed after the request was permitted.
    #[error("where the bucket's writes are taken has changed meanwhile")]
    Fenced,
    /// The bucket is not placed here any more, or not in the way in which it was read.
    #[error("the bucket may not be read in this region any more")]
    NotHere,
    /// The public access block refuses public policies.
    #[error("the public access block refuses public policies")]
    PublicPolicy,
    /// The public access block refuses lists that grant public access.
    #[error("the public access block refuses public access control lists")]
    PublicList,
    /// Access control lists play no part in the bucket.
    #[error("the bucket does not allow access control lists")]
    NoLists,
    /// Lists cannot be switched off while the bucket's grants anything to others.
    #[error("the bucket has an access control list that grants access to others")]
    HasList,
    /// Only the bucket's list permits the write, and the object belongs to another account.
    #[error("the object belongs to another account")]
    NotOwned,
    /// This region may not act as the bucket's home now; the text is for the client. A write with a
    /// condition may have landed all the same: it is not acknowledged.
    #[error("{0}")]
    NotNow(#[from] types::NotNow),
    /// Replicas of the bucket take writes too, so that nobody can say that it is empty.
    #[error("the bucket takes writes in several regions")]
    TakenEverywhere,
    /// The bucket holds objects or versions.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// The name is taken by the same account.
    #[error("the caller owns a bucket of this name")]
    BucketOwnedByYou,
    /// The name is taken by another account.
    #[error("the bucket name is taken")]
    BucketExists,
    /// The account may have no more buckets.
    #[error("too many buckets")]
    TooManyBuckets,
    /// A region of a new bucket's placement is unknown, or in a jurisdiction that is not allowed;
    /// the text is for the client.
    #[error("{0}")]
    Placement(String),
    /// The registry wants proof of the customer's request; the text is for the client.
    #[error("{0}")]
    Unproven(String),
    /// There is no current version of the key, or it is a delete marker (its id is given).
    #[error("no such key")]
    NoSuchKey {
        /// Set when the current version is a delete marker.
        delete_marker: Option<DisplayVersion>,
    },
    /// The version is not there.
    #[error("no such version")]
    NoSuchVersion,
    /// The version is a delete marker, which has no content.
    #[error("the version is a delete marker")]
    DeleteMarker {
        /// When the marker was made.
        modified: Timestamp,
        /// Its id.
        version: DisplayVersion,
        /// Its state ([`crate::state_of`]).
        state: String,
    },
    /// There is no such upload.
    #[error("no such upload")]
    NoSuchUpload,
    /// A part of the list was never uploaded or has another ETag or checksum.
    #[error("part {0} is not as listed")]
    InvalidPart(u32),
    /// The part numbers do not rise.
    #[error("the parts are not in ascending order")]
    InvalidPartOrder,
    /// A part other than the last is below 5 MiB.
    #[error("part {number} has only {bytes} bytes")]
    PartTooSmall {
        /// Which part.
        number: u32,
        /// Its size.
        bytes: u64,
        /// Its ETag.
        etag: ETag,
    },
    /// Part-number read beyond the parts that there are.
    #[error("the object has {parts} parts, and no part {asked}")]
    NoSuchPartNumber {
        /// The number that was asked for.
        asked: u32,
        /// Parts that there are.
        parts: u32,
    },
    /// Larger than the limit.
    #[error("{bytes} bytes are more than {max}")]
    TooLarge {
        /// What was asked for.
        bytes: u64,
        /// What is allowed.
        max: u64,
    },
    /// A condition of a write did not hold. Names the header.
    #[error("precondition {0} failed")]
    PreconditionFailed(&'static str),
    /// A condition of a read says that the caller has it already.
    #[error("not modified")]
    NotModified {
        /// Of the object.
        etag: ETag,
        /// Of the object.
        modified: Timestamp,
        /// Of the object, when its bucket is versioned.
        version: Option<DisplayVersion>,
        /// How long the caller may keep it, where the object says so.
        fresh: Option<Box<Freshness>>,
    },
    /// More tags than there may be.
    #[error("there can be at most {0} tags")]
    TooManyTags(usize),
    /// The range is outside the object.
    #[error("the range is not satisfiable")]
    InvalidRange {
        /// Bytes of the object.
        size: u64,
    },
    /// A checksum that the client sent is not that of the bytes. Names it.
    #[error("{0} does not match")]
    BadDigest(&'static str),
    /// The `Content-MD5` that the client sent is not that of the bytes.
    #[error("Content-MD5 does not match")]
    BadMd5 {
        /// What the client said.
        expected: [u8; 16],
        /// That of the bytes.
        computed: [u8; 16],
    },
    /// An argument makes no sense; the text is for the client.
    #[error("{0}")]
    InvalidArgument(String),
    /// The request as a whole makes no sense; the text is for the client.
    #[error("{0}")]
    InvalidRequest(String),
    /// A tag breaks a rule.
    #[error("{text}")]
    InvalidTag {
        /// Its key.
        key: String,
        /// For the client.
        text: &'static str,
    },
    /// The key cannot be a key.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The body broke off or was not what it claimed to be.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A version of another region is too far ahead of this region's clock, in milliseconds since
    /// 1970.
    #[error("a version of another region is ahead of the clock here: {0} ms")]
    ClockAhead(u64),
    /// The bucket has replication rules, which need its versions.
    #[error("the bucket has a replication configuration")]
    HasRules,
    /// The bucket has no tags.
    #[error("no tags")]
    NoTags,
    /// Too many callers changed the same key at once; try again.
    #[error("too much contention on one key")]
    Contention,
    /// The replica here is sealed and cannot be opened now; the text says why.
    #[error("{0}")]
    NoLease(String),
    /// What is stored here sealed is not what the home sealed for this place.
    #[error("a sealed replica is damaged, or was tampered with")]
    SealBroken,
    /// A stored record cannot be read.
    #[error("a stored record is damaged: {0}")]
    Record(String),
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many changes of the registry lately; says when to try again.
    #[error("{0}")]
    SlowDown(String),
    /// The registry failed.
    #[error("the registry is not available: {0}")]
    Registry(String),
}
