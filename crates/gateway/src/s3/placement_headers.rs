//! `x-dhow-placement-*`: where a new bucket may be stored (docs/placement.md). Read strictly:
//! misspelt, repeated and unimplemented headers are refused, because a bucket that was stored
//! elsewhere than its owner meant cannot be undone.

use crate::fault::{Fault, FaultKind};
use http::HeaderMap;
use types::{BucketName, Forwarder, Jurisdiction, Placement, RegionId, Replica};

const PREFIX: &str = "x-dhow-placement-";
const HOME: &str = "x-dhow-placement-home";
const REPLICAS: &str = "x-dhow-placement-replicas";
const JURISDICTIONS: &str = "x-dhow-placement-jurisdictions";
const WRITES: &str = "x-dhow-placement-writes";
const PROXY: &str = "x-dhow-placement-proxy";
const SUCCESSORS: &str = "x-dhow-placement-successors";
const UNRENEWED: &str = "x-dhow-placement-unrenewed";
const ACCEPT_FROM: &str = "x-dhow-placement-accept-from";
const TRUST_READS: &str = "x-dhow-placement-trust-reads";
const TRUST_WRITES: &str = "x-dhow-placement-trust-writes";

/// Most entries of a list.
const LIST_MAX: usize = 64;

/// What the headers of a CreateBucket say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Where the bucket is to have its home, if that is said.
    pub(crate) home: Option<RegionId>,
    pub(crate) placement: Placement,
}

/// Reads the headers of a CreateBucket. Whether the regions exist is for the caller to ask.
pub(crate) fn read(headers: &HeaderMap) -> Result<Asked, Fault> {
    let mut asked = Asked::default();
    for name in headers.keys().map(http::HeaderName::as_str) {
        if !name.starts_with(PREFIX) {
            continue;
        }
        let mut values = headers.get_all(name).iter();
        let first = values.next().and_then(|value| value.to_str().ok());
        let bad = |text: &str, message: &str| Fault::argument(name, text, message);
        let text = first.map(str::trim).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| bad("", "The header has no value that can be read"))?;
        if values.next().is_some() {
            return Err(bad(text, "The header is there more than once"));
        }
        let placement = &mut asked.placement;
        match name {
            HOME => asked.home = Some(region(name, text)?),
            REPLICAS => placement.replicas = list(name, text, replica)?,
            JURISDICTIONS => placement.jurisdictions = list(name, text, jurisdiction)?,
            WRITES => match text {
                "home" => {}
                "any" => placement.writes = types::Writes::Any,
                _ => return Err(bad(text, "The value must be home or any")),
            },
            PROXY => match text {
                "true" => placement.proxy = true,
                "false" => {}
                _ => return Err(bad(text, "The value must be true or false")),
            },
            UNRENEWED => {
                let known = types::Unrenewed::parse(text);
                placement.unrenewed =
                    known.ok_or_else(|| bad(text, "The value must be plain, none or all"))?;
            }
            ACCEPT_FROM => placement.accepts = list(name, text, bucket)?,
            TRUST_READS => placement.trust.reads = list(name, text, forwarder)?,
            TRUST_WRITES => placement.trust.writes = list(name, text, forwarder)?,
            SUCCESSORS => placement.successors = ordered(name, text, region)?,
            _ => return Err(bad(text, "There is no such header of placement")),
        }
    }
    Ok(asked)
}

/// A list between commas, sorted; nothing may be in it twice.
fn list<T: Ord>(
    name: &str,
    text: &str,
    read: impl Fn(&str, &str) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut found = ordered(name, text, read)?;
    found.sort_unstable();
    Ok(found)
}

/// A list between commas whose order counts; nothing may be in it twice.
fn ordered<T: Ord>(
    name: &str,
    text: &str,
    read: impl Fn(&str, &str) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut found = Vec::new();
    for entry in text.split(',') {
        if found.len() == LIST_MAX {
            return Err(Fault::argument(name, "", "The list is too long"));
        }
        let entry = read(name, entry.trim())?;
        if found.contains(&entry) {
            return Err(Fault::argument(
                name,
                text,
                "The list names something twice",
            ));
        }
        found.push(entry);
    }
    Ok(found)
}

