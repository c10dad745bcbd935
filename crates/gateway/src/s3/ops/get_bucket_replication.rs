//! GetBucketReplication: a bucket's replication rules.

use crate::{
    call::{Answer, Call},
    fault::FaultKind,
    s3::replication,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    match call.gateway.objects.rules(&call.permit).await? {
        Some(rules) => Ok(call.xml(replication::write(&rules))),
        None => Err(FaultKind::ReplicationConfigurationNotFoundError.into()),
    }
}
