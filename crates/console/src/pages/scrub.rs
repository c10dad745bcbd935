//! The verification of every stored byte of this region: begin it, see how far it is and what it
//! found.

use http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::{
    call::Call,
    pages::{health, regions, value},
    reply::{Answer, Page, Reply},
    ui::{
        href::Href,
        number,
        parts::{self, Tone, badge, note},
        text, time,
    },
};

/// Damaged versions that the page lists.
const LISTED_MAX: usize = 200;

/// The page.
pub async fn show(call: &Call<'_>) -> Answer {
    let regions = regions::all(call).await?;
    if let Some(page) = health::not_here(call, &regions) {
        return page.into();
    }
    let scrub = call.admin(&Method::GET, "scrub", None).await?;
    let runs = value::yes(&scrub, "running");
    let begun = value::number(&scrub, "started_ms") > 0;
    let body = html! {
        p { (call.t(ABOUT)) }
        @if runs { (progress(call, &scrub)) }
        @else if begun { (ended(call, &scrub)) }
        @else {
            (parts::empty(&call.t("No verification has run since this region started."), &html! {}))
        }
        @if !runs { (form(call)) }
        @if begun { (found(call, &scrub)) }
        p.hint { (call.t("On the machine:")) " " code { "dhow scrub" } }
    };
    let path = html! { ol { li { a href="/health" { (call.t("Health")) } } } };
    Page::new(call.t("Verify stored bytes"), body)
        .at(path)
        .into()
}

const ABOUT: &str = "Every stored byte of this region is read and compared with its checksum. Requests \
                     go on meanwhile; they may be slower.";

fn form(call: &Call<'_>) -> Markup {
    html! {
        section.card {
            h2 { (call.t("Begin")) }
            form.stack method="post" action="/scrub" {
                (call.token("/scrub"))
                label.check {
                    input type="checkbox" name="repair" value="1" checked;
                    span { (call.t(REPAIR)) }
                }
                div.actions { button.primary { (call.t("Verify every byte")) } }
            }
        }
    }
}

const REPAIR: &str = "Bring damaged bytes back from other regions, and remove extents that nothing \
                      refers to";

/// Tenths of the way, for a script.
fn tenths(scrub: &Value) -> u64 {
    let all = value::number(scrub, "bytes_total").max(1);
    (value::number(scrub, "bytes").saturating_mul(10) / all).min(10)
}

fn state_of(scrub: &Value) -> String {
    match value::yes(scrub, "running") {
        true => format!("{} {}", value::text(scrub, "phase"), tenths(scrub)),
        false => "ended".to_owned(),
    }
}

fn said(call: &Call<'_>, scrub: &Value) -> String {
    let bytes = |name| number::bytes_text(value::number(scrub, name));
    let values = [
        ("bytes", &*bytes("bytes")),
        ("all", &bytes("bytes_total")),
        ("items", &number::grouped(value::number(scrub, "items"))),
    ];
    call.with(
        "{bytes} of {all} are verified, in {items} rows and extents.",
        &values,
    )
}

fn progress(call: &Call<'_>, scrub: &Value) -> Markup {
    let all = value::number(scrub, "bytes_total").max(1);
    let phase = match value::text(scrub, "phase") {
        "journal" => call.t("The journal is read."),
        "extents" => call.t("Extents are read."),
        "versions" => call.t("Versions are compared."),
        "orphans" => call.t("Extents that nothing refers to are looked for."),
        _ => call.t("It begins."),
    };
    html! {
        section.card data-live="/scrub/state" data-state=(state_of(scrub)) {
            h2 { (call.t("Under way")) }
            p { (phase) }
            p role="status" data-text="said" { (said(call, scrub)) }
            progress max=(all) value=(value::number(scrub, "bytes").min(all))
                aria-label=(call.t("Under way")) {}
            p { a.button href="/scrub" { (call.t("Show what is new")) } }
        }
        script type="module" src=(call.console.assets.path("live.js")) {}
    }
}

fn ended(call: &Call<'_>, scrub: &Value) -> Markup {
    let (stays, repaired) = (
        value::number(scrub, "damaged_versions"),
        value::number(scrub, "repaired"),
    );
    let else_damaged = value::list(scrub, "damaged").len() as u64;
    let error = value::text(scrub, "error");
    let (tone, verdict) = match (error, stays + else_damaged) {
        ("", 0) => (Tone::Good, call.t("Good: nothing is damaged.").into_owned()),
        ("", damaged) => (
            Tone::Bad,
            call.count(
                ("1 thing is damaged.", "{count} things are damaged."),
                damaged,
                &[],
            ),
        ),
        _ => (Tone::Warn, call.t("It ended early:").into_owned()),
    };
    html! {
        (note(tone, &html! { p role="status" { (verdict) " " bdi { (text::visible(error)) } } }))
        (parts::facts(&[
            (&call.t("Began"), time::ms(value::number(scrub, "started_ms"))),
            (&call.t("Took"), html! { (time::ago(0, value::number(scrub, "took_ms"))) }),
            (&call.t("Verified"), html! { (said(call, scrub)) }),
            (&call.t("Repaired"), html! { (number::grouped(repaired)) }),
            (&call.t("Extents removed"), html! {
                (number::grouped(value::number(scrub, "orphans_removed")))
                " (" (number::bytes(value::number(scrub, "orphan_bytes"))) ")"
            }),
        ]))
    }
}

/// What is damaged, or was. Only whoever runs the region sees it.
fn found(call: &Call<'_>, scrub: &Value) -> Markup {
    let versions = value::list(scrub, "versions");
    let others = value::texts(scrub, "damaged");
    html! {
        @if !versions.is_empty() {
            h2 { (call.t("Damaged versions")) }
            (parts::table(&call.t("Damaged versions"), &table(call, versions)))
        }
        @if !others.is_empty() {
            h2 { (call.t("Other damage")) }
            ul { @for one in others.iter().take(LISTED_MAX) { li { (text::name(one)) } } }
        }
    }
}

fn table(call: &Call<'_>, versions: &[Value]) -> Markup {
    html! {
        table.many {
            thead {
                tr {
                    th scope="col" { (call.t("Bucket")) }
                    th scope="col" { (call.t("Key")) }
                    th scope="col" { (call.t("Version")) }
                    th scope="col" { (call.t("State")) }
                    th scope="col" { (call.t("What")) }
                }
            }
            tbody {
                @for one in versions.iter().take(LISTED_MAX) {
                    tr {
                        th scope="row" { (text::short(value::text(one, "bucket"))) }
                        td.name { (text::short(value::text(one, "key"))) }
                        td { (text::code(value::text(one, "version"))) }
                        td {
                            @if value::yes(one, "repaired") {
                                (badge(Tone::Good, &call.t("repaired")))
                            } @else { (badge(Tone::Bad, &call.t("damaged"))) }
                        }
                        td.name {
                            (text::name(value::text(one, "what"))) " "
                            (text::name(value::text(one, "why")))
                        }
                    }
                }
            }
        }
    }
}

/// How far it is, for a script.
pub async fn state(call: &Call<'_>) -> Answer {
    let scrub = call.admin(&Method::GET, "scrub", None).await?;
    Ok(Reply::Json(json!({
        "state": state_of(&scrub),
        "texts": { "said": said(call, &scrub) },
    })))
}

/// Begins one.
pub async fn start(call: &Call<'_>) -> Answer {
    let asked = json!({ "repair": call.form.some("repair").is_some() });
    call.admin(&Method::POST, "scrub", Some(&asked)).await?;
    Ok(Reply::See(Href::to("/scrub")))
}
