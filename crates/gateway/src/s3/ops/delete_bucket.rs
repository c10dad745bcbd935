//! DeleteBucket: an empty bucket goes, and its name is free again.

use crate::call::{Answer, Call};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let permit = call.for_registry(&[]);
    call.gateway.objects.delete_bucket(&permit).await?;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
