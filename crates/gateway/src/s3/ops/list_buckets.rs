//! ListBuckets: the caller's buckets in order of their names, with prefix and paging.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use types::BucketDeed;

use crate::{
    call::{Answer, Call},
    fault::{Fault, FaultKind},
    s3::xml::XmlWriter,
};

/// Largest and default page, as S3 has it.
const PAGE_MAX: usize = 10_000;

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let account = call
        .permit
        .identity()
        .account()
        .ok_or(FaultKind::AccessDenied)?;
    let prefix = call.query.get("prefix").unwrap_or_default();
    let limit = match call.query.get("max-buckets") {
        None => PAGE_MAX,
        Some(text) => match text.parse() {
            Ok(n @ 1..=PAGE_MAX) => n,
            _ => {
                return Err(Fault::argument(
                    "max-buckets",
                    text,
                    "Argument max-buckets must be an integer between 1 and 10000",
                ));
            }
        },
    };
    let after = call
        .query
        .get("continuation-token")
        .map(after)
        .transpose()?;
    let region = call.query.get("bucket-region");
    let region = region.map(|name| call.gateway.canonical(name));
    let directory = &call.gateway.deeds;
    let mut deeds = match region {
        None => directory.list(account, prefix, after.as_deref(), limit + 1),
        Some(region) => {
            let all = |after: Option<&str>| directory.list(account, prefix, after, PAGE_MAX);
            in_region(all, region, after, limit + 1)
        }
    };
    let more = deeds.len() > limit;
    deeds.truncate(limit);

    let mut xml = XmlWriter::document("ListAllMyBucketsResult", 256 + deeds.len() * 192);
    xml.open("Owner")
        .element("ID", &call.gateway.canonical_id(account))
        .close("Owner")
        .open("Buckets");
    for deed in &deeds {
        xml.open("Bucket")
            .element("Name", &deed.name)
            .element("CreationDate", &deed.created.iso8601())
            .element("BucketRegion", &deed.home)
            .close("Bucket");
    }
    xml.close("Buckets");
    if let Some(last) = deeds.last().filter(|_| more) {
        xml.element(
            "ContinuationToken",
            &URL_SAFE_NO_PAD.encode(last.name.as_bytes()),
        );
    }
    if !prefix.is_empty() {
        xml.element("Prefix", prefix);
    }
    Ok(call.xml(xml.finish("ListAllMyBucketsResult")))
}

/// The first `limit` deeds of those with their home in `region`. An account has a limited number
/// of buckets, so this ends soon.
fn in_region(
    page: impl Fn(Option<&str>) -> Vec<Arc<BucketDeed>>,
    region: &str,
    mut after: Option<String>,
    limit: usize,
) -> Vec<Arc<BucketDeed>> {
    let mut found = Vec::new();
    loop {
        let deeds = page(after.as_deref());
        let whole = deeds.len() == PAGE_MAX;
        after = deeds.last().map(|deed| deed.name.to_string());
        found.extend(deeds.into_iter().filter(|deed| *deed.home == *region));
        if !whole || found.len() >= limit {
            found.truncate(limit);
            return found;
        }
    }
}

/// The name that a continuation token holds.
fn after(token: &str) -> Result<String, Fault> {
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| {
            Fault::argument(
                "continuation-token",
                token,
                "The continuation token provided is incorrect",
            )
        })
}
