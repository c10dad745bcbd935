//! CreateBucket: a new bucket, with its home in this region or, where that is allowed, in another.

use std::sync::Arc;

use access::{
    AccessList, Action, Ask, Context, Facts, NewBuckets, Ownership, PublicAccessBlock, Resource,
    SystemReason, Via, authorize, authorize_system,
};
use http::header;
use objects::{DocumentKind, encode_bucket_list};
use types::{BucketDeed, BucketName, RegionId};

use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    s3::{
        documents, headers, lists,
        placement_headers::{self, Asked},
        tagging::{self, Tags},
        xml,
    },
    server::Gateway,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let name = call.bucket.clone().ok_or(FaultKind::InvalidBucketName)?;
    let asked = placement_headers::read(&call.headers)?;
    let document = call.read_body().await?;
    let gateway = call.gateway;
    let Configuration { location, tags } = Configuration::read(&document)?;
    let home = home(gateway, &asked, location.as_deref())?;
    if home != gateway.region && !tags.is_empty() {
        // They are in the bucket's own row, which only its home writes.
        return Err(Fault::not_implemented("Tags of a bucket in another region"));
    }
    check_regions(gateway, &home, &asked)?;
    // All rights before anything is made.
    call.permit = call.permit_new(&name, &home, &tags)?;
    let begin = Begin::of(call, home == gateway.region)?;
    let path = format!("/{name}");
    let permit = call.for_registry(&document);
    // With tags there is more to it than that the bucket is there.
    let plain = asked == Asked::default()
        && home == gateway.region
        && tags.is_empty()
        && !begin.is_asked_for;
    let made = gateway
        .objects
        .create_bucket(&permit, name.clone(), Some(home), asked.placement)
        .await;
    match made {
        Err(objects::Error::BucketOwnedByYou)
            if plain && signed_for_oldest(&call.headers) && is_home_of(gateway, &name) => {}
        Err(error) => return Err(error.into()),
        Ok(deed) => {
            begin.set(gateway, &deed).await?;
            if tags.is_empty() {
                return made_at(call, &path);
            }
            let ask = Ask {
                principal: call.permit.identity(),
                action: Action::PutBucketTagging,
                resource: Resource::Bucket(&deed.name),
                context: Context {
                    given_tags: Some(&tags),
                    ..call.context()
                },
            };
            let facts = Facts {
                deed: Some(&deed),
                access: None,
                account_block: access::PublicAccessBlock::NONE,
                here: &gateway.place,
                via: &Via::Client,
            };
            let permit = authorize(&ask, &facts).map_err(|_| FaultKind::AccessDenied)?;
            gateway.objects.set_bucket_tags(&permit, tags).await?;
        }
    }
    made_at(call, &path)
}

fn made_at(call: &Call<'_>, path: &str) -> Answer {
    let mut answer = call.empty(http::StatusCode::OK);
    headers::set(answer.headers_mut(), header::LOCATION, path)?;
    Ok(answer)
}

/// The documents that a new bucket begins with, beyond what holds without any.
#[derive(Default)]
struct Begin {
    documents: Vec<(DocumentKind, Arc<[u8]>)>,
    /// Whether the request names any of it.
    is_asked_for: bool,
}

impl Begin {
    /// What the request asks for, or else what the account says, or else the region. A bucket with
    /// its home elsewhere begins with what holds without documents, which only its home writes.
    fn of(call: &Call<'_>, here: bool) -> Result<Self, Fault> {
        let account = call.permit.identity().account();
        let account = account.ok_or(FaultKind::AccessDenied)?;
        let gateway = call.gateway;
        let begins = gateway.keys.new_buckets(account);
        let begins = match here {
            true => begins.unwrap_or(gateway.config.new_buckets),
            false => NewBuckets::default(),
        };
        let asked = match call.header("x-amz-object-ownership")? {
            None => None,
            Some(name) => Some(Ownership::of_name(name).ok_or_else(|| {
                Fault::argument(
                    "x-amz-object-ownership",
                    name,
                    "Invalid Object Ownership value",
                )
            })?),
        };
        let ownership = asked.unwrap_or(begins.ownership);
        let list = lists::of_new_bucket(call, account)?;
        if list.is_some() && !ownership.heeds_lists() {
            return Err(FaultKind::InvalidBucketAclWithObjectOwnership.into());
        }
        let mut documents: Vec<(DocumentKind, Arc<[u8]>)> = Vec::new();
        if ownership != Ownership::default() {
            documents.push((DocumentKind::Ownership, Arc::new([ownership.byte()])));
        }
        if let Some(grants) = list {
            let grants_list = AccessList {
                owner: account.clone(),
                grants,
            };
            let block = begins.block.or(gateway.keys.account_block(account));
            if grants_list.is_public() && block.block_acls {
                return Err(documents::public(call));
            }
            let bytes = encode_bucket_list(&grants_list.grants);
            documents.push((DocumentKind::List, bytes.into()));
        }
        if !here && !documents.is_empty() {
            return Err(Fault::not_implemented(
                "An access control list, or its ownership, of a bucket in another region",
            ));
        }
        if begins.block != PublicAccessBlock::ALL {
            let byte = begins.block.byte();
            documents.push((DocumentKind::PublicAccessBlock, Arc::new([byte])));
        }
        Ok(Self {
            documents,
            is_asked_for: asked.is_some() || lists::is_named(&call.headers),
        })
    }

