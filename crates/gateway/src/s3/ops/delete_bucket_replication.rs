//! DeleteBucketReplication: removes a bucket's replication rules. What they brought stays.

use crate::call::{Answer, Call};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    call.gateway.objects.set_rules(&call.permit, None).await?;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
