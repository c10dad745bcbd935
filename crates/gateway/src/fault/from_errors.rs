//! The one place where a failure of `objects`, of the engine, of a name or of a body becomes a
//! fault.

use http::{HeaderValue, header};
use objects::{DisplayVersion, Error, StoreError};

use types::{BodyError, NameError};

use super::{Fact, Fault, FaultKind};

const PUBLIC_POLICY: &str = "Access Denied: the policy is public, and BlockPublicPolicy of the \
    bucket's public access block refuses public policies. Name the principals in it, or change the \
    block first (PutPublicAccessBlock).";
const PUBLIC_LIST: &str = "Access Denied: the list grants public access, and BlockPublicAcls of the \
    public access block of the bucket or its account refuses that.";
const BAD_TRAILER: &str = "The request contained trailing data that was not well-formed or did \
    not conform to our published schema.";
/// What S3 says of each body that is framed otherwise than it should be.
const ENDED: &str = "The request body terminated unexpectedly";
const HAS_RULES: &str = "A replication configuration is present on this bucket, so the versioning \
    state cannot be changed.";

fn registry_away(cause: &impl std::fmt::Display) -> Fault {
    tracing::error!(%cause, "the registry is not available");
    let why = "The registry's region does not answer now";
    later(FaultKind::ServiceUnavailable, why)
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        use FaultKind as C;
        let simple = match error {
            Error::WrongPermit | Error::WrongKey => C::AccessDenied,
            Error::NoSuchBucket => C::NoSuchBucket,
            Error::BucketBusy => C::OperationAborted,
            Error::Fenced | Error::NotHere => C::ServiceUnavailable,
            Error::BucketNotEmpty => C::BucketNotEmpty,
            Error::BucketOwnedByYou => C::BucketAlreadyOwnedByYou,
            Error::BucketExists => C::BucketAlreadyExists,
            Error::TooManyBuckets => C::TooManyBuckets,
            Error::NoSuchVersion => C::NoSuchVersion,
            Error::NoSuchUpload => C::NoSuchUpload,
            Error::InvalidPart(_) => C::InvalidPart,
            Error::InvalidPartOrder => C::InvalidPartOrder,
            Error::NoTags => C::NoSuchTagSet,
            Error::PublicList => return Fault::with(C::AccessDenied, PUBLIC_LIST),
            Error::NoLists => C::AccessControlListNotSupported,
            Error::HasList => C::InvalidBucketAclWithObjectOwnership,
            Error::NotOwned => C::AccessDenied,
            Error::PublicPolicy => return Fault::with(C::AccessDenied, PUBLIC_POLICY),
            Error::TakenEverywhere => {
                return Fault::with(
                    C::InvalidBucketState,
                    "The bucket takes writes in several regions. Let its home alone take them \
                     before it is deleted (dhow bucket place NAME --writes home).",
                );
            }
            Error::HasRules => return Fault::with(C::InvalidBucketState, HAS_RULES),
            Error::Contention => C::SlowDown,
            Error::SealBroken => {
                tracing::error!("a sealed replica is damaged, or was tampered with");
                C::InternalError
            }
            Error::Record(what) => {
                tracing::error!(%what, "a stored record is damaged");
                C::InternalError
            }
            Error::Registry(cause) => return registry_away(&cause),
            // Only what other regions send can be ahead, and that arrives at another listener.
            Error::ClockAhead(_) => C::InternalError,
            // Named one by one, so that a new kind does not compile until it has its code.
            Error::NoSuchKey { .. }
            | Error::DeleteMarker { .. }
            | Error::PartTooSmall { .. }
            | Error::TooLarge { .. }
            | Error::PreconditionFailed(_)
            | Error::NotModified { .. }
            | Error::InvalidRange { .. }
            | Error::BadDigest(_)
            | Error::BadMd5 { .. }
            | Error::NoSuchPartNumber { .. }
            | Error::InvalidArgument(_)
            | Error::InvalidRequest(_)
            | Error::Placement(_)
            | Error::SlowDown(_)
            | Error::NoLease(_)
            | Error::NotNow(_)
            | Error::Unproven(_)
            | Error::InvalidTag { .. }
            | Error::TooManyTags(_)
            | Error::Name(_)
            | Error::Body(_)
            | Error::Store(_) => return with_details(error),
        };
        simple.into()
    }
}