fn replica(name: &str, entry: &str) -> Result<Replica, Fault> {
    match entry.split_once(';') {
        None => Ok(Replica {
            region: region(name, entry)?,
            sealed_by: None,
        }),
        Some((sealed, parameter)) => {
            let holder = parameter.trim().strip_prefix("sealed-by=");
            let unknown = || Fault::argument(name, entry, "A replica has no such parameter");
            Ok(Replica {
                region: region(name, sealed.trim())?,
                sealed_by: Some(region(name, holder.ok_or_else(unknown)?)?),
            })
        }
    }
}

fn jurisdiction(name: &str, entry: &str) -> Result<Jurisdiction, Fault> {
    Jurisdiction::named(entry).map_err(|error| Fault::argument(name, entry, error.to_string()))
}

fn forwarder(name: &str, text: &str) -> Result<Forwarder, Fault> {
    match Forwarder::parse(text) {
        Forwarder::Operator => Ok(Forwarder::Operator),
        Forwarder::Region(_) => region(name, text).map(Forwarder::Region),
    }
}

/// A region's name by its form: lower-case letters, digits and hyphens.
fn bucket(name: &str, text: &str) -> Result<BucketName, Fault> {
    BucketName::new(text).map_err(|_| Fault::argument(name, text, "This is no bucket's name"))
}

fn region(name: &str, text: &str) -> Result<RegionId, Fault> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    match (1..=63).contains(&text.len()) && text.bytes().all(fine) {
        true => Ok(RegionId::new(text)),
        false => Err(Fault::argument(name, text, "This is no region's name")),
    }
}

/// A region that the headers name, but the cloud has not.
pub(crate) fn unknown_region(region: &RegionId) -> Fault {
    let text = format!("There is no region {region} in this cloud.");
    Fault::with(FaultKind::InvalidLocationConstraint, text).detail("LocationConstraint", &**region)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Result<Asked, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        read(&headers).map_err(|e| e.kind.name())
    }

    #[test]
    fn the_headers_say_where_a_bucket_may_lie() {
        assert_eq!(asked(&[("x-amz-acl", "private")]), Ok(Asked::default()));
        let found = asked(&[
            (HOME, "eu-central-1"),
            (REPLICAS, "me-east-1;sealed-by=eu-central-1, eu-north-1"),
            (JURISDICTIONS, "EU,AE"),
            (WRITES, "home"),
            (PROXY, "true"),
            (SUCCESSORS, "eu-north-1, ap-south-1"),
            (ACCEPT_FROM, "papers"),
        ]);
        let replica = |region, sealed_by: Option<&str>| Replica {
            region: RegionId::new(region),
            sealed_by: sealed_by.map(RegionId::new),
        };
        let law = |text| Jurisdiction::parse(text).unwrap();
        let expected = Asked {
            home: Some(RegionId::new("eu-central-1")),
            placement: Placement {
                replicas: vec![
                    replica("eu-north-1", None),
                    replica("me-east-1", Some("eu-central-1")),
                ],
                jurisdictions: vec![law("AE"), law("EU")],
                proxy: true,
                accepts: vec![BucketName::new("papers").unwrap()],
                successors: vec![RegionId::new("eu-north-1"), RegionId::new("ap-south-1")],
                ..Placement::default()
            },
        };
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (name, value, code) in [
            (HOME, "", "InvalidArgument"),
            (HOME, "EU Central", "InvalidArgument"),
            (REPLICAS, "a,,b", "InvalidArgument"),
            (REPLICAS, "a,a", "InvalidArgument"),
            (REPLICAS, "a;sealed-by=", "InvalidArgument"),
            (REPLICAS, "a;colour=blue", "InvalidArgument"),
            (JURISDICTIONS, "Europe", "InvalidArgument"),
            (JURISDICTIONS, "DE,DE", "InvalidArgument"),
            (WRITES, "all", "InvalidArgument"),
            (SUCCESSORS, "a,b,a", "InvalidArgument"),
            (ACCEPT_FROM, "papers,Not A Bucket", "InvalidArgument"),
            (PROXY, "yes", "InvalidArgument"),
            ("x-dhow-placement-jurisdiction", "DE", "InvalidArgument"),
        ] {
            assert_eq!(asked(&[(name, value)]), Err(code), "{name}: {value}");
        }
        let twice = [(PROXY, "true"), (PROXY, "false")];
        assert_eq!(asked(&twice), Err("InvalidArgument"));
    }
}
