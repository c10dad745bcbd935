//! The front door itself: what it is wired to, and the pipeline that each request passes.

use std::sync::Arc;

use access::{Action, Identity, Permit, SigningKeys};
use objects::Objects;
use types::{BucketName, Clock, Deeds, Random, RegionId};

use crate::s3::{ErrorCode, S3Error};

/// All that a request can reach.
pub struct Gateway {
    /// Meaning of buckets and objects.
    pub objects: Arc<Objects>,
    /// The directory of buckets.
    pub deeds: Arc<dyn Deeds>,
    /// Verifies requests.
    pub keys: Arc<dyn SigningKeys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Request ids.
    pub random: Arc<dyn Random>,
    /// This region.
    pub region: RegionId,
}

impl Gateway {
    /// Asks `access` for a permit.
    pub fn permit(
        &self,
        identity: &Identity,
        action: Action,
        bucket: Option<&BucketName>,
    ) -> Result<Permit, S3Error> {
        let deed = match bucket {
            Some(name) => Some(self.deeds.get(name).ok_or(ErrorCode::NoSuchBucket)?),
            None => None,
        };
        access::authorize(identity, action, deed.as_ref())
            .map_err(|_| S3Error::new(ErrorCode::AccessDenied))
    }
}
