//! The audit log: what was changed in the registry, by whom, newest first. The entries are chained
//! by hashes; the last hash is shown large enough to be read out.

use http::Method;
use maud::{Markup, html};
use serde_json::Value;

use crate::{
    call::Call,
    pages::value,
    reply::{Answer, Page},
    ui::{href::Href, number, parts, text, time},
};

/// Entries on a page.
const PAGE: u64 = 200;

/// A page of entries: those before `before`, or the last ones.
pub async fn show(call: &Call<'_>) -> Answer {
    let length = *call.console.backend.registry().watch().borrow();
    let before = call.query.get("before").and_then(|text| text.parse().ok());
    let before = before.unwrap_or(length).min(length);
    let from = before.saturating_sub(PAGE);
    let entries = call
        .admin(&Method::GET, &format!("audit?from={from}"), None)
        .await?;
    let all = entries.as_array().map_or(&[][..], Vec::as_slice);
    let mut entries: Vec<&Value> = all
        .iter()
        .map(|one| one.get("entry").unwrap_or(one))
        .filter(|entry| value::number(entry, "number") < before)
        .collect();
    entries.reverse();
    let body = html! {
        p {
            (call.count(("The log has 1 entry.", "The log has {count} entries."), length, &[])) " "
            (call.t("Each has the hash of the one before it: who has the last hash can show that \
                     nothing was changed or left out."))
        }
        @if before == length && let Some(last) = entries.first() {
            (parts::facts(&[
                (&call.t("Last entry"), html! { (number::grouped(value::number(last, "number"))) }),
                (&call.t("Its hash"), html! { span.hash { (text::code(value::text(last, "hash"))) } }),
            ]))
        }
        @if entries.is_empty() { p.lead { (call.t("There is no entry before this one.")) } }
        @else { (parts::table(&call.t("Audit log"), &table(call, &entries))) }
        p.more {
            @if from > 0 {
                a.button rel="next" href=(Href::to("/audit").with(&[("before", &from.to_string())])) {
                    (call.t("Earlier entries"))
                }
            }
            @if before < length { a.button href="/audit" { (call.t("The last entries")) } }
            span.hint {
                (call.t("To verify the chain on a machine of yours:")) " "
                code { "dhow audit verify" }
            }
        }
    };
    Page::new(call.t("Audit log"), body).into()
}

fn table(call: &Call<'_>, entries: &[&Value]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th.right scope="col" { (call.t("Number")) }
                    th scope="col" { (call.t("Time")) }
                    th scope="col" { (call.t("Who")) }
                    th scope="col" { (call.t("What")) }
                    th scope="col" { (call.t("On")) }
                    th scope="col" { (call.t("Details")) }
                }
            }
            tbody { @for entry in entries { (row(call, entry)) } }
        }
    }
}

fn row(call: &Call<'_>, entry: &Value) -> Markup {
    let detail = value::text(entry, "detail");
    html! {
        tr {
            td.right { (number::grouped(value::number(entry, "number"))) }
            td { (time::ms(value::number(entry, "at_ms"))) }
            td.name { (text::short(value::text(entry, "actor"))) }
            td { (text::code(value::text(entry, "action"))) }
            td.name { (text::short(value::text(entry, "subject"))) }
            td {
                @if !detail.is_empty() {
                    details {
                        summary { (call.t("Show")) }
                        pre.wrap { (text::name(detail)) }
                    }
                }
            }
        }
    }
}
