//! HeadBucket: whether a bucket is there and the caller may use it; the pipeline has asked both.

use crate::{
    body::ResponseBody,
    s3::{S3Call, S3Result, headers},
};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let mut answer = http::Response::new(ResponseBody::Empty);
    headers::set(
        answer.headers_mut(),
        headers::names::BUCKET_REGION,
        &call.deed()?.home,
    )?;
    Ok(answer)
}
