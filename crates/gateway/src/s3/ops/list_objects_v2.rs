//! ListObjectsV2: current objects, paged by an opaque token.

use objects::{ListRequest, continuation_token, read_continuation_token};

use super::list_objects::{capacity, contents};
use crate::s3::{
    listing::{Encoding, Times, non_empty, owner, page_size},
    xml::XmlWriter,
};
use crate::{
    call::{Answer, Call},
    fault::Fault,
};

pub(super) async fn handle(call: &mut Call<'_>) -> Answer {
    let encoding = Encoding::of(&call.query)?;
    let deed = call.deed()?;
    let fetch_owner = call.query.get("fetch-owner") == Some("true");
    let owned_by = fetch_owner.then(|| call.gateway.canonical_id(&deed.owner));
    let start_after = non_empty(&call.query, "start-after");
    let mut request = ListRequest {
        prefix: call.query.get("prefix").unwrap_or_default(),
        delimiter: call.query.get("delimiter").unwrap_or_default(),
        after: start_after,
        limit: page_size(&call.query, "max-keys")?,
    };
    let token = call.query.get("continuation-token");
    let begin =
        match token {
            None => None,
            Some(token) => {
                let read = read_continuation_token(deed.id, &request, token);
                Some(read.map_err(|error| {
                    Fault::argument("continuation-token", token, error.to_string())
                })?)
            }
        };
    // The token counts: it is behind `start-after` already.
    request.after = begin.as_deref().or(start_after);
    let objects = &call.gateway.objects;
    let page = objects.list_objects(&call.permit, &request).await?;
    let next = page.next.as_deref();
    let next = next.map(|after| continuation_token(deed.id, &request, after));

    let mut xml = XmlWriter::document("ListBucketResult", capacity(&page.objects));
    xml.element("Name", &deed.name);
    encoding.element(&mut xml, "Prefix", request.prefix);
    xml.optional("ContinuationToken", token);
    xml.optional("NextContinuationToken", next.as_deref());
    encoding.optional(&mut xml, "StartAfter", start_after);
    xml.display("KeyCount", page.objects.len() + page.prefixes.len());
    xml.display("MaxKeys", request.limit);
    encoding.optional(&mut xml, "Delimiter", non_empty(&call.query, "delimiter"));
    xml.display("IsTruncated", next.is_some());
    encoding.declare(&mut xml);
    let mut times = Times::default();
    for object in &page.objects {
        xml.open("Contents");
        contents(&mut xml, encoding, &mut times, object);
        if let Some(id) = &owned_by {
            owner(&mut xml, "Owner", id);
        }
        xml.close("Contents");
    }
    encoding.prefixes(&mut xml, &page.prefixes);
    Ok(call.xml(xml.finish("ListBucketResult")))
}
