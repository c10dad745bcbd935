//! One request on its way through the pipeline, as an operation's handler sees it.

use std::sync::Arc;

use access::{Action, Identity, Permit};
use http::HeaderMap;
use types::{BucketDeed, BucketName, ObjectKey};

use super::{ErrorCode, S3Error};
use crate::{body::ResponseBody, operations::Operation, server::Gateway};

/// What a handler returns.
pub type S3Result = Result<http::Response<ResponseBody>, S3Error>;

/// A percent-decoded query string. Names are case-sensitive.
#[derive(Debug, Clone, Default)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// The first value of a parameter; `?acl` has the value "".
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
    /// Whether the parameter is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// A request that has been parsed, identified and permitted.
pub struct S3Call<'g> {
    /// The front door and all that it reaches.
    pub gateway: &'g Gateway,
    /// Which operation.
    pub operation: &'static Operation,
    /// Who asks.
    pub identity: Identity,
    /// For this operation on this bucket.
    pub permit: Permit,
    /// The bucket's deed; `None` for operations on the service and for CreateBucket.
    pub deed: Option<Arc<BucketDeed>>,
    /// The bucket that the request addresses.
    pub bucket: Option<BucketName>,
    /// The object that the request addresses.
    pub key: Option<ObjectKey>,
    /// The query, decoded.
    pub query: Query,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, taken at most once; verified as it is read.
    pub body: Option<Box<dyn types::Body>>,
    /// In the answer, the error XML and the logs.
    pub request_id: String,
}

impl S3Call<'_> {
    /// The key, which routing guarantees for operations on objects.
    pub fn object_key(&self) -> Result<&ObjectKey, S3Error> {
        self.key
            .as_ref()
            .ok_or_else(|| ErrorCode::InvalidURI.into())
    }

    /// A header as text; a value that is not UTF-8 is `InvalidArgument`.
    pub fn header(&self, name: &str) -> Result<Option<&str>, S3Error> {
        let Some(value) = self.headers.get(name) else {
            return Ok(None);
        };
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(S3Error::argument(
                name,
                "",
                "Header value is not valid UTF-8",
            )),
        }
    }

    /// Asks for a permit on another bucket (a copy's source). A bucket that does not exist is
    /// `NoSuchBucket`, a refusal `AccessDenied`.
    pub fn permit_on(&self, bucket: &BucketName, action: Action) -> Result<Permit, S3Error> {
        self.gateway.permit(&self.identity, action, Some(bucket))
    }
}
