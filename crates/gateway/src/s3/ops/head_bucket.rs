//! HeadBucket: whether a bucket is there and the caller may use it; the pipeline has asked both.

use crate::{
    body::ResponseBody,
    call::{Answer, Call},
    s3::headers,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let mut answer = http::Response::new(ResponseBody::Empty);
    headers::set(
        answer.headers_mut(),
        headers::names::BUCKET_REGION,
        &call.deed()?.home,
    )?;
    Ok(answer)
}
