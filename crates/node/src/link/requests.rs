//! What customers signed, read for the registry as the gateway reads it.

use std::sync::{Arc, Weak};

use cloud::{ReadsRequests, Wanted, WantedChange};
use gateway::Gateway;
use types::{RegionId, SignedRequest};

/// The gateway of the registry's region.
pub struct Requests(Weak<Gateway>);

impl Requests {
    /// As the gateway of this region reads them.
    pub fn of(gateway: &Arc<Gateway>) -> Self {
        Self(Arc::downgrade(gateway))
    }
}

impl ReadsRequests for Requests {
    fn read(&self, region: &RegionId, request: &SignedRequest) -> Result<Wanted, String> {
        let gateway = self.0.upgrade().ok_or("the region stops")?;
        let read = gateway.read_change(region, request)?;
        Ok(Wanted {
            statement: read.statement,
            at: read.at,
            bucket: read.bucket,
            host: read.host,
            expected_owner: read.expected_owner,
            change: match read.create {
                Some((homes, placement)) => WantedChange::Create {
                    homes,
                    placement: Box::new(placement),
                },
                None => WantedChange::Delete,
            },
        })
    }
}