/// To be tried again.
fn later(kind: FaultKind, why: &str) -> Fault {
    let wait = HeaderValue::from_static("1");
    Fault::with(kind, format!("{why}.")).header(header::RETRY_AFTER, wait)
}

/// The kinds whose answer says more than the code.
fn with_details(error: Error) -> Fault {
    use FaultKind as C;
    match error {
        Error::NoSuchKey { delete_marker } => no_such_key(delete_marker),
        Error::DeleteMarker {
            modified,
            version,
            state,
        } => delete_marker(&modified.http_date(), &version).fact(Fact::State(state)),
        Error::PartTooSmall {
            number,
            bytes,
            etag,
        } => Fault::new(C::EntityTooSmall)
            .detail("ProposedSize", bytes.to_string())
            .detail("MinSizeAllowed", types::limits::PART_BYTES_MIN.to_string())
            .detail("PartNumber", number.to_string())
            .detail("ETag", etag.to_string()),
        Error::TooLarge { bytes, max } => Fault::new(C::EntityTooLarge)
            .detail("ProposedSize", bytes.to_string())
            .detail("MaxSizeAllowed", max.to_string()),
        Error::SlowDown(why) => later(C::SlowDown, &why),
        Error::NoLease(why) => later(C::ServiceUnavailable, &why),
        Error::NotNow(why) => later(C::ServiceUnavailable, why.0.trim_end_matches('.')),
        Error::PreconditionFailed(condition) => {
            Fault::new(C::PreconditionFailed).detail("Condition", condition)
        }
        Error::NotModified { .. } => not_modified(error),
        Error::InvalidRange { size } => Fault::new(C::InvalidRange)
            .detail("ActualObjectSize", size.to_string())
            .text_header(header::CONTENT_RANGE, &format!("bytes */{size}")),
        Error::BadDigest(what) => bad_digest(what),
        Error::BadMd5 { expected, computed } => bad_md5(expected, computed),
        Error::NoSuchPartNumber { asked, parts } => no_such_part(asked, parts),
        Error::InvalidArgument(text) => Fault::with(C::InvalidArgument, text),
        Error::InvalidRequest(text) => Fault::with(C::InvalidRequest, text),
        Error::Placement(text) => Fault::with(C::InvalidLocationConstraint, text),
        Error::Unproven(text) => Fault::with(C::AccessDenied, format!("Access Denied: {text}.")),
        Error::TooManyTags(max) => too_many_tags(max),
        Error::InvalidTag { key, text } => Fault::with(C::InvalidTag, text).detail("TagKey", key),
        Error::Name(error) => error.into(),
        Error::Body(error) => error.into(),
        Error::Store(error) => error.into(),
        other => {
            tracing::error!(error = %other, "a failure has no code of its own");
            C::InternalError.into()
        }
    }
}

/// The answer to a condition under which the client has the object already, with the headers that a
/// cache needs (RFC 9110, section 15.4.5).
fn not_modified(error: Error) -> Fault {
    let Error::NotModified {
        etag,
        modified,
        version,
        fresh,
    } = error
    else {
        return FaultKind::InternalError.into();
    };
    let mut answer = Fault::new(FaultKind::NotModified)
        .text_header(header::ETAG, &etag.quoted())
        .text_header(header::LAST_MODIFIED, &modified.http_date());
    if let Some(fresh) = fresh {
        for (name, text) in [
            (header::CACHE_CONTROL, fresh.cache_control),
            (header::EXPIRES, fresh.expires),
        ] {
            if let Some(text) = text {
                answer = answer.text_header(name, &text);
            }
        }
    }
    match version {
        Some(version) => answer.fact(Fact::Version(version.to_string())),
        None => answer,
    }
}

fn bad_digest(what: impl std::fmt::Display) -> Fault {
    let text = format!("The {what} you specified did not match the calculated checksum.");
    Fault::with(FaultKind::BadDigest, text)
}

/// In hex, where the header has base64.
fn bad_md5(expected: [u8; 16], computed: [u8; 16]) -> Fault {
    let text = "The Content-MD5 you specified did not match what we received.";
    Fault::with(FaultKind::BadDigest, text)
        .detail("ExpectedDigest", hex::encode(expected))
        .detail("CalculatedDigest", hex::encode(computed))
}

