//! PutBucketReplication: replaces a bucket's replication rules.

use std::sync::Arc;

use access::{
    Action, Ask, Context, Facts, Permit, Refusal, Resource, Via, authorize,
    authorize_rule_receiving, authorize_rule_sending, may_name,
};
use types::{BucketDeed, BucketName, Place};

use crate::{
    call::{Answer, Call},
    elsewhere::unavailable,
    fault::{Fault, FaultKind},
    regions::RuleRefused,
    s3::replication,
    server::Gateway,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let (root, _place) = call.read_large_xml(&[replication::ROOT]).await?;
    let rules = replication::read(&root)?;
    let source = Arc::clone(call.deed()?);
    let gateway = call.gateway;
    let asked = (&call.permit, &call.via, call.context());
    for destination in rules.rules.iter().map(|rule| &rule.destination) {
        check(gateway, asked, &source, destination).await?;
    }
    gateway.objects.set_rules(&call.permit, Some(rules)).await?;
    Ok(call.empty(http::StatusCode::OK))
}

/// Whether versions may go to a bucket, as it is now; asked again for each page that goes.
async fn check(
    gateway: &Gateway,
    asked: (&Permit, &Via, Context<'_>),
    source: &Arc<BucketDeed>,
    name: &BucketName,
) -> Result<(), Fault> {
    let invalid = |text: String| Fault::with(FaultKind::InvalidRequest, text);
    // Whose bucket it is, is nobody else's business.
    let found = gateway.deeds.get(name);
    let found = found.filter(|found| may_name(source, found).is_ok());
    let found = found.ok_or_else(|| invalid("Destination bucket must exist.".to_owned()))?;
    let here = &*gateway.place_for(asked.1);
    let regions = gateway.regions.as_ref();
    let there = match found.home == here.region {
        true => Some(here.clone()),
        false => regions.and_then(|regions| regions.place(&found.home)),
    };
    let there = there.ok_or_else(|| unavailable(&found.home, "is not known yet"))?;
    may_fill(asked, source, &found, &there)?;
    match authorize_rule_sending(source, &found, here, &there) {
        Ok(_) => {}
        Err(Refusal::Mismatch) => {
            return Err(invalid(
                "Destination bucket cannot be the same as the source bucket.".to_owned(),
            ));
        }
        Err(Refusal::Residency) => {
            return Err(Fault::with(
                FaultKind::AccessDenied,
                format!(
                    "Access Denied: destination bucket {name} may be in regions that the \
                     jurisdictions of the source do not allow."
                ),
            ));
        }
        Err(Refusal::NotAccepted) => {
            return Err(Fault::with(
                FaultKind::AccessDenied,
                format!(
                    "Access Denied: another operator runs the home of bucket {}, and destination \
                     bucket {name} does not accept what its rules send (dhow bucket place {name} \
                     --accept-from {}).",
                    source.name, source.name
                ),
            ));
        }
        Err(_) => return Err(FaultKind::AccessDenied.into()),
    }
    if let (false, Some(regions)) = (there.region == here.region, regions) {
        return match regions.takes_by_rule(source, &found).await {
            Ok(()) => Ok(()),
            Err(RuleRefused::No(why)) => Err(invalid(format!(
                "Region {} would not take versions: {why}.",
                found.home
            ))),
            Err(RuleRefused::NoAnswer(_)) => Err(unavailable(&found.home, "does not answer")),
        };
    }
    let into = authorize_rule_receiving(source, &found, here, &there);
    let into = into.map_err(|_| FaultKind::AccessDenied)?;
    match gateway.objects.keeps_versions(&into).await? {
        true => Ok(()),
        false => Err(invalid(
            "Destination bucket must have versioning enabled.".to_owned(),
        )),
    }
}

/// A rule writes into its destination: a region that relays it needs for that bucket, too, what it
/// would need to relay a write there.
fn may_fill(
    (permit, via, context): (&Permit, &Via, Context<'_>),
    source: &BucketDeed,
    destination: &Arc<BucketDeed>,
    home: &Place,
) -> Result<(), Fault> {
    let Via::Region(from, _) = via else {
        return Ok(());
    };
    if types::planted("rules-into-any-bucket") {
        return Ok(());
    }
    let ask = Ask {
        principal: permit.identity(),
        action: Action::PutObject,
        resource: Resource::Bucket(&destination.name),
        context,
    };
    let facts = Facts {
        deed: Some(destination),
        access: None,
        account_block: access::PublicAccessBlock::NONE,
        here: home,
        via,
    };
    authorize(&ask, &facts).map(drop).map_err(|refusal| {
        Fault::with(
            FaultKind::AccessDenied,
            format!(
                "Access Denied: region {} may not forward what writes into destination bucket \
                 {}: {refusal}. Put the rules at region {}.",
                from.region, destination.name, source.home
            ),
        )
    })
}
