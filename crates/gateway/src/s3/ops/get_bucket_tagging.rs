//! GetBucketTagging: a bucket's tags; none is `NoSuchTagSet`.

use crate::{
    call::{Answer, Call},
    fault::FaultKind,
    s3::tagging,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let tags = call.gateway.objects.bucket_tags(&call.permit).await?;
    if tags.is_empty() {
        return Err(FaultKind::NoSuchTagSet.into());
    }
    let pairs = tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Ok(call.xml(tagging::write(pairs)))
}