fn no_such_part(asked: u32, parts: u32) -> Fault {
    Fault::new(FaultKind::InvalidPartNumber)
        .detail("ActualPartCount", parts.to_string())
        .detail("PartNumberRequested", asked.to_string())
}

fn too_many_tags(max: usize) -> Fault {
    let text = match max {
        types::limits::OBJECT_TAGS_MAX => "Object tags cannot be greater than",
        _ => "Bucket tag count cannot be greater than",
    };
    Fault::with(FaultKind::BadRequest, format!("{text} {max}"))
}

fn no_such_key(marker: Option<DisplayVersion>) -> Fault {
    let error = Fault::new(FaultKind::NoSuchKey);
    match marker {
        None => error,
        Some(version) => error
            .fact(Fact::DeleteMarker)
            .fact(Fact::Version(version.to_string())),
    }
}

fn delete_marker(modified: &str, version: &DisplayVersion) -> Fault {
    Fault::new(FaultKind::MethodNotAllowed)
        .detail("ResourceType", "DeleteMarker")
        .fact(Fact::DeleteMarker)
        .header(header::ALLOW, HeaderValue::from_static("DELETE"))
        .text_header(header::LAST_MODIFIED, modified)
        .fact(Fact::Version(version.to_string()))
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Busy | StoreError::Conflict { .. } => FaultKind::SlowDown,
            StoreError::Full(_) => FaultKind::InsufficientStorage,
            StoreError::Fenced(_) => FaultKind::ServiceUnavailable,
            StoreError::Corrupt(_)
            | StoreError::NoBlob(_)
            | StoreError::Invalid(_)
            | StoreError::Io { .. } => FaultKind::InternalError,
        };
        if kind != FaultKind::SlowDown {
            tracing::error!(%error, "the engine failed a request");
        }
        kind.into()
    }
}

impl From<NameError> for Fault {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Bucket => FaultKind::InvalidBucketName,
            NameError::KeyTooLong { bytes } => {
                let max = types::limits::KEY_BYTES_MAX.to_string();
                return Fault::new(FaultKind::KeyTooLongError)
                    .detail("Size", bytes.to_string())
                    .detail("MaxSizeAllowed", max);
            }
            NameError::KeyEmpty | NameError::KeyNotUtf8 => FaultKind::InvalidURI,
        }
        .into()
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        use FaultKind as C;
        match error {
            BodyError::Incomplete { expected, got } => Fault::new(C::IncompleteBody)
                .detail("NumberBytesExpected", expected.to_string())
                .detail("NumberBytesProvided", got.to_string()),
            BodyError::Connection(_) => Fault::with(C::IncompleteBody, ENDED),
            BodyError::TooLarge { max } => {
                Fault::new(C::EntityTooLarge).detail("MaxSizeAllowed", max.to_string())
            }
            BodyError::SignatureMismatch => C::SignatureDoesNotMatch.into(),
            BodyError::Sha256Mismatch { client, computed } => {
                Fault::new(C::XAmzContentSHA256Mismatch)
                    .detail("ClientComputedContentSHA256", client)
                    .detail("S3ComputedContentSHA256", computed)
            }
            BodyError::SignedDigest(name) => Fault::new(C::BadDigest).detail("Header", name),
            BodyError::Unproven(why) => later(
                C::ServiceUnavailable,
                &format!("The signatures of the body cannot be verified now: {why}"),
            ),
            BodyError::Malformed(what) => {
                Fault::with(C::IncompleteBody, format!("{ENDED}: {what}"))
            }
            BodyError::SmallChunk { number, bytes } => Fault::new(C::InvalidChunkSizeError)
                .detail("Chunk", number.to_string())
                .detail("BadChunkSize", bytes.to_string()),
            BodyError::Trailer(what) => {
                Fault::with(C::MalformedTrailerError, format!("{BAD_TRAILER} {what}"))
            }
            BodyError::TrailerValue(header) => Fault::with(
                C::InvalidRequest,
                format!("Value for {header} trailing header is invalid."),
            ),
            BodyError::Timeout => C::RequestTimeout.into(),
            BodyError::Crowded => later(C::SlowDown, "Please reduce your request rate"),
        }
    }
}
