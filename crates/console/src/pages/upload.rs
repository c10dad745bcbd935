//! Addresses for the script that uploads. The bytes go from the browser to the data endpoint; each
//! address is for one operation on one key, and S3 decides when it is used.

use http::Method;
use serde_json::json;

use crate::{
    call::Call,
    fault::Fault,
    reply::{Answer, Reply},
};

/// How long an address works. It outlives the session, so that a long upload can end.
const WORKS_S: u64 = 3600;
/// Addresses of parts in one answer.
const PARTS_MAX: u32 = 100;
/// Parts of an upload.
const PART_MAX: u32 = 10_000;

/// Gives the addresses.
pub async fn sign(call: &Call<'_>) -> Answer {
    let shown = call.shown()?;
    let bucket = &*shown.deed.name;
    let field = |name: &str| call.form.get(name).unwrap_or_default();
    let key = call.form.some("key");
    let key = key.ok_or_else(|| Fault::Bad(call.t("An object needs a key.")))?;
    if key.len() > 1024 {
        return Err(Fault::Bad(call.t("A key has at most 1024 bytes.")));
    }
    let id = field("upload");
    let of_upload = [("uploadId", id)];
    let sign = |method: &Method, query: &[(&str, &str)]| {
        call.presigned(method, (bucket, key), query, WORKS_S)
    };
    let urls = match field("op") {
        "put" => vec![sign(&Method::PUT, &[])?],
        "create" => vec![sign(&Method::POST, &[("uploads", "")])?],
        "list" => {
            let after = ("part-number-marker", field("after"));
            let query = [of_upload[0], after];
            let shown = if after.1.is_empty() { 1 } else { 2 };
            vec![sign(&Method::GET, &query[..shown])?]
        }
        "complete" => vec![sign(&Method::POST, &of_upload)?],
        "abort" => vec![sign(&Method::DELETE, &of_upload)?],
        "parts" => {
            let number = |name: &str| field(name).parse::<u32>().ok();
            let range = number("from").zip(number("to"));
            let range = range.filter(|(from, to)| {
                (1..=PART_MAX).contains(from)
                    && from <= to
                    && to - from < PARTS_MAX
                    && *to <= PART_MAX
            });
            let (from, to) = range.ok_or_else(|| Fault::Bad(call.t("There are no such parts.")))?;
            let part = |part: u32| {
                let number = part.to_string();
                sign(&Method::PUT, &[("partNumber", &number), ("uploadId", id)])
            };
            (from..=to).map(part).collect::<Result<_, _>>()?
        }
        _ => return Err(Fault::Bad(call.t("There is no such address."))),
    };
    Ok(Reply::Json(json!({ "urls": urls })))
}
