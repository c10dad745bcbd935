//! What went wrong with a request, in the words of no dialect. A dialect makes the answer of it:
//! code, status, text and form (`s3/error.rs` for S3).

mod from_errors;

use http::{HeaderName, HeaderValue};

macro_rules! kinds {
    ($($name:ident,)*) => {
        /// What went wrong. Each dialect has a table with one row for each kind; one that has no
        /// row does not compile.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // each is named after the code that S3 has for it
        pub enum FaultKind { $($name,)* }

        impl FaultKind {
            /// As in metrics and in the log.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

kinds! {
    AccessDenied, AccessForbidden, AccessControlListNotSupported, AccountProblem,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError, BadDigest, BadRequest, BucketAlreadyExists,
    BucketAlreadyOwnedByYou, BucketNotEmpty, ConditionalRequestConflict, EntityTooLarge,
    EntityTooSmall, ExpiredToken, IllegalLocationConstraintException, InsufficientStorage,
    IllegalVersioningConfigurationException, IncompleteBody, InternalError, InvalidAccessKeyId,
    InvalidArgument, InvalidBucketAclWithObjectOwnership, InvalidBucketState, InvalidBucketName,
    InvalidChunkSizeError, InvalidDigest, InvalidLocationConstraint, InvalidPart,
    InvalidPartNumber, InvalidPartOrder, InvalidPolicyDocument, InvalidRange, InvalidRequest,
    InvalidStorageClass, InvalidTag, InvalidToken, InvalidURI, KeyTooLongError,
    MalformedACLError, MalformedPolicy, MalformedPOSTRequest, MalformedXML,
    MalformedTrailerError, MaxMessageLengthExceeded, MaxPostPreDataLengthExceeded,
    MetadataTooLarge, MethodNotAllowed, MissingContentLength, MissingRequestBodyError,
    MissingSecurityHeader, NoSuchBucket, NoSuchBucketPolicy, NoSuchConfiguration,
    NoSuchCORSConfiguration, NoSuchKey, NoSuchLifecycleConfiguration,
    NoSuchObjectLockConfiguration, NoSuchPublicAccessBlockConfiguration, NoSuchTagSet,
    NoSuchUpload, NoSuchVersion, NoSuchWebsiteConfiguration, NotImplemented, NotModified,
    ObjectLockConfigurationNotFoundError, OperationAborted, OwnershipControlsNotFoundError,
    PermanentRedirect, PolicyTooLarge, PreconditionFailed,
    ReplicationConfigurationNotFoundError, RequestHeaderSectionTooLarge, RequestTimeTooSkewed,
    RequestTimeout, ServerSideEncryptionConfigurationNotFoundError, ServiceUnavailable,
    SignatureDoesNotMatch, TokenRefreshRequired, SlowDown, TemporaryRedirect, TooManyBuckets,
    UnexpectedContent, UnresolvableGrantByEmailAddress, XAmzContentSHA256Mismatch,
}

/// What the client must learn in a header, for which each dialect has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The region where the bucket's writes are ordered.
    BucketRegion(String),
    /// What was found is a delete marker.
    DeleteMarker,
    /// The version that was found.
    Version(String),
    /// The state that it is in.
    State(String),
}

/// A refusal on its way to the client. `message` is what the client may read; what only we may
/// read goes to the log where the fault is made.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Decides status and code.
    pub kind: FaultKind,
    /// Replaces the usual message.
    pub message: Option<String>,
    /// More that the body of the answer says, such as `("Region", "eu-central-1")`.
    pub details: Vec<(&'static str, String)>,
    /// What a header of the dialect says.
    pub facts: Vec<Fact>,
    /// More headers of the answer, which are the same in each dialect.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Fault {
    /// With the usual message.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            message: None,
            details: Vec::new(),
            facts: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// With a message of its own.
    pub fn with(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::new(kind)
        }
    }

    /// `InvalidArgument` with the argument's name and value.
    pub fn argument(name: &str, value: &str, message: impl Into<String>) -> Self {
        Self::with(FaultKind::InvalidArgument, message)
            .detail("ArgumentName", name)
            .detail("ArgumentValue", value)
    }

    /// `NotImplemented` for an operation or a header, named to the client.
    pub fn not_implemented(name: &str) -> Self {
        Self::with(
            FaultKind::NotImplemented,
            format!("{name} is not implemented here yet."),
        )
    }

    /// Adds a detail to the body.
    pub fn detail(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.details.push((name, text.into()));
        self
    }

    /// Adds what a header of the dialect says.
    pub fn fact(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }

    /// Adds the region where the bucket's writes are ordered.
    pub fn bucket_region(self, region: &str) -> Self {
        self.fact(Fact::BucketRegion(region.to_owned()))
    }

    /// Adds a header to the answer, unless its text cannot be one.
    pub fn text_header(self, name: HeaderName, text: &str) -> Self {
        match HeaderValue::from_bytes(text.as_bytes()) {
            Ok(value) => self.header(name, value),
            Err(_) => self,
        }
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self::new(kind)
    }
}
