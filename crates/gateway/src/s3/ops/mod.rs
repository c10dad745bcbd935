//! One file per operation; each exposes `pub async fn handle(call: &mut S3Call<'_>) -> S3Result`.
