//! DeleteObjects: up to 1,000 keys or versions in one request, each with its own outcome.

use access::{Action, Permit, Refusal};
use objects::{Deleted, DisplayVersion, ETagMatch, WriteConditions};
use types::{ChecksumAlgorithm, ObjectKey, limits::PAGE_KEYS_MAX};

use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    s3::{
        error,
        xml::{Element, XmlWriter},
    },
};

/// One of the listed.
struct Doomed<'a> {
    key: &'a str,
    version: Option<&'a str>,
    etag: Option<&'a str>,
}

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let checked = call.headers.contains_key("content-md5")
        || call.headers.contains_key("x-amz-trailer")
        || ChecksumAlgorithm::ALL
            .iter()
            .any(|a| call.headers.contains_key(a.header()));
    if !checked {
        return Err(Fault::with(
            FaultKind::InvalidRequest,
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        ));
    }
    let (root, _place) = call.read_large_xml(&["Delete"]).await?;
    root.only(&["Object", "Quiet"])?;
    let quiet = root
        .text_of("Quiet")?
        .is_some_and(|text| text.trim() == "true");
    let listed: Vec<Doomed<'_>> = root.all("Object").map(doomed).collect::<Result<_, _>>()?;
    if listed.is_empty() || listed.len() > PAGE_KEYS_MAX {
        return Err(FaultKind::MalformedXML.into());
    }
    let mut xml = XmlWriter::document("DeleteResult", 128 + 96 * listed.len());
    for one in &listed {
        let outcome = match doom(call, one) {
            // The permit is asked for each: a version takes another one than a key.
            Ok((permit, key, version, conditions)) => {
                let objects = &call.gateway.objects;
                let deleted = objects.delete(&permit, &key, version, &conditions).await;
                deleted.map_err(Fault::from)
            }
            Err(error) => {
                let error = match call.steps.left() {
                    // Nobody said no: with fewer keys there would be an answer.
                    0 => Fault::with(
                        FaultKind::SlowDown,
                        "Policies took too much comparing for one request. Send fewer keys.",
                    ),
                    _ => error,
                };
                // Others have their turn while one after the other is refused.
                tokio::task::yield_now().await;
                Err(error)
            }
        };
        match outcome {
            Ok(_) if quiet => {}
            Ok(deleted) => write_deleted(&mut xml, one, deleted),
            Err(error) => write_error(&mut xml, one, &error),
        }
    }
    Ok(call.xml(xml.finish("DeleteResult")))
}

fn doomed(object: &Element) -> Result<Doomed<'_>, Fault> {
    object.only(&["Key", "VersionId", "ETag", "LastModifiedTime", "Size"])?;
    // Conditions that are not implemented must not be taken for ones that held.
    for name in ["LastModifiedTime", "Size"] {
        if object.one(name)?.is_some() {
            return Err(Fault::not_implemented(name));
        }
    }
    Ok(Doomed {
        key: object.required("Key")?,
        version: object.text_of("VersionId")?.filter(|v| !v.is_empty()),
        etag: object.text_of("ETag")?,
    })
}

type Doom = (Permit, ObjectKey, Option<DisplayVersion>, WriteConditions);

fn doom(call: &Call<'_>, one: &Doomed<'_>) -> Result<Doom, Fault> {
    let key = ObjectKey::new(one.key)?;
    let version = match one.version {
        None => None,
        Some(text) => Some(DisplayVersion::parse(text).ok_or(FaultKind::NoSuchVersion)?),
    };
    let conditions = WriteConditions {
        if_match: one.etag.map(ETagMatch::parse_strong),
        ..WriteConditions::default()
    };
    if one.etag.is_some() && version.is_some() {
        return Err(Fault::with(
            FaultKind::NotImplemented,
            "A condition is on the current version: ETag and VersionId exclude each other.",
        ));
    }
    let deed = call.deed()?;
    let action = Action::DeleteObject.for_version(version.is_some());
    let compares = one.etag.is_some_and(|etag| etag != "*");
    let permit = call.permit_key(action, (&key, version), (one.etag.is_some(), compares));
    let permit = permit.map_err(|refusal| match refusal {
        Refusal::Conditional => Fault::with(
            FaultKind::NotImplemented,
            format!(
                "Conditions are decided in the bucket's home, region {}.",
                deed.home
            ),
        ),
        _ => FaultKind::AccessDenied.into(),
    })?;
    Ok((permit, key, version, conditions))
}

fn write_deleted(xml: &mut XmlWriter, one: &Doomed<'_>, deleted: Deleted) {
    xml.open("Deleted").element("Key", one.key);
    xml.optional("VersionId", one.version);
    if deleted.delete_marker {
        xml.element("DeleteMarker", "true");
        if let Some(version) = deleted.version {
            xml.display("DeleteMarkerVersionId", version);
        }
    }
    xml.close("Deleted");
}

fn write_error(xml: &mut XmlWriter, one: &Doomed<'_>, error: &Fault) {
    xml.open("Error").element("Key", one.key);
    xml.optional("VersionId", one.version);
    xml.element("Code", error::code(error.kind).name);
    xml.element("Message", error::message(error));
    xml.close("Error");
}
