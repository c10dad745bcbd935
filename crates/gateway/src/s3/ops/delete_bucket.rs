//! DeleteBucket: an empty bucket goes, and its name is free again.

use std::sync::Arc;

use crate::s3::{ErrorCode, S3Call, S3Result};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let objects = Arc::clone(&call.gateway.objects);
    let permit = call.permit.clone();
    // In a task of its own: a client that hangs up must not stop it between its steps.
    let deleting = tokio::spawn(async move { objects.delete_bucket(&permit).await });
    deleting.await.map_err(|_| ErrorCode::InternalError)??;
    Ok(call.empty(http::StatusCode::NO_CONTENT))
}
