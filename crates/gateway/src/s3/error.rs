//! S3's error codes, their HTTP status and default message ("Error responses", S3 API
//! reference), and the XML that carries them.

use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::{headers, xml::XmlWriter};
use crate::{
    body::ResponseBody,
    fault::{Fact, Fault, FaultKind},
};

/// What S3 calls a fault.
pub(crate) struct Code {
    /// As in `<Code>`.
    pub(crate) name: &'static str,
    status: u16,
    /// S3's usual message.
    pub(crate) message: &'static str,
}

impl Code {
    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

macro_rules! codes {
    ($($name:ident $status:literal $message:literal;)*) => {
        /// The S3 code of a fault.
        pub(crate) const fn code(kind: FaultKind) -> Code {
            match kind {
                $(FaultKind::$name => Code {
                    name: stringify!($name),
                    status: $status,
                    message: $message,
                },)*
            }
        }
    };
}

codes! {
    AccessDenied 403 "Access Denied";
    AccessForbidden 403 "CORSResponse: CORS is not enabled for this bucket.";
    AccessControlListNotSupported 400 "The bucket does not allow ACLs";
    AccountProblem 403 "There is a problem with your account that prevents the operation from completing successfully: it is suspended.";
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

/// What the client may read of a fault.
pub(crate) fn message(fault: &Fault) -> &str {
    let text = fault.message.as_deref();
    text.unwrap_or(code(fault.kind).message)
}

/// The answer to a fault: status, headers and the XML, which a 304 does not have. `resource` is
/// the path that was asked for.
pub(crate) fn response(
    fault: Fault,
    resource: &str,
    request_id: &str,
    host_id: &str,
) -> Response<ResponseBody> {
    let has_body = fault.kind != FaultKind::NotModified;
    let body = match has_body {
        false => ResponseBody::Empty,
        true => ResponseBody::full(xml(&fault, resource, request_id, host_id)),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = code(fault.kind).status();
    let out = answer.headers_mut();
    if has_body {
        headers::set_xml(out);
    }
    for (name, value) in fault.headers {
        out.insert(name, value);
    }
    for fact in fault.facts {
        add_fact(out, fact);
    }
    answer
}

/// A text that no header can carry is left out.
fn add_fact(out: &mut HeaderMap, fact: Fact) {
    use headers::names;
    let (name, value) = match fact {
        Fact::BucketRegion(region) => (names::BUCKET_REGION, HeaderValue::try_from(region)),
        Fact::DeleteMarker => (names::DELETE_MARKER, Ok(HeaderValue::from_static("true"))),
        Fact::Version(version) => (names::VERSION_ID, HeaderValue::try_from(version)),
        Fact::State(state) => (names::STATE, HeaderValue::try_from(state)),
    };
    if let Ok(value) = value {
        out.insert(name, value);
    }
}

/// The XML alone, where no request is counted.
pub(crate) fn document(fault: &Fault) -> Vec<u8> {
    xml(fault, "/", "", "")
}

/// There are characters that keys may have and no XML (XML 1.0, 2.2).
fn fits(text: &str) -> bool {
    let outside = |c| match c {
        '\t' | '\n' | '\r' => false,
        '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => true,
        _ => false,
    };
    !text.chars().any(outside)
}

fn xml(fault: &Fault, resource: &str, request_id: &str, host_id: &str) -> Vec<u8> {
    let mut xml = XmlWriter::new(512);
    xml.open("Error")
        .element("Code", code(fault.kind).name)
        .element("Message", message(fault));
    for (name, text) in fault.details.iter().filter(|(_, text)| fits(text)) {
        xml.element(name, text);
    }
    xml.element("Resource", resource)
        .element("RequestId", request_id)
        .element("HostId", host_id);
    xml.finish("Error")
}
