//! S3's error codes, their HTTP status and default message ("Error responses", S3 API
//! reference), and the XML that carries them.

use http::StatusCode;

use super::{headers, xml::XmlWriter};
use crate::body::ResponseBody;

macro_rules! codes {
    ($($name:ident $status:literal $message:literal;)*) => {
        /// An S3 error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // each is S3's code of the same name
        pub enum ErrorCode { $($name,)* }

        impl ErrorCode {
            /// As in `<Code>`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                let n = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(n).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            /// S3's usual message.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

codes! {
    AccessDenied 403 "Access Denied";
    AccessForbidden 403 "CORSResponse: CORS is not enabled for this bucket.";
    AccessControlListNotSupported 400 "The bucket does not allow ACLs";
    AuthorizationHeaderMalformed 400 "The authorization header that you provided is not valid.";
    AuthorizationQueryParametersError 400 "Query-string authentication parameters are not valid.";
    BadDigest 400 "The Content-MD5 or checksum value that you specified did not match what the server received.";
    BadRequest 400 "Bad Request";
    BucketAlreadyExists 409 "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.";
    BucketAlreadyOwnedByYou 409 "Your previous request to create the named bucket succeeded and you already own it.";
    BucketNotEmpty 409 "The bucket you tried to delete is not empty.";
    ConditionalRequestConflict 409 "A conflicting operation occurred during processing of this conditional request. Please retry.";
    EntityTooLarge 400 "Your proposed upload exceeds the maximum allowed object size.";
    EntityTooSmall 400 "Your proposed upload is smaller than the minimum allowed size";
    ExpiredToken 400 "The provided token has expired.";
    IllegalLocationConstraintException 400 "The location constraint is incompatible for the region specific endpoint this request was sent to.";
    InsufficientStorage 507 "The region's disk is full. Delete objects or add room, then try again.";
    IllegalVersioningConfigurationException 400 "The versioning configuration specified in the request is invalid.";
    IncompleteBody 400 "You did not provide the number of bytes specified by the Content-Length HTTP header.";
    InternalError 500 "We encountered an internal error. Please try again.";
    InvalidAccessKeyId 403 "The AWS Access Key Id you provided does not exist in our records.";
    InvalidArgument 400 "Invalid Argument";
    InvalidBucketAclWithObjectOwnership 400 "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting";
    InvalidBucketState 409 "The request is not valid with the current state of the bucket.";
    InvalidBucketName 400 "The specified bucket is not valid.";
    InvalidChunkSizeError 403 "Only the last chunk is allowed to have a size less than 8192 bytes";
    InvalidDigest 400 "The Content-MD5 or checksum value that you specified is not valid.";
    InvalidLocationConstraint 400 "The specified location-constraint is not valid";
    InvalidPart 400 "One or more of the specified parts could not be found. The part might not have been uploaded, or the specified entity tag might not have matched the part's entity tag.";
    InvalidPartNumber 416 "The requested partnumber is not satisfiable";
    InvalidPartOrder 400 "The list of parts was not in ascending order. Parts list must be specified in order by part number.";
    InvalidPolicyDocument 400 "The content of the form does not meet the conditions specified in the policy document.";
    InvalidRange 416 "The requested range is not satisfiable";
    InvalidRequest 400 "Invalid Request";
    InvalidStorageClass 400 "The storage class you specified is not valid.";
    InvalidTag 400 "The tag provided was not a valid tag.";
    InvalidToken 400 "The provided token is malformed or otherwise not valid.";
    InvalidURI 400 "Couldn't parse the specified URI.";
    KeyTooLongError 400 "Your key is too long";
    MalformedACLError 400 "The XML you provided was not well-formed or did not validate against our published schema";
    MalformedPolicy 400 "Policies must be valid JSON and the first byte must be '{'";
    MalformedPOSTRequest 400 "The body of your POST request is not well-formed multipart/form-data.";
    MalformedXML 400 "The XML you provided was not well-formed or did not validate against our published schema";
    MalformedTrailerError 400 "The request contained trailing data that was not well-formed or did not conform to our published schema.";
    MaxMessageLengthExceeded 400 "Your request was too big.";
    MaxPostPreDataLengthExceeded 400 "Your POST request fields preceding the upload file were too large.";
    MetadataTooLarge 400 "Your metadata headers exceed the maximum allowed metadata size";
    MethodNotAllowed 405 "The specified method is not allowed against this resource.";
    MissingContentLength 411 "You must provide the Content-Length HTTP header.";
    MissingRequestBodyError 400 "Request Body is empty";
    MissingSecurityHeader 400 "Your request was missing a required header";
    NoSuchBucket 404 "The specified bucket does not exist";
    NoSuchBucketPolicy 404 "The bucket policy does not exist";
    NoSuchConfiguration 404 "The specified configuration does not exist.";
    NoSuchCORSConfiguration 404 "The CORS configuration does not exist";
    NoSuchKey 404 "The specified key does not exist.";
    NoSuchLifecycleConfiguration 404 "The lifecycle configuration does not exist";
    NoSuchObjectLockConfiguration 404 "The specified object does not have a ObjectLock configuration";
    NoSuchPublicAccessBlockConfiguration 404 "The public access block configuration was not found";
    NoSuchTagSet 404 "The TagSet does not exist";
    NoSuchUpload 404 "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have been aborted or completed.";
    NoSuchVersion 404 "The specified version does not exist.";
    NoSuchWebsiteConfiguration 404 "The specified bucket does not have a website configuration";
    NotImplemented 501 "A header or operation you provided implies functionality that is not implemented";
    NotModified 304 "Not Modified";
    ObjectLockConfigurationNotFoundError 404 "Object Lock configuration does not exist for this bucket";
    OperationAborted 409 "A conflicting conditional operation is currently in progress against this resource. Please try again.";
    OwnershipControlsNotFoundError 404 "The bucket ownership controls were not found";
    PermanentRedirect 301 "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.";
    PolicyTooLarge 400 "Normalized policy document exceeds the maximum allowed size of 20480 bytes";
    PreconditionFailed 412 "At least one of the pre-conditions you specified did not hold";
    ReplicationConfigurationNotFoundError 404 "The replication configuration was not found";
    RequestHeaderSectionTooLarge 400 "Your request header section exceeds the maximum allowed size.";
    RequestTimeTooSkewed 403 "The difference between the request time and the server's time is too large.";
    RequestTimeout 400 "Your socket connection to the server was not read from or written to within the timeout period.";
    ServerSideEncryptionConfigurationNotFoundError 404 "The server side encryption configuration was not found";
    ServiceUnavailable 503 "Service is unable to handle request.";
    SignatureDoesNotMatch 403 "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    TokenRefreshRequired 400 "The provided token must be refreshed.";
    SlowDown 503 "Please reduce your request rate.";
    TemporaryRedirect 307 "Please re-send this request to the specified temporary endpoint. Continue to use the original request endpoint for future requests.";
    TooManyBuckets 400 "You have attempted to create more buckets than allowed";
    UnexpectedContent 400 "This request does not support content";
    UnresolvableGrantByEmailAddress 400 "The email address you provided does not match any account on record.";
    XAmzContentSHA256Mismatch 400 "The provided 'x-amz-content-sha256' header does not match what was computed.";
}

/// A refusal on its way to the client. `message` is what the client may read; what only we may
/// read goes to the log where the error is made.
#[derive(Debug, Clone)]
pub struct S3Error {
    /// Decides status and `<Code>`.
    pub code: ErrorCode,
    /// Replaces the usual message.
    pub message: Option<String>,
    /// More elements of the XML, such as `("Region", "eu-central-1")` or `("ArgumentName", …)`.
    pub details: Vec<(&'static str, String)>,
    /// More headers of the answer.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
}

impl S3Error {
    /// With the usual message.
    pub fn new(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
            details: Vec::new(),
            headers: Vec::new(),
        }
    }
    /// With a message of its own.
    pub fn with(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::new(code)
        }
    }
    /// `InvalidArgument` with S3's `ArgumentName` and `ArgumentValue`.
    pub fn argument(name: &str, value: &str, message: impl Into<String>) -> Self {
        Self::with(ErrorCode::InvalidArgument, message)
            .detail("ArgumentName", name)
            .detail("ArgumentValue", value)
    }
    /// `NotImplemented` for an operation or a header, named to the client.
    pub fn not_implemented(name: &str) -> Self {
        Self::with(
            ErrorCode::NotImplemented,
            format!("{name} is not implemented here yet."),
        )
    }
    /// Adds an element to the XML.
    pub fn detail(mut self, element: &'static str, text: impl Into<String>) -> Self {
        self.details.push((element, text.into()));
        self
    }
    /// Adds a header to the answer, unless its text cannot be one.
    pub fn text_header(self, name: http::HeaderName, text: &str) -> Self {
        match http::HeaderValue::from_bytes(text.as_bytes()) {
            Ok(value) => self.header(name, value),
            Err(_) => self,
        }
    }
    /// Adds a header to the answer.
    pub fn header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl S3Error {
    /// The answer: status, headers and the XML, which a 304 does not have. `resource` is the path
    /// that was asked for.
    pub fn into_response(
        self,
        resource: &str,
        request_id: &str,
        host_id: &str,
    ) -> http::Response<ResponseBody> {
        let body = if self.code == ErrorCode::NotModified {
            ResponseBody::Empty
        } else {
            ResponseBody::full(self.xml(resource, request_id, host_id))
        };
        let mut answer = http::Response::new(body);
        *answer.status_mut() = self.code.status();
        if self.code != ErrorCode::NotModified {
            headers::set_xml(answer.headers_mut());
        }
        for (name, value) in self.headers {
            answer.headers_mut().insert(name, value);
        }
        answer
    }

    /// The XML alone, where no request is counted.
    pub fn document(&self) -> Vec<u8> {
        self.xml("/", "", "")
    }

    fn xml(&self, resource: &str, request_id: &str, host_id: &str) -> Vec<u8> {
        let mut xml = XmlWriter::new(512);
        let message = self.message.as_deref().unwrap_or(self.code.message());
        xml.open("Error")
            .element("Code", self.code.name())
            .element("Message", message);
        for (name, text) in &self.details {
            xml.element(name, text);
        }
        xml.element("Resource", resource)
            .element("RequestId", request_id)
            .element("HostId", host_id);
        xml.finish("Error")
    }
}

impl From<ErrorCode> for S3Error {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}
