//! PutBucketReplication: replaces a bucket's replication rules.

use std::sync::Arc;

use access::{Refusal, authorize_rule};
use types::{BucketDeed, BucketName};

use crate::{
    s3::{ErrorCode, S3Call, S3Error, S3Result, replication},
    server::Gateway,
};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let root = call.read_xml(&[replication::ROOT]).await?;
    let rules = replication::read(&root)?;
    let source = Arc::clone(call.deed()?);
    for destination in rules.rules.iter().map(|rule| &rule.destination) {
        check(call.gateway, &source, destination).await?;
    }
    let gateway = call.gateway;
    gateway.objects.set_rules(&call.permit, Some(rules)).await?;
    Ok(call.empty(http::StatusCode::OK))
}

/// Whether versions may go to a bucket, as it is now; asked again for each page that goes.
async fn check(
    gateway: &Gateway,
    source: &Arc<BucketDeed>,
    name: &BucketName,
) -> Result<(), S3Error> {
    let invalid = |text: String| S3Error::with(ErrorCode::InvalidRequest, text);
    // Whose bucket it is, is nobody else's business.
    let found = gateway.deeds.get(name).filter(|d| d.owner == source.owner);
    let found = found.ok_or_else(|| invalid("Destination bucket must exist.".to_owned()))?;
    let (_, into) = match authorize_rule(source, &found, &gateway.place) {
        Ok(permits) => permits,
        Err(Refusal::Mismatch) => {
            return Err(invalid(
                "Destination bucket cannot be the same as the source bucket.".to_owned(),
            ));
        }
        Err(Refusal::NotHome) => {
            return Err(invalid(format!(
                "The home of destination bucket {name} is region {}, that of the source {}: rules \
                 are for buckets of one home. For a copy in another region give the bucket a \
                 replica (dhow bucket place --add-replica).",
                found.home, source.home
            )));
        }
        Err(Refusal::Residency) => {
            return Err(S3Error::with(
                ErrorCode::AccessDenied,
                format!(
                    "Access Denied: the placement of destination bucket {name} allows \
                     jurisdictions that the source's does not."
                ),
            ));
        }
        Err(_) => return Err(ErrorCode::AccessDenied.into()),
    };
    match gateway.objects.keeps_versions(&into).await? {
        true => Ok(()),
        false => Err(invalid(
            "Destination bucket must have versioning enabled.".to_owned(),
        )),
    }
}