    /// Until this is done the bucket is stricter than it will be.
    async fn set(&self, gateway: &Gateway, deed: &Arc<BucketDeed>) -> Result<(), Fault> {
        if self.documents.is_empty() {
            return Ok(());
        }
        let action = Action::PutBucketOwnershipControls;
        let permit = authorize_system(SystemReason::NewBucket, action, deed);
        let objects = &gateway.objects;
        Ok(objects.begin_with(&permit, action, &self.documents).await?)
    }
}

/// Whether the signature names `us-east-1`. There, and nowhere else, S3 answers 200 to the owner
/// who makes a bucket once more (the errors of CreateBucket: `BucketAlreadyOwnedByYou`).
fn signed_for_oldest(headers: &http::HeaderMap) -> bool {
    let signed = headers.get(header::AUTHORIZATION);
    signed
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.contains("/us-east-1/s3/aws4_request"))
}

fn is_home_of(gateway: &Gateway, bucket: &BucketName) -> bool {
    let deed = gateway.deeds.get(bucket);
    deed.is_some_and(|deed| deed.home == gateway.region)
}

/// The `LocationConstraint` of a document, unless it is empty.
pub(crate) fn location(document: &[u8]) -> Result<Option<String>, Fault> {
    Configuration::read(document).map(|read| read.location)
}

/// What `CreateBucketConfiguration` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Configuration {
    /// The `LocationConstraint`, unless it is empty.
    location: Option<String>,
    tags: Tags,
}

impl Configuration {
    fn read(document: &[u8]) -> Result<Self, Fault> {
        if document.is_empty() {
            return Ok(Self::default());
        }
        let root = xml::parse(document, &["CreateBucketConfiguration"])?;
        for unknown in ["Location", "Bucket"] {
            if root.one(unknown)?.is_some() {
                return Err(Fault::not_implemented(unknown));
            }
        }
        root.only(&["LocationConstraint", "Tags"])?;
        let location = root.text_of("LocationConstraint")?;
        let tags = root.one("Tags")?.map(tagging::read_set).transpose()?;
        let tags = tags.unwrap_or_default();
        objects::check_bucket_tags(&tags)?;
        Ok(Self {
            location: location.filter(|text| !text.is_empty()).map(str::to_owned),
            tags,
        })
    }
}

/// The new bucket's home. A region by its own name or an alias of this one; another region only
/// where that is allowed.
fn home(gateway: &Gateway, asked: &Asked, location: Option<&str>) -> Result<RegionId, Fault> {
    let location = location.map(|name| RegionId::new(gateway.canonical(name)));
    let home = asked.home.as_deref().map(|name| gateway.canonical(name));
    if let (Some(location), Some(home)) = (&location, home)
        && **location != *home
    {
        return Err(Fault::argument(
            "x-dhow-placement-home",
            home,
            "The header and the LocationConstraint name different regions",
        ));
    }
    let home = home.map(RegionId::new).or(location);
    let home = home.unwrap_or_else(|| gateway.region.clone());
    if home != gateway.region && !gateway.any_location {
        return Err(Fault::with(
            FaultKind::IllegalLocationConstraintException,
            format!(
                "The {home} location constraint is incompatible for the region specific endpoint \
                 this request was sent to."
            ),
        ));
    }
    Ok(home)
}

/// Every region that is named must be one of the cloud, once, and in a jurisdiction that the
/// placement allows.
fn check_regions(gateway: &Gateway, home: &RegionId, asked: &Asked) -> Result<(), Fault> {
    let replicas = asked.placement.replicas.iter().map(|r| &r.region);
    if replicas.clone().any(|region| region == home) {
        return Err(Fault::argument(
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
            return Err(Fault::argument(
                "x-dhow-placement-jurisdictions",
                region,
                format!(
                    "Region {region} is in {}, which the jurisdictions do not allow",
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
            Configuration::read(text.as_bytes()).map_err(|e| e.kind.name())
        };
        let at = |location: &str| Configuration {
            location: Some(location.to_owned()),
            ..Configuration::default()
        };
        assert_eq!(Configuration::read(b"").unwrap(), Configuration::default());
        assert_eq!(read(""), Ok(Configuration::default()));
        assert_eq!(read("<LocationConstraint/>"), Ok(Configuration::default()));
        assert_eq!(
            read("<LocationConstraint>me-east-1</LocationConstraint>"),
            Ok(at("me-east-1"))
        );
        assert_eq!(read("<Tags><Tag/></Tags>"), Err("MalformedXML"));
        let tag = "<Tag><Key>a</Key><Value>1</Value></Tag>";
        let tagged = read(&format!("<Tags>{tag}</Tags>")).unwrap();
        assert_eq!(tagged.tags, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(read(&format!("<Tags>{tag}{tag}</Tags>")), Err("InvalidTag"));
        assert_eq!(read("<Nonsense/>"), Err("MalformedXML"));
    }
}
