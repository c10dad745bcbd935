//! CreateBucket: a new bucket whose home is this region.

use http::header;

use crate::s3::{ErrorCode, S3Call, S3Error, S3Result, headers, xml};

pub(super) async fn handle(call: &mut S3Call<'_>) -> S3Result {
    let name = call.bucket.clone().ok_or(ErrorCode::InvalidBucketName)?;
    let document = call.read_body().await?;
    let gateway = call.gateway;
    check_location(&document, &gateway.region, &gateway.config.region_aliases)?;
    let location = format!("/{name}");
    gateway
        .objects
        .create_bucket(&call.permit, name, None, types::Placement::default())
        .await?;
    let mut answer = call.empty(http::StatusCode::OK);
    headers::set(answer.headers_mut(), header::LOCATION, &location)?;
    Ok(answer)
}

/// The region that the client names must be this one, by its own name or an alias.
fn check_location(document: &[u8], own: &str, aliases: &[String]) -> Result<(), S3Error> {
    if document.is_empty() {
        return Ok(());
    }
    let root = xml::parse(document, &["CreateBucketConfiguration"])?;
    for unknown in ["Location", "Bucket", "Tags"] {
        if root.one(unknown)?.is_some() {
            return Err(S3Error::not_implemented(unknown));
        }
    }
    root.only(&["LocationConstraint"])?;
    let location = root.text_of("LocationConstraint")?.unwrap_or_default();
    if location.is_empty() || location == own || aliases.iter().any(|a| a == location) {
        return Ok(());
    }
    Err(S3Error::with(
        ErrorCode::IllegalLocationConstraintException,
        format!(
            "The {location} location constraint is incompatible for the region specific \
             endpoint this request was sent to."
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_location_must_be_here() {
        let aliases = ["us-east-1".to_owned()];
        let check = |inner: &str| {
            let text = format!("<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>");
            let checked = check_location(text.as_bytes(), "me-east-1", &aliases);
            checked.err().map(|e| e.code.name())
        };
        let location = |l: &str| check(&format!("<LocationConstraint>{l}</LocationConstraint>"));
        assert!(check_location(b"", "me-east-1", &aliases).is_ok());
        assert_eq!(check(""), None);
        assert_eq!(location(""), None);
        assert_eq!(location("me-east-1"), None);
        assert_eq!(location("us-east-1"), None);
        assert_eq!(location("eu-central-1"), Some("IllegalLocationConstraintException"));
        assert_eq!(check("<Tags><Tag/></Tags>"), Some("NotImplemented"));
        assert_eq!(check("<Nonsense/>"), Some("MalformedXML"));
    }
}
