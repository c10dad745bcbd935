//! CreateBucket: a new bucket, with its home in this region or, where that is allowed, in another.

use http::header;
use types::RegionId;

use crate::{
    s3::{
        ErrorCode, S3Call, S3Error, S3Result, headers,
        placement_headers::{self, Asked},
        xml,
    },
    server::Gateway,
};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let name = call.bucket.clone().ok_or(ErrorCode::InvalidBucketName)?;
    let asked = placement_headers::read(&call.headers)?;
    let document = call.read_body().await?;
    let gateway = call.gateway;
    let home = home(gateway, &asked, location(&document)?.as_deref())?;
    check_regions(gateway, &home, &asked)?;
    let path = format!("/{name}");
    gateway
        .objects
        .create_bucket(&call.permit, name, Some(home), asked.placement)
        .await?;
    let mut answer = call.empty(http::StatusCode::OK);
    headers::set(answer.headers_mut(), header::LOCATION, &path)?;
    Ok(answer)
}

/// The `LocationConstraint`, unless it is empty.
fn location(document: &[u8]) -> Result<Option<String>, S3Error> {
    if document.is_empty() {
        return Ok(None);
    }
    let root = xml::parse(document, &["CreateBucketConfiguration"])?;
    for unknown in ["Location", "Bucket", "Tags"] {
        if root.one(unknown)?.is_some() {
            return Err(S3Error::not_implemented(unknown));
        }
    }
    root.only(&["LocationConstraint"])?;
    let location = root.text_of("LocationConstraint")?;
    Ok(location
        .filter(|text| !text.is_empty())
        .map(|text| text.to_string()))
}

/// The new bucket's home. A region by its own name or an alias of this one; another region only
/// where that is allowed.
fn home(gateway: &Gateway, asked: &Asked, location: Option<&str>) -> Result<RegionId, S3Error> {
    let location = location.map(|name| RegionId::new(gateway.canonical(name)));
    let home = asked.home.as_deref().map(|name| gateway.canonical(name));
    if let (Some(location), Some(home)) = (&location, home)
        && **location != *home
    {
        return Err(S3Error::argument(
            "x-dhow-placement-home",
            home,
            "The header and the LocationConstraint name different regions",
        ));
    }
    let home = home.map(RegionId::new).or(location);
    let home = home.unwrap_or_else(|| gateway.region.clone());
    if home != gateway.region && !gateway.any_location {
        return Err(S3Error::with(
            ErrorCode::IllegalLocationConstraintException,
            format!(
                "The {home} location constraint is incompatible for the region specific endpoint \
                 this request was sent to."
            ),
        ));
    }
    Ok(home)
}

/// Every region that is named must be one of the cloud, once, and lie where the law of the
/// placement allows it.
fn check_regions(gateway: &Gateway, home: &RegionId, asked: &Asked) -> Result<(), S3Error> {
    let replicas = asked.placement.replicas.iter().map(|r| &r.region);
    if replicas.clone().any(|region| region == home) {
        return Err(S3Error::argument(
            "x-dhow-placement-replicas",
            home,
            "A bucket's home keeps no replica of it",
        ));
    }
    for region in std::iter::once(home).chain(replicas) {
        let place = match &gateway.regions {
            _ if *region == gateway.region => Some(gateway.place.clone()),
            Some(regions) => regions.place(region),
            None => None,
        };
        let place = place.ok_or_else(|| placement_headers::unknown_region(region))?;
        if !asked.placement.admits(&place.jurisdiction) {
            return Err(S3Error::argument(
                "x-dhow-placement-jurisdictions",
                region,
                format!(
                    "Region {region} lies in {}, which the jurisdictions do not allow",
                    place.jurisdiction
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_a_location_and_nothing_else() {
        let read = |inner: &str| {
            let text = format!("<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>");
            location(text.as_bytes()).map_err(|e| e.code.name())
        };
        assert!(location(b"").unwrap().is_none());
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("<LocationConstraint/>"), Ok(None));
        assert_eq!(
            read("<LocationConstraint>me-east-1</LocationConstraint>"),
            Ok(Some("me-east-1".to_owned()))
        );
        assert_eq!(read("<Tags><Tag/></Tags>"), Err("NotImplemented"));
        assert_eq!(read("<Nonsense/>"), Err("MalformedXML"));
    }
}
