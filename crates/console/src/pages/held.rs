//! What this region holds, for whoever runs it. Sealed replicas have a number and no name: their
//! owners do not let this region's operator read them.

use http::Method;
use maud::{Markup, html};
use serde_json::Value;

use crate::{
    call::Call,
    pages::{health, value},
    reply::{Answer, Page},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge, note},
        text,
    },
};

/// Buckets of one answer of the admin API.
const PAGE: usize = 1000;

/// The list.
pub async fn show(call: &Call<'_>) -> Answer {
    if let Some(page) = health::own_only(call).await? {
        return page.into();
    }
    let after = call.query.get("after").and_then(|after| after.parse().ok());
    let after: u64 = after.unwrap_or(0);
    let held = call
        .admin(&Method::GET, &format!("held?after={after}"), None)
        .await?;
    let held = held.as_array().map_or(&[][..], Vec::as_slice);
    let last = held.last().map(|one| value::number(one, "number"));
    let body = html! {
        (note(Tone::Plain, &html! { p { (call.t(NAMES)) } }))
        @if held.is_empty() {
            (parts::empty(&call.t("Nothing is held here yet."), &html! {}))
        } @else {
            (parts::table(&call.t("Replicas held"), &table(call, held)))
        }
        p.more {
            @if let Some(last) = last.filter(|_| held.len() == PAGE) {
                a.button rel="next" href=(Href::to("/held").with(&[("after", &last.to_string())])) {
                    (call.t("More"))
                }
            }
            @if after > 0 { a.button href="/held" { (call.t("From the beginning")) } }
        }
    };
    Page::new(call.t("Replicas held"), body).into()
}

const NAMES: &str = "A sealed replica is shown by its number: its owner does not let this region read \
                     it, and so the region does not name it. Names of objects are never shown here.";

fn table(call: &Call<'_>, held: &[Value]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th.right scope="col" { (call.t("Number")) }
                    th scope="col" { (call.t("Bucket")) }
                    th scope="col" { (call.t("Held as")) }
                    th scope="col" { (call.t("Home")) }
                    th.right scope="col" { (call.t("Versions")) }
                    th.right scope="col" { (call.t("Bytes")) }
                    th.right scope="col" { (call.t("Behind")) }
                }
            }
            tbody { @for one in held { (row(call, one)) } }
        }
    }
}

fn row(call: &Call<'_>, one: &Value) -> Markup {
    let number = |name: &str| one.get(name).and_then(Value::as_u64);
    let unknown = || html! { (call.t("not counted yet")) };
    html! {
        tr {
            th.right scope="row" { (text::code(&value::number(one, "number").to_string())) }
            td.name {
                @match value::text(one, "name") {
                    "" => (call.t("not named here")),
                    name => (text::short(name)),
                }
            }
            td {
                @match value::text(one, "holds") {
                    "home" => (badge(Tone::Good, &call.t("home"))),
                    "replica" => (badge(Tone::Plain, &call.t("replica"))),
                    _ => (badge(Tone::Plain, &call.t("sealed replica"))),
                }
            }
            td { (text::code(value::text(one, "home"))) }
            td.right {
                @match number("versions") {
                    Some(count) => (number::grouped(count)),
                    None => (unknown()),
                }
            }
            td.right {
                @match number("bytes") {
                    Some(bytes) => (number::bytes(bytes)),
                    None => (unknown()),
                }
            }
            td.right {
                @match number("lag_ms") {
                    Some(ms) => (call.with("{ms} ms", &[("ms", &number::grouped(ms))])),
                    None => "\u{2013}",
                }
            }
        }
    }
}
