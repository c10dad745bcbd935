//! How far a change of a bucket's placement is: replicas that are filled, and regions that have to
//! remove what they had, with their receipts.

use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    fault::Fault,
    pages::value,
    reply::{Answer, Reply},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge, note},
        text, time,
    },
};

/// That the placement was changed, on the page that follows.
pub fn placed(call: &Call<'_>) -> Markup {
    html! {
        @if call.query.some("placed").is_some() {
            (note(Tone::Good, &html! { p role="status" { (call.t(PLACED)) } }))
        }
    }
}

const PLACED: &str = "The placement has changed. Below you see how far each region is.";

/// What a page waits for, in a text that changes with it; empty where there is nothing.
fn waits(bucket: &Value) -> String {
    let mut all = Vec::new();
    for replica in value::list(bucket, "replica_status") {
        // A replica that was just added has not asked the home yet: this is waited for too.
        let how = match replica.get("behind").and_then(Value::as_u64) {
            _ if !value::yes(replica, "connected") => "away".to_owned(),
            Some(0) => continue,
            Some(_) => "behind".to_owned(),
            None => value::number(replica, "seeded").to_string(),
        };
        all.push(format!("{} {how}", value::text(replica, "region")));
    }
    // Whoever has just been placed here is not known at the home yet.
    let known = value::list(bucket, "replica_status");
    for replica in value::list(bucket, "replicas") {
        let id = value::text(replica, "region");
        let is_known = bucket.get("replica_status").is_some();
        if is_known && !known.iter().any(|one| value::text(one, "region") == id) {
            all.push(format!("{id} new"));
        }
    }
    let gone = value::list(bucket, "removals").iter();
    for region in gone.filter(|one| one.get("receipt").is_none_or(Value::is_null)) {
        all.push(format!("{} leaves", value::text(region, "region")));
    }
    all.join(",")
}

/// Has the page loaded again when something of it has changed.
pub fn live(call: &Call<'_>, name: &str, bucket: &Value) -> Markup {
    let waits = waits(bucket);
    html! {
        @if !waits.is_empty() {
            p.hint data-live=(Href::bucket(name, "/where/state")) data-state=(waits) data-every="2000" {
                (call.t("This page shows by itself what changes."))
            }
            script type="module" src=(call.console.assets.path("live.js")) {}
        }
    }
}

/// How far it is, for a script.
pub async fn state(call: &Call<'_>) -> Answer {
    let name = call.bucket.as_ref();
    let name = name.ok_or_else(|| Fault::Missing(call.t("There is no bucket of this name.")))?;
    let path = format!("buckets/{}", access::sign::encode(name));
    let bucket = call.admin(&Method::GET, &path, None).await?;
    Ok(Reply::Json(json!({ "state": waits(&bucket) })))
}

/// The regions that the bucket has left.
pub fn removals(call: &Call<'_>, bucket: &Value) -> Markup {
    let all = value::list(bucket, "removals");
    html! {
        @if !all.is_empty() {
            section #left {
                h2 { (call.t("Regions that the bucket has left")) }
                (parts::table(&call.t("Regions that the bucket has left"), &rows(call, all)))
                p.hint { (call.t(RECEIPT)) }
            }
        } @else if !call.console.backend.registry().keeps() {
            p.hint { (call.with(ELSEWHERE, &[("region", &call.console.backend.keeper())])) }
        }
    }
}

const RECEIPT: &str = "A receipt is the region's own statement, in the audit log: what it had of \
                       the bucket is removed.";
const ELSEWHERE: &str = "Receipts of regions that the bucket has left are shown in region \
                         {region}, which keeps the audit log.";

fn rows(call: &Call<'_>, all: &[Value]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Region")) }
                    th scope="col" { (call.t("Left")) }
                    th scope="col" { (call.t("Receipt")) }
                }
            }
            tbody {
                @for one in all {
                    tr {
                        th scope="row" { (text::code(value::text(one, "region"))) }
                        td { (time::ms(value::number(one, "at_ms"))) }
                        td { (receipt(call, one.get("receipt"))) }
                    }
                }
            }
        }
    }
}

fn receipt(call: &Call<'_>, receipt: Option<&Value>) -> Markup {
    html! {
        @match receipt.filter(|receipt| !receipt.is_null()) {
            Some(receipt) => {
                (badge(Tone::Good, &call.t("removed"))) " "
                (time::ms(value::number(receipt, "at_ms"))) ", "
                (call.with("entry {entry}", &[
                    ("entry", &number::grouped(value::number(receipt, "entry"))),
                ]))
            }
            None => { (badge(Tone::Warn, &call.t("has not said yet that it removed it"))) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_waits_for_replicas_and_receipts_and_then_no_more() {
        let replica = |behind: Value| json!({ "region": "b", "connected": true, "behind": behind, "seeded": 3 });
        let new = json!({ "region": "b", "connected": false, "behind": null, "seeded": null });
        let of = |replicas: Vec<Value>, receipt: Value| {
            json!({
                "replicas": [{ "region": "b" }],
                "replica_status": replicas,
                "removals": [{ "region": "c", "receipt": receipt }],
            })
        };
        let said = json!({ "entry": 4 });
        assert_eq!(waits(&of(vec![replica(json!(null))], said.clone())), "b 3");
        assert_eq!(waits(&of(vec![new], said.clone())), "b away");
        assert_eq!(
            waits(&of(vec![replica(json!(2))], said.clone())),
            "b behind"
        );
        assert_eq!(waits(&of(vec![replica(json!(0))], json!(null))), "c leaves");
        assert_eq!(waits(&of(vec![replica(json!(0))], said)), "");
        assert_eq!(waits(&json!({ "replicas": [] })), "");
    }
}
